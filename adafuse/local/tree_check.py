"""Try a model's tree reading before it is trusted.

Some architectures build positions or biases of their own from the mask (ALiBi, say); they would
decode nonsense without an error.
"""

from __future__ import annotations

from itertools import chain

import torch
from transformers import PreTrainedModel

from adafuse.errors import UnsupportedModelError
from adafuse.local.model_runner import ModelRunner
from adafuse.local.token_tree import TokenTree

__all__ = ["prepare"]

# Mean error over the spread of the logits. Models that read trees rightly stay below 1e-6 in
# float32; narrower types round, and quantised kernels may round otherwise for each batch.
_TOLERANCE, _NARROW, _QUANTISED = 1e-3, 2e-2, 0.1


def prepare(model: PreTrainedModel, name: str) -> ModelRunner:
    """Make a model on its device ready to read token trees, for a price of nine tokens.

    UnsupportedModelError where it cannot, or reads a tree otherwise than its branches one by one.
    """
    model.eval()  # type: ignore[no-untyped-call]
    runner = ModelRunner(model, name)
    try:
        error = _tree_error(runner)
    except torch.OutOfMemoryError:
        raise
    except Exception as cause:  # whatever a model's code does with arguments it was not made for
        reason = " ".join(str(cause).split())[:200]
        raise UnsupportedModelError(
            f"member {name!r}: {type(model).__name__} cannot read a token tree over a cache "
            f"({type(cause).__name__}: {reason})"
        ) from cause
    tolerance = _TOLERANCE if model.dtype is torch.float32 else _NARROW
    if getattr(model, "is_quantized", False):
        tolerance = _QUANTISED
    if error > tolerance:  # false for a checkpoint of NaN, which is for decoding to report
        raise UnsupportedModelError(
            f"member {name!r}: {type(model).__name__} reads a token tree otherwise than its "
            "branches one by one; its positions or masks are of its own making"
        )
    runner.packs = _packs(runner, tolerance)
    return runner


def _packs(runner: ModelRunner, tolerance: float) -> bool:
    """Whether sequences that share a forward get the logits that each gets alone."""
    size = runner.vocabulary
    trees, alone = [], []
    for start in (2, 9):
        pair = []
        for _ in range(2):
            tree = TokenTree(runner)
            tree.append([(5 * i + start) % size for i in range(start)])
            tree.read([])
            nodes = [tree.root.child(start % size), tree.root.child((start + 1) % size)]
            nodes.append(nodes[0].child((start + 2) % size))
            pair.append((tree, nodes))
        trees.append(pair[0])
        pair[1][0].read(pair[1][1])
        alone += pair[1][1]
    try:
        packed = runner.forward_packed([tree.request(nodes) for tree, nodes in trees])
    except torch.OutOfMemoryError:
        raise
    except Exception:  # its attention asks for more than packing knows: it reads one by one
        return False
    rows = torch.cat(packed).float()
    expected = torch.stack([node.row for node in alone if node.row is not None]).float()
    return bool((rows - expected).abs().mean() <= tolerance * expected.std())


def _tree_error(runner: ModelRunner) -> float:
    """Mean error of the logits over their spread, the larger of two branches."""
    size = runner.vocabulary
    prefix, *branches = [[(7 * i + j) % size for i in range(1, 4)] for j in (3, 5, 11)]
    tree = TokenTree(runner)
    tree.append(prefix)
    tree.read([])
    lines = [tree.line(branch) for branch in branches]
    tree.read([*chain(*lines)])
    errors = []
    for branch, (*_, node) in zip(branches, lines, strict=True):
        plain = TokenTree(runner)
        plain.append(prefix + branch)
        plain.read([])
        assert plain.root.row is not None
        assert node.row is not None
        expected = plain.root.row.float()
        errors.append((node.row.float() - expected).abs().mean() / expected.std())
    return float(torch.stack(errors).max())
