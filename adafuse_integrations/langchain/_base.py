"""What both LangChain classes of an ensemble have: names, token counts, batches, serialization.

Several inputs are decoded together and share the forwards of their members. Knows neither
completions nor messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Sequence
from contextlib import aclosing, closing
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseLanguageModel, LangSmithParams, LanguageModelInput
from langchain_core.language_models.base import LanguageModelOutputVar
from langchain_core.load.serializable import SerializedConstructor, SerializedNotImplemented
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import get_config_list
from pydantic import PrivateAttr

from adafuse.concurrency.async_iterator import Decoders
from adafuse.errors import ConfigError
from adafuse_integrations._shared.fields import EnsembleFields
from adafuse_integrations._shared.members import loadable

__all__ = ["EnsembleModel", "telling", "telling_async"]

ROWS = 8
"""Rows decoded at a time unless the configuration says otherwise."""
Configs = RunnableConfig | Sequence[RunnableConfig] | None
Chunk = TypeVar("Chunk", bound=Any)


class EnsembleModel(
    EnsembleFields, BaseLanguageModel[LanguageModelOutputVar], Generic[LanguageModelOutputVar]
):
    """An ensemble as a LangChain model; named before LangChain's class among the bases.

    Written down by `dumps`, it is its members' specifications and settings: no weights, and no
    tokens or keys. One that holds an ensemble built elsewhere cannot be.
    """

    _ls_model_type: ClassVar[Literal["chat", "llm"]]

    _decoders: Decoders = PrivateAttr(default_factory=Decoders)  # of this call

    def _for_call(self, stop: Sequence[str] | None, settings: Any) -> Self:
        """Return this model with the settings of one call, unless it is for a call already."""
        raise NotImplementedError

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """Everything that changes an answer."""
        return self._identity()

    @property
    def _stops(self) -> list[str] | None:
        """The stops in effect."""
        return list(self._current_call.config.stop) or None

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = LangSmithParams(
            ls_provider="adafuse",
            ls_model_name=kwargs.get("model") or self._model_name,
            ls_model_type=self._ls_model_type,
            ls_temperature=kwargs.get("temperature", self.temperature),
            ls_max_tokens=kwargs.get("max_tokens", self.max_tokens),
        )
        if stops := self._stops if stop is None else stop:
            params["ls_stop"] = list(stops)
        return params

    def __repr_args__(self) -> Any:
        return [("models", list(self._member_names())), *super().__repr_args__()]

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Whether `dumps` writes it down; one with a ready ensemble says itself that it cannot."""
        return True

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Where it is imported from."""
        return ["adafuse_integrations", "langchain"]

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """The members, as plain values."""
        return {} if self.models is None else {"models": loadable(self._specs())}

    def to_json(self) -> SerializedConstructor | SerializedNotImplemented:
        """As the base class; an ensemble that was built elsewhere is not implemented."""
        return super().to_json() if self.ensemble is None else self.to_json_not_implemented()

    def get_token_ids(self, text: str) -> list[int]:
        """Raise ConfigError unless `custom_get_token_ids` is set: members differ in their ids."""
        if self.custom_get_token_ids is None:
            raise ConfigError("members have no common token ids; set custom_get_token_ids")
        return super().get_token_ids(text)

    def get_num_tokens(self, text: str) -> int:
        """Count tokens as the first member does, which also counts max_tokens; loads the members.

        Raises:
            ConfigError: that member cannot count tokens, and `custom_get_token_ids` is not set.
        """
        if self.custom_get_token_ids is not None:
            return len(self.custom_get_token_ids(text))
        return next(self._token_counts(text))

    # --- Several inputs ---

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> list[LanguageModelOutputVar]:
        """Answer each input with its own configuration; unknown arguments fail before any row."""
        model, configs = self._for_call(stop, kwargs), _queued(config, len(inputs))
        kwargs |= {"return_exceptions": return_exceptions, "stop": stop}
        if configs and configs[0]["max_concurrency"] == 1:  # threads would begin a row too many
            rows = zip(inputs, configs, strict=True)
            return [Runnable.batch(model, [row], own, **kwargs)[0] for row, own in rows]
        return Runnable.batch(model, inputs, configs, **kwargs)

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> list[LanguageModelOutputVar]:
        """As `batch`, without blocking the event loop; what ends it stops every row first."""
        model, configs = self._for_call(stop, kwargs), _queued(config, len(inputs))
        gate = asyncio.Semaphore(configs[0]["max_concurrency"] or ROWS if configs else ROWS)

        async def row(
            prompt: LanguageModelInput, row_config: RunnableConfig
        ) -> LanguageModelOutputVar:
            async with gate:
                return await model.ainvoke(prompt, row_config, stop=stop, **kwargs)

        tasks = [asyncio.create_task(row(*pair)) for pair in zip(inputs, configs, strict=True)]
        try:
            rows: Any = await asyncio.gather(*tasks, return_exceptions=return_exceptions)
        except BaseException:
            for task in tasks:
                if not task.cancelling():  # else it is closing its decoder: let it
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
        return list(rows)

    def batch_as_completed(
        self, inputs: Sequence[Any], config: Configs = None, **kwargs: Any
    ) -> Iterator[Any]:
        """As `batch`, giving rows as they are done."""
        return super().batch_as_completed(inputs, _queued(config, len(inputs)), **kwargs)

    def abatch_as_completed(
        self, inputs: Sequence[Any], config: Configs = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """As `abatch`, giving rows as they are done."""
        return super().abatch_as_completed(inputs, _queued(config, len(inputs)), **kwargs)


def _queued(config: Configs, rows: int) -> list[RunnableConfig]:
    """A configuration for each row; the first says how many rows run at a time, as in LangChain."""
    configs = get_config_list(config, rows)
    if configs and not configs[0].get("max_concurrency"):
        configs[0] = {**configs[0], "max_concurrency": ROWS}
    return configs


def telling(
    chunks: Generator[Chunk], run_manager: CallbackManagerForLLMRun | None
) -> Generator[Chunk]:
    """Pass chunks on, telling callbacks of those that add to the answer."""
    with closing(chunks):
        for chunk in chunks:
            if run_manager and chunk.says:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


async def telling_async(
    chunks: AsyncGenerator[Chunk], run_manager: AsyncCallbackManagerForLLMRun | None
) -> AsyncGenerator[Chunk]:
    async with aclosing(chunks):
        async for chunk in chunks:
            if run_manager and chunk.says:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk
