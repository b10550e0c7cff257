"""Calls are found in any answer, however it is cut, and none of them raises."""

import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adafuse.tools import (
    CALL_END,
    CALL_START,
    CallPiece,
    CallScanner,
    InvalidCall,
    TextPiece,
    ToolCall,
    call_text,
    read_calls,
)

ADD = call_text("add", {"a": 1})
NAMES = ("add", "search")

MARKED = st.lists(
    st.sampled_from(
        [CALL_START, CALL_END, "<tool", "</", '"', "\\", "}", "{", "\n", " ", "é😀", "x"]
    )
).map("".join)
TEXT = st.text(st.characters(exclude_categories=["Cs"])) | MARKED
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
ARGUMENTS = st.dictionaries(TEXT, JSON, max_size=4)
FORMS = ["plain", "compact", "ascii", "indented", "string", "parameters", "reversed"]


def written(name: str, arguments: dict[str, Any], form: str) -> str:
    """A call as members write it that no grammar binds."""
    value: Any = arguments
    if form == "string":
        value = json.dumps(arguments)
    key = "parameters" if form == "parameters" else "arguments"
    call = {key: value, "name": name} if form == "reversed" else {"name": name, key: value}
    separators = (",", ":") if form == "compact" else None
    indent = 2 if form == "indented" else None
    body = json.dumps(call, ensure_ascii=form == "ascii", separators=separators, indent=indent)
    return (
        f"{CALL_START}{body}{CALL_END}"
        if form == "compact"
        else (f"{CALL_START}\n{body}\n{CALL_END}")
    )


def cuts(text: str, places: Sequence[int]) -> list[str]:
    edges = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[begin:end] for begin, end in itertools.pairwise(edges)]


def add_up(parts: Sequence[str], names: Any = None) -> tuple[str, list[ToolCall | InvalidCall]]:
    """What the pieces of an answer come to; checks each piece on the way."""
    scanner = CallScanner(names)
    pieces = [piece for part in parts for piece in scanner.feed(part)] + scanner.finish()
    content, calls, texts = "", [], []
    for piece in pieces:
        if isinstance(piece, TextPiece):
            assert piece.text
            assert len(calls) == len(texts), "text came within a call"
            content += piece.text
            continue
        assert piece.index == len(calls)
        if len(texts) == len(calls):
            texts.append((piece.name, piece.arguments))
        else:
            assert piece.name is None
            texts[-1] = (texts[-1][0], texts[-1][1] + piece.arguments)
        if piece.done:
            name, arguments = texts[-1]
            if piece.invalid is None:
                assert name is not None
                calls.append(ToolCall(name, json.loads(arguments)))
            else:
                assert (name, arguments) == (piece.invalid.name, piece.invalid.arguments or "")
                calls.append(piece.invalid)
    assert len(calls) == len(texts), "a call was not done"
    assert calls == scanner.calls
    return content, calls


@given(st.lists(st.tuples(st.sampled_from(NAMES), ARGUMENTS, st.sampled_from(FORMS)), max_size=3),
       TEXT, st.lists(st.integers(0), max_size=20))  # fmt: skip
@settings(max_examples=200)
def test_calls_of_any_arguments_come_back(calls: list[Any], before: str, places: list[int]) -> None:
    before = before.replace(CALL_START, "")
    if CALL_START in before + "\n":
        return
    text = "\n".join([before, *(written(*call) for call in calls)])
    content, found = read_calls(text, NAMES)
    assert found == [ToolCall(name, arguments) for name, arguments, _ in calls]
    assert content == (before.rstrip() if calls else before)
    assert add_up(cuts(text, places), NAMES) == (content, found)
    assert add_up(list(text), NAMES) == (content, found)


BROKEN = st.lists(
    st.sampled_from([
        CALL_START, CALL_END, "<tool_ca", "</tool_call", "<", ">", '{"name": "add", "arguments": ',
        '{"name": "no", ', '"arguments": ', '"parameters": ', '"name": "add"', "{", "}", "}}", "[",
        "]", '"', "\\", "\\ud800", ",", ":", "1", "NaN", "1e999", "null", "\n", " ", "text", "é😀",
        "\x00",
        '"{}"', '"{\\"a\\": 1}"', ADD, ADD[:-1], ADD[:-13], ADD.replace("}}", "}"),
        ADD.replace('"a"', '"a'), ADD.replace("add", "sub"), "\ufeff", "\u2028", "\ud800",
    ]),
    max_size=12,
).map("".join)  # fmt: skip


