"""The sections of a config."""

from __future__ import annotations

import codecs
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, field_validator

from raytuner.components import is_dotted
from raytuner.folders import MAX_PART, is_path
from raytuner.search.task import MAX_SEED
from raytuner.storage import checked_storage
from raytuner.values import MOST_FAILED

MAX_NAME = 100
"""Characters of the name of a run; a time is added, and no file system takes more than 255."""
MAX_TRIALS = 1_000_000_000
MAX_MINUTES = 10_000_000  # 19 years


def _dotted(value: str) -> str:
    if not is_dotted(value):
        raise ValueError("a dotted path: module.name, or package.module.name")
    return value


def _path(value: str) -> str:
    if not is_path(value):
        raise ValueError(
            f"a path in one line, each name in it at most {MAX_PART} bytes, ~name that of a user of this machine"
        )
    return value


def _encoding(value: str) -> str:
    try:
        codecs.lookup(value)
    except (LookupError, ValueError):
        raise ValueError("an encoding that Python knows, such as utf-8 or cp1252") from None
    return value


PathText = Annotated[str, AfterValidator(_path)]
Encoding = Annotated[str, AfterValidator(_encoding)]
DottedPath = Annotated[str, AfterValidator(_dotted)]
"""Where a name is in a module; nothing is imported to look at it."""


class Section(BaseModel):
    """A mapping of which every key is known."""

    model_config = ConfigDict(extra="forbid", strict=True)


PATHS: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
"""A path or several, as a config has them."""


RUNS: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
"""A run or several."""


