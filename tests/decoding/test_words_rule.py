"""Rule "words": what its probabilities, ends, weights and draws mean (DESIGN 3.7)."""

import itertools
import math
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from adafuse import ConfigError, DecodingConfig, Ensemble
from adafuse.decoding.candidates import choose
from adafuse.decoding.combining import combined, mixture_score
from adafuse.decoding.member import PromptNLL
from adafuse.decoding.subset import answering_config
from adafuse.decoding.weighting import prompt_weights
from adafuse.events import Candidate
from adafuse.local.member import LocalMember
from adafuse.local.prompt_nll import prompt_nll, said
from adafuse.presets import PRESETS
from adafuse.prompting.prompt import read_prompt
from adafuse.testing import ScriptedMember
from families import family
from oracle import OracleMember
from parity import PROMPTS, ensemble_of

BLANK = "\f"  # white space that no tokenizer joins


def _toy(cap: int) -> tuple[LocalMember, Any]:
    """A member that knows "Q", "Z", a blank and the end; its words have up to `cap` tokens."""
    member = LocalMember(*family("gpt2", 1), "toy")
    allowed = [member.codec.encode(text)[0] for text in ("Q", "Z", BLANK)]
    allowed.append(next(iter(member.end_ids)))
    plain = member.runner.forward

    def forward(request: Any) -> torch.Tensor:
        rows = plain(request)
        kept = torch.full_like(rows, -math.inf)
        kept[:, allowed] = rows[:, allowed]
        return kept

    member.runner.forward = forward  # type: ignore[method-assign]
    session = member.open(read_prompt("So"), DecodingConfig(rule="words", max_word_tokens=cap))
    session.prefill()
    return member, session


@pytest.mark.parametrize("cap", [1, 2, 3, 4])
def test_words_of_a_toy_vocabulary_and_the_end_sum_to_1(cap: int) -> None:
    member, session = _toy(cap)
    words: list[tuple[str, bool]] = [(BLANK * blanks, True) for blanks in range(cap)]
    for length in range(1, cap + 1):
        for letters in itertools.product("QZ" + BLANK, repeat=length):
            text = "".join(letters)
            body = text.lstrip(BLANK)
            if BLANK not in body and (body or length == cap):
                words.append((text, False))
    assert all(len(member.codec.encode(text)) == len(text) for text, _ in words)
    chances = [math.exp(-nll) for nll in session.score(words) if nll is not None]
    assert len(chances) == len(words)
    assert math.fsum(chances) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("texts", [("日", "日本", "日本語"), ("か", "かな"), ("ก", "กา", "การ")])
def test_what_a_longer_candidate_holds_is_taken_from_the_shorter(texts: Sequence[str]) -> None:
    """In scripts without spaces a word is complete whatever comes next, also what goes on."""
    member = LocalMember(*family("gpt2", 1), "m")
    session = member.open(read_prompt("x"), DecodingConfig(rule="words"))
    session.prefill()
    alone = [math.exp(-(session.score([(text, False)])[0] or 0.0)) for text in texts]
    together = [math.exp(-(nll or 0.0)) for nll in session.score([(t, False) for t in texts])]
    for shorter, (at, longer) in zip(alone, enumerate(alone[1:]), strict=False):
        assert together[at] == pytest.approx(shorter - longer, rel=1e-4)
    assert together[-1] == pytest.approx(alone[-1], rel=1e-6)
    assert math.fsum(together) == pytest.approx(alone[0], rel=1e-4)


def test_the_text_before_a_drafted_stop_is_an_end() -> None:
    members = [
        ScriptedMember("Rome", name="a"),
        ScriptedMember("Rome\nQuestion: next", name="b", weight=3.0),
    ]
    answer = Ensemble(members).generate("?", stop=["\nQuestion:"])
    assert (answer.text, answer.finish_reason) == ("Rome", "stop_string")
    last = answer.rounds[-1]
    assert [(c.text, c.ends, c.drafters) for c in last.candidates] == [("", True, ("a", "b"))]
    assert last.unanimous  # one event, whoever writes it how
    paper = Ensemble(members).generate("?", stop=["\nQuestion:"], preset="paper")
    assert len(paper.rounds[-1].candidates) == 2


def test_a_stop_that_began_in_an_earlier_word_goes_with_it() -> None:
    one = Ensemble([ScriptedMember("so it is. The End and more", name="a")])
    answer = one.generate("?", stop=["The End"])
    assert (answer.text, answer.finish_reason) == ("so it is. ", "stop_string")
    assert "".join(round_.text for round_ in answer.rounds) == answer.text
    plain = one.generate("?", stop=["The End"], pool_stops=False)
    assert (plain.text, plain.finish_reason) == (answer.text, answer.finish_reason)


