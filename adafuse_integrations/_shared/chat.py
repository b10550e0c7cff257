"""The fields and the single call of a chat model: its tools, its form, and what it reports.

Pydantic only; knows no framework's messages. Framework classes turn theirs into the core's.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, ClassVar, Self

from pydantic import Field

from adafuse.config import CONSTRAINTS
from adafuse.constraints.constraint import finished_check
from adafuse.errors import ConfigError, PromptError
from adafuse.prompting.chat_formats import plain_conversation
from adafuse.prompting.prompt import Message, PromptFormat, read_part
from adafuse.prompting.response_format import response_schema, with_instruction
from adafuse.telemetry.logprobs import refuse_rule
from adafuse.tools import parameters_of, read_tools
from adafuse.tools.answer_parts import AnswerParts
from adafuse.tools.choice import read_tool_choice, settled_choice
from adafuse_integrations._shared.answer_stream import DescribedPart, read_parts
from adafuse_integrations._shared.fields import EnsembleFields
from adafuse_integrations._shared.settings import Call

__all__ = ["ChatFields"]

# Given per call only: what an answer may call, and another way to say json_schema.
_TOOLS = ("tools", "tool_choice", "parallel_tool_calls", "strict")
_ARGUMENTS = (*_TOOLS, "response_format")
_OWN = ("logprobs", "top_logprobs", "answer_after_tools", "schema_in_prompt", "keep_incomplete")


class ChatFields(EnsembleFields):
    """Members, decoding settings, and how an answer is asked for and reported."""

    _per_call: ClassVar[tuple[str, ...]] = (*EnsembleFields._per_call, *_ARGUMENTS, *_OWN)

    logprobs: bool = Field(
        default=False,
        description="Whether response metadata tell the log of every word's probability, as "
        "logprobs: what the members' mixture gives exactly this word. Not for rule 'paper'.",
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

    def _read_call(self) -> Call:
        top = self.top_logprobs
        if isinstance(top, bool) or not isinstance(top, int) or top < 0:
            raise ConfigError(f"top_logprobs must be a whole number of at least 0, not {top!r}")
        if top and not self.logprobs:
            raise ConfigError("top_logprobs needs logprobs=True")
        call = super()._read_call()
        if self.logprobs:
            refuse_rule(call.config.rule)
        return call

    @property
    def _rated(self) -> bool:
        return self.logprobs

    def _with(self, overrides: Mapping[str, Any]) -> Self:
        """Return this model for one call, with its settings and tools."""
        model = super()._with(_settings(overrides))
        tools = read_tools(overrides.get("tools") or ())
        names = [tool["function"]["name"] for tool in tools]
        choice = read_tool_choice(overrides.get("tool_choice"), names)
        if tools:
            parallel = bool(overrides.get("parallel_tool_calls"))
            model._call = replace(
                model._current_call, tools=tools, tool_choice=choice, parallel=parallel
            )
        return model

    def _answering_to(self, messages: Sequence[Message]) -> Self:
        """Return this model as it answers a conversation.

        See `answer_after_tools`, and `settled_choice`.
        """
        call = self._current_call
        if not call.tools:
            return self
        choice = settled_choice(call.tool_choice, messages, call.config.repetition_guard)
        after_tool = bool(messages) and messages[-1].get("role") == "tool"
        if self.answer_after_tools and after_tool and choice == "auto":
            choice = "none"
        if choice == call.tool_choice:
            return self
        model = self.model_copy()
        model._call = replace(call, tool_choice=choice)
        return model

    def _prompt_schema(self) -> Mapping[str, Any] | None:
        """The schema that members are told, if there is one and it is not left out."""
        call = self._current_call
        answers = not call.shown or call.tool_choice == "auto"
        return call.config.json_schema if self.schema_in_prompt and answers else None

    def _instructed(self, messages: Sequence[Message]) -> list[Message]:
        """The conversation as members are given it."""
        if (schema := self._prompt_schema()) is None:
            return list(messages)
        return with_instruction(messages, schema, tools=bool(self._current_call.shown))

    def _described_parts(
        self,
        prompt: str | Sequence[Message],
        parts: AnswerParts,
        prompt_format: PromptFormat | None = None,
    ) -> Generator[DescribedPart | dict[str, Any]]:
        """The described answer; see `read_parts`."""
        shown = prompt if isinstance(prompt, str) else self._instructed(prompt)
        top = self.top_logprobs if self.logprobs else None
        with closing(self._rounds(shown, prompt_format)) as rounds:
            yield from read_parts(
                rounds, parts, keep_incomplete=self.keep_incomplete, top_logprobs=top
            )

    def _answer_parts(self) -> AnswerParts:
        """What takes the answer of this call apart."""
        call = self._current_call
        check = finished_check(call.shown) if call.shown else None
        schema = call.config.json_schema is not None
        return AnswerParts(parameters_of(call.shown), check=check, canonical_only=schema)

    def _count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens that the first member reads before it answers: its template included.

        Any part of a conversation counts. One that no form of the template takes is counted as
        members without a template read it.
        """
        first = self._answering()[0]
        count = getattr(first, "count_prompt_tokens", None)
        if count is None:
            raise ConfigError(f"member {first.name!r} cannot count the tokens of messages")
        if not messages:
            return 0
        prompt = replace(read_part(self._instructed(messages)), tools=self._current_call.shown)
        try:
            return int(count(prompt))
        except PromptError:
            written, _ = plain_conversation(prompt.messages, prompt.tools)
            return next(self._token_counts(written))

    def _identity(self) -> dict[str, Any]:
        call = self._current_call
        return {
            **super()._identity(),
            **{name: getattr(self, name) for name in _OWN},
            "tools": list(call.tools),
            "tool_choice": call.tool_choice,
            "parallel_tool_calls": call.parallel,
        }


def _settings(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a call that are fields; a `response_format` is another way to say json_schema."""
    settings = {name: value for name, value in overrides.items() if name not in _TOOLS}
    response_format = settings.pop("response_format", None)
    if response_format is None:
        return settings
    of_class = isinstance(response_format, type)
    schema = response_format if of_class else response_schema(response_format)
    if schema is None:
        return {**dict.fromkeys(CONSTRAINTS), **settings}
    if settings.get("json_schema") is not None:
        raise ConfigError("give json_schema or response_format, not both")
    return {**settings, "json_schema": schema}
