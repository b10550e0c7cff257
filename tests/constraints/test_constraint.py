"""Settings and tools become one grammar, and what cannot be enforced is refused at once."""

import builtins
import sys
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import adafuse.constraints.grammar
from adafuse import ConfigError, DecodingConfig, DecodingError, Ensemble, MissingExtraError
from adafuse.constraints.constraint import Constraint, read_constraint
from adafuse.constraints.grammar import TokenTable, byte_table, regex_grammar
from adafuse.constraints.text_matcher import TextMatcher
from adafuse.testing import ScriptedMember
from adafuse.tools import CALL_START, call_text, read_tools

ADD = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
FIND = {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]}
TOOLS = read_tools(
    [
        {"type": "function", "function": {"name": "add", "parameters": ADD}},
        {"type": "function", "function": {"name": "find.it-1", "parameters": FIND}},
        {"type": "function", "function": {"name": "now"}},
    ]
)
SCHEMA = {"type": "object", "properties": {"x": {"type": "boolean"}}, "required": ["x"]}
CALLS = {
    "add": call_text("add", {"a": -12}),
    "find.it-1": call_text("find.it-1", {"what": 'é "</tool_call>" \n日'}),
    "now": call_text("now", {}),
}


def text_matcher(constraint: Constraint | None) -> TextMatcher:
    assert constraint is not None
    return TextMatcher(constraint)


def of(tool_choice: str | None = None, tools: Any = TOOLS, **given: Any) -> Constraint:
    parallel = given.pop("parallel_tool_calls", False)
    config = DecodingConfig(**given)
    found = read_constraint(config, tools, tool_choice, parallel_tool_calls=parallel)
    assert found is not None
    return found


def accepts(constraint: Constraint, text: str) -> bool:
    return TextMatcher(constraint).admit(text, True) == (text, True)


def test_without_settings_and_tools_there_is_no_constraint() -> None:
    assert read_constraint(DecodingConfig()) is None
    assert read_constraint(DecodingConfig(), (), "none") is None
    assert read_constraint(DecodingConfig(), (), "auto") is None


@pytest.mark.parametrize(
    ("setting", "whole", "parts"),
    [
        ({"json_schema": SCHEMA}, '{"x": true}', ['{"x":true}', '{"x": true} ', "{}", "true"]),
        ({"regex": "a+b"}, "aab", ["xaab", "aabx", "b", ""]),
        ({"regex": "^a+b$"}, "aab", ["xaab", "aabx"]),
        ({"regex": "a/b"}, "a/b", ["a", r"a\/b"]),
        ({"choices": ["yes", "no"]}, "no", ["n", "yesno", "maybe", ""]),
        ({"grammar": 'start: "(" start ")" | "x"'}, "((x))", ["((x)", "()", "x)"]),
    ],
)
def test_the_whole_answer_is_a_sentence(
    setting: dict[str, Any], whole: str, parts: list[str]
) -> None:
    constraint = read_constraint(DecodingConfig(**setting))
    assert constraint is not None
    assert accepts(constraint, whole)
    assert not any(accepts(constraint, part) for part in parts)
    assert (constraint.trigger, constraint.strict, constraint.prose) == (None, True, False)


@settings(max_examples=60)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1))
@example(['"', "\\", '\\"', "\n", "\x00", "\x7f", "a\\nb", "é", "e\u0301", "😀", "/", "//", " "])
@example(["%json {}", "start: x", "<tool_call>", "\ufdd0", "\u2028", "\ufffd", "[0-9]+", "."])
def test_choices_are_taken_as_they_are_written(choices: list[str]) -> None:
    constraint = read_constraint(DecodingConfig(choices=choices))
    assert constraint is not None
    for choice in choices:
        assert accepts(constraint, choice)
        for other in (choice[:-1], f"{choice}x", f" {choice}", choice.encode("unicode_escape")):
            text = other if isinstance(other, str) else other.decode()
            assert accepts(constraint, text) == (text in choices)


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"regex": "(?=a)b"}, "regex cannot be enforced"),
        ({"regex": r"(a)\1"}, "regex cannot be enforced"),
        ({"regex": "(a"}, "regex cannot be enforced"),
        ({"regex": "[]"}, "regex cannot be enforced"),
        ({"regex": r"a\bb"}, "regex cannot be enforced"),
        ({"grammar": "begin: x"}, "grammar cannot be enforced: no start rule .* Lark"),
        (
            {"grammar": 'root ::= "yes" | "no"'},
            "grammar cannot be enforced: it is GBNF or EBNF; write it as Lark",
        ),
        ({"grammar": "start: missing"}, "grammar cannot be enforced"),
        ({"grammar": 'start: "a'}, "grammar cannot be enforced"),
        ({"grammar": "start: start"}, "grammar cannot be enforced"),
        ({"json_schema": {"type": "strong"}}, "json_schema cannot be enforced"),
        ({"json_schema": {"not": {}}}, "json_schema cannot be enforced"),
    ],
)
def test_what_cannot_be_enforced_is_refused_in_one_line(
    setting: dict[str, Any], reason: str
) -> None:
    """At once, and not by the first round."""
    with pytest.raises(ConfigError, match=f"^{reason}") as caught:
        Ensemble([ScriptedMember("x")]).stream("prompt", **setting)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("choice", ["any", "required"])
