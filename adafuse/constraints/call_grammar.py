"""The grammar of calls, in every dialect in which one may be written.

`adafuse.tools.openings` says how they begin; a sentence begins there. There are two grammars. The
strict one has JSON in the one layout that most models write, so that no whitespace runs on and most
of a call is forced. The loose one has any layout, and what is no JSON: keyword arguments as Python
writes them, and parameters between tags.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from adafuse.tools import CALL_END, CALL_START, RESULT_START

__all__ = [
    "ENDS",
    "NO_CALL",
    "NO_CALL_KEY",
    "NO_CALL_WRITTEN",
    "canonical_rules",
    "lark_text",
    "loose_grammar",
    "strict_grammar",
]

_WHITESPACE = r"[ \t\r\n]{1,64}"
_LONGEST = 10_000  # characters of a layout whose parts are repeated for each parameter
_SHAPE = {"type", "properties", "required", "additionalProperties", "$defs", "x-guidance"}
_BOUNDED = {"pattern", "format", "minLength", "const"}  # and "maxLength", which all texts have
_PYTHON_TEXT = r"/'([^'\\\n]|\\.)*'/"

ENDS = ("</parameter>", "</function>", f"\n{CALL_END}", CALL_END, "\n```", "```", ")")
"""Texts that end calls, or parts of them."""

# Also not, as models that have seen a call may go on, what a tool would say.
_MARK = "|".join(
    [CALL_START, RESULT_START, r"\[TOOL_CALLS\]", r"<\|python_tag\|>", "<function=", "```tool_"]
)
# What is no prose yet, whatever the next sign is: punctuation, markup, numbers of lists.
# Ranges of Unicode's punctuation and symbols: its exact classes take ten times as long to build.
_SIGN = (
    r"[\x00-\/:-@\[-`{-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf\u{2000}-\u{2bff}\u{2e00}-\u{303f}"
    r"\u{fe00}-\u{fe6f}\u{feff}\u{fff0}-\u{ffff}\u{1f000}-\u{1ffff}]"
)
_BEFORE = rf"({_SIGN}|[0-9]{{1,3}}[.)][ \t]|<\/?[|]?[A-Za-z_]{{1,32}}[|]?>|```[A-Za-z_]{{1,32}})*"
# Models give the tags attributes of their own (<tool_response name=…).
_TAG = f"|{CALL_START[:-1]}|{RESULT_START[:-1]}"
_BEGUN = r"\{|```(json|JSON|[ \t]*\n)" + _TAG
_KEYS = r"\{[ \t\r\n]*\"(name|arguments|parameters|function|type)\"" + _TAG
_FREE = (
    "start: TEXT\nTEXT: "
    r"/(?s:.*)/ & ~/(?s:.*)({mark})(?s:.*)/ & ~/{before}({begun})(?s:.*)/"
)
NO_CALL = _FREE.format(mark=_MARK, before=_BEFORE, begun=_BEGUN)
"""Texts without a mark of a call, in which nothing that calls begin with stands before any prose.

JSON is: a member that has written its brace can only go on as a call.
"""
NO_CALL_WRITTEN = _FREE.format(mark=_MARK, before=_BEFORE, begun=_KEYS)
"""The same, but for JSON that is no call: what is written without a mask is read as it is."""

NO_CALL_KEY = r"""start: TEXT
TEXT: /(?s:.*)/ & ~/[ \t\r\n]*,[ \t\r\n]*"[^A-Za-z"]*([Aa][Rr][Gg]|[Pp][Aa][Rr][Aa][Mm])(?s:.*)/"""
"""What may follow the name in a JSON object that names no tool: it is an answer and no call."""

Functions = Sequence[Mapping[str, Any]]
Layouts = Sequence[str]
"""The parameters of each function as Lark takes them behind `%json`."""


def lark_text(text: str) -> str:
    """A text as a Lark string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def canonical_rules(functions: Functions, layouts: Layouts, max_calls: int) -> str:
    """Lark rules for `calls`: one or several, in the canonical syntax."""
    more = f' ("\\n" call){{0,{max_calls - 1}}}' if max_calls > 1 else ""
    rules = [
        f"calls: call{more}",
        f"call: {lark_text(CALL_START + chr(10))} canonical {lark_text(chr(10) + CALL_END)}",
        _choice("canonical", functions),
    ]
    for at, function in enumerate(functions):
        before = '{"name": ' + json.dumps(function["name"]) + ', "arguments": '
        rules.append(f"canonical_{at}: {lark_text(before)} arguments_{at} {lark_text('}')}")
    return "\n".join([*rules, *_arguments(layouts)])


