"""The tuners in a real notebook kernel: objectives live in `__main__`, and a loop is always running."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

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
    "options = {'param_dict': {'a': [1, 2, 3]}, 'fixed_param_dict': {'offset': 5}, 'show_progress': True}",
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
    for cell in notebook.cells[1:]:
        bars = [str(output.get("data") or output.get("text")) for output in cell.outputs]
        assert any("3/3" in bar and "best score=35" in bar for bar in bars)
    assert (tmp_path / "runs").is_dir()


def outputs(notebook: Any, cell: int, kind: str) -> list[str]:
    """What a cell shows, of one media type."""
    shown = [output.get("data", {}).get(kind) for output in notebook.cells[cell].outputs]
    return [text for text in shown if text]


RESULT = (
    "import raytuner\n"
    "config = raytuner.TuneConfig.parse('''\n"
    "documents: builtin:quickstart\n"
    "questions: builtin:quickstart\n"
    "pipeline: {retriever: bm25}\n"
    "space: {top_k: [1, 2, 3], prompt: ['<b>{context_str} {query_str}</b>']}\n"
    "''')\n"
    "result = raytuner.tune(config)",
    "result",
)


def test_progress_and_results_are_tables(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in RESULT])
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    [progress] = outputs(notebook, 0, "text/html")  # one display, which was updated
    assert "done 3/3" in progress
    assert "<th>top_k</th><th>span_f4</th>" in progress
    [log] = tmp_path.glob("runs/*/raytuner.log")
    assert "trial 3: span_f4" in log.read_text()
    [result] = outputs(notebook, 1, "text/html")
    assert result.startswith("<table>")
    assert result.count("<tr>") == 4
    for html in (progress, result):
        assert "<b>" not in html
        assert "&lt;b&gt;" in html


SLOW = (
    "import time\n"
    "from raytuner import RayTuneParamTuner\n"
    "def objective(params):\n"
    "    time.sleep(0.2 if params['a'] < 3 else 60)\n"
    "    return float(params['a'])\n"
    "result = RayTuneParamTuner(param_fn=objective, param_dict={'a': [1, 2, 3, 4, 5]}).tune()\n"
    "print('returned')",
    "print(result.interrupted, [run.params['a'] for run in result.run_results])",
    "result",
)


def test_interrupting_the_kernel_returns_what_is_finished(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in SLOW])
    client = nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    with client.setup_kernel():
        assert client.km is not None
        interrupter = threading.Thread(target=interrupt_after, args=(client.km, tmp_path, 2))
        interrupter.start()
        for number, cell in enumerate(notebook.cells):
            client.execute_cell(cell, number)
        interrupter.join()
    text = ["".join(output.get("text", "") for output in cell.outputs) for cell in notebook.cells]
    assert text[0].endswith("returned\n")
    assert text[1] == "True [2, 1]\n"
    [table] = outputs(notebook, 2, "text/html")
    assert table.count("<tr>") == 3
    assert "interrupted: this is what was finished" in table


def interrupt_after(kernel: Any, folder: Path, trials: int) -> None:
    """Press the notebook's stop button once so many trials are finished."""
    end = time.monotonic() + 100
    while time.monotonic() < end:
        logs = list(folder.glob("runs/*/log.jsonl"))
        if logs and logs[0].read_text().count('"kind": "trial"') >= trials:
            break
        time.sleep(0.1)
    time.sleep(1)
    asyncio.run(kernel.interrupt_kernel())
