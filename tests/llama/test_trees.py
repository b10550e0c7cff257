"""Trees in llama.cpp: what is read together is what is read line by line, whatever was before."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from adafuse.errors import ContextFullError
from adafuse.local.token_tree import TokenTree
from gguf_models import KINDS, PlainLlama, gguf, runner
from gguf_trees import Walk

EXACT = {"llama": 2e-4, "llama3": 2e-4, "qwen2": 2e-4, "gemma3": 0.1}
"""Of logits of about +-25, in float32: batches of other widths add in other orders.

What Gemma's GELU is given llama.cpp rounds to float16, so that what is near becomes less near.
"""
HALF = 0.3
"""Likewise with keys and values in float16, and flash attention, which adds up in it."""


@functools.cache
def plain_of(name: str) -> PlainLlama:
    """Shared by tests with wide caches."""
    return PlainLlama(gguf(name))


@pytest.mark.parametrize("number", range(100))
def test_random_trees_equal_their_lines(number: int, wide_cache: None) -> None:
    rng = random.Random(number)
    name = KINDS[number % len(KINDS)]
    own, plain = runner(gguf(name), 512), plain_of(name)
    own.prompts.budget = rng.choice((0, 2**30))
    walk = Walk(own, plain, rng)
    prompt = walk.ids(40)
    for _ in range(3):  # answers
        walk.begin(prompt)
        walk.grow(0)
        for _ in range(4):
            walk.grow(6)
            walk.commit()
        walk.close()
        cut = rng.randint(0, len(walk.held) - 1)
        prompt = [*walk.held[:cut], *walk.ids(30)][:200]
    assert walk.furthest < EXACT[name]
    own.prompts.clear()
    own.context.collect()
    assert own.context.free_sequences == own.context.sequences


@pytest.mark.parametrize("name", KINDS)
def test_half_precision_is_as_near_as_it_can_be(name: str) -> None:
    walk = Walk(runner(gguf(name)), PlainLlama(gguf(name)), random.Random(1))
    walk.begin(walk.ids(60))
    for _ in range(3):
        walk.grow(8)
        walk.commit()
    assert walk.furthest < HALF


@pytest.mark.parametrize("copied", [False, True])
def test_cells_that_a_window_hides_are_there_when_an_answer_is_cut_back(
    copied: bool, wide_cache: None
) -> None:
    """A window of 8 tokens; cells before an answer become free, and more are needed."""
    own, plain = runner(gguf("gemma3"), 512), PlainLlama(gguf("gemma3"))
    own.prompts.budget = 2**30
    tokens = [random.Random(4).randrange(500) for _ in range(150)]
    before, walk, behind = (Walk(own, plain, random.Random(seed)) for seed in range(3))
    before.begin([0, *tokens[:80]])
    before.grow(0)
    walk.begin(tokens[:100])
    walk.grow(0)
    walk.close()
    if copied:  # the first cache goes, and its cells stay
        walk.begin([*tokens[:100], 5])
        walk.grow(0)
        own.prompts.clear()
        walk.close()
    own.prompts.budget = 0
    before.close()
    behind.begin([1, *tokens])
    behind.grow(0)
    walk.begin([*tokens[:50], 7, 8, 9])
    assert walk.tree.length == 50
    walk.grow(0)
    walk.grow(4)
    walk.commit()
    walk.grow(4)
    assert walk.furthest < EXACT["gemma3"]


def test_several_answers_share_a_forward(wide_cache: None) -> None:
    own, plain = runner(gguf("qwen2")), PlainLlama(gguf("qwen2"))
    walks = [Walk(own, plain, random.Random(seed)) for seed in range(5)]
    for walk in walks:
        walk.begin(walk.ids(30))
        walk.grow(0)
    lines = [[walk.tree.line(walk.ids(6)) for _ in range(3)] for walk in walks]
    nodes = [list(dict.fromkeys(node for line in each for node in line)) for each in lines]
    requests = [walk.tree.request(new) for walk, new in zip(walks, nodes, strict=True)]
    for walk, new, rows in zip(walks, nodes, own.forward_packed(requests), strict=True):
        for node, row in zip(new, rows, strict=True):
            node.row = row
            walk.check(node)
        assert walk.furthest < EXACT["qwen2"]


def test_a_long_prompt_is_read_in_parts(wide_cache: None) -> None:
    prompt = [random.Random(5).randrange(420) for _ in range(3000)]
    file = gguf("qwen2", max_position_embeddings=4096)
    walk = Walk(runner(file, 4096), PlainLlama(file, cells=4096), random.Random(6))
    walk.begin(prompt)
    walk.grow(5)
    walk.commit()
    walk.grow(5)
    assert walk.furthest < EXACT["qwen2"]


def test_more_logits_than_one_call_gives(wide_cache: None) -> None:
    own, plain = runner(gguf("llama3")), PlainLlama(gguf("llama3"))
    walk = Walk(own, plain, random.Random(7))
    walk.begin(walk.ids(9))
    walk.grow(0)
    nodes = walk.tree.line([random.Random(8).randrange(420) for _ in range(300)])
    assert len(nodes) > own.most_logits
    walk.tree.read(nodes)
    for node in nodes[::37]:
        walk.check(node)
    assert walk.furthest < EXACT["llama3"]


def test_a_full_context_is_an_error_that_says_so_and_leaves_the_cache_as_it_was() -> None:
    own = runner(gguf("llama"), 256)
    tree = TokenTree(own)
    tree.append(list(range(9, 209)))
    tree.read([])
    line = tree.line(list(range(9, 89)))
    with pytest.raises(ContextFullError, match=r"'llama-0' is full: .* n_ctx of 256 tokens"):
        tree.read(line)
    held = own.context.free_sequences
    tree.commit([5, 6])
    tree.read([])
    assert tree.root.row is not None
    assert torch.isfinite(tree.root.row).all()
    assert own.context.free_sequences == held == own.context.sequences - 1


def test_answers_together_are_more_than_one_call_of_a_small_context_reads() -> None:
    own = runner(gguf("llama"), 64)
    trees = [TokenTree(own) for _ in range(6)]
    for tree in trees:
        tree.append(list(range(9, 59)))
    with pytest.raises(MemoryError):
        own.forward_packed([tree.request([]) for tree in trees])
    assert own.context.free_sequences == own.context.sequences - len(trees)


def kept_after(own: Any, prompts: Sequence[range]) -> list[int]:
    """The first tokens of what is kept, once these are read."""
    own.prompts.budget = 2**30
    for prompt in prompts:
        tree = TokenTree(own)
        tree.append(prompt)
        tree.read([])
        own.prompts.keep(prompt, own.window, tree.close())
    return [kept.tokens[0] for kept in own.prompts._kept]


def test_kept_prompts_make_room_for_an_answer() -> None:
    own = runner(gguf("llama"), 256)
    assert kept_after(own, [range(9, 109), range(300, 490)]) == []
    own.context.collect()
    assert own.context.free_sequences == own.context.sequences


def test_kept_prompts_leave_half_of_a_context_and_most_sequences_to_answers() -> None:
    own = runner(gguf("llama"), 256)
    assert kept_after(own, [range(9, 69), range(100, 160), range(200, 260)]) == [100, 200]
    own = runner(gguf("llama"), 1024)
    count = own.context.sequences // 8
    assert kept_after(own, [range(at, at + 9) for at in range(count + 3)]) == list(
        range(3, count + 3)
    )


def test_more_leaves_than_sequences() -> None:
    own = runner(gguf("llama"))
    tree = TokenTree(own)
    tree.append([5, 6, 7])
    with pytest.raises(ContextFullError, match="sequences"):
        tree.read([tree.root.child(token) for token in range(own.context.sequences + 1)])
    tree.read([tree.root.child(token) for token in range(9)])
    assert own.context.free_sequences == own.context.sequences - 9


def test_a_cache_that_is_dropped_gives_everything_back() -> None:
    own = runner(gguf("gemma3"))
    for _ in range(50):
        tree = TokenTree(own)
        tree.append(list(range(60)))
        tree.read([tree.root.child(token) for token in range(20)])
        del tree
    own.context.collect()
    assert len(own.context._free) == own.context.sequences
