"""Text and ids of one tokenizer: bytes of a token, and the ids of a text as a continuation.

Joining is by bytes, so nothing is split, stripped or re-spaced on the way (DESIGN 3.1 and 3.4).
This module knows nothing of prompts, templates or models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from transformers import PreTrainedTokenizerBase

from adafuse.errors import PromptError, UnsupportedTokenizerError
from adafuse.events import Loss
from adafuse.text.fast_tokenizer import FastTokenizerVocabulary
from adafuse.text.vocabulary import Vocabulary
from adafuse.text.words import decode, starts_with_whitespace

__all__ = ["END_STRINGS", "TokenCodec", "check_prompt", "check_tokenizer"]

END_STRINGS = ("<|endoftext|>", "<|im_end|>", "<end_of_turn>", "<|eot_id|>", "<eos>", "</s>")
"""Strings that end an answer wherever a tokenizer holds them as special added tokens."""

_NO_TOKEN = "\ufffd".encode()  # ids of a padded vocabulary that the tokenizer has no text for
_PROBES = ("Hello, world", " two  blanks", "\n\tif x < 5:\n", "naïve 日本語 ไทย 👩‍🔬 e\u0301")


class TokenCodec:
    """Text and ids of one vocabulary: byte-level BPE, or SentencePiece-style BPE or Unigram.

    Args:
        tokenizer: a fast tokenizer, or the vocabulary of another library.
        name: of the member, for errors.

    Raises:
        UnsupportedTokenizerError: WordPiece, a tokenizer without the fast backend, or one whose
            own decoding is not the joining of its tokens' bytes.

    Attributes:
        vocabulary: where tokens and ids come from.
        special: contents of added tokens with special=True, by id.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase | Vocabulary, name: str) -> None:
        self._name = name
        self._bytes: dict[int, bytes] = {}
        self._spaced: dict[int, bool] = {}
        if isinstance(tokenizer, Vocabulary):
            self.vocabulary = tokenizer
        else:
            self.vocabulary = FastTokenizerVocabulary(tokenizer, name)
        self.special = {id_: token.content for id_, token in self.vocabulary.special.items()}
        self.vocabulary.check(_PROBES, self.text)

    def end_ids(self, generation_eos: int | Iterable[int] | None) -> frozenset[int]:
        """Every id that ends an answer: the generation config's, the tokenizer's, END_STRINGS."""
        ids = {generation_eos} if isinstance(generation_eos, int) else set(generation_eos or ())
        ids.update(self.vocabulary.end_ids)
        ids.update(id_ for id_, content in self.special.items() if content in END_STRINGS)
        return frozenset(map(int, ids))

    def token_bytes(self, token: int) -> bytes:
        """The bytes that a token adds to a text; of an added token, its literal content."""
        if (data := self._bytes.get(token)) is None:
            data = self.vocabulary.read(token)
            data = self._bytes[token] = _NO_TOKEN if data is None else data
        return data

    def text_tokens(self) -> list[bytes]:
        """The bytes of every id that may be text; empty for special and unknown ids."""
        if not self.vocabulary.has_all_bytes:
            raise UnsupportedTokenizerError(
                f"member {self._name!r}: its tokenizer has no byte fallback, so it cannot write "
                "every text that a grammar may ask for; leave it out of constrained answers"
            )
        ids = range(self.vocabulary.size)
        tokens = [b"" if id_ in self.special else self.token_bytes(id_) for id_ in ids]
        return [b"" if data is _NO_TOKEN else data for data in tokens]

    def starts_with_whitespace(self, token: int) -> bool:
        """Whether the token's text begins with whitespace."""
        if (spaced := self._spaced.get(token)) is None:
            spaced = self._spaced[token] = starts_with_whitespace(self.token_bytes(token))
        return spaced

    def whitespace_starts(self, count: int) -> list[bool]:
        """`starts_with_whitespace` of the first `count` ids, without reading them all."""
        return [
            self.starts_with_whitespace(id_) if flag is None else flag
            for id_, flag in enumerate(self.vocabulary.whitespace_starts(count))
        ]

    def has_ids_below(self, count: int) -> bool:
        """Whether its ids are those from 0 on, without a gap, and none is `count` or more."""
        return self.vocabulary.has_ids_below(count)

    def join(self, tokens: Iterable[int]) -> bytes:
        """The bytes of several tokens."""
        return b"".join(map(self.token_bytes, tokens))

    def text(self, tokens: Iterable[int]) -> str:
        """The text of tokens, without a last character that is not finished."""
        return decode(self.join(tokens))[0]

    def loss_of(
        self, text: str, tokens: Iterable[int], *, blanks_before: bool = False
    ) -> Loss | None:
        """How the tokens of a text read, where the tokenizer cannot hold it exactly; else None.

        They may have `blanks_before` the text: some tokenizers put one there, and a chat answer
        leaves out those that were drafted.
        """
        reads = self.text(tokens)
        expected = text.rjust(len(reads)) if blanks_before else text
        return None if reads == expected else Loss(text, reads)

    def replaced(self, tokens: Iterable[int]) -> int:
        """How many U+FFFD in the text of tokens stand for bytes that are no UTF-8."""
        tokens = list(tokens)
        unknown = sum(self.token_bytes(t) is _NO_TOKEN for t in tokens)
        return decode(self.join(tokens))[2] + unknown

    def whole_prefix(self, tokens: Sequence[int]) -> list[int]:
        """The longest run of first tokens that leaves no character unfinished."""
        prefix = list(tokens)
        while prefix and decode(self.join(prefix))[1]:
            prefix.pop()
        return prefix

    def encode(self, text: str) -> list[int]:
        """Encode a text that continues another: no special tokens, no blank put before it.

        Strings of special tokens are read as plain text. The ids depend on `text` alone.
        """
        return self.vocabulary.encode(text)

    def encode_start(self, text: str, *, special_tokens: bool = False) -> list[int]:
        """Encode a text that begins a prompt, special strings read as plain text.

        With `special_tokens` the tokenizer's own come first (a BOS); any that it would put at the
        end, such as T5's `</s>`, are left off, since the answer goes on from there.
        """
        return self.vocabulary.encode_start(text, special_tokens=special_tokens)

    def encode_between(self, text: str) -> list[int]:
        """Encode what stands after a special token in a prompt, special strings as plain text.

        Some tokenizers put their blank before every such piece, others only at the very start.
        """
        return self.vocabulary.encode_between(text)


