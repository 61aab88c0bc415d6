"""MLflow: a run for the search, and nested in it one for each trial."""

from __future__ import annotations

import logging
import math
import os
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from raytuner.tracking.config import MlflowConfig
from raytuner.tracking.tracker import EndFacts, RunFacts, State, TrialFacts

RUN = "raytuner.run"
TRIAL = "raytuner.trial"
STATE = "raytuner.state"
REASON = "raytuner.reason"
PARENT = "mlflow.parentRunId"
STATUS: Mapping[State, str] = {"running": "RUNNING", "scored": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
QUESTIONS = "questions"
AT_ONCE = 800
"""So many metrics in a request, which may hold 1000 things, and runs in a page."""
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # raytuner tries again by itself
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""What MLflow reads, where it is not set already."""


class Mlflow:
    """See `raytuner.tracking.tracker.Tracker`; what is there already is found by the tags of its runs.

    Args:
        config: Its options.
    """

    def __init__(self, config: MlflowConfig) -> None:
        self._config = config

    def begin(self, run: RunFacts) -> None:
        """Find or make the run of the search."""
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):  # after the import, which sets them
            logging.getLogger(name).setLevel(logging.ERROR)
        self._facts = run
        own = run.folder / "mlflow.db"
        address = self._config.address()
        self._client: Any = MlflowClient(tracking_uri=address or f"sqlite:///{own}")
        artifacts = None if address else (run.folder / "mlflow-artifacts").as_uri()
        known = self._client.get_experiment_by_name(self._config.experiment)
        self._experiment = (
            known.experiment_id
            if known is not None
            else self._client.create_experiment(self._config.experiment, artifact_location=artifacts)
        )
        self._seen: dict[int, TrialFacts] = {}
        self._find()
        self._run = self._parent or self._made(run.name, {})
        if not self._run.data.params:
            facts = {name: value for name, value in run.facts.items() if value is not None}
            self._log(self._run, params={"objectives": "; ".join(map(str, run.goals)), **facts})
        self._client.update_run(self._run.info.run_id, status=STATUS["running"])

    def trial(self, trial: TrialFacts) -> None:
        """Write what is new of a trial."""
        if trial.number not in self._trials and self._unsure:
            self._find()
        if trial.number not in self._trials:
            tags = {PARENT: self._run.info.run_id, TRIAL: str(trial.number)}
            self._trials[trial.number] = self._made(f"trial {trial.number}", tags)
        run, before = self._trials[trial.number], self._seen.get(trial.number)
        known = before.answered if before is not None else run.data.metrics.get(QUESTIONS, 0)
        values = [
            (name, value, step.questions)
            for step in trial.steps
            if step.questions > known
            for name, value in {**step.metrics, QUESTIONS: step.questions}.items()
        ]
        values += [(name, value, trial.answered) for name, value in self._conclusion(trial, run, before).items()]
        tags = {STATE: trial.state, REASON: trial.reason}
        self._log(run, {} if run.data.params or before is not None else trial.params, values, tags)
        self._seen[trial.number] = trial
        if trial.ended:
            self._client.set_terminated(run.info.run_id, STATUS[trial.state])
        elif before is not None and before.ended:
            self._client.update_run(run.info.run_id, status=STATUS[trial.state])

    def end(self, end: EndFacts) -> None:
        """Write how the search ended."""
        run = self._run.info.run_id
        known = self._client.get_run(run).data.metrics
        self._log(self._run, values=[(name, value, 0) for name, value in end.facts.items() if known.get(name) != value])
        self._client.set_terminated(run, STATUS["scored" if end.finished else "stopped"])
        if self._facts.config:
            self._client.log_text(run, self._facts.config, "config.yaml")

    def _conclusion(self, trial: TrialFacts, run: Any, before: TrialFacts | None) -> dict[str, float]:
        """The values of a trial as a whole that are not there yet."""
        if not trial.ended:
            return {}
        known: Mapping[str, float] = before.values if before is not None and before.ended else {}
        if before is None and run.data.tags.get(STATE) == trial.state:  # an earlier driver has told of its end
            known = {name: run.data.metrics[_key(name)] for name in trial.values if _key(name) in run.data.metrics}
        steps = {**trial.steps[-1].metrics, QUESTIONS: trial.answered} if trial.steps else {}
        return {name: value for name, value in trial.values.items() if value not in (known.get(name), steps.get(name))}

    def _find(self) -> None:
        """Look for the run of the search, and those of its trials."""
        self._parent, self._trials, token = None, {}, None
        query = f"tags.`{RUN}` = '{self._facts.id}'"
        while True:
            page = self._client.search_runs([self._experiment], query, max_results=AT_ONCE, page_token=token)
            for found in page:
                if TRIAL in found.data.tags:
                    self._trials[int(found.data.tags[TRIAL])] = found
                else:
                    self._parent = found
            token = page.token
            if not token:
                break
        self._unsure = False

    def _made(self, name: str, tags: Mapping[str, str]) -> Any:
        """A new run."""
        self._unsure = True  # the answer may be lost, and the run be there
        made = self._client.create_run(self._experiment, run_name=name, tags={RUN: self._facts.id, **tags})
        self._unsure = False
        return made

    def _log(
        self,
        run: Any,
        params: Mapping[str, Any] | None = None,
        values: Sequence[tuple[str, float, int]] = (),
        tags: Mapping[str, str] | None = None,
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        more: dict[str, Any] = {
            "params": [Param(_key(name), str(value)[:500]) for name, value in (params or {}).items()][:100],
            "tags": [RunTag(name, text) for name, text in (tags or {}).items() if text],
        }
        metrics = [Metric(_key(name), float(value), now, step) for name, value, step in values if math.isfinite(value)]
        for at in range(0, max(1, len(metrics)), AT_ONCE):
            self._client.log_batch(run.info.run_id, metrics=metrics[at : at + AT_ONCE], **more)
            more = {}


def _key(name: str) -> str:
    """A name as MLflow takes it, which knows no ``@``."""
    return re.sub(r"[^\w\-./ ]", "_", name)


def make(config: MlflowConfig) -> Mlflow:
    """See `raytuner.tracking.registry.make`."""
    return Mlflow(config)
