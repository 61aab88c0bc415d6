"""What a pipeline asks the cache for, and what each of these artefacts is made of: for the properties of keys."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pytest
from hypothesis import strategies as st
from llama_index.core.base.llms.types import CompletionResponse, LLMMetadata
from llama_index.core.llms import CustomLLM
from llama_index.core.node_parser import NodeParser
from llama_index.core.schema import NodeWithScore, TextNode

from raytuner import components, models
from raytuner.components import Component, component
from raytuner.documents.document import Document
from raytuner.models import ModelSpec
from raytuner.models.spec import spec
from raytuner.pipeline import cache, parameters
from raytuner.pipeline.cache import StageCache
from raytuner.pipeline.generate import EXTRACTIVE, _synthesizer, model_for
from raytuner.pipeline.link import LINKS, key_for
from raytuner.pipeline.own_models import NamedModel
from raytuner.pipeline.pipeline import Pipeline
from raytuner.pipeline.retrieve import MIN_DEPTH
from raytuner.pipeline.splitters import SPLITTERS, custom, splitter_stage
from raytuner.pipeline.stage import Stage, digest

# Components and models: quick, and unlike each other in all that they are made of.


class Pieces(NodeParser):
    """Cuts at full stops."""

    end: str = "."

    def _parse_nodes(self, nodes: Any, show_progress: bool = False, **kwargs: Any) -> list[TextNode]:
        return [TextNode(text=piece) for node in nodes for piece in self.pieces(node.text)]

    def pieces(self, text: str) -> list[str]:
        return re.findall(rf"[^{self.end}]+[{self.end}]?", text)


class Sized(Pieces):
    """Cuts pieces of equal size, without overlap."""

    chunk_size: int
    chunk_overlap: int

    def pieces(self, text: str) -> list[str]:
        return [text[start : start + self.chunk_size] for start in range(0, len(text), self.chunk_size)]


class Shuffled:
    """A retriever or reranker in an order that is decided by all that it gets."""

    def __init__(self, nodes: Any = (), least: int = 1, llm: Any = None) -> None:
        self.nodes = [NodeWithScore(node=node, score=1.0) for node in nodes]
        self.seed = [type(self).__name__, least, getattr(llm, "who", None)]

    def retrieve(self, query: str) -> list[NodeWithScore]:
        return self.postprocess_nodes(self.nodes, query)

    def postprocess_nodes(self, nodes: list[NodeWithScore], query_str: str) -> list[NodeWithScore]:
        return sorted(nodes, key=lambda found: digest([self.seed, query_str, found.node.text, found.node.metadata]))


class OtherShuffled(Shuffled):
    """Another one."""


class Vectors:
    """An embedding model whose vectors are decided by what it is and what it gets, which it notes."""

    embed_batch_size = 8

    def __init__(self, who: str, given: Mapping[str, list[str]]) -> None:
        self.who, self.given = who, given

    def get_text_embedding_batch(self, texts: list[str]) -> list[list[float]]:
        self.given["embed_text"].extend(texts)
        return [self.vector("text", text) for text in texts]

    def get_query_embedding(self, query: str) -> list[float]:
        self.given["embed_query"].append(query)
        return self.vector("query", query)

    def vector(self, *of: str) -> list[float]:
        return [1.0 + number for number in bytes.fromhex(digest([self.who, of]))]


class Words(CustomLLM):
    """A language model whose answers are decided by what it is and what it gets; it says that it samples above 0."""

    who: str
    temperature: float

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(context_window=1_000_000, num_output=256)

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=digest([self.who, self.temperature, prompt]))

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        yield self.complete(prompt)


# Cases: everything that a change can change, with the values between which it changes.

SERVED = ModelSpec("served", "openai-like:a", "http://localhost:1/v1")
OWN = ModelSpec("own", "some.module.Model")
MODEL: dict[str, list[Any]] = {
    "name": ["served", "renamed"],
    "model": ["openai-like:a", "openai-like:b", OWN.model],
    "base_url": ["http://localhost:1/v1", "http://localhost:2/v1"],
    "api_key_env": [None, "SOME_KEY"],
    "context_window": [None, 2048],
    "max_tokens": [None, 7],
    "timeout": [None, 9.0],
    "options": ["{}", '{"a":1}'],
    "version": [None, "1", "2"],
    "token": [""],
}
COMPONENT: dict[str, list[Any]] = {
    "name": ["own", "renamed"],
    "path": [f"{__name__}.Shuffled", f"{__name__}.OtherShuffled"],
    "options": ["{}", '{"least":2}'],
    "version": ["", "1", "2"],
    "models": [(), (NamedModel("llm", SERVED),), (NamedModel("llm", replace(SERVED, max_tokens=7)),)],
    "token": [""],
}
SPLITTER = {**COMPONENT, "path": [f"{__name__}.Pieces", f"{__name__}.Sized"], "options": ["{}", '{"end":" "}']}
DOCUMENT: dict[str, list[Any]] = {
    "id": ["a", "b"],
    "text": [
        "Tides follow the moon.",
        "Tides follow the moon. Bees are kept in hives.\n\nThe moon pulls the sea, and bees fly by the sun. Ice melts.",
        "What do tides follow?",  # which is a question too
        "Bees are kept in hives. " * 4 + "\n\n# Sea\n\nThe sea is salt. The moon pulls the sea.",
    ],
    "source": [None, "/here/a", "/there/a"],
    "pages": [(), (0,), (0, 3)],
}
OTHER_DOCUMENT = Document("other", "The moon is far. Bees sleep. Salt melts ice.")
QUESTIONS = ["What do tides follow?", "Where are bees kept?", "Why does ice melt?"]

PARAMS: dict[str, list[Any]] = {
    "splitter": [*SPLITTERS, component(Pieces()), component(Pieces(end=" "))],
    "chunk_size": [10, 20, 200],
    "chunk_overlap": [0, 0.1, 3],
    "breakpoint_percentile": [50, 95],
    "window_size": [0, 1, 3],
    "embedding": ["minilm", "wordllama", spec(object()), spec(object())],
    "long_text": ["windows", "truncate"],
    "retriever": ["vector", "bm25", "hybrid", component(Shuffled), component(OtherShuffled)],
    "bm25_k1": [1.5, 1.2],
    "bm25_b": [0.75, 0.5],
    "fusion": ["reciprocal_rank", "weighted"],
    "fusion_weight": [0.5, 0.25, 1],
    "fusion_depth": [100, 2, 150],
    "reranker": [None, component(Shuffled), component(OtherShuffled)],
    "rerank_depth": [20, 2, 150],
    "top_k": [1, 2, 3, 150],
    "similarity_cutoff": [None, 0.1],
    "llm": [EXTRACTIVE, "mock", spec(object())],
    "prompt": [None, "{context_str} {query_str}", "{query_str} {context_str}"],
    "response_mode": ["compact", "refine", "tree_summarize"],
    "temperature": [0.0, 0.7],
    "answer_tokens": [100, 3],
}
PARTS: dict[str, tuple[type, dict[str, list[Any]]]] = {
    "splitter": (Component, SPLITTER),
    "embedding": (ModelSpec, MODEL),
    "retriever": (Component, COMPONENT),
    "reranker": (Component, COMPONENT),
    "llm": (ModelSpec, MODEL),
}
"""Parameters whose values may have parts of their own."""


@dataclass(frozen=True)
class Case:
    """What artefacts are made of."""

    params: Mapping[str, Any]
    document: Document
    documents: tuple[Document, ...]
    question: str
    cache_sampled: bool
    search: str

    @property
    def collection(self) -> list[Document]:
        return [self.document, *self.documents]


FACTS: dict[str, list[Any]] = {
    "documents": [(), (OTHER_DOCUMENT,)],
    "question": QUESTIONS,
    "cache_sampled": [False, True],
    "search": ["this", "next"],
}
CHANGES = [
    *PARAMS,
    *(f"{name}.{part}" for name, (_, values) in PARTS.items() for part in values if len(values[part]) > 1),
    *(f"document.{part}" for part in DOCUMENT),
    *FACTS,
]


def of(make: Callable[..., Any], values: Mapping[str, list[Any]]) -> st.SearchStrategy[Any]:
    return st.builds(make, **{name: st.sampled_from(choices) for name, choices in values.items()})


def parameter(name: str) -> st.SearchStrategy[Any]:
    plain = st.sampled_from(PARAMS[name])
    return plain | of(*PARTS[name]) if name in PARTS else plain


CASES = st.builds(
    Case,
    params=st.fixed_dictionaries({name: parameter(name) for name in PARAMS}),
    document=of(Document, DOCUMENT),
    **{name: st.sampled_from(values) for name, values in FACTS.items()},
)


def another(data: st.DataObject, values: list[Any], value: Any) -> Any:
    return data.draw(st.sampled_from([other for other in values if other != value]))


def changed(data: st.DataObject, case: Case, change: str) -> tuple[Case, Case]:
    """A case in which there is what is to be changed, and that case with it changed."""
    name, _, part = change.partition(".")
    if change in FACTS:
        return case, replace(case, **{name: another(data, FACTS[name], getattr(case, name))})
    if name == "document":
        new = another(data, DOCUMENT[part], getattr(case.document, part))
        return case, replace(case, document=replace(case.document, **{part: new}))
    if not part:
        new = another(data, PARAMS[name], case.params[name])
        return case, replace(case, params={**case.params, name: new})
    before = data.draw(of(*PARTS[name]))
    after = replace(before, **{part: another(data, PARTS[name][1][part], getattr(before, part))})
    one, other = ({**case.params, name: value} for value in (before, after))
    return replace(case, params=one), replace(case, params=other)


# What a case asks the cache for.


class Recorder(StageCache):
    """Notes what is asked for, by the stage that makes it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: defaultdict[str, set[str]] = defaultdict(set)
        self.looked_for: set[str] = set()
        self.given: defaultdict[str, list[str]] = defaultdict(list)
        self.embedders: dict[str, Any] = {}

    def get(self, key: str, codec: Any = None) -> Any:
        self.looked_for.add(key)
        return super().get(key, codec)

    def get_or_build_many(self, keys: Any, build: Any, *, stage: str = "", **options: Any) -> Any:
        self.asked[stage].update(keys)
        return super().get_or_build_many(keys, build, stage=stage, **options)


