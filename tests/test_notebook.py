"""The tuners in a real notebook kernel: objectives live in `__main__`, and a loop is always running."""

from __future__ import annotations

from pathlib import Path

import nbclient
import nbformat
import pytest

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]

CELLS = (
    "from raytuner import AsyncParamTuner, ParamTuner, RayTuneParamTuner, RunResult\n"
    "factor = 10\n"
    "def objective(params):\n"
    "    return RunResult(score=factor * params['a'] + params['offset'], params=params)\n"
    "async def aobjective(params):\n"
    "    return objective(params)\n"
    "options = {'param_dict': {'a': [1, 2, 3]}, 'fixed_param_dict': {'offset': 5}}",
    "print(ParamTuner(param_fn=objective, **options).tune().best_run_result.score)",
    "print(AsyncParamTuner(aparam_fn=aobjective, **options).tune().best_run_result.score)",
    "print((await AsyncParamTuner(aparam_fn=aobjective, **options).atune()).best_run_result.score)",
    "print(RayTuneParamTuner(param_fn=objective, **options).tune().best_run_result.score)",
    "print((await RayTuneParamTuner(aparam_fn=aobjective, search='optuna', **options).atune()).best_run_result.score)",
)


def test_all_tuners_run_in_notebook_cells(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    client = nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    printed = [
        "".join(output.get("text", "") for output in cell.outputs if output.get("name") == "stdout")
        for cell in notebook.cells
    ]
    assert [text.strip() for text in printed[1:]] == ["35.0"] * 5
    assert (tmp_path / "runs").is_dir()
