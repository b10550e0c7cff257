"""Tokenizers of every kind that real members have, trained on the corpus beside this file.

The same bytes come out in every process: where a trainer's choice depends on the order of a hash
table, the choice is made here. They are shared between models, so nothing may change them.
"""

import functools
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from corpus import LATIN, LINES

QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] | trim }}<|eot_id|>"
    "{% endfor %}{% if add_generation_prompt %}"
    "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
CHATML_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MISTRAL_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %}"
    " {{ m['content'] }}{{ eos_token }}{% else %}[INST] {{ m['content'] }} [/INST]"
    "{% endif %}{% endfor %}"
)


def _special(names: Iterable[str]) -> list[AddedToken]:
    return [AddedToken(name, special=True, normalized=False) for name in names]


def _plain(names: Iterable[str]) -> list[AddedToken]:
    return [AddedToken(name, special=False, normalized=False) for name in names]


def _wrap(tokenizer: Tokenizer, **names: Any) -> PreTrainedTokenizerBase:
    wrap: Any = PreTrainedTokenizerFast  # its constructor has no annotations
    wrapped: PreTrainedTokenizerBase = wrap(
        tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **names
    )
    return wrapped


def _sentencepiece_bpe(specials: Sequence[str], keep_newline: bool) -> Tokenizer:
    """BPE over `▁`-marked text with a token for each byte, numbered as SentencePiece does.

    Trained on words, since SentencePiece's pieces don't cross blanks, and rebuilt: the trainer
    cannot make byte tokens that are not special.
    """
    lines = LINES if keep_newline else [part for line in LINES for part in line.split("\n")]
    counts = Counter("".join(lines).replace(" ", "▁"))
    # Chosen here: at equal counts the trainer's own choice differs from process to process.
    alphabet = sorted(counts, key=lambda character: (-counts[character], character))[:110]
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    trainer = trainers.BpeTrainer(
        vocab_size=280,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    trained.train_from_iterator(lines, trainer)
    learnt = json.loads(trained.to_str())["model"]
    pieces = sorted(learnt["vocab"], key=learnt["vocab"].__getitem__)
    vocab = [*specials, *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={piece: number for number, piece in enumerate(vocab)},
            merges=[(left, right) for left, right in learnt["merges"]],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.add_special_tokens(_special(specials))
    return tokenizer


def _byte_level_bpe(specials: Sequence[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.add_special_tokens(_special(specials))  # after the pieces, as GPT-2 and Qwen do
    return tokenizer


def _bos(tokenizer: Tokenizer, name: str) -> processors.TemplateProcessing:
    return processors.TemplateProcessing(
        single=f"{name} $A",
        pair=f"{name} $A {name} $B",
        special_tokens=[(name, tokenizer.token_to_id(name))],
    )


@functools.cache
def llama_tokenizer() -> PreTrainedTokenizerBase:
    tokenizer = _sentencepiece_bpe(["<unk>", "<s>", "</s>"], keep_newline=False)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.post_processor = _bos(tokenizer, "<s>")
    return _wrap(tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@functools.cache
def llama3_tokenizer() -> PreTrainedTokenizerBase:
    headers = ["<|start_header_id|>", "<|end_header_id|>"]
    tokenizer = _byte_level_bpe(["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", *headers])
    tokenizer.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), _bos(tokenizer, "<|begin_of_text|>")]
    )
    return _wrap(
        tokenizer,
        bos_token="<|begin_of_text|>",
        eos_token="<|end_of_text|>",
        chat_template=LLAMA3_TEMPLATE,
    )


@functools.cache
def gpt2_tokenizer() -> PreTrainedTokenizerBase:
    tokenizer = _byte_level_bpe(["<|endoftext|>"])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    end = "<|endoftext|>"
    return _wrap(tokenizer, bos_token=end, eos_token=end, unk_token=end)


@functools.cache
def gemma3_tokenizer() -> PreTrainedTokenizerBase:
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    tokenizer = _sentencepiece_bpe(specials, keep_newline=True)
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    # Gemma's runs of blanks are added tokens spelt with `▁`, which only its decoder makes blanks.
    tokenizer.add_tokens(_plain(["\n\n", "  ", "▁▁▁"]))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.post_processor = _bos(tokenizer, "<bos>")
    return _wrap(
        tokenizer, bos_token="<bos>", eos_token="<eos>", unk_token="<unk>", pad_token="<pad>"
    )


@functools.cache
def qwen2_tokenizer() -> PreTrainedTokenizerBase:
    tokenizer = _byte_level_bpe(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.add_tokens(_plain(["<tool_call>"]))
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return _wrap(
        tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHATML_TEMPLATE,
    )


@functools.cache
def mistral_tokenizer() -> PreTrainedTokenizerBase:
    specials = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"]
    tokenizer = _sentencepiece_bpe(specials, keep_newline=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.post_processor = _bos(tokenizer, "<s>")
    return _wrap(
        tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        chat_template=MISTRAL_TEMPLATE,
    )


def _unigram_pieces() -> list[tuple[str, float]]:
    """Characters and frequent parts of words; the trainer's result differs between processes."""
    counts: Counter[str] = Counter()
    for line in LATIN:
        for word in line.split():
            marked = "▁" + word
            for start in range(len(marked)):
                counts.update(marked[start:end] for end in range(start + 1, len(marked) + 1)[:6])
    characters = sorted(piece for piece in counts if len(piece) == 1)
    parts = sorted(
        (piece for piece in counts if len(piece) > 1),
        key=lambda piece: (-counts[piece] * len(piece), piece),
    )
    total = counts.total()
    return [(piece, math.log(counts[piece] / total)) for piece in [*characters, *parts[:240]]]


@functools.cache
def t5_tokenizer() -> PreTrainedTokenizerBase:
    """Lossy in three ways: it normalises, collapses blanks, and has no piece for most scripts."""
    specials = ["<pad>", "</s>", "<unk>"]
    pieces = [(name, 0.0) for name in specials] + _unigram_pieces()
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=specials.index("<unk>")))
    tokenizer.add_special_tokens(_special(specials))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(left=False, right=True),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>",
        pair="$A </s> $B </s>",
        special_tokens=[("</s>", tokenizer.token_to_id("</s>"))],
    )
    return _wrap(tokenizer, eos_token="</s>", unk_token="<unk>", pad_token="<pad>")


@functools.cache
def wordpiece_tokenizer() -> PreTrainedTokenizerBase:
    """BERT's kind, which forgets blanks: no member may have it."""
    words = sorted({word for line in LATIN for word in re.findall(r"\w+", line)})
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocab = {piece: number for number, piece in enumerate([*specials, *words])}
    tokenizer = Tokenizer(models.WordPiece(vocab=vocab, unk_token="[UNK]"))
    tokenizer.add_special_tokens(_special(specials))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return _wrap(tokenizer, unk_token="[UNK]", pad_token="[PAD]", eos_token="[SEP]")
