"""LlamaIndex's decorators that tell callbacks and instrumentation of a call.

What they would take for an event is checked first: theirs would fail on it, in words of their own.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback

from adafuse.errors import ConfigError
from adafuse_integrations.llama_index.messages import refuse_others

__all__ = ["tells_of_chat", "tells_of_completion"]

F = TypeVar("F", bound=Callable[..., Any])


def tells_of_chat(method: F) -> F:
    """Start, progress and end of a chat answer, or the exception it ends with.

    Raises:
        PromptError: there, if messages are none.
    """
    return _checked(llm_chat_callback(), method, "messages", refuse_others)


def tells_of_completion(method: F) -> F:
    """Likewise of a completion.

    Raises:
        ConfigError: there, if the prompt is no string.
    """
    return _checked(llm_completion_callback(), method, "prompt", _refuse_no_string)


def _refuse_no_string(prompt: object) -> None:
    if not isinstance(prompt, str):
        raise ConfigError(f"the prompt must be a string, not {type(prompt).__name__}")


def _checked(
    decorate: Callable[[F], F], method: F, name: str, check: Callable[[object], None]
) -> F:
    """A decorated method whose first argument, of that name, is checked before it is told of."""
    signature = inspect.signature(method)
    telling = decorate(method)

    def check_first(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if args or name in kwargs:  # else Python says what is missing
            check(args[0] if args else kwargs[name])

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        check_first(args, kwargs)
        return telling(self, *args, **kwargs)

    async def acall(self: Any, *args: Any, **kwargs: Any) -> Any:
        check_first(args, kwargs)
        return await telling(self, *args, **kwargs)

    made: Any = acall if inspect.iscoroutinefunction(method) else call
    functools.update_wrapper(made, method, updated=())
    # LlamaIndex marks what it has decorated with a `__wrapped__` that is no function.
    del made.__wrapped__
    made.__signature__ = signature
    return cast("F", made)
