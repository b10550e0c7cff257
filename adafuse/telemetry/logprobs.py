"""Probabilities of an answer's words in OpenAI's form. Plain values; only rule "words" has them.

A word's number is the log of the probability that its round was decided by: what the members'
mixture gives exactly this word with the border behind it (`Candidate.score`, negated; with
`combine="product"` the weighted mean of the members' logs). It is asked for with the answer
(`rated` of `adafuse.decoding.loop.fuse`), since members that agree need no scores otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Any

from adafuse.errors import ConfigError
from adafuse.events import Candidate, Round, Rule

__all__ = ["LEAST", "logprob_of", "refuse_rule", "word_logprobs"]

LEAST = -9999.0
"""What OpenAI writes for what is next to impossible; JSON has no infinity."""


def refuse_rule(rule: Rule) -> None:
    """Raise ConfigError for a rule that gives words no probability."""
    if rule != "words":
        raise ConfigError(
            f"logprobs are probabilities of words, and rule {rule!r} has none: it scores spans by "
            "a mean over tokens; leave them out, or use rule 'words'"
        )


def logprob_of(candidate: Candidate) -> float | None:
    """The log of a candidate's probability; None where nobody was asked for it."""
    return None if candidate.score is None else max(LEAST, 0.0 - candidate.score)


def word_logprobs(round_: Round, top: int) -> Iterator[dict[str, Any]]:
    """Describe the words of a round: "token", "logprob", "bytes" and "top_logprobs".

    The token is the word as it stands in the answer; what a stop string or the limit took from it
    counts in its probability. "logprob" is None where a grammar left no choice. "top_logprobs" are
    the `top` most probable candidates of its round, in the same form; "" is the end of the answer.
    """
    best = sorted((c for c in round_.candidates if c.score is not None), key=attrgetter("score"))
    others = [_entry(candidate.text, logprob_of(candidate)) for candidate in best[:top]]
    chosen = round_.candidates[round_.winner] if round_.winner >= 0 else None
    logprob = None if chosen is None else logprob_of(chosen)
    for word in round_.words:
        yield {**_entry(word, logprob), "top_logprobs": others}


def _entry(token: str, logprob: float | None) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}
