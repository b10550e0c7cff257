"""`ensemble.yaml`: what is written and read, and everything that takes it in place of models."""

import pickle
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from langchain_core.load import dumps, loads
from typer.testing import CliRunner

from adafuse import AdaFuseWarning, ConfigError, Ensemble, MemberSpec
from adafuse.cli import ask, compare, serve
from adafuse.compare import compare as compare_models
from adafuse.ensemble_file import EnsembleFile, read_ensemble, read_models, write_ensemble
from adafuse.testing import ScriptedMember
from adafuse_integrations.langchain import AdaFuseLLM, ChatAdaFuse
from adafuse_integrations.llama_index import AdaFuseLLM as IndexLLM

MEMBERS = (
    MemberSpec("org/a", name="big", weight=0.7, revision="abc", dtype="bfloat16"),
    MemberSpec("org/b", weight=0.3),
)
pytestmark = pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
WRAPPERS = [AdaFuseLLM, ChatAdaFuse, IndexLLM]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ensemble.yaml"
    write_ensemble(path, EnsembleFile(MEMBERS, {"branches": 2, "max_new_tokens": 7}))
    return path


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[MemberSpec]:
    """Loading gives scripted members; what was asked for last."""
    seen: list[MemberSpec] = []

    def load_on(backend: str, specs: Sequence[MemberSpec], **options: Any) -> list[Any]:
        seen[:] = specs
        return [
            ScriptedMember("from here", name=spec.name or spec.model, weight=spec.weight)
            for spec in specs
        ]

    monkeypatch.setattr("adafuse.ensemble.load_on", load_on)
    return seen


def test_what_is_written_is_read(file: Path) -> None:
    found = read_ensemble(file)
    assert found.members == MEMBERS
    assert found.settings == {"branches": 2, "max_new_tokens": 7}
    plain = yaml.safe_load(file.read_text())
    assert plain["version"] == 1
    assert plain["members"][1] == {"model": "org/b", "weight": 0.3}
    assert file.read_text().startswith("# An ensemble of adafuse.")
    assert [path.name for path in file.parent.iterdir()] == ["ensemble.yaml"]


def test_folders_beside_the_file_are_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, outside = tmp_path / "a" / "models" / "m", tmp_path / "b" / "m"
    for folder in (inside, outside):
        folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a")
    specs = (MemberSpec("models/m"), MemberSpec(str(outside), tokenizer="models/m"))
    write_ensemble("ensemble.yaml", EnsembleFile(specs))
    written = yaml.safe_load(Path("ensemble.yaml").read_text())["members"]
    assert [one["model"] for one in written] == ["./models/m", str(outside)]
    (tmp_path / "a").rename(tmp_path / "c")
    monkeypatch.chdir(tmp_path)
    first, second = read_ensemble("c/ensemble.yaml").members
    assert first.model == second.tokenizer == str(tmp_path / "c" / "models" / "m")
    assert second.model == str(outside)


def test_secrets_and_code_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "ensemble.yaml"
    spec = MemberSpec("org/a", tokenizer_kwargs={"token": "hf_x"}, trust_remote_code=True)
    write_ensemble(path, EnsembleFile((spec,)))
    assert "hf_x" not in path.read_text()
    assert read_ensemble(path).members == (MemberSpec("org/a"),)


