"""The demo pair's own GGUF files in llama.cpp, and a third that `ADAFUSE_GGUF` names.

Their weights and what they multiply are rounded, by other kernels for other widths of a batch: in
the same batches answers are llama.cpp's own, token by token; in others they part at near-ties.
"""

from __future__ import annotations

import functools
import json
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import corpus
import oracle
from adafuse import Ensemble
from adafuse.demo.models import gguf_files
from adafuse.local.member import LocalMember
from adafuse.local.token_tree import TokenTree
from adafuse.prompting.prompt import read_prompt
from gguf_models import PlainLlama, member, runner, unpacked
from parity import compare
from real_pair import real_pair

pytestmark = pytest.mark.real

PROMPTS = [*corpus.ENGLISH[:14], *corpus.GERMAN[:3], *corpus.CODE[:3]]
NAMES = ["smollm2", "gemma3", "third"]
NEAR = 0.01
"""A round whose deciding gap is below this could go either way: Gemma's GELU is rounded."""
CLEAR = 0.3
"""Share of the logits' spread by which other batches move a logit, on a text: rarely more."""


@functools.cache
def file_of(name: str) -> Path:
    if name == "third":
        if not (path := os.environ.get("ADAFUSE_GGUF")):
            pytest.skip("ADAFUSE_GGUF names no third GGUF file")
        return Path(path)
    return gguf_files()[name]


@functools.cache
def own(name: str) -> Any:
    return member(file_of(name), 8192)


@functools.cache
def plain(name: str) -> PlainLlama:
    return PlainLlama(file_of(name), cells=4096)


@pytest.mark.parametrize("name", NAMES)
def test_greedy_decoding_is_llama_cpps_own(name: str) -> None:
    alone, together = Ensemble([own(name)]), 0
    own(name).runner.prompts.budget = 0
    for prompt in PROMPTS:
        options = {"branches": 1, "max_new_tokens": 64, "prompt_format": "raw"}
        ids = own(name).render(read_prompt(prompt, "raw")).ids
        right = plain(name).greedy(ids, 64, own(name).end_ids)
        usage = alone.generate(prompt, speculation=False, **options).usage[own(name).name]
        assert list(usage.token_ids) == right, prompt
        guessed = alone.generate(prompt, **options).usage[own(name).name]
        same = next(
            (at for at, (a, b) in enumerate(zip(guessed.token_ids, right, strict=False)) if a != b),
            len(right),
        )
        together += same == len(right)
        if same < len(right):
            row = torch.from_numpy(plain(name).read([*ids, *right[:same]], last=True)[0])
            best, second = row.topk(2).values.tolist()
            assert best - second < CLEAR * float(row.std()), (prompt, same)
    print(f"{name}: with guesses too {together} of {len(PROMPTS)} are the same to the end")


@pytest.mark.parametrize("name", NAMES)
def test_trees_equal_their_lines_up_to_rounding(name: str) -> None:
    rng, furthest, typical = random.Random(0), 0.0, []
    for prompt in PROMPTS[:5]:
        ids = list(own(name).render(read_prompt(prompt, "raw")).ids)
        tree = TokenTree(own(name).runner)
        tree.append(ids)
        tree.read([])
        lines = [own(name).codec.encode(text)[:6] for text in rng.sample(PROMPTS, 4)]
        nodes = list(dict.fromkeys(node for line in lines for node in tree.line(line)))
        tree.read(nodes)
        for line in lines:
            rows = plain(name).read([*ids, *line])[len(ids) - 1 :]
            for node, row in zip(
                [tree.root, *tree.line(line)], map(torch.from_numpy, rows), strict=True
            ):
                assert node.row is not None
                off = (node.row - row).abs() / row.std()
                furthest = max(furthest, float(off.mean()))
                typical.append(float(off.mean()))
    print(f"{name}: mean {sum(typical) / len(typical):.4f}, at most {furthest:.4f} of the spread")
    assert furthest < CLEAR


def test_a_sliding_window_is_passed_and_a_long_prompt_read() -> None:
    """3,000 tokens in Gemma 3, whose window is 512; then back behind the window."""
    text = " ".join([*corpus.ENGLISH, *corpus.GERMAN] * 10)
    ids = own("gemma3").codec.encode_start(text, special_tokens=True)[:3000]
    assert len(ids) == 3000
    shared = own("gemma3").runner
    shared.prompts.budget = 2**30
    for count in (3000, 1100, 2000):
        tree = TokenTree(shared)
        prompt = [*ids[: count - 1], ids[7]] if count < 3000 else ids
        tree.append(prompt)
        if kept := shared.prompts.find(prompt, shared.window):
            tree.resume(*kept)
        assert (tree.length > 1000) == (count < 3000)
        line = tree.line(ids[50:54])
        tree.read(line)
        rows = map(torch.from_numpy, own_reading("gemma3", [*prompt, *ids[50:54]], 5))
        for node, row in zip([tree.root, *line], rows, strict=True):
            assert node.row is not None
            assert float((node.row - row).abs().mean() / row.std()) < CLEAR
        held = tree.length
        shared.prompts.keep(prompt[:held], shared.window, tree.close())
    shared.prompts.clear()


def own_reading(name: str, ids: list[int], rows: int) -> Any:
    """The last logits of a plain reading."""
    reader = plain(name)
    reader.read(ids[:-rows], last=True)
    return reader.read(ids[-rows:], len(ids) - rows)


@pytest.fixture(scope="module")
def in_float32() -> Iterator[dict[str, Path]]:
    """The pair's files unpacked: 1.6 GB for as long as they are needed."""
    pytest.importorskip("llama_cpp", reason="llama-cpp-python (extra llama-cpp) is not installed")
    with tempfile.TemporaryDirectory() as folder:
        yield {
            name: unpacked(file_of(name), Path(folder) / f"{name}.gguf")
            for name in ("smollm2", "gemma3")
        }


@pytest.mark.usefixtures("wide_cache")
def test_the_oracles_rounds_on_ten_prompts(in_float32: dict[str, Path]) -> None:
    tokenizers = {m.name: m.tokenizer for m in real_pair().members}  # type: ignore[attr-defined]
    asked = [
        oracle.OracleMember(name, PlainLlama(file), tokenizers[name])  # type: ignore[arg-type]
        for name, file in in_float32.items()
    ]
    fused = Ensemble(
        [LocalMember(runner(file), tokenizers[name], name) for name, file in in_float32.items()]
    )
    compared = total = 0
    for prompt in PROMPTS[:10]:
        answer, rounds = compare(
            asked, prompt, fused, near=NEAR, max_new_tokens=4, prompt_format="raw"
        )
        compared, total = compared + rounds, total + len(answer.rounds)
        print(prompt[:20], rounds, len(answer.rounds), flush=True)
    assert compared >= 0.6 * total, (compared, total)


def test_an_ensemble_answers_and_keeps_a_schema() -> None:
    pair = Ensemble.load([str(file_of("smollm2")), str(file_of("gemma3"))])
    assert "Paris" in pair.generate("The capital of France is", max_new_tokens=8).text
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "country": {"enum": ["France", "Spain"]}},
        "required": ["city", "country"],
    }
    answer = pair.generate(
        "Paris is a city in France. As JSON:", json_schema=schema, max_new_tokens=60
    )
    assert json.loads(answer.text)["country"] in ("France", "Spain")
