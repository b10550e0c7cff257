"""From the JSON of a request to what the ensemble is asked.

Settings of adafuse are arguments of a request too. Knows neither HTTP nor threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

from adafuse.config import CONSTRAINTS, DecodingConfig
from adafuse.decoding.subset import answering, answering_config
from adafuse.errors import ConfigError
from adafuse.prompting.messages import name_results
from adafuse.prompting.prompt import Message, read_prompt
from adafuse.prompting.response_format import response_schema, with_instruction
from adafuse.serve.errors import ApiError
from adafuse.serve.request_models import (
    ChatMessage,
    ChatRequest,
    CompletionRequest,
    Request,
    read_model,
)
from adafuse.tools import read_tools
from adafuse.tools.choice import read_tool_choice
from adafuse.validation import show

__all__ = ["ARGUMENTS", "Ask", "Served", "read_chat", "read_completion"]

_SETTINGS = frozenset({f.name for f in fields(DecodingConfig)} - {"max_new_tokens"} | {"preset"})
ARGUMENTS = _SETTINGS | ChatRequest.model_fields.keys() | CompletionRequest.model_fields.keys()
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
    arguments, settings = _split(body)
    request = read_model(ChatRequest, arguments, sorted(_SETTINGS))
    settings |= _response_format(request.response_format, settings)
    config = _config(settings, _limit(request), served)
    tools = read_tools(request.tools)
    names = tuple(tool["function"]["name"] for tool in tools)
    choice = read_tool_choice(request.tool_choice, names)
    shown = tools if choice != "none" else ()
    messages: list[Message] = list(name_results(map(_core_message, request.messages)))
    read_prompt(messages, None, shown)
    if config.json_schema is not None and (not shown or choice == "auto"):
        messages = with_instruction(messages, config.json_schema, tools=bool(shown))
    parallel = request.parallel_tool_calls
    options = {"tools": tools, "tool_choice": choice, "parallel_tool_calls": parallel}
    called = names if shown else ()
    return _ask(request, served, config, (messages,), options if tools else {}, called)


def read_completion(body: Mapping[str, Any], served: Served) -> Ask:
    """Read a request for texts to be completed; errors as of `read_chat`."""
    arguments, settings = _split(body)
    request = read_model(CompletionRequest, arguments, sorted(_SETTINGS))
    config = _config(settings, request.max_tokens, served)
    for prompt in request.prompt:
        read_prompt(prompt, request.prompt_format)
    options = {"prompt_format": request.prompt_format}
    return _ask(request, served, config, tuple(request.prompt), options)


def _split(body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments and the settings that are given; null is none."""
    values = {name: value for name, value in body.items() if value is not None}
    settings = {name: values.pop(name) for name in _SETTINGS & values.keys()}
    return values, settings


def _response_format(form: object, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The setting that OpenAI's `response_format` stands for."""
    schema = response_schema(form) if form is not None else None
    if schema is None:
        # Plain text, if it is asked for, is also in place of the server's own schema.
        return {} if form is None else {"json_schema": settings.get("json_schema")}
    if settings.get("json_schema") is not None:
        raise ConfigError("give json_schema or response_format, not both")
    return {"json_schema": schema}


def _limit(request: ChatRequest) -> Any:
    """The limit of tokens, which has an old name and a new one."""
    old, new = request.max_tokens, request.max_completion_tokens
    if old is not None and new is not None and old != new:
        raise ConfigError("give max_completion_tokens or max_tokens, not two limits")
    return new if old is None else old


def _core_message(message: ChatMessage) -> dict[str, Any]:
    """A message as `Ensemble.stream` takes it."""
    role = "system" if message.role == "developer" else message.role
    content = message.content if message.content is not None else ""
    if isinstance(content, list):  # an answer's own refusals are text
        content = [
            {"type": "text", "text": part.get("refusal")}
            if isinstance(part, Mapping) and part.get("type") == "refusal"
            else part
            for part in content
        ]
    sent = {name: value for name, value in message if name in message.model_fields_set}
    return {**sent, "role": role, "content": content}


def _config(settings: dict[str, Any], limit: Any, served: Served) -> DecodingConfig:
    """The settings of an answer: those of the server, but for what the request gives."""
    if any(settings.get(name) is not None for name in CONSTRAINTS):
        settings = {**dict.fromkeys(CONSTRAINTS), **settings}  # in place of the server's own
    if limit is not None:
        settings["max_new_tokens"] = limit
    try:
        config = served.config.override(**settings)
    except ConfigError as error:
        raise ConfigError(str(error).replace("max_new_tokens", "max_tokens")) from None
    longest = served.config.timeout
    if longest is not None and config.timeout is not None and config.timeout > longest:
        raise ConfigError(f"timeout is {config.timeout:g}, and this server allows {longest:g}")
    return config


def _ask(
    request: Request,
    served: Served,
    config: DecodingConfig,
    prompts: tuple[str | Sequence[Message], ...],
    options: Mapping[str, Any],
    tools: tuple[str, ...] = (),
) -> Ask:
    chosen = served.find(request.model)
    return Ask(
        model=request.model or served.name,
        chosen=chosen,
        prompts=prompts,
        options=options,
        config=answering_config(served.members, chosen, config),
        tools=tools,
        chat=isinstance(request, ChatRequest),
        stream=request.stream,
        include_usage=request.stream and request.stream_options.include_usage,
        details=request.adafuse_details,
    )
