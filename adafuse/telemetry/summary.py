"""What an answer's rounds and usage add up to: who wrote it, how it was decided, what it cost.

Pure counting over events; knows neither models nor terminals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from adafuse.events import MemberUsage, Round

__all__ = ["Summary", "summarise"]


@dataclass(frozen=True, slots=True)
class Summary:
    """One answer, or several, in figures.

    Attributes:
        words_by_member: words of the answer by the member that drafted them; forced ones are
            nobody's.
        rounds: rounds decoded.
        unanimous: rounds committed without scoring, as all members proposed the same.
        scored: rounds in which the members scored several candidates.
        confident: rounds in which no member fell below the margin threshold; these may be
            unanimous or scored.
        forced: rounds in which a grammar left nothing to draft.
        tokens_read_per_committed_token: tokens through all models after their prompts, for each
            token they committed; None if none was committed or usage is not known.
        seconds: wall time as it was given, else that of all members and phases; None if unknown.
    """

    words_by_member: Mapping[str, int]
    rounds: int
    unanimous: int
    scored: int
    confident: int
    forced: int
    tokens_read_per_committed_token: float | None
    seconds: float | None


def summarise(
    rounds: Iterable[Round],
    usage: Mapping[str, MemberUsage] | None = None,
    *,
    seconds: float | None = None,
) -> Summary:
    """Count rounds.

    Args:
        rounds: those of `Answer.rounds` or of a stream, also of one that was closed early.
        usage: by member; default: that of the last round, if it has any.
        seconds: wall time as measured by the caller.
    """
    done = list(rounds)
    if usage is None:
        usage = (done[-1].usage if done else None) or {}
    words = Counter(dict.fromkeys(usage, 0))
    for one in done:
        if one.words and one.member:
            words[one.member] += len(one.words)
    members = usage.values()
    committed = sum(one.committed_tokens for one in members)
    read = sum(one.tokens_processed - one.prompt_tokens for one in members)
    if seconds is None and usage:
        seconds = sum(sum(one.seconds.values()) for one in members)
    return Summary(
        words_by_member=dict(words),
        rounds=len(done),
        unanimous=sum(one.unanimous for one in done),
        scored=sum(one.scored for one in done),
        confident=sum(one.confident and not one.forced for one in done),
        forced=sum(one.forced for one in done),
        tokens_read_per_committed_token=read / committed if committed else None,
        seconds=seconds,
    )
