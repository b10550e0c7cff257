"""Reading ahead, sharing forwards and reusing prompts change the cost of an answer, nothing else.

`test_parity` holds the fast path against the oracle; here it is compared with the plain path.
"""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from adafuse import Ensemble, MemberSpec
from adafuse.config import DecodingConfig
from adafuse.decoding.failures import FailurePolicy
from adafuse.decoding.sessions import SessionGroup
from adafuse.errors import ConfigError, PromptError
from adafuse.local.member import LocalMember
from adafuse.local.prompt_cache import PromptCache
from adafuse.testing import ScriptedMember
from families import family
from speculation_cases import PROMPTS, members, same, settings
from waiting import PATIENCE

MIXES = 100


@pytest.mark.parametrize("block", range(10))
def test_answers_are_the_same_with_everything_on_and_everything_off(block: int) -> None:
    compared = total = 0
    for number in range(block, MIXES, 10):
        ensemble = Ensemble(members(number, cache=8))
        prompt, given = PROMPTS[number % len(PROMPTS)], settings(number)
        plain = ensemble.generate(prompt, speculation=False, **given)
        for _ in range(2):  # the second time from the prompt cache
            answer = ensemble.generate(prompt, **given)
            compared, total = compared + same(plain, answer), total + len(plain.rounds)
    assert compared >= 0.95 * total


def test_rows_of_a_batch_are_what_they_are_alone() -> None:
    ensemble = Ensemble(members(7))
    assert all(one.runner.packs for one in ensemble.members if isinstance(one, LocalMember))
    alone = [ensemble.generate(p, max_new_tokens=24) for p in PROMPTS]
    for one, other in zip(alone, ensemble.generate_batch(PROMPTS, max_new_tokens=24), strict=True):
        assert same(one, other)
    assert ensemble.generate_batch([]) == []
    with pytest.raises(PromptError, match="list of prompts"):
        ensemble.generate_batch("one")
    with pytest.raises(ConfigError, match="max_concurrency"):
        ensemble.generate_batch(PROMPTS, max_concurrency=0)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3", "qwen2"])
def test_each_family_shares_forwards(name: str) -> None:
    """With so many callers some must meet; each one's seconds are its part of a forward."""
    one = LocalMember(*family(name, 1), name, prompt_cache_mb=0)
    assert one.runner.packs
    sizes: list[int] = []
    packed = one.runner.forward_packed

    def noted(requests: Any) -> Any:
        sizes.append(len(requests))
        return packed(requests)

    one.runner.forward_packed = noted  # type: ignore[method-assign]
    try:
        ensemble = Ensemble([one])
        alone = [ensemble.generate(p, max_new_tokens=24) for p in PROMPTS]
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda p: ensemble.generate(p, max_new_tokens=24), PROMPTS))
    finally:
        del one.runner.forward_packed
    assert max(sizes) > 1
    for a, b in zip(alone, made, strict=True):
        assert same(a, b)


def test_two_that_agree_need_fewer_passes_than_tokens() -> None:
    model = family("llama", 1)
    pair = [LocalMember(*model, name, prompt_cache_mb=0) for name in ("a", "b")]
    answer = Ensemble(pair).generate(PROMPTS[0], branches=1, max_new_tokens=48)
    passes = sum(usage.forward_passes - 1 for usage in answer.usage.values())
    assert passes <= 0.7 * sum(usage.committed_tokens for usage in answer.usage.values())


def test_a_chat_reads_each_token_of_its_history_once() -> None:
    """What is read of a prompt is what no earlier prompt or answer had in its place."""
    one = LocalMember(*family("llama", 1), "llama", prompt_cache_mb=8)
    one.runner.prompts.clear()
    ensemble = Ensemble([one])
    history: list[Any] = []
    seen: list[tuple[int, ...]] = []
    for turn in range(10):
        history.append({"role": "user", "content": f"Question {turn}, please."})
        answer = ensemble.generate(history, max_new_tokens=8)
        usage = answer.usage["llama"]
        assert bool(usage.reused_tokens) == bool(turn)
        seen.append((usage.prompt_tokens, usage.reused_tokens))
        history.append({"role": "assistant", "content": answer.text})
    for (before, _), (_, reused) in itertools.pairwise(seen):
        assert reused >= before - 1  # the whole prompt of the turn before


def test_a_prompt_cache_keeps_to_its_budget() -> None:
    one = LocalMember(*family("gpt2", 1), "gpt2", prompt_cache_mb=1)
    ensemble = Ensemble([one])
    one.runner.prompts.clear()
    for number in range(40):
        ensemble.generate(f"{number} times " * 8, max_new_tokens=4)
        assert one.runner.prompts.nbytes <= one.runner.prompts.budget
    off = LocalMember(*family("qwen2", 1), "off", prompt_cache_mb=0)
    off.runner.prompts.clear()
    for _ in range(2):
        answer = Ensemble([off]).generate("A prompt that is long enough", max_new_tokens=4)
        assert answer.usage["off"].reused_tokens == 0
    assert PromptCache(0).find([1, 2, 3] * 9, None) is None
    with pytest.raises(ConfigError, match="prompt_cache_mb"):
        MemberSpec("x", prompt_cache_mb=-1)


def test_members_without_speculation_are_asked_as_before() -> None:
    """What is no `Speculative` session is told nothing, and answers."""
    ensemble = Ensemble([ScriptedMember("Two words", name="a"), ScriptedMember("Two", name="b")])
    assert ensemble.generate("x").text == ensemble.generate("x", speculation=False).text


def test_members_in_different_places_work_at_the_same_time() -> None:
    barrier = threading.Barrier(2, timeout=PATIENCE)

    class Placed:
        def __init__(self, place: str) -> None:
            self.place, self.price = place, 1.0

        def likely(self) -> list[str]:
            return []

        def hint(self, texts: Any) -> None:
            pass

        def look_ahead(self, tokens: int) -> str:
            return ""

        def prefill(self) -> None:
            barrier.wait()

        def close(self) -> None:
            pass

    placed: Any = {"a": Placed("cuda:0"), "b": Placed("cuda:1")}
    config = DecodingConfig()
    with closing(
        SessionGroup(placed, config, FailurePolicy({"a": 1.0, "b": 1.0}, config))
    ) as group:
        group.prefill()  # breaks the barrier unless both are under way


def test_places_change_no_answer_and_leave_no_thread() -> None:
    alone = Ensemble(members(7)).generate(PROMPTS[0], max_new_tokens=24)
    apart = members(7)
    for number, one in enumerate(apart):
        one.runner.place = f"place {number}"
    threads = threading.active_count()
    ensemble = Ensemble(apart)
    assert same(alone, ensemble.generate(PROMPTS[0], max_new_tokens=24))
    with closing(ensemble.stream(PROMPTS[1], max_new_tokens=24)) as rounds:
        next(rounds)
        assert threading.active_count() == threads + len(apart)
    assert threading.active_count() == threads


def test_speculation_is_a_switch() -> None:
    with pytest.raises(ConfigError, match="speculation"):
        Ensemble(members(1)).generate("x", speculation="yes")
