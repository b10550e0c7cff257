"""Pooling, weighted means, ties and the draw, held against plain arithmetic."""

import math
import random
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adafuse import Candidate, Ensemble
from adafuse.decoding.candidates import choose, pool
from adafuse.decoding.combining import mean_score
from adafuse.decoding.member import Draft
from adafuse.decoding.weighting import with_weight
from adafuse.testing import ScriptedMember

CHECKED = settings(max_examples=200)
WORDS = st.lists(st.sampled_from(["a", " b", " ", "bc", "c"]), max_size=3).map(tuple)
DRAFTS = st.lists(st.builds(Draft, WORDS, st.booleans()), max_size=4)
MEMBERS = st.lists(DRAFTS, min_size=1, max_size=4)
SCORES = st.one_of(st.floats(0, 50), st.sampled_from([0.0, 1.0, 2.0, math.inf]))
WEIGHTS = st.one_of(st.floats(1e-3, 10), st.sampled_from([0.0, 1.0]))


@given(MEMBERS)
@CHECKED
def test_the_pool_is_the_union_in_order_with_the_first_drafters_words(
    members: list[list[Draft]],
) -> None:
    flat = [(f"m{at}", draft) for at, drafts in enumerate(members) for draft in drafts]
    keys: list[tuple[str, bool]] = []
    for _, draft in flat:
        if (draft.text, draft.ends) not in keys:
            keys.append((draft.text, draft.ends))
    pooled = pool({f"m{at}": drafts for at, drafts in enumerate(members)})
    assert [(one.text, one.ends) for one in pooled] == keys
    for one in pooled:
        same = [(name, d) for name, d in flat if (d.text, d.ends) == (one.text, one.ends)]
        assert one.words == same[0][1].words
        assert "".join(one.words) == one.text
        assert list(one.drafters) == sorted({name for name, _ in same})
        assert one.score is None


def test_a_text_that_ends_the_answer_is_another_candidate() -> None:
    drafts = {"a": [Draft(("x",), False)], "b": [Draft(("x",), True), Draft(("x",), False)]}
    assert pool(drafts) == [
        Candidate("x", False, ("x",), ("a", "b")),
        Candidate("x", True, ("x",), ("b",)),
    ]


@given(st.lists(st.tuples(WEIGHTS, SCORES), min_size=1, max_size=6))
@CHECKED
def test_the_mean_is_weighted_over_those_with_a_weight(pairs: list[tuple[float, float]]) -> None:
    weights = {f"m{at}": weight for at, (weight, _) in enumerate(pairs)}
    scores = {f"m{at}": score for at, (_, score) in enumerate(pairs)}
    having = [(weight, score) for weight, score in pairs if weight > 0]
    mean = mean_score(scores, weights)
    if not having or any(math.isinf(score) for _, score in having):
        assert mean == math.inf
    else:
        total = math.fsum(weight for weight, _ in having)
        parts = [weight / total * score for weight, score in having]
        assert mean == pytest.approx(math.fsum(parts), rel=1e-9, abs=1e-9)


def test_a_member_without_a_score_has_no_part_in_the_mean() -> None:
    assert mean_score({"b": 3.0}, {"a": 1.0, "b": 2.0}) == 3.0
    assert mean_score({}, {"a": 1.0}) == math.inf
    assert mean_score({"a": math.inf, "b": 1.0}, {"a": 0.0, "b": 1.0}) == 1.0


@given(st.lists(st.tuples(WEIGHTS, SCORES.filter(math.isfinite)), min_size=1, max_size=6))
@CHECKED
def test_without_a_member_that_has_a_weight_no_candidate_is_better(
    pairs: list[tuple[float, float]],
) -> None:
    weights = {f"m{at}": weight for at, (weight, _) in enumerate(pairs)}
    scores = {f"m{at}": score for at, (_, score) in enumerate(pairs)}
    voters = with_weight(scores, weights)
    assert voters == [name for name in scores if weights[name] != 0]
    assert (mean_score(scores, weights) == math.inf) == (not voters)


@given(st.lists(SCORES, min_size=1, max_size=6))
@CHECKED
def test_the_lowest_wins_and_ties_go_to_the_earlier(scores: list[float]) -> None:
    rng = random.Random(1)
    state = rng.getstate()
    assert choose(scores, 0, rng) == scores.index(min(scores))
    assert rng.getstate() == state  # nothing is drawn


