"""What a server counts, for Prometheus. Nothing of what is asked or answered is told."""

from __future__ import annotations

import time
from collections.abc import Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from adafuse.concurrency.admission import Admission
from adafuse.errors import MemberError
from adafuse.events import Round

__all__ = ["CONTENT_TYPE_LATEST", "Metrics", "Visit"]

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500)


class Metrics:
    """The counts of one server.

    Args:
        gate: tells how many answers run and wait.
    """

    def __init__(self, gate: Admission) -> None:
        self._registry = CollectorRegistry()
        at = self._registry
        self._requests = Counter(
            "adafuse_requests",
            "Requests that have ended, by path and outcome: 'ok', 'gone' or an error's code.",
            ["endpoint", "outcome"],
            registry=at,
        )
        self._seconds = Histogram(
            "adafuse_request_seconds",
            "From a request to the end of its answer, waiting included; of those that are 'ok'.",
            ["endpoint"],
            buckets=_SECONDS,
            registry=at,
        )
        self._first = Histogram(
            "adafuse_first_words_seconds",
            "From a request to the first words that are decoded for it.",
            ["endpoint"],
            buckets=_SECONDS,
            registry=at,
        )
        self._tokens = Counter(
            "adafuse_tokens",
            "Tokens of answers that have ended, as their first members count them.",
            ["kind"],
            registry=at,
        )
        self._words = Counter(
            "adafuse_words", "Words by the member that drafted them.", ["member"], registry=at
        )
        self._failures = Counter(
            "adafuse_member_failures",
            "Failures of members, whether they were dropped or raised.",
            ["member", "phase"],
            registry=at,
        )
        running = Gauge("adafuse_answers_running", "Answers that are being decoded.", registry=at)
        running.set_function(lambda: gate.running)
        waiting = Gauge("adafuse_answers_waiting", "Answers that wait for a place.", registry=at)
        waiting.set_function(lambda: gate.waiting)

    def visit(self, endpoint: str) -> Visit:
        """A request begins."""
        return Visit(self, endpoint)

    def round(self, one: Round) -> None:
        """A round of some answer."""
        if one.words and one.member:
            self._words.labels(one.member).inc(len(one.words))
        for lost in one.dropped:
            self._failures.labels(lost.member, lost.phase).inc()
        if one.usage:
            first = next(iter(one.usage.values()))
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

    def ended(self, endpoint: str, outcome: str, seconds: float) -> None:
        """A request has ended."""
        self._requests.labels(endpoint, outcome).inc()
        if outcome == "ok":
            self._seconds.labels(endpoint).observe(seconds)

    def began(self, endpoint: str, seconds: float) -> None:
        """The first words of a request's answer are there."""
        self._first.labels(endpoint).observe(seconds)


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
            self._metrics.began(self._endpoint, time.monotonic() - self._start)

    def end(self, outcome: str) -> None:
        """It has ended; the first outcome counts."""
        if not self._ended:
            self._ended = True
            self._metrics.ended(self._endpoint, outcome, time.monotonic() - self._start)