def test_what_cannot_be_written_leaves_the_old_file(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(ConfigError, match="cannot be written"):
        write_ensemble(file, EnsembleFile((MemberSpec("org/a", quantization_config=object()),)))
    assert file.read_bytes() == before
    with pytest.raises(ConfigError, match="cannot be written: No such file"):
        write_ensemble(file.parent / "no" / "x.yaml", EnsembleFile(MEMBERS))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is no ensemble file: it has no members; `adafuse fit` makes one"),
        ("[1]", "is no ensemble file"),
        ("members: [a", "is no YAML: "),
        ("members: [!!python/object/apply:os.system [ls]]", "is no YAML: "),
        ("version: 2\nmembers: [org/a]", "is of version 2, and this adafuse reads up to 1"),
        ("version: x\nmembers: [org/a]", "version must be a whole number, not 'x'"),
        ("members: org/a", "members must be a list, not 'org/a'"),
        ("members: []", "an ensemble has 1 to 8 members, not 0"),
        ("members: [{modell: org/a}]", "unknown member field 'modell'; did you mean 'model'?"),
        ("members: [{model: org/a, weight: -1}]", "weight must be a finite number of at least 0"),
        ("members: [{model: org/a, weight: 0}]", "no member has a weight above 0"),
        ("members: [{model: org/a, trust_remote_code: true}]", "which a file cannot ask for"),
        ("members: [org/a]\nsettings: {branchs: 2}", "unknown setting 'branchs'; did you mean"),
        ("members: [org/a]\nsettings: [2]", "settings must be a mapping, not [2]"),
        ("members: [org/a]\nweight: [2]", "unknown field 'weight'"),
        (b"\xff", "is no YAML: "),
    ],
)
def test_what_is_wrong_is_one_sentence(content: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "ensemble.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        Ensemble.load(path)
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_stands_alone_and_others_are_left_as_they_are(file: Path) -> None:
    assert read_models(["org/a"]) == (["org/a"], {})
    assert read_models(None) == (None, {})
    assert read_models([file]) == read_models(str(file))
    with pytest.raises(ConfigError, match=r"ensemble\.yaml is an ensemble already: give it alone"):
        Ensemble.load([str(file), "org/c"])
    with pytest.raises(ConfigError, match=r"no\.yml cannot be read: No such file"):
        Ensemble.load("no.yml")


def test_an_ensemble_is_loaded_with_its_settings(file: Path, loaded: list[MemberSpec]) -> None:
    ensemble = Ensemble.load(file, branches=1)
    assert loaded == list(MEMBERS)
    assert [member.weight for member in ensemble.members] == [0.7, 0.3]
    assert (ensemble.config.branches, ensemble.config.max_new_tokens) == (1, 7)
    assert Ensemble.load(str(file), preset="paper").config.branches == 3


ALONE = {"sentence": "big alone is better here.", "less the best alone": [0.1, -0.05, 0.2]}
TOGETHER = {"sentence": "Together they are better.", "less the best alone": [-0.3, -0.4, -0.2]}


@pytest.mark.parametrize(
    ("weights", "measured", "said"),
    [
        ((1.0, 0.0), ALONE, r"ensemble\.yaml: its fit gives 'big' all the weight; the others only"),
        ((0.7, 0.3), ALONE, r"no better together \(big alone is better here\.\); let one speak"),
        ((0.7, 0.3), TOGETHER, None),
        ((0.7, 0.3), {"less the best alone": "?"}, None),
        ((0.7,), ALONE, None),
    ],
)
def test_members_whose_fit_says_otherwise_are_warned_of_once(
    weights: Any, measured: Any, said: str | None, file: Path, loaded: list[MemberSpec]
) -> None:
    members = tuple(replace(spec, weight=w) for spec, w in zip(MEMBERS, weights, strict=False))
    write_ensemble(file, EnsembleFile(members, {}, {"measured": measured}))
    for use in (
        lambda: Ensemble.load(file).generate("x"),
        *(lambda wrapper=wrapper: wrapper(models=str(file))._loaded() for wrapper in WRAPPERS),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            use()
        told = [one for one in caught if issubclass(one.category, AdaFuseWarning)]
        assert len(told) == (said is not None)
        assert said is None or re.search(said, str(told[0].message))
        assert not told or "adafuse" not in Path(told[0].filename).parts[-2:]
    shown = run(ask, "hi", "--model", str(file)).stderr
    assert shown.count("warning: ") == (said is not None)
    assert said is None or re.search(said, shown)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_models(str(file))  # to fit or to compare them is what one should do


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrappers_take_it(wrapper: Any, file: Path, loaded: list[MemberSpec]) -> None:
    llm = wrapper(models=str(file))
    assert llm.models == MEMBERS
    assert (llm.branches, llm.max_tokens) == (2, 7)
    assert wrapper(models=file, branches=1).branches == 1
    assert wrapper(models=[str(file)], preset="paper").branches == 3
    names = [member.name for member in llm._loaded().members]
    assert names == ["big", "org/b"]
    file.write_text("")
    with pytest.raises(ValueError, match="is no ensemble file"):
        wrapper(models=str(file))


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrappers_do_without_it_later(wrapper: Any, file: Path) -> None:
    """What is pickled or written down has the members: the file may be gone."""
    llm = wrapper(models=str(file), max_tokens=9)
    written = pickle.dumps(llm)
    file.unlink()
    copies = [pickle.loads(written)]
    if wrapper is IndexLLM:
        copies.append(wrapper.from_dict(llm.to_dict()))
    else:
        copies.append(loads(dumps(llm), valid_namespaces=["adafuse_integrations"],
                            allowed_objects=[wrapper]))  # fmt: skip
    for copy in copies:
        assert copy.models == MEMBERS
        assert (copy.branches, copy.max_tokens) == (2, 9)
        assert copy._identity() == llm._identity()


def test_the_environment_may_name_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAFUSE_MODELS", str(file))
    assert ChatAdaFuse().models == MEMBERS
    assert ChatAdaFuse().max_tokens == 7


def run(command: Any, *arguments: str) -> Any:
    return CliRunner().invoke(command.app, list(arguments), catch_exceptions=False)


def test_a_question_is_asked_of_it(
    file: Path, loaded: list[MemberSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    configs: list[Any] = []
    decode = Ensemble.stream
    monkeypatch.setattr(
        Ensemble,
        "stream",
        lambda self, *a, **k: configs.append(self.config) or decode(self, *a, **k),
    )
    result = run(ask, "hi", "--model", str(file), "--max-new-tokens", "50")
    assert (result.exit_code, result.stdout) == (0, "from here\n")
    assert loaded == list(MEMBERS)
    assert (configs[0].branches, configs[0].max_new_tokens) == (2, 50)
    failed = run(ask, "hi", "--model", "no.yaml")
    assert (failed.exit_code, failed.stderr.count("\n")) == (2, 1)


def test_it_is_compared(file: Path, loaded: list[MemberSpec], tmp_path: Path) -> None:
    pytest.importorskip("torchmetrics")
    rows = [{"question": f"{n}?", "answer": "from here"} for n in range(3)]
    cut = compare_models(file, rows)
    assert [spec.weight for spec in loaded] == [0.7, 0.3]
    assert {answer.text for answer in cut["ensemble"].given} == {"from he"}  # max_new_tokens: 7
    whole = compare_models(file, rows, max_new_tokens=20)
    assert whole["ensemble"].mean("exact match") == 1.0
    data = tmp_path / "rows.jsonl"
    data.write_text('{"question": "x?", "answer": "y"}\n')
    options = ["--data", str(data), "--out", str(tmp_path / "out")]
    assert run(compare, "-m", str(file), *options).exit_code == 0


def test_it_is_served(
    file: Path, loaded: list[MemberSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fastapi")
    served: list[Ensemble] = []

    async def run_until_told(self: Any, listening: Any, load: Any, ready: Any) -> None:
        listening.close()
        served.append(load())

    monkeypatch.setattr("adafuse.serve.server.Server.run_until_told", run_until_told)
    result = run(serve, "--model", str(file), "--port", "0", "--timeout", "30")
    assert result.exit_code == 0, result.output
    assert loaded == list(MEMBERS)
    config = served[0].config
    assert (config.branches, config.max_new_tokens, config.timeout) == (2, 7, 30)
