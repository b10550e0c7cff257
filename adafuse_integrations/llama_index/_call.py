"""What an ensemble says of itself in LlamaIndex, and one answer of it.

Settings of a call become the fields of a copy, so that one place checks them. This module knows
neither LlamaIndex's eight methods nor how schemas are asked for.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any, ClassVar

from llama_index.core.base.llms.generic_utils import messages_to_prompt as default_messages
from llama_index.core.base.llms.types import ChatMessage, LLMMetadata, MessageRole
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import default_completion_to_prompt
from pydantic import (
    PrivateAttr,
    SerializerFunctionWrapHandler,
    field_serializer,
    model_serializer,
    model_validator,
)

from adafuse.errors import ConfigError
from adafuse.prompting.prompt import PromptFormat
from adafuse.prompting.response_format import instruction
from adafuse.spec import MemberSpec
from adafuse_integrations._shared.chat import ChatFields
from adafuse_integrations._shared.fields import CompletionFields
from adafuse_integrations._shared.members import loadable, smallest_window
from adafuse_integrations.llama_index._messages import core_messages
from adafuse_integrations.llama_index._responses import Snapshot, snapshots
from adafuse_integrations.llama_index._tools import core_tools

__all__ = ["EnsembleLLM", "Making"]

_UNLIMITED = 2**31 - 1  # LlamaIndex wants a number
_OF_CHATS = {"tools", "tool_choice", "parallel_tool_calls", "strict", "answer_after_tools"}
_PROCESS_WIDE = {"callback_manager", "rate_limiter"}  # not part of what a model object is

Making = Callable[[], Generator[Snapshot]]
"""Decodes one answer; checked already, and begun with the first snapshot that is asked for."""
_Prompt = tuple[str | list[dict[str, Any]], PromptFormat | None]  # which only text has


class _Metadata(LLMMetadata):
    """Metadata whose context window is looked up when it is first read.

    LlamaIndex reads metadata in coroutines too, to learn whether a model chats and to tell of a
    call, and members that were loaded there would block the event loop. Written down before that,
    the window is None.
    """

    _look_up: Callable[[], int | None] = PrivateAttr()

    @classmethod
    def of(cls, look_up: Callable[[], int | None], **others: Any) -> _Metadata:
        """Metadata with all but the window, which `look_up` returns, in tokens."""
        metadata = cls(**others)
        metadata._look_up = look_up
        del metadata.__dict__["context_window"]  # so that it is missed when it is read
        return metadata

    def __getattr__(self, name: str) -> Any:
        if name != "context_window":
            return super().__getattr__(name)  # type: ignore[misc]  # pydantic hides it
        self.__dict__[name] = window = self._look_up() or _UNLIMITED
        return window

    @model_serializer(mode="wrap")
    def _write(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"context_window": None, **write(self)}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied as plain metadata, with the window."""
        return LLMMetadata.model_validate, (
            {n: getattr(self, n) for n in LLMMetadata.model_fields},
        )

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Any:
        build, arguments = self.__reduce__()
        return build(*arguments)


