"""AdaFuseLLM's fields, arguments of a call, and cache keys, on scripted members."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import BaseLLM
from pydantic import ValidationError

from adafuse import ConfigError, Ensemble
from adafuse.testing import ScriptedMember
from adafuse_integrations.langchain import AdaFuseLLM
from watched_members import CODE, watched

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
}


def in_config(name: str) -> tuple[str, Any]:
    value = SETTINGS[name]
    return name.replace("max_tokens", "max_new_tokens"), (
        tuple(value) if isinstance(value, list) else value
    )


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("how", ["field", "call", "bind", "stream", "batch", "generate"])
def test_every_setting_reaches_the_decoder(name: str, how: str) -> None:
    ensemble, watch = watched()
    given = {name: SETTINGS[name]}
    llm = AdaFuseLLM(ensemble=ensemble, **(given if how == "field" else {}))
    if how == "field":
        llm.invoke("p")
    elif how == "call":
        llm.invoke("p", **given)
    elif how == "bind":
        llm.bind(**given).invoke("p")
    elif how == "stream":
        list(llm.stream("p", **given))
    elif how == "batch":
        llm.batch(["p"], **given)
    else:
        llm.generate(["p"], **given)
    core, value = in_config(name)
    assert getattr(watch.configs[0], core) == value
    if how != "field":
        llm.invoke("p")
        assert getattr(watch.configs[1], core) == getattr(ensemble.config, core)


def test_prompt_format() -> None:
    ensemble, watch = watched()
    llm = AdaFuseLLM(ensemble=ensemble)
    llm.invoke("p")
    llm.invoke("p", prompt_format="raw")
    AdaFuseLLM(ensemble=ensemble, prompt_format="chat").invoke("p")
    assert [prompt.format for prompt in watch.prompts] == ["auto", "raw", "chat"]
    with pytest.raises(ConfigError, match="'auto'"):
        llm.invoke("p", prompt_format="chatty")


def test_stop_of_a_call_replaces_the_field() -> None:
    llm = AdaFuseLLM(ensemble=watched("one two three four")[0], stop=[" two"])
    assert llm.invoke("p") == "one"
    assert llm.invoke("p", stop=[" three"]) == "one two"
    assert llm.invoke("p", stop=[]) == "one two three four"
    assert "".join(llm.bind(stop=[" four"]).stream("p")) == "one two three"
    assert llm.batch(["p"], stop=[" three"]) == ["one two"]


def test_max_tokens_cuts_and_says_so() -> None:
    result = AdaFuseLLM(ensemble=watched("one two")[0]).generate(["p"], max_tokens=5)
    (generation,) = result.generations[0]
    assert generation.text == "one t"
    assert (generation.generation_info or {})["finish_reason"] == "length"


@pytest.mark.parametrize("how", ["invoke", "stream", "astream", "batch", "generate", "_stream"])
def test_unknown_arguments_are_refused_with_the_nearest(how: str) -> None:
    ensemble, watch = watched()
    llm = AdaFuseLLM(ensemble=ensemble)
    argument: Any = ["p"] if how in ("batch", "generate") else "p"
    with pytest.raises(ConfigError, match=r"'temprature'; did you mean 'temperature'\?"):
        list(getattr(llm, how)(argument, temprature=0.1))
    assert not watch.sessions


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"branch": 2}, "did you mean 'branches'"),
        ({"max_new_tokens": 2}, "did you mean 'max_tokens'"),
        ({"margin_threshold": 1.5}, "margin_threshold must be a finite number from 0 to 1"),
        ({"max_tokens": 0}, "max_tokens must be a whole number of at least 1"),
        ({"branches": 2.0}, "branches"),
        ({"temperature": float("nan")}, "temperature"),
        ({"seed": True}, "seed"),
        ({"stop": [""]}, "empty string"),
        ({"weights": [1.0]}, "weights has 1 numbers for 2 members"),
        ({"prompt_format": "x"}, "prompt_format"),
        ({"models": "org/model"}, "models must be a list"),
        ({"models": []}, "models must be a list of 1 to 8"),
        ({"models": [{"modle": "x"}]}, "did you mean 'model'"),
        ({"models": [{"model": "x", "weight": -1}]}, "weight"),
        ({"models": None}, "give either models or an ensemble"),
        ({"ensemble": watched()[0]}, "give either models or an ensemble"),
    ],
)
def test_wrong_fields_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        AdaFuseLLM(**{"models": ["org/a", "org/b"], **given})
    assert says in str(caught.value)


def test_errors_do_not_repeat_their_input() -> None:
    member = {"model": "org/a", "tokenizer_kwargs": {"token": "SECRET"}, "weight": -1}
    with pytest.raises(ValidationError) as caught:
        AdaFuseLLM(models=[member])
    assert "SECRET" not in str(caught.value)


def test_device_is_not_for_an_ensemble_that_is_loaded() -> None:
    with pytest.raises(ValidationError, match="already loaded"):
        AdaFuseLLM(ensemble=watched()[0], device="cpu")


def test_members_cannot_be_exchanged_afterwards() -> None:
    llm = AdaFuseLLM(models=["org/a"])
    with pytest.raises(ValidationError, match="frozen"):
        llm.models = ["org/b"]
    with pytest.raises(ValueError, match="no field"):
        llm.temprature = 1


def test_settings_that_are_not_given_are_those_of_the_ensemble() -> None:
    ensemble = Ensemble([ScriptedMember("x")], Ensemble([ScriptedMember("x")]).config)
    ensemble.config = ensemble.config.override(branches=7, max_new_tokens=11)
    llm = AdaFuseLLM(ensemble=ensemble, max_tokens=12)
    assert (llm.branches, llm.max_tokens) == (7, 12)


def test_every_field_is_described() -> None:
    own = AdaFuseLLM.model_fields.keys() - BaseLLM.model_fields.keys()
    assert {"models", "max_tokens", "prompt_format"} <= own
    assert all(AdaFuseLLM.model_fields[name].description for name in own)


@pytest.mark.parametrize("name", [*SETTINGS, "prompt_format", "device", "dtype", "models"])
def test_the_cache_key_differs_by_every_setting(name: str) -> None:
    others = {"prompt_format": "raw", "device": "cpu", "dtype": "bfloat16"}
    value = {**SETTINGS, **others, "models": [{"model": "org/a", "revision": "v2"}]}[name]

    def key(**fields: Any) -> str:
        return str(AdaFuseLLM(**{"models": ["org/a"], **fields})._identifying_params)

    assert key() == key()
    assert key(**{name: value}) != key()


def test_ensembles_built_elsewhere_never_share_a_cache_key() -> None:
    one, two = watched()[0], watched()[0]
    keys = [AdaFuseLLM(ensemble=e)._identifying_params for e in (one, two, one)]
    assert keys[0] == keys[2] != keys[1]


@pytest.fixture
def cache() -> Iterator[InMemoryCache]:
    own = InMemoryCache()
    set_llm_cache(own)
    yield own
    set_llm_cache(None)


def test_a_cached_answer_is_not_decoded_again(cache: InMemoryCache) -> None:
    ensemble, watch = watched()
    llm = AdaFuseLLM(ensemble=ensemble)
    assert llm.invoke("p") == llm.invoke("p") == CODE
    assert AdaFuseLLM(ensemble=ensemble).batch(["p", "p"]) == [CODE, CODE]
    assert len(watch.sessions) == 1


@pytest.mark.parametrize("name", [*SETTINGS, "prompt_format"])
def test_settings_of_a_call_are_part_of_the_cache_key(name: str, cache: InMemoryCache) -> None:
    ensemble, watch = watched()
    llm = AdaFuseLLM(ensemble=ensemble)
    value = {**SETTINGS, "prompt_format": "raw"}[name]
    llm.invoke("p")
    llm.invoke("p", **{name: value})
    assert len(watch.sessions) == 2
    AdaFuseLLM(ensemble=ensemble, **{name: value}).invoke("p")  # the same, said by the field
    llm.bind(**{name: value}).invoke("p")
    assert len(watch.sessions) == 2


def test_stop_fields_do_not_share_cached_answers(cache: InMemoryCache) -> None:
    ensemble, _ = watched("one two three")
    stops: list[Any] = [None, [" two"], [" three"]]
    answers = [AdaFuseLLM(ensemble=ensemble, stop=stop).invoke("p") for stop in stops]
    assert answers == ["one two three", "one", "one two"]


def test_runs_are_described_with_the_settings_of_the_call() -> None:
    descriptions = []

    class Serialized(BaseCallbackHandler):
        def on_llm_start(self, serialized: Any, prompts: list[str], **kwargs: Any) -> None:
            descriptions.append((serialized["repr"], kwargs["invocation_params"]["branches"]))

    llm = AdaFuseLLM(ensemble=watched()[0], callbacks=[Serialized()])
    llm.invoke("p")
    llm.invoke("p", branches=9)
    assert [branches for _, branches in descriptions] == [None, 9]
    assert ["branches=9" in shown for shown, _ in descriptions] == [False, True]
