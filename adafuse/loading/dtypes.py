"""How wide weights are where nobody says: as their checkpoint's, if the device is fast at it.

A CPU that multiplies bfloat16 answers in it in two thirds of the time of float32, and in half the
memory; one that does not takes several times as long. float16 is slow on both: a product of eight
rows takes 16 times as long as in bfloat16 on an AMD CPU with AVX512_BF16. Knows configurations, not
weights.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from transformers import PreTrainedConfig

from adafuse.local._compat import cpu_instructions, onednn_has_bfloat16

__all__ = ["ChosenDtype", "bfloat16_instructions", "choose_dtype", "stored_dtype"]

# As cpuinfo, which torch asks, names what multiplies bfloat16: Intel's tiles, AVX-512, Arm.
_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "sve_bf16", "bf16")
_TRIAL = (8, 64)  # rows and width of the product that is tried
_TOLERANCE = 0.02  # of the product's spread; bfloat16 rounds to 8 bits


@dataclass(frozen=True, slots=True)
class ChosenDtype:
    """What `from_pretrained` is told ("auto": what the weights are), and why, in a few words."""

    dtype: torch.dtype | str
    reason: str


def choose_dtype(
    asked: str | None, config: PreTrainedConfig | None, *, on_cpu: bool
) -> ChosenDtype:
    """The dtype that is asked for by name or as "auto"; None: the default.

    `config` is that of the checkpoint, None of a GGUF file.
    """
    if asked is None:
        return _default_dtype(config, on_cpu=on_cpu)
    dtype = asked if asked == "auto" else getattr(torch, asked)
    return ChosenDtype(dtype, f"as dtype={asked!r} asks")


def _default_dtype(config: PreTrainedConfig | None, *, on_cpu: bool) -> ChosenDtype:
    if not on_cpu:
        return ChosenDtype("auto", "as its checkpoint")
    instructions = bfloat16_instructions()
    if instructions is None:
        return ChosenDtype(torch.float32, "this CPU does not multiply bfloat16 natively")
    native = f"this CPU multiplies bfloat16 natively ({instructions})"
    if config is None:
        return ChosenDtype(torch.bfloat16, f"its GGUF file is unpacked, and {native}")
    stored = stored_dtype(config)
    if stored is torch.float16:
        return ChosenDtype(torch.bfloat16, f"its checkpoint is float16, and {native}")
    if stored is torch.bfloat16:
        return ChosenDtype(torch.bfloat16, f"as its checkpoint, and {native}")
    reason = "as its checkpoint" if stored else "its checkpoint names no dtype"
    hint = f"dtype='bfloat16' would take half the memory and less time: {native}"
    return ChosenDtype(stored or torch.float32, f"{reason}; {hint}")


def stored_dtype(config: PreTrainedConfig) -> torch.dtype | None:
    """The dtype that a checkpoint's configuration names; None if it names none."""
    named = config.dtype or config.get_text_config(decoder=True).dtype
    dtype = getattr(torch, str(named).removeprefix("torch."), None)
    return dtype if isinstance(dtype, torch.dtype) else None


@functools.cache
def bfloat16_instructions() -> str | None:
    """What this CPU multiplies bfloat16 with, if torch uses it and its products are right."""
    found = next((name for name in _INSTRUCTIONS if cpu_instructions().get(name)), None)
    return found if found and onednn_has_bfloat16() and _multiplies() else None


def _multiplies() -> bool:
    """Whether a product in bfloat16 is that in float32, but for rounding."""
    rows, width = _TRIAL
    values = torch.arange(rows * width, dtype=torch.float32).sin().view(rows, width)
    weights = torch.arange(width * width, dtype=torch.float32).cos().view(width, width)
    right = values @ weights.T
    try:
        product = torch.nn.functional.linear(values.bfloat16(), weights.bfloat16()).float()
    except RuntimeError:
        return False
    return bool((product - right).abs().max() < _TOLERANCE * right.abs().max())
