"""One answer of a chat ensemble, as LangChain asks a chat model for it.

Settings of a call become the fields of a copy, so that one place checks them and the cache key has
them. This module does not know how tools and schemas are bound.
"""

from __future__ import annotations

import asyncio
import builtins
import json
from collections import Counter
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing, closing
from functools import partial
from typing import Any, Self, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput, ModelProfile
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult, LLMResult
from langchain_core.runnables import RunnableConfig
from pydantic import ConfigDict, PrivateAttr

from adafuse.concurrency.async_iterator import Decoders
from adafuse.ensemble import Ensemble
from adafuse.prompting.prompt import Message
from adafuse.tools.answer_parts import AnswerParts
from adafuse_integrations._shared.chat import ChatFields
from adafuse_integrations._shared.members import smallest_window
from adafuse_integrations.langchain._base import EnsembleModel, telling, telling_async
from adafuse_integrations.langchain._chat_chunks import ChatAnswerChunk, chat_chunks, whole_message
from adafuse_integrations.langchain._compat import describe_as
from adafuse_integrations.langchain._messages import core_messages
from adafuse_integrations.langchain._structured_output import decoding_schema
from adafuse_integrations.langchain._tools import core_tools

__all__ = ["ChatModel"]

# What LangChain hands through to models, or steers itself by.
_LANGCHAINS = frozenset({"ls_structured_output_format", "structured_output_format", "stream"})


