"""Where a word may be over, as a tensor: which ids begin with whitespace or end an answer."""

from __future__ import annotations

from collections.abc import Collection

import torch

from adafuse.text.tokenizer import TokenCodec

__all__ = ["border_mask"]


def border_mask(codec: TokenCodec, end_ids: Collection[int], width: int) -> torch.Tensor:
    """1 for every id that a border may be made of, else 0; float32, shape (width,), on the CPU.

    A distribution times it is the probability that a word is over (DESIGN 3.7). For 262,144 ids it
    takes a part of a second: keep it.
    """
    mask = torch.tensor(codec.whitespace_starts(width), dtype=torch.float32)
    mask[[id_ for id_ in end_ids if 0 <= id_ < width]] = 1.0
    return mask
