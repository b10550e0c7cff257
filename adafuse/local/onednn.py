"""Matrix products on CPUs: oneDNN's in place of the BLAS's, for forwards of a few tokens.

Such a forward reads every weight once. The BLAS packs each weight anew before it multiplies; oneDNN
reads it as it is, which takes 0.5 to 0.7 of the time on an AMD CPU. Both are IEEE float32; they
differ in the order of a sum. The model is as it was before and after a forward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeGuard

import torch

from adafuse.local._compat import onednn_linear

__all__ = ["OneDnnLinear"]

_MOST = 64  # tokens; beyond, both compute as fast as the CPU can
_STEP = 4  # oneDNN keeps some MB for each number of tokens that it met: let those be few


class OneDnnLinear:
    """The linear layers of a model that oneDNN can compute: float32 on a CPU, as torch has them.

    Layers of another class, with a forward of their own, or with hooks of accelerate stay as they
    are; on other devices and in other types torch's products are the fast ones.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        product = onednn_linear()
        self._layers = (
            [_linear(module, product) for module in model.modules() if _suits(module)]
            if product is not None
            else []
        )

    @contextmanager
    def used(self) -> Iterator[None]:
        """Let the model compute with them; the device's other forwards wait meanwhile."""
        for own, forward in self._layers:
            own["forward"] = forward
        try:
            yield
        finally:
            for own, _ in self._layers:
                own.pop("forward", None)


def _suits(module: torch.nn.Module) -> TypeGuard[torch.nn.Linear]:
    return (
        type(module) is torch.nn.Linear
        and "forward" not in vars(module)
        and type(module.weight) is torch.nn.Parameter  # not what torchao, say, puts in its place
        and module.weight.device.type == "cpu"
        and module.weight.dtype is torch.float32
    )


def _linear(
    module: torch.nn.Linear, product: Callable[..., Any]
) -> tuple[dict[str, Any], Callable[..., torch.Tensor]]:
    """Where a layer's own forward can be put, and one that computes it with oneDNN."""

    def forward(states: torch.Tensor) -> torch.Tensor:  # (1, n, width)
        if states.dim() != 3 or len(states) != 1 or states.shape[1] > _MOST:
            return torch.nn.functional.linear(states, module.weight, module.bias)
        count = states.shape[1]
        if count > 2 and count % _STEP:
            states = torch.nn.functional.pad(states, (0, 0, 0, _STEP - count % _STEP))
        result: torch.Tensor = product(states, module.weight, module.bias, "none", [], "")
        return result[:, :count]

    return vars(module), forward
