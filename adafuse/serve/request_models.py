"""The bodies of requests as Pydantic models, and their errors as sentences of one line.

Arguments of OpenAI's interface that would change an answer, and cannot, are refused; their neutral
values are taken. Settings of adafuse and the contents of messages are checked elsewhere. Knows
neither HTTP nor ensembles.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from adafuse.errors import ConfigError, PromptError
from adafuse.serve.errors import ApiError
from adafuse.validation import refuse_unknown, show

__all__ = ["ChatMessage", "ChatRequest", "CompletionRequest", "Request", "read_model"]

M = TypeVar("M", bound=BaseModel)
# By Pydantic's type of an error, where its own words are for programmers.
_KINDS = {"bool_type": "true or false", "model_type": "an object"}
# By argument, where more is to be said.
_SHAPES = {
    "messages": "a list of at least one message",
    "prompt": "a string, or a list of at least one (token ids are not taken)",
}
# Clients send an answer back as they got it; these say nothing while they are empty.
_EMPTY = ("refusal", "audio", "annotations", "function_call")
# Of a block of text: they say what its sender may keep, or where its text comes from.
_OF_BLOCKS = ("cache_control", "annotations")


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class _Function(_Strict):
    name: str
    arguments: Any = None
    # Of OpenAI's client and of proxies, which send back what they were given.
    parsed_arguments: Any = None
    provider_specific_fields: Any = None


class _ToolCall(_Strict):
    id: str | None = None
    function: _Function
    type: Any = None
    index: Any = None
    extra_content: Any = None
    provider_specific_fields: Any = None


def _as_sent(call: Any, check: ValidatorFunctionWrapHandler) -> Any:
    check(call)
    return call  # templates write the fields of a call in the order they have


def _check_blocks(blocks: list[Any]) -> None:
    """Refuse fields of text that nobody would read; other kinds are refused where they are read."""
    for block in blocks:
        kind = block.get("type") if isinstance(block, Mapping) else None
        if kind not in ("text", "refusal"):
            continue
        for name in block:
            if name not in ("type", kind, *_OF_BLOCKS):
                problem = f"has an unknown field {show(name)} in a content block"
                raise PydanticCustomError("part", "{problem}", {"problem": problem})


class ChatMessage(_Strict):
    """A message of a chat; its content is checked when members are asked."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Any = None
    name: Any = None
    tool_calls: Annotated[list[Annotated[_ToolCall, WrapValidator(_as_sent)]], FailFast()] = []
    tool_call_id: Any = None
    reasoning_content: Any = None

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, message: Any) -> Any:
        if not isinstance(message, Mapping):
            return message
        values = {key: value for key, value in message.items() if value is not None}
        values.pop("parsed", None)  # OpenAI's client adds what it has read of the content
        if "reasoning" in values:  # what vLLM and OpenRouter call it
            values.setdefault("reasoning_content", values.pop("reasoning"))
        return {key: value for key, value in values.items() if value or key not in _EMPTY}

    @model_validator(mode="after")
    def _check_parts(self) -> ChatMessage:
        if self.role == "tool" and not isinstance(self.tool_call_id, str):
            raise PydanticCustomError("part", "must have the id of a call as 'tool_call_id'")
        if self.role != "tool" and self.tool_call_id is not None:
            raise PydanticCustomError("part", "has a 'tool_call_id', as only results have")
        if isinstance(self.content, list):
            _check_blocks(self.content)
        if self.content is None and self.role not in ("assistant", "tool"):
            raise PydanticCustomError("part", "has no 'content'")
        return self


def _neutral(*values: object) -> AfterValidator:
    """Only values that change nothing; True is not 1."""

    def check(value: object) -> object:
        for neutral in values:
            if value == neutral and isinstance(value, bool) == isinstance(neutral, bool):
                return value
        raise PydanticCustomError("unsupported", " or ".join(map(repr, values)))

    return AfterValidator(check)


