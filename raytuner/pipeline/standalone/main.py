"""The query engine, and the command line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import QueryBundle

from raytuner.pipeline.standalone.documents import read_documents
from raytuner.pipeline.standalone.glue import make_nodes, make_postprocessors, make_retriever, make_synthesizer


def build(paths: Sequence[str]) -> RetrieverQueryEngine:
    """Make the query engine over documents: files and folders."""
    return RetrieverQueryEngine(
        make_retriever(make_nodes(read_documents(paths))),
        response_synthesizer=make_synthesizer(),
        node_postprocessors=make_postprocessors(),
    )


def main() -> None:
    """Answer the questions of the command line."""
    parser = argparse.ArgumentParser(description="Answer questions about documents.")
    parser.add_argument("questions", nargs="+", metavar="QUESTION")
    parser.add_argument("--documents", nargs="+", required=True, metavar="PATH", help="Files or folders.")
    parser.add_argument("--json", action="store_true", help="Print a JSON object for each question.")
    options = parser.parse_args()
    engine = build(options.documents)
    for question in options.questions:
        nodes = engine.retrieve(QueryBundle(question))
        answer = str(engine.synthesize(QueryBundle(question), nodes)) if nodes else ""
        sources = [{"document": one.metadata["document"], "score": one.score, "text": one.text} for one in nodes]
        if options.json:
            print(json.dumps({"question": question, "answer": answer, "sources": sources}, ensure_ascii=False))
            continue
        print(f"{question}\n{answer}")
        for one in sources:
            print(f"  [{one['document']}, {one['score']:.4f}] {' '.join(one['text'].split())[:100]}")


if __name__ == "__main__":
    main()
