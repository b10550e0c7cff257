"""Does the ensemble of the demo models beat its members? Public test sets, `adafuse compare`.

Settings are chosen on development rows, and reported on others. Each member reads a prompt of the
kind that it was trained for: the instruct model its chat template, the base model a plain list of
questions and answers. Kept are scores and seconds, not the rows.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adafuse import Ensemble
from adafuse.compare import Comparison, Layout, compare
from adafuse.demo.models import prepare_all
from benchmarks.rows import FOLDER

__all__ = ["TASKS", "VARIANTS", "Task", "run"]

RESULTS = Path(__file__).parent / "results" / "evidence"
_PLAIN = """\
{%- for m in messages %}{% if m['role'] == 'system' %}{{ m['content'] }}

{% elif m['role'] == 'user' %}{{ m['content'] }}
{% else %}Answer: {{ m['content'] }}

{% endif %}{% endfor %}{% if add_generation_prompt %}Answer:{% endif %}"""


@dataclass(frozen=True)
class Task:
    """A test set: what is asked and how, and which of its rows are for choosing and reporting.

    `examples` are solved before each question: rows of the set, or these. `leader` is the member
    that does much better alone, if one does; it was seen on the rows that are reported.
    """

    metric: str
    template: str
    system: str
    examples: slice | tuple[dict[str, str], ...]
    dev: slice
    test: slice
    tokens: int
    stop: tuple[str, ...] = ("\n",)
    leader: str = ""


_ANSWER = "Answer the question with a name, a date or a few words, and nothing else."
_READ = (  # short, so that they cost little beside the contexts of the set
    {
        "context": "The Vistula is the longest river in Poland. It rises at Barania Góra, is 1,047 "
        "kilometres long, and flows into the Baltic Sea.",
        "question": "Into which sea does the Vistula flow?",
        "answer": "the Baltic Sea",
    },
    {
        "context": "Marie Curie won the Nobel Prize in Physics in 1903, with her husband Pierre "
        "and Henri Becquerel, and the Nobel Prize in Chemistry in 1911.",
        "question": "When did Curie win her second Nobel Prize?",
        "answer": "1911",
    },
    {
        "context": "A violin has four strings, tuned in fifths. Most bows are strung with hair "
        "from the tails of horses.",
        "question": "What are most bows strung with?",
        "answer": "hair from the tails of horses",
    },
)
TASKS = {
    "squad": Task(
        "squad", "{{ context }}\n\nQuestion: {{ question }}",
        "Answer the question with a few words from the text, and nothing else.",
        _READ, slice(110, 300, 16), slice(0, 100), 16, leader="gemma3",
    ),
    "triviaqa": Task(
        "squad", "Question: {{ question }}", _ANSWER,
        slice(0, 5), slice(200, 216), slice(100, 200), 16,
    ),
    "natural_questions": Task(
        "squad", "Question: {{ question }}?", _ANSWER,
        slice(0, 5), slice(200, 216), slice(100, 200), 16,
    ),
    "gsm8k": Task(
        "numeric", "Question: {{ question }}",
        'Solve the problem step by step, and end with "the answer is" and the number.',
        slice(0, 2), slice(120, 132), slice(60, 120), 96, ("\n\n", "Question:"),
    ),
}  # fmt: skip


VARIANTS: dict[str, dict[str, Any]] = {
    "1 branch": {"branches": 1},
    "per byte": {"scoring": "byte"},
    "per word": {"scoring": "word"},
    "1 branch per word": {"branches": 1, "scoring": "word"},
    "weights 1:2": {"weights": [1, 2]},
    "by perplexity": {"weighting": "perplexity"},
    "by consistency": {"weighting": "consistency"},
    "contested only": {"contested_only": True},
    "led by smollm2": {"leader": "smollm2"},
    "led by gemma3": {"leader": "gemma3"},
}
"""What is tried on the rows for choosing."""


def rows(name: str, part: slice) -> list[dict[str, Any]]:
    lines = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[part]]


def _reported(task: Task) -> dict[str, dict[str, Any]]:
    """The preset, and the better member in the lead, where one is much better."""
    found: dict[str, dict[str, Any]] = {"recommended": {"preset": "recommended"}}
    if task.leader:
        found[f"recommended, led by {task.leader} from 0.2"] = {
            "preset": "recommended", "leader": task.leader, "margin_threshold": 0.2,
        }  # fmt: skip
    return found


def run(name: str, folder: Path, choose: bool) -> Comparison:
    """Compare on one part of a task; answers are kept, so that a run can be interrupted.

    Args:
        choose: on the rows for choosing, with every variant; prompts that begin alike are reused,
            so that seconds mean little. Else on the rows that are reported: members, the paper's
            settings, the preset `recommended`, and that with a leader if the task has one; each
            prompt is read anew.
    """
    task, part = TASKS[name], "choosing" if choose else "reported"
    folders = prepare_all()
    models: list[dict[str, Any]] = [
        {"model": str(folders["smollm2"]), "name": "smollm2"},
        {"model": str(folders["gemma3"]), "name": "gemma3", "chat_template": _PLAIN},
    ]
    solved = task.examples
    examples = solved if isinstance(solved, tuple) else tuple(rows(name, solved))
    found = compare(
        Ensemble.load(models) if choose else models,
        rows(name, task.dev if choose else task.test),
        metric=task.metric,
        layout=Layout(task.template, task.system, examples),
        variants=VARIANTS if choose else _reported(task),
        folder=folder / part / name,
        traces=not choose,
        progress=True,
        max_new_tokens=task.tokens,
        stop=task.stop,
    )
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found.summary(), ensure_ascii=False, indent=2)
    (RESULTS / f"{name}-{part}.json").write_text(f"{text}\n", encoding="utf-8")
    return found
