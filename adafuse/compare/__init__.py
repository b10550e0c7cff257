"""Does an ensemble beat its members on your questions? Answers, scores, and how sure they are.

    from adafuse.compare import compare
    found = compare(["org/model-a", "org/model-b"], "questions.jsonl", max_new_tokens=32)
    print(found.summary())

The same from a shell: `python -m adafuse compare --help`. Needs the extra `compare`.
"""

from adafuse.compare.answers import Given
from adafuse.compare.comparison import compare
from adafuse.compare.dataset import Layout, Question
from adafuse.compare.metrics import METRICS
from adafuse.compare.results import Comparison, Interval, SystemResult

__all__ = [
    "METRICS",
    "Comparison",
    "Given",
    "Interval",
    "Layout",
    "Question",
    "SystemResult",
    "compare",
]
