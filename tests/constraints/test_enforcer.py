"""Answers stay within their grammar, and are closed before their tokens run out."""

import random
from collections.abc import Callable
from typing import Any

import pytest

import schema_checks
from adafuse import Answer, DecodingConfig, Ensemble, IncompleteAnswerError
from adafuse.constraints.constraint import Constraint, read_constraint
from adafuse.constraints.enforcer import ConstraintEnforcer, is_whole
from adafuse.constraints.text_matcher import TextMatcher
from adafuse.events import Candidate
from adafuse.local.member import LocalMember
from constrained_cases import CALLS, CLOSABLE, CLOSED_PERSON, GRAMMARS, NAMES
from families import FAMILIES, family
from random_schemas import case

PROMPT = "Hello, {"


def enforcer(
    limit: int,
    cost: Callable[[int, bool], int] = lambda size, ends: size,
    constraint: Constraint | None = None,
    **given: Any,
) -> ConstraintEnforcer:
    constraint = constraint or read_constraint(DecodingConfig(**given))
    assert constraint is not None
    names = ("first", "second")
    return ConstraintEnforcer(
        constraint,
        lambda text, ends: dict.fromkeys(names, cost(len(text), ends)),
        lambda: dict(zip(names, (limit, 1000), strict=True)),
    )


def candidate(text: str, ends: bool = False, *drafters: str) -> Candidate:
    return Candidate(text, ends, tuple(text.split("|")), drafters or ("first",))


def admitted(one: ConstraintEnforcer, *texts: str) -> list[str]:
    return [kept.text for kept in one.admit([candidate(text) for text in texts])]


def test_what_leaves_no_room_for_the_closing_is_left_out() -> None:
    one = enforcer(6, regex="(ab)*c")
    assert one.forced() is None
    assert admitted(one, "abab", "ababab", "ab", "c") == ["abab", "ab", "c"]
    last = one.last()
    assert last is not None
    assert (last.text, last.ends, last.drafters) == ("c", True, ())


def test_an_end_that_was_drafted_counts_with_the_tokens_it_was_drafted_in() -> None:
    for cost, kept in ((2, ["ababc"]), (4, [])):
        one = enforcer(3, lambda size, ends, cost=cost: cost if ends else 1, regex="(ab)*c")
        assert one.forced() is None
        found = one.admit([candidate("ababc", ends=True)])
        assert [two.text for two in found] == kept


def test_nothing_is_left_out_if_the_closing_did_not_fit_from_the_start() -> None:
    one = enforcer(3, regex="a{5}b*c")
    one.forced()
    assert admitted(one, "aaaab", "aaaaabbbbbbbbbbb") == ["aaaa", "aaaaabbbbbbbbbbb"]


def test_what_is_whole_ends_where_nothing_longer_has_room() -> None:
    """The text that makes it whole is then the empty one."""
    one = enforcer(2, regex="(yes|no)(, because .+[.])?")
    one.forced()
    one.commit("no")
    one._limits = lambda: {"first": 3, "second": 1000}
    assert one.forced() is None
    assert admitted(one, ", be", ", because") == []
    last = one.last()
    assert last is not None
    assert (last.text, last.ends) == ("", True)


def test_prose_may_be_cut_anywhere_and_its_calls_may_not() -> None:
    one = enforcer(5, constraint=CALLS)
    assert one.forced() is None
    assert admitted(one, "a very long text", "a<tool_call>") == ["a very long text"]
    assert admitted(one, "a<tool_call>") == ["a<tool_call>"]  # it ends the answer too early then
    roomy = enforcer(80, constraint=CALLS)
    roomy.forced()
    assert admitted(roomy, "a" * 90, "a<tool_call>", "a" * 70 + "<tool_call>") == [
        "a" * 90,
        "a<tool_call>",
    ]
    roomy.commit("a<tool_call>")
    assert roomy.since == 1
    roomy._limits = lambda: {"first": 25, "second": 1000}
    assert roomy.forced() is None
    assert admitted(roomy, '\n{"x"', '\n{"a much longer text"') == ['\n{"x"']


def test_candidates_that_are_cut_to_the_same_text_become_one() -> None:
    one = enforcer(50, regex="a b(c d)?")
    one.forced()
    given = [
        candidate("a| b|x", False, "first"),
        candidate("a| b|y", True, "second", "first"),
        candidate("a b", False, "third"),
        candidate("a b", True, "third"),
        candidate("zz", False, "first"),
    ]
    given = [Candidate(c.text.replace("|", ""), c.ends, c.words, c.drafters) for c in given]
    first, second = one.admit(given)
    assert (first.text, first.ends, first.words) == ("a b", False, ("a", " b"))
    assert first.drafters == ("first", "second", "third")
    assert (second.text, second.ends, second.drafters) == ("a b", True, ("third",))


