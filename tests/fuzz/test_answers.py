"""Fuzzing of whole answers, of scripted and of tiny random members; see fuzz_running."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adafuse import Answer, Ensemble
from adafuse.local.member import LocalMember
from adafuse.testing import ScriptedMember
from families import family
from fuzz_asking import ANSWERS, GRAMMARS, PROMPTS, REGEXES, SCHEMAS, SETTINGS, WAYS
from fuzz_running import ends_well, fuzzed
from fuzz_values import TEXT, maybe

CONSTRAINTS = ("json_schema", "regex", "choices", "grammar")
PLAIN = {name: values for name, values in SETTINGS.items() if name not in CONSTRAINTS}
EVERY = {**PLAIN, **WAYS}
FEW = st.lists(st.sampled_from(sorted(EVERY)), max_size=4, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: EVERY[name] for name in names})
)
HOW = st.one_of(FEW, FEW, maybe({}, EVERY, often=60))
SHORT = {"max_new_tokens": 24}


def check(answer: Answer) -> None:
    assert answer.text == "".join(one.text for one in answer.rounds)
    for one in answer.rounds:
        assert "".join(one.words) == one.text
    assert answer.usage


def ask(ensemble: Ensemble, prompt: Any, how: dict[Any, Any]) -> None:
    check(ensemble.generate(prompt, **{**SHORT, **{str(key): one for key, one in how.items()}}))


def scripted(answers: list[str], confident: bool, templated: bool) -> Ensemble:
    return Ensemble(
        [
            ScriptedMember(answer, name, confident=confident, templated=templated)
            for answer, name in zip(answers, ("first", "second", "third"), strict=False)
        ]
    )


@functools.cache
def tiny() -> Ensemble:
    return Ensemble(
        [
            LocalMember(*family("llama"), "first"),
            LocalMember(*family("gemma3", 1), "second"),
        ]
    )


ENSEMBLES = st.builds(
    scripted, st.lists(ANSWERS, min_size=1, max_size=3), st.booleans(), st.booleans()
)


@fuzzed(0.1, 60)
@given(ENSEMBLES, PROMPTS, HOW)
def test_fuzz_scripted_answers(ensemble: Ensemble, prompt: Any, how: dict[Any, Any]) -> None:
    with ends_well():
        ask(ensemble, prompt, how)


@fuzzed(0.025, 12)
@given(PROMPTS, HOW)
def test_fuzz_answers_of_models(prompt: Any, how: dict[Any, Any]) -> None:
    with ends_well():
        ask(tiny(), prompt, {**how, "max_new_tokens": 8})


@pytest.mark.parametrize("models", [False, True])
def test_fuzz_constrained_answers(models: bool) -> None:
    values = {"json_schema": SCHEMAS, "regex": REGEXES, "grammar": GRAMMARS}
    pairs = st.sampled_from(sorted(values)).flatmap(
        lambda name: st.tuples(st.just(name), values[name])
    )

    @fuzzed(0.025, 12)
    @given(ENSEMBLES, TEXT.filter(bool), pairs, st.integers(1, 40))
    def run(ensemble: Ensemble, prompt: str, one: tuple[str, Any], tokens: int) -> None:
        with ends_well():
            asked = tiny() if models else ensemble
            check(asked.generate(prompt, max_new_tokens=tokens, **{one[0]: one[1]}))

    run()


@fuzzed(0.025, 12)
@given(ENSEMBLES, PROMPTS, HOW, st.integers(0, 3))
def test_fuzz_streams_that_are_left(
    ensemble: Ensemble, prompt: Any, how: dict[Any, Any], rounds: int
) -> None:
    with ends_well():
        stream = ensemble.stream(prompt, **{str(key): one for key, one in how.items()})
        for _ in range(rounds):
            next(stream, None)
        stream.close()
        assert next(stream, None) is None


def test_fuzz_answers_are_given() -> None:
    given_ = []

    @fuzzed(0, 150)
    @given(ENSEMBLES, PROMPTS, HOW)
    def run(ensemble: Ensemble, prompt: Any, how: dict[Any, Any]) -> None:
        with ends_well():
            ask(ensemble, prompt, how)
            given_.append(1)

    run()
    assert len(given_) > 20
