"""What a caller may set: how to decode, and which members to load.

Both are frozen dataclasses that check themselves when built. This module knows nothing of models.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import NoneType
from typing import Any, Literal, Self, get_args

from adafuse.arguments import refuse_reserved
from adafuse.errors import ConfigError
from adafuse.presets import with_preset
from adafuse.spec import read_ray_options
from adafuse.validation import (
    check_choice,
    check_float,
    check_pattern,
    check_seconds,
    check_seed,
    read_choices,
    read_schema,
    read_stops,
    read_weights,
    refuse_unknown,
    show,
    whole,
)

__all__ = [
    "CONSTRAINTS",
    "MAX_MEMBERS",
    "DecodingConfig",
    "MemberSpec",
    "as_spec",
    "names_of",
    "refuse_unknown",
]

MAX_MEMBERS = 8
Scoring = Literal["token", "byte", "word"]
Weighting = Literal["fixed", "perplexity", "consistency"]
OnMemberError = Literal["raise", "drop"]
CONSTRAINTS = ("json_schema", "regex", "choices", "grammar")
"""Settings that say what an answer may be, of which at most one is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodingConfig:
    """How an ensemble decodes. Defaults are those of the paper (AdaFuse, arXiv 2601.06022).

    Attributes:
        margin_threshold: a drafted word is confident while the margin (top-1 minus top-2
            probability of the next token) is at least this; 0 to 1.
        max_words: most words a member may propose in one round.
        branches: how many next tokens an uncertain member proposes.
        max_word_tokens: a longer word is cut here and goes on in the next round.
        weights: one non-negative number per member for the mean of their scores; None takes the
            weights of the member specifications (equal unless set).
        weighting: what becomes of the weights. "fixed": nothing. "perplexity": each is multiplied
            by how well its member predicts the prompt (PackLLM, arXiv 2404.11531). "consistency":
            in each round those count more that are sure and agree with the others (CoRE, arXiv
            2510.13855). See `adafuse.decoding.weighting`.
        scoring: a score is the mean NLL per "token" of the member, per "byte" of the text in UTF-8,
            or per "word", an end counting as one. Tokenizers differ in how much a token holds, and
            a long word of many tokens has a low mean per token once it is begun.
        leader: the member, by name or place (0 is the first), whose confident drafts are committed
            at once; the others are asked where it is uncertain (after SAFE, arXiv 2510.15346).
        contested_only: words that all members would write by themselves, which are the beginning
            that their most probable drafts share, are committed unscored; candidates are scored
            only where already the first word is contested.
        temperature: 0 commits the candidate with the lowest mean NLL; above 0 it is drawn from
            softmax(-score / temperature).
        seed: of that draw; None takes entropy from the operating system.
        stop: strings that end the answer and are left out of it.
        max_new_tokens: the answer ends when the first member has committed this many tokens.
        repetition_penalty: as in transformers, over prompt, answer and drafted tokens; 1 is off.
        speculation: read ahead, share forwards with other answers, and reuse what earlier prompts
            had in common; the answer is the same without (False), and takes longer.
        timeout: seconds that decoding the answer may take; looked at between rounds.
        round_timeout: seconds that a member may take for its part of a round, and for reading its
            prompt; a member that takes longer has failed.
        on_member_error: what follows when a member fails (an exception, memory, a lost process, a
            limit of time). "raise": a MemberError. "drop": the answer goes on without it, and names
            it; the next answer asks it again. See docs/faults.md.
        min_members: with "drop", how many members must remain.
        json_schema: the answer is JSON that this schema accepts; a mapping or a Pydantic model.
        regex: the whole answer matches it.
        choices: the answer is one of these strings.
        grammar: the answer is a sentence of this grammar, in llguidance's dialect of Lark.

    At most one of the last four; they need the `constrained` extra.

    Raises:
        ConfigError: a value is out of range.
    """

    margin_threshold: float = 0.7
    max_words: int = 3
    branches: int = 3
    max_word_tokens: int = 16
    weights: tuple[float, ...] | None = None
    weighting: Weighting = "fixed"
    scoring: Scoring = "token"
    leader: str | int | None = None
    contested_only: bool = False
    temperature: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    max_new_tokens: int = 256
    repetition_penalty: float = 1.0
    speculation: bool = True
    timeout: float | None = None
    round_timeout: float | None = None
    on_member_error: OnMemberError = "raise"
    min_members: int = 1
    json_schema: Mapping[str, Any] | None = None
    regex: str | None = None
    choices: tuple[str, ...] | None = None
    grammar: str | None = None

    def __post_init__(self) -> None:
        check_float("margin_threshold", self.margin_threshold, 0, 1)
        for name in ("max_words", "branches", "max_word_tokens", "max_new_tokens", "min_members"):
            object.__setattr__(self, name, whole(name, getattr(self, name), 1))
        check_float("temperature", self.temperature, 0)
        check_float("repetition_penalty", self.repetition_penalty, 0)
        if self.repetition_penalty == 0:
            raise ConfigError("repetition_penalty must be above 0 (1 switches it off)")
        for switch in ("speculation", "contested_only"):
            if not isinstance(getattr(self, switch), bool):
                value = show(getattr(self, switch))
                raise ConfigError(f"{switch} must be True or False, not {value}")
        check_choice("weighting", self.weighting, get_args(Weighting))
        check_choice("scoring", self.scoring, get_args(Scoring))
        check_choice("on_member_error", self.on_member_error, get_args(OnMemberError))
        check_seconds("timeout", self.timeout)
        check_seconds("round_timeout", self.round_timeout)
        if self.leader is not None and not isinstance(self.leader, str):
            object.__setattr__(self, "leader", whole("leader, as a place,", self.leader, 0))
        object.__setattr__(self, "seed", check_seed(self.seed))
        object.__setattr__(self, "stop", read_stops(self.stop))
        if self.weights is not None:
            object.__setattr__(self, "weights", read_weights(self.weights))
        if self.json_schema is not None:
            object.__setattr__(self, "json_schema", read_schema(self.json_schema))
        if self.choices is not None:
            object.__setattr__(self, "choices", read_choices(self.choices))
        for name in ("regex", "grammar"):
            check_pattern(name, getattr(self, name))
        given = [name for name in CONSTRAINTS if getattr(self, name) is not None]
        if len(given) > 1:
            raise ConfigError(f"give one of {', '.join(CONSTRAINTS)}, not {' and '.join(given)}")

    def override(self, **changes: Any) -> Self:
        """Return a copy with `changes`; raises ConfigError for unknown names or bad values.

        A `preset` among them gives its settings first; see `adafuse.presets`.
        """
        changes = with_preset(changes)
        refuse_unknown("setting", changes, [f.name for f in fields(self)])
        return replace(self, **changes)


