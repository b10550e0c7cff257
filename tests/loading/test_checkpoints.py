"""Folders that hold no checkpoint, half of one, or one that would run code: each said as it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from adafuse import Ensemble, LoadError, ModelNotFoundError, UnsafeCheckpointError
from adafuse.loading.checkpoints import missing_weights, refuse_pickles, refuse_without_weights
from families import family

TRAINER = (
    "optimizer.pt", "scheduler.pt", "scaler.pt", "training_args.bin", "rng_state.pth",
    "rng_state_0.pth", "optimizer.bin", "random_states_0.pkl",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("gpt2")
    model, tokenizer = family("gpt2")
    model.save_pretrained(place, max_shard_size="60KB")
    tokenizer.save_pretrained(place)
    return place


def no_file(name: str) -> str:
    raise AssertionError(f"{name} is not to be read")


def test_a_folder_that_lacks_shards_of_its_index_is_incomplete(
    folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    missing = sorted(copy.glob("*.safetensors"))[0]
    missing.unlink()
    with pytest.raises(LoadError, match=rf"incomplete: {missing.name}") as caught:
        Ensemble.load([str(copy)])
    assert not isinstance(caught.value, UnsafeCheckpointError)
    for index in ("{", "[]", json.dumps({"weight_map": 3})):
        (copy / "model.safetensors.index.json").write_text(index)
        with pytest.raises(LoadError, match=r"model\.safetensors\.index\.json"):
            Ensemble.load([str(copy)])
    (copy / "model.safetensors.index.json").unlink()
    with pytest.raises(LoadError, match=r"incomplete: model\.safetensors is missing beside"):
        Ensemble.load([str(copy)])


def test_what_a_trainer_saves_is_no_checkpoint(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*.safetensors*"))
    for name in TRAINER:
        (copy / name).touch()
    with pytest.raises(LoadError, match="holds no weights") as caught:
        Ensemble.load([str(copy)])
    assert not isinstance(caught.value, UnsafeCheckpointError)
    torch.save({}, copy / "pytorch_model.bin")
    with pytest.raises(UnsafeCheckpointError, match=r"pytorch_model\.bin"):
        Ensemble.load([str(copy)])


def test_pickles_beside_safetensors_do_not_matter(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "pytorch_model.bin").touch()
    Ensemble.load([str(copy)])


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        ({"model.safetensors": ""}, []),
        ({}, ["model.safetensors"]),
        ({"consolidated.safetensors": ""}, ["model.safetensors"]),
        ({"config.json": {"transformers_weights": "odd.safetensors"}}, ["odd.safetensors"]),
        ({"config.json": {"transformers_weights": "odd.safetensors"}, "odd.safetensors": ""}, []),
        (
            {
                "config.json": {"transformers_weights": "odd.safetensors.index.json"},
                "odd.safetensors.index.json": {"weight_map": {"a": "1", "b": "2", "c": "2"}},
                "1": "",
            },
            ["2"],
        ),
        ({"model.safetensors.index.json": {"weight_map": {"a": "x", "b": "y"}}}, ["x", "y"]),
        ({"model.safetensors.index.json": {"weight_map": {"a": "x"}}, "x": ""}, []),
    ],
)
def test_a_checkpoint_needs_what_transformers_reads(files: Any, missing: list[str]) -> None:
    assert missing_weights(files, lambda name: json.dumps(files[name])) == missing


@pytest.mark.parametrize("name", ["model.bin", "pytorch_model-00001-of-2.bin", "x.ckpt", "a.pth"])
def test_any_other_pickle_is_named(name: str) -> None:
    with pytest.raises(UnsafeCheckpointError, match=name):
        refuse_pickles("x", [name, "optimizer.pt"])
    with pytest.raises(UnsafeCheckpointError, match=name):
        refuse_without_weights("x", [name], no_file)
    refuse_pickles("x", [name, "model.safetensors"])


def test_only_what_transformers_says_of_remote_code_is_taken_for_it(tmp_path: Path) -> None:
    place = tmp_path / "custom code: pass the argument `trust_remote_code=True`"
    place.mkdir()
    (place / "config.json").write_text("{")
    with pytest.raises(LoadError) as caught:
        Ensemble.load([str(place)])
    assert not isinstance(caught.value, UnsafeCheckpointError)
    (place / "config.json").write_text(json.dumps({"model_type": "trust_remote_code"}))
    with pytest.raises(LoadError) as caught:
        Ensemble.load([str(place)])
    assert not isinstance(caught.value, UnsafeCheckpointError)
    code = {"model_type": "odd", "auto_map": {"AutoConfig": "odd.OddConfig"}}
    (place / "config.json").write_text(json.dumps(code))
    with pytest.raises(UnsafeCheckpointError, match="brings its own code"):
        Ensemble.load([str(place)])


@pytest.mark.parametrize(
    "model",
    ["folder/x.gguf", "x.gguf", "folder/X.GGUF", "../a/x.gguf", "./a/b/x.gguf", "a//x.gguf"],
)
def test_a_gguf_file_that_is_not_there_is_no_repository(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adafuse.loading.loader.locate", no_file)
    with pytest.raises(ModelNotFoundError, match="no such folder or file") as caught:
        Ensemble.load([model])
    assert repr(model) in str(caught.value)
