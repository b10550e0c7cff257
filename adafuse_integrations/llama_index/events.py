"""LlamaIndex's decorators that tell callbacks and instrumentation of a call, with their types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback

__all__ = ["tells_of_chat", "tells_of_completion"]

F = TypeVar("F", bound=Callable[..., Any])


def tells_of_chat(method: F) -> F:
    """Start, progress and end of a chat answer, or the exception it ends with."""
    return cast("F", llm_chat_callback()(method))


def tells_of_completion(method: F) -> F:
    """Likewise of a completion."""
    return cast("F", llm_completion_callback()(method))
