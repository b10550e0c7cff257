"""Metrics by task, and how rows become questions."""

import json
from pathlib import Path
from typing import Any

import pytest

from adafuse import ConfigError

pytest.importorskip("torchmetrics")
pytest.importorskip("sacrebleu")

from adafuse.compare import METRICS, Layout
from adafuse.compare.dataset import read_questions, read_rows
from adafuse.compare.metrics import guess_metric, read_metric


def _score(metric: str, said: str, **row: Any) -> list[float]:
    (question,) = read_questions([{"question": "?", **row}], Layout())
    return list(METRICS[metric](said, question).values())


@pytest.mark.parametrize(
    ("answer", "scores"),
    [
        ("The Paris!", [1.0, 1.0]),
        (" paris\n", [1.0, 1.0]),
        ("Paris, France", [0.0, 2 / 3]),
        ("city of light", [1.0, 1.0]),
        ("London", [0.0, 0.0]),
        ("", [0.0, 0.0]),
    ],
)
def test_squad(answer: str, scores: list[float]) -> None:
    found = _score("squad", answer, answers=["Paris", "the City of Light"])
    assert found == pytest.approx(scores, abs=1e-6)


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("so 5 * 3 = 15. The answer is 15.", True),
        ("the answer is $1,015.00", False),
        ("15", True),
        ("15.0 dollars", True),
        ("It is 15, not 16", False),
        ("20-15", True),
        ("-15", False),
        ("none", False),
        ("", False),
    ],
)
def test_numeric(answer: str, right: bool) -> None:
    assert _score("numeric", answer, answer="3 x 5 = 15\nthe answer is 15") == [float(right)]


def test_numbers_with_separators_and_signs() -> None:
    assert _score("numeric", "$1,234.50 in all", answer="1234.5") == [1.0]
    assert _score("numeric", "x = -3", answer="-3") == [1.0]
    assert _score("numeric", ".5", answer="0.5") == [1.0]
    assert _score("numeric", "it is -.5", answer="\u22120.5") == [1.0]
    assert _score("numeric", "12,34", answer="34") == [1.0]  # no separator of thousands


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("B", True),
        ("B. Mars", True),
        ("The answer is (B).", True),
        ("mars", True),
        ("Mars, the red one", True),
        ("C", False),
        ("Venus", False),
        ("A planet", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("reference", ["Mars", "B", 1])
def test_choice(answer: str, right: bool, reference: Any) -> None:
    choices = ["Venus", "Mars", "Jupiter"]
    assert _score("choice", answer, choices=choices, answer=reference) == [float(right)]


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("I think the answer is B.", True),
        ("A good guess is B.", True),
        ("b) Mars", True),
        ("**B**", True),
        ("I would choose Mars", True),
        ("Not A. It is B.", True),
        ("Mars or Venus", False),
        ("I", False),
    ],
)
def test_choices_in_whole_sentences(answer: str, right: bool) -> None:
    choices = ["Venus", "Mars", "Jupiter"]
    assert _score("choice", answer, choices=choices, answer="Mars") == [float(right)]


def test_choices_that_are_signs() -> None:
    signs: dict[str, Any] = {"choices": ["+", "-", "*"], "answer": "+"}
    found = [_score("choice", said, **signs)[0] for said in ("A", "+", "B", "-", "", "the + sign")]
    assert found == [1, 1, 0, 0, 0, 1]
    labels: dict[str, Any] = {"choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answer": "2"}
    assert _score("choice", "B", **labels) == [1.0]


def test_contains_and_translation() -> None:
    assert _score("contains", "答案是巴黎。", answer="巴黎") == [1.0]
    assert _score("contains", "", answer="+") == [0.0]
    assert _score("contains", "It was in Paris, I think.", answer="paris") == [1.0]
    assert _score("contains", "Parisian", answer="paris") == [0.0]
    perfect = _score("translation", "Das ist ein Test hier.", answer="Das ist ein Test hier.")
    assert perfect == pytest.approx([1.0, 1.0])
    assert _score("translation", "", answer="Das ist ein Test.") == [0.0, 0.0]


def test_the_metric_goes_by_the_fields(tmp_path: Path) -> None:
    rows = [
        {"question": "?", "answer": "x"},
        {"question": "?", "answer": "x", "choices": ["x", "y"]},
        {"source": "Hello", "reference": "Hallo"},
    ]
    assert list(map(guess_metric, read_questions(rows, Layout()))) == [
        "squad",
        "choice",
        "translation",
    ]
    (tmp_path / "mine.py").write_text("def length(answer, row):\n    return {'n': len(answer)}\n")
    scored = read_metric(f"{tmp_path / 'mine.py'}:length")
    assert scored("abc", read_questions(rows, Layout())[0]) == {"n": 3.0}


def test_rows_become_conversations() -> None:
    layout = Layout(
        "Q: {{ question }}", system="Be brief.", examples=({"question": "1+1", "answer": 2},)
    )
    (question,) = read_questions([{"question": "1+2", "answer": 3}], layout)
    assert question.prompt == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Q: 1+1"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "Q: 1+2"},
    )
    assert (question.references, question.text) == (("3",), "Q: 1+2")
    raw = Layout("Q: {{ question }}\nA:", examples=layout.examples, raw=True)
    (question,) = read_questions([{"question": "1+2", "answer": 3}], raw)
    assert question.prompt == "Q: 1+1\nA: 2\n\nQ: 1+2\nA:"


def test_usual_rows_are_understood() -> None:
    rows = [
        {"messages": [{"role": "user", "content": "Hi"}], "answer": "x"},
        {"prompt": "Hi", "target": "x"},
        {
            "context": "C.",
            "question": "Q?",
            "answers": {"text": ["x", "y"], "answer_start": [0, 1]},
        },
        {"question": "Q?", "choices": {"text": ["u", "v"], "label": ["A", "B"]}, "answer": "A"},
    ]
    found = read_questions(rows, Layout())
    assert [one.text for one in found] == ["Hi", "Hi", "C.\n\nQuestion: Q?", "Q?\nA. u\nB. v"]
    assert [one.references for one in found] == [("x",), ("x",), ("x", "y"), ("u",)]


def test_files_are_read_line_by_line_or_as_an_array(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "é?"}\n\n{"question": "b"}\n', encoding="utf-8")
    assert [row["question"] for row in read_rows(path)] == ["é?", "b"]
    path.write_text(' [{"question": "é?"},\n {"question": "b"}]\n', encoding="utf-8")
    assert [row["question"] for row in read_rows(path)] == ["é?", "b"]  # one array
    for text, said in (
        ("{", "line 1 is not JSON"),
        ("1", "line 1 must be an object"),
        ("[{}, 1]", "row 2 must be an object"),
        ("[{}", "rows.jsonl is not JSON"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=said):
            read_rows(path)
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_rows(path)
    path.write_text("".join(json.dumps({"n": "a\u2028b"}, ensure_ascii=False) + "\n" for _ in "12"))
    assert len(read_rows(path)) == 2  # a line separator inside a text ends no line
