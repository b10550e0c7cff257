"""Answers that are objects of a Pydantic class, held to its schema while they are written.

Instrumentation is told of each object that is read.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextlib import aclosing, closing
from typing import Any, Generic, TypeVar

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictInProgressEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.program.utils import (
    FlexibleModel,
    create_flexible_model,
    get_program_for_llm,
)
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.types import BasePydanticProgram, PydanticProgramMode
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from adafuse.config import read_schema
from adafuse.errors import ConfigError
from adafuse_integrations._shared.answer_stream import warn_if_closed
from adafuse_integrations.llama_index._call import EnsembleLLM

__all__ = ["StructuredAnswers"]

dispatcher = get_dispatcher(__name__)
M = TypeVar("M", bound=BaseModel)
N = TypeVar("N", bound=BaseModel)
Settings = Mapping[str, Any] | None
# How LlamaIndex's programs ask for a call. An answer that must be of a schema is one anyway; what
# it cannot be is refused.
_OF_CALLS: dict[str, tuple[Any, ...]] = {
    "tool_required": (None, True),
    "tool_choice": (None, True, "any", "required"),
    "allow_parallel_tool_calls": (None, False),
    "parallel_tool_calls": (None, False),
    "strict": (None, True),
}
_DECIDED = {"json_schema", "response_format", "keep_incomplete", "tools"}


class StructuredAnswers(EnsembleLLM):
    """The structured methods of LlamaIndex, by grammar.

    With a `pydantic_program_mode` other than the default, LlamaIndex's own programs do it: by a
    tool call ("function"), or from free text ("llm").
    """

    @property
    def _by_grammar(self) -> bool:
        return self.pydantic_program_mode == PydanticProgramMode.DEFAULT

    def _asking(
        self,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        llm_kwargs: Settings,
        prompt_args: Mapping[str, Any],
    ) -> Callable[[str], Any]:
        """What calls a method, "a" for `acomplete` or `achat`; its start is told."""
        event = LLMStructuredPredictStartEvent(
            output_cls=output_cls, template=prompt, template_args=dict(prompt_args)
        )
        dispatcher.event(event)
        settings = _plain(llm_kwargs)
        for name, allowed in _OF_CALLS.items():
            if (value := settings.pop(name, None)) not in allowed:
                raise ConfigError(f"{name}={value!r}: a structured answer is one object")
        if taken := settings.keys() & _DECIDED:
            raise ConfigError(f"structured answers decide {', '.join(sorted(taken))} themselves")
        schema = read_schema("json_schema", output_cls)
        settings |= {"json_schema": schema, "keep_incomplete": False}
        if not self._completes_text:
            messages = prompt.format_messages(llm=self, **prompt_args)
            return lambda way: getattr(self, f"{way}chat")(messages, **settings)
        text = prompt.format(
            llm=self,
            messages_to_prompt=self.messages_to_prompt,
            completion_to_prompt=self.completion_to_prompt,
            **prompt_args,
        )
        in_prompt = settings.pop("schema_in_prompt", self.schema_in_prompt)
        text = self._extended(text, schema if in_prompt else None)
        return lambda way: getattr(self, f"{way}complete")(text, formatted=True, **settings)

    def structured_predict(
        self,
        output_cls: type[M],
        prompt: BasePromptTemplate,
        llm_kwargs: Settings = None,
        **prompt_args: Any,
    ) -> M:
        """Answer with an object of a class.

        Args:
            output_cls: a Pydantic class.
            prompt: what is asked.
            llm_kwargs: settings of the call.
            prompt_args: fill in the prompt.

        Raises:
            ConfigError: its schema cannot be enforced, or a setting is wrong.
            IncompleteAnswerError: max_tokens or a stop string cut the answer.
            MissingExtraError: llguidance is not installed.
            pydantic.ValidationError: the answer fits the schema, but a validator refuses it.
        """
        if not self._by_grammar:
            predicted: M = super().structured_predict(
                output_cls, prompt, _plain(llm_kwargs), **prompt_args
            )
            return predicted
        ask = self._asking(output_cls, prompt, llm_kwargs, prompt_args)
        return _whole(output_cls, ask(""))

    async def astructured_predict(
        self,
        output_cls: type[M],
        prompt: BasePromptTemplate,
        llm_kwargs: Settings = None,
        **prompt_args: Any,
    ) -> M:
        """As `structured_predict`, without blocking the event loop."""
        if not self._by_grammar:
            predicted: M = await super().astructured_predict(
                output_cls, prompt, _plain(llm_kwargs), **prompt_args
            )
            return predicted
        ask = self._asking(output_cls, prompt, llm_kwargs, prompt_args)
        return _whole(output_cls, await ask("a"))

    def stream_structured_predict(
        self,
        output_cls: type[M],
        prompt: BasePromptTemplate,
        llm_kwargs: Settings = None,
        **prompt_args: Any,
    ) -> Generator[M | FlexibleModel]:
        """As `structured_predict`, giving the object as far as it goes, then the whole.

        What cannot be an object of the class yet is a `FlexibleModel` with the same fields.
        """
        if not self._by_grammar:
            return super().stream_structured_predict(
                output_cls, prompt, _plain(llm_kwargs), **prompt_args
            )
        ask = self._asking(output_cls, prompt, llm_kwargs, prompt_args)
        return _growing(ask, output_cls)

    async def astream_structured_predict(
        self,
        output_cls: type[M],
        prompt: BasePromptTemplate,
        llm_kwargs: Settings = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[M | FlexibleModel]:
        """As `stream_structured_predict`, without blocking the event loop."""
        if not self._by_grammar:
            return await super().astream_structured_predict(
                output_cls, prompt, _plain(llm_kwargs), **prompt_args
            )
        ask = self._asking(output_cls, prompt, llm_kwargs, prompt_args)
        return _agrowing(ask, output_cls)

    def _structured_stream_call(
        self,
        output_cls: type[M],
        prompt: BasePromptTemplate,
        llm_kwargs: Settings = None,
        **prompt_args: Any,
    ) -> Generator[Any]:
        program = self._program(output_cls, prompt)
        return program.stream_call(llm_kwargs=_plain(llm_kwargs), **prompt_args)

    async def _structured_astream_call(
        self,
        output_cls: type[M],
        prompt: BasePromptTemplate,
        llm_kwargs: Settings = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any]:
        program = self._program(output_cls, prompt)
        return await program.astream_call(llm_kwargs=_plain(llm_kwargs), **prompt_args)

    def _program(self, output_cls: type[M], prompt: BasePromptTemplate) -> BasePydanticProgram[M]:
        """LlamaIndex's program for a stream; its own leave it to the model whether to call."""
        mode = self.pydantic_program_mode
        must = {"tool_choice": "any"} if mode == PydanticProgramMode.FUNCTION else {}
        return get_program_for_llm(output_cls, prompt, self, pydantic_program_mode=mode, **must)


