"""A model's tree reading is tried when it is loaded: what is refused, and what the trial costs."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from adafuse import UnsupportedModelError
from adafuse.local import model_runner
from adafuse.local.tree_check import prepare
from families import FAMILIES, family

Change = Callable[[dict[str, Any]], Any]


def changed(name: str, change: Change) -> tuple[Any, list[dict[str, Any]]]:
    """A copy of a family's model whose forward's arguments go through `change`, and its calls."""
    model: Any = copy.deepcopy(family(name, 1)[0])
    forward, calls = model.forward, []

    @functools.wraps(forward)
    def noted(**arguments: Any) -> Any:
        calls.append(arguments)
        change(arguments)
        return forward(**arguments)

    model.forward = noted
    return model, calls


def in_tree(arguments: dict[str, Any]) -> bool:
    return arguments["attention_mask"] is not None


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_that_reads_trees_is_tried_with_three_short_forwards(name: str) -> None:
    model, calls = changed(name, lambda arguments: None)
    assert prepare(model, "m").packs
    assert [in_tree(arguments) for arguments in calls] == [False, False, True]
    assert sum(arguments["input_ids"].numel() for arguments in calls) < 32


@pytest.mark.parametrize("name", ["llama", "gemma3"])
@pytest.mark.parametrize("left_out", ["position_ids", "attention_mask"])
def test_a_model_of_its_own_positions_or_masks_is_refused(name: str, left_out: str) -> None:
    def leave_out(arguments: dict[str, Any]) -> None:
        if in_tree(arguments):
            arguments[left_out] = None

    model, _ = changed(name, leave_out)
    with pytest.raises(UnsupportedModelError, match=r"member 'm': .* otherwise than its branches"):
        prepare(model, "m")


def test_one_branch_seeing_the_other_is_refused() -> None:
    def leak(arguments: dict[str, Any]) -> None:
        mask = arguments["attention_mask"]
        if in_tree(arguments) and mask.dtype is torch.bool:
            mask[:] |= torch.ones_like(mask).tril(mask.shape[-1] - mask.shape[-2])

    model, _ = changed("llama", leak)
    with pytest.raises(UnsupportedModelError, match="otherwise than its branches"):
        prepare(model, "m")


def test_a_model_that_packs_wrongly_is_judged_by_its_trees_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    masks = model_runner.packed_mask
    monkeypatch.setattr(model_runner, "packed_mask", lambda *given: torch.ones_like(masks(*given)))
    model, calls = changed("llama", lambda arguments: None)
    assert not prepare(model, "m").packs
    assert [in_tree(arguments) for arguments in calls] == [False] * 2 + [True] * 2


def test_what_packing_leaves_in_a_cache_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    attend = torch.nn.functional.scaled_dot_product_attention
    model, calls = changed("llama", lambda arguments: None)
    layers = [0]

    def failing(*given: Any, **options: Any) -> Any:
        if len(calls) == 3:
            layers[0] += 1
            if layers[0] > 2:
                raise NotImplementedError
        return attend(*given, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", failing)
    assert not prepare(model, "m").packs
    assert len(calls) == 4


def test_a_model_that_cannot_take_the_arguments_is_refused() -> None:
    def fail(arguments: dict[str, Any]) -> None:
        if in_tree(arguments):
            raise ValueError("no\nmask of four dimensions")

    model, _ = changed("llama", fail)
    with pytest.raises(UnsupportedModelError, match=r"\(ValueError: no mask of four dimensions\)"):
        prepare(model, "m")


def test_weights_that_are_not_finite_are_left_to_decoding() -> None:
    model, _ = changed("llama", lambda arguments: None)
    with torch.no_grad():
        model.get_output_embeddings().weight.fill_(float("nan"))
    assert not prepare(model, "m").packs
