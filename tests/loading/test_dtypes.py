"""Which dtype a member has where nobody says: what its checkpoint is, if the CPU is fast at it."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from adafuse import Ensemble
from adafuse.loading import dtypes
from adafuse.local.member import LocalMember
from families import family

NATIVE = "avx512_bf16"


@pytest.fixture
def cpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """A CPU that has the instructions, or none of them."""
    instructions: str | None = getattr(request, "param", NATIVE)
    monkeypatch.setattr(dtypes, "bfloat16_instructions", lambda: instructions)
    return instructions


def folder(where: Path, stored: torch.dtype, named: str | None = "stored") -> str:
    """A tiny checkpoint of a dtype, whose configuration names it, another one, or none."""
    model, tokenizer = family("llama")
    place = where / f"{stored}-{named}"
    state = {name: value.to(stored) for name, value in model.state_dict().items()}
    model.save_pretrained(place, state_dict=state)
    tokenizer.save_pretrained(place)
    config = json.loads((place / "config.json").read_text())
    config["dtype"] = str(stored).removeprefix("torch.") if named == "stored" else named
    (place / "config.json").write_text(json.dumps(config))
    return str(place)


def loaded(model: Any, **options: Any) -> LocalMember:
    (member,) = Ensemble.load([model], device="cpu", **options).members
    assert isinstance(member, LocalMember)
    return member


@pytest.mark.parametrize("cpu", [NATIVE, None], indirect=True)
@pytest.mark.parametrize(
    ("stored", "named", "expected"),
    [
        (torch.bfloat16, "stored", torch.bfloat16),
        (torch.float16, "stored", torch.bfloat16),  # products in float16 are the slowest
        (torch.float32, "stored", torch.float32),
        (torch.float32, "bfloat16", torch.bfloat16),  # so the demo models are
        (torch.float32, None, torch.float32),
    ],
)
def test_the_default_is_the_checkpoints_own_where_the_cpu_multiplies_bfloat16(
    stored: torch.dtype,
    named: str | None,
    expected: torch.dtype,
    cpu: str | None,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "adafuse.loading")
    dtype = loaded(folder(tmp_path, stored, named)).runner.model.dtype
    assert dtype is (expected if cpu else torch.float32)
    (line,) = [record.getMessage() for record in caplog.records]
    assert f"is loaded: {str(dtype).removeprefix('torch.')}, " in line
    if cpu is None:
        assert "this CPU does not multiply bfloat16 natively" in line
    elif named is None:
        assert "names no dtype" in line
    else:
        assert ("as its checkpoint" in line) is (stored is not torch.float16)
        assert NATIVE in line
    assert "\n" not in line


@pytest.mark.parametrize("cpu", [NATIVE, None], indirect=True)
@pytest.mark.parametrize("asked", ["float32", "bfloat16", "auto"])
def test_dtype_decides_otherwise(
    asked: str, cpu: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "adafuse.loading")
    place = folder(tmp_path, torch.bfloat16)
    member = loaded(place, dtype=asked)
    assert member.runner.model.dtype is (torch.float32 if asked == "float32" else torch.bfloat16)
    assert f"as dtype='{asked}' asks" in caplog.text
    assert loaded({"model": place, "dtype": "float32"}, dtype=asked).runner.model.dtype is (
        torch.float32
    )


def test_a_default_and_the_same_dtype_by_name_share_weights(cpu: str, tmp_path: Path) -> None:
    place = folder(tmp_path, torch.bfloat16)
    one, two = Ensemble.load([place, {"model": place, "dtype": "bfloat16"}], device="cpu").members
    assert isinstance(one, LocalMember)
    assert isinstance(two, LocalMember)
    assert one.runner is two.runner


def test_answers_in_bfloat16_are_those_of_the_narrow_weights(cpu: str, tmp_path: Path) -> None:
    member = loaded(folder(tmp_path, torch.bfloat16))
    text = Ensemble([member]).generate("Hello world", branches=1, max_new_tokens=8)
    ids = list(text.usage[member.name].token_ids)
    prompt = torch.tensor([member.tokenizer.encode("Hello world")])
    plain = member.runner.model.generate(prompt, max_new_tokens=len(ids), do_sample=False)
    assert plain[0][prompt.shape[1] :].tolist() == ids


@pytest.mark.parametrize("name", ["amx_bf16", "avx512_bf16", "sve_bf16", "bf16"])
def test_instructions_count_if_torch_uses_them_and_their_products_are_right(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = dtypes.bfloat16_instructions.__wrapped__
    monkeypatch.setattr(dtypes, "cpu_instructions", lambda: {"avx2": True, name: True})
    monkeypatch.setattr(dtypes, "onednn_has_bfloat16", lambda: True)
    assert read() == name
    monkeypatch.setattr(dtypes, "onednn_has_bfloat16", lambda: False)
    assert read() is None
    monkeypatch.setattr(dtypes, "onednn_has_bfloat16", lambda: True)
    linear = torch.nn.functional.linear
    monkeypatch.setattr(torch.nn.functional, "linear", lambda *given: linear(*given) * 1.1)
    assert read() is None

    def unknown(*given: object) -> None:
        raise RuntimeError("no such product")

    monkeypatch.setattr(torch.nn.functional, "linear", unknown)
    assert read() is None
    monkeypatch.undo()
    monkeypatch.setattr(dtypes, "cpu_instructions", lambda: {"avx2": True, name: False})
    assert read() is None
