"""How few questions decide: racing and other schedulers, replayed on the scores of all configurations.

96 configurations with wordllama are scored once on all questions of a folder like chroma-chunking (about a minute, with
the usual cache). Then each rule searches on these scores, with 50 shuffles of the questions. ``share`` is the part of
all (configuration, question) pairs that was evaluated; ``gap`` by how much the mean of the configuration that was
picked is below the best of all 96, as a part of that. Mode ``grid`` is all configurations at once, or for rules that
compare one by one in random order; mode ``search`` is 40 trials of Optuna's estimator and of auto.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import common
import numpy as np

from raytuner import RagObjective, datasets
from raytuner.datasets import Question
from raytuner.datasets.blocks import blocks, stratified_order
from raytuner.documents.load import load_documents
from raytuner.goals import Goal
from raytuner.schedulers import make_rule
from raytuner.schedulers.batch import Batch, BatchRace, Halving
from raytuner.schedulers.rule import Rule
from raytuner.search import make_searcher
from raytuner.space import SearchSpace
from raytuner.values import Values

SPACE: dict[str, Any] = {
    "chunk_size": [64, 128, 256, 512],
    "chunk_overlap": [0, 0.25],
    "retriever": ["bm25", "vector", "hybrid"],
    "top_k": [1, 3, 5, 10],
}
METRICS = ("span_f1", "span_f4")
SHUFFLES = 50
TRIALS = 40
BLOCK = 8
LIMITS = {"grid": (0.15, 0.003), "search": (0.20, 0.005)}
SEARCHES = ("optuna", "auto")


class Table(NamedTuple):
    """All scores.

    Attributes:
        space: The space.
        questions: The questions.
        values: For each configuration, by its key in the space, for each question its value by metric.
    """

    space: SearchSpace
    questions: Sequence[Question]
    values: Mapping[str, Values]

    def mean(self, key: str, metric: str) -> float:
        return statistics.fmean(row[metric] for row in self.values[key].values())


class Outcome(NamedTuple):
    """What one replay came to.

    Attributes:
        picked: The key of the configuration that won.
        used: Evaluations of a configuration on a question.
    """

    picked: str
    used: int


def score_all(data: Path) -> Table:
    documents = load_documents(data / "corpora")
    questions = datasets.load(data / "questions.csv", documents=documents)
    rag = RagObjective(documents, questions, metric=METRICS, embedding="wordllama")
    space = SearchSpace.from_dict(SPACE)
    values = {space.key(raw): rag(space.configuration(raw)).questions for raw in space.points()}
    return Table(space, rag.questions.questions, values)


class Replay:
    """One shuffle of the questions.

    Args:
        table: All scores.
        metric: The metric that is optimised.
        seed: Of the shuffle, and of the search.
    """

    def __init__(self, table: Table, metric: str, seed: int) -> None:
        self.table, self.metric, self.seed = table, metric, seed
        self.goals = [Goal(metric=metric, mode="max")]
        order = blocks(stratified_order(table.questions, seed), BLOCK)
        self.order = [[question.id for question in block] for block in order]
        self.total = len(table.questions)

    def values(self, key: str) -> Iterator[Values]:
        rows = self.table.values[key]
        return ({name: rows[name] for name in block} for block in self.order)

    def one_by_one(self, rule: Rule, search: str, trials: int) -> Outcome:
        """Trials as a search suggests them, each run to its end or stopped."""
        searcher = make_searcher(search, self.table.space, self.metric, "max", self.seed, trials=trials)
        keys: dict[int, str] = {}
        while isinstance(found := searcher.suggest(str(len(keys))), dict):
            number, key = found["number"], self.table.space.key(found["point"])
            keys[number] = key
            result = dict(self.run(rule, number, key))
            searcher.on_trial_complete(str(number - 1), result)
        return self.outcome(rule, keys)

    def run(self, rule: Rule, number: int, key: str) -> Mapping[str, float]:
        """Run a trial; what the search is told of it."""
        rule.begin(number)
        for values in self.values(key):
            if rule.block(number, values) is not None:
                return rule.told(number)
        rule.end(number)
        return rule.values(rule.means(number))

    def at_once(self, rule: Batch) -> Outcome:
        """All configurations, block by block."""
        keys = dict(enumerate(self.table.values, 1))
        streams = {number: self.values(key) for number, key in keys.items()}
        for number in keys:
            rule.begin(number)
        for block in self.order:
            for number in sorted(rule.running):
                rule.block(number, next(streams[number]))
            count = rule.count(min(rule.running))
            if block is not self.order[-1] and rule.is_look(count):
                rule.drop()
        for number in sorted(rule.running):
            rule.end(number)
        return self.outcome(rule, keys)

    def on_a_quarter(self) -> Outcome:
        """The full grid on a quarter of the questions."""
        first = [name for block in self.order for name in block][: round(self.total / 4)]
        means = {
            key: statistics.fmean(rows[name][self.metric] for name in first) for key, rows in self.table.values.items()
        }
        return Outcome(max(means, key=means.__getitem__), len(first) * len(means))

    def outcome(self, rule: Rule, keys: Mapping[int, str]) -> Outcome:
        best = min(sorted(rule.finished), key=lambda number: rule.means(number)[0])
        return Outcome(keys[best], sum(map(rule.count, keys)))


def figures(table: Table, metric: str, outcomes: Sequence[Outcome]) -> dict[str, float]:
    best = max(table.mean(key, metric) for key in table.values)
    gaps = np.array([(best - table.mean(one.picked, metric)) / best for one in outcomes])
    everything = len(table.values) * len(table.questions)
    return {
        "share": float(np.mean([one.used / everything for one in outcomes])),
        "gap": float(gaps.mean()),
        "gap_p90": float(np.quantile(gaps, 0.9)),
        "within_1pct": float((gaps <= 0.01).mean()),
        "worst": float(gaps.max()),
    }


Rules = dict[str, Callable[[Replay], Outcome]]


def named(rule: str, search: str, trials: int) -> Callable[[Replay], Outcome]:
    return lambda one: one.one_by_one(make_rule(rule, one.goals, one.total), search, trials)


def grid_rules() -> Rules:
    return {
        "racing": lambda one: one.at_once(BatchRace(one.goals, one.total)),
        "a quarter of the questions": lambda one: one.on_a_quarter(),
        "asha": named("asha", "random", len(one_of_each())),
        "successive halving": lambda one: one.at_once(Halving(one.goals, one.total)),
        "wilcoxon": named("wilcoxon", "random", len(one_of_each())),
    }


def search_rules(search: str) -> Rules:
    others = ("fifo", "asha", "wilcoxon") if search == SEARCHES[0] else ()  # auto takes a second for each
    return {rule: named(rule, search, TRIALS) for rule in ("racing", *others)}


def one_of_each() -> list[Any]:
    return list(SearchSpace.from_dict(SPACE).points())


def measure(table: Table, metric: str, rules: Rules, shuffles: int) -> dict[str, dict[str, float]]:
    replays = [Replay(table, metric, seed) for seed in range(shuffles)]
    return {name: figures(table, metric, [rule(one) for one in replays]) for name, rule in rules.items()}


def rows(mode: str, label: str, found: Mapping[str, Mapping[str, float]]) -> Iterator[common.Row]:
    share, gap = LIMITS[mode]
    for rule, values in found.items():
        rest = ", ".join(f"{name} {values[name]:.3f}" for name in ("gap_p90", "within_1pct", "worst"))
        at = f"{label}, {rule}"
        if rule == "racing":
            yield common.Row(f"{at} share", f"{values['share']:.3f}", f"{share:g} or less", values["share"] <= share)
            yield common.Row(f"{at} gap", f"{values['gap']:.4f}", f"{gap:g} or less", values["gap"] <= gap)
            yield common.Row(at, rest)
        else:
            yield common.Row(at, f"share {values['share']:.3f}, gap {values['gap']:.4f}, {rest}")


def main() -> None:
    parser = common.parser(__doc__, data="a folder with questions.csv and corpora")
    parser.add_argument("--mode", choices=tuple(LIMITS), default="grid")
    parser.add_argument("--shuffles", type=int, default=SHUFFLES)
    args = parser.parse_args()
    random.seed(0)
    table = score_all(args.data)
    shown: list[common.Row] = []
    result: dict[str, Any] = {}
    for search in ("grid",) if args.mode == "grid" else SEARCHES:
        rules = grid_rules() if args.mode == "grid" else search_rules(search)
        found = {metric: measure(table, metric, rules, args.shuffles) for metric in METRICS}
        for metric in METRICS:
            shown += rows(args.mode, f"{search}, {metric}", found[metric])
        result[search] = {metric: found[metric]["racing"] for metric in METRICS}
    title = f"{len(table.values)} configurations, {len(table.questions)} questions, {args.shuffles} shuffles"
    common.show(args, title, shown, result["grid"] if args.mode == "grid" else result)


if __name__ == "__main__":
    main()