class _StreamOptions(_Strict):
    include_usage: bool = False
    include_obfuscation: Any = None


class Request(_Strict):
    """What every request may hold, settings aside. `Any` is checked by those who use it."""

    model: Any = None
    stream: bool = False
    stream_options: _StreamOptions = _StreamOptions()
    max_tokens: Any = None
    user: str = ""
    adafuse_details: bool = False

    n: Annotated[Any, _neutral(1)] = None
    frequency_penalty: Annotated[Any, _neutral(0)] = None
    presence_penalty: Annotated[Any, _neutral(0)] = None
    logit_bias: Annotated[Any, _neutral({})] = None
    best_of: Annotated[Any, _neutral(1)] = None
    echo: Annotated[Any, _neutral(False)] = None
    suffix: Annotated[Any, _neutral("")] = None
    store: Annotated[Any, _neutral(False)] = None
    metadata: Annotated[Any, _neutral({})] = None
    modalities: Annotated[Any, _neutral(["text"])] = None
    service_tier: Annotated[Any, _neutral("auto", "default")] = None
    functions: Annotated[Any, _neutral([])] = None
    function_call: Annotated[Any, _neutral("auto", "none")] = None


class ChatRequest(Request):
    """A request for a chat answer."""

    messages: Annotated[list[ChatMessage], FailFast(), Field(min_length=1)]
    max_completion_tokens: Any = None
    response_format: Any = None
    tools: Any = ()
    tool_choice: Any = None
    parallel_tool_calls: bool = False
    logprobs: bool = False
    top_logprobs: Any = None
    safety_identifier: str = ""
    prompt_cache_key: str = ""


class CompletionRequest(Request):
    """A request for texts to be completed."""

    prompt: Annotated[
        list[str],
        FailFast(),
        Field(min_length=1),
        BeforeValidator(lambda prompt: [prompt] if isinstance(prompt, str) else prompt),
    ]
    prompt_format: Any = "raw"
    logprobs: Any = None


def read_model(model: type[M], arguments: Mapping[str, Any], settings: Collection[str]) -> M:
    """The arguments of a request; `settings` are names that it might hold beside them.

    Raises:
        ApiError, ConfigError, PromptError: the first thing that is wrong.
    """
    names = sorted({*model.model_fields, *settings})
    try:
        refuse_unknown("argument", arguments, names)
    except ConfigError as error:
        param = next(name for name in arguments if name not in names)
        raise ApiError(400, str(error), code="unknown_argument", param=param) from None
    try:
        return model.model_validate(arguments)
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False, include_context=False)[0]) from None


def _refusal(problem: ErrorDetails) -> Exception:
    """What is wrong, in one line that begins with the argument or the message it is in."""
    name, *path = problem["loc"]
    if problem["type"] == "unsupported":
        message = (
            f"{name} is not supported, but for {problem['msg']}, which changes nothing; it is "
            f"{show(problem['input'])}"
        )
        return ApiError(400, message, code="unsupported_argument", param=str(name))
    if name == "messages" and path:
        return PromptError(f"message {path[0]}{_in_place(path[1:], problem)}")
    if name in _SHAPES:
        value = "" if problem["type"] == "missing" else f", not {show(problem['input'])}"
        return PromptError(f"{name} must be {_SHAPES[str(name)]}{value}")
    return ConfigError(f"{name}{_in_place(path, problem)}")


def _in_place(path: Sequence[int | str], problem: ErrorDetails) -> str:
    if problem["type"] == "extra_forbidden":
        return f": unknown field {path[-1]!r}"
    if problem["type"] == "part":
        return f" {problem['msg']}"
    place = ".".join(map(str, path))
    if problem["type"] == "missing":
        return f" needs {place!r}"
    place = f": {place!r}" if place else ""
    kind = _KINDS.get(problem["type"]) or problem["msg"].partition(" should be ")[2] or "another"
    return f"{place} must be {kind}, not {show(problem['input'])}"
