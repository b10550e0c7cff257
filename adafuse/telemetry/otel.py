"""Answers as OpenTelemetry's spans and metrics; the only module that imports it.

Names follow OpenTelemetry's conventions for generative models where they have one. Text of prompts
and answers is recorded only if the environment asks for it; of errors the class, since what they
say may quote the answer.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.context import get_current
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider

from adafuse.config import DecodingConfig
from adafuse.errors import MemberError
from adafuse.events import Round
from adafuse.prompting.prompt import Prompt
from adafuse.telemetry.record import AnswerRecord

__all__ = ["AnswerTelemetry", "Telemetry"]

_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = tuple(4**power for power in range(14))
_HISTOGRAMS = (
    ("gen_ai.client.operation.duration", "s", "From the first round asked for to the end."),
    ("gen_ai.client.operation.time_to_first_chunk", "s", "Until the first round is there."),
    ("gen_ai.client.token.usage", "{token}", "As the first member counts them."),
)
_COUNTERS = (
    ("adafuse.answers", "{answer}", "Answers, by outcome."),
    ("adafuse.rounds", "{round}", "Rounds, by how they were decided."),
    ("adafuse.tokens", "{token}", "Tokens by member."),
    ("adafuse.words", "{word}", "Words by the member that drafted them."),
    ("adafuse.member.failures", "{failure}", "Failures of members, dropped for them or not."),
    ("adafuse.member.not_finite", "{round}", "Rounds that a member was left out of."),
)


class Telemetry:
    """Where spans and metrics go.

    Args:
        tracer_provider: default: the global one.
        meter_provider: likewise.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self.tracer = trace.get_tracer("adafuse", tracer_provider=tracer_provider)
        meter = metrics.get_meter("adafuse", meter_provider=meter_provider)
        self.histograms = {
            name: meter.create_histogram(
                name, unit, description,
                explicit_bucket_boundaries_advisory=_SECONDS if unit == "s" else _TOKENS,
            )
            for name, unit, description in _HISTOGRAMS
        }  # fmt: skip
        self.counters = {row[0]: meter.create_counter(*row) for row in _COUNTERS}

    def answer(
        self, members: Sequence[str], prompt: Prompt, config: DecodingConfig
    ) -> AnswerTelemetry:
        """An answer that is about to begin; its span's parent is the current span."""
        return AnswerTelemetry(self, members, prompt, config)