class Found(NamedTuple):
    """What comes of a case."""

    rankings: list[tuple[list[int], list[float]]]
    contexts: list[list[str]]
    answers: list[str]


def found_by(case: Case, recorder: Recorder, *questions: str) -> Found:
    """Ask as an objective does; only for models, which do not know of keys, there are stand-ins."""
    asked = questions or (case.question,)

    def embedding(model: Any, long_text: str) -> Vectors:
        return Vectors(repr(embedding_of(case, model, long_text)), recorder.given)

    def llm(model: Any, temperature: float = 0.0) -> Words:
        return Words(who=repr(decisive(model, case)), temperature=sampled_at(model, temperature))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "_shared", lambda *_: recorder)
        patch.setattr(components, "_run", case.search)
        patch.setattr("raytuner.pipeline.embed._embedders", recorder.embedders)
        patch.setattr(models, "embedding", embedding)
        patch.setattr(models, "llm", llm)
        pipeline = Pipeline(case.collection, questions=questions, cache_sampled=case.cache_sampled)
        rankings = pipeline.rankings(case.params, asked)
        contexts = pipeline.texts(case.params, rankings)
        answers = asyncio.run(pipeline.answers(case.params, asked, contexts))
        for question, texts in zip(asked, contexts, strict=True):
            for stage, key in planned(pipeline, case.params, question, texts):
                assert key in recorder.asked[stage]
    for holding in (model_for, _synthesizer):  # the stand-ins
        holding.cache_clear()
    return Found([(ranking.chunks.tolist(), ranking.scores.tolist()) for ranking in rankings], contexts, answers)


