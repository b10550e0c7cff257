"""Text and ids of one tokenizer, as DESIGN 3.1 and 3.4 describe them, for the oracle.

Everything is read out of the tokenizer's own serialised form, and nothing here knows of models.
"""

import codecs
import copy
import itertools
import json
from collections.abc import Sequence
from typing import Any

import regex
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

Message = dict[str, str]

END_NAMES = ("<|endoftext|>", "<|im_end|>", "<end_of_turn>", "<|eot_id|>", "<eos>", "</s>")
SPACELESS = regex.compile(
    r"[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{scx=Thai}\p{scx=Lao}\p{scx=Khmer}"
    r"\p{scx=Myanmar}]"
)


def _byte_map() -> dict[str, int]:
    """GPT-2's character for each byte, the other way round."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    pairs = {chr(byte): byte for byte in shown}
    return pairs | {chr(256 + number): byte for number, byte in enumerate(hidden)}


BYTE_OF = _byte_map()


class Text:
    """One tokenizer, asked in ids and text."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer: Any = tokenizer
        self.spec = json.loads(self.tokenizer.backend_tokenizer.to_str())
        self.byte_level = '"ByteLevel"' in json.dumps(self.spec["decoder"])
        self.byte_fallback = '"ByteFallback"' in json.dumps(self.spec["decoder"])
        self.added = self.tokenizer.added_tokens_decoder
        self.has_template = bool(self.tokenizer.chat_template)
        specials = [token for token in self.spec["added_tokens"] if token["special"]]
        # A private name for each special token, of noncharacters: texts don't spell those.
        self.private = {t["content"]: f"\ufdd0{t['id']}\ufdd1" for t in specials}
        self._bytes: dict[int, bytes] = {}
        self._prompt = self._backend(self.spec)
        self._continuation = self._backend(_without_prefix(self.spec))

    # ids to text

    def token_bytes(self, token_id: int) -> bytes:
        if token_id in self.added:
            piece = str(self.added[token_id].content)
            # A SentencePiece decoder makes blanks of `▁` in these too, and Gemma counts on it.
            return (piece if self.byte_level else piece.replace("▁", " ")).encode()
        piece = self.tokenizer.backend_tokenizer.id_to_token(token_id)
        if piece is None:
            return "\ufffd".encode()
        if self.byte_level:
            known = all(character in BYTE_OF for character in piece)
            return bytes(BYTE_OF[character] for character in piece) if known else piece.encode()
        if self.byte_fallback and regex.fullmatch(r"<0x[0-9A-Fa-f]{2}>", piece):
            return bytes([int(piece[3:5], 16)])
        return str(piece).replace("▁", " ").encode()

    def plain_tokens(self) -> list[bytes]:
        """The bytes of every id; none where an id is special, or no token at all."""
        known = set(self.tokenizer.get_vocab().values())
        known -= {token["id"] for token in self.spec["added_tokens"] if token["special"]}
        return [self.token_bytes(n) if n in known else b"" for n in range(max(known) + 1)]

    def read(self, ids: Sequence[int]) -> tuple[str, bool]:
        """The text of ids, and whether a character is unfinished at their end."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for token_id in ids:
            if token_id not in self._bytes:
                self._bytes[token_id] = self.token_bytes(token_id)
        text = decoder.decode(b"".join(self._bytes[token_id] for token_id in ids))
        return text, bool(decoder.getstate()[0])

    def whole(self, ids: list[int]) -> list[int]:
        """The ids, less those of an unfinished character at their end."""
        while self.read(ids)[1]:
            ids = ids[:-1]
        return ids

    # text to ids

    def continuation(self, text: str) -> list[int]:
        return list(self._continuation.encode(text, add_special_tokens=False).ids)

    def prompt(self, prompt: str | list[Message], prompt_format: str) -> tuple[list[int], str]:
        """3.4: a prompt's ids, and whether they are a "template", a "fallback" or "raw"."""
        chat = not isinstance(prompt, str) or prompt_format == "chat"
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        if self.has_template and (chat or prompt_format == "auto"):
            return self.template_prompt(messages), "template"
        if chat:
            return self.fallback_prompt(messages), "fallback"
        return self.raw_prompt(str(prompt)), "raw"

    def raw_prompt(self, text: str) -> list[int]:
        # What a post-processor puts first, seen on some text. What it puts last is left off: an
        # answer goes on from the prompt.
        probe = self.tokenizer.backend_tokenizer.encode("a", add_special_tokens=True)
        marked = zip(probe.ids, probe.special_tokens_mask, strict=True)
        first = itertools.takewhile(lambda pair: pair[1], marked)
        ids = self._prompt.encode(text, add_special_tokens=False).ids
        return [token_id for token_id, _ in first] + list(ids)

    def fallback_prompt(self, messages: list[Message]) -> list[int]:
        lines = [f"{m['role'].capitalize()}: {m['content']}" for m in messages]
        return self.raw_prompt("\n\n".join([*lines, "Assistant:"]))

    def template_prompt(self, messages: list[Message]) -> list[int]:
        """The rendered messages, where only the template's own special strings are special.

        Those in message text are hidden from the template, the template's own then get their
        private names, and the hidden ones come back as plain text.
        """
        hidden = {name: f"\ufdd2{number}\ufdd3" for number, name in enumerate(self.private)}
        shown = [{**m, "content": _rename(m["content"], hidden)} for m in messages]
        rendered = self.tokenizer.apply_chat_template(
            shown, tokenize=False, add_generation_prompt=True
        )
        own = _rename(rendered, self.private)
        text = _rename(own, {mark: name for name, mark in hidden.items()})
        return list(self._prompt.encode(text, add_special_tokens=False).ids)

    def end_ids(self, generation_eos: int | list[int] | None) -> set[int]:
        ends = set(generation_eos) if isinstance(generation_eos, list) else {generation_eos}
        ends.add(self.tokenizer.eos_token_id)
        ends |= {i for i, t in self.added.items() if t.special and t.content in END_NAMES}
        return {end for end in ends if end is not None}

    def _backend(self, spec: dict[str, Any]) -> Tokenizer:
        """A copy in which special tokens have their private names, and nothing is added.

        The model's pieces are renamed too: Unigram finds `</s>` in plain text by its vocabulary
        alone, whatever the added tokens say.
        """
        spec = copy.deepcopy(spec)
        spec |= {"post_processor": None, "truncation": None, "padding": None}
        for token in spec["added_tokens"]:
            if token["special"]:
                token["content"] = self.private[token["content"]]
        model = spec["model"]
        rename = self.private.get
        if isinstance(model["vocab"], dict):
            model["vocab"] = {rename(piece, piece): n for piece, n in model["vocab"].items()}
        else:
            model["vocab"] = [[rename(piece, piece), score] for piece, score in model["vocab"]]
        if model.get("unk_token") is not None:
            model["unk_token"] = rename(model["unk_token"], model["unk_token"])
        return Tokenizer.from_str(json.dumps(spec))


def _rename(text: str, names: dict[str, str]) -> str:
    if not names:
        return text
    longest_first = sorted(names, key=len, reverse=True)
    pattern = "|".join(regex.escape(name) for name in longest_first)
    return str(regex.sub(pattern, lambda match: names[match.group()], text))


def _without_prefix(part: Any) -> Any:
    """A tokenizer's description without the blank that it puts before a text."""
    if isinstance(part, list):
        return [_without_prefix(p) for p in part if not _is_prepend(p)]
    if not isinstance(part, dict):
        return part
    kept = {key: _without_prefix(p) for key, p in part.items() if key not in ("model", "decoder")}
    kept = {key: None if _is_prepend(p) else p for key, p in kept.items()}
    kept |= {key: part[key] for key in ("model", "decoder") if key in part}
    if part.get("type") == "Metaspace":
        kept["prepend_scheme"] = "never"
    if part.get("type") == "ByteLevel":
        kept["add_prefix_space"] = False
    return kept


def _is_prepend(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "Prepend"