def strict_grammar(functions: Functions, layouts: Layouts, max_calls: int) -> str:
    """Calls as JSON, canonical or in a dialect, in one layout."""
    several = _repeated(max_calls)
    in_a_row = several("object", r'"\n" | "; "')
    listed = several("object", '", "')
    named = several("named", '"[TOOL_CALLS]"')
    # Behind a line break an answer may end too: it may have been meant for another call.
    behind = r'"\n"?' if max_calls > 1 else ""
    rules = [
        f"start: (calls | objects | fence | mistral) {behind}",
        f'objects: {in_a_row} | "[" {listed} "]"',
        r'fence: "```" ("json" | "JSON")? "\n" objects "\n```"',
        f'mistral: "[TOOL_CALLS]" " "? (objects | {named})',
        r'object: "{" ("\"type\": \"function\", ")? body "}"',
        r'key: ", " ("\"arguments\"" | "\"parameters\"") ": "',
        *(_choice(rule, functions) for rule in ("body", "named")),
        canonical_rules(functions, layouts, max_calls),
    ]
    for at, function in enumerate(functions):
        name = lark_text('"name": ' + json.dumps(function["name"]))
        rules.append(f"body_{at}: {name} key arguments_{at}")
        rules.append(f'named_{at}: {lark_text(function["name"])} "[ARGS]"? arguments_{at}')
    return "\n".join(rules)


def loose_grammar(functions: Functions, layouts: Layouts, max_calls: int) -> str:
    """Calls in any dialect, in any layout."""
    several = _repeated(max_calls)
    called = several("called", "ws /[,;]?/ ws")
    in_a_row, listed = several("object", "ws /[;,]?/ ws"), several("object", 'ws "," ws')
    named = several("named", 'ws "[TOOL_CALLS]" ws')
    called_list = several("called", 'ws "," ws')
    rules = [
        f"start: (marked_calls | objects | fence | mistral | python_tag | tags | tool_code)"
        f" {'ws' if max_calls > 1 else ''}",
        f"ws: WS?\nWS: /{_WHITESPACE}/",
        f"marked_calls: {several('marked', 'ws')}",
        f'marked: "{CALL_START}" ws (objects | tags) ws "{CALL_END}"',
        f'objects: {in_a_row} | "[" ws {listed} ws "]"',
        'fence: "```" ("json" | "JSON")? ws objects ws "```"',
        f'mistral: "[TOOL_CALLS]" ws (objects | {named})',
        f'python_tag: "<|python_tag|>" ws (objects | {called})',
        f"tags: {several('tagged', 'ws')}",
        f'tool_code: "```tool_code" ws (code | "[" ws {called_list} ws "]") ws "```"',
        f"code: {called} | {several('printed', 'ws')}",
        'printed: "print(" ws called ws ")"',
        'object: "{" ws (kind ws "," ws)? body ws "}"',
        r'kind: "\"type\"" ws ":" ws "\"function\""',
        r'key: ws "," ws ("\"arguments\"" | "\"parameters\"") ws ":" ws',
        *(_choice(rule, functions) for rule in ("body", "named", "called", "tagged")),
        *_arguments(map(_any_layout, layouts)),
    ]
    for at, (function, layout) in enumerate(zip(functions, layouts, strict=True)):
        rules += _of_tool(at, function, json.loads(layout))
    return "\n".join(rules)


def _repeated(max_calls: int) -> Callable[[str, str], str]:
    """What makes of a rule and what stands between a rule for one or several."""
    more = f"{{0,{max_calls - 1}}}"
    return lambda item, between: f"{item} (({between}) {item}){more}" if max_calls > 1 else item


def _choice(rule: str, functions: Functions) -> str:
    return f"{rule}: " + " | ".join(f"{rule}_{at}" for at in range(len(functions)))


def _arguments(layouts: Iterable[str]) -> Iterable[str]:
    return (f"arguments_{at}: %json {layout}" for at, layout in enumerate(layouts))


def _any_layout(layout: str) -> str:
    """A layout with whitespace wherever JSON may have some."""
    guidance = {"whitespace_flexible": True, "whitespace_pattern": _WHITESPACE}
    return json.dumps({**json.loads(layout), "x-guidance": guidance})


def _of_tool(at: int, function: Mapping[str, Any], layout: Mapping[str, Any]) -> list[str]:
    """The loose rules of one tool."""
    name = function["name"]
    quoted = lark_text(json.dumps(name))
    callees = " | ".join(
        lark_text(text + "(") for text in (name, f"default_api.{name}", f"{name}.call")
    )
    tags = " | ".join(map(lark_text, (f"<function={name}>", f'<function name="{name}">')))
    rules = [
        rf'body_{at}: "\"name\"" ws ":" ws {quoted} key arguments_{at}',
        f'named_{at}: {lark_text(name)} ws ("[CALL_ID]" /[A-Za-z0-9]{{1,40}}/)? "[ARGS]"? ws '
        f"arguments_{at}",
    ]
    properties = _single_parameters(layout)
    keywords = parameters = None
    if properties is not None:
        required = layout.get("required", [])
        keywords = _keywords(f"keywords_{at}", properties, required)
        own = function["parameters"].get("properties", {})
        parameters = _parameters(f"parameters_{at}", properties, required, own)
    rules += keywords or [f"keywords_{at}: /[^()]{{0,2000}}/"]
    rules.append(f'called_{at}: ({callees}) ws keywords_{at} ws ")"')
    between_tags = f"(arguments_{at} | parameters_{at})" if parameters else f"arguments_{at}"
    rules += parameters or []
    rules.append(f'tagged_{at}: ({tags}) ws {between_tags} ws "</function>"')
    return rules


