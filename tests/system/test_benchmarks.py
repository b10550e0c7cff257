"""The arithmetic of the speed benchmark: figures from counts and times, ratios, prompts, tables."""

import copy
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from adafuse import Ensemble
from adafuse.answer import Answer
from adafuse.events import MemberUsage, Round
from adafuse.testing import ScriptedMember
from benchmarks import dtypes
from benchmarks.__main__ import app
from benchmarks.speed import batch, command, lengths, one_model, reuse
from benchmarks.speed.figures import (
    Turn,
    cell,
    compare,
    flatten,
    median,
    passes_per_token,
    ratio,
    read_per_token,
)
from benchmarks.speed.machine import describe
from benchmarks.speed.members import round_weights
from benchmarks.speed.plot import draw, draw_one_model
from benchmarks.speed.prompts import fill
from benchmarks.speed.tables import show, written
from benchmarks.speed.timing import Timed, timed


def usage(
    prompt: int = 100, committed: int = 10, passes: int = 9, read: int = 125, reused: int = 0
) -> MemberUsage:
    seconds = {"prefill": 1.0, "draft": 2.0, "score": 1.0, "commit": 0.0}
    return MemberUsage(
        prompt, committed, passes, read, seconds, forward_seconds=1.5, reused_tokens=reused
    )


def answer(usages: dict[str, MemberUsage], words: tuple[str, ...] = ("a", " b")) -> Answer:
    last = Round(
        index=1, text="".join(words), words=words, ends=True, member="a", drafters=("a",),
        candidates=(), winner=0, margins={}, confident=True, unanimous=False, scored=True,
        finish_reason="stop", usage=usages,
    )  # fmt: skip
    return Answer.fold([last])


def turn(seconds: float, alone: float, committed: int = 10) -> Turn:
    ours = Timed(answer({"a": usage(committed=committed), "b": usage()}), seconds, 2.2)
    return Turn(ours, {"a": alone / 2, "b": alone / 2}, {"a": 0.5, "b": 0.6})


def test_counts_leave_out_the_prefill() -> None:
    assert passes_per_token([usage()]) == 0.8
    assert read_per_token([usage()]) == 2.5
    assert read_per_token([usage(read=65, reused=60)]) == 2.5  # what was reused is prompt too
    assert passes_per_token([usage(), usage(committed=6, passes=9)]) == 1.0  # sums, not means
    assert passes_per_token([usage(committed=0)]) is None


def test_ratios_and_medians_of_what_is_known() -> None:
    assert ratio(1, 3) == 0.333
    assert ratio(None, 3) is None
    assert ratio(1, 0) is None
    assert median([3.0, None, 1.0, 2.0]) == 2.0
    assert median([None]) is None


def test_a_cell_sums_counts_and_takes_the_median_of_times() -> None:
    found = cell([turn(4.0, 4.0), turn(5.0, 4.0), turn(90.0, 4.0, committed=4)])
    assert found["time ratio"] == 1.25
    assert (found["time ratio, least"], found["time ratio, most"]) == (1.0, 22.5)
    assert found["passes per token"] == round(48 / 54, 3)
    assert found["passes per token by member"] == {"a": 1.0, "b": 0.8}
    assert found["first word by own prefills"] == 1.1  # 2.2 by 1 + 1
    assert found["first word by plain prefills"] == 2.0  # 2.2 by 0.5 + 0.6
    assert found["share outside forwards"] == 0.4  # 1 - 3 by 5
    assert found["committed tokens"] == {"a": 24, "b": 30}
    assert (found["rounds"], found["rounds scored"]) == (3, 3)
    json.dumps(found, allow_nan=False)


def test_an_ensemble_is_timed_as_it_streams() -> None:
    pair = Ensemble([ScriptedMember("one two three.", name) for name in ("a", "b")])
    found = timed(pair, "Count.", max_new_tokens=100)
    assert found.answer.text == "one two three."
    assert found.first_word is not None
    assert 0 < found.first_word <= found.seconds
    assert cell([Turn(found, {"a": 1.0, "b": 1.0}, {"a": 0.1, "b": 0.1})])["rounds"] > 0


def test_an_answer_that_reused_a_prompt_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    reusing = answer({"a": usage(reused=3)})
    pair = Ensemble([ScriptedMember("x", "a")])
    monkeypatch.setattr(pair, "stream", lambda prompt: iter(reusing.rounds))
    with pytest.raises(RuntimeError, match="prompt_cache_mb=0"):
        timed(pair, "Again.")


