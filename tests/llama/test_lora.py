"""LoRA adapters in llama.cpp, beside the same model with weights that hold them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adafuse import Ensemble
from adafuse.errors import LoadError
from adafuse.local.token_tree import TokenTree
from gguf_models import gguf, model_of

RANK, ALPHA = 4, 8.0
IDS = [(7 * at + 3) % 400 for at in range(20)]


def write(path: Path, arch: str = "qwen2", seed: int = 0) -> tuple[Path, Any]:
    """An adapter of the first layer's queries; and what it adds to them."""
    from gguf import GGUFWriter

    model, _ = model_of("qwen2")
    weight = model.model.layers[0].self_attn.q_proj.weight
    rng = np.random.default_rng(seed)
    down = rng.normal(size=(RANK, weight.shape[1])).astype(np.float32)
    up = rng.normal(size=(weight.shape[0], RANK)).astype(np.float32)
    writer = GGUFWriter(path, arch)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", ALPHA)
    writer.add_tensor("blk.0.attn_q.weight.lora_a", down)
    writer.add_tensor("blk.0.attn_q.weight.lora_b", up)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path, torch.from_numpy(ALPHA / RANK * up @ down)


def logits(member: Any) -> torch.Tensor:
    tree = TokenTree(member.runner)
    tree.append(IDS)
    tree.read([])
    assert tree.root.row is not None
    return tree.root.row


@pytest.mark.usefixtures("wide_cache")
def test_an_adapter_adds_to_the_weights(tmp_path: Path) -> None:
    one, first = write(tmp_path / "one.gguf")
    two, second = write(tmp_path / "two.gguf", seed=1)
    file = str(gguf("qwen2"))
    for lora, added in (([], 0), ([one], first), ([str(one), str(two)], first + second)):
        (member,) = Ensemble.load([{"model": file, "lora": lora}]).members
        model = copy.deepcopy(model_of("qwen2")[0])
        with torch.no_grad():
            model.model.layers[0].self_attn.q_proj.weight += added
            right = model(torch.tensor([IDS])).logits[0, -1]
        assert torch.allclose(logits(member), right, atol=2e-4)


def test_an_adapter_of_another_model_and_no_adapter(tmp_path: Path) -> None:
    other, _ = write(tmp_path / "other.gguf", arch="llama")
    for path in (other, tmp_path / "none.gguf", gguf("qwen2")):
        with pytest.raises(LoadError, match=rf"LoRA adapter {path.name} cannot be used: \w"):
            Ensemble.load([{"model": str(gguf("qwen2")), "lora": [path]}])