class ChatModel(EnsembleModel[AIMessage], ChatFields, BaseChatModel):
    """A chat model whose answers an ensemble writes."""

    model_config = ConfigDict(extra="forbid")

    _ls_model_type = "chat"
    _own_profile: bool = PrivateAttr(default=False)  # computed here, not given

    @property
    def _llm_type(self) -> str:
        return "adafuse-chat"

    # --- What it says of itself ---

    def _get_invocation_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> builtins.dict[str, Any]:
        model = self._for_call(stop, kwargs)  # refuses unknown arguments before a run begins
        return {**model.asdict(), **kwargs, "stop": model._stops}

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """The cache key: everything that changes the message."""
        return json.dumps(self._for_call(stop, kwargs).asdict(), sort_keys=True, default=repr)

    def _resolve_model_profile(self) -> ModelProfile:
        self._own_profile = True
        return _profile(self._known_window())

    def _loaded(self) -> Ensemble:
        """As the base class; the profile then has what the loaded members say."""
        ensemble = super()._loaded()
        if self._own_profile and self.profile is not None:  # shared with the copies of calls
            self.profile.update(_profile(smallest_window(self._chosen(ensemble.members))))
        return ensemble

    # --- One call ---

    def _for_call(self, stop: Sequence[str] | None, arguments: Mapping[str, Any]) -> Self:
        if self._call is not None:  # asked with the arguments that it was made from
            return self
        settings = {name: value for name, value in arguments.items() if name not in _LANGCHAINS}
        if stop is not None:
            settings["stop"] = stop
        if settings.get("tools"):
            settings["tools"] = core_tools(settings["tools"])
        if settings.get("json_schema") is not None:
            settings["json_schema"] = decoding_schema(settings["json_schema"])
        if isinstance(form := settings.get("response_format"), type):
            described = {"schema": decoding_schema(form)}
            settings["response_format"] = {"type": "json_schema", "json_schema": described}
        model = self._with(settings)
        describe_as(model, self)
        if "model" in settings:
            model._own_profile = False  # that of other members
        return model

    def _begin(
        self, messages: Sequence[BaseMessage], stop: Sequence[str] | None, arguments: Any
    ) -> tuple[Callable[..., Generator[ChatAnswerChunk]], AnswerParts]:
        """Check a call; returns what decodes its answer, and what takes that apart."""
        model = self._for_call(stop, arguments)
        conversation = core_messages(messages)
        model = model._answering_to(conversation)
        parts = model._answer_parts()
        return partial(model._chunks, conversation, parts), parts

    def _chunks(
        self, messages: Sequence[Message], parts: AnswerParts, *, blocks: bool = False
    ) -> Generator[ChatAnswerChunk]:
        first = {"model_name": self._model_name, "model_provider": "adafuse"}
        with closing(self._described_parts(messages, parts)) as answer:
            yield from chat_chunks(answer, parts, first, blocks=blocks)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Generator[ChatAnswerChunk]:
        decode, _ = self._begin(messages, stop, kwargs)
        return telling(decode(blocks=self.output_version == "v1"), run_manager)

    def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[ChatAnswerChunk]:
        decode, _ = self._begin(messages, stop, kwargs)
        decode = partial(decode, blocks=self.output_version == "v1")
        return telling_async(self._decoders.decode(decode), run_manager)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        decode, parts = self._begin(messages, stop, kwargs)
        with closing(telling(decode(), run_manager)) as chunks:
            return _result(list(chunks), parts)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        decode, parts = self._begin(messages, stop, kwargs)
        async with aclosing(telling_async(self._decoders.decode(decode), run_manager)) as chunks:
            return _result([chunk async for chunk in chunks], parts)

    async def _agenerate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        """As the base class, which says nothing to callbacks where it is cancelled."""
        try:
            return await super()._agenerate_with_cache(messages, stop, run_manager, **kwargs)
        except asyncio.CancelledError as error:
            if run_manager:
                await run_manager.on_llm_error(error, response=LLMResult(generations=[]))
            raise

    def invoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Answer a conversation."""
        model = self._for_call(stop, kwargs)
        return super(ChatModel, model).invoke(input, config, stop=stop, **kwargs)

    async def ainvoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """As `invoke`, without blocking the event loop; cancelling it stops the decoder."""
        model = self._for_call(stop, kwargs)
        return await super(ChatModel, model).ainvoke(input, config, stop=stop, **kwargs)

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Yield words as they are fused; closing it early is safe."""
        model = self._for_call(stop, kwargs)
        return super(ChatModel, model).stream(input, config, stop=stop, **kwargs)

    def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Yield words as they are fused; closing or cancelling it stops the decoder and waits."""
        model = self._for_call(stop, kwargs).model_copy()
        model._decoders = Decoders()
        return model._decoders.relay(
            super(ChatModel, model).astream(input, config, stop=stop, **kwargs)
        )

    def _combine_llm_outputs(
        self, outputs: list[builtins.dict[str, Any] | None], /
    ) -> builtins.dict[str, Any]:
        """What `generate` says of several answers: their tokens together."""
        counts = Counter[str]()
        for output in outputs:
            counts.update((output or {}).get("token_usage", {}))
        return {"model_name": self._model_name, "token_usage": dict(counts)}


def _result(chunks: Sequence[ChatAnswerChunk], parts: AnswerParts) -> ChatResult:
    message = whole_message(chunks, parts)
    metadata = message.response_metadata
    output = {"model_name": metadata["model_name"], "token_usage": metadata["token_usage"]}
    return ChatResult(generations=[ChatGeneration(message=message)], llm_output=output)


def _profile(window: int | None) -> ModelProfile:
    """What an ensemble can do; `window` is in tokens of the member that has the smallest."""
    inputs = ("image", "image_url", "pdf", "audio", "video")
    cannot = (*(f"{kind}_inputs" for kind in inputs), "image_tool_message", "pdf_tool_message")
    cannot += ("image_outputs", "audio_outputs", "video_outputs", "reasoning_output")
    can = ("text_inputs", "text_outputs", "tool_calling", "tool_choice", "tool_call_streaming")
    profile: Any = dict.fromkeys((*can, "structured_output"), True) | dict.fromkeys(cannot, False)
    if window is not None:
        profile["max_input_tokens"] = window
    return cast("ModelProfile", profile)
