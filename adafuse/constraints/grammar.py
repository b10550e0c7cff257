"""Following a grammar byte by byte: the only module that knows llguidance.

A grammar is one string for every tokenizer: each member follows it with a table of its own tokens,
and the loop with single bytes. llguidance's errors do not raise, so every answer of it is checked
here. This module knows neither schemas nor models.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from adafuse.errors import DecodingError, MissingExtraError

if TYPE_CHECKING:
    from llguidance import LLMatcher

__all__ = ["Matcher", "TokenTable", "byte_table", "problem_of", "regex_grammar", "with_layout"]


def _library(what: str = "a constrained answer") -> Any:
    try:
        import llguidance
    except ImportError as error:
        raise MissingExtraError(what, "constrained") from error
    return llguidance


class _Vocabulary:
    """What llguidance asks of a tokenizer."""

    bos_token_id = None

    def __init__(self, tokens: list[bytes], encode: Callable[[str], list[int]]) -> None:
        self.tokens = tokens
        self.eos_token_id = len(tokens) - 1
        self.special_token_ids = [self.eos_token_id]
        self._encode = encode

    def __call__(self, text: str | bytes) -> list[int]:
        """Tokenise a text that the grammar forces; bytes are refused, which llguidance tries."""
        if isinstance(text, bytes):
            raise TypeError("text only")
        return self._encode(text)


class TokenTable:
    """The tokens of one vocabulary as bytes, with a token more for every byte and one for the end.

    Those extra tokens let a matcher follow any text, however a tokenizer would split it. `tokens`
    are the bytes of each id, empty for ids that are no text; `encode` splits a text that goes on.
    """

    def __init__(self, tokens: Sequence[bytes], encode: Callable[[str], list[int]]) -> None:
        library = _library()
        self.size = len(tokens)
        self._tokens = tokens
        self._encode = encode
        self._beginnings: dict[bytes, int] = {}  # by a byte, the ids that begin with it
        vocabulary = [*tokens, *(bytes([byte]) for byte in range(256)), b"<end>"]
        self.end = len(vocabulary) - 1
        self._tokenizer = library.LLTokenizer(
            library.TokenizerWrapper(_Vocabulary(vocabulary, self._split)),
            n_vocab=len(vocabulary),
            eos_token=self.end,
        )

    def _split(self, text: str) -> list[int]:
        ids = self._encode(text)
        data = text.encode()
        same = b"".join(self._tokens[id_] for id_ in ids) == data
        return ids if same else self._longest_tokens(data)

    def _longest_tokens(self, data: bytes) -> list[int]:
        """The longest tokens that write some bytes, where a lossy tokenizer writes others."""
        ids = []
        while data:
            lengths = range(min(len(data), self._longest), 0, -1)
            token = next((data[:n] for n in lengths if data[:n] in self._ids), data[:1])
            ids.append(self._ids.get(token, self.size + token[0]))
            data = data[len(token) :]
        return ids

    @functools.cached_property
    def _ids(self) -> dict[bytes, int]:
        return {data: id_ for id_, data in enumerate(self._tokens) if data}

    @functools.cached_property
    def _longest(self) -> int:
        return max(map(len, self._tokens), default=0)

    def byte_ids(self, data: bytes) -> list[int]:
        """The ids of the extra tokens for some bytes."""
        return [self.size + byte for byte in data]

    def holds(self, mask: bytes, byte: bytes) -> bool:
        """Whether a mask of ids allows a single byte."""
        (id_,) = self.byte_ids(byte)
        return bool(mask[id_ // 8] >> id_ % 8 & 1)

    def beginning(self, mask: bytes, byte: bytes) -> bytes:
        """What of a mask begins with a byte."""
        return self._common(mask, self._begins(byte))

    def not_beginning(self, mask: bytes, byte: bytes) -> bytes:
        """What of a mask does not."""
        return self._common(mask, ~self._begins(byte))

    def _common(self, mask: bytes, ids: int) -> bytes:
        return (int.from_bytes(mask, "little") & ids).to_bytes(len(mask), "little")

    def _begins(self, byte: bytes) -> int:
        """A bit per id whose token begins with a byte."""
        if byte not in self._beginnings:
            bits = bytearray(self.end // 8 + 1)
            ids = (id_ for id_, data in enumerate(self._tokens) if data[:1] == byte)
            for id_ in (*ids, *self.byte_ids(byte)):
                bits[id_ // 8] |= 1 << id_ % 8
            self._beginnings[byte] = int.from_bytes(bits, "little")
        return self._beginnings[byte]

    def matcher(self, grammar: str, kind: type[Matcher] | None = None) -> Matcher:
        """A matcher at the grammar's start; DecodingError where that cannot be followed."""
        inner = _library().LLMatcher(self._tokenizer, grammar, log_level=0)
        return (kind or Matcher)(self, inner)

    def problem(self, grammar: str) -> str:
        """What is wrong with a grammar, in one line; empty if nothing is."""
        failed, messages = _library().LLMatcher.validate_grammar_with_warnings(
            grammar, self._tokenizer
        )
        return _first_lines(messages[0]) if failed else ""


