"""From where only a call can be meant the grammar holds, in the dialect in which it is written."""

from __future__ import annotations

from typing import Any

import pytest

from adafuse import DecodingConfig, Ensemble
from adafuse.constraints.constraint import answer_without_calls, read_constraint
from adafuse.constraints.grammar import TokenTable, byte_table
from adafuse.constraints.text_matcher import TextMatcher
from adafuse.constraints.token_mask import TokenMasks
from adafuse.testing import ScriptedMember
from adafuse.text.tokenizer import TokenCodec
from adafuse.tools import parameters_of, read_calls, read_tools
from adafuse.tools.answer_parts import AnswerParts
from dialect_cases import (
    CASES,
    DIALECTS,
    KINDS,
    SHIPPING,
    STOCK,
    TOOLS,
    Case,
    cases_of,
    ensemble_of,
)
from families import family

CHAT = [{"role": "user", "content": "How many?"}]
PARAMETERS = parameters_of(read_tools(TOOLS))
CALLED = [{"id": "1", "function": {"name": STOCK.name, "arguments": STOCK.arguments}}]
HISTORY = [
    *CHAT,
    {"role": "assistant", "content": "", "tool_calls": CALLED},
    {"role": "tool", "tool_call_id": "1", "content": "7"},
]


def constraint_of(**options: Any) -> Any:
    return read_constraint(DecodingConfig(max_new_tokens=600), read_tools(TOOLS), **options)


def answer_of(script: str, **options: Any) -> Any:
    member = ScriptedMember(script, confident=False)
    return Ensemble([member]).generate(CHAT, tools=TOOLS, max_new_tokens=600, **options)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_grammar_takes_what_is_written(dialect: str) -> None:
    """Every beginning of it, so that no answer gets stuck where a call begins."""
    text = DIALECTS[dialect]([STOCK, SHIPPING])
    matcher = TextMatcher(constraint_of(parallel_tool_calls=True))
    for at, char in enumerate(text):
        assert matcher.admit(char, False) == (char, False), text[: at + 1]
        matcher.feed(char)
    assert matcher.since == 0
    assert matcher.accepting


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("group", [*DIALECTS, "prose"])
def test_every_form_is_decoded_as_what_it_is(group: str, kind: type[ScriptedMember]) -> None:
    for name, case in cases_of(group).items():
        asked = [{"role": "user", "content": name}]
        answer = ensemble_of(kind).generate(
            asked, tools=TOOLS, parallel_tool_calls=case.parallel, max_new_tokens=600
        )
        parts = AnswerParts(PARAMETERS)
        told = [part for round_ in answer.rounds for part in parts.feed(round_)]
        content = "".join(part.text for part in told)
        assert (content, tuple(parts.calls.values())) == (case.content, case.calls), name
        assert parts.finish_reason == ("tool_calls" if case.calls else "stop"), name


@pytest.mark.parametrize("dialect", DIALECTS)
def test_arguments_are_held_to_their_schema(dialect: str) -> None:
    wrong = DIALECTS[dialect]([SHIPPING]).replace("5", "five")
    content, (call,) = read_calls(answer_of(wrong).text, PARAMETERS)
    assert content == ""
    assert call.name == SHIPPING.name
    assert isinstance(call.arguments["crates"], int)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.calls])
def test_text_is_decoded_to_the_letter(name: str) -> None:
    case: Case = CASES[name]
    answer = answer_of(case.written)
    assert answer.text == case.written
    assert answer.finish_reason == "stop"


@pytest.fixture(scope="module")
def table() -> tuple[TokenTable, TokenCodec]:
    codec = TokenCodec(family("qwen2", 1)[1], "qwen2")
    return TokenTable(codec.text_tokens(), codec.encode), codec


