"""The pairs that are measured: the two demo models, and one of them with a copy that mostly agrees.

All members keep nothing between answers unless a section measures just that: repeats would else be
served from what an earlier answer read.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from adafuse import Ensemble
from adafuse.demo.models import gguf_files, prepare_all
from adafuse.loading.loader import load_members
from adafuse.local.member import LocalMember
from adafuse.spec import MemberSpec

__all__ = ["PAIRS", "count_tokens", "gguf_pair", "load_pairs", "real_pair", "round_weights"]

PAIRS = ("real", "agreeing")
_BITS = 8


def real_pair(*, keep_prompts: bool = False, dtype: str = "float32") -> Ensemble:
    """The demo models; with `keep_prompts` they may reuse what earlier prompts had in common."""
    return Ensemble(_load(prepare_all(), keep_prompts, dtype))


def gguf_pair() -> Ensemble:
    """The demo models' GGUF files, in llama.cpp."""
    return Ensemble(_load(gguf_files(), keep_prompts=False, dtype=None))


def load_pairs() -> dict[str, Ensemble]:
    """Both pairs by name. They share the first demo model."""
    folders = prepare_all()
    first, second = _load(folders, keep_prompts=False)
    copy = _rounded_copy(folders[first.name], f"{first.name}, {_BITS} bits")
    return {"real": Ensemble([first, second]), "agreeing": Ensemble([first, copy])}


def count_tokens(pair: Ensemble, text: str) -> int:
    """A text's tokens as the first member counts them."""
    first = pair.members[0]
    assert isinstance(first, LocalMember)
    return first.count_tokens(text)


def round_weights(model: torch.nn.Module, bits: int = _BITS) -> None:
    """Round the weights of all linear layers, in place, to what `bits` bits could hold.

    One scale for each output channel, the same distance up and down, as 8-bit quantisation has it.
    The output layer is left as it is. The weights stay floats: the answers are those of a quantised
    model, the speed is not.
    """
    top = 2 ** (bits - 1) - 1
    head = getattr(model, "get_output_embeddings", lambda: None)()
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, torch.nn.Linear) and layer is not head:
                scale = layer.weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / top
                layer.weight.copy_((layer.weight / scale).round() * scale)


def _load(
    folders: Mapping[str, Path], keep_prompts: bool, dtype: str | None = "float32"
) -> list[LocalMember]:
    kept = 256 if keep_prompts else 0
    return load_members(
        [MemberSpec(str(path), name=name, prompt_cache_mb=kept) for name, path in folders.items()],
        dtype=dtype,
    )


def _rounded_copy(folder: Path, name: str) -> LocalMember:
    """The model in a folder once more, with weights of its own, rounded."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    round_weights(model)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return LocalMember(model, tokenizer, name, prompt_cache_mb=0)
