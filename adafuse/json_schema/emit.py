"""Writing a schema anew for the grammar: bounded, of plain parts, and such that every answer ends.

Each place of the schema becomes a definition; one that leads back to itself becomes a row of them,
so that no answer nests without end. Knows what the grammar library makes of a schema, not how.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from adafuse.json_schema.alternatives import Reader
from adafuse.json_schema.build import forms_of, spots_of
from adafuse.json_schema.nodes import Form, Leaf, ListForm, ObjectForm, Spot
from adafuse.json_schema.pointers import SchemaError

__all__ = ["Writer"]

_MOST_SPOTS = 2000
_MOST_NODES = 1000
_MOST_LEVELS = 40  # of a value whose schema leads back to itself
_FEWEST_LEVELS = 8
_DEEPEST = 90  # levels of an answer; readers have a limit of some hundreds

Node = tuple[Spot, int]
"""A place, and how deep in the value it is where its schema leads back to itself; else 0."""

N = TypeVar("N", bound=Hashable)


class Writer:
    """Writes one schema.

    Args:
        reader: of the schema.

    Attributes:
        forms: of every place of the schema.

    Raises:
        SchemaError: a keyword cannot be enforced.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._forms: dict[Spot, list[Form]] = {}
        self._problems: dict[Spot, SchemaError] = {}
        root: Spot = ("",)
        spots, back = _walk(root, self._below)
        self._circular: set[Spot] = set()
        for spot in spots:
            below = self._below(spot)
            if any((spot, one) in back or one in self._circular for one in below):
                self._circular.add(spot)
        most = _MOST_NODES // max(len(self._circular), 1)
        self._most_levels = max(_FEWEST_LEVELS, min(_MOST_LEVELS, most))
        self._root = self._node(root, 0)
        self._order, _ = _walk(self._root, self._parts)
        if self._levels() > _DEEPEST:
            raise SchemaError(None, "", f"answers would nest over {_DEEPEST} levels deep")
        self.forms = [form for spot in spots for form in self._forms[spot]]

    def write(self, characters: int) -> dict[str, Any]:
        """The schema for the grammar.

        Args:
            characters: that a string without an end of its own may have, if it needs no more.

        Raises:
            SchemaError: no answer would ever end.
        """
        page = _Page(characters, {node: at for at, node in enumerate(self._order)})
        for node in self._order:
            self._write(node, page)
        if self._root in page.problems:
            raise page.problems[self._root]
        made = page.made[self._root] if self._is_leaf(self._root[0]) else page.named(self._root)
        if not page.definitions:
            return dict(made)
        # Definitions are read as they are met, each within the one before: so that the library
        # does not run out of stack, an option that nothing matches names the innermost first.
        named = [{"$ref": f"#/$defs/{name}"} for name in page.definitions]
        never = {"type": "array", "prefixItems": named, "minItems": 1, "maxItems": 0}
        return {"anyOf": [never, made], "$defs": page.definitions}

    def _below(self, spot: Spot) -> list[Spot]:
        """Where the parts of a value stand."""
        if spot not in self._forms:
            if len(self._forms) == _MOST_SPOTS:
                raise SchemaError(None, "", f"it has over {_MOST_SPOTS} parts; make it smaller")
            self._forms[spot], problem = forms_of(self._reader, spot)
            if problem is not None:
                self._problems[spot] = problem
        return list(dict.fromkeys(one for form in self._forms[spot] for one in spots_of(form)))

    def _node(self, spot: Spot, level: int) -> Node:
        return (spot, level if spot in self._circular else 0)

    def _next(self, node: Node, spot: Spot) -> Node | None:
        """The node of a part; None where it would be one level too deep."""
        made = self._node(spot, node[1] + 1)
        return made if made[1] < self._most_levels else None

    def _parts(self, node: Node) -> list[Node]:
        found = (self._next(node, spot) for spot in self._below(node[0]))
        return [one for one in found if one is not None]

    def _levels(self) -> int:
        levels: dict[Node, int] = {}
        for node in self._order:
            levels[node] = 1 + max((levels[one] for one in self._parts(node)), default=0)
        return levels[self._root]

    def _is_leaf(self, spot: Spot) -> bool:
        return all(isinstance(form, Leaf) for form in self._forms[spot])

    def _write(self, node: Node, page: _Page) -> None:
        """Write a node, whose parts are written already, or say why nothing can be."""
        spot = node[0]
        parts: dict[Spot, Any] = {}
        problems: dict[Spot, SchemaError] = {}
        for one in self._below(spot):
            part = self._next(node, one)
            if part is None:
                why = "leads back to itself without end; let something be null or left out"
                problems[one] = SchemaError("$ref", _pointer(spot), why)
            elif part in page.problems:
                problems[one] = page.problems[part]
            else:
                parts[one] = page.made[part] if self._is_leaf(one) else page.named(part)
        made = []
        problem = self._problems.get(spot)
        for form in self._forms[spot]:
            try:
                made.append(_written(form, parts, problems, page.characters))
            except _NothingError as nothing:
                problem = nothing.problem
        if not made:
            assert problem is not None
            page.problems[node] = problem
            return
        page.made[node] = made[0] if len(made) == 1 else {"anyOf": made}
        if not self._is_leaf(spot):
            page.definitions[page.numbers[node]] = page.made[node]