@given(BROKEN, st.lists(st.integers(0), max_size=12), st.sampled_from([None, NAMES]))
@example('<tool_call>{"name": "add", "arguments": {"a": "</tool_call>\n', [38], None)
@settings(max_examples=800)
def test_however_an_answer_is_cut_its_pieces_add_up(
    text: str, places: list[int], names: Any
) -> None:
    content, calls = read_calls(text, names)
    assert add_up(cuts(text, places), names) == (content, calls)
    assert add_up(list(text), names) == (content, calls)
    if CALL_START not in text:
        assert (content, calls) == (text, [])


@given(BROKEN)
@settings(max_examples=300)
def test_nothing_but_whitespace_is_lost(text: str) -> None:
    content, calls = read_calls(text)
    if all(isinstance(call, InvalidCall) for call in calls):
        told = content + "".join(call.text for call in calls if isinstance(call, InvalidCall))
        assert sorted("".join(told.split())) == sorted("".join(text.split()))


def test_whitespace_that_sets_calls_apart_is_no_content() -> None:
    assert read_calls(f"  Let me see.\n\n{ADD}\n") == ("  Let me see.", [ToolCall("add", {"a": 1})])
    assert read_calls(f"\n {ADD}\n{ADD}\n")[0] == ""
    assert read_calls(f"{ADD}\nDone. \n")[0] == "Done. \n"
    assert read_calls(f"One\n{ADD} two")[0] == "One\n two"
    assert read_calls(" \n x \n") == (" \n x \n", [])
    assert read_calls("\n") == ("\n", [])


INVALID: dict[str, tuple[str, str | None, str | None, str]] = {
    "nothing": ("", None, None, "JSON does not end"),
    "no members": (f"{{}}{CALL_END}", None, None, 'no "name"'),
    "no arguments": (f'{{"name": "add"}}{CALL_END}', "add", None, 'no "arguments"'),
    "no name": (f'{{"arguments": {{}}}}{CALL_END}', None, "{}", 'no "name"'),
    "name number": ('{"name": 1, "arguments": {}}', None, None, "no name of a tool"),
    "name blank": ('{"name": "a b", "arguments": {}}', None, None, "no name of a tool"),
    "two names": ('{"name": "add", "name": "add"', "add", None, '"name" twice'),
    "both": ('{"arguments": {}, "parameters": {}}', None, "{}", '"arguments" twice'),
    "more": ('{"name": "add", "arguments": {}, "id": 1}', "add", "{}", 'has "id" beside'),
    "a list of them": ('{"name": "add", "arguments": [1]}', "add", "", "no JSON object"),
    "text": ('{"name": "add", "arguments": "[1]"}', "add", "[1]", "no JSON object"),
    "bad text": ('{"name": "add", "arguments": "{"}', "add", "{", "malformed"),
    "cut off": ('{"name": "add", "arguments": {"a": "</too', "add", '{"a": "</too', "not end"),
    "a line": ('{"name": "add", "arguments": {"a": "b\n"}}', "add", '{"a": "b', "line break"),
    "comma": ('{"name": "add", "arguments": {"a": 1,}}', "add", '{"a": 1,}', "malformed"),
    "colons": ('{"name":: "add", "arguments": {}}', None, None, "no name of a tool"),
    "no comma": ('{"name": "add" "arguments": {}}', None, None, "malformed"),
    "single quotes": ("{'name': 'add'}", None, None, "malformed"),
    "brackets": ('{"name": "add", "arguments": {"a": [}]}', "add", '{"a": [}]', "malformed"),
    "closed twice": ('{"name": "add", "arguments": {}}}', "add", "{}", "something follows"),
    "not a number": ('{"name": "add", "arguments": {"a": NaN}}', "add", '{"a": NaN}', "holds NaN"),
    "infinity": ('{"name": "add", "arguments": {"a": 1e999}}', "add", '{"a": 1e999}', "too large"),
    "half": ('{"name": "add", "arguments": {"a": "\\ud800"}}', "add", '{"a": "\\ud800"}', "half"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "name", "arguments", "error"), INVALID.values(), ids=INVALID)
