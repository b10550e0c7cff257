"""What a codec asks of a tokenizer, whichever library reads it.

`fast_tokenizer.py` is that of transformers, `llama_vocabulary.py` that of llama.cpp. This module
knows neither.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

__all__ = ["BLANK", "SpecialToken", "Vocabulary"]

BLANK = "▁"
"""How SentencePiece writes a space."""


@dataclass(frozen=True, slots=True)
class SpecialToken:
    """A token that is no text; in a template some swallow the whitespace beside them."""

    content: str
    lstrip: bool = False
    rstrip: bool = False


class Vocabulary(ABC):
    """The tokens of one model, and the ids of texts.

    Attributes:
        special: what is never read out of a text, by id.
        size: ids are below this.
        has_all_bytes: whether some tokens write any text at all.
    """

    special: Mapping[int, SpecialToken]
    size: int
    has_all_bytes: bool

    @property
    @abstractmethod
    def end_ids(self) -> Collection[int]:
        """Ids that end an answer by the tokenizer's own account."""

    @property
    @abstractmethod
    def names(self) -> Mapping[str, str]:
        """What chat templates call some special tokens: "bos_token" and so on, to contents."""

    @property
    @abstractmethod
    def chat_template(self) -> str | Mapping[str, str] | None:
        """The template that comes with the model, or several by name."""

    @abstractmethod
    def read(self, token: int) -> bytes | None:
        """The bytes that a token adds to a text; None if there is no such token."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """As `TokenCodec.encode`."""

    @abstractmethod
    def encode_start(self, text: str, *, special_tokens: bool) -> list[int]:
        """As `TokenCodec.encode_start`."""

    @abstractmethod
    def encode_between(self, text: str) -> list[int]:
        """As `TokenCodec.encode_between`."""

    @abstractmethod
    def has_ids_below(self, count: int) -> bool:
        """Whether its ids are those from 0 on, without a gap, and none is `count` or more."""

    @abstractmethod
    def check(self, probes: Collection[str], text_of: Callable[[list[int]], str]) -> None:
        """Refuse a vocabulary whose texts cannot be joined exactly; `text_of` joins tokens.

        Raises:
            UnsupportedTokenizerError: a probe shows it.
        """

    def whitespace_starts(self, count: int) -> list[bool | None]:
        """Whether each of the first `count` ids begins with whitespace; None: read it."""
        return [None] * count
