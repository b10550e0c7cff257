"""What forwards of a member cost, measured once and kept in the cache folder.

A machine that cannot write there measures again at each start.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from adafuse.cache import cache_folder, replace_text
from adafuse.errors import AdaFuseError
from adafuse.loading.identity import identify
from adafuse.local.cost_curve import CostCurve
from adafuse.local.forward_cost import measure
from adafuse.local.runner import Runner
from adafuse.spec import MemberSpec

__all__ = ["kept_curve", "member_curve"]

_FILE = "costs.json"
_MOST = 256  # curves; the oldest go first


def member_curve(spec: MemberSpec, key: Sequence[object], runner: Runner) -> CostCurve | None:
    """What forwards of a member cost; None where that cannot be measured: decoding will meet why.

    `key` says which checkpoint is loaded, and how.
    """
    content = identify(spec).content or str(key[0])
    try:
        return kept_curve(content, repr(key[1:]), runner.device, lambda: measure(runner))
    except (RuntimeError, ValueError, AdaFuseError):  # no room for the widest one, or a tiny window
        return None


def kept_curve(
    content: str, options: str, device: torch.device, measure: Callable[[], CostCurve]
) -> CostCurve:
    """The curve of a model on this machine, from the cache folder if it is there.

    Args:
        content: the same for the same files.
        options: how they were loaded: dtype, attention, quantisation.
        measure: called where nothing is kept; what it raises passes through.
    """
    key = json.dumps([content, options, *_machine(device)])
    file = cache_folder() / _FILE
    kept = _read(file)
    with suppress(KeyError, TypeError, ValueError):
        return CostCurve(tuple((n, cost) for n, cost in kept[key]))
    curve = measure()
    kept = {**_read(file), key: curve.points}
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_text(file, json.dumps(dict(list(kept.items())[-_MOST:]), indent=1))
    return curve


def _read(file: Path) -> dict[str, Any]:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _machine(device: torch.device) -> list[str | int]:
    """What the same forward's time depends on besides the model."""
    ask = getattr(torch.get_device_module(device), "get_device_name", lambda _: "")
    return [str(device), platform.node(), ask(device), torch.get_num_threads(), torch.__version__]