def test_figures_are_compared_where_both_are_known() -> None:
    before = {"a": {"x": 2.0, "gone": 1.0}, "zero": 0, "list": [1, 2]}
    now = {"a": {"x": 1.0, "new": 1.0}, "zero": 5, "list": [2, 2], "text": "t", "none": None}
    assert compare(now, before) == {("a", "x"): 0.5, ("list", "0"): 2.0, ("list", "1"): 1.0}
    assert flatten({"yes": True, "a": [{"b": 1}]}) == {("a", "0", "b"): 1.0}


def test_a_context_is_filled_and_never_longer_than_asked() -> None:
    others = ["b" * 30, "first", "c" * 200, "d" * 30, "b" * 30, "e" * 30]
    context = fill("first", others, 80, len)
    assert context == "\n\n".join(["b" * 30, "first", "d" * 30])
    assert len(context) <= 80
    assert fill("longer than allowed", others, 5, len) == "longer than allowed"


def test_rounded_weights_are_near_and_few() -> None:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.Linear(64, 8)
            self.head = torch.nn.Linear(8, 4)

        def get_output_embeddings(self) -> torch.nn.Module:
            return self.head

    model = Model()
    before = copy.deepcopy(model)
    round_weights(model, bits=4)
    steps = before.inner.weight.abs().amax(dim=1, keepdim=True) / 7
    assert ((model.inner.weight - before.inner.weight).abs() <= steps / 2 + 1e-6).all()
    assert all(len(row.unique()) <= 15 for row in model.inner.weight)
    assert torch.equal(model.head.weight, before.head.weight)


def test_a_batch_is_compared_answer_by_answer() -> None:
    usages = {"a": usage(committed=4, passes=5)}
    single = [answer(usages), answer(usages, ("a", " b", " c"))]
    together = [answer(usages), answer(usages, ("a", " b", " d"))]
    found = batch.figures(single, together, alone=10.0, batch=4.0)
    assert found["texts equal"] == 1
    assert found["words"] == 5
    assert found["words a second, one by one"] == 0.5
    assert found["words a second, together"] == 1.25
    assert found["speed-up"] == 2.5


def test_what_growing_prompts_read_again() -> None:
    turns = [usage(prompt=10), usage(prompt=30, reused=10), usage(prompt=40, reused=25)]
    found = reuse.totals([{"a": one} for one in turns])["a"]
    assert found["read"] == [10, 20, 15]
    assert found["read by last prompt"] == round(45 / 40, 3)
    assert found["all prompts by last prompt"] == 2.0


def test_lengths_leave_the_prefill_out() -> None:
    found = lengths.figures([Timed(answer({"a": usage(), "b": usage()}), 6.0, 2.0)])
    assert found["seconds per word"] == 2.0  # 6 seconds less two prefills, two words
    assert found["tokens read per token"] == 2.5


def beside(seconds: float, assisted: tuple[float, float] | None = None) -> one_model.Beside:
    together = Timed(answer({"a": usage(), "b": usage()}), seconds, 1.0)
    leader = Timed(answer({"a": usage(), "b": usage()}), seconds / 2, 0.5)
    return one_model.Beside(together, leader, 4.0, 2.0, 0.25, assisted)


def test_a_pair_beside_one_model_is_compared_prompt_by_prompt() -> None:
    turns = {
        "float32": [beside(8.0, (3.0, 0.5)), beside(4.0, (3.0, 0.5)), beside(6.0, (1.0, 0.5))],
        "llama.cpp": [beside(4.0), beside(1.0), beside(3.0)],
    }
    found = one_model.figures(turns)
    plain, llama = found["float32"], found["llama.cpp"]
    assert (plain["pair, seconds"], plain["pair by alone"]) == (6.0, 1.5)
    assert (plain["assisted, seconds"], plain["assisted by alone"]) == (3.0, 1.5)
    assert plain["pair by pair in float32"] == 1.0
    assert llama["pair by pair in float32"] == 0.5
    assert (llama["one decides, seconds"], llama["one decides by alone"]) == (1.5, 0.75)
    assert llama["assisted, seconds"] is None
    json.dumps(found, allow_nan=False)


