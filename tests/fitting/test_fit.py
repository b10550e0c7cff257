"""A whole fit with tiny models: what is read, what is written, and what is kept."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy")
import adafuse
import adafuse.local.reference as reference
from adafuse import ConfigError, Ensemble, MemberSpec
from adafuse.ensemble_file import read_ensemble
from adafuse.fitting import FitResult, fit
from adafuse.testing import ScriptedMember
from families import family

ROWS = [{"question": f"What comes after {n}?", "answer": f"the number {n + 1}"} for n in range(8)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two tiny models."""
    place = tmp_path_factory.mktemp("models")
    for name in ("llama3", "gemma3"):
        model, tokenizer = family(name)
        model.save_pretrained(place / name)
        tokenizer.save_pretrained(place / name)
    return place


@pytest.fixture
def models(folder: Path) -> list[str]:
    return [str(folder / "llama3"), str(folder / "gemma3")]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Member and text of every reading."""
    seen: list[tuple[str, str]] = []
    real = reference.read_reference

    def watched(member: Any, prompt: Any, words: Any, **options: Any) -> Any:
        seen.append((member.name, "".join(words)))
        return real(member, prompt, words, **options)

    monkeypatch.setattr(reference, "read_reference", watched)
    return seen


def test_each_member_reads_each_text_once(
    models: list[str], read: list[tuple[str, str]], tmp_path: Path
) -> None:
    result = adafuse.fit(models, ROWS, out=tmp_path / "ensemble.yaml")
    assert isinstance(result, FitResult)
    assert sorted(read) == sorted(
        (name, row["answer"]) for row in ROWS for name in ("llama3", "gemma3")
    )
    assert (result.names, result.texts, result.words) == (("llama3", "gemma3"), 8, 8 * 4)
    assert sum(result.weights) == pytest.approx(1)
    assert result.path == tmp_path / "ensemble.yaml"
    best = min(zip(result.members, result.names, strict=True), key=lambda one: one[0].mean)
    assert result.best == best[1]
    assert result.difference.mean == pytest.approx(result.mixture.mean - best[0].mean)


def test_numbers_are_those_of_the_readings(models: list[str]) -> None:
    result = fit(models, ROWS, out=None)
    ensemble = Ensemble.load(models)
    prompts = [adafuse.Prompt(({"role": "user", "content": row["question"]},), None, "chat")
               for row in ROWS]  # fmt: skip
    for member, nats in zip(ensemble.members, result.members, strict=True):
        nlls = [
            nll
            for prompt, row in zip(prompts, ROWS, strict=True)
            for nll in reference.read_reference(
                member,
                prompt,
                reference.split_reference(row["answer"], ensemble.members),
                ends=True,
            ).nlls
        ]
        assert nats.mean == pytest.approx(np.mean(nlls), rel=1e-4)
    loaded = fit(ensemble, ROWS, out=None)
    assert loaded.members == result.members
    assert loaded.weights == result.weights


def test_stops_of_use_end_answers_in_a_fit_too(models: list[str], tmp_path: Path) -> None:
    """A base model ends by what begins a stop; without one its end tokens alone count."""
    out = tmp_path / "ensemble.yaml"
    plain = fit(models, ROWS, out=out)
    stopped = fit(models, ROWS, out=out, stop=["a", "e"])
    assert all(b.mean < a.mean for a, b in zip(plain.members, stopped.members, strict=True))
    assert fit(models, ROWS, out=out, stop=["a"], pool_stops=False).members == plain.members
    assert Ensemble.load(str(out)).config.stop == ("a",)
    documents = [{"text": f"{n} one two three four five six seven eight nine"} for n in range(6)]
    given = fit(models, documents, out=None, stop=["a", "e"])
    assert given.members == fit(models, documents, out=None).members  # nothing ends there


def test_a_fit_that_was_killed_goes_on(
    models: list[str], read: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "ensemble.yaml"
    watched = reference.read_reference

    def dies(*given: Any, **options: Any) -> Any:
        if len(read) == 5:
            raise KeyboardInterrupt
        return watched(*given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(reference, "read_reference", dies)
        with pytest.raises(KeyboardInterrupt):
            fit(models, ROWS, out=out)
    kept = tmp_path / "ensemble.readings.jsonl"
    assert len(kept.read_text().splitlines()) == 5
    assert not out.exists()
    with kept.open("a") as file:
        file.write('{"key": "cut')  # as if the machine had gone down while writing
    result = fit(models, ROWS, out=out)
    assert len(read) == 16
    assert result.weights == fit(models, ROWS, out=None).weights


def test_a_fit_that_is_done_loads_nothing(
    models: list[str], read: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "ensemble.yaml"
    first = fit(models, ROWS, out=out)
    read.clear()
    monkeypatch.setattr(Ensemble, "load", None)
    assert fit(models, ROWS, out=out) == first
    assert (
        fit([MemberSpec(models[0], weight=3.0), models[1]], ROWS, out=out).weights == first.weights
    )
    assert read == []


def test_another_checkpoint_in_the_folder_is_read_anew(
    models: list[str], read: list[tuple[str, str]], tmp_path: Path
) -> None:
    copy = shutil.copytree(models[0], tmp_path / "llama3")
    given = [str(copy), models[1]]
    fit(given, ROWS, out=tmp_path / "ensemble.yaml")
    read.clear()
    (weights,) = copy.glob("*.safetensors")
    weights.unlink()
    family("llama3", 1)[0].save_pretrained(copy)
    fit(given, ROWS, out=tmp_path / "ensemble.yaml")
    assert [name for name, _ in read] == ["llama3"] * 8


def test_texts_of_scripts_without_spaces_are_split_once(
    models: list[str], read: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"question": f"{n}?", "answer": "東京は日本の首都です"} for n in range(4)]
    first = fit(models, rows, out=tmp_path / "ensemble.yaml")
    assert first.words > 4 * 2  # not one long word each
    monkeypatch.setattr(Ensemble, "load", None)
    assert fit(models, rows, out=tmp_path / "ensemble.yaml") == first


def test_what_does_not_fit_into_a_window_is_left_out(models: list[str]) -> None:
    rows = [*ROWS, {"question": "x?", "answer": "so many words " * 300}]
    result = fit(models, rows, out=None)
    assert result.texts == 8
    (said,) = result.skipped
    assert said.startswith("row 9: ")
    with pytest.raises(ConfigError, match=r"only 0 texts could be read.*; first: row 1: "):
        fit(models, [rows[-1]] * 4, out=None)


def test_the_file_loads_in_another_process_and_folder(folder: Path, tmp_path: Path) -> None:
    """A folder with the models and the file in it is moved; the process runs elsewhere."""
    place = shutil.copytree(folder, tmp_path / "before")
    fit([str(place / name) for name in ("llama3", "gemma3")], ROWS,
        out=place / "ensemble.yaml", keep_drafters=True)  # fmt: skip
    moved = place.rename(tmp_path / "after")
    here = Ensemble.load([str(moved / name) for name in ("llama3", "gemma3")])
    weights = [spec.weight for spec in read_ensemble(moved / "ensemble.yaml").members]
    expected = here.generate("Hello", max_new_tokens=6, weights=weights).text
    script = (
        "import sys; from adafuse import Ensemble; e = Ensemble.load(sys.argv[1]);"
        "print([m.name for m in e.members], repr(e.generate('Hello', max_new_tokens=6).text))"
    )
    command = [sys.executable, "-c", script, str(moved / "ensemble.yaml")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == f"['llama3', 'gemma3'] {expected!r}", done.stderr


def test_who_has_no_say_is_left_out_and_named(
    models: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(member: Any, prompt: Any, words: Any, **options: Any) -> Any:
        worse = 1.0 if member.name == "gemma3" else 0.0
        nlls = tuple(len(word) / 4 + worse for word in [*words, ""])
        return reference.ReferenceReading(nlls, nlls, 10.0, 10)

    monkeypatch.setattr(reference, "read_reference", read)
    out = tmp_path / "ensemble.yaml"
    result = fit(models, ROWS[:4], out=out, branches=2)
    assert (result.together, result.weights, result.best) == (False, (1.0, 0.0), "llama3")
    file = read_ensemble(out)
    assert [spec.name for spec in file.members] == ["llama3"]
    assert file.members[0].weight == 1.0
    (left,) = file.notes["left_out"]
    assert left["model"] == models[1]
    assert "weight 0" in left["reason"]
    assert file.settings["branches"] == 2
    assert file.notes["fitted"]["texts"] == 4
    assert file.notes["measured"]["sentence"] == result.sentence
    fit(models, ROWS[:4], out=out, keep_drafters=True)
    assert [spec.weight for spec in read_ensemble(out).members] == [1.0, 0.0]
    assert "left_out" not in read_ensemble(out).notes


def test_a_file_can_be_fitted_again(models: list[str], tmp_path: Path) -> None:
    out = tmp_path / "ensemble.yaml"
    first = fit(models, ROWS, out=out, keep_drafters=True, branches=2)
    again = fit(str(out), ROWS, out=out, keep_drafters=True)
    assert again.weights == first.weights
    assert read_ensemble(out).settings["branches"] == 2


def test_what_is_wrong_is_said_before_anything_is_loaded(
    models: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ensemble, "load", None)

    def said(given: Any = models, data: Any = ROWS, **options: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            fit(given, data, **{"out": tmp_path / "ensemble.yaml", **options})
        return str(caught.value)

    scripted = Ensemble([ScriptedMember("a", name="a"), ScriptedMember("b", name="b")])
    assert said(models[:1]) == "a fit takes at least two models: one alone has all the say as it is"
    assert "a list of 2 to 8" in said("org/a")
    assert "did you mean 'branches'" in said(branchs=2)
    assert "weights are what a fit finds" in said(weights=[1, 1])
    assert "must end in .yaml" in said(out=tmp_path / "ensemble.json")
    assert "there is no folder" in said(out=tmp_path / "no" / "ensemble.yaml")
    assert "cannot say what it was loaded from" in said(scripted)
    assert "has no model in this process" in said(scripted, out=None)
    (tmp_path / "ensemble.readings.jsonl").write_text('{"key": "x", "text": "y"}\n')
    assert "no reading of a text" in said()


def test_readings_are_plain_lines(models: list[str], tmp_path: Path) -> None:
    fit(models, ROWS, out=tmp_path / "ensemble.yaml")
    lines = (tmp_path / "ensemble.readings.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert len({record["key"] for record in records}) == 16
    assert all(len(record["nlls"]) == 4 for record in records)


def test_weights_by_prompt_are_a_setting_of_the_file(
    models: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each member knows the words of every other text, and the prompts of these."""

    def read(member: Any, prompt: Any, words: Any, **options: Any) -> Any:
        number = int("".join(filter(str.isdigit, prompt.messages[-1]["content"])))
        foreign = (number % 2) == (member.name == "gemma3")
        nlls = (6.0 if foreign else 1.0,) * (len(words) + 1)
        return reference.ReferenceReading(nlls, nlls, 40.0 if foreign else 10.0, 20)

    monkeypatch.setattr(reference, "read_reference", read)
    rows = [{"question": f"What is {n}?", "answer": "it is"} for n in range(24)]
    out = tmp_path / "ensemble.yaml"
    result = fit(models, rows, out=out)
    assert result.prompt_exponent > 1
    assert result.mixture.mean == pytest.approx(1.0, abs=0.05)
    settings = read_ensemble(out).settings
    exponent = pytest.approx(result.prompt_exponent, abs=1e-3)
    assert settings == {"rule": "words", "combine": "mixture", "prompt_exponent": exponent}
    assert Ensemble.load(out).config.prompt_exponent == settings["prompt_exponent"]
    assert fit(str(out), rows, out=out).prompt_exponent == result.prompt_exponent