_TEXT, _MAPPING = ((str, NoneType), "a string or None"), ((dict,), "a dict")
_FIELD_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "model": ((str,), "a hub id or a path"),
    **dict.fromkeys(("name", "device", "dtype", "revision", "tokenizer"), _TEXT),
    **dict.fromkeys(
        ("device_map", "chat_template"), ((str, dict, NoneType), "a string, a dict or None")
    ),
    **dict.fromkeys(("tokenizer_kwargs", "chat_template_kwargs"), _MAPPING),
    **dict.fromkeys(("check_memory", "trust_remote_code"), ((bool,), "True or False")),
}


@dataclass(frozen=True, slots=True)
class MemberSpec:
    """One member to load: a hub id, a local folder or a GGUF file, and how to load it.

    Attributes:
        model: hub id ("org/model"), local folder, or GGUF file ("x.gguf", "org/repo/x.gguf").
        name: shown in events and errors; default: the last part of `model`.
        weight: this member's weight in the mean of scores, at least 0.
        device: such as "cpu", "cuda:1"; default: CUDA if there is one, else the CPU.
        dtype: such as "float32", "bfloat16", or "auto" (that of the checkpoint); default: "auto" on
            an accelerator, float32 on the CPU.
        device_map: handed to accelerate to shard the model; excludes `device`.
        quantization_config: a transformers quantisation config, or a dict of one.
        revision: branch, tag or commit on the hub.
        tokenizer: another folder or hub id to take the tokenizer from.
        tokenizer_kwargs: for `AutoTokenizer.from_pretrained`.
        chat_template: a Jinja template in place of the tokenizer's own, or a dict of them
            ("default", and "tool_use" where there are tools); "" leaves it out.
        chat_template_kwargs: passed to the template (for example {"enable_thinking": False}).
        attn_implementation: "sdpa" or "eager"; others cannot take a tree mask.
        prompt_cache_mb: MiB of keys and values of earlier prompts and answers to keep, so that a
            prompt that begins like one of them is read only from where they part; 0 keeps none.
        check_memory: whether weights that a device has no room for are refused before they are
            read, and likewise a prompt.
        trust_remote_code: off by default: code from a checkpoint is not run.
        ray: for the backend "ray": how many replicas, and what each asks of the cluster; a mapping
            of the fields of `adafuse.spec.RayOptions`.

    Raises:
        ConfigError: a value is wrong, or two of them exclude each other.
    """

    model: str
    name: str | None = None
    weight: float = 1.0
    device: str | None = None
    dtype: str | None = None
    device_map: str | dict[str, Any] | None = None
    quantization_config: Any = None
    revision: str | None = None
    tokenizer: str | None = None
    tokenizer_kwargs: dict[str, Any] = field(default_factory=dict)
    chat_template: str | dict[str, str] | None = None
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)
    attn_implementation: str = "sdpa"
    prompt_cache_mb: int = 256
    check_memory: bool = True
    trust_remote_code: bool = False
    ray: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in ("model", "tokenizer"):
            if isinstance(getattr(self, name), os.PathLike):
                object.__setattr__(self, name, os.fspath(getattr(self, name)))
        # A torch.dtype or torch.device is as good as its name, and torch is not imported here.
        for name in ("dtype", "device"):
            if type(getattr(self, name)).__module__ == "torch":
                object.__setattr__(self, name, str(getattr(self, name)).removeprefix("torch."))
        for name, (kinds, wanted) in _FIELD_TYPES.items():
            if not isinstance(getattr(self, name), kinds):
                given = show(getattr(self, name))
                raise ConfigError(f"a member's {name} must be {wanted}, not {given}")
        if not self.model.strip():
            raise ConfigError("a member's model must not be empty")
        refuse_reserved(self.model, self.chat_template_kwargs)
        check_float("a member's weight", self.weight, 0)
        object.__setattr__(
            self, "prompt_cache_mb", whole("a member's prompt_cache_mb", self.prompt_cache_mb, 0)
        )
        if self.ray is not None:
            object.__setattr__(self, "ray", read_ray_options(self.ray))
        if self.device is not None and self.device_map is not None:
            raise ConfigError(f"member {self.model!r}: give device or device_map, not both")
        if self.attn_implementation not in ("sdpa", "eager"):
            raise ConfigError(
                f"member {self.model!r}: attn_implementation {self.attn_implementation!r} cannot "
                "take a tree mask; use 'sdpa' or 'eager'"
            )


def as_spec(member: str | Mapping[str, Any] | MemberSpec) -> MemberSpec:
    """Read a member given as a string, a mapping of MemberSpec fields, or a MemberSpec.

    Raises:
        ConfigError: an unknown field or a wrong value.
    """
    if isinstance(member, MemberSpec):
        return member
    if isinstance(member, str | os.PathLike):
        return MemberSpec(os.fspath(member))
    if isinstance(member, Mapping):
        refuse_unknown("member field", member, [f.name for f in fields(MemberSpec)])
        if "model" not in member:
            raise ConfigError("a member specification needs 'model'")
        return MemberSpec(**member)
    raise ConfigError(f"a member is a string, a mapping or a MemberSpec, not {show(member)}")


def names_of(specs: Sequence[MemberSpec]) -> list[str]:
    """A name per member: its own, else the last part of the model; numbered where given twice."""
    names: list[str] = []
    for spec in specs:
        path = spec.model.replace("\\", "/")
        wanted = spec.name or path.rstrip("/").rsplit("/", 1)[-1] or spec.model
        unique, number = wanted, 2
        while unique in names:
            unique, number = f"{wanted}#{number}", number + 1
        names.append(unique)
    return names
