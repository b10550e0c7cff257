"""Checking what a caller sets: each check gives the value in one form, or says what is wrong.

Every error is a ConfigError of one line that names the setting and shows the value.
"""

from __future__ import annotations

import difflib
import json
import math
import operator
import sys
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from adafuse.errors import ConfigError

__all__ = [
    "check_choice",
    "check_float",
    "check_pattern",
    "check_seconds",
    "check_seed",
    "read_choices",
    "read_schema",
    "read_stops",
    "read_weights",
    "refuse_unknown",
    "show",
    "whole",
]

_LONGEST = 1e9  # seconds: what clocks of threads can wait for, and longer than anybody will


def refuse_unknown(what: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise ConfigError if `given` has a key that is not in `known`, suggesting the nearest."""
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1) if isinstance(key, str) else []
            hint = (
                f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(sorted(known))}"
            )
            raise ConfigError(f"unknown {what} {show(key)}{hint}")


def show(value: object) -> str:
    """A value in one short line, for messages; its type where it cannot be written."""
    try:
        line = " ".join(repr(value).split())
    except Exception:  # one within a thousand others, say
        line = f"<{type(value).__name__}>"
    return line if len(line) <= 80 else f"{line[:77]}..."


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


def check_choice(name: str, value: object, known: Sequence[str]) -> None:
    if not isinstance(value, str) or value not in known:
        listed = ", ".join(map(repr, known))
        raise ConfigError(f"{name} must be one of {listed}, not {show(value)}")


def check_float(name: str, value: object, low: float, high: float = sys.float_info.max) -> None:
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not low <= value <= high:  # type: ignore[operator]
        bounds = (
            f"from {low:g} to {high:g}" if high < sys.float_info.max else f"of at least {low:g}"
        )
        raise ConfigError(f"{name} must be a finite number {bounds}, not {show(value)}")


def check_seconds(name: str, value: object) -> None:
    """A limit of time, or None."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if value is not None and not (number and 0 < value <= _LONGEST):  # type: ignore[operator]
        raise ConfigError(
            f"{name} must be a number of seconds above 0 and up to {_LONGEST:g}, not {show(value)}"
        )


def check_seed(value: Any) -> int | None:
    """A whole number of any library, as Python's own, or None."""
    try:
        if not isinstance(value, bool):
            return None if value is None else operator.index(value)
    except TypeError:
        pass
    raise ConfigError(f"seed must be a whole number or None, not {show(value)}")


def read_stops(stop: object) -> tuple[str, ...]:
    if stop is None:
        return ()
    stops = (stop,) if isinstance(stop, str) else stop
    if not isinstance(stops, Sequence) or not all(isinstance(s, str) for s in stops):
        raise ConfigError(f"stop must be a string or a list of strings, not {show(stop)}")
    if "" in stops:
        raise ConfigError("stop holds an empty string, which would end every answer at once")
    for one in stops:
        _refuse_surrogates("stop", one)
    return tuple(dict.fromkeys(stops))


def read_schema(schema: object) -> dict[str, Any]:
    """A JSON schema as plain JSON values, a copy."""
    if isinstance(schema, type) and hasattr(schema, "model_json_schema"):
        from adafuse.json_schema.pydantic_models import model_schema  # needs Pydantic

        try:
            schema = model_schema(schema)
        except RuntimeError as error:  # Pydantic's, of several lines
            raise ConfigError(f"json_schema: {' '.join(str(error).split())}") from None
    if not isinstance(schema, Mapping):
        raise ConfigError(f"json_schema must be a mapping or a Pydantic model, not {show(schema)}")
    try:
        copied: dict[str, Any] = json.loads(json.dumps(dict(schema), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"json_schema is not JSON: {error}") from None
    return copied


def read_choices(choices: object) -> tuple[str, ...]:
    listed = isinstance(choices, Sequence) and not isinstance(choices, str)
    if not listed or not choices or not all(isinstance(one, str) and one for one in choices):  # type: ignore[attr-defined]
        raise ConfigError(f"choices must be a list of non-empty strings, not {show(choices)}")
    for one in choices:  # type: ignore[attr-defined]
        _refuse_surrogates("choices", one)
    return tuple(dict.fromkeys(choices))  # type: ignore[call-overload]


def check_pattern(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} must be a non-empty string, not {show(value)}")
    _refuse_surrogates(name, value)


def _refuse_surrogates(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        problem = f"{name} has a lone surrogate ({show(text)}), which no answer can hold"
        raise ConfigError(problem) from None


def read_weights(weights: object) -> tuple[float, ...]:
    if isinstance(weights, str) or not isinstance(weights, Sequence):
        raise ConfigError(f"weights must be a list with one number per member, not {show(weights)}")
    for weight in weights:
        check_float("each of weights", weight, 0)
    if not 0 < sum(map(float, weights)) < math.inf:
        raise ConfigError(f"weights must have a finite sum above 0, not {show(weights)}")
    return tuple(map(float, weights))
