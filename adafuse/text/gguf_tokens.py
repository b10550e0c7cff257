"""The tokens of a GGUF file: what the file says of each, as llama.cpp has read it.

llama.cpp calls some tokens control by their names alone, and some text by theirs; the types of the
file are what counts here. What a GGUF file says:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; what llama.cpp makes of it:
src/llama-vocab.cpp there. This module knows no text but those of tokens.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

from adafuse.errors import MissingExtraError, UnsupportedTokenizerError
from adafuse.text.vocabulary import BLANK, SpecialToken

__all__ = ["GgufTokens", "llama_library"]

# Kinds of `llama_vocab_type`, and names of those that are refused.
_SENTENCEPIECE, _BPE, _UNIGRAM = 1, 2, 4
_REFUSED = {
    0: "no tokenizer",
    3: "a WordPiece tokenizer",
    5: "an RWKV tokenizer",
    6: "a PLaMo-2 tokenizer",
    7: "a tokenizer for tests",
}
_NAMED = {"bos": "bos", "eos": "eos", "eot": "eot", "unknown": "unk", "padding": "pad"}
_BYTE_NAME = re.compile("<0x[0-9A-F]{2}>")
_NO_BYTE = b"[UNK_BYTE_0x"  # what llama.cpp writes for it
# What converters take for a control token whatever its type.
_LOOKS_SPECIAL = re.compile(r"<[|｜][^|｜<>\s]+[|｜]>")


def llama_library() -> Any:
    """The module of llama-cpp-python; MissingExtraError where it is not installed."""
    try:
        return import_module("llama_cpp")
    except ImportError as error:
        raise MissingExtraError("a member in llama.cpp", "llama-cpp") from error


class GgufTokens:
    """The tokens of a loaded model; arguments and errors as of `LlamaVocabulary`.

    Attributes:
        metadata: what the file says of itself, arrays left out.
        size: ids are below this.
        sentencepiece, unigram: the kind, where it is one of these.
        has_blanks: whether pieces have ▁ for a space, so that a ▁ of a text itself has none.
        named: ids of "bos", "eos", "eot", "unk" and "pad", as far as there are any.
        special: control tokens and the unknown one, by id.
        byte_names: contents such as <0x0A>, by id.
        unused: padding of the vocabulary: contents by id.
        hidden_text: ids of added tokens that are text, and that llama.cpp calls control.
    """

    def __init__(self, model: Any, name: str) -> None:
        self._llama = llama = llama_library()
        self._vocab = llama.llama_model_get_vocab(model)
        kind = llama.llama_vocab_type(self._vocab)
        if kind in _REFUSED:
            raise UnsupportedTokenizerError(
                f"member {name!r}: its GGUF file has {_REFUSED[kind]}, so texts cannot be joined "
                "exactly; use a model with a BPE or SentencePiece tokenizer"
            )
        self.metadata = _metadata(llama, model)
        self.size: int = llama.llama_vocab_n_tokens(self._vocab)
        self.sentencepiece, self.unigram = kind == _SENTENCEPIECE, kind == _UNIGRAM
        self.has_blanks = kind != _BPE or self.metadata["tokenizer.ggml.model"] == "gemma4"
        self._blank = (BLANK if self.has_blanks else "\u0120").encode()  # of byte-level BPE: Ġ
        self._attributes = [llama.llama_vocab_get_attr(self._vocab, t) for t in range(self.size)]
        self.named = self._read_named()
        self.special: dict[int, SpecialToken] = {}
        self.byte_names: dict[int, str] = {}
        self.unused: dict[int, str] = {}
        self.hidden_text: dict[str, int] = {}
        self._sort_tokens()

    def _read_named(self) -> dict[str, int]:
        """Ids by what they are for, where the file says so: llama.cpp has numbers of its own else.

        Those of a SentencePiece vocabulary without names are Llama's, and right if they are control
        tokens there; of an end of turn, llama.cpp knows the usual strings.
        """
        named = {}
        for key, short in _NAMED.items():
            given = self.metadata.get(f"tokenizer.ggml.{key}_token_id")
            get = getattr(self._llama, f"llama_vocab_{short}", None)  # of the unknown token, none
            token = get(self._vocab) if get is not None else int(given or 0)
            if 0 <= token < self.size and (given is not None or self._is_control(token)):
                named[short] = token
        return named

    def _is_control(self, token: int) -> bool:
        return bool(self._attributes[token] & self._llama.LLAMA_TOKEN_ATTR_CONTROL)

    def _sort_tokens(self) -> None:
        """Tell control tokens from text by their types in the file.

        llama.cpp makes some strings control tokens wherever they are, such as the `</s>` that is a
        tag of HTML to Gemma 3; the type of the file stays beside that. Others it makes text, which
        look like control tokens (those of gpt-oss).
        """
        llama = self._llama
        text = llama.LLAMA_TOKEN_ATTR_NORMAL | llama.LLAMA_TOKEN_ATTR_USER_DEFINED
        own = {self.named.get(short) for short in ("bos", "eos", "eot")}
        for token, attribute in enumerate(self._attributes):
            if attribute == llama.LLAMA_TOKEN_ATTR_NORMAL:
                continue
            content = self.content(token)
            is_text = bool(attribute & text)
            if attribute & llama.LLAMA_TOKEN_ATTR_BYTE and _BYTE_NAME.fullmatch(content):
                self.byte_names[token] = content
            elif (
                attribute & llama.LLAMA_TOKEN_ATTR_UNKNOWN
                or (self._is_control(token) and (not is_text or token in own))
                or _LOOKS_SPECIAL.fullmatch(content)
            ):
                before, behind = llama.LLAMA_TOKEN_ATTR_LSTRIP, llama.LLAMA_TOKEN_ATTR_RSTRIP
                self.special[token] = SpecialToken(
                    content, bool(attribute & before), bool(attribute & behind)
                )
            elif not is_text:
                self.unused[token] = content
            elif self._is_control(token) and attribute & llama.LLAMA_TOKEN_ATTR_USER_DEFINED:
                self.hidden_text[content] = token

    def ends(self, token: int) -> bool:
        """Whether llama.cpp ends an answer there."""
        return bool(self._llama.llama_vocab_is_eog(self._vocab, token))

    @property
    def adds_bos(self) -> bool:
        """Whether a prompt begins with the BOS."""
        return bool(self._llama.llama_vocab_get_add_bos(self._vocab)) and "bos" in self.named

    def tokenize(self, data: bytes) -> list[int]:
        """The ids of a text in UTF-8, strings of control tokens read as plain text."""
        room = len(data) + 1  # no token is shorter than a byte
        buffer = (ctypes.c_int32 * room)()
        llama = self._llama
        count = llama.llama_tokenize(self._vocab, data, len(data), buffer, room, False, False)
        return buffer[: max(count, 0)]

    def content(self, token: int) -> str:
        """What the file calls a token."""
        return str(self._llama.llama_vocab_get_text(self._vocab, token).decode(errors="replace"))

    def starts_with_whitespace(self, token: int) -> bool | None:
        """Told by the first character of what the file calls a token; None: it must be read."""
        if self._attributes[token] != self._llama.LLAMA_TOKEN_ATTR_NORMAL:
            return None
        content = self._llama.llama_vocab_get_text(self._vocab, token)
        if content[:1].isalnum():
            return False
        return True if content.startswith(self._blank) else None

    def read(self, token: int) -> bytes | None:
        """The bytes that a token adds to a text; None if there is no such token."""
        if not 0 <= token < self.size or token in self.unused:
            return None
        if token in self.byte_names:
            return bytes([int(self.byte_names[token][3:5], 16)])
        piece = self._piece(token)
        if _NO_BYTE in piece:  # a character that stands for no byte
            return self.content(token).encode()
        # Of added tokens llama.cpp gives the content as it is.
        return piece.replace(BLANK.encode(), b" ") if self.has_blanks else piece

    def _piece(self, token: int) -> bytes:
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            length = self._llama.llama_token_to_piece(self._vocab, token, buffer, room, 0, True)
            if length >= 0:
                return buffer.raw[:length]
            room = -length


def _metadata(llama: Any, model: Any) -> dict[str, str]:
    """What the file says of itself, arrays left out."""
    found = {}
    for at in range(llama.llama_model_meta_count(model)):
        key = _grown(llama.llama_model_meta_key_by_index, model, at)
        found[key] = _grown(llama.llama_model_meta_val_str_by_index, model, at)
    return found


def _grown(get: Callable[..., int], *args: Any) -> str:
    """What a function writes into a buffer that is large enough."""
    room = 256
    while True:
        buffer = ctypes.create_string_buffer(room)
        length = get(*args, buffer, room)
        if length < room:
            return buffer.value.decode(errors="replace")
        room = length + 1
