"""raytuner: find the best settings of a RAG pipeline."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from raytuner.ray_access import prepare_environment

if TYPE_CHECKING:
    from raytuner.config import TuneConfig as TuneConfig
    from raytuner.errors import RaytunerError as RaytunerError
    from raytuner.going_on import resume as resume
    from raytuner.jobs.submit import submit as submit
    from raytuner.loaded import load as load
    from raytuner.plan import tune as tune
    from raytuner.rag import RagObjective as RagObjective
    from raytuner.results import FailedTrial as FailedTrial
    from raytuner.results import RunResult as RunResult
    from raytuner.results import TunedResult as TunedResult
    from raytuner.search import make_searcher as make_searcher
    from raytuner.space import SearchSpace as SearchSpace
    from raytuner.tuners import AsyncParamTuner as AsyncParamTuner
    from raytuner.tuners import ParamTuner as ParamTuner
    from raytuner.tuners import RayTuneParamTuner as RayTuneParamTuner
    from raytuner.values import FailedQuestion as FailedQuestion

__version__ = "0.1.0"

prepare_environment()  # before Ray is imported, which reads some of it then

_MODULES = ("datasets", "metrics", "models", "search")
_HOMES = {
    "AsyncParamTuner": "tuners",
    "FailedQuestion": "values",
    "FailedTrial": "results",
    "ParamTuner": "tuners",
    "RagObjective": "rag",
    "RayTuneParamTuner": "tuners",
    "RaytunerError": "errors",
    "RunResult": "results",
    "SearchSpace": "space",
    "TuneConfig": "config",
    "TunedResult": "results",
    "load": "loaded",
    "make_searcher": "search",
    "resume": "going_on",
    "submit": "jobs.submit",
    "tune": "plan",
}

__all__ = [
    "AsyncParamTuner",
    "FailedQuestion",
    "FailedTrial",
    "ParamTuner",
    "RagObjective",
    "RayTuneParamTuner",
    "RaytunerError",
    "RunResult",
    "SearchSpace",
    "TuneConfig",
    "TunedResult",
    "__version__",
    "datasets",
    "load",
    "make_searcher",
    "metrics",
    "models",
    "resume",
    "search",
    "submit",
    "tune",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import raytuner` is fast."""
    if name in _MODULES:
        return importlib.import_module(f"raytuner.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'raytuner' has no attribute {name!r}")
    return getattr(importlib.import_module(f"raytuner.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
