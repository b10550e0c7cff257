"""A transformers model as the token tree needs it: ids, positions and masks in, logits out.

Knows attention layouts, masks and devices; it holds no sequence and no tree.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Mapping, Sequence

import torch
from transformers import Cache, PreTrainedModel

from adafuse.errors import UnsupportedModelError
from adafuse.local._compat import attention_name
from adafuse.local.batching import scheduler_of
from adafuse.local.context_window import window_size
from adafuse.local.cost_curve import CostCurve, unmeasured_width
from adafuse.local.kv_cache import KVCache
from adafuse.local.onednn import OneDnnLinear
from adafuse.local.packed_attention import PackedCache, packed_attention, packed_mask
from adafuse.local.prompt_cache import PromptCache
from adafuse.local.request import Request
from adafuse.local.tree_masks import Layout, Seen, seen_slots
from adafuse.memory import prompt_bytes, ran_out, release

__all__ = ["ModelRunner"]

_LOGITS = 2**24  # that one forward may give: 64 MiB in float32, and a few times that meanwhile


class ModelRunner:
    """A model that reads token trees; members with the same checkpoint share one.

    Args:
        model: a causal language model in evaluation mode.
        name: the member's name, for messages.

    Raises:
        UnsupportedModelError: recurrent state, other kinds of layers, or an attention
            implementation that takes no tree mask.
    """

    def __init__(self, model: PreTrainedModel, name: str) -> None:
        self.layout = Layout.of(type(model), model.config, name)
        text = model.config.get_text_config(decoder=True)  # a composite model's parts may differ
        attention = attention_name(text)
        if attention not in ("sdpa", "eager"):
            raise UnsupportedModelError(
                f"member {name!r}: attention implementation {attention!r} cannot take a tree mask; "
                "load the model with attn_implementation='sdpa' or 'eager'"
            )
        self._additive = attention == "eager"
        self.model = model
        self.scheduler = scheduler_of(model.device)
        self._keeps = "logits_to_keep" in inspect.signature(model.forward).parameters
        self.parameters = float(model.num_parameters())
        self.place = str(model.device)
        self.dtype = str(model.dtype)
        self.packs = False  # until a trial shows that it does
        self.cost_curve: CostCurve | None = None  # until it is measured or given
        self.products = OneDnnLinear(model)
        self.prompts = PromptCache()
        self._text = text
        self.vocabulary: int = text.vocab_size
        self.most_logits = max(_LOGITS // self.vocabulary, 1)  # rows, in one forward
        generation = getattr(model, "generation_config", None) or model.config
        self.generation_eos: int | list[int] | None = getattr(generation, "eos_token_id", None)

    @property
    def device(self) -> torch.device:
        """Where the logits are."""
        return self.model.device

    @property
    def window(self) -> int | None:
        """The context window of a prompt that leaves room in it; see `window_of`."""
        return self.window_of(0)

    def window_of(self, prompt_tokens: int) -> int | None:
        """How many tokens prompt and answer may have together; see `window_size`."""
        return window_size(self._text, prompt_tokens)

    def prompt_bytes(self, tokens: int) -> int:
        """Bytes that it takes, at least, to read a prompt."""
        return prompt_bytes(self._text, self.model.dtype, tokens, self._additive)

    def spare_curve(self) -> CostCurve | None:
        """What forwards cost one of those that share them now; None if it was not measured."""
        return self.cost_curve and self.cost_curve.shared(self.scheduler.callers)

    def spare_width(self) -> int:
        """How many tokens one sequence may read in a forward that it needs anyway.

        For models that were not measured.
        """
        return unmeasured_width(self.scheduler.callers)

    def new_cache(self) -> KVCache:
        """A cache that holds nothing yet."""
        return KVCache()

    def forward_packed(self, requests: Sequence[Request]) -> list[torch.Tensor]:
        """One forward of several sequences; returns logits of each as `forward` does.

        Only for what `packs`; none is a text.
        """
        return self._forward_packed(requests, [seen_slots(r, self.layout) for r in requests])

    def _forward_packed(
        self, requests: Sequence[Request], seen: Sequence[Seen | None]
    ) -> list[torch.Tensor]:
        device = self.model.device
        sizes = [len(request.tokens) for request in requests]
        cache = PackedCache([_states(request) for request in requests], sizes)
        pairs = list(zip(requests, seen, strict=True))
        masks = {
            kind: packed_mask([_plain_mask(request, own, kind) for request, own in pairs], device)
            for kind in self.layout.types
        }
        ends = itertools.accumulate(sizes)
        rows = [
            row
            for request, end in zip(requests, ends, strict=True)
            for row in range(end - request.keep, end)
        ]
        tokens = [token for request in requests for token in request.tokens]
        positions = [position for request in requests for position in request.positions]
        with packed_attention(self._text, cache):
            logits = self._run(tokens, positions, masks, cache, torch.tensor(rows, device=device))
        return list(torch.split(logits, [request.keep for request in requests]))

    def forward(self, request: Request) -> torch.Tensor:
        """One forward of one sequence; returns logits of its last tokens, shape (keep, V).

        Where memory runs out, caches of earlier answers are let go, and it is tried once more.
        """
        held = request.cache.get_seq_length()
        try:
            return self._forward(request)
        except Exception as error:
            if not ran_out(error):
                raise
        request.cache.keep(held, [])  # outside the handler: the error's frames hold tensors
        self.prompts.clear()
        release(self.model.device)
        return self._forward(request)

    def _forward(self, request: Request) -> torch.Tensor:
        seen = seen_slots(request, self.layout)
        if self.packs and seen is not None:
            return self._forward_packed([request], [seen])[0]
        masks = {kind: self._mask(slots) for kind, slots in (seen or {}).items()}
        return self._run(request.tokens, request.positions, masks, _states(request), request.keep)

    @torch.inference_mode()
    def _run(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        masks: Mapping[str, torch.Tensor],
        cache: Cache,
        rows: torch.Tensor | int,
    ) -> torch.Tensor:
        """One forward; returns the logits at the places `rows`, or of so many last ones.

        `masks` by layer type; none: the model makes its own.
        """
        options = {"logits_to_keep": rows} if self._keeps else {}
        with self.products.used():
            output = self.model(
                input_ids=torch.tensor([list(tokens)], device=self.model.device),
                position_ids=torch.tensor([list(positions)], device=self.model.device),
                attention_mask=masks if len(masks) > 1 else next(iter(masks.values()), None),
                past_key_values=cache,
                use_cache=True,
                **options,
            )
        logits: torch.Tensor = output.logits[0]  # (places, V)
        if self._keeps:
            return logits
        return logits[-rows:] if isinstance(rows, int) else logits[rows]

    def _mask(self, seen: torch.Tensor) -> torch.Tensor:
        """A mask (1, 1, n, slots): bool for sdpa, additive for eager."""
        if not self._additive:
            return seen[None, None].to(self.model.device)
        mask = torch.zeros(seen.shape, dtype=self.model.dtype)
        mask.masked_fill_(~seen, torch.finfo(mask.dtype).min)
        return mask[None, None].to(self.model.device)


def _plain_mask(request: Request, seen: Seen | None, kind: str) -> torch.Tensor:
    """A request's mask, (n, slots); that of a single line of tokens is all True.

    Longer readings without a mask are not packed, nor those whose window would hide slots.
    """
    if seen is not None:
        return seen[kind]
    return torch.ones(len(request.tokens), request.cache.get_seq_length() + 1, dtype=torch.bool)


def _states(request: Request) -> KVCache:
    """A request's cache, which this runner has made."""
    assert isinstance(request.cache, KVCache)
    return request.cache
