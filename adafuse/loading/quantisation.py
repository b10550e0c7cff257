"""Which package reads quantised weights, and whether it is there: known before they are read."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from transformers import PreTrainedConfig

from adafuse.errors import LoadError

__all__ = ["refuse_without_reader"]

_PACKAGES = {
    "awq": ("gptqmodel",),
    "bitsandbytes": ("bitsandbytes",),
    "gptq": ("optimum", "gptqmodel"),
    "torchao": ("torchao",),
}
"""By transformers' name of a method, what it imports, as transformers 5.23 has it."""


def refuse_without_reader(where: str, asked: Any, config: PreTrainedConfig | None) -> None:
    """Refuse weights that are quantised, or to be, by a method whose package is not installed.

    Args:
        where: begins the message.
        asked: a `quantization_config` of transformers, or a mapping of one; None: the
            checkpoint's own, if it has one.
        config: of the checkpoint.

    Raises:
        LoadError: it names the package.
    """
    method = _method(asked if asked is not None else getattr(config, "quantization_config", None))
    for package in _PACKAGES.get(method, ()):
        if find_spec(package) is None:
            how = "is to be quantised by" if asked is not None else "is quantised by"
            raise LoadError(
                f"{where} {how} {method}, which needs the package {package!r} (pip install "
                f"{package}); install it, or name a checkpoint that is not quantised"
            )


def _method(quantisation: Any) -> str:
    """The method's name; empty where there is none."""
    if isinstance(quantisation, Mapping):
        bits = (quantisation.get("load_in_8bit"), quantisation.get("load_in_4bit"))
        method = quantisation.get("quant_method", "bitsandbytes" if any(bits) else "")
    else:
        method = getattr(quantisation, "quant_method", "")
    name = str(getattr(method, "value", method))
    return "bitsandbytes" if name.startswith("bitsandbytes") else name
