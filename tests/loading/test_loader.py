"""Loading members from folders: what is shared, what is refused and why."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    MambaConfig,
    MptConfig,
    MptForCausalLM,
    T5Config,
)

from adafuse import (
    ConfigError,
    Ensemble,
    LoadError,
    MemberSpec,
    ModelNotFoundError,
    UnsafeCheckpointError,
    UnsupportedModelError,
    UnsupportedTokenizerError,
)
from adafuse.local.member import LocalMember
from families import family, wordpiece_tokenizer


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two tiny models as folders."""
    saved = {}
    for name in ("gpt2", "llama"):
        folder = tmp_path_factory.mktemp(name) / name
        model, tokenizer = family(name)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        saved[name] = folder
    return saved


def test_folders_load_and_answer(folders: dict[str, Path]) -> None:
    ensemble = Ensemble.load([str(folders["gpt2"]), str(folders["llama"])], max_new_tokens=8)
    assert [member.name for member in ensemble.members] == ["gpt2", "llama"]
    there = Ensemble([LocalMember(*family(name), name) for name in ("gpt2", "llama")])
    assert ensemble.generate("Hello").text == there.generate("Hello", max_new_tokens=8).text


def test_members_of_one_checkpoint_share_weights_and_get_different_names(
    folders: dict[str, Path],
) -> None:
    spec = MemberSpec(str(folders["gpt2"]), weight=2.0, name="heavy")
    one, two, three = Ensemble.load([str(folders["gpt2"])] * 2 + [spec]).members
    assert isinstance(one, LocalMember)
    assert isinstance(two, LocalMember)
    assert isinstance(three, LocalMember)
    assert one.runner is two.runner is three.runner
    assert [one.name, two.name, three.name] == ["gpt2", "gpt2#2", "heavy"]
    assert three.weight == 2.0
    other = Ensemble.load([{"model": str(folders["gpt2"]), "dtype": "bfloat16"}]).members[0]
    assert isinstance(other, LocalMember)
    assert other.runner is not one.runner
    assert other.runner.model.dtype is torch.bfloat16


