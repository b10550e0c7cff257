"""AdaFuseLLM as an object: written down, read back, pickled, copied, found by LlamaIndex."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any

import pytest
from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatMessage, LLMMetadata
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from llama_index.core.llms.loading import load_llm
from llama_index.core.llms.utils import resolve_llm
from llama_index.core.prompts import PromptTemplate
from llama_index.core.rate_limiter import TokenBucketRateLimiter
from pydantic import ValidationError

from adafuse import (
    AdaFuseError,
    AnswerTimeoutError,
    ConfigError,
    ContextWindowError,
    Ensemble,
    MemberSpec,
    PromptError,
)
from adafuse.testing import ScriptedMember
from adafuse_integrations.llama_index import AdaFuseLLM
from llama_index_script import FORMS, Person, ask, scripted_pair
from waiting import PATIENCE, async_until
from watched_members import run, watched

SAID = [ChatMessage(role="user", content="p")]
MODELS: list[Any] = [
    "org/a",
    {"model": "org/b", "weight": 2.0, "tokenizer_kwargs": {"token": "hf_secret"}},
]


def shout(messages: Any) -> str:
    return "".join(f"{one.content}!" for one in messages)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Loading is written down."""
    loaded: list[Any] = []

    def load(cls: type[Ensemble], models: Any, **options: Any) -> Ensemble:
        loaded.append(models)
        return cls([ScriptedMember("one two", spec.model, window=99) for spec in models])

    monkeypatch.setattr(Ensemble, "load", classmethod(load))
    return loaded


def test_written_down_and_read_back_without_weights_and_keys() -> None:
    llm = AdaFuseLLM(models=MODELS, max_tokens=9, stop=["x"], json_schema=Person, dtype="bfloat16")
    told = llm.to_dict()
    assert json.loads(llm.to_json()) == told == json.loads(json.dumps(told))
    assert told["models"][0] == "org/a"
    assert "hf_secret" not in json.dumps(told)
    for back in (AdaFuseLLM.from_dict(told), load_llm(told), AdaFuseLLM.model_validate(told)):
        assert isinstance(back, AdaFuseLLM)
        assert back.to_dict() == told


def test_pickled_without_weights_and_left_as_it_was(loads: list[Any]) -> None:
    llm = AdaFuseLLM(
        models=["org/a", MemberSpec("org/b")],
        messages_to_prompt=shout,
        rate_limiter=TokenBucketRateLimiter(requests_per_minute=600),
        callback_manager=CallbackManager([LlamaDebugHandler(print_trace_on_end=False)]),
    )
    llm.complete("p")
    before = dict(llm.__dict__)
    written = pickle.dumps(llm)
    assert len(written) < 20_000
    assert llm.__dict__ == before
    back = pickle.loads(written)
    assert back.to_dict() == llm.to_dict()
    assert back.messages_to_prompt is shout
    assert back.chat(SAID).message.content == llm.chat(SAID).message.content == "one two"
    assert len(loads) == 1  # the same members, in the same process


def test_what_cannot_be_pickled_is_named_and_nothing_is_lost() -> None:
    llm = AdaFuseLLM(ensemble=scripted_pair())
    with pytest.raises(ConfigError, match="give models"):
        pickle.dumps(llm)
    local = AdaFuseLLM(models=["org/a"], completion_to_prompt=lambda prompt: f"<{prompt}>")
    with pytest.raises(ConfigError, match="completion_to_prompt cannot be pickled"):
        pickle.dumps(local)
    assert local.completion_to_prompt is not None
    assert local.completion_to_prompt("x") == "<x>"


def test_copies_share_members(loads: list[Any]) -> None:
    llm = AdaFuseLLM(models=["org/a"])
    ready = AdaFuseLLM(ensemble=Ensemble([ScriptedMember("one")]))
    for copied in (copy.copy(ready), copy.deepcopy(ready), ready.model_copy(deep=True)):
        assert copied.ensemble is ready.ensemble
    for copied in (llm, copy.deepcopy(llm), llm.model_copy(update={"max_tokens": 3})):
        assert copied.complete("p").text
    assert len(loads) == 1


def test_fields_are_checked_when_it_is_built() -> None:
    with pytest.raises(ValidationError, match="did you mean 'max_tokens'"):
        AdaFuseLLM(models=["org/a"], max_token=3)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="branches"):
        AdaFuseLLM(models=["org/a"], branches=0)
    with pytest.raises(ValidationError, match="ADAFUSE_MODELS"):
        AdaFuseLLM()


def test_members_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAFUSE_MODELS", "org/a,org/b")
    assert AdaFuseLLM().metadata.model_name == "a+b"


def test_metadata_is_that_of_the_members() -> None:
    members = [ScriptedMember("x", "a", window=500), ScriptedMember("x", "b", window=300)]
    llm = AdaFuseLLM(ensemble=Ensemble(members), max_tokens=40)
    assert llm.metadata.context_window == 300
    assert llm.metadata.num_output == 40
    assert llm.metadata.model_name == "a+b"
    assert llm.model_copy(update={"model": "a"}).metadata.context_window == 500
    raw = AdaFuseLLM(ensemble=Ensemble(members), prompt_format="raw")
    assert not raw.metadata.is_chat_model
    rendered = AdaFuseLLM(ensemble=Ensemble(members), messages_to_prompt=shout)
    assert not rendered.metadata.is_function_calling_model


