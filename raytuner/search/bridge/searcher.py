"""A searcher whose model lives in a child process."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raytuner.errors import SearchError
from raytuner.search.ask_tell import AskTellSearcher
from raytuner.search.bridge.process import Child, ChildError
from raytuner.search.task import MAX_SEED, Task
from raytuner.space import Choice, Parameter, Range, Raw

START_TIMEOUT_S = 300.0
"""For importing the library, which takes long where its files have not been read before."""
TELL_TIMEOUT_S = 60.0
"""For taking a result."""
MAX_CRASHES = 3
"""After so many failures of the child without a suggestion between them the search ends."""
CHILD, LIBRARIES = Path(__file__).with_name("child.py"), Path(__file__).with_name("libraries.py")

_log = logging.getLogger("raytuner")


class BridgeSearcher(AskTellSearcher):
    """Asks a child process for points and tells it their results.

    A child that dies, is late or answers nonsense is replaced by a new one that is told everything anew. It ends with
    this object and with this process.

    Args:
        system: A name in the child's table of systems.
        python: The Python of the environment.
        task: What is searched; a parameter with a single value is not the library's to choose.
        options: Of the library.
        timeout: Seconds for a suggestion.
        libraries: The file with the table of systems.

    Raises:
        SearchError: The child cannot be started, or refuses an option.
    """

    def __init__(
        self,
        system: str,
        python: Path | str,
        task: Task,
        *,
        options: Mapping[str, Any],
        timeout: float,
        libraries: Path = LIBRARIES,
    ) -> None:
        super().__init__(task)
        self._system = system
        self._command = [str(python), str(CHILD), str(libraries)]
        parameters = task.space.parameters.items()
        self._varied = {name: entry for name, entry in parameters if entry.size() != 1}
        self._fixed = {name: entry.first() for name, entry in parameters if entry.size() == 1}
        self._start = {
            "op": "start",
            "system": system,
            "space": [described(entry) for entry in self._varied.values()],
            "options": dict(options),
        }
        self._seed = task.seed
        self._timeout = timeout
        self._told: list[tuple[list[Any], float | None]] = []
        self._pending: list[list[Any]] = []
        self._asked: list[Any] | None = None
        self._lock = threading.RLock()
        self._child: Child | None = None
        try:
            self._running()
        except ChildError as error:
            raise SearchError(
                f"the environment of search {system!r} does not work: {error}; "
                f"make it anew by `raytuner algorithms --install {system}`"
            ) from None

    def suggest(self, trial_id: str) -> Any:
        """The next point; threads take turns."""
        with self._lock:
            return super().suggest(trial_id)

    def ask(self) -> Any:
        """The next point.

        Raises:
            SearchError: The child failed `MAX_CRASHES` times.
        """
        with self._lock:
            for crash in range(MAX_CRASHES):
                try:
                    point = self._running().call({"op": "ask"}, self._timeout).get("point")
                    raw = self._decoded(point)
                except ChildError as error:
                    reason = str(error)
                    _log.warning("search %s: attempt %d: %s", self._system, crash + 1, reason)
                    self._end_child()
                    continue
                self._asked = point
                return raw
            raise SearchError(
                f"search {self._system!r} failed {MAX_CRASHES} times, the last time since {reason}; use another search"
            )

    def expect(self, raw: Raw) -> None:
        """Take note of a point that is evaluated now: as it was asked for, in place of that, or given beforehand."""
        with self._lock:
            point, asked = self._encoded(raw), self._asked
            self._asked = None
            self._pending.append(point)
            if point != asked:
                self._tell({"op": "pending", "point": point, "instead": asked})

    def tell(self, raw: Raw, loss: float | None) -> None:
        """Tell a score, or that there is none."""
        with self._lock:
            point = self._encoded(raw)
            if point in self._pending:
                self._pending.remove(point)
            self._told.append((point, loss))
            self._tell({"op": "tell", "point": point, "loss": loss})

    def close(self) -> None:
        """End the child; the next suggestion would start another one."""
        with self._lock:
            self._end_child()

    def _tell(self, request: dict[str, Any]) -> None:
        """Tell the child, if there is one; the next one is told everything when it starts."""
        if self._child is None:
            return
        try:
            self._child.call(request, TELL_TIMEOUT_S)
        except ChildError as error:
            _log.warning("search %s: %s", self._system, error)
            self._end_child()

    def _running(self) -> Child:
        """The child; a new one is told what is known so far."""
        if self._child is None:
            child = Child(self._command)
            self._finalizer = weakref.finalize(self, child.close, at_once=True)
            self._child = child
            known = {"told": self._told, "pending": self._pending}
            # With the same one, a new child would begin with the same points.
            seed = (self._seed + len(self._told)) % (MAX_SEED + 1)
            try:
                child.call({**self._start, **known, "seed": seed}, START_TIMEOUT_S)
            except ChildError:
                self._end_child()
                raise
        return self._child

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.close(at_once=True)
            self._finalizer.detach()
            self._child = None

    def _encoded(self, raw: Raw) -> list[Any]:
        return [
            entry.position(raw[name]) if isinstance(entry, Choice) else raw[name]
            for name, entry in self._varied.items()
        ]

    def _decoded(self, point: Any) -> Raw:
        """The raw sample for a point; the child is not trusted to send one."""
        if not isinstance(point, list) or len(point) != len(self._varied):
            raise ChildError(f"it suggested {str(point)[:60]}, which is no point of the space")
        return {
            **self._fixed,
            **{name: _value(entry, value) for (name, entry), value in zip(self._varied.items(), point, strict=True)},
        }


def _value(entry: Parameter, value: Any) -> Any:
    bounds = described(entry)
    low, high = (0, bounds["size"] - 1) if bounds["kind"] == "choice" else (bounds["low"], bounds["high"])
    kinds = (int, float) if bounds["kind"] == "float" else (int,)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        raise ChildError(f"it suggested {str(value)[:60]}, which is not in {low}..{high}")
    return entry.labels[int(value)] if isinstance(entry, Choice) else value


def described(entry: Parameter) -> dict[str, Any]:
    """A parameter as the child knows it: a choice by its number of values, a stepped range by that of its steps."""
    if isinstance(entry, Choice):
        return {"kind": "choice", "size": len(entry.labels)}
    assert isinstance(entry, Range)  # the registry lets no other through
    if entry.indexed:
        return {"kind": "int", "low": 0, "high": (entry.size() or 1) - 1, "log": False}
    if entry.integer and entry.step == 1:
        return {"kind": "int", "low": int(entry.low), "high": int(entry.high), "log": True}
    return {"kind": "float", "low": float(entry.low), "high": float(entry.high), "log": entry.log}