def test_a_stop_within_a_word_leaves_what_is_before_it() -> None:
    one = Ensemble([ScriptedMember("It is Rome. Yes", name="a")])
    assert one.generate("?", stop=".").text == "It is Rome"


def test_ways_to_end_are_one_candidate() -> None:
    pooled = [
        Candidate(" x", False, (" x",), ("a",)),
        Candidate("", True, (), ("a",)),
        Candidate("\n", True, ("\n",), ("b",), stop=2),
    ]
    nlls = [{"a": 1.0, "b": 9.0}, {"a": 2.0, "b": 8.0}, {"a": 7.0, "b": 0.1}]
    weights = {"a": 1.0, "b": 1.0}
    word, end = combined(pooled, nlls, weights, DecodingConfig(rule="words"))
    assert word.score == pytest.approx(-math.log((math.exp(-1) + math.exp(-9)) / 2))
    assert (end.text, end.stop, end.drafters) == ("\n", 2, ("a", "b"))
    sums = {"a": math.exp(-2) + math.exp(-7), "b": math.exp(-8) + math.exp(-0.1)}
    assert end.scores["a"] == pytest.approx(-math.log(sums["a"]))
    assert end.score == pytest.approx(-math.log((sums["a"] + sums["b"]) / 2))
    assert len(combined(pooled, nlls, weights, DecodingConfig(rule="paper"))) == 3


def test_a_member_without_an_opinion_counts_0_in_a_mixture() -> None:
    weights = {"a": 1.0, "b": 3.0}
    assert mixture_score({"a": 1.0}, weights) == pytest.approx(1.0 + math.log(4))
    assert mixture_score({"a": 1.0, "b": math.inf}, weights) == pytest.approx(1.0 + math.log(4))
    assert mixture_score({}, weights) == math.inf


def test_a_certain_word_keeps_its_share_where_the_other_finds_it_impossible() -> None:
    """What a product lets one member veto."""
    pooled = [Candidate(" a", False, (" a",), ("x",)), Candidate(" b", False, (" b",), ("y",))]
    nlls = [{"x": 0.1, "y": 30.0}, {"x": 4.0, "y": 2.0}]
    weights = {"x": 1.0, "y": 1.0}

    def best(combine: str) -> str:
        config = DecodingConfig().override(combine=combine)
        scored = combined(pooled, nlls, weights, config)
        return min(scored, key=lambda one: one.score or 0.0).text

    assert (best("mixture"), best("product")) == (" a", " b")


def test_a_member_of_weight_0_says_nothing() -> None:
    pair = [
        ScriptedMember("one two", name="a", confident=False),
        ScriptedMember("three four five", name="b", confident=False, weight=0.0),
    ]
    for members in (pair, pair[::-1]):
        answer = Ensemble(members).generate("?")
        assert answer.text == "one two"
        assert {name for r in answer.rounds for c in r.candidates for name in c.drafters} == {"a"}
    assert Ensemble(pair).generate("?", weights=[0, 1]).text == "three four five"


@pytest.mark.parametrize("speculation", [True, False])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_with_all_weight_the_answer_is_that_members_own(
    order: tuple[int, int], speculation: bool
) -> None:
    names = [("llama", "gpt2")[at] for at in order]
    pair = ensemble_of([OracleMember(name, *family(name)) for name in names])
    weights = [float(name == "llama") for name in names]
    alone = pair.only(["llama"])
    for prompt in PROMPTS:
        settings: dict[str, Any] = {"max_new_tokens": 12, "speculation": speculation}
        led = pair.generate(prompt, weights=weights, **settings)
        own = alone.generate(prompt, **settings)
        assert (led.text, led.finish_reason) == (own.text, own.finish_reason)
        assert led.usage["llama"].token_ids == own.usage["llama"].token_ids


def test_a_silent_member_that_is_no_cheaper_reads_nothing() -> None:
    pair = ensemble_of([OracleMember(n, *family(n)) for n in ("llama", "gpt2")])
    prices = {member.name: member.runner.parameters for member in pair.members}  # type: ignore[attr-defined]
    dear = max(prices, key=prices.__getitem__)
    cheap = min(prices, key=prices.__getitem__)
    for silent, forwards in ((dear, False), (cheap, True)):
        weights = [float(member.name != silent) for member in pair.members]
        used = pair.generate(PROMPTS[0], weights=weights, max_new_tokens=8).usage[silent]
        assert bool(used.forward_passes) is forwards


def test_draws_follow_the_probabilities_within_top_p() -> None:
    scores = [-math.log(share) for share in (0.5, 0.3, 0.15, 0.05)]

    def drawn(temperature: float, top_p: float) -> Counter[int]:
        return Counter(
            choose(scores, temperature, random.Random(seed), top_p) for seed in range(4000)
        )

    plain = drawn(1.0, 1.0)
    assert [plain[at] / 4000 for at in range(4)] == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)
    nucleus = drawn(1.0, 0.6)  # 0.5 is not enough, 0.8 is
    assert set(nucleus) == {0, 1}
    assert nucleus[0] / 4000 == pytest.approx(0.5 / 0.8, abs=0.03)
    assert set(drawn(1.0, 0.5)) == {0}
    assert choose(scores, 0.0, random.Random(1), 0.1) == 0
    cold = drawn(0.5, 1.0)
    assert cold[0] / 4000 == pytest.approx(0.25 / (0.25 + 0.09 + 0.0225 + 0.0025), abs=0.03)


