"""A rule as Ray Tune's scheduler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from raytuner.schedulers.rule import Rule
from raytuner.schedulers.unfinished import Losses
from raytuner.trainable import PAYLOAD, Payload


class RuleScheduler(FIFOScheduler):  # type: ignore[misc]
    """Asks a rule after each block of questions whether the trial goes on.

    A worker that tells several blocks at once has gone on before it was asked: what comes after the block at which its
    trial is stopped is dropped, so that it does not depend on speed what is known of a trial.

    Args:
        rule: The rule.
        learn: Called after each block with Ray's id of the trial, the share of the questions that it has seen, and its
            means so far, if it is known how many questions there are.
        losses: Says which trials go on whose worker was lost.
    """

    def __init__(self, rule: Rule, learn: Callable[[str, float, Mapping[str, float]], None], losses: Losses) -> None:
        super().__init__()
        self._losses = losses
        self._rule = rule
        self._learn = learn

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles the scheduler to a file that nobody reads."""
        return {}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Take in what a trial reports, before the study does."""
        payload: Payload | None = result.get(PAYLOAD)
        if payload is None:
            return str(TrialScheduler.CONTINUE)
        number = payload.number
        if payload.held_out:
            return str(TrialScheduler.STOP if payload.ended or payload.halted else TrialScheduler.CONTINUE)
        if number not in self._rule.running:
            self._rule.begin(number)
        for position, report in enumerate(payload.reports, 1):
            if report.block is None:
                continue
            reason = self._rule.block(number, report.block.values)
            if self._rule.total:
                self._learn(trial.trial_id, self._rule.count(number) / self._rule.total, report.metrics)
            if reason is not None:
                payload.stop(position, reason, self._rule.told(number))
                return str(TrialScheduler.STOP)
        if payload.ended:
            self._rule.end(number, failed=payload.error is not None)
        goes_on = not (payload.ended or payload.paused or payload.halted)
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """A worker was lost."""
        if trial.config.get("held_out") or self._losses.goes_on(trial.trial_id, trial.config["number"]):
            return
        self._rule.end(trial.config["number"], failed=True)
