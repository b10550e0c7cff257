"""Checking what a caller sets: each check gives the value in one form, or says what is wrong.

Every error is a ConfigError of one line that names the setting and shows the value. Knows no
setting: `adafuse.config` and `adafuse.spec` say which check goes with which.
"""

from __future__ import annotations

import difflib
import math
import operator
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

from adafuse.errors import AdaFuseWarning, ConfigError

__all__ = [
    "check_choice",
    "check_float",
    "check_pattern",
    "check_seconds",
    "check_seed",
    "check_switch",
    "read_choices",
    "read_stops",
    "read_weights",
    "refuse_reserved",
    "refuse_unknown",
    "show",
    "warn",
    "whole",
]

_OURS = ("adafuse", "pydantic")  # which calls the wrappers' checks
_LONGEST = 1e9  # seconds: what clocks of threads can wait for, and longer than anybody will
# What `apply_chat_template` of transformers would take for itself, and what templates are given of
# a conversation.
_RESERVED = (
    "add_generation_prompt", "chat_template", "continue_final_message", "conversation",
    "max_length", "messages", "padding", "return_assistant_tokens_mask", "return_dict",
    "return_tensors", "sanitize_control_tokens", "tokenize", "tokenizer_kwargs", "tools",
    "truncation",
)  # fmt: skip

# Settings that other libraries and servers have, and what does something like it here.
_DRAWS = ("temperature", "top_p")
_LONGEST_ANSWER = ("max_tokens", "max_new_tokens")
_ELSEWHERE: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(
        (
            *("top_k", "min_p", "top_a", "typical_p", "tfs", "tfs_z", "mirostat", "mirostat_tau"),
            *("mirostat_eta", "epsilon_cutoff", "eta_cutoff", "do_sample", "dynatemp_range"),
            *("xtc_probability", "xtc_threshold", "num_beams", "penalty_alpha"),
        ),
        _DRAWS,
    ),
    **dict.fromkeys(
        (
            *("repeat_penalty", "repeat_last_n", "frequency_penalty", "presence_penalty"),
            *("no_repeat_ngram_size", "dry_multiplier", "length_penalty"),
        ),
        ("repetition_penalty",),
    ),
    **dict.fromkeys(
        ("num_predict", "n_predict", "max_length", "max_output_tokens"), _LONGEST_ANSWER
    ),
    **dict.fromkeys(("logit_bias", "num_ctx", "best_of", "ignore_eos", "min_tokens"), ()),
}


def refuse_unknown(what: str, values: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raise ConfigError if `values` has a key that is not in `names`, suggesting the nearest.

    What other libraries draw by is not near to anything, and is said not to be there.
    """
    for key in values:
        if key not in names:
            if isinstance(key, str) and (there := _ELSEWHERE.get(key)) is not None:
                there = [name for name in there if name in names]
                instead = f"use {' or '.join(there)}" if there else "leave it out"
                raise ConfigError(f"unknown {what} {key!r}: it is not supported; {instead}")
            near = difflib.get_close_matches(key, names, n=1) if isinstance(key, str) else []
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(names))}"
            raise ConfigError(f"unknown {what} {show(key)}; {hint}")


def refuse_reserved(member: str, arguments: Iterable[str]) -> None:
    """Raise ConfigError if `chat_template_kwargs` hold what is not a caller's to give."""
    if reserved := [name for name in arguments if name in _RESERVED]:
        raise ConfigError(
            f"member {member!r}: chat_template_kwargs must not hold {', '.join(reserved)}, which "
            "adafuse gives to the template itself"
        )


def show(value: object) -> str:
    """A value in one short line, for messages; its type where it cannot be written."""
    try:
        line = " ".join(repr(value).split())
    except Exception:  # one within a thousand others, say
        line = f"<{type(value).__name__}>"
    return line if len(line) <= 80 else f"{line[:77]}..."


def warn(message: str) -> None:
    """Give an `AdaFuseWarning` at the line of the first caller that is no part of adafuse."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_OURS):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, AdaFuseWarning, stacklevel=level + 1)


def whole(name: str, value: Any, low: int) -> int:
    """A whole number of any library, as Python's own."""
    try:
        number = operator.index(value)
    except TypeError:
        number = low - 1
    if isinstance(value, bool) or number < low:
        raise ConfigError(f"{name} must be a whole number of at least {low}, not {show(value)}")
    if number > sys.maxsize:
        raise ConfigError(f"{name} must be a whole number of up to {sys.maxsize}")
    return number


def check_choice(name: str, value: object, choices: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in choices:
        listed = ", ".join(map(repr, choices))
        raise ConfigError(f"{name} must be one of {listed}, not {show(value)}")
    return value


def check_switch(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be True or False, not {show(value)}")
    return value


def check_float(name: str, value: Any, low: float, high: float = sys.float_info.max) -> float:
    """A finite number within bounds, as it is given."""
    if not _is_real(value) or not low <= value <= high:
        bounded = high < sys.float_info.max
        bounds = f"from {low:g} to {high:g}" if bounded else f"of at least {low:g}"
        raise ConfigError(f"{name} must be a finite number {bounds}, not {show(value)}")
    return value  # type: ignore[no-any-return]


def check_seconds(name: str, value: Any) -> float | None:
    """A limit of time, or None."""
    if value is not None and not (_is_real(value) and 0 < value <= _LONGEST):
        raise ConfigError(
            f"{name} must be a number of seconds above 0 and up to {_LONGEST:g}, not {show(value)}"
        )
    return value  # type: ignore[no-any-return]


def _is_real(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def check_seed(name: str, value: Any) -> int:
    """A whole number of any library, as Python's own."""
    try:
        if not isinstance(value, bool):
            return operator.index(value)
    except TypeError:
        pass
    raise ConfigError(f"{name} must be a whole number or None, not {show(value)}")


def read_stops(name: str, value: object) -> tuple[str, ...]:
    """None, a string or several."""
    if value is None:
        return ()
    stops = (value,) if isinstance(value, str) else value
    if not isinstance(stops, Sequence) or not all(isinstance(stop, str) for stop in stops):
        raise ConfigError(f"{name} must be a string or a list of strings, not {show(value)}")
    if "" in stops:
        raise ConfigError(f"{name} holds an empty string, which would end every answer at once")
    return _distinct(name, stops)


def read_choices(name: str, value: Any) -> tuple[str, ...]:
    listed = isinstance(value, Sequence) and not isinstance(value, str)
    if not listed or not value or not all(isinstance(text, str) and text for text in value):
        raise ConfigError(f"{name} must be a list of non-empty strings, not {show(value)}")
    return _distinct(name, value)


def check_pattern(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} must be a non-empty string, not {show(value)}")
    return _distinct(name, [value])[0]


def _distinct(name: str, texts: Sequence[str]) -> tuple[str, ...]:
    """Each text once; raises ConfigError for one that no answer can hold."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            problem = f"{name} has a lone surrogate ({show(text)}), which no answer can hold"
            raise ConfigError(problem) from None
    return tuple(dict.fromkeys(texts))


def read_weights(name: str, value: object) -> tuple[float, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ConfigError(f"{name} must be a list with one number per member, not {show(value)}")
    for weight in value:
        check_float(f"each of {name}", weight, 0)
    if not 0 < sum(map(float, value)) < math.inf:
        raise ConfigError(f"{name} must have a finite sum above 0, not {show(value)}")
    return tuple(map(float, value))
