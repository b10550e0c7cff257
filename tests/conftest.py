"""Settings of the whole suite."""

import os
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from browser import Tab
    from cli_calls import Call
    from waiting import Clock

# Before torch is imported anywhere: tests run in several processes, and threads that wait for each
# other's cores make all of them slow.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no network in tests
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# The same examples in every run, whatever the machine and however slow; `make fuzz` looks for more.
_ALIKE = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
settings.register_profile("test", database=None, derandomize=True, **_ALIKE)
settings.register_profile("fuzz", database=None, **_ALIKE)
settings.load_profile("fuzz" if int(os.environ.get("ADAFUSE_FUZZ", "0")) else "test")


_LONGEST = (
    "test_soak",
    "test_ray",
    "test_real",
    "test_random_schemas",
    "test_speculation",
    "test_parity",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: of two processes that take whole files, neither is left with one."""
    items.sort(key=lambda item: item.path.stem not in _LONGEST)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Tiny models are faster on one thread, whatever the number of cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """What forwards cost is not measured when tests load members: their counts are the same."""
    if (loader := sys.modules.get("adafuse.loading.loader")) is not None:
        monkeypatch.setattr(loader, "member_curve", lambda *_: None)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> "Call":
    """What the command asks the library for; see `cli_calls`."""
    from cli_calls import watch

    return watch(monkeypatch)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> "Clock":
    """Time that passes only where `time.sleep` is called."""
    from waiting import Clock

    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    monkeypatch.setattr("time.sleep", clock.sleep)
    return clock


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> "Generator[Tab]":
    """A tab of a real browser, where there is one."""
    from browser import chromium

    with chromium(tmp_path_factory.mktemp("chromium")) as one:
        yield one
