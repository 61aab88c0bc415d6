"""The job server of a Ray cluster: is it one, who may use it, and is it of our version?"""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from raytuner.errors import ClusterError, in_a_line, quoted, redact
from raytuner.ray_access import check_private

DASHBOARD_PORT = 8265
DEFAULT_ADDRESS = f"http://127.0.0.1:{DASHBOARD_PORT}"
VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Ray's own variables; its client prefers them to the address that it is given."""
ANSWER_S = 8.0
"""So long one answer is waited for; sending a package may take longer."""
UNAUTHORIZED = 401
ASKS_FOR_TOKEN = "authentication token"  # noqa: S105 - what Ray says; others that want a password say other things
CHATTY = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
"""Parts of Ray that say something of each package and connection."""
GIVE_TOKEN = "give the cluster's token by RAY_AUTH_TOKEN, or its file by RAY_AUTH_TOKEN_PATH"  # noqa: S105 - a hint


class Cluster(NamedTuple):
    """A job server that answers.

    Attributes:
        address: Its address.
        client: Ray's ``JobSubmissionClient``, connected.
        protected: Whether it refuses requests without the cluster's token.
        python: The version of its Python, if it says it.
    """

    address: str
    client: Any
    protected: bool
    python: str | None = None


def connect(address: str | None = None) -> Cluster:
    """Connect to the job server of a cluster.

    Args:
        address: Its address, ``http://HOST:8265``; by default ``RAY_API_SERVER_ADDRESS``, ``RAY_ADDRESS`` if it is such
            an address, or that of this machine.

    Raises:
        ClusterError: Nobody answers, something else does, the token is missing or wrong, or Ray's version is another.
    """
    address = _checked(address or _from_environment())
    token = None
    status, answer = _asked(address, token)
    protected = status == UNAUTHORIZED and ASKS_FOR_TOKEN in answer.get("text", "")
    if protected:
        token = _token(address)
        status, answer = _asked(address, token)
    if protected and status in (UNAUTHORIZED, 403):
        raise ClusterError(f"{address}: the cluster refuses the token; {GIVE_TOKEN}")
    if status != 200 or "ray_version" not in answer:
        raise ClusterError(
            f"{address}: what answers there is no job server of Ray (status {status}); name the address of "
            "its dashboard, e.g. http://HOST:8265"
        )
    _check_version(address, answer["ray_version"])
    return Cluster(address, _client(address, token), protected, _python(address, token))


def server_of(client_address: str) -> str:
    """The job server of a cluster that is given by the address of its Ray Client, ``ray://HOST:PORT``.

    It is where ``RAY_API_SERVER_ADDRESS`` says, else at the port of Ray's dashboards on the same host.
    """
    host = client_address.removeprefix("ray://").rpartition(":")[0]
    return os.environ.get(VARIABLES[0]) or f"http://{host}:{DASHBOARD_PORT}"


def _from_environment() -> str:
    given = [value for name in VARIABLES if "://" in (value := os.environ.get(name, ""))]
    return given[0] if given else DEFAULT_ADDRESS


def _checked(address: str) -> str:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(address)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port
        valid = False
    if valid and parts.username is not None:
        raise ClusterError(f"address ...@{parts.hostname}: job servers take no password but a token; {GIVE_TOKEN}")
    if not valid:
        raise ClusterError(
            f"address {quoted(redact(address))}: that is no address of a job server; write http://HOST:8265, the "
            "address of the cluster's dashboard"
        )
    return address.rstrip("/")


def _python(address: str, token: str | None) -> str | None:
    """The version of Python on the head; None where the job server does not say it."""
    try:
        _, answer = _asked(address, token, "/api/v0/cluster_metadata")
    except ClusterError:
        return None
    data = answer.get("data")
    found = data.get("pythonVersion") if isinstance(data, dict) else None
    return found if isinstance(found, str) else None


