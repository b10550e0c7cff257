"""What figures depend on besides the code: cores, features of the processor, versions."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

__all__ = ["describe"]

_FEATURES = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "sve",
)
_LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "llguidance")


def describe() -> dict[str, Any]:
    """The machine by what matters for speed, without names or places, and the libraries."""
    return {
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "threads of torch": torch.get_num_threads(),
        "features": _features(),
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        **{name: version(name) for name in _LIBRARIES},
    }


def _features() -> list[str]:
    """Features of the processor that change how fast it multiplies, where Linux tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return [feature for feature in _FEATURES if feature in flags.split()]
