"""Chunks of whole sentences."""

from __future__ import annotations

from functools import cache

from llama_index.core.node_parser import SentenceSplitter

from raytuner.pipeline.standalone.sentences import sentence_pieces

CHUNK_SIZE = 512
CHUNK_OVERLAP = 51


@cache
def sentence_splitter() -> SentenceSplitter:
    """LlamaIndex's splitter, which here also knows the sentence ends of Chinese and Japanese."""
    return SentenceSplitter(chunk_size=CHUNK_SIZE, chunk_overlap=CHUNK_OVERLAP, chunking_tokenizer_fn=sentence_pieces)
