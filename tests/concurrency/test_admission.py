"""The gate: bounds, order, and places that are given back whatever happens."""

import asyncio
import pickle
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from adafuse.concurrency.admission import Admission
from adafuse.errors import AnswerTimeoutError, ConfigError, QueueFullError
from waiting import PATIENCE


def test_at_most_so_many_are_admitted_and_wait() -> None:
    gate = Admission(2, 1)
    first, second, third = gate.join(), gate.join(), gate.join()
    assert (gate.running, gate.waiting) == (2, 1)
    assert [one.ready.done() for one in (first, second, third)] == [True, True, False]
    with pytest.raises(QueueFullError, match="2 answers are being decoded and 1 wait"):
        gate.join()
    second.leave()
    assert third.ready.done()
    assert (gate.running, gate.waiting) == (2, 0)


def test_without_bounds_nobody_waits() -> None:
    gate = Admission()
    assert all(gate.join().ready.done() for _ in range(100))
    assert (gate.running, gate.waiting) == (100, 0)


def test_without_a_queue_nobody_waits() -> None:
    gate = Admission(1, 0)
    with gate.admitted(), pytest.raises(QueueFullError):
        gate.join()
    with gate.admitted():
        assert gate.running == 1


def test_first_come_first_served() -> None:
    gate = Admission(1)
    holder = gate.join()
    places = [gate.join() for _ in range(5)]
    holder.leave()
    for at, place in enumerate(places):
        assert [one.ready.done() for one in places] == [True] * (at + 1) + [False] * (4 - at)
        place.leave()
    assert (gate.running, gate.waiting) == (0, 0)


def test_who_leaves_the_queue_is_passed_over() -> None:
    gate = Admission(1, 2)
    holder, gone, last = gate.join(), gate.join(), gate.join()
    gone.leave()
    assert gate.waiting == 1
    gate.join().leave()  # there is room again
    holder.leave()
    assert (gone.ready.done(), last.ready.done()) == (False, True)


def test_leaving_twice_gives_up_one_place() -> None:
    gate = Admission(1)
    holder, second, third = gate.join(), gate.join(), gate.join()
    holder.leave()
    holder.leave()
    assert (second.ready.done(), third.ready.done()) == (True, False)


def test_one_that_waits_too_long_leaves_the_queue() -> None:
    gate = Admission(1, 1)
    holder = gate.join()
    with pytest.raises(AnswerTimeoutError), gate.admitted(timeout=0.01):
        pytest.fail("the place was taken")
    assert gate.waiting == 0
    holder.leave()
    with gate.admitted(timeout=PATIENCE):
        assert gate.running == 1
    assert gate.running == 0


def test_an_error_gives_the_place_back() -> None:
    gate = Admission(1, 0)
    with pytest.raises(ZeroDivisionError), gate.admitted():
        raise ZeroDivisionError
    assert gate.running == 0


async def test_a_loop_waits_without_blocking_and_may_be_cancelled() -> None:
    gate = Admission(1)
    holder = gate.join()
    gone, last = gate.join(), gate.join()
    waiter = asyncio.ensure_future(asyncio.wrap_future(gone.ready))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    holder.leave()  # the turn of one that has given up and has not left yet
    assert (gate.running, last.ready.done()) == (1, False)
    gone.leave()
    await asyncio.wait_for(asyncio.wrap_future(last.ready), PATIENCE)
    last.leave()
    assert (gate.running, gate.waiting) == (0, 0)


def test_many_threads_never_exceed_the_bound_and_leave_nothing_behind() -> None:
    gate = Admission(3, None)
    lock = threading.Lock()
    inside, most, refused = 0, 0, 0
    dice = random.Random(0)
    patience = [dice.choice([None, None, 1e-4]) for _ in range(400)]

    def use(timeout: float | None) -> None:
        nonlocal inside, most, refused
        try:
            with gate.admitted(timeout):
                with lock:
                    inside += 1
                    most = max(most, inside)
                threading.Event().wait(1e-4)
                with lock:
                    inside -= 1
        except AnswerTimeoutError:
            with lock:
                refused += 1

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(use, patience))
    assert (inside, gate.running, gate.waiting) == (0, 0, 0)
    assert 1 <= most <= 3
    assert refused <= sum(one is not None for one in patience)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ((0, 1), "max_concurrency must be a whole number of at least 1"),
        ((True, 1), "max_concurrency"),
        ((1, -1), "max_queue must be a whole number of at least 0"),
        ((1, 1.5), "max_queue"),
    ],
)
def test_wrong_bounds_are_refused(bounds: tuple[Any, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Admission(*bounds)


def test_a_wrong_patience_is_refused_before_a_place_is_taken() -> None:
    gate = Admission(1, 0)
    with pytest.raises(ConfigError, match="timeout"), gate.admitted(timeout=0):
        pytest.fail("admitted")
    assert gate.running == 0


def test_a_gate_is_pickled_by_its_limits() -> None:
    gate = Admission(1, 0)
    gate.join()
    other = pickle.loads(pickle.dumps(gate))
    assert (other.running, other.waiting) == (0, 0)
    place = other.join()
    with pytest.raises(QueueFullError):
        other.join()
    place.leave()
