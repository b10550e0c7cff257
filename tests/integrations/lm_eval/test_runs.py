"""The adapter to lm-eval as it is run: arguments, task files, the command, real weights."""

import functools
import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval")

import lm_eval
from lm_eval.api.registry import get_model
from lm_eval.tasks import TaskManager

from adafuse import AdaFuseWarning, ConfigError, DecodingConfig, Ensemble, MemberSpec
from adafuse.demo.models import prepare_all
from adafuse.loading.loader import load_members
from adafuse.testing import ScriptedMember
from adafuse_integrations.lm_eval import AdaFuseLM
from adafuse_integrations.lm_eval.__main__ import main
from adafuse_integrations.lm_eval.arguments import read_generation
from benchmarks.harness import compared
from families import family
from harness_models import PAIRS, alone, ask, member


@pytest.fixture(autouse=True)
def _fast_and_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the harness's own thousands of tasks, its list of installed packages, its log."""
    own = functools.partial(TaskManager, include_defaults=False)
    monkeypatch.setattr("lm_eval.tasks.TaskManager", own)
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)
    monkeypatch.setattr(logging.getLogger("lm_eval"), "level", logging.ERROR)


def test_generation_arguments_are_settings() -> None:
    config = DecodingConfig(stop=("END",), temperature=0.3)
    given = {"until": ["\n", "", "END"], "max_gen_toks": 8.0, "temperature": 1, "branches": 2}
    assert read_generation(given, config) == {
        "stop": ("END", "\n"), "max_new_tokens": 8, "temperature": 1.0, "branches": 2
    }  # fmt: skip
    assert read_generation({"until": "\n"}, config) == {"stop": ("END", "\n"), "temperature": 0.3}
    greedy = {"do_sample": False, "temperature": 0.7, "top_p": 0.5, "max_tokens": 4}
    assert read_generation(greedy, DecodingConfig())["temperature"] == 0
    assert read_generation({"do_sample": True, "temperature": 0}, config)["temperature"] == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_gen_tok": 3}, "did you mean 'max_gen_toks'"),
        ({"num_beams": 4}, "num_beams=4 has no meaning"),
        ({"temperature": 0.5, "top_k": 40}, "top_k=40 has no meaning"),
        ({"do_sample": True}, "needs a temperature"),
        ({"do_sample": "yes"}, "do_sample must be"),
        ({"max_length": 9}, "unknown generation argument"),
    ],
)
def test_other_kinds_of_generation_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_generation({"until": [], **given}, DecodingConfig())


def test_repeats_of_a_draw_are_draws_of_their_own() -> None:
    lm = AdaFuseLM(Ensemble([member("llama3"), member("gemma3")]), seed=1)
    one = ("Once upon a time", {"until": [], "max_gen_toks": 12, "temperature": 5.0})
    with pytest.warns(AdaFuseWarning, match="draw among candidates"):
        found = ask(lm, "generate_until", [one] * 4)
    assert len(set(found)) > 1
    assert found == ask(lm, "generate_until", [one] * 4)


def test_model_arguments() -> None:
    ensemble = Ensemble([member("gpt2")])
    lm = AdaFuseLM(ensemble, preset="paper", branches=2, weights=0.5, batch_size="auto:2")
    assert (lm.ensemble.config.branches, lm.ensemble.config.weights) == (2, (0.5,))
    assert (lm.batch_size, AdaFuseLM(ensemble, batch_size="3").batch_size) == (8, 3)
    for arguments, message in (
        ({"branch": 2}, "did you mean 'branches'"),
        ({"models": "a+b"}, "not both"),
        ({"device": "cpu"}, "not both"),
        ({"weights": "a+b"}, "weights must be numbers"),
        ({"batch_size": "many"}, "batch_size must be"),
    ):
        with pytest.raises(ConfigError, match=message):
            AdaFuseLM(ensemble, **arguments)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="name the members"):
        AdaFuseLM()
    with pytest.raises(ConfigError, match="not chosen by name"):
        lm.chat_template("rag")
    assert json.loads(lm.chat_template(True) or "") == {"gpt2": None}


