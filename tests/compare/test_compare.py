"""Comparing members, their ensemble and variants: scripted members, whose answers are known."""

import json
from pathlib import Path
from typing import Any

import pytest

from adafuse import ConfigError, DecodingError, Ensemble
from adafuse.testing import ScriptedMember

pytest.importorskip("torchmetrics")

from adafuse.compare import Comparison, Layout, compare
from adafuse.compare.systems import read_variant

ROWS = [{"question": f"{n}?", "answers": [f"answer {n}"]} for n in range(12)]


def _knows(name: str, known: range, **more: Any) -> ScriptedMember:
    """A member that knows some of the answers, and is not sure of any."""

    def answer(question: str) -> str:
        number = int(question.rstrip("?"))
        return f"answer {number}" if number in known else "no idea"

    return ScriptedMember(answer, name=name, confident=False, **more)


def _pair() -> Ensemble:
    return Ensemble([_knows("a", range(6)), _knows("b", range(3, 12), weight=2.0)])


def test_members_ensemble_and_variants_are_compared() -> None:
    found = compare(_pair(), ROWS, variants={"a leads": {"weights": [3, 1]}})
    assert [one.name for one in found.systems] == ["a", "b", "ensemble", "a leads"]
    assert found.metrics == ("exact match", "F1")
    means = [one.mean("exact match") for one in found.systems]
    assert means == [6 / 12, 9 / 12, 9 / 12, 6 / 12]
    assert found.best_member.name == "b"
    assert found["ensemble"].given[4].text == "answer 4"
    assert found["ensemble"].given[0].words == {"a": 0, "b": 2}
    difference = found.difference(found["a"])
    assert difference.low <= difference.mean == -0.25 <= difference.high
    assert found.difference(found["ensemble"]).certain is False
    with pytest.raises(KeyError):
        found["c"]


def test_intervals_are_paired_and_repeatable() -> None:
    one, again = compare(_pair(), ROWS, seed=3), compare(_pair(), ROWS, seed=3)
    assert one.interval(one["a"]) == again.interval(again["a"])
    interval = one.interval(one["a"])
    assert 0.2 < interval.low < 0.5 < interval.high < 0.8
    same = one.difference(one["ensemble"], one["b"])  # the same answers: no spread at all
    assert (same.mean, same.low, same.high) == (0, 0, 0)


def test_an_interrupted_comparison_goes_on(tmp_path: Path) -> None:
    asked: list[str] = []
    limit = 10

    def answer(question: str) -> str:
        asked.append(question)
        if len(asked) > limit:
            raise KeyboardInterrupt
        return "answer 1"

    members = [ScriptedMember(answer, name="a"), ScriptedMember("x", name="b")]
    with pytest.raises(KeyboardInterrupt):
        compare(Ensemble(members), ROWS, folder=tmp_path)
    ledger = tmp_path / "ledger.jsonl"
    kept = len(ledger.read_text().splitlines())
    with ledger.open("a") as file:
        file.write('{"key": "cut shö')  # as if the machine had gone down while writing
    ledger.write_bytes(ledger.read_bytes()[:-1])
    asked.clear()
    limit = 1000
    found = compare(Ensemble(members), ROWS, folder=tmp_path)
    assert 0 < kept < 36
    assert len(asked) == 24 - 10  # each question once alone and once together, less those there
    asked.clear()
    again = compare(Ensemble(members), ROWS, folder=tmp_path)
    assert not asked
    assert again.summary() == found.summary()
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert len(answers) == 36
    assert {one["system"] for one in answers} == {"a", "b", "ensemble"}
    compare(Ensemble(members), ROWS, folder=tmp_path, max_new_tokens=3)
    assert len(asked) == 24  # other settings: other answers


def test_a_ledger_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(ConfigError, match="no answer of a comparison"):
        compare(_pair(), ROWS, folder=tmp_path)


def test_the_best_pair_and_setting_are_chosen_on_other_questions() -> None:
    three = Ensemble([_knows("a", range(2)), _knows("b", range(6)), _knows("c", range(6, 12))])
    found = compare(three, ROWS, dev=6, variants={"1 branch": {"branches": 1}}, preset="paper")
    assert len(found.questions) == 6
    assert found.questions[0].row is ROWS[6]
    assert "pair chosen on 6 other questions by exact match: b + c" in found.notes[0]
    assert "setting chosen" in found.notes[1]
    assert [one.name for one in found.systems] == ["a", "b", "c", "ensemble"]
    assert found["ensemble"].members == ("b", "c")
    with pytest.raises(ConfigError, match="some must be left to report"):
        compare(three, ROWS, dev=12)


def test_settings_of_members_that_were_not_chosen() -> None:
    three = Ensemble([_knows(name, range(12)) for name in "abc"])
    variants = {
        "weighed": {"weights": [1, 2, 3]},
        "last": {"weights": [0, 0, 1]},
    }
    found = compare(three, ROWS, dev=3, variants=variants, weights=[3, 2, 1])
    assert "a + b" in found.notes[0]
    assert all(name in found.notes[1] for name in ("weighed", "last"))


