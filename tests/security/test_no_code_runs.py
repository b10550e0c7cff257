"""Nothing that lies in a checkpoint runs: no pickles, under whatever name, and no code."""

from __future__ import annotations

import json
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from adafuse import Ensemble, LoadError, UnsafeCheckpointError
from families import family


class Touches:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A file that is there once any code of a checkpoint has run."""
    return tmp_path / "ran"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    model, tokenizer = family("gpt2")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def load(folder: Path) -> Ensemble:
    return Ensemble.load([str(folder)])


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth", "last.ckpt"]
)
def test_pickles_are_not_opened(checkpoint: Path, mark: Path, name: str) -> None:
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / name).write_bytes(pickle.dumps(Touches(mark)))
    with pytest.raises(UnsafeCheckpointError, match=name):
        load(checkpoint)
    assert not mark.exists()


def test_pickles_beside_the_weights_are_left_alone(checkpoint: Path, mark: Path) -> None:
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt"):
        (checkpoint / name).write_bytes(pickle.dumps(Touches(mark)))
    assert load(checkpoint).generate("x", max_new_tokens=2).text is not None
    assert not mark.exists()


@pytest.mark.parametrize("named", ["model.safetensors", "model-00001-of-00001.safetensors"])
def test_a_pickle_by_another_name_is_not_opened(checkpoint: Path, mark: Path, named: str) -> None:
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / named).write_bytes(pickle.dumps(Touches(mark)))
    with pytest.raises(LoadError):
        load(checkpoint)
    assert not mark.exists()


def write_code(folder: Path, mark: Path) -> None:
    (folder / "odd.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n")


@pytest.mark.parametrize(
    ("file", "value"),
    [
        ("config.json", {"AutoConfig": "odd.C", "AutoModelForCausalLM": "odd.M"}),
        ("config.json", {"AutoModelForCausalLM": "odd.M"}),
        ("tokenizer_config.json", {"AutoTokenizer": ["odd.T", None]}),
    ],
)
def test_code_of_a_checkpoint_is_not_run(
    checkpoint: Path, mark: Path, file: str, value: dict[str, Any]
) -> None:
    write_code(checkpoint, mark)
    written = json.loads((checkpoint / file).read_text())
    written |= {"auto_map": value}
    if "AutoConfig" in value:
        written["model_type"] = "odd"
    (checkpoint / file).write_text(json.dumps(written))
    with suppress(UnsafeCheckpointError):
        load(checkpoint)  # with transformers' own class, if there is one
    assert not mark.exists()


def test_a_generation_script_of_a_checkpoint_is_not_run(checkpoint: Path, mark: Path) -> None:
    folder = checkpoint / "custom_generate"
    folder.mkdir()
    (folder / "generate.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n")
    load(checkpoint).generate("x", max_new_tokens=2)
    assert not mark.exists()
