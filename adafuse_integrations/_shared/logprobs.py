"""Scores of words in the form that other interfaces call logprobs. Knows no framework."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from adafuse.events import Candidate, Round

__all__ = ["word_scores"]


def word_scores(round_: Round, top: int) -> Iterator[dict[str, Any]]:
    """Describe the words of a round by the score of the candidate they come from.

    Each has

        token         the word
        logprob       minus the candidate's mean NLL per token over members, in nats; None where
                      the round was not scored, because the members agreed or nothing else was
                      allowed
        by_member     the same for each member
        round         index of the round
        top_logprobs  the best `top` candidates of the round: token, logprob and by_member of each;
                      the token is the whole candidate: several words, or "" for the end
    """
    best = sorted((c for c in round_.candidates if c.score is not None), key=_score)
    others = [{"token": candidate.text, **_scores(candidate)} for candidate in best[:top]]
    won = round_.candidates[round_.winner] if round_.scored and round_.winner >= 0 else None
    scores = _scores(won) if won is not None else {"logprob": None, "by_member": {}}
    for word in round_.words:
        yield {"token": word, **scores, "round": round_.index, "top_logprobs": others}


def _score(candidate: Candidate) -> float:
    assert candidate.score is not None
    return candidate.score


def _scores(candidate: Candidate) -> dict[str, Any]:
    mean = None if candidate.score is None else -candidate.score
    return {"logprob": mean, "by_member": {name: -nll for name, nll in candidate.scores.items()}}
