"""Progress of a search: a live table on a terminal and in a notebook, short plain lines otherwise."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, TextIO

from raytuner import html
from raytuner.goals import shown
from raytuner.study import Listener, Study, Trial

PLAIN_EVERY_S = 10.0
NOTEBOOK_EVERY_S = 0.25
ESTIMATED_FROM = 3  # the first trials load models and build what the later ones share


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


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
            if best := study.best:
                progress.set_postfix(
                    {f"best {goal.metric}": f"{best.metrics[goal.metric]:.4g}" for goal in study.goals}
                )

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
        self._cell: Any = None
        self._shown = 0.0

    def __enter__(self) -> Progress:
        if self._quiet:
            return self
        if in_notebook():
            from IPython.display import HTML, display

            self._cell = display(HTML(""), display_id=True)
        elif self._stream.isatty() and not os.environ.get("NO_COLOR"):  # a live table moves the cursor by escapes
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
        elif self._cell is not None:
            self._show_in_cell(study, trial)
        elif trial.finished and (time.monotonic() - self._shown > PLAIN_EVERY_S or self._is_last(study)):
            self._shown = time.monotonic()
            print(self._line(study), file=self._stream, flush=True)

    def _show_in_cell(self, study: Study, trial: Trial) -> None:
        from IPython.display import HTML

        if trial.finished or time.monotonic() - self._shown > NOTEBOOK_EVERY_S:
            self._shown = time.monotonic()
            head, rows = self._cells(study)
            self._cell.update(HTML(html.table(head, rows, below=self._line(study))))

    def _is_last(self, study: Study) -> bool:
        return study.ended == self._total

    def _facts(self, study: Study) -> dict[str, str]:
        done = study.ended
        best = study.best
        values = [shown(best.metrics[goal.metric]) for goal in study.goals] if best else []
        facts = {
            "best": f"{' / '.join(values)} (trial {best.number})" if best else "-",
            "done": f"{done}/{self._total}" if self._total else str(done),
            "running": str(len(study.running)),
            **({"stopped": str(len(study.stopped))} if study.stopped else {}),
            "failed": str(len(study.failed)),
        }
        if self._total and done >= ESTIMATED_FROM:
            facts["left"] = f"{study.seconds / done * (self._total - done):.0f} s"
        return facts

    def _line(self, study: Study) -> str:
        facts = self._facts(study)
        return f"{' / '.join(goal.metric for goal in study.goals)} " + ", ".join(
            f"{name} {value}" for name, value in facts.items()
        )

    def _table(self, study: Study) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        head, rows = self._cells(study)
        for column in head:
            table.add_column(column)
        for row in rows:
            table.add_row(*row)
        facts = "   ".join(f"{name} {value}" for name, value in self._facts(study).items())
        return Group(table, Text(facts, style="bold"))

    def _cells(self, study: Study) -> tuple[list[str], list[list[str]]]:
        """The head and the rows of the table: the best trials and those that run."""
        names = sorted({name for trial in study.trials.values() for name in trial.shown})
        rows = []
        metrics = [goal.metric for goal in study.goals]
        best = study.best
        for trial in [*study.scored[:3], *study.running]:
            state = "best" if trial is best else "" if trial.finished else f"{len(trial.questions)} questions"
            values = [str(trial.shown.get(name, "")) for name in names]
            scores = ["-" if name not in trial.metrics else shown(trial.metrics[name]) for name in metrics]
            rows.append([str(trial.number), *values, *scores, state])
        return ["trial", *names, *metrics, ""], rows
