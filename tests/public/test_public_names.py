"""What users call by name still works: names and values listed before modules moved.

`names.json` and `written.json` were made from the state before the move.
"""

import base64
import dataclasses
import importlib
import inspect
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.load import loads

import adafuse
from adafuse._moved import MODULES
from adafuse_integrations.langchain import AdaFuseLLM, ChatAdaFuse
from adafuse_integrations.llama_index import AdaFuseLLM as IndexLLM

HERE = Path(__file__).parent
PUBLIC = json.loads((HERE / "names.json").read_text("utf-8"))
WRITTEN = json.loads((HERE / "written.json").read_text("utf-8"))
WRAPPERS = {
    "langchain.AdaFuseLLM": AdaFuseLLM,
    "langchain.ChatAdaFuse": ChatAdaFuse,
    "llama_index.AdaFuseLLM": IndexLLM,
}
SETTINGS = {
    "models": ["org/a", {"model": "org/b", "weight": 2.0, "dtype": "bfloat16"}],
    "max_tokens": 9,
    "branches": 2,
    "stop": ["\n\n"],
}


def resolved(path: str) -> Any:
    """What a dotted path names, imported as far as it is modules."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            value = getattr(value, attribute)
        return value
    raise AssertionError(path)


@pytest.mark.parametrize("path", PUBLIC["names"])
def test_public_names_are_where_they_were(path: str) -> None:
    assert resolved(path) is not None


@pytest.mark.parametrize("old", sorted(MODULES))
def test_old_module_names_lead_to_the_modules(old: str) -> None:
    module, home = importlib.import_module(old), importlib.import_module(MODULES[old])
    for name in home.__all__:
        assert getattr(module, name) is getattr(home, name)
    with pytest.raises(AttributeError):
        _ = module.no_such_name


def test_what_was_never_there_is_still_no_module() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"adafuse\.no_such_module"):
        importlib.import_module("adafuse.no_such_module")


@pytest.mark.parametrize("module", PUBLIC["commands"])
def test_commands_are_modules_to_run(module: str) -> None:
    command = [sys.executable, "-m", module, "--help"]
    assert subprocess.run(command, capture_output=True, check=True).stdout


@pytest.mark.parametrize(("path", "parameters"), PUBLIC["parameters"].items())
def test_methods_take_what_they_took(path: str, parameters: list[str]) -> None:
    now = list(inspect.signature(resolved(f"adafuse.{path}")).parameters)
    assert [name for name in now if name in parameters] == parameters


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers_have_the_fields_they_had(name: str) -> None:
    assert set(PUBLIC["fields"][name]) <= set(WRAPPERS[name].model_fields)


def test_values_have_the_fields_they_had() -> None:
    for name, fields in {
        "DecodingConfig": PUBLIC["settings"],
        "MemberSpec": PUBLIC["member_fields"],
        **PUBLIC["values"],
    }.items():
        now = {field.name for field in dataclasses.fields(getattr(adafuse, name))}
        assert set(fields) <= now, name


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers_pickled_before_are_read(name: str) -> None:
    llm: Any = pickle.loads(base64.b64decode(WRITTEN[name]["pickle"]))
    assert type(llm) is WRAPPERS[name]
    expected = WRAPPERS[name](**SETTINGS)
    assert (llm.models, llm.max_tokens, llm.stop) == (expected.models, 9, ["\n\n"])
    assert llm._identity() == expected._identity() | (
        {"logprobs": True}
        if name == "langchain.ChatAdaFuse"
        else {"prompt_format": llm.prompt_format}
    )


@pytest.mark.parametrize("name", ["langchain.AdaFuseLLM", "langchain.ChatAdaFuse"])
def test_texts_dumped_before_are_loaded(name: str) -> None:
    llm: Any = loads(
        WRITTEN[name]["dumps"],
        allowed_objects=[WRAPPERS[name]],
        valid_namespaces=["adafuse_integrations"],
    )
    assert type(llm) is WRAPPERS[name]
    assert llm._identity()["members"] == WRAPPERS[name](**SETTINGS)._identity()["members"]


def test_llama_index_settings_written_before_are_read() -> None:
    llm = IndexLLM.from_dict(WRITTEN["llama_index.AdaFuseLLM"]["to_dict"])
    assert llm._identity() == IndexLLM(**SETTINGS)._identity()


@pytest.mark.parametrize("name", sorted(set(WRITTEN) - set(WRAPPERS)))
def test_other_values_pickled_before_are_read(name: str) -> None:
    value = pickle.loads(base64.b64decode(WRITTEN[name]["pickle"]))
    assert type(value).__name__ in (name, "AIMessageChunk")
    assert pickle.loads(pickle.dumps(value)) is not None


def test_pickles_are_read_by_a_process_that_has_imported_nothing() -> None:
    code = (
        "import base64, json, pickle, sys\n"
        "for text in json.load(sys.stdin): print(type(pickle.loads(base64.b64decode(text))))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps([WRITTEN[name]["pickle"] for name in WRAPPERS]),
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert printed.count("adafuse_integrations") == len(WRAPPERS)