@given(
    st.lists(SCORES, min_size=1, max_size=6),
    st.sampled_from([0.01, 0.5, 1.0, 3.0, 100.0]),
    st.integers(0, 2**32),
)
@CHECKED
def test_the_draw_is_the_inverse_cdf_of_softmax_in_pool_order(
    scores: list[float], temperature: float, seed: int
) -> None:
    best = min(scores)
    uniform = random.Random(seed).random()
    if math.isinf(best):
        assert choose(scores, temperature, random.Random(seed)) == 0
        return
    masses = [math.exp((best - score) / temperature) for score in scores]
    total = math.fsum(masses)
    borders = [math.fsum(masses[: at + 1]) / total for at in range(len(masses))]
    assume(min(abs(border - uniform) for border in borders) > 1e-12)
    expected = sum(border < uniform for border in borders)
    assert choose(scores, temperature, random.Random(seed)) == expected


@given(st.lists(SCORES, min_size=1, max_size=6), st.sampled_from([1e-300, 0.1, 10.0]))
@CHECKED
def test_each_choice_draws_once_and_never_takes_an_impossible_candidate(
    scores: list[float], temperature: float
) -> None:
    rng, twin = random.Random(5), random.Random(5)
    winner = choose(scores, temperature, rng)
    twin.random()
    assert rng.getstate() == twin.getstate()
    assert scores[winner] < math.inf or min(scores) == math.inf


class Counted(random.Random):
    """Counts what is drawn by all of its kind."""

    drawn = 0
    made = 0

    def __init__(self, seed: Any = None) -> None:
        type(self).made += 1
        super().__init__(seed)

    def random(self) -> float:
        type(self).drawn += 1
        return super().random()


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize(
    "second", ["the cat sat on the mat", "the cat lay on a mat", "a dog", "the cat sat"]
)
def test_an_answer_draws_once_for_each_scored_round(
    second: str, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adafuse.decoding.loop.random.Random", Counted)
    monkeypatch.setattr(Counted, "drawn", 0)
    monkeypatch.setattr(Counted, "made", 0)
    members = [
        ScriptedMember("the cat sat on the mat", "a", confident=False),
        ScriptedMember(second, "b", confident=False),
    ]
    answer = Ensemble(members).generate("p", temperature=temperature, seed=3)
    scored = sum(one.scored for one in answer.rounds)
    assert scored > 0 or second == members[0].answer
    assert Counted.made == 1
    assert Counted.drawn == (scored if temperature else 0)
    for one in answer.rounds:
        assert one.scored == (len(one.candidates) > 1) == (not one.unanimous)


@pytest.mark.parametrize("seed", range(12))
def test_an_ensemble_draws_as_an_independent_implementation_does(seed: int) -> None:
    temperature = 4.0
    members = [
        ScriptedMember("one two three four five", "a", confident=False),
        ScriptedMember("one too three for five", "b", confident=False, nll=2.0),
    ]
    answer = Ensemble(members).generate("p", temperature=temperature, seed=seed)
    rng = random.Random(seed)
    for one in answer.rounds:
        if one.scored:
            scores = [candidate.score or 0.0 for candidate in one.candidates]
            masses = [math.exp(-score / temperature) for score in scores]
            left = rng.random() * math.fsum(masses)
            expected = next(at for at in range(9) if left < math.fsum(masses[: at + 1]))
            assert one.winner == expected


def test_the_winner_has_the_lowest_score_and_equals_go_to_the_first_member() -> None:
    members = [ScriptedMember("ab", "first"), ScriptedMember("cd", "second")]
    answer = Ensemble(members).generate("p")
    first = answer.rounds[0]
    both = pytest.approx(1.0 - math.log(0.5 * (1 + math.exp(-20))))
    assert [candidate.score for candidate in first.candidates] == [both, both]
    assert (first.winner, first.member, answer.text) == (0, "first", "ab")
    assert Ensemble(members).generate("p", weights=(1, 1.5)).text == "cd"
    assert Ensemble(members).generate("p", weights=(1, 0)).text == "ab"
