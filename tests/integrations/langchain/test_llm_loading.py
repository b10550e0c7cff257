"""When AdaFuseLLM loads members, who shares them, and what it says of itself."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.load import dumpd

from adafuse import ConfigError, Ensemble, MemberSpec
from adafuse.testing import ScriptedMember
from adafuse_integrations.langchain import AdaFuseLLM
from watched_members import Notes, watched


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Loading takes a moment and is written down."""
    loaded: list[Any] = []

    def load_slowly(cls: type[Ensemble], models: Any, **options: Any) -> Ensemble:
        loaded.append((models, options))
        time.sleep(0.02)  # others come meanwhile; on a machine that is slow they come later
        if models[0].model == "org/broken" and len(loaded) == 1:
            raise ConfigError("broken")
        return cls([ScriptedMember("answer", spec.model) for spec in models])

    monkeypatch.setattr(Ensemble, "load", classmethod(load_slowly))
    return loaded


def test_members_are_loaded_once_by_whoever_comes_first(loads: list[Any]) -> None:
    models = [AdaFuseLLM(models=["org/a", {"model": "org/b"}], device="cpu") for _ in range(4)]
    assert not loads
    barrier = threading.Barrier(8)

    def ask(i: int) -> str:
        barrier.wait()
        return models[i % 4].invoke("p")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == ["answer"] * 8
    assert len(loads) == 1
    specs, options = loads[0]
    assert specs == (MemberSpec("org/a"), MemberSpec("org/b"))
    assert options == {"device": "cpu", "dtype": None, "backend": "local", "address": None}


def test_settings_do_not_matter_for_sharing_but_loading_does(loads: list[Any]) -> None:
    same = [AdaFuseLLM(models=["org/c"]), AdaFuseLLM(models=[MemberSpec("org/c")], branches=2)]
    for llm in same:
        llm.invoke("p", temperature=0.5)
    assert len(loads) == 1
    kept = [
        AdaFuseLLM(models=["org/c"], dtype="bfloat16"),
        AdaFuseLLM(models=["org/c", "org/d"]),
        AdaFuseLLM(models=[{"model": "org/c", "tokenizer_kwargs": {"a": [1]}}]),
        AdaFuseLLM(models=["org/c"], backend="ray"),
        AdaFuseLLM(models=["org/c"], backend="ray", address="auto"),
    ]
    for llm in kept:
        llm.invoke("p")
    assert len(loads) == 6
    assert loads[-1][1]["backend"] == "ray"
    assert loads[-1][1]["address"] == "auto"


def test_members_are_let_go_of_with_the_last_model(loads: list[Any]) -> None:
    llm = AdaFuseLLM(models=["org/e"])
    llm.invoke("p")
    del llm
    gc.collect()
    AdaFuseLLM(models=["org/e"]).invoke("p")
    assert len(loads) == 2


def test_copies_share_members(loads: list[Any]) -> None:
    llm = AdaFuseLLM(models=["org/f"])
    for copy in (llm.model_copy(), llm.model_copy(deep=True)):
        copy.invoke("p")
    assert len(loads) == 1


def test_a_failed_load_is_raised_and_tried_again(loads: list[Any]) -> None:
    llm = AdaFuseLLM(models=["org/broken"])
    notes = Notes()
    with pytest.raises(ConfigError, match="broken"):
        llm.invoke("p", {"callbacks": [notes]})
    assert notes.events == ["start", "error"]
    assert llm.invoke("p") == "answer"


def test_importing_and_building_needs_no_torch() -> None:
    program = (
        "import sys\n"
        "from adafuse_integrations.langchain import AdaFuseLLM\n"
        "llm = AdaFuseLLM(models=['org/a', {'model': 'org/b', 'dtype': 'bfloat16'}])\n"
        "repr(llm), llm._identifying_params\n"
        "heavy = {'torch', 'transformers', 'accelerate', 'llama_index'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_it_is_called_adafuse() -> None:
    llm = AdaFuseLLM(models=["org/a", MemberSpec("folder/b", name="bee")])
    assert llm._llm_type == "adafuse"
    params = llm._get_ls_params(temperature=0.5, stop=["x"])
    assert params["ls_provider"] == "adafuse"
    assert params["ls_model_name"] == "a+bee"
    assert params["ls_temperature"] == 0.5
    assert params["ls_stop"] == ["x"]


def test_nothing_secret_or_heavy_is_shown() -> None:
    ensemble, _ = watched()
    spec = {"model": "org/a", "tokenizer_kwargs": {"token": "SECRET", "use_fast": True}}
    llm = AdaFuseLLM(models=[spec])
    for shown in (repr(llm), str(llm), json.dumps(dumpd(llm)), str(llm.asdict())):
        assert "SECRET" not in shown
    assert "use_fast" in str(llm._identifying_params)
    built = AdaFuseLLM(ensemble=ensemble)
    for shown in (repr(built), str(built), str(built.asdict()), str(built.model_dump())):
        assert "Ensemble" not in shown
    assert "first" in repr(built)


def test_counting_tokens_downloads_nothing() -> None:
    class Mute(ScriptedMember):
        count_tokens = None  # type: ignore[assignment]

    llm = AdaFuseLLM(ensemble=Ensemble([Mute("x", "first")]))
    with pytest.raises(ConfigError, match="'first' cannot count"):
        llm.get_num_tokens("text")
    with pytest.raises(ConfigError, match="custom_get_token_ids"):
        llm.get_token_ids("text")
    counting = AdaFuseLLM(ensemble=watched()[0], custom_get_token_ids=lambda text: [1] * len(text))
    assert counting.get_num_tokens("text") == 4


def test_counting_tokens_asks_the_first_member_that_answers() -> None:
    class Counting(ScriptedMember):
        def count_tokens(self, text: str) -> int:
            return len(text) + 1

    llm = AdaFuseLLM(ensemble=Ensemble([Counting("x", "a"), ScriptedMember("x", "b")]))
    assert llm.get_num_tokens("text") == 5
    assert AdaFuseLLM(ensemble=llm.ensemble, model="b").get_num_tokens("text") == 4
