"""Rules of deciding on records made by hand, and what the report makes of them."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from adafuse.fitting.mixture import fit_mixture
from benchmarks.__main__ import app
from benchmarks.decisions.borders import borders_of, is_hit, is_stop
from benchmarks.decisions.fitting import cross_fitted, fit_weights, halves
from benchmarks.decisions.report import compared, differences
from benchmarks.decisions.rules import outcomes, weighted

NAMES = ["a", "b"]


def _border(
    word: str | None,
    candidates: dict[str | None, tuple[tuple[float, int], tuple[float, int]]],
    drafts: dict[str, list[str | None]],
    *,
    confident: tuple[bool, bool] = (False, False),
    entropies: tuple[float, float] = (1.0, 1.0),
) -> dict[str, Any]:
    """Candidates as (probability, tokens) of both members; half of each is the border's."""
    texts = list(candidates)

    def numbers(text: str | None, member: int) -> list[float]:
        likely, count = candidates[text][member]
        if text is None:
            return [math.log(likely), count, 0.0]
        return [math.log(2 * likely), count, math.log(0.5)]

    return {
        "word": word,
        "members": {
            name: {
                "margin": 0.1,
                "confident": confident[at],
                "entropy": entropies[at],
                "drafts": [[texts.index(text), rank] for rank, text in enumerate(drafts[name])],
                "reference": numbers(word, at),
            }
            for at, name in enumerate(NAMES)
        },
        "candidates": [
            {
                "text": text,
                "likelihoods": {name: numbers(text, at) for at, name in enumerate(NAMES)},
            }
            for text in texts
        ],
        "reference": texts.index(word),
    }


def _record(
    borders: list[dict[str, Any]], row: str = "1", rates: tuple[float, float] = (1.0, 2.0)
) -> dict[str, Any]:
    words = [border["word"] for border in borders if border["word"] is not None]
    return {
        "key": row, "row": row, "kind": "answers", "words": words, "stops": ["\n"],
        "ends": borders[-1]["word"] is None, "borders": borders,
        "prompt": {"a": [rates[0], 1], "b": [rates[1], 1]},
    }  # fmt: skip


# `a` finds " cat" likely and is vetoed by a mean of logarithms; per token " do-si-do" is cheap.
WORDS = {
    " cat": ((0.4, 1), (0.001, 1)),
    " dog": ((0.02, 1), (0.1, 1)),
    " do-si-do": ((0.01, 6), (0.01, 6)),
    None: ((0.05, 1), (0.05, 1)),
}
DRAFTS: dict[str, list[str | None]] = {"a": [" cat", " dog"], "b": [" dog", " do-si-do"]}


def _hits(record: dict[str, Any], branches: int) -> dict[str, float]:
    found = outcomes(borders_of([record], NAMES), [0, 1], NAMES, branches)
    return {rule: outcome.hits[0] for rule, outcome in found.items()}


def test_each_rule_takes_its_own_word() -> None:
    taken = {
        text: _hits(_record([_border(text, WORDS, DRAFTS)]), 2)
        for text in (" cat", " dog", " do-si-do")
    }
    rules = list(taken[" cat"])
    chosen = {rule: next((t for t, hits in taken.items() if hits[rule]), None) for rule in rules}
    assert chosen["greedy a"] == " cat"
    assert chosen["greedy b"] == " dog"
    assert chosen["paper"] == " do-si-do"
    assert chosen["mean per byte"] == " do-si-do"
    assert chosen["mean per word"] == " dog"
    assert chosen["words mixture"] == " cat"
    assert chosen["words product"] == " dog"
    assert chosen["words judged by a"] == " cat"
    assert chosen["words judged by b"] == " dog"
    assert chosen["words of b alone"] == " dog"


def test_how_sure_a_member_is_shifts_its_weight() -> None:
    for entropies, expected in (((0.1, 4.0), 1.0), ((6.0, 0.1), 0.0)):
        record = _record([_border(" cat", WORDS, DRAFTS, entropies=entropies)])
        assert _hits(record, 2)["words mixture x sure"] == expected
        assert _hits(record, 2)["words mixture"] == 1


def test_branches_and_margins_bound_the_pool() -> None:
    record = _record([_border(" do-si-do", WORDS, DRAFTS)])
    assert _hits(record, 2)["paper"] == 1
    assert _hits(record, 1)["paper"] == 0  # it is not drafted
    record = _record([_border(" do-si-do", WORDS, DRAFTS, confident=(False, True))])
    assert _hits(record, 2)["paper"] == 0


