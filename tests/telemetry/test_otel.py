"""Spans and metrics of answers: their figures, parents and errors, and what of texts is in them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from adafuse import (
    AdaFuseWarning,
    Answer,
    DecodingConfig,
    MemberError,
    Round,
    TooFewMembersError,
)
from adafuse.decoding.loop import fuse
from adafuse.prompting.prompt import read_prompt
from adafuse.telemetry.observer import observed
from adafuse.testing import ScriptedMember
from faulty_members import Faulty, raises
from telemetry_recorder import (
    CONTENT,
    PROMPT,
    SCRIPT,
    Recorded,
    observe,
    pair,
    plain,
)


def test_a_span_has_the_figures_of_its_answer(recorded: Recorded) -> None:
    answer = Answer.fold(observe(recorded, pair(), seed=7, temperature=0.0, max_new_tokens=99))
    span = recorded.span
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
        "adafuse.unanimous": sum(round_.unanimous for round_ in answer.rounds),
        "adafuse.scored": sum(round_.scored for round_ in answer.rounds),
        "adafuse.words": (4, 0),
        "adafuse.dropped": (),
        "adafuse.committed_tokens": (len(SCRIPT), len(SCRIPT)),
    }
    assert {key: attributes[key] for key in expected} == expected
    assert attributes["adafuse.scored"] >= 1
    assert span.status.status_code is StatusCode.UNSET
    assert not span.events


def test_metrics_add_up_over_answers(recorded: Recorded) -> None:
    for _ in range(3):
        list(observe(recorded, pair()))
    rounds = len(plain(pair()))
    assert recorded.metric("adafuse.answers", adafuse__outcome="stop") == 3
    assert recorded.metric("adafuse.rounds") == 3 * rounds
    assert recorded.metric("adafuse.words", adafuse__member="first") == 12
    assert recorded.metric("adafuse.words", adafuse__member="second") is None
    assert recorded.metric("gen_ai.client.operation.duration") == 3
    assert recorded.metric("gen_ai.client.operation.time_to_first_chunk") == 3
    assert recorded.metric("gen_ai.client.token.usage", gen_ai__token__type="output") == 3
    own = {"adafuse__member": "second", "adafuse__token__kind": "output"}
    assert recorded.metric("adafuse.tokens", **own) == 3 * len(SCRIPT)
    assert recorded.metric("adafuse.member.failures") is None


@pytest.mark.parametrize(
    ("settings", "outcome"),
    [
        ({}, "stop"),
        ({"max_new_tokens": 3}, "length"),
        ({"stop": ["yonder"]}, "stop_string"),
    ],
)
def test_outcomes(recorded: Recorded, settings: dict[str, Any], outcome: str) -> None:
    list(observe(recorded, pair(), **settings))
    assert recorded.metric("adafuse.answers", adafuse__outcome=outcome) == 1
    assert (recorded.span.attributes or {})["gen_ai.response.finish_reasons"] == (outcome,)


def test_errors_pass_through_and_are_told_without_what_they_say(recorded: Recorded) -> None:
    members = pair(lambda member: Faulty(member, {("draft", 2): raises(RuntimeError("broke"))}))
    with pytest.raises(MemberError, match="member 'first' failed") as caught:
        list(observe(recorded, members))
    assert caught.value.committed
    span = recorded.span
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
    assert recorded.metric("adafuse.member.failures", **failed) == 1
    outcome = {"adafuse__outcome": "error", "error__type": "MemberError"}
    assert recorded.metric("adafuse.answers", **outcome) == 1


def test_members_that_are_dropped_are_counted(recorded: Recorded) -> None:
    members = pair(lambda member: Faulty(member, {("draft", 2): raises(ConnectionResetError())}))
    with pytest.warns(AdaFuseWarning, match="was dropped"):
        list(observe(recorded, members, on_member_error="drop"))
    assert (recorded.span.attributes or {})["adafuse.dropped"] == ("first",)
    kind = {"error__type": "ConnectionResetError", "adafuse__dropped": True}
    assert recorded.metric("adafuse.member.failures", **kind) == 1
    assert recorded.metric("adafuse.answers", adafuse__outcome="stop") == 1


def test_too_few_members_names_all_that_failed(recorded: Recorded) -> None:
    members = pair(lambda member: Faulty(member, {("draft", 1): raises(MemoryError())}))
    with pytest.raises(TooFewMembersError):
        list(observe(recorded, members, on_member_error="drop", min_members=2))
    assert recorded.metric("adafuse.member.failures", error__type="MemoryError") == 1


def test_text_is_told_where_it_is_asked_for(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONTENT, "true")
    list(observe(recorded, pair()))
    attributes = dict(recorded.span.attributes or {})
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
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(CONTENT, value)
    list(observe(recorded, pair()))
    assert PROMPT not in recorded.span.to_json()


def test_conversations_with_tools_are_written_as_the_convention_has_it(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
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
            telemetry=recorded.telemetry,
        )
    )  # fmt: skip
    span = recorded.span
    assert span.name == "chat one"
    written = json.loads(str((span.attributes or {})["gen_ai.input.messages"]))
    assert [message["role"] for message in written] == ["user", "assistant", "tool"]
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


def test_a_span_belongs_to_its_caller_whoever_asks_for_rounds(recorded: Recorded) -> None:
    tracer = recorded.tracers.get_tracer("test")
    inside: list[trace.Span] = []

    def inner() -> Generator[Round]:
        for round_ in plain(pair()):
            inside.append(trace.get_current_span())
            yield round_

    with tracer.start_as_current_span("caller") as caller:
        prompt = read_prompt(PROMPT)
        rounds = observed(
            inner(), members=["a"], prompt=prompt, config=DecodingConfig(),
            telemetry=recorded.telemetry,
        )  # fmt: skip
    with tracer.start_as_current_span("another"):
        in_thread(lambda: next(rounds))
        in_thread(lambda: next(rounds))
        in_thread(lambda: list(rounds))
    by_name = {span.name: span for span in recorded.spans}
    answer = by_name["text_completion a"]
    assert answer.parent is not None
    assert answer.parent.span_id == caller.get_span_context().span_id
    assert {span.get_span_context().span_id for span in inside} == {answer.context.span_id}


def test_no_context_is_left_behind_between_rounds(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = observe(recorded, pair()), observe(recorded, pair())
    before = trace.get_current_span()
    for round_, other in zip(first, second, strict=False):  # two streams, interleaved
        assert trace.get_current_span() is before
        assert round_.index == other.index
    first.close()
    second.close()
    assert trace.get_current_span() is before
    assert "was created in a different Context" not in caplog.text
    assert len(recorded.spans) == 2


async def test_tasks_may_take_turns(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    rounds = observe(recorded, pair())
    seen: list[Round] = []

    async def some(count: int) -> None:
        for _ in range(count):
            round_ = await asyncio.to_thread(next, rounds, None)
            if round_ is not None:
                seen.append(round_)

    for count in (1, 1, 9):
        await asyncio.create_task(some(count))
    assert "".join(round_.text for round_ in seen) == SCRIPT
    assert "Failed to detach" not in caplog.text
    assert recorded.span.status.status_code is StatusCode.UNSET
