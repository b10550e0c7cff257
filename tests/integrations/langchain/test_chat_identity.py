"""What ChatAdaFuse says of itself: cache keys, serialisation, environment, profile, tokens."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.load import dumpd, dumps, loads
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.tools import tool
from pydantic import ValidationError

from adafuse import ConfigError, Ensemble, MemberSpec, Prompt
from adafuse.testing import ScriptedMember
from adafuse_integrations.langchain import AdaFuseLLM, ChatAdaFuse
from watched_members import CODE, run, watched


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
def cache() -> Iterator[InMemoryCache]:
    own = InMemoryCache()
    set_llm_cache(own)
    yield own
    set_llm_cache(None)


def test_a_cached_message_is_the_one_that_was_decoded(cache: InMemoryCache) -> None:
    ensemble, watch = watched()
    llm = ChatAdaFuse(ensemble=ensemble)
    first, second = llm.invoke("p"), llm.invoke("p")
    assert first.content == second.content == CODE
    assert first.response_metadata == second.response_metadata
    assert ChatAdaFuse(ensemble=ensemble).batch(["p"])[0].content == CODE
    assert run(llm.ainvoke("p")).content == CODE
    assert len(watch.sessions) == 1
    assert "".join(str(chunk.content) for chunk in llm.stream("p")) == CODE
    assert len(watch.sessions) == 2  # LangChain asks no cache for a stream


DIFFERENT: list[dict[str, Any]] = [
    {"max_tokens": 99},
    {"temperature": 0.5, "seed": 1},
    {"stop": ["zz"]},
    {"logprobs": True},
    {"logprobs": True, "top_logprobs": 1},
    {"choices": [CODE]},
    {"tools": [add]},
    {"tools": [add], "tool_choice": "none"},
    {"tools": [add], "parallel_tool_calls": True},
    {"model": "second"},
    {"model": "second+first"},
    {"json_schema": {"type": "string"}, "keep_incomplete": True},
    {"json_schema": {"type": "string"}, "keep_incomplete": True, "schema_in_prompt": False},
]


def test_everything_that_changes_the_message_is_part_of_the_key(cache: InMemoryCache) -> None:
    ensemble, watch = watched(second=CODE)
    llm = ChatAdaFuse(ensemble=ensemble)
    keys = {llm._get_llm_string(**given) for given in [{}, *DIFFERENT]}
    assert len(keys) == len(DIFFERENT) + 1
    llm.invoke("p")
    llm.invoke("p", max_tokens=99)
    ChatAdaFuse(ensemble=ensemble, max_tokens=99).invoke("p")  # the same, said by the field
    llm.bind(max_tokens=99).invoke("p")
    assert len(watch.sessions) == 2


def test_ensembles_built_elsewhere_never_share_an_answer(cache: InMemoryCache) -> None:
    one, two = watched("one")[0], watched("two")[0]
    assert ChatAdaFuse(ensemble=one).invoke("p").content == "one"
    assert ChatAdaFuse(ensemble=two).invoke("p").content == "two"
    assert ChatAdaFuse(ensemble=one).invoke("p").content == "one"
    key = ChatAdaFuse(models=["org/a"])._get_llm_string()
    assert key != ChatAdaFuse(models=["org/b"])._get_llm_string()
    assert key != ChatAdaFuse(models=["org/a"], dtype="bfloat16")._get_llm_string()


@pytest.mark.filterwarnings("ignore:The function `load")
@pytest.mark.parametrize("kind", [ChatAdaFuse, AdaFuseLLM])
def test_models_are_written_down_and_read_back_without_weights(kind: Any) -> None:
    spec = MemberSpec("org/b", weight=2.0, tokenizer_kwargs={"token": "SECRET", "use_fast": True})
    llm = kind(models=["org/a", spec], device="cpu", max_tokens=9, json_schema={"type": "string"})
    text = dumps(llm)
    assert "SECRET" not in text
    for allowed in ([kind], "all"):
        read = loads(text, allowed_objects=allowed, valid_namespaces=["adafuse_integrations"])
        assert type(read) is kind
        assert (read.device, read.max_tokens) == ("cpu", 9)
        assert read.models[1].weight == 2.0
        assert read.models[1].tokenizer_kwargs == {"use_fast": True}
        assert read.json_schema == {"type": "string"}
    with pytest.raises(ValueError, match="not allowed"):
        loads(text, allowed_objects="core", valid_namespaces=["adafuse_integrations"])
    built = dumpd(kind(ensemble=watched()[0]))
    assert built["type"] == "not_implemented"
    assert json.dumps(built)


@pytest.mark.parametrize("kind", [ChatAdaFuse, AdaFuseLLM])
def test_models_pickle_as_a_promise_to_load(kind: Any) -> None:
    llm = kind(models=["org/pickled"], max_tokens=9)
    copy = pickle.loads(pickle.dumps(llm))
    assert copy.max_tokens == 9
    assert copy._shared is llm._shared
    built = pickle.loads(pickle.dumps(kind(ensemble=Ensemble([ScriptedMember("x")]))))
    assert built.ensemble.members == (ScriptedMember("x"),)


@pytest.mark.parametrize("kind", [ChatAdaFuse, AdaFuseLLM])
def test_members_come_from_the_environment(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAFUSE_MODELS", " org/a, folder/b ,")
    monkeypatch.setenv("ADAFUSE_DEVICE", "cpu")
    monkeypatch.setenv("ADAFUSE_DTYPE", "bfloat16")
    llm = kind()
    assert llm.models == (MemberSpec("org/a"), MemberSpec("folder/b"))
    assert (llm.device, llm.dtype) == ("cpu", "bfloat16")
    assert kind(dtype="float32").dtype == "float32"
    given = kind(models=["org/c"])
    assert (given.models, given.device) == ((MemberSpec("org/c"),), None)
    assert kind(ensemble=watched()[0]).models is None
    monkeypatch.setenv("ADAFUSE_MODELS", '["a,b", {"model": "org/c", "weight": 2}]')
    assert kind().models == (MemberSpec("a,b"), MemberSpec("org/c", weight=2))
    monkeypatch.setenv("ADAFUSE_MODELS", "[oops")
    with pytest.raises(ValidationError, match="ADAFUSE_MODELS is no JSON list"):
        kind()
    monkeypatch.delenv("ADAFUSE_MODELS")
    with pytest.raises(ValidationError, match="ADAFUSE_MODELS"):
        kind()


def _folder(path: Path, config: Any) -> str:
    path.mkdir()
    (path / "config.json").write_text(json.dumps(config))
    return str(path)


def test_the_profile_is_computed_before_and_after_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = _folder(tmp_path / "a", {"max_position_embeddings": 4096})
    b = _folder(tmp_path / "b", {"text_config": {"max_position_embeddings": 2048}})
    c = _folder(tmp_path / "c", {"n_positions": 1024})
    d = _folder(
        tmp_path / "d", {"max_position_embeddings": 9, "rope_scaling": {"type": "longrope"}}
    )
    for models, window in (([a], 4096), ([a, b], 2048), ([a, c, b], 1024), ([a, d], None)):
        profile = ChatAdaFuse(models=models).profile
        assert profile is not None
        assert profile.get("max_input_tokens") == window
    assert ChatAdaFuse(models=[a, b], model="a").profile["max_input_tokens"] == 4096  # type: ignore[index]

    def load(cls: type[Ensemble], models: Any, **options: Any) -> Ensemble:
        return cls([ScriptedMember("x", "one", window=50), ScriptedMember("x", "two", window=70)])

    monkeypatch.setattr(Ensemble, "load", classmethod(load))
    llm = ChatAdaFuse(models=["org/one", "org/two"])
    assert "max_input_tokens" not in (llm.profile or {})
    llm.invoke("p", model="two")
    assert "max_input_tokens" not in (llm.profile or {})
    llm.invoke("p", max_tokens=5)
    assert llm.profile is not None
    assert llm.profile["max_input_tokens"] == 50
    assert ChatAdaFuse(models=["org/one", "org/two"]).profile == llm.profile
    own = ChatAdaFuse(models=["org/one", "org/two"], profile={"max_input_tokens": 3})
    own.invoke("p")
    assert own.profile == {"max_input_tokens": 3}


def test_the_profile_says_what_it_can_do() -> None:
    profile = ChatAdaFuse(ensemble=watched()[0]).profile
    assert profile is not None
    assert profile["tool_calling"] is profile["structured_output"] is profile["text_inputs"] is True
    assert (
        profile["image_inputs"] is profile["audio_inputs"] is profile["reasoning_output"] is False
    )


class Counting(ScriptedMember):
    """Reads the whole conversation, tools included."""

    def count_prompt_tokens(self, prompt: Prompt) -> int:
        return len(str(prompt.messages)) + len(str(prompt.tools))


def test_tokens_are_those_of_the_first_member_that_answers() -> None:
    llm = ChatAdaFuse(ensemble=Ensemble([Counting("x", "a"), ScriptedMember("x", "b")]))
    messages = [HumanMessage("hi"), AIMessage("yes?"), HumanMessage("four")]
    alone = llm.get_num_tokens_from_messages(messages)
    with_tools = llm.get_num_tokens_from_messages(messages, tools=[add])
    schema = ChatAdaFuse(ensemble=llm.ensemble, json_schema={"type": "string"})
    assert alone < with_tools
    assert alone < schema.get_num_tokens_from_messages(messages)  # members are told of it
    other = ChatAdaFuse(ensemble=llm.ensemble, model="b")
    usage = other.invoke(messages).usage_metadata
    assert usage is not None
    assert other.get_num_tokens_from_messages(messages) == usage["input_tokens"] == 4
    assert other.get_num_tokens("text!") == 5

    class Mute(ScriptedMember):
        count_prompt_tokens = None  # type: ignore[assignment]

    with pytest.raises(ConfigError, match="'mute' cannot count"):
        ChatAdaFuse(ensemble=Ensemble([Mute("x", "mute")])).get_num_tokens_from_messages(messages)


def test_tracing_parameters() -> None:
    llm = ChatAdaFuse(models=["org/a", "org/b"], temperature=0.5, stop=["x"])
    params = llm._get_ls_params(max_tokens=7)
    assert params["ls_provider"] == "adafuse"
    assert params["ls_model_name"] == "a+b"
    assert (params["ls_temperature"], params["ls_max_tokens"]) == (0.5, 7)
    assert params["ls_stop"] == ["x"]
    assert llm._get_ls_params(stop=["y"], model="b")["ls_model_name"] == "b"
    told = llm._get_invocation_params(stop=["z"], tools=[add], model="b")
    assert (told["_type"], told["stop"], told["model"]) == ("adafuse-chat", ["z"], "b")


@pytest.mark.parametrize("how", ["invoke", "stream", "ainvoke", "astream"])
def test_the_rate_limiter_is_asked_once_per_answer(how: str) -> None:
    class Counted(InMemoryRateLimiter):
        asked = 0

        def acquire(self, *, blocking: bool = True) -> bool:
            self.asked += 1
            return True

        async def aacquire(self, *, blocking: bool = True) -> bool:
            self.asked += 1
            return True

    limiter = Counted(requests_per_second=1000)
    llm = ChatAdaFuse(ensemble=watched("a b")[0], rate_limiter=limiter)

    async def main() -> None:
        if how == "ainvoke":
            await llm.ainvoke("p")
        else:
            async for _ in llm.astream("p"):
                pass

    if how.startswith("a"):
        run(main())
    else:
        llm.invoke("p") if how == "invoke" else list(llm.stream("p"))
    assert limiter.asked == 1


def test_importing_building_and_binding_needs_no_torch() -> None:
    program = (
        "import sys\n"
        "from adafuse_integrations.langchain import ChatAdaFuse\n"
        "llm = ChatAdaFuse(models=['org/a', {'model': 'org/b', 'dtype': 'bfloat16'}])\n"
        "repr(llm), llm.asdict(), llm.profile, llm.to_json()\n"
        "llm.with_structured_output({'title': 'T', 'type': 'object', 'properties': {}})\n"
        "heavy = {'torch', 'transformers', 'accelerate', 'llama_index', 'langchain', 'langgraph'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
