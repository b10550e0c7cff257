"""Scoring, weighting, leaders and contested rounds: the fast path equals the plain oracle."""

import copy as copy_module
import math
import random
from typing import Any

import pytest
import torch

import oracle
from adafuse import Answer, ConfigError, DecodingConfig, Ensemble
from adafuse.config import PRESETS
from adafuse.decoding.candidates import agreed
from adafuse.decoding.member import Draft, PromptNLL
from adafuse.decoding.weighting import consistent_scores, perplexity_weights
from adafuse.local.prompt_nll import prompt_nll, said
from adafuse.testing import ScriptedMember
from families import FAMILIES, family
from parity import CHATS, PROMPTS, compare, ensemble_of

MIXES = 60


def _case(number: int) -> tuple[list[oracle.OracleMember], Any, dict[str, Any]]:
    rng = random.Random(number)
    names = [rng.choice(list(FAMILIES)) for _ in range(rng.randint(1, 3))]
    members = [
        oracle.OracleMember(f"{name}-{i}", *family(name, seed=rng.randint(0, 3)), weight=weight)
        for i, (name, weight) in enumerate((n, rng.choice((0.5, 1.0, 2.0))) for n in names)
    ]
    settings: dict[str, Any] = {
        "margin_threshold": rng.choice((0.0, 0.02, 0.1, 0.7)),
        "max_words": rng.randint(1, 3),
        "branches": rng.choice((1, 2, 3)),
        "max_new_tokens": rng.choice((7, 16)),
        "prompt_format": rng.choice(("raw", "auto", "chat")),
        "scoring": rng.choice(("token", "byte", "word")),
        "weighting": rng.choice(("fixed", "perplexity", "consistency")),
        "contested_only": rng.random() < 0.3,
        "leader": rng.choice((None, rng.randrange(len(names)))),
    }
    prompt: Any = rng.choice(PROMPTS)
    if rng.random() < 0.3:
        prompt, settings["prompt_format"] = rng.choice(CHATS), "chat"
    return members, prompt, settings


@pytest.mark.parametrize("number", range(MIXES))
def test_options_equal_the_oracle(number: int) -> None:
    members, prompt, settings = _case(number)
    compare(members, prompt, **settings)


@pytest.mark.parametrize("number", range(8))
def test_members_that_mostly_agree_equal_the_oracle(number: int) -> None:
    """Random models never agree; a model and a rounded copy of it do, on most words."""
    rng = random.Random(number)
    model, tokenizer = family(rng.choice(list(FAMILIES)), seed=number)
    torch.manual_seed(number)
    copy = copy_module.deepcopy(model)
    with torch.no_grad():
        for weight in copy.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.02 * float(weight.std()))
    members = [
        oracle.OracleMember("a", model, tokenizer),
        oracle.OracleMember("b", copy, tokenizer),
    ]
    settings = {"contested_only": True, "leader": rng.choice((None, 0, 1))}
    answer, _ = compare(members, rng.choice(PROMPTS), max_new_tokens=24, max_words=2, **settings)
    assert any((one.unanimous and len(one.drafters) == 2) or one.led for one in answer.rounds)


def _pair(**of_second: Any) -> Ensemble:
    first = ScriptedMember("one two three four", name="a")
    return Ensemble([first, ScriptedMember(**{"answer": "one two 3 4", "name": "b", **of_second})])


def test_a_leader_goes_ahead_while_it_is_confident() -> None:
    answer = _pair().generate("?", leader="b")
    assert answer.text == "one two 3 4"
    assert all(one.led and not one.unanimous and not one.scored for one in answer.rounds)
    assert answer.usage["a"].forward_passes == 1  # its prompt
    assert answer.usage["a"].committed_tokens == len(answer.text)
    assert _pair().generate("?", leader=1) == answer


@pytest.mark.parametrize("leader", [0, 1])
def test_a_leader_that_never_yields_writes_its_own_answer(leader: int) -> None:
    pair = [oracle.OracleMember(name, *family(name)) for name in ("llama", "gpt2")]
    both = ensemble_of(pair)
    alone = Ensemble([both.members[leader]])
    for prompt in PROMPTS:
        led = both.generate(prompt, leader=leader, margin_threshold=0.0, max_new_tokens=12)
        own = alone.generate(prompt, branches=1, max_new_tokens=40)
        assert own.text.startswith(led.text)
        assert all(one.led for one in led.rounds)


def test_a_leader_that_is_uncertain_asks_the_others() -> None:
    led = _pair(confident=False, weight=0.5).generate("?", leader="b")
    plain = _pair(confident=False, weight=0.5).generate("?")
    assert led.text == plain.text == "one two three four"
    assert not any(one.led for one in led.rounds)


@pytest.mark.parametrize("leader", ["c", 2])
def test_a_leader_that_is_no_member_is_refused_at_once(leader: Any) -> None:
    with pytest.raises(ConfigError, match=r"no member that answers.*a, b"):
        _pair().stream("?", leader=leader)


def test_uncontested_words_are_not_scored() -> None:
    answer = _pair().generate("?", contested_only=True)
    first = answer.rounds[0]
    assert (first.text, first.unanimous, first.scored) == ("one two", True, False)
    assert first.drafters == ("a", "b")
    assert any(one.scored for one in answer.rounds[1:])


