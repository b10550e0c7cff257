"""The vocabulary of a fast tokenizer of transformers."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

from adafuse.errors import UnsupportedTokenizerError
from adafuse.text.pipeline import (
    byte_decoding,
    plain_copy,
    prefixes_first_piece_only,
    without_blank,
)
from adafuse.text.vocabulary import BLANK, SpecialToken, Vocabulary

__all__ = ["FastTokenizerVocabulary"]

_BYTE_PIECE = re.compile("<0x[0-9A-F]{2}>")


class FastTokenizerVocabulary(Vocabulary):
    """Byte-level BPE, or SentencePiece-style BPE or Unigram; errors as of `TokenCodec`."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            raise UnsupportedTokenizerError(
                f"member {name!r}: {type(tokenizer).__name__} has no fast tokenizers backend; "
                "convert it to a tokenizer.json"
            )
        self.tokenizer = tokenizer
        self._name = name
        self._byte_level, self._byte_fallback = byte_decoding(backend, name)
        self.has_all_bytes = self._byte_level or self._byte_fallback
        alphabet: dict[int, str] = bytes_to_unicode()  # type: ignore[no-untyped-call]
        self._byte_of = {char: byte for byte, char in alphabet.items()}
        added = tokenizer.added_tokens_decoder
        self._added = {id_: self._literal(token.content) for id_, token in added.items()}
        self.special = {
            id_: SpecialToken(token.content, token.lstrip, token.rstrip)
            for id_, token in added.items()
            if token.special
        }
        # Private copies: the flags of the caller's tokenizer stay as they are.
        self._start = plain_copy(backend, {id_: one.content for id_, one in self.special.items()})
        self._continuation = without_blank(self._start)
        self._blank_at_start_only = prefixes_first_piece_only(backend)
        self.size = 1 + max(
            self._start.get_vocab_size(with_added_tokens=True), max(self._added, default=0)
        )

    @property
    def end_ids(self) -> Collection[int]:
        end = self.tokenizer.eos_token_id
        return () if end is None else (end,)

    @property
    def names(self) -> Mapping[str, str]:
        return self.tokenizer.special_tokens_map

    @property
    def chat_template(self) -> str | Mapping[str, str] | None:
        template: str | Mapping[str, str] | None = self.tokenizer.chat_template
        return template

    def read(self, token: int) -> bytes | None:
        if token in self._added:
            return self._added[token]
        piece = self._start.id_to_token(token)
        if piece is None:
            return None
        if self._byte_level:
            try:
                return bytes(map(self._byte_of.__getitem__, piece))
            except KeyError:  # a character that stands for no byte
                return piece.encode()
        if self._byte_fallback and _BYTE_PIECE.fullmatch(piece):
            return bytes([int(piece[3:5], 16)])
        return piece.replace(BLANK, " ").encode()

    def _literal(self, content: str) -> bytes:
        """An added token's text; SentencePiece writes its spaces there too (Gemma's blank runs)."""
        return (content if self._byte_level else content.replace(BLANK, " ")).encode()

    def whitespace_starts(self, count: int) -> list[bool | None]:
        """Told by the first characters of pieces: most show it at once."""
        pieces = list(map(self._start.id_to_token, range(count)))
        shown = {first: self._shows_whitespace(first) for first in {(p or "")[:1] for p in pieces}}
        flags = [shown[(piece or "")[:1]] for piece in pieces]
        for id_ in self._added:
            if id_ < count:
                flags[id_] = None
        return flags

    def _shows_whitespace(self, first: str) -> bool | None:
        """Whether any piece with this first character begins with whitespace; None: it depends."""
        if self._byte_level:
            return False if first.isascii() and first.isalnum() else None
        if not first or first == "<":  # no piece, or perhaps a byte's name
            return None
        return first == BLANK or first.isspace()

    def has_ids_below(self, count: int) -> bool:
        size = self._start.get_vocab_size(with_added_tokens=True)
        return size <= count and None not in map(self._start.id_to_token, range(size))

    def encode(self, text: str) -> list[int]:
        return self._continuation.encode(text, add_special_tokens=False).ids

    def encode_start(self, text: str, *, special_tokens: bool) -> list[int]:
        encoding = self._start.encode(text, add_special_tokens=special_tokens)
        ids, added = encoding.ids, encoding.special_tokens_mask
        while special_tokens and ids and added[len(ids) - 1]:
            ids = ids[:-1]
        return ids

    def encode_between(self, text: str) -> list[int]:
        tokenizer = self._continuation if self._blank_at_start_only else self._start
        return tokenizer.encode(text, add_special_tokens=False).ids

    def check(self, probes: Collection[str], text_of: Callable[[list[int]], str]) -> None:
        """Refuse a tokenizer whose decoding is not the joining of bytes: nothing could be exact."""
        anchor = self.encode("x: ") or self.encode("x")
        if not anchor:
            raise UnsupportedTokenizerError(
                f"member {self._name!r}: its tokenizer is empty; are its files there?"
            )
        for probe in probes:
            ids = [t for t in self.encode(probe) if t not in self.special]
            decoded = self._decode([*anchor, *ids]).removeprefix(self._decode(anchor))
            if decoded != (joined := text_of(ids)):
                raise UnsupportedTokenizerError(
                    f"member {self._name!r}: {type(self.tokenizer).__name__} decodes {decoded!r} "
                    f"where its tokens join to {joined!r}; its texts cannot be joined exactly"
                )

    def _decode(self, ids: list[int]) -> str:
        return str(
            self.tokenizer.decode(
                ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )
