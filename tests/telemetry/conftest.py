"""A recorder for each test, and an environment that asks for no content."""

from __future__ import annotations

import pytest

from telemetry_recorder import (
    CONTENT,
    Recorded,
)


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture(autouse=True)
def _no_content_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONTENT, raising=False)
