"""Where JSON goes over the same again and again, so that a string, list or object has to close.

Works on the bytes of an answer alone, so every member sees the same; it knows no grammar, which
says whether closing is allowed. The limits leave room for data that repeats: rulers, zeros, phone
numbers, laughter, lists of zeros, months that are counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

__all__ = [
    "LIST_END",
    "NEXT_ITEM",
    "OBJECT_END",
    "STRING_END",
    "JsonTrail",
    "loops",
    "names_twice",
    "runs_on",
]

STRING_END, LIST_END, OBJECT_END, NEXT_ITEM = b'"', b"]", b"}", b","

_COPIES = 4  # of a piece that a string may hold in a row, before the next is one too many
_LETTERS, _DIGITS, _SIGNS = 32, 48, 80  # characters that copies may have together, by the piece
_LONGEST = 500  # bytes of a piece
_BYTES = 4  # of a character, at most
_SEEN = _BYTES * _SIGNS + (_COPIES + 1) * _LONGEST  # bytes of a string's end that matter
_TURNS = 3  # copies of items that a list may hold in a row
_FEW, _NUMBERS, _COUNTED = 6, 10, 12  # items that may repeat; numbers that may; that count on
_NAME = re.compile(r'"(?:[^"\\]|\\.)*":')
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_COUNTS = (re.compile(r"\d+"), re.compile(r"\d+(?:\.\d+)?"))  # 1.9 is followed by 1.10, or 2.0


def loops(string: bytes) -> bool:
    """Whether a string ends in a piece that stands there too often in a row."""
    if len(string) <= _LETTERS:
        return False
    end = len(string)
    for size in _sizes(string, min(end // _COPIES, _LONGEST)):
        piece = string[-size:]
        if not string.endswith(piece * _COPIES):
            continue
        room, start = _room(piece.decode(errors="ignore")), end - size * _COPIES
        least = max(end - _BYTES * (room + 1), 0)  # as far as it matters
        while (
            (start > least or end - start == size * _COPIES)
            and start > 0
            and (string[start - 1] == string[start - 1 + size])
        ):
            start -= 1
        tail = string[start:]
        if len(tail) > size * _COPIES and len(tail.decode(errors="ignore")) > room:
            return True
    return False


def _sizes(string: bytes, most: int) -> Iterator[int]:
    """How far back the last byte stood before, up to `most`."""
    last, first = len(string) - 1, len(string) - 1 - most
    at = last
    while (at := string.rfind(string[-1:], first, at)) >= 0:
        yield last - at


def _room(piece: str) -> int:
    """How many characters the copies of a piece may have together."""
    if len(set(piece)) == 1 or not any(map(str.isalnum, piece)):
        return _SIGNS
    return _LETTERS if any(map(str.isalpha, piece)) else _DIGITS


def runs_on(items: list[str]) -> bool:
    """Whether a list of items, as they are written, ends in too many that repeat or count on."""
    if len(items) < _FEW:
        return False
    values = [Decimal(item) if _NUMBER.fullmatch(item) else item for item in items]
    most = _FEW if items[-1][0] in '"[{' else _NUMBERS
    for turn in range(1, len(values) // _TURNS + 1):
        same = turn
        while same < len(values) and values[-same - 1] == values[-same - 1 + turn]:
            same += 1
        if same >= max(most, _TURNS * turn):
            return True
    last = values[-_COUNTED:]
    triples = zip(last, last[1:], last[2:], strict=False)
    return len(last) == _COUNTED and all(_counts_on(*triple) for triple in triples)


def names_twice(members: list[str]) -> bool:
    """Whether the last of an object's members, as they are written, has the name of another."""
    *others, last = map(_NAME.match, members)
    names = [name.group() for name in others if name]
    return last is not None and last.group() in names


def _counts_on(first: Decimal | str, second: Decimal | str, third: Decimal | str) -> bool:
    """Whether items are alike but for numbers, which go on by the same step."""
    return any(
        (step := _step(first, second, count)) is not None
        and any(step)
        and step == _step(second, third, count)
        for count in _COUNTS
    )


def _step(
    item: Decimal | str, other: Decimal | str, count: re.Pattern[str]
) -> list[Decimal] | None:
    """By how much the numbers of an item go on in another; None if more than these differ."""
    if isinstance(item, Decimal) and isinstance(other, Decimal):
        return [other - item]
    if isinstance(item, Decimal) or isinstance(other, Decimal):
        return None
    if count.sub("#", item) != count.sub("#", other):
        return None
    numbers = zip(count.findall(item), count.findall(other), strict=True)
    return [Decimal(after) - Decimal(before) for before, after in numbers]


@dataclass(frozen=True, slots=True)
class _Open:
    """A list or object that is open: where its items begin and end, and the present one begins."""

    end: bytes  # what closes it
    start: int
    items: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class _Place:
    """What is open after some bytes: lists and objects, and a string."""

    open: tuple[_Open, ...] = ()
    string: int | None = None  # where its text begins
    escape: bool = False  # the next byte belongs to an escape


class JsonTrail:
    """Follows JSON, alone or within other text, and tells what has to close."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._places = [_Place()]  # before each byte, and after the last

    def copy(self) -> JsonTrail:
        """A second one at the same place."""
        other = JsonTrail()
        other._data[:], other._places[:] = self._data, self._places
        return other

    def feed(self, byte: int) -> None:
        """Append a byte."""
        self._places.append(_after(self._places[-1], len(self._data), byte))
        self._data.append(byte)

    def back(self, count: int) -> None:
        """Take back as many bytes."""
        if count:
            del self._data[-count:], self._places[-count:]

    @property
    def closing(self) -> bytes:
        """What has to come before anything goes on, of the three ends; empty if nothing has to."""
        place, data = self._places[-1], self._data
        if place.string is not None:
            string = bytes(data[max(place.string, len(data) - _SEEN) :])
            return STRING_END if not place.escape and loops(string) else b""
        if not place.open or not (inner := place.open[-1]).items:
            return b""
        spans = [*inner.items, (inner.start, len(data))]
        items = [data[start:end].decode(errors="replace").strip() for start, end in spans]
        over = runs_on if inner.end == LIST_END else names_twice
        return inner.end if items[-1] and over(items) else b""


def _after(place: _Place, at: int, byte: int) -> _Place:
    """The place after a byte, which stands at `at`."""
    if place.string is not None:
        if place.escape:
            return replace(place, escape=False)
        if byte == ord("\\"):
            return replace(place, escape=True)
        return replace(place, string=None) if byte == ord('"') else place
    if byte == ord('"'):
        return replace(place, string=at + 1)
    if byte in b"[{":
        inner = _Open(LIST_END if byte == ord("[") else OBJECT_END, at + 1)
        return replace(place, open=(*place.open, inner))
    if byte in b"]}":
        return replace(place, open=place.open[:-1])
    if byte == ord(",") and place.open:
        *outer, inner = place.open
        inner = _Open(inner.end, at + 1, (*inner.items, (inner.start, at)))
        return replace(place, open=(*outer, inner))
    return place