def check_tokenizer(
    tokenizer: PreTrainedTokenizerBase, codec: TokenCodec, rows: int, name: str
) -> None:
    """Refuse a tokenizer that gives ids which its model, of so many rows, does not have.

    Padded models have more rows than there are tokens, which is fine. Some tokenizers have a few
    added tokens more than the model has rows (a padding token, Gemma's image token): fine too,
    unless any text can hold one, or it begins every prompt, or ends an answer.
    """
    if tokenizer.vocab_size > rows:
        raise UnsupportedTokenizerError(
            f"member {name!r}: its tokenizer has {tokenizer.vocab_size} ids but its model {rows}; "
            "they do not belong together"
        )
    if codec.has_ids_below(rows):
        return
    beyond = {id_: token for token, id_ in tokenizer.get_vocab().items() if id_ >= rows}
    always = {*codec.encode_start("x", special_tokens=True), tokenizer.eos_token_id}
    for id_, token in sorted(beyond.items()):
        if id_ not in codec.special or id_ in always:
            raise UnsupportedTokenizerError(
                f"member {name!r}: its tokenizer has {token!r} as id {id_}, but its model has only "
                f"{rows} ids; resize the model's embeddings, or use the tokenizer it came with"
            )


def check_prompt(ids: Iterable[int], codec: TokenCodec, rows: int, name: str) -> None:
    """Raise PromptError for a token, out of the chat template, that the model does not have."""
    for id_ in ids:
        if id_ >= rows:
            raise PromptError(
                f"member {name!r}: its prompt has {codec.special.get(id_, '?')!r}, id {id_}, but "
                f"its model has only {rows} ids; give the member another chat_template"
            )