def _single_parameters(layout: Mapping[str, Any]) -> dict[str, Any] | None:
    """Schemas of single parameters; None where they depend on each other, or are long."""
    if layout.keys() - _SHAPE or layout.get("additionalProperties") not in (None, False):
        return None
    if layout.get("type") != "object" or len(json.dumps(layout)) > _LONGEST:
        return None
    shared = {"$defs": layout["$defs"]} if layout.get("$defs") else {}
    return {
        key: {**schema, **shared} if isinstance(schema, dict) else shared
        for key, schema in layout["properties"].items()
    }


def _keywords(
    rule: str, properties: Mapping[str, Any], required: Sequence[str]
) -> list[str] | None:
    """Arguments in the order of the schema, the first of them without their names if so written.

    None where a name is none in Python.
    """
    rules, parts = [], []
    for number, (key, schema) in enumerate(properties.items()):
        if not key.isidentifier():
            return None
        forms = [f"%json {_any_layout(json.dumps(schema))}", *_in_python(schema)]
        value = f"{rule}_value_{number}"
        rules += [f"{value}_{n}: {form}" for n, form in enumerate(forms)]
        rules.append(f"{value}: " + " | ".join(f"{value}_{n}" for n in range(len(forms))))
        parts.append((f'{lark_text(key)} ws "=" ws {value}', key in required))
    for number in range(len(parts)):
        more = f'ws "," ws {rule}_bare_{number + 1} | ' if number + 1 < len(parts) else ""
        behind = f"({more}{rule}_more_{number + 1})"
        rules.append(f"{rule}_bare_{number}: {rule}_value_{number} {behind}")
    either = f"{rule}: {rule}_0" + (f" | {rule}_bare_0" if parts else "")
    return [*rules, either, *_ordered(rule, parts, 'ws "," ws')]


def _in_python(schema: Mapping[str, Any]) -> list[str]:
    """Values that Python spells in another way than JSON, as Lark takes them."""
    kinds = {option.get("type") for option in (schema, *schema.get("anyOf", ()))}
    options = schema.get("enum", ())
    values = ["True", "False"] if "boolean" in kinds else []
    values += ["None"] if "null" in kinds else []
    values += [repr(value) for value in options if value is None or isinstance(value, bool | str)]
    texts = (
        [_PYTHON_TEXT] if schema.get("type") == "string" and not schema.keys() & _BOUNDED else []
    )
    return [*map(lark_text, values), *texts]


def _parameters(
    rule: str, properties: Mapping[str, Any], required: Sequence[str], own: Mapping[str, Any]
) -> list[str] | None:
    """Each between tags, texts without quotes; None where a text is bounded."""
    rules, parts = [], []
    for number, (key, schema) in enumerate(properties.items()):
        value, tag = f"{rule}_value_{number}", lark_text(f"<parameter={key}>")
        options = schema.get("enum")
        if schema.get("type") == "string" and options is None:
            given = own.get(key)
            free = isinstance(given, Mapping) and not given.keys() & {*_BOUNDED, "maxLength"}
            if not free or set(key) & set("<>"):
                return None
            rules.append(f'{value}[suffix="</parameter>"]: /(?s:.*)/')
            parts.append((f"{tag} ws {value} ws", key in required))
            continue
        form = f"%json {_any_layout(json.dumps(schema))}"
        if isinstance(options, list) and all(isinstance(option, str) for option in options):
            form = " | ".join(map(lark_text, options))
        rules.append(f"{value}: {form}")
        parts.append((f'{tag} ws {value} ws "</parameter>" ws', key in required))
    return [f"{rule}: {rule}_0", *rules, *_ordered(rule, parts, "")]


def _ordered(rule: str, parts: Sequence[tuple[str, bool]], between: str) -> list[str]:
    """Rules for parts in their order, of which those that are not required may be missing.

    The first, of all of them, is `{rule}_0`.
    """
    rules = []
    for number, (part, needed) in enumerate(parts):
        first = f"{part} {rule}_more_{number + 1}"
        missing = "" if needed else f" | {rule}_{number + 1}"
        rules.append(f"{rule}_{number}: {first}{missing}")
        missing = "" if needed else f" | {rule}_more_{number + 1}"
        rules.append(f"{rule}_more_{number}: {between} {first}{missing}")
    return [*rules, f'{rule}_{len(parts)}: ""', f'{rule}_more_{len(parts)}: ""']
