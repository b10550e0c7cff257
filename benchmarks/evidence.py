"""Does the ensemble of the demo models beat its members? Public test sets, `adafuse compare`.

Settings are chosen on development rows, and reported on others. Each member reads a prompt of the
kind that it was trained for: the instruct model its chat template, the base model a plain list of
questions and answers. Kept are scores and seconds, not the rows.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adafuse.compare import Comparison, Layout, compare
from adafuse.compare.table import table
from adafuse.models import prepare_all
from benchmarks.rows import FOLDER

__all__ = ["TASKS", "Task", "run"]

RESULTS = Path(__file__).parent / "results" / "evidence"
_PLAIN = """\
{%- for m in messages %}{% if m['role'] == 'system' %}{{ m['content'] }}

{% elif m['role'] == 'user' %}{{ m['content'] }}
{% else %}Answer: {{ m['content'] }}

{% endif %}{% endfor %}{% if add_generation_prompt %}Answer:{% endif %}"""


@dataclass(frozen=True)
class Task:
    """A test set: which of its rows are solved examples, for choosing, and for reporting."""

    metric: str
    template: str
    system: str
    examples: slice
    dev: slice
    test: slice
    tokens: int
    stop: tuple[str, ...] = ("\n",)


_ANSWER = "Answer the question with a name, a date or a few words, and nothing else."
TASKS = {
    "squad": Task(
        "squad", "{{ context }}\n\nQuestion: {{ question }}",
        "Answer the question with a few words from the text, and nothing else.",
        slice(9, 10), slice(200, 230), slice(100, 200), 24,
    ),
    "triviaqa": Task(
        "squad", "Question: {{ question }}", _ANSWER,
        slice(0, 5), slice(200, 230), slice(100, 200), 16,
    ),
    "natural_questions": Task(
        "squad", "Question: {{ question }}?", _ANSWER,
        slice(0, 5), slice(200, 230), slice(100, 200), 16,
    ),
    "gsm8k": Task(
        "numeric", "Question: {{ question }}",
        'Solve the problem step by step, and end with "the answer is" and the number.',
        slice(0, 2), slice(120, 132), slice(60, 120), 128, ("\n\n", "Question:"),
    ),
}  # fmt: skip
_NUMBERS = {"gsm8k": ("leader", "weights", "preset")}  # what a long answer is tried with


def rows(name: str, part: slice) -> list[dict[str, Any]]:
    lines = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[part]]


def variants(names: list[str]) -> dict[str, dict[str, Any]]:
    """Beside the usual ones: weights, and pairs of changes."""
    first, second = names
    return {
        "weights 1:2": {"weights": [1, 2]},
        "weights 2:1": {"weights": [2, 1]},
        f"led by {first} from 0.3": {"leader": first, "margin_threshold": 0.3},
        f"led by {second} from 0.3": {"leader": second, "margin_threshold": 0.3},
        f"led by {second}, 1:2": {"leader": second, "weights": [1, 2]},
        "1 branch per byte": {"branches": 1, "scoring": "byte"},
    }


def run(name: str, folder: Path, explore: bool) -> Comparison:
    """Compare on a task; answers are kept in the folder, so that a run can be interrupted."""
    task = TASKS[name]
    folders = prepare_all()
    models = [
        {"model": str(folders["smollm2"]), "name": "smollm2"},
        {"model": str(folders["gemma3"]), "name": "gemma3", "chat_template": _PLAIN},
    ]
    layout = Layout(task.template, task.system, tuple(rows(name, task.examples)))
    found = compare(
        models, rows(name, task.test), metric=task.metric, layout=layout,
        variants=variants(["smollm2", "gemma3"]) if explore else {},
        explore=explore, dev=rows(name, task.dev) if explore else None,
        folder=folder / name, traces=False, progress=True, max_new_tokens=task.tokens,
        stop=task.stop,
    )  # fmt: skip
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found.summary(), ensure_ascii=False, indent=2)
    (RESULTS / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")
    return found
