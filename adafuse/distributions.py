"""What the host needs to know of next-token distributions, in one transfer per forward.

Everything vocabulary-sized stays on the model's device; a few numbers per node come over. On a GPU
each transfer is a stall, so `outlooks` packs all that a forward yields into one tensor.
"""

from __future__ import annotations

import math
import operator
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

__all__ = ["Outlook", "Penalty", "outlooks"]

_KNOWN = 256
# How many ids' probabilities come over with each node: most words that other members propose begin
# with one of these, so that scoring them needs nothing more from the device.


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of the token after a node.

    Attributes:
        top: the most probable ids, best first, ties to the lower id; shaped by repetition penalty
            and grammar. Empty where the grammar allows none.
        logprobs: the model's own log-probabilities of the few hundred most probable ids, in nats.
        margin: top-1 minus top-2 probability, shaped likewise.
        end_logprob: log of the summed probability of the end tokens; minus infinity if none.
        log_normalizer: logsumexp of the model's own logits.
        finite: False if the distribution is not one (NaN or infinite logits).
    """

    top: tuple[int, ...]
    logprobs: Mapping[int, float]
    margin: float
    end_logprob: float
    log_normalizer: float
    finite: bool


@dataclass(frozen=True, slots=True)
class Penalty:
    """A repetition penalty as in transformers: which ids were seen, in all rows and in each.

    Attributes:
        value: above 1 discourages; logits below 0 are multiplied, others divided.
        context: ids of prompt and answer.
        paths: further ids, one list per row.
    """

    value: float
    context: Sequence[int]
    paths: Sequence[Sequence[int]]

    def apply(self, rows: torch.Tensor) -> torch.Tensor:
        """Return penalised logits, shape (n, V)."""
        seen = torch.zeros(rows.shape, dtype=torch.bool)
        seen[:, sorted(set(self.context))] = True
        for row, path in enumerate(self.paths):
            seen[row, list(path)] = True
        shaped = torch.where(rows < 0, rows * self.value, rows / self.value)
        return torch.where(seen.to(rows.device), shaped, rows)


def outlooks(
    rows: Sequence[torch.Tensor],
    asked: Sequence[tuple[torch.Tensor, int]],
    *,
    branches: int,
    end_ids: Sequence[int],
    penalty: Penalty | None,
    masks: Sequence[torch.Tensor | None] | None = None,
) -> tuple[list[Outlook], list[float]]:
    """Bring over what is needed of `rows`, and the logits of the ids `asked` of other rows.

    Args:
        rows: logits of shape (V,), one per node.
        asked: pairs of a row and an id.
        branches: how many ids `top` holds, at least 2.
        end_ids: ids that end an answer.
        penalty: shapes `top` and `margin`.
        masks: so do these: one per node, bool, shape (up to V,); ids beyond its end are not
            allowed. None allows every id.

    Returns:
        An outlook per row, and a raw logit per pair; subtract the row's `log_normalizer`.
    """
    parts = []
    width = 0
    if rows:
        stacked = torch.stack(list(rows)).float()  # (n, V)
        ranked = min(branches + _KNOWN, stacked.shape[-1])
        packed = _pack(stacked, ranked, end_ids, penalty, masks)  # (n, width)
        width = packed.shape[-1]
        parts.append(packed.flatten())
    if asked:
        parts.append(torch.stack([row[token] for row, token in asked]).float())
    # The one transfer; `copy` makes it one on the CPU too, where tests count them.
    flat = torch.cat(parts).to("cpu", copy=True).tolist()
    split = len(rows) * width
    found = (
        [_unpack(flat[at : at + width], max(branches, 2)) for at in range(0, split, width)]
        if rows
        else []
    )
    return found, flat[split:]


def _pack(
    rows: torch.Tensor,
    ranked: int,
    end_ids: Sequence[int],
    penalty: Penalty | None,
    masks: Sequence[torch.Tensor | None] | None,
) -> torch.Tensor:
    """Rows of: normaliser, end logit, shaped normaliser, then `ranked` ids, shaped and raw logits.

    Ids fit float32 exactly: vocabularies are far below 2**24.
    """
    shaped = rows if penalty is None else penalty.apply(rows)
    if masks is not None and any(mask is not None for mask in masks):
        shaped = shaped.masked_fill(~_allowed(masks, rows), -math.inf)
    normalizer = rows.logsumexp(-1, keepdim=True)
    ends = [token for token in end_ids if 0 <= token < rows.shape[-1]]
    end = (
        rows[:, ends].logsumexp(-1, keepdim=True)
        if ends
        else torch.full_like(normalizer, -math.inf)
    )
    values, ids = shaped.topk(ranked)
    same = shaped is rows
    shaped_normalizer = normalizer if same else shaped.logsumexp(-1, keepdim=True)
    raw = values if same else rows.gather(-1, ids)
    return torch.cat([normalizer, end, shaped_normalizer, ids.float(), values, raw], dim=-1)


def _allowed(masks: Sequence[torch.Tensor | None], rows: torch.Tensor) -> torch.Tensor:
    """Masks as one tensor on the rows' device, shape (n, V)."""
    allowed = torch.zeros(rows.shape, dtype=torch.bool)
    for at, mask in enumerate(masks):
        if mask is None:
            allowed[at] = True
        else:
            length = min(len(mask), rows.shape[-1])
            allowed[at, :length] = mask[:length]
    return allowed.to(rows.device)


def _unpack(numbers: Sequence[float], count: int) -> Outlook:
    normalizer, end, shaped_normalizer, *rest = numbers
    nothing = shaped_normalizer == -math.inf  # the grammar's doing, unless the logits are broken
    if not math.isfinite(normalizer) or not (nothing or math.isfinite(shaped_normalizer)):
        return Outlook((), {}, math.nan, math.nan, math.nan, finite=False)
    third = len(rest) // 3
    ids = [int(number) for number in rest[:third]]
    shaped, raw = rest[third : 2 * third], rest[2 * third :]
    # They come sorted by value; equal values are put in order of id. Wide enough for any tie that
    # matters: only those among the first `count` do.
    last = bisect_right(shaped, -shaped[min(count, third) - 1], key=operator.neg)
    ranking = sorted(range(last), key=lambda at: (-shaped[at], ids[at]))
    ranking = [at for at in ranking if shaped[at] > -math.inf]
    likely = [math.exp(shaped[at] - shaped_normalizer) for at in ranking[:2]]
    first, second = [*likely, 0.0, 0.0][:2]
    return Outlook(
        top=tuple(ids[at] for at in ranking[:count]),
        logprobs={token: logit - normalizer for token, logit in zip(ids, raw, strict=True)},
        margin=first - second,
        end_logprob=end - normalizer,
        log_normalizer=normalizer,
        finite=True,
    )
