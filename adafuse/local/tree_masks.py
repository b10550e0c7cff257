"""Which slots of a cache each token of a request may see: masks for models of transformers.

Some layers see everything before a token, others a window; positions are what counts, and in a tree
slots are not in their order. Knows requests and attention layouts, no model and no cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from adafuse.errors import UnsupportedModelError
from adafuse.local.request import Request

__all__ = ["FULL", "SLIDING", "Layout", "Seen", "seen_slots"]

FULL, SLIDING = "full_attention", "sliding_attention"
Seen = Mapping[str, torch.Tensor]
"""By layer type: bool, shape (n, slots)."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Which layers see how far back."""

    types: tuple[str, ...]  # of the model's layers, each once: FULL and SLIDING
    window: int | None  # tokens a sliding layer sees, itself included

    @classmethod
    def of(cls, model: type[PreTrainedModel], config: PreTrainedConfig, name: str) -> Layout:
        """Read a model's layout from its class and config.

        UnsupportedModelError where a layer keeps state that cannot be trimmed, or needs a mask of
        another kind.
        """
        config = config.get_text_config(decoder=True)
        kinds = sorted(set(getattr(config, "layer_types", None) or ()))
        window = getattr(config, "sliding_window", None)
        if getattr(model, "_is_stateful", False):
            raise UnsupportedModelError(
                f"member {name!r}: {model.__name__} keeps a recurrent state, which cannot be "
                "taken back after a draft; use an attention-only model"
            )
        # GPT-Neo's local layers and ALiBi count cache slots, which in a tree are not positions.
        local = "local" in (getattr(config, "attention_layers", None) or ())
        alibi = config.model_type in ("bloom", "mpt") or getattr(config, "alibi", False)
        if local or alibi:
            raise UnsupportedModelError(
                f"member {name!r}: {model.__name__} derives its "
                f"{'local windows' if local else 'ALiBi biases'} from cache slots, which are not "
                "positions in a token tree; use a model with position ids and plain masks"
            )
        if strange := [kind for kind in kinds if kind not in (FULL, SLIDING)]:
            raise UnsupportedModelError(
                f"member {name!r}: {model.__name__} has {', '.join(strange)} layers, which "
                "cannot take a tree mask; use a model of full or sliding-window attention"
            )
        if not kinds:  # one kind throughout, and a window makes it sliding (Mistral)
            kinds = [SLIDING if window else FULL]
        return cls(tuple(kinds), window if SLIDING in kinds else None)


def seen_slots(request: Request, layout: Layout) -> Seen | None:
    """Which slots each of a request's tokens may see; None: all before it, for a plain mask."""
    prefix, length, paths = request.prefix, request.length, request.paths
    total = max((path[-1] + 1 for path in paths), default=length)
    if request.is_text:
        return None  # the model makes its own
    if len(request.tokens) == 1 and (layout.window is None or total <= layout.window):
        line = paths[0] if paths else ()
        if length + len(line) == total:
            return None  # a single token that sees every slot
    lineage = torch.zeros(len(request.tokens), total, dtype=torch.bool)
    if prefix:
        lineage[:prefix, :length] = torch.ones(prefix, length).tril(length - prefix).bool()
    lineage[prefix:, :length] = True
    for row, path in enumerate(paths, prefix):
        lineage[row, list(path)] = True
    if layout.window is None:
        return dict.fromkeys(layout.types, lineage)
    near = lineage & _within(request, total, layout.window)
    return {kind: near if kind == SLIDING else lineage for kind in layout.types}


def _within(request: Request, total: int, window: int) -> torch.Tensor:
    """Which slots are within the window of each token, by position; shape (n, slots)."""
    places, length = torch.arange(total), request.length
    for path in request.paths:  # slots of the tree are not in order of position
        places[list(path)] = torch.arange(length, length + len(path))
    return places[None, :] > torch.tensor(request.positions)[:, None] - window
