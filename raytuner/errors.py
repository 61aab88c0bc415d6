"""The error tree. One line each: the value, the rule, the fix.

RaytunerError              exit code 1: something failed
├── UserError              exit code 2: something the user can mend
│   ├── ConfigError        the configuration file or a command-line value
│   ├── SpaceError         the search space
│   ├── DataError          documents or question sets
│   ├── ModelError         a model, its weights or its key
│   ├── SearchError        a search algorithm or one of its options
│   ├── ClusterError       a Ray cluster, or a job on it
│   └── StoreError         the folder of artefacts: full, or not to be used
├── ModelChangedError      a model is not what it was when the search began
├── TrialError             what an objective returned cannot be scored
├── BudgetUsedUpError      what a search may use up is used up
├── EndpointDownError      an endpoint does not answer, or refuses all that is asked
├── AllTrialsFailedError   no trial of a search succeeded
└── InfeasibleError        no trial of a search is within the limits
"""

from __future__ import annotations

import difflib
import itertools
import os
import re
import reprlib
from collections.abc import Iterable
from typing import Any

__all__ = [
    "AllTrialsFailedError",
    "BudgetUsedUpError",
    "ClusterError",
    "ConfigError",
    "DataError",
    "EndpointDownError",
    "InfeasibleError",
    "ModelChangedError",
    "ModelError",
    "RaytunerError",
    "SearchError",
    "SpaceError",
    "StoreError",
    "TrialError",
    "UserError",
    "declare_secret",
    "holds_secret",
    "is_secret",
    "nearest",
    "quoted",
    "redact",
]


class RaytunerError(Exception):
    """Base of every error that raytuner raises on purpose."""

    exit_code = 1


class UserError(RaytunerError):
    """Something the user can mend; the message names the value, the rule and the fix."""

    exit_code = 2


class ConfigError(UserError):
    """A configuration file or a command-line value is wrong."""


class SpaceError(UserError):
    """A search space cannot be used as it is written."""


class DataError(UserError):
    """Documents or questions cannot be read, or do not fit each other."""


class ModelError(UserError):
    """A model is unknown, its weights or its key are missing."""


class SearchError(UserError):
    """A search algorithm is unknown or cannot express the space."""


class ClusterError(UserError):
    """A Ray cluster cannot be used as it is, or has no such job."""


class StoreError(UserError):
    """The folder of artefacts cannot be used, or is full."""


class ModelChangedError(RaytunerError):
    """A model is not what it was when the search began; the search ends, since further scores would not compare."""


class TrialError(RaytunerError):
    """An objective returned something that cannot be scored."""


class BudgetUsedUpError(RaytunerError):
    """What a search may use up is used up: nothing more is asked for."""


class EndpointDownError(RaytunerError):
    """An endpoint does not answer, or refuses all that is asked: the search ends."""


class AllTrialsFailedError(RaytunerError):
    """Every trial of a search failed; the message holds the first error."""


class InfeasibleError(RaytunerError):
    """No trial of a search is within the limits of the objectives."""


class _Short(reprlib.Repr):
    """A repr of a line, however long or deep the value is."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 80
        self.maxlevel = 3

    def repr_int(self, x: int, level: int) -> str:
        """The number; one of thousands of digits has no decimal form in Python."""
        return repr(x) if x.bit_length() <= MAX_BITS else f"<a number of {int(x.bit_length() * 0.30103) + 1} digits>"

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        """As it was written; reprlib sorts it."""
        if level <= 0 and x:
            return "{...}"
        items = list(itertools.islice(x.items(), self.maxdict))
        shown = [f"{self.repr1(key, level - 1)}: {self.repr1(value, level - 1)}" for key, value in items]
        return f"{{{', '.join([*shown, *(['...'] if len(x) > len(items) else [])])}}}"


MAX_BITS = 130
MAX_REASON = 300
"""So many characters of what another library says are shown."""
_short = _Short()


def quoted(value: object) -> str:
    """A value for a message: its repr, in one line and not a long one."""
    text = _short.repr(value)
    return text if len(text) <= 200 else f"{text[:150]} ... {text[-40:]}"


def in_a_line(error: BaseException) -> str:
    """The type of an error and the first line of what it says, for a message about somebody else's code."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:MAX_REASON]}" if lines else type(error).__name__