def planned(
    pipeline: Pipeline, params: Mapping[str, Any], question: str, contexts: list[str]
) -> Iterator[tuple[str, str]]:
    """What a plan looks for, by stage."""
    chain = pipeline.chain(params)
    for link in chain.links(answered=pipeline.shares_answers(params)):
        if link == chain.answers:
            yield link.stage, key_for(link.key, question, contexts)
        elif link != chain.queries or chain.embeds or contexts:  # from nothing nothing is extracted
            yield link.stage, key_for(link.key, question) if link.each else link.key


def keys_of(case: Case) -> tuple[dict[str, frozenset[str]], dict[str, Any]]:
    """The keys of all artefacts that a case asks for, and beside them all that these are made of.

    Only vectors of single texts have several; a case has one question.
    """
    recorder = Recorder()
    found = found_by(case, recorder)
    keys = {_NAMES.get(name, name): frozenset(own) for name, own in recorder.asked.items() if own and name != LINKS}
    every = frozenset().union(*keys.values())
    assert recorder.looked_for <= every
    assert sum(map(len, keys.values())) == len(every)  # none is that of two stages
    assert {name: len(own) for name, own in keys.items()} == {
        name: len(recorder.given.get(name, [name])) for name in keys
    }
    return keys, parts_of(case, found.contexts, recorder.given)


