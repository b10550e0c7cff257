"""GGUF files of a vocabulary alone, written from the tokenizers of tests and read by llama.cpp."""

from __future__ import annotations

import ctypes
import functools
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from adafuse.text.llama_vocabulary import LlamaVocabulary, overrides
from families import family

__all__ = ["load", "read", "write"]

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
Types = Mapping[str, int]


def load(path: Path | str, name: str = "gguf") -> LlamaVocabulary:
    """The vocabulary of a file, without its weights."""
    import llama_cpp

    _silence()
    parameters = llama_cpp.llama_model_default_params()
    parameters.vocab_only = True
    kept = parameters.kv_overrides = overrides()
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
    assert model and kept, path
    return LlamaVocabulary(model, name)


@functools.cache
def _silence() -> Any:
    import llama_cpp

    nothing = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(nothing, ctypes.c_void_p(0))
    return nothing


@functools.cache
def read(name: str, **fields: Any) -> LlamaVocabulary:
    """The vocabulary of a family as llama.cpp reads it; `fields` of `write`."""
    with tempfile.TemporaryDirectory() as folder:
        return load(write(Path(folder) / f"{name}.gguf", name, **fields), name)


def write(
    path: Path,
    name: str,
    *,
    kind: str | None = None,
    types: Types | None = None,
    template: str | Sequence[Mapping[str, str]] | None = None,
    change: Callable[[Any], None] | None = None,
) -> Path:
    """Write the vocabulary of a family; `types` of contents in place of what they would have."""
    from gguf import GGUFWriter

    tokenizer: Any = family(name)[1]
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    pieces = [tokenizer.convert_ids_to_tokens(id_) for id_ in range(len(tokenizer))]
    ranks = {"".join(pair): rank for rank, pair in enumerate(parts["model"]["merges"])}
    bytewise = parts["model"].get("byte_fallback", False)
    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_model(kind or ("llama" if bytewise else "gpt2"))
    writer.add_tokenizer_pre("default" if bytewise else "gpt-2")
    # In SentencePiece's way unmerged pieces are the worst.
    writer.add_token_scores([float(-ranks.get(piece, len(ranks))) for piece in pieces])
    added = {token.content: token for token in tokenizer.added_tokens_decoder.values()}
    given = [(types or {}).get(piece, _type(piece, added, tokenizer.unk_token)) for piece in pieces]
    writer.add_token_list(pieces)
    writer.add_token_types(given)
    writer.add_token_merges([" ".join(pair) for pair in parts["model"]["merges"]])
    for role in ("bos", "eos", "unk"):
        id_ = getattr(tokenizer, f"{role}_token_id")
        if id_ is not None:
            getattr(writer, f"add_{role}_token_id")(id_)
    blanks = len(tokenizer.tokenize("x")) > 1 or tokenizer.tokenize("x")[0].startswith("▁")
    writer.add_add_space_prefix(blanks)
    writer.add_add_bos_token(tokenizer.encode("x")[0] == tokenizer.bos_token_id)
    if template is not None:
        writer.add_chat_template(template)
    if change is not None:
        change(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _type(piece: str, added: Mapping[str, Any], unknown: str | None) -> int:
    if piece in added and added[piece].special:
        return UNKNOWN if piece == unknown and piece == "<unk>" else CONTROL
    if piece in added:
        return USER_DEFINED
    return BYTE if piece.startswith("<0x") and len(piece) == 6 else NORMAL