FIGURES: dict[str, Any] = {
    "one model": {"RAG": one_model.figures({"float32": [beside(8.0, (3.0, 0.5))]})},
    "workloads": {"real": {"paper": {"RAG": cell([turn(4.0, 5.0)])}}},
    "long prompts": {
        "250": {
            **lengths.figures([Timed(answer({"a": usage()}), 6.0, 2.0)]),
            "seconds by those of the shortest": 1.0,
        }
    },
    "batch": batch.figures([answer({"a": usage()})], [answer({"a": usage()})], 2.0, 1.0),
    "reuse": {"chat": reuse.totals([{"a": usage()}])},
    "footprint": {"imports alone": {"peak": 300.0, "seconds to load": 2.0}},
    "memory": {"plain": {"peak": 2.0, "peak after loading": None}, "ratio": 1.1},
}


def test_tables_show_figures_and_how_they_changed() -> None:
    file = io.StringIO()
    before = copy.deepcopy(FIGURES)
    before["workloads"]["real"]["paper"]["RAG"]["time ratio"] = 1.6
    show(FIGURES, compare(FIGURES, before), Console(file=file, width=200))
    text = file.getvalue()
    assert "0.80 (×0.50)" in text
    assert text.count("×") == 1
    assert written(None, {}, ()) == "–"


def test_the_plot_is_written_alike_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "b.svg"):
        assert draw(FIGURES["workloads"], tmp_path / name)
        assert draw_one_model(FIGURES["one model"], tmp_path / f"one_{name}")
    assert (tmp_path / "a.svg").read_text("utf-8") == (tmp_path / "b.svg").read_text("utf-8")


def test_the_machine_is_described_without_names() -> None:
    found = describe()
    assert found["cores"] >= 1
    assert found["torch"] == str(torch.__version__)
    assert not {"node", "hostname", "host"} & set(found)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The command without its models; the folder that it writes to."""
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    monkeypatch.setattr(command, "load_pairs", lambda: {"real": None, "agreeing": None})
    monkeypatch.setattr(command, "real_pair", lambda keep_prompts: None)
    for name in ("workloads", "one_model", "batch", "reuse", "memory", "footprint", "lengths"):
        section = "long prompts" if name == "lengths" else name.replace("_", " ")
        found = FIGURES[section]
        monkeypatch.setattr(getattr(command, name), "run", lambda *_, found=found: found)
    return tmp_path


def test_a_run_is_saved_and_the_next_is_compared_with_it(measured: Path) -> None:
    run = CliRunner()
    first = run.invoke(app, ["speed", "--save"], env={"COLUMNS": "200"})
    assert first.exit_code == 0, first.output
    assert "no committed run" in first.output
    committed = json.loads((measured / "committed.json").read_text("utf-8"))
    assert set(committed["figures"]) == set(command.SECTIONS)
    assert committed == json.loads((measured / "latest.json").read_text("utf-8"))
    again = run.invoke(app, ["speed", "--only", "batch"], env={"COLUMNS": "200"})
    assert "how many times the committed one" in again.output
    assert "speed-up" in again.output
    other = run.invoke(app, ["speed", "--prompts", "1"], env={"COLUMNS": "200"})
    assert "other options" in other.output


def test_a_part_of_a_run_is_not_saved(measured: Path) -> None:
    for options in (["--only", "batch"], ["--pair", "real"], ["--plain"]):
        refused = CliRunner().invoke(app, ["speed", "--save", *options])
        assert refused.exit_code == 2
    assert CliRunner().invoke(app, ["speed", "--only", "nothing"]).exit_code == 2
    assert not list(measured.glob("*.json"))


def test_rounds_that_fall_otherwise_in_another_dtype_are_counted_on_the_same_prefixes() -> None:
    def writes(answer: str) -> Ensemble:
        return Ensemble([ScriptedMember(lambda text: answer[len(text) - 1 :], name="a")])

    wide = writes("one two three")
    same = dtypes.compared(wide, wide, ["x"], 2, 24)
    assert (same["rounds"], same["drafts equal"], same["text equal"]) == (2, 2, 2)
    assert same["gaps where it is not"] == []
    other = dtypes.compared(wide, writes("one TWO three"), ["x", "y"], 6, 24)
    assert (other["rounds"], other["drafts equal"], other["text equal"]) == (6, 4, 4)
    assert len(other["gaps where it is not"]) == 2
    assert dtypes.compared(wide, wide, ["x", "y"], 4, 24)["rounds"] == 4
