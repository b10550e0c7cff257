"""What has to close in JSON that repeats itself, for the oracle: "Constrained answers" of
docs/decoding.md.

Every question is answered by reading the text from its start. Uses none of the package's code.
"""

import itertools
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

NUMBER = r"-?\d+(\.\d+)?([eE][-+]?\d+)?"
NAME = r'"(\\.|[^\\"])*":'


def closing(text: bytes) -> str:
    """The character that ends what has to close after a text; empty if nothing has to."""
    string, escaped, begins = False, False, 0
    opened: list[tuple[str, list[str]]] = []  # what closes it, and the items before the last
    starts: list[int] = []
    for at, byte in enumerate(text):
        character = chr(byte)
        if string:
            if escaped or character == "\\":
                escaped = not escaped
            elif character == '"':
                string = False
        elif character == '"':
            string, begins = True, at + 1
        elif character in "[{":
            opened.append((character.translate({91: 93, 123: 125}), []))
            starts.append(at + 1)
        elif character in "]}" and opened:
            opened.pop()
            starts.pop()
        elif character == "," and opened:
            opened[-1][1].append(text[starts[-1] : at].decode(errors="replace").strip())
            starts[-1] = at + 1
    if string:
        return '"' if not escaped and string_repeats(text[begins:]) else ""
    if not opened:
        return ""
    end, items = opened[-1]
    last = text[starts[-1] :].decode(errors="replace").strip()
    if not last:
        return ""
    return end if (list_repeats if end == "]" else name_repeats)([*items, last]) else ""


def string_repeats(text: bytes) -> bool:
    """Whether a piece has come four times in a row and begins again, at some length."""
    for size in range(1, min(len(text) // 4, 500) + 1):
        same = 0
        while same + size < len(text) and text[-same - 1] == text[-same - 1 - size]:
            same += 1
        piece, tail = (text[-n:].decode(errors="ignore") for n in (size, same + size))
        room = 80
        if len(set(piece)) > 1 and any(character.isalnum() for character in piece):
            room = 32 if any(character.isalpha() for character in piece) else 48
        if same + size > 4 * size and len(tail) > room:
            return True
    return False


def list_repeats(items: Sequence[str]) -> bool:
    """Whether items are the same ones in turn, three times or more, or count on, too often."""
    values = [Fraction(item) if re.fullmatch(NUMBER, item) else item for item in items]
    most = 6 if items[-1].startswith(('"', "[", "{")) else 10
    for turn in range(1, len(items)):
        count = max(most, 3 * turn)
        last = values[-count:]
        if len(last) == count and last[turn:] == last[:-turn]:
            return True
    if len(items) < 12:
        return False
    last = values[-12:]
    steps = [
        {tuple(step) for read in (r"\d+", r"\d+(?:\.\d+)?") if (step := step_of(a, b, read))}
        for a, b in itertools.pairwise(last)
    ]
    return all(one & other for one, other in itertools.pairwise(steps))


def step_of(item: Any, other: Any, read: str) -> list[Any]:
    """By how much numbers go on from one item to another, with how they are read; or nothing."""
    if isinstance(item, Fraction) and isinstance(other, Fraction):
        return ["", other - item] if other != item else []
    if isinstance(item, Fraction) or isinstance(other, Fraction):
        return []
    if re.sub(read, "#", item) != re.sub(read, "#", other):
        return []
    pairs = zip(re.findall(read, item), re.findall(read, other), strict=True)
    steps = [Fraction(after) - Fraction(before) for before, after in pairs]
    return [read, *steps] if any(steps) else []


def name_repeats(members: Sequence[str]) -> bool:
    """Whether an object's last member has the name of another."""
    names = [found.group() for member in members if (found := re.match(NAME, member))]
    return bool(names) and re.match(NAME, members[-1]) is not None and names[-1] in names[:-1]
