"""What a converter loses is silently not enforced: parameters are read from the class itself."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Annotated, Any, NotRequired, Required

import pytest
from langchain_core.tools import StructuredTool, tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from adafuse import ConfigError, PromptError
from adafuse.tools import call_text
from adafuse_integrations.langchain import ChatAdaFuse
from adafuse_integrations.langchain._tools import core_tools
from adafuse_integrations.llama_index import AdaFuseLLM
from adafuse_integrations.llama_index._tools import core_tools as index_tools
from watched_members import watched


class Tree(BaseModel):
    """A tree."""

    name: str
    children: list[Tree]


class Pair(BaseModel):
    """Two trees."""

    left: Tree | None = None
    right: Tree | None = None


class Even(BaseModel):
    """Of two classes that hold each other."""

    odd: Odd | None = None


class Odd(BaseModel):
    """The other one."""

    even: Even


Even.model_rebuild()


class Bill(BaseModel):
    """What Pydantic's own schema leaves out."""

    amount: Decimal
    by_year: dict[int, str]


def plant(tree: Tree, deep: int = 3) -> str:
    """Plant a tree.

    Args:
        tree: what to plant.
        deep: how deep.
    """
    return f"{tree.name} {deep}"


TITLED = {"title": "Titled", **Tree.model_json_schema()}
OF_TREE = StructuredTool(name="of_tree", description="d", func=lambda **_: "", args_schema=Tree)
OF_DICT = StructuredTool(
    name="of_dict", description="d", func=lambda **_: "", args_schema=Tree.model_json_schema()
)
FORMS: list[tuple[Any, str, Any, type[BaseModel]]] = [
    (Tree, "Tree", {"name": "a", "children": [{"bogus": 1}]}, Tree),
    (Pair, "Pair", {"left": {"name": "a", "children": [3]}}, Pair),
    (Even, "Even", {"odd": {"even": {"odd": {"even": 5}}}}, Even),
    (Bill, "Bill", {"amount": "much", "by_year": {"last": "x"}}, Bill),
    (TITLED, "Titled", {"name": "a", "children": [{"bogus": 1}]}, Tree),
    (OF_TREE, "of_tree", {"name": "a", "children": [{"bogus": 1}]}, Tree),
    (OF_DICT, "of_dict", {"name": "a", "children": [{"bogus": 1}]}, Tree),
]


@pytest.mark.parametrize(("form", "name", "wrong", "model"), FORMS, ids=lambda form: str(form)[:20])
def test_langchain_calls_are_held_to_the_class(
    form: Any, name: str, wrong: dict[str, Any], model: type[BaseModel]
) -> None:
    chat = ChatAdaFuse(ensemble=watched(call_text(name, wrong))[0])
    for choice in ("any", "auto"):
        (call,) = chat.bind_tools([form], tool_choice=choice).invoke("x").tool_calls
        model.model_validate(call["args"])
    if isinstance(form, type):
        read = chat.with_structured_output(form, method="function_calling").invoke("x")
        assert isinstance(read, model)


@pytest.mark.parametrize("form", [plant, tool(plant)], ids=["function", "tool"])
def test_a_class_within_the_arguments_of_a_function(form: Any) -> None:
    wrong = call_text("plant", {"tree": {"name": "a", "children": [{"bogus": 1}]}, "deep": 2})
    chat = ChatAdaFuse(ensemble=watched(wrong)[0])
    (call,) = chat.bind_tools([form], tool_choice="any").invoke("x").tool_calls
    Tree.model_validate(call["args"]["tree"])
    (shown,) = core_tools([form])
    described = shown["function"]["parameters"]["properties"]
    if form is plant:
        assert (described["tree"]["description"], described["deep"]["description"]) == (
            "what to plant.",
            "how deep.",
        )


def test_what_the_converter_keeps_is_told_as_the_converter_tells_it() -> None:
    class Inner(BaseModel):
        title: str = Field(description="of the thing")

    class Plain(BaseModel):
        """Nothing is lost of it."""

        one: Inner = Field(description="first")
        two: list[Inner] = []

    (shown,) = core_tools([Plain])
    assert shown == {
        "type": "function",
        "function": convert_to_openai_tool(Plain)["function"],
    }


class Person(TypedDict):
    """A person."""

    name: str
    age: NotRequired[int]
    nick: NotRequired[Annotated[str, ..., "what friends say"]]


class Loose(TypedDict, total=False):
    """Most of it may be left out."""

    who: Required[Person]
    note: str


class Itself(TypedDict):
    """No end."""

    inner: list[Itself]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.parametrize(
    ("form", "value"),
    [
        (Person, {"name": "Ada"}),
        (Person, {"name": "Ada", "age": 36, "nick": "A."}),
        (Loose, {"who": {"name": "Ada"}}),
        (Loose, {"who": {"name": "Ada", "age": 3}, "note": "x"}),
    ],
)
def test_keys_that_may_be_left_out(form: Any, value: dict[str, Any], method: Any) -> None:
    name = form.__name__
    script = call_text(name, value) if method == "function_calling" else json.dumps(value)
    chat = ChatAdaFuse(ensemble=watched(script)[0])
    assert chat.with_structured_output(form, method=method).invoke("x") == value
    (shown,) = core_tools([form])
    assert shown["function"]["parameters"]["required"] == (["name"] if form is Person else ["who"])


def test_a_typed_dict_that_holds_itself_is_refused_with_what_to_use() -> None:
    with pytest.raises(PromptError, match="'Itself' holds itself; use a Pydantic class"):
        core_tools([Itself])
    with pytest.raises(ConfigError, match="'Itself' holds itself; use a Pydantic class"):
        ChatAdaFuse(models=["x/y"]).with_structured_output(Itself)


@pytest.mark.parametrize(
    ("model", "wrong"),
    [
        (Tree, {"name": "a", "children": [{"bogus": 1}]}),
        (Pair, {"left": {"name": "a", "children": [3]}}),
        (Bill, {"amount": "much", "by_year": {"last": "x"}}),
    ],
)
def test_llama_index_calls_are_held_to_the_class(model: Any, wrong: dict[str, Any]) -> None:
    llm = AdaFuseLLM(ensemble=watched(call_text("take", wrong))[0])
    of_class = FunctionTool.from_defaults(
        lambda **_: "x", name="take", description="d", fn_schema=model
    )
    response = llm.chat_with_tools([of_class], "x", tool_required=True)
    (call,) = llm.get_tool_calls_from_response(response)
    model.model_validate(call.tool_kwargs)
    (shown,) = index_tools([of_class])
    assert not {"title", "description"} & shown["function"]["parameters"].keys()
