"""Quantised members: what a CPU can run is run; a package that is missing is named at once."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from adafuse import Ensemble, LoadError, MemberSpec
from adafuse.loading import quantisation
from adafuse.local.member import LocalMember
from families import family
from speculation_cases import PROMPTS, same

needs_torchao = pytest.mark.skipif(find_spec("torchao") is None, reason="torchao is not installed")
INT8 = {"_type": "Int8WeightOnlyConfig", "_version": 2, "_data": {}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model, tokenizer = family("llama", 1)
    model.save_pretrained(tmp_path / "m")
    tokenizer.save_pretrained(tmp_path / "m")
    return tmp_path / "m"


def torchao_config(bits: int) -> Any:
    """Weight-only, in the form that a CPU can read without further packages."""
    from torchao import quantization
    from transformers import TorchAoConfig

    if bits == 8:
        return TorchAoConfig(quantization.Int8WeightOnlyConfig())
    four = quantization.IntxWeightOnlyConfig(
        weight_dtype=torch.int4, granularity=quantization.PerGroup(32)
    )
    return TorchAoConfig(four)


def member_of(spec: MemberSpec) -> LocalMember:
    (member,) = Ensemble.load([spec], device="cpu").members
    assert isinstance(member, LocalMember)
    return member


@needs_torchao
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("bits", [8, 4])
def test_weights_that_torchao_quantises_decode(bits: int, dtype: str, folder: Path) -> None:
    spec = MemberSpec(
        str(folder), quantization_config=torchao_config(bits), dtype=dtype, prompt_cache_mb=0
    )
    member = member_of(spec)
    model: Any = member.runner.model
    weight = model.model.layers[0].mlp.up_proj.weight
    assert type(weight) is not torch.nn.Parameter  # it is quantised
    assert model.dtype is getattr(torch, dtype)
    assert member.runner.packs
    ensemble = Ensemble([member])
    for prompt in PROMPTS:
        answer = ensemble.generate(prompt, max_new_tokens=12)
        assert "".join(word for one in answer.rounds for word in one.words) == answer.text
        if dtype == "float32":  # the same with everything off
            assert same(ensemble.generate(prompt, max_new_tokens=12, speculation=False), answer)
        ids = list(answer.usage[member.name].token_ids)
        asked = torch.tensor([member.tokenizer.encode(prompt)])
        theirs = model.generate(asked, max_new_tokens=len(ids), do_sample=False)
        if dtype == "float32":
            assert theirs[0][asked.shape[1] :].tolist() == ids


@needs_torchao
def test_a_specification_names_a_quantisation_in_plain_values(folder: Path) -> None:
    plain = {"quant_method": "torchao", "quant_type": {"default": INT8}}
    named = member_of(MemberSpec(str(folder), quantization_config=plain, dtype="float32"))
    given = member_of(
        MemberSpec(str(folder), quantization_config=torchao_config(8), dtype="float32")
    )
    answers = [Ensemble([one]).generate(PROMPTS[0], max_new_tokens=8) for one in (named, given)]
    assert answers[0].text == answers[1].text


@needs_torchao
def test_quantised_and_plain_members_answer_together(folder: Path) -> None:
    eight = MemberSpec(str(folder), name="eight", quantization_config=torchao_config(8))
    ensemble = Ensemble.load([eight, str(folder)], device="cpu")
    answer = ensemble.generate(PROMPTS[0], max_new_tokens=12)
    assert set(answer.usage) == {"eight", "m"}
    assert "".join(word for one in answer.rounds for word in one.words) == answer.text


@pytest.mark.parametrize(
    ("method", "package"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        ({"load_in_8bit": True}, "bitsandbytes"),
        ({"quant_method": "torchao", "quant_type": {"default": INT8}}, "torchao"),
        ({"quant_method": "gptq", "bits": 4}, "optimum"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "gptqmodel"),
    ],
)
@pytest.mark.parametrize("whose", ["checkpoint", "specification"])
def test_a_method_whose_package_is_missing_is_refused_by_its_name(
    method: dict[str, Any],
    package: str,
    whose: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quantisation, "find_spec", lambda name: None)
    (folder / "model.safetensors").unlink()  # it is refused before weights are looked for
    spec: dict[str, Any] = {"model": str(folder)}
    if whose == "checkpoint":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "quantization_config": method}))
    else:
        spec["quantization_config"] = method
    expected = rf"member 'm'.* quantised by .*pip install {package}\)"
    with pytest.raises(LoadError, match=expected) as caught:
        Ensemble.load([spec], device="cpu")
    assert "\n" not in str(caught.value)


def test_a_config_of_transformers_counts_like_a_mapping(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import GPTQConfig

    monkeypatch.setattr(quantisation, "find_spec", lambda name: name == "optimum" or None)
    with pytest.raises(LoadError, match="gptq, which needs the package 'gptqmodel'"):
        Ensemble.load(
            [MemberSpec(str(folder), quantization_config=GPTQConfig(bits=4))], device="cpu"
        )
