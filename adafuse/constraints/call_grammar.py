"""The grammar of calls, in every dialect in which one may be written.

`adafuse.tools.openings` says how they begin; a sentence of the grammar begins there. It is made
twice. The strict one has one layout for what is still to be written: members are held to it, so
that no whitespace runs on and most of a call is forced. The `loose` one takes any layout: who
writes without a mask, or in the middle of a token, is read as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adafuse.tools import CALL_END, CALL_START

__all__ = ["ENDS", "canonical_rules", "dialect_grammar", "lark_text"]

_BLANKS = r"WS: /[ \t\r\n]{1,64}/"
_BLANK = '" "?'
_LONGEST = 10_000  # characters of a layout whose parts are repeated for each parameter
_SHAPE = {"type", "properties", "required", "additionalProperties", "$defs", "x-guidance"}
_TEXT_BOUNDS = {"pattern", "format", "minLength", "maxLength", "const", "contentEncoding"}

ENDS = ("</parameter>", "</function>", f"\n{CALL_END}", CALL_END, "\n```", "```", ")")
"""Texts that end calls, or parts of them."""

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


def dialect_grammar(
    functions: Functions, layouts: Layouts, max_calls: int, *, loose: bool = False
) -> str:
    """The grammar of calls in any dialect, from where they begin."""
    ws, line = ("ws", "ws") if loose else ("", '"\\n"')
    comma, colon, semicolon = (
        f"{ws} {lark_text(mark)} {ws}" if loose else lark_text(mark + " ") for mark in ",:;"
    )

    def several(item: str, between: str) -> str:
        return f"{item} (({between}) {item}){{0,{max_calls - 1}}}" if max_calls > 1 else item

    def listed(item: str) -> str:
        return f'"[" {ws} {several(item, comma)} {ws} "]"'

    objects = several("object", "ws /[;,]?/ ws" if loose else f"{line} | {semicolon}")
    named = several("named", f'{ws} "[TOOL_CALLS]" {ws}')
    rules = [
        "start: tool_call | objects | fence | mistral | python_tag | function | tool_code",
        *(["ws: WS?", _BLANKS] if loose else []),
        f"objects: {objects} | {listed('object')}",
        f'fence: "```" ("json" | "JSON")? {line} objects {line} "```"',
        f'mistral: "[TOOL_CALLS]" {"ws" if loose else _BLANK} (objects | {named})',
        f'python_tag: "<|python_tag|>" {ws} (objects | {several("called", semicolon)})',
        f"function: {several('tagged', line)}",
        f'tool_code: "```tool_code" {line} (code | {listed("called")}) {line} "```"',
        f"code: {several('called', line)} | {several('printed', line)}",
        f'printed: "print(" {ws} called {ws} ")"',
        f'object: "{{" {ws} (kind {comma})? body {ws} "}}"',
        rf'kind: "\"type\"" {colon} "\"function\""',
        rf'key: {comma} ("\"arguments\"" | "\"parameters\"") {colon}',
        *(_choice(rule, functions) for rule in ("body", "named", "tagged", "called")),
    ]
    for at, (function, layout) in enumerate(zip(functions, layouts, strict=True)):
        rules += _of_tool(at, function, json.loads(layout), loose)
    if loose:
        layouts = [_any_layout(layout) for layout in layouts]
        rules.append(
            f'tool_call: {several("marked", "ws")}\nmarked: "{CALL_START}" ws (objects | tagged) ws '
            f'"{CALL_END}"'
        )
        rules += _arguments(layouts)
    else:
        rules += ["tool_call: calls", canonical_rules(functions, layouts, max_calls)]
    return "\n".join(rules)


def _choice(rule: str, functions: Functions) -> str:
    return f"{rule}: " + " | ".join(f"{rule}_{at}" for at in range(len(functions)))


def _arguments(layouts: Layouts) -> Iterable[str]:
    return (f"arguments_{at}: %json {layout}" for at, layout in enumerate(layouts))


def _any_layout(layout: str) -> str:
    """A layout with whitespace wherever JSON may have some."""
    guidance = {"whitespace_flexible": True, "whitespace_pattern": r"[ \t\r\n]{1,64}"}
    return json.dumps({**json.loads(layout), "x-guidance": guidance})


def _of_tool(at: int, function: Mapping[str, Any], layout: Any, loose: bool) -> list[str]:
    """What of one tool stands outside of JSON, or begins it."""
    name, (ws, colon) = function["name"], ("ws", 'ws ":" ws') if loose else ("", '": "')
    quoted = lark_text(json.dumps(name))
    called = "|".join(lark_text(f"{before}{name}{behind}(") for before, behind in _CALLEES)
    tags = f"({lark_text(f'<function={name}>')} | {lark_text(f'<function name={chr(34)}{name}{chr(34)}>')})"
    rules = [
        rf'body_{at}: "\"name\"" {colon} {quoted} key arguments_{at}',
        f'named_{at}: {lark_text(name)} {ws} ("[CALL_ID]" /[A-Za-z0-9]{{1,40}}/)? "[ARGS]"? {ws} '
        f"arguments_{at}",
    ]
    properties = _plain_properties(layout)
    if properties is None:
        rules.append(f"called_{at}: ({called}) /[^()]{{0,2000}}/ \")\"")
        parameters = None
    else:
        required = layout.get("required", [])
        rules += _python(at, properties, required, called, loose)
        own = function["parameters"].get("properties", {})
        parameters = _tagged(at, properties, required, own, loose)
    body = f"{ws} arguments_{at} {ws}"
    if parameters is not None:
        rules += parameters
        body = f"({body} | parameters_{at})"
    return [*rules, f'tagged_{at}: {tags} {body} "</function>"']


_CALLEES = (("", ""), ("default_api.", ""), ("", ".call"))


def _plain_properties(layout: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schemas of single parameters; None where they depend on each other, or are long."""
    if layout.keys() - _SHAPE or layout.get("type") != "object":
        return None
    if len(json.dumps(layout)) > _LONGEST or layout.get("additionalProperties") not in (None, False):
        return None
    shared = {"$defs": layout["$defs"]} if layout.get("$defs") else {}
    return {
        key: {**schema, **shared, "x-guidance": layout["x-guidance"]}
        for key, schema in layout["properties"].items()
        if isinstance(schema, dict)
    }


