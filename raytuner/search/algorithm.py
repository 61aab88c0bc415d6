"""What is known of a search algorithm before its library is imported."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Literal

from packaging.specifiers import SpecifierSet

from raytuner.errors import SearchError
from raytuner.given_options import check, parameters
from raytuner.space import Parameter, SearchSpace

if TYPE_CHECKING:
    from ray.tune.search import Searcher

Capability = Literal["mixed", "conditional", "multi-objective", "parallel", "exhausts", "replays"]
CAPABILITIES: dict[Capability, str] = {
    "mixed": "categories, whole and other numbers in one model",
    "conditional": "knows itself which parameters are active; from others, inactive ones are hidden",
    "multi-objective": "models several objectives, and limits; for others they are made one loss",
    "parallel": "its model knows of trials in flight",
    "exhausts": "ends by itself when a finite space is exhausted; others are ended",
    "replays": "with the same seed and results, the same suggestions again; others are told the results on restoring",
}
"""What an algorithm may be able to do by itself."""

Make = Callable[..., "Searcher"]
Refuses = Callable[[str, Parameter], str | None]


@dataclass(frozen=True)
class Library:
    """What an algorithm needs beside raytuner's own dependencies.

    Attributes:
        module: What is imported.
        package: The distribution on the package index.
        versions: Those that are known to work, e.g. ``>=1.3,<2``; empty is all.
        extra: The extra of raytuner that brings it; empty where raytuner itself depends on it.
        download_mb: About what the extra fetches beyond raytuner's own dependencies.
    """

    module: str
    package: str
    versions: str = ""
    extra: str = ""
    download_mb: int = 0

    @property
    def installed(self) -> str | None:
        """The installed version, or None."""
        if importlib.util.find_spec(self.module) is None:
            return None
        try:
            return version(self.package)
        except PackageNotFoundError:
            return None

    def problem(self) -> str | None:
        """What has to be done before it can be used; None if nothing."""
        found = self.installed
        fix = f"pip install 'raytuner[{self.extra}]'" if self.extra else f"pip install '{self.package}{self.versions}'"
        if found is None:
            size = f" (about {self.download_mb} MB)" if self.download_mb else ""
            return f"needs the package {self.package}; {fix}{size}"
        if not SpecifierSet(self.versions).contains(found, prereleases=True):
            return f"does not work with {self.package} {found}, it needs {self.versions}; {fix}"
        return None


@dataclass(frozen=True)
class Algorithm:
    """One search algorithm.

    Attributes:
        name: What ``--search`` takes.
        summary: A line for the table of algorithms.
        make: From a `Task`, and the options as keyword-only arguments, to Ray's ``Searcher`` over raw samples.
        library: What it needs.
        can: What it can do by itself; see `CAPABILITIES`.
        refuses: Why it cannot take a parameter, from its name and itself; None if it can.
        models: Whether it makes a model of the results, which takes some milliseconds for each suggestion.
        libraries: What some of its options need: by option and value.
        one_objective: Options and values with which it cannot model several objectives, or limits.
        unused: Options that have no effect with others: by option and value.
        refuses_with: Why it cannot take a parameter with some of its options: by option and value.
        problem_elsewhere: Of one that runs in an environment of its own: asks what has to be done before it can.
    """

    name: str
    summary: str
    make: Make
    library: Library | None = None
    can: frozenset[Capability] = frozenset()
    refuses: Refuses = lambda name, parameter: None
    models: bool = False
    libraries: Mapping[tuple[str, Any], Library] = field(default_factory=dict)
    one_objective: frozenset[tuple[str, Any]] = frozenset()
    unused: Mapping[tuple[str, Any], frozenset[str]] = field(default_factory=dict)
    refuses_with: Mapping[tuple[str, Any], Refuses] = field(default_factory=dict)
    problem_elsewhere: Callable[[], str | None] | None = None

    def models_objectives(self, options: Mapping[str, Any]) -> bool:
        """Whether it models several objectives, and limits, by itself with these options.

        Args:
            options: Its options.
        """
        alone = any(options.get(name) == value for name, value in self.one_objective)
        return "multi-objective" in self.can and not alone

    def problem(self, options: Mapping[str, Any] | None = None) -> str | None:
        """What has to be done before it can be used with these options; None if nothing.

        Args:
            options: Its options; none by default.
        """
        needed = [self.library] if self.library is not None else []
        needed += [self.libraries[choice] for choice in (options or {}).items() if choice in self.libraries]
        problems = [library.problem() for library in needed]
        if self.problem_elsewhere is not None:
            problems.append(self.problem_elsewhere())
        return next((problem for problem in problems if problem is not None), None)

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Check that it can be used here with these options; imports no library.

        Args:
            options: Its options.

        Raises:
            SearchError: An option is unknown or has a wrong value, or something is not installed.
        """
        check(f"search {self.name!r}", options, self.make)
        for (name, value), without in self.unused.items():
            if options.get(name) == value and (idle := sorted(without & set(options))):
                raise SearchError(
                    f"option {idle[0]} of search {self.name!r} does nothing with {name} {value}; remove it"
                )
        problem = self.problem(options)
        if problem is not None:
            raise SearchError(f"search {self.name!r} {problem}")

    def refusal(self, space: SearchSpace, options: Mapping[str, Any] | None = None) -> tuple[str, str] | None:
        """The first parameter that it cannot take with these options, and why; None if it can take all.

        Args:
            space: The search space.
            options: Its options; none by default.
        """
        chosen = [self.refuses_with[choice] for choice in (options or {}).items() if choice in self.refuses_with]
        for name, parameter in space.parameters.items():
            for refuses in (self.refuses, *chosen):
                reason = refuses(name, parameter)
                if reason is not None:
                    return name, reason
        return None

    @property
    def options(self) -> list[str]:
        """The names of its options."""
        return list(parameters(self.make))
