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
from adafuse.local.kv_cache import KVCache
from adafuse.local.model_runner import ModelRunner
from adafuse.local.token_tree import TokenTree

__all__ = ["prepare"]

# Mean error over the spread of the logits. Models that read trees rightly stay below 1e-6 in
# float32; narrower types round, and quantised kernels may round otherwise for each batch.
_TOLERANCE, _NARROW, _QUANTISED = 1e-3, 2e-2, 0.1


def prepare(model: PreTrainedModel, name: str) -> ModelRunner:
    """Make a model on its device ready to read token trees, for a price of four short forwards.

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
        error = 0.0 if runner.packs else _tree_error(trials[0])
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
    """A prefix in a cache, branches after it, and the logits after each branch read plainly."""

    runner: ModelRunner
    prefix: Sequence[int]
    branches: Sequence[Sequence[int]]
    cache: KVCache  # holds the prefix
    expected: torch.Tensor  # (branches, V)

    @classmethod
    def of(
        cls, runner: ModelRunner, prefix: Sequence[int], branches: Sequence[Sequence[int]]
    ) -> _Trial:
        """Read each branch after the prefix as one text; the last one's cache is cut and kept."""
        rows = []
        for branch in branches:
            plain = TokenTree(runner)
            plain.append([*prefix, *branch])
            plain.read([])
            assert plain.root.row is not None
            rows.append(plain.root.row.float())
            cache = plain.close()
        return cls(runner, prefix, branches, cache, torch.stack(rows))

    def tree(self) -> TokenTree:
        """A tree at the prefix's end, whose cache holds nothing but the prefix."""
        self.cache.keep(len(self.prefix), [])
        tree = TokenTree(self.runner)
        tree.append(self.prefix)
        tree.resume(self.cache, len(self.prefix))
        return tree

    def error(self, rows: torch.Tensor) -> float:
        """Mean error of logits (branches, V) over the spread of the right ones, the largest."""
        errors = (rows.float() - self.expected).abs().mean(dim=1) / self.expected.std(dim=1)
        return float(errors.max())


def _trials(runner: ModelRunner) -> tuple[_Trial, _Trial]:
    """Two prefixes of different lengths, one of them with two branches."""
    size = runner.vocabulary
    prefix, *branches = [[(7 * i + j) % size for i in range(1, 4)] for j in (3, 5, 11)]
    longer, branch = [(5 * i + 9) % size for i in range(9)], [9 % size, 11 % size]
    return _Trial.of(runner, prefix, branches), _Trial.of(runner, longer, [branch])


def _packs(runner: ModelRunner, trials: Sequence[_Trial], tolerance: float) -> bool:
    """Whether trees that share a forward get the logits that their branches get alone."""
    requests, ends = [], []
    for trial in trials:
        tree = trial.tree()
        lines = [tree.line(branch) for branch in trial.branches]
        requests.append(tree.request([node for line in lines for node in line]))
        lengths = torch.tensor([len(line) for line in lines])
        ends.append(lengths.cumsum(0) - 1)
    try:
        packed = runner.forward_packed(requests)
    except torch.OutOfMemoryError:
        raise
    except Exception:  # its attention asks for more than packing knows: it reads one by one
        return False
    return all(
        trial.error(rows[end.to(rows.device)]) <= tolerance
        for trial, rows, end in zip(trials, packed, ends, strict=True)
    )


def _tree_error(trial: _Trial) -> float:
    """Error of the logits where the branches are read as one tree, without packing."""
    tree = trial.tree()
    lines = [tree.line(branch) for branch in trial.branches]
    tree.read([node for line in lines for node in line])
    rows = [line[-1].row for line in lines]
    return trial.error(torch.stack([row for row in rows if row is not None]))
