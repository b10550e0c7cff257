"""What both LangChain classes of an ensemble have: names, token counts, how they are written down.

Knows neither completions nor messages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, ClassVar, Literal, cast

from langchain_core.language_models import BaseLanguageModel, LangSmithParams
from langchain_core.load.serializable import SerializedConstructor, SerializedNotImplemented
from langchain_core.runnables import RunnableConfig
from pydantic import PrivateAttr

from adafuse.concurrency.async_iterator import Decoders
from adafuse.errors import ConfigError
from adafuse_integrations._shared.fields import EnsembleFields
from adafuse_integrations._shared.identity import loadable
from adafuse_integrations.langchain._batching import queued

__all__ = ["EnsembleModel"]


class EnsembleModel(EnsembleFields, BaseLanguageModel[Any]):
    """An ensemble as a LangChain model; named before LangChain's class among the bases.

    Written down by `dumps`, it is its members' specifications and settings: no weights, and no
    tokens or keys. One that holds an ensemble built elsewhere cannot be.
    """

    _ls_model_type: ClassVar[Literal["chat", "llm"]]

    _decoders: Decoders = PrivateAttr(default_factory=Decoders)  # of this call

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """Everything that changes an answer."""
        return self._identity()

    @property
    def _model_name(self) -> str:
        return "+".join(self._member_names())

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
        return self._count_tokens(text)

    def batch_as_completed(
        self,
        inputs: Sequence[Any],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> Iterator[Any]:
        """As `batch`, giving rows as they are done."""
        configs, either = queued(config, len(inputs)), cast("Any", return_exceptions)
        return super().batch_as_completed(inputs, configs, return_exceptions=either, **kwargs)

    def abatch_as_completed(
        self,
        inputs: Sequence[Any],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        """As `abatch`, giving rows as they are done."""
        configs, either = queued(config, len(inputs)), cast("Any", return_exceptions)
        return super().abatch_as_completed(inputs, configs, return_exceptions=either, **kwargs)
