"""Answers of a form: which schema a LangChain schema is, and reading the answer back.

LangChain's parsers complete JSON that is cut short. The ones here raise instead, once an answer is
whole and still not what it must be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, Literal, cast

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.pydantic import is_basemodel_subclass

from adafuse.config import read_schema
from adafuse.errors import ConfigError, IncompleteAnswerError
from adafuse.prompting.response_format import ANY_OBJECT
from adafuse.tools.parameters import object_schema
from adafuse_integrations._shared.answer_stream import warn_if_closed
from adafuse_integrations._shared.trace import read_answer
from adafuse_integrations.langchain._tools import described
from adafuse_integrations.langchain._typed_dicts import with_defaults

__all__ = ["Method", "call_parser", "decoding_schema", "json_parser", "read_shape", "with_raw"]

Method = Literal["json_schema", "function_calling", "json_mode"]

_FUNCTION = ("function", "parameters", "input_schema", "toolSpec")  # of other providers' tools


def decoding_schema(schema: Any) -> dict[str, Any]:
    """The JSON schema of a Pydantic class, a TypedDict, a JSON schema or a described function."""
    if schema is None:
        return dict(ANY_OBJECT)
    if isinstance(schema, Mapping):
        named = "name" in schema or schema.get("type") == "function" or "toolSpec" in schema
        if named and isinstance(schema.get("schema"), Mapping):  # of a response_format
            schema = schema["schema"]
        elif named and any(key in schema for key in _FUNCTION):
            schema = _converted(dict(schema))
    elif not (isinstance(schema, type) and is_basemodel_subclass(schema)):
        return _converted(schema)
    return read_schema("json_schema", schema)


def read_shape(schema: Any) -> Any:
    """A schema as LangChain's own converter takes it; ConfigError where nobody can read it."""
    try:
        return with_defaults(schema)
    except TypeError as error:
        raise ConfigError(f"no schema can be read: {error}") from error


def _converted(schema: Any) -> dict[str, Any]:
    try:
        function = described(schema)["function"]
        notes = {"title": function["name"], "description": function.get("description")}
        kept = {name: note for name, note in notes.items() if note}
        return {**kept, **object_schema("the schema", function.get("parameters"))}
    except (ValueError, TypeError) as error:  # LangChain's messages are several lines
        raise ConfigError(f"no schema can be read: {' '.join(str(error).split())}") from error


def _message(result: Sequence[Generation]) -> AIMessage | None:
    """The message that is parsed, once it is whole."""
    first = result[0]
    message = first.message if isinstance(first, ChatGeneration) else None
    whole = message is not None and "finish_reason" in message.response_metadata
    return cast("AIMessage", message) if whole else None


def _no_answer(result: Sequence[Generation]) -> bool:
    """Whether a whole message calls tools; raises IncompleteAnswerError if it says it is cut."""
    message = _message(result)
    if message is not None and "incomplete" in message.response_metadata:
        raise IncompleteAnswerError("JSON answer", read_answer(message.response_metadata))
    if message is not None:
        warn_if_closed(message.response_metadata["finish_reason"])
    return message is not None and bool(message.tool_calls)


class _Json(JsonOutputParser):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        return None if _no_answer(result) else super().parse_result(result, partial=partial)


class _Pydantic(PydanticOutputParser[Any]):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        return None if _no_answer(result) else super().parse_result(result, partial=partial)


def json_parser(schema: Any) -> BaseOutputParser[Any]:
    """Reads answers that are JSON: as instances of a Pydantic class, else as plain values.

    An answer that calls tools instead is None.
    """
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        return _Pydantic(pydantic_object=schema)
    return _Json()


def _uncalled(result: Sequence[Generation], name: str) -> None:
    """Raise if a whole message holds no call that can be carried out."""
    message = _message(result)
    if message is None:
        return
    if message.tool_calls:
        warn_if_closed(message.response_metadata["finish_reason"])
        return
    answer = read_answer(message.response_metadata)
    if answer.finish_reason != "stop":
        raise IncompleteAnswerError(f"call of {name!r}", answer)
    why = "".join(f": {call['error']}" for call in message.invalid_tool_calls[:1])
    raise OutputParserException(f"the answer does not call {name!r}{why}", llm_output=answer.text)


class _JsonCall(JsonOutputKeyToolsParser):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        _uncalled(result, self.key_name)
        return super().parse_result(result, partial=partial)


class _PydanticCall(PydanticToolsParser):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        _uncalled(result, self.tools[0].__name__)
        return super().parse_result(result, partial=partial)


def call_parser(schema: Any, name: str) -> BaseOutputParser[Any]:
    """Reads the arguments of a call of the tool `name`, which was made of `schema`."""
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        return _PydanticCall(tools=[schema], first_tool_only=True)
    return _JsonCall(key_name=name, first_tool_only=True)


def with_raw(model: Runnable[Any, Any], parser: BaseOutputParser[Any]) -> Runnable[Any, Any]:
    """The message beside what is read from it, and the error where nothing can be."""
    parsed = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
    )
    nothing = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=model) | parsed.with_fallbacks([nothing], exception_key="parsing_error")