def test_failures_are_asked_again_and_all_of_them_are_an_error(tmp_path: Path) -> None:
    rows = [{"question": "10?", "answer": "answer 10"}]
    small, large = (
        Ensemble([_knows(name, range(12), window=window) for name in "ab"]) for window in (2, 99)
    )
    with pytest.raises(DecodingError, match="no question could be answered"):
        compare(small, rows, folder=tmp_path)
    found = compare(large, rows, folder=tmp_path)
    assert found["ensemble"].given[0].text == "answer 10"


def test_a_members_own_weight_makes_another_answer(tmp_path: Path) -> None:
    for weight, text in ((0.1, "answer 1"), (10.0, "no idea")):
        pair = Ensemble([_knows("a", range(0), weight=weight), _knows("b", range(12))])
        found = compare(pair, ROWS[1:2], folder=tmp_path)
        assert found["ensemble"].given[0].text == text


def test_a_question_that_cannot_be_answered_counts_as_wrong() -> None:
    small = Ensemble([_knows("a", range(12)), ScriptedMember("x", name="b", window=3)])
    rows = [{"question": "1?", "answers": "answer 1"}, {"question": "10?", "answers": "answer 10"}]
    found = compare(small, rows)
    assert [one.failed for one in found.systems] == [0, 1, 1]
    assert "'b'" in found["ensemble"].given[1].error
    assert found["b"].scores["F1"] == (0.0, 0.0)


def test_a_function_of_the_users_scores() -> None:
    found = compare(_pair(), ROWS, metric=lambda answer, row: row["question"][0] in answer)
    assert found["b"].mean("<lambda>") == 9 / 12
    with pytest.raises(ConfigError, match="must give a number"):
        compare(_pair(), ROWS, metric=lambda answer, row: "good")


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ([], {}, "no questions"),
        ([{"question": "1?"}], {}, "row 1 has no right answer"),
        ([{"text": "x", "answer": "y"}], {}, "row 1: it has none of 'messages'"),
        ([{"question": "1?", "answer": {}}], {}, "row 1: answer must be"),
        (["x"], {}, "row 1 must be an object"),
        (ROWS, {"metric": "rouge"}, "unknown metric 'rouge'"),
        (ROWS, {"metric": "no_such_module:f"}, "cannot be imported"),
        (ROWS, {"variants": {"v": {"branch": 1}}}, "v: unknown setting 'branch'; did you mean"),
        (ROWS, {"variants": {"v": {"weights": [1, 2, 3]}}}, "v: weights has 3 numbers"),
        (ROWS, {"variants": {"v": {"rule": "z"}}}, "v: rule must be one of"),
        (ROWS, {"max_words": 0}, "max_words must be"),
        (ROWS, {"traces": True}, "name one"),
        (ROWS, {"layout": Layout("{{ question")}, "template cannot be filled in"),
        (ROWS, {"layout": Layout("{{ questoin }}")}, "template cannot be filled in"),
        ("no/such/file.jsonl", {}, "cannot be read"),
        (ROWS, {"variants": {"ensemble": {"branches": 1}}}, "named like another system: ensemble"),
        (ROWS, {"metric": lambda answer, row: row["no"]}, "failed: KeyError"),
        (ROWS, {"seed": -1}, "seed must be"),
        ([{"messages": ["hi"], "answer": "x"}], {}, "messages must be objects"),
        ([{"messages": [], "answer": "x"}], {"layout": Layout(system="S")}, "has messages"),
        ([{"question": "?", "choices": 5, "answer": "x"}], {}, "choices must be"),
        ([{"question": "?", "answer": "\ud800"}], {}, "lone surrogate"),
        ([{"question": 1, "answer": "x"}], {"layout": Layout("{{ question + 'a' }}")}, "filled in"),
    ],
)
def test_what_is_wrong_is_refused(rows: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        compare(_pair(), rows, **options)
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_one_model_is_no_comparison() -> None:
    with pytest.raises(ConfigError, match="at least two models"):
        compare(Ensemble([_knows("a", range(3))]), ROWS)


def test_variants_are_read_from_one_line() -> None:
    assert read_variant("branches=1 weights=[1,2]") == (
        "branches=1 weights=[1,2]",
        {"branches": 1, "weights": [1, 2]},
    )
    assert read_variant("mine: combine=product stop='a b'") == (
        "mine",
        {"combine": "product", "stop": "a b"},
    )
    assert read_variant("pool_stops=False")[1] == {"pool_stops": False}
    for wrong in ("", "x:", "branches", "branch=1", "seed='", "branches=0"):
        with pytest.raises(ConfigError):
            read_variant(wrong)


def test_the_summary_is_plain_json() -> None:
    found: Comparison = compare(_pair(), ROWS)
    summary = json.loads(json.dumps(found.summary()))
    assert summary["best member"] == "b"
    assert [one["name"] for one in summary["systems"]] == ["a", "b", "ensemble"]
    assert set(summary["systems"][0]["scores"]) == {"exact match", "F1"}