def test_any_tool_may_have_to_be_called(choice: str) -> None:
    constraint = of(choice)
    assert all(accepts(constraint, call) for call in CALLS.values())
    assert not accepts(constraint, "\n".join([CALLS["add"], CALLS["now"]]))
    assert not accepts(constraint, call_text("other", {}))
    assert not accepts(constraint, call_text("add", {"a": "1"}))
    assert not accepts(constraint, call_text("add", {}))
    assert not accepts(constraint, f"text {CALLS['now']}")
    assert (constraint.trigger, constraint.strict, constraint.prose) == (None, False, False)


@pytest.mark.parametrize("name", CALLS)
def test_one_tool_may_have_to_be_called(name: str) -> None:
    assert [one for one, call in CALLS.items() if accepts(of(name), call)] == [name]


def test_several_calls_are_allowed_where_they_are_asked_for() -> None:
    constraint = of("any", parallel_tool_calls=True)
    for count in (1, 2, 8):
        assert accepts(constraint, "\n".join([CALLS["now"]] * count))
    assert not accepts(constraint, "\n".join([CALLS["now"]] * 9))
    assert not accepts(constraint, CALLS["now"] * 2)


def test_a_tool_takes_the_parameters_that_it_names() -> None:
    assert not accepts(of("now"), call_text("now", {"a": 1}))
    assert not accepts(of("add"), call_text("add", {"a": 1, "b": 2}))


@pytest.mark.parametrize("choice", [None, "auto"])
def test_an_answer_is_free_until_a_call_begins(choice: str | None) -> None:
    constraint = of(choice)
    assert (constraint.trigger, constraint.strict, constraint.prose) == (None, False, True)
    assert set(constraint.tools) == set(CALLS)
    assert accepts(constraint, "anything\n")
    assert accepts(constraint, f"I look. {CALLS['find.it-1']}")
    assert not accepts(constraint, f"{CALLS['now']} and more")


def test_an_answer_may_be_json_or_a_call() -> None:
    constraint = of("auto", json_schema=SCHEMA)
    assert accepts(constraint, '{"x": false}')
    assert all(accepts(constraint, call) for call in CALLS.values())
    assert not accepts(constraint, "text")
    assert not accepts(constraint, '{"x": false}\n' + CALLS["now"])
    assert (constraint.trigger, constraint.strict) == (None, True)


def test_a_call_that_has_to_be_made_leaves_no_room_for_json() -> None:
    assert not accepts(of("any", json_schema=SCHEMA), '{"x": false}')


def test_no_call_may_be_forbidden() -> None:
    constraint = of("none")
    assert accepts(constraint, "x < 5 and <tool_call and <TOOL_CALL>\n\n")
    assert accepts(constraint, "")
    assert not accepts(constraint, f"x{CALL_START}")
    assert accepts(of("none", json_schema=SCHEMA), '{"x": true}')
    assert not accepts(of("none", regex="[ab]+"), "x")


@pytest.mark.parametrize("setting", [{"regex": "a"}, {"choices": ["a"]}, {"grammar": 'start: "a"'}])
def test_other_settings_and_tools_exclude_each_other(setting: dict[str, Any]) -> None:
    (name,) = setting
    with pytest.raises(ConfigError, match=f"{name} and tools exclude each other"):
        of("auto", **setting)


