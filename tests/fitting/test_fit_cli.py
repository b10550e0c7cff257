"""`python -m adafuse fit`: on tiny models, and its errors of one line; once on the demo pair."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("scipy")
from adafuse import Ensemble
from adafuse.cli import ask
from adafuse.cli.fit import app
from adafuse.ensemble_file import read_ensemble
from families import family


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def rows(path: Path, count: int) -> Path:
    written = [{"ask": f"What comes after {n}?", "reply": f"It is {n + 1}"} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in written))
    return path


def test_a_table_a_sentence_and_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = []
    for name in ("llama3", "gemma3"):
        for part in family(name):
            part.save_pretrained(tmp_path / name)
        options += ["--model", str(tmp_path / name)]
    data, out = rows(tmp_path / "rows.jsonl", 9), tmp_path / "my.yaml"
    options += ["--limit", "6", "--seed", "3", "--out", str(out), "--keep-drafters"]
    columns = ["--answer", "reply", "--template", "{{ ask }}", "--system", "Be brief."]
    monkeypatch.setenv("COLUMNS", "150")
    result = run(*options, *columns, str(data))
    assert result.exit_code == 0, result.output
    for shown in ("6 texts, 24 words", "nats a word", "together, held out", "are few", "alone"):
        assert shown in result.stdout
    assert result.stdout.endswith(f'written to {out}; use it: adafuse "a question" --model {out}\n')
    file = read_ensemble(out)
    assert file.notes["fitted"]["data"] == [str(data)]
    assert file.notes["fitted"]["seed"] == 3
    assert len(Ensemble.load(out).members) == 2
    monkeypatch.setattr(sys, "argv", ["adafuse", "fit", *options, *columns, str(data)])
    with pytest.raises(SystemExit) as exit_:
        ask.main()
    assert exit_.value.code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name the models to fit with --model: adafuse fit --model A --model B"),
        (["-m", "org/a", "-m", "org/b"], "name the texts to fit to, questions or documents"),
        (["-m", "org/a", "ROWS"], "a fit takes at least two models"),
        (["-m", "org/a", "-m", "org/b", "none.jsonl"], "none.jsonl cannot be read"),
        (["-m", "org/a", "-m", "org/b", "ROWS"], "it has none of 'messages', 'prompt'"),
        (["-m", "org/a", "-m", "org/b", "ROWS", "--out", "x.json"], "must end in .yaml"),
        (["-m", "org/a", "--limit", "-1", "ROWS"], "--limit"),
    ],
)
def test_errors_are_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text('{"ask": "x?", "answer": "y"}\n')
    if "--out" in arguments:
        data.write_text('{"question": "x?", "answer": "y"}\n' * 4)
    result = run(*(str(data) if one == "ROWS" else one for one in arguments))
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert said in result.stderr


def test_help_shows_how_to_use_it() -> None:
    result = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}, color=False)
    assert "adafuse fit --model A --model B questions.jsonl --out ensemble.yaml" in result.stdout


@pytest.mark.real
def test_the_demo_pair_is_fitted(tmp_path: Path) -> None:
    """German that SmolLM2 hardly knows: Gemma writes more of it, or all."""
    words = ["eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht"]
    data = tmp_path / "german.jsonl"
    data.write_text("".join(
        json.dumps({"source": f"Zähle bis {n}.", "reference": ", ".join(words[:n]) + "."}) + "\n"
        for n in range(1, 9)
    ))  # fmt: skip
    out = tmp_path / "ensemble.yaml"
    result = run("-m", "smollm2", "-m", "gemma3", str(data), "--out", str(out))
    assert result.exit_code == 0, result.output
    weights = {spec.name: spec.weight for spec in read_ensemble(out).members}
    assert weights.get("gemma3", 0) > weights.get("smollm2", 0)
    answer = Ensemble.load(out).generate("Eins, zwei, drei,", max_new_tokens=8)
    assert answer.text
