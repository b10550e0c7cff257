"""What a server counts, for Prometheus. Nothing of what is asked or answered is told."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from adafuse.concurrency.admission import Admission
from adafuse.errors import MemberError
from adafuse.events import Round

__all__ = ["CONTENT_TYPE_LATEST", "Metrics", "Visit"]

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500)


class Metrics:
    """The counts of one server; `Visit` keeps those of requests."""

    def __init__(self, gate: Admission) -> None:
        self._registry = CollectorRegistry()
        counter = partial(Counter, registry=self._registry)
        histogram = partial(Histogram, buckets=_SECONDS, registry=self._registry)
        self.requests = counter(
            "adafuse_requests",
            "Requests that have ended, by path and outcome: 'ok', 'gone' or an error's code.",
            ["endpoint", "outcome"],
        )
        self.seconds = histogram(
            "adafuse_request_seconds",
            "From a request to the end of its answer, waiting included; of those that are 'ok'.",
            ["endpoint"],
        )
        self.first = histogram(
            "adafuse_first_words_seconds",
            "From a request to the first words that are decoded for it.",
            ["endpoint"],
        )
        self._tokens = counter(
            "adafuse_tokens",
            "Tokens of answers that have ended, as their first members count them.",
            ["kind"],
        )
        self._words = counter("adafuse_words", "Words by the member that drafted them.", ["member"])
        self._failures = counter(
            "adafuse_member_failures",
            "Failures of members, whether they were dropped or raised.",
            ["member", "phase"],
        )
        for name, text, count in (
            ("running", "Answers that are being decoded.", lambda: gate.running),
            ("waiting", "Answers that wait for a place.", lambda: gate.waiting),
        ):
            gauge = Gauge(f"adafuse_answers_{name}", text, registry=self._registry)
            gauge.set_function(count)

    def round(self, round_: Round) -> None:
        """A round of some answer."""
        if round_.words and round_.member:
            self._words.labels(round_.member).inc(len(round_.words))
        for lost in round_.dropped:
            self._failures.labels(lost.member, lost.phase).inc()
        if round_.usage:
            first = next(iter(round_.usage.values()))
            self._tokens.labels("prompt").inc(first.prompt_tokens)
            self._tokens.labels("completion").inc(first.committed_tokens)

    def failed(self, error: BaseException) -> None:
        """An answer ends by an error."""
        if isinstance(error, MemberError):
            self._failures.labels(error.member, error.phase).inc()

    def text(self) -> bytes:
        """All counts, as Prometheus reads them."""
        return generate_latest(self._registry)

    def labels_of(self, members: Sequence[str]) -> None:
        """Count from nought for members that have written nothing yet."""
        for member in members:
            self._words.labels(member)


class Visit:
    """One request, from when it comes to its outcome."""

    def __init__(self, metrics: Metrics, endpoint: str) -> None:
        self._metrics = metrics
        self._endpoint = endpoint
        self._start = time.monotonic()
        self._began = False
        self._ended = False

    def words(self) -> None:
        """Something was decoded; the first time counts."""
        if not self._began:
            self._began = True
            self._metrics.first.labels(self._endpoint).observe(self._elapsed())

    def end(self, outcome: str) -> None:
        """It has ended; the first outcome counts."""
        if not self._ended:
            self._ended = True
            self._metrics.requests.labels(self._endpoint, outcome).inc()
            if outcome == "ok":
                self._metrics.seconds.labels(self._endpoint).observe(self._elapsed())

    def _elapsed(self) -> float:
        return time.monotonic() - self._start
