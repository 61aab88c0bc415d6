"""A search that starts from an earlier run, and goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from made_runs import make_run, write_config, write_data

from raytuner import TuneConfig, resume, tune
from raytuner.trial_log import read_log
from raytuner.warm_start import FILE

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


def test_leaders_come_after_the_default_and_are_known_when_it_goes_on(tmp_path: Path, local_ray: int) -> None:
    write_data(tmp_path)
    trials = [{"chunk_size": size, "top_k": k} for size in (16, 32, 64) for k in (1, 2)]
    make_run(write_config(tmp_path), trials, name="first")
    search = {"name": "random", "trials": 4, "holdout": "none", "scheduler": "fifo"}
    run = {"folder": str(tmp_path / "runs"), "name": "second"}
    config = TuneConfig.load(write_config(tmp_path, "new.yaml", warm_start="runs/first", search=search, run=run))
    result = tune(config, show_progress=False)
    assert result.run is not None
    kept = json.loads((Path(result.run) / FILE).read_text())
    rows = sorted(
        (row for row in read_log(Path(result.run)).rows if row["kind"] == "start"), key=lambda row: row["trial"]
    )
    assert rows[0]["params"] == {"chunk_size": 16, "top_k": 1}
    assert [row["point"] for row in rows[1 : 1 + len(kept["first"])]] == kept["first"]
    assert any("leaders are tried first" in note for note in result.notes)
    shutil.rmtree(tmp_path / "runs" / "first-20260101-000000")  # it is not needed any more
    again = resume(result.run, trials=1)
    assert again.trials == 5
