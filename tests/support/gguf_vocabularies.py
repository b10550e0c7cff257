"""GGUF files of a vocabulary alone, written from the tokenizers of tests and read by llama.cpp."""

from __future__ import annotations

import ctypes
import functools
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adafuse.text.llama_vocabulary import LlamaVocabulary, overrides
from families import family

__all__ = ["describe", "load", "read", "write"]

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
Types = Mapping[str, int]


def load(path: Path | str, name: str = "gguf", *, plain: bool = False) -> LlamaVocabulary:
    """The vocabulary of a file, without its weights; `plain`: without `overrides`."""
    kept = overrides()
    import llama_cpp

    _silence()
    parameters = llama_cpp.llama_model_default_params()
    parameters.vocab_only = True
    if not plain:
        parameters.kv_overrides = kept
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
    assert model, path
    return LlamaVocabulary(model, name)


@functools.cache
def _silence() -> Any:
    import llama_cpp

    nothing = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(nothing, ctypes.c_void_p(0))
    return nothing


def read(name: str, **fields: Any) -> LlamaVocabulary:
    """The vocabulary of a family as llama.cpp reads it; `fields` of `write`."""
    with tempfile.TemporaryDirectory() as folder:
        return load(write(Path(folder) / f"{name}.gguf", name, **fields), name)


def write(path: Path, name: str, **options: Any) -> Path:
    """Write the vocabulary of a family; `options` are those of `describe`."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "llama")
    describe(writer, name, **options)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def describe(
    writer: Any,
    name: str,
    *,
    kind: str | None = None,
    split: str | None = None,
    extra: Types | None = None,
    without_bytes: bool = False,
    template: str | Sequence[Mapping[str, str]] | None = None,
    roles: Sequence[str] = ("bos", "eos", "unk"),
) -> None:
    """Add the vocabulary of a family to a file that is being written.

    With the types of `extra` tokens by their contents; `kind` is llama.cpp's name of a tokenizer,
    `split` that of a pre-tokenizer.
    """
    tokenizer: Any = family(name)[1]
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    added = {token.content: token for token in tokenizer.added_tokens_decoder.values()}
    types = {
        piece: _type(piece, added)
        for piece in map(tokenizer.convert_ids_to_tokens, range(len(tokenizer)))
    }
    types = {
        piece: type_ for piece, type_ in types.items() if not (without_bytes and type_ == BYTE)
    }
    types |= extra or {}
    ranks = {"".join(pair): rank for rank, pair in enumerate(parts["model"]["merges"])}
    bytewise = parts["model"].get("byte_fallback", False)
    writer.add_tokenizer_model(kind or ("llama" if bytewise else "gpt2"))
    writer.add_tokenizer_pre(split or ("qwen2" if name == "qwen2" else "gpt-2"))
    writer.add_token_scores([float(-ranks.get(piece, len(ranks))) for piece in types])
    writer.add_token_list([*types])
    writer.add_token_types([*types.values()])
    writer.add_token_merges([" ".join(pair) for pair in parts["model"]["merges"]])
    for role in roles:
        id_ = getattr(tokenizer, f"{role}_token_id")
        if id_ is not None:
            getattr(writer, f"add_{role}_token_id")(id_)
    blanks = len(tokenizer.tokenize("x")) > 1 or tokenizer.tokenize("x")[0].startswith("▁")
    writer.add_add_space_prefix(blanks)
    writer.add_add_bos_token(tokenizer.encode("x")[0] == tokenizer.bos_token_id)
    if template is not None:
        writer.add_chat_template(template)


def _type(piece: str, added: Mapping[str, Any]) -> int:
    if piece in added and added[piece].special:
        return UNKNOWN if piece == "<unk>" else CONTROL
    if piece in added:
        return USER_DEFINED
    return BYTE if piece.startswith("<0x") and len(piece) == 6 else NORMAL