def test_defaults_are_float32_on_the_cpu(folders: dict[str, Path]) -> None:
    member = Ensemble.load([str(folders["llama"])], device="cpu").members[0]
    assert isinstance(member, LocalMember)
    assert member.runner.model.dtype is torch.float32
    assert not member.runner.model.training


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("./no/such/folder", ModelNotFoundError),
        ("/no/such/folder", ModelNotFoundError),
        ("no such model", ModelNotFoundError),
        ("a/b/c/d", ModelNotFoundError),
        ("org/none", ModelNotFoundError),
        ("", ConfigError),
        (3, ConfigError),
        ({"model": "x", "devise": "cpu"}, ConfigError),
        ({"model": "x", "device": "cpu", "device_map": "auto"}, ConfigError),
        ({"model": "x", "device": "gpu"}, ConfigError),
        ({"model": "x", "dtype": "float31"}, ConfigError),
        ({"model": "x", "attn_implementation": "flash_attention_2"}, ConfigError),
        ({"model": "x", "weight": -1}, ConfigError),
    ],
)
def test_wrong_specifications_are_refused_in_one_line(model: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        Ensemble.load([model])
    assert "\n" not in str(caught.value)


def test_the_number_of_members_is_1_to_8(folders: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="1 to 8"):
        Ensemble.load([])
    with pytest.raises(ConfigError, match="1 to 8"):
        Ensemble.load([str(folders["gpt2"])] * 9)
    with pytest.raises(ConfigError, match="list"):
        Ensemble.load("gpt2")


def test_a_pickle_checkpoint_is_refused_with_the_reason(tmp_path: Path) -> None:
    model, tokenizer = family("gpt2")
    model.config.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(UnsafeCheckpointError, match=r"pytorch_model\.bin.*runs\s+code"):
        Ensemble.load([str(tmp_path)])


def test_remote_code_is_not_run(tmp_path: Path) -> None:
    config = {"model_type": "odd", "auto_map": {"AutoConfig": "odd.OddConfig"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "odd.py").write_text("raise SystemExit('remote code ran')")
    with pytest.raises(UnsafeCheckpointError, match="trust_remote_code"):
        Ensemble.load([str(tmp_path)])


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"neither a config\.json nor a GGUF file"):
        Ensemble.load([str(tmp_path)])
    (tmp_path / "weights.bin2").write_text("")
    with pytest.raises(ModelNotFoundError, match="no GGUF file"):
        Ensemble.load([str(tmp_path / "weights.bin2")])


def test_a_broken_gguf_file_is_a_load_error(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"not a GGUF file at all")
    with pytest.raises(LoadError, match=r"x\.gguf"):
        Ensemble.load([str(tmp_path / "x.gguf")])


@pytest.mark.parametrize(
    ("config", "reason"),
    [(T5Config(), "no causal language model"), (MambaConfig(), "recurrent state")],
)
def test_architectures_that_cannot_be_members_are_refused_before_their_weights_are_read(
    tmp_path: Path, config: Any, reason: str
) -> None:
    config.save_pretrained(tmp_path)  # no weights there to be read
    with pytest.raises(UnsupportedModelError, match=reason):
        Ensemble.load([str(tmp_path)])


def test_a_model_that_reads_a_tree_wrongly_is_refused() -> None:
    _, tokenizer = family("gpt2")
    config = BloomConfig(vocab_size=len(tokenizer), hidden_size=32, n_layer=2, n_head=4)
    torch.manual_seed(0)
    model = BloomForCausalLM(config)  # ALiBi: its biases are made from the mask
    with pytest.raises(UnsupportedModelError, match="'bloom'"):
        LocalMember(model, tokenizer, "bloom")


def test_a_tokenizer_of_another_model_is_refused() -> None:
    model, _ = family("gpt2")
    tokenizer = family("llama")[1]
    assert tokenizer.vocab_size > model.config.vocab_size
    with pytest.raises(UnsupportedTokenizerError, match="do not belong together"):
        LocalMember(model, tokenizer, "mixed")


def test_wordpiece_is_refused_with_the_reason() -> None:
    model, _ = family("gpt2")
    with pytest.raises(UnsupportedTokenizerError, match="WordPiece tokenizer drops whitespace"):
        LocalMember(model, wordpiece_tokenizer(), "bert")


@pytest.mark.parametrize("kind", ["gpt_neo", "mpt"])
def test_windows_and_biases_made_from_cache_slots_are_refused(kind: str) -> None:
    _, tokenizer = family("gpt2")
    size = len(tokenizer)
    model: Any
    if kind == "gpt_neo":
        layers = [[["global", "local"], 1]]
        model = GPTNeoForCausalLM(
            GPTNeoConfig(vocab_size=size, hidden_size=32, num_layers=2, num_heads=4,
                         attention_types=layers, window_size=64)
        )  # fmt: skip
    else:
        model = MptForCausalLM(MptConfig(vocab_size=size, d_model=32, n_heads=4, n_layers=2))
    with pytest.raises(UnsupportedModelError, match="cache slots"):
        LocalMember(model, tokenizer, kind)


def test_a_checkpoint_that_lacks_weights_is_refused(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "short"
    shutil.copytree(folders["llama"], folder)
    config = json.loads((folder / "config.json").read_text())
    config["num_hidden_layers"] += 1
    config.pop("layer_types", None)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(LoadError, match=r"lacks \d+ weights"):
        Ensemble.load([str(folder)])


def test_paths_torch_dtypes_and_tokenizer_folders_are_taken(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    family("gpt2")[1].save_pretrained(tmp_path)
    spec = MemberSpec(folders["gpt2"], tokenizer=tmp_path)  # type: ignore[arg-type]
    members = Ensemble.load([spec, folders["gpt2"]], dtype=torch.bfloat16).members  # type: ignore[arg-type,list-item]
    backbones = [member.runner for member in members if isinstance(member, LocalMember)]
    assert backbones[0] is backbones[1]
    assert backbones[0].model.dtype is torch.bfloat16


def test_weights_are_counted_before_anything_is_loaded() -> None:
    with pytest.raises(ConfigError, match="weights has 3 numbers for 2 members"):
        Ensemble.load(["org/a", "org/b"], weights=[1, 2, 3])


class Nameless:
    weight = 1.0

    def open(self) -> None:
        """Like a member's."""


@pytest.mark.parametrize(
    "members",
    [None, 3, "gpt2", ["gpt2"], [None], (one for one in ()), {"a": 1}, [LocalMember], [Path("x")],
     [Nameless()], b"x"],
)  # fmt: skip
def test_what_is_no_list_of_members_is_refused_with_what_a_member_is(members: Any) -> None:
    with pytest.raises(ConfigError, match=r"LocalMember.*Ensemble\.load") as caught:
        Ensemble(members)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="1 to 8"):
        Ensemble([])
