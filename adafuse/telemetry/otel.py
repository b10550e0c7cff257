"""Answers as OpenTelemetry's spans and metrics; the only module that imports it.

Names follow OpenTelemetry's conventions for generative models where they have one. Text of prompts
and answers is recorded only if the environment asks for it; of errors the class, since what they
say may quote the answer.
"""

from __future__ import annotations

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
from adafuse.telemetry.otel_content import (
    CONTENT_VARIABLE,
    asked_for,
    input_messages,
    output_messages,
)
from adafuse.telemetry.record import AnswerRecord, Failure

__all__ = ["AnswerTelemetry", "Telemetry"]

_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = tuple(4**power for power in range(14))


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
        self.duration = meter.create_histogram(
            "gen_ai.client.operation.duration", "s", "From the first round asked for to the end.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )  # fmt: skip
        self.first_round = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk", "s", "Until the first round is there.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )  # fmt: skip
        self.token_usage = meter.create_histogram(
            "gen_ai.client.token.usage", "{token}", "As the first member counts them.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )  # fmt: skip
        self.answers = meter.create_counter("adafuse.answers", "{answer}", "Answers, by outcome.")
        self.rounds = meter.create_counter(
            "adafuse.rounds", "{round}", "Rounds, by how they were decided."
        )
        self.tokens = meter.create_counter("adafuse.tokens", "{token}", "Tokens by member.")
        self.words = meter.create_counter(
            "adafuse.words", "{word}", "Words by the member that drafted them."
        )
        self.failures = meter.create_counter(
            "adafuse.member.failures", "{failure}", "Failures of members, dropped for them or not."
        )
        self.not_finite = meter.create_counter(
            "adafuse.member.not_finite", "{round}", "Rounds that a member was left out of."
        )

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
        self._config = config
        self._parent = get_current()
        self._span: Span = trace.INVALID_SPAN
        self._text: list[str] | None = None  # where it is asked for
        self._common: dict[str, Any] = {
            "gen_ai.operation.name": "text_completion" if prompt.format == "raw" else "chat",
            "gen_ai.provider.name": "adafuse",
            "gen_ai.request.model": "+".join(members),
        }

    def begin(self) -> None:
        """Start the span."""
        name = f"{self._common['gen_ai.operation.name']} {self._common['gen_ai.request.model']}"
        self._span = self._telemetry.tracer.start_span(
            name, self._parent, SpanKind.INTERNAL, {**self._common, **self._asked()}
        )
        if self._span.is_recording() and asked_for(CONTENT_VARIABLE):
            self._text = []
            self._span.set_attribute("gen_ai.input.messages", input_messages(self._prompt))

    def _asked(self) -> dict[str, Any]:
        config = self._config
        asked = {
            "gen_ai.request.max_tokens": config.max_new_tokens,
            "gen_ai.request.temperature": float(config.temperature),
            "gen_ai.output.type": "json" if config.json_schema is not None else "text",
            "adafuse.members": self._members,
            "adafuse.branches": config.branches,
            "adafuse.max_words": config.max_words,
            "adafuse.margin_threshold": float(config.margin_threshold),
            "adafuse.constrained": self._prompt.constraint is not None,
        }
        if config.seed is not None and abs(config.seed) < 2**63:
            asked["gen_ai.request.seed"] = config.seed
        return asked

    def current(self) -> AbstractContextManager[Any]:
        """A context in which the span is the current one."""
        if not self._span.is_recording():
            return nullcontext()
        return trace.use_span(
            self._span, end_on_exit=False, record_exception=False, set_status_on_exception=False
        )

    def round(self, round_: Round) -> None:
        """A round is there."""
        telemetry = self._telemetry
        telemetry.rounds.add(1, {"adafuse.round.kind": round_.kind})
        if round_.member and round_.words:
            telemetry.words.add(len(round_.words), {"adafuse.member": round_.member})
        for name in round_.left_out:
            telemetry.not_finite.add(1, {"adafuse.member": name})
        if self._text is not None:
            self._text.append(round_.text)

    def end(self, account: AnswerRecord) -> None:
        """The answer has ended, one way or another."""
        self._measure(account)
        if self._span.is_recording():
            self._span.set_attributes(self._figures(account))
            if self._text is not None:
                reason = account.outcome if account.usage else None
                text = output_messages("".join(self._text), reason)
                self._span.set_attribute("gen_ai.output.messages", text)
            for failure in account.failures:
                self._span.add_event("adafuse.member.failed", _attributes(failure))
            self._tell_error(account.error)
        self._span.end()

    def _measure(self, account: AnswerRecord) -> None:
        telemetry, common = self._telemetry, self._common
        failed = {"error.type": type(account.error).__name__} if account.error is not None else {}
        telemetry.answers.add(1, {**common, **failed, "adafuse.outcome": account.outcome})
        telemetry.duration.record(account.seconds, {**common, **failed})
        if account.first_seconds is not None:
            telemetry.first_round.record(account.first_seconds, common)
        for failure in account.failures:
            telemetry.failures.add(1, _attributes(failure))
        for place, (name, used) in enumerate(account.usage.items()):
            counts = {"input": used.prompt_tokens, "output": used.committed_tokens}
            every = {**counts, "processed": used.tokens_processed, "reused": used.reused_tokens}
            for kind, count in every.items():
                telemetry.tokens.add(count, {"adafuse.member": name, "adafuse.token.kind": kind})
            for kind, count in counts.items() if place == 0 else ():
                telemetry.token_usage.record(count, {**common, "gen_ai.token.type": kind})

    def _figures(self, account: AnswerRecord) -> dict[str, Any]:
        summary, usage = account.summary, account.usage
        words = summary.words_by_member
        figures: dict[str, Any] = {
            "adafuse.outcome": account.outcome,
            "adafuse.rounds": summary.rounds,
            "adafuse.unanimous": summary.unanimous,
            "adafuse.scored": summary.scored,
            "adafuse.forced": summary.forced,
            "adafuse.words": [words.get(name, 0) for name in self._members],
            "adafuse.dropped": [one.member for one in account.failures if one.dropped],
            "adafuse.not_finite": [account.not_finite.get(name, 0) for name in self._members],
            "adafuse.decoding_seconds": account.decoding_seconds,
        }
        if account.first_seconds is not None:
            figures["adafuse.first_round_seconds"] = account.first_seconds
        if usage:
            first = next(iter(usage.values()))
            figures["gen_ai.usage.input_tokens"] = first.prompt_tokens
            figures["gen_ai.usage.output_tokens"] = first.committed_tokens
            figures["gen_ai.response.finish_reasons"] = [account.outcome]
            for key, count in (
                ("adafuse.prompt_tokens", "prompt_tokens"),
                ("adafuse.committed_tokens", "committed_tokens"),
                ("adafuse.processed_tokens", "tokens_processed"),
            ):
                held = [getattr(usage[name], count, 0) if name in usage else 0
                        for name in self._members]  # fmt: skip
                figures[key] = held
        return figures

    def _tell_error(self, error: BaseException | None) -> None:
        if error is None:
            return
        kind = type(error).__name__
        self._span.set_status(Status(StatusCode.ERROR, kind))
        self._span.set_attribute("error.type", kind)
        # Not record_exception: what an error says, and its traceback, may quote the answer.
        self._span.add_event("exception", {"exception.type": f"{type(error).__module__}.{kind}"})
        if isinstance(error, MemberError):
            self._span.set_attributes(
                {
                    "adafuse.error.member": error.member,
                    "adafuse.error.phase": error.phase,
                    "adafuse.error.round": error.round_index,
                }
            )


def _attributes(failure: Failure) -> dict[str, Any]:
    return {
        "adafuse.member": failure.member,
        "adafuse.phase": failure.phase,
        "adafuse.dropped": failure.dropped,
        "error.type": failure.kind,
    }
