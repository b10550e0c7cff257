"""The vocabulary of a GGUF file, as llama.cpp has read it: no other reading of the file is needed.

llama.cpp puts a blank before texts in some vocabularies, lets plain text merge into control tokens
in others, and calls some tokens control by their names alone. None of that is exact, so a model is
loaded with `overrides`, and what comes out of a text is checked against it. What a GGUF file says:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; what llama.cpp makes of it:
src/llama-vocab.cpp there.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from importlib import import_module
from typing import Any

from adafuse.errors import MissingExtraError, UnsupportedTokenizerError
from adafuse.text.vocabulary import BLANK, SpecialToken, Vocabulary

__all__ = ["LlamaVocabulary", "overrides"]

_BLANK_FIRST = "tokenizer.ggml.add_space_prefix"
_TEMPLATE = "tokenizer.chat_template"
_REFUSED = {
    0: "missing",
    3: "WordPiece",
    5: "RWKV",
    6: "PLaMo-2",
    7: "a test's",
}  # by llama_vocab_type
_SENTENCEPIECE, _BPE, _UNIGRAM = 1, 2, 4
_NAMED = {"bos": "bos", "eos": "eos", "eot": "eot", "unknown": "unk", "padding": "pad"}
_NO_BYTE = b"[UNK_BYTE_0x"  # what llama.cpp writes for it
# What converters take for a control token whatever its type in the file.
_LOOKS_SPECIAL = re.compile(r"<[|｜][^|｜<>\s]+[|｜]>")


def _library() -> Any:
    try:
        return import_module("llama_cpp")
    except ImportError as error:
        raise MissingExtraError("a member in llama.cpp", "llama-cpp") from error


def overrides() -> Any:
    """What `llama_model_params.kv_overrides` must be for a model whose vocabulary is read here.

    Keep it until the model is loaded. It turns off the blank that llama.cpp would put before every
    text, and behind every added token in it.
    """
    library = _library()
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
        self._llama = llama = _library()
        self._name = name
        self._model = model
        self._vocab = llama.llama_model_get_vocab(model)
        self._kind = llama.llama_vocab_type(self._vocab)
        if self._kind in _REFUSED:
            raise UnsupportedTokenizerError(
                f"member {name!r}: the tokenizer of its GGUF file is {_REFUSED[self._kind]}, whose "
                "texts cannot be joined exactly; use a model with a BPE or SentencePiece tokenizer"
            )
        self.size = llama.llama_vocab_n_tokens(self._vocab)
        self._metadata = _metadata(llama, model)
        # Whether pieces have ▁ for a space, so that a ▁ of the text itself has none.
        self._blanks = self._kind != _BPE or self._metadata["tokenizer.ggml.model"] == "gemma4"
        default = "true" if self._kind == _SENTENCEPIECE else "false"
        self._blank_first = self._metadata.get(_BLANK_FIRST, default) == "true"
        self._attributes = [llama.llama_vocab_get_attr(self._vocab, t) for t in range(self.size)]
        self._named = self._read_named()
        self._byte_names: dict[int, str] = {}  # contents such as <0x0A>, by id
        self._unused: dict[int, str] = {}  # padding of the vocabulary: contents by id
        self._whole: dict[str, int] = {}  # added tokens of text that llama.cpp calls control
        self.special: dict[int, SpecialToken] = {}
        self._sort_tokens()
        self._byte_ids = {int(c[3:5], 16): t for t, c in self._byte_names.items()}
        every_byte = len(self._byte_ids) == 256 and self._kind != _UNIGRAM
        self.has_all_bytes = every_byte or not self._blanks
        unknown = None if self.has_all_bytes else self._named.get("unk")
        hidden = {t: token.content for t, token in self.special.items() if t != unknown}
        self._hidden = hidden | self._unused  # what no text may turn into
        self._spelt = self._unreadable()
        self._bytes: dict[int, bytes] = {}  # of tokens that texts were read as

    def _read_named(self) -> dict[str, int]:
        """Ids by what they are for, where the file says so: llama.cpp has numbers of its own else.

        Those of a SentencePiece vocabulary without names are Llama's, and right if they are control
        tokens there; of an end of turn, llama.cpp knows the usual strings.
        """
        named = {}
        for key, short in _NAMED.items():
            given = self._metadata.get(f"tokenizer.ggml.{key}_token_id")
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
        own = {self._named.get(short) for short in ("bos", "eos", "eot")}
        for token, attribute in enumerate(self._attributes):
            if attribute == llama.LLAMA_TOKEN_ATTR_NORMAL:
                continue
            content = self._content(token)
            is_text = bool(attribute & text)
            if attribute & llama.LLAMA_TOKEN_ATTR_BYTE:
                self._byte_names[token] = content
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
                self._unused[token] = content
            elif self._is_control(token) and attribute & llama.LLAMA_TOKEN_ATTR_USER_DEFINED:
                self._whole[content] = token

    @property
    def end_ids(self) -> Collection[int]:
        """The file's end of a text and of a turn, and every control token that ends answers."""
        ends = {t for t in self.special if self._llama.llama_vocab_is_eog(self._vocab, t)}
        return ends | {t for short, t in self._named.items() if short in ("eos", "eot")}

    @property
    def names(self) -> Mapping[str, str]:
        named = {f"{short}_token": self._content(t) for short, t in self._named.items()}
        return {name: content for name, content in named.items() if name != "eot_token"}

    @property
    def chat_template(self) -> str | Mapping[str, str] | None:
        templates = {
            key.removeprefix(_TEMPLATE).removeprefix(".") or "default": text
            for key, text in self._metadata.items()
            if key == _TEMPLATE or key.startswith(f"{_TEMPLATE}.")
        }
        return templates["default"] if [*templates] == ["default"] else templates or None

    def _content(self, token: int) -> str:
        """What the file calls a token."""
        return str(self._llama.llama_vocab_get_text(self._vocab, token).decode(errors="replace"))

    def read(self, token: int) -> bytes | None:
        if not 0 <= token < self.size or token in self._unused:
            return None
        if token in self._byte_names:
            return bytes([int(self._byte_names[token][3:5], 16)])
        piece = self._piece(token)
        if _NO_BYTE in piece:  # a character that stands for no byte
            return self._content(token).encode()
        # Of added tokens llama.cpp gives the content as it is.
        return piece.replace(BLANK.encode(), b" ") if self._blanks else piece

    def _piece(self, token: int) -> bytes:
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            length = self._llama.llama_token_to_piece(self._vocab, token, buffer, room, 0, True)
            if length >= 0:
                return buffer.raw[:length]
            room = -length

    def has_ids_below(self, count: int) -> bool:
        return self.size <= count

    def encode(self, text: str) -> list[int]:
        if self._spelt is None:
            return self._encode_readable(text)
        ids: list[int] = []
        for at, part in enumerate(self._spelt.split(text)):
            ids += self._spell(part) if at % 2 else self._encode_readable(part)
        return ids

    def encode_start(self, text: str, *, special_tokens: bool) -> list[int]:
        bos = self._named.get("bos")
        adds = special_tokens and self._llama.llama_vocab_get_add_bos(self._vocab)
        ids = [bos] if adds and bos is not None else []
        return ids + self.encode_between(text)

    def encode_between(self, text: str) -> list[int]:
        # llama.cpp has the blank behind every special token, not only at the start.
        return self.encode(" " + text if text and self._blank_first else text)

    def _unreadable(self) -> re.Pattern[str] | None:
        """Finds what llama.cpp does not read as the file has it: it is spelt out then."""
        patterns = [re.escape(content) for content in sorted(self._whole, key=len, reverse=True)]
        if self._blanks and self.has_all_bytes:
            patterns.append(f"{BLANK}+")  # no piece has one
        elif self._kind == _SENTENCEPIECE:  # llama.cpp ends the process over other characters
            contents = map(self._content, range(self.size))
            single = {content for content in contents if len(content) == 1} - {BLANK}
            patterns.append(f"[^{re.escape(' '.join(single))}]+")
        return re.compile(f"({'|'.join(patterns)})") if patterns else None

    def _spell(self, text: str) -> list[int]:
        """The ids of what `_unreadable` finds: a token, or bytes, or the unknown token."""
        if text in self._whole:
            return [self._whole[text]]
        if self.has_all_bytes:
            return [self._byte_ids[byte] for byte in text.encode()]
        return [self._named["unk"]] * len(text) if "unk" in self._named else []

    def _encode_readable(self, text: str) -> list[int]:
        """Encode, and once more in parts where something became what no text may become."""
        ids: list[int] = []
        waiting = [text.encode()]
        while waiting:
            part = waiting.pop()
            read = self._tokenize(part)
            if cuts := self._cuts(part, read):
                ends = [*cuts, len(part)]
                parts = [part[start:end] for start, end in zip([0, *cuts], ends, strict=True)]
                waiting += reversed(parts)
            else:
                ids += [token for token in read if token not in self._hidden]
        return ids

    def _tokenize(self, data: bytes) -> list[int]:
        room = len(data) + 1  # no token is shorter than a byte
        buffer = (ctypes.c_int32 * room)()
        llama = self._llama
        count = llama.llama_tokenize(self._vocab, data, len(data), buffer, room, False, False)
        return buffer[: max(count, 0)]

    def _join(self, ids: Iterable[int]) -> bytes:
        known = self._bytes
        for token in ids:
            if token not in known:
                known[token] = self.read(token) or b""
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
        names += [self._byte_names[token] for token in set(ids) & self._byte_names.keys()]
        cuts = set()
        for name in names:
            shown = (name.replace(BLANK, " ") if self._blanks else name).encode()
            inside = len(shown.decode()[:1].encode())
            cuts |= {match.start() + inside for match in re.finditer(re.escape(shown), data)}
        return sorted(cuts - {0, len(data)})

    def check(self, probes: Collection[str], text_of: Callable[[list[int]], str]) -> None:
        if self._join(self._tokenize(b"a")).startswith(b" "):
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
