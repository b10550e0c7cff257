"""Rows, transcripts and documents as texts of a fit, and what is refused of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from adafuse import ConfigError
from adafuse.compare.dataset import Layout
from adafuse.fitting.sources import read_texts
from adafuse.fitting.texts import Text, document_texts, row_texts

ROWS = [{"question": f"What is {n}?", "answer": f"number {n}"} for n in range(8)]
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi there."},
    {"role": "user", "content": "And now?"},
    {"role": "assistant", "content": "Bye."},
]


def read(row: dict[str, Any], **layout: Any) -> list[Text]:
    return row_texts("row 1", row, Layout(**layout))


def test_a_question_is_a_user_message_and_its_first_answer_is_read() -> None:
    (text,) = read({"context": "It rains.", "question": "What?", "answers": ["Rain", "It rains"]})
    assert [turn["role"] for turn in text.prompt.messages] == ["user"]
    assert text.prompt.messages[0]["content"] == "It rains.\n\nQuestion: What?"
    assert (text.reference, text.ends, text.prompt.format) == ("Rain", True, "chat")


def test_an_answer_may_stand_in_its_context() -> None:
    (text,) = read({"context": "rain", "question": "What falls?", "answer": "rain"})
    assert text.reference == "rain"


def test_any_columns_by_template_and_name() -> None:
    row = {"passage": "It rains.", "reply": "Rain", "text": "unused"}
    (text,) = row_texts("row 1", row, Layout(template="{{ passage }} What?"), "reply")
    assert text.prompt.messages[0]["content"] == "It rains. What?"
    assert text.reference == "Rain"
    with pytest.raises(ConfigError, match=r"row 1 has no column 'said', but passage, reply, text"):
        row_texts("row 1", row, Layout(template="{{ passage }}"), "said")


def test_raw_text_goes_on_behind_a_blank() -> None:
    (text,) = read({"question": "Q: x? A:", "answer": "y"}, raw=True)
    assert (text.prompt.text, text.prompt.format, text.reference) == ("Q: x? A:", "raw", " y")
    (text,) = read({"question": "Q: x?\n", "answer": "y"}, raw=True)
    assert text.reference == "y"


def test_every_assistant_turn_of_a_transcript_is_a_text() -> None:
    first, second = read({"messages": TURNS})
    assert [len(text.prompt.messages) for text in (first, second)] == [2, 4]
    assert [first.reference, second.reference] == ["Hi there.", "Bye."]
    assert second.where == "row 1, message 4"


def test_calls_of_a_transcript_are_not_read() -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": "{}"}}
    turns = [
        TURNS[1],
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "3", "tool_call_id": "1"},
        {"role": "assistant", "content": "Three."},
    ]
    (text,) = read({"messages": turns})
    assert text.reference == "Three."
    assert len(text.prompt.messages) == 3


def test_messages_with_an_answer_are_a_question() -> None:
    (text,) = read({"messages": TURNS[:2], "answer": "Hi."})
    assert text.reference == "Hi."


def test_a_document_is_read_again_behind_itself() -> None:
    document = " ".join(f"word{n}" for n in range(40)) + "\n"
    (text,) = read({"text": document})
    first = " ".join(f"word{n}" for n in range(10))
    assert text.prompt.text == f"{document.strip()}\n\n{first}"
    assert first + text.reference == document.strip()
    assert (text.ends, text.prompt.format) == (False, "raw")


def test_prose_is_read_on_from_its_first_words() -> None:
    document = " ".join(f"word{n}" for n in range(40)) + "\n"
    (text,) = row_texts("row 1", {"text": document}, Layout(), prose=True)
    assert text.prompt.text == " ".join(f"word{n}" for n in range(10))
    assert text.prompt.text + text.reference == document.strip()
    assert (text.ends, text.prompt.format) == (False, "raw")


@pytest.mark.parametrize("word", ["word\n\n", "字", "คำ ", "a"])
def test_pieces_of_a_document_hold_all_of_it(word: str) -> None:
    document = (word + " " * (word == "a")) * 700
    texts = document_texts("x.txt", document, prose=True)
    assert len(texts) > 1
    whole = "".join((text.prompt.text or "") + text.reference for text in texts)
    assert "".join(whole.split()) == "".join(document.split())
    sizes = [len(text.reference) for text in texts]
    assert max(sizes) < 1.5 * min(sizes)
    assert texts[1].where == "x.txt, piece 2"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": "x?"}, "row 1 has no right answer"),
        ({"answer": "x"}, "row 1: it has none of 'messages', 'prompt'"),
        ({"question": "x?", "answer": " "}, "row 1: its answer is empty"),
        ({"question": "x?", "answer": " x?\n"}, "row 1: its answer is a copy of its prompt"),
        (
            {"context": "Of x.", "question": "x?", "answer": "x?"},
            "row 1: its answer is a copy of its prompt",
        ),
        ({"question": "x?", "answer": "\ud800"}, "row 1: answer has a lone surrogate"),
        ({"messages": TURNS[:2]}, "row 1: its messages must end with what the assistant said"),
        ({"messages": []}, "row 1: its messages must end"),
        ({"messages": ["hi"]}, "row 1: its messages must be objects"),
        ({"messages": [*TURNS[:2], {**TURNS[2], "content": ""}]}, "message 2: its answer is empty"),
        (
            {"messages": [{"role": "us er", "content": "x"}, *TURNS[1:]]},
            "row 1, message 2: message",
        ),
        ({"text": 3}, "row 1: its text must be a string, not 3"),
        ({"text": "two words"}, "row 1 has 2 words; a document needs at least 8"),
        ({"text": " \n"}, "row 1 is empty"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(row: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(row)
    assert str(caught.value).startswith(said) or said in str(caught.value)
    assert "\n" not in str(caught.value)


def lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_files_and_folders(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", ROWS)
    (tmp_path / "b.md").write_text("One two three four five six seven eight nine.")
    (tmp_path / "c.txt").touch()
    (tmp_path / "d.py").write_text("print()")
    assert len(read_texts(tmp_path, Layout())) == 9
    assert len(read_texts([tmp_path / "a.jsonl", str(tmp_path / "b.md")], Layout())) == 9
    assert len(read_texts(ROWS, Layout())) == 8


def test_more_than_enough_are_drawn_by_seed() -> None:
    drawn = [read_texts(ROWS, Layout(), limit=5, seed=seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(len(one) == 5 for one in drawn)
    places = [text.where for (text,) in drawn[0]]
    assert places == sorted(places)


def test_turns_of_one_conversation_are_one_group() -> None:
    groups = read_texts([{"messages": TURNS}] * 4, Layout())
    assert [len(group) for group in groups] == [2] * 4


def test_what_is_wrong_with_a_file_is_said(tmp_path: Path) -> None:
    def said(data: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            read_texts(data, Layout())
        return str(caught.value)

    (empty := tmp_path / "empty.jsonl").touch()
    (blank := tmp_path / "blank.md").write_text("\n\n")
    (binary := tmp_path / "x.txt").write_bytes(b"\xff\xfe")
    (other := tmp_path / "x.pdf").write_bytes(b"%PDF")
    (bare := tmp_path / "folder").mkdir()
    wrong = lines(tmp_path / "wrong.jsonl", [*ROWS, ["x"]])
    copied = lines(tmp_path / "copy.jsonl", [*ROWS, {"question": "x?", "answer": "x?"}])
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"question": "x?", "answer": "y"}\n\n{"question": \n')
    assert said(empty) == f"{empty} is empty"
    assert said(blank) == f"{blank} is empty"
    assert (
        said(tmp_path / "no.jsonl")
        == f"{tmp_path}/no.jsonl cannot be read: No such file or directory"
    )
    assert "is not UTF-8" in said(binary)
    assert said(other).startswith(f"{other} is not read: rows are JSON lines")
    assert said(bare).startswith(f"folder {bare} has no files of these kinds")
    assert said(wrong) == f"{wrong}, line 9 must be an object, not ['x']"
    assert said(copied).startswith(f"{copied}, line 9: its answer is a copy")
    assert said(broken).startswith(f"{broken}, line 3 is not JSON")
    assert said([]) == "there are no texts to fit to"
    assert said(ROWS[:3]).startswith("there are 3 texts, and a fit takes at least 4")
    assert said({"question": "x"}).startswith("data must be files, folders or a list of rows")


def test_a_transcript_without_words_of_the_assistant_is_refused_by_name() -> None:
    row = {"messages": [{"role": "assistant", "content": "Hello!"}]}
    with pytest.raises(ConfigError, match="row 1: the assistant says nothing in words"):
        read_texts([row] * 4, Layout())
