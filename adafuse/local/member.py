"""A member in this process: a transformers model and its tokenizer."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from adafuse.config import DecodingConfig
from adafuse.constraints.constraint import Constraint
from adafuse.constraints.grammar import TokenTable
from adafuse.constraints.token_mask import TokenMasks
from adafuse.errors import PromptMemoryError, UnsupportedTokenizerError
from adafuse.local.borders import border_mask
from adafuse.local.context_window import AnswerWindow
from adafuse.local.cost_curve import CostCurve
from adafuse.local.runner import Runner
from adafuse.local.session import LocalSession
from adafuse.local.tree_check import prepare
from adafuse.memory import free_bytes, release
from adafuse.prompting.chat_template import Template
from adafuse.prompting.prompt import Prompt
from adafuse.prompting.renderer import Rendered, Renderer
from adafuse.text.tokenizer import TokenCodec, check_prompt, check_tokenizer
from adafuse.text.vocabulary import Vocabulary

__all__ = ["LocalMember"]


class LocalMember:
    """A causal language model of transformers with its tokenizer.

    Args:
        model: on its device, put into evaluation mode; or a `Runner` that another member
            shares.
        tokenizer: of the same model.
        name: shown in events, usage and errors.
        weight: how much it counts.
        chat_template: in place of the tokenizer's own, or several by name ("default", "tool_use");
            "" leaves it out.
        chat_template_kwargs: passed to the template.
        prompt_cache_mb: MiB of keys and values to keep of earlier answers; members that share a
            model runner share the largest; 0: this member neither keeps nor uses any.
        check_memory: whether a prompt is refused that the device has no room for.
        cost_curve: what forwards of its model cost; None: as it was measured, if it was. What is
            read ahead follows from it.

    Raises:
        UnsupportedModelError, UnsupportedTokenizerError: see `adafuse.errors`.
        ConfigError: the template or its arguments cannot be used.
    """

    def __init__(
        self,
        model: PreTrainedModel | Runner,
        tokenizer: PreTrainedTokenizerBase | Vocabulary,
        name: str,
        *,
        weight: float = 1.0,
        chat_template: Template | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        prompt_cache_mb: int = 256,
        check_memory: bool = True,
        cost_curve: CostCurve | None = None,
    ) -> None:
        self.name = name
        self.weight = weight
        self.runner = prepare(model, name) if isinstance(model, PreTrainedModel) else model
        self.runner.cost_curve = cost_curve or self.runner.cost_curve
        self.remembers = prompt_cache_mb > 0
        self._check_memory = check_memory
        self.runner.prompts.budget = max(self.runner.prompts.budget, prompt_cache_mb * 2**20)
        self.tokenizer = tokenizer
        self.codec = TokenCodec(tokenizer, name)
        rows = self.runner.vocabulary
        if isinstance(tokenizer, PreTrainedTokenizerBase):  # others are a part of their model
            check_tokenizer(tokenizer, self.codec, rows, name)
        ends = self.codec.end_ids(self.runner.generation_eos)
        self.end_ids = frozenset(id_ for id_ in ends if id_ < rows)  # others are never drafted
        self._ends: dict[tuple[str, ...], list[int]] = {}
        self._renderer = Renderer(self.codec, name, chat_template, chat_template_kwargs)

    def open(self, prompt: Prompt, config: DecodingConfig) -> LocalSession:
        """Render and tokenise the prompt; no forward yet.

        Raises:
            PromptError: the template refuses the messages, or uses a token that the model lacks.
            ContextWindowError: the prompt leaves no room in the window.
            PromptMemoryError: the device has no room for it.
            UnsupportedTokenizerError: the answer is constrained and the tokenizer cannot write
                every text.
        """
        rendered = self.render(prompt)
        tokens = len(rendered.ids)
        window = AnswerWindow(self.runner.window_of(tokens), tokens)
        window.check(self.name)
        if self._check_memory:
            self._refuse_too_large(tokens)
        masks = self._masks(prompt.constraint) if prompt.constraint is not None else None
        texts = [str(message["content"]) for message in prompt.messages]
        return LocalSession(
            self.runner, self.codec, self.end_ids, rendered, window, config, masks,
            self.borders if config.rule == "words" else None, texts, remembers=self.remembers,
        )  # fmt: skip

    def _masks(self, constraint: Constraint) -> TokenMasks | None:
        try:
            return TokenMasks(self._table, self.codec, constraint, sorted(self.end_ids))
        except UnsupportedTokenizerError:
            if constraint.only_forbids:  # then what is left of the texts it can write
                return None
            raise

    def _refuse_too_large(self, tokens: int) -> None:
        """Raise PromptMemoryError if a prompt does not fit, even once nothing else is kept."""
        needed, device = self.runner.prompt_bytes(tokens), self.runner.device
        free = free_bytes(device)
        if free is None or needed <= free:
            return
        self.runner.prompts.clear()
        release(device)
        if needed > (free := free_bytes(device) or 0):
            raise PromptMemoryError(self.name, tokens, needed, free)

    @functools.cached_property
    def _table(self) -> TokenTable:
        """For grammars, made when the first one is asked for: a second for 262,144 tokens.

        UnsupportedTokenizerError where some text has no tokens.
        """
        return TokenTable(self.codec.text_tokens(), self.codec.encode)

    @functools.cached_property
    def borders(self) -> torch.Tensor:
        """Which ids a word's border may be made of, 0 or 1, shape (V,), on the model's device."""
        mask = border_mask(self.codec, self.end_ids, self.runner.vocabulary)
        return mask.to(self.runner.device)

    def ends(self, stops: tuple[str, ...] = ()) -> list[int]:
        """Ids that end an answer: the end tokens, and those whose text begins with a stop."""
        if stops not in self._ends:
            ids = range(self.runner.vocabulary) if stops else ()
            begun = (id_ for id_ in ids if self.codec.text([id_]).startswith(stops))
            self._ends[stops] = sorted(self.end_ids.union(begun))
        return self._ends[stops]

    def render(self, prompt: Prompt) -> Rendered:
        """The prompt as this member reads it; errors as for `open`, but for the window."""
        rendered = self._renderer.render(prompt)
        check_prompt(rendered.ids, self.codec, self.runner.vocabulary, self.name)
        return rendered

    def count_tokens(self, text: str) -> int:
        """How many tokens a text has, without special tokens."""
        return len(self.codec.encode_start(text, special_tokens=False))

    def count_prompt_tokens(self, prompt: Prompt) -> int:
        """How many tokens a prompt has as this member reads it, tools included; errors as there."""
        return len(self.render(prompt).ids)