def _asked(address: str, token: str | None, path: str = "/api/version") -> tuple[int, dict[str, Any]]:
    """Ask for something, such as the version of Ray: the status, and the answer; of one that is no JSON its text."""
    import httpx

    try:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        reply = httpx.get(f"{address}{path}", headers=headers, timeout=ANSWER_S / 2)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        raise _unreachable(address, error) from None
    try:
        answer = reply.json()
    except ValueError:
        answer = None
    return reply.status_code, answer if isinstance(answer, dict) else {"text": reply.text}


def _unreachable(address: str, error: BaseException) -> ClusterError:
    reason = in_a_line(error).partition(": ")[2] or type(error).__name__
    return ClusterError(
        f"{address}: no job server answers there ({reason}); check the address, that the head runs with ray[default], "
        "and that its port is open to this machine"
    )


def _token(address: str) -> str:
    """The cluster's token, from where Ray looks for it too."""
    if given := os.environ.get("RAY_AUTH_TOKEN"):
        return given.strip()
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named).expanduser() if named else Path.home() / ".ray" / "auth_token"
    try:
        check_private(path)
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        if named:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise ClusterError(f"RAY_AUTH_TOKEN_PATH {named}: {reason}; name the file with the token") from None
    raise ClusterError(f"{address}: the cluster wants a token, and there is none here; {GIVE_TOKEN}")


def _check_version(address: str, theirs: str) -> None:
    import ray

    if theirs != ray.__version__:
        raise ClusterError(
            f"{address}: the cluster runs Ray {theirs}, here is Ray {ray.__version__}; install that of the cluster: "
            f"pip install 'ray[default,tune]=={theirs}'"
        )


def check_python(cluster: Cluster) -> None:
    """Refuse a cluster whose Python is not ours: what is packed for one may not run in another.

    Raises:
        ClusterError: With both versions.
    """
    here = platform.python_version()
    if cluster.python is not None and cluster.python.split(".")[:2] != here.split(".")[:2]:
        raise ClusterError(
            f"{cluster.address}: the cluster runs Python {cluster.python}, here is Python {here}; submit with Python "
            f"{'.'.join(cluster.python.split('.')[:2])}"
        )


def _client(address: str, token: str | None) -> Any:
    """Ray's client for that address and no other, which waits for no answer for ever."""
    try:
        from ray.job_submission import JobSubmissionClient

        class Client(JobSubmissionClient):  # type: ignore[misc, unused-ignore]
            def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
                timeout = (ANSWER_S, ANSWER_S if method == "GET" else 600.0)
                return super()._do_request(method, endpoint, **{"timeout": timeout, **options})

        for name in CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
        with _without(VARIABLES):
            # An empty header where none is asked for, or Ray sends the token that it finds here.
            return Client(address, headers={"Authorization": "" if token is None else f"Bearer {token}"})
    except OSError as error:  # those of requests are such
        raise _unreachable(address, error) from None
    except (ImportError, RuntimeError) as error:
        raise ClusterError(
            f"Ray's client for jobs cannot be used ({in_a_line(error)}); pip install 'raytuner[cluster]'"
        ) from None


@contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    """Environment variables taken away for a time."""
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)


@contextmanager
def answered(address: str) -> Iterator[None]:
    """Say in one line what goes wrong with a request to a job server."""
    import requests
    from ray.exceptions import AuthenticationError

    try:
        yield
    except requests.RequestException as error:
        raise _unreachable(address, error) from None
    except AuthenticationError:  # it was taken when we connected
        raise ClusterError(f"{address}: the cluster refuses the token now; {GIVE_TOKEN}") from None
    except RuntimeError as error:  # what Ray's client makes of other answers; their tracebacks end with the reason
        lines = str(error).strip().rstrip(".").splitlines() or [type(error).__name__]
        raise ClusterError(f"{address}: the job server answers: {redact(lines[-1])[:300]}") from None
