"""Objects of a class, read while their JSON is written; instrumentation is told of each."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing, closing
from typing import Any, Generic, TypeVar

from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictInProgressEvent,
)
from llama_index.core.program.utils import FlexibleModel, create_flexible_model
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

__all__ = ["agrowing", "growing", "whole"]

dispatcher = get_dispatcher(__name__)
M = TypeVar("M", bound=BaseModel)
N = TypeVar("N", bound=BaseModel)


def growing(texts: Generator[str], output_cls: type[M]) -> Generator[M | FlexibleModel]:
    """Yield the object as far as it goes, and whole.

    Args:
        texts: the answer as far as it goes; closed with this.
        output_cls: a Pydantic class.

    Raises:
        pydantic.ValidationError: the whole answer is no such object.
    """
    reader = _Growing(output_cls)
    with closing(texts):
        for text in texts:
            yield from reader.feed(text)
    yield from reader.finish()


async def agrowing(
    texts: AsyncGenerator[str], output_cls: type[M]
) -> AsyncGenerator[M | FlexibleModel]:
    """Likewise."""
    reader = _Growing(output_cls)
    async with aclosing(texts):
        async for text in texts:
            for object_ in reader.feed(text):
                yield object_
    for object_ in reader.finish():
        yield object_


class _Growing(Generic[M]):
    """An object that is read while its JSON is written; tells instrumentation of it."""

    def __init__(self, output_cls: type[M]) -> None:
        self._output_cls = output_cls
        self._partial_cls = create_flexible_model(output_cls)
        self._text = ""
        self._value: Any = None
        self._last: M | FlexibleModel | None = None

    def feed(self, text: str) -> Iterator[M | FlexibleModel]:
        """Yield the object as far as it goes, if more of it can be read."""
        self._text = text
        try:
            value = from_json(text, allow_partial="trailing-strings")
        except ValueError:
            return  # nothing of it yet
        if value == self._value or not isinstance(value, dict):
            return
        self._value = value
        try:
            self._last = self._output_cls.model_validate(value)
        except ValidationError:
            self._last = self._partial_cls(**value)
        yield self._report(self._last)

    def finish(self) -> Iterator[M]:
        """Yield the object, now that its JSON is whole, unless it came last already."""
        whole = self._output_cls.model_validate_json(self._text)
        if whole != self._last:
            yield self._report(whole)
        dispatcher.event(LLMStructuredPredictEndEvent(output=whole))

    def _report(self, object_: N) -> N:
        dispatcher.event(LLMStructuredPredictInProgressEvent(output=object_))
        return object_


def whole(output_cls: type[M], text: str) -> M:
    """The object of a whole answer; errors likewise."""
    object_ = output_cls.model_validate_json(text)
    dispatcher.event(LLMStructuredPredictEndEvent(output=object_))
    return object_
