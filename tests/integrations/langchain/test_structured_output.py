"""Answers of ChatAdaFuse that have a form: schemas, JSON mode, response formats; scripted."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel, Field
from pydantic.v1 import BaseModel as BaseModelV1
from typing_extensions import TypedDict

from adafuse import ConfigError
from adafuse.errors import IncompleteAnswerError
from adafuse.tools import call_text
from adafuse_integrations.langchain import ChatAdaFuse, read_answer
from adafuse_integrations.langchain._structured_output import call_parser
from watched_members import Watch, run, watched

JOKE = {"setup": "Why the dog?", "rating": 3}
TEXT = json.dumps(JOKE)
# Far from any JSON: the grammar alone makes the answer.
STUBBORN = "I would rather not. " * 40


class Joke(BaseModel):
    """A joke."""

    setup: str = Field(description="how it begins")
    rating: int | None = None


class OldJoke(BaseModelV1):
    """A joke."""

    setup: str
    rating: int


class DictJoke(TypedDict):
    """A joke."""

    setup: Annotated[str, ..., "how it begins"]
    rating: int


SCHEMA = {
    "title": "Joke",
    "type": "object",
    "properties": {"setup": {"type": "string"}, "rating": {"type": "integer"}},
    "required": ["setup", "rating"],
}
DESCRIBED = {"name": "Joke", "schema": SCHEMA, "strict": True}
FUNCTION = {"name": "Joke", "description": "A joke.", "parameters": SCHEMA}
FORMS: list[tuple[Any, type]] = [
    (Joke, Joke),
    (OldJoke, OldJoke),
    (DictJoke, dict),
    (SCHEMA, dict),
    (FUNCTION, dict),
    ({"type": "function", "function": FUNCTION}, dict),
]


@tool
def look_up(word: str) -> str:
    """Look up a word."""
    return word


def llm_of(answer: str, **settings: Any) -> tuple[ChatAdaFuse, Watch]:
    ensemble, watch = watched(answer)
    return ChatAdaFuse(ensemble=ensemble, **settings), watch


def plain(value: Any) -> Any:
    if isinstance(value, BaseModelV1):
        return value.dict()
    return value.model_dump() if isinstance(value, BaseModel) else value


@pytest.mark.parametrize(("schema", "kind"), FORMS)
@pytest.mark.parametrize("method", ["json_schema", "json_mode", "function_calling"])
@pytest.mark.parametrize("strict", [None, True])
def test_answers_are_read_by_every_method(
    schema: Any, kind: type, method: Any, strict: bool | None
) -> None:
    name = schema.__name__ if isinstance(schema, type) else "Joke"
    llm, _ = llm_of(call_text(name, JOKE) if method == "function_calling" else TEXT)
    chain = llm.with_structured_output(schema, method=method, strict=strict)
    answer = chain.invoke("x")
    assert isinstance(answer, kind)
    assert plain(answer) == JOKE
    parts = list(chain.stream("x"))
    assert all(isinstance(part, kind) for part in parts)
    assert plain(parts[-1]) == JOKE
    if kind is dict:
        assert {"setup": "Why the"} in parts
    assert run(chain.ainvoke("x")) == answer  # type: ignore[arg-type]
    raw = llm.with_structured_output(schema, method=method, include_raw=True).invoke("x")
    assert plain(raw["parsed"]) == JOKE
    assert raw["parsing_error"] is None
    assert raw["raw"].response_metadata["finish_reason"] in ("stop", "tool_calls")


@pytest.mark.parametrize("schema", [Joke, DictJoke, SCHEMA])
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_an_unwilling_model_still_answers_in_form(schema: Any, method: Any) -> None:
    llm, _ = llm_of(STUBBORN)
    answer = plain(llm.with_structured_output(schema, method=method).invoke("x"))
    assert isinstance(answer["setup"], str)


def test_json_mode_without_a_schema_gives_any_object() -> None:
    llm, watch = llm_of('{"a": [1, 2]}')
    assert llm.with_structured_output(method="json_mode").invoke("x") == {"a": [1, 2]}
    assert watch.configs[0].json_schema == {"type": "object"}
    assert "JSON object" in watch.prompts[0].messages[0]["content"]


def test_members_are_told_the_schema_in_the_system_message() -> None:
    llm, watch = llm_of(TEXT)
    chain = llm.with_structured_output(Joke)
    chain.invoke("x")
    chain.invoke([SystemMessage("Be funny."), HumanMessage("x")])
    llm.with_structured_output(Joke, schema_in_prompt=False).invoke("x")
    llm.invoke("x", json_schema=Joke, tools=[look_up])
    llm.invoke("x", json_schema=Joke, tools=[look_up], tool_choice="any", max_tokens=300)
    asked = [prompt.messages for prompt in watch.prompts]
    assert asked[0][0]["role"] == "system"
    assert json.dumps(Joke.model_json_schema()) in asked[0][0]["content"]
    assert asked[1][0]["content"].startswith("Be funny.\n\nAnswer with JSON")
    assert [message["role"] for message in asked[1]] == ["system", "user"]
    assert [message["role"] for message in asked[2]] == ["user"]
    assert asked[3][0]["content"].startswith("When you do not call a tool, answer with JSON")
    assert [message["role"] for message in asked[4]] == ["user"]


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
def test_a_cut_answer_raises_or_is_told_beside_the_raw_one(method: Any) -> None:
    text = TEXT
    llm, watch = llm_of(text, stop=["dog"])
    chain = llm.with_structured_output(Joke, method=method)
    with pytest.raises(IncompleteAnswerError) as caught:
        chain.invoke("x")
    assert caught.value.answer.finish_reason == "stop_string"
    assert caught.value.answer.text == text.split("dog")[0]
    with pytest.raises(IncompleteAnswerError):
        list(chain.stream("x"))
    raw = llm.with_structured_output(Joke, method=method, include_raw=True).invoke("x")
    assert isinstance(raw["parsing_error"], IncompleteAnswerError)
    assert raw["parsed"] is None
    assert read_answer(raw["raw"].response_metadata).text == text.split("dog")[0]
    assert raw["raw"].response_metadata["finish_reason"] == "stop_string"
    assert watch.open == 0


def test_a_cut_call_raises_or_is_told_beside_the_raw_one() -> None:
    llm, watch = llm_of(call_text("Joke", JOKE), max_tokens=40)
    chain = llm.with_structured_output(Joke, method="function_calling")
    with pytest.raises(IncompleteAnswerError) as caught:
        chain.invoke("x")
    assert caught.value.answer.finish_reason == "length"
    with pytest.raises(IncompleteAnswerError):
        list(chain.stream("x"))
    raw = llm.with_structured_output(Joke, method="function_calling", include_raw=True).invoke("x")
    assert isinstance(raw["parsing_error"], IncompleteAnswerError)
    assert raw["parsed"] is None
    assert raw["raw"].response_metadata["finish_reason"] == "length"
    assert watch.open == 0


def test_a_cut_answer_of_length_says_so() -> None:
    llm, _ = llm_of(TEXT, max_tokens=9)
    raw = llm.with_structured_output(Joke, include_raw=True).invoke("x")
    assert isinstance(raw["parsing_error"], IncompleteAnswerError)
    assert raw["raw"].response_metadata["finish_reason"] == "length"
    assert TEXT.startswith(raw["raw"].content)
    with pytest.raises(IncompleteAnswerError, match="not a whole JSON answer"):
        llm.invoke("x", json_schema=Joke)
    kept = llm.invoke("x", json_schema=Joke, keep_incomplete=True)
    assert "not a whole" in kept.response_metadata["incomplete"]
    chunks = []
    with pytest.raises(IncompleteAnswerError):
        chunks.extend(llm.bind(json_schema=Joke).stream("x"))


def test_an_answer_without_a_call_is_an_error() -> None:
    llm, _ = llm_of("no call here")
    parser = call_parser(Joke, "Joke")
    with pytest.raises(OutputParserException, match="does not call 'Joke'"):
        (llm | parser).invoke("x")
    with pytest.raises(OutputParserException, match="does not call 'Joke'"):
        list((llm | parser).stream("x"))


CONSTRAINTS: list[tuple[dict[str, Any], str, str]] = [
    ({"json_schema": SCHEMA}, TEXT, TEXT),
    ({"json_schema": Joke}, TEXT, TEXT),
    ({"json_schema": OldJoke}, TEXT, TEXT),
    ({"json_schema": DictJoke}, TEXT, TEXT),
    ({"regex": "[a-c]+"}, "abcx", "abc"),
    ({"choices": ["yes", "no"]}, "yes, of course", "yes"),
    ({"grammar": 'start: "a" "b"'}, "ab", "ab"),
    ({"response_format": {"type": "json_object"}}, '{"a": 1}', '{"a": 1}'),
    ({"response_format": {"type": "text"}}, "free text", "free text"),
    ({"response_format": Joke}, TEXT, TEXT),
    ({"response_format": {"type": "json_schema", "json_schema": DESCRIBED}}, TEXT, TEXT),
]


@pytest.mark.parametrize(("given", "script", "answer"), CONSTRAINTS)
def test_constraints_of_a_call_and_of_the_model(
    given: dict[str, Any], script: str, answer: str
) -> None:
    llm, _ = llm_of(script)
    assert llm.invoke("x", **given).content == answer
    assert llm.bind(**given).invoke("x").content == answer
    if "response_format" not in given and given.get("json_schema") is not DictJoke:
        assert ChatAdaFuse(ensemble=llm.ensemble, **given).invoke("x").content == answer


def test_a_constraint_of_a_call_takes_the_place_of_the_models() -> None:
    llm, watch = llm_of("yes", json_schema=SCHEMA)
    assert llm.invoke("x", choices=["yes", "no"]).content == "yes"
    assert llm.invoke("x", json_schema=None).content == "yes"
    assert llm.invoke("x", response_format={"type": "text"}).content == "yes"
    assert [config.json_schema for config in watch.configs] == [None, None, None]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"json_schema": {"not": {}}}, "cannot be enforced"),
        ({"regex": "("}, "regex cannot be enforced"),
        ({"regex": "a", "choices": ["a"]}, "give one of"),
        ({"response_format": {"type": "xml"}}, "'xml'"),
        ({"response_format": {"type": "json_schema"}}, "json_schema"),
        ({"response_format": {"type": "json_object"}, "json_schema": SCHEMA}, "not both"),
    ],
)
def test_what_cannot_be_enforced_is_refused_before_decoding(
    given: dict[str, Any], says: str
) -> None:
    llm, watch = llm_of("x")
    with pytest.raises(ConfigError, match=says):
        llm.invoke("x", **given)
    assert not watch.sessions


def test_wrong_bindings_are_refused_at_once() -> None:
    llm = ChatAdaFuse(models=["org/never-loaded"])
    for given in (
        {"schema": {"not": {}}},
        {"schema": {"if": {"type": "string"}, "then": {"const": "a"}}},
        {"schema": Joke, "method": "guessing"},
        {"schema": None},
        {"schema": Joke, "temprature": 1},
        {"schema": Joke, "tools": [look_up]},
        {"schema": Joke, "json_schema": {}},
        {"schema": Joke, "method": "function_calling", "tools": [look_up], "include_raw": True},
        {"schema": int},
    ):
        with pytest.raises(ConfigError):
            llm.with_structured_output(**given)  # type: ignore[arg-type]


def test_tools_beside_a_schema() -> None:
    for text, parsed in ((TEXT, Joke(**JOKE)), (call_text("look_up", {"word": "dog"}), None)):
        llm, _ = llm_of(text)
        chain = llm.with_structured_output(Joke, tools=[look_up], include_raw=True)
        row = chain.invoke("x")
        assert row["parsed"] == parsed
        assert row["parsing_error"] is None
        assert bool(row["raw"].tool_calls) is (parsed is None)


def test_runs_are_told_the_schema() -> None:
    class Options(BaseCallbackHandler):
        def __init__(self) -> None:
            self.told: list[Any] = []

        def on_chat_model_start(self, *args: Any, options: Any = None, **kwargs: Any) -> None:
            self.told.append(options["ls_structured_output_format"])

    llm, _ = llm_of(TEXT)
    for method in ("json_schema", "json_mode", "function_calling"):
        handler = Options()
        if method == "function_calling":
            llm, _ = llm_of(call_text("Joke", JOKE))
        chain = llm.with_structured_output(Joke, method=method)  # type: ignore[arg-type]
        chain.invoke("x", {"callbacks": [handler]})
        (told,) = handler.told
        assert told["schema"] == convert_to_json_schema(Joke)
        assert told["kwargs"]["method"] == method