@pytest.mark.parametrize(
    ("tools", "choice", "reason"),
    [
        (TOOLS, "sub", "unknown tool_choice 'sub'; known: auto, any, none, add, find.it-1, now"),
        ((), "any", "tool_choice 'any' needs tools"),
        ((), "add", "tool_choice 'add' needs tools"),
    ],
)
def test_an_unknown_tool_choice_is_refused(tools: Any, choice: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        read_constraint(DecodingConfig(), tools, choice)


def test_parameters_that_nothing_fits_are_refused_with_the_name_of_their_tool() -> None:
    bad = {"type": "object", "properties": {"a": {"enum": [1], "type": "null"}}, "required": ["a"]}
    tools = read_tools([{"type": "function", "function": {"name": "look", "parameters": bad}}])
    for choice in ("auto", "any", "look"):
        with pytest.raises(ConfigError, match="the parameters of tool 'look' cannot be enforced"):
            of(choice, tools)


@pytest.mark.parametrize(
    "given",
    [{"regex": "a"}, {"choices": ["a"]}, {"json_schema": SCHEMA}, {"tools": list(TOOLS)}],
    ids=lambda given: next(iter(given)),
)
def test_a_missing_library_is_named_with_its_extra(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "llguidance"]:
        monkeypatch.delitem(sys.modules, name)
    original = builtins.__import__

    def absent(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "llguidance":
            raise ImportError("No module named 'llguidance'")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    byte_table.cache_clear()
    messages = [{"role": "user", "content": "Hi"}]
    with pytest.raises(MissingExtraError, match=r"pip install 'adafuse\[constrained\]'") as caught:
        Ensemble([ScriptedMember("x")]).stream(messages, **given)
    assert caught.value.extra == "constrained"
    assert Ensemble([ScriptedMember("x")]).generate(messages).text == "x"  # nothing else needs it


def test_errors_while_a_grammar_is_followed_are_not_passed_over() -> None:
    """llguidance does not raise them."""
    matcher = byte_table().matcher(regex_grammar("a+"))
    broken = matcher.copy()
    broken._matcher.consume_token(byte_table().byte_ids(b"x")[0])
    assert broken._matcher.is_error()
    for ask in (broken.allowed, lambda: broken.feed(b"a"), lambda: broken.feed(b"")):
        with pytest.raises(DecodingError, match="the grammar cannot be followed") as caught:
            ask()
        assert len(str(caught.value).splitlines()) == 1
    assert matcher.feed(b"aa") == 2


def test_an_answer_ends_with_an_error_if_its_grammar_cannot_be_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fed: list[bytes] = []
    original = adafuse.constraints.grammar.Matcher.feed

    def feed(matcher: Any, data: bytes) -> int:
        fed.append(data)
        if b"c" in data:
            raise DecodingError("the grammar cannot be followed: too complex; simplify it")
        return original(matcher, data)

    monkeypatch.setattr(adafuse.constraints.grammar.Matcher, "feed", feed)
    rounds = Ensemble([ScriptedMember("a b c d", confident=False)]).stream("x", regex="[a-d ]+z")
    with pytest.raises(DecodingError, match="too complex"):
        list(rounds)
    assert fed


def test_a_vocabulary_follows_texts_that_its_tokenizer_writes_otherwise() -> None:
    """Its tokens are then the longest ones that write them."""
    tokens = [b"", b"a", b"b", b"ab", b"abc", "é".encode(), b"e", b"\xcc", b"\x81", b"c"]
    table = TokenTable(tokens, lambda text: [5])
    text = "abce\u0301ab"
    matcher = table.matcher(f'start: "{text}"')
    ids = []
    while not matcher.accepting:
        mask = int.from_bytes(matcher.allowed(), "little")
        allowed = [id_ for id_ in range(table.size) if mask >> id_ & 1]
        assert len(allowed) == 1
        ids += allowed
        matcher.feed(tokens[allowed[0]])
    assert [tokens[id_] for id_ in ids] == [b"abc", b"e", b"\xcc", b"\x81", b"ab"]


def test_the_bounds_of_a_schema_depend_on_the_tokens_there_are() -> None:
    schema = {"type": "string"}
    sizes = {}
    longer = "".join(map(str, range(999)))  # it does not repeat itself
    for tokens in (8, 256):
        constraint = of(None, (), json_schema=schema, max_new_tokens=tokens)
        sizes[tokens] = len(TextMatcher(constraint).admit('"' + longer, False)[0])
    assert sizes == {8: 33, 256: 4 * 256 + 1}
