"""Calls in every dialect are read, however an answer is cut; what only looks like one is text."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adafuse.tools import (
    CallScanner,
    InvalidCall,
    TextPiece,
    ToolCall,
    parameters_of,
    read_calls,
    read_tools,
)
from dialect_cases import DIALECTS, PROSE, SHIPPING, STOCK, TOOLS, UNKNOWN

PARAMETERS = parameters_of(read_tools(TOOLS))


def add_up(parts: Sequence[str]) -> tuple[str, list[ToolCall | InvalidCall]]:
    """What an answer that comes in parts is read as."""
    scanner = CallScanner(PARAMETERS)
    pieces = [piece for part in parts for piece in scanner.feed(part)] + scanner.finish()
    return "".join(p.text for p in pieces if isinstance(p, TextPiece)), scanner.calls


@pytest.mark.parametrize("dialect", DIALECTS)
def test_calls_and_the_text_around_them(dialect: str) -> None:
    one, two = (DIALECTS[dialect](calls) for calls in ([STOCK], [STOCK, SHIPPING]))
    for text, content, calls in (
        (one, "", [STOCK]),
        (two, "", [STOCK, SHIPPING]),
        (f"Let me look.\n\n{two}\n", "Let me look.", [STOCK, SHIPPING]),
        (f"{one}\nThat is it.", "That is it.", [STOCK]),
        (f"One:\n{one}\nTwo.", "One:\n\nTwo.", [STOCK]),
        (DIALECTS[dialect]([UNKNOWN]), DIALECTS[dialect]([UNKNOWN]), []),
    ):
        assert read_calls(text, PARAMETERS) == (content, calls)
        assert add_up(list(text)) == (content, calls)


@pytest.mark.parametrize("text", PROSE.values(), ids=PROSE)
def test_what_only_looks_like_a_call_is_text(text: str) -> None:
    assert read_calls(text, PARAMETERS) == (text, [])
    assert add_up(list(text)) == (text, [])


FRAGMENTS = [
    *(write([STOCK]) for write in DIALECTS.values()),
    *(write([SHIPPING, STOCK]) for write in DIALECTS.values()),
    *PROSE.values(),
    *("\n", " ", "```", "```json\n", "[", "]", "{", "}", ", ", '"', "<tool_call>", "</tool_call>"),
    *("[TOOL_CALLS]", "<|python_tag|>", "<function=stock_level>", "stock_level(", '{"name": "'),
]


@given(
    st.lists(st.sampled_from(FRAGMENTS), max_size=5).map("".join),
    st.integers(0, 60),
    st.lists(st.integers(0, 500), max_size=8),
)
@settings(max_examples=300, deadline=None)
def test_however_an_answer_is_cut_it_is_read_the_same(
    text: str, drop: int, places: list[int]
) -> None:
    text = text[: len(text) - drop]
    edges = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    read = read_calls(text, PARAMETERS)
    assert add_up([text[begin:end] for begin, end in itertools.pairwise(edges)]) == read
    assert add_up(list(text)) == read


def test_arguments_come_as_they_are_written() -> None:
    scanner = CallScanner(PARAMETERS)
    assert scanner.feed('{"name": "stock_level", "argum') == []
    (begun,) = scanner.feed('ents": {"fruit": "pe')
    assert (begun.name, begun.arguments) == ("stock_level", '{"fruit": "pe')  # type: ignore[union-attr]
    (more,) = scanner.feed('ars"}')
    assert (more.name, more.arguments) == (None, 'ars"}')  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("written", "arguments"),
    [
        ("shipping_cost(12, 'Hull')", {"crates": 12, "city": "Hull"}),
        ('shipping_cost(city="a) \\"b\\" (", crates=-1)', {"crates": -1, "city": 'a) "b" ('}),
        ("shipping_cost(crates=True, city=None)", {"crates": True, "city": None}),
        ("shipping_cost(crates=[1, {'a': null}], city=true)",
         {"crates": [1, {"a": None}], "city": True}),
    ],
)  # fmt: skip
def test_what_python_says_is_read_as_values(written: str, arguments: dict[str, object]) -> None:
    for text in (f"```tool_code\n{written}\n```", f"<|python_tag|>{written}"):
        assert read_calls(text, PARAMETERS) == ("", [ToolCall("shipping_cost", arguments)])


@pytest.mark.parametrize(
    "written", ["shipping_cost(1, 2, 3)", "shipping_cost(x())", "shipping_cost(**{})",
                "shipping_cost(crates=1, crates=2)", "shipping_cost(crates=open('x'))"]
)  # fmt: skip
def test_python_that_holds_more_than_values_is_no_call(written: str) -> None:
    content, (call,) = read_calls(f"```tool_code\n{written}\n```", PARAMETERS)
    assert isinstance(call, InvalidCall)
    assert (content, call.text) == ("", f"```tool_code\n{written}")


def test_parameters_between_tags_are_what_their_schemas_say() -> None:
    text = (
        "<function=shipping_cost>\n<parameter=crates>\n12\n</parameter>\n"
        "<parameter=city>\n7\n</parameter>\n</function>"
    )
    assert read_calls(text, PARAMETERS)[1] == [
        ToolCall("shipping_cost", {"crates": 12, "city": "7"})
    ]


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        ('{"arguments": {"fruit": "figs"}, "name": "stock_level"}', "", ["figs"]),
        ('{"name": "stock_level", "arguments": "{\\"fruit\\": \\"figs\\"}"}', "", ["figs"]),
        ('Look: {"name": "stock_level", "arguments": {"fruit": "figs"}}', "Look:", ["figs"]),
        ('[TOOL_CALLS] [{"name": "stock_level", "arguments": {"fruit": "figs"}, "id": "a1"}]',
         "", ["figs"]),
    ],
)  # fmt: skip
def test_other_ways_to_write_json(text: str, content: str, calls: list[str]) -> None:
    found = [ToolCall("stock_level", {"fruit": fruit}) for fruit in calls]
    assert read_calls(text, PARAMETERS) == (content, found)
    assert add_up(list(text)) == (content, found)
