"""Answers that are objects of a Pydantic class, held to its schema while they are written."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Any, TypeVar

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.instrumentation.events.llm import LLMStructuredPredictStartEvent
from llama_index.core.program.utils import FlexibleModel, get_program_for_llm
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.types import BasePydanticProgram, PydanticProgramMode
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel

from adafuse.config import read_schema
from adafuse.errors import ConfigError
from adafuse_integrations.llama_index._call import EnsembleLLM
from adafuse_integrations.llama_index._structured_parsing import agrowing, growing, whole

__all__ = ["StructuredAnswers"]

dispatcher = get_dispatcher(__name__)
M = TypeVar("M", bound=BaseModel)
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


@dataclass(frozen=True, slots=True)
class _Request:
    """What a structured method asks of `chat`, or of `complete` if the prompt is text."""

    prompt: str | list[ChatMessage]
    settings: dict[str, Any]


class StructuredAnswers(EnsembleLLM):
    """The structured methods of LlamaIndex, by grammar.

    With a `pydantic_program_mode` other than the default, LlamaIndex's own programs do it: by a
    tool call ("function"), or from free text ("llm").
    """

    @property
    def _by_grammar(self) -> bool:
        return self.pydantic_program_mode == PydanticProgramMode.DEFAULT

    def _request(
        self,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        llm_kwargs: Settings,
        prompt_args: Mapping[str, Any],
    ) -> _Request:
        """What is asked, once its start is told."""
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
            return _Request(prompt.format_messages(llm=self, **prompt_args), settings)
        text = prompt.format(
            llm=self,
            messages_to_prompt=self.messages_to_prompt,
            completion_to_prompt=self.completion_to_prompt,
            **prompt_args,
        )
        in_prompt = settings.pop("schema_in_prompt", self.schema_in_prompt)
        return _Request(self._extended(text, schema if in_prompt else None), settings)

    def _send(self, prefix: str, request: _Request) -> Any:
        """Call the method of this name that takes such a prompt: "a" for `acomplete`, `achat`."""
        if isinstance(request.prompt, str):
            complete = getattr(self, f"{prefix}complete")
            return complete(request.prompt, formatted=True, **request.settings)
        return getattr(self, f"{prefix}chat")(request.prompt, **request.settings)

    def _texts(self, request: _Request) -> Generator[str]:
        """The answer as far as it goes, word by word."""
        with closing(self._send("stream_", request)) as responses:
            yield from map(_text, responses)

    async def _atexts(self, request: _Request) -> AsyncGenerator[str]:
        """Likewise."""
        async with aclosing(await self._send("astream_", request)) as responses:
            async for response in responses:
                yield _text(response)

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
        request = self._request(output_cls, prompt, llm_kwargs, prompt_args)
        return whole(output_cls, _text(self._send("", request)))

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
        request = self._request(output_cls, prompt, llm_kwargs, prompt_args)
        return whole(output_cls, _text(await self._send("a", request)))

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
        request = self._request(output_cls, prompt, llm_kwargs, prompt_args)
        return growing(self._texts(request), output_cls)

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
        request = self._request(output_cls, prompt, llm_kwargs, prompt_args)
        return agrowing(self._atexts(request), output_cls)

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
