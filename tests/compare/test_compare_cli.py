"""`python -m adafuse compare`, on scripted members."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("torchmetrics")

from adafuse import DecodingConfig, Ensemble
from adafuse.cli.ask import main
from adafuse.cli.compare import app
from adafuse.testing import ScriptedMember

PAIR = ["--model", "org/a", "--model", '{"model": "org/b", "dtype": "bfloat16"}']


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Loading gives scripted members; the specifications that were asked for."""
    specs: list[Any] = []

    def load(cls: type[Ensemble], models: Any, **options: Any) -> Ensemble:
        specs[:] = models
        names = [one.model.rsplit("/")[-1] for one in models]
        return cls([ScriptedMember(f"from {n}", name=n) for n in names], DecodingConfig())

    monkeypatch.setattr(Ensemble, "load", classmethod(load))
    return specs


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "questions.jsonl"
    rows = [{"question": f"{n}?", "answer": "from a"} for n in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def test_a_table_and_files(loaded: list[Any], data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--data", str(data), "--out", str(out), "--limit", "3", "--traces"]
    result = run(*PAIR, *options, "--variant", "b first: weights=[1,2]")
    assert result.exit_code == 0
    for shown in ("3 questions", "exact match", "against a", "b first", "ensemble"):
        assert shown in result.stdout
    assert [one.dtype for one in loaded] == [None, "bfloat16"]
    assert all(one.prompt_cache_mb == 0 for one in loaded)
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    means = {one["name"]: one["scores"]["exact match"]["mean"] for one in summary["systems"]}
    assert means == {"a": 1.0, "b": 0.0, "ensemble": 1.0, "b first": 0.0}
    assert len((out / "answers.jsonl").read_text(encoding="utf-8").splitlines()) == 12
    assert "<html" in (out / "report.html").read_text(encoding="utf-8")
    assert len(list((out / "traces").glob("*/*.html"))) == 6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--variant", "branch=1"], "did you mean 'branches'"),
        (["--variant", "branches=1", "--variant", "branches=1"], "two variants"),
        (["--dev-rows", "9"], "some must be left"),
        (["--metric", "x"], "unknown metric"),
        (["--model", "{"], "neither a file nor JSON"),
        (["--template", "{{ x }}"], "cannot be filled in"),
    ],
)
def test_errors_are_one_line(
    options: list[str], said: str, loaded: list[Any], data: Path, tmp_path: Path
) -> None:
    result = run(*PAIR, "--data", str(data), "--out", str(tmp_path / "out"), *options)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert said in result.stderr


def test_the_command_is_part_of_adafuse(
    loaded: list[Any], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["adafuse", "compare", *PAIR, "--data", str(data), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 0
