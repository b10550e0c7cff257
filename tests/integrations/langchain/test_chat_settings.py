"""ChatAdaFuse's fields, arguments of a call, and which members answer; scripted."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import ConfigurableField
from pydantic import ValidationError

from adafuse import ConfigError, Ensemble, MemberSpec
from adafuse.testing import ScriptedMember
from adafuse_integrations.langchain import AdaFuseLLM, ChatAdaFuse
from watched_members import watched

SETTINGS: dict[str, Any] = {
    "margin_threshold": 0.25,
    "max_words": 2,
    "branches": 5,
    "max_word_tokens": 9,
    "weights": [3.0],
    "temperature": 0.5,
    "seed": 7,
    "stop": ["zz"],
    "max_tokens": 99,
    "repetition_penalty": 1.5,
    "json_schema": {"type": "string"},
    "regex": "a+",
    "choices": ["a", "b"],
    "grammar": 'start: "a"',
}


def three() -> Ensemble:
    names = ("a", "b", "c")
    return Ensemble([ScriptedMember(f"from {name}", name, nll=len(name)) for name in names])


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("how", ["field", "call", "bind", "stream", "batch"])
def test_every_setting_reaches_the_decoder(name: str, how: str) -> None:
    ensemble, watch = watched('"a"' if name == "json_schema" else "a")
    given = {name: SETTINGS[name]}
    llm = ChatAdaFuse(ensemble=ensemble, **(given if how == "field" else {}))
    if how == "field":
        llm.invoke("p")
    elif how == "call":
        llm.invoke("p", **given)
    elif how == "bind":
        llm.bind(**given).invoke("p")
    elif how == "stream":
        list(llm.stream("p", **given))
    else:
        llm.batch(["p"], **given)
    core = name.replace("max_tokens", "max_new_tokens")
    value = tuple(SETTINGS[name]) if isinstance(SETTINGS[name], list) else SETTINGS[name]
    assert getattr(watch.configs[0], core) == value
    if how != "field":
        llm.invoke("p")
        assert getattr(watch.configs[1], core) == getattr(ensemble.config, core)


def test_stop_of_a_call_replaces_the_field() -> None:
    llm = ChatAdaFuse(ensemble=watched("one two three four")[0], stop=[" two"])
    assert llm.invoke("p").content == "one"
    assert llm.invoke("p", stop=[" three"]).content == "one two"
    assert llm.invoke("p", stop=[]).content == "one two three four"
    assert "".join(str(c.content) for c in llm.bind(stop=[" four"]).stream("p")) == "one two three"


@pytest.mark.parametrize("how", ["invoke", "stream", "batch", "_stream", "bind_tools"])
def test_unknown_arguments_are_refused_with_the_nearest(how: str) -> None:
    ensemble, watch = watched()
    llm = ChatAdaFuse(ensemble=ensemble)
    argument: Any = [] if how == "bind_tools" else ["p"] if how == "batch" else "p"
    with pytest.raises(ConfigError, match=r"'temprature'; did you mean 'temperature'\?"):
        list(getattr(llm, how)(argument, temprature=0.1))
    assert not watch.sessions


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"branch": 2}, "did you mean 'branches'"),
        ({"prompt_format": "raw"}, "unknown field 'prompt_format'"),
        ({"max_tokens": 0}, "max_tokens must be a whole number of at least 1"),
        ({"weights": [1.0]}, "weights has 1 numbers for 2 members"),
        ({"top_logprobs": 3}, "top_logprobs needs logprobs=True"),
        ({"logprobs": True, "top_logprobs": -1}, "top_logprobs"),
        ({"timeout": 0}, "timeout must be"),
        ({"timeout": "soon"}, "timeout"),
        ({"model": "c"}, "unknown member 'c'"),
        ({"model": "a+a"}, "twice"),
        ({"regex": "a", "choices": ["a"]}, "give one of"),
        ({"json_schema": "x"}, "json_schema"),
        ({"models": None}, "ADAFUSE_MODELS"),
        ({"ensemble": three()}, "give either models or an ensemble"),
    ],
)
def test_wrong_fields_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ChatAdaFuse(**{"models": ["org/a", "org/b"], **given})
    assert says in str(caught.value)


@pytest.mark.parametrize("given", [{"model": "x"}, {"timeout": -1}, {"top_logprobs": 1}])
def test_wrong_arguments_are_refused_before_anything_is_loaded(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ChatAdaFuse(models=["org/never-loaded"]).invoke("p", **given)


def test_standard_parameters_of_langchain_are_taken() -> None:
    llm = ChatAdaFuse(models=["org/a"], api_key="SECRET", max_retries=2, timeout=60, streaming=True)
    assert "SECRET" not in repr(llm)


def test_every_field_is_described() -> None:
    own = ChatAdaFuse.model_fields.keys() - BaseChatModel.model_fields.keys()
    assert {"models", "max_tokens", "logprobs", "json_schema", "model", "timeout"} <= own
    assert all(ChatAdaFuse.model_fields[name].description for name in own)


def test_a_call_says_which_members_answer() -> None:
    llm = ChatAdaFuse(ensemble=three())
    assert llm.invoke("p").response_metadata["model_name"] == "a+b+c"
    for names, text in (("b", "from b"), ("c+b", "from c"), ("b+c", "from b"), ("a+b+c", "from a")):
        message = llm.invoke("p", model=names)
        assert message.content == text
        assert message.response_metadata["model_name"] == names
        assert set(message.usage_metadata["input_token_details"]) == set(names.split("+"))  # type: ignore[index,typeddict-item]
    assert ChatAdaFuse(ensemble=three(), model="b").invoke("p").content == "from b"
    assert AdaFuseLLM(ensemble=three()).invoke("p", model="c") == "from c"
    with pytest.raises(ConfigError, match="unknown member 'd'; known: a, b, c"):
        llm.invoke("p", model="d")


def test_weights_go_with_their_members() -> None:
    members = [ScriptedMember(f"from {name}", name, confident=False) for name in ("a", "b", "c")]
    llm = ChatAdaFuse(ensemble=Ensemble(members), weights=[1.0, 0.0, 5.0])
    assert llm.invoke("p", model="a+b").content == "from a"
    assert llm.invoke("p", model="b+c").content == "from c"
    assert llm.invoke("p", model="b+a", weights=[0.0, 1.0, 0.0]).content == "from b"


def test_members_of_one_name_are_numbered_as_loading_does() -> None:
    llm = ChatAdaFuse(models=["org/m", "other/m", MemberSpec("x", name="y")], model="m#2+y")
    assert llm._model_name == "m#2+y"


def test_configured_fields_keep_the_loaded_models(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []

    def load(cls: type[Ensemble], models: Any, **options: Any) -> Ensemble:
        loads.append(models)
        return cls([ScriptedMember("one two three", one.model) for one in models])

    monkeypatch.setattr(Ensemble, "load", classmethod(load))
    llm = ChatAdaFuse(models=["org/conf"]).configurable_fields(
        max_tokens=ConfigurableField(id="tokens"), temperature=ConfigurableField(id="heat")
    )
    assert llm.invoke("p").content == "one two three"
    short: Any = {"configurable": {"tokens": 3, "heat": 0.5}}
    assert llm.invoke("p", short).content == "one"
    assert [c.content for c in llm.stream("p", short)] == ["one", ""]
    assert llm.with_config(short).batch(["p"])[0].content == "one"
    either = ChatAdaFuse(models=["org/conf"]).configurable_alternatives(
        ConfigurableField(id="which"), short=ChatAdaFuse(models=["org/conf"], max_tokens=7)
    )
    assert either.invoke("p").content == "one two three"
    assert either.invoke("p", {"configurable": {"which": "short"}}).content == "one two"
    assert len(loads) == 1


def test_configured_fields_of_a_ready_ensemble() -> None:
    ensemble, watch = watched("one two three")
    llm = ChatAdaFuse(ensemble=ensemble).configurable_fields(max_tokens=ConfigurableField(id="t"))
    assert llm.invoke("p", {"configurable": {"t": 3}}).content == "one"
    assert len(watch.sessions) == 1


def test_streaming_can_be_switched() -> None:
    ensemble, _ = watched("a b")
    assert len(list(ChatAdaFuse(ensemble=ensemble, streaming=False).stream("p"))) == 1
    assert ChatAdaFuse(ensemble=ensemble, streaming=True).invoke("p").content == "a b"
    assert ChatAdaFuse(ensemble=ensemble).invoke("p", stream=True).content == "a b"
    assert len(list(ChatAdaFuse(ensemble=ensemble, disable_streaming=True).stream("p"))) == 1
