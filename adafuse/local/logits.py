"""What the host needs to know of next-token distributions, in one transfer per forward.

Everything vocabulary-sized stays on the model's device; a few numbers per node come over. On a GPU
each transfer is a stall, so `next_token_stats` packs all that a forward yields into one tensor.
"""

from __future__ import annotations

import math
import operator
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

__all__ = ["NextTokenStats", "Penalty", "next_token_stats"]

# How many ids' probabilities come over with each node: most words that other members propose begin
# with one of these, so that scoring them needs nothing more from the device.
_KNOWN = 256
_BLOCK = 64  # ids that are ranked as one at first


@dataclass(frozen=True, slots=True, eq=False)
class NextTokenStats:
    """What is known of the token after a node.

    `top` are the most probable ids, best first, ties to the lower id, shaped by repetition penalty
    and grammar; there are none where the grammar allows none.
    """

    top: tuple[int, ...]
    margin: float  # top-1 minus top-2 probability, shaped likewise
    end_logprob: float  # log of the summed probability of the end tokens; minus infinity if none
    border_logprob: float  # likewise of what may follow a word (`borders`); NaN if not asked for
    log_normalizer: float  # logsumexp of the model's own logits
    finite: bool  # False if the distribution is not one (NaN or infinite logits)
    ids: np.ndarray[Any, Any] = field(repr=False)  # the few hundred most probable, as float32
    logits: np.ndarray[Any, Any] = field(repr=False)  # the model's own logits of these

    def logprob(self, token: int) -> float | None:
        """The model's own log-probability of an id in nats; None if it is not known here."""
        (places,) = (self.ids == token).nonzero()
        return float(self.logits[places[0]]) - self.log_normalizer if len(places) else None


@dataclass(frozen=True, slots=True)
class Penalty:
    """A repetition penalty as in transformers: which ids were seen, in all rows and in each."""

    value: float  # above 1 discourages; logits below 0 are multiplied, others divided
    context: Sequence[int]  # ids of prompt and answer
    paths: Sequence[Sequence[int]]  # further ids, one list per row

    def apply(self, rows: torch.Tensor) -> torch.Tensor:
        """Return penalised logits, shape (n, V)."""
        seen = torch.zeros(rows.shape, dtype=torch.bool)
        seen[:, sorted(set(self.context))] = True
        for row, path in enumerate(self.paths):
            seen[row, list(path)] = True
        shaped = torch.where(rows < 0, rows * self.value, rows / self.value)
        return torch.where(seen.to(rows.device), shaped, rows)


def next_token_stats(
    rows: torch.Tensor,
    pairs: Sequence[tuple[torch.Tensor, int]],
    *,
    branches: int,
    end_ids: Sequence[int],
    penalty: Penalty | None,
    masks: Sequence[torch.Tensor | None] | None = None,
    borders: torch.Tensor | None = None,
) -> tuple[list[NextTokenStats], list[float]]:
    """Bring over what is needed of `rows`, (n, V), and the logits of `pairs` of other rows and ids.

    `top` holds as many ids as there are `branches`, and at least 2. Penalty and masks shape it and
    `margin`: a mask per node, bool, shape (up to V,); ids beyond its end are not allowed, and None
    allows every id. `borders` has 1 for each id whose probabilities are summed, else 0,
    float32, shape (V,); see `borders.border_mask`. Returns `NextTokenStats` per row, and a raw
    logit per pair; subtract the row's
    `log_normalizer`.
    """
    ranked = min(branches + _KNOWN, rows.shape[-1])
    packed = _pack(rows.float(), ranked, end_ids, penalty, masks, borders)  # (n, width)
    parts = [packed.flatten()]
    if pairs:
        parts.append(torch.stack([row[token] for row, token in pairs]).float())
    # The one transfer; `copy` makes it one on the CPU too, where tests count them.
    flat = torch.cat(parts).to("cpu", copy=True).numpy()
    split = packed.numel()
    stats = [_unpack(line, max(branches, 2)) for line in flat[:split].reshape(packed.shape)]
    return stats, flat[split:].tolist()


