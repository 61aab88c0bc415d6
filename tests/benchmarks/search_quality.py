"""How soon a search finds what is good: on tables of all scores of a space, one trial at a time, without Ray.

A table has a row for each configuration; columns that hold numbers only are numbers. Normalised regret is
(best - found) / (best - median), of the best found so far, its figure the mean over seeds and groups. Trials to within
1% are those until 0.99 x best or more is found, the number of trials + 1 if it never is; their figure is the median
over seeds, of that the mean over groups. ``greedy`` is a name here only: from a configuration at random, one parameter
after the other in reverse order of --params, then at random.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import common

from raytuner.errors import SearchError
from raytuner.search import algorithm, make_searcher
from raytuner.search.basic import PointSearcher
from raytuner.search.guard import Guard
from raytuner.search.task import Task
from raytuner.space import Raw, SearchSpace

AFTER = (5, 10, 20)
GREEDY = "greedy"
LIMITS = {"regret_10": 0.10, "regret_20": 0.02, "to_1pct": 10}

Point = tuple[Any, ...]


class Table(NamedTuple):
    """All scores of a space.

    Attributes:
        space: The space.
        scores: The score of each configuration, by its values in the order of the space's parameters.
    """

    space: SearchSpace
    scores: dict[Point, float]


class Run(NamedTuple):
    """One search.

    Attributes:
        regrets: The normalised regret after each trial.
        to_1pct: Trials to within 1% of the best.
    """

    regrets: list[float]
    to_1pct: int

    def after(self, trials: int) -> float:
        """The regret after so many trials, or after the last one."""
        return self.regrets[min(trials, len(self.regrets)) - 1]


class Greedy(PointSearcher):
    """One parameter after the other in reverse order, then at random."""

    def __init__(self, task: Task) -> None:
        self._rng = random.Random(task.seed)
        self._space = task.space
        self._best: tuple[float, Raw] | None = None
        self._open: dict[str, Raw] = {}
        super().__init__(self._walk(), task)

    def suggest(self, trial_id: str) -> Any:
        self._open[trial_id] = raw = super().suggest(trial_id)
        return raw

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        raw = self._open.pop(trial_id)
        if result is not None and (self._best is None or result[self.metric] > self._best[0]):
            self._best = result[self.metric], raw

    def _walk(self) -> Iterator[Raw]:
        yield self._space.draw(self._rng)
        for name, parameter in reversed(self._space.parameters.items()):
            assert self._best is not None
            start = self._best[1]
            yield from ({**start, name: value} for value in parameter.raw_values() if value != start[name])
        yield from iter(lambda: self._space.draw(self._rng), None)


def read(path: Path, group: str, params: Sequence[str], metric: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of each group, with numbers where a column holds numbers only."""
    with path.open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    missing = [name for name in (group, *params, metric) if not rows or name not in rows[0]]
    if missing:
        there = ", ".join(rows[0]) if rows else "no rows"
        raise ValueError(f"{path.name} has no column {missing[0]!r}; it has {there}")
    for name in (*params, metric):
        numbers = [_number(row[name]) for row in rows]
        if None not in numbers:
            for row, number in zip(rows, numbers, strict=True):
                row[name] = number
        elif name == metric:
            raise ValueError(f"column {metric!r} holds {rows[numbers.index(None)][name]!r}, which is not a number")
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row[group], []).append(row)
    return groups


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def table(rows: Sequence[Mapping[str, Any]], params: Sequence[str], metric: str) -> Table:
    """The table of one group; combinations without a row are not in its space."""
    scores = {tuple(row[name] for name in params): float(row[metric]) for row in rows}
    if len(scores) < len(rows):
        repeated = len(rows) - len(scores)
        raise ValueError(f"{repeated} rows repeat a combination of {', '.join(params)}; name all parameters")
    values = {name: _ordered(list(dict.fromkeys(row[name] for row in rows))) for name in params}

    def known(configuration: Mapping[str, Any]) -> None:
        if tuple(configuration[name] for name in params) not in scores:
            raise SearchError("the table has no such row")

    full = len(scores) == sum(1 for _ in itertools.product(*values.values()))
    return Table(SearchSpace.from_dict(values, None if full else known), scores)


