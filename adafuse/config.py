"""What a caller may set: how to decode, and which members to load.

Both are frozen dataclasses that check themselves when built. This module knows nothing of models.
"""

from __future__ import annotations

import difflib
import json
import math
import operator
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from types import NoneType
from typing import Any, Self

from adafuse.arguments import refuse_reserved
from adafuse.errors import ConfigError

__all__ = [
    "CONSTRAINTS",
    "MAX_MEMBERS",
    "DecodingConfig",
    "MemberSpec",
    "as_spec",
    "refuse_unknown",
]

MAX_MEMBERS = 8
CONSTRAINTS = ("json_schema", "regex", "choices", "grammar")
"""Settings that say what an answer may be, of which at most one is given."""


def refuse_unknown(what: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise ConfigError if `given` has a key that is not in `known`, suggesting the nearest."""
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = (
                f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(sorted(known))}"
            )
            raise ConfigError(f"unknown {what} {key!r}{hint}")


def _show(value: object) -> str:
    """A value in one short line, for messages."""
    line = " ".join(repr(value).split())
    return line if len(line) <= 80 else f"{line[:77]}..."


def _whole(name: str, value: Any, low: int) -> int:
    """A whole number of any library, as Python's own."""
    try:
        number = operator.index(value)
    except TypeError:
        number = low - 1
    if isinstance(value, bool) or number < low:
        raise ConfigError(f"{name} must be a whole number of at least {low}, not {_show(value)}")
    return number


def _check_float(name: str, value: object, low: float, high: float = sys.float_info.max) -> None:
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not low <= value <= high:  # type: ignore[operator]
        bounds = (
            f"from {low:g} to {high:g}" if high < sys.float_info.max else f"of at least {low:g}"
        )
        raise ConfigError(f"{name} must be a finite number {bounds}, not {_show(value)}")


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
        temperature: 0 commits the candidate with the lowest mean NLL; above 0 it is drawn from
            softmax(-score / temperature).
        seed: of that draw; None takes entropy from the operating system.
        stop: strings that end the answer and are left out of it.
        max_new_tokens: the answer ends when the first member has committed this many tokens.
        repetition_penalty: as in transformers, over prompt, answer and drafted tokens; 1 is off.
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
    temperature: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    max_new_tokens: int = 256
    repetition_penalty: float = 1.0
    json_schema: Mapping[str, Any] | None = None
    regex: str | None = None
    choices: tuple[str, ...] | None = None
    grammar: str | None = None

    def __post_init__(self) -> None:
        _check_float("margin_threshold", self.margin_threshold, 0, 1)
        for name in ("max_words", "branches", "max_word_tokens", "max_new_tokens"):
            object.__setattr__(self, name, _whole(name, getattr(self, name), 1))
        _check_float("temperature", self.temperature, 0)
        _check_float("repetition_penalty", self.repetition_penalty, 0)
        if self.repetition_penalty == 0:
            raise ConfigError("repetition_penalty must be above 0 (1 switches it off)")
        if self.seed is not None:
            if isinstance(self.seed, bool) or not hasattr(self.seed, "__index__"):
                raise ConfigError(f"seed must be a whole number or None, not {_show(self.seed)}")
            object.__setattr__(self, "seed", operator.index(self.seed))
        object.__setattr__(self, "stop", _stops(self.stop))
        if self.weights is not None:
            object.__setattr__(self, "weights", _weights(self.weights))
        if self.json_schema is not None:
            object.__setattr__(self, "json_schema", _schema(self.json_schema))
        if self.choices is not None:
            object.__setattr__(self, "choices", _choices(self.choices))
        for name in ("regex", "grammar"):
            _check_pattern(name, getattr(self, name))
        given = [name for name in CONSTRAINTS if getattr(self, name) is not None]
        if len(given) > 1:
            raise ConfigError(f"give one of {', '.join(CONSTRAINTS)}, not {' and '.join(given)}")

    def override(self, **changes: Any) -> Self:
        """Return a copy with `changes`; raises ConfigError for unknown names or bad values."""
        refuse_unknown("setting", changes, [f.name for f in fields(self)])
        return replace(self, **changes)


def _stops(stop: object) -> tuple[str, ...]:
    if stop is None:
        return ()
    stops = (stop,) if isinstance(stop, str) else stop
    if not isinstance(stops, Sequence) or not all(isinstance(s, str) for s in stops):
        raise ConfigError(f"stop must be a string or a list of strings, not {_show(stop)}")
    if "" in stops:
        raise ConfigError("stop holds an empty string, which would end every answer at once")
    for one in stops:
        _refuse_surrogates("stop", one)
    return tuple(dict.fromkeys(stops))


def _schema(schema: object) -> dict[str, Any]:
    """A JSON schema as plain JSON values, a copy."""
    if isinstance(schema, type) and hasattr(schema, "model_json_schema"):
        from adafuse.schemas.models import model_schema  # needs Pydantic

        try:
            schema = model_schema(schema)
        except RuntimeError as error:  # Pydantic's, of several lines
            raise ConfigError(f"json_schema: {' '.join(str(error).split())}") from None
    if not isinstance(schema, Mapping):
        raise ConfigError(f"json_schema must be a mapping or a Pydantic model, not {_show(schema)}")
    try:
        copied: dict[str, Any] = json.loads(json.dumps(dict(schema), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"json_schema is not JSON: {error}") from None
    return copied


def _choices(choices: object) -> tuple[str, ...]:
    listed = isinstance(choices, Sequence) and not isinstance(choices, str)
    if not listed or not choices or not all(isinstance(one, str) and one for one in choices):  # type: ignore[attr-defined]
        raise ConfigError(f"choices must be a list of non-empty strings, not {_show(choices)}")
    for one in choices:  # type: ignore[attr-defined]
        _refuse_surrogates("choices", one)
    return tuple(dict.fromkeys(choices))  # type: ignore[call-overload]


def _check_pattern(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} must be a non-empty string, not {_show(value)}")
    _refuse_surrogates(name, value)


def _refuse_surrogates(name: str, text: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ConfigError(f"{name} has a lone surrogate ({_show(text)}), which no answer can hold")


def _weights(weights: object) -> tuple[float, ...]:
    if isinstance(weights, str) or not isinstance(weights, Sequence):
        raise ConfigError(
            f"weights must be a list with one number per member, not {_show(weights)}"
        )
    for weight in weights:
        _check_float("each of weights", weight, 0)
    if not 0 < sum(map(float, weights)) < math.inf:
        raise ConfigError(f"weights must have a finite sum above 0, not {_show(weights)}")
    return tuple(map(float, weights))


_TEXT, _MAPPING = ((str, NoneType), "a string or None"), ((dict,), "a dict")
_FIELD_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "model": ((str,), "a hub id or a path"),
    **dict.fromkeys(("name", "device", "dtype", "revision", "tokenizer"), _TEXT),
    **dict.fromkeys(
        ("device_map", "chat_template"), ((str, dict, NoneType), "a string, a dict or None")
    ),
    **dict.fromkeys(("tokenizer_kwargs", "chat_template_kwargs"), _MAPPING),
    "trust_remote_code": ((bool,), "True or False"),
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
        trust_remote_code: off by default: code from a checkpoint is not run.

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
    trust_remote_code: bool = False

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
                given = _show(getattr(self, name))
                raise ConfigError(f"a member's {name} must be {wanted}, not {given}")
        if not self.model.strip():
            raise ConfigError("a member's model must not be empty")
        refuse_reserved(self.model, self.chat_template_kwargs)
        _check_float("a member's weight", self.weight, 0)
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
    raise ConfigError(f"a member is a string, a mapping or a MemberSpec, not {_show(member)}")
