"""The benchmark that compares answers with speculation and without: where it says they part."""

from dataclasses import replace

import pytest

from adafuse import Ensemble
from adafuse.local import guesses
from adafuse.testing import ScriptedMember
from benchmarks.guesses import counted
from benchmarks.identity import compared
from speculation_cases import PROMPTS, members

ANSWER = Ensemble(
    [ScriptedMember("one two three", name="a"), ScriptedMember("one TWO three", name="b")]
).generate("x", max_words=1)


def test_equal_answers_do_not_part() -> None:
    assert compared(ANSWER, ANSWER) == (len(ANSWER.rounds), 0.0, None)


def test_the_first_round_that_differs_and_its_gap() -> None:
    scored = [at for at, one in enumerate(ANSWER.rounds) if len(one.candidates) > 1]
    at = scored[0]
    rounds = list(ANSWER.rounds)
    rounds[at] = replace(rounds[at], winner=1 - rounds[at].winner)
    reached, _, gap = compared(ANSWER, replace(ANSWER, rounds=tuple(rounds)))
    scores = sorted(c.score for c in ANSWER.rounds[at].candidates if c.score is not None)
    assert (reached, gap) == (at, scores[1] - scores[0])


def test_an_answer_that_ends_elsewhere_is_no_near_tie() -> None:
    shorter = replace(ANSWER, rounds=ANSWER.rounds[:-1])
    assert compared(ANSWER, shorter)[2] == float("inf")


def test_other_candidates_are_a_near_tie_only_beside_a_near_margin() -> None:
    one = replace(ANSWER.rounds[0], margins={"a": (0.9,), "b": (0.4,)})
    other = replace(one, candidates=())
    far = compared(replace(ANSWER, rounds=(one,)), replace(ANSWER, rounds=(other,)))
    assert far == (0, 0.0, pytest.approx(0.2))
    near = replace(one, margins={"a": (0.9,), "b": (0.70001,)})
    gap = compared(replace(ANSWER, rounds=(near,)), replace(ANSWER, rounds=(other,)))[2]
    assert gap == pytest.approx(1e-5)


def test_what_guesses_save_is_counted_without_a_trace() -> None:
    add = guesses.Counted.add
    ensemble = Ensemble(members(3))
    calls = [(prompt, {"max_new_tokens": 12}) for prompt in PROMPTS]
    table = counted(ensemble, calls)
    assert table == counted(ensemble, calls)  # the same on every machine
    assert guesses.Counted.add is add
    assert {"hint", "word", "likely"} <= set(table) <= set(guesses.CHANCES)
    read = sum(figures["read"] for figures in table.values())
    assert read > 0
    assert any(figures["first"] > 0 for figures in table.values())
    assert all(0 <= share <= 1 for figures in table.values() for share in figures["by place"])
