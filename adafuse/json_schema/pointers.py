"""Finding the parts of a schema: by JSON pointer, and by what a `$ref` says.

Every part is known by its pointer, so two references to one part are seen to be the same. Knows no
keyword but those that name parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

__all__ = ["Document", "SchemaError", "child"]

_NO_SCHEMAS = ("const", "enum", "default", "examples", "example")
_LONG = 200  # characters of a pointer, for messages
_BASE = "schema:"  # the address of a schema without "$id"


class SchemaError(ValueError):
    """A schema cannot be enforced.

    Args:
        keyword: which of its keywords is to blame; None for the schema as a whole.
        pointer: of the part that has it.
        why: and what to do.
    """

    def __init__(self, keyword: str | None, pointer: str, why: str) -> None:
        place = pointer if len(pointer) < _LONG else f"…{pointer[-_LONG:]}"
        message = f"{keyword!r} at {place or 'the top level'} {why}" if keyword else why
        super().__init__(" ".join(message.split()))


def child(pointer: str, *names: str | int) -> str:
    """The pointer of a part of a part."""
    steps = (str(name).replace("~", "~0").replace("/", "~1") for name in names)
    return "/".join([pointer, *steps])


class Document:
    """A schema whose parts are found by JSON pointer, such as "/properties/age"; "" is the whole.

    Args:
        root: the schema, in plain JSON values.
    """

    def __init__(self, root: Any) -> None:
        self._found: dict[str, Any] = {"": root}
        self._bases: dict[str, str] = {"": _BASE}  # pointer of a part with "$id": its address
        self._named: dict[str, str] = {}  # address of a part: its pointer
        for pointer, part in _parts(root):
            if isinstance(id_ := part.get("$id"), str):
                self._bases[pointer] = urljoin(self._base(pointer)[1], urldefrag(id_).url)
        for pointer, address in self._bases.items():
            self._named.setdefault(address, pointer)
        for pointer, part in _parts(root):
            for keyword in ("$anchor", "$dynamicAnchor"):
                if isinstance(name := part.get(keyword), str):
                    self._named.setdefault(f"{self._base(pointer)[1]}#{name}", pointer)

    def at(self, pointer: str) -> Any:
        """The part at a pointer, which must be there."""
        if pointer not in self._found:
            above, _, step = pointer.rpartition("/")
            part, name = self.at(above), _unescaped(step)
            key = int(name) if isinstance(part, list) and name.isdecimal() else name
            self._found[pointer] = part[key]
        return self._found[pointer]

    def target(self, reference: str, pointer: str) -> str:
        """The pointer of what a `$ref` in the part at `pointer` means.

        Raises:
            SchemaError: there is no such schema in the document.
        """
        base = self._base(pointer)[1]
        address, fragment = urldefrag(reference)
        address = urljoin(base, address) if address else base
        fragment = unquote(fragment)
        named = fragment if fragment and not fragment.startswith("/") else ""
        found = self._named.get(f"{address}#{named}" if named else address)
        if found is not None and not named:
            found += fragment
        try:
            schema = None if found is None else self.at(found)
        except (KeyError, IndexError, ValueError, TypeError):
            schema = None
        if found is None or not isinstance(schema, dict | bool):
            why = f"is {reference!r}, which is no schema in this one; put it into '$defs'"
            raise SchemaError("$ref", pointer, why)
        return found

    def _base(self, pointer: str) -> tuple[str, str]:
        """The nearest part around that has an address, and the address."""
        while pointer not in self._bases:
            pointer = pointer.rpartition("/")[0]
        return pointer, self._bases[pointer]


def _parts(root: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping that may be a schema, outer ones first."""
    waiting = [("", root)]
    while waiting:
        pointer, part = waiting.pop()
        if isinstance(part, dict):
            yield pointer, part
            inner = [(key, one) for key, one in part.items() if key not in _NO_SCHEMAS]
        else:
            inner = list(enumerate(part))
        waiting += [
            (child(pointer, key), one) for key, one in inner if isinstance(one, dict | list)
        ]


def _unescaped(step: str) -> str:
    return re.sub("~[01]", lambda match: "/" if match.group() == "~1" else "~", step)
