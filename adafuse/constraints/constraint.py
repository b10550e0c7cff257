"""What an answer must be, as one grammar for all members.

Turns settings (`json_schema`, `regex`, `choices`, `grammar`) and tools into a `Constraint`: plain
strings that go to every member. What cannot be enforced is refused here, before any work.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adafuse.config import CONSTRAINTS, DecodingConfig
from adafuse.constraints.call_grammar import (
    NO_CALL,
    NO_CALL_WRITTEN,
    canonical_rules,
    lark_text,
    loose_grammar,
    strict_grammar,
)
from adafuse.constraints.grammar import problem_of, regex_grammar
from adafuse.errors import ConfigError, MissingExtraError
from adafuse.tools.choice import check_tool_choice
from adafuse.validation import show

__all__ = [
    "Constraint",
    "answer_without_calls",
    "arguments_rule",
    "finished_check",
    "read_constraint",
]

# Texts, patterns and comments of a grammar; and what names a token, outside of these.
# One that is not closed goes to the end of its line, so that each character is read once.
_LITERALS = re.compile(r'"(?:\\.|[^"\\\n])*"?|//[^\n]*|/(?:\\.|[^/\\\n])+/?|#[^\n]*')
_TOKEN = re.compile(r"<[^<>\s]+>")
_RULE = re.compile(r"[\w\]][^\S\n]*:")  # the colon behind its name
_MOST_RULES = 1000  # llguidance goes down chains of rules on the stack, which holds about 2600
_LONGEST_GRAMMAR = 250_000  # characters; reading these takes a second or two, and grows faster
_MOST_CHOICES = 1999  # places of a grammar that llguidance follows at once, less one
_MOST_CALLS = 8  # in one answer, where several are allowed


@dataclass(frozen=True, slots=True)
class Constraint:
    """What an answer must be; `what` names it in messages, such as "JSON answer".

    Attributes:
        grammar: for llguidance: Lark, or JSON of its own.
        trigger: the text with which what the grammar describes begins; the answer is free up to
            there. None: the whole answer is a sentence of the grammar, unless there are `tools`.
        tools: names of those whose calls the grammar describes, in any dialect; the answer is free
            until what is written can only be one.
        loose: a second grammar, for what of that is laid out in another way.
        strict: whether an answer that ends too early is an error.
        prose: whether the answer is text as without a constraint: a leading blank may be left out,
            and stop strings and the stops of the members' renderings hold.
        schema: as JSON, what an answer that is no call is checked against in the end.
        guarded: whether strings and lists of its JSON close where they go over the same again and
            again (`guarded`).
    """

    what: str
    grammar: str
    trigger: str | None = None
    strict: bool = True
    prose: bool = False
    schema: str = ""
    guarded: bool = False
    tools: tuple[str, ...] = ()
    loose: str = ""

    @property
    def only_forbids(self) -> bool:
        """Whether the answer is text that must not hold some others, from its beginning on."""
        return self.prose and self.trigger is None and not self.tools


def read_constraint(
    config: DecodingConfig,
    tools: Sequence[Mapping[str, Any]] = (),
    tool_choice: str | None = None,
    *,
    parallel_tool_calls: bool = False,
) -> Constraint | None:
    """The constraint of one answer; see `adafuse.prompting.prompt.with_constraint`.

    `tools` are as `adafuse.tools.read_tools` gives them.
    """
    choice = check_tool_choice(tool_choice, [tool["function"]["name"] for tool in tools])
    if choice == "none" or not tools:
        return _of_settings(config) or (answer_without_calls() if tools else None)
    guarded = config.repetition_guard
    functions = [tool["function"] for tool in tools]
    functions = [each for each in functions if choice in ("auto", "any", each["name"])]
    max_calls = _MOST_CALLS if parallel_tool_calls else 1
    layouts = [_parameters_layout(function, config.max_new_tokens) for function in functions]
    rules = canonical_rules(functions, layouts, max_calls)
    if choice != "auto":
        call = Constraint("tool call", f"start: calls\n{rules}", strict=False, guarded=guarded)
        return _enforceable("tools", call)
    if config.json_schema is not None:
        layout = _layout("json_schema", config.json_schema, config.max_new_tokens)
        either = f"start: calls | answer\nanswer: %json {layout}\n{rules}"
        schema = json.dumps(config.json_schema)
        held = Constraint("JSON answer or tool call", either, schema=schema, guarded=guarded)
        return _enforceable("tools", held)
    for name in CONSTRAINTS:
        if getattr(config, name) is not None:
            raise ConfigError(f"{name} and tools exclude each other; tools go with json_schema")
    call = Constraint(
        "tool call",
        strict_grammar(functions, layouts, max_calls),
        strict=False,
        prose=True,
        guarded=guarded,
        tools=tuple(function["name"] for function in functions),
        loose=loose_grammar(functions, layouts, max_calls),
    )
    return _enforceable("tools", call)


def answer_without_calls() -> Constraint:
    """Text as without a constraint, but that no call begins it, and no mark of one stands in it."""
    return Constraint("answer", NO_CALL, prose=True, loose=NO_CALL_WRITTEN)


def _of_settings(config: DecodingConfig) -> Constraint | None:
    if config.json_schema is not None:
        layout = _layout("json_schema", config.json_schema, config.max_new_tokens)
        schema = json.dumps(config.json_schema)
        guarded = config.repetition_guard
        return Constraint("JSON answer", f"start: %json {layout}", schema=schema, guarded=guarded)
    if config.regex is not None:
        return _enforceable("regex", Constraint("match of regex", regex_grammar(config.regex)))
    if config.choices is not None:
        if (count := len(config.choices)) > _MOST_CHOICES:
            raise ConfigError(f"choices are {count}, and up to {_MOST_CHOICES} may be")
        quoted = " | ".join(lark_text(text) for text in config.choices)
        return _enforceable("choices", Constraint("one of choices", f"start: {quoted}"))
    if config.grammar is not None:
        _refuse_grammar(config.grammar)
        return _enforceable("grammar", Constraint("sentence of grammar", config.grammar))
    return None


def _refuse_grammar(grammar: str) -> None:
    """Raise ConfigError for what llguidance takes and cannot follow, or not with every member."""
    outside = _LITERALS.sub(" ", grammar)
    if grammar.lstrip().startswith("{"):
        problem = "it is JSON; write it as Lark"
    elif "::=" in outside:
        problem = 'it is GBNF or EBNF; write it as Lark, such as start: "yes" | "no"'
    elif len(grammar) > _LONGEST_GRAMMAR:
        problem = f"it has {len(grammar)} characters, and up to {_LONGEST_GRAMMAR} are read"
    elif (rules := len(_RULE.findall(outside))) > _MOST_RULES:
        problem = f"it has {rules} rules, and up to {_MOST_RULES} can be followed; join some"
    elif token := _TOKEN.search(outside):
        shown = show(token.group())
        problem = f"{shown} is a token, and members have different ones; write the text"
    else:
        return
    raise ConfigError(f"grammar cannot be enforced: {problem}")


def _enforceable(setting: str, constraint: Constraint) -> Constraint:
    if problem := problem_of(constraint.grammar):
        form = '; grammars are Lark, such as start: "yes" | "no"' if setting == "grammar" else ""
        raise ConfigError(f"{setting} cannot be enforced: {problem}{form}")
    return constraint


def _layout(what: str, schema: Mapping[str, Any], tokens: int, *, loose: bool = False) -> str:
    """A schema as Lark takes it."""
    try:
        import jsonschema  # noqa: F401
        import referencing  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("a constrained answer", "constrained") from error
    from adafuse.constraints.json_layout import layout_of  # needs them

    return layout_of(what, schema, tokens, loose=loose)


def arguments_rule(function: Mapping[str, Any], tokens: int) -> str:
    """The arguments of a tool that `read_tools` has read, as the right side of a Lark rule.

    A tool takes the parameters that it names, and no others unless it says so. What of them cannot
    be enforced is left out, with a warning; ConfigError where they are no schema, or nothing fits.
    """
    return f"%json {_parameters_layout(function, tokens)}"


def _parameters_layout(function: Mapping[str, Any], tokens: int) -> str:
    parameters: Mapping[str, Any] = function["parameters"]
    if not {"allOf", "anyOf", "oneOf", "$ref"} & parameters.keys():  # these may name more
        parameters = {"additionalProperties": False, **parameters}
    what = f"the parameters of tool {function['name']!r}"
    return _layout(what, parameters, tokens, loose=True)


def finished_check(
    tools: Sequence[Mapping[str, Any]],
) -> Callable[[str, Mapping[str, Any]], str]:
    """What tells, of a tool's name and a whole call's arguments, why they do not fit, or ""."""

    @functools.cache
    def check() -> Callable[[str, Mapping[str, Any]], str]:
        from adafuse.json_schema.loosening import arguments_check  # needs an extra

        return arguments_check(tools)

    return lambda name, arguments: check()(name, arguments)
