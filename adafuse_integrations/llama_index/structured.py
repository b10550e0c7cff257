"""Answers that are objects of a Pydantic class, held to its schema while they are written."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterator, Mapping
from contextlib import aclosing, closing
from typing import Any, Generic, TypeVar

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
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

from adafuse.errors import ConfigError
from adafuse_integrations.llama_index.model import EnsembleLLM

__all__ = ["StructuredAnswers"]

dispatcher = get_dispatcher(__name__)
M = TypeVar("M", bound=BaseModel)
Settings = Mapping[str, Any] | None
_Asking = tuple[list[ChatMessage], dict[str, Any]]
# How a call is asked for; an answer that must be of a schema needs none.
_OF_CALLS = {"tool_required", "tool_choice", "allow_parallel_tool_calls"}


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
    ) -> _Asking:
        """The messages and settings of the call, once its start is told."""
        event = LLMStructuredPredictStartEvent(
            output_cls=output_cls, template=prompt, template_args=dict(prompt_args)
        )
        dispatcher.event(event)
        given = {key: one for key, one in (llm_kwargs or {}).items() if key not in _OF_CALLS}
        if taken := given.keys() & {"json_schema", "response_format", "keep_incomplete", "tools"}:
            raise ConfigError(f"structured answers decide {', '.join(sorted(taken))} themselves")
        settings = {**given, "json_schema": output_cls, "keep_incomplete": False}
        return prompt.format_messages(llm=self, **prompt_args), settings

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
            one: M = super().structured_predict(
                output_cls, prompt, _plain(llm_kwargs), **prompt_args
            )
            return one
        messages, settings = self._asking(output_cls, prompt, llm_kwargs, prompt_args)
        return _read(output_cls, self.chat(messages, **settings).message.content)

    async def astructured_predict(
        self,
        output_cls: type[M],
        prompt: BasePromptTemplate,
        llm_kwargs: Settings = None,
        **prompt_args: Any,
    ) -> M:
        """As `structured_predict`, without blocking the event loop."""
        if not self._by_grammar:
            one: M = await super().astructured_predict(
                output_cls, prompt, _plain(llm_kwargs), **prompt_args
            )
            return one
        messages, settings = self._asking(output_cls, prompt, llm_kwargs, prompt_args)
        response = await self.achat(messages, **settings)
        return _read(output_cls, response.message.content)

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
        messages, settings = self._asking(output_cls, prompt, llm_kwargs, prompt_args)
        return _objects(self.stream_chat(messages, **settings), output_cls)

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
        messages, settings = self._asking(output_cls, prompt, llm_kwargs, prompt_args)
        return _aobjects(await self.astream_chat(messages, **settings), output_cls)

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


def _plain(settings: Settings) -> dict[str, Any]:
    return dict(settings or {})


def _objects(
    responses: Generator[ChatResponse], output_cls: type[M]
) -> Generator[M | FlexibleModel]:
    growing = _Growing(output_cls)
    with closing(responses):
        for response in responses:
            yield from growing.feed(response)
    yield growing.whole()


async def _aobjects(
    responses: AsyncGenerator[ChatResponse], output_cls: type[M]
) -> AsyncGenerator[M | FlexibleModel]:
    growing = _Growing(output_cls)
    async with aclosing(responses):
        async for response in responses:
            for one in growing.feed(response):
                yield one
    yield growing.whole()


class _Growing(Generic[M]):
    """An object that is read while its JSON is written; tells instrumentation of it."""

    def __init__(self, output_cls: type[M]) -> None:
        self._output_cls = output_cls
        self._partial_cls = create_flexible_model(output_cls)
        self._text = ""
        self._value: Any = None

    def feed(self, response: ChatResponse) -> Iterator[M | FlexibleModel]:
        """Yield the object as far as it goes, if more of it can be read."""
        self._text = response.message.content or ""
        try:
            value = from_json(self._text, allow_partial="trailing-strings")
        except ValueError:
            return  # nothing of it yet
        if value == self._value or not isinstance(value, dict):
            return
        self._value = value
        one: M | FlexibleModel
        try:
            one = self._output_cls.model_validate(value)
        except ValidationError:
            one = self._partial_cls(**value)
        dispatcher.event(LLMStructuredPredictInProgressEvent(output=one))
        yield one

    def whole(self) -> M:
        """The object, now that its JSON is whole."""
        return _read(self._output_cls, self._text)


def _read(output_cls: type[M], text: str | None) -> M:
    one = output_cls.model_validate_json(text or "")
    dispatcher.event(LLMStructuredPredictEndEvent(output=one))
    return one
