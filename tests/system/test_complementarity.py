"""The canary: two members that each know half of the answers must together know all of them.

The members are small models in `complementarity/`, trained from scratch on disjoint halves of a
body of facts and skills, with different tokenizers and architectures. If drafting, pooling,
scoring or committing breaks, the ensemble falls back to what one member knows, or below.
"""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adafuse import Ensemble, fit
from adafuse.answer import Answer
from adafuse.compare.dataset import Layout
from adafuse.decoding.candidates import pool
from adafuse.events import Candidate
from adafuse.local.member import LocalMember
from complementarity.body import PLACES, Question
from complementarity.lessons import Lessons
from complementarity.members import NAMES
from complementarity.skills import WORDS_OF_A_SKILL, questions, tasks
from complementarity.train import FOLDER, SEED, recipe
from families import family

ALL = questions()
SAMPLE = ALL[::8]
MOST_BYTES = 4_000_000
MOST_ALONE, LEAST_OF_OWN_HALF = 0.60, 0.90
LEAST_TOGETHER, LEAST_OF_EACH_HALF = 0.95, 0.93
RED = 0.75  # what a broken fusion must stay below for this to be a canary


def _ask(ensemble: Ensemble, asked: Sequence[Question], **settings: Any) -> list[Answer]:
    prompts = [one.prompt for one in asked]
    return ensemble.generate_batch(prompts, max_new_tokens=48, **settings)


def _accuracy(asked: Sequence[Question], answers: Sequence[Answer], half: str = "") -> float:
    """The share of answers that are exactly right, to the last blank."""
    pairs = zip(asked, answers, strict=True)
    right = [a.text == f" {q.answer}" for q, a in pairs if half in ("", q.half)]
    return sum(right) / len(right)


def _load(folder: Path) -> list[LocalMember]:
    loaded: Any = Ensemble.load([str(folder / name) for name in NAMES.values()]).members
    return list(loaded)


def _check(members: Sequence[LocalMember]) -> None:
    """What the test demands of members, wherever they were trained."""
    for half, member in zip(NAMES, members, strict=True):
        answers = _ask(Ensemble([member]), ALL, branches=1)
        assert _accuracy(ALL, answers) <= MOST_ALONE
        assert _accuracy(ALL, answers, half) >= LEAST_OF_OWN_HALF
    answers = _ask(Ensemble(members), ALL)
    assert _accuracy(ALL, answers) >= LEAST_TOGETHER
    for half in NAMES:
        assert _accuracy(ALL, answers, half) >= LEAST_OF_EACH_HALF


@pytest.fixture(scope="module")
def members() -> list[LocalMember]:
    return _load(FOLDER)


@pytest.fixture(scope="module")
def sampled(members: list[LocalMember]) -> list[Answer]:
    return _ask(Ensemble(members), SAMPLE)


def test_each_member_knows_half_and_the_ensemble_all(members: list[LocalMember]) -> None:
    _check(members)


def test_the_order_of_members_does_not_matter(
    members: list[LocalMember], sampled: list[Answer]
) -> None:
    answers = _ask(Ensemble(members[::-1]), SAMPLE)
    assert _accuracy(SAMPLE, answers) >= LEAST_TOGETHER
    assert [one.text for one in answers] == [one.text for one in sampled]


def test_speculation_does_not_change_the_answers(
    members: list[LocalMember], sampled: list[Answer]
) -> None:
    answers = _ask(Ensemble(members), SAMPLE, speculation=False)
    assert [one.text for one in answers] == [one.text for one in sampled]


@pytest.mark.parametrize("settings", [{"branches": 1}, {"preset": "paper"}], ids=str)
def test_it_holds_at_other_settings(members: list[LocalMember], settings: dict[str, Any]) -> None:
    assert _accuracy(SAMPLE, _ask(Ensemble(members), SAMPLE, **settings)) >= LEAST_OF_EACH_HALF


