"""From the JSON of a request to what the ensemble is asked.

Arguments of OpenAI's interface that would change an answer, and cannot, are refused; their neutral
values are taken. Settings of adafuse are arguments too. Knows neither HTTP nor threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, cast

from adafuse.config import CONSTRAINTS, DecodingConfig
from adafuse.decoding.subset import answering, answering_config
from adafuse.errors import ConfigError, PromptError
from adafuse.prompting.prompt import Message, PromptFormat, read_prompt
from adafuse.prompting.response_format import response_schema, with_instruction
from adafuse.serve.errors import ApiError
from adafuse.serve.messages import core_messages
from adafuse.tools import read_tools
from adafuse.tools.choice import read_tool_choice
from adafuse.validation import refuse_unknown, show

__all__ = ["ARGUMENTS", "Ask", "Served", "read_chat", "read_completion"]

_SETTINGS = frozenset(f.name for f in fields(DecodingConfig)) - {"max_new_tokens"}
_OWN = _SETTINGS | {"preset", "adafuse_details"}
_COMMON = {"model", "stream", "stream_options", "max_tokens", "user"}
_CHAT = {
    "messages",
    "max_completion_tokens",
    "response_format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "safety_identifier",
    "prompt_cache_key",
}
_COMPLETION = {"prompt", "prompt_format"}
# What may be said because it changes nothing.
_NEUTRAL: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "n": (1,),
        "top_p": (1,),
        "frequency_penalty": (0,),
        "presence_penalty": (0,),
        "logit_bias": ({},),
        "logprobs": (False, 0),
        "top_logprobs": (0,),
        "best_of": (1,),
        "echo": (False,),
        "suffix": ("",),
        "store": (False,),
        "metadata": ({},),
        "modalities": (["text"],),
        "service_tier": ("auto", "default"),
        "functions": ([],),
        "function_call": ("auto", "none"),
    }
)
ARGUMENTS = frozenset(_OWN | _COMMON | _CHAT | _COMPLETION | set(_NEUTRAL))
"""All that a request may hold."""


@dataclass(frozen=True, slots=True)
class Served:
    """What a server offers.

    Attributes:
        name: of the whole ensemble, as a model.
        members: names of all members.
        config: settings of an answer where the request gives none. Its `timeout` is also the
            longest that a request may ask for.
    """

    name: str
    members: tuple[str, ...]
    config: DecodingConfig

    def find(self, model: object) -> tuple[int, ...]:
        """Which members a model's name stands for.

        Raises:
            ApiError: there is no such model.
        """
        if model is None or model == self.name:
            return answering(self.members, None)
        try:
            return answering(self.members, cast("str", model))
        except ConfigError:
            message = (
                f"there is no model {show(model)}; there are {self.name!r}, and the members "
                f"{', '.join(self.members)}, also several joined by '+'"
            )
            raise ApiError(404, message, code="model_not_found", param="model") from None


@dataclass(frozen=True, slots=True)
class Ask:
    """A checked request.

    Attributes:
        model: as the request names it.
        chosen: which members answer, by index.
        prompts: one answer is wanted for each: text, or messages.
        options: other arguments of `Ensemble.stream`.
        config: settings of the answers.
        tools: names of those that may be called.
        chat: whether it is a chat.
        stream: whether the answers are wanted in pieces.
        include_usage: whether a stream ends with the usage.
        details: whether the answer says who wrote what.
    """

    model: str
    chosen: tuple[int, ...]
    prompts: tuple[str | Sequence[Message], ...]
    options: Mapping[str, Any]
    config: DecodingConfig
    tools: tuple[str, ...]
    chat: bool
    stream: bool
    include_usage: bool
    details: bool


def read_chat(body: Mapping[str, Any], served: Served) -> Ask:
    """Read a request for a chat answer.

    Raises:
        ApiError, ConfigError, PromptError: something is wrong with it.
    """
    given = _known(body, _CHAT)
    given["max_tokens"] = _one_limit(given)
    if (form := given.pop("response_format", None)) is not None:
        schema = response_schema(form)
        if schema is not None and given.get("json_schema") is not None:
            raise ConfigError("give json_schema or response_format, not both")
        given["json_schema"] = schema if schema is not None else given.get("json_schema")
    config = _config(given, served)
    tools = read_tools(given.get("tools", []))
    names = tuple(tool["function"]["name"] for tool in tools)
    choice = read_tool_choice(given.get("tool_choice"), names)
    parallel = _switch(given, "parallel_tool_calls")
    shown = tools if choice != "none" else ()
    messages: list[Message] = list(core_messages(given.get("messages")))
    read_prompt(messages, None, shown)
    if config.json_schema is not None and (not shown or choice == "auto"):
        messages = with_instruction(messages, config.json_schema, tools=bool(shown))
    options: dict[str, Any] = {}
    if tools:
        options = {"tools": tools, "tool_choice": choice, "parallel_tool_calls": parallel}
    called = names if shown else ()
    return _ask(given, served, config, (messages,), options, called, chat=True)


def read_completion(body: Mapping[str, Any], served: Served) -> Ask:
    """Read a request for texts to be completed; errors as of `read_chat`."""
    given = _known(body, _COMPLETION)
    config = _config(given, served)
    prompt = given.get("prompt")
    prompts = [prompt] if isinstance(prompt, str) else prompt
    if not isinstance(prompts, list) or not all(isinstance(one, str) for one in prompts):
        raise PromptError("prompt must be a string or a list of strings; token ids are not taken")
    if not prompts:
        raise PromptError("prompt must have at least one string")
    wanted: PromptFormat = given.get("prompt_format", "raw")
    for one in prompts:
        read_prompt(one, wanted)
    options = {"prompt_format": wanted}
    return _ask(given, served, config, tuple(prompts), options, (), chat=False)


def _known(body: Mapping[str, Any], own: set[str]) -> dict[str, Any]:
    """The arguments that are given, null being none; raises for what cannot be followed."""
    given = {key: value for key, value in body.items() if value is not None}
    known = own | _OWN | _COMMON | _NEUTRAL.keys()
    for key in given:
        try:
            refuse_unknown("argument", {key: None}, sorted(known))
        except ConfigError as error:
            raise ApiError(400, str(error), code="unknown_argument", param=key) from None
    for key, neutral in _NEUTRAL.items():
        if key in given and not any(_same(given[key], one) for one in neutral):
            message = (
                f"{key} is not supported, but for {' or '.join(map(repr, neutral))}, which changes "
                f"nothing; it is {show(given[key])}"
            )
            raise ApiError(400, message, code="unsupported_argument", param=key)
    for key in ("user", "safety_identifier", "prompt_cache_key"):
        if not isinstance(given.get(key, ""), str):
            raise ConfigError(f"{key} must be a string, not {show(given[key])}")
    return given


def _same(value: object, neutral: object) -> bool:
    return value == neutral and isinstance(value, bool) == isinstance(neutral, bool)


def _one_limit(given: Mapping[str, Any]) -> Any:
    """The limit of tokens, which has an old name and a new one."""
    old, new = given.get("max_tokens"), given.get("max_completion_tokens")
    if old is not None and new is not None and old != new:
        raise ConfigError("give max_completion_tokens or max_tokens, not two limits")
    return new if old is None else old


def _config(given: Mapping[str, Any], served: Served) -> DecodingConfig:
    changes = {key: value for key, value in given.items() if key in _SETTINGS | {"preset"}}
    if any(changes.get(name) is not None for name in CONSTRAINTS):
        changes = {**dict.fromkeys(CONSTRAINTS), **changes}  # in place of the server's own
    if (limit := given.get("max_tokens")) is not None:
        changes["max_new_tokens"] = limit
    try:
        config = served.config.override(**changes)
    except ConfigError as error:
        raise ConfigError(str(error).replace("max_new_tokens", "max_tokens")) from None
    longest = served.config.timeout
    if longest is not None and config.timeout is not None and config.timeout > longest:
        raise ConfigError(f"timeout is {config.timeout:g}, and this server allows {longest:g}")
    return config


def _switch(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be true or false, not {show(value)}")
    return value


def _ask(
    given: Mapping[str, Any],
    served: Served,
    config: DecodingConfig,
    prompts: tuple[str | Sequence[Message], ...],
    options: Mapping[str, Any],
    tools: tuple[str, ...],
    *,
    chat: bool,
) -> Ask:
    chosen = served.find(given.get("model"))
    stream = _switch(given, "stream")
    told = given.get("stream_options", {})
    if not isinstance(told, Mapping):
        raise ConfigError(f"stream_options must be an object, not {show(told)}")
    refuse_unknown("field of stream_options", told, ("include_usage", "include_obfuscation"))
    return Ask(
        model=given.get("model", served.name),
        chosen=chosen,
        prompts=prompts,
        options=options,
        config=answering_config(served.members, chosen, config),
        tools=tools,
        chat=chat,
        stream=stream,
        include_usage=stream and _switch(told, "include_usage"),
        details=_switch(given, "adafuse_details"),
    )
