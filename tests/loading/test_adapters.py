"""LoRA adapters of models in transformers: what is asked of PEFT, and what is refused."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from adafuse import Ensemble
from adafuse.errors import LoadError, MissingExtraError
from adafuse.loading import adapters
from families import family


@pytest.fixture
def folder(tmp_path: Path) -> str:
    model, tokenizer = family("qwen2")
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_config.json").write_text("{}")
    return str(tmp_path / "model")


def load(folder: str, *names: str) -> Any:
    paths = [str(Path(folder).parent / name) for name in names]
    return Ensemble.load([{"model": folder, "lora": paths, "dtype": "float32"}]).members[0]


def test_adapters_are_merged_in_turn(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for PEFT: each adapter adds 1 to a bias."""
    read: list[str] = []

    def from_pretrained(model: Any, path: str) -> Any:
        def merged() -> Any:
            with torch.no_grad():
                model.model.layers[0].self_attn.q_proj.bias += 1
            return model

        read.append(Path(path).name)
        return SimpleNamespace(merge_and_unload=merged)

    peft = SimpleNamespace(PeftModel=SimpleNamespace(from_pretrained=from_pretrained))
    monkeypatch.setattr(adapters, "import_module", lambda name: peft)
    plain, adapted = load(folder), load(folder, "one", "two")
    biases = [m.runner.model.model.layers[0].self_attn.q_proj.bias for m in (plain, adapted)]
    assert torch.allclose(biases[1], biases[0] + 2)
    assert read == ["one", "two"]


def test_without_peft(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)  # type: ignore[arg-type]
    with pytest.raises(MissingExtraError, match=r"adafuse\[lora\]"):
        load(folder, "one")


def test_what_is_no_adapter(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LoadError, match=r"nowhere is no folder with an adapter_config\.json"):
        load(folder, "nowhere")

    def refuse(model: Any, path: str) -> Any:
        raise ValueError("another\nmodel's")

    peft = SimpleNamespace(PeftModel=SimpleNamespace(from_pretrained=refuse))
    monkeypatch.setattr(adapters, "import_module", lambda name: peft)
    with pytest.raises(LoadError, match="one cannot be used: another model's"):
        load(folder, "one")