def test_answers_take_several_rounds_and_words(sampled: list[Answer]) -> None:
    """Else the test would say little about committing, and about text across rounds."""
    rounds = [one for answer in sampled for one in answer.rounds]
    assert sum(one.scored for one in rounds) >= len(SAMPLE)
    assert sum(len(answer.rounds) > 2 for answer in sampled) >= len(SAMPLE) / 2
    text = "".join(answer.text for answer in sampled)
    assert not text.isascii()
    assert "\n" in text


@pytest.mark.parametrize("weights", [(1, 0), (0, 1)], ids=str)
def test_it_is_red_when_one_member_has_no_say(
    members: list[LocalMember], weights: tuple[int, int]
) -> None:
    answers = _ask(Ensemble(members), SAMPLE, weights=weights)
    known, unknown = ("a", "b") if weights[0] else ("b", "a")
    assert _accuracy(SAMPLE, answers, known) >= LEAST_OF_OWN_HALF
    assert _accuracy(SAMPLE, answers, unknown) <= 0.5
    assert _accuracy(SAMPLE, answers) <= RED


def test_it_is_red_when_one_members_drafts_are_lost(
    members: list[LocalMember], monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_only(drafts: Any) -> list[Candidate]:
        return pool(dict(list(drafts.items())[:1]))

    monkeypatch.setattr("adafuse.decoding.loop.pool", first_only)
    assert _accuracy(SAMPLE, _ask(Ensemble(members), SAMPLE)) <= RED


def test_it_is_red_when_a_blank_is_doubled(
    members: list[LocalMember], monkeypatch: pytest.MonkeyPatch
) -> None:
    def doubled(drafts: Any) -> list[Candidate]:
        return [replace(c, text=f" {c.text}" if c.text else "") for c in pool(drafts)]

    monkeypatch.setattr("adafuse.decoding.loop.pool", doubled)
    assert _accuracy(SAMPLE, _ask(Ensemble(members), SAMPLE)) <= RED


def test_no_member_is_taught_the_other_half() -> None:
    for half, other in (("a", "b"), ("b", "a")):
        lessons = Lessons(half, SEED)
        prompts = {lessons.draw()[0] for _ in range(5_000)}
        assert not prompts & {one.prompt for one in (*questions(other), *tasks(half))}
        read = {word for prompt in prompts for word in re.findall(r"\w+", prompt)}
        assert not read & set(PLACES[other])
        assert not {word.lower() for word in read} & set(WORDS_OF_A_SKILL[other])


def test_the_members_have_different_tokenizers(members: list[LocalMember]) -> None:
    first, second = (member.tokenizer for member in members)
    text = ALL[0].prompt
    assert first.tokenize(text) != second.tokenize(text)
    assert all(
        first.decode(first.encode(a, add_special_tokens=False)) == a
        for a in (one.answer for one in ALL)
    )


def test_the_committed_files_are_small_and_those_of_the_script() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    manifest = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["recipe"] == recipe(), "the script has changed: train again"
    checksums = {
        path.relative_to(FOLDER).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.name != "manifest.json"
    }
    assert checksums == manifest["files"]


@pytest.mark.long
def test_the_script_trains_members_that_meet_it_too(tmp_path: Path) -> None:
    """Not the same bytes: another CPU or another torch may add numbers in another order."""
    subprocess.run([sys.executable, FOLDER.parent / "train.py", "--out", tmp_path], check=True)
    _check(_load(tmp_path))


def test_a_useless_member_gets_no_say_from_a_fit(members: list[LocalMember]) -> None:
    """The second canary: fitted, the answer is the strong member's own."""
    useless = LocalMember(*family("llama", 5), "useless")
    pair = Ensemble([members[0], useless])
    known = [one for one in ALL if one.half == "a"]
    rows = [{"prompt": one.prompt, "answer": f" {one.answer}"} for one in known[::4]]
    fitted = fit(pair, rows, out=None, layout=Layout(raw=True))
    weights = fitted.weights
    assert weights == (1.0, 0.0)
    asked = known[1::16]
    own = _ask(Ensemble(members[:1]), asked)
    assert [one.text for one in _ask(pair, asked, weights=weights)] == [one.text for one in own]
    assert _accuracy(asked, own) >= LEAST_OF_OWN_HALF
