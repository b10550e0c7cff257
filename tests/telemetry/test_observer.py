"""Observed rounds go through unchanged, whoever listens, and nothing is imported for nobody."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Generator

import pytest
from opentelemetry.trace import StatusCode

from adafuse import (
    Answer,
    DecodingConfig,
    Round,
)
from adafuse.prompting.prompt import read_prompt
from adafuse.telemetry.observer import observed
from faulty_members import Faulty
from telemetry_recorder import (
    PROMPT,
    SCRIPT,
    Recorded,
    level,
    observe,
    pair,
    plain,
    without_times,
)


def test_rounds_go_through_unchanged(recorded: Recorded) -> None:
    seen = list(observe(recorded, pair()))
    assert without_times(seen) == without_times(plain(pair()))
    assert Answer.fold(seen).text == SCRIPT


def test_a_stream_that_is_closed_early_is_cancelled_and_closes_what_is_inside(
    recorded: Recorded,
) -> None:
    closed = []

    def inner() -> Generator[Round]:
        try:
            yield from plain(pair())
        finally:
            closed.append(True)

    prompt = read_prompt(PROMPT)
    rounds = observed(
        inner(), members=["a"], prompt=prompt, config=DecodingConfig(), telemetry=recorded.telemetry
    )
    next(rounds)
    assert not closed
    rounds.close()
    assert closed == [True]
    assert recorded.metric("adafuse.answers", adafuse__outcome="cancelled") == 1
    attributes = recorded.span.attributes or {}
    assert attributes["adafuse.outcome"] == "cancelled"
    assert attributes["adafuse.rounds"] == 1
    assert "gen_ai.usage.output_tokens" not in attributes
    assert recorded.span.status.status_code is StatusCode.UNSET


def test_who_leaves_after_the_last_round_has_the_whole_answer(recorded: Recorded) -> None:
    rounds = observe(recorded, pair())
    for round_ in rounds:
        if round_.finish_reason is not None:
            break
    rounds.close()
    assert recorded.metric("adafuse.answers", adafuse__outcome="stop") == 1


def test_nothing_begins_before_a_round_is_asked_for(recorded: Recorded) -> None:
    observe(recorded, pair()).close()
    assert not recorded.spans
    assert recorded.metric("adafuse.answers") is None


def test_without_listeners_rounds_go_through_and_are_closed(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adafuse.telemetry.observer._installed", lambda: None)
    with level("adafuse", logging.WARNING):
        assert without_times(list(observe(None, pair()))) == without_times(plain(pair()))
        members = pair(lambda member: Faulty(member))
        rounds = observe(None, members)
        next(rounds)
        assert members[0].left_open == 1  # type: ignore[attr-defined]
        rounds.close()
        assert members[0].left_open == 0  # type: ignore[attr-defined]
    assert not caplog.records


def run(script: str) -> str:
    """In an interpreter of its own: what is imported and which providers are global is its own."""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


ANSWER = f"""
from adafuse.config import DecodingConfig
from adafuse.decoding.loop import fuse
from adafuse.telemetry.observer import observed
from adafuse.prompting.prompt import read_prompt
from adafuse.testing import ScriptedMember
prompt, config = read_prompt("p"), DecodingConfig()
def answer():
    rounds = fuse([ScriptedMember({SCRIPT!r}, "one")], prompt, config)
    seen = observed(rounds, members=["one"], prompt=prompt, config=config)
    assert "".join(round_.text for round_ in seen) == {SCRIPT!r}
"""


def test_without_the_extra_nothing_is_imported_and_nothing_is_said() -> None:
    script = f"""
import sys
sys.modules["opentelemetry"] = None
{ANSWER}
answer()
assert not [name for name in sys.modules if name.startswith("opentelemetry.")]
"""
    assert run(script) == ""


def test_importing_does_not_import_opentelemetry() -> None:
    assert run("import sys, adafuse\nassert 'opentelemetry.trace' not in sys.modules") == ""


def test_global_providers_are_used_also_those_that_come_later() -> None:
    script = f"""
{ANSWER}
answer()
from opentelemetry import trace, metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)
metrics.set_meter_provider(MeterProvider([reader]))
answer()
assert [span.name for span in spans.get_finished_spans()] == ["text_completion one"]
assert "adafuse.answers" in reader.get_metrics_data().to_json()
"""
    assert run(script) == ""
