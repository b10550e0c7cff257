"""Tool calls: forced, free, forbidden, several, and always ones that can be carried out."""

import json
from dataclasses import replace
from typing import Any

import pytest

import schema_checks
from adafuse import Answer, ConfigError, DecodingConfig, Ensemble, PromptError
from adafuse.constraints.constraint import read_constraint
from adafuse.decoding.loop import fuse
from adafuse.local.member import LocalMember
from adafuse.prompting.prompt import read_prompt
from adafuse.testing import ScriptedMember
from adafuse.tools import (
    CALL_START,
    CallScanner,
    InvalidCall,
    TextPiece,
    ToolCall,
    call_text,
    read_calls,
    read_tools,
)
from constrained_cases import NAMES, caller
from families import family

CHAT = [{"role": "user", "content": "What is 1 + 2?"}]
ADD = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer", "minimum": 0}},
    "required": ["a", "b"],
}
FIND = {
    "type": "object",
    "properties": {
        "what is it": {"type": "string", "maxLength": 9},
        "where": {"enum": ["here", "e\u0301 </tool_call>", 'a "b"', None]},
        "how": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2},
    },
    "required": ["where"],
}
TOOLS = [
    {"type": "function", "function": {"name": "add", "parameters": ADD}},
    {"type": "function", "function": {"name": "find.it-1", "parameters": FIND}},
    {"type": "function", "function": {"name": "now", "description": "The time."}},
]
PARAMETERS = {
    tool["function"]["name"]: tool["function"]["parameters"] for tool in read_tools(TOOLS)
}
ANSWER = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}
MIXES = (("llama",), ("qwen2", "gpt2"), ("gemma3", "mistral", "llama3"))


def ensemble(*names: str, seed: int = 1, **config: Any) -> Ensemble:
    config = {"max_position_embeddings": 2048, **config}  # tools take some room
    members = [
        LocalMember(*family(name, seed, **config), f"{name}-{at}") for at, name in enumerate(names)
    ]
    return Ensemble(members)


def calls_of(answer: Answer) -> list[ToolCall]:
    """The calls of an answer, each of which can be carried out; the text holds nothing else."""
    content, calls = read_calls(answer.text, PARAMETERS)
    assert content == ""
    for call in calls:
        assert isinstance(call, ToolCall), call
        wrong = schema_checks.wrong(PARAMETERS[call.name], json.dumps(call.arguments))
        assert not wrong, (call, wrong)
    written = "\n".join(call_text(call.name, call.arguments) for call in calls)  # type: ignore[union-attr]
    assert answer.text.replace(": -0", ": 0") == written.replace(": -0", ": 0")
    return calls  # type: ignore[return-value]


@pytest.mark.parametrize("names", MIXES, ids="-".join)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("choice", ["any", "required"])
def test_some_tool_is_called(names: tuple[str, ...], seed: int, choice: str) -> None:
    settings: dict[str, Any] = {"branches": 1 + seed, "temperature": 3.0 * (seed % 2), "seed": 0}
    answer = ensemble(*names, seed=seed).generate(CHAT, tools=TOOLS, tool_choice=choice, **settings)
    assert len(calls_of(answer)) == 1
    assert answer.finish_reason == "stop"
    assert answer.rounds[0].text == '<tool_call>\n{"name":'
    assert answer.rounds[0].forced


@pytest.mark.parametrize("names", MIXES, ids="-".join)
@pytest.mark.parametrize("name", PARAMETERS)
def test_the_tool_that_is_named_is_called(names: tuple[str, ...], name: str) -> None:
    answer = ensemble(*names).generate(CHAT, tools=TOOLS, tool_choice=name)
    assert [call.name for call in calls_of(answer)] == [name]
    assert name != "now" or [one.forced for one in answer.rounds] == [True]


def test_several_tools_may_be_called_where_that_is_allowed() -> None:
    """How many, members say at the end of each."""
    counts = set()
    for seed in range(6):
        members = ensemble("qwen2", "llama3", seed=seed, eos_bias=2.0)
        answer = members.generate(
            CHAT,
            tools=TOOLS,
            tool_choice="any",
            parallel_tool_calls=True,
            max_new_tokens=500,
            rule="paper",
        )
        counts.add(len(calls_of(answer)))
    assert min(counts) >= 1
    assert max(counts) > 1


