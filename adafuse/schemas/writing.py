"""Writing a schema anew for the grammar: bounded, of plain parts, and such that every answer ends.

Each place of the schema becomes a definition; one that leads back to itself becomes a row of them,
so that no answer nests without end. Knows what the grammar library makes of a schema, not how.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any, TypeVar

from adafuse.schemas.containers import FREE_NAME, list_form, object_form
from adafuse.schemas.forms import (
    ANYTHING,
    MOST_ITEMS,
    EmptyFormError,
    Form,
    Leaf,
    ListForm,
    ObjectForm,
    Spot,
)
from adafuse.schemas.merging import Meaning
from adafuse.schemas.options import Option, Reader
from adafuse.schemas.references import SchemaError
from adafuse.schemas.scalars import LARGEST, listed_form, number_form, string_form
from adafuse.schemas.values import apart

__all__ = ["Writer"]

_ORDER = ("string", "number", "integer", "boolean", "null", "array", "object")
_EVERY = {"string", "number", "boolean", "null", "array", "object"}
_MOST_SPOTS = 2000
_MOST_ROUNDS = 16  # of a schema within itself
_DEEPEST = 90  # levels of an answer; readers have a limit of some hundreds

Node = tuple[Spot, int]
"""A place, and how often the schema has led back to itself on the way there."""

N = TypeVar("N", bound=Hashable)


class Writer:
    """Writes one schema.

    Args:
        reader: of the schema.

    Attributes:
        leaves: every value without parts.

    Raises:
        SchemaError: a keyword cannot be enforced.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._forms: dict[Spot, list[Form]] = {}
        self._problems: dict[Spot, SchemaError] = {}
        root: Spot = ("",)
        spots, self._back = _walk(root, self._below)
        self._circular: set[Spot] = set()
        for spot in spots:
            below = self._below(spot)
            if any((spot, one) in self._back or one in self._circular for one in below):
                self._circular.add(spot)
        self._rounds = min(_MOST_ROUNDS, 1 + _MOST_SPOTS // (len(self._circular) + 1))
        self._root = self._node(root, 0)
        self._order, _ = _walk(self._root, self._parts)
        while self._levels() > _DEEPEST:
            if self._rounds == 1:
                raise SchemaError(None, "", f"answers would nest over {_DEEPEST} levels deep")
            self._rounds -= 1
            self._order, _ = _walk(self._root, self._parts)
        found = (form for spot in spots for form in self._forms[spot])
        self.leaves = [form for form in found if isinstance(form, Leaf)]

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
            self._forms[spot], problem = _forms(self._reader, spot)
            if problem is not None:
                self._problems[spot] = problem
        return list(dict.fromkeys(one for form in self._forms[spot] for one in _spots(form)))

    def _node(self, spot: Spot, rounds: int) -> Node:
        return (spot, rounds if spot in self._circular else 0)

    def _next(self, node: Node, spot: Spot) -> Node | None:
        """The node of a part; None where it would be one round too many."""
        rounds = node[1] + ((node[0], spot) in self._back)
        return self._node(spot, rounds) if rounds < self._rounds else None

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


def _spots(form: Form) -> Iterator[Spot]:
    if isinstance(form, ListForm):
        yield from form.first
    elif isinstance(form, ObjectForm):
        yield from form.names.values()
        yield from form.patterns.values()
    if not isinstance(form, Leaf) and form.rest is not None:
        yield form.rest


def _forms(reader: Reader, spot: Spot) -> tuple[list[Form], SchemaError | None]:
    """The forms of a value, and a reason if an option of it has none."""
    if isinstance(spot, int):
        return _anything(spot), None
    options = reader.options(spot)
    if not all(option.parts for option in options):
        return _anything(ANYTHING), None
    _check_apart(reader, options)
    found: list[Form] = []
    problem = None if options else SchemaError("false", spot[0], "allows nothing")
    for option in options:
        meaning = Meaning(reader, option)
        for kind in _kinds(meaning):
            try:
                found.append(_form(reader, meaning, kind))
            except EmptyFormError as empty:
                problem = empty.problem
        if not _kinds(meaning):
            problem = SchemaError("type", option.parts[0], "has no type that the others have")
    return found, problem


def _kinds(meaning: Meaning) -> list[str]:
    """The types that are written; "listed" for values that are, whatever their types."""
    if meaning.values is not None:
        return ["listed"]
    types = meaning.types
    if types is None:
        types = meaning.about or _EVERY
    return [
        kind for kind in _ORDER if kind in types and not (kind == "integer" and "number" in types)
    ]


def _form(reader: Reader, meaning: Meaning, kind: str) -> Form:
    match kind:
        case "listed":
            return listed_form(reader, meaning)
        case "string":
            return string_form(meaning)
        case "number" | "integer":
            return number_form(meaning, kind)
        case "array":
            return list_form(meaning)
        case "object":
            return object_form(reader, meaning)
    return Leaf({"type": kind})


def _anything(levels: int) -> list[Form]:
    """Any JSON value of at most so many levels."""
    found: list[Form] = [
        Leaf({"type": "string"}, shortest=0),
        Leaf({"type": "number", "minimum": -LARGEST, "maximum": LARGEST}),
        Leaf({"type": "boolean"}),
        Leaf({"type": "null"}),
    ]
    if levels > 1:
        found.append(ListForm([], levels - 1, 0, MOST_ITEMS))
        found.append(ObjectForm({}, set(), {FREE_NAME: levels - 1}, None, 0, MOST_ITEMS))
    return found


def _check_apart(reader: Reader, options: list[Option]) -> None:
    """Refuse a "oneOf" of which two options may hold at once."""
    for at, one in enumerate(options):
        for other in options[at + 1 :]:
            picks = dict(other.picks)
            for pointer, pick in one.picks:
                if picks.get(pointer, pick) != pick and not apart(reader, one, other):
                    why = (
                        f"has options {pick} and {picks[pointer]} that may both hold; use 'anyOf', "
                        "or a required property with another 'const' in each"
                    )
                    raise SchemaError("oneOf", pointer.rpartition("/")[0], why)


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
