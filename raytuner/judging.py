"""The judge of a search: an LLM that scores answers, asked through the stage cache."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from raytuner import models
from raytuner.aio import in_thread
from raytuner.calls import labelled
from raytuner.calls.context import Keep, kept_by
from raytuner.components import run_token
from raytuner.config_sections import JudgeConfig
from raytuner.errors import ConfigError, RaytunerError, TrialError, nearest
from raytuner.metrics import Evidence, Metric
from raytuner.metrics.registry import JUDGED
from raytuner.models import ModelSpec
from raytuner.pipeline.judge import JUDGE, Judgement, check_judge_prompt, judge, reply
from raytuner.pipeline.link import key_for
from raytuner.pipeline.pipeline import Pipeline
from raytuner.values import as_float

UNANSWERABLE = "The documents do not say this: the question cannot be answered from them."
"""The right answer to a question that has none."""


def judge_settings(given: str | Mapping[str, Any] | JudgeConfig | None) -> JudgeConfig | None:
    """The settings of a judge, of which the name may stand alone.

    Raises:
        ConfigError: A setting is unknown or of the wrong type, or a prompt lacks a placeholder.
    """
    if given is None:
        return given
    if isinstance(given, JudgeConfig):
        check_prompts(given.prompts)
        return given
    try:
        found = JudgeConfig.model_validate({"llm": given} if isinstance(given, str) else dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("judge", *first["loc"])))
        raise ConfigError(f"{where}: {first['msg'].lower()}; a judge has llm, prompts and temperature") from None
    check_prompts(found.prompts)
    return found


class Judge:
    """Asks an LLM what answers are worth.

    Args:
        pipeline: Its cache keeps what was said.
        settings: How it judges; None if there is no judge, but perhaps a metric of the user's own that waits.
        llm: What the name of the LLM stands for.
    """

    def __init__(self, pipeline: Pipeline, settings: JudgeConfig | None, llm: ModelSpec | None) -> None:
        self._pipeline = pipeline
        self._prompts = settings.prompts if settings is not None else {}
        self._temperature = settings.temperature if settings is not None else 0.0
        self._spec = llm

    async def score(self, metric: Metric, evidence: Evidence, repeat: int) -> float:
        """What a metric says of an answer.

        Args:
            metric: One that is judged, or that asks an LLM.
            evidence: What is known of the question and its answer.
            repeat: The judge is asked anew for each number.

        Raises:
            TrialError: The judge gave no score.
        """
        if metric.base not in JUDGED:
            return await self._own(metric, evidence, repeat)
        llm, temperature = self._llm, self._temperature
        params = {"llm": llm, "temperature": temperature, "prompt": self._prompts.get(metric.base)}
        if metric.base != "correctness":
            return await self._asked(params, metric, evidence, list(evidence.contexts), None, repeat)
        right = [evidence.reference_answer or UNANSWERABLE, *evidence.other_answers]
        # Its prompt does not hold the contexts: the same answer is judged once, whatever it was made of.
        found = [self._asked(params, metric, evidence, [], answer, repeat) for answer in dict.fromkeys(right)]
        return max(await asyncio.gather(*found))

    async def _asked(
        self,
        params: dict[str, Any],
        metric: Metric,
        evidence: Evidence,
        contexts: list[str],
        reference: str | None,
        repeat: int,
    ) -> float:
        llm, temperature = params["llm"], params["temperature"]
        asked = (metric.base, evidence.question, evidence.answer or "", contexts, reference)

        def ask() -> Coroutine[Any, Any, Judgement]:
            call: Coroutine[Any, Any, Judgement] = judge(params, *asked)
            return call

        key = key_for(judge.key(params), *asked, *([repeat] if repeat else []))
        if models.is_sampled(llm, temperature, self._model):
            key = key_for(key, run_token())  # within a search all trials share it; the next one asks anew
        found: Judgement = await self._pipeline.asked(judge, key, ask)
        if found.score is None:
            raise TrialError(found.reason)
        return found.score

    async def _own(self, metric: Metric, evidence: Evidence, repeat: int) -> float:
        """A metric of the user's own that asks; what its LLM says is kept like what a judge says."""
        function = metric.asks
        assert function is not None
        given = {"llm": self._model()} if "llm" in inspect.signature(function).parameters else {}
        kept = kept_by(self._keep(repeat)) if given else contextlib.nullcontext()
        with labelled(stage=JUDGE), kept:
            try:
                if inspect.iscoroutinefunction(function):
                    value = await function(evidence, **given)
                else:  # it may wait for its calls
                    value = await in_thread(lambda: function(evidence, **given))
            except RaytunerError:
                raise
            except Exception as error:  # whatever a user's own metric does
                raise TrialError(f"{type(error).__name__}: {error}") from error
        return as_float(value, f"metric {metric.name}")

    def _keep(self, repeat: int) -> Keep:
        params = {"llm": self._llm, "temperature": self._temperature}
        sampled = [run_token()] if models.is_sampled(self._llm, self._temperature, self._model) else []
        own = key_for(reply.key(params), *sampled, *([repeat] if repeat else []))

        async def keep(cast_to: Any, body: Mapping[str, Any], ask: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
            key = key_for(own, json.dumps(body, sort_keys=True))
            return cast_to.construct(**await self._pipeline.asked(reply, key, lambda: reply(params, ask)))

        return keep

    @property
    def _llm(self) -> ModelSpec:
        assert self._spec is not None  # see `check_judged`
        return self._spec

    def _model(self) -> Any:
        return _llm_of(asyncio.get_running_loop(), self._llm, self._temperature)


@lru_cache(maxsize=16)
def _llm_of(loop: asyncio.AbstractEventLoop, llm: ModelSpec, temperature: float) -> Any:
    return models.llm(llm, temperature=temperature)  # its clients belong to one loop


def check_judged(optimised: Sequence[Metric], settings: JudgeConfig | None) -> None:
    """Refuse metrics that need a judge where there is none.

    Raises:
        ConfigError: With the metric.
    """
    for metric in optimised:
        wants = metric.base in JUDGED or (metric.asks and "llm" in inspect.signature(metric.asks).parameters)
        if wants and settings is None:
            raise ConfigError(f"metric {metric.name} needs a judge: set objective.judge to the name of an LLM")


def check_prompts(prompts: Mapping[str, str]) -> None:
    """Refuse prompts that are of no metric that is judged, or lack a placeholder.

    Raises:
        ConfigError: With the metric.
    """
    for name, prompt in prompts.items():
        if name not in JUDGED:
            raise ConfigError(f"the judge has a prompt for {name!r}, which is not judged; {nearest(name, JUDGED)}")
        check_judge_prompt(name, prompt)
