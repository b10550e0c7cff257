"""What the parts of a schema have to do with each other: references, shared names, sketches.

Knows nothing of what a value of one type may be.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any

from adafuse.json_schema.document import Document
from adafuse.json_schema.keywords import COMBINING, LISTING
from adafuse.json_schema.scalars import whole

__all__ = ["ITEMS", "depth_of", "distinct", "names_of", "sketch_of", "targets_of", "ways_of"]

ITEMS = "\ud800"
"""Stands for what a list holds, among names of properties."""

_LEVELS_OF_PROOF = 4  # of properties by which the options of a "oneOf" may be told apart
_MOST_PROVEN = 8  # properties of a level
_LONGEST_CHAIN = 100  # of references

Schema = dict[str, Any] | bool


def targets_of(document: Document) -> tuple[list[Any], list[Any]]:
    """What references lead to, each behind what it leads to; and what leads back to itself."""
    targets: dict[int, Any] = {}
    leads: dict[int, set[int]] = {}
    waiting = [(document.root, 0)]
    while waiting:
        part, above = waiting.pop()
        waiting += [(inner, above) for inner in _below(part)]
        if "$ref" not in part or isinstance(target := document.target(part), bool):
            continue
        leads.setdefault(above, set()).add(id(target))
        if id(target) not in targets:
            targets[id(target)] = target
            waiting.append((target, id(target)))
    sorter = TopologicalSorter(leads)
    plain: list[int] = []
    with contextlib.suppress(CycleError):
        sorter.prepare()
    while ready := sorter.get_ready():
        plain += ready
        sorter.done(*ready)
    circular = [target for key, target in targets.items() if key not in plain]
    return [targets[key] for key in plain if key in targets], circular


def _below(schema: Schema) -> Iterator[dict[str, Any]]:
    """The parts of a schema that are schemas."""
    if isinstance(schema, bool):
        return
    for keyword in ("properties", "patternProperties"):
        yield from (part for part in schema.get(keyword, {}).values() if part.__class__ is dict)
    for keyword in ("prefixItems", *COMBINING):
        yield from (part for part in schema.get(keyword, ()) if part.__class__ is dict)
    for keyword in ("items", "additionalProperties", "propertyNames"):
        if isinstance(part := schema.get(keyword), dict):
            yield part


def sketch_of(document: Document, part: Schema, levels: int = _LEVELS_OF_PROOF) -> dict[str, Any]:
    """What a part says by its type, its values and the properties that it must have."""
    for _ in range(_LONGEST_CHAIN):
        if isinstance(part, bool) or part.keys() & {"$ref", "type", *LISTING} != {"$ref"}:
            break
        part = document.target(part)
    if isinstance(part, bool):
        return {}
    if part.keys() & set(LISTING):
        values = part["enum"] if "enum" in part else [part["const"]]
        return {"enum": [whole(value) for value in values]}
    sketch = {"type": part["type"]} if "type" in part else {}
    properties = part.get("properties", {})
    must = [name for name in part.get("required", ()) if name in properties][:_MOST_PROVEN]
    if levels and must:
        inner = {name: sketch_of(document, properties[name], levels - 1) for name in must}
        sketch |= {"properties": inner, "required": must}
    return sketch


def names_of(document: Document, part: Schema) -> Counter[str]:
    """The properties that a schema lists, with how many of its parts do."""
    names: Counter[str] = Counter()
    waiting, seen = [part], set()
    while waiting:
        schema = waiting.pop()
        if isinstance(schema, bool) or id(schema) in seen:
            continue
        seen.add(id(schema))
        names.update(list(schema.get("properties", ())))
        names.update([ITEMS] if "items" in schema else [])
        waiting += [inner for keyword in COMBINING for inner in schema.get(keyword, ())]
        if "$ref" in schema:
            waiting.append(document.target(schema))
    return names


def depth_of(schema: Any, depths: dict[str, int]) -> int:
    """How many parts of a schema are within each other; lists and objects count ten."""
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            return depths[schema["$ref"]] + 1
        inner = [part for name, part in schema.items() if (name, type(part)) != ("enum", list)]
        own = (
            10 if {"properties", "items"} & schema.keys() else "type" in schema or "anyOf" in schema
        )
        return own + max((depth_of(part, depths) for part in inner), default=0)
    if isinstance(schema, list):
        return max((depth_of(part, depths) for part in schema), default=0)
    return 0


def distinct(schemas: list[Any]) -> list[Any]:
    """Without those that are equal to an earlier one."""
    return list({json.dumps(schema, sort_keys=True): schema for schema in schemas}.values())


def ways_of(schema: dict[str, Any]) -> int:
    """Of how many combinations of options a value can be."""
    if "anyOf" in schema:
        return sum(map(ways_of, schema["anyOf"]))
    return math.prod(map(ways_of, schema.get("allOf", ())))