def test_nats_are_of_the_reference_whether_it_was_drafted_or_not() -> None:
    record = _record([_border(" do-si-do", WORDS, {"a": [" cat"], "b": [" dog"]})])
    found = outcomes(borders_of([record], NAMES), [0, 1], NAMES, 1)
    assert found["words mixture"].nats == pytest.approx([-math.log(0.01)])
    assert found["greedy a"].nats == pytest.approx([-math.log(0.01)])
    record = _record([_border(" cat", WORDS, DRAFTS)])
    found = outcomes(borders_of([record], NAMES), [0, 1], NAMES, 1)
    assert found["words mixture"].nats == pytest.approx([-math.log(0.2005)])
    assert found["words product"].nats == pytest.approx([-math.log(0.4 * 0.001) / 2])
    assert not found["paper"].nats


def test_what_completes_a_stop_is_the_end() -> None:
    candidates = {
        "\n\nQuestion:": ((0.3, 3), (0.01, 3)),
        " more": ((0.32, 1), (0.2, 1)),
        None: ((0.1, 1), (0.25, 1)),
    }
    drafts: dict[str, list[str | None]] = {"a": ["\n\nQuestion:", " more"], "b": [" more"]}
    record = _record([_border(" Paris", {**WORDS, " Paris": WORDS[" dog"]}, DRAFTS),
                      _border(None, candidates, drafts)])  # fmt: skip
    border = borders_of([record], NAMES)[1]
    assert border.stops.tolist() == [True, False, False]
    assert border.hits.tolist() == [True, False, True]
    words = np.exp(border.words(2)[border.end])
    assert words == pytest.approx([0.4, 0.25])  # `b` did not draft it
    found = outcomes([border], [0, 1], NAMES, 2)
    assert found["words mixture"].hits == [1]
    assert found["words mixture"].nats == pytest.approx([-math.log(0.325)])
    assert found["words judged by b"].hits == [1]


def test_words_that_differ_in_blanks_behind_them_may_be_one() -> None:
    """A tokenizer with a token `:\\n` seldom writes `:` alone, and splits the others' votes."""
    candidates: dict[str | None, Any] = {
        "x:": ((0.25, 1), (0.01, 1)),
        "x:\n": ((0.01, 1), (0.35, 1)),
        "y": ((0.3, 1), (0.2, 1)),
        None: ((0.1, 1), (0.1, 1)),
    }
    drafts: dict[str, list[str | None]] = {"a": ["x:", "y"], "b": ["x:\n", "y"]}
    second = _border("\n    z", {**candidates, "\n    z": ((0.1, 1), (0.1, 1))}, drafts)
    record = _record([_border("x:", candidates, drafts), second])
    record["stops"] = []
    border = borders_of([record], NAMES)[0]
    assert border.hits.tolist() == [True, True, False, False]
    found = outcomes([border], [0, 1], NAMES, 2)
    assert found["words mixture"].hits == [0]
    assert found["words mixture, blanks joined"].hits == [1]
    assert found["words mixture, blanks joined"].nats == pytest.approx([-math.log(0.31)])


def test_hits_and_stops() -> None:
    assert is_hit(" cat", [" cat", " sat"], ())
    assert not is_hit(" ca", [" cat"], ())
    assert not is_hit(" cats", [" cat", " sat"], ())
    assert is_hit("x:\n", ["x:", "\n    y"], ())
    assert not is_hit("x:\n\n", ["x:", "\n    y"], ())
    assert is_hit("Rome\n", ["Rome"], ("\n",))
    assert not is_hit("Rome\n", ["Rome"], ())
    assert is_hit("我们", ["我", "们是"], ())
    assert is_hit("我", ["我们", "是"], ())
    assert is_stop("\n\nQ", "It is.", ("\n",))
    assert not is_stop("4\n", "It is ", ("\n",))
    assert is_stop("\nQuestion", "4.\n", ("\n\n",))
    assert not is_stop(" 4", "It is.", ("\n",))


