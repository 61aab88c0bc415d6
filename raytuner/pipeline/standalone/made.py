"""Parts of your own."""

from __future__ import annotations

import inspect
from typing import Any


def made(part: Any, options: dict[str, Any], **offered: Any) -> Any:
    """A part of your own: itself, or what its class or function makes of those of the arguments that it takes."""
    if not (inspect.isclass(part) or inspect.isroutine(part)):
        return part
    maker = getattr(part, "from_defaults", part) if inspect.isclass(part) else part
    taken = {*inspect.signature(maker).parameters, *getattr(maker, "model_fields", {})}
    return maker(**{name: value for name, value in offered.items() if name in taken} | options)
