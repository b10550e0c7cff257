"""What the text matcher says of a text: what may follow, what must, and how it ends in time."""

import functools
import itertools
import json
import random
from typing import Any

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

import adafuse.constraints.completion
from adafuse import DecodingConfig
from adafuse.constraints.completion import CompletionSearch
from adafuse.constraints.constraint import Constraint, read_constraint
from adafuse.constraints.grammar import Matcher, byte_table, regex_grammar
from adafuse.constraints.text_matcher import TextMatcher
from constrained_cases import CALLS, CLOSABLE, CLOSED_PERSON
from random_schemas import case
from schema_checks import wrong

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'


def text_matcher(**setting: Any) -> TextMatcher:
    constraint = read_constraint(DecodingConfig(**setting))
    assert constraint is not None
    return TextMatcher(constraint)


def after(text: str, **setting: Any) -> TextMatcher:
    one = text_matcher(**setting)
    one.feed(text)
    return one


def sentence(constraint: Constraint, rng: random.Random, most: int) -> str:
    """The beginning of a sentence of a grammar, every byte of it drawn from those that may follow.

    Ends leave no character unfinished.
    """
    matcher: Matcher = byte_table().matcher(constraint.grammar)
    data = b""
    while len(data) < most:
        mask = int.from_bytes(matcher.allowed()[:32], "little")
        allowed = [byte for byte in range(256) if mask >> byte & 1]
        if not allowed or (matcher.accepting and rng.random() < 0.2):
            break
        plain = [byte for byte in allowed if byte < 128] or allowed
        ending = [byte for byte in plain if byte in b'"}],']
        byte = rng.choice(ending if ending and rng.random() < 0.3 else plain)
        matcher.feed(bytes([byte]))
        data += bytes([byte])
    return data.decode(errors="ignore")


@functools.cache
def closable(pattern: str) -> tuple[TextMatcher, str | None]:
    """One that has found a closing, which takes seconds; asking it for others moves nothing."""
    one = text_matcher(regex=pattern)
    return one, one.completion("")


@pytest.mark.parametrize("pattern", CLOSABLE)
def test_a_closing_is_found_and_makes_the_answer_whole(pattern: str) -> None:
    one, closing = closable(pattern)
    assert closing is not None
    assert regex.fullmatch(pattern, closing)
    assert one.admit(closing, True) == (closing, True)
    assert len(closing) <= 51


@pytest.mark.parametrize("pattern", CLOSABLE)
def test_a_closing_is_found_after_every_beginning(pattern: str) -> None:
    """What was found at the start helps where guessing would not, such as inside a text."""
    constraint = read_constraint(DecodingConfig(regex=pattern))
    assert constraint is not None
    one, rng = closable(pattern)[0], random.Random(pattern)
    for _ in range(3):
        text = sentence(constraint, rng, 30)
        for length in range(0, len(text) + 1, 5):
            closing = one.completion(text[:length])
            assert closing is not None
            assert regex.fullmatch(pattern, text[:length] + closing), (text[:length], closing)


