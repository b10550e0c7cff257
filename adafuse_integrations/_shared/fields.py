"""The fields that every model class has: which members, and how they decode.

Pydantic only; framework classes inherit these next to their framework's base class.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar, cast, get_args

from pydantic import ConfigDict, Field, PrivateAttr, field_validator, model_validator

from adafuse.backends import Backend, check_backend
from adafuse.decoding.failures import check_floor
from adafuse.decoding.member import Member
from adafuse.decoding.subset import answering, answering_config
from adafuse.ensemble import Ensemble, Models
from adafuse.ensemble_file import read_models
from adafuse.errors import ConfigError
from adafuse.events import Round
from adafuse.presets import with_preset
from adafuse.prompting.prompt import Message, PromptFormat, read_prompt
from adafuse.spec import MAX_MEMBERS, MemberSpec, as_spec
from adafuse.validation import refuse_unknown
from adafuse_integrations._shared.members import (
    SharedEnsemble,
    configured_window,
    from_environment,
    member_names,
    members_identity,
    share,
    smallest_window,
)
from adafuse_integrations._shared.settings import SETTINGS, Call, DecodingFields, replacing

__all__ = ["CompletionFields", "EnsembleFields"]

T = TypeVar("T")


class EnsembleFields(DecodingFields):
    """Members and decoding settings, checked when built; members are loaded on first use.

    A `preset` (see `adafuse.config`) stands for its settings; those that are given go before it.
    """

    # Errors do not repeat their input: a specification may hold what should not be printed.
    model_config = ConfigDict(
        arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True
    )

    # What may be given per call, or bound.
    _per_call: ClassVar[tuple[str, ...]] = (*SETTINGS, "model")

    models: Models | None = Field(
        default=None,
        frozen=True,
        repr=False,
        description="1 to 8 members: hub ids, local folders, GGUF files, MemberSpec or mappings of "
        "its fields; or the name of a file that `adafuse fit` wrote, ending in .yaml, whose "
        "settings hold where none are given. The first one counts max_tokens and wins ties. "
        "Without models and ensemble, those of the environment variable ADAFUSE_MODELS: separated "
        "by commas, or a JSON list.",
    )
    ensemble: Ensemble | None = Field(
        default=None,
        frozen=True,
        exclude=True,
        repr=False,
        description="An ensemble that is already built, in place of models. Settings that are not "
        "given here are taken from its configuration.",
    )
    model: str | None = Field(
        default=None,
        description="Which members answer: a name, or several joined by '+', the first of which "
        "counts max_tokens; None: all. weights has a number for every member all the same.",
    )
    device: str | None = Field(
        default=None,
        frozen=True,
        description="Device of members whose specification names none. With members of the "
        "environment, ADAFUSE_DEVICE, if it is set.",
    )
    dtype: str | None = Field(
        default=None,
        frozen=True,
        description="Number format, likewise, such as 'bfloat16'; or ADAFUSE_DTYPE.",
    )
    backend: Backend = Field(
        default="local",
        frozen=True,
        description="Where members are loaded: 'local', in this process; or 'ray', on a cluster, "
        "which needs the extra 'ray'.",
    )
    address: str | None = Field(
        default=None,
        frozen=True,
        description="Of that cluster: None, 'auto', 'host:port' or 'ray://…'; see `Ensemble.load`.",
    )

    _shared: SharedEnsemble | None = PrivateAttr(default=None)
    _call: Call | None = PrivateAttr(default=None)  # of a copy made for it

    @model_validator(mode="before")
    @classmethod
    def _read_ensemble_fields(cls, values: Any) -> Any:
        """Refuse unknown fields by name; fill in from the environment and the ensemble."""
        if not isinstance(values, Mapping):
            return values
        values = with_preset(values)
        refuse_unknown("field", values, list(cls.model_fields))
        filled = from_environment(values)
        if isinstance(ensemble := values.get("ensemble"), Ensemble):
            own = {name: getattr(ensemble.config, core) for name, core in SETTINGS.items()}
            return {**own, **filled}
        members, of_file = read_models(filled.get("models"), to_answer=True)
        settings = {name: of_file[core] for name, core in SETTINGS.items() if core in of_file}
        return {**settings, **filled, "models": members} if members is not None else filled

    @field_validator("models", mode="plain")
    @classmethod
    def _read_models(cls, models: object) -> tuple[MemberSpec, ...] | None:
        if models is None:
            return None
        listed = isinstance(models, Sequence) and not isinstance(models, str | Mapping | MemberSpec)
        if not listed or not 1 <= len(cast("Sequence[object]", models)) <= MAX_MEMBERS:
            raise ConfigError(f"models must be a list of 1 to {MAX_MEMBERS} members")
        return tuple(as_spec(model) for model in cast("Sequence[str]", models))

    @model_validator(mode="after")
    def _check_ensemble_fields(self) -> Self:
        if (self.models is None) == (self.ensemble is None):
            raise ConfigError(
                "give either models or an ensemble that is already built, or set ADAFUSE_MODELS"
            )
        if self.ensemble is not None and (self.device or self.dtype or self.backend != "local"):
            raise ConfigError(
                "device, dtype and backend are for models; this ensemble is already loaded"
            )
        check_backend(self._specs(), self.backend, self.address)
        self._read_call()
        if self.models is not None:
            self._shared = self._share()
        return self

    def _specs(self) -> tuple[MemberSpec, ...]:
        return cast("tuple[MemberSpec, ...]", self.models or ())

    def _share(self) -> SharedEnsemble:
        return share(self._specs(), self.device, self.dtype, self.backend, self.address)

    # --- One call: a copy that has its settings as fields, and what they come to ---

    def _read_call(self) -> Call:
        """What these settings come to for the members that answer."""
        names = member_names(self._members())
        chosen = answering(names, self.model)
        config = answering_config(names, chosen, self._decoding())
        check_floor([names[at] for at in chosen], config)
        return Call(config, chosen)

    def _with(self, overrides: Mapping[str, Any]) -> Self:
        """Return this model for one call, with its settings; unknown ones are refused."""
        overrides = with_preset(overrides)
        refuse_unknown("argument", overrides, self._per_call)
        model = self.model_copy(update=replacing(overrides))
        model._call = model._read_call()
        return model

    @property
    def _current_call(self) -> Call:
        return self._call or self._read_call()

    def _members(self) -> Ensemble | tuple[MemberSpec, ...]:
        return self.ensemble if self.ensemble is not None else self._specs()

    def _chosen(self, of_members: Sequence[T]) -> tuple[T, ...]:
        """Of one thing per member, those of the members that answer."""
        call = self._call
        chosen = call.chosen if call else answering(member_names(self._members()), self.model)
        return tuple(of_members[at] for at in chosen)

    def _member_names(self) -> tuple[str, ...]:
        """Names of those that answer."""
        return self._chosen(member_names(self._members()))

    @property
    def _model_name(self) -> str:
        return "+".join(self._member_names())

    def _loaded(self) -> Ensemble:
        """The ensemble; loads its members on first use."""
        if self.ensemble is not None:
            return self.ensemble
        assert self._shared is not None  # set by the validator when models are given
        return self._shared.get()

    def _answering(self) -> tuple[Member, ...]:
        """Those that answer; loads all members on first use."""
        return self._chosen(self._loaded().members)

    def _known_window(self) -> int | None:
        """The smallest context window, in tokens, or None if nobody can say; loads nothing."""
        # Asked for while the object is being built, too.
        if loaded := self.ensemble or (self._shared or self._share()).loaded:
            return smallest_window(self._chosen(loaded.members))
        return configured_window(self._chosen(self._specs()))

    def _rounds(
        self, prompt: str | Sequence[Message], prompt_format: PromptFormat | None = None
    ) -> Generator[Round]:
        """Decode one answer to text or messages; closing it early lets go of every session."""
        call = self._current_call
        checked = call.constrained(read_prompt(prompt, prompt_format))
        return self._loaded()._decode(checked, call.config, call.chosen, rated=self._rated)

    @property
    def _rated(self) -> bool:
        """Whether words that members agree on have scores too."""
        return False

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """As the base class; what an earlier version has not pickled has its default."""
        super().__setstate__(state)
        for name, field in type(self).model_fields.items():
            self.__dict__.setdefault(name, field.get_default(call_default_factory=True))
        self._call = getattr(self, "_call", None)

    def _identity(self) -> dict[str, Any]:
        """Everything that changes an answer, as plain values: members, loading, settings."""
        config = self._current_call.config
        settings = {name: getattr(config, core) for name, core in SETTINGS.items()}
        del settings["timeout"]  # it ends an answer, but makes no other one
        return {
            "members": list(self._chosen(members_identity(self._members()))),
            "device": self.device,
            "dtype": self.dtype,
            **{name: list(v) if isinstance(v, tuple) else v for name, v in settings.items()},
        }

    def _token_counts(self, text: str) -> Iterator[int]:
        """Tokens of `text` for each that answers; the first is the one that counts max_tokens."""
        for member in self._answering():
            count = getattr(member, "count_tokens", None)
            if count is None:
                raise ConfigError(f"member {member.name!r} cannot count tokens")
            yield int(count(text))


class CompletionFields(EnsembleFields):
    """Likewise, for models that complete text: how a string is read."""

    _per_call: ClassVar[tuple[str, ...]] = (*EnsembleFields._per_call, "prompt_format")

    prompt_format: PromptFormat = Field(
        default="auto",
        description="How a string is read: 'auto' makes it one user message for members with a "
        "chat template, 'chat' for all, 'raw' completes it as it is.",
    )

    def _read_call(self) -> Call:
        if (own := self.prompt_format) not in get_args(PromptFormat):
            raise ConfigError(f"prompt_format must be 'raw', 'auto' or 'chat', not {own!r}")
        return super()._read_call()

    def _identity(self) -> dict[str, Any]:
        return {**super()._identity(), "prompt_format": self.prompt_format}
