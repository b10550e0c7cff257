"""How much memory there is, and how much weights and prompts take: asked before, not after.

Estimates leave out what cannot be known (fragments, other processes), so they refuse what cannot
fit rather than promise that something will. torch is imported only where a device is asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig

__all__ = ["free_bytes", "prompt_bytes", "ran_out", "release", "weight_bytes"]

_CGROUP = Path("/sys/fs/cgroup")
# What torch's RuntimeErrors say on a CPU; an accelerator's have a type of their own.
_PHRASES = ("out of memory", "can't allocate memory")


def ran_out(error: BaseException) -> bool:
    """Whether an error says that there was not enough memory."""
    says_so = isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in _PHRASES)
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or says_so


def free_bytes(device: torch.device) -> int | None:
    """Bytes that may still be taken on a device; None if nobody can say.

    On a CPU that is what the machine has left, or a container's share of it.
    """
    import torch

    if device.type != "cpu":
        try:
            kind: Any = torch.get_device_module(device)
        except RuntimeError:  # there is none, as for "meta"
            return None
        if hasattr(kind, "mem_get_info"):  # what torch holds in reserve counts as free
            reserve = int(kind.memory_reserved(device) - kind.memory_allocated(device))
            return int(kind.mem_get_info(device)[0]) + reserve
        if hasattr(kind, "recommended_max_memory"):
            return int(kind.recommended_max_memory() - kind.driver_allocated_memory())
        return None
    available: int = psutil.virtual_memory().available
    share = _container_share(_CGROUP)
    return available if share is None else min(available, share)


def _container_share(folder: Path) -> int | None:
    """What a control group (version 2) has left, page cache counted as free; None without one."""
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
        lines = (folder / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):
        return None
    if not limit.isdecimal():  # "max"
        return None
    pages = dict(line.split() for line in lines if line.count(" ") == 1)
    cached = sum(int(pages.get(name, 0)) for name in ("inactive_file", "active_file"))
    return max(int(limit) - used + cached, 0)


def release(device: torch.device) -> None:
    """Give memory that nothing uses back to a device."""
    import gc

    import torch

    gc.collect()
    if device.type not in ("cpu", "meta"):
        torch.get_device_module(device).empty_cache()


def weight_bytes(config: PreTrainedConfig, dtype: torch.dtype) -> int:
    """Bytes of a model's weights, told from its configuration alone."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype)  # type: ignore[no-untyped-call]
    tensors = (*model.parameters(), *model.buffers())
    distinct = {id(tensor): tensor for tensor in tensors}  # some are tied
    return sum(tensor.nbytes for tensor in distinct.values())


def prompt_bytes(config: PreTrainedConfig, dtype: torch.dtype, tokens: int, eager: bool) -> int:
    """Bytes that it takes, at least, to read a prompt of so many tokens and keep its states.

    With `eager` attention holds all its scores, (heads, tokens, tokens), at once.
    """

    def number(name: str, default: int = 0) -> int:
        """What is not said, or differs by layer, counts as little: nothing that fits is refused."""
        try:
            value = getattr(config, name, None)
            return int(min(value) if isinstance(value, list | tuple) else value or default)
        except Exception:  # configurations raise errors of their own for what differs by layer
            return 0

    width, layers = number("hidden_size"), number("num_hidden_layers")
    layers -= number("num_kv_shared_layers")
    heads = number("num_attention_heads", 1)
    pairs = 1 if number("multi_query") else number("num_key_value_heads", heads)
    size = number("head_dim", width // max(heads, 1))
    inner = number("moe_intermediate_size") or number("intermediate_size", 2 * width)
    states = 2 * layers * pairs * size * tokens
    passing = (2 * width + 2 * inner) * tokens
    scores = heads * tokens * tokens if eager else 0
    return (states + passing + scores) * dtype.itemsize