def test_metadata_loads_nothing_before_the_window_is_read(loads: list[Any]) -> None:
    llm = AdaFuseLLM(models=["org/a", "org/b"], max_tokens=5)
    metadata = llm.metadata
    assert (metadata.is_chat_model, metadata.num_output) == (True, 5)
    assert llm.to_payload()["context_window"] is metadata.model_dump()["context_window"] is None
    assert not loads
    assert metadata.context_window == 99
    assert len(loads) == 1
    with pytest.raises(AttributeError):
        _ = metadata.windows  # type: ignore[attr-defined]
    assert metadata.model_dump() == json.loads(metadata.model_dump_json())
    assert llm.to_payload()["context_window"] == metadata.model_dump()["context_window"] == 99


def test_metadata_is_copied_whole(loads: list[Any]) -> None:
    for copied in (lambda one: pickle.loads(pickle.dumps(one)), copy.deepcopy):
        metadata = AdaFuseLLM(models=[f"org/{len(loads)}"]).metadata
        assert type(copied(metadata)) is LLMMetadata
        assert copied(metadata).context_window == 99
    assert len(loads) == 2


@pytest.mark.parametrize("method", ["apredict", "astream", "achat", "acomplete", "structured"])
def test_the_loop_is_free_while_members_load(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    loads, released = [], threading.Event()

    def load(cls: type[Ensemble], models: Any, **options: Any) -> Ensemble:
        loads.append(models)
        assert released.wait(PATIENCE), "loading blocks the loop"
        return cls([ScriptedMember("one two")])

    monkeypatch.setattr(Ensemble, "load", classmethod(load))

    async def call(llm: AdaFuseLLM) -> None:
        template = PromptTemplate("p")
        if method == "structured":
            await llm.as_structured_llm(Person).achat(SAID)
        elif method == "achat":
            await llm.achat(SAID)
        elif method == "acomplete":
            await llm.acomplete("p")
        elif method == "apredict":
            await llm.apredict(template)
        else:
            assert [word async for word in await llm.astream(template)]

    async def main() -> None:
        task = asyncio.create_task(call(AdaFuseLLM(models=[f"org/{method}"])))
        await async_until(lambda: loads)
        released.set()  # a loop that is blocked by loading never comes here
        with suppress(ValueError):  # the answer is no person
            await task

    run(main())


def test_the_settings_of_llama_index() -> None:
    llm = AdaFuseLLM(ensemble=scripted_pair())
    assert resolve_llm(llm) is llm
    before = Settings._llm, Settings._callback_manager
    try:
        Settings.callback_manager = manager = CallbackManager([])
        Settings.llm = llm
        assert Settings.llm is llm
        assert resolve_llm(llm).callback_manager is manager
    finally:
        Settings._llm, Settings._callback_manager = before


def test_tokens_are_those_of_the_member_that_needs_most() -> None:
    llm = AdaFuseLLM(ensemble=scripted_pair())
    assert len(llm.tokenize("seven c")) == 7


def test_copies_of_a_call_tell_the_callbacks_that_were_set_later() -> None:
    llm = AdaFuseLLM(ensemble=scripted_pair())
    llm.callback_manager = CallbackManager([handler := LlamaDebugHandler(print_trace_on_end=False)])
    for form in ("plain", "stream", "async", "astream"):
        ask(llm, "chat", form, SAID, temperature=0.5, seed=1)
        ask(llm, "structured_predict", form, Person, PromptTemplate("p"))
    assert len(handler.get_llm_inputs_outputs()) == 8


@pytest.mark.parametrize("form", FORMS)
def test_a_call_without_anything_to_ask(form: str) -> None:
    llm = AdaFuseLLM(ensemble=scripted_pair())
    with pytest.raises(ConfigError, match="no prompt"):
        ask(llm, "complete", form)
    with pytest.raises(PromptError, match="messages must be a list"):
        ask(llm, "chat", form)
    assert ask(llm, "complete", form, prompt="p")[-1].text
    assert ask(llm, "chat", form, messages=SAID)[-1].message.content


def test_errors_are_pickled_whole() -> None:
    for error in (ContextWindowError("a", 9, 12), AnswerTimeoutError(2.0), ConfigError("no")):
        back = pickle.loads(pickle.dumps(error))
        assert isinstance(back, AdaFuseError)
        assert (type(back), str(back)) == (type(error), str(error))
        assert back.__dict__ == error.__dict__


def test_a_prompt_that_is_too_long_is_an_error_and_no_empty_answer() -> None:
    from llama_index.core import Document, SummaryIndex

    ensemble, _ = watched("short")
    members = [*ensemble.members, ScriptedMember("short", "small", window=1200)]
    llm = AdaFuseLLM(ensemble=Ensemble(members), max_tokens=10)
    index = SummaryIndex.from_documents([Document(text="word " * 300)])
    for mode in ("compact", "refine", "tree_summarize"):
        engine = index.as_query_engine(llm=llm, response_mode=mode)
        with pytest.raises(ContextWindowError, match="small"):
            engine.query("q")


_BLOCKED = """
import sys
for name in {blocked!r}:
    sys.modules[name] = None
{program}
print("torch" in sys.modules)
"""
_ANSWERS = """
from adafuse import Ensemble
from adafuse.testing import ScriptedMember
from adafuse_integrations.{module} import AdaFuseLLM
llm = AdaFuseLLM(ensemble=Ensemble([ScriptedMember("one two")]))
print(llm.{call})
"""


@pytest.mark.parametrize(
    ("module", "call", "blocked"),
    [
        ("llama_index", "complete('p').text", ["langchain_core", "langchain", "langgraph"]),
        ("langchain", "invoke('p')", ["llama_index", "llama_index.core", "workflows"]),
    ],
)
def test_either_framework_is_enough(module: str, call: str, blocked: list[str]) -> None:
    program = _BLOCKED.format(blocked=blocked, program=_ANSWERS.format(module=module, call=call))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["one two", "False"], done.stderr
