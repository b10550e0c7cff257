"""Turns are taken in the order in which threads came, whatever happens to those who wait."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from adafuse import Ensemble
from adafuse.local import LocalMember
from adafuse.turns import Turns
from families import family


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def started(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def test_those_who_wait_are_served_in_the_order_in_which_they_came() -> None:
    turns, served = Turns(), list[int]()

    def serve(number: int) -> None:
        with turns:
            served.append(number)

    with turns:
        threads = []
        for number in range(20):
            threads.append(started(lambda number=number: serve(number)))
            wait_until(lambda number=number: turns.waiting == number + 1)
    for thread in threads:
        thread.join()
    assert served == list(range(20))
    assert turns.waiting == 0


def test_one_who_comes_back_at_once_stands_behind_those_who_wait() -> None:
    turns, served = Turns(), list[str]()

    def other() -> None:
        with turns:
            served.append("other")

    with turns:
        thread = started(other)
        wait_until(lambda: turns.waiting == 1)
        served.append("busy")
    with turns:
        served.append("busy again")
    thread.join()
    assert served == ["busy", "other", "busy again"]


def test_one_holds_it_at_a_time() -> None:
    turns, inside, most = Turns(), list[int](), list[int]()

    def work(number: int) -> None:
        for _ in range(200):
            with turns:
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)

    threads = [started(lambda number=number: work(number)) for number in range(8)]
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) == 1600


def test_an_error_of_the_holder_passes_it_on() -> None:
    turns = Turns()
    with pytest.raises(KeyError), turns:
        raise KeyError
    with turns:
        assert turns.waiting == 0


@pytest.mark.parametrize("behind", [0, 2])
def test_a_waiting_thread_that_is_interrupted_leaves_the_queue(behind: int) -> None:
    turns, served, done = Turns(), list[int](), threading.Event()
    threads: list[threading.Thread] = []

    def hold() -> None:
        with turns:
            done.wait(10)

    def serve(number: int) -> None:
        with turns:
            served.append(number)

    def interrupt() -> None:  # once this thread waits, and others behind it
        wait_until(lambda: turns.waiting == 1)
        for number in range(behind):
            threads.append(started(lambda number=number: serve(number)))
            wait_until(lambda number=number: turns.waiting == number + 2)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def interrupted(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        holder = started(hold)
        wait_until(lambda: turns._holder is not None)
        helper = started(interrupt)
        with pytest.raises(KeyboardInterrupt), turns:
            raise AssertionError("it was not this thread's turn")
        helper.join()
    finally:
        signal.signal(signal.SIGINT, before)
        done.set()
    assert turns.waiting == behind
    for thread in (holder, *threads):
        thread.join()
    assert served == list(range(behind))
    with turns:
        assert turns.waiting == 0


def test_one_who_gives_up_when_served_already_passes_it_on() -> None:
    turns = Turns()
    with turns:
        thread = started(lambda: turns.__enter__())
        wait_until(lambda: turns.waiting == 1)
        ticket = turns._waiting[0]
    thread.join()
    turns._leave(ticket)  # as an exception would that comes right after the wait
    turns._leave(ticket)
    with turns:
        assert turns.waiting == 0


class Recorded(Turns):
    """Turns that know who was served in what order, and who was overtaken."""

    def __init__(self) -> None:
        super().__init__()
        self.served: list[int] = []
        self.overtaken = 0

    def __enter__(self) -> None:
        before = list(self._waiting)
        super().__enter__()
        self.served.append(threading.get_ident())
        self.overtaken += sum(ticket in self._waiting for ticket in before)


@pytest.mark.parametrize("count", [3, 8])
def test_answers_at_once_go_on_forward_by_forward(count: int) -> None:
    """Nobody is overtaken, so by the time one has all its forwards the others have most."""
    member = LocalMember(*family("gpt2", 1, eos_bias=-9.0), "gpt2")
    ensemble = Ensemble([member], None)
    asked: dict[str, Any] = {"prompt": "The quick", "max_new_tokens": 24}
    alone = ensemble.generate(**asked)
    forwards = alone.usage["gpt2"].forward_passes
    turns = member.backbone._turns = Recorded()
    run = type(member.backbone.model).forward
    ready, texts = threading.Barrier(count), list[str]()

    def slow(*args: Any, **kwargs: Any) -> Any:
        time.sleep(0.003)  # the forward is what takes time, as with a model of a real size
        return run(member.backbone.model, *args, **kwargs)

    def answer() -> None:
        ready.wait()
        texts.append(ensemble.generate(**asked).text)

    member.backbone.model.forward = slow  # type: ignore[method-assign]
    try:
        threads = [started(answer) for _ in range(count)]
        for thread in threads:
            thread.join()
    finally:
        del member.backbone.model.forward
    assert texts == [alone.text] * count
    assert Counter(Counter(turns.served).values()) == {forwards: count}
    assert turns.overtaken == 0
    progress: Counter[int] = Counter()
    for one in turns.served:
        progress[one] += 1
        if progress[one] == forwards:
            break
    assert min(progress[one] for one in set(turns.served)) >= forwards // 2
