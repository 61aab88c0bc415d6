"""A search on Ray tells its trackers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest

from raytuner import RayTuneParamTuner

pytestmark = [pytest.mark.ray, pytest.mark.timeout(200)]


def scored(params: Mapping[str, Any]) -> Iterator[dict[str, dict[str, float]]]:
    if params["k"] == 3:
        raise ValueError("three")
    for block in range(3):
        yield {f"q{block}": {"score": float(params["k"] + block)}}


def test_a_search_is_told_of(tmp_path: Path, local_ray: int) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    tuner = RayTuneParamTuner(
        param_fn=scored, param_dict={"k": [1, 2, 3]}, storage_path=tmp_path, track={"optuna": url, "tensorboard": {}}
    )
    result = tuner.tune()
    assert result.notes == []
    assert result.run is not None
    [summary] = optuna.get_all_study_summaries(storage=url)
    assert summary.study_name == Path(result.run).name
    trials = optuna.load_study(study_name=summary.study_name, storage=url).trials
    found = {trial.params["k"]: (trial.state.name, trial.intermediate_values) for trial in trials}
    assert found[2] == ("COMPLETE", {1: 2.0, 2: 2.5, 3: 3.0})
    assert found[3] == ("FAIL", {})
    assert summary.user_attrs["best trial"] == result.best.trial
    assert len(list(Path(result.run).glob("tensorboard/trial-*"))) == 3
