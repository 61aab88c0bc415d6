"""Where a service is and which key it gets: a key goes to nobody the user has not named for it."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from urllib.parse import urlsplit, urlunsplit

from raytuner.errors import ModelError
from raytuner.models.spec import ModelSpec

KEY = "OPENAI_API_KEY"
DEFAULT_URL = "https://api.openai.com/v1"
NO_KEY = "none"
"""Sent where no key is: clients refuse an empty one."""

_PLAIN_URL = re.compile(r"https?://[^\s\\@/?#]+(/[^\s\\?#]*)?")


def base_url(spec: ModelSpec) -> str:
    """Find the address: the config's, else ``OPENAI_BASE_URL``, ``OPENAI_API_BASE`` or OpenAI's own."""
    return spec.base_url or environment_url()


def environment_url() -> str:
    """The address that the environment names, else OpenAI's own."""
    return os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_BASE") or DEFAULT_URL


def public_url(spec: ModelSpec) -> str:
    """The address of a service, fit for keys and logs."""
    return without_credentials(base_url(spec))


def without_credentials(url: str) -> str:
    """An address without user name, password and query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


def key_variable(spec: ModelSpec) -> str | None:
    """The variable whose value the service gets; None if it gets no key.

    An address from a config gets none unless the config names one, since the config may be a stranger's.
    """
    if spec.api_key_env is not None:
        return spec.api_key_env
    return KEY if spec.kind == "openai" and spec.base_url is None else None


def has_key(spec: ModelSpec) -> bool:
    """Say whether the key is set, or none is needed."""
    variable = key_variable(spec)
    return variable is None or bool(os.environ.get(variable))


def key(spec: ModelSpec) -> str:
    """Read the key; `NO_KEY` if the service gets none.

    Raises:
        ModelError: The variable is not set.
    """
    variable = key_variable(spec)
    if variable is None:
        return NO_KEY
    if not has_key(spec):
        raise ModelError(f"model {spec.name!r} needs a key: set the environment variable {variable}{similar(variable)}")
    return os.environ[variable]


def similar(variable: str) -> str:
    """A clause that names the variable that was probably meant, if one that is set is called nearly the same."""
    names = [name for name, value in os.environ.items() if value]
    close = difflib.get_close_matches(variable, names, n=1, cutoff=0.8)
    return f"; did you mean {close[0]}, which is set?" if close else ""


def check(spec: ModelSpec) -> None:
    """Refuse an address that cannot be used, or that must not get the key that the config names.

    Raises:
        ModelError: With the setting and the fix.
    """
    if spec.kind == "openai-like" and spec.base_url is None:
        raise ModelError(
            f"model {spec.model!r} needs its address: write "
            f"models: {{NAME: {{model: {spec.model!r}, base_url: http://HOST:PORT/v1}}}} and use NAME"
        )
    if spec.base_url is None:
        return
    if not _PLAIN_URL.fullmatch(spec.base_url) or not _has_place(spec.base_url):
        raise ModelError(
            f"models.{spec.name}.base_url must be like https://HOST:PORT/v1, without user name, password or query; "
            "name the variable of a key by api_key_env"
        )
    if spec.api_key_env == KEY and not _is_trusted(spec.base_url):
        raise ModelError(
            f"models.{spec.name}: {KEY} is not sent to {urlsplit(spec.base_url).hostname}: put the key for that "
            f"service into a variable of its own and name it by api_key_env, or set OPENAI_BASE_URL to its address"
        )


def _has_place(url: str) -> bool:
    """Whether host and port can be read out of an address."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_trusted(url: str) -> bool:
    """Whether the user's OpenAI key may go there: OpenAI, this machine, or the environment's own address."""
    place = urlsplit(url)[:2]  # scheme, host and port: never in clear text where it was encrypted
    return place in (urlsplit(DEFAULT_URL)[:2], urlsplit(environment_url())[:2]) or is_loopback_url(url)


def is_openais(spec: ModelSpec) -> bool:
    """Whether a model is where OpenAI's are: the address that the user's own environment names, or OpenAI's."""
    if spec.base_url is None:
        return spec.kind == "openai"
    return urlsplit(spec.base_url)[:2] == urlsplit(DEFAULT_URL)[:2]


def is_loopback_url(url: str) -> bool:
    """Whether an address is on this machine."""
    return is_loopback(urlsplit(url).hostname or "")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
