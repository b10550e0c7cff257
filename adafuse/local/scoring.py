"""Scoring: what one member thinks of every candidate, with one forward for all (DESIGN 3.3).

Tokens that several candidates share are one node, and what was drafted is known already. A
candidate's last token need not be read to score it: if it wins, the next draft reads it.
"""

from __future__ import annotations

from collections.abc import Sequence

from adafuse.local.sequence import TokenSequence, logprob_of, stats_of
from adafuse.local.token_tree import Node

__all__ = ["score_spans"]


def score_spans(
    sequence: TokenSequence,
    spans: Sequence[tuple[Sequence[Node], bool]],
    sizes: Sequence[int] | None = None,
) -> list[float | None]:
    """Mean NLL, in nats, of spans given by their nodes and whether they end.

    Per token, or per unit of `sizes`, which has one number for each span. An end is one more token,
    whose probability is the sum over the end tokens. None for a span without any token; NaN where a
    distribution is not finite.
    """
    unread: dict[Node, None] = {}
    unknown: dict[Node, None] = {}
    for nodes, ends in spans:
        unknown.update((node, None) for node in nodes if logprob_of(node) is None)
        needed = nodes if ends else nodes[:-1]
        unread.update((node, None) for node in needed if node.row is None)
    if unknown and not unread:
        unread = unknown  # no transfer without a forward, and one of them may win
    if unread:
        sequence.read_and_learn(list(unread), list(unknown))
    scores: list[float | None] = []
    for (nodes, ends), size in zip(spans, sizes or [0] * len(spans), strict=True):
        logprobs = [logprob for node in nodes if (logprob := logprob_of(node)) is not None]
        assert len(logprobs) == len(nodes), "every token of a scored span is known"
        if ends:
            logprobs.append(stats_of([sequence.tree.root, *nodes][-1]).end_logprob)
        scores.append(-sum(logprobs) / (size or len(logprobs)) if logprobs else None)
    return scores