def _tasks(folder: Path) -> TaskManager:
    """Three tasks over a file of this folder."""
    rows = [
        {"q": f"{a}+{b}", "a": str(a + b), "c": ["3", "5", "no"]} for a in (1, 2) for b in (1, 3)
    ]
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    common = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}, "cache_dir": str(folder / "cache")},
        "test_split": "test",
        "doc_to_text": "Sum: {{q}}=",
    }
    generation = {"until": ["\n"], "max_gen_toks": 6}
    own: dict[str, dict[str, Any]] = {
        "sums": {
            "output_type": "generate_until", "doc_to_target": "{{a}}",
            "generation_kwargs": generation, "metric_list": [{"metric": "exact_match"}],
        },
        "choices": {
            "output_type": "multiple_choice", "doc_to_choice": "{{c}}", "doc_to_target": 0,
            "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
        },
        "texts": {
            "output_type": "loglikelihood_rolling", "doc_to_text": "",
            "doc_to_target": "{{q}} {{a}}", "metric_list": [{"metric": "byte_perplexity"}],
        },
    }  # fmt: skip
    for name, task in own.items():  # YAML takes JSON
        (folder / f"{name}.yaml").write_text(json.dumps({"task": name, **common, **task}))
    return TaskManager(include_path=str(folder), include_defaults=False)


@pytest.mark.parametrize("chat", [False, True])
def test_local_tasks_run_on_members_and_on_their_ensemble(tmp_path: Path, chat: bool) -> None:
    names, tasks = ["llama3", "gemma3"], ["sums", "choices", "texts"]
    manager = _tasks(tmp_path)
    found = {}
    for group in (["llama3"], ["gemma3"], names):
        lm = AdaFuseLM(Ensemble([member(name) for name in group]), batch_size=2)
        results = lm_eval.simple_evaluate(
            model=lm, tasks=tasks, task_manager=manager, apply_chat_template=chat, bootstrap_iters=0
        )
        assert results is not None
        assert set(results["results"]) == set(tasks)
        found["+".join(group)] = results["samples"]
        assert results["config"]["members"] == dict.fromkeys(group, 1.0)
    totals = [[row["resps"][0][0][0] for row in found[one]["choices"]] for one in found]
    means = [(a + b) / 2 for a, b in zip(totals[0], totals[1], strict=True)]
    assert totals[2] == pytest.approx(means)
    assert all(isinstance(row["resps"][0][0], str) for row in found["llama3+gemma3"]["sums"])


def test_responses_are_found_again_in_the_harness_s_cache(tmp_path: Path) -> None:
    manager, results = _tasks(tmp_path), []
    for _ in range(2):
        lm = alone("gpt2")
        results.append(
            lm_eval.simple_evaluate(
                model=lm, tasks=["sums", "choices"], task_manager=manager, bootstrap_iters=0,
                use_cache=str(tmp_path / "responses"),
            )["results"]
        )  # fmt: skip
        lm.ensemble = Ensemble([ScriptedMember("other")])
    assert results[0] == results[1]
    assert list(tmp_path.glob("responses*.db"))


def test_the_command_runs_a_task_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tasks(tmp_path)
    for name in ("gpt2", "llama3"):
        model, tokenizer = family(name, 1)
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    assert get_model("adafuse") is AdaFuseLM
    models = f"models={tmp_path / 'gpt2'}+{tmp_path / 'llama3'}"
    options = ["--tasks", "sums", "--include_path", str(tmp_path), "--output_path", str(tmp_path)]

    def run(*arguments: str) -> None:
        words = ["lm-eval", "--model_args", ",".join([models, *arguments]), *options]
        monkeypatch.setattr(sys, "argv", words)
        main()

    run("branches=2", "weights=0.6+0.4", "device=cpu")
    (path,) = tmp_path.rglob("results_*.json")
    told = json.loads(path.read_text())["config"]
    assert told["members"] == {"gpt2": 0.6, "llama3": 0.4}
    assert "branches=2" in told["decoding"]
    run()  # the harness asks for cuda:0 unless a device is named
    with pytest.raises(SystemExit) as ended:
        run("branchs=2")
    assert ended.value.code == 2


@pytest.mark.real
def test_smollm2_has_the_numbers_of_the_harness() -> None:
    folder = prepare_all()["smollm2"]
    (smollm2,) = load_members([MemberSpec(str(folder), name="smollm2", dtype="float32")])
    asked = [
        (f"Once upon a time, in {at} days,", {"until": ["\n\n"], "max_gen_toks": 12})
        for at in range(4)
    ]
    found = compared(smollm2, asked, PAIRS[:8])
    assert found["answers equal"] == found["answers not empty"] == 4
    assert found["greedy flags equal"] == 8
    assert found["largest difference"] < 1e-3
