"""Components of the user's own: what a name means, and how it is made."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from raytuner.components import Component, component, identity, importable, is_dotted, load
from raytuner.errors import ConfigError


class Maker:
    def __init__(self, nodes: list[int], factor: int = 1) -> None:
        self.made = [node * factor for node in nodes]


class Parts:
    @classmethod
    def from_defaults(cls, nodes: list[int]) -> str:
        return f"parts of {nodes}"


HERE = __name__


@pytest.mark.parametrize(
    ("name", "dotted"),
    [("a.b", True), ("a.b.C", True), ("minilm", False), ("openai:gpt-4.1", False), ("a..b", False), (3, False)],
)
def test_a_dotted_path_is_known_by_its_form(name: object, dotted: bool) -> None:
    assert is_dotted(name) is dotted


def test_built_in_names_and_numbers_stay_what_they_are() -> None:
    assert [component(value) for value in ("bm25", None, 3, 0.5)] == ["bm25", None, 3, 0.5]


def test_it_is_made_with_what_its_signature_takes_and_its_options() -> None:
    table = {"mine": {"path": f"{HERE}.Maker", "options": {"factor": 3}}}
    assert component("mine", table).make("retriever", nodes=[1, 2], depth=9).made == [3, 6]
    assert component(f"{HERE}.Maker").make("retriever", nodes=[1, 2]).made == [1, 2]
    assert component(Parts).make("retriever", nodes=[1]) == "parts of [1]"
    finished = Maker([7])
    assert component(finished).make("retriever", nodes=[1]) is finished


def test_the_identity_follows_path_options_and_version() -> None:
    def of(**settings: object) -> str:
        return identity(component("mine", {"mine": {"path": "a.B", **settings}}))

    assert of() == of()
    assert len({of(), of(options={"n": 1}), of(version="1"), of(version="2")}) == 4
    one, other = Maker([1]), Maker([1])
    assert identity(one) == identity(component(one)) != identity(other)
    assert identity("bm25") == "bm25"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no_such_module.Part", "no module 'no_such_module'; install it, or put it beside the config"),
        (f"{HERE}.Makr", "has no 'Makr'; did you mean 'Maker'"),
    ],
)
def test_what_cannot_be_imported_is_named(path: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(path, "reranker")


def test_what_fails_when_it_is_made_is_named() -> None:
    with pytest.raises(ConfigError, match=r"retriever Maker: making it failed: TypeError.*check its options"):
        Component("Maker", instance=Maker).make("retriever")


def test_modules_beside_a_config_are_found_for_a_time(tmp_path: Path) -> None:
    (tmp_path / "beside_the_config.py").write_text("part = 42\nraise_later = None\n")
    (tmp_path / "broken_beside.py").write_text("1 / 0\n")
    with pytest.raises(ConfigError, match="no module"):
        load("beside_the_config.part")
    with importable(tmp_path):
        assert load("beside_the_config.part") == 42
        with pytest.raises(ConfigError, match="importing broken_beside failed: ZeroDivisionError"):
            load("broken_beside.part")
    assert str(tmp_path) not in sys.path


@pytest.mark.parametrize(
    "options",
    [
        {"api_base": "https://evil.example/v1"},
        {"azure_endpoint": "evil.example"},
        {"deep": [{"anything": "http://evil.example"}]},
        {"base_url": "http://localhost@evil.example/"},
        {"base_url": "http://127.0.0.1.evil.example/"},
        {"base_url": "http://localhost/\\@evil.example"},
    ],
)
def test_options_hold_no_address_where_keys_could_go(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="address of this machine only"):
        component("mine", {"mine": {"path": "a.B", "options": options}})


@pytest.mark.parametrize("here", ["http://localhost:11434/v1", "127.0.0.1", "http://[::1]:8000"])
def test_options_may_hold_an_address_of_this_machine(here: str) -> None:
    assert here in component("mine", {"mine": {"path": "a.B", "options": {"base_url": here}}}).options


def test_options_are_what_json_can_hold() -> None:
    with pytest.raises(ConfigError, match=r"components\.mine\.options: only what JSON can hold"):
        component("mine", {"mine": {"path": "a.B", "options": {"since": object()}}})
