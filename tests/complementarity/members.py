"""The two members: a Llama with byte-level BPE and a Gemma 3 with SentencePiece-style BPE.

Their tokenizers are trained on their own lessons alone, so neither has words of the other half.
"""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
    processors,
    trainers,
)
from tokenizers.normalizers import Replace
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

__all__ = ["NAMES", "build_model", "build_tokenizer"]

NAMES = {"a": "llama-a", "b": "gemma-b"}
"""The folder of the member that knows each half."""

_SPLIT = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s*[\r\n]+|\s+(?!\S)|\s+"


def build_tokenizer(half: str, texts: Sequence[str]) -> PreTrainedTokenizerBase:
    """The tokenizer of a half's member, trained on texts."""
    return _byte_level(texts) if half == "a" else _sentencepiece(texts)


def build_model(half: str, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """The untrained model of a half's member; draws from torch's generator."""
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 96,
        "intermediate_size": 288,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "initializer_range": 0.05,
    }
    if half == "a":
        return LlamaForCausalLM(LlamaConfig(**shape))
    layers = ["sliding_attention", "full_attention"] * 2
    return Gemma3ForCausalLM(
        Gemma3TextConfig(
            **shape, head_dim=24, query_pre_attn_scalar=24, sliding_window=16, layer_types=layers
        )
    )


def _byte_level(texts: Sequence[str]) -> PreTrainedTokenizerBase:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=640,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _wrap(tokenizer, "<|begin_of_text|>", "<|end_of_text|>")


def _sentencepiece(texts: Sequence[str]) -> PreTrainedTokenizerBase:
    """Trained on words and rebuilt: the trainer cannot make byte tokens that are not special."""
    counts = Counter("".join(texts).replace(" ", "▁"))
    # Chosen here: at equal counts the trainer's own choice differs from process to process.
    alphabet = sorted(counts, key=lambda character: (-counts[character], character))[:100]
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\n|\p{N}"), "isolated"),
            pre_tokenizers.Metaspace(prepend_scheme="never"),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    trained.train_from_iterator(texts, trainer)
    learnt = json.loads(trained.to_str())["model"]
    pieces = sorted(learnt["vocab"], key=learnt["vocab"].__getitem__)
    vocab = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={piece: number for number, piece in enumerate(vocab)},
            merges=[(left, right) for left, right in learnt["merges"]],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return _wrap(tokenizer, "<bos>", "<eos>", unk_token="<unk>")


def _wrap(tokenizer: Tokenizer, bos: str, eos: str, **names: str) -> PreTrainedTokenizerBase:
    """Add a beginning and an end, of which the end also pads."""
    specials = [*names.values(), bos, eos]
    tokenizer.add_special_tokens(
        [AddedToken(name, special=True, normalized=False) for name in specials]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A",
        pair=f"{bos} $A {bos} $B",
        special_tokens=[(bos, tokenizer.token_to_id(bos))],
    )
    wrap: Any = PreTrainedTokenizerFast  # its constructor has no annotations
    wrapped: PreTrainedTokenizerBase = wrap(
        tokenizer_object=tokenizer,
        clean_up_tokenization_spaces=False,
        bos_token=bos,
        eos_token=eos,
        pad_token=eos,
        **names,
    )
    return wrapped