@pytest.mark.parametrize("seed", [3, 5, 13])
def test_a_free_answer_may_call(seed: int) -> None:
    member = LocalMember(*caller(seed, max_position_embeddings=2048), "caller")
    answer = Ensemble([member]).generate(CHAT, tools=TOOLS, max_new_tokens=400)
    assert CALL_START in answer.text
    content, calls = read_calls(answer.text, PARAMETERS)
    (call,) = calls
    assert isinstance(call, ToolCall)
    assert not schema_checks.wrong(PARAMETERS[call.name], json.dumps(call.arguments))
    assert answer.text.endswith(call_text(call.name, call.arguments))
    assert answer.finish_reason == "stop"
    scanner = CallScanner(PARAMETERS)
    pieces = [piece for one in answer.rounds for piece in scanner.feed(one.text)]
    pieces += scanner.finish()
    assert scanner.calls == calls
    assert "".join(piece.text for piece in pieces if isinstance(piece, TextPiece)) == content


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tokens", [1, 7, 40])
def test_a_free_answer_without_a_call_is_as_without_tools(name: str, tokens: int) -> None:
    """To its last token, also if it is cut there."""
    members = ensemble(name, "llama", seed=2, eos_bias=-9.0)
    config = DecodingConfig(max_new_tokens=tokens, speculation=False)
    plain = members.generate(CHAT, max_new_tokens=tokens, speculation=False)
    constraint = read_constraint(config, read_tools(TOOLS), "auto")
    bound = fuse(members.members, replace(read_prompt(CHAT), constraint=constraint), config)
    answer = Answer.fold(bound)
    assert CALL_START not in plain.text
    assert answer.text == plain.text
    assert [one.candidates for one in answer.rounds] == [one.candidates for one in plain.rounds]
    assert answer.finish_reason == plain.finish_reason
    assert not any(one.forced for one in answer.rounds)


@pytest.mark.parametrize("seed", [3, 5, 13])
def test_no_tool_is_shown_or_called_if_none_may_be(seed: int) -> None:
    members = Ensemble([LocalMember(*caller(seed, max_position_embeddings=2048), "caller")])
    asked: dict[str, Any] = {"max_new_tokens": 60, "rule": "paper"}
    answer = members.generate(CHAT, tools=TOOLS, tool_choice="none", **asked)
    assert CALL_START not in answer.text
    plain = members.generate(CHAT, **asked)
    shown = members.generate(CHAT, tools=TOOLS, **asked)
    assert CALL_START in plain.text  # it would
    tokens = [one.usage["caller"].prompt_tokens for one in (answer, plain, shown)]
    assert tokens[0] == tokens[1] < tokens[2]
    assert answer.finish_reason in ("stop", "length")
    assert not any(one.forced for one in answer.rounds)


def test_an_answer_without_calls_ends_at_its_length_as_any_other() -> None:
    member = ScriptedMember("some words that go on and on", "script")
    for tokens in (1, 9, 12):
        given: dict[str, Any] = {"tools": TOOLS, "max_new_tokens": tokens}
        for choice in ("none", "auto"):
            answer = Ensemble([member]).generate(CHAT, tool_choice=choice, **given)
            assert answer.text == "some words that go on and on"[:tokens]
            assert answer.finish_reason == "length"


def test_what_a_member_writes_is_kept_to_the_grammar_once_a_call_begins() -> None:
    good = call_text("find.it-1", {"where": "here", "how": [True]})
    wrong_value = call_text("find.it-1", {"where": "there"})
    for script in (good, wrong_value, wrong_value[:-30]):
        member = ScriptedMember(f"Let me see <tool \n{script}", "script", confident=False)
        answer = Ensemble([member]).generate(CHAT, tools=TOOLS)
        content, (call,) = read_calls(answer.text, PARAMETERS)
        assert isinstance(call, ToolCall)
        assert content == "Let me see <tool"
        assert not schema_checks.wrong(PARAMETERS[call.name], json.dumps(call.arguments))
        assert (answer.text == f"Let me see <tool \n{script}") == (script == good)


def test_what_calls_no_tool_that_there_is_stays_as_it_was_written() -> None:
    """Members in this process cannot write it: their masks know the names."""
    for script in (call_text("find", {"where": "here"}), "<tool_call> is a mark"):
        member = ScriptedMember(f"Let me see.\n{script}", "script", confident=False)
        answer = Ensemble([member]).generate(CHAT, tools=TOOLS)
        assert read_calls(answer.text, PARAMETERS) == (f"Let me see.\n{script}", [])


