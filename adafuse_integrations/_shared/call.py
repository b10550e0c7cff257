"""One call of a model: what an answer is decoded with, checked once and carried to all who ask.

Plain values; knows no framework, no model object and no loaded member.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from adafuse.config import DecodingConfig
from adafuse.prompting.prompt import Message, Prompt, PromptFormat, read_prompt, with_constraint

__all__ = ["Call"]


@dataclass(frozen=True, slots=True)
class Call:
    """What one call asks for.

    Attributes:
        config: settings of those members that answer.
        chosen: which answer, by index.
        tools: what the answer may call, as `read_tools` gives them.
        tool_choice: as `read_tool_choice` gives it.
        parallel: whether the answer may hold several calls.
    """

    config: DecodingConfig
    chosen: tuple[int, ...]
    tools: tuple[dict[str, Any], ...] = ()
    tool_choice: str = "auto"
    parallel: bool = False

    @property
    def shown(self) -> tuple[dict[str, Any], ...]:
        """The tools that members see, and may call."""
        return () if self.tool_choice == "none" else self.tools

    def prompt(
        self, prompt: str | Sequence[Message], prompt_format: PromptFormat | None = None
    ) -> Prompt:
        """A checked prompt, with what its answer must be; errors as of `Ensemble.stream`."""
        return self._constrained(read_prompt(prompt, prompt_format))

    def refuse_unenforceable(self) -> None:
        """Raise ConfigError if no grammar can hold answers to what this asks."""
        self._constrained(Prompt((), None, "chat"))

    def _constrained(self, prompt: Prompt) -> Prompt:
        with_tools = replace(prompt, tools=self.tools)
        return with_constraint(with_tools, self.config, self.tool_choice, self.parallel)