class AnswerTelemetry:
    """The span and the measurements of one answer."""

    def __init__(
        self, telemetry: Telemetry, members: Sequence[str], prompt: Prompt, config: DecodingConfig
    ) -> None:
        self._telemetry = telemetry
        self._members = list(members)
        self._prompt = prompt
        self._parent = get_current()
        self._span: Span = trace.INVALID_SPAN
        self._text: list[str] | None = None  # where the environment asks for it
        self._common: dict[str, Any] = {
            "gen_ai.operation.name": "text_completion" if prompt.format == "raw" else "chat",
            "gen_ai.provider.name": "adafuse",
            "gen_ai.request.model": "+".join(members),
        }
        self._settings = {
            "gen_ai.request.max_tokens": config.max_new_tokens,
            "gen_ai.request.temperature": float(config.temperature),
            "gen_ai.output.type": "json" if config.json_schema is not None else "text",
            "adafuse.members": self._members,
            "adafuse.branches": config.branch_count,
            "adafuse.max_words": config.max_words,
            "adafuse.margin_threshold": float(config.margin_threshold),
            "adafuse.constrained": prompt.constraint is not None,
        }
        if config.seed is not None and abs(config.seed) < 2**63:
            self._settings["gen_ai.request.seed"] = config.seed

    def begin(self) -> None:
        """Start the span."""
        name = f"{self._common['gen_ai.operation.name']} {self._common['gen_ai.request.model']}"
        self._span = self._telemetry.tracer.start_span(
            name, self._parent, SpanKind.INTERNAL, {**self._common, **self._settings}
        )
        content = os.environ.get(_CONTENT, "").strip().lower()
        if self._span.is_recording() and content in ("true", "span_only", "span_and_event"):
            self._text = []
            messages = [_message(message) for message in self._prompt.messages]
            self._span.set_attribute("gen_ai.input.messages", _json(messages))

    def current(self) -> AbstractContextManager[Any]:
        """A context in which the span is the current one."""
        if not self._span.is_recording():
            return nullcontext()
        return trace.use_span(
            self._span, end_on_exit=False, record_exception=False, set_status_on_exception=False
        )

    def round(self, round_: Round) -> None:
        """A round is there."""
        counters = self._telemetry.counters
        counters["adafuse.rounds"].add(1, {"adafuse.round.kind": round_.kind})
        if round_.member and round_.words:
            counters["adafuse.words"].add(len(round_.words), {"adafuse.member": round_.member})
        for name in round_.left_out:
            counters["adafuse.member.not_finite"].add(1, {"adafuse.member": name})
        if self._text is not None:
            self._text.append(round_.text)

    def end(self, record: AnswerRecord) -> None:
        """The answer has ended, one way or another."""
        failures: list[dict[str, Any]] = [
            {
                "adafuse.member": failure.member,
                "adafuse.phase": failure.phase,
                "adafuse.dropped": failure.dropped,
                "error.type": failure.error_type,
            }
            for failure in record.failures
        ]
        self._measure(record)
        for failure in failures:
            self._telemetry.counters["adafuse.member.failures"].add(1, failure)
        if self._span.is_recording():
            self._span.set_attributes(self._figures(record))
            for failure in failures:
                self._span.add_event("adafuse.member.failed", failure)
            if record.error is not None:
                self._set_error(record.error)
        self._span.end()

    def _measure(self, record: AnswerRecord) -> None:
        counters, histograms = self._telemetry.counters, self._telemetry.histograms
        common, ended = self._common, dict(self._common)
        if record.error is not None:
            ended["error.type"] = type(record.error).__name__
        counters["adafuse.answers"].add(1, {**ended, "adafuse.outcome": record.outcome})
        histograms["gen_ai.client.operation.duration"].record(record.seconds, ended)
        if record.first_seconds is not None:
            first = histograms["gen_ai.client.operation.time_to_first_chunk"]
            first.record(record.first_seconds, common)
        for place, (name, usage) in enumerate(record.usage.items()):
            counts = {"input": usage.prompt_tokens, "output": usage.committed_tokens}
            for kind, count in counts.items() if place == 0 else ():
                tokens = histograms["gen_ai.client.token.usage"]
                tokens.record(count, {**common, "gen_ai.token.type": kind})
            counts |= {"processed": usage.tokens_processed, "reused": usage.reused_tokens}
            for kind, count in counts.items():
                attributes = {"adafuse.member": name, "adafuse.token.kind": kind}
                counters["adafuse.tokens"].add(count, attributes)

    def _figures(self, record: AnswerRecord) -> dict[str, Any]:
        summary, usage, members = record.summary, record.usage, self._members
        not_finite = Counter(name for round_ in record.rounds for name in round_.left_out)
        figures: dict[str, Any] = {
            "adafuse.outcome": record.outcome,
            "adafuse.rounds": summary.rounds,
            "adafuse.unanimous": summary.unanimous,
            "adafuse.scored": summary.scored,
            "adafuse.forced": summary.forced,
            "adafuse.words": [summary.words_by_member.get(name, 0) for name in members],
            "adafuse.dropped": [failure.member for failure in record.failures if failure.dropped],
            "adafuse.not_finite": [not_finite[name] for name in members],
            "adafuse.decoding_seconds": record.decoding_seconds,
        }
        if record.first_seconds is not None:
            figures["adafuse.first_round_seconds"] = record.first_seconds
        if usage:
            first = next(iter(usage.values()))
            figures["gen_ai.usage.input_tokens"] = first.prompt_tokens
            figures["gen_ai.usage.output_tokens"] = first.committed_tokens
            figures["gen_ai.response.finish_reasons"] = [record.outcome]
            for kind, field in (
                ("prompt", "prompt_tokens"),
                ("committed", "committed_tokens"),
                ("processed", "tokens_processed"),
            ):
                counts = [getattr(usage.get(name), field, 0) for name in members]
                figures[f"adafuse.{kind}_tokens"] = counts
        if self._text is not None:
            parts = [{"type": "text", "content": "".join(self._text)}]
            message: dict[str, Any] = {"role": "assistant", "parts": parts}
            if usage:
                message["finish_reason"] = "length" if record.outcome == "length" else "stop"
            figures["gen_ai.output.messages"] = _json([message])
        return figures

    def _set_error(self, error: Exception) -> None:
        kind = type(error).__name__
        self._span.set_status(Status(StatusCode.ERROR, kind))
        self._span.set_attribute("error.type", kind)
        # Not record_exception: what an error says, and its traceback, may quote the answer.
        self._span.add_event("exception", {"exception.type": f"{type(error).__module__}.{kind}"})
        if isinstance(error, MemberError):
            self._span.set_attribute("adafuse.error.member", error.member)
            self._span.set_attribute("adafuse.error.phase", error.phase)
            self._span.set_attribute("adafuse.error.round", error.round_index)


def _message(message: dict[str, Any]) -> dict[str, Any]:
    """A message as OpenTelemetry's conventions for generative models write it."""
    role, content = message["role"], message["content"]
    if role == "tool":
        call_id = message.get("tool_call_id")
        return {
            "role": role,
            "parts": [{"type": "tool_call_response", "id": call_id, "response": content}],
        }
    parts: list[dict[str, Any]] = [{"type": "text", "content": content}] if content else []
    for call in message.get("tool_calls", ()):
        function = {key: call["function"][key] for key in ("name", "arguments")}
        parts.append({"type": "tool_call", "id": call.get("id"), **function})
    return {"role": role, "parts": parts}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
