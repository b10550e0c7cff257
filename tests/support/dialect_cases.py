"""Calls as models write them: every dialect in every form, and what is right."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from adafuse import DecodingConfig, Ensemble, Prompt
from adafuse.decoding.member import Draft, Drafts
from adafuse.testing import ScriptedMember, ScriptedSession
from adafuse.tools import ToolCall, call_text

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "stock_level",
            "description": "How many crates of a fruit there are.",
            "parameters": {
                "type": "object",
                "properties": {"fruit": {"type": "string"}},
                "required": ["fruit"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "shipping_cost",
            "description": "The price of shipping crates to a city.",
            "parameters": {
                "type": "object",
                "properties": {"crates": {"type": "integer"}, "city": {"type": "string"}},
                "required": ["crates", "city"],
            },
        },
    },
]
STOCK = ToolCall("stock_level", {"fruit": "ripe (red) pears"})
SHIPPING = ToolCall("shipping_cost", {"crates": 5, "city": "Hull"})
UNKNOWN = ToolCall("weather", {"city": "Hull"})

Writer = Callable[[Sequence[ToolCall]], str]


def _json(call: ToolCall, key: str = "arguments", **layout: Any) -> str:
    return json.dumps({"name": call.name, key: call.arguments}, **layout)


def _listed(calls: Sequence[ToolCall], key: str = "arguments") -> str:
    return json.dumps([{"name": call.name, key: call.arguments} for call in calls])


def _python(call: ToolCall) -> str:
    arguments = ", ".join(f"{key}={json.dumps(value)}" for key, value in call.arguments.items())
    return f"{call.name}({arguments})"


def _parameters(call: ToolCall) -> str:
    values = "".join(
        f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in call.arguments.items()
    )
    return f"<function={call.name}>\n{values}</function>"


def _each(write: Callable[[ToolCall], str], between: str = "\n") -> Writer:
    return lambda calls: between.join(map(write, calls))


def _typed(call: ToolCall) -> str:
    return json.dumps({"type": "function", "name": call.name, "parameters": call.arguments})


DIALECTS: dict[str, Writer] = {
    "tool_call": _each(lambda call: call_text(call.name, call.arguments)),
    "tool_call, compact": _each(
        lambda call: f"<tool_call>{_json(call, separators=(',', ':'))}</tool_call>"
    ),
    "JSON": _each(_json),
    "JSON, parameters": _each(lambda call: _json(call, "parameters"), "; "),
    "JSON, with its type": _each(_typed),
    "JSON, indented": _each(lambda call: _json(call, indent=4)),
    "JSON, compact": _each(lambda call: _json(call, separators=(",", ":"))),
    "list": _listed,
    "list of parameters": lambda calls: _listed(calls, "parameters"),
    "fence": lambda calls: f"```json\n{_each(_json)(calls)}\n```",
    "fence, a list": lambda calls: f"```json\n{_listed(calls)}\n```",
    "fence, indented": lambda calls: (
        "```json\n" + _each(lambda call: _json(call, indent=2))(calls) + "\n```"
    ),
    "fence without a language": lambda calls: f"```\n{_each(_json)(calls)}\n```",
    "mistral": lambda calls: f"[TOOL_CALLS] {_listed(calls)}",
    "mistral, named": _each(
        lambda call: f"[TOOL_CALLS]{call.name}{json.dumps(call.arguments)}", ""
    ),
    "mistral, named with marks": _each(
        lambda call: f"[TOOL_CALLS]{call.name}[ARGS]{json.dumps(call.arguments)}", ""
    ),
    "python_tag": lambda calls: "<|python_tag|>" + _each(_json, "; ")(calls),
    "python_tag, parameters": lambda calls: (
        "<|python_tag|>" + _each(lambda call: _json(call, "parameters"), "; ")(calls)
    ),
    "python_tag, Python": lambda calls: (
        "<|python_tag|>" + _each(lambda call: _python(call).replace("(", ".call(", 1), "; ")(calls)
    ),
    "function": _each(
        lambda call: f"<function={call.name}>{json.dumps(call.arguments)}</function>"
    ),
    "function with parameters": _each(_parameters),
    "function in tool_call": _each(lambda call: f"<tool_call>\n{_parameters(call)}\n</tool_call>"),
    "tool_code": lambda calls: f"```tool_code\n{_each(_python)(calls)}\n```",
    "tool_code, printed": lambda calls: (
        "```tool_code\n"
        + _each(lambda call: f"print(default_api.{_python(call)})")(calls)
        + "\n```"
    ),
    "tool_code, a list": lambda calls: f"```tool_code\n[{_each(_python, ', ')(calls)}]\n```",
}


@dataclass(frozen=True)
class Case:
    """What a member writes, and what that is."""

    written: str
    content: str
    calls: tuple[ToolCall, ...] = ()
    parallel: bool = False


def _broken(text: str) -> str:
    """A call that stops in its arguments."""
    return text[: text.index("pears") + len("pears")]


def forms(write: Writer) -> dict[str, Case]:
    """All forms of a dialect."""
    one, two = write([STOCK]), write([STOCK, SHIPPING])
    unknown, other = write([UNKNOWN]), f"As text: {write([UNKNOWN])} and so on."
    return {
        "one call": Case(one, "", (STOCK,)),
        "two calls": Case(two, "", (STOCK, SHIPPING), parallel=True),
        "two calls of which one may be": Case(two, "", (STOCK,)),
        "text before": Case(f"Let me look.\n\n{one}", "Let me look.", (STOCK,)),
        "text after": Case(f"{one}\nThat tells it.", "", (STOCK,)),
        "text after, several": Case(f"{two}\nThat tells it.", "", (STOCK, SHIPPING), True),
        "broken": Case(_broken(one), "", (STOCK,)),
        "unknown tool": Case(unknown, unknown),
        "unknown tool in prose": Case(other, other),
    }


PROSE = {
    "a tool's name": "The tool stock_level (or `shipping_cost`) tells that.\n\nstock_level: 7",
    "JSON": 'JSON is such as {"fruit": "pears", "n": [1, 2]}.\n\n{"fruit": "pears"}\n',
    "a name in JSON": 'The object {"name": "stock_level"} names a tool.',
    "a name in JSON alone": '{"name": "stock_level"}',
    "a tool in JSON": '{"name": "stock_level", "description": "A tool.", "parameters": {}}',
    "a call within a line": f"One writes {_json(STOCK)}, and that is all.",
    "a call as code": f"One writes `{_json(STOCK)}`",
    "a call in other code": f"```python\n{_json(STOCK)}\n```\nSo it is.",
    "JSON in a fence": '```json\n{"name": "Ada", "arguments": {"age": 36}}\n```',
    "a list": '[1, 2]\n[{"name": "Ada"}]',
    "marks": "The marks are <tool_call> and </tool_call>, [TOOL_CALLS] and <|python_tag|>.",
    "code": "<|python_tag|>import math\nprint(math.pi)",
    "other code": "```tool_code\nprint(stock + 1)\n```",
    "an open brace": '{"name": "stock_level", "arguments"',
    "a tag": "<function=weather>{}</function> and <functional>",
}
CASES: dict[str, Case] = {
    f"{dialect}: {form}": case
    for dialect, write in DIALECTS.items()
    for form, case in forms(write).items()
} | {f"prose: {what}": Case(text, text) for what, text in PROSE.items()}
GROUPS = [*(dialect for dialect in DIALECTS if "," not in dialect), "prose"]
"""What the names of cases begin with: the dialects without their variants, and the prose."""


def cases_of(group: str) -> dict[str, Case]:
    """The cases of a dialect, or the prose."""
    return {name: case for name, case in CASES.items() if name.split(": ")[0] == group}


class CharacterSession(ScriptedSession):
    """Drafts one character a round."""

    def draft(self, *, strip_blank: bool) -> Drafts:
        drafts = super().draft(strip_blank=strip_blank)
        return replace(drafts, drafts=tuple(map(_first_character, drafts.drafts)))


def _first_character(draft: Draft) -> Draft:
    text = draft.text
    return replace(draft, words=(text[0],), ends=draft.ends and len(text) == 1) if text else draft


class CharacterMember(ScriptedMember):
    """A scripted member that writes one character at a time."""

    def open(self, prompt: Prompt, config: DecodingConfig) -> ScriptedSession:
        session = super().open(prompt, config)
        session.__class__ = CharacterSession
        return session


def writes(prompt: Prompt) -> str:
    """What the case is about whose name the user says."""
    return CASES[str(prompt.messages[-1]["content"])].written


def ensemble_of(kind: type[ScriptedMember]) -> Ensemble:
    """Two members that write the case that they are asked for."""
    first = kind(respond=writes, name="first", confident=False)
    return Ensemble([first, kind(respond=writes, name="second")])


KINDS: tuple[type[ScriptedMember], ...] = (ScriptedMember, CharacterMember)
