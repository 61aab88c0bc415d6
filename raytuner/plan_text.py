"""A plan for a person to read."""

from __future__ import annotations

from collections.abc import Iterator

from raytuner import plan_cost
from raytuner.components import is_dotted, run_token
from raytuner.counting import Texts
from raytuner.datasets.blocks import AUTO, FEWEST_TO_SPLIT
from raytuner.errors import quoted, redact
from raytuner.estimate import Embedding, configurations, estimate
from raytuner.goals import Goal
from raytuner.own_objective import OwnObjective
from raytuner.pipeline.parameters import COMPONENTS
from raytuner.pipeline.splitters import custom, splitter_stage
from raytuner.plan import Plan
from raytuner.rag import RagObjective
from raytuner.reuse import MADE_FROM, Reuse, reuse, shares
from raytuner.schedulers import FEWEST, FIFO
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
    """What would be used again from the cache and, where nothing of the default configuration, which part differs.

    Args:
        plan: From `make_plan`, of a pipeline whose documents were read.
    """
    if isinstance(plan.objective, OwnObjective) or not plan.complete:
        return "keys        are known for raytuner's own pipeline, when its documents are read"
    return "\n".join([*_default_keys(plan, plan.objective), *_all_keys(plan, plan.objective)])


def _default_keys(plan: Plan, objective: RagObjective) -> Iterator[str]:
    if splitter_stage(objective.resolved(plan.default)) is custom:
        yield "keys        of the default configuration are not known: the splitter is not imported"
        return
    yield "keys        of the default configuration"
    for found in reuse(objective, plan.default):
        yield f"  {found.stage:15} {found.key}  {_there(found)}"


def _all_keys(plan: Plan, objective: RagObjective) -> Iterator[str]:
    found = shares(objective, configurations(objective, plan.space, plan.trials))
    yield "keys        of all configurations, on disk"
    for stage, share in found.items():
        known = [f"{share.there:,} of {share.wanted:,}"] if share.wanted else []
        unknown = [f"at most {share.unknown:,} whose texts are not looked up"] if share.unknown else []
        yield f"  {stage:15} {' and '.join([*known, *unknown])}"


LATER = "known once their texts are retrieved"


def _there(found: Reuse) -> str:
    if found.unknown == found.wanted:
        return LATER
    later = f"; {found.unknown:,} are {LATER}" if found.unknown else ""
    if not found.there:
        return _why(found) + later
    return f"{found.there:,} of {found.wanted:,} questions on disk{later}" if found.each else "on disk"


def _why(found: Reuse) -> str:
    if not found.differs:
        return f"not there, and none of this stage is{' for these questions' if found.each else ''}"
    return f"not there; differs from the nearest by {', '.join(_differences(found))}"


def _differences(found: Reuse) -> Iterator[str]:
    for name, (old, new) in found.differs.items():
        if name == MADE_FROM:
            yield "what it is made from"
        elif run_token() in str(new):
            yield f"{name}, which has no version and is used within one search only"
        else:
            yield f"{name} {quoted(new)} instead of {quoted(old)}"


def _lines(plan: Plan) -> Iterator[str]:
    yield f"documents   {_documents(plan)}"
    yield f"questions   {_questions(plan)}"
    yield from (f"objective   {_objective(plan, goal)}" for goal in plan.goals)
    yield "space"
    for name, parameter in plan.space.parameters.items():
        yield f"  {name}: {_values(parameter)}{_conditions(parameter)}"
    yield f"size        {_size(plan)}"
    yield f"default     {_params(plan.default)}"
    yield f"fixed       {_params(plan.objective.fixed)}"
    count = "until it ends" if plan.total is None else f"{plan.total} trials"
    yield f"search      {plan.search}, {count}, seed {plan.config.search.seed} ({plan.why}); {_scheduler(plan)}"
    yield from (f"warm start  {line}" for line in plan.warm.said)
    yield from _estimate(plan)
    yield f"models      {', '.join(plan.models) or 'none'}"
    yield from (f"  {name}: {place}" for name, place in plan.places.items())
    own = dict(_components(plan))
    if own:
        yield f"components  {', '.join(own)}"
    for name, path in own.items():
        yield f"  {name}: {'' if name == path else f'{path} '}by dotted path, not imported"
    yield from (f"track       {name}: {redact(to.place)}" for name, to in plan.config.track.asked.items())
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
        yield f"  {embedding.model}: {_to_embed(embedding)}"
    if found.answers or found.answered:
        bound = "at most " if found.unknown else ""
        of_all = f" of {found.answers + found.answered:,}" if found.answered else ""
        unknown = f"; of {found.unknown:,} it is not known whether they are there or shared" if found.unknown else ""
        yield f"  LLM: {bound}{found.answers:,}{of_all} answers to ask for{unknown}"
    yield from plan_cost.said(plan_cost.expected_calls(plan.objective, plan.space, plan.trials, found))


def _to_embed(embedding: Embedding) -> str:
    needed = [texts for texts in embedding.texts if texts.needed]
    if not needed:
        return "nothing, all is on disk"
    time = "" if embedding.seconds is None else f", about {_duration(embedding.seconds)} on this machine"
    return f"{', '.join(map(_texts, needed))} to embed, {round(embedding.tokens, -3):,} tokens{time}"


def _texts(texts: Texts) -> str:
    of_all = f" of {texts.wanted:,}" if texts.needed < texts.wanted else ""
    return f"{'' if texts.exact else 'about '}{texts.needed:,}{of_all} {texts.kind}"


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
    blocks = "" if isinstance(plan.objective, OwnObjective) else f", in blocks of {plan.objective.block_size}"
    unchecked = "" if plan.complete else ", not yet compared with the documents"
    held_out = getattr(plan.objective, "holdout", 0)
    kept = f", {held_out} of them held out" if held_out else ""
    if not held_out and not isinstance(plan.objective, OwnObjective):
        kept = ", none held out" + (f": that takes {FEWEST_TO_SPLIT}" if plan.config.search.holdout == AUTO else "")
    return f"{len(plan.objective.questions)}{blocks}{kept}{unchecked}"


def _scheduler(plan: Plan) -> str:
    few = isinstance(plan.objective, RagObjective) and plan.objective.total < FEWEST
    unasked = plan.scheduler == FIFO and plan.config.search.scheduler is None
    return f"{FIFO}, since racing takes {FEWEST} questions" if few and unasked else plan.scheduler


def _objective(plan: Plan, goal: Goal) -> str:
    if isinstance(plan.objective, OwnObjective):
        return f"{goal.metric} of {plan.objective.path} (by dotted path, not imported), {goal.mode}{goal.bound}"
    said = plan.config.objectives or [Goal(metric=plan.objective.metric, mode=plan.config.objective.mode)]
    asked = {goal.metric for goal in said if goal.mode is not None}
    if goal.metric in plan.objective.modes:
        return str(goal)
    not_imported = f"{goal.metric} (by dotted path, not imported)"
    if goal.metric in asked:
        return f"{not_imported}, {goal.mode}{goal.bound}"
    limit = "" if goal.limit is None else f", limit {goal.limit:g}"
    return f"{not_imported}, max unless it says min{limit}"


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
