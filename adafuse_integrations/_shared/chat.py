"""The fields and the single call of a chat model: its tools, its form, and what it reports.

Pydantic only; knows no framework's messages. Framework classes turn theirs into the core's.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import Field, PrivateAttr

from adafuse.config import CONSTRAINTS
from adafuse.errors import ConfigError
from adafuse.events import Round
from adafuse.prompting.prompt import Message, read_prompt
from adafuse.prompting.response_format import with_instruction
from adafuse.tools import read_tools
from adafuse.tools.answer_parts import AnswerParts
from adafuse.tools.choice import read_tool_choice
from adafuse_integrations._shared.fields import EnsembleFields
from adafuse_integrations._shared.structured import read_response_format

__all__ = ["ChatFields"]

# Given per call only: what an answer may call, and another way to say json_schema.
_TOOLS = ("tools", "tool_choice", "parallel_tool_calls", "strict")
_REPORTS = ("logprobs", "top_logprobs")
_FORM = ("answer_after_tools", "schema_in_prompt", "keep_incomplete")


class ChatFields(EnsembleFields):
    """Members, decoding settings, and how an answer is asked for and reported."""

    _per_call: ClassVar[tuple[str, ...]] = (
        *EnsembleFields._per_call,
        *_TOOLS,
        *_REPORTS,
        *_FORM,
        "response_format",
    )

    logprobs: bool = Field(
        default=False,
        description="Whether response metadata tell the score of every word, as logprobs: minus "
        "the mean NLL per token of the candidate it comes from.",
    )
    top_logprobs: int = Field(
        default=0,
        description="How many candidates of each round they tell as well; needs logprobs.",
    )
    answer_after_tools: bool = Field(
        default=False,
        description="Whether an answer to the result of a tool calls no tool again, unless its "
        "tool_choice says that it must. Small models imitate the call that they see, and their "
        "agents come to no end.",
    )
    schema_in_prompt: bool = Field(
        default=True,
        description="Whether members are told the JSON schema, at the end of the system message. "
        "The answer is held to it either way; members write it better if they know it. Text that "
        "is completed as it is written stays as it is.",
    )
    keep_incomplete: bool = Field(
        default=False,
        description="Whether an answer that ends before it is what it must be is returned, with "
        "'incomplete' in its response metadata, instead of raising IncompleteAnswerError.",
    )

    _tools: tuple[dict[str, Any], ...] = PrivateAttr(default=())
    _tool_choice: str = PrivateAttr(default="auto")
    _parallel: bool = PrivateAttr(default=False)

    def _check(self) -> None:
        super()._check()
        top = self.top_logprobs
        if isinstance(top, bool) or not isinstance(top, int) or top < 0:
            raise ConfigError(f"top_logprobs must be a whole number of at least 0, not {top!r}")
        if top and not self.logprobs:
            raise ConfigError("top_logprobs needs logprobs=True")

    def _with(self, overrides: Mapping[str, Any]) -> Self:
        """Return this model with the settings and tools of one call.

        Raises:
            ConfigError: an argument is unknown (the nearest is named) or out of range.
            PromptError: a tool is wrong.
        """
        settings = {key: one for key, one in overrides.items() if key not in _TOOLS}
        if (form := settings.pop("response_format", None)) is not None:
            schema = read_response_format(form)
            if schema is not None and settings.get("json_schema") is not None:
                raise ConfigError("give json_schema or response_format, not both")
            free = dict.fromkeys(CONSTRAINTS)
            settings = (
                {**free, **settings} if schema is None else {**settings, "json_schema": schema}
            )
        call = super()._with(settings)
        tools = read_tools(overrides.get("tools") or ())
        names = [tool["function"]["name"] for tool in tools]
        choice = read_tool_choice(overrides.get("tool_choice"), names)
        if not tools:
            return call
        call = call.model_copy()
        call._tools, call._tool_choice = tools, choice
        call._parallel = bool(overrides.get("parallel_tool_calls"))
        return call

    def _answering_to(self, messages: Sequence[Message]) -> Self:
        """Return this model as it answers a conversation: see `answer_after_tools`."""
        told = bool(messages) and messages[-1].get("role") == "tool"
        if not (told and self.answer_after_tools and self._tools and self._tool_choice == "auto"):
            return self
        call = self.model_copy()
        call._tool_choice = "none"
        return call

    def _refuse_unenforceable(self) -> None:
        """Raise ConfigError if no grammar can hold answers to what this asks; loads nothing."""
        config = self._decoding()
        if self._tools or any(getattr(config, name) is not None for name in CONSTRAINTS):
            from adafuse.constraints.constraint import read_constraint  # needs an extra

            choice = self._tool_choice
            read_constraint(config, self._tools, choice, parallel_tool_calls=self._parallel)

    def _shown(self) -> tuple[dict[str, Any], ...]:
        """The tools that members see, and may call."""
        return () if self._tool_choice == "none" else self._tools

    def _told_schema(self) -> Mapping[str, Any] | None:
        """The schema that members are told, if there is one and it is not left out."""
        told = self.schema_in_prompt and (not self._shown() or self._tool_choice == "auto")
        return self._decoding().json_schema if told else None

    def _asked(self, messages: Sequence[Message]) -> list[Message]:
        """The conversation as members are given it."""
        if (schema := self._told_schema()) is None:
            return list(messages)
        return with_instruction(messages, schema, tools=bool(self._shown()))

    def _chat_rounds(self, messages: Sequence[Message]) -> Generator[Round]:
        """Answer a conversation; closing it early lets go of every session."""
        options: dict[str, Any] = {}
        if self._tools:
            options = {
                "tools": self._tools,
                "tool_choice": self._tool_choice,
                "parallel_tool_calls": self._parallel,
            }
        return self._rounds(self._asked(messages), **options)

    def _answer_parts(self) -> AnswerParts:
        """What takes the answer of this call apart."""
        return AnswerParts([tool["function"]["name"] for tool in self._shown()])

    def _count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens that the first member reads before it answers: its template included.

        Raises:
            ConfigError: that member cannot count them.
            PromptError: the conversation cannot be read.
        """
        first = self._answering()[0]
        count = getattr(first, "count_prompt_tokens", None)
        if count is None:
            raise ConfigError(f"member {first.name!r} cannot count the tokens of messages")
        return int(count(read_prompt(self._asked(messages), None, self._shown())))

    def _identity(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in (*_REPORTS, *_FORM)}
        return {
            **super()._identity(),
            **own,
            "tools": list(self._tools),
            "tool_choice": self._tool_choice,
            "parallel_tool_calls": self._parallel,
        }