def _pack(
    rows: torch.Tensor,
    ranked: int,
    end_ids: Sequence[int],
    penalty: Penalty | None,
    masks: Sequence[torch.Tensor | None] | None,
    borders: torch.Tensor | None,
) -> torch.Tensor:
    """Rows of four numbers, then `ranked` ids, shaped and raw logits.

    The four: normaliser, end logit, log-probability of a border, shaped normaliser.

    Ids fit float32 exactly: vocabularies are far below 2**24.
    """
    shaped = rows if penalty is None else penalty.apply(rows)
    if masks is not None and any(mask is not None for mask in masks):
        shaped = shaped.masked_fill(~_allowed(masks, rows), -math.inf)
    values, ids = _largest(shaped, ranked)
    same = shaped is rows
    raw = values if same else rows.gather(-1, ids)
    peak, place = (values[:, :1], ids[:, :1]) if same else rows.max(-1, keepdim=True)
    # In half the time of `logsumexp`, which passes over the vocabulary again and again.
    if borders is None:
        normalizer = peak - rows.log_softmax(-1).gather(-1, place)
        border = torch.full_like(normalizer, math.nan)
    else:
        shares = rows.softmax(-1)
        normalizer = peak - shares.gather(-1, place).log()
        border = (shares @ borders.to(rows.device)).clamp(max=1.0).log()[:, None]
    ends = [token for token in end_ids if 0 <= token < rows.shape[-1]]
    end = torch.full_like(normalizer, -math.inf)
    if ends:
        end = rows[:, ends].logsumexp(-1, keepdim=True)
    shaped_normalizer = normalizer if same else shaped.logsumexp(-1, keepdim=True)
    head = [normalizer, end, border, shaped_normalizer]
    return torch.cat([*head, ids.float(), values, raw], dim=-1)


def _largest(rows: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """As `topk`, values and ids of shape (n, count), in a fraction of its time on a CPU.

    The `count` largest are in the `count` blocks with the largest peaks, or behind the last block.
    """
    whole = rows.shape[-1] // _BLOCK * _BLOCK
    if whole < 2 * count * _BLOCK:
        return rows.topk(count)
    blocks = rows[:, :whole].reshape(len(rows), -1, _BLOCK)  # (n, blocks, _BLOCK)
    chosen = blocks.amax(-1).topk(count).indices[:, :, None]  # (n, count, 1)
    values = blocks.gather(1, chosen.expand(-1, -1, _BLOCK)).flatten(1)
    within = torch.arange(_BLOCK, device=rows.device)
    ids = (chosen * _BLOCK + within).flatten(1)
    behind = torch.arange(whole, rows.shape[-1], device=rows.device)
    ids = torch.cat([ids, behind.expand(len(rows), -1)], dim=1)
    values, places = torch.cat([values, rows[:, whole:]], dim=1).topk(count)
    return values, ids.gather(1, places)


def _allowed(masks: Sequence[torch.Tensor | None], rows: torch.Tensor) -> torch.Tensor:
    """Masks as one tensor on the rows' device, shape (n, V)."""
    allowed = torch.zeros(rows.shape, dtype=torch.bool)
    for at, mask in enumerate(masks):
        if mask is None:
            allowed[at] = True
        else:
            allowed[at, : len(mask)] = mask[: rows.shape[-1]]
    return allowed.to(rows.device)


def _unpack(numbers: np.ndarray[Any, Any], count: int) -> NextTokenStats:
    normalizer, end, border, shaped_normalizer = numbers[:4].tolist()
    third = (len(numbers) - 4) // 3
    ids, shaped, raw = numbers[4:].reshape(3, third)
    nothing = shaped_normalizer == -math.inf  # the grammar's doing, unless the logits are broken
    if not math.isfinite(normalizer) or not (nothing or math.isfinite(shaped_normalizer)):
        none = math.nan
        return NextTokenStats((), none, none, none, none, False, ids[:0], raw[:0])
    # They come sorted by value; equal values are put in order of id. Wide enough for any tie that
    # matters: only those among the first `count` do.
    values = shaped.tolist()
    last = bisect_right(values, -values[min(count, third) - 1], key=operator.neg)
    first = ids[:last].astype(int).tolist()
    ranking = sorted(range(last), key=lambda at: (-values[at], first[at]))
    ranking = [at for at in ranking if values[at] > -math.inf]
    likely = [math.exp(values[at] - shaped_normalizer) for at in ranking[:2]]
    best, second = [*likely, 0.0, 0.0][:2]
    return NextTokenStats(
        top=tuple(first[at] for at in ranking[:count]),
        margin=best - second,
        end_logprob=end - normalizer,
        border_logprob=border,
        log_normalizer=normalizer,
        finite=True,
        ids=ids,
        logits=raw,
    )
