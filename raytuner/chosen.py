"""Which configuration of a run is meant, and what using it would run or where it would send texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raytuner.components import Component, is_dotted
from raytuner.config import TuneConfig
from raytuner.errors import DataError, UserError, redact
from raytuner.models import ModelSpec, table_of
from raytuner.models.endpoint import KEY, is_loopback_url, is_openais, public_url
from raytuner.models.spec import spec
from raytuner.pipeline import parameters as stages
from raytuner.pipeline.generate import EXTRACTIVE
from raytuner.rag_models import resolved_with, uses_embedding
from raytuner.run_folder import find_run, read_run
from raytuner.saved_run import load_study, result_of
from raytuner.study import Study


@dataclass(frozen=True)
class Chosen:
    """One configuration of a run.

    Attributes:
        folder: The run folder.
        config: The config of the run, relative paths resolved.
        trial: The number of the trial.
        tuned: Its tuned parameters.
    """

    folder: Path
    config: TuneConfig
    trial: int
    tuned: Mapping[str, Any]

    @property
    def params(self) -> dict[str, Any]:
        """The parameters that are set, fixed and tuned, as the config names them."""
        return {**self.config.pipeline, **self.tuned}

    @property
    def yaml(self) -> str:
        """A config whose pipeline is this one; see `TuneConfig.with_best`."""
        return self.config.with_best(self.tuned)

    def resolved(self) -> dict[str, Any]:
        """The parameters as the stages of the pipeline take them; nothing is imported.

        Raises:
            UserError: One is unknown, or not allowed.
        """
        models = table_of(self.config.models_table())
        components = stages.component_table(self.config.components_table(), models)
        own = {**stages.defaults(), **resolved_with(self.params, models, components)}
        stages.check(own)
        return own


def choose(run: str | Path, trial: int | None = None, parent: Path = Path("runs")) -> Chosen:
    """Find a configuration of a run; nothing that the run names is imported.

    Args:
        run: The path of a run folder, or the name of a run, of which the newest is taken.
        trial: The number of a trial; None is the one to take, of a run that goes on the best so far.
        parent: Where runs are looked for by name.

    Raises:
        DataError: There is no such run or trial, the trial failed or has not ended, or the run has no pipeline.
        AllTrialsFailedError: No trial of the run succeeded.
    """
    folder = find_run(str(run), parent)
    config, study = _config(folder), load_study(folder)
    if trial is None:
        best = result_of(study, read_run(folder)).best
        assert best.trial is not None
        trial = best.trial
    return Chosen(folder, config, trial, _params(study, trial))


def _config(folder: Path) -> TuneConfig:
    from raytuner.going_on import CONFIG, load

    if not (folder / CONFIG).is_file():
        raise DataError(
            f"{folder}: a run without {CONFIG}, as of a tuner in Python, names no pipeline; use a run of one"
        )
    config = load(folder)
    if config.objective.function is not None:
        raise DataError(f"{folder}: a run of an objective of its own has no pipeline of raytuner's; use its parameters")
    return config


def _params(study: Study, number: int) -> dict[str, Any]:
    trial = study.trials.get(number)
    if trial is None:
        raise DataError(f"trial {number}: there is none; the run has trials {_some(sorted(study.trials))}")
    if trial.error is not None:
        last = trial.error.strip().splitlines()[-1:] or ["no message"]
        raise DataError(f"trial {number} failed ({last[0][:200]}); choose one that `raytuner show` lists")
    if not trial.finished:
        raise DataError(f"trial {number} has not ended; wait for it, or choose one that `raytuner show` lists")
    return trial.params


def _some(numbers: list[int]) -> str:
    return f"{numbers[0]} to {numbers[-1]}" if numbers else "none yet"


def check_trusted(chosen: Chosen, trusts: bool) -> None:
    """Refuse to use a run that names code, or an address elsewhere, before somebody has looked at it.

    Raises:
        UserError: With all that it names.
    """
    found = list(concerns(chosen))
    if found and not trusts:
        raise UserError(f"{chosen.folder} names {'; '.join(found)}; if you trust it, add --trust")


def concerns(chosen: Chosen) -> Iterator[str]:
    """What using a configuration would import, and where it would send texts or keys beyond this machine."""
    for what, path in dotted_paths(chosen):
        yield _by_path(what, path)
    for model in used_specs(chosen.resolved()):
        yield from _concerns_of(model)


def all_concerns(chosen: Chosen) -> Iterator[str]:
    """What the whole config of a configuration would import or reach: beside the pipeline all else that it names."""
    config, objective = chosen.config, chosen.config.objective
    table = table_of(config.models_table())
    named = [objective.similarity_embedding, objective.judge.llm if objective.judge else None]
    models = [*table.values(), *(spec(name, table) for name in named if name is not None)]
    metrics = [objective.metric, *(objective.weights or ()), *(goal.metric for goal in config.objectives or ())]
    components = [(name, entry.path or name) for name, entry in config.components.items()]
    found = [
        *concerns(chosen),
        *(_by_path("metric", metric) for metric in metrics if is_dotted(metric)),
        *(_by_path(f"component {name}", path) for name, path in components),
        *(_by_path("model", model.model) for model in models if model.kind == "dotted"),
        *(concern for model in models for concern in _concerns_of(model)),
    ]
    places = {"modules": config.modules, "run.address": config.run.address, "run.cache": config.run.cache}
    found += [f"{key} {redact(place)}" for key, place in places.items() if place is not None]
    yield from dict.fromkeys(found)


def dotted_paths(chosen: Chosen) -> list[tuple[str, str]]:
    """What a configuration uses by dotted path, each with what it is."""
    section, own = chosen.config.documents, chosen.resolved()
    found = [] if section is None or section.reader is None else [("documents.reader", section.reader)]
    found += [(name, own[name].path) for name in stages.COMPONENTS if isinstance(own[name], Component)]
    return [*found, *(("model", model.model) for model in used_specs(own) if model.kind == "dotted")]


def _by_path(what: str, path: str) -> str:
    return f"{what} {path}, by dotted path, not imported"


def used_specs(own: Mapping[str, Any]) -> list[ModelSpec]:
    """The models that a configuration uses, each once.

    Args:
        own: From `Chosen.resolved`.
    """
    embeddings, llms = models_by_role(own)
    return list(dict.fromkeys((*embeddings, *llms)))


def models_by_role(own: Mapping[str, Any]) -> tuple[list[ModelSpec], list[ModelSpec]]:
    """The embedding models and the LLMs that a configuration uses.

    Args:
        own: From `Chosen.resolved`.
    """
    parts = stages.component_models(own)
    llms = [model.spec for model in parts if model.is_llm]
    embeddings = [model.spec for model in parts if not model.is_llm]
    if own["llm"] != EXTRACTIVE:
        llms.append(spec(own["llm"]))
    if uses_embedding(own, answers=True):
        embeddings.append(spec(own["embedding"]))
    return embeddings, llms


def _concerns_of(model: ModelSpec) -> Iterator[str]:
    """What is to be looked at of a model, beside its dotted path."""
    if _runs_own_code(model.arguments):
        yield f"model {model.model}, whose own code it runs (trust_remote_code)"
    key, own_place = model.api_key_env, is_openais(model)
    is_elsewhere = model.base_url is not None and not own_place and not is_loopback_url(model.base_url)
    if is_elsewhere or not (key is None or (key == KEY and own_place)):
        yield f"model {model.name} at {public_url(model)}, {f'which gets the key in {key}' if key else 'without a key'}"


def _runs_own_code(options: Any) -> bool:
    """Whether options allow at any depth that code is run which lies beside the weights of a model."""
    if isinstance(options, Mapping):
        return bool(options.get("trust_remote_code")) or any(map(_runs_own_code, options.values()))
    return isinstance(options, list) and any(map(_runs_own_code, options))
