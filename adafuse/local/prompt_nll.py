"""Which tokens of a rendered prompt are what its messages say, and how well they are predicted.

A template's own words are left out: members have different ones, and know theirs by heart.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from adafuse.decoding.member import PromptNLL

__all__ = ["prompt_nll", "said"]


def said(pieces: Sequence[bytes], texts: Sequence[str]) -> list[list[int] | None]:
    """Places of the tokens that hold each of the texts, which come in this order.

    `pieces` are the bytes of every token of the prompt. There are no places for a text of
    whitespace alone, which a template may trim; None stands for a text that is not there: the
    tokenizer cannot hold it, or the template rewrote it.
    """
    whole = b"".join(pieces)
    ends = list(accumulate(map(len, pieces)))
    located: list[list[int] | None] = []
    begin = 0
    for text in texts:
        content = text.strip().encode()
        start = whole.find(content, begin) if content else begin
        if start < 0:
            located.append(None)
            continue
        begin = start + len(content)
        places = [
            at
            for at, (end, piece) in enumerate(zip(ends, pieces, strict=True))
            if end > start and end - len(piece) < begin
        ]
        located.append(places if content else [])
    return located


def prompt_nll(
    pieces: Sequence[bytes], logprobs: Sequence[float], texts: Sequence[str]
) -> PromptNLL:
    """How well a member predicts the texts within its prompt; see `said`.

    `logprobs` are those of every token but the first, which nothing comes before, in nats. Where a
    text holds the first token, that counts as much as the text's others do on average.
    """

    def rated(places: Sequence[int], size: int) -> tuple[float, int] | None:
        nlls = [-logprobs[at - 1] for at in places if at > 0]
        if len(nlls) == len(places):
            return sum(nlls), size
        return (sum(nlls) / len(nlls) * len(places), size) if nlls else None

    fits = [
        None if places is None else rated(places, len(text.strip()))
        for text, places in zip(texts, said(pieces, texts), strict=True)
    ]
    size = len(b"".join(pieces).decode(errors="replace"))
    return PromptNLL(tuple(fits), rated(range(len(pieces)), size) or (0.0, 1))
