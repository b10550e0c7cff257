"""GGUF files as members: which library runs them, and what is refused before any prompt."""

from __future__ import annotations

import logging
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from adafuse import Ensemble, MemberSpec
from adafuse.errors import (
    AdaFuseError,
    ConfigError,
    ContextWindowError,
    LoadError,
    LoadMemoryError,
    MissingExtraError,
    UnsupportedModelError,
)
from adafuse.llama import weights as llama_weights
from adafuse.llama.runner import LlamaRunner
from adafuse.loading import llama_plan
from adafuse.loading.loader import load_members
from adafuse.local.model_runner import ModelRunner
from families import family
from gguf_models import gguf, write_model


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of its own, so that no other test's member shares its runner."""
    return Path(shutil.copy(gguf("llama3"), tmp_path / "small.gguf"))


def load(*members: Any, **options: Any) -> list[Any]:
    return list(Ensemble.load(members, **options).members)


def test_a_gguf_file_runs_in_llama_cpp_and_answers(file: Path) -> None:
    ensemble = Ensemble.load([file])
    (member,) = ensemble.members
    assert isinstance(member.runner, LlamaRunner)  # type: ignore[attr-defined]
    answer = ensemble.generate("Hello world", max_new_tokens=8)
    assert answer.usage["small.gguf"].committed_tokens > 0


def test_transformers_is_not_asked_to_read_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AutoConfig", "AutoTokenizer", "load_model"):
        monkeypatch.setattr(f"adafuse.loading.loader.{name}", None)
    assert Ensemble.load([file]).generate("Hello", max_new_tokens=3).rounds


def test_members_of_one_file_share_its_weights(file: Path) -> None:
    one, two, three = load(
        file, {"model": str(file), "name": "b"}, {"model": str(file), "n_ctx": 64}
    )
    assert one.runner is two.runner
    assert three.runner is not one.runner
    assert (three.runner.window, one.runner.window) == (64, 512)


def test_a_mixed_ensemble(file: Path, tmp_path: Path) -> None:
    model, tokenizer = family("qwen2")
    model.save_pretrained(tmp_path / "hf")
    tokenizer.save_pretrained(tmp_path / "hf")
    ensemble = Ensemble.load([file, tmp_path / "hf"], dtype="float32")
    kinds = [type(member.runner) for member in ensemble.members]  # type: ignore[attr-defined]
    assert kinds == [LlamaRunner, ModelRunner]
    answer = ensemble.generate("Hello world", max_new_tokens=6)
    assert len(answer.usage) == 2


def test_a_file_without_the_name_of_one_as_ollama_keeps_it(file: Path) -> None:
    blob = file.with_name("sha256-6a0746a1ec1a")
    file.rename(blob)
    (member,) = load(blob)
    assert isinstance(member.runner, LlamaRunner)


def test_another_tokenizer_of_transformers(file: Path, tmp_path: Path) -> None:
    tokenizer = family("llama3")[1]
    tokenizer.save_pretrained(tmp_path / "tokens")
    (member,) = load({"model": str(file), "tokenizer": str(tmp_path / "tokens")})
    assert member.tokenizer.eos_token == tokenizer.eos_token


def test_a_folder_with_one_file_in_several_parts(file: Path) -> None:
    folder = split(file)
    (member,) = load(folder)
    assert isinstance(member.runner, LlamaRunner)
    assert len(member.runner.weights.description) > 3


def test_a_missing_part(file: Path) -> None:
    folder = split(file)
    (folder / "x-00002-of-00003.gguf").unlink()
    with pytest.raises(LoadError, match=r"incomplete: x-00002-of-00003\.gguf is missing beside"):
        load(folder)


