"""Regexes as every engine reads them alike, and searching texts for them within bounds.

`\\d`, `\\w` and `\\s` mean other characters in JavaScript, Python and Rust: what is written here
matches only what all of them match; what they read in other ways is refused. Knows no grammar.
"""

from __future__ import annotations

import functools
import re

import regex

from adafuse.json_schema.document import SchemaError

__all__ = ["PatternError", "found", "read_pattern"]

_SECONDS = 1.0  # no search that is meant takes a thousandth of it
_MOST_PARTS = 200_000  # some engines write a regex out with its counts
# Of each class the characters that are in it for every engine, and those that are for any.
_SPACES = r"\x{9}-\x{d}\x{1c}-\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}"
_CLASSES = {
    "d": ("0-9", r"\p{Nd}"),
    "w": ("0-9A-Za-z_", r"\p{L}\p{M}\p{N}\p{Pc}"),
    "s": (r"\x{9}\x{a}\x{c}\x{d}\x{20}", _SPACES + r"\x{205f}\x{3000}\x{feff}"),
}
# Left out of every class: no answer holds them (JSON writes them with \u), and the grammar library
# takes a class of all control characters for one of quotes and backslashes too.
_UNWRITTEN = r"\x{0}-\x{7}\x{b}\x{e}-\x{1f}\x{7f}"
_BREAKS = r"\x{a}\x{d}\x{2028}\x{2029}"
_LETTERS = {"n": 0x0A, "r": 0x0D, "t": 0x09, "f": 0x0C}
_ANCHORS = {"^": "^", "$": "$", "\\A": "^", "\\Z": "$"}
_ESCAPE = r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)"
_PARTS = re.compile(
    rf"(?s)(?P<escape>{_ESCAPE})"
    rf"|(?P<set>\[\^?\]?(?:{_ESCAPE}|[^\]\\])*\])"
    r"|(?P<count>(?:[*+?]|\{(?P<least>\d*)(?:,(?P<most>\d*))?\})[?]?)(?P<twice>[*+?{]?)"
    r"|(?P<open>\((?:\?:|\?P<\w+>)?(?P<flag>\??))"
    r"|(?P<plain>.)"
)
_MEMBER = re.compile(rf"(?s)(?P<low>{_ESCAPE}|.)(?:-(?P<high>{_ESCAPE}|[^\]\\]))?")


class PatternError(ValueError):
    """A regex cannot be followed; says what it holds."""


@functools.lru_cache(maxsize=1024)
def read_pattern(pattern: str) -> str:
    """A regex in words that mean the same everywhere.

    Raises:
        PatternError: it has something that engines read in different ways, or not at all.
    """
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternError(f"an error for Python ({error})") from None
    sums, last = [0], 0  # parts of the groups that are open; of what a count would repeat
    made = ""
    for part in _PARTS.finditer(pattern):
        made += _part(part)
        if part["count"]:
            last *= max(int(part["least"] or 0), int(part["most"] or 0), 1)
            sums[-1] += last
        elif part["open"]:
            sums.append(0)
        elif part["plain"] == ")" and len(sums) > 1:
            last = sums.pop() + 1
            sums[-1] += last
        else:
            last = 1
            sums[-1] += 1
    if sum(sums) > _MOST_PARTS:
        raise PatternError("counts that are too large")
    return made


def found(pattern: str, text: str) -> bool:
    """Whether a regex is found in a text.

    Raises:
        SchemaError: it cannot be read, or the search takes too long.
    """
    try:
        read_pattern(pattern)
        return regex.search(pattern, text, flags=regex.V0, timeout=_SECONDS) is not None
    except (PatternError, regex.error) as error:
        raise SchemaError(None, "", f"the regex {pattern[:80]!r} holds {error}") from None
    except TimeoutError:
        why = f"the regex {pattern[:80]!r} takes too long to search for; simplify it"
        raise SchemaError(None, "", why) from None


def _part(part: re.Match[str]) -> str:
    whole = part[0]
    if whole in _ANCHORS:
        return _ANCHORS[whole]
    if part["set"]:
        return _set(whole)
    if part["count"]:
        if part["twice"] or whole == "{}":
            raise PatternError(f"{whole!r}, which engines read in different ways")
        return whole.replace("{,", "{0,")
    if part["open"]:
        if part["flag"]:
            raise PatternError("a lookaround, a flag or a condition")
        return "(?:"
    if part["escape"]:
        return f"[{_class(whole)}]" if whole[1:].lower() in _CLASSES else _character(_code(whole))
    if whole == ".":
        return f"[^{_BREAKS}{_UNWRITTEN}]"
    if whole in "{[":
        raise PatternError(f"a single {whole!r}")
    return whole if whole in "|()" else _character(ord(whole))


def _set(text: str) -> str:
    negated = text.startswith("[^")
    inside = text[1 + negated : -1]
    if "[:" in inside:
        raise PatternError("'[:', which engines read in different ways")
    made = "".join(_member(member, negated) for member in _MEMBER.finditer(inside))
    return f"[^{made}{_UNWRITTEN}]" if negated else f"[{made}&&[^{_UNWRITTEN}]]"


def _member(member: re.Match[str], negated: bool) -> str:
    low, high = member["low"], member["high"]
    if low[1:].lower() in _CLASSES and low[0] == "\\":
        return _class(low, negated) + (r"\x{2d}" + _member_of(high) if high else "")
    return _member_of(low) + ("-" + _member_of(high) if high else "")


def _member_of(text: str) -> str:
    return _character(_code(text) if text[0] == "\\" and len(text) > 1 else ord(text))


def _class(escape: str, negated: bool = False) -> str:
    """`\\d` and the like; where the class is negated, all that any engine takes it for."""
    sure, any_ = _CLASSES[escape[1].lower()]
    if escape[1].isupper():
        return f"[^{sure if negated else any_}]"
    return any_ if negated else sure


def _code(escape: str) -> int:
    name = escape[1:]
    if len(name) > 1:
        return int(name[1:], 16)
    if name in _LETTERS:
        return _LETTERS[name]
    if name.isalnum():
        raise PatternError(f"{escape!r}, which engines read in different ways")
    return ord(name)


def _character(code: int) -> str:
    if 0xD800 <= code <= 0xDFFF:
        raise PatternError("half a surrogate pair")
    plain = chr(code).isascii() and chr(code).isalnum()
    return chr(code) if plain else f"\\x{{{code:x}}}"
