"""Borders as arrays: what rules compare, out of records."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from adafuse.text.words import unspaced

__all__ = ["Border", "borders_of", "is_hit", "is_stop"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Border:
    """One border of one text; arrays are by candidate (C) and member (M).

    `hits` says which candidates are the reference's own word, `stops` which complete a stop string
    at once; `end` and `reference` are places among them. `stems` has for each the place of the
    first that differs from it in nothing but whitespace behind it: "x:" and "x:\\n".
    """

    row: str
    hits: npt.NDArray[np.bool_]  # (C,)
    stops: npt.NDArray[np.bool_]  # (C,)
    stems: tuple[int, ...]
    sizes: Floats  # (C,) bytes, and one for an end
    tokens: Floats  # (C, M) log-probability of the tokens
    counts: Floats  # (C, M) how many these are
    borders: Floats  # (C, M) log-probability of the border
    drafts: tuple[tuple[tuple[int, int], ...], ...]  # by member: place and rank
    confident: tuple[bool, ...]
    entropies: Floats  # (M,)
    rates: Floats  # (M,) nats per character of the prompt
    end: int
    reference: int

    def drafted(self, member: int, branches: int, *, margin: bool = True) -> list[int]:
        """Places of what a member proposes, the most probable first."""
        limit = 1 if margin and self.confident[member] else branches
        return [place for place, rank in self.drafts[member] if rank < limit]

    def pool(self, members: Sequence[int], branches: int, *, margin: bool = True) -> list[int]:
        """Places of what all members propose, in their order."""
        drafts = (self.drafted(member, branches, margin=margin) for member in members)
        return list(dict.fromkeys(place for own in drafts for place in own))

    def words(self, branches: int) -> Floats:
        """Log-probability of every word, (C, M); the end holds a member's own drafts of stops."""
        found = self.tokens + self.borders
        for member in range(found.shape[1]):
            for place in self.drafted(member, branches):
                if self.stops[place]:
                    found[self.end, member] = np.logaddexp(
                        found[self.end, member],
                        self.tokens[place, member] + self.borders[place, member],
                    )
        return found


def borders_of(records: Iterable[Mapping[str, Any]], members: Sequence[str]) -> list[Border]:
    """All borders of some records, in their order."""
    return [
        _border(record, at, members) for record in records for at in range(len(record["borders"]))
    ]


def _border(record: Mapping[str, Any], at: int, members: Sequence[str]) -> Border:
    border = record["borders"][at]
    texts = [candidate["text"] for candidate in border["candidates"]]
    stems = [text and (text.rstrip() or text) for text in texts]
    numbers = np.array(
        [[candidate["likelihoods"][name] for name in members] for candidate in border["candidates"]]
    )  # (C, M, 3)
    before, after = "".join(record["words"][:at]), record["words"][at:]
    own = [border["members"][name] for name in members]
    rates = [record["prompt"][name] for name in members]
    return Border(
        row=record["row"],
        hits=np.array([_hits(text, before, after, record) for text in texts]),
        stops=np.array([is_stop(text, before, record["stops"]) for text in texts]),
        stems=tuple(map(stems.index, stems)),
        sizes=np.array([1.0 if text is None else len(text.encode()) for text in texts]),
        tokens=numbers[:, :, 0], counts=numbers[:, :, 1], borders=numbers[:, :, 2],
        drafts=tuple(tuple((place, rank) for place, rank in one["drafts"]) for one in own),
        confident=tuple(one["confident"] for one in own),
        entropies=np.array([one["entropy"] for one in own]),
        rates=np.array([nll / max(characters, 1) for nll, characters in rates]),
        end=texts.index(None),
        reference=border["reference"],
    )  # fmt: skip


def _hits(text: str | None, before: str, after: Sequence[str], record: Mapping[str, Any]) -> bool:
    if not after:
        return text is None or is_stop(text, before, record["stops"])
    return text is not None and is_hit(text, after, record["stops"] if record["ends"] else ())


def is_hit(text: str, after: Sequence[str], stops: Sequence[str]) -> bool:
    """Whether a text is the next word of those `after` the border.

    It may also hold whitespace that follows there, or, behind the last word, a stop; and of a
    script without spaces it may be some characters more or less.
    """
    rest, word = "".join(after), after[0]
    if text == word:
        return True
    if text.startswith(word) and text[len(word) :].isspace():
        return rest.startswith(text) or (rest == word and any(stop in text for stop in stops))
    return rest.startswith(text) and unspaced(text[-1])


def is_stop(text: str | None, before: str, stops: Sequence[str]) -> bool:
    """Whether a text behind another completes a stop at once: nothing but blanks comes before."""
    if text is None:
        return False
    whole = before + text
    found = (whole.find(stop, max(0, len(before) - len(stop) + 1)) for stop in stops)
    places = [place for place in found if place >= 0]
    return bool(places) and not whole[: min(places)][len(before) :].strip()
