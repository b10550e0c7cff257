"""`ChatAdaFuse`: an ensemble in place of a LangChain chat model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable
from pydantic import Field, SecretStr

from adafuse.config import CONSTRAINTS
from adafuse.errors import ConfigError
from adafuse.prompting.prompt import Prompt
from adafuse_integrations.langchain._chat_call import ChatModel
from adafuse_integrations.langchain._messages import core_messages
from adafuse_integrations.langchain._structured_output import (
    Method,
    call_parser,
    decoding_schema,
    json_parser,
    read_shape,
    with_raw,
)
from adafuse_integrations.langchain._tools import Tools, core_tools

__all__ = ["ChatAdaFuse"]

# What `with_structured_output` binds.
_DECIDED = {"tool_choice", "keep_incomplete", "response_format", *CONSTRAINTS}
_WITHOUT_EFFECT = "Taken because LangChain's standard parameters have it; without effect: "


class ChatAdaFuse(ChatModel):
    """Several local models that write one chat answer together, word by word.

    Give `models`, or an `ensemble` that is already built, or set ADAFUSE_MODELS; the other fields
    are decoding settings and what is reported. Members are loaded with the first message, once for
    all instances that name the same ones. Each of them renders the conversation with its own chat
    template.

    Every decoding setting may also be given per call, or with `bind`; so may `model` (which members
    answer), `timeout`, `logprobs`, `tools`, `tool_choice`, `parallel_tool_calls` and
    `response_format`. A `stop` per call replaces the field, and a constraint (`json_schema`,
    `regex`, `choices`, `grammar`) the one that is set.

    Callbacks get one `on_llm_new_token` per word, whether the answer is streamed or not (a word in
    a tool call comes as a chunk of that call); chunks add up to the message of `invoke`. Its
    `usage_metadata` sums the tokens of all members, with each member's in the details, and its
    `response_metadata` has the fusion trace, which `read_answer` reads. `batch` and `abatch` answer
    eight inputs at a time, which share forwards, unless `max_concurrency` says otherwise.

    Raises:
        pydantic.ValidationError: a field is unknown or out of range.
        ConfigError: likewise for an argument of a call; before anything is loaded.
        PromptError: a message or a tool cannot be read: an image, say.
        IncompleteAnswerError: a constrained answer was cut, by max_tokens or a stop string.
        AdaFuseError: what loading and decoding raise, unchanged, once a prompt is answered.
    """

    streaming: bool | None = Field(
        default=None,
        description="True makes `invoke` stream inside, False keeps `stream` from it. Callbacks "
        "get words either way.",
    )
    max_retries: int | None = Field(
        default=None,
        exclude=True,
        description=f"{_WITHOUT_EFFECT}nothing that could fail is asked of a network. See "
        "`with_retry`.",
    )
    api_key: SecretStr | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description=f"{_WITHOUT_EFFECT}members run here.",
    )

    # --- Tools and forms ---

    def bind_tools(
        self,
        tools: Tools,
        *,
        tool_choice: Any = None,
        parallel_tool_calls: bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools that answers may call.

        Args:
            tools: functions, Pydantic classes, TypedDicts, JSON schemas with a title, LangChain
                tools (a runnable's, too), or tools in OpenAI's format.
            tool_choice: "auto" (default): the members decide; "any", "required" or True: one must
                be called; "none" or False: none is; a tool's name, or OpenAI's mapping of one. It
                is enforced while decoding.
            parallel_tool_calls: whether an answer may hold several calls; default one.
            strict: arguments fit a tool's schema whatever this says.
            kwargs: settings to bind as well.

        Raises:
            ConfigError: an unknown tool_choice or argument, or parameters that nothing fits.
            PromptError: a tool that cannot be read.
            MissingExtraError: calls need a grammar, and llguidance is not installed.
        """
        bound = dict(kwargs)
        if parallel_tool_calls is not None:
            bound["parallel_tool_calls"] = parallel_tool_calls
        if shown := core_tools(tools):
            bound["tools"] = list(shown)
        call = self._for_call(None, {**bound, "tool_choice": tool_choice})._current_call
        call.constrained(Prompt((), None, "chat"))  # refuses what no grammar can hold answers to
        if shown and tool_choice is not None:
            bound["tool_choice"] = call.tool_choice
        return self.bind(**bound)

    def with_structured_output(
        self,
        schema: Any = None,
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        tools: Tools | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Hold answers to a schema while they are written, and read them.

        Args:
            schema: a Pydantic class (answers are its instances), a TypedDict, a JSON schema or a
                function's description in OpenAI's format (answers are dictionaries).
            method: "json_schema": the answer is JSON. "function_calling": it is a call of a tool
                made of the schema. "json_mode": as "json_schema"; without a schema, any object.
            include_raw: give {"raw": message, "parsed": …, "parsing_error": …} instead of raising.
            strict: answers fit the schema whatever this says.
            tools: tools that may be called instead of answering ("json_schema"); the answer is
                then None, so `include_raw` must be set.
            kwargs: settings to bind as well.

        Raises:
            ConfigError: an unknown method or argument, no schema, or one that cannot be enforced.
            MissingExtraError: llguidance is not installed.
        """
        if taken := _DECIDED & kwargs.keys():
            raise ConfigError(f"with_structured_output decides {', '.join(sorted(taken))} itself")
        shape = read_shape(schema)  # which LangChain describes to tracers
        traced = {"kwargs": {"method": method, "strict": strict}, "schema": shape}
        if method == "function_calling" and schema is not None and not tools:
            (tool,) = core_tools([schema])
            name = tool["function"]["name"]
            caller = self.bind_tools(
                [tool], tool_choice=name, ls_structured_output_format=traced, **kwargs
            )
            parser = call_parser(schema, name)
            return with_raw(caller, parser) if include_raw else caller | parser
        if method not in ("json_schema", "json_mode") or (schema is None and method != "json_mode"):
            raise ConfigError(
                "with_structured_output needs a schema and method 'json_schema', "
                f"'function_calling' (without tools) or 'json_mode', not {method!r}"
            )
        if tools and not include_raw:
            raise ConfigError(
                "tools beside a schema need include_raw=True, which shows their calls"
            )
        bound = {"json_schema": decoding_schema(schema), "keep_incomplete": include_raw, **kwargs}
        if schema is not None:
            bound["ls_structured_output_format"] = traced
        writer = self.bind_tools(tools or (), **bound)
        parser = json_parser(schema)
        return with_raw(writer, parser) if include_raw else writer | parser

    # --- Tokens ---

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Count what the first member reads before it answers; loads the members.

        Its chat template and the tools in it are counted: this is the number that the member's
        usage gives as prompt tokens.

        Raises:
            ConfigError: that member cannot count them.
            PromptError: a message or tool cannot be read.
        """
        model = self._for_call(None, {"tools": tools} if tools else {})
        return model._count_prompt_tokens(core_messages(messages))
