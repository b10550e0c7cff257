"""Where a word ends (DESIGN 3.1): pure text rules over the bytes of tokens.

A word is leading whitespace plus a run of non-whitespace. This module knows nothing of models or
tokenizers: it is told each token's bytes, and what the next greedy token looks like.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass

import regex

__all__ = [
    "Word",
    "bare_words",
    "count_words",
    "decode",
    "split_words",
    "starts_with_whitespace",
    "unspaced",
]

# Scripts written without spaces; Script_Extensions, so that shared punctuation counts too.
_SCRIPTS = (
    r"\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{scx=Thai}\p{scx=Lao}\p{scx=Khmer}"
    r"\p{scx=Myanmar}"
)
_UNSPACED = regex.compile(f"[{_SCRIPTS}]")
_WORD = regex.compile(f"[{_SCRIPTS}]|[^{_SCRIPTS}]+")
_SPACED_WORD = re.compile(r"\s*\S+|\s+$")
_REPLACEMENT = "\ufffd"
_Utf8Decoder = codecs.getincrementaldecoder("utf-8")


def bare_words(text: str) -> list[str]:
    """The words of a text, by itself: what whitespace parts, and every unspaced character."""
    return [word for part in text.split() for word in _WORD.findall(part)]


def count_words(text: str) -> int:
    """How many `bare_words` a text has."""
    return len(bare_words(text))


def split_words(text: str) -> tuple[str, ...]:
    """A text in words, each with the whitespace before it; whitespace at the end stands alone."""
    return tuple(_SPACED_WORD.findall(text))


def unspaced(character: str) -> bool:
    """Whether a character belongs to a script written without spaces."""
    return _UNSPACED.match(character) is not None


def decode(data: bytes) -> tuple[str, bytes, int]:
    """Decode UTF-8 as far as it goes.

    Returns the text of the complete characters; the bytes of a character that is not finished yet;
    and how many U+FFFD stand for bytes that can no longer become valid (as in Python's decoder).
    """
    decoder = _Utf8Decoder("replace")
    text = decoder.decode(data)
    pending = decoder.getstate()[0]
    if _REPLACEMENT not in text:
        return text, pending, 0
    return text, pending, text.count(_REPLACEMENT) - data.count(_REPLACEMENT.encode())


def starts_with_whitespace(data: bytes) -> bool:
    """Whether a token's bytes begin with a whitespace character (`str.isspace`)."""
    if data and data[0] < 0x80:  # ASCII is itself: asked of every id of a vocabulary
        return chr(data[0]).isspace()
    return decode(data)[0][:1].isspace()


@dataclass(frozen=True, slots=True)
class Word:
    """A word being read token by token; each `read` gives a new one."""

    text: str = ""  # its complete characters
    pending: bytes = b""  # of a character that is not finished yet
    tokens: int = 0
    whole_text: str = ""  # at the last token that left no character unfinished
    whole_tokens: int = 0  # up to there

    @classmethod
    def of(cls, pieces: Iterable[bytes]) -> Word:
        """The word that tokens with these bytes spell."""
        word = cls()
        for piece in pieces:
            word = word.read(piece)
        return word

    def read(self, data: bytes) -> Word:
        """The word after one more token with these bytes."""
        more, pending, _ = decode(self.pending + data)
        text, tokens = self.text + more, self.tokens + 1
        if pending:
            return Word(text, pending, tokens, self.whole_text, self.whole_tokens)
        return Word(text, b"", tokens, text, tokens)

    def without_pending(self) -> Word:
        """The word without the tokens of an unfinished character."""
        return Word(self.whole_text, b"", self.whole_tokens, self.whole_text, self.whole_tokens)

    @property
    def has_body(self) -> bool:
        """Whether it has a non-whitespace character."""
        return bool(self.text) and not self.text.isspace()

    @property
    def decided(self) -> bool:
        """Whether its last decision was made: it has a body, or began an unfinished character."""
        return bool(self.pending) or self.has_body

    def complete(self, max_tokens: int) -> bool:
        """Whether it is complete whatever token comes next."""
        if self.pending:
            return False
        if self.tokens >= max_tokens:
            return True
        body = self.text.lstrip()
        if not body:
            return False
        return any(map(str.isspace, body)) or unspaced(body[-1])