@functools.cache
def byte_table() -> TokenTable:
    """A vocabulary of single bytes: no tokenizer's, so it can judge every member's words."""
    return TokenTable([], lambda text: [])


class Matcher:
    """A place in a grammar, which moves as text is fed."""

    def __init__(self, table: TokenTable, matcher: LLMatcher) -> None:
        self._table = table
        self._matcher = matcher
        self._check()

    def copy(self) -> Matcher:
        """A second one at the same place."""
        return Matcher(self._table, self._matcher.deep_copy())

    def feed(self, data: bytes) -> int:
        """Move over the longest beginning of `data` that the grammar allows; return its length."""
        ids = self._table.byte_ids(data)
        allowed = self._matcher.validate_tokens(ids)
        if allowed:
            self._matcher.consume_tokens(ids[:allowed])
        self._check()
        return allowed

    @contextmanager
    def ahead(self, data: bytes) -> Iterator[int]:
        """Be as far ahead as the grammar allows, and come back; yields how many bytes that is."""
        allowed = self.feed(data)
        try:
            yield allowed
        finally:
            self.back(allowed)

    def back(self, count: int) -> None:
        """Move back over as many bytes."""
        if count:
            self._matcher.rollback(count)

    @property
    def accepting(self) -> bool:
        """Whether the text so far is a whole answer."""
        return bool(self._matcher.is_accepting())

    @property
    def complete(self) -> bool:
        """Whether it is, and nothing can follow."""
        if not self.accepting or self._matcher.is_stopped():
            return self.accepting
        # The library does not see it everywhere: in some numbers no digit is left to write.
        return int.from_bytes(self.allowed(), "little") == 1 << self._table.end

    @property
    def forced(self) -> bytes:
        """Bytes that must come next whatever the answer says."""
        return b"" if self.accepting else bytes(self._matcher.compute_ff_bytes())

    def allowed(self) -> bytes:
        """A bit per id of the table, lowest bit first: which may come next."""
        mask = bytes(self._matcher.compute_bitmask())
        self._check()
        return mask

    def _check(self) -> None:
        if self._matcher.is_error():
            reason = _first_lines(self._matcher.get_error())
            raise DecodingError(f"the grammar cannot be followed: {reason}; simplify it")


def problem_of(grammar: str) -> str:
    """What is wrong with a grammar, also where the library takes it and then allows nothing."""
    if problem := byte_table().problem(grammar):
        return problem
    try:
        matcher = byte_table().matcher(grammar)
        possible = any(matcher.allowed())
    except DecodingError as error:
        return str(error)
    return "" if possible else "nothing matches it"


def regex_grammar(regex: str) -> str:
    """The grammar of the texts that a regex matches as a whole."""
    grammar: str = _library().LLMatcher.grammar_from_regex(regex)
    return grammar


def with_layout(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema that says how its JSON is laid out: no other whitespace, so none can run on.

    No \\u either, by which a name could be spelt in a second way.
    """
    layout = {
        "whitespace_flexible": False,
        "item_separator": ", ",
        "key_separator": ": ",
        "json_allowed_escapes": 'nrbtf\\"',
    }
    return {**schema, "x-guidance": layout}


def _first_lines(message: str) -> str:
    """A message of llguidance in one line, without its dump of states."""
    text = message.split("<backtrace>")[0].split("<state>")[0]
    text = re.sub(r"(?s)\n\s*\d+ \| .*", "", text)  # an excerpt of the grammar
    line = re.sub(r"^at \d+\(\d+\): ", "", " ".join(text.split()))
    return line if len(line) <= 300 else f"{line[:297]}..."
