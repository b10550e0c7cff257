"""Tiny causal LMs with random weights, one for each way that models and tokenizers differ.

Every family is a function of a seed and of config overrides; the same arguments give the same
weights and the same tokenizer in every process, without a network. The models know no language:
what they are for is that their tokens, blanks, special tokens and caches behave like the real ones.

Random weights as transformers draws them give nearly flat distributions, where every margin is
tiny. `_build` widens the logits until confident and uncertain decisions both happen. It also keeps
one feature of the residual stream away from zero, which serves the head as a bias: with
`eos_bias` it raises the logits of the end tokens.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from transformers import (
    Gemma3ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaForCausalLM,
    MistralForCausalLM,
    Phi3ForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen2ForCausalLM,
)

import family_tokenizers as tokenizers
from family_tokenizers import llama3_tokenizer, wordpiece_tokenizer

__all__ = ["FAMILIES", "family", "wordpiece_tokenizer"]

Pair = tuple[PreTrainedModel, PreTrainedTokenizerBase]

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
INITIALIZER_RANGE = 0.2  # about 1 / sqrt(hidden): a layer then keeps the size of what it reads
LOGIT_SCALE = 1.4  # standard deviation of the head's weights: logits of about +-8
BIAS_FEATURE = 0  # the residual feature that carries the biases
BLANK_BIAS = 3.0  # tokens that begin with a blank: without it words run on to the cap
ODD_BIAS = -5.0  # parts of characters, and control characters: most of the vocabulary
EOS_BIAS = 6.0  # some answers end by themselves


def _is_odd(text: str) -> bool:
    return "\ufffd" in text or not (text.isprintable() or text.isspace())


def _build(
    kind: type[PreTrainedModel],
    tokenizer: PreTrainedTokenizerBase,
    seed: int,
    config: dict[str, Any],
    *,
    eos_names: tuple[str, ...] = (),
) -> Pair:
    """Draw a model; `config` is the config's fields, and `logit_scale` and `eos_bias`."""
    logit_scale = config.pop("logit_scale", LOGIT_SCALE)
    eos_bias = config.pop("eos_bias", EOS_BIAS)
    ends = [tokenizer.eos_token_id, *(tokenizer.convert_tokens_to_ids(name) for name in eos_names)]
    fields = {
        "vocab_size": len(tokenizer),
        "initializer_range": INITIALIZER_RANGE,
        "tie_word_embeddings": False,
        "attn_implementation": "sdpa",
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": ends if eos_names else tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config_class: Any = kind.config_class
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model: Any = kind(config_class(**{**fields, **config}))
        model.eval()
        embedding, head = model.get_input_embeddings(), model.get_output_embeddings().weight
        size = getattr(embedding, "embed_scale", torch.ones(()))  # Gemma multiplies by this
        embedding.weight.normal_(0.0, 1.0).div_(size)  # (vocab, hidden), as the head
        embedding.weight[:, BIAS_FEATURE] = 2.0 / size
        head.normal_(0.0, logit_scale)
        head[:, BIAS_FEATURE] = 0.0
        for piece, number in tokenizer.get_vocab().items():
            if _is_odd(str(tokenizer.decode([number]))):
                head[number, BIAS_FEATURE] = ODD_BIAS
            elif piece.startswith(("\u2581", "\u0120")):
                head[number, BIAS_FEATURE] = BLANK_BIAS
        head[ends, BIAS_FEATURE] = eos_bias
    return model, tokenizer


def llama(seed: int = 0, **overrides: Any) -> Pair:
    """Llama 2: SentencePiece BPE with byte fallback, and a blank put before every text."""
    return _build(LlamaForCausalLM, tokenizers.llama_tokenizer(), seed, {**SHAPE, **overrides})


def llama3(seed: int = 0, **overrides: Any) -> Pair:
    """Llama 3: byte-level BPE, a template, two end tokens of which the tokenizer names one."""
    tokenizer = tokenizers.llama3_tokenizer()
    config = {**SHAPE, **overrides}
    return _build(LlamaForCausalLM, tokenizer, seed, config, eos_names=("<|eot_id|>",))


def gpt2(seed: int = 0, **overrides: Any) -> Pair:
    """GPT-2: learnt positions, layer norms with a bias, one token that begins and ends."""
    shape = {GPT2Config.attribute_map.get(name, name): size for name, size in SHAPE.items()}
    shape["n_inner"] = shape.pop("intermediate_size")
    del shape["num_key_value_heads"]  # every head has its own keys
    renamed = {GPT2Config.attribute_map.get(name, name): v for name, v in overrides.items()}
    return _build(GPT2LMHeadModel, tokenizers.gpt2_tokenizer(), seed, {**shape, **renamed})


def gemma3(seed: int = 0, **overrides: Any) -> Pair:
    """Gemma 3: a sliding and a full layer, no blank before a text, blanks as added tokens."""
    layers = {
        "head_dim": 8,
        "query_pre_attn_scalar": 8,
        "sliding_window": 8,
        "layer_types": ["sliding_attention", "full_attention"],
    }
    config = {**SHAPE, **layers, **overrides}
    tokenizer = tokenizers.gemma3_tokenizer()
    return _build(Gemma3ForCausalLM, tokenizer, seed, config, eos_names=("<end_of_turn>",))


def qwen2(seed: int = 0, **overrides: Any) -> Pair:
    """Qwen 2: byte-level BPE over NFC text (so it loses some), ChatML, no BOS."""
    return _build(Qwen2ForCausalLM, tokenizers.qwen2_tokenizer(), seed, {**SHAPE, **overrides})


def mistral(seed: int = 0, **overrides: Any) -> Pair:
    """Mistral: sliding layers only, a blank before the first text of a prompt, `[INST]`."""
    config = {**SHAPE, "sliding_window": 12, "head_dim": 8, **overrides}
    return _build(MistralForCausalLM, tokenizers.mistral_tokenizer(), seed, config)


def t5(seed: int = 0, **overrides: Any) -> Pair:
    """T5's tokenizer on a Llama body: Unigram, lossy, with an end token after every prompt."""
    config = {**SHAPE, "eos_bias": 2 * EOS_BIAS, **overrides}  # less than that never ends
    return _build(LlamaForCausalLM, tokenizers.t5_tokenizer(), seed, config)


FAMILIES: dict[str, Callable[..., Pair]] = {
    "llama": llama,
    "llama3": llama3,
    "gpt2": gpt2,
    "gemma3": gemma3,
    "qwen2": qwen2,
    "mistral": mistral,
    "t5": t5,
}


@functools.cache
def family(name: str, seed: int = 0, **overrides: Any) -> Pair:
    """One shared copy of a family's model and tokenizer: leave both as they are."""
    return FAMILIES[name](seed, **overrides)


LONG, SHORT = [4.0, 3.0, 2.0, 8.0], [1.0, 1.0, 1.5, 1.0]


def phi3(long: list[float] = LONG, **rope: Any) -> PreTrainedModel:
    """LongRoPE: other factors beyond 48 tokens, as Phi-3 has beyond 4,096."""
    rope = {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": SHORT, **rope}
    config = {
        **SHAPE,
        "max_position_embeddings": 96,
        "original_max_position_embeddings": 48,
        "rope_parameters": {**rope, "long_factor": long},
        "pad_token_id": 0,
        "eos_bias": -9.0,
    }
    return _build(Phi3ForCausalLM, llama3_tokenizer(), 0, config)[0]
