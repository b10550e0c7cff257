"""Does the pair beat its members? Twelve questions, asked each alone, both, and with a variant.

    python examples/compare.py

Prints a table, and writes a report and a page for each answer of the pair into `comparison/`.
Started again, it asks nothing twice. For your own questions: `python -m adafuse compare --help`.
"""

from rich.console import Console

from adafuse.compare import Layout, compare
from adafuse.compare.terminal import table
from adafuse.demo.models import prepare_all

FACTS = {
    "What is the capital of France?": "Paris",
    "What is the capital of Japan?": "Tokyo",
    "What is the largest planet of the solar system?": "Jupiter",
    "Which planet is closest to the Sun?": "Mercury",
    "What is the chemical symbol of gold?": "Au",
    "Who wrote Romeo and Juliet?": "Shakespeare",
    "How many days are there in a week?": "seven",
    "What do bees make?": "honey",
    "Which ocean is the largest?": "Pacific",
    "What is frozen water called?": "ice",
    "On which continent is Egypt?": "Africa",
    "What is the opposite of hot?": "cold",
}
EXAMPLES = (
    {"question": "What is the capital of Italy?", "answer": "Rome"},
    {"question": "How many legs does a spider have?", "answer": "eight"},
)


def main() -> None:
    """Compare, print, and say where the report is."""
    rows = [{"question": question, "answer": answer} for question, answer in FACTS.items()]
    found = compare(
        [{"model": str(folder), "name": name} for name, folder in prepare_all().items()],
        rows,
        metric="contains",
        variants={"paper": {"preset": "paper"}},
        layout=Layout(system="Answer with one word.", examples=EXAMPLES),
        folder="comparison",
        traces=True,
        progress=True,
        max_new_tokens=12,
        stop=("\n",),
    )
    Console().print(table(found))
    print("comparison/report.html is the report, comparison/traces/ has the answers as pages.")


if __name__ == "__main__":
    main()
