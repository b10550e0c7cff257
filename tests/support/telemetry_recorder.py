"""Answers of scripted members, observed, and a recorder of their spans and metrics."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from adafuse import (
    DecodingConfig,
    Round,
)
from adafuse.decoding.loop import fuse
from adafuse.decoding.member import Member
from adafuse.prompting.prompt import read_prompt
from adafuse.telemetry.observer import observed
from adafuse.telemetry.otel import Telemetry
from adafuse.testing import ScriptedMember

PROMPT = "the-prompt-itself"
SCRIPT = "zebra crossing yonder lantern"
OTHER = "zebra walking yonder lantern"
TEXTS = (PROMPT, *SCRIPT.split(), *OTHER.split())
CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


@dataclass
class Recorded:
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


def pair(first: Callable[[Member], Member] = lambda member: member) -> list[Member]:
    return [
        first(ScriptedMember(SCRIPT, "first", confident=False)),
        ScriptedMember(OTHER, "second", confident=False, weight=0.5),
    ]


def observe(recorded: Recorded | None, members: list[Member], **settings: Any) -> Generator[Round]:
    prompt, config = read_prompt(PROMPT), DecodingConfig(**settings)
    return observed(
        fuse(members, prompt, config),
        members=[member.name for member in members],
        prompt=prompt,
        config=config,
        telemetry=recorded.telemetry if recorded is not None else None,
    )


def plain(members: list[Member], **settings: Any) -> list[Round]:
    return list(fuse(members, read_prompt(PROMPT), DecodingConfig(**settings)))


def without_times(rounds: list[Round]) -> list[Round]:
    return [replace(round_, usage=None) for round_ in rounds]


@contextlib.contextmanager
def level(name: str, value: int) -> Iterator[None]:
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(value)
    yield
    logger.setLevel(before)
