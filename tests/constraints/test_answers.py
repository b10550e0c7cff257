"""What holds for every constrained answer, whoever writes it and however it is read."""

import threading
from typing import Any

import pytest

from adafuse import (
    Answer,
    Ensemble,
    IncompleteAnswerError,
    Round,
)
from adafuse.local.member import LocalMember
from adafuse.testing import ScriptedMember
from constrained_cases import PERSON, PROMPT, ensemble, person
from families import family
from oracle_text import Text

CHAT = [{"role": "user", "content": "Hi"}]


TWO = ("llama", "qwen2")


# Rounds


@pytest.mark.parametrize("names", [TWO, ("gemma3", "mistral", "gpt2"), ("llama3",)], ids="-".join)
def test_forced_rounds_are_nobodys_and_everything_adds_up(names: tuple[str, ...]) -> None:
    members = ensemble(*names)
    answer = members.generate(PROMPT, json_schema=PERSON)
    person(answer.text)
    assert "".join(one.text for one in answer.rounds) == answer.text
    assert "".join(word for one in answer.rounds for word in one.words) == answer.text
    assert [one.index for one in answer.rounds] == list(range(1, len(answer.rounds) + 1))
    first, *others = answer.rounds
    assert (first.text, first.forced) == ('{"first name":', True)
    assert first.words == ('{"first', ' name":')
    assert any(not one.forced for one in others)
    for one in answer.rounds:
        assert one.ends == (one is answer.rounds[-1])
        assert one.winner >= 0
        assert (one.member == "") == (one.drafters == ()) == one.forced
        if one.forced:
            (candidate,) = one.candidates
            assert (candidate.text, candidate.words) == (one.text, one.words)
            assert (candidate.drafters, candidate.score, dict(candidate.scores)) == ((), None, {})
            assert (dict(one.margins), one.scored, one.unanimous) == ({}, False, False)
        else:
            assert one.drafters == one.candidates[one.winner].drafters
    for member, usage in zip(members.members, answer.usage.values(), strict=True):
        assert len(usage.token_ids) == usage.committed_tokens
        text = Text(member.tokenizer)  # type: ignore[attr-defined]
        prompt = text.raw_prompt(PROMPT)
        assert (
            text.read(prompt + list(usage.token_ids))[0].removeprefix(text.read(prompt)[0])
            == answer.text
        )


def test_a_sentence_without_choice_is_one_forced_round() -> None:
    answer = ensemble(*TWO).generate(PROMPT, choices=["only this, and nothing else"])
    (only,) = answer.rounds
    assert (only.text, only.forced, only.finish_reason) == (
        "only this, and nothing else",
        True,
        "stop",
    )
    assert [usage.forward_passes for usage in answer.usage.values()] == [1, 1]


def test_an_answer_that_must_be_empty_is() -> None:
    answer = ensemble("llama").generate(PROMPT, regex="a{0}")
    assert (answer.text, answer.finish_reason, len(answer.rounds)) == ("", "stop", 1)
    assert answer.rounds[0].forced


@pytest.mark.parametrize("names", [TWO, ("gemma3",)], ids="-".join)
def test_leading_blanks_stay_in_chat(names: tuple[str, ...]) -> None:
    """Members with a template would leave them out of a free answer."""
    for choices in ([" yes", " no"], ["  a b", "  a c"], [" only"]):
        answer = ensemble(*names).generate(CHAT, choices=choices)
        assert answer.text in choices


def test_words_of_an_answer_after_a_stripped_blank_are_read_as_they_are() -> None:
    """The blank of round one is that of round one alone, also if the next round is forced."""
    tools = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    member = ScriptedMember("[TOOL_CALLS]look{", "script", weight=9.0, confident=False)
    for name in ("gemma3", "qwen2"):
        local = LocalMember(*family(name, 2, eos_bias=-9.0), name)
        answer = Ensemble([member, local]).generate(CHAT, tools=tools)
        assert any(one.forced for one in answer.rounds[1:3])
        first, *rest = answer.rounds
        ids = list(answer.usage[name].token_ids)
        text = local.codec.text(ids)
        assert text.removeprefix(" ") == first.text + "".join(one.text for one in rest)