def split(file: Path) -> Path:
    """The same file in three parts, as gguf-split writes them."""
    from gguf import GGUFReader, GGUFWriter

    folder = file.parent / "parts"
    folder.mkdir()
    reader = GGUFReader(file)
    whole = gguf("llama3")
    assert whole.exists()
    tensors = list(reader.tensors)
    third = -(-len(tensors) // 3)
    for number in range(3):
        part = folder / f"x-{number + 1:05d}-of-00003.gguf"
        writer = GGUFWriter(part, "llama")
        if number == 0:
            for name, field in reader.fields.items():
                if not name.startswith("GGUF.") and name != "general.architecture":
                    sub = field.types[-1] if len(field.types) > 1 else None
                    writer.add_key_value(name, field.contents(), field.types[0], sub_type=sub)
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", 3)
        writer.add_int32("split.tensors.count", len(tensors))
        for tensor in tensors[number * third : (number + 1) * third]:
            writer.add_tensor(tensor.name, tensor.data)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return folder


@pytest.mark.parametrize("kept", [0, 3, 24, 5000, 0.5, 0.9])
def test_a_broken_file(file: Path, kept: float) -> None:
    content = file.read_bytes()
    size = int(len(content) * kept) if isinstance(kept, float) else kept
    file.write_bytes(content[:size])
    with pytest.raises(
        LoadError, match=r"'small\.gguf' .*cannot be loaded by llama\.cpp: \w"
    ) as info:
        load(file)
    assert "\n" not in str(info.value)


def test_an_unknown_architecture(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(
        content.replace(
            b"\x05\x00\x00\x00\x00\x00\x00\x00llama", b"\x05\x00\x00\x00\x00\x00\x00\x00lxama", 1
        )
    )
    with pytest.raises(LoadError, match=r"by llama\.cpp: unknown model architecture: 'lxama'"):
        load(file)


@pytest.mark.parametrize(
    ("asks", "reason"),
    [
        ("llama_model_is_recurrent", "recurrent state"),
        ("llama_model_is_hybrid", "recurrent layers"),
        ("llama_model_has_encoder", "encoder"),
        ("llama_model_is_diffusion", "diffusion"),
    ],
)
def test_models_that_cannot_read_trees(
    file: Path, asks: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_weights.library(), asks, lambda model: True)
    with pytest.raises(UnsupportedModelError, match=rf"'small\.gguf': llama .*{reason}"):
        load(file)


def test_a_model_of_embeddings(tmp_path: Path) -> None:
    file = write_model(tmp_path / "x.gguf", "qwen2", pooling=3)
    with pytest.raises(UnsupportedModelError, match=r"'x\.gguf': qwen2 makes embeddings of texts"):
        load(file)


def test_a_gpu_that_this_llama_cpp_does_not_know(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_weights.library(), "llama_supports_gpu_offload", lambda: False)
    with pytest.raises(ConfigError, match=r"n_gpu_layers is 5, .* without a GPU"):
        load({"model": str(file), "n_gpu_layers": 5})


def test_a_context_that_does_not_fit_in_memory(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_plan, "free_bytes", lambda device: 2**20)
    with pytest.raises(LoadMemoryError, match=r"16384 tokens \(n_ctx\) would take 2 MiB"):
        load({"model": str(file), "n_ctx": 16384})
    (member,) = load(file)
    assert member.runner.context.cells == 512


def test_weights_that_do_not_fit_in_memory(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adafuse.loading.loader.free_bytes", lambda device: 1000)
    with pytest.raises(LoadMemoryError, match=r"'small\.gguf' 0 MiB on 'cpu'"):
        load(file)
    assert load({"model": str(file), "check_memory": False})


def test_a_prompt_beyond_n_ctx(file: Path) -> None:
    ensemble = Ensemble.load([{"model": str(file), "n_ctx": 32}])
    with pytest.raises(ContextWindowError, match="context window is 32"):
        ensemble.generate("word " * 60)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"dtype": "bfloat16"}, "dtype is for models in transformers"),
        ({"device_map": "auto"}, "device_map is for"),
        ({"device": "cuda:0"}, "n_gpu_layers says how much"),
        ({"quantization_config": {"bits": 4}}, "quantization_config is for"),
        ({"attn_implementation": "eager"}, "attn_implementation is for"),
    ],
)
def test_settings_of_transformers(file: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        load({"model": str(file), **options})


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"engine": "llama.cpp"}, "engine 'llama.cpp' is for GGUF files, and it is none"),
        ({"n_ctx": 512}, "n_ctx is for GGUF files"),
        ({"n_threads": 2}, "n_threads is for GGUF files"),
    ],
)
def test_settings_of_llama_cpp_for_other_models(
    tmp_path: Path, options: dict[str, Any], sentence: str
) -> None:
    model, tokenizer = family("gpt2")
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=sentence):
        load({"model": str(tmp_path), **options})


@pytest.mark.parametrize(
    "options",
    [
        {"engine": "vllm"},
        {"lora": "one.gguf"},
        {"lora": [1]},
        {"lora": None},
        {"n_ctx": 0},
        {"n_threads": 0},
        {"n_gpu_layers": -2},
        {"n_ctx": "many"},
        {"engine": "transformers", "n_ctx": 512},
    ],
)
def test_settings_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        MemberSpec("x.gguf", **options)


def test_without_the_library(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Transformers reads the file and says once what is lost; llama.cpp's settings are refused."""
    monkeypatch.setattr(llama_plan, "installed", lambda: False)
    llama_plan._say_what_is_lost.cache_clear()
    with pytest.raises(MissingExtraError, match=r"adafuse\[llama-cpp\]"):
        load({"model": str(file), "engine": "llama.cpp"})
    with pytest.raises(MissingExtraError, match=r"adafuse\[llama-cpp\]"):
        load({"model": str(file), "n_ctx": 64})
    with pytest.warns(UserWarning, match=r"memory and time .* pip install 'adafuse\[llama-cpp\]'"):
        members = load_members([MemberSpec(str(file))])
    assert isinstance(members[0].runner, ModelRunner)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_members([MemberSpec(str(file), engine="transformers")])


def test_nothing_of_llama_cpp_is_on_the_terminal(
    file: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "adafuse.loading"):
        Ensemble.load([file]).generate("Hello", max_new_tokens=4)
    file.write_bytes(b"GGUF")
    with pytest.raises(AdaFuseError):
        load(file)
    assert capfd.readouterr() == ("", "")
    assert "'small.gguf' is loaded: llama" in caplog.text


def test_threads_and_defaults(file: Path) -> None:
    (member,) = load({"model": str(file), "n_threads": 1})
    runner = member.runner
    assert runner.prompt_bytes(10**6) == 0
    assert runner.window_of(1) == runner.window_of(10**6) == 512
    assert runner.parameters > 1000
    assert runner.device == torch.device("cpu")
