"""On accelerators; what cannot run here is skipped by name. No device is named in the code."""

import ast
import copy
import math
import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

import adafuse
import adafuse_integrations
from adafuse import Answer, Ensemble
from adafuse.local.member import LocalMember
from corpus import LINES
from families import FAMILIES, family
from oracle import OracleMember
from parity import compare

CUDA = "cuda"
FIRST, SECOND = f"{CUDA}:0", f"{CUDA}:1"
PROMPTS = (LINES[0][:30], "| a | b |\n|---|---|\n", "日本語のテキスト")
LONG = "".join(LINES[:6])  # far beyond the sliding windows

one_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device, so nothing can run on one"
)
two_gpus = pytest.mark.skipif(
    torch.cuda.device_count() < 2, reason="fewer than two CUDA devices, so none can be shared out"
)


def moved(name: str, device: str, dtype: torch.dtype = torch.float32) -> LocalMember:
    """A family's member with a copy of its model on a device."""
    model, tokenizer = family(name, 1)
    there: Any = copy.deepcopy(model)
    return LocalMember(there.to(device=device, dtype=dtype), tokenizer, name)


def plain(*names: str) -> list[OracleMember]:
    """The same members on the CPU, as the oracle reads them."""
    return [OracleMember(name, *family(name, 1)) for name in names]


def check(answer: Answer) -> None:
    """What holds for every answer whatever the precision."""
    assert "".join(word for one in answer.rounds for word in one.words) == answer.text
    assert all(usage.rounds_left_out == 0 for usage in answer.usage.values())
    for one in answer.rounds:
        for candidate in one.candidates:
            assert all(math.isfinite(score) for score in candidate.scores.values())


@pytest.mark.gpu
@one_gpu
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("settings", [{}, {"repetition_penalty": 1.3, "branches": 5}])
def test_a_gpu_in_float32_gives_what_the_oracle_gives_on_the_cpu(
    name: str, settings: dict[str, Any]
) -> None:
    members = plain(name, "llama") if name != "llama" else plain(name)
    ensemble = Ensemble([moved(one.name, CUDA) for one in members])
    for prompt in (*PROMPTS, LONG):
        compare(members, prompt, ensemble, max_new_tokens=16, **settings)


@pytest.mark.gpu
@one_gpu
def test_members_on_the_cpu_and_on_a_gpu_answer_together() -> None:
    ensemble = Ensemble([moved("llama", CUDA), moved("gpt2", "cpu")])
    for prompt in PROMPTS:
        compare(plain("llama", "gpt2"), prompt, ensemble, max_new_tokens=16)


@pytest.mark.gpu
@one_gpu
@pytest.mark.parametrize("name", FAMILIES)
def test_bfloat16_decodes_and_repeats(name: str) -> None:
    ensemble = Ensemble([moved(name, CUDA, torch.bfloat16)])
    for prompt in PROMPTS:
        answer = ensemble.generate(prompt, max_new_tokens=24)
        check(answer)
        assert ensemble.generate(prompt, max_new_tokens=24).text == answer.text


@pytest.mark.gpu
@one_gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", None])
def test_a_folder_is_loaded_onto_the_gpu(dtype: str | None, tmp_path: Path) -> None:
    saved(tmp_path)
    ensemble = Ensemble.load([str(tmp_path)], dtype=dtype)  # CUDA is the default where there is one
    loaded: Any = ensemble.members[0]
    assert loaded.runner.model.device.type == CUDA
    assert loaded.runner.model.dtype == getattr(torch, dtype or "float32")  # as it was saved
    check(ensemble.generate(PROMPTS[0], max_new_tokens=16))


@pytest.mark.gpu
@two_gpus
def test_members_on_two_devices_answer_together() -> None:
    ensemble = Ensemble([moved("llama", FIRST), moved("gemma3", SECOND), moved("gpt2", FIRST)])
    for prompt in PROMPTS:
        compare(plain("llama", "gemma3", "gpt2"), prompt, ensemble, max_new_tokens=16)


