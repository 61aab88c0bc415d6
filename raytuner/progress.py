"""Progress of a search: a live table on a terminal, short plain lines otherwise."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

from raytuner.study import Listener, Study, Trial

PLAIN_EVERY_S = 10.0
ESTIMATED_FROM = 3  # the first trials load models and build what the later ones share


def bar(total: int | None) -> Listener:
    """A one-line progress bar on stderr, by tqdm as in LlamaIndex's tuners.

    Args:
        total: How many trials there will be, if that is known.
    """
    from tqdm.auto import tqdm

    progress: Any = tqdm(total=total, desc="Param combinations")

    def show(study: Study, trial: Trial) -> None:
        if trial.finished:
            progress.update(1)
            if study.scored:
                progress.set_postfix({f"best {study.metric}": f"{study.scored[0].metrics[study.metric]:.4g}"})

    return show


class Progress:
    """Shows a running search.

    Args:
        total: How many trials there will be, if that is known.
        quiet: Whether to show nothing.
        stream: Where to write; stderr by default.
    """

    def __init__(self, total: int | None, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._total = total
        self._quiet = quiet
        self._stream = stream or sys.stderr
        self._live: Any = None
        self._shown = 0.0

    def __enter__(self) -> Progress:
        if not self._quiet and self._stream.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(file=self._stream), refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, study: Study, trial: Trial) -> None:
        """Take in a change of the study."""
        if self._quiet:
            return
        if self._live is not None:
            self._live.update(self._table(study))
        elif trial.finished and (time.monotonic() - self._shown > PLAIN_EVERY_S or self._is_last(study)):
            self._shown = time.monotonic()
            print(self._line(study), file=self._stream, flush=True)

    def _is_last(self, study: Study) -> bool:
        return len(study.scored) + len(study.failed) == self._total

    def _facts(self, study: Study) -> dict[str, str]:
        done = len(study.scored) + len(study.failed)
        best = study.scored[0] if study.scored else None
        facts = {
            "best": f"{best.metrics[study.metric]:.4f} (trial {best.number})" if best else "-",
            "done": f"{done}/{self._total}" if self._total else str(done),
            "running": str(len(study.running)),
            "failed": str(len(study.failed)),
        }
        if self._total and done >= ESTIMATED_FROM:
            facts["left"] = f"{study.seconds / done * (self._total - done):.0f} s"
        return facts

    def _line(self, study: Study) -> str:
        facts = self._facts(study)
        return f"{study.metric} " + ", ".join(f"{name} {value}" for name, value in facts.items())

    def _table(self, study: Study) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        names = sorted({name for trial in study.trials.values() for name in trial.params})
        for column in ("trial", *names, study.metric, ""):
            table.add_column(column)
        leaders = study.scored[:3]
        for trial in [*leaders, *study.running]:
            score = trial.metrics.get(study.metric)
            state = (
                "best"
                if leaders and trial is leaders[0]
                else ""
                if trial.finished
                else f"{len(trial.questions)} questions"
            )
            values = [str(trial.params.get(name, "")) for name in names]
            table.add_row(str(trial.number), *values, "-" if score is None else f"{score:.4f}", state)
        facts = "   ".join(f"{name} {value}" for name, value in self._facts(study).items())
        return Group(table, Text(facts, style="bold"))
