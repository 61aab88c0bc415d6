"""What goes to workers and comes back, without Ray."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core.node_parser import SentenceSplitter

from raytuner.documents.document import Document
from raytuner.objective import Block, Objective, Report
from raytuner.run_log import RunLog
from raytuner.schedulers.unfinished import Losses
from raytuner.space import SearchSpace
from raytuner.study import Study
from raytuner.take_up import left_of
from raytuner.trainable import PAYLOAD, ObjectiveTrainable, Parcel, Payload, StudyCallback

TOKENS = """
import sys
from pathlib import Path
assert "tiktoken" not in sys.modules and "llama_index" not in sys.modules
content = Path(sys.argv[1]).read_bytes()
{unpack}
print(objective.fixed["splitter"].split_text("one two"), space.size())
"""
BY_PARCEL = "from raytuner.trainable import Parcel; objective, space = Parcel(content, (), (), 'run').unpack()"
BY_PICKLE = "from ray import cloudpickle; objective, space = cloudpickle.loads(content)"


def without_network(folder: Path) -> dict[str, str]:
    """An environment in which tiktoken finds no encoding, neither in the network nor in a cache."""
    caches = ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR", "NO_PROXY", "no_proxy")
    kept = {name: value for name, value in os.environ.items() if name not in caches}
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    return {**kept, **nowhere, "TMPDIR": str(folder)}


@pytest.mark.parametrize("unpack", [BY_PARCEL, BY_PICKLE], ids=["a parcel", "a pickle"])
def test_a_tokenizer_arrives_where_it_cannot_be_fetched(tmp_path: Path, unpack: str) -> None:
    """A pickle alone shows that the environment is what it says."""
    objective = Objective(len, {"splitter": SentenceSplitter(chunk_size=64, chunk_overlap=0)})
    (tmp_path / "content").write_bytes(Parcel.pack(objective, SearchSpace.from_dict({"a": [1, 2]})).content)
    done = subprocess.run(
        [sys.executable, "-c", TOKENS.format(unpack=unpack), str(tmp_path / "content")],
        env=without_network(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if unpack == BY_PARCEL:
        assert (done.returncode, done.stdout) == (0, "['one two'] 2\n"), done.stderr
    else:
        assert done.returncode != 0
        assert "cl100k_base" in done.stderr


def holding(*documents: Document) -> Objective:
    return Objective(len, {"documents": list(documents)})


@pytest.mark.parametrize("text", ["plain " * 1000, "snow \u2603 \U0001f600 " * 500, "half \ud83d " * 1000])
def test_a_long_text_travels_as_a_buffer_that_is_not_copied(text: str) -> None:
    document = Document("a", text, "a.md", (0, 7))
    parcel = Parcel.pack(holding(document), SearchSpace.from_dict({}))
    assert len(parcel.content) < 2000
    (buffer,) = parcel.buffers
    objective, _ = parcel.unpack()
    (arrived,) = objective.fixed["documents"]
    assert memoryview(arrived._encoded).obj is memoryview(buffer).obj
    assert "text" not in vars(arrived)
    assert (arrived, arrived.text, arrived.page(8)) == (document, text, 2)
    assert hash(arrived) == hash(document)


def test_short_texts_travel_within_and_others_arrays_stay_writable() -> None:
    objective = Objective(len, {"documents": [Document("a", "short")], "array": np.zeros(10_000)})
    parcel = Parcel.pack(objective, SearchSpace.from_dict({}))
    assert parcel.buffers == ()
    arrived, _ = parcel.unpack()
    assert arrived.fixed["documents"] == [Document("a", "short")]
    arrived.fixed["array"][0] = 1


def test_what_has_arrived_can_go_on() -> None:
    texts = ["one " * 2000, "two " * 2000]
    parcel = Parcel.pack(holding(*(Document(text[:3], text) for text in texts)), SearchSpace.from_dict({}))
    objective, space = parcel.unpack()
    again, _ = Parcel.pack(objective, space).unpack()
    found = again.fixed["documents"]
    assert [found[i].text for i in (0, 1, 0)] == [texts[0], texts[1], texts[0]]
    assert pickle.loads(pickle.dumps(found)) == found
    assert copy.deepcopy(found) == found


class Blocks:
    """Two questions, and then held-out ones."""

    total, holdout = 2, 2

    def blocks(self, params: dict[str, Any], start: int = 0) -> Iterator[Any]:
        for at in range(start, 4):
            yield {f"q{at}": {"score": float(at)}}


def went_on() -> tuple[Study, StudyCallback]:
    """A study of a trial that has answered one question and goes on."""
    study = Study("score", "max")
    study.start(1, {"a": 1})
    study.report(1, Report({"score": 0.2}, Block(0, {"q0": {"score": 0.2}}, 0.1)))
    study.resume(1)
    space = SearchSpace.from_dict({"a": [1, 2]})
    return study, StudyCallback(study, space, RunLog(), Losses(), None)


def test_the_search_hears_of_all_questions_of_a_trial_that_went_on() -> None:
    study, callback = went_on()
    last = Report({"score": 0.6}, Block(1, {"q1": {"score": 0.6}}, 0.1))
    result = {"score": 0.6, PAYLOAD: Payload(1, [last], 1.0, ended=True)}
    callback.on_trial_result(1, [], None, result)
    assert study.trials[1].metrics["score"] == pytest.approx(0.4)
    assert result["score"] == pytest.approx(0.4)


def test_of_a_trial_that_was_lost_after_its_last_question_only_the_end_is_left() -> None:
    study, callback = went_on()
    objective = Objective(Blocks())
    space = SearchSpace.from_dict({"a": [1, 2]})
    point = space.encode({"a": 1})
    worker = ObjectiveTrainable.__new__(ObjectiveTrainable)
    worker._objective, worker._space = objective, space
    left = left_of(study, objective)
    worker._begin(left({"number": 1, "point": point}))
    assert next(worker._reports).metrics == {"score": 1.0}
    study.report(1, Report({"score": 0.6}, Block(1, {"q1": {"score": 0.6}}, 0.1)))
    worker._begin(left({"number": 1, "point": point}))
    assert list(worker._reports) == [], "and none of the held-out questions"
    result = {"score": float("nan"), PAYLOAD: Payload(1, [], 1.0, ended=True)}
    callback.on_trial_result(1, [], None, result)
    assert result["score"] == pytest.approx(0.4)


HANGS = """
import time
from types import SimpleNamespace
from raytuner import trainable
trainable.LEAST_SETUP_S = 0.5
parcel = SimpleNamespace(unpack=lambda: time.sleep(100))
worker = object.__new__(trainable.ObjectiveTrainable)
worker.setup({{}}, parcel, SimpleNamespace(workers=1, hold_back=lambda: print("held back")), timeout_s={timeout_s})
"""


def test_a_worker_that_hangs_in_its_setup_is_ended_after_the_time_of_a_trial() -> None:
    code = HANGS.format(timeout_s=0.1)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Timeout (0:00:00.5")
    assert "in setup" in done.stderr
    assert done.stdout == ""


def test_a_trial_of_a_worker_that_could_not_start_is_not_held_to_its_setup() -> None:
    """What fails in time waits for others as it did; the clock is off by then."""
    code = HANGS.format(timeout_s=0.1).replace("time.sleep(100)", "1 / 0").replace("print(", "time.sleep(1) or print(")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "ZeroDivisionError" in done.stderr
    assert done.stdout == "held back\n"
