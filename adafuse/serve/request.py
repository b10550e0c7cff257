"""From the JSON of a request to what the ensemble is asked.

Settings of adafuse are arguments of a request too. Knows neither HTTP nor threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar, cast

from adafuse.config import CONSTRAINTS, DecodingConfig
from adafuse.decoding.subset import answering, answering_config
from adafuse.errors import ConfigError
from adafuse.prompting.messages import name_results, with_cut_calls_as_text
from adafuse.prompting.prompt import Message, Prompt, read_prompt, with_constraint
from adafuse.prompting.response_format import response_schema, with_instruction
from adafuse.serve.errors import ApiError
from adafuse.serve.request_models import (
    ChatMessage,
    ChatRequest,
    CompletionRequest,
    Request,
    read_model,
)
from adafuse.telemetry.logprobs import refuse_rule
from adafuse.tools import parameters_of, read_tools
from adafuse.tools.choice import read_tool_choice, settled_choice
from adafuse.validation import show, whole

__all__ = ["ARGUMENTS", "Ask", "Served", "read_chat", "read_completion"]

R = TypeVar("R", bound=Request)
_SETTINGS = frozenset({f.name for f in fields(DecodingConfig)} - {"max_new_tokens"} | {"preset"})
ARGUMENTS = _SETTINGS | ChatRequest.model_fields.keys() | CompletionRequest.model_fields.keys()
"""All that a request may hold."""


@dataclass(frozen=True, slots=True)
class Served:
    """What a server offers. No request may ask for a longer `timeout` than the configuration's."""

    name: str  # of the whole ensemble, as a model
    members: tuple[str, ...]
    config: DecodingConfig  # of an answer where the request gives no settings

    def find(self, model: object) -> tuple[int, ...]:
        """Which members a model's name stands for; ApiError if there is no such model."""
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
    """A checked request."""

    model: str  # as the request names it
    chosen: tuple[int, ...]  # members that answer, by index
    prompts: tuple[Prompt, ...]  # one answer is wanted for each
    config: DecodingConfig
    tools: Mapping[str, Mapping[str, Any]]  # those that may be called, with their parameters
    chat: bool
    stream: bool  # whether the answers are wanted in pieces
    include_usage: bool  # whether a stream ends with the usage
    details: bool  # whether the answer says who wrote what
    logprobs: int | None = None  # candidates beside each word's own; None: not even that


def read_chat(body: Mapping[str, Any], served: Served) -> Ask:
    """Read a request for a chat answer.

    Raises:
        ApiError, ConfigError, PromptError: something is wrong with it.
    """
    request, settings = _read(ChatRequest, body)
    limit = request.max_completion_tokens
    if limit is not None and request.max_tokens not in (None, limit):
        raise ConfigError("give max_completion_tokens or max_tokens, not two limits")
    if (form := request.response_format) is not None:
        schema = response_schema(form)
        if schema is not None and settings.get("json_schema") is not None:
            raise ConfigError("give json_schema or response_format, not both")
        # Plain text, if it is asked for, is also in place of the server's own schema.
        settings["json_schema"] = schema if schema is not None else settings.get("json_schema")
    config = _config(settings, request.max_tokens if limit is None else limit, served)
    tools = read_tools(request.tools)
    names = tuple(tool["function"]["name"] for tool in tools)
    choice = read_tool_choice(request.tool_choice, names)
    named = name_results(map(_core_message, request.messages))
    messages: list[Message] = [*map(with_cut_calls_as_text, named)]
    prompt = read_prompt(messages, None, tools)
    choice = settled_choice(choice, prompt.messages, config.repetition_guard)
    shown = parameters_of(tools) if choice != "none" else {}
    if config.json_schema is not None and (not shown or choice == "auto"):
        messages = with_instruction(messages, config.json_schema, tools=bool(shown))
        prompt = read_prompt(messages, None, tools)
    options = (choice, request.parallel_tool_calls) if tools else ()
    return _ask(request, served, config, (prompt,), options, shown)


def read_completion(body: Mapping[str, Any], served: Served) -> Ask:
    """Read a request for texts to be completed; errors as of `read_chat`."""
    request, settings = _read(CompletionRequest, body)
    config = _config(settings, request.max_tokens, served)
    prompts = tuple(read_prompt(prompt, request.prompt_format) for prompt in request.prompt)
    return _ask(request, served, config, prompts)


def _read(model: type[R], body: Mapping[str, Any]) -> tuple[R, dict[str, Any]]:
    """The arguments and the settings that are given; null is none."""
    values = {name: value for name, value in body.items() if value is not None}
    settings = {name: values.pop(name) for name in _SETTINGS & values.keys()}
    return read_model(model, values, _SETTINGS), settings


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
    prompts: tuple[Prompt, ...],
    options: tuple[Any, ...] = (),
    tools: Mapping[str, Mapping[str, Any]] | None = None,
) -> Ask:
    chosen = served.find(request.model)
    config = answering_config(served.members, chosen, config)
    if (logprobs := _logprobs(request)) is not None:
        refuse_rule(config.rule)
    return Ask(
        request.model or served.name,
        chosen,
        tuple(with_constraint(prompt, config, *options) for prompt in prompts),
        config,
        tools or {},
        chat=isinstance(request, ChatRequest),
        stream=request.stream,
        include_usage=request.stream and request.stream_options.include_usage,
        details=request.adafuse_details,
        logprobs=logprobs,
    )


def _logprobs(request: Request) -> int | None:
    """How many candidates are wanted beside each word's own probability; None: no word's either."""
    if isinstance(request, CompletionRequest):  # one number says both
        asked, wanted = request.logprobs, "logprobs"
        if asked is None or asked is False:
            return None
    else:
        assert isinstance(request, ChatRequest)
        asked, wanted = request.top_logprobs, "top_logprobs"
        if not request.logprobs:
            if asked:
                raise ConfigError("top_logprobs needs logprobs, which is true or false")
            return None
    return 0 if asked is None else whole(wanted, asked, 0)