def test_fitted_weights_are_the_likeliest_mixture() -> None:
    rng = np.random.default_rng(0)
    logprobs = np.log(rng.dirichlet([1, 1, 1], size=400))[:, :2]
    weights = fit_mixture(logprobs)

    def nats(weight: float) -> float:
        mixed = weight * np.exp(logprobs[:, 0]) + (1 - weight) * np.exp(logprobs[:, 1])
        return float(-np.log(mixed).mean())

    best = min(np.linspace(0, 1, 1001), key=nats)
    assert weights[0] == pytest.approx(best, abs=2e-3)
    assert weights.sum() == pytest.approx(1)
    useless = np.stack([logprobs[:, 0], logprobs[:, 0] - 3], axis=1)
    assert fit_mixture(useless)[1] < 1e-3


def test_a_prompt_tells_who_should_speak() -> None:
    """Half of the texts are the first member's, half the second's: fixed weights cannot know."""
    good, bad = math.log(0.5), math.log(0.001)
    logprobs = np.array([[good, bad], [bad, good]] * 40)
    rates = np.array([[1.0, 3.0], [3.0, 1.0]] * 40)
    base, factors = fit_weights(logprobs, [rates])
    assert np.exp(base[0] - base[1]) == pytest.approx(1, abs=0.1)
    assert factors[0] > 2
    first = np.array([True, True, False, False] * 20)
    weights, told = cross_fitted(logprobs, first, [rates])
    assert np.exp(weights).sum(axis=1) == pytest.approx(1)
    assert (np.exp(weights)[::2, 0] > 0.95).all()
    assert len(told) == 2
    alone, _ = cross_fitted(logprobs, np.ones(80, dtype=bool))
    assert np.exp(alone) == pytest.approx(np.full((80, 2), 0.5))
    plain, _ = cross_fitted(logprobs, first)
    assert np.exp(plain) == pytest.approx(np.full((80, 2), 0.5), abs=0.01)


def _many() -> list[dict[str, Any]]:
    borders = [_border(" cat", WORDS, DRAFTS), _border(" dog", WORDS, DRAFTS)]
    return [_record(borders[: 1 + n % 2], str(n)) for n in range(12)]


def test_halves_keep_rows_together() -> None:
    borders = borders_of(_many(), NAMES)
    first = halves(borders, 0)
    assert {b.row for b, one in zip(borders, first, strict=True) if one}.isdisjoint(
        b.row for b, one in zip(borders, first, strict=True) if not one
    )
    assert len({b.row for b, one in zip(borders, first, strict=True) if one}) == 6


def test_differences_are_paired_over_rows() -> None:
    borders = borders_of(_many(), NAMES)
    rules = compared({"answers": borders}, NAMES, [0, 1], 0)["answers"]
    found = differences(borders, rules, 0)
    mixture = found["words mixture, B=3"]
    assert mixture["hits"] == pytest.approx(100 * 12 / 18, abs=0.01)
    assert found["paper, B=3"]["hits"] == 0
    mean, low, high = mixture["against"]["paper"]
    assert mean == pytest.approx(100 * 12 / 18, abs=0.01)
    assert low < mean < high <= 100
    assert found["greedy a, B=3"]["best member"]
    assert mixture["against"]["best member"] == [0, 0, 0]
    fitted = found["words mixture fitted, B=3"]
    alone = min(found[f"greedy {name}, B=3"]["nats"] for name in NAMES)
    assert fitted["nats"] < alone
    assert fitted["against"]["nats of the best member"][0] == pytest.approx(
        fitted["nats"] - alone, abs=1e-3
    )
    one = weighted(borders, [0, 1], 3, np.log(np.full((18, 2), 0.5)))
    assert one.nats == pytest.approx(rules["words mixture, B=3"].nats)


def test_a_report_from_records(tmp_path: Path) -> None:
    nothing = CliRunner().invoke(app, ["decisions", "--report", "--out", str(tmp_path)])
    assert "no records" in str(nothing.exception)
    (tmp_path / "run.json").write_text(json.dumps({"members": NAMES}))
    lines = "".join(f"{json.dumps(record)}\n" for record in _many())
    for kind in ("answers", "prose"):
        (tmp_path / f"{kind}.jsonl").write_text(lines)
    shown = CliRunner().invoke(app, ["decisions", "--report", "--out", str(tmp_path)])
    assert shown.exit_code == 0, shown.output
    assert "answers, a + b: 18 borders of 12 texts" in shown.output
    report = json.loads((tmp_path / "report.json").read_text())
    rows = report["kinds"]["prose"]["ensembles"]["a + b"]
    assert rows["words mixture fitted on all kinds by prompt, B=3"]["fitted"][0]["weights"]
    assert report["run"]["members"] == NAMES
