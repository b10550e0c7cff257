"""Nothing is cut silently: an object cannot say that a limit closed it, so a warning does."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from adafuse import AdaFuseWarning
from adafuse.tools import call_text
from adafuse_integrations.langchain import ChatAdaFuse
from adafuse_integrations.llama_index import AdaFuseLLM
from llama_index_script import FORMS, ask
from watched_members import watched


class Note(BaseModel):
    """A note."""

    text: str


VALUE = {"text": " ".join(f"{n * 7919 % 1000:03}" for n in range(50))}


def keep(text: str) -> str:
    """Keep a text."""
    return text


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("schema", [Note, Note.model_json_schema()], ids=["class", "schema"])
def test_langchain_warns_of_an_object_that_a_limit_closed(method: Any, schema: Any) -> None:
    script = call_text("Note", VALUE) if method == "function_calling" else json.dumps(VALUE)
    for limit, warned in ((120, True), (600, False)):
        chat = ChatAdaFuse(ensemble=watched(script)[0], max_tokens=limit)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            found = chat.with_structured_output(schema, method=method).invoke("x")
        value = found.model_dump() if isinstance(found, Note) else found
        assert (value == VALUE) is not warned
        of_ours = [one for one in told if one.category is AdaFuseWarning]
        assert [str(one.message)[:25] for one in of_ours] == ["a limit closed the answer"] * warned
        assert not any("adafuse" in one.filename.split("/")[-2] for one in of_ours)


@pytest.mark.parametrize("form", FORMS)
def test_llama_index_warns_of_an_object_that_a_limit_closed(form: str) -> None:
    llm = AdaFuseLLM(ensemble=watched(json.dumps(VALUE))[0], max_tokens=120)
    prompt = PromptTemplate("Write.")
    with pytest.warns(AdaFuseWarning, match="a limit closed the answer"):
        *_, short = ask(llm, "structured_predict", form, Note, prompt)
    assert short.text != VALUE["text"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", AdaFuseWarning)
        given = {"llm_kwargs": {"max_tokens": 600}}
        *_, whole = ask(llm, "structured_predict", form, Note, prompt, **given)
    assert whole.model_dump() == VALUE


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("required", [False, True])
def test_llama_index_tells_of_a_call_that_a_limit_closed(form: str, required: bool) -> None:
    for limit, reason in ((110, "length"), (600, "tool_calls")):
        llm = AdaFuseLLM(ensemble=watched(call_text("keep", VALUE))[0], max_tokens=limit)
        tools = [FunctionTool.from_defaults(keep)]
        *_, last = ask(llm, "chat_with_tools", form, tools, "x", tool_required=required)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            assert llm.get_tool_calls_from_response(last)
        assert [one.category for one in told] == [AdaFuseWarning] * (reason == "length")
        assert last.raw["finish_reason"] == reason