def test_what_members_agree_on() -> None:
    def both(*drafts: tuple[tuple[str, ...], bool]) -> tuple[str, bool, tuple[str, ...]] | None:
        found = agreed({str(at): [Draft(*one)] for at, one in enumerate(drafts)})
        return found and (found.text, found.ends, found.words)

    assert both((("a", " b"), True), (("a b",), True)) == ("a b", True, ("a", " b"))
    assert both((("a", " b"), True), (("a",), True)) == ("a", False, ("a",))
    assert both((("a", " b"), False), (("a b",), True)) == ("a b", False, ("a", " b"))
    assert both((("ab",), False), (("a",), False)) is None
    assert both(((), True), (("a",), False)) is None
    assert both(((), True), ((), True)) == ("", True, ())
    assert agreed({"a": [], "b": []}) is None


def test_scores_per_byte_count_what_the_text_is_long() -> None:
    pair = _pair(answer="日本語 と", confident=False)
    tokens, bytes_ = (pair.generate("?", scoring=name).rounds[0] for name in ("token", "byte"))
    for by_token, by_byte in zip(tokens.candidates, bytes_.candidates, strict=True):
        count, size = len(by_token.text), len(by_token.text.encode())
        for name, score in by_token.scores.items():
            assert by_byte.scores[name] == pytest.approx(score * count / size)


def test_a_prompt_that_a_member_predicts_well_gives_it_weight() -> None:
    answer = _pair(nll=3.0).generate("four", weighting="perplexity")
    weights = {name: one.weight for name, one in answer.usage.items()}
    assert weights["a"] == pytest.approx(1 / (1 + math.exp(-2)))
    assert sum(weights.values()) == pytest.approx(1)  # type: ignore[arg-type]
    plain = _pair(nll=3.0).generate("four")
    assert {one.weight for one in plain.usage.values()} == {0.5}


def test_only_what_messages_say_is_rated() -> None:
    pieces = [b"<s>", b"User: ", b"Hel", b"lo ", b"th", b"ere", b"\n", b"Hi"]
    assert said(pieces, ["Hello there"]) == [[2, 3, 4, 5]]
    assert said(pieces, ["Hello", "gone", " there\n"]) == [[2, 3], None, [4, 5]]
    assert said(pieces, ["", "  ", "Hi"]) == [[], [], [7]]
    fit = prompt_nll(pieces, [-1.0, -2.0, -4.0, -8.0, -16.0, -32.0, -64.0], ["Hello there", "x"])
    assert fit.texts == ((30.0, 4), None)
    assert fit.whole == (127.0 / 7 * 8, 8)
    assert prompt_nll([b"a", b"b"], [-3.0], ["ab"]).texts == ((6.0, 2),)  # nothing before "a"
    assert prompt_nll([b"a"], [], ["a"]).texts == (None,)


def test_a_message_that_one_member_cannot_hold_counts_for_none() -> None:
    """Else a member that reads less of the prompt would find it less strange."""
    first, second = (_fit(texts) for texts in (((9.0, 3), (50.0, 10)), ((9.0, 3), None)))
    found = perplexity_weights({"a": 1.0, "b": 1.0}, {"a": first, "b": second})
    assert found["a"] == found["b"]
    assert perplexity_weights({"a": 1.0, "c": 0.0}, {"a": first}) == {"a": 1.0, "c": 0.0}


def _fit(texts: tuple[tuple[float, int] | None, ...]) -> PromptNLL:
    return PromptNLL(texts, (1.0, 1))


def test_common_words_that_a_grammar_refuses_leave_the_others() -> None:
    def draft(word: str) -> ScriptedMember:
        return ScriptedMember(word, name=word, confident=False)

    pair = Ensemble([draft("no"), draft("yes")])
    answers = [
        pair.generate("?", choices=["yes", "no"], contested_only=on).text for on in (True, False)
    ]
    assert answers[0] == answers[1]


def test_consistency_prefers_the_sure_and_the_agreed() -> None:
    even = {"a": 1.0, "b": 1.0}
    sure = [{"a": 0.1, "b": 1.1}, {"a": 4.0, "b": 1.0}]
    first, second = consistent_scores(sure, even)
    assert first < second
    assert consistent_scores([{}, {}], even) == [math.inf, math.inf]
    assert consistent_scores([{"a": math.inf}, {"a": 1.0}], even)[0] == math.inf
    alone = consistent_scores([{"a": 1.0}, {"a": 2.0}], {"a": 1.0})
    assert alone[0] == pytest.approx(-math.log(1 / (1 + math.exp(-1))))
    assert (
        consistent_scores(sure, {"a": 0.0, "b": 1.0})[1]
        < consistent_scores(sure, {"a": 0.0, "b": 1.0})[0]
    )


def test_presets() -> None:
    assert DecodingConfig().override(preset="paper") == DecodingConfig()
    for name, settings in PRESETS.items():
        config = DecodingConfig().override(preset=name)
        assert all(getattr(config, key) == value for key, value in settings.items())
        assert DecodingConfig().override(preset=name, branches=7).branches == 7
    with pytest.raises(ConfigError, match="'paper', 'recommended'"):
        DecodingConfig().override(preset="best")


def test_answers_are_the_same_without_speculation() -> None:
    members, prompt, settings = _case(3)
    config = {**settings, "weighting": "perplexity"}
    form = config.pop("prompt_format")
    given = {"prompt_format": form} if isinstance(prompt, str) else {}
    answers: list[Answer] = [
        ensemble_of(members).generate(prompt, speculation=on, **given, **config)
        for on in (True, False)
    ]
    assert answers[0].text == answers[1].text
