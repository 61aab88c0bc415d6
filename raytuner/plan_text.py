"""A plan for a person to read."""

from __future__ import annotations

from collections.abc import Iterator

from raytuner.components import is_dotted
from raytuner.errors import quoted
from raytuner.estimate import estimate
from raytuner.own_objective import OwnObjective
from raytuner.pipeline.parameters import COMPONENTS
from raytuner.pipeline.splitters import custom, splitter_stage
from raytuner.plan import Plan
from raytuner.reuse import MADE_FROM, Reuse, reuse
from raytuner.space import MAX_COUNTED, Choice, Normal, Parameter, Range

MAX_SHOWN = 30
MAX_LENGTH = 60


def describe(plan: Plan) -> str:
    """What would be run: documents, questions, space, trials, models, and what is missing.

    Args:
        plan: From `make_plan`.
    """
    return "\n".join(_lines(plan))


def describe_keys(plan: Plan) -> str:
    """What the default configuration would use again from the cache and, where nothing, which part differs.

    Args:
        plan: From `make_plan`, of a pipeline whose documents were read.
    """
    if isinstance(plan.objective, OwnObjective) or not plan.complete:
        return "keys        are known for raytuner's own pipeline, when its documents are read"
    if splitter_stage(plan.objective.resolved(plan.default)) is custom:
        return "keys        are not known: the splitter is not imported"
    lines = ["keys        of the default configuration"]
    for found in reuse(plan.objective, plan.default):
        lines.append(f"  {found.stage:15} {found.key}  {'on disk' if found.there else _why(found)}")
    return "\n".join(lines)


def _why(found: Reuse) -> str:
    if not found.differs:
        return "not there, and none of this stage is"
    parts = [
        "other documents or chunks" if name == MADE_FROM else f"{name} {quoted(new)} instead of {quoted(old)}"
        for name, (old, new) in found.differs.items()
    ]
    return f"not there; differs from the nearest by {', '.join(parts)}"


def _lines(plan: Plan) -> Iterator[str]:
    yield f"documents   {_documents(plan)}"
    yield f"questions   {_questions(plan)}"
    yield f"objective   {_metric(plan)}"
    yield "space"
    for name, parameter in plan.space.parameters.items():
        yield f"  {name}: {_values(parameter)}{_conditions(parameter)}"
    yield f"size        {_size(plan)}"
    yield f"default     {_params(plan.default)}"
    yield f"fixed       {_params(plan.objective.fixed)}"
    count = "until it ends" if plan.total is None else f"{plan.total} trials"
    yield f"search      {plan.search}, {count}, seed {plan.config.search.seed} ({plan.why})"
    yield from _estimate(plan)
    yield f"models      {', '.join(plan.models) or 'none'}"
    yield from (f"  {name}: {place}" for name, place in plan.places.items())
    own = dict(_components(plan))
    if own:
        yield f"components  {', '.join(own)}"
    for name, path in own.items():
        yield f"  {name}: {'' if name == path else f'{path} '}by dotted path, not imported"
    if not plan.missing:
        yield "missing     nothing"
    for missing in plan.missing:
        yield f"missing     {missing.model}: {missing.reason}; {missing.fix}"


def _estimate(plan: Plan) -> Iterator[str]:
    """About what is computed; nothing for an objective of the user's own, or without the documents."""
    if isinstance(plan.objective, OwnObjective) or not plan.complete:
        return
    found = estimate(plan.objective, plan.space, plan.trials)
    there = f", {found.cut} of them cut before" if found.cut else ""
    yield f"to compute  {_count(found.chunkings, 'way')} of cutting the documents{there}"
    for embedding in found.embeddings:
        rest = embedding.chunks - embedding.there
        of_all = f" of {embedding.chunks:,}" if embedding.there else ""
        seconds = embedding.seconds
        time = "" if seconds is None else f", about {_duration(seconds)} on this machine"
        tokens = int(round(embedding.tokens * rest / max(1, embedding.chunks), -3))
        yield f"  {embedding.model}: about {rest:,}{of_all} chunks to embed, {tokens:,} tokens{time}"
    if found.answers:
        yield f"  LLM: at most {found.answers:,} answers, without those that trials share"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _components(plan: Plan) -> Iterator[tuple[str, str]]:
    """The splitters, retrievers and rerankers of the user's own that some configuration uses, with their paths."""
    for parameter in () if isinstance(plan.objective, OwnObjective) else COMPONENTS:
        tuned = plan.space.parameters.get(parameter)
        fixed = plan.config.pipeline.get(parameter)
        for name in tuned.values if isinstance(tuned, Choice) else (fixed,):
            entry = plan.config.components.get(str(name))
            path = entry.path if entry and entry.path else name
            if is_dotted(path):
                yield str(name), str(path)


def _documents(plan: Plan) -> str:
    section, documents = plan.config.documents, plan.objective.documents
    if section is None:
        return "none"
    if not plan.complete:
        return ", ".join((f"by {section.reader} (by dotted path, not imported)", *section.paths))
    return f"{len(documents)}, {sum(len(document.text) for document in documents):,} characters"


def _questions(plan: Plan) -> str:
    if plan.config.questions is None:
        return "none"
    blocks = "" if isinstance(plan.objective, OwnObjective) else f", in blocks of {plan.config.objective.block_size}"
    unchecked = "" if plan.complete else ", not yet compared with the documents"
    return f"{len(plan.objective.questions)}{blocks}{unchecked}"


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
    if size is None:
        endless = any(parameter.size() is None for parameter in plan.space.parameters.values())
        return "endless" if endless else f"more than {MAX_COUNTED:,} configurations"
    return f"{size:,} configuration{'s' * (size != 1)}{skipped}"


def _params(params: dict[str, object]) -> str:
    return ", ".join(f"{name}={_shown(value)}" for name, value in params.items()) or "-"


def _values(parameter: Parameter) -> str:
    if isinstance(parameter, Choice):
        values = [_shown(value) for value in parameter.values[:MAX_SHOWN]]
        more = len(parameter.values) - len(values)
        return ", ".join([*values, *([f"... ({more} more)"] if more else [])])
    if isinstance(parameter, Normal):
        return f"normal, mean {parameter.mean:g}, sd {parameter.sd:g}"
    assert isinstance(parameter, Range)
    step = f" in steps of {parameter.step:g}" if parameter.step is not None else ""
    return f"{parameter.low:g} to {parameter.high:g}{step}{', log scale' if parameter.log else ''}"


def _shown(value: object) -> str:
    """A value in one line; a text as it is, unless it is long."""
    text = str(value) if isinstance(value, str) else quoted(value)
    return text if text.isprintable() and len(text) <= MAX_LENGTH else quoted(value)


def _conditions(parameter: Parameter) -> str:
    conditions = [f"{name} is {' or '.join(map(_shown, values))}" for name, values in parameter.when.items()]
    return f"  (when {' and '.join(conditions)})" if conditions else ""
