"""What is told of answers: the same rounds go through, and logs, spans and metrics are right."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from adafuse import (
    AdaFuseWarning,
    Answer,
    DecodingConfig,
    Ensemble,
    MemberError,
    Round,
    TooFewMembersError,
)
from adafuse.decoding.loop import fuse
from adafuse.decoding.member import Member
from adafuse.errors import QueueFullError
from adafuse.prompting.prompt import read_prompt
from adafuse.telemetry.observer import observed
from adafuse.telemetry.otel import Telemetry
from adafuse.testing import ScriptedMember
from faulty_members import Faulty, raises

PROMPT = "the-prompt-itself"
SCRIPT = "zebra crossing yonder lantern"
OTHER = "zebra walking yonder lantern"
TEXTS = (PROMPT, *SCRIPT.split(), *OTHER.split())
CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


@dataclass
class Told:
    """Providers of one test, and what came to them."""

    spans_out: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    metrics_out: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)

    def __post_init__(self) -> None:
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.spans_out))
        self.meters = MeterProvider([self.metrics_out], shutdown_on_exit=False)
        self.telemetry = Telemetry(self.tracers, self.meters)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.spans_out.get_finished_spans()

    @property
    def span(self) -> ReadableSpan:
        (span,) = self.spans
        return span

    def metric(self, name: str, **attributes: Any) -> float | None:
        """The sum of a counter, or the count of a histogram, over points with these attributes."""
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        data = self.metrics_out.get_metrics_data()
        total: float | None = None
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points if metric.name == name else ():
                        if wanted.items() <= dict(point.attributes).items():
                            value = point.value if hasattr(point, "value") else point.count
                            total = (total or 0) + value
        return total


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture(autouse=True)
def _nothing_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONTENT, raising=False)


def pair(first: Callable[[Member], Member] = lambda member: member) -> list[Member]:
    return [
        first(ScriptedMember(SCRIPT, "first", confident=False)),
        ScriptedMember(OTHER, "second", confident=False, weight=0.5),
    ]


def observe(told: Told | None, members: list[Member], **settings: Any) -> Generator[Round]:
    prompt, config = read_prompt(PROMPT), DecodingConfig(**settings)
    return observed(
        fuse(members, prompt, config),
        members=[member.name for member in members],
        prompt=prompt,
        config=config,
        telemetry=told.telemetry if told is not None else None,
    )


def plain(members: list[Member], **settings: Any) -> list[Round]:
    return list(fuse(members, read_prompt(PROMPT), DecodingConfig(**settings)))


def without_times(rounds: list[Round]) -> list[Round]:
    return [replace(one, usage=None) for one in rounds]


def test_rounds_go_through_unchanged(told: Told) -> None:
    seen = list(observe(told, pair()))
    assert without_times(seen) == without_times(plain(pair()))
    assert Answer.fold(seen).text == SCRIPT


def test_a_span_has_the_figures_of_its_answer(told: Told) -> None:
    answer = Answer.fold(observe(told, pair(), seed=7, temperature=0.0, max_new_tokens=99))
    span = told.span
    assert span.name == "text_completion first+second"
    attributes = dict(span.attributes or {})
    usage = answer.usage["first"]
    expected = {
        "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "adafuse",
        "gen_ai.request.model": "first+second",
        "gen_ai.request.max_tokens": 99,
        "gen_ai.request.seed": 7,
        "gen_ai.output.type": "text",
        "gen_ai.usage.input_tokens": len(PROMPT),
        "gen_ai.usage.output_tokens": usage.committed_tokens,
        "gen_ai.response.finish_reasons": ("stop",),
        "adafuse.members": ("first", "second"),
        "adafuse.outcome": "stop",
        "adafuse.rounds": len(answer.rounds),
        "adafuse.unanimous": sum(one.unanimous for one in answer.rounds),
        "adafuse.scored": sum(one.scored for one in answer.rounds),
        "adafuse.words": (4, 0),
        "adafuse.dropped": (),
        "adafuse.committed_tokens": (len(SCRIPT), len(SCRIPT)),
    }
    assert {key: attributes[key] for key in expected} == expected
    assert attributes["adafuse.scored"] >= 1
    assert span.status.status_code is StatusCode.UNSET
    assert not span.events


def test_metrics_add_up_over_answers(told: Told) -> None:
    for _ in range(3):
        list(observe(told, pair()))
    rounds = len(plain(pair()))
    assert told.metric("adafuse.answers", adafuse__outcome="stop") == 3
    assert told.metric("adafuse.rounds") == 3 * rounds
    assert told.metric("adafuse.words", adafuse__member="first") == 12
    assert told.metric("adafuse.words", adafuse__member="second") is None
    assert told.metric("gen_ai.client.operation.duration") == 3
    assert told.metric("gen_ai.client.operation.time_to_first_chunk") == 3
    assert told.metric("gen_ai.client.token.usage", gen_ai__token__type="output") == 3
    own = {"adafuse__member": "second", "adafuse__token__kind": "output"}
    assert told.metric("adafuse.tokens", **own) == 3 * len(SCRIPT)
    assert told.metric("adafuse.member.failures") is None


@pytest.mark.parametrize(
    ("settings", "outcome"),
    [
        ({}, "stop"),
        ({"max_new_tokens": 3}, "length"),
        ({"stop": ["yonder"]}, "stop_string"),
    ],
)
def test_outcomes(told: Told, settings: dict[str, Any], outcome: str) -> None:
    list(observe(told, pair(), **settings))
    assert told.metric("adafuse.answers", adafuse__outcome=outcome) == 1
    assert (told.span.attributes or {})["gen_ai.response.finish_reasons"] == (outcome,)


def test_a_stream_that_is_closed_early_is_cancelled_and_closes_what_is_inside(told: Told) -> None:
    closed = []

    def inner() -> Generator[Round]:
        try:
            yield from plain(pair())
        finally:
            closed.append(True)

    prompt = read_prompt(PROMPT)
    rounds = observed(
        inner(), members=["a"], prompt=prompt, config=DecodingConfig(), telemetry=told.telemetry
    )
    next(rounds)
    assert not closed
    rounds.close()
    assert closed == [True]
    assert told.metric("adafuse.answers", adafuse__outcome="cancelled") == 1
    attributes = told.span.attributes or {}
    assert attributes["adafuse.outcome"] == "cancelled"
    assert attributes["adafuse.rounds"] == 1
    assert "gen_ai.usage.output_tokens" not in attributes
    assert told.span.status.status_code is StatusCode.UNSET


def test_who_leaves_after_the_last_round_has_the_whole_answer(told: Told) -> None:
    rounds = observe(told, pair())
    for one in rounds:
        if one.finish_reason is not None:
            break
    rounds.close()
    assert told.metric("adafuse.answers", adafuse__outcome="stop") == 1


def test_nothing_begins_before_a_round_is_asked_for(told: Told) -> None:
    observe(told, pair()).close()
    assert not told.spans
    assert told.metric("adafuse.answers") is None


def test_errors_pass_through_and_are_told_without_what_they_say(told: Told) -> None:
    members = pair(lambda member: Faulty(member, {("draft", 2): raises(RuntimeError("broke"))}))
    with pytest.raises(MemberError, match="member 'first' failed") as caught:
        list(observe(told, members))
    assert caught.value.committed
    span = told.span
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "MemberError"
    attributes = dict(span.attributes or {})
    assert attributes["error.type"] == "MemberError"
    assert attributes["adafuse.error.member"] == "first"
    assert attributes["adafuse.error.phase"] == "draft"
    assert attributes["adafuse.error.round"] == 2
    names = [event.name for event in span.events]
    assert names == ["adafuse.member.failed", "exception"]
    assert dict(span.events[1].attributes or {}) == {"exception.type": "adafuse.errors.MemberError"}
    failed = {"adafuse__member": "first", "error__type": "RuntimeError", "adafuse__dropped": False}
    assert told.metric("adafuse.member.failures", **failed) == 1
    outcome = {"adafuse__outcome": "error", "error__type": "MemberError"}
    assert told.metric("adafuse.answers", **outcome) == 1


def test_members_that_are_dropped_are_counted(told: Told) -> None:
    members = pair(lambda member: Faulty(member, {("draft", 2): raises(ConnectionResetError())}))
    with pytest.warns(AdaFuseWarning, match="was dropped"):
        list(observe(told, members, on_member_error="drop"))
    assert (told.span.attributes or {})["adafuse.dropped"] == ("first",)
    kind = {"error__type": "ConnectionResetError", "adafuse__dropped": True}
    assert told.metric("adafuse.member.failures", **kind) == 1
    assert told.metric("adafuse.answers", adafuse__outcome="stop") == 1


def test_too_few_members_names_all_that_failed(told: Told) -> None:
    members = pair(lambda member: Faulty(member, {("draft", 1): raises(MemoryError())}))
    with pytest.raises(TooFewMembersError):
        list(observe(told, members, on_member_error="drop", min_members=2))
    assert told.metric("adafuse.member.failures", error__type="MemoryError") == 1


def everything(told: Told, log: str) -> str:
    """All that was told, as one text."""
    data = told.metrics_out.get_metrics_data()
    return "\n".join(
        [*(span.to_json() for span in told.spans), data.to_json() if data else "", log]
    )


def asking(told: Told) -> None:
    """Answers with every outcome."""
    list(observe(told, pair()))
    broken = pair(lambda member: Faulty(member, {("draft", 2): raises(RuntimeError())}))
    with pytest.raises(MemberError):
        list(observe(told, broken))
    rounds = observe(told, pair())
    next(rounds)
    rounds.close()


def test_no_text_is_told(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "adafuse"):
        asking(told)
    text = everything(told, caplog.text)
    assert "round 1" in text
    assert "adafuse.rounds" in text
    assert not [one for one in TEXTS if one in text]


def test_text_is_told_where_it_is_asked_for(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONTENT, "true")
    list(observe(told, pair()))
    attributes = dict(told.span.attributes or {})
    assert json.loads(str(attributes["gen_ai.input.messages"])) == [
        {"role": "user", "parts": [{"type": "text", "content": PROMPT}]}
    ]
    assert json.loads(str(attributes["gen_ai.output.messages"])) == [
        {
            "role": "assistant",
            "parts": [{"type": "text", "content": SCRIPT}],
            "finish_reason": "stop",
        }
    ]


@pytest.mark.parametrize("value", ["", "false", "no_content", "0", "event_only"])
def test_other_values_ask_for_nothing(
    told: Told, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(CONTENT, value)
    list(observe(told, pair()))
    assert PROMPT not in told.span.to_json()


def test_conversations_with_tools_are_written_as_the_convention_has_it(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONTENT, "true")
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    prompt = read_prompt(
        [
            {"role": "user", "content": "1+1?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "2", "tool_call_id": "c1"},
        ]
    )
    member = ScriptedMember("Two", "one")
    config = DecodingConfig()
    list(
        observed(
            fuse([member], prompt, config), members=["one"], prompt=prompt, config=config,
            telemetry=told.telemetry,
        )
    )  # fmt: skip
    span = told.span
    assert span.name == "chat one"
    written = json.loads(str((span.attributes or {})["gen_ai.input.messages"]))
    assert [one["role"] for one in written] == ["user", "assistant", "tool"]
    assert written[1]["parts"] == [
        {"type": "tool_call", "id": "c1", "name": "add", "arguments": {"a": 1}}
    ]
    assert written[2]["parts"] == [{"type": "tool_call_response", "id": "c1", "response": "2"}]


def in_thread(work: Callable[[], Any]) -> Any:
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(work()))
    thread.start()
    thread.join(30)
    return done[0]


def test_a_span_belongs_to_its_caller_whoever_asks_for_rounds(told: Told) -> None:
    tracer = told.tracers.get_tracer("test")
    inside: list[trace.Span] = []

    def inner() -> Generator[Round]:
        for one in plain(pair()):
            inside.append(trace.get_current_span())
            yield one

    with tracer.start_as_current_span("caller") as caller:
        prompt = read_prompt(PROMPT)
        rounds = observed(
            inner(), members=["a"], prompt=prompt, config=DecodingConfig(),
            telemetry=told.telemetry,
        )  # fmt: skip
    with tracer.start_as_current_span("another"):
        in_thread(lambda: next(rounds))
        in_thread(lambda: next(rounds))
        in_thread(lambda: list(rounds))
    by_name = {span.name: span for span in told.spans}
    answer = by_name["text_completion a"]
    assert answer.parent is not None
    assert answer.parent.span_id == caller.get_span_context().span_id
    assert {span.get_span_context().span_id for span in inside} == {answer.context.span_id}


def test_no_context_is_left_behind_between_rounds(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = observe(told, pair()), observe(told, pair())
    before = trace.get_current_span()
    for one, other in zip(first, second, strict=False):  # two streams, interleaved
        assert trace.get_current_span() is before
        assert one.index == other.index
    first.close()
    second.close()
    assert trace.get_current_span() is before
    assert "was created in a different Context" not in caplog.text
    assert len(told.spans) == 2


async def test_tasks_may_take_turns(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    rounds = observe(told, pair())
    seen: list[Round] = []

    async def some(count: int) -> None:
        for _ in range(count):
            one = await asyncio.to_thread(next, rounds, None)
            if one is not None:
                seen.append(one)

    for count in (1, 1, 9):
        await asyncio.create_task(some(count))
    assert "".join(one.text for one in seen) == SCRIPT
    assert "Failed to detach" not in caplog.text
    assert told.span.status.status_code is StatusCode.UNSET


@contextlib.contextmanager
def level(name: str, value: int) -> Iterator[None]:
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(value)
    yield
    logger.setLevel(before)


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


def test_logs_by_level(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "adafuse"):
        rounds = len(list(observe(None, pair())))
    levels = [record.levelname for record in caplog.records]
    assert levels == ["DEBUG"] * (rounds + 1) + ["INFO"]
    last = caplog.records[-1].getMessage()
    assert last.startswith(f"answer ended: stop; {rounds} rounds (")
    assert last.endswith("words: first 4, second 0")


def test_logs_warn_of_numbers_that_are_not_finite(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = [replace(one, left_out=("second",)) for one in plain(pair())]

    def inner() -> Generator[Round]:
        yield from rounds

    prompt, config = read_prompt(PROMPT), DecodingConfig()
    with level("adafuse", logging.WARNING):
        list(
            observed(
                inner(), members=["first", "second"], prompt=prompt, config=config,
                telemetry=told.telemetry,
            )
        )  # fmt: skip
    assert len(caplog.records) == len(rounds)
    assert all("not finite: second" in record.getMessage() for record in caplog.records)
    assert told.metric("adafuse.member.not_finite", adafuse__member="second") == len(rounds)
    assert (told.span.attributes or {})["adafuse.not_finite"] == (0, len(rounds))


def test_a_failed_answer_is_logged_with_its_reason_and_not_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    members = pair(lambda member: Faulty(member, {("draft", 3): raises(RuntimeError("it"))}))
    with caplog.at_level(logging.INFO, "adafuse"), pytest.raises(MemberError):
        list(observe(None, members))
    last = caplog.records[-1].getMessage()
    assert "MemberError ('first', round 3, draft: RuntimeError: it)" in last
    assert not [one for one in TEXTS if one in last]


def test_other_errors_are_told_by_class_alone(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    def inner() -> Generator[Round]:
        raise QueueFullError(1, 2)
        yield

    rounds = observed(
        inner(), members=["a"], prompt=read_prompt(PROMPT), config=DecodingConfig(),
        telemetry=told.telemetry,
    )  # fmt: skip
    with caplog.at_level(logging.INFO, "adafuse"), pytest.raises(QueueFullError):
        list(rounds)
    assert caplog.records[-1].getMessage().startswith("answer ended: QueueFullError; 0 rounds")
    assert told.metric("adafuse.answers", error__type="QueueFullError") == 1


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
    assert "".join(one.text for one in seen) == {SCRIPT!r}
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


def test_ensembles_tell_of_every_answer(caplog: pytest.LogCaptureFixture) -> None:
    ensemble = Ensemble(pair())
    with caplog.at_level(logging.INFO, "adafuse"):
        ensemble.generate(PROMPT)
        stream = ensemble.stream(PROMPT)
        next(stream)
        stream.close()
        ensemble.generate_batch([PROMPT, PROMPT])
    told_ = [one.getMessage().split(";")[0] for one in caplog.records]
    assert told_ == [f"answer ended: {how}" for how in ("stop", "cancelled", "stop", "stop")]
