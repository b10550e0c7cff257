"""Members from the hub: the local cache first, and everything checked before any weights."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, MambaConfig

from adafuse import (
    Ensemble,
    LoadError,
    MemberSpec,
    ModelNotFoundError,
    UnsafeCheckpointError,
    UnsupportedModelError,
)
from adafuse.local.member import LocalMember
from fake_hub import FakeHub, fake_hub
from families import family

NEVER_THERE = (
    "generation_config.json", "chat_template.jinja", "special_tokens_map.json", "added_tokens.json",
    "tokenizer.model",
)  # fmt: skip


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    with fake_hub(monkeypatch, tmp_path / "cache") as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model in two shards."""
    place = tmp_path_factory.mktemp("gpt2")
    model, tokenizer = family("gpt2")
    model.save_pretrained(place, max_shard_size="60KB")
    tokenizer.save_pretrained(place)
    assert len(list(place.glob("*.safetensors"))) > 1
    return place


def absent(folder: Path) -> list[str]:
    return [name for name in NEVER_THERE if not (folder / name).exists()]


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What weights are read from, in order."""
    places: list[str] = []
    read = AutoModelForCausalLM.from_pretrained

    def recorded(place: str, **arguments: Any) -> Any:
        places.append(place)
        return read(place, **arguments)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", recorded)
    return places


def test_a_cached_repository_is_loaded_without_any_request(hub: FakeHub, folder: Path) -> None:
    hub.add_to_cache("org/tiny", folder, absent=absent(folder))
    hub.up = False
    ensemble = Ensemble.load(["org/tiny"])
    assert hub.asked == []
    alone = Ensemble([LocalMember(*family("gpt2"), "tiny")])
    asked = {"prompt": "Hello", "max_new_tokens": 6}
    assert ensemble.generate(**asked).text == alone.generate(**asked).text


def test_a_branch_and_its_commit_share_weights(hub: FakeHub, folder: Path) -> None:
    hub.add_to_cache("org/tiny", folder, absent=absent(folder))
    by_commit = MemberSpec("org/tiny", revision=hub.commit("org/tiny"))
    one, two = Ensemble.load(["org/tiny", by_commit]).members
    assert isinstance(one, LocalMember)
    assert isinstance(two, LocalMember)
    assert one.runner is two.runner
    assert hub.asked == []


def test_what_the_cache_lacks_is_fetched_and_then_no_more(hub: FakeHub, folder: Path) -> None:
    hub.repositories["org/tiny"] = folder
    shard = sorted(folder.glob("*.safetensors"))[-1].name
    hub.add_to_cache("org/tiny", folder, without=(shard, "tokenizer.json"))
    first = Ensemble.load(["org/tiny"])
    assert any(f"/{shard}" in one for one in hub.asked)
    hub.asked.clear()
    second = Ensemble.load(["org/tiny"])
    assert hub.asked == []
    one, two = first.members[0], second.members[0]
    assert isinstance(one, LocalMember)
    assert isinstance(two, LocalMember)
    assert one.runner is two.runner


def test_files_that_may_exist_are_asked_for_once(hub: FakeHub, folder: Path) -> None:
    """Without a template or generation config that the repository has, answers would differ."""
    hub.repositories["org/tiny"] = folder
    hub.add_to_cache("org/tiny", folder)  # whether there is a chat template is not known
    Ensemble.load(["org/tiny"])
    assert [one for one in hub.asked if "/resolve/" in one] == []
    assert hub.asked == ["GET /api/models/org/tiny"]
    hub.asked.clear()
    hub.up = False
    Ensemble.load(["org/tiny"])
    assert hub.asked == ["GET /api/models/org/tiny"]


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "shard"])
def test_a_part_in_the_cache_and_no_network_is_said_at_once(
    hub: FakeHub, folder: Path, missing: str, loaded: list[str]
) -> None:
    without = (missing,)
    if missing == "shard":
        without = (sorted(folder.glob("*.safetensors"))[0].name,)
    if missing == "tokenizer.json":
        without = ("tokenizer.json", "tokenizer_config.json")
    hub.add_to_cache("org/tiny", folder, without=without)
    hub.up = False
    with pytest.raises(ModelNotFoundError, match=r"'org/tiny'.*only a part.*be reached") as caught:
        Ensemble.load(["org/tiny"])
    assert without[0] in str(caught.value)
    assert len(hub.asked) == 1
    assert loaded == []


def test_every_member_is_checked_before_the_first_ones_weights_are_read(
    hub: FakeHub, folder: Path, tmp_path: Path, loaded: list[str]
) -> None:
    names = ("recurrent", "pickled", "empty", "unknown", "broken", "gguf")
    folders = {name: tmp_path / name for name in names}
    MambaConfig().save_pretrained(folders["recurrent"])
    for name in ("pickled", "empty"):
        family("gpt2")[0].config.save_pretrained(folders[name])
    (folders["pickled"] / "pytorch_model.bin").touch()
    family("gpt2")[1].save_pretrained(folders["unknown"])
    shutil.copytree(folder, folders["broken"])
    (folders["broken"] / "config.json").write_text("{")
    folders["gguf"].mkdir()
    (folders["gguf"] / "tiny.Q4.gguf").touch()
    (folders["recurrent"] / "model.safetensors").touch()
    hub.repositories |= {f"org/{name}": place for name, place in folders.items()}
    wanted: dict[str, tuple[type[LoadError], str]] = {
        "org/recurrent": (UnsupportedModelError, "recurrent state"),
        "org/pickled": (UnsafeCheckpointError, r"pytorch_model\.bin"),
        "org/empty": (LoadError, "no weights"),
        "org/unknown": (ModelNotFoundError, r"no config\.json"),
        "org/broken": (LoadError, "broken"),
        "org/gguf": (ModelNotFoundError, r"'org/gguf/tiny\.Q4\.gguf'"),
        "org/gguf/other.gguf": (ModelNotFoundError, r"no file 'other\.gguf'"),
        "org/none": (ModelNotFoundError, "'org/none'.*no repository"),
    }
    for model, (error, reason) in wanted.items():
        with pytest.raises(error, match=reason) as caught:
            Ensemble.load([str(folder), model])
        assert "\n" not in str(caught.value)
    assert loaded == []


@pytest.mark.parametrize("up", [True, False])
def test_a_tokenizer_from_elsewhere_is_looked_for_before_weights_are_read(
    hub: FakeHub, folder: Path, up: bool, loaded: list[str]
) -> None:
    hub.up = up
    with pytest.raises(ModelNotFoundError, match="no tokenizer 'org/none'"):
        Ensemble.load([MemberSpec(str(folder), tokenizer="org/none")])
    assert loaded == []
    assert len(hub.asked) == 1


def test_a_tokenizer_from_elsewhere_is_taken_from_the_cache(hub: FakeHub, folder: Path) -> None:
    weights = ("config.json", *(file.name for file in folder.glob("model*")))
    hub.add_to_cache("org/tokens", folder, without=weights, absent=("config.json", *absent(folder)))
    hub.up = False
    member = Ensemble.load([MemberSpec(str(folder), tokenizer="org/tokens")]).members[0]
    assert isinstance(member, LocalMember)
    assert len(member.tokenizer) == len(family("gpt2")[1])
    assert hub.asked == []


def test_a_revision_that_is_not_there_is_named(hub: FakeHub, folder: Path) -> None:
    hub.add_to_cache("org/tiny", folder, absent=absent(folder))
    hub.up = False
    with pytest.raises(ModelNotFoundError, match=r"'org/tiny'.*does not hold it"):
        Ensemble.load([MemberSpec("org/tiny", revision="v2")])


def test_a_hub_that_is_ill_does_not_matter_to_what_is_cached(hub: FakeHub, folder: Path) -> None:
    hub.add_to_cache("org/tiny", folder)
    hub.ill = True
    Ensemble.load(["org/tiny"])
    with pytest.raises(ModelNotFoundError, match="org/none"):
        Ensemble.load(["org/none"])


def test_where_code_is_read_too_the_hub_is_asked(hub: FakeHub, folder: Path) -> None:
    """Which files of code there are is not known beforehand."""
    hub.repositories["org/tiny"] = folder
    hub.add_to_cache("org/tiny", folder, absent=absent(folder))
    Ensemble.load([MemberSpec("org/tiny", trust_remote_code=True)])
    assert hub.asked
