"""Mixed calls from several callers at once: no wrong answer, nothing left behind."""

import threading

import pytest

from soak import run


def test_mixed_calls_from_eight_callers() -> None:
    threads = set(threading.enumerate())
    found = run(calls=96)
    assert found["wrong"] == []
    assert sum(found["by kind"].values()) == 96
    assert found["left open"] == 0
    for thread in set(threading.enumerate()) - threads:
        thread.join(10)  # one that ends just now
    assert set(threading.enumerate()) <= threads


@pytest.mark.long
def test_two_thousand_calls_over_twenty_minutes() -> None:
    found = run(calls=2000, minutes=20)
    assert found["wrong"] == []
    assert found["left open"] == 0
    assert found["end"]["threads"] <= found["warm"]["threads"]
    assert found["end"]["files"] <= found["warm"]["files"] + 8  # sockets of running loops
    assert found["end"]["mib"] <= found["warm"]["mib"] * 1.05
