"""The fields that every model class has: which members, and how they decode.

Pydantic only; framework classes inherit these next to their framework's base class.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any, Self, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from adafuse.config import MAX_MEMBERS, DecodingConfig, MemberSpec, as_spec, refuse_unknown
from adafuse.ensemble import Ensemble
from adafuse.errors import ConfigError
from adafuse.events import Round
from adafuse.prompts import Message, PromptFormat
from adafuse_integrations._identity import member_names, members_identity
from adafuse_integrations._sharing import SharedEnsemble, share

__all__ = ["EnsembleFields"]

_DEFAULTS = DecodingConfig()
# This project's name of a setting, where frameworks have another.
_RENAMED = {"max_new_tokens": "max_tokens"}
_SETTINGS = {_RENAMED.get(f.name, f.name): f.name for f in fields(DecodingConfig)}
_PER_CALL = [*_SETTINGS, "prompt_format"]

_Number = Annotated[float, Field(strict=True)]
_Whole = Annotated[int, Field(strict=True)]


class EnsembleFields(BaseModel):
    """Members and decoding settings, checked when built; members are loaded on first use."""

    # Errors do not repeat their input: a specification may hold what should not be printed.
    model_config = ConfigDict(
        arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True
    )

    models: Sequence[str | Mapping[str, Any] | MemberSpec] | None = Field(
        default=None,
        frozen=True,
        repr=False,
        description="1 to 8 members: hub ids, local folders, GGUF files, MemberSpec or mappings of "
        "its fields. The first one counts max_tokens and wins ties.",
    )
    ensemble: Ensemble | None = Field(
        default=None,
        frozen=True,
        exclude=True,
        repr=False,
        description="An ensemble that is already built, in place of models. Settings that are not "
        "given here are taken from its configuration.",
    )
    device: str | None = Field(
        default=None, frozen=True, description="Device of members whose specification names none."
    )
    dtype: str | None = Field(
        default=None, frozen=True, description="Number format, likewise; such as 'bfloat16'."
    )
    margin_threshold: _Number = Field(
        default=_DEFAULTS.margin_threshold,
        description="A drafted word is confident while top-1 minus top-2 probability of the next "
        "token is at least this; 0 to 1.",
    )
    max_words: _Whole = Field(
        default=_DEFAULTS.max_words, description="Most words a member may propose in one round."
    )
    branches: _Whole = Field(
        default=_DEFAULTS.branches,
        description="How many next tokens an uncertain member proposes.",
    )
    max_word_tokens: _Whole = Field(
        default=_DEFAULTS.max_word_tokens, description="A longer word goes on in the next round."
    )
    weights: Sequence[_Number] | None = Field(
        default=None,
        description="One number per member for the mean of their scores; None takes those of the "
        "specifications, which are equal unless set.",
    )
    temperature: _Number = Field(
        default=_DEFAULTS.temperature,
        description="0 commits the candidate with the lowest mean NLL; above 0 it is drawn.",
    )
    seed: _Whole | None = Field(default=None, description="Of that draw; None is not repeatable.")
    stop: Sequence[str] | str | None = Field(
        default=None, description="Strings that end the answer and are left out of it."
    )
    max_tokens: _Whole = Field(
        default=_DEFAULTS.max_new_tokens,
        description="The answer ends when the first member has committed this many tokens.",
    )
    repetition_penalty: _Number = Field(
        default=_DEFAULTS.repetition_penalty,
        description="As in transformers, over prompt, answer and drafted tokens; 1 is off.",
    )
    prompt_format: PromptFormat = Field(
        default="auto",
        description="How a string is read: 'auto' makes it one user message for members with a "
        "chat template, 'chat' for all, 'raw' completes it as it is.",
    )

    _shared: SharedEnsemble | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _read_ensemble_fields(cls, given: Any) -> Any:
        """Refuse unknown fields by name; take settings that are not given from the ensemble."""
        if not isinstance(given, Mapping):
            return given
        refuse_unknown("field", given, list(cls.model_fields))
        ensemble = given.get("ensemble")
        if not isinstance(ensemble, Ensemble):
            return dict(given)
        own = {name: getattr(ensemble.config, core) for name, core in _SETTINGS.items()}
        return {**own, **given}

    @field_validator("models", mode="plain")
    @classmethod
    def _read_models(cls, given: object) -> tuple[MemberSpec, ...] | None:
        if given is None:
            return None
        one = isinstance(given, str | Mapping | MemberSpec) or not isinstance(given, Sequence)
        if one or not 1 <= len(cast("Sequence[object]", given)) <= MAX_MEMBERS:
            raise ConfigError(f"models must be a list of 1 to {MAX_MEMBERS} members")
        return tuple(as_spec(model) for model in cast("Sequence[str]", given))

    @model_validator(mode="after")
    def _check_ensemble_fields(self) -> Self:
        if (self.models is None) == (self.ensemble is None):
            raise ConfigError("give either models or an ensemble that is already built")
        if self.ensemble is not None and (self.device or self.dtype):
            raise ConfigError("device and dtype are for models; this ensemble is already loaded")
        self._decoding()
        if self.models is not None:
            self._shared = share(self._specs(), self.device, self.dtype)
        return self

    def _specs(self) -> tuple[MemberSpec, ...]:
        return cast("tuple[MemberSpec, ...]", self.models or ())

    def _decoding(self) -> DecodingConfig:
        """The settings as the decoder takes them.

        Raises:
            ConfigError: one is out of range.
        """
        if self.prompt_format not in get_args(PromptFormat):
            known = "'raw', 'auto' or 'chat'"
            raise ConfigError(f"prompt_format must be {known}, not {self.prompt_format!r}")
        try:
            config = DecodingConfig(**{core: getattr(self, n) for n, core in _SETTINGS.items()})
        except ConfigError as error:
            message = str(error)
            for core, name in _RENAMED.items():
                message = message.replace(core, name)
            raise ConfigError(message) from None
        count = len(self._member_names())
        if config.weights is not None and len(config.weights) != count:
            raise ConfigError(f"weights has {len(config.weights)} numbers for {count} members")
        return config

    def _with(self, overrides: Mapping[str, Any]) -> Self:
        """Return this model with settings for one call.

        Raises:
            ConfigError: an argument is unknown (the nearest is named) or out of range.
        """
        if not overrides:
            return self
        refuse_unknown("argument", overrides, _PER_CALL)
        changed = self.model_copy(update=dict(overrides))
        changed._decoding()
        return changed

    def _member_names(self) -> tuple[str, ...]:
        return member_names(self.ensemble if self.ensemble is not None else self._specs())

    def _loaded(self) -> Ensemble:
        """The ensemble; loads its members on first use."""
        if self.ensemble is not None:
            return self.ensemble
        assert self._shared is not None  # set by the validator when models are given
        return self._shared.get()

    def _rounds(self, prompt: str | Sequence[Message]) -> Generator[Round]:
        """Decode one answer; closing it early lets go of every session."""
        config = self._decoding()
        settings = {f.name: getattr(config, f.name) for f in fields(config)}
        prompt_format = self.prompt_format if isinstance(prompt, str) else None
        rounds = self._loaded().stream(prompt, prompt_format=prompt_format, **settings)
        return rounds

    def _identity(self) -> dict[str, Any]:
        """Everything that changes an answer, as plain values: members, loading, settings."""
        config = self._decoding()
        members = self.ensemble if self.ensemble is not None else self._specs()
        identity: dict[str, Any] = {
            "members": members_identity(members),
            "device": self.device,
            "dtype": self.dtype,
            "prompt_format": self.prompt_format,
        }
        for name, core in _SETTINGS.items():
            value = getattr(config, core)
            identity[name] = list(value) if isinstance(value, tuple) else value
        return identity

    def _count_tokens(self, text: str) -> int:
        """Tokens of `text` for the first member, which is the one that counts max_tokens.

        Raises:
            ConfigError: that member cannot count tokens.
        """
        first = self._loaded().members[0]
        count = getattr(first, "count_tokens", None)
        if count is None:
            raise ConfigError(f"member {first.name!r} cannot count tokens")
        return int(count(text))