def test_forced_words_are_not_taken_one_by_one_if_that_costs_too_much() -> None:
    words = enforcer(15, lambda size, _: size // 2, json_schema=CLOSED_PERSON).forced()
    assert words is not None
    assert (words.text, words.ends) == ('{"name":', False)
    whole = enforcer(15, lambda size, _: size and size // 2 + 3, json_schema=CLOSED_PERSON).forced()
    assert whole is not None
    assert (whole.text, whole.ends) == ('{"name": "", "age": 1}', True)


def ensemble(rng: random.Random, *windows: int) -> Ensemble:
    names = [rng.choice(NAMES) for _ in windows]
    members = [
        LocalMember(
            *family(name, rng.randint(0, 3), **_window(window)), f"{name}-{at}", weight=1.0 + at
        )
        for at, (name, window) in enumerate(zip(names, windows, strict=True))
    ]
    return Ensemble(members)


def _window(size: int) -> dict[str, int]:
    return {"max_position_embeddings": size} if size else {}


def _settings(rng: random.Random) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "max_words": rng.choice((1, 3, 20)),
        "branches": rng.choice((1, 3, 9)),
        "margin_threshold": rng.choice((0.0, 0.7, 1.0)),
        "max_word_tokens": rng.choice((1, 16)),
    }
    if rng.random() < 0.3:
        settings |= {"temperature": 3.0, "seed": 1}
    if rng.random() < 0.3:
        settings["repetition_penalty"] = 1.5
    return settings


def answered(one: Ensemble, fits: bool, tokens: int, **given: Any) -> Answer | None:
    """A whole answer within its tokens, or None if it is not whole and did not fit."""
    try:
        answer = one.generate(PROMPT, max_new_tokens=tokens, **given)
    except IncompleteAnswerError as error:
        answer, failed = error.answer, str(error)
    else:
        failed = ""
    assert not (failed and fits), (tokens, answer.text)
    assert not failed or (answer.finish_reason, "length" in failed) == ("length", True)
    assert answer.usage[one.members[0].name].committed_tokens <= tokens
    assert "".join(word for done in answer.rounds for word in done.words) == answer.text
    return None if failed else answer


def shortest(one: Ensemble, constraint: Constraint) -> list[int]:
    """How many tokens each member needs for what closes the answer from the start."""
    closing = TextMatcher(constraint).completion("")
    assert closing is not None
    return [len(member.codec.encode(closing)) for member in one.members]  # type: ignore[attr-defined]


def sizes(rng: random.Random, need: int) -> list[int]:
    around = {need - 1, need, need + 1, need + rng.randint(2, 20)}
    return sorted(size for size in {1, rng.randint(1, need + 1), *around} if size > 0)


@pytest.mark.parametrize("number", range(16))
def test_json_is_whole_whenever_the_shortest_has_room(number: int) -> None:
    """And never another text that claims to be done."""
    rng = random.Random(f"json {number}")
    schema = case(number).schema
    one = ensemble(rng, *(0 for _ in range(rng.choice((1, 1, 2)))))
    given = {**_settings(rng), "json_schema": schema}
    config = DecodingConfig(json_schema=schema)
    constraint = read_constraint(config.override(max_new_tokens=8))
    assert constraint is not None
    for size in sizes(rng, shortest(one, constraint)[0]):
        bounded = read_constraint(config.override(max_new_tokens=size))
        assert bounded is not None
        fits = shortest(one, bounded)[0] <= size
        answer = answered(one, fits, size, **given)
        assert answer is None or not schema_checks.wrong(schema, answer.text)


@pytest.mark.parametrize("number", range(16))
def test_sentences_are_whole_whenever_the_shortest_has_room_in_every_window(number: int) -> None:
    rng = random.Random(f"sentence {number}")
    one = ensemble(rng, *rng.choice(((0,), (40,), (0, 40), (40, 0, 60))))
    regex = number % 4 > 0
    setting = "regex" if regex else "grammar"
    given = {**_settings(rng), setting: rng.choice(CLOSABLE if regex else GRAMMARS)}
    constraint = read_constraint(DecodingConfig(**{setting: given[setting]}))
    assert constraint is not None
    needs = shortest(one, constraint)
    room = all(
        need <= (member.runner.window_of(1) or 512) - member.count_tokens(PROMPT) - 1
        for need, member in zip(needs, one.members, strict=True)  # type: ignore[attr-defined]
    )
    for size in sizes(rng, needs[0]):
        answer = answered(one, room and needs[0] <= size, size, **given)
        if answer is not None:
            assert is_whole(constraint, answer.rounds)
            ended = answer.finish_reason == "stop"
            assert ended or answer.finish_reason == "length"  # it could have gone on


def test_the_window_of_a_later_member_ends_the_answer_in_time() -> None:
    """The first has all the room it wants."""
    small = family("llama", 1, max_position_embeddings=32, eos_bias=-9.0)
    one = Ensemble(
        [LocalMember(*FAMILIES["qwen2"](1), "first"), LocalMember(*small, "second", weight=1e-9)]
    )
    answer = one.generate(PROMPT, regex="[a-z ]+[.]", margin_threshold=1.0)
    assert answer.finish_reason == "length"
    assert answer.text.endswith(".")
    usage = answer.usage["second"]
    assert usage.prompt_tokens + usage.committed_tokens <= 32
    assert answer.usage["first"].committed_tokens > 10


def test_what_closes_an_answer_takes_no_more_tokens_than_its_text() -> None:
    """It may have been drafted too, letter by letter, and was left out for being too long."""
    for name in NAMES:
        member = LocalMember(*family(name, 1), name)
        choices = [
            word
            for word in ("the", "and", "print", "or", "is", "in")
            if len(member.codec.encode(word)) == 1
        ]
        assert choices, name
        settings = {"branches": 9, "margin_threshold": 1.0, "choices": choices}
        answer = Ensemble([member]).generate(PROMPT, max_new_tokens=1, **settings)
        assert answer.text in choices
