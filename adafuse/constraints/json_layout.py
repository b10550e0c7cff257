"""A JSON schema in a grammar: bounded, and with nothing in it that cannot be enforced.

What the library refuses is said by keyword and pointer. Knows no tokens.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from adafuse.constraints.grammar import byte_table, problem_of, with_layout
from adafuse.errors import ConfigError
from adafuse.json_schema.bounds import OVERLAPPING, Bounded, SchemaError, bounded, tightened
from adafuse.json_schema.document import EmptySchemaError
from adafuse.json_schema.loosening import loosest
from adafuse.validation import warn

__all__ = ["layout_of", "tighter_grammar"]

_SCHEMA = "%json "


def layout_of(what: str, schema: Mapping[str, Any], tokens: int, *, loose: bool = False) -> str:
    """A schema as Lark takes it behind `%json`.

    Args:
        what: its name in messages.
        tokens: how many the answer may have.
        loose: whether to leave out what cannot be enforced, and warn of it.

    Raises:
        ConfigError: it cannot be enforced.
    """
    try:
        if not loose:
            return _layout(schema, tokens)
        layout, left_out = loosest(schema, lambda looser: _layout(looser, tokens))
    except SchemaError as error:
        raise ConfigError(f"{what} cannot be enforced: {error}") from None
    if left_out:
        problems = "; ".join(map(str, left_out))
        _warn_once(
            f"of {what}, not all can be enforced: {problems}. Calls are held to the rest while "
            "they are written, and checked against all of it once they are whole"
        )
    return layout


@functools.lru_cache(maxsize=1024)
def _warn_once(message: str) -> None:
    """A tool comes with every request."""
    warn(message)


def _layout(schema: Mapping[str, Any], tokens: int) -> str:
    """Raises SchemaError where a schema cannot be enforced."""
    made = bounded(schema, tokens)
    for options, pointer in made.proofs:
        if byte_table().problem(f"start: %json {json.dumps(options)}"):
            raise SchemaError("oneOf", pointer, OVERLAPPING)
    layout = json.dumps(with_layout(made.schema))
    if problem := problem_of(f"start: %json {layout}"):
        raise _blamed(made, problem)
    return layout


def tighter_grammar(grammar: str) -> str:
    """A grammar with the schemas in it `tightened`."""
    made, done = "", 0
    while (at := grammar.find(_SCHEMA, done)) >= 0:
        begin = at + len(_SCHEMA)
        schema, end = json.JSONDecoder().raw_decode(grammar, begin)
        made, done = f"{made}{grammar[done:begin]}{json.dumps(tightened(schema))}", end
    return made + grammar[done:]


def _blamed(made: Bounded, problem: str) -> SchemaError:
    """Which keyword of a schema the library refuses."""
    definitions = {"$defs": made.schema["$defs"]}
    for part, keyword, pointer in made.suspects:
        if its_problem := problem_of(f"start: %json {json.dumps({**part, **definitions})}"):
            empty = "Unsatisfiable" in its_problem
            if empty:
                return EmptySchemaError(keyword, pointer, "leaves nothing; make it simpler")
            why = f"cannot be followed: {its_problem}; make it simpler"
            return SchemaError(keyword, pointer, why)
    return SchemaError(None, "", problem)
