"""``raytuner export --python``: a configuration as code that uses LlamaIndex alone."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

from raytuner.chosen import Chosen
from raytuner.components import Component
from raytuner.documents.find import find_files
from raytuner.errors import ConfigError
from raytuner.models.spec import spec
from raytuner.pipeline.chunk import overlap_tokens
from raytuner.pipeline.generate import EXTRACTIVE
from raytuner.pipeline.retrieve import MIN_DEPTH
from raytuner.script_models import embedding_expression, llm_expression
from raytuner.script_text import ScriptText, literal

READERS = {
    "read_text": (".txt", ".text", ".md", ".markdown", ".rst"),
    "read_html": (".html", ".htm", ".xhtml"),
    "read_word": (".docx",),
    "read_pdf": (".pdf",),
}
"""What reads documents, and the suffixes of their files."""

HEAD = '''"""A RAG pipeline: trial {trial} of the run {run}.

Ask it, in an environment with the packages that are listed above:

    python pipeline.py "What is ...?" --documents DOCUMENTS

or let uv make that environment: uv run pipeline.py ... In code, `build([DOCUMENTS])` is its query engine.
"""'''


def script_of(chosen: Chosen) -> str:
    """The code that builds the index and the query engine of a configuration.

    It retrieves the same chunks with the same scores and asks the same LLM with the same prompts. Nothing is imported
    that the run names, and no key is in it.

    Args:
        chosen: The configuration.

    Raises:
        ConfigError: The documents, or a model, cannot be had without raytuner.
        DataError: The documents cannot be found.
    """
    own = chosen.resolved()
    script = ScriptText(_values(own, chosen))
    _readers(script, chosen)
    _splitter(script, own)
    _retriever(script, own)
    _postprocessors(script, own)
    _synthesizer(script, own)
    if "embed_model" in script.wanted:
        expression = embedding_expression(script, spec(own["embedding"]), own["long_text"])
        script.imports("from functools import cache")
        script.imports("from llama_index.core.embeddings import BaseEmbedding")
        script.define(
            "@cache\ndef embed_model() -> BaseEmbedding:\n"
            f'    """Make the embedding model, once."""\n    return {expression}'
        )
    script.include("main")
    name = re.sub(r"[^\w.-]", "-", chosen.folder.name)
    python = f">={sys.version_info.major}.{sys.version_info.minor}"
    return script.text(HEAD.format(trial=chosen.trial, run=name), python)


def _values(own: Mapping[str, Any], chosen: Chosen) -> dict[str, Any]:
    """The constants of the pieces."""
    document_section = chosen.config.documents
    overlap = 0 if own["splitter"] == "semantic" else overlap_tokens(own["chunk_size"], own["chunk_overlap"])
    return {
        "ENCODING": document_section.encoding if document_section else "utf-8-sig",
        "CHUNK_SIZE": own["chunk_size"],
        "CHUNK_OVERLAP": overlap,
        "WINDOW_SIZE": own["window_size"],
        "BREAKPOINT_PERCENTILE": own["breakpoint_percentile"],
        "LONG_TEXT": own["long_text"],
        "BM25_K1": own["bm25_k1"],
        "BM25_B": own["bm25_b"],
        "FUSION": own["fusion"],
        "FUSION_WEIGHT": own["fusion_weight"],
        "FUSION_DEPTH": own["fusion_depth"],
        "RERANK_DEPTH": own["rerank_depth"],
        "TOP_K": own["top_k"],
        "SIMILARITY_CUTOFF": own["similarity_cutoff"],
        "PROMPT": own["prompt"],
        "RESPONSE_MODE": own["response_mode"],
        "ANSWER_TOKENS": own["answer_tokens"],
    }


def _readers(script: ScriptText, chosen: Chosen) -> None:
    section = chosen.config.documents
    assert section is not None and chosen.config.questions is not None  # or it would have no pipeline
    if section.reader is not None:
        raise ConfigError(f"documents.reader {section.reader} cannot be exported as code; use raytuner.load")
    suffixes = {file.suffix for file in find_files(section.paths, chosen.config.questions.paths)}
    entries = []
    for reader, known in READERS.items():
        if used := sorted(suffixes & set(known)):
            script.include(reader)
            entries += [f"{literal(suffix)}: {reader}" for suffix in used]
            suffixes -= set(known)
    if suffixes:
        raise ConfigError(
            f"documents of {', '.join(sorted(suffixes))} files cannot be exported as code; write each as a text file, "
            "or use raytuner.load"
        )
    script.imports("from collections.abc import Callable")
    script.imports("from pathlib import Path")
    script.define(f"READERS: dict[str, Callable[[Path], str]] = {{{', '.join(entries)}}}")


def _splitter(script: ScriptText, own: Mapping[str, Any]) -> None:
    splitter = own["splitter"]
    if isinstance(splitter, Component):
        script.own_part(splitter.path, "own_splitter")
        options = script.options(splitter)
        script.define(
            "def splitter_options() -> dict[str, Any]:\n"
            f'    """The options of the splitter of your own."""\n    return {options}'
        )
        script.include("own_splitter")
    elif splitter == "sentence_window":
        script.include("split_window")
        return
    else:
        script.include(f"split_{splitter}")
    script.include("nodes")


def _depth(own: Mapping[str, Any]) -> str:
    return "RERANK_DEPTH" if own["reranker"] is not None else "TOP_K"


def _retriever(script: ScriptText, own: Mapping[str, Any]) -> None:
    retriever, depth = own["retriever"], _depth(own)
    if isinstance(retriever, Component):
        script.own_part(retriever.path, "own_retriever")
        script.include("made")
        reached = max(own["top_k"], own["rerank_depth"] if own["reranker"] is not None else 0, MIN_DEPTH)
        made = f"made(own_retriever, {script.options(retriever)}, nodes=list(nodes), similarity_top_k={reached})"
    elif retriever == "hybrid":
        for piece in ("vector", "bm25", "hybrid"):
            script.include(piece)
        inner = "VectorRetriever(nodes, FUSION_DEPTH), BM25Retriever(nodes, FUSION_DEPTH)"
        made = f"HybridRetriever({inner}, {script.use(depth)})"
        script.use("FUSION_DEPTH")
    else:
        script.include(retriever)
        made = f"{'VectorRetriever' if retriever == 'vector' else 'BM25Retriever'}(nodes, {script.use(depth)})"
    script.imports("from collections.abc import Sequence")
    script.imports("from llama_index.core.retrievers import BaseRetriever")
    script.imports("from llama_index.core.schema import TextNode")
    script.define(
        "def make_retriever(nodes: Sequence[TextNode]) -> BaseRetriever:\n"
        f'    """Make the retriever over the chunks."""\n    return {made}'
    )


def _postprocessors(script: ScriptText, own: Mapping[str, Any]) -> None:
    steps = []
    if own["reranker"] is not None:
        reranker: Component = own["reranker"]
        script.own_part(reranker.path, "own_reranker")
        script.include("made")
        steps.append(f"First(count={script.use('RERANK_DEPTH')})")
        steps.append(f"made(own_reranker, {script.options(reranker)}, top_n=RERANK_DEPTH)")
    if own["reranker"] is not None or isinstance(own["retriever"], Component):  # others give no more
        script.include("first")
        steps.append(f"First(count={script.use('TOP_K')})")
    if own["similarity_cutoff"] is not None:
        script.imports("from llama_index.core.postprocessor import SimilarityPostprocessor")
        steps.append(f"SimilarityPostprocessor(similarity_cutoff={script.use('SIMILARITY_CUTOFF')})")
    if own["splitter"] == "sentence_window":
        steps.append("Widened()")
    listed = "[]" if not steps else "[\n" + "".join(f"        {step},\n" for step in steps) + "    ]"
    script.imports("from llama_index.core.postprocessor.types import BaseNodePostprocessor")
    script.define(
        "def make_postprocessors() -> list[BaseNodePostprocessor]:\n"
        f'    """Make what comes between retriever and answer."""\n    return {listed}'
    )


def _synthesizer(script: ScriptText, own: Mapping[str, Any]) -> None:
    if own["llm"] == EXTRACTIVE:
        script.include("extract")
        body = "    return ExtractiveSynthesizer()"
    else:
        script.imports("from llama_index.core.response_synthesizers import ResponseMode, get_response_synthesizer")
        model = llm_expression(script, spec(own["llm"]), own["temperature"])
        template = ""
        if own["prompt"] is not None:
            script.imports("from llama_index.core import PromptTemplate")
            name = "summary_template" if own["response_mode"] == "tree_summarize" else "text_qa_template"
            template = f"        {name}=PromptTemplate({script.use('PROMPT')}),\n"
        mode = f"        response_mode=ResponseMode({script.use('RESPONSE_MODE')}),\n"
        body = f"    return get_response_synthesizer(\n        llm={model},\n{mode}{template}    )"
    script.imports("from llama_index.core.response_synthesizers import BaseSynthesizer")
    script.define(
        f'def make_synthesizer() -> BaseSynthesizer:\n    """Make what answers from the retrieved chunks."""\n{body}'
    )
