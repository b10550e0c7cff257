"""Which tokens of a rendered prompt are what its messages say, and how well they are predicted.

A template's own words are left out: members have different ones, and know theirs by heart.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from adafuse.member import PromptFit

__all__ = ["prompt_fit", "said"]


def said(pieces: Sequence[bytes], texts: Sequence[str]) -> list[int]:
    """Places of the tokens that hold some of the texts, which come in this order.

    Args:
        pieces: the bytes of every token of the prompt.
        texts: what the messages say; a template may have trimmed them. Those that are not found,
            as the tokenizer cannot hold them or the template rewrote them, do not count.
    """
    whole = b"".join(pieces)
    ends = list(accumulate(map(len, pieces)))
    places: list[int] = []
    begin = 0
    for text in texts:
        wanted = text.strip().encode()
        found = whole.find(wanted, begin) if wanted else -1
        if found < 0:
            continue
        begin = found + len(wanted)
        places += [
            at
            for at, (end, piece) in enumerate(zip(ends, pieces, strict=True))
            if end > found and end - len(piece) < begin and (not places or at > places[-1])
        ]
    return places


def prompt_fit(
    pieces: Sequence[bytes], logprobs: Sequence[float], texts: Sequence[str]
) -> PromptFit:
    """How well a member predicts the texts within its prompt.

    Args:
        pieces: as for `said`.
        logprobs: of every token but the first, which nothing comes before, in nats.
        texts: as for `said`; where none is found, the whole prompt counts.
    """
    places = said(pieces, texts) or list(range(len(pieces)))
    rated = [logprobs[at - 1] for at in places if at > 0]
    return PromptFit(-sum(rated), len(rated))