# What it may depend on: by meaning, and the parameters of stages by their signatures.

_NAMES = {**dict.fromkeys([*SPLITTERS, custom.name], "split"), "": "retriever"}
_STAGES = {part.name: part for part in parameters.STAGES}


def decisive(value: Any, case: Case) -> Any:
    """What of a value decides what is made with it; not what it is called, how long it is waited for, or its key."""
    if isinstance(value, Component):
        named = [(own.option, decisive(own.spec, case)) for own in value.models]
        return value.path, value.options, value.version or case.search, value.token, named
    if not isinstance(value, ModelSpec):
        return value
    if value.token:
        return value.token, case.search
    place = value.version or case.search if value.kind == "dotted" else value.base_url
    return value.model, place, value.context_window, value.max_tokens, value.options, value.version


def embedding_of(case: Case, model: Any, long_text: str) -> Any:
    """What decides a vector; only the window of minilm is shorter than texts may be."""
    return decisive(model, case), long_text if model == "minilm" else None


def sampled_at(llm: Any, temperature: float) -> float:
    """At which temperature an LLM samples; the mock copies."""
    return 0.0 if llm == "mock" else temperature


def upstream(case: Case) -> dict[str, tuple[str, ...]]:
    """For each artefact that a case needs, what it is made of beside its stage's own parameters."""
    params = case.params
    by_vector = {"embed_chunks": ("split",), "vector_search": ("embed_chunks", "question")}
    by_bm25 = {"bm25_index": ("split",), "bm25_search": ("bm25_index", "question")}
    by_own = {"retriever": ("split", "places", "depth"), "route": ("retriever", "question")}
    by_both = {**by_vector, **by_bm25, "fuse": ("vector_search", "bm25_search")}
    ways: dict[str, dict[str, tuple[str, ...]]] = {"vector": by_vector, "bm25": by_bm25, "hybrid": by_both}
    needed = {"split": ("texts",), **ways.get(str(params["retriever"]), by_own)}
    if params["reranker"] is not None:
        needed["rerank"] = (list(needed)[-1], "places", "question")
    if params["llm"] == EXTRACTIVE:
        needed["extract"] = ("question", "contexts")
    elif case.cache_sampled or sampled_at(params["llm"], params["temperature"]) == 0:
        needed["generate"] = ("question", "contexts")
    return needed


def parts_of(case: Case, contexts: list[list[str]], given: Mapping[str, list[str]]) -> dict[str, Any]:
    """For each artefact that a case needs all that it is made of, by name."""
    params, needed = case.params, upstream(case)
    rerank_depth = params["rerank_depth"] if params["reranker"] is not None else 0
    facts = {
        "texts": [(document.id, document.text) for document in case.collection],
        "places": [(document.source, document.pages) for document in case.collection],
        "question": case.question,
        "depth": max(params["top_k"], rerank_depth, MIN_DEPTH),
        "contexts": contexts,
    }

    def parts(name: str) -> dict[str, Any]:
        if name in facts:
            return {name: facts[name]}
        part = stage_of(name, params)
        found = {name: part.name} | {own: decisive(value, case) for own, value in own_of(part, params).items()}
        return found | {key: value for above in needed[name] for key, value in parts(above).items()}

    model = embedding_of(case, params["embedding"], params["long_text"])
    return {name: parts(name) for name in needed} | {kind: (model, set(texts)) for kind, texts in given.items()}


def stage_of(name: str, params: Mapping[str, Any]) -> Stage:
    return splitter_stage(params) if name == "split" else _STAGES["route" if name == "retriever" else name]


def own_of(part: Stage, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a stage; of those of a node parser the ones that it takes."""
    own = part.own(params)
    sized = part is not custom or own["splitter"].path.endswith("Sized")
    return own if sized else {"splitter": own["splitter"]}


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> set[str]:
    return {name for name in {*one, *other} if one.get(name) != other.get(name)}
