"""What a model runner is: all that members, sessions and trees know of a model.

`adafuse.local.model_runner` runs models of transformers. Nothing above a runner knows which one it
is.
"""

from __future__ import annotations

from typing import Protocol

import torch

from adafuse.local.batching import Forwards, ForwardScheduler
from adafuse.local.cost_curve import CostCurve
from adafuse.local.prompt_cache import PromptCache
from adafuse.local.request import Cache

__all__ = ["Runner"]


class Runner(Forwards, Protocol):
    """A model that reads token trees; members with the same checkpoint share one.

    `cost_curve` is what its forwards cost, None until that is measured or given.
    """

    cost_curve: CostCurve | None

    @property
    def scheduler(self) -> ForwardScheduler:
        """Whose turn it is on the model's device."""

    @property
    def prompts(self) -> PromptCache:
        """Caches of earlier prompts and answers."""

    @property
    def device(self) -> torch.device:
        """Where logits are."""

    @property
    def dtype(self) -> str:
        """As its weights are kept: "torch.float32" or "Q4_K - Medium", say."""

    @property
    def place(self) -> str:
        """The device that the model is on, for messages."""

    @property
    def parameters(self) -> float:
        """How many parameters the model has."""

    @property
    def vocabulary(self) -> int:
        """How many ids logits are for."""

    @property
    def most_logits(self) -> int:
        """Rows of logits that one forward may give."""

    @property
    def generation_eos(self) -> int | list[int] | None:
        """Ids that end an answer, as the model's own settings have it."""

    @property
    def window(self) -> int | None:
        """The context window of a prompt that leaves room in it; see `window_of`."""

    def window_of(self, prompt_tokens: int) -> int | None:
        """How many tokens prompt and answer may have together; None: no limit."""

    def prompt_bytes(self, tokens: int) -> int:
        """Bytes that it takes, at least, to read a prompt."""

    def spare_width(self) -> int:
        """How many tokens one sequence may read in a forward that it needs anyway.

        For models that were not measured.
        """

    def spare_curve(self) -> CostCurve | None:
        """What forwards cost one of those that share them now; None if it was not measured."""

    def new_cache(self) -> Cache:
        """A cache that holds nothing yet."""
