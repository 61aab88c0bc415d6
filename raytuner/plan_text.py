"""A plan for a person to read."""

from __future__ import annotations

from collections.abc import Iterator

from raytuner.config import TuneConfig
from raytuner.own_objective import OwnObjective
from raytuner.plan import Plan, check_parameters, decided
from raytuner.space import Choice, Normal, Parameter, Range, SearchSpace


def describe(plan: Plan) -> str:
    """What would be run: documents, questions, space, trials, models, and what is missing.

    Args:
        plan: From `make_plan`.
    """
    return "\n".join(_lines(plan))


def _lines(plan: Plan) -> Iterator[str]:
    objective = plan.objective
    characters = sum(len(document.text) for document in objective.documents)
    yield f"documents   {len(objective.documents)}, {characters:,} characters"
    yield f"questions   {len(objective.questions)}, in blocks of {plan.config.objective.block_size}"
    yield f"objective   {_metric(plan)}"
    yield "space"
    for name, parameter in plan.space.parameters.items():
        yield f"  {name}: {_values(parameter)}{_conditions(parameter)}"
    yield f"size        {_size(plan)}"
    yield f"default     {_params(plan.default)}"
    yield f"fixed       {_params(objective.fixed)}"
    count = "until it ends" if plan.total is None else f"{plan.total} trials"
    yield f"search      {plan.search}, {count}, seed {plan.config.search.seed} ({plan.why})"
    yield f"models      {', '.join(plan.models) or 'none'}"
    yield from (f"  {name}: {place}" for name, place in plan.places.items())
    if not plan.missing:
        yield "missing     nothing"
    for missing in plan.missing:
        yield f"missing     {missing.model}: {missing.reason}; {missing.fix}"


def outline(config: TuneConfig) -> str:
    """What is known of a config whose documents come from a reader by dotted path, which is not imported.

    Args:
        config: The config.

    Raises:
        UserError: With the value, the rule and the fix.
    """
    check_parameters(config)
    space = SearchSpace.from_dict(decided(config.space, config.pipeline))
    assert config.documents is not None  # else there was no reader
    lines = [
        f"documents   by {config.documents.reader} (by dotted path, not imported), {', '.join(config.documents.paths)}",
        f"questions   {', '.join(config.questions.paths) if config.questions else 'none'}",
        f"objective   {config.objective.function or config.objective.metric or 'by what the questions have'}",
        "space",
        *(f"  {name}: {_values(parameter)}{_conditions(parameter)}" for name, parameter in space.parameters.items()),
        f"fixed       {_params(config.pipeline)}",
        "the rest    is known when `raytuner tune` has read the documents",
    ]
    return "\n".join(lines)


def _metric(plan: Plan) -> str:
    if isinstance(plan.objective, OwnObjective):
        return f"{plan.objective.metric} of {plan.objective.path} (by dotted path, not imported), {plan.mode}"
    if plan.objective.mode is not None:
        return f"{plan.objective.metric}, {plan.mode}"
    mode = plan.config.objective.mode or "max unless it says min"
    return f"{plan.objective.metric} (by dotted path, not imported), {mode}"


def _size(plan: Plan) -> str:
    size = plan.space.size()
    skipped = f" ({plan.skipped} more break a rule and are skipped)" if plan.skipped else ""
    return "not countable" if size is None else f"{size} configurations{skipped}"


def _params(params: dict[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in params.items()) or "-"


def _values(parameter: Parameter) -> str:
    if isinstance(parameter, Choice):
        return ", ".join(str(value) for value in parameter.values)
    if isinstance(parameter, Normal):
        return f"normal, mean {parameter.mean:g}, sd {parameter.sd:g}"
    assert isinstance(parameter, Range)
    step = f" in steps of {parameter.step:g}" if parameter.step is not None else ""
    return f"{parameter.low:g} to {parameter.high:g}{step}{', log scale' if parameter.log else ''}"


def _conditions(parameter: Parameter) -> str:
    conditions = [f"{name} is {' or '.join(map(str, values))}" for name, values in parameter.when.items()]
    return f"  (when {' and '.join(conditions)})" if conditions else ""
