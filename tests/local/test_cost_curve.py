"""What forwards cost decides how much is read ahead, and nothing else."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adafuse import Ensemble
from adafuse.config import DecodingConfig
from adafuse.loading import costs, loader
from adafuse.local import forward_cost, guesses
from adafuse.local.cost_curve import CostCurve
from adafuse.local.logits import NextTokenStats
from adafuse.local.member import LocalMember
from adafuse.local.speculation import Speculator
from adafuse.local.token_tree import Node
from adafuse.local.tree_check import prepare
from families import family
from speculation_cases import PROMPTS, members, same, settings

FREE = CostCurve(((1, 10), (64, 10)))
ALL_ALIKE = CostCurve(((1, 1), (64, 64)))  # every token costs one
FIFTH = CostCurve(((1, 10), (64, 136)))  # each further token a fifth of the first


def test_a_curve_is_linear_between_its_points_and_beyond_them() -> None:
    curve = CostCurve(((1, 10), (4, 40), (16, 40)))
    assert [curve.cost(n) for n in (1, 2, 4, 10, 16, 20)] == [10, 20, 40, 40, 40, 40]
    assert ALL_ALIKE.cost(100) == 100
    two = FIFTH.shared(2)
    assert (two.cost(1), two.widest) == (6, 32)  # half of a forward of two tokens
    assert two.cost(3) - two.cost(2) == pytest.approx(2)  # a further token costs what it did
    for wrong in ((), ((1, 2),), ((1, 2), (1, 3)), ((1, 2), (4, 1))):
        with pytest.raises(ValueError, match="must rise"):
            CostCurve(wrong)


@pytest.mark.parametrize(
    ("curve", "width", "chances", "worth"),
    [
        (FREE, 1, [0.9, 0.1, 0.01], 3),
        (FREE, 1, [0.9, 0.0], 1),  # what saves nothing is not read for nothing
        (FREE, 60, [0.5] * 9, 4),  # no further than was measured
        (FREE.shared(1, 2), 1, [0.5] * 9, 2),  # nor than a runner can take
        (ALL_ALIKE, 1, [1.0, 0.9], 0),
        (FIFTH, 1, [0.5, 0.3, 0.19, 0.1], 2),  # 0.2 of a forward each
        (FIFTH, 30, [0.5, 0.3, 0.19, 0.1], 2),
        (CostCurve(((1, 10), (4, 40), (16, 40))), 1, [0.9] * 15, 15),  # 3 too dear, 12 for nothing
        (CostCurve(((1, 10), (4, 40), (16, 40))), 1, [0.9] * 3, 0),
        (CostCurve(((1, 10), (4, 10), (16, 130))), 1, [0.9] * 5, 3),  # 3 for nothing
    ],
)
def test_guesses_are_read_as_far_as_they_save_more_than_they_cost(
    curve: CostCurve, width: int, chances: list[float], worth: int
) -> None:
    assert curve.worthwhile(width, chances) == worth


@pytest.fixture
def halves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chances to reckon with by hand."""
    monkeypatch.setattr(
        guesses,
        "CHANCES",
        {"hint": (0.8, 0.5), "likely": (1.0, 0.5), "word": (0.0, 0.0), "quotation": (0.5, 0.5),
         "follower": (0.0, 0.0)},
    )  # fmt: skip


def speculator(curve: CostCurve | None) -> Speculator:
    """Of a prompt that repeats itself: 3, 1, 2, 3, 1, 2 would be a quotation."""
    return Speculator(
        [1, 2, 3, 1, 2], {0}, lambda token: True, DecodingConfig(),
        width=lambda: 16, curve=lambda: curve, free=lambda: True, room=100,
    )  # fmt: skip


def read_ahead(curve: CostCurve | None, waiting: int = 1) -> list[int]:
    """Tokens of the quotation that are read with the prefix's last ones."""
    nodes = speculator(curve).beside(Node(-1, None, 0), [], waiting)
    assert [node.depth for node in nodes] == list(range(1, len(nodes) + 1))
    return [node.token for node in nodes]


def test_the_curve_decides_how_much_of_a_quotation_is_read(halves: None) -> None:
    whole = [3, 1, 2, 3, 1, 2]
    assert read_ahead(FREE) == read_ahead(None) == whole
    assert read_ahead(ALL_ALIKE) == []
    assert read_ahead(FIFTH) == whole[:2]  # 0.5 and 0.25 of a forward, not 0.125
    assert read_ahead(FIFTH.shared(2)) == whole[:1]  # 2 of 6: chances above a third
    assert read_ahead(FIFTH.shared(4)) == []  # 2 of 4: above a half
    assert read_ahead(FREE, waiting=60) == whole[:4]
    assert read_ahead(FREE, waiting=64) == []
    assert read_ahead(None, waiting=17) == []


def stats(token: int, others: dict[int, float]) -> NextTokenStats:
    ids, logits = np.array(list(others), dtype=np.float32), np.array(list(others.values()))
    return NextTokenStats((token,), 0.9, -9.0, 0.0, 0.0, True, ids, logits)