def _python(
    at: int, properties: Mapping[str, Any], required: Sequence[str], called: str, loose: bool
) -> list[str]:
    """`called`: keyword arguments in the order of the schema."""
    ws = "ws" if loose else ""
    rules, parts = [], []
    for number, (key, schema) in enumerate(properties.items()):
        if not key.isidentifier():
            if key in required:
                return [f"called_{at}: ({called}) /[^()]{{0,2000}}/ \")\""]
            continue
        value = f"python_{at}_{number}"
        values = [f"%json {_any_layout(json.dumps(schema)) if loose else json.dumps(schema)}"]
        values += map(lark_text, _spelt_in_python(schema, loose))
        if loose and _is_text(schema):
            values.append(r"/'([^'\\\n]|\\.)*'/")
        rules += [f"{value}_{n}: {form}" for n, form in enumerate(values)]
        rules.append(f"{value}: " + " | ".join(f"{value}_{n}" for n in range(len(values))))
        named = f'{lark_text(key)} {ws} "=" {ws}'
        parts.append((f"({named})? {value}" if loose else f"{named} {value}", key in required))
    rules += _ordered(f"keywords_{at}", parts, f'{ws} "," {ws}' if loose else '", "')
    return [*rules, f'called_{at}: ({called}) {ws} keywords_{at} {ws} ")"']


def _is_text(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "string" and not schema.keys() & (_TEXT_BOUNDS - {"maxLength"})


def _spelt_in_python(schema: Mapping[str, Any], loose: bool) -> list[str]:
    """Values that Python spells in another way than JSON."""
    kinds = {option.get("type") for option in (schema, *schema.get("anyOf", ()))}
    values = ["True", "False"] if "boolean" in kinds else []
    options = schema.get("enum", ())
    values += ["None"] if "null" in kinds or None in options else []
    values += ["True"] if any(value is True for value in options) else []
    values += ["False"] if any(value is False for value in options) else []
    return values + [repr(value) for value in options if loose and isinstance(value, str)]


def _tagged(
    at: int,
    properties: Mapping[str, Any],
    required: Sequence[str],
    own: Mapping[str, Any],
    loose: bool,
) -> list[str] | None:
    """`parameters`: each between tags, texts without quotes; None where a text is bounded."""
    line = "ws" if loose else '"\\n"'
    rules, parts = [], []
    for number, (key, schema) in enumerate(properties.items()):
        value, tag = f"parameter_{at}_{number}", lark_text(f"<parameter={key}>")
        texts = schema.get("enum")
        if schema.get("type") == "string" and texts is None:
            if own.get(key, {}).keys() & _TEXT_BOUNDS or set(key) & set("<>"):
                return None
            rules.append(f'{value}_text[suffix="</parameter>"]: /(?s:.*)/')
            rules.append(f"{value}: {tag} {line} {value}_text {line}")
        else:
            whole = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
            layout = _any_layout(json.dumps(schema)) if loose else json.dumps(schema)
            form = " | ".join(map(lark_text, texts)) if whole else f"%json {layout}"  # type: ignore[arg-type]
            rules.append(f"{value}_form: {form}")
            rules.append(f'{value}: {tag} {line} {value}_form {line} "</parameter>" {line}')
        parts.append((value, key in required))
    rules += _ordered(f"tags_{at}", parts, "")
    return [*rules, f"parameters_{at}: {line} tags_{at}"]


def _ordered(rule: str, parts: Sequence[tuple[str, bool]], between: str) -> list[str]:
    """Rules for parts in their order, of which those that are not required may be missing."""
    rules = []
    for number, (part, needed) in enumerate(parts):
        first = f"{part} {rule}_more_{number + 1}"
        rules.append(f"{rule}_{number}: {first}" + ("" if needed else f" | {rule}_{number + 1}"))
        more = f"{between} {first}"
        rules.append(f"{rule}_more_{number}: {more}" + ("" if needed else f" | {rule}_more_{number + 1}"))
    rules += [f'{rule}_{len(parts)}: ""', f'{rule}_more_{len(parts)}: ""', f"{rule}: {rule}_0"]
    return rules
