"""The ASGI application: a pipeline behind OpenAI's protocol, for uvicorn, or to be mounted in another application."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from raytuner.errors import DataError, RaytunerError, redact
from raytuner.loaded import MAX_QUESTION, LoadedPipeline, Reply
from raytuner.serving.gate import Application, Gate, Limits
from raytuner.serving.protocol import (
    DONE,
    ChatRequest,
    Completion,
    RequestError,
    RetrieveRequest,
    as_json,
    event,
    explained,
    source,
)

logger = logging.getLogger("raytuner")
Body = TypeVar("Body", bound=BaseModel)

NAME = "raytuner"
"""The name of the model, where nothing else is said."""


def make_app(
    pipeline: LoadedPipeline, *, name: str = NAME, keys: tuple[str, ...] = (), limits: Limits | None = None
) -> Application:
    """Make the application.

    Args:
        pipeline: What answers.
        name: The name of the model that clients ask for.
        keys: The API keys that open it; without any it answers requests that are meant for this machine only.
        limits: What it takes on.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_exception_handler(RequestError, _refused)
    app.add_exception_handler(RaytunerError, _unanswered)
    app.add_exception_handler(HTTPException, _not_found)
    app.add_exception_handler(Exception, _failed)
    model = {"id": name, "object": "model", "created": int(time.time()), "owned_by": "raytuner"}

    @app.get("/healthz")
    async def healthz() -> Response:
        return _json({"status": "ok"})

    @app.get("/v1/models")
    async def models() -> Response:
        return _json({"object": "list", "data": [model]})

    @app.get("/v1/models/{asked}")
    async def one_model(asked: str) -> Response:
        _check_name(asked, name)
        return _json(model)

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        asked = await _body(request, ChatRequest)
        _check_name(asked.model, name)
        asked.check()
        _check_length(asked.question)
        completion = Completion(name)
        if not asked.stream:
            return _json(completion.whole(await pipeline.aask(asked.question)))
        pieces = pipeline.astream(asked.question)
        begin = await anext(pieces)  # what fails before anything is said has a status of its own
        events = _events(completion, begin, pieces, asked.wants_usage)
        return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    @app.post("/retrieve")
    async def retrieve(request: Request) -> Response:
        asked = await _body(request, RetrieveRequest)
        _check_length(asked.question)
        return _json({"sources": [source(one) for one in await pipeline.aretrieve(asked.question)]})

    return Gate(app, keys, limits or Limits())


async def _events(
    completion: Completion, begin: str | Reply, rest: AsyncIterator[str | Reply], usage: bool
) -> AsyncIterator[str]:
    yield completion.first()
    try:
        yield _as_event(completion, begin, usage)
        async for piece in rest:
            yield _as_event(completion, piece, usage)
    except Exception as error:  # the status is sent already: what fails now can be said in an event only
        yield event(_of(error).body)
        yield DONE


def _as_event(completion: Completion, piece: str | Reply, usage: bool) -> str:
    return completion.piece(piece) if isinstance(piece, str) else completion.last(piece, usage)


async def _body(request: Request, form: type[Body]) -> Body:
    """The body of a request; it has to say that it is JSON, which a page of another origin may not send unasked."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RequestError(415, "invalid_content_type", "send JSON, with Content-Type: application/json")
    try:
        return form.model_validate_json(await request.body())
    except ValidationError as error:
        raise explained(error) from None


def _check_name(asked: str, name: str) -> None:
    if asked != name:
        raise RequestError(404, "model_not_found", f"there is no model {asked[:100]!r}; ask for {name!r}")


def _check_length(question: str) -> None:
    if not question.strip():
        raise RequestError(400, "empty_question", "the last message of the user is empty; ask something")
    if len(question) > MAX_QUESTION:
        raise RequestError(
            400, "string_above_max_length", f"{len(question):,} characters; a question has at most {MAX_QUESTION:,}"
        )


def _of(error: Exception) -> RequestError:
    """What a client is told of a failure; the rest, as the address of a service, is for the log."""
    if not isinstance(error, RaytunerError):
        logger.error("a request failed: %s: %s", type(error).__name__, redact(" ".join(str(error).split())))
        return RequestError(500, "internal_error", "the server failed; its log says why")
    if isinstance(error, DataError):
        return RequestError(400, "invalid_request", redact(str(error)))
    logger.warning("a question was not answered: %s", redact(str(error)))
    return RequestError(502, "upstream_error", "a model that the pipeline asks did not answer; try again later")


def _json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(as_json(content), status, headers, "application/json")


def _error(error: RequestError) -> Response:
    return _json(error.body, error.status, error.headers)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return _error(error)


async def _unanswered(request: Request, error: Exception) -> Response:
    assert isinstance(error, RaytunerError)
    return _error(_of(error))


async def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = {404: "there is nothing at this address", 405: "this address takes another method"}
    message = said.get(error.status_code, "the request was refused")
    return _error(RequestError(error.status_code, "not_found", message, dict(error.headers or {})))


async def _failed(request: Request, error: Exception) -> Response:
    # It is raised again, and logged by the gate.
    return _error(RequestError(500, "internal_error", "the server failed; its log says why"))
