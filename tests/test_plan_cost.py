"""What a plan says of cost, and which budgets it refuses."""

from __future__ import annotations

import re
from typing import Any

import click
import pytest
import yaml

from raytuner import TuneConfig
from raytuner.calls.prices import Price, known_price, table
from raytuner.cli_tune import ask as _ask
from raytuner.cost import dollars
from raytuner.errors import ConfigError
from raytuner.models.pricing import price
from raytuner.models.spec import spec
from raytuner.plan import Plan, make_plan
from raytuner.plan_cost import expected_usd
from raytuner.plan_text import describe


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def plan(**sections: Any) -> Plan:
    config = {
        "documents": "builtin:quickstart",
        "questions": "builtin:quickstart",
        "models": {"big": {"model": "openai:gpt-4o", "max_tokens": 50, **sections.pop("big", {})}},
        "pipeline": {"llm": "big", "retriever": "bm25"},
        "space": {"chunk_size": [100, 300], "top_k": [1, 3]},
        "objective": {"metric": "token_f1"},
        **sections,
    }
    return make_plan(TuneConfig.parse(yaml.safe_dump(config)))


def test_the_calls_are_estimated_with_their_dollars() -> None:
    found = plan()
    contexts = (100 + 300 + 300 + 900) / 4
    usd = 240 * ((contexts + 150) * 2.5 + 50 * 10) / 1e6
    assert expected_usd(found) == pytest.approx(usd)
    assert f"  answers by big: about 240 calls, 132,000 + 12,000 tokens, {dollars(usd)} USD" in describe(found)


def test_judges_and_repeats_count() -> None:
    judge = {"metric": "correctness", "judge": "big", "repeats": 3}
    text = describe(plan(objective=judge))
    assert "answers by big: about 720 calls" in text
    assert "judge by big: about 720 calls" in text


def test_a_judge_in_batches_costs_half() -> None:
    judge = {"metric": "correctness", "judge": "big", "repeats": 50}
    lines = [
        re.search(r"judge by big: .*tokens, ([\d.]+) USD", describe(plan(objective=judge, big={"batch": batch})))
        for batch in (False, True)
    ]
    one, half = (float(line[1]) for line in lines if line)
    assert half == pytest.approx(one / 2, rel=0.02)


def test_an_unknown_price_is_said_and_never_0() -> None:
    text = describe(plan(big={"model": "openai-like:x", "base_url": "http://127.0.0.1:9/v1"}))
    assert "tokens, price unknown, see models.NAME.price" in text
    assert "in all" not in text


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        (
            {"budget": {"usd": 1}, "big": {"model": "openai:unheard-of"}},
            "budget.usd is 1, but the price of big is not known",
        ),
        ({"budget": {"usd": 1}, "big": {"max_tokens": None}}, "budget.usd needs the most tokens of an answer"),
        ({"budget": {"tokens": 9}, "big": {"max_tokens": None}}, "budget.tokens needs the most tokens of an answer"),
        ({"budget": {"usd": 0}}, "budget.usd"),
        ({"budget": {"llm_calls": 0}}, "budget.llm_calls"),
        ({"budget": {"usd": ".inf"}}, "budget.usd"),
        ({"big": {"price": {"input": -1}}}, "models.big.price.input"),
        ({"big": {"price": {"input": 1, "inptu": 1}}}, "models.big.price.inptu"),
    ],
)
def test_budgets_and_prices_that_cannot_be(sections: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        plan(**sections)


def test_trials_of_a_budget() -> None:
    assert plan(budget={"trials": 2}).trials == 2
    assert plan(budget={"trials": 9}, search={"trials": 3}).trials == 3


def test_it_is_asked_about_above_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(click, "confirm", lambda text, **options: asked.append(text))
    _ask(plan(big={"price": {"input": 100.0, "output": 100.0}}))
    assert asked == [], "nobody is there to answer"
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    _ask(plan())
    assert asked == []
    _ask(plan(big={"price": {"input": 100.0, "output": 100.0}}))
    assert len(asked) == 1
    assert "USD are expected" in asked[0]


def test_prices_of_dated_names_other_addresses_and_built_in_models(monkeypatch: pytest.MonkeyPatch) -> None:
    assert known_price("openai", "gpt-4o-2024-08-06") == Price(2.5, 10.0)
    assert known_price("openai", "gpt-4o-2024-05-13") == Price(5.0, 15.0)
    assert known_price("openai", "gpt-4o-mini") == Price(0.15, 0.6)
    assert known_price("openai", "gpt-4o-audio") is None
    assert known_price("openai-like", "gpt-4o") is None
    assert known_price("smollm2", "smollm2") == Price(0.0)
    assert price(spec("openai:gpt-4o")) == Price(2.5, 10.0)
    monkeypatch.setenv("OPENAI_BASE_URL", "https://other.example.com/v1")
    assert price(spec("openai:gpt-4o")) is None
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", table()["as_of"])


@pytest.mark.parametrize(
    ("usd", "said"), [(0, "0.00"), (0.5, "0.50"), (0.0123, "0.012"), (0.000456, "0.00046"), (1234.5, "1,234.50")]
)
def test_dollars(usd: float, said: str) -> None:
    assert dollars(usd) == said
