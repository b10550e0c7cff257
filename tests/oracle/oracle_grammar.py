"""What a grammar says of texts, for the oracle: "Constrained answers" of docs/decoding.md.

Every question is put to a fresh llguidance matcher that reads the text from its start, byte by
byte: nothing is rolled back, and no state is kept. Knows neither members nor models, and uses none
of the package's code.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import llguidance
from llguidance._tokenizer import TokenizerWrapper

from oracle_repetition import closing


class Vocabulary:
    """Tokens as llguidance wants them, with one more for every byte: any text can be read."""

    bos_token_id = None

    def __init__(self, tokens: Sequence[bytes], encode: Callable[[str], list[int]]) -> None:
        self.size = len(tokens)
        self.end = self.eos_token_id = self.size + 256
        self.special_token_ids = [self.end]
        self.tokens = [*tokens, *(bytes([byte]) for byte in range(256)), b"<end>"]
        self.encode = encode
        self.numbers = {data: number for number, data in enumerate(tokens) if data}
        wrapper = TokenizerWrapper(self)
        self.tokenizer = llguidance.LLTokenizer(wrapper, len(self.tokens), self.end)

    def __call__(self, data: bytes) -> list[int]:
        """The tokens of a text that is forced."""
        ids = self.encode(data.decode())
        if b"".join(self.tokens[number] for number in ids) == data:
            return ids
        ids = []  # the tokenizer writes something else: the longest of its tokens that write this
        while data:
            longest = next(data[:n] for n in range(len(data), 0, -1) if data[:n] in self.numbers)
            ids.append(self.numbers[longest])
            data = data[len(longest) :]
        return ids

    def read(self, grammar: str, data: bytes) -> tuple[Any, int]:
        """A matcher that has read what it can of some bytes, and how many those are."""
        matcher = llguidance.LLMatcher(self.tokenizer, grammar, log_level=0)
        count = matcher.try_consume_tokens([self.size + byte for byte in data])
        assert not matcher.is_error(), matcher.get_error()
        return matcher, count

    def after(self, grammar: str, data: bytes) -> tuple[bool, set[int]] | None:
        """Whether a sentence is whole, and which ids may follow; None: it is no such beginning."""
        matcher, count = self.read(grammar, data)
        if count < len(data):
            return None
        mask = int.from_bytes(matcher.compute_bitmask(), "little")
        allowed = {number for number in range(self.size) if mask >> number & 1}
        return bool(mask >> self.end & 1), allowed


def goes_on(end: str, byte: int) -> bool:
    """Whether a byte goes on where something has to close."""
    return byte != ord(end) if end == '"' else bool(end) and byte == ord(",")


class Grammar:
    """A grammar and, where the answer is free at first, the text from which on it holds."""

    def __init__(self, grammar: str, trigger: str | None = None, guarded: bool = False) -> None:
        self.grammar, self.trigger, self.guarded = grammar, trigger, guarded
        single = [bytes([byte]) for byte in range(256)]
        self.bytes = Vocabulary(single, lambda text: list(text.encode()))  # an id is its byte

    def sentence(self, answer: bytes) -> bytes | None:
        """The part of an answer that the grammar describes; None while it is free."""
        if self.trigger is None:
            return answer
        at = answer.find(self.trigger.encode())
        return answer[at:] if at >= 0 else None

    def longest(self, answer: str, span: str) -> str:
        """The longest beginning of a span that may follow the answer."""
        for length in range(len(span), 0, -1):
            sentence = self.sentence((answer + span[:length]).encode())
            if sentence is None:
                return span[:length]
            fits = self.bytes.read(self.grammar, sentence)[1] == len(sentence)
            if fits and not self.runs_on(sentence, span[:length].encode()):
                return span[:length]
        return ""

    def runs_on(self, sentence: bytes, span: bytes) -> bool:
        """Whether something should have closed before one of the last bytes, which are a span."""
        if not self.guarded:
            return False
        first = max(len(sentence) - len(span), 0)
        ends = (
            (self.must_close(sentence[:at]), sentence[at]) for at in range(first, len(sentence))
        )
        return any(goes_on(end, byte) for end, byte in ends)

    def must_close(self, sentence: bytes) -> str:
        """The character that has to come, or before any comma, and may; empty if none has to."""
        end = closing(sentence) if self.guarded else ""
        after = self.bytes.after(self.grammar, sentence) if end else None
        return end if after is not None and ord(end) in after[1] else ""

    def whole(self, answer: str) -> bool:
        """Whether an answer may end here."""
        return self._following(answer.encode())[0]

    def complete(self, answer: str) -> bool:
        """Whether it may, and nothing can follow."""
        return self._following(answer.encode()) == (True, set())

    def forced(self, answer: str) -> str:
        """The whole words that must follow, up to the last blank or the end of the answer."""
        data = answer.encode()
        while True:
            whole, following = self._following(data)
            if whole or len(following) != 1:
                break
            data += bytes(following)
        text = data[len(answer.encode()) :].decode(errors="ignore")
        if whole and not following:
            return text
        return text[: max((blank.start() for blank in re.finditer(r"\s+", text)), default=0)]

    def _following(self, answer: bytes) -> tuple[bool, set[int]]:
        """Whether an answer may end, and which bytes may follow."""
        sentence = self.sentence(answer)
        if sentence is None:
            return True, set(range(256))
        after = self.bytes.after(self.grammar, sentence)
        assert after is not None, answer
        return after


class Masks:
    """Which of one tokenizer's tokens a grammar allows."""

    def __init__(
        self, grammar: Grammar, tokens: Sequence[bytes], encode: Callable[[str], list[int]]
    ) -> None:
        self.grammar = grammar
        self.vocabulary = Vocabulary(tokens, encode)

    def allowed(self, answer: str, span: bytes, ends: set[int]) -> set[int] | None:
        """The ids that may follow an answer and a drafted span; None: all of them."""
        sentence = self.grammar.sentence(answer.encode() + span)
        if sentence is None:
            return None
        after = self.vocabulary.after(self.grammar.grammar, sentence)
        if after is None:
            return set()
        whole, following = after
        if self.grammar.runs_on(sentence, span):
            return set()
        if end := self.grammar.must_close(sentence):
            tokens = self.vocabulary.tokens
            following = {number for number in following if not goes_on(end, tokens[number][0])}
        return following | ends if whole else following - ends