# Settings


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 5.0, "seed": 3},
        {"repetition_penalty": 3.0},
        {"repetition_penalty": 0.5},
        {"max_words": 1},
        {"max_words": 50},
        {"branches": 1},
        {"branches": 40},
        {"branches": 40, "margin_threshold": 1.0, "max_word_tokens": 1},
        {"margin_threshold": 0.0, "max_words": 50},
        {"weights": [0.0, 1.0]},
    ],
    ids=str,
)
def test_every_setting_keeps_to_the_schema(settings: dict[str, Any]) -> None:
    answers = {
        ensemble(*TWO).generate(PROMPT, json_schema=PERSON, **settings).text for _ in range(2)
    }
    (text,) = answers  # and the same comes again
    person(text)


def test_seeds_give_different_answers_within_the_grammar() -> None:
    given: dict[str, Any] = {"regex": "[a-z]{4}( [a-z]{4}){3}", "temperature": 50.0}
    texts = {ensemble(*TWO).generate(PROMPT, seed=seed, **given).text for seed in range(6)}
    assert len(texts) > 2
    assert all(len(text) == 19 for text in texts)


@pytest.mark.parametrize("stop", ["pl", "e", "d ap", "red apple"])
def test_a_stop_string_within_a_sentence_leaves_it_incomplete(stop: str) -> None:
    members = ensemble(*TWO)
    rounds = members.stream(PROMPT, choices=["a red apple tree"], stop=[stop])
    done: list[Round] = []
    with pytest.raises(IncompleteAnswerError, match="one of choices: it ended at a stop") as caught:
        done.extend(rounds)
    assert done[-1].finish_reason == "stop_string"
    answer = caught.value.answer
    assert answer == Answer.fold(done)
    assert answer.text == "a red apple tree".partition(stop)[0]
    with pytest.raises(IncompleteAnswerError):
        members.generate(PROMPT, choices=["a red apple tree"], stop=[stop])


def test_a_stop_string_that_leaves_a_whole_answer_is_no_error() -> None:
    answer = ensemble("llama").generate(PROMPT, regex="yes(,.{5})?", stop=[","], branches=9)
    assert answer.text == "yes"
    assert answer.finish_reason in ("stop", "stop_string")


def test_the_stop_of_members_without_a_template_is_none_of_a_grammar() -> None:
    answer = ensemble("gpt2").generate(CHAT, choices=["a\n\nUser: b", "a\n\nUser: c"])
    assert answer.text in ("a\n\nUser: b", "a\n\nUser: c")
    assert answer.finish_reason == "stop"


def test_too_few_tokens_yield_the_last_round_and_then_the_error() -> None:
    rounds = ensemble(*TWO).stream(PROMPT, json_schema=PERSON, max_new_tokens=5)
    done: list[Round] = []
    with pytest.raises(IncompleteAnswerError, match="not a whole JSON answer") as caught:
        done.extend(rounds)
    assert done[-1].finish_reason == "length"
    assert done[-1].usage is not None
    assert caught.value.answer == Answer.fold(done)
    assert done[-1].usage["llama-0"].committed_tokens <= 5


# Sessions


def test_an_answer_that_is_left_early_leaves_members_usable() -> None:
    members = ensemble(*TWO)
    whole = members.generate(PROMPT, json_schema=PERSON)
    for count in range(len(whole.rounds)):
        rounds = members.stream(PROMPT, json_schema=PERSON)
        for _ in range(count):
            next(rounds)
        rounds.close()
    again = members.generate(PROMPT, json_schema=PERSON)
    assert [one.text for one in again.rounds] == [one.text for one in whole.rounds]
    assert again.usage["qwen2-1"].token_ids == whole.usage["qwen2-1"].token_ids


def test_answers_of_two_threads_do_not_disturb_each_other() -> None:
    members = ensemble(*TWO)
    given: list[dict[str, Any]] = [
        {"json_schema": PERSON},
        {"regex": "[a-z]{5}( [a-z]{5}){3}[.]"},
        {"choices": ["a b c", "a b d"]},
        {},
    ]
    alone = [members.generate(PROMPT, max_new_tokens=60, **one).text for one in given]
    found: dict[int, list[str]] = {}

    def work(offset: int) -> None:
        order = [(offset + step) % len(given) for step in range(2 * len(given))]
        texts = [members.generate(PROMPT, max_new_tokens=60, **given[at]).text for at in order]
        found[offset] = [text for _, text in sorted(zip(order, texts, strict=True))][::2]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {0: alone, 1: alone}
