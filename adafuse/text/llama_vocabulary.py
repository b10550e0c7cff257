"""Texts in the vocabulary of a GGUF file, through llama.cpp: no other reading of it is needed.

llama.cpp puts a blank before texts in some vocabularies, and lets plain text grow into control
tokens in others. Neither is exact, so a model is loaded with `overrides`, and what comes out of a
text is checked against it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from adafuse.errors import UnsupportedTokenizerError
from adafuse.text.gguf_tokens import GgufTokens, llama_library
from adafuse.text.vocabulary import BLANK, Vocabulary

__all__ = ["LlamaVocabulary", "overrides"]

_BLANK_FIRST = "tokenizer.ggml.add_space_prefix"
_TEMPLATE = "tokenizer.chat_template"
# llama.cpp splits texts of many byte-level vocabularies with std::regex, which runs out of stack,
# and ends the process, over some 25,000 characters in one piece.
_LONG_RUN = re.compile(r"(\S{8000}|\s{8000})")


def overrides() -> Any:
    """What `llama_model_params.kv_overrides` must be for a model whose vocabulary is read here.

    Keep it until the model is loaded. It turns off the blank that llama.cpp would put before every
    text, and behind every added token in it.
    """
    library = llama_library()
    entries = (library.llama_model_kv_override * 2)()  # the second ends them
    entries[0].key = _BLANK_FIRST.encode()
    entries[0].tag = library.LLAMA_KV_OVERRIDE_TYPE_BOOL
    entries[0].value.val_bool = False
    return entries


class LlamaVocabulary(Vocabulary):
    """The vocabulary of a loaded model: SentencePiece, byte-level BPE or Unigram.

    Args:
        model: a `llama_model_p` loaded with `overrides`, with its weights or `vocab_only`; the
            caller keeps it loaded for as long as this is used.
        name: of the member, for errors.

    Raises:
        UnsupportedTokenizerError: another kind of tokenizer, or one that reads texts inexactly.
        MissingExtraError: llama-cpp-python is not installed.
    """

    def __init__(self, model: Any, name: str) -> None:
        self.model = model
        self._name = name
        self._tokens = tokens = GgufTokens(model, name)
        self.size = tokens.size
        self.special = tokens.special
        default = "true" if tokens.sentencepiece else "false"
        self._blank_first = tokens.metadata.get(_BLANK_FIRST, default) == "true"
        self._byte_ids = {int(c[3:5], 16): token for token, c in tokens.byte_names.items()}
        every_byte = len(self._byte_ids) == 256 and not tokens.unigram
        self.has_all_bytes = every_byte or not tokens.has_blanks
        unknown = None if self.has_all_bytes else tokens.named.get("unk")
        hidden = {t: special.content for t, special in tokens.special.items() if t != unknown}
        self._hidden = hidden | tokens.unused  # what no text may turn into
        self._spelt = self._unreadable()
        self._bytes: dict[int, bytes] = {}  # of tokens that texts were read as

    @property
    def end_ids(self) -> Collection[int]:
        """The file's end of a text and of a turn, and every control token that ends answers."""
        ends = {t for t in self.special if self._tokens.ends(t)}
        return ends | {t for short, t in self._tokens.named.items() if short in ("eos", "eot")}

    @property
    def names(self) -> Mapping[str, str]:
        named = {
            f"{short}_token": self._tokens.content(t) for short, t in self._tokens.named.items()
        }
        return {name: content for name, content in named.items() if name != "eot_token"}

    @property
    def chat_template(self) -> str | Mapping[str, str] | None:
        templates = {
            key.removeprefix(_TEMPLATE).removeprefix(".") or "default": text
            for key, text in self._tokens.metadata.items()
            if key == _TEMPLATE or key.startswith(f"{_TEMPLATE}.")
        }
        return templates["default"] if [*templates] == ["default"] else templates or None

    def read(self, token: int) -> bytes | None:
        return self._tokens.read(token)

    def has_ids_below(self, count: int) -> bool:
        return self.size <= count

    def whitespace_starts(self, count: int) -> list[bool | None]:
        """Told by the first characters of tokens: most show it at once."""
        shown = map(self._tokens.starts_with_whitespace, range(min(count, self.size)))
        return [*shown, *[None] * (count - self.size)]

    def encode(self, text: str) -> list[int]:
        if self._spelt is None:
            return self._encode_readable(text)
        ids: list[int] = []
        for at, part in enumerate(self._spelt.split(text)):
            ids += self._spell(part) if at % 2 else self._encode_readable(part)
        return ids

    def encode_start(self, text: str, *, special_tokens: bool) -> list[int]:
        first = [self._tokens.named["bos"]] if special_tokens and self._tokens.adds_bos else []
        return first + self.encode_between(text)

    def encode_between(self, text: str) -> list[int]:
        # llama.cpp has the blank behind every special token, not only at the start.
        return self.encode(" " + text if text and self._blank_first else text)

    def _unreadable(self) -> re.Pattern[str] | None:
        """Finds what llama.cpp does not read as the file has it: it is spelt out then."""
        patterns = [
            re.escape(content)
            for content in sorted(self._tokens.hidden_text, key=len, reverse=True)
        ]
        if self._tokens.has_blanks and self.has_all_bytes:
            patterns.append(f"{BLANK}+")  # no piece has one
        elif self._tokens.sentencepiece:  # llama.cpp ends the process over other characters
            contents = map(self._tokens.content, range(self.size))
            single = "".join(content for content in contents if len(content) == 1)
            patterns.append(f"[^{re.escape(single.replace(BLANK, ' '))}]+")
        return re.compile(f"({'|'.join(patterns)})") if patterns else None

    def _spell(self, text: str) -> list[int]:
        """The ids of what `_unreadable` finds: a token, or bytes, or the unknown token."""
        if text in self._tokens.hidden_text:
            return [self._tokens.hidden_text[text]]
        if self.has_all_bytes:
            return [self._byte_ids[byte] for byte in text.encode()]
        return [self._tokens.named["unk"]] * len(text) if "unk" in self._tokens.named else []

    def _encode_readable(self, text: str) -> list[int]:
        """Encode, and once more in parts where something became what no text may become."""
        ids: list[int] = []
        parts = [text] if self._tokens.has_blanks else _LONG_RUN.split(text)
        waiting = [part.encode() for part in reversed(parts)]
        while waiting:
            part = waiting.pop()
            read = self._tokens.tokenize(part)
            if cuts := self._cuts(part, read):
                pairs = zip([0, *cuts], [*cuts, len(part)], strict=True)
                waiting += reversed([part[start:end] for start, end in pairs])
            else:
                ids += [token for token in read if token not in self._hidden]
        return ids

    def _join(self, ids: Iterable[int]) -> bytes:
        known = self._bytes
        for token in ids:
            if token not in known:
                known[token] = self._tokens.read(token) or b""
        return b"".join(known[token] for token in ids)

    def _cuts(self, data: bytes, ids: list[int]) -> list[int]:
        """Where to cut a text so that its parts are read rightly; empty if it is, or cannot be.

        Some vocabularies let `<s>` or `<0x0A>` in a text grow into the control token or the byte.
        Cut behind its first character, it cannot.
        """
        hidden = self._hidden.keys() & set(ids)
        if not hidden and (not self.has_all_bytes or self._join(ids) == data):
            return []
        names = [self._hidden[token] for token in hidden]
        names += [
            self._tokens.byte_names[token] for token in set(ids) & self._tokens.byte_names.keys()
        ]
        cuts = set()
        for name in names:
            shown = (name.replace(BLANK, " ") if self._tokens.has_blanks else name).encode()
            inside = len(shown.decode()[:1].encode())
            cuts |= {match.start() + inside for match in re.finditer(re.escape(shown), data)}
        return sorted(cuts - {0, len(data)})

    def check(self, probes: Collection[str], text_of: Callable[[list[int]], str]) -> None:
        if self._join(self.encode("a")).startswith(b" "):
            raise ValueError("the model was loaded without `overrides`")
        if not self.encode("x"):
            raise UnsupportedTokenizerError(
                f"member {self._name!r}: the vocabulary of its GGUF file is empty"
            )
        for probe in probes if self.has_all_bytes else ():
            if (read := text_of(self.encode(probe))) != probe:
                raise UnsupportedTokenizerError(
                    f"member {self._name!r}: the tokenizer of its GGUF file reads {probe!r} as "
                    f"{read!r}; its texts cannot be joined exactly"
                )