def saved(folder: Path) -> OracleMember:
    """A Llama written to a folder, and the same for the oracle."""
    model, tokenizer = family("llama", 1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return OracleMember("llama", model, tokenizer)


def loaded(folder: Path, device_map: Any) -> Ensemble:
    spec = {"model": str(folder), "name": "llama", "dtype": "float32", "device_map": device_map}
    return Ensemble.load([spec])


@pytest.mark.gpu
@one_gpu
def test_accelerate_places_a_model_by_itself(tmp_path: Path) -> None:
    member = saved(tmp_path)
    ensemble = loaded(tmp_path, "auto")
    for prompt in PROMPTS:
        compare([member], prompt, ensemble, max_new_tokens=16)


@pytest.mark.gpu
@two_gpus
def test_a_model_sharded_over_two_devices_gives_what_the_oracle_gives(tmp_path: Path) -> None:
    member = saved(tmp_path)
    halves = {0: ("embed_tokens", "rotary_emb", "layers.0"), 1: ("layers.1", "norm")}
    device_map = {f"model.{part}": device for device, parts in halves.items() for part in parts}
    ensemble = loaded(tmp_path, {**device_map, "lm_head": 1})
    sharded: Any = ensemble.members[0]
    devices = {str(weights.device) for weights in sharded.runner.model.parameters()}
    assert devices == {FIRST, SECOND}
    for prompt in PROMPTS:
        compare([member], prompt, ensemble, max_new_tokens=16)


def test_no_device_is_named_outside_configuration() -> None:
    """The default in `loader`, and that of lm-eval's command, which its adapter has to know.

    Other modules take the device of the model.
    """
    named = []
    for package in (adafuse, adafuse_integrations):
        for path in Path(*package.__path__).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute) and node.attr in ("cuda", "mps", "xpu"):
                    named.append((path.name, ast.unparse(node)))
                text = node.value if isinstance(node, ast.Constant) else None
                if isinstance(text, str) and re.fullmatch(r"(cuda|mps|xpu)(:\d+)?", text):
                    named.append((path.name, text))
    assert sorted(named) == [
        ("arguments.py", "cuda:0"),
        ("arguments.py", "torch.cuda"),
        ("loader.py", "cuda"),
        ("loader.py", "torch.cuda"),
    ]


def missing(*packages: str) -> bool:
    """Whether one of the packages is not installed."""
    return any(find_spec(name) is None for name in packages)


def quantised(folder: str | Path, config: Any = None, dtype: str = "bfloat16") -> None:
    """Load a member with weights quantised by `config`, or as they are, and let it answer."""
    spec = {"model": str(folder), "quantization_config": config, "dtype": dtype}
    ensemble = Ensemble.load([spec])
    member: Any = ensemble.members[0]
    assert member.runner.model.is_quantized
    assert member.runner.model.device.type == CUDA
    for prompt in PROMPTS:
        answer = ensemble.generate(prompt, max_new_tokens=16)
        check(answer)
        assert ensemble.generate(prompt, max_new_tokens=16).text == answer.text


@pytest.mark.gpu
@one_gpu
@pytest.mark.skipif(missing("bitsandbytes"), reason="bitsandbytes is not installed")
@pytest.mark.parametrize("bits", [8, 4])
def test_bitsandbytes_quantises_a_member(bits: int, tmp_path: Path) -> None:
    saved(tmp_path)
    quantised(tmp_path, {"quant_method": "bitsandbytes", f"load_in_{bits}bit": True})


@pytest.mark.gpu
@one_gpu
@pytest.mark.skipif(missing("torchao", "mslk"), reason="torchao or mslk is not installed")
def test_torchao_packs_a_member_into_4_bits(tmp_path: Path) -> None:
    from torchao.quantization import Int4WeightOnlyConfig
    from transformers import TorchAoConfig

    saved(tmp_path)
    quantised(tmp_path, TorchAoConfig(Int4WeightOnlyConfig(group_size=32)))


@pytest.mark.gpu
@one_gpu
@pytest.mark.skipif(missing("optimum", "gptqmodel"), reason="optimum or gptqmodel is not installed")
@pytest.mark.parametrize("method", ["GPTQ", "AWQ"])
def test_a_checkpoint_that_was_quantised_is_read(method: str) -> None:
    """`ADAFUSE_GPTQ` and `ADAFUSE_AWQ` name one of each: a folder, or a hub id in the cache."""
    model = os.environ.get(f"ADAFUSE_{method}")
    if not model:
        pytest.skip(f"ADAFUSE_{method} names no checkpoint")
    quantised(model, dtype="float16")
