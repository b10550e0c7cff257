"""`AdaFuseLLM`: an ensemble in place of a LangChain completion model."""

from __future__ import annotations

import builtins
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Sequence
from contextlib import aclosing, closing
from functools import partial
from typing import Any, Self

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
    Callbacks,
)
from langchain_core.language_models import LanguageModelInput
from langchain_core.outputs import Generation, LLMResult
from langchain_core.runnables import RunnableConfig
from pydantic import ConfigDict

from adafuse.concurrency.async_iterator import Decoders
from adafuse_integrations._shared.fields import CompletionFields
from adafuse_integrations._shared.trace import totals
from adafuse_integrations.langchain._base import EnsembleModel, telling, telling_async
from adafuse_integrations.langchain._compat import PromptwiseLLM, describe_as, forget_description
from adafuse_integrations.langchain._completion_chunks import (
    AnswerChunk,
    answer_chunks,
    whole_answer,
)

__all__ = ["AdaFuseLLM"]

# What LangChain says of a run, beside the settings of a call.
_OF_RUNS = ("tags", "metadata", "run_name", "run_id")


class AdaFuseLLM(EnsembleModel[str], CompletionFields, PromptwiseLLM):
    """Several local models that write one completion together, word by word.

    Give `models`, or an `ensemble` that is already built, or set ADAFUSE_MODELS; the other fields
    are decoding settings. Members are loaded with the first prompt, once for all instances that
    name the same ones.

    Every decoding setting, `model` (which members answer), `timeout` and `prompt_format` may also
    be given per call, or with `bind`; a `stop` per call replaces the field, and a constraint
    (`json_schema`, `regex`, `choices`, `grammar`) the one that is set. Callbacks get one
    `on_llm_new_token` per word, whether the answer is streamed or not, and the words concatenate to
    the answer exactly. `batch` and `abatch` answer eight prompts at a time, which share
    forwards, unless `max_concurrency` says otherwise.

    Raises:
        pydantic.ValidationError: a field is unknown or out of range.
        ConfigError: likewise for an argument of a call; before anything is loaded.
        IncompleteAnswerError: a constrained answer was cut, by max_tokens or a stop string.
        AdaFuseError: what loading and decoding raise, unchanged, once a prompt is answered.
    """

    model_config = ConfigDict(extra="forbid")

    _ls_model_type = "llm"

    @property
    def _llm_type(self) -> str:
        return "adafuse"

    # --- One call: its settings become the fields of a copy, and so part of the cache key ---

    def _for_call(self, stop: Sequence[str] | None, settings: builtins.dict[str, Any]) -> Self:
        if self._call is not None:
            return self
        if stop is not None:
            settings = {**settings, "stop": stop}
        model = self._with(settings)
        if settings:
            forget_description(model)
        else:
            describe_as(model, self)
        return model

    def generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        callbacks: Callbacks | list[Callbacks] | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        """As the base class, but each prompt's own callbacks get its words."""
        run = {name: kwargs.pop(name) for name in _OF_RUNS if name in kwargs}
        model = self._for_call(stop, kwargs)
        return super(AdaFuseLLM, model).generate(prompts, model._stops, callbacks, **run)

    async def agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        callbacks: Callbacks | list[Callbacks] | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        """As `generate`, without blocking the event loop; cancelling it stops the decoder."""
        run = {name: kwargs.pop(name) for name in _OF_RUNS if name in kwargs}
        model = self._for_call(stop, kwargs)
        callbacks = callbacks or None  # the base class looks into an empty list
        return await super(AdaFuseLLM, model).agenerate(prompts, model._stops, callbacks, **run)

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[str]:
        """Yield words as they are fused, then an empty string; closing it early is safe."""
        model = self._for_call(stop, kwargs)
        return super(AdaFuseLLM, model).stream(input, config, stop=model._stops)

    def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[str]:
        """As `stream`; closing or cancelling it stops the decoder and waits for its round."""
        model = self._for_call(stop, kwargs).model_copy()
        model._decoders = Decoders()
        return model._decoders.relay(
            super(AdaFuseLLM, model).astream(input, config, stop=model._stops)
        )

    # --- One prompt ---

    def _chunks(self, prompt: str) -> Generator[AnswerChunk]:
        with closing(self._rounds(prompt, self.prompt_format)) as rounds:
            yield from answer_chunks(rounds)

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Generator[AnswerChunk]:
        return telling(self._for_call(stop, kwargs)._chunks(prompt), run_manager)

    def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[AnswerChunk]:
        decode = partial(self._for_call(stop, kwargs)._chunks, prompt)
        return telling_async(self._decoders.decode(decode), run_manager)

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        streams = (self._stream(prompt, stop, run_manager, **kwargs) for prompt in prompts)
        return self._result([whole_answer(list(chunks)) for chunks in streams])

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        generations = []
        for prompt in prompts:
            async with aclosing(self._astream(prompt, stop, run_manager, **kwargs)) as chunks:
                generations.append(whole_answer([chunk async for chunk in chunks]))
        return self._result(generations)

    def _result(self, generations: Sequence[Generation]) -> LLMResult:
        usages = [(own.generation_info or {}).get("usage", {}) for own in generations]
        output = {"model_name": self._model_name, "token_usage": totals(usages)}
        return LLMResult(generations=[[own] for own in generations], llm_output=output)
