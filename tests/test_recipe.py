"""The recipe of LlamaIndex's tuning guide, on the Llama 2 paper, with nothing changed but the import of the tuner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.evaluation import BatchEvalRunner, QueryResponseDataset, SemanticSimilarityEvaluator
from llama_index.core.evaluation.eval_utils import get_responses
from llama_index.core.node_parser import SimpleNodeParser

from raytuner import ParamTuner, RayTuneParamTuner, RunResult, models
from raytuner.documents.load import load_documents

QUESTIONS = 12


def build_index(chunk_size: int, docs: list[Document]) -> VectorStoreIndex:
    nodes = SimpleNodeParser.from_defaults(chunk_size=chunk_size).get_nodes_from_documents(docs)
    return VectorStoreIndex(nodes, embed_model=models.embedding("wordllama"))


def objective_function(params_dict: dict[str, Any]) -> RunResult:
    """As in the guide, with the built-in embedding and the mock LLM in place of OpenAI's."""
    Settings.llm = models.llm("mock")
    index = build_index(params_dict["chunk_size"], params_dict["docs"])
    query_engine = index.as_query_engine(similarity_top_k=params_dict["top_k"])
    pred_response_objs = get_responses(params_dict["eval_qs"], query_engine, show_progress=False)
    evaluator = SemanticSimilarityEvaluator(embed_model=models.embedding("wordllama"))
    eval_batch_runner = BatchEvalRunner({"semantic_similarity": evaluator}, workers=2, show_progress=False)
    eval_results = eval_batch_runner.evaluate_responses(
        params_dict["eval_qs"], responses=pred_response_objs, reference=params_dict["ref_response_strs"]
    )
    mean_score = np.array([r.score for r in eval_results["semantic_similarity"]]).mean()
    return RunResult(score=mean_score, params=params_dict)


@pytest.fixture(scope="module")
def recipe(data_dir: Path) -> dict[str, Any]:
    text = load_documents(data_dir / "llama2" / "llama2_paper.md")[0].text
    eval_dataset = QueryResponseDataset.from_json(str(data_dir / "llama2" / "llama2_eval_qr_dataset.json"))
    eval_qs = [question for question, _ in eval_dataset.qr_pairs][:QUESTIONS]
    ref_response_strs = [response for _, response in eval_dataset.qr_pairs][:QUESTIONS]
    return {
        "param_dict": {"chunk_size": [256, 512, 1024], "top_k": [1, 2, 5]},
        "fixed_param_dict": {
            "docs": [Document(text=text)],
            "eval_qs": eval_qs,
            "ref_response_strs": ref_response_strs,
        },
    }


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("local_ray")
def test_the_guides_recipe_runs_on_both_tuners_with_equal_results(recipe: dict[str, Any], tmp_path: Path) -> None:
    here = ParamTuner(param_fn=objective_function, show_progress=True, **recipe).tune()
    on_ray = RayTuneParamTuner(
        param_fn=objective_function, run_config_dict={"storage_path": str(tmp_path), "name": "guide"}, **recipe
    ).tune()
    for results in (here, on_ray):
        best_result = results.best_run_result
        assert best_result is results.run_results[results.best_idx]
        assert len(results.run_results) == 9
        assert best_result.score == max(run.score for run in results.run_results)
        assert 0 < best_result.score < 1
        assert best_result.params["docs"] is recipe["fixed_param_dict"]["docs"]
    scores = {(run.params["chunk_size"], run.params["top_k"]): run.score for run in here.run_results}
    assert len(set(scores.values())) >= 6
    assert scores == {(run.params["chunk_size"], run.params["top_k"]): run.score for run in on_ray.run_results}
