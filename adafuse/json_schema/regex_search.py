"""Searching texts of a schema for its own regexes, within bounds.

Python's engine goes back and forth: some regexes take it for ever on short texts. Answers are not
matched here, but by a grammar, which reads every character once.
"""

from __future__ import annotations

import re

import regex

from adafuse.json_schema.pointers import SchemaError

__all__ = ["found"]

_SECONDS = 1.0  # no search that is meant takes a thousandth of it
_MOST_PARTS = 200_000  # a regex is written out with its counts: some have more than memory holds
_PARTS = re.compile(
    r"(?s)\\N\{[^}]*\}|\\."
    r"|(?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])"
    r"|\{(?P<least>\d*)(?P<comma>,?)(?P<most>\d*)\}"
    r"|(?P<other>.)"
)


def found(pattern: str, text: str) -> bool:
    """Whether a regex, as Python reads it, is found in a text.

    Raises:
        SchemaError: the search takes too long, or the regex is too large.
        re.error, OverflowError, RecursionError: Python cannot read the regex.
    """
    re.compile(pattern)
    shown = pattern if len(pattern) < 80 else f"{pattern[:77]}..."
    if _size(pattern) > _MOST_PARTS:
        why = f"the regex {shown!r} is too large with its counts written out; use smaller counts"
        raise SchemaError(None, "", why)
    try:
        # The same search, which can be given up; V0 is what `re` means by a regex.
        same = _PARTS.sub(_alike, pattern)
        return regex.search(same, text, flags=regex.V0, timeout=_SECONDS) is not None
    except regex.error as error:
        raise re.error(str(error)) from None
    except TimeoutError:
        why = f"the regex {shown!r} takes too long to search for in names or values; simplify it"
        raise SchemaError(None, "", why) from None


def _size(pattern: str) -> int:
    """How many parts a regex has with every count written out, about."""
    sums, last = [0], 0  # of the groups that are open; of what a count would repeat
    for part in _PARTS.finditer(pattern):
        if part["least"] or part["most"]:
            more = last * max(int(part["least"] or 0), int(part["most"] or 0), 1) - last
            sums[-1] += more
            last += more
        elif part["other"] == "(":
            sums.append(0)
        elif part["other"] == ")" and len(sums) > 1:
            last = sums.pop() + 1
            sums[-1] += last
        else:
            last = 1
            sums[-1] += 1
    return sum(sums)


def _alike(part: re.Match[str]) -> str:
    """What `regex` alone reads as something else: `{e}` (errors allowed) and `[[:alpha:]]`."""
    if part["set"]:
        return "[" + part[0][1:].replace("[:", r"\[:")
    return r"\{" if part["other"] == "{" else part[0]