def allowed(table: tuple[TokenTable, TokenCodec], constraint: Any, text: str) -> set[bytes] | None:
    """The tokens that may follow a text; None if all may."""
    table_, codec = table
    masks = TokenMasks(table_, codec, constraint, [0])
    masks.feed(text)
    mask = masks.after([])
    return None if mask is None else {codec.token_bytes(int(id_)) for id_ in mask.nonzero()}


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("<tool_call>", b"\n"),
        ('Now.\n<tool_call>\n{"name": "', b"s"),
        ("[TOOL_CALLS] [", b"{"),
        ("<function=", b"s"),
        ('{"name": "stock_level", "arguments": {', b'"'),
        ('```json\n{"name": "stock_level", "parameters": {"fruit": ', b'"'),
        ("<|python_tag|>stock_level", None),
        ("<|python_tag|>", None),
        ('{"name": "stock_level", "arguments": ', None),
        ('{"name": "stock_level"', None),
        ('Such as {"name": "stock_level", "arguments": {', None),
        ('<tool_call>\n{"name": "weather", "arguments": {', None),
    ],
)
def test_masks_hold_from_a_mark_or_a_known_name_on(
    table: tuple[TokenTable, TokenCodec], text: str, first: bytes | None
) -> None:
    tokens = allowed(table, constraint_of(), text)
    if first is None:
        assert tokens is None
    else:
        assert tokens
        assert {token[:1] for token in tokens} <= {first, b"[", b" ", b"<"} - {b"{"} | {first}
        assert any(token.startswith(first) for token in tokens)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_call_begins_an_answer_that_is_to_be_text(dialect: str) -> None:
    call = DIALECTS[dialect]([STOCK])
    member = Ensemble([ScriptedMember(call, confident=False)])
    for answer in (
        member.generate(CHAT, tools=TOOLS, tool_choice="none"),
        member.generate(HISTORY),
    ):
        assert STOCK.name not in answer.text
        assert read_calls(answer.text, PARAMETERS)[1] == []
        assert answer.finish_reason == "stop"


def test_what_calls_begin_with_is_masked_where_there_may_be_none(
    table: tuple[TokenTable, TokenCodec],
) -> None:
    tokens = allowed(table, answer_without_calls(), "")
    assert tokens is not None
    assert not any(token.lstrip().startswith((b"{", b"<tool_call>")) for token in tokens)
    assert {b"The", b"a", b"["} & tokens
    later = allowed(table, answer_without_calls(), "So: ")
    assert later is not None
    assert any(token.startswith(b"{") for token in later)
    assert b"<tool_call>" not in later


@pytest.mark.parametrize("text", ["There are 7.", '{"fruit": 7}', "[1]", "```python\n{}\n```"])
def test_other_answers_stay_as_they_are(text: str) -> None:
    member = Ensemble([ScriptedMember(text, confident=False)])
    assert member.generate(HISTORY).text == text
    assert member.generate(CHAT, tools=TOOLS, tool_choice="none").text == text


@pytest.mark.parametrize("stop", ["\n", "name", "{", "```", "```json"])
def test_stop_strings_end_text_and_no_call(stop: str) -> None:
    """Also one that only turns out to be a call behind them."""
    call = DIALECTS["fence, indented"]([STOCK])
    answer = answer_of(f"Look. {call[:0]}\n{call}", stop=[stop] if stop != "\n" else ["\n\n"])
    assert read_calls(answer.text, PARAMETERS) == ("Look.", [STOCK])
    text = f"Look: {stop} and more"
    for written in (text, f'{{"name": "stock_level"}} {text}'):
        stopped = answer_of(written, stop=[stop])
        assert (stopped.text, stopped.finish_reason) == (
            written.partition(stop)[0],
            "stop_string",
        )


@pytest.mark.parametrize("parallel", [False, True])
def test_the_second_grammars_can_be_followed_too(parallel: bool) -> None:
    for constraint in (constraint_of(parallel_tool_calls=parallel), answer_without_calls()):
        assert byte_table().problem(constraint.loose) == ""
