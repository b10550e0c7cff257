"""The pipeline of a fast tokenizer: how its pieces become bytes, and copies that read plain text.

Knows the JSON of `tokenizers`, and neither models nor texts of its own.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer, models

from adafuse.errors import UnsupportedTokenizerError
from adafuse.text.vocabulary import BLANK

__all__ = ["byte_decoding", "plain_copy", "prefixes_first_piece_only", "without_blank"]


def _json(backend: Tokenizer) -> dict[str, Any]:
    """The JSON of a tokenizer's pipeline, without its vocabulary (which can be large)."""
    empty = Tokenizer(models.BPE())
    empty.normalizer = backend.normalizer
    empty.pre_tokenizer = backend.pre_tokenizer
    empty.decoder = backend.decoder
    return json.loads(empty.to_str())  # type: ignore[no-any-return]


def _steps(part: dict[str, Any] | None, key: str) -> list[dict[str, Any]]:
    """A pipeline part as a flat list of steps."""
    if part is None:
        return []
    if part["type"] == "Sequence":
        return [step for inner in part[key] for step in _steps(inner, key)]
    return [part]


def byte_decoding(backend: Tokenizer, name: str) -> tuple[bool, bool]:
    """Whether pieces are byte-level (else SentencePiece), and whether `<0x0A>` is a byte.

    Refuses what is neither.
    """
    kind = type(backend.model).__name__
    steps = _steps(_json(backend)["decoder"], "decoders")
    types = {step["type"] for step in steps}
    if kind == "WordPiece" or "WordPiece" in types:
        raise UnsupportedTokenizerError(
            f"member {name!r}: a WordPiece tokenizer drops whitespace, so no text survives it "
            "exactly; use a model with a byte-level BPE or SentencePiece tokenizer"
        )
    if "ByteLevel" in types:
        return True, False
    blanks = any(s["type"] == "Replace" and s["pattern"] == {"String": BLANK} for s in steps)
    if "Metaspace" in types or blanks:
        return False, "ByteFallback" in types
    raise UnsupportedTokenizerError(
        f"member {name!r}: its tokenizer ({kind}, decoder {sorted(types) or 'none'}) is neither "
        "byte-level BPE nor SentencePiece-style"
    )


def plain_copy(backend: Tokenizer, special: Mapping[int, str]) -> Tokenizer:
    """A copy that reads special strings as plain text and neither cuts nor pads."""
    plain = _copy(backend)
    plain.encode_special_tokens = True
    plain.no_truncation()
    plain.no_padding()
    unknown = getattr(backend.model, "unk_token", None)
    reached = {
        content
        for id_, content in special.items()
        if content != unknown and id_ in plain.encode(content, add_special_tokens=False).ids
    }
    return _renamed(plain, special) if reached else plain


def _copy(backend: Tokenizer) -> Tokenizer:
    """A tokenizer of its own; it shares the model, which no step changes.

    A deep copy would write a vocabulary as JSON and read it again: 1.5 s for 262,144 tokens.
    """
    shared = Tokenizer(backend.model)
    for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        setattr(shared, part, getattr(backend, part))
    added = backend.get_added_tokens_decoder()
    shared.add_tokens([added[id_] for id_ in sorted(added)])
    if shared.get_added_tokens_decoder() == added:
        return shared
    copied: Tokenizer = copy.deepcopy(backend)  # added tokens whose ids are not in a row
    return copied


def _renamed(plain: Tokenizer, special: Mapping[int, str]) -> Tokenizer:
    """The same with special tokens under names that no piece of a text has: with a real blank.

    For models that find them in their own vocabulary, whatever `encode_special_tokens` says
    (Unigram does).
    """
    parts = json.loads(plain.to_str())
    names = {content: f" {id_} " for id_, content in special.items()}
    for added in parts["added_tokens"]:
        if added["special"]:
            added["content"] = names.get(added["content"], added["content"])
    vocabulary = parts["model"]["vocab"]
    if isinstance(vocabulary, dict):
        parts["model"]["vocab"] = {names.get(k, k): id_ for k, id_ in vocabulary.items()}
    else:
        parts["model"]["vocab"] = [
            [names.get(piece, piece), *score] for piece, *score in vocabulary
        ]
    if (unknown := parts["model"].get("unk_token")) is not None:
        parts["model"]["unk_token"] = names.get(unknown, unknown)
    renamed: Tokenizer = Tokenizer.from_str(json.dumps(parts))
    renamed.encode_special_tokens = True
    return renamed


def without_blank(backend: Tokenizer) -> Tokenizer:
    """The same tokenizer without the blank it puts before a text; itself if it puts none."""
    parts = _json(backend)
    normalizers = _steps(parts["normalizer"], "normalizers")
    pre_tokenizers = _steps(parts["pre_tokenizer"], "pretokenizers")
    without_prepend = [step for step in normalizers if step["type"] != "Prepend"]
    changed = len(without_prepend) < len(normalizers)
    for step in pre_tokenizers:
        if step["type"] == "Metaspace" and step["prepend_scheme"] != "never":
            step["prepend_scheme"], changed = "never", True
        if step["type"] == "ByteLevel" and step["add_prefix_space"]:
            step["add_prefix_space"], changed = False, True
    if not changed:
        return backend
    parts["normalizer"] = {"type": "Sequence", "normalizers": without_prepend}
    if pre_tokenizers:
        parts["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": pre_tokenizers}
    changed_parts = Tokenizer.from_str(json.dumps(parts))
    continuation = _copy(backend)
    continuation.encode_special_tokens = True
    continuation.normalizer = changed_parts.normalizer
    if pre_tokenizers:
        continuation.pre_tokenizer = changed_parts.pre_tokenizer
    return continuation


def prefixes_first_piece_only(backend: Tokenizer) -> bool:
    """Whether a blank is put before the very first piece alone, not behind special tokens too."""
    steps = _steps(_json(backend)["pre_tokenizer"], "pretokenizers")
    return any(step.get("prepend_scheme") == "first" for step in steps)
