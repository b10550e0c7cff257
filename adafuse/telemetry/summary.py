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
    for round_ in done:
        if round_.words and round_.member:
            words[round_.member] += len(round_.words)
    members = usage.values()
    committed = sum(used.committed_tokens for used in members)
    read = sum(used.tokens_processed - used.prompt_tokens for used in members)
    if seconds is None and usage:
        seconds = sum(sum(used.seconds.values()) for used in members)
    return Summary(
        words_by_member=dict(words),
        rounds=len(done),
        unanimous=sum(round_.unanimous for round_ in done),
        scored=sum(round_.scored for round_ in done),
        confident=sum(round_.confident and not round_.forced for round_ in done),
        forced=sum(round_.forced for round_ in done),
        tokens_read_per_committed_token=read / committed if committed else None,
        seconds=seconds,
    )