@pytest.mark.parametrize("value", [0, -0.1, 1.5, "x", True])
def test_a_top_p_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="top_p"):
        DecodingConfig().override(top_p=value)


def test_a_prompt_that_a_member_predicts_well_gives_it_weight() -> None:
    pair = Ensemble([ScriptedMember("x", name="a"), ScriptedMember("x", name="b", nll=3.0)])
    answer = pair.generate("four", prompt_exponent=1.0)
    weights = {name: one.weight for name, one in answer.usage.items()}
    assert weights["a"] == pytest.approx(1 / (1 + math.exp(-2)))
    assert sum(weights.values()) == pytest.approx(1)  # type: ignore[arg-type]
    assert {one.weight for one in pair.generate("four").usage.values()} == {0.5}


def test_only_what_messages_say_is_rated() -> None:
    pieces = [b"<s>", b"User: ", b"Hel", b"lo ", b"th", b"ere", b"\n", b"Hi"]
    assert said(pieces, ["Hello there"]) == [[2, 3, 4, 5]]
    assert said(pieces, ["Hello", "gone", " there\n"]) == [[2, 3], None, [4, 5]]
    assert said(pieces, ["", "  ", "Hi"]) == [[], [], [7]]
    fit = prompt_nll(pieces, [-1.0, -2.0, -4.0, -8.0, -16.0, -32.0, -64.0], ["Hello there", "x"])
    assert fit.texts == ((30.0, 11), None)
    assert fit.whole == (127.0 / 7 * 8, 23)
    assert prompt_nll([b"a", b"b"], [-3.0], ["ab"]).texts == ((6.0, 2),)  # nothing before "a"
    assert prompt_nll([b"a"], [], ["a"]).texts == (None,)


def test_a_message_that_one_member_cannot_hold_counts_for_none() -> None:
    """Else a member that reads less of the prompt would find it less strange."""
    first = PromptNLL(((9.0, 3), (50.0, 10)), (1.0, 1))
    second = PromptNLL(((9.0, 3), None), (1.0, 1))
    found = prompt_weights({"a": 1.0, "b": 1.0}, {"a": first, "b": second}, 1.0)
    assert found["a"] == found["b"]
    assert prompt_weights({"a": 1.0, "c": 0.0}, {"a": first}, 1.0) == {"a": 1.0, "c": 0.0}


def test_presets() -> None:
    paper = DecodingConfig().override(preset="paper")
    assert (paper.rule, paper.pool_stops, paper.branches, paper.max_words) == ("paper", False, 3, 3)
    for name, settings in PRESETS.items():
        config = DecodingConfig().override(preset=name)
        assert all(getattr(config, key) == value for key, value in settings.items())
        assert DecodingConfig().override(preset=name, branches=7).branches == 7
    with pytest.raises(ConfigError, match="'paper'"):
        DecodingConfig().override(preset="recommended")


def test_an_end_keeps_words_that_a_stop_began_with() -> None:
    """One member ends where another goes on to a stop: what was written stays."""
    pair = [
        ScriptedMember("Hello Best", name="a", nll=0.01),
        ScriptedMember("Hello Best regards, Bob", name="b", nll=2.0),
    ]
    answer = Ensemble(pair).generate("?", stop=["Best regards,"])
    assert (answer.text, answer.finish_reason) == ("Hello Best", "stop_string")
    both = Ensemble([pair[1], ScriptedMember("Hello Best regards, Eve", name="c")])
    assert both.generate("?", stop=["Best regards,"]).text == "Hello "


def test_a_session_that_is_restored_knows_what_a_stop_began_in() -> None:
    member = LocalMember(*family("gpt2", 1), "m")
    config = DecodingConfig(stop=("Best regards",))
    session: Any = member.open(read_prompt("x"), config)
    session.prefill()
    session.restore([("Hello Best", member.codec.encode("Hello Best"))])
    assert session._stops.begins(" regards", session._sequence.tree.root) == -4


def test_a_member_without_weight_that_is_asked_alone_answers() -> None:
    names = ["a", "b", "c"]
    config = DecodingConfig(weights=(1, 0, 0))
    assert answering_config(names, [1], config).weights == (1.0,)
    assert answering_config(names, [0], config).weights == (1,)
    with pytest.raises(ConfigError, match="b and c have weight 0"):
        answering_config(names, [1, 2], config)
