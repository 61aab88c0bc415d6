"""A study of Optuna, whatever searched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from ray import tune

from raytuner.goals import Goal
from raytuner.tracking.config import TrackConfig
from raytuner.tracking.tracking import Tracking


def tracking(folder: Path, **options: Any) -> Tracking:
    return Tracking.of(TrackConfig.model_validate({"optuna": {"url": f"sqlite:///{folder / 'study.db'}", **options}}))


def study_in(folder: Path, name: str = "run") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=f"sqlite:///{folder / 'study.db'}")


def test_a_search_that_was_cut_off_is_one_study(tmp_path: Path, whole_search: Callable[..., None]) -> None:
    whole_search(tmp_path / "run", lambda: tracking(tmp_path))
    study = study_in(tmp_path)
    assert study.metric_names == ["score"]
    assert study.user_attrs["search"] == "grid"
    assert "context_str" not in str(study.user_attrs)
    assert study.user_attrs["best trial"] == 2
    trials = study.trials
    assert [trial.user_attrs["trial"] for trial in trials] == [1, 2, 3, 4]
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE", "PRUNED", "FAIL"]
    assert trials[0].intermediate_values == {2: pytest.approx(0.15), 4: 0.25}
    assert trials[1].intermediate_values == {2: 0.55, 4: pytest.approx(0.675)}
    assert trials[1].value == pytest.approx(0.675)
    assert trials[2].user_attrs["reason"] == "behind trial 2"
    assert trials[3].user_attrs["reason"] == "ValueError: wrong"
    assert trials[3].params == {"top_k": 4, "prompt": "<text of 46 characters, 7f133c59>"}
    assert study.best_trial.number == 1


def test_the_space_becomes_its_distributions(tmp_path: Path, search: Callable[..., Any]) -> None:
    space = {
        "retriever": ["vector", "hybrid"],
        "weight": {"float": [0, 1], "step": 0.3, "when": {"retriever": "hybrid"}},
        "temperature": {"float": [0.1, 1]},
        "rate": {"float": [0.001, 1], "log": True},
        "size": {"int": [64, 1000], "step": 64},
        "depth": {"int": [1, 100], "log": True},
        "mixed": [1, True, None, [1, 2], {"a": 1}],
        "noise": tune.randn(0, 1),
        "function": [len, max],
        "kept": {"fixed": 7},
    }
    own = search(tmp_path / "run", tracking(tmp_path), space)
    own.trial(1, 0.1, 0.2, retriever="vector")
    own.trial(2, 0.3, 0.2, retriever="hybrid", weight=0.9, mixed=[1, 2], noise=12.5, size=960, function=max)
    assert own.end() == []
    first, second = study_in(tmp_path).trials
    assert "weight" not in first.params
    assert second.params == {
        "retriever": "hybrid",
        "weight": 0.9,
        "temperature": 0.1,
        "rate": 0.001,
        "size": 960,
        "depth": 1,
        "mixed": "[1, 2]",
        "noise": 12.5,
        "function": "max",
        "kept": 7,
    }
    assert second.distributions["retriever"] == CategoricalDistribution(("vector", "hybrid"))
    assert second.distributions["weight"] == FloatDistribution(0, 0.9, step=0.3)
    assert second.distributions["rate"] == FloatDistribution(0.001, 1, log=True)
    assert second.distributions["size"] == IntDistribution(64, 960, step=64)
    assert second.distributions["depth"] == IntDistribution(1, 100, log=True)
    assert second.distributions["mixed"] == CategoricalDistribution(("1", "true", "null", "[1, 2]", '{"a": 1}'))
    assert second.distributions["function"] == CategoricalDistribution(("len", "max"))


def test_several_objectives_and_limits(tmp_path: Path, search: Callable[..., Any]) -> None:
    goals = [Goal(metric="score", mode="max"), Goal(metric="tokens", mode="min", limit=100)]
    own = search(tmp_path / "run", tracking(tmp_path), {"k": [1, 2, 3]}, goals)
    own.trial(1, {"score": 0.5, "tokens": 50}, {"score": 0.7, "tokens": 70}, k=1)
    own.trial(2, {"score": 0.9, "tokens": 150}, {"score": 0.9, "tokens": 150}, k=2)
    assert own.end() == []
    study = study_in(tmp_path)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["score", "tokens"]
    assert [trial.values for trial in study.trials] == [[pytest.approx(0.6), 60], [0.9, 150]]
    assert study.trials[1].user_attrs["beyond limit"] == "tokens 150.0, more than 100"
    assert len(study.best_trials) == 2


def test_a_trial_that_goes_on_after_it_was_stopped_is_there_to_its_end(
    tmp_path: Path, search: Callable[..., Any]
) -> None:
    own = search(tmp_path / "run", tracking(tmp_path))
    own.begin(1, top_k=1)
    own.block(1, 0.1, 0.2)
    own.study.stop(1, 1.0, "behind trial 2", {"score": 0.15})
    own.lost()  # so that it is told of the stop
    own.study.resume(1)
    own.block(1, 0.5, 0.6)
    own.study.finish(1, 1.0)
    assert own.end() == []
    study = study_in(tmp_path)
    assert [trial.state.name for trial in study.trials] == ["PRUNED", "COMPLETE"]  # Optuna changes none that has ended
    assert study.trials[1].intermediate_values == {2: pytest.approx(0.15), 4: pytest.approx(0.35)}


def test_two_searches_may_share_a_study(tmp_path: Path, search: Callable[..., Any]) -> None:
    for name in ("one", "two"):
        own = search(tmp_path / name, tracking(tmp_path, study="all"))
        own.trial(1, 0.1, 0.2, top_k=1)
        assert own.end() == []
    assert len(study_in(tmp_path, "all").trials) == 2


def test_texts_are_told_if_they_are_asked_for(tmp_path: Path, search: Callable[..., Any]) -> None:
    own = search(tmp_path / "run", tracking(tmp_path, texts=True))
    own.trial(1, 0.1, 0.2, prompt="Answer by {context_str}\nQuestion: {query_str}\n")
    assert own.end() == []
    assert "context_str" in study_in(tmp_path).trials[0].params["prompt"]


def test_a_database_that_cannot_be_reached_ends_no_search(tmp_path: Path, search: Callable[..., Any]) -> None:
    own = search(tmp_path / "run", tracking(tmp_path / "no such folder"))
    own.trial(1, 0.1, 0.2, top_k=1)
    [line] = own.end()
    assert "optuna was not told of 1 trial: " in line
    assert "unable to open database file" in line
    assert "\n" not in line