def test_a_malformed_call_is_invalid_and_says_why(
    body: str, name: str | None, arguments: str | None, error: str
) -> None:
    content, (call,) = read_calls(f"Hm. {CALL_START}{body}", NAMES)
    assert isinstance(call, InvalidCall)
    assert (content, call.name, call.arguments) == ("Hm.", name, arguments)
    assert call.text == CALL_START + body
    assert error in call.error
    assert len(call.error.splitlines()) == 1
    if body.endswith(CALL_END):  # what follows is read as if nothing had happened
        assert read_calls(f"{CALL_START}{body}\n{ADD}")[1] == [call, ToolCall("add", {"a": 1})]


@pytest.mark.parametrize("value", ["[" * 100_000, '{"a":' * 100_000, "9" * 10_000])
def test_what_no_parser_takes_is_invalid(value: str) -> None:
    for end in ("", "}}", f"}}}}\n{CALL_END}"):
        _, (call,) = read_calls(f'{CALL_START}{{"name": "add", "arguments": {{"a": {value}{end}')
        assert isinstance(call, InvalidCall)
        assert call.name == "add"
        assert len(call.error) < 300


def test_a_call_may_lack_its_end_mark_if_its_json_is_whole() -> None:
    whole = ToolCall("add", {"a": 1})
    bare = ADD.removesuffix(CALL_END)
    for text in (bare, bare.rstrip(), bare + " ", bare + "</tool_c"):
        assert read_calls(text) == ("", [whole])
    assert read_calls(bare + ADD) == ("", [whole, whole])
    assert read_calls(bare + "<tool_c") == ("<tool_c", [whole])
    assert isinstance(read_calls(bare.rstrip()[:-1])[1][0], InvalidCall)


def test_a_broken_call_ends_at_the_next_mark() -> None:
    for broken in ('{"name": "add", "arguments": {"a": "b}}\n', '{"name": "add", "a', "add(1)"):
        for end in (CALL_END, ""):
            content, calls = read_calls(f"{CALL_START}{broken}{end}{ADD} so")
            assert [type(call) for call in calls] == [InvalidCall, ToolCall]
            assert content == "so"


def test_a_name_and_its_arguments_are_given_out_as_they_come() -> None:
    scanner = CallScanner(NAMES)
    assert scanner.feed("Wait. <tool") == [TextPiece("Wait.")]
    assert scanner.feed('_call>\n{"name": "ad') == []
    assert scanner.feed('d", "arguments"') == [CallPiece(0, "add", "", False)]
    assert scanner.feed(': {"a": ["x') == [CallPiece(0, None, '{"a": ["x', False)]
    assert scanner.feed('"]}') == [CallPiece(0, None, '"]}', False)]
    assert scanner.feed("}\n</tool_call>") == [CallPiece(0, None, "", True)]
    assert scanner.feed("\n<") == []
    assert scanner.finish() == [TextPiece(" \n<")]


@pytest.mark.parametrize("behind", [CALL_END, f"[1]{CALL_END}", " and </tool_call>.", "add(1)"])
def test_a_mark_with_no_call_behind_it_is_text(behind: str) -> None:
    assert read_calls(f"Hm. {CALL_START}{behind}", NAMES) == (f"Hm. {CALL_START}{behind}", [])


def test_a_call_of_a_tool_that_there_is_not_is_text() -> None:
    scanner = CallScanner(NAMES)
    assert scanner.feed(f'{CALL_START}{{"name": "sub", "arguments": {{"a": 1}}}}') == []
    text = f'{CALL_START}{{"name": "sub", "arguments": {{"a": 1}}}}{CALL_END}'
    assert scanner.feed(CALL_END) == [TextPiece(text)]
    assert scanner.calls == []


def test_text_with_half_a_mark_is_text() -> None:
    for text in ("a < b", "<tool_callx>", "x <tool", "<<tool_cal", "</tool_call>", "<tool_Call>"):
        assert read_calls(text) == (text, [])
        assert add_up(list(text)) == (text, [])
