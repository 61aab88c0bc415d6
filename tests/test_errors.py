from __future__ import annotations

import pytest

from raytuner import errors
from raytuner.errors import RaytunerError, UserError, holds_secret, nearest, quoted, redact


def test_exit_codes() -> None:
    for name in errors.__all__:
        found = getattr(errors, name)
        if isinstance(found, type) and issubclass(found, RaytunerError):
            assert found.exit_code == (2 if issubclass(found, UserError) else 1), name


def test_nearest_names_the_likely_one_and_all_valid_ones() -> None:
    assert nearest("topk", ["top_k", "chunk_size"]) == "did you mean 'top_k'? Valid: chunk_size, top_k"
    assert nearest("zzz", ["top_k", "chunk_size"]) == "Valid: chunk_size, top_k"


@pytest.mark.parametrize(
    ("value", "held"),
    [
        ("sk-0123456789", True),
        ("sk-proj-abcdefgh", True),
        ("hf_abcdefghijklmnop", True),
        ("ghp_abcdefghijklmnop", True),
        ("xoxb-1234567890", True),
        ("AKIAIOSFODNN7EXAMPLE", True),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", True),
        ("openai:hf_abcdefghijklmnop", True),
        ("https://host.example/v1?key=sk-0123456789", True),
        ("https://host.example/9f86d081884c7d659a2feaa0c55ad015/v1", True),
        ("https://me:passw0rd@host.example/v1", True),
        ("Zk3vQ9xT1mB7yR5wN2cL8pH4", True),
        ("hunter2hunter2", True),  # the value of a variable that is called a secret
        ("hunter2", False),
        ("Qwen2.5-Coder-32B-Instruct-GPTQ-Int4", False),
        ("openai-like:mistralai/Mixtral-8x7B-Instruct-v0.1-GPTQ", False),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", False),
        ("https://endpoint-a1b2c3.us-east-1.aws.example/v1", False),
        ("/nix/store/9f86d081884c7d659a2feaa0c55ad015-data", False),
        ("sk-docs", False),
        ("Answer from {context_str}: {query_str}", False),
        ("512", False),
    ],
)
def test_keys_are_known_by_their_looks(monkeypatch: pytest.MonkeyPatch, value: str, held: bool) -> None:
    monkeypatch.setenv("DB_PASSWORD", "hunter2hunter2")
    assert holds_secret(value) is held


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at postgresql://me:pa/ss@host/db", "at postgresql://<credentials>@host/db"),
        ("at postgresql://me:12/ss@host/db", "at postgresql://<credentials>@host/db"),
        ("at https://me:pa/ss@host", "at https://<credentials>@host"),
        ("at http://host:8000/users/@me", "at http://host:8000/users/@me"),
        ("postgresql:///db?sslpassword=abc&x=1", "postgresql:///db?sslpassword=<credentials>&x=1"),
        ("mssql://h/db?a=1&pwd=abc", "mssql://h/db?a=1&pwd=<credentials>"),
        ("(mssql:///?odbc_connect=a%3Bpwd%3Db)", "(mssql:///?odbc_connect=<credentials>"),
        ('{"a":"redis://h:6379/1","b":"me@there"}', '{"a":"redis://h:6379/1","b":"me@there"}'),
        ("https://host/?max_tokens=5&top_k=3", "https://host/?max_tokens=5&top_k=3"),
    ],
)
def test_redact_masks_passwords_in_addresses(text: str, shown: str) -> None:
    assert redact(text) == shown


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
