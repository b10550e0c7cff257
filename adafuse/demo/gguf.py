"""From a GGUF file to the folder that `AutoModelForCausalLM.from_pretrained` reads fastest.

The weights keep their dequantised values to the last bit; the tokenizer is mended where
transformers reads the file wrongly, and checked against ids from other implementations. This
module does not know where files come from or where they go (see `adafuse.demo.models`), and imports
torch and transformers only when it converts.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from adafuse.cache import replace_text
from adafuse.errors import ModelPreparationError

__all__ = ["SAMPLE", "Conversion", "Step", "convert", "name_dtype"]

Step = Callable[[str], None]
"""Told what is done next, in a few words."""

# Digits after blanks, a superscript, blank runs, tabs, CJK, an emoji and a combining mark: a text
# whose token ids tell a right normaliser, pre-tokenizer and merge order from nearly right ones.
SAMPLE = "  12 x\u00b2 \u2167\n\n\n\tif  a<b: # \u4e2d\u6587 \U0001f642 e\u0301\n   7 "


@dataclass(frozen=True, slots=True)
class Conversion:
    """What transformers 5.23 misses in a GGUF file, and what the result must look like."""

    # Ids of `SAMPLE` between blanks, with BOS where the model expects it. They were made with the
    # GGUF file's vocabulary in SentencePiece, and with the reference pre-tokenizer.
    sample_ids: str
    special_tokens: tuple[str, ...]  # must have `special=True` afterwards (`marks` among them)
    # Special tokens listed as plain added tokens; a text that spells one must not turn into it.
    marks: tuple[str, ...] = ()
    # The file's pre-tokenizer splits digits off before the GPT-2 pattern (`smollm`); transformers
    # reads plain GPT-2, which differs wherever blanks come before a digit ("  12").
    digits_apart: bool = False
    config: Mapping[str, object] = field(default_factory=dict)  # that the model's must have
    dtype: str = "bfloat16"  # of the model that was quantised; the file does not say


def convert(gguf: Path, folder: Path, conversion: Conversion, step: Step) -> None:
    """Write the model in `gguf` to `folder`: float32 safetensors, configuration, tokenizer.

    float32, because half precision would change most of the dequantised weights (measured on the
    demo models: float16 changes 48% and 69% of them, bfloat16 82% and 88%). The configuration names
    the dtype of the model before it was quantised, which is what it runs in by default.

    Raises:
        ModelPreparationError: the result is not what `conversion` says. Errors of transformers,
            of the file system and of safetensors pass through.
    """
    with _quiet_transformers():
        step("reading the tokenizer")
        _convert_tokenizer(gguf, folder, conversion)
        step("reading the weights")
        model = _read_model(gguf, conversion)
        step("saving the weights")
        model.save_pretrained(folder)
        name_dtype(folder, conversion)


def name_dtype(folder: Path, conversion: Conversion) -> Path | None:
    """Let a folder's configuration name the conversion's dtype; the file, None if it did so."""
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    if config.get("dtype") in (None, conversion.dtype):
        return None
    replace_text(file, json.dumps({**config, "dtype": conversion.dtype}, indent=2) + "\n")
    return file


def _read_model(gguf: Path, conversion: Conversion) -> Any:
    import torch
    import transformers

    models: Any = transformers.AutoModelForCausalLM  # its methods are partly untyped
    read = models.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.float32,
        quantization_config=transformers.GgufConfig(dequantize=True),
    )
    config = read.config
    values = {key: getattr(config, key, None) for key in conversion.config}
    if values != dict(conversion.config):
        raise ModelPreparationError(
            f"{gguf.name}: the configuration was read as {values}, expected {conversion.config}"
        )
    # A model read from GGUF refuses to be saved, even dequantised. A fresh one of the same
    # configuration takes its weights; `strict` makes certain that none is missing.
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = models.from_config(config, dtype=torch.float32)
    model.load_state_dict(read.state_dict(), strict=True)
    model.generation_config = read.generation_config
    return model


def _convert_tokenizer(gguf: Path, folder: Path, conversion: Conversion) -> None:
    from tokenizers import AddedToken, pre_tokenizers
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    if conversion.digits_apart:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
            ]
        )
    if conversion.marks:
        marks = [AddedToken(mark, normalized=False, special=True) for mark in conversion.marks]
        tokenizer.add_tokens(marks, special_tokens=True)
    tokenizer.save_pretrained(folder)
    # What was saved is checked, not what is in memory: transformers rebuilds some of it on reading.
    _check_tokenizer(gguf.name, AutoTokenizer.from_pretrained(folder), conversion)


def _check_tokenizer(name: str, tokenizer: Any, conversion: Conversion) -> None:
    ids = " ".join(map(str, tokenizer.encode(SAMPLE)))
    plain = tokenizer.encode(SAMPLE, add_special_tokens=False)
    if ids != conversion.sample_ids or tokenizer.decode(plain) != SAMPLE:
        raise ModelPreparationError(f"{name}: the converted tokenizer splits text wrongly")
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    if missing := set(conversion.special_tokens) - special:
        raise ModelPreparationError(f"{name}: not special tokens: {sorted(missing)}")


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Hide transformers' progress bars, which would tear the caller's display.

    One of them heeds no setting, so standard error is set aside; errors are raised all the same.
    """
    import transformers

    logging: Any = transformers.utils.logging  # untyped
    was_shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with redirect_stderr(StringIO()):
            yield
    finally:
        if was_shown:
            logging.enable_progress_bar()
