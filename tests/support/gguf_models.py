"""Tiny GGUF files in float32 with the weights of a family, and llama.cpp asked plainly."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from adafuse.llama.library import library
from adafuse.llama.runner import LlamaRunner
from adafuse.llama.weights import Weights
from adafuse.local.member import LocalMember
from adafuse.text.llama_vocabulary import LlamaVocabulary
from families import FAMILIES
from gguf_vocabularies import describe

__all__ = ["KINDS", "PlainLlama", "gguf", "member", "runner", "unpacked", "write_model"]

KINDS = ("llama", "llama3", "qwen2", "gemma3")
_GEMMA: dict[str, Any] = {
    "num_hidden_layers": 3,
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
}
_NAMES = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip
_GEMMA_NAMES = {
    "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}  # fmt: skip


@functools.cache
def model_of(name: str, seed: int = 0, **overrides: Any) -> tuple[Any, Any]:
    """A family's model as `write_model` can write it, and its tokenizer."""
    return FAMILIES[name](seed, **{**(_GEMMA if name == "gemma3" else {}), **overrides})


def write_model(
    path: Path, name: str, seed: int = 0, pooling: int | None = None, **overrides: Any
) -> Path:
    """Write a family's model and vocabulary, in float32."""
    from gguf import GGUFWriter

    model, _ = model_of(name, seed, **overrides)
    config = model.config
    arch = {"llama3": "llama"}.get(name, name)
    writer = GGUFWriter(path, arch)
    describe(writer, name)
    heads, pairs = config.num_attention_heads, config.num_key_value_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(pairs)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    if pooling is not None:
        writer.add_uint32(f"{arch}.pooling_type", pooling)
    rope = config.rope_parameters
    writer.add_rope_freq_base(rope.get("full_attention", rope)["rope_theta"])
    if name == "gemma3":
        writer.add_sliding_window(config.sliding_window)
        writer.add_sliding_window_pattern(
            [kind == "sliding_attention" for kind in config.layer_types]
        )
        writer.add_rope_freq_base_swa(rope["sliding_attention"]["rope_theta"])
    for key, value in model.state_dict().items():
        tensor = _tensor(key, name)
        if tensor is None:
            continue
        weights = value.float().numpy()
        if "norm" in tensor and name == "gemma3":
            weights = weights + 1
        if arch == "llama" and ("attn_q." in tensor or "attn_k." in tensor):
            weights = _interleaved(weights, heads if "attn_q" in tensor else pairs)
        writer.add_tensor(tensor, np.ascontiguousarray(weights))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _tensor(key: str, name: str) -> str | None:
    """llama.cpp's name of a weight."""
    whole = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    if key in whole:
        return whole[key]
    _, _, layer, rest = key.split(".", 3)
    part, kind = rest.rsplit(".", 1)
    names = {**_NAMES, **(_GEMMA_NAMES if name == "gemma3" else {})}
    return f"blk.{layer}.{names[part]}.{kind}" if part in names else None


def _interleaved(weights: Any, heads: int) -> Any:
    """Rows of queries or keys as llama.cpp turns them: in pairs side by side."""
    rows = weights.shape[0] // heads // 2
    split = weights.reshape(heads, 2, rows, *weights.shape[1:])
    return split.swapaxes(1, 2).reshape(weights.shape)


_folder = tempfile.TemporaryDirectory()


@functools.cache
def gguf(name: str, seed: int = 0, **overrides: Any) -> Path:
    """A file that is written once."""
    tag = "-".join([name, str(seed), *(f"{key}={value}" for key, value in overrides.items())])
    return write_model(Path(_folder.name) / f"{tag}.gguf", name, seed, **overrides)


def runner(file: Path, cells: int = 1024) -> LlamaRunner:
    """A runner of its own."""
    return LlamaRunner(Weights.load(file, file.stem), file.stem, cells=cells, threads=1)


def member(file: Path, cells: int = 1024, **options: Any) -> LocalMember:
    """A member with a runner of its own."""
    own = runner(file, cells)
    return LocalMember(own, LlamaVocabulary(own.weights.pointer, file.stem), file.stem, **options)


def unpacked(file: Path, target: Path) -> Path:
    """Write a quantised file's model in float32: no batch is then rounded otherwise."""
    from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
    from gguf.quants import dequantize

    reader = GGUFReader(file)
    writer = GGUFWriter(target, str(reader.fields["general.architecture"].contents()))
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            inner = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(name, field.contents(), field.types[0], sub_type=inner)
    for tensor in reader.tensors:
        kind = GGMLQuantizationType(tensor.tensor_type)
        writer.add_tensor(tensor.name, dequantize(tensor.data, kind).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


class PlainLlama:
    """llama.cpp's own API, one text at a time in one call, as a model of the oracle.

    Nothing of `adafuse.llama` but loading is used: no trees, no sequences, no earlier states.
    """

    def __init__(self, file: Path, name: str = "plain", cells: int = 1024) -> None:
        self.llama = library()
        self.weights = Weights.load(file, name)
        options = self.llama.llama_context_default_params()
        options.n_ctx = options.n_batch = options.n_ubatch = cells
        options.n_threads = options.n_threads_batch = 1
        options.swa_full = True
        self.context = self.llama.llama_init_from_model(self.weights.pointer, options)
        self.cells = cells
        window = min(self.weights.trained_context, cells)
        text = SimpleNamespace(max_position_embeddings=window)
        self.config = SimpleNamespace(get_text_config=lambda: text)
        self.generation_config = SimpleNamespace(eos_token_id=None)

    def __call__(self, input_ids: torch.Tensor, use_cache: bool = False) -> Any:
        rows = self.read(input_ids[0].tolist())
        return SimpleNamespace(logits=torch.from_numpy(rows)[None])

    def read(self, ids: Sequence[int], begin: int = 0, *, last: bool = False) -> Any:
        """Logits (n, V) of tokens from a position on; what was read before it stays."""
        llama, batch = self.llama, self.llama.llama_batch_init(len(ids), 0, 1)
        memory = llama.llama_get_memory(self.context)
        llama.llama_memory_seq_rm(memory, 0, begin, -1)
        batch.n_tokens = len(ids)
        for at, id_ in enumerate(ids):
            batch.token[at], batch.pos[at], batch.n_seq_id[at] = id_, begin + at, 1
            batch.seq_id[at][0], batch.logits[at] = 0, not last or at == len(ids) - 1
        assert llama.llama_decode(self.context, batch) == 0
        rows = 1 if last else len(ids)
        logits = llama.llama_get_logits(self.context)
        copied = np.ctypeslib.as_array(logits, (rows, self.weights.vocabulary)).copy()
        llama.llama_batch_free(batch)
        return copied

    def greedy(self, prompt: Sequence[int], count: int, ends: frozenset[int]) -> list[int]:
        """What greedy decoding writes, a token at a time, up to its first end token."""
        token = int(self.read(prompt, last=True)[0].argmax())
        written: list[int] = []
        while len(written) < count and token not in ends:
            written.append(token)
            at = len(prompt) + len(written) - 1
            token = int(self.read([token], at, last=True)[0].argmax())
        return written