def _text(response: CompletionResponse | ChatResponse) -> str:
    if isinstance(response, CompletionResponse):
        return response.text
    return response.message.content or ""


def _plain(settings: Settings) -> dict[str, Any]:
    return dict(settings or {})


def _growing(ask: Callable[[str], Any], output_cls: type[M]) -> Generator[M | FlexibleModel]:
    """Yield the object as far as it goes, and whole."""
    reader = _Growing(output_cls)
    with closing(ask("stream_")) as responses:
        for response in responses:
            yield from reader.feed(response)
    yield from reader.finish()


async def _agrowing(
    ask: Callable[[str], Any], output_cls: type[M]
) -> AsyncGenerator[M | FlexibleModel]:
    reader = _Growing(output_cls)
    async with aclosing(await ask("astream_")) as responses:
        async for response in responses:
            for object_ in reader.feed(response):
                yield object_
    for object_ in reader.finish():
        yield object_


class _Growing(Generic[M]):
    """An object that is read while its JSON is written; tells instrumentation of it."""

    def __init__(self, output_cls: type[M]) -> None:
        self._output_cls = output_cls
        self._partial_cls = create_flexible_model(output_cls)
        self._text = ""
        self._finish_reason: str | None = None
        self._value: Any = None
        self._last: M | FlexibleModel | None = None

    def feed(self, response: CompletionResponse | ChatResponse) -> Iterator[M | FlexibleModel]:
        """Yield the object as far as it goes, if more of it can be read."""
        self._text = _text(response)
        self._finish_reason = (response.raw or {}).get("finish_reason")
        try:
            value = from_json(self._text, allow_partial="trailing-strings")
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
        warn_if_closed(self._finish_reason)
        whole = self._output_cls.model_validate_json(self._text)
        if whole != self._last:
            yield self._report(whole)
        dispatcher.event(LLMStructuredPredictEndEvent(output=whole))

    def _report(self, object_: N) -> N:
        dispatcher.event(LLMStructuredPredictInProgressEvent(output=object_))
        return object_


def _whole(output_cls: type[M], response: CompletionResponse | ChatResponse) -> M:
    warn_if_closed((response.raw or {}).get("finish_reason"))
    object_ = output_cls.model_validate_json(_text(response))
    dispatcher.event(LLMStructuredPredictEndEvent(output=object_))
    return object_
