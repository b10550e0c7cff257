"""A JSON schema in a grammar: bounded, and with nothing in it that cannot be enforced.

What the library refuses is said by keyword and pointer. Knows no tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from adafuse.constraints.grammar import byte_table, problem_of, with_layout
from adafuse.errors import ConfigError
from adafuse.json_schema.bounds import OVERLAPPING, Bounded, SchemaError, bounded, tightened

__all__ = ["layout_of", "tighter_grammar"]

_SCHEMA = "%json "


def layout_of(what: str, schema: Mapping[str, Any], tokens: int) -> str:
    """A schema as Lark takes it behind `%json`.

    Args:
        what: its name in messages.
        tokens: how many the answer may have.

    Raises:
        ConfigError: it cannot be enforced.
    """
    try:
        made = bounded(schema, tokens)
        for options, pointer in made.proofs:
            if byte_table().problem(f"start: %json {json.dumps(options)}"):
                raise SchemaError("oneOf", pointer, OVERLAPPING)
        layout = json.dumps(with_layout(made.schema))
        if problem := problem_of(f"start: %json {layout}"):
            raise _blamed(made, problem)
    except SchemaError as error:
        raise ConfigError(f"{what} cannot be enforced: {error}") from None
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
            why = "leaves nothing" if empty else f"cannot be followed: {its_problem}"
            return SchemaError(keyword, pointer, f"{why}; make it simpler")
    return SchemaError(None, "", problem)