def nearest(name: object, valid: Iterable[str]) -> str:
    """Say which valid name was probably meant, and which there are.

    Args:
        name: What the user wrote.
        valid: The names that would have been right.

    Returns:
        A clause for the end of a message, e.g. ``did you mean 'top_k'? Valid: ...``.
    """
    names = sorted(valid)
    close = difflib.get_close_matches(str(name)[:100], names, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}Valid: {', '.join(names)}"


_CREDENTIALS = re.compile(
    r"://[^\s/@:]*:[^\s/@]+@"
    r"|(?:(?<!http)(?<!https)://[^\s/@:]*:|://[^\s/@:]*:(?!\d{1,5}[/?#]))[^\s\"'<>]{1,500}@"  # no port and a path
)
_IN_QUERY = re.compile(
    r"([?&][\w.-]*(?:pass|password|passwd|passphrase|pwd|secret|token|key|odbc_connect)=)[^\s&\"'<>]+", re.IGNORECASE
)
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)


REDACTED = "RAYTUNER_REDACT"
"""The variable that names others, between commas, which hold secrets whatever they are called."""

_declared: set[str] = set(filter(None, os.environ.get(REDACTED, "").split(",")))


def declare_secret(name: str) -> None:
    """Take note that an environment variable holds a secret, whatever it is called."""
    _declared.add(name)


def is_secret(name: str) -> bool:
    """Whether an environment variable was declared as a secret, or is called like one."""
    return name in _declared or _SECRET_NAME.search(name) is not None


_PATH = re.compile(r"[/~.]|[A-Za-z]:[\\\\/]")
_KEY = re.compile(
    r"(sk|gsk|hf|pk|rk|ghp|gho|ghs|ghu|github_pat|glpat|xox[a-z]|pypi|nvapi|pplx|r8)[-_][\w-]{8,}"
    r"|(AKIA|ASIA|AIza)[\w-]{12,}|eyJ[\w-]+\.[\w-]+\.[\w-]*"
)
_MIXED = re.compile(r"[a-z](?=[A-Z])|[A-Za-z](?=[0-9])|[0-9](?=[A-Za-z])")


def holds_secret(value: str) -> bool:
    """Whether the value of an environment variable is a key by its looks, or that of a variable called like a secret.

    Args:
        value: The value; what looks like the path of a file is taken for one.
    """
    if len(value) >= 8 and any(value == other and is_secret(name) for name, other in os.environ.items()):
        return True
    if _PATH.match(value):
        return False
    parts = re.split(r"[^\w.+-]+", value)
    return _CREDENTIALS.search(value) is not None or any(_KEY.fullmatch(part) or _is_random(part) for part in parts)


def _is_random(part: str) -> bool:
    """Whether a text is long and mixes letters and digits as no name does."""
    return len(part) >= 20 and 5 * len(_MIXED.findall(part)) >= len(part)


def secret_in(text: str, *, keys: bool) -> str | None:
    """What a text holds that is a secret, in words; None if it holds none that is known.

    Args:
        text: Any text.
        keys: Whether what merely looks like a key counts, or a password in an address.
    """
    for name, value in os.environ.items():
        if len(value) >= 8 and is_secret(name) and not _PATH.match(value) and value in text:
            return f"the value of {name}"
    if keys and _CREDENTIALS.search(text):
        return "an address with a password"
    if keys and any(map(_is_key, re.split(r"[^\w.+-]+", text))):
        return "what looks like a key"
    return None


def _is_key(part: str) -> bool:
    """Whether a word has the form of a service's key; names in a program have no such digits."""
    return len(part) >= 16 and any(map(str.isdigit, part)) and _KEY.fullmatch(part) is not None


def redact(text: str, template: str = "<{name}>") -> str:
    """Replace the values of secret environment variables in a text.

    Tracebacks and messages of other libraries may quote a key; what is logged must not.

    Args:
        text: Any text that will be stored or shown.
        template: What stands in place of a value; ``{name}`` is its variable.

    Returns:
        The text with each secret value of eight or more characters replaced by its variable's name, and without
        user names and passwords in addresses, also in those of their queries.
    """
    for name, value in os.environ.items():
        if len(value) >= 8 and is_secret(name) and value in text:
            text = text.replace(value, template.format(name=name))
    return _IN_QUERY.sub(r"\1<credentials>", _CREDENTIALS.sub("://<credentials>@", text))
