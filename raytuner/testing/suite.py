"""The tests, as methods of a class to derive from; pytest collects them, `python -m raytuner.testing` runs them too."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from raytuner.errors import ConfigError, SpaceError
from raytuner.search import Algorithm, Task, algorithm, check_search, make_searcher
from raytuner.search.algorithm import Capability
from raytuner.space import Params, Raw, SearchSpace
from raytuner.testing.drive import FAILURE, Drive, Score, any_score, repeated
from raytuner.testing.functions import CATEGORICAL, ENDLESS, FINITE, FUNCTIONS, Function

TRIALS = 40
"""So many trials a search has on a function."""
RANDOM_SEEDS = 25
"""So many searches at random it is compared with."""
LONG = 200
"""So many trials a long search has."""
SLOWER = 3.0
"""So many times as long a suggestion may take in the last quarter of a long search as in the first ..."""
SLOWER_S = 0.005
"""... and so many seconds more: what is fast need not be even faster."""


def claims(capability: Capability) -> Callable[[Any], Any]:
    """Marks a test of what not every algorithm claims to be able to do."""
    return lambda test: _with(test, "capability", capability)


def on(function: str) -> Callable[[Any], Any]:
    """Marks a test on one of the functions, whose space an algorithm may refuse."""
    return lambda test: _with(test, "function", function)


def _with(test: Any, attribute: str, value: str) -> Any:
    setattr(test, attribute, value)
    return test


class SearcherConformance:
    """What every search algorithm does, whatever the space. Derive a class from it and name the algorithm.

    Tests of capabilities that the algorithm does not claim, and on functions whose space it refuses, are not collected.

    Attributes:
        algorithm: An `Algorithm`, or a name that ``--search`` takes.
        options: Options of the algorithm.
        seeds: So many searches the median regret is taken of; an odd number.
        exceptions: Why it fails a test, by the name of the test: that is expected to fail (``xfail``).
        figures: What the tests have measured so far.
    """

    algorithm: ClassVar[Algorithm | str]
    options: ClassVar[Mapping[str, Any]] = {}
    seeds: ClassVar[int] = 5
    exceptions: ClassVar[Mapping[str, str]] = {}
    figures: ClassVar[dict[str, float]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Leave out what does not apply to the algorithm, and mark what is known to fail."""
        super().__init_subclass__(**kwargs)
        if not hasattr(cls, "algorithm"):
            return
        cls.figures = {}
        unknown = sorted(set(cls.exceptions) - set(all_tests()))
        assert not unknown, f"exceptions {unknown} are no tests; there are {', '.join(all_tests())}"
        for name in all_tests():
            if not cls.applies(name):
                setattr(cls, name, None)
            elif name in cls.exceptions and "pytest" in sys.modules:
                setattr(cls, name, _expected_to_fail(getattr(cls, name), cls.exceptions[name]))

    @classmethod
    def found(cls) -> Algorithm:
        """The algorithm."""
        return cls.algorithm if isinstance(cls.algorithm, Algorithm) else algorithm(cls.algorithm)

    @classmethod
    def applies(cls, test: str) -> bool:
        """Whether a test is about something that the algorithm claims, on a space that it takes.

        Args:
            test: The name of the test.
        """
        method = getattr(SearcherConformance, test)
        capability, function = getattr(method, "capability", None), getattr(method, "function", None)
        if capability is not None and capability not in cls.found().can:
            return False
        return function is None or cls.accepts(FUNCTIONS[function].space)

    @classmethod
    def accepts(cls, space: SearchSpace) -> bool:
        """Whether the algorithm takes a space.

        Args:
            space: The search space.
        """
        return cls.found().refusal(space, cls.options) is None

    def drive(self, space: SearchSpace, score: Score = any_score, **settings: Any) -> Drive:
        """Run a search with the options of the class.

        Args:
            space: The search space.
            score: Scores a configuration.
            **settings: What `Drive` takes beside these.
        """
        return Drive(self.found(), space, score, **{**self.options, **settings})

    def spaces(self, *specs: Mapping[str, Any]) -> Iterator[tuple[str, SearchSpace]]:
        """Those spaces that the algorithm takes, with a name for messages; at least one.

        Args:
            *specs: Param dicts; see `SearchSpace.from_dict`.

        Yields:
            The name and the space.
        """
        named = [(str(spec), SearchSpace.from_dict(spec)) for spec in specs]
        taken = [(name, space) for name, space in named if self.accepts(space)]
        assert taken, f"the algorithm refuses {' and '.join(name for name, _ in named)}"
        yield from taken

    # Which configurations are suggested

    def test_finite_spaces_end_exhausted(self) -> None:
        """Finite spaces, of one point or none too, end when all was tried once, and say so."""
        for name, space in self.spaces(*FINITE.values()):
            for flight in (1, 2):
                drive = self.drive(space, flight=flight)
                assert not repeated(drive.configs), name
                assert len(drive.configs) == space.size(), name
                assert drive.numbers == list(range(1, len(drive.numbers) + 1)), name
                said = f"the space is exhausted: all {space.size()} configurations were tried"
                assert drive.searcher.ended == said, name

    def test_trials_are_capped_and_distinct(self) -> None:
        """Without repeats up to the cap on trials, with one, two and four in flight that end in any order."""
        for name, space in self.spaces(*ENDLESS.values()):
            for flight in (1, 2, 4):
                drive = self.drive(space, trials=20, flight=flight, order=flight)
                assert not repeated(drive.configs), name
                assert (len(drive.configs), drive.searcher.ended) == (20, None), (name, flight)

    def test_values_are_plain_and_on_their_grid(self) -> None:
        """Values are Python's own, those of the space, quantised floats exactly on their grid."""
        for _, space in self.spaces(FINITE["stepped"]):
            for params in self.drive(space).configs:
                assert (type(params["overlap"]), type(params["n"])) == (float, int)
                assert params["overlap"] in [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
                assert params["n"] in [1, 64]
        for _, space in self.spaces(FINITE["categorical"]):
            for params in self.drive(space).configs:
                assert {type(value) for value in params.values()} <= {str, type(None), int, bool, float, list, dict}
                assert params["a"] in ["x", "y", None] and params["c"] in [[1], {"k": 2}]

    def test_conditions_hold(self) -> None:
        """Parameters are there exactly where their conditions hold, down to grandchildren."""
        for _, space in self.spaces(FINITE["conditional"]):
            for params in self.drive(space).configs:
                assert ("fusion" in params) == (params["retriever"] == "hybrid"), params
                assert ("weight" in params) == (params.get("fusion") == "weighted"), params

    def test_inactive_parameters_are_hidden(self) -> None:
        """Where results are modelled, inactive parameters have their default: equal configurations are equal points."""
        if not self.found().models:
            return
        for _, space in self.spaces(FINITE["conditional"]):
            for raw in self._suggested(space, 20):
                assert raw == space.canonical(raw), raw

    def test_rules_of_the_space_are_kept(self) -> None:
        """Configurations that break the rule of the space are left out and do not count."""
        for _, whole in self.spaces(FINITE["stepped"]):
            space = SearchSpace(whole.parameters, _not_both_large)
            for flight in (1, 2):
                drive = self.drive(space, flight=flight)
                for params in drive.configs:
                    _not_both_large(params)
                assert not repeated(drive.configs)
                assert len(drive.configs) == space.size() == 9
                assert "all 9 " in drive.searcher.ended
                assert 0 <= drive.searcher.rejected_invalid <= 3

    def test_given_points_come_first_and_once(self) -> None:
        """Points to evaluate come first, in their order and once."""
        wanted = [
            {"fusion": "weighted", "retriever": "hybrid", "top_k": 3, "weight": 0.75},
            {"retriever": "vector", "top_k": 2},
            {"fusion": "rank", "retriever": "hybrid", "top_k": 3},
        ]
        for _, space in self.spaces(FINITE["conditional"]):
            points = [space.encode(params) for params in [*wanted, wanted[1]]]
            for flight in (1, 2):
                drive = self.drive(space, points=points, flight=flight)
                assert drive.configs[:3] == wanted
                assert not repeated(drive.configs)
                assert len(drive.configs) == space.size()

    # What happens to results

    def test_failed_trials_do_not_stall(self) -> None:
        """With a fifth of the trials failing, or scored by no number, the search goes on."""
        for bad in (FAILURE, float("nan")):
            for name, space in self.spaces(FINITE["conditional"], ENDLESS["mixed"]):
                drive = self.drive(space, _failing(bad), flight=2, trials=25)
                assert not repeated(drive.configs), name
                assert len(drive.configs) == min(25, space.size() or 25), name

    def test_a_search_ends_though_all_trials_fail(self) -> None:
        """Where every trial fails, a finite space is exhausted all the same."""
        for _, space in self.spaces(FINITE["stepped"]):
            assert len(self.drive(space, lambda params: FAILURE).configs) == space.size()

    @claims("replays")
    def test_the_seed_fixes_the_sequence(self) -> None:
        """The same seed and results give the same configurations."""
        for name, space in self.spaces(FINITE["conditional"], ENDLESS["mixed"]):
            runs = [self.drive(space, seed=5, trials=16, flight=flight).configs for flight in (1, 1, 2, 2)]
            assert runs[0] == runs[1], name
            assert runs[2] == runs[3], name

    def test_other_seeds_differ(self) -> None:
        """Another seed gives other configurations."""
        for name, space in self.spaces(CATEGORICAL.spec):
            first, second = (self._suggested(space, 12, seed) for seed in (5, 6))
            assert first != second, name

    def test_a_restored_search_goes_on(self) -> None:
        """A search that was saved goes on without repeats; one that replays goes on as if nothing had happened."""
        for name, space in self.spaces(FINITE["conditional"], ENDLESS["mixed"]):
            drive = self.drive(space, most=10, trials=18)
            assert all(isinstance(drive.ask(), dict) for _ in range(2)), name
            restored = self._restored(drive, space)
            for _ in range(4):
                trial = next(iter(drive.running))
                restored.on_trial_complete(trial, {"score": any_score(drive.running[trial])})
                drive.finish(trial)
                before = list(drive.configs)
                here, there = drive.ask(), restored.suggest(f"t{len(before)}")
                assert there["number"] == here["number"] == len(before) + 1, name
                assert space.configuration(there["point"]) not in before, name
                if "replays" not in self.found().can:
                    break
                assert here == there, name

    def _suggested(self, space: SearchSpace, count: int, seed: int = 0) -> list[Raw]:
        """What the algorithm suggests itself, without the contract around it, until it ends."""
        inner = self.found().make(Task(space, "score", "max", seed), **self.options)
        points: list[Raw] = []
        while len(points) < count and isinstance(raw := inner.suggest(f"t{len(points)}"), dict):
            inner.on_trial_complete(f"t{len(points)}", {"score": any_score(space.configuration(raw))})
            points.append(raw)
        return points

    def _restored(self, drive: Drive, space: SearchSpace) -> Any:
        restored = make_searcher(self.found(), space, "score", "max", trials=18, **self.options)
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "search.json")
            drive.searcher.save(path)
            restored.restore(path)
        return restored

    # How good and how fast it is

    @on("mixed")
    def test_regret_on_a_mixed_function(self) -> None:
        """After 40 trials on numbers and categories, the median regret is at most that of random search."""
        self._compare("mixed")

    @on("conditional")
    def test_regret_on_a_conditional_function(self) -> None:
        """The same where some parameters are active only under conditions."""
        self._compare("conditional")

    @on("categorical")
    def test_regret_on_a_categorical_function(self) -> None:
        """The same with nothing but categories."""
        self._compare("categorical")

    @on("categorical")
    def test_regret_when_minimising(self) -> None:
        """The same, to be minimised."""
        self._compare("categorical", "min")

    def _compare(self, name: str, mode: str = "max") -> None:
        mine = statistics.median(regret(self.drive, FUNCTIONS[name], seed, mode) for seed in range(self.seeds))
        self.figures[name if mode == "max" else "minimised"] = mine
        assert mine <= at_random(name), f"regret {mine:.3g}, at random {at_random(name):.3g}"

    def test_a_long_search_does_not_slow_down(self) -> None:
        """In a search of 200 trials the last suggestions take not much longer than the first."""
        spec = {"a": list(range(10)), "n": {"int": [1, 50]}, "t": {"float": [0, 1], "step": 0.01}}
        for _, space in self.spaces(spec):
            drive = self.drive(space, trials=LONG)
            quarter = LONG // 4
            # The time of this process is less disturbed by others, but leaves out a child in which an algorithm runs.
            seconds = drive.wall_s if self.found().problem_elsewhere else drive.seconds
            first, last = (statistics.median(part) for part in (seconds[:quarter], seconds[-quarter:]))
            self.figures["ms"] = 1000 * statistics.median(drive.wall_s)
            self.figures["slower"] = last / first
            assert len(drive.configs) == LONG
            assert last <= SLOWER * first + SLOWER_S, f"{1000 * first:.1f} ms at first, {1000 * last:.1f} ms at last"

    # What it claims to be able to do, and what it refuses

    def test_what_it_refuses_is_said_in_a_line(self) -> None:
        """A space that it cannot take is refused in a line that begins with the parameter."""
        for spec in [*FINITE.values(), *ENDLESS.values(), *(function.spec for function in FUNCTIONS.values())]:
            space = SearchSpace.from_dict(spec)
            refusal = self.found().refusal(space, self.options)
            if refusal is None:
                continue
            try:
                check_search(self.found(), space, dict(self.options))
            except SpaceError as error:
                assert str(error).startswith(f"{refusal[0]}: {self.found().name} ") and "\n" not in str(error), error
            else:
                raise AssertionError(f"{spec} is not refused")

    @claims("mixed")
    def test_mixed_spaces_are_taken(self) -> None:
        """Categories, whole numbers, other numbers on a grid and conditions are taken together."""
        spec = {**FINITE["conditional"], **FINITE["stepped"], **FINITE["logarithmic"]}
        space = SearchSpace.from_dict(spec)
        assert self.accepts(space)
        assert len(self.drive(space, trials=15).configs) == 15

    @claims("parallel")
    def test_suggestions_in_flight_differ(self) -> None:
        """Without the results of four trials in flight, most suggestions are different by themselves."""
        space, counts = CATEGORICAL.space, []
        for seed in range(self.seeds):
            inner = self.found().make(Task(space, "score", "max", seed), **self.options)
            for number in range(20):
                score = CATEGORICAL.score(space.configuration(inner.suggest(f"t{number}")))
                inner.on_trial_complete(f"t{number}", {"score": score})
            flying = [inner.suggest(f"flying {number}") for number in range(4)]
            counts.append(len({space.key(raw) for raw in flying if isinstance(raw, dict)}))
        assert statistics.mean(counts) >= 3, f"different ones of four: {counts}"

    @claims("exhausts")
    def test_it_ends_by_itself(self) -> None:
        """It suggests every configuration of a finite space itself, once, and then says that it has ended."""
        for _, space in self.spaces(FINITE["conditional"]):
            keys = [space.key(raw) for raw in self._suggested(space, 100)]
            assert len(keys) == len(set(keys)) == space.size()


