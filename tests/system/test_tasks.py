"""Whole answers on test sets: command lines, resuming, differences; members are scripted."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adafuse.compare import METRICS
from adafuse.compare.answers import Ledger, SystemAnswer
from adafuse.errors import ConfigError, DecodingError
from adafuse.spec import MemberSpec
from adafuse.testing import ScriptedMember
from benchmarks.__main__ import app
from benchmarks.members import PLAIN
from benchmarks.tasks import answering, command, results, systems
from benchmarks.tasks.catalogue import TASKS, questions_of

ROWS = [{"question": f"What is {at} and 1?", "answer": f"It is {at + 1}"} for at in range(7)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Rows of two tasks."""
    lines = [json.dumps(row) for row in ROWS]
    (tmp_path / "gsm8k.jsonl").write_text("\n".join(lines), encoding="utf-8")
    row = {"source": "A cat sleeps.", "reference": "Eine Katze schläft."}
    (tmp_path / "flores_en_de.jsonl").write_text(json.dumps(row), encoding="utf-8")
    return tmp_path


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The command with scripted members in place of models; a list of what they are asked."""
    asked: list[str] = []

    def answer(right: bool) -> Callable[[str], str]:
        def say(prompt: str) -> str:
            asked.append(prompt)
            if "German" in prompt:
                return "Eine Katze schläft." if right else "Ein Hund."
            return f"The answer is {int(prompt.split()[3]) + right}"

        return say

    members = {name: ScriptedMember(answer(name == "b"), name) for name in ("a", "b", "c")}
    monkeypatch.setattr(systems, "find_members", lambda given: dict.fromkeys(members, tmp_path))

    def load(specs: Sequence[MemberSpec]) -> list[ScriptedMember]:
        return [members[spec.name] for spec in specs if spec.name]

    monkeypatch.setattr("benchmarks.members._has_template", lambda folder: True)
    monkeypatch.setattr(command, "load_members", load)
    monkeypatch.setattr(command, "RESULTS", tmp_path / "tasks.json")
    return asked


def run(folder: Path, *options: str) -> dict[str, Any]:
    """The command's tables by task."""
    given = ["tasks", "--data", str(folder), "--folder", str(folder / "kept"), "--save", *options]
    found = CliRunner().invoke(app, given, env={"COLUMNS": "200"}, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    tables: dict[str, Any] = json.loads((folder / "tasks.json").read_text("utf-8"))["tables"]
    return tables


def test_a_system_is_for_every_ensemble_unless_it_names_members() -> None:
    given = [
        "paper=preset:paper",
        "mine@b+a=branches:2,weights:[0.3,0.7],stop:x",
        "search@c=seed:1",
    ]
    found = systems.plan(["a", "b", "c"], [], given)
    assert [one.name for one in found] == [
        *"abc", "a+b paper", "a+c paper", "b+c paper", "a+b+c paper", "b+a mine", "c search",
    ]  # fmt: skip
    mine = next(one for one in found if one.name == "b+a mine")
    assert mine.members == ("b", "a")
    assert mine.settings == {"branches": 2, "weights": [0.3, 0.7], "stop": "x"}
    assert [one.name for one in systems.plan(["a", "b", "c"], ["c+a"], ["x="])] == [
        "a",
        "c",
        "c+a x",
    ]


@pytest.mark.parametrize(
    ("ensemble", "system", "message"),
    [
        ("a+d", "x=seed:1", "no member 'd'"),
        ("a+b", "x@e=seed:1", "no member 'e'"),
        ("a+b", "x", "NAME=key:value"),
        ("a+b", "x=sead:1", "x: .*sead"),
        ("a+b", "x=branches:0", "x: branches"),
        ("a+b", "x=weights:[1", "cannot be read"),
        ("a+b", "x=none.yaml", "none.yaml cannot be read"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(ensemble: str, system: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        systems.plan(["a", "b"], [ensemble], [system])
    with pytest.raises(ConfigError, match="two systems are named 'a\\+b x'"):
        systems.plan(["a", "b"], [], ["x=seed:1", "x=seed:2"])


def test_a_fitted_file_has_members_weights_and_settings(tmp_path: Path) -> None:
    members = (
        "[{model: org/b, weight: 0.9}, {model: x, name: a, weight: 0.1}, {model: c, weight: 0}]"
    )
    (tmp_path / "e.yaml").write_text(f"members: {members}\nsettings: {{branches: 2}}")
    found = systems.plan(["a", "b", "c"], [], [f"fitted={tmp_path / 'e.yaml'}"])[-1]
    assert found == systems.Plan("b+a fitted", ("b", "a"), {"branches": 2, "weights": [0.9, 0.1]})


def test_rows_are_counted_from_either_end(folder: Path) -> None:
    task = TASKS["gsm8k"]
    assert [q.references[0] for q in questions_of(task, folder, 2, 1)] == ["It is 2", "It is 3"]
    assert [q.references[0] for q in questions_of(task, folder, 2, -3)] == ["It is 5", "It is 6"]
    assert len(questions_of(task, folder, 99, -99)) == 7
    with pytest.raises(ConfigError, match="7 rows, none from 7 on"):
        questions_of(task, folder, 1, 7)
    (back,) = questions_of(TASKS["de_en"], folder, 1, 0)
    assert back.text == "Translate into English: Eine Katze schläft."
    assert back.references == ("A cat sleeps.",)


@pytest.mark.parametrize("name", TASKS)
def test_solved_examples_would_score_as_right(name: str) -> None:
    task = TASKS[name]
    assert task.layout.examples
    for row in task.layout.examples:
        question = task.layout.question(row, name)
        score = METRICS[task.metric](question.references[0], question)
        assert next(iter(score.values())) == pytest.approx(1.0)
        assert not any(stop in question.references[0] for stop in task.stop)


def test_members_and_ensembles_are_scored_and_compared(folder: Path, scripted: list[str]) -> None:
    tables = run(folder, "--task", "gsm8k", "--task", "en_de", "--ensemble", "a+b",
                 "--system", "paper=", "--system", "second=weights:[0,1]")  # fmt: skip
    by_name = {one["name"]: one for one in tables["gsm8k"]["systems"]}
    assert list(by_name) == ["a", "b", "a+b paper", "a+b second"]
    assert by_name["a"]["scores"]["accuracy"]["mean"] == 0
    assert by_name["b"]["scores"]["accuracy"]["mean"] == 1
    assert by_name["a"]["against"]["the best member"]["mean"] == -1
    assert by_name["b"]["against"] == {}
    second = by_name["a+b second"]["against"]
    assert (second["its best member"]["name"], second["its best member"]["mean"]) == ("b", 0)
    assert second["paper"]["mean"] == 1 - by_name["a+b paper"]["scores"]["accuracy"]["mean"]
    assert "paper" not in by_name["a+b paper"]["against"]
    pooled = tables[results.POOLED]
    assert pooled["questions"] == 8
    assert pooled["metrics"] == ["score"]
    assert {one["name"]: one for one in pooled["systems"]}["b"]["scores"]["score"]["mean"] == 1


def test_a_run_goes_on_where_it_was(folder: Path, scripted: list[str]) -> None:
    options = ("--task", "gsm8k", "--ensemble", "a+b", "--system", "x=")
    run(folder, *options, "--rows", "2")
    first = len(scripted)
    assert first == 2 * 4  # a, b, and both of them together
    run(folder, *options, "--rows", "2")
    assert len(scripted) == first
    run(folder, *options, "--rows", "3")
    assert len(scripted) == first + 4
    run(folder, *options, "--rows", "3", "--dtype", "bfloat16")  # another model, so to speak
    assert len(scripted) == first + 4 + 3 * 4


def test_members_that_no_system_needs_answer_nothing(folder: Path, scripted: list[str]) -> None:
    tables = run(folder, "--task", "gsm8k", "--system", "search@c=branches:3", "--rows", "1")
    assert [one["name"] for one in tables["gsm8k"]["systems"]] == ["c", "c search"]


def test_when_time_is_up_rows_are_those_that_all_have_answered(
    folder: Path, scripted: list[str]
) -> None:
    questions = {"gsm8k": questions_of(TASKS["gsm8k"], folder, 7, 0)}
    plans = systems.plan(["a", "b"], [], ["x="])
    members: Any = [ScriptedMember(f"The answer is {at}", name) for at, name in enumerate("ab")]
    built = {"gsm8k": systems.build(plans, members, {})}
    left = 14  # looks at the clock
    told: list[int] = []

    def in_time() -> bool:
        nonlocal left
        left -= 1
        return left >= 0

    ledger = Ledger(folder / "ledger.jsonl")
    arguments: dict[str, Any] = {"models": {}, "width": 1, "advance": lambda _, n: told.append(n)}
    found = answering.answer_all(questions, built, ledger, in_time=in_time, **arguments)
    # Blocks of 3: 9 answers, then 3 of "a" and 2 of "b".
    assert {name: len(given) for name, given in found["gsm8k"].items()} == {
        "a": 3, "b": 3, "a+b x": 3,
    }  # fmt: skip
    assert told == [3, 3, 3, 3, 2, 0]
    again = answering.answer_all(
        questions, built, Ledger(folder / "ledger.jsonl"), in_time=lambda: True, **arguments
    )
    assert [len(given) for given in again["gsm8k"].values()] == [7, 7, 7]
    assert again["gsm8k"]["b"][:3] == found["gsm8k"]["b"]
    assert {answer.text for answer in again["gsm8k"]["b"]} == {"The answer is 1"}


def test_the_same_question_twice_is_asked_once(folder: Path, scripted: list[str]) -> None:
    asked = questions_of(TASKS["gsm8k"], folder, 1, 0) * 2
    members: Any = [ScriptedMember(lambda prompt: scripted.append(prompt) or "1", "a")]
    built = {"gsm8k": systems.build(systems.plan(["a"], ["a"], []), members, {})}
    found = answering.answer_all(
        {"gsm8k": asked}, built, Ledger(), models={}, width=2, in_time=lambda: True,
        advance=lambda *_: None,
    )  # fmt: skip
    assert len(scripted) == 1
    assert len(found["gsm8k"]["a"]) == 2


def test_a_system_that_always_fails_scores_nothing(folder: Path) -> None:
    asked = {task: questions_of(TASKS[task], folder, 2, 0) for task in ("gsm8k", "en_de")}
    members: Any = [ScriptedMember("1", "a", window=20), ScriptedMember("1", "b")]
    plans = systems.plan(["a", "b"], [], ["x="])
    built = {task: systems.build(plans, members, {}) for task in asked}
    answers = answering.answer_all(
        asked, built, Ledger(), models={}, width=2, in_time=lambda: True, advance=lambda *_: None
    )
    metrics = {task: TASKS[task].metric for task in asked}
    found = results.compared(asked, built, answers, metrics, 0)
    failed = {one["name"]: one["failed"] for one in results.summary(found["gsm8k"])["systems"]}
    assert failed == {"a": 2, "b": 0, "a+b x": 2}
    assert found[results.POOLED]["a"].scores["score"][:2] == (0.0, 0.0)
    nobody = {"gsm8k": {name: given for name, given in answers["gsm8k"].items() if name != "b"}}
    some = {"gsm8k": [one for one in built["gsm8k"] if one.name != "b"]}
    with pytest.raises(DecodingError, match=r"gsm8k: no question could be answered; first: .*20"):
        results.compared(asked, some, nobody, metrics, 0)


def test_nothing_answered_gives_no_table() -> None:
    assert results.compared({"t": ()}, {"t": ()}, {"t": {"a": list[SystemAnswer]()}}, {}, 0) == {}


def test_members_read_plain_prompts_if_they_have_no_template_or_are_told_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.members._has_template", lambda folder: folder.name != "base")
    folders = {name: Path(name) for name in ("chat", "base", "told", "idle")}
    plans = systems.plan([*folders], ["chat+base+told"], ["x="])
    found = systems.needed(folders, plans, "float32", ["told"])
    assert {spec.name: spec.chat_template for spec in found} == {
        "chat": None, "base": PLAIN, "told": PLAIN,
    }  # fmt: skip
    with pytest.raises(ConfigError, match="no member 'other'"):
        systems.needed(folders, plans, "float32", ["other"])


def test_an_unknown_task_is_refused(folder: Path, scripted: list[str]) -> None:
    with pytest.raises(ConfigError, match="no task 'chess'"):
        run(folder, "--task", "chess")