class EnsembleLLM(ChatFields, CompletionFields, FunctionCallingLLM, CustomLLM):
    """An ensemble as a LlamaIndex model."""

    _per_call: ClassVar[tuple[str, ...]] = (*ChatFields._per_call, "prompt_format")

    # --- What it says of itself ---

    @classmethod
    def class_name(cls) -> str:
        """What `to_dict` names it."""
        return "AdaFuseLLM"

    @property
    def metadata(self) -> LLMMetadata:
        """What members can do together.

        `context_window` is the smallest window of those that answer, in that member's tokens, with
        nothing taken off; reading it loads the members if nothing else says how long prompts may
        be. `num_output` is `max_tokens`. Strings are rendered for a chat unless `prompt_format` is
        "raw" or `completion_to_prompt` is set. Tools need a grammar (the extra "constrained"), and
        messages that members render themselves.
        """
        described: dict[str, Any] = {
            "num_output": self.max_tokens,
            "is_chat_model": not self._completes_text,
            "is_function_calling_model": not self._renders_messages
            and importlib.util.find_spec("llguidance") is not None,
            "model_name": self._model_name,
        }
        window = self._known_window()
        if window is None:
            return _Metadata.of(lambda: smallest_window(self._answering()), **described)
        return LLMMetadata(context_window=window, **described)

    def tokenize(self, text: str) -> list[int]:
        """As many zeros as `text` has tokens for the member that needs most; loads the members.

        Members have no common ids. LlamaIndex counts them, and does not look at them:
        `Settings.tokenizer = llm.tokenize` makes it fit prompts into the window of these models.

        Raises:
            ConfigError: a member cannot count tokens.
        """
        return [0] * max(self._token_counts(text))

    @model_validator(mode="before")
    @classmethod
    def _read_dumped(cls, values: Any) -> Any:
        """Take what `to_dict` and `model_dump` write."""
        if isinstance(values, Mapping) and values.get("class_name") == cls.class_name():
            return {name: value for name, value in values.items() if name != "class_name"}
        return values

    @field_serializer("models", when_used="unless-none")
    def _write_models(self, models: Sequence[MemberSpec]) -> list[Any]:
        return loadable(models)

    def __getstate__(self) -> dict[str, Any]:
        """As the base class, without weights; but nothing that changes answers is left out.

        Raises:
            ConfigError: it holds an ensemble, or a function, that cannot be pickled.
        """
        if self.ensemble is not None:
            raise ConfigError("an ensemble that is already built cannot be pickled; give models")
        # Of a copy: the base class takes out of the object itself what it cannot pickle.
        state: dict[str, Any] = super(EnsembleLLM, self.model_copy()).__getstate__()
        if lost := self.__dict__.keys() - state["__dict__"].keys() - _PROCESS_WIDE:
            names = ", ".join(sorted(lost))
            raise ConfigError(f"{names} cannot be pickled; use functions of a module")
        return state

    # --- How prompts are read ---

    @property
    def _completes_text(self) -> bool:
        """Whether strings are completed as they are written."""
        own = self.completion_to_prompt is not default_completion_to_prompt
        return own or self.prompt_format == "raw" or self.query_wrapper_prompt is not None

    @property
    def _renders_messages(self) -> bool:
        """Whether `messages_to_prompt` renders messages, in place of members' own templates."""
        return self.messages_to_prompt is not default_messages

    def _with_system(self, messages: Sequence[ChatMessage]) -> list[ChatMessage]:
        """Messages behind the system prompt; LlamaIndex may have put it there already."""
        prompt = self.system_prompt
        present = any(m.role == MessageRole.SYSTEM and m.content == prompt for m in messages)
        if prompt and not present:
            return [ChatMessage(role=MessageRole.SYSTEM, content=prompt), *messages]
        return list(messages)

    def _read_messages(self, messages: Sequence[ChatMessage]) -> _Prompt:
        conversation = self._with_system(messages)
        core = core_messages(conversation)
        if not self._renders_messages:
            return core, None
        if self._current_call.tools:
            raise ConfigError("messages_to_prompt has no place for tools; leave it to the members")
        instructed = self._instructed(core)
        if instructed != core:  # a system message that tells of the schema comes first
            system = ChatMessage(role=MessageRole.SYSTEM, content=instructed[0]["content"])
            rest = conversation[1:] if core[0]["role"] == "system" else conversation
            conversation = [system, *rest]
        assert self.messages_to_prompt is not None  # has a default
        return self.messages_to_prompt(conversation), "raw"

    def _read_text(self, prompt: str, *, formatted: bool) -> _Prompt:
        if formatted:
            return prompt, "raw"
        if self._completes_text:
            assert self.completion_to_prompt is not None  # has a default
            schema = None if self.prompt_format == "raw" else self._prompt_schema()
            return self._extended(self.completion_to_prompt(prompt), schema), "raw"
        if (
            self.system_prompt
            or self._renders_messages
            or self._prompt_schema() is not None
            or self.prompt_format == "chat"
        ):
            return self._read_messages([ChatMessage(role=MessageRole.USER, content=prompt)])
        return prompt, self.prompt_format

    def _extended(self, prompt: str, schema: Mapping[str, Any] | None) -> str:
        """Text behind the system prompt, and behind a schema that members are told of."""
        preface = "" if schema is None else f"{instruction(schema, tools=False)}\n\n"
        return preface + self._extend_prompt(prompt)

    # --- One answer ---

    def _completing(self, prompt: str, formatted: bool, settings: Mapping[str, Any]) -> Making:
        """Check a completion; errors as for `_with`."""
        if refused := settings.keys() & _OF_CHATS:
            raise ConfigError(f"{', '.join(sorted(refused))}: a completion has no place for calls")
        model = self._with(settings)
        rendered = formatted or model.completion_to_prompt is not default_completion_to_prompt
        if rendered and settings.get("prompt_format", "raw") != "raw":
            raise ConfigError("prompt_format is for strings that are not rendered already")
        if settings.get("schema_in_prompt") and (formatted or model.prompt_format == "raw"):
            raise ConfigError("schema_in_prompt: text that is completed as it is says it itself")
        return partial(model._snapshots, *model._read_text(prompt, formatted=formatted))

    def _chatting(self, messages: Sequence[ChatMessage], settings: Mapping[str, Any]) -> Making:
        """Check a chat answer; errors as for `_with`, or a message cannot be read."""
        if "prompt_format" in settings:
            raise ConfigError("prompt_format is for strings; messages are always a chat")
        if settings.get("tools"):
            settings = {**settings, "tools": core_tools(settings["tools"])}
        else:
            for name in ("parallel_tool_calls", "strict", "answer_after_tools"):
                if settings.get(name):
                    raise ConfigError(f"{name} needs tools")
        if settings.get("strict") is False:
            raise ConfigError("strict=False: calls are always held to the schemas of their tools")
        model = self._with(settings)
        prompt, prompt_format = model._read_messages(messages)
        if not isinstance(prompt, str):
            model = model._answering_to(prompt)
        return partial(model._snapshots, prompt, prompt_format)

    def _snapshots(
        self, prompt: str | list[dict[str, Any]], prompt_format: PromptFormat | None
    ) -> Generator[Snapshot]:
        parts = self._answer_parts()
        with closing(self._described_parts(prompt, parts, prompt_format)) as answer:
            yield from snapshots(answer, parts, self._model_name)