def _ordered(values: list[Any]) -> list[Any]:
    return sorted(values) if all(isinstance(value, float) for value in values) else values


def searcher(name: str, table: Table, seed: int, trials: int) -> Guard:
    if name == GREEDY:
        task = Task(table.space, "score", "max", seed, (), trials)
        return Guard(table.space, Greedy(task), "score", "max", trials=trials, seed=seed)
    made: Guard = make_searcher(name, table.space, "score", "max", seed, trials=trials)
    return made


def run(name: str, table: Table, seed: int, trials: int) -> Run:
    """Search a table."""
    made = searcher(name, table, seed, trials)
    best, median = max(table.scores.values()), statistics.median(table.scores.values())
    found = -float("inf")
    regrets: list[float] = []
    to_1pct = trials + 1
    while isinstance(suggested := made.suggest(str(len(regrets))), dict):
        configuration = table.space.decode(suggested["point"])
        score = table.scores[tuple(configuration[name] for name in table.space.parameters)]
        made.on_trial_complete(str(len(regrets)), {"score": score, "training_iteration": 1})
        found = max(found, score)
        regrets.append((best - found) / (best - median) if best > median else 0.0)
        if found >= best - 0.01 * abs(best):
            to_1pct = min(to_1pct, len(regrets))
    return Run(regrets, to_1pct)


def figures(runs: Sequence[Sequence[Run]]) -> dict[str, float]:
    """The figures of an algorithm.

    Args:
        runs: For each table the searches of all seeds.
    """
    regrets = {
        f"regret_{after}": statistics.mean(one.after(after) for seeds in runs for one in seeds) for after in AFTER
    }
    return {**regrets, "to_1pct": statistics.mean(statistics.median(one.to_1pct for one in seeds) for seeds in runs)}


def arguments() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = common.parser(__doc__)
    parser.add_argument("--table", type=Path, required=True, metavar="CSV", help="a row for each configuration")
    parser.add_argument("--group", required=True, metavar="COLUMN", help="the rows of each of its values are a table")
    parser.add_argument("--groups", metavar="A,B", help="some values of that column; by default all")
    parser.add_argument("--params", required=True, metavar="A,B,C", help="the columns that are parameters")
    parser.add_argument("--metric", required=True, metavar="COLUMN", help="the score; more is better")
    parser.add_argument("--search", default="auto,optuna,random", metavar="A,B", help="algorithms; also greedy")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=20)
    return parser, parser.parse_args()


def main() -> None:
    parser, args = arguments()
    names, params = args.search.split(","), args.params.split(",")
    if args.trials < 1 or args.seeds < 1:
        parser.error("--trials and --seeds must be at least 1")
    try:
        for name in names:
            if name != GREEDY:
                algorithm(name)
        groups = read(args.table, args.group, params, args.metric)
        wanted = args.groups.split(",") if args.groups else list(groups)
        unknown = [group for group in wanted if group not in groups]
        if unknown:
            parser.error(f"{args.group} has no {unknown[0]!r}; it has {', '.join(groups)}")
        tables = [table(groups[group], params, args.metric) for group in wanted]
    except (OSError, ValueError, SearchError) as error:
        parser.error(str(error))
    result = {
        name: figures([[run(name, one, seed, args.trials) for seed in range(args.seeds)] for one in tables])
        for name in names
    }
    rows = []
    for name, found in result.items():
        for figure, value in found.items():
            limit = LIMITS.get(figure) if name == "auto" else None
            label = f"{name} {figure}"
            rows.append(common.Row(label, f"{value:.3f}") if limit is None else common.at_most(label, value, limit))
    common.show(args, f"{len(tables)} tables of {args.metric}, {args.seeds} seeds", rows, result)


if __name__ == "__main__":
    main()