def test_the_best_guesses_come_first_whatever_their_kind(halves: None) -> None:
    """The member's own next token counts by how likely the answer gets there."""
    root = Node(-1, None, 0, row=torch.zeros(1), next=stats(7, {7: -0.5}))
    reached = root.child(7)
    reached.row, reached.next = torch.zeros(1), stats(8, {})
    one = speculator(CostCurve(((1, 10), (64, 640 * 0.7))))  # 7 more for each token
    assert [node.token for node in one.beside(root, [], 1)] == []  # 0.61, 0.5
    one = speculator(CostCurve(((1, 10), (64, 10 + 63 * 5.5))))
    assert [node.token for node in one.beside(root, [], 1)] == [8]  # exp(-0.5) is 0.61
    one.hint([[4, 5]])
    assert [node.token for node in one.beside(root, [], 1)] == [4, 8]  # 0.8, 0.61; not 0.5
    assert next(node.token for node in speculator(FREE).beside(root, [], 1)) == 8


@pytest.mark.parametrize("curve", [FREE, ALL_ALIKE, FIFTH])
@pytest.mark.parametrize("number", range(6))
def test_no_answer_depends_on_a_curve(curve: CostCurve, number: int) -> None:
    ensemble = Ensemble(members(number, cache=8))
    prompt, given = PROMPTS[number % len(PROMPTS)], settings(number)
    plain = ensemble.generate(prompt, speculation=False, **given)
    for member in ensemble.members:
        assert isinstance(member, LocalMember)
        member.runner.cost_curve = curve
    assert same(plain, ensemble.generate(prompt, **given)) >= 0.9 * len(plain.rounds)
    rows = ensemble.generate_batch([prompt, prompt + " "], **given)
    assert same(plain, rows[0]) >= 0.9 * len(plain.rounds)


def test_members_read_ahead_as_their_curve_says() -> None:
    def cost(curve: CostCurve | None, **given: Any) -> tuple[int, int]:
        member = LocalMember(*family("llama", 1), "m", prompt_cache_mb=0, cost_curve=curve)
        answer = Ensemble([member]).generate(PROMPTS[0], max_new_tokens=32, **given)
        usage = answer.usage["m"]
        return usage.forward_passes, usage.tokens_processed - usage.prompt_tokens

    plain, free, dear = cost(None, speculation=False), cost(FREE), cost(ALL_ALIKE)
    assert dear == plain
    assert free[0] < plain[0]
    assert free[1] > cost(FIFTH)[1] >= plain[1]
    assert cost(FREE) == free  # the same each time


def test_forwards_of_a_model_are_timed_and_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = prepare(family("llama")[0], "m")
    widths: list[int] = []
    forward = runner.forward

    def noted(request: Any) -> torch.Tensor:
        widths.append(len(request.tokens))
        return forward(request)

    runner.forward = noted  # type: ignore[method-assign]
    curve = forward_cost.measure(runner)
    assert tuple(n for n, _ in curve.points) == forward_cost.WIDTHS == (1, 4, 16, 64)
    assert all(milliseconds > 0 for _, milliseconds in curve.points)
    assert sorted(set(widths)) == [1, 4, 16, 64]
    assert len(widths) <= 1 + 4 * len(forward_cost.WIDTHS)
    monkeypatch.setattr(forward_cost, "_LONGEST", 0.0)  # a slow model
    assert [n for n, _ in forward_cost.measure(runner).points] == [1, 4]
    monkeypatch.undo()
    small = prepare(family("gpt2", n_positions=40)[0], "small")
    assert [n for n, _ in forward_cost.measure(small).points] == [1, 4, 16]


def test_a_curve_is_measured_once_for_a_model_and_a_way_to_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADAFUSE_CACHE", str(tmp_path / "cache"))
    cpu, asked = torch.device("cpu"), []

    def kept(content: str, options: str) -> CostCurve:
        def measure() -> CostCurve:
            asked.append((content, options))
            return FIFTH

        return costs.kept_curve(content, options, cpu, measure)

    assert [kept("a", "float32") for _ in range(3)] == [FIFTH] * 3
    kept("a", "bfloat16")
    kept("b", "float32")
    assert asked == [("a", "float32"), ("a", "bfloat16"), ("b", "float32")]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    kept("a", "float32")
    assert len(asked) == 4
    file = tmp_path / "cache" / "costs.json"
    assert len(json.loads(file.read_text())) == 4
    for broken in ("", "[]", "{", file.read_text().replace("136", '"x"')):
        file.write_text(broken)
        count = len(asked)
        assert kept("a", "float32") == FIFTH
        assert len(asked) == count + 1
    file.unlink()
    file.mkdir()  # nothing can be written there
    assert [kept("a", "float32") for _ in range(2)] == [FIFTH] * 2


def test_loaded_members_are_measured_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model, tokenizer = family("llama")
    model.save_pretrained(tmp_path / "m")
    tokenizer.save_pretrained(tmp_path / "m")
    monkeypatch.setenv("ADAFUSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(loader, "member_curve", costs.member_curve)
    measured: list[str] = []

    def measure(runner: Any) -> CostCurve:
        measured.append(str(runner.model.dtype))
        return FREE

    monkeypatch.setattr(costs, "measure", measure)
    caplog.set_level(logging.INFO)
    for dtype in ("float32", "float32", "bfloat16", "bfloat16"):
        (member,) = Ensemble.load([str(tmp_path / "m")], dtype=dtype).members
        assert isinstance(member, LocalMember)
        assert member.runner.cost_curve == FREE
        del member
    assert measured == ["torch.float32", "torch.bfloat16"]

    def fails(runner: Any) -> CostCurve:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(costs, "measure", fails)
    (member,) = Ensemble.load([str(tmp_path / "m")], dtype="float64").members
    assert isinstance(member, LocalMember)
    assert member.runner.cost_curve is None
