"""A schema with an end to everything: what the grammar is made of. Knows no grammar."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adafuse.json_schema import OWN_BOUNDS
from adafuse.json_schema.document import Document, SchemaError, modern
from adafuse.json_schema.keywords import check_shapes
from adafuse.json_schema.narrowing import OVERLAPPING, Narrower
from adafuse.json_schema.structure import targets_of

__all__ = ["OVERLAPPING", "Bounded", "SchemaError", "bounded", "tightened"]

_CHARACTERS_PER_TOKEN = 4
_LEVELS = (40, 20, 8)  # of a value whose schema leads back to itself: the most that can be followed
_DEEPEST = 905  # 90 lists and objects within each other; readers have a limit of some hundreds


@dataclass(frozen=True, slots=True)
class Bounded:
    """A schema that accepts part of what another one does.

    Attributes:
        schema: of plain parts, for the grammar.
        suspects: parts of it that the grammar library may still refuse, each with the keyword and
            the pointer that are to blame then.
        proofs: schemas that it must not refuse, or a `oneOf` (of that pointer) may hold twice.
    """

    schema: dict[str, Any]
    suspects: tuple[tuple[dict[str, Any], str, str], ...]
    proofs: tuple[tuple[dict[str, Any], str], ...]


def bounded(schema: Mapping[str, Any], tokens: int) -> Bounded:
    """Bound a schema, in plain JSON values, so that whatever it accepts has an end.

    Strings get an equal share of the characters that `tokens` make, lists 16 items, numbers 15
    digits before the point, objects their listed properties only, a schema within itself 40 rounds.
    Bounds that the schema has are kept.

    Raises:
        SchemaError: a keyword cannot be enforced, or nothing matches the schema.
    """
    try:
        root = modern(schema)
        check_shapes(root)
        narrower = _narrowed(Document(root), _CHARACTERS_PER_TOKEN * tokens)
    except RecursionError:
        why = "it is nested too deeply, or has too many parts; make it flatter"
        raise SchemaError(None, "", why) from None
    return Bounded(narrower.schema, tuple(narrower.suspects), tuple(narrower.proofs))


def tightened(schema: Any) -> Any:
    """A bounded schema with each bound one less that the original does not have.

    What the first accepts and this does not has a value that ends where a bound of ours ends it.
    """
    if isinstance(schema, list):
        return list(map(tightened, schema))
    if not isinstance(schema, dict):
        return schema
    own = schema.get(OWN_BOUNDS)
    names = own if isinstance(own, list) else ()  # else a property of that name
    inner = {name: part if name == "enum" else tightened(part) for name, part in schema.items()}
    return {**inner, **{name: schema[name] - 1 for name in names}}


def _narrowed(document: Document, characters: int) -> Narrower:
    targets = targets_of(document)
    for levels in _LEVELS if targets[1] else _LEVELS[:1]:
        with contextlib.suppress(RecursionError):
            narrower = Narrower(document, targets, characters, levels)
            if narrower.depth <= _DEEPEST:
                return narrower
    raise RecursionError
