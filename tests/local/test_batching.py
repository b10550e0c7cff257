"""Forwards that several threads ask for: shared, in turns, and each with its own error."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from adafuse import Ensemble
from adafuse.concurrency.callers import calling_as
from adafuse.errors import MemberMemoryError
from adafuse.local import batching
from adafuse.local.batching import ForwardScheduler
from adafuse.local.kv_cache import KVCache
from adafuse.local.member import LocalMember
from adafuse.local.request import Request
from families import FAMILIES
from waiting import PATIENCE, until

PROMPTS = tuple(f"{number} bottles of" for number in range(6))


def own(name: str) -> LocalMember:
    return LocalMember(*FAMILIES[name](1, eos_bias=-9.0), name, prompt_cache_mb=0)


def texts(ensemble: Ensemble, prompts: Any = PROMPTS) -> list[Any]:
    def one(prompt: str) -> Any:
        try:
            return ensemble.generate(prompt, max_new_tokens=16).text
        except Exception as error:
            return type(error)

    with ThreadPoolExecutor(len(prompts)) as pool:
        return list(pool.map(one, prompts))


def fail(
    monkeypatch: pytest.MonkeyPatch, one: LocalMember, at: int, error: type[BaseException]
) -> None:
    """Let one of a member's forwards raise, once."""
    forward, times = one.runner.forward, []

    def failing(request: Any) -> Any:
        times.append(1)
        if len(times) == at:
            raise error
        return forward(request)

    monkeypatch.setattr(one.runner, "forward", failing)


def test_a_shared_forward_that_fails_is_run_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    one = own("llama")
    ensemble = Ensemble([one])
    alone = [ensemble.generate(p, max_new_tokens=16).text for p in PROMPTS]
    packed, shared = one.runner.forward_packed, []

    def half_way(requests: Any) -> Any:
        rows = packed(requests)
        if len(requests) == 1:
            return rows
        shared.append(len(requests))  # the caches are written to, and then it fails
        raise torch.OutOfMemoryError

    monkeypatch.setattr(one.runner, "forward_packed", half_way)
    assert texts(ensemble) == alone
    assert shared


def test_only_the_row_at_fault_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    one = own("gpt2")
    ensemble = Ensemble([one])
    alone = [ensemble.generate(p, max_new_tokens=16).text for p in PROMPTS]
    forward = one.runner.forward

    def failing(request: Any) -> Any:
        if threading.current_thread().name.endswith("_0") and len(request.tokens) > 3:
            raise MemoryError
        return forward(request)

    monkeypatch.setattr(one.runner, "forward", failing)
    found = texts(ensemble)
    assert all(text in (right, MemberMemoryError) for text, right in zip(found, alone, strict=True))
    monkeypatch.undo()
    assert texts(ensemble) == alone


def test_an_interrupted_thread_leaves_others_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    one = own("qwen2")
    ensemble = Ensemble([one])
    alone = ensemble.generate(PROMPTS[1], max_new_tokens=16).text
    fail(monkeypatch, one, 3, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        ensemble.generate(PROMPTS[0], max_new_tokens=16)
    assert ensemble.generate(PROMPTS[1], max_new_tokens=16).text == alone


@pytest.mark.parametrize("at", [1, 2, 4])
def test_a_forward_that_failed_leaves_nothing_wrong_in_the_prompt_cache(
    at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = LocalMember(*FAMILIES["llama"](1, eos_bias=-9.0), "llama", prompt_cache_mb=8)
    ensemble = Ensemble([one])
    plain = ensemble.generate(PROMPTS[0], max_new_tokens=16, speculation=False).text
    fail(monkeypatch, one, at, MemoryError)
    with pytest.raises(MemoryError):
        ensemble.generate(PROMPTS[0], max_new_tokens=16)
    assert ensemble.generate(PROMPTS[0], max_new_tokens=16).text == plain


class Slow:
    """A model whose forwards take a while; it notes how many requests shared each."""

    packs = True

    def __init__(self, first: Callable[[], Any] = lambda: None) -> None:
        self.sizes: list[int] = []
        self._first = first

    def forward(self, request: Any) -> Any:
        return self.forward_packed([request])[0]

    def forward_packed(self, requests: Any) -> Any:
        if not self.sizes:
            self._first()
        self.sizes.append(len(requests))
        time.sleep(0.01)
        return [torch.zeros(1, 1) for _ in requests]


def ask(forwards: ForwardScheduler, model: Any, times: int) -> None:
    for _ in range(times):
        forwards.read(model, Request([1], [0], 1, (), KVCache(), 1), lambda rows: None)


def test_a_forward_waits_for_those_who_come_back_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "_PATIENCE", 1e9)  # however late a thread is
    monkeypatch.setattr(batching, "_LONGEST_WAIT", PATIENCE)
    forwards = ForwardScheduler()
    model = Slow(lambda: until(lambda: len(forwards._waiting) == 3))

    def call(_: int) -> None:
        ask(forwards, model, 10)
        forwards.left()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(call, range(4)))
    assert model.sizes == [1, *[4] * 9, 3]


def test_a_caller_may_come_in_one_thread_or_another() -> None:
    """As sessions do whose calls come over a network."""
    forwards, model = ForwardScheduler(), Slow()

    def once(caller: int) -> None:
        with calling_as(caller):
            ask(forwards, model, 1)

    for _ in range(3):  # each time in new threads
        for caller in range(2):
            thread = threading.Thread(target=once, args=(caller,))
            thread.start()
            thread.join()
    assert forwards.callers == 2
    with calling_as(0):
        forwards.left()
    assert forwards.callers == 1


def test_nobody_waits_for_a_caller_that_has_left_or_stays_away() -> None:
    forwards, model = ForwardScheduler(), Slow()

    def leave() -> None:
        ask(forwards, model, 1)
        forwards.left()

    for once in (leave, lambda: ask(forwards, model, 1)):
        thread = threading.Thread(target=once)
        thread.start()
        thread.join()
        ask(forwards, model, 3)
    assert model.sizes == [1] * 8
    assert forwards.callers <= 2


def test_what_fails_after_a_forward_is_the_error_of_its_own_row() -> None:
    forwards, model, caches = ForwardScheduler(), Slow(), [KVCache(), KVCache()]

    def one(number: int) -> Any:
        def then(rows: torch.Tensor) -> None:
            if number:
                raise KeyError(number)

        try:
            return forwards.read(model, Request([1], [0], 1, (), caches[number], 1), then)  # type: ignore[arg-type]
        except KeyError as error:
            return error.args

    with ThreadPoolExecutor(2) as pool:
        seconds, error = pool.map(one, range(2))
    assert seconds > 0
    assert error == (1,)