class _Page:
    """What is written so far."""

    def __init__(self, characters: int, numbers: dict[Node, int]) -> None:
        self.characters = characters
        self.numbers = {node: str(number) for node, number in numbers.items()}
        self.made: dict[Node, dict[str, Any]] = {}
        self.problems: dict[Node, SchemaError] = {}
        self.definitions: dict[str, dict[str, Any]] = {}

    def named(self, node: Node) -> dict[str, Any]:
        return {"$ref": f"#/$defs/{self.numbers[node]}"}


class _NothingError(Exception):
    """Nothing can be written in a form."""

    def __init__(self, problem: SchemaError) -> None:
        super().__init__()
        self.problem = problem


def _pointer(spot: Spot) -> str:
    return spot[0] if isinstance(spot, tuple) and spot else ""


def _walk(start: N, below: Callable[[N], list[N]]) -> tuple[list[N], set[tuple[N, N]]]:
    """All nodes, each behind those below it, and the edges that lead back to a node above."""
    order: list[N] = []
    back: set[tuple[N, N]] = set()
    open_, done = {start}, set[N]()
    stack = [(start, iter(below(start)))]
    while stack:
        node, rest = stack[-1]
        one = next(rest, None)
        if one is None:
            stack.pop()
            open_.discard(node)
            done.add(node)
            order.append(node)
        elif one in open_:
            back.add((node, one))
        elif one not in done:
            open_.add(one)
            stack.append((one, iter(below(one))))
    return order, back


def _written(
    form: Form, parts: dict[Spot, Any], problems: dict[Spot, SchemaError], characters: int
) -> dict[str, Any]:
    """A form as a schema.

    Args:
        parts: the schemas of its parts.
        problems: why other parts have none.
    """
    if isinstance(form, Leaf):
        if form.shortest is None:
            return form.schema
        return {**form.schema, "maxLength": max(characters, form.shortest)}
    if isinstance(form, ListForm):
        return _written_list(form, parts, problems)
    return _written_object(form, parts, problems)


def _written_list(
    form: ListForm, parts: dict[Spot, Any], problems: dict[Spot, SchemaError]
) -> dict[str, Any]:
    first: list[Any] = []
    most = form.most
    for spot in form.first:
        if spot in problems:
            most = len(first)
            break
        first.append(parts[spot])
    rest = False if form.rest is None else parts.get(form.rest, False)
    if rest is False:
        most = min(most, len(first))
    if form.least > most:
        lacking = [*form.first, *([] if form.rest is None else [form.rest])]
        raise _NothingError(next(problems[spot] for spot in lacking if spot in problems))
    made = {"type": "array", "items": rest, "minItems": form.least, "maxItems": most}
    return {**made, "prefixItems": first} if first else made


def _written_object(
    form: ObjectForm, parts: dict[Spot, Any], problems: dict[Spot, SchemaError]
) -> dict[str, Any]:
    for name, spot in form.names.items():
        if name in form.required and spot in problems:
            raise _NothingError(problems[spot])
    patterns = {pattern: parts.get(spot, False) for pattern, spot in form.patterns.items()}
    rest = False if form.rest is None else parts.get(form.rest, False)
    names = {
        name: name in form.covered or parts.get(spot, False) for name, spot in form.names.items()
    }
    is_open = rest is not False or any(one is not False for one in patterns.values())
    written = sum(one is not False for one in names.values())
    if form.least > written and not is_open:
        raise _NothingError(next(iter(problems.values())))
    if not is_open:
        names = {name: one for name, one in names.items() if one is not False}
        patterns = {}
    made: dict[str, Any] = {"type": "object", "properties": names, "additionalProperties": rest}
    made["required"] = [name for name in names if name in form.required]
    if patterns:
        made["patternProperties"] = patterns
    if form.least:
        made["minProperties"] = form.least
    if form.most is not None and (is_open or form.most < written):
        made["maxProperties"] = form.most
    return made
