"""Probabilities of words that are asked for: of every word, and nothing else changes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from adafuse import ConfigError, DecodingConfig, Ensemble, Round
from adafuse.decoding.loop import fuse
from adafuse.local.member import LocalMember
from adafuse.prompting.prompt import read_prompt, with_constraint
from adafuse.telemetry.logprobs import LEAST, refuse_rule, word_logprobs
from adafuse.testing import ScriptedMember
from adafuse.text.words import Word
from families import family

PROMPT = "Once upon a time"


def rounds(members: Sequence[object], rated: bool, **settings: object) -> list[Round]:
    config = DecodingConfig(max_new_tokens=24).override(**settings)
    prompt = with_constraint(read_prompt(PROMPT), config)
    return list(fuse(members, prompt, config, rated=rated))  # type: ignore[arg-type]


def members(*names: str) -> list[LocalMember]:
    return [LocalMember(*family(name), name) for name in names]


def bare(round_: Round) -> tuple[object, ...]:
    """What a round decided, without its scores."""
    texts = [(one.text, one.ends, one.drafters) for one in round_.candidates]
    flags = (round_.confident, round_.unanimous, round_.scored, round_.forced, round_.winner)
    return (round_.text, round_.words, texts, flags, round_.finish_reason)


@pytest.mark.parametrize("names", [("gpt2",), ("llama", "qwen2"), ("gpt2", "gemma3")])
@pytest.mark.parametrize(
    "settings",
    [
        {"branches": 1},
        {"margin_threshold": 0.0},
        {"temperature": 1.0, "seed": 4, "margin_threshold": 0.02},
        {"combine": "product", "margin_threshold": 0.02},
    ],
)
def test_every_word_has_its_probability_and_the_answer_is_the_same(
    names: tuple[str, ...], settings: dict[str, object]
) -> None:
    plain, rated = (rounds(members(*names), on, **settings) for on in (False, True))
    assert list(map(bare, rated)) == list(map(bare, plain))
    words = [entry for round_ in rated for entry in word_logprobs(round_, 0)]
    assert "".join(entry["token"] for entry in words) == "".join(one.text for one in plain)
    assert all(LEAST <= entry["logprob"] <= 0 for entry in words)
    assert all(bytes(entry["bytes"]).decode() == entry["token"] for entry in words)
    unrated = [one for one in plain if one.unanimous for _ in one.words]
    assert len(names) > 1 or unrated  # one member with one branch agrees with itself


def test_the_probability_of_an_agreed_word_is_the_models_own() -> None:
    """By plain forwards of transformers: the word's tokens, and what may begin after them."""
    (one,) = members("gpt2")
    rated = rounds([one], True, branches=1)
    assert all(round_.unanimous for round_ in rated)
    model, ids = one.runner.model, list(one.render(read_prompt(PROMPT)).ids)
    used = rated[-1].usage
    assert used is not None
    answer, begin = list(used["gpt2"].token_ids), 0
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids + answer])).logits[0].double()
    logs = logits.log_softmax(-1)
    checked = 0
    for round_ in rated[:-1]:  # the last one may be cut
        lengths = range(1, len(answer) - begin + 1)
        count = next(n for n in lengths if one.codec.text(answer[begin : begin + n]) == round_.text)
        places = range(len(ids) + begin, len(ids) + begin + count)
        expected = sum(float(logs[at - 1, (ids + answer)[at]]) for at in places)
        if not Word.of(map(one.codec.token_bytes, answer[begin : begin + count])).complete(16):
            border = logs[places[-1]].exp() @ one.borders.double()
            expected += math.log(float(border))
        (entry,) = word_logprobs(round_, 0)
        assert entry["logprob"] == pytest.approx(expected, abs=1e-3)
        begin, checked = begin + count, checked + 1
    assert checked > 2


def test_candidates_stand_beside_the_word() -> None:
    pair = [ScriptedMember("one two", "a", confident=False, nll=0.5, weight=3.0)]
    pair += [ScriptedMember("six", "b", confident=False, nll=1.0)]
    (first, *_) = rounds(pair, True)
    (entry,) = word_logprobs(first, 2)
    mixed = math.log(0.75 * math.exp(-0.5) + 0.25 * math.exp(-first.candidates[0].scores["b"]))
    assert (entry["token"], entry["logprob"]) == ("one", pytest.approx(mixed))
    assert [(top["token"], top["bytes"]) for top in entry["top_logprobs"]] == [
        ("one", list(b"one")),
        ("six", list(b"six")),
    ]
    assert entry["top_logprobs"][0]["logprob"] == entry["logprob"]
    assert len(next(word_logprobs(first, 1))["top_logprobs"]) == 1


def test_members_whose_numbers_are_none_leave_a_word_as_it_is() -> None:
    odd = ScriptedMember("one two", "a", nll=float("nan"))
    assert [entry["logprob"] for one in rounds([odd], True) for entry in word_logprobs(one, 1)] == [
        None,
        None,
    ]
    never = ScriptedMember("one", "b", nll=math.inf)
    assert [e["logprob"] for one in rounds([never], True) for e in word_logprobs(one, 0)] == [LEAST]


def test_what_a_grammar_leaves_no_choice_for_has_none() -> None:
    pytest.importorskip("llguidance")
    made = rounds(members("gpt2"), True, regex="yes indeed")
    forced = [entry for one in made if one.forced for entry in word_logprobs(one, 1)]
    assert forced
    assert all(entry["logprob"] is None for entry in forced)


def test_the_papers_rule_has_no_probabilities() -> None:
    refuse_rule("words")
    with pytest.raises(ConfigError, match="rule 'paper' has none"):
        refuse_rule("paper")
    assert Ensemble(members("gpt2")).generate(PROMPT, preset="paper", max_new_tokens=4).rounds