@settings(max_examples=60)
@given(st.integers(0, 10**6))
@example(21)
def test_json_can_be_closed_wherever_it_stops(seed: int) -> None:
    schema = case(seed % 400).schema
    constraint = read_constraint(DecodingConfig(json_schema=schema, max_new_tokens=32))
    assert constraint is not None
    text = sentence(constraint, random.Random(seed), 120)
    one = TextMatcher(constraint)
    for length in sorted({0, len(text) // 3, len(text) // 2, len(text)}):
        closing = one.completion(text[:length])
        assert closing is not None, (schema, text[:length])
        assert not wrong(schema, text[:length] + closing), (schema, text[:length], closing)


@pytest.mark.parametrize(
    ("text", "closing"),
    [
        ("", '{"name": "", "age": 1}'),
        ("{", '"name": "", "age": 1}'),
        ('{"name": "', '", "age": 1}'),
        ('{"name": "a\\', '"", "age": 1}'),
        ('{"name": "a\\"', '", "age": 1}'),
        ('{"name": "日', '", "age": 1}'),
        ('{"name": "", "age": -', "1}"),
        ('{"name": "", "age": 12', "}"),
        ('{"name": "", "age": 12}', ""),
    ],
)
def test_a_closing_ends_what_is_open_and_no_more(text: str, closing: str) -> None:
    assert text_matcher(json_schema=CLOSED_PERSON).completion(text) == closing
    assert after(text, json_schema=CLOSED_PERSON).completion("") == closing
    json.loads(text + closing)


def test_what_the_grammar_does_not_allow_cannot_be_closed() -> None:
    one = text_matcher(regex="(ab)*c")
    assert one.completion("abb") is None
    assert one.completion("ab") == "c"


def test_a_closing_that_is_hard_to_find_is_not_looked_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searches = 0

    def search(*args: Any) -> None:
        nonlocal searches
        searches += 1

    monkeypatch.setattr(adafuse.constraints.completion, "_greedy", lambda *args: None)
    monkeypatch.setattr(adafuse.constraints.completion, "_search", search)
    one = text_matcher(regex=r"([^\n]{20,}\n){3}")
    assert {one.completion("x" * count) for count in range(50)} == {None}
    assert searches == 3


def test_a_known_closing_is_used_again_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    grammar = regex_grammar(r"(.|\n)*END")
    closer, matcher = CompletionSearch(grammar), byte_table().matcher(grammar)
    assert closer.find(matcher) == b"END"
    monkeypatch.delattr(adafuse.constraints.completion, "_search")
    for text, rest in ((b"some text", b"END"), (b" and E", b"ND"), (b"ND", b""), (b".", b"END")):
        assert matcher.feed(text) == len(text)
        assert closer.find(matcher) == rest


@pytest.mark.parametrize(
    ("text", "span", "admitted"),
    [
        ("", "abab", "abab"),
        ("", "abx", "ab"),
        ("", "x", ""),
        ("ab", "c and more", "c"),
        ("abc", " ", ""),
    ],
)
def test_a_span_is_cut_to_what_the_grammar_allows(text: str, span: str, admitted: str) -> None:
    one = after(text, regex="(ab)*c")
    assert one.admit(span, False) == (admitted, False)
    assert one.admit(span, False) == (admitted, False)  # asking moves nothing


def test_a_span_ends_only_where_the_answer_is_whole() -> None:
    one = text_matcher(regex="(ab)*c|d*")
    assert one.admit("ab", True) == ("ab", False)
    assert one.admit("abc", True) == ("abc", True)
    assert one.admit("abcx", True) == ("abc", False)  # what was to end is another text
    assert one.admit("", True) == ("", True)
    assert one.admit("dd", True) == ("dd", True)


def test_no_character_is_cut_in_two() -> None:
    one = text_matcher(regex="é日😀z")
    assert one.admit("é日😁", False) == ("é日", False)  # three of its bytes are allowed
    assert one.admit("è", False) == ("", False)


@pytest.mark.parametrize(
    ("setting", "text", "words"),
    [
        ({"json_schema": CLOSED_PERSON}, "", '{"name":'),
        ({"json_schema": CLOSED_PERSON}, '{"name":', ""),  # a blank and a quote: no whole word
        ({"json_schema": CLOSED_PERSON}, '{"name": "a"', ', "age":'),
        ({"choices": ["one thing"]}, "", "one thing"),
        ({"choices": ["one thing", "one thinks"]}, "", "one"),
        ({"choices": ["yes", "yes, sir"]}, "y", ""),  # it may end or go on behind `es`
        ({"choices": ["yes", "yes, sir"]}, "yes", ""),
        ({"choices": ["yes", "yes, sir"]}, "yes,", " sir"),
        ({"regex": "  \n[ab]"}, "", ""),
        ({"regex": "a b  c[0-9]"}, "", "a b"),
        ({"regex": "日本(語|人)"}, "", ""),
        ({"regex": "é[ab]\n"}, "éa", "\n"),
        ({"regex": "(日|旦)"}, "", ""),  # they share two bytes of three
        ({"regex": ".*"}, "", ""),
        ({"json_schema": {"type": "number", "enum": [525]}}, "", "525"),
    ],
)
def test_whole_words_are_forced_where_there_is_no_choice(
    setting: dict[str, Any], text: str, words: str
) -> None:
    assert after(text, **setting).forced() == words


def test_a_number_that_cannot_go_on_is_complete() -> None:
    """Its regex could, as far as the library sees."""
    schema = {"type": "number", "minimum": 524.75, "maximum": 525.25, "multipleOf": 3}
    assert after("525", json_schema=schema).complete
    assert not after("52", json_schema=schema).accepting


@settings(max_examples=40)
@given(st.lists(st.integers(0, 200), max_size=6))
def test_a_trigger_is_found_however_the_answer_is_cut(places: list[int]) -> None:
    text = f"Well <tool <tool_call <tool_call>{CALL.removeprefix('<tool_call>')}"
    whole, cut = TextMatcher(CALLS), TextMatcher(CALLS)
    whole.feed(text[:60])
    edges = sorted({0, 60, *(place % 61 for place in places)})
    for begin, end in itertools.pairwise(edges):
        assert cut.free == (CALL[:11] not in text[:begin])
        assert cut.admit(text[begin:end], False) == (text[begin:end], False)
        cut.feed(text[begin:end])
    for one in (whole, cut):
        assert one.text == text[:60]
        assert one.since == 22
        assert not one.free
        assert (one.accepting, one.complete) == (False, False)
    assert (whole.forced(), whole.completion("")) == (cut.forced(), cut.completion(""))
    assert whole.admit("}}", True) == cut.admit("}}", True)


def test_before_a_trigger_everything_is_allowed() -> None:
    one = TextMatcher(CALLS)
    assert one.admit("any <tool text\n", True) == ("any <tool text\n", True)
    assert (one.forced(), one.completion(""), one.accepting, one.complete) == ("", "", True, False)
    assert one.triggers("<tool_call>")
    assert not one.triggers("<tool_call")
    one.feed("any <tool_")
    assert one.triggers("call>\n")
    assert one.admit("call>x", True) == ("call>", False)
    assert one.admit("call>\n{?", False) == ("call>\n{?", False)
    assert str(one.completion("call>")).endswith("}}\n</tool_call>")
    one.feed("call>")
    assert one.forced() == ""  # a line break and a brace begin a word
    assert one.since == 4
