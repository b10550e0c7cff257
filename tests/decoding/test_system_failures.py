"""What the machine does to an answer: full disks, cut files, dropped streams, small budgets."""

from __future__ import annotations

import errno
import gc
import json
import shutil
import threading
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from adafuse import ConfigError, Ensemble, LoadError, ModelPreparationError
from adafuse.demo import models
from adafuse.demo.checksums import is_complete, update_manifest
from adafuse.demo.models import DEMO_MODELS, prepare
from adafuse.local.member import LocalMember
from adafuse.testing import ScriptedMember
from families import family
from faulty_members import Faulty

MODEL = DEMO_MODELS["smollm2"]


@pytest.fixture
def preparation(monkeypatch: pytest.MonkeyPatch) -> list[Exception | None]:
    """Preparing a demo model without the model; what converting it does, call by call."""
    outcomes: list[Exception | None] = []

    def download(model: Any, packages: Path) -> None:
        for notice in model.notices:
            (packages / notice).parent.mkdir(parents=True, exist_ok=True)
            (packages / notice).write_text("notice")

    def convert(weights: Path, made: Path, conversion: Any, step: Any) -> None:
        (made / "config.json").write_text("{}")
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome

    monkeypatch.setattr(models, "_download", download)
    monkeypatch.setattr(models, "_join", lambda model, packages, target: target)
    monkeypatch.setattr(models, "convert", convert)
    return outcomes


def test_a_full_disk_while_converting_leaves_nothing(
    preparation: list[Exception | None], tmp_path: Path
) -> None:
    preparation += [OSError(errno.ENOSPC, "No space left on device"), None]
    with pytest.raises(ModelPreparationError, match="No space left on device"):
        prepare("smollm2", cache=tmp_path, progress=False)
    assert [one.name for one in tmp_path.iterdir() if one.is_dir()] == []
    folder = prepare("smollm2", cache=tmp_path, progress=False)  # the next call is right
    assert (folder / "config.json").exists()
    assert [one.name for one in tmp_path.iterdir() if one.is_dir()] == [folder.name]


def test_a_disk_without_room_is_noticed_before(
    preparation: list[Exception | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=MODEL.disk_bytes - 1)
    monkeypatch.setattr(models.shutil, "disk_usage", lambda root: usage)
    with pytest.raises(ModelPreparationError, match=r"needs \d\.\d GB"):
        prepare("smollm2", cache=tmp_path, progress=False)
    assert [one for one in tmp_path.iterdir() if one.is_dir()] == []


def test_a_killed_preparation_is_cleared_away_by_the_next(
    preparation: list[Exception | None], tmp_path: Path
) -> None:
    stale = tmp_path / ".smollm2-killed"
    stale.mkdir()
    (stale / "half").write_text("x")
    preparation.append(None)
    prepare("smollm2", cache=tmp_path, progress=False)
    assert not stale.exists()


@pytest.mark.parametrize("writable", [True, False])
def test_a_folder_from_before_learns_its_models_dtype_without_being_made_again(
    writable: bool,
    preparation: list[Exception | None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    preparation.append(None)  # made once only
    config = prepare("smollm2", cache=tmp_path, progress=False) / "config.json"
    before = '{"dtype": "float32", "vocab_size": 3}'
    config.write_text(before)
    update_manifest(config.parent, config)
    if not writable:
        refuse = PermissionError(errno.EACCES, "Permission denied")
        monkeypatch.setattr(Path, "write_text", Mock(side_effect=refuse))
    folder = prepare("smollm2", cache=tmp_path, progress=False)
    if not writable:
        assert config.read_text() == before
        return
    assert json.loads(config.read_text()) == {"dtype": "bfloat16", "vocab_size": 3}
    assert is_complete(folder, MODEL.sha256, hashes=True)
    assert {path.name for path in folder.iterdir()} == {"adafuse-manifest.json", "config.json"}


def test_a_checkpoint_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    model, tokenizer = family("llama", 0)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(LoadError, match=tmp_path.name) as caught:
        Ensemble.load([str(tmp_path)])
    assert "\n" not in str(caught.value)
    model.save_pretrained(tmp_path)
    assert Ensemble.load([str(tmp_path)]).generate("Hello", max_new_tokens=2).rounds


def test_a_trace_that_cannot_be_written_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Ensemble([ScriptedMember("a b")]).generate("x")

    def full(*args: object, **kwargs: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ConfigError, match="No space left on device"):
        answer.save_trace(tmp_path / "trace.html")


def test_a_budget_for_prompts_that_is_used_up_changes_no_answer() -> None:
    wide = LocalMember(*family("llama", 0), "wide", prompt_cache_mb=64)
    narrow = LocalMember(*family("llama", 0), "narrow", prompt_cache_mb=64)
    narrow.runner.prompts.budget = 300_000
    prompts = [f"{number} Hello world, this is" for number in range(12)] * 2
    answers = [
        [Ensemble([one]).generate(prompt, max_new_tokens=8).text for prompt in prompts]
        for one in (wide, narrow)
    ]
    assert answers[0] == answers[1]
    assert 0 < narrow.runner.prompts.nbytes <= 300_000 < wide.runner.prompts.nbytes


@pytest.mark.parametrize("round_timeout", [None, 30.0])
def test_a_stream_that_is_dropped_lets_go_of_everything(round_timeout: float | None) -> None:
    faulty = Faulty(ScriptedMember("a b c d", confident=False))
    threads = set(threading.enumerate())
    stream = Ensemble([faulty]).stream("x", round_timeout=round_timeout)
    next(stream)
    assert faulty.left_open == 1
    del stream
    gc.collect()
    assert faulty.left_open == 0
    assert set(threading.enumerate()) <= threads


def test_a_stream_that_is_closed_twice_or_never_begun_is_fine() -> None:
    ensemble = Ensemble([ScriptedMember("a b c d", confident=False)])
    never = ensemble.stream("x")
    never.close()
    begun = ensemble.stream("x")
    next(begun)
    begun.close()
    begun.close()
    assert list(begun) == []
    assert ensemble.generate("x").text == "a b c d"