def test_a_call_that_is_cut_is_an_invalid_call_and_no_error() -> None:
    member = ScriptedMember(call_text("add", {"a": 1, "b": 2}), "script")
    needed = len(call_text("now", {}))
    for tokens in (1, 20, needed - 1):
        answer = Ensemble([member]).generate(
            CHAT, tools=TOOLS, tool_choice="any", max_new_tokens=tokens
        )
        assert answer.finish_reason == "length"
        content, (call,) = read_calls(answer.text + CALL_START[tokens:], PARAMETERS)
        assert isinstance(call, InvalidCall)
        assert content == ""
    answer = Ensemble([member]).generate(
        CHAT, tools=TOOLS, tool_choice="add", max_new_tokens=len(call_text("add", {"a": 1, "b": 0}))
    )
    assert len(calls_of(answer)) == 1


def test_stop_strings_end_the_text_and_not_the_calls() -> None:
    call = call_text("find.it-1", {"where": "here"})
    member = ScriptedMember(f"I look here: {call}", "script")
    members = Ensemble([member])
    stopped = members.generate(CHAT, tools=TOOLS, stop=["look"])
    assert (stopped.text, stopped.finish_reason) == ("I ", "stop_string")
    for stop in ("where", "tool_call", "\n", "e>\n"):
        answer = members.generate(CHAT, tools=TOOLS, stop=[stop])
        assert (answer.text, answer.finish_reason) == (f"I look here: {call}", "stop")
    must = Ensemble([ScriptedMember(call)]).generate(
        CHAT, tools=TOOLS, tool_choice="any", stop=["here", "<"]
    )
    assert (must.text, must.finish_reason) == (call, "stop")


@pytest.mark.parametrize("names", MIXES, ids="-".join)
def test_an_answer_is_json_or_a_call(names: tuple[str, ...]) -> None:
    kinds = set()
    for seed in range(6):
        answer = ensemble(*names, seed=seed).generate(CHAT, tools=TOOLS, json_schema=ANSWER)
        kinds.add(answer.text[0])
        if answer.text.startswith("<"):
            assert len(calls_of(answer)) == 1
        else:
            assert not schema_checks.wrong(ANSWER, answer.text)
    assert kinds <= {"<", "{"}


def test_json_and_calls_are_both_within_reach() -> None:
    for script, text in (('{"sum": 3}', '{"sum": 3}'), ("<tool", call_text("now", {}))):
        answer = Ensemble([ScriptedMember(script)]).generate(
            CHAT, tools=TOOLS[2:], json_schema=ANSWER
        )
        assert answer.text == text


@pytest.mark.parametrize(
    ("given", "error", "reason"),
    [
        ({"tool_choice": "sub"}, ConfigError, "unknown tool_choice 'sub'; known: auto, any, none"),
        ({"tool_choice": "any", "tools": []}, ConfigError, "tool_choice 'any' needs tools"),
        ({"regex": "a"}, ConfigError, "regex and tools exclude each other"),
        ({"choices": ["a"]}, ConfigError, "choices and tools exclude each other"),
        ({"grammar": 'start: "a"'}, ConfigError, "grammar and tools exclude each other"),
        ({"prompt": "text"}, ConfigError, "tools are for messages"),
        ({"prompt": "text", "prompt_format": "raw"}, ConfigError, "tools are for messages"),
        ({"prompt": "text", "prompt_format": "auto"}, ConfigError, "tools are for messages"),
        ({"tools": ["add"]}, PromptError, "tool 0 must be"),
        ({"tools": [*TOOLS, TOOLS[0]]}, PromptError, "given twice: add"),
    ],
    ids=str,
)
def test_wrong_tools_are_refused_at_once(
    given: dict[str, Any], error: type[Exception], reason: str
) -> None:
    asked: dict[str, Any] = {"prompt": CHAT, "tools": TOOLS, **given}
    with pytest.raises(error, match=reason):
        ensemble("llama").stream(**asked)


def test_text_as_a_user_message_may_have_tools() -> None:
    answer = ensemble("llama").generate(
        "What time is it?", prompt_format="chat", tools=TOOLS, tool_choice="now"
    )
    assert answer.text == call_text("now", {})
