"""Try a model's tree reading before it is trusted.

Some architectures build positions or biases of their own from the mask (ALiBi, say); they would
decode nonsense without an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from adafuse.errors import UnsupportedModelError
from adafuse.local.model_runner import ModelRunner
from adafuse.local.request import Cache, Request
from adafuse.local.runner import Runner
from adafuse.local.token_tree import TokenTree

__all__ = ["prepare"]

# Mean error over the spread of the logits. Models that read trees rightly stay below 1e-6 in
# float32; narrower types round, and quantised kernels may round otherwise for each batch.
_TOLERANCE, _NARROW, _QUANTISED = 1e-3, 2e-2, 0.1


def prepare(model: PreTrainedModel, name: str) -> ModelRunner:
    """Make a model on its device ready to read token trees, for a price of three short forwards.

    UnsupportedModelError where it cannot, or reads a tree otherwise than its branches one by one.
    """
    model.eval()  # type: ignore[no-untyped-call]
    runner = ModelRunner(model, name)
    tolerance = _TOLERANCE if model.dtype is torch.float32 else _NARROW
    if getattr(model, "is_quantized", False):
        tolerance = _QUANTISED
    try:
        trials = _trials(runner)
        runner.packs = _packs(runner, trials, tolerance)
        # What packs never reads a tree in another way.
        error = 0.0 if runner.packs else trials[1].error(runner.forward(trials[1].request()))
    except torch.OutOfMemoryError:
        raise
    except Exception as cause:  # whatever a model's code does with arguments it was not made for
        reason = " ".join(str(cause).split())[:200]
        raise UnsupportedModelError(
            f"member {name!r}: {type(model).__name__} cannot read a token tree over a cache "
            f"({type(cause).__name__}: {reason})"
        ) from cause
    if error > tolerance:  # false for a checkpoint of NaN, which is for decoding to report
        raise UnsupportedModelError(
            f"member {name!r}: {type(model).__name__} reads a token tree otherwise than its "
            "branches one by one; its positions or masks are of its own making"
        )
    return runner


@dataclass(frozen=True, slots=True)
class _Trial:
    """A prefix in a cache, branches after it, and the logits after the last one read plainly.

    The last branch is the one that would see another: what is read earlier sees nothing later.
    """

    runner: Runner
    prefix: Sequence[int]
    branches: Sequence[Sequence[int]]
    cache: Cache  # holds the prefix
    expected: torch.Tensor  # (V,)

    @classmethod
    def of(cls, runner: Runner, prefix: Sequence[int], branches: Sequence[Sequence[int]]) -> _Trial:
        """Read the prefix with the last branch as one text, whose cache is cut and kept."""
        plain = TokenTree(runner)
        plain.append([*prefix, *branches[-1]])
        plain.read([])
        assert plain.root.row is not None
        row = plain.root.row.float()
        return cls(runner, prefix, branches, plain.close(), row)

    def request(self) -> Request:
        """The forward that reads the branches as one tree; the cache holds but the prefix."""
        self.cache.keep(len(self.prefix), [])
        tree = TokenTree(self.runner)
        tree.append(self.prefix)
        tree.resume(self.cache, len(self.prefix))
        return tree.request([node for branch in self.branches for node in tree.line(branch)])

    def error(self, rows: torch.Tensor) -> float:
        """Mean error of the last of the logits (n, V) over the spread of the right ones."""
        error = (rows[-1].float() - self.expected).abs().mean() / self.expected.std()
        return float(error)


def _trials(runner: Runner) -> tuple[_Trial, _Trial]:
    """A line, and a longer prefix with two branches."""
    size = runner.vocabulary

    def tokens(start: int, count: int) -> list[int]:
        return [(7 * i + start) % size for i in range(count)]

    single = _Trial.of(runner, tokens(3, 3), [tokens(5, 3)])
    return single, _Trial.of(runner, tokens(9, 9), [tokens(5, 3), tokens(11, 3)])


def _packs(runner: Runner, trials: Sequence[_Trial], tolerance: float) -> bool:
    """Whether trees that share a forward get the logits that their branches get alone."""
    try:
        packed = runner.forward_packed([trial.request() for trial in trials])
    except torch.OutOfMemoryError:
        raise
    except Exception:  # its attention asks for more than packing knows: it reads one by one
        return False
    return all(trial.error(rows) <= tolerance for trial, rows in zip(trials, packed, strict=True))
