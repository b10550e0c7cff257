"""How many tokens a model's context window holds, and what an answer may still add to it.

Knows configurations and counts of tokens; neither texts nor caches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from transformers import PreTrainedConfig

from adafuse.errors import ContextWindowError

__all__ = ["AnswerWindow", "window_size"]

_NO_LIMIT = 2**31  # tokens: models without a limit of positions


def window_size(config: PreTrainedConfig, prompt_tokens: int) -> int | None:
    """How many tokens prompt and answer may have together, by the decoder's config; None: no limit.

    Where rotary factors change at some length, what is in the cache would have to be read again. A
    shorter prompt ends there; a longer one has the later factors from its start.
    """
    longest: int | None = getattr(config, "max_position_embeddings", None)
    switch = _rope_switch(config)
    return longest if switch is None or prompt_tokens > switch else switch


@dataclass(frozen=True, slots=True)
class AnswerWindow:
    """The window of one answer: tokens of prompt and answer together (None: no limit)."""

    size: int | None
    prompt_tokens: int

    def check(self, member: str) -> None:
        """Raise ContextWindowError if the prompt leaves no room for an answer."""
        if self.size is not None and self.prompt_tokens >= self.size:
            raise ContextWindowError(member, self.size, self.prompt_tokens)

    def room(self, committed: int) -> int:
        """How many more tokens there is room for behind so many committed ones."""
        return (self.size or _NO_LIMIT) - self.prompt_tokens - committed


def _rope_switch(config: PreTrainedConfig) -> int | None:
    """The length beyond which a model turns positions by other factors (LongRoPE, as in Phi-3).

    Dynamic NTK scaling does so too, but beyond `max_position_embeddings`, where the window ends.
    """
    parameters = getattr(config, "rope_parameters", None) or {}
    by_layer_type = [value for value in parameters.values() if isinstance(value, Mapping)]
    lengths = [
        rope["original_max_position_embeddings"]
        for rope in by_layer_type or [parameters]
        if rope.get("rope_type") == "longrope"
        and any(
            rope.get(f"long_{part}") != rope.get(f"short_{part}") for part in ("factor", "mscale")
        )
    ]
    return min(lengths, default=None)