@cache
def all_tests() -> dict[str, str]:
    """The tests by name, with what they test."""
    found = vars(SearcherConformance).items()
    return {name: test.__doc__ or "" for name, test in found if name.startswith("test_")}


def regret(drive: Callable[..., Drive], function: Function, seed: int, mode: str = "max") -> float:
    """By how much the best value found is worse than the best there is."""
    sign = 1 if mode == "max" else -1
    found = drive(function.space, lambda params: sign * function.score(params), mode=mode, seed=seed, trials=TRIALS)
    return function.best - max(sign * score for score in found.scores)


@cache
def at_random(name: str) -> float:
    """The median regret of random search on one of the functions."""

    def drive(*given: Any, **settings: Any) -> Drive:
        return Drive("random", *given, **settings)

    return statistics.median(regret(drive, FUNCTIONS[name], seed) for seed in range(RANDOM_SEEDS))


def _failing(bad: float) -> Score:
    return lambda params: bad if any_score(params) < 0.2 else any_score(params)


def _not_both_large(params: Params) -> None:
    if params["overlap"] > 0.25 and params["n"] > 30:
        raise ConfigError("too large together")


def _expected_to_fail(test: Callable[[Any], None], reason: str) -> Any:
    import pytest

    def expected(self: Any) -> None:
        test(self)

    expected.__doc__ = test.__doc__
    slow = test.__name__ == SearcherConformance.test_a_long_search_does_not_slow_down.__name__  # it may take minutes
    return pytest.mark.xfail(reason=reason, raises=AssertionError, run=not slow)(expected)
