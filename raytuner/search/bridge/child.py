"""Runs one optimisation library for a parent process; a script that imports nothing of raytuner.

Its argument is a Python file whose ``SYSTEMS`` has a class for each library, as `libraries` describes it; an exception
of that file's ``OptionError`` is one of the user's.

Each line on stdin is a request, a JSON object with an ``id``, each line on the former stdout its reply with the same
``id``: ``{"id", "point"}``, ``{"id", "ok": true}``, ``{"id", "error"}``, or ``{"id", "mistake"}`` about an option.

- ``{"op": "start", "system", "space", "seed", "options", "told", "pending"}``: once, first. A parameter of the space is
  ``{"kind": "choice", "size"}`` or ``{"kind": "int" or "float", "low", "high", "log"}``; a point is a list with a value
  for each, of a choice its position. ``told`` has pairs of a point and its loss, ``pending`` points without one yet.
- ``{"op": "ask"}``: a point to evaluate next; it is pending from then on.
- ``{"op": "pending", "point", "instead"}``: a point that is being evaluated without having been asked for, in place of
  one that was, unless that is null.
- ``{"op": "tell", "point", "loss"}``: the loss of a point, asked for or not; null if it failed.

It ends when stdin does, whatever it is doing: that is how it notices that its parent is gone.
"""

from __future__ import annotations

import json
import math
import os
import queue
import runpy
import sys
import threading
import warnings
from dataclasses import dataclass, field
from typing import Any

MAX_LINE = 2**20
"""The most bytes of a line, both ways."""

Space = list[dict[str, Any]]
Point = list[Any]


@dataclass
class Known:
    """What is known of the points.

    Attributes:
        told: The points that were evaluated, with their loss; None if they failed.
        pending: The points that are being evaluated.
    """

    told: list[tuple[Point, float | None]] = field(default_factory=list)
    pending: list[Point] = field(default_factory=list)

    def losses(self, *, pending: bool) -> list[tuple[Point, float]]:
        """The points with a loss: of one that failed the worst seen; none at all as long as none is known.

        Args:
            pending: With the pending ones, their loss taken for the mean ("constant liar"; Ginsbourger, Le Riche,
                Carraro: Kriging is well-suited to parallelize optimization, 2010, section 3.3).
        """
        losses = [loss for _, loss in self.told if loss is not None]
        if not losses:
            return []
        mean, worst = math.fsum(losses) / len(losses), max(losses)
        told = [(point, worst if loss is None else loss) for point, loss in self.told]
        return [*told, *((point, mean) for point in self.pending)] if pending else told


def plain(value: Any, entry: dict[str, Any]) -> Any:
    """A value as a number of Python, within its bounds."""
    if entry["kind"] == "choice":
        return min(max(round(float(value)), 0), entry["size"] - 1)
    value = min(max(float(value), entry["low"]), entry["high"])
    return round(value) if entry["kind"] == "int" else value


class Session:
    """Answers requests.

    Args:
        systems: The libraries by name.
        mistake: What they raise for an option that the user can mend.
    """

    def __init__(self, systems: dict[str, Any], mistake: type[Exception]) -> None:
        self.systems = systems
        self.mistake = mistake
        self.library: Any = None
        self.space: Space = []
        self.known = Known()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to a request; an error of the library's is one of the reply."""
        try:
            return {"id": request["id"], **self._answer(request)}
        except self.mistake as error:
            return {"id": request["id"], "mistake": str(error)}
        except Exception as error:  # whatever the library raises is for the parent to judge
            return {"id": request.get("id"), "error": f"{type(error).__name__}: {error}"[:500]}

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["op"] == "ask":
            return {"point": self._ask()}
        if request["op"] == "start":
            self._start(request)
        elif request["op"] == "pending":
            if request["instead"] in self.known.pending:
                self.known.pending.remove(request["instead"])
            self.known.pending.append(request["point"])
        else:
            self._tell(request["point"], request["loss"])
        return {"ok": True}

    def _start(self, request: dict[str, Any]) -> None:
        self.space = request["space"]
        self.library = self.systems[request["system"]](self.space, request["seed"], request["options"])
        for point, loss in request["told"]:
            self._tell(point, loss)
        self.known.pending += request["pending"]

    def _ask(self) -> Point:
        suggested = self.library.suggest(self.known)
        point = [plain(value, entry) for value, entry in zip(suggested, self.space, strict=True)]
        self.known.pending.append(point)
        return point

    def _tell(self, point: Point, loss: float | None) -> None:
        if point in self.known.pending:
            self.known.pending.remove(point)
        self.known.told.append((point, loss))
        self.library.tell(self.known, point, loss)


def read_requests(requests: queue.Queue[bytes]) -> None:
    """Read lines as long as there are any, then end the process, even in the middle of a suggestion."""
    while line := sys.stdin.buffer.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            sys.stderr.write(f"a request has more than {MAX_LINE} bytes\n")
            sys.stderr.flush()
            break
        requests.put(line)
    os._exit(0)


def refuse_network(event: str, _arguments: Any) -> None:
    """Nothing here needs a network."""
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto"):
        raise PermissionError(f"{event} is not allowed in this process")


class NoOptionError(Exception):
    """Stands for that of a file which has none."""


def main(path: str) -> None:
    """Answer requests until stdin ends.

    Args:
        path: The file of the libraries.
    """
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what libraries print must not come between the replies
    sys.path.pop(0)  # the folder of this script is none of the library's
    warnings.simplefilter("ignore")
    sys.addaudithook(refuse_network)
    requests: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=read_requests, args=(requests,), daemon=True).start()
    libraries = runpy.run_path(path)
    session = Session(libraries["SYSTEMS"], libraries.get("OptionError", NoOptionError))
    while True:
        line = json.dumps(session.answer(json.loads(requests.get())), allow_nan=False) + "\n"
        replies.write(line.encode())


if __name__ == "__main__":
    main(sys.argv[1])
