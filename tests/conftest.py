"""Settings of the whole suite."""

import os
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from browser import Tab
    from cli_calls import Call

# Before torch is imported anywhere: tests run in several processes, and threads that wait for each
# other's cores make all of them slow.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no network in tests
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Tiny models are faster on one thread, whatever the number of cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> "Call":
    """What the command asks the library for; see `cli_calls`."""
    from cli_calls import watch

    return watch(monkeypatch)


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> "Generator[Tab]":
    """A tab of a real browser, where there is one."""
    from browser import chromium

    with chromium(tmp_path_factory.mktemp("chromium")) as one:
        yield one
