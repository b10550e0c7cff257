"""Telling callbacks and instrumentation of a call, by LlamaIndex's decorators.

Two things are added to them. What they would make an event of is checked first: theirs would fail
on it, in words of their own. And a stream that they wrap is closed with the wrapper: theirs leaves
that to the garbage collector, and a handler that keeps the exception keeps the stream open.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, closing
from typing import Any, TypeVar, cast

from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback

from adafuse.errors import ConfigError
from adafuse_integrations.llama_index._messages import refuse_others

__all__ = ["tells_of_chat", "tells_of_completion"]

F = TypeVar("F", bound=Callable[..., Any])


def tells_of_chat(method: F) -> F:
    """Start, progress and end of a chat answer, or the exception it ends with."""
    return _telling(llm_chat_callback(), method, "messages", refuse_others)


def tells_of_completion(method: F) -> F:
    """Likewise of a completion."""
    return _telling(llm_completion_callback(), method, "prompt", _refuse_no_string)


def _refuse_no_string(prompt: object) -> None:
    if prompt is None:
        raise ConfigError("no prompt is given")
    if not isinstance(prompt, str):
        raise ConfigError(f"the prompt must be a string, not {type(prompt).__name__}")


def _telling(
    decorate: Callable[[Callable[..., Any]], Callable[..., Any]],
    method: F,
    name: str,
    check: Callable[[object], None],
) -> F:
    """A method that tells of its calls; its first argument has this name, and is checked."""

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        check(args[0] if args else kwargs.get(name))
        responses: list[Any] = []

        def noted(*args: Any, **kwargs: Any) -> Any:
            responses.append(method(*args, **kwargs))
            return responses[0]

        wrapped = decorate(noted)(self, *args, **kwargs)
        return _closing(wrapped, responses[0]) if isinstance(wrapped, Generator) else wrapped

    @functools.wraps(method)
    async def acall(self: Any, *args: Any, **kwargs: Any) -> Any:
        check(args[0] if args else kwargs.get(name))
        responses: list[Any] = []

        async def noted(*args: Any, **kwargs: Any) -> Any:
            responses.append(await method(*args, **kwargs))
            return responses[0]

        wrapped = await decorate(noted)(self, *args, **kwargs)
        return _aclosing(wrapped, responses[0]) if isinstance(wrapped, AsyncGenerator) else wrapped

    instrumented: Any = acall if inspect.iscoroutinefunction(method) else call
    # What LlamaIndex puts around it goes by the signature, and would fail where nothing is given.
    del instrumented.__wrapped__
    return cast("F", instrumented)


def _closing(wrapped: Generator[Any], responses: Generator[Any]) -> Generator[Any]:
    with closing(responses), closing(wrapped):
        yield from wrapped


async def _aclosing(
    wrapped: AsyncGenerator[Any, None], responses: AsyncGenerator[Any, None]
) -> AsyncGenerator[Any, None]:
    async with aclosing(responses), aclosing(wrapped):
        async for response in wrapped:
            yield response
