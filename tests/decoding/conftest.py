"""What holds after tests of members that fail: see `usefixtures` in them."""

import threading
from collections.abc import Iterator

import pytest

from waiting import PATIENCE


@pytest.fixture
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
    assert set(threading.enumerate()) <= before