class DocumentsConfig(Section):
    """Where the documents are and how they are read; see `raytuner.documents.load.load_documents`.

    Attributes:
        paths: Files, folders, globs, or ``builtin:quickstart``; ``path`` in a file.
        encoding: How text is decoded.
        reader: The dotted path of a reader of LlamaIndex.
        options: Keyword arguments for the reader.
    """

    paths: Annotated[list[PathText], WithJsonSchema(PATHS)] = Field(default_factory=list, alias="path")
    encoding: Encoding = "utf-8-sig"
    reader: DottedPath | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("paths", mode="before")
    @classmethod
    def _one_path(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


AUTO_QUESTIONS = "auto"
"""In place of a path: questions are made from the documents."""


class QuestionsConfig(Section):
    """Where the questions are and how they are read.

    Attributes:
        paths: The file or folder, or several; ``path`` in a file. ``auto`` alone makes them from the documents.
        columns: raytuner's names of columns to those of the file.
        on_bad_span: What happens with reference spans that do not match their document.
        encoding: How the file is decoded.
    """

    paths: Annotated[list[PathText], WithJsonSchema(PATHS)] = Field(alias="path")
    columns: dict[str, str] | None = None
    on_bad_span: Literal["error", "drop"] = "error"
    encoding: Encoding = "utf-8-sig"

    @field_validator("paths", mode="before")
    @classmethod
    def _one_path(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


SchedulerName = Literal["fifo", "racing", "halving", "asha", "median", "wilcoxon"]


class SearchConfig(Section):
    """How the space is searched.

    Attributes:
        name: The algorithm; by default the grid if it has no more configurations than trials, else auto.
        options: Options of the algorithm; see `raytuner algorithms`.
        trials: The most configurations; by default the whole grid, 30 for the others.
        seed: Fixes the order of questions and, where the algorithm allows it, of trials.
        scheduler: What stops trials early; by default ``racing`` for a RAG pipeline with 20 questions or more, else
            ``fifo``: nothing. See `raytuner.schedulers`.
        scheduler_options: Its options.
        holdout: So many questions are kept from the search to confirm its winner: a number, ``auto`` for a third of 60
            or more, or ``none``.
        max_failed_questions: A trial fails if more than this share of its questions cannot be scored.
        concurrency: The most trials at once; by default as many as there are CPUs.
        trial_timeout_s: So many seconds a trial may take before it is ended, and has failed; by default no limit.
        max_retries: How often a trial goes on elsewhere when its worker was lost.
    """

    name: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    trials: int | None = Field(default=None, ge=1, le=MAX_TRIALS)
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    scheduler: SchedulerName | None = None
    scheduler_options: dict[str, Any] = Field(default_factory=dict)
    holdout: Literal["auto", "none"] | Annotated[int, Field(ge=0, le=MAX_TRIALS)] = "auto"
    max_failed_questions: float = Field(default=MOST_FAILED, ge=0, le=1)
    concurrency: int | None = Field(default=None, ge=1)
    trial_timeout_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    max_retries: int = Field(default=3, ge=0, le=100)

    @field_validator("holdout", mode="before")
    @classmethod
    def _is_a_holdout(cls, value: Any) -> Any:
        is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TRIALS
        if not is_number and value not in ("auto", "none"):
            raise ValueError("a number of questions, auto or none")
        return value


class ComponentConfig(Section):
    """A splitter, retriever or reranker of the user's own.

    Attributes:
        path: Its dotted path; by default the name under which it stands.
        options: Arguments for making it.
        version: Stands for its code in the keys of artefacts; without one they are kept within a run only.
    """

    path: DottedPath | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    version: str | None = None


class BudgetConfig(Section):
    """What a search may use up.

    Attributes:
        minutes: After this time no more trials and calls are begun, and those in flight end.
        usd: US dollars for calls of services; prices have to be known.
        tokens: Of prompts and answers of all calls, embedded texts included.
        llm_calls: Calls of LLMs, those that failed too.
        trials: The most configurations, whatever ``search.trials`` says.
    """

    minutes: float | None = Field(default=None, gt=0, le=MAX_MINUTES)
    usd: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    tokens: int | None = Field(default=None, ge=1)
    llm_calls: int | None = Field(default=None, ge=1)
    trials: int | None = Field(default=None, ge=1, le=MAX_TRIALS)


class JudgeConfig(Section):
    """Who judges answers, and how.

    Attributes:
        llm: The name of the LLM.
        prompts: Prompts by metric, in place of LlamaIndex's own.
        temperature: The judge's.
    """

    llm: str
    prompts: dict[str, str] = Field(default_factory=dict)
    temperature: float = Field(default=0.0, ge=0, le=2)


class ObjectiveConfig(Section):
    """What is optimised.

    Attributes:
        function: The dotted path of an objective of the user's own, in place of the RAG pipeline.
        metric: The metric; by default span_f4 where the questions have reference spans, ndcg where
            they name documents, else semantic_similarity.
        weights: Weights by metric, in place of ``metric``: their weighted mean is optimised.
        mode: By default ``max``, and ``min`` for chunk_tokens.
        block_size: How many questions are evaluated and logged together; by default 8, and all for a judge that is
            asked in batches.
        similarity_embedding: See `RagObjective`.
        judge: The LLM that judges answers; its name may stand alone.
        repeats: How often each question is answered.
    """

    function: DottedPath | None = None
    metric: str | None = None
    weights: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] | None = None
    mode: Literal["max", "min"] | None = None
    block_size: int | None = Field(default=None, ge=1, le=MAX_TRIALS)
    similarity_embedding: str | None = None
    judge: JudgeConfig | None = None
    repeats: int = Field(default=1, ge=1, le=1000)

    @field_validator("judge", mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"llm": value} if isinstance(value, str) else value


class RunSection(Section):
    """Where it runs and where the results go.

    Attributes:
        name: The name of the run; by default that of the config file.
        folder: Where the run folder is made; by default ``runs`` in the current folder.
        address: A Ray cluster: ``auto`` or ``HOST:PORT``; with ``ray://HOST:PORT`` the whole search runs there, as a
            job. By default Ray is started on this machine.
        resources: What a trial needs, as Ray names it, e.g. ``{cpu: 2, gpu: 0.5}``; by default its share of the CPUs.
        cache: Where machines share the artefacts of stages: a URL (s3://, gs://, ...) or an absolute path that all of
            them see; by default each has its own, and the nodes of a cluster share them through Ray.
    """

    name: str | None = None
    folder: PathText | None = None
    address: str | None = None
    resources: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] | None = None
    cache: str | None = None

    @field_validator("cache")
    @classmethod
    def _is_a_storage(cls, value: str | None) -> str | None:
        return None if value is None else checked_storage(value, "run.cache")

    @field_validator("name")
    @classmethod
    def _is_a_file_name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME - 1}}}", value):
            raise ValueError(f"letters, digits, dots, dashes and underscores, at most {MAX_NAME}, e.g. my-run")
        return value

    @field_validator("address")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"auto|local|(ray://)?[^\s/]{1,255}:[0-9]{1,5}", value):
            raise ValueError("auto or HOST:PORT, e.g. 10.0.0.1:6379, or ray://HOST:10001")
        return value
