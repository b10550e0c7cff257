"""Scoring: what one member thinks of every candidate, with one forward for all (DESIGN 3.3, 3.7).

Tokens that several candidates share are one node, and what was drafted is known already. A token
that is read for its probability alone need not be read itself: if its candidate wins, the next
draft reads it. This module knows nodes and their probabilities, not texts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from adafuse.decoding.combining import log_sum
from adafuse.local.sequence import TokenSequence, logprob_of, stats_of
from adafuse.local.token_tree import Node

__all__ = ["Span", "mean_nlls", "word_nlls"]


@dataclass(frozen=True, slots=True)
class Span:
    """A candidate as this member reads it.

    Attributes:
        nodes: of its tokens.
        ends: whether the answer ends after it.
        whole: whether it is a whole word whatever comes next: there is no border to ask for.
        stops: the last nodes of what the member drafted up to a stop string, for an end.
    """

    nodes: Sequence[Node]
    ends: bool = False
    whole: bool = False
    stops: Sequence[Node] = ()

    @property
    def nothing(self) -> bool:
        """Whether it has no token at all."""
        return not self.nodes and not self.ends


def mean_nlls(sequence: TokenSequence, spans: Sequence[Span]) -> list[float | None]:
    """Mean NLL per token, in nats. An end is one more token: the sum of all ways to end.

    None for a span without any token; NaN where a distribution is not finite.
    """
    _read(sequence, spans, borders=False)
    root = sequence.tree.root
    return [
        None if span.nothing else _nll(root, span) / (len(span.nodes) + span.ends) for span in spans
    ]


def _nll(root: Node, span: Span) -> float:
    """The NLL of a span's tokens and of its end, without the border."""
    logprob = _logprob(span.nodes)
    if not span.ends:
        return -logprob
    ways = [logprob + stats_of([root, *span.nodes][-1]).end_logprob]
    return -log_sum([*ways, *(_logprob(stop.path()) for stop in span.stops)])


def word_nlls(
    sequence: TokenSequence, spans: Sequence[Span], spaced: Callable[[int], bool]
) -> list[float | None]:
    """-log of the probability that the member writes just this word next, in nats (DESIGN 3.7).

    The border behind a word counts unless it is `whole`. What another candidate holds of a
    candidate is taken from it, so that no two of them can come true together. `spaced` tells
    whether a token begins with whitespace. None and NaN as for `mean_nlls`.
    """
    _read(sequence, spans, borders=True)
    root = sequence.tree.root
    events = [event for at, span in enumerate(spans) for event in _events(root, at, span)]
    own: dict[int, list[float]] = {at: [] for at, span in enumerate(spans) if not span.nothing}
    left: dict[int, float] = {}  # log-probabilities of events, less what others hold of them
    for event in sorted(events, key=lambda event: (-len(event.path), event.tail)):
        inside = [left[id(other)] for other in events if event.holds(other, spaced)]
        left[id(event)] = _log_less(event.logprob, inside)
        own[event.at].append(left[id(event)])
    return [-log_sum(own[at]) if at in own else None for at in range(len(spans))]


_END, _BORDER, _ANYTHING = range(3)  # what follows an event's tokens, the narrowest first


@dataclass(frozen=True, slots=True)
class _Event:
    """One way in which a candidate comes true: its tokens, and what follows them."""

    at: int  # which candidate's
    path: tuple[int, ...]
    tail: int
    logprob: float

    def holds(self, other: _Event, spaced: Callable[[int], bool]) -> bool:
        """Whether another candidate's event is part of this one."""
        length = len(self.path)
        if other.at == self.at or other.path[:length] != self.path or self.tail == _END:
            return False
        if len(other.path) == length:
            return other.tail < self.tail
        return self.tail == _ANYTHING or spaced(other.path[length])


def _events(root: Node, at: int, span: Span) -> Iterator[_Event]:
    if span.nothing:
        return
    path, logprob = tuple(node.token for node in span.nodes), _logprob(span.nodes)
    after = [root, *span.nodes][-1]
    if span.ends:
        yield _Event(at, path, _END, logprob + stats_of(after).end_logprob)
    elif span.whole:
        yield _Event(at, path, _ANYTHING, logprob)
    else:
        yield _Event(at, path, _BORDER, logprob + stats_of(after).border_logprob)
    for stop in span.stops:
        nodes = stop.path()
        yield _Event(at, tuple(node.token for node in nodes), _ANYTHING, _logprob(nodes))


def _read(sequence: TokenSequence, spans: Sequence[Span], *, borders: bool) -> None:
    """Read what the spans' probabilities need, in one forward."""
    unread: dict[Node, None] = {}
    unknown: dict[Node, None] = {}
    for span in spans:
        unknown.update((node, None) for node in span.nodes if logprob_of(node) is None)
        last = span.ends or (borders and not span.whole)
        needed = span.nodes if last else span.nodes[:-1]
        unread.update((node, None) for node in needed if node.row is None)
    if unknown and not unread:
        unread = unknown  # no transfer without a forward, and one of them may win
    if unread:
        sequence.read_and_learn(list(unread), list(unknown))


def _logprob(nodes: Sequence[Node]) -> float:
    logprobs = [logprob for node in nodes if (logprob := logprob_of(node)) is not None]
    assert len(logprobs) == len(nodes), "every token of a scored span is known"
    return sum(logprobs)


def _log_less(log: float, parts: Sequence[float]) -> float:
    """log of a probability less others that are part of it, and never below 0."""
    if not parts or math.isinf(log):
        return log
    rest = 1.0 - sum(math.exp(part - log) for part in parts)
    return log + math.log(rest) if rest > 0 else -math.inf
