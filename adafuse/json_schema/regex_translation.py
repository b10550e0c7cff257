"""Regexes as Python reads them, put in words that every other engine reads alike.

`\\d`, `\\w` and `\\s` mean other characters in JavaScript, Python and Rust: what is written here
matches only what all of them match. Knows neither schemas nor grammars.
"""

from __future__ import annotations

import functools
import importlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Pattern", "PatternError", "read_pattern"]

# Python's own parser: what it says a regex means is what `re` will match.
_parser: Any = importlib.import_module("re._parser")

_FLAGS = re.IGNORECASE | re.DOTALL | re.VERBOSE | re.UNICODE
_HIGHEST, _LOW_SURROGATE, _HIGH_SURROGATE = 0x10FFFF, 0xD800, 0xDFFF
# Of each class the characters that are in it for every engine, and those that are for any.
_DIGIT = ("0-9", r"\p{Nd}")
_WORD = ("0-9A-Za-z_", r"\p{L}\p{M}\p{N}\p{Pc}")
_SPACE = (
    r"\x{9}\x{a}\x{c}\x{d}\x{20}",
    r"\x{9}-\x{d}\x{1c}-\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}"
    r"\x{205f}\x{3000}\x{feff}",
)
_CLASSES = {"DIGIT": _DIGIT, "WORD": _WORD, "SPACE": _SPACE}
# Left out of every class: no answer holds them (JSON writes them with \u), and the grammar library
# takes a class of all control characters for one of quotes and backslashes too.
_UNWRITTEN = r"\x{0}-\x{7}\x{b}\x{e}-\x{1f}\x{7f}"
_ANCHORS = {
    "AT_BEGINNING": "^",
    "AT_BEGINNING_STRING": "^",
    "AT_END": "$",
    "AT_END_STRING": "$",
}
_REFUSED = {
    "ASSERT": "a lookahead or lookbehind",
    "ASSERT_NOT": "a negative lookahead or lookbehind",
    "GROUPREF": "a backreference",
    "GROUPREF_EXISTS": "a condition on a group",
    "ATOMIC_GROUP": "an atomic group",
    "POSSESSIVE_REPEAT": "a possessive repeat",
    "AT_BOUNDARY": r"a word boundary (\b)",
    "AT_NON_BOUNDARY": r"a word boundary (\B)",
}


class PatternError(ValueError):
    """A regex cannot be followed; says what it holds."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regex that is searched for in a text.

    Attributes:
        text: in words that mean the same everywhere; `\\x{61}` for most characters.
        shortest: no text that it is found in has fewer characters.
        longest: none has more; without a limit a number beyond all lengths.
    """

    text: str
    shortest: int
    longest: float


@functools.lru_cache(maxsize=1024)
def read_pattern(pattern: str) -> Pattern:
    """Read a regex.

    Raises:
        PatternError: Python cannot read it, or it needs more than the text's own characters.
    """
    try:
        parsed = _parser.parse(pattern)
        flags = re.RegexFlag(parsed.state.flags)
        if flags & ~_FLAGS:
            raise PatternError(f"the flags {flags & ~_FLAGS!r}")
        text = _sequence(parsed, bool(flags & re.DOTALL))
    except (re.error, OverflowError) as error:
        raise PatternError(f"an error for Python ({error})") from None
    except RecursionError:
        raise PatternError("too many groups within each other") from None
    shortest, longest = parsed.getwidth()
    ends = [str(value) for name, value in (*parsed[:1], *parsed[-1:]) if str(name) == "AT"]
    if [_ANCHORS.get(one) for one in ends] != ["^", "$"]:
        longest = math.inf
    return Pattern(f"(?i:{text})" if flags & re.IGNORECASE else text, shortest, longest)


def _sequence(nodes: Any, dotall: bool) -> str:
    return "".join(_node(str(name), value, dotall) for name, value in nodes)


def _node(name: str, value: Any, dotall: bool) -> str:
    match name:
        case "LITERAL":
            return _character(value)
        case "NOT_LITERAL":
            return f"[^{_character(value)}{_UNWRITTEN}]"
        case "ANY":
            breaks = "" if dotall else r"\x{a}\x{d}\x{2028}\x{2029}"
            return f"[^{breaks}{_UNWRITTEN}]"
        case "IN":
            return _class(value)
        case "BRANCH":
            return f"(?:{'|'.join(_sequence(branch, dotall) for branch in value[1])})"
        case "SUBPATTERN":
            return _group(value, dotall)
        case "MAX_REPEAT" | "MIN_REPEAT":
            low, high, inner = value
            most = "" if high == _parser.MAXREPEAT else high
            return f"(?:{_sequence(inner, dotall)}){{{low},{most}}}"
        case "AT" if str(value) in _ANCHORS:
            return _ANCHORS[str(value)]
    named = str(value) if name == "AT" else name
    raise PatternError(_REFUSED.get(named, f"what Python calls {named}"))


def _group(group: Any, dotall: bool) -> str:
    _, added, removed, inner = group
    if (added | removed) & ~_FLAGS:
        raise PatternError(f"the flags {re.RegexFlag((added | removed) & ~_FLAGS)!r}")
    dotall = bool(added & re.DOTALL) or (dotall and not removed & re.DOTALL)
    case = "i" if added & re.IGNORECASE else "-i" if removed & re.IGNORECASE else ""
    return f"(?{case}:{_sequence(inner, dotall)})"


def _class(items: Sequence[tuple[Any, Any]]) -> str:
    negated = str(items[0][0]) == "NEGATE"
    parts = [_member(str(name), value, negated) for name, value in items[negated:]]
    inside = "".join(parts)
    if not inside:
        raise PatternError("a class of half characters only")
    return f"[^{inside}{_UNWRITTEN}]" if negated else f"[{inside}&&[^{_UNWRITTEN}]]"


def _member(name: str, value: Any, negated: bool) -> str:
    """One item of a class; where the class is negated, all that any engine takes it for."""
    if name == "LITERAL":
        return _character(value)
    if name == "RANGE":
        return _range(*value)
    kind = str(value).removeprefix("CATEGORY_")
    other = kind.startswith("NOT_")
    sure, any_ = _CLASSES[kind.removeprefix("NOT_")]
    if other:
        return f"[^{sure}]" if negated else f"[^{any_}]"
    return any_ if negated else sure


def _range(low: int, high: int) -> str:
    """Lone surrogates are left out: no text holds them."""
    low = _HIGH_SURROGATE + 1 if _LOW_SURROGATE <= low <= _HIGH_SURROGATE else low
    high = _LOW_SURROGATE - 1 if _LOW_SURROGATE <= high <= _HIGH_SURROGATE else high
    return f"\\x{{{low:x}}}-\\x{{{min(high, _HIGHEST):x}}}" if low <= high else ""


def _character(code: int) -> str:
    if _LOW_SURROGATE <= code <= _HIGH_SURROGATE:
        raise PatternError("half a surrogate pair")
    plain = chr(code).isascii() and chr(code).isalnum()
    return chr(code) if plain else f"\\x{{{code:x}}}"
