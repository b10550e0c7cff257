"""Cases side by side: what is shown and scored, and how often a phrase comes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adafuse.errors import ConfigError
from adafuse.testing import ScriptedMember
from benchmarks import cases
from benchmarks.__main__ import app
from benchmarks.tasks import systems

CASES = [
    {"document": "harbour.md", "text": "The ferry leaves at 18:05."},
    {"question": "When does the ferry leave?", "answers": ["18:05", "five past six"]},
    {"question": "Say something."},
]


def test_cases_show_documents_and_are_scored_where_there_is_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = [
        ScriptedMember("At 18:05.", "a"),
        ScriptedMember("go on go on go on go on go on", "b"),
    ]
    folders = dict.fromkeys(("a", "b"), tmp_path)
    monkeypatch.setattr(systems, "find_members", lambda given: folders)
    monkeypatch.setattr("benchmarks.members._has_template", lambda folder: True)
    monkeypatch.setattr(cases, "load_members", lambda specs: members)
    path, out = tmp_path / "cases.jsonl", tmp_path / "out.json"
    path.write_text("\n".join(map(json.dumps, CASES)), encoding="utf-8")
    found = CliRunner().invoke(
        app, ["cases", str(path), "--ensemble", "a+b", "--system", "x=", "--out", str(out)],
        env={"COLUMNS": "200"}, catch_exceptions=False,
    )  # fmt: skip
    assert "a: 1 of 1 right" in found.output
    assert "b: 0 of 1 right" in found.output
    first, second = json.loads(out.read_text("utf-8"))
    assert first["answers"]["a"]["right"] is True
    assert second["answers"]["a"]["right"] is None
    assert second["answers"]["b"]["most repeated"] == 4
    shown = cases.read_cases(path)[0].text
    assert "harbour.md:\nThe ferry leaves at 18:05." in shown
    assert shown.endswith("Question: When does the ferry leave?")


def test_repeated_phrases_are_counted_by_words_of_any_script() -> None:
    assert cases.most_repeated("a b c") == 0
    assert cases.most_repeated("a b c d e") == 1
    assert cases.most_repeated("the cat sat down. " * 3) == 3
    assert cases.most_repeated("中国古代的象征，" * 3) == 3


@pytest.mark.parametrize("line", ['{"answers": ["x"]}', '{"document": "d", "text": "t"}'])
def test_a_file_of_no_cases_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "c.jsonl").write_text(line, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"neither 'question'|has no questions"):
        cases.read_cases(tmp_path / "c.jsonl")
