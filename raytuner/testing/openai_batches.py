"""The Batch API of a server that speaks OpenAI's protocol: its files and its batches."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raytuner.testing.openai_answers import ERRORS, completion, prompt_of

if TYPE_CHECKING:
    from raytuner.testing.openai_server import OpenAIServer


@dataclass
class Batch:
    """A batch.

    Attributes:
        id: Its name.
        file: That of its requests.
        at: When it was made, in seconds of a monotonic clock.
        status: ``in_progress``, or how it ended.
        count: How many requests it has.
    """

    id: str
    file: str
    at: float
    status: str = "in_progress"
    count: int = 0

    @property
    def told(self) -> dict[str, Any]:
        """As it is sent."""
        errors = None
        if self.status == "failed":
            errors = {"object": "list", "data": [{"code": "invalid_request", "message": "scripted: failed", "line": 1}]}
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "input_file_id": self.file,
            "completion_window": "24h",
            "created_at": 0,
            "status": self.status,
            "errors": errors,
            "output_file_id": f"{self.id}-output" if self.status in ("completed", "expired") else None,
            "error_file_id": f"{self.id}-errors" if self.status in ("completed", "expired") else None,
            "request_counts": {"total": self.count, "completed": self.count, "failed": 0},
        }


def made(server: OpenAIServer, path: str, sent: bytes) -> bytes:
    """A file, or a batch, is made."""
    if path.endswith("/files"):
        name = f"file-{len(server.files)}"
        content = re.search(rb'name="file".*?\r\n\r\n(.*?)\r\n--', sent, re.DOTALL)
        server.files[name] = content[1] if content else b""
        whole = {"id": name, "object": "file", "bytes": len(sent), "created_at": 0, "filename": "raytuner.jsonl"}
        return json.dumps({**whole, "purpose": "batch", "status": "processed"}).encode()
    batch = Batch(f"batch_{len(server.batches)}", json.loads(sent)["input_file_id"], time.monotonic())
    batch.count = len(server.files[batch.file].splitlines())
    server.batches[batch.id] = batch
    return json.dumps(batch.told).encode()


def found(server: OpenAIServer, path: str) -> tuple[bytes, int]:
    """What is asked for of a file or a batch, and the status of the answer."""
    name = path.split("/batches/" if "/batches/" in path else "/files/")[1].removesuffix("/content")
    if name in server.files:
        return server.files[name], 200
    batch = server.batches.get(name)
    if batch is None:
        return json.dumps({"error": {"message": "no such thing", "code": "not_found"}}).encode(), 404
    if batch.status == "in_progress" and time.monotonic() - batch.at >= server.behaviour.batch_s:
        _answer(server, batch)
    return json.dumps(batch.told).encode(), 200


def _answer(server: OpenAIServer, batch: Batch) -> None:
    batch.status, finish = server.behaviour.batch_ends, server.behaviour.finish
    answers, errors = list[dict[str, Any]](), list[dict[str, Any]]()
    for line in map(json.loads, server.files[batch.file].splitlines()):
        if batch.status != "completed":
            error = {"code": "batch_expired", "message": "scripted: not answered in time"}
            errors.append({"custom_id": line["custom_id"], "response": None, "error": error})
            continue
        body = line["body"]
        prompt = prompt_of(body)
        reply = server.behaviour.answer(prompt)
        fault = server.enter(body, prompt, reply)
        server.leave()
        if fault in ERRORS:
            status, code = ERRORS[fault]
            response = {"status_code": status, "body": {"error": {"message": f"scripted: {fault}", "code": code}}}
            errors.append({"custom_id": line["custom_id"], "response": response, "error": None})
        else:
            response = {
                "status_code": 200,
                "body": completion(body, prompt, reply, fault=fault, finish=finish),
            }
            answers.append({"custom_id": line["custom_id"], "response": response, "error": None})
    server.files[f"{batch.id}-output"] = b"\n".join(json.dumps(one, ensure_ascii=False).encode() for one in answers)
    server.files[f"{batch.id}-errors"] = b"\n".join(json.dumps(one).encode() for one in errors)
