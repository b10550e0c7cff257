"""Does an ensemble beat its members on your questions? Answers, scores, and how sure they are.

    from adafuse.compare import compare
    comparison = compare(["org/model-a", "org/model-b"], "questions.jsonl", max_new_tokens=32)
    print(comparison.summary())

The same from a shell: `python -m adafuse compare --help`. Needs the extra `compare`.
"""

from adafuse.compare.answers import SystemAnswer
from adafuse.compare.comparison import Comparison, compare
from adafuse.compare.dataset import Layout, Question
from adafuse.compare.metrics import METRICS
from adafuse.compare.results import Interval, SystemResult

__all__ = [
    "METRICS",
    "Comparison",
    "Given",
    "Interval",
    "Layout",
    "Question",
    "SystemAnswer",
    "SystemResult",
    "compare",
]

Given = SystemAnswer  # its name in 0.1
