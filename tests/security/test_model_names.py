"""Names lead out of no cache, and the hub is not asked for those that are none.

Which names are refused, and how: see test_security_loading.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adafuse import Ensemble, LoadError, MemberSpec, ModelNotFoundError
from adafuse.loading.sources import model_source
from fake_hub import FakeHub, fake_hub
from families import family

NAMES = [
    "../secret", "org/..", "org/../x", "org/model/../../x", "org/model ", "org/model@main",
    "org/model?x=1", "%2e%2e/x", "org/--x", "org/repo/../../../x.gguf", "org/repo//x.gguf",
    "org/repo/./x.gguf", "org/repo/\nx.gguf", "org/repo/\x00.gguf", "org/repo/.gguf/",
]  # fmt: skip


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    with fake_hub(monkeypatch, tmp_path / "cache") as one:
        yield one


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_are_refused_in_one_line_and_nobody_is_asked(hub: FakeHub, name: str) -> None:
    with pytest.raises(LoadError) as caught:
        Ensemble.load([name])
    assert str(caught.value).isprintable()
    assert not hub.asked


@pytest.fixture
def cached(hub: FakeHub, tmp_path: Path) -> FakeHub:
    """A whole model in the cache, and one beside the cache that nobody named."""
    folder = tmp_path / "gpt2"
    model, tokenizer = family("gpt2")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    hub.add_to_cache("org/model", folder)
    hub.up = False
    (tmp_path / "secret").write_text(hub.commit("org/model"))
    (tmp_path / "secret.gguf").write_bytes(b"GGUF")
    return hub


def test_what_is_cached_is_read(cached: FakeHub) -> None:
    assert Ensemble.load(["org/model"]).generate("x", max_new_tokens=1).rounds
    commit = cached.commit("org/model")
    assert Ensemble.load([MemberSpec("org/model", revision=commit)]).members


@pytest.mark.parametrize(
    "revision",
    ["../../../secret", "..", "/etc/passwd", "a/../../../../secret", "main/..", "a\x00", "a\n", "",
     " ", "refs\\..\\x"],
)  # fmt: skip
def test_revisions_lead_out_of_no_cache(cached: FakeHub, revision: str) -> None:
    """A revision is the name of a file in the cache, which says what commit it stands for."""
    with pytest.raises(ModelNotFoundError, match="is no branch, tag or commit"):
        Ensemble.load([MemberSpec("org/model", revision=revision)])
    assert not cached.asked


@pytest.mark.parametrize("up", range(1, 7))
def test_files_of_repositories_lead_out_of_no_cache(cached: FakeHub, up: int) -> None:
    with pytest.raises(LoadError):
        Ensemble.load([f"org/model/{'../' * up}secret.gguf"])
    assert not cached.asked


def test_a_tokenizer_is_found_by_the_same_rules(cached: FakeHub) -> None:
    for name in NAMES:
        with pytest.raises(LoadError):
            Ensemble.load([MemberSpec("org/model", tokenizer=name)])
    assert not cached.asked


@pytest.mark.parametrize("name", ["org/model", "model", "org/model.v2_x-1", "org/m.gguf/x.gguf"])
def test_plain_names_are_taken(name: str) -> None:
    assert not model_source(MemberSpec(name), name).is_local


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/3", "feature/a_b", "0" * 40])
def test_plain_revisions_are_taken(revision: str) -> None:
    spec = MemberSpec("org/model", revision=revision)
    assert model_source(spec, spec.model).revision == revision


def test_folders_are_read_wherever_they_are(tmp_path: Path, monkeypatch: Any) -> None:
    """Whoever names models may name any folder: names that strangers give need a list of ours."""
    folder = tmp_path / "a b" / "modèle"
    folder.mkdir(parents=True)
    (folder / "config.json").touch()
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    for name in (str(folder), "../a b/modèle"):
        source = model_source(MemberSpec(name), name)
        assert (source.is_local, Path(source.place)) == (True, folder)
