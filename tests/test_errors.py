from __future__ import annotations

import pytest

from raytuner import errors
from raytuner.errors import RaytunerError, UserError, nearest, quoted, redact


def test_exit_codes() -> None:
    for name in errors.__all__:
        found = getattr(errors, name)
        if isinstance(found, type) and issubclass(found, RaytunerError):
            assert found.exit_code == (2 if issubclass(found, UserError) else 1), name


def test_nearest_names_the_likely_one_and_all_valid_ones() -> None:
    assert nearest("topk", ["top_k", "chunk_size"]) == "did you mean 'top_k'? Valid: chunk_size, top_k"
    assert nearest("zzz", ["top_k", "chunk_size"]) == "Valid: chunk_size, top_k"


def test_redact_replaces_only_the_values_of_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    monkeypatch.setenv("DB_PASSWORD", "hunter2hunter2")
    monkeypatch.setenv("SHORT_TOKEN", "abc")
    monkeypatch.setenv("PLAIN", "visible-value")
    assert redact("GET https://me:pass word@host/ https://me:passw0rd@host/v1") == (
        "GET https://me:pass word@host/ https://<credentials>@host/v1"
    )
    text = "sk-0123456789 hunter2hunter2 abc visible-value"
    assert redact(text) == "<OPENAI_API_KEY> <DB_PASSWORD> abc visible-value"


DEEP: list[object] = []
for _ in range(500):
    DEEP = [DEEP, DEEP]


LONG = {
    "text": "a" * 10**6,
    "lines": "\n" * 500,
    "bytes": b"x" * 10**5,
    "list": list(range(10**5)),
    "mapping": {str(n): "v" * 99 for n in range(99)},
    "deep": DEEP,
    "number": 10**6000,
}


@pytest.mark.parametrize("name", LONG)
def test_a_quoted_value_is_one_short_line(name: str) -> None:
    value = LONG[name]
    assert 0 < len(quoted(value)) <= 200
    assert "\n" not in quoted(value)


def test_what_is_short_is_quoted_whole() -> None:
    for value in ("a\nb", 3, 1.5, None, {"z": [1, {"b": 2}], "a": 3}, [1, 2, 3], 10**30):
        assert quoted(value) == repr(value)
    assert quoted([1, 2, 3, 4, 5, 6, 7]) == "[1, 2, 3, 4, 5, 6, ...]"
