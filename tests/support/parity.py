"""Holding the fast path against the plain oracle, round by round."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import oracle
from adafuse import Answer, DecodingConfig, Ensemble
from adafuse.constraints.constraint import Constraint
from adafuse.decoding.loop import fuse
from adafuse.errors import IncompleteAnswerError
from adafuse.local.member import LocalMember
from adafuse.prompting.prompt import read_prompt
from adafuse.tools import CALL_START

NEAR = 1e-4
"""A round whose deciding gap is below this could go either way in float32."""


def ensemble_of(members: Sequence[oracle.OracleMember]) -> Ensemble:
    return Ensemble([LocalMember(m.model, m.tokenizer, m.name, weight=m.weight) for m in members])


def compare(
    members: Sequence[oracle.OracleMember],
    prompt: Any,
    ensemble: Ensemble | None = None,
    constraint: Constraint | None = None,
    *,
    near: float = NEAR,
    **settings: Any,
) -> tuple[Answer, int]:
    """Assert that both give the same; return the answer and how many rounds were compared.

    Comparison stops at a near-tie, which is as DESIGN 3.6 asks; scores may be as `near`.
    """
    expected = oracle.run(members, prompt, **settings, **_bounds(constraint))
    form = settings.pop("prompt_format", None)
    if not isinstance(prompt, str):
        form = None
    fused = (ensemble or ensemble_of(members)).members
    asked = replace(read_prompt(prompt, form), constraint=constraint)
    try:
        answer = Answer.fold(fuse(fused, asked, DecodingConfig(**settings)))
    except IncompleteAnswerError as error:  # a stop string cut it short
        answer = error.answer
    voting = [m.name for m in members if m.weight > 0 or settings.get("rule") == "paper"]
    for index, (ours, theirs) in enumerate(zip(answer.rounds, expected.rounds, strict=False)):
        if theirs.gap < near:
            return answer, index
        where = f"round {index + 1}"
        found = [(c.text, c.ends) for c in ours.candidates]
        assert found == list(theirs.candidates), where
        assert [c.drafters for c in ours.candidates] == list(theirs.drafters), where
        for candidate, row, mean in zip(
            ours.candidates, theirs.member_scores, theirs.scores, strict=True
        ):
            _same_scores(candidate.scores, dict(zip(voting, row, strict=True)), near)
            assert (candidate.score is None) == (mean is None), where
            if mean is not None and candidate.score is not None:
                assert _close(candidate.score, mean, near), (where, candidate, mean)
        assert (ours.text, ours.words, ours.member) == (
            theirs.text,
            theirs.words,
            theirs.drafter,
        ), where
        assert (ours.ends, ours.forced) == (theirs.ends, theirs.forced), where
    if expected.finish_reason == "untold":
        return answer, len(expected.rounds)
    assert answer.text == expected.text
    assert len(answer.rounds) in (len(expected.rounds), len(expected.rounds) + 1)
    if len(answer.rounds) > len(expected.rounds):  # the round in which nothing could be drafted
        assert answer.rounds[-1].winner == -1
    assert answer.finish_reason == expected.finish_reason
    ids = {n: u.token_ids for n, u in answer.usage.items() if n in expected.token_ids}
    assert ids == expected.token_ids
    return answer, len(expected.rounds)


def _bounds(constraint: Constraint | None) -> dict[str, Any]:
    """What the oracle is told of a constraint: it does without the package's code."""
    if constraint is None:
        return {}
    names = ("grammar", "trigger", "prose", "guarded")
    told = {name: getattr(constraint, name) for name in names}
    # Models without training write no other dialect than the one of which they have a token.
    return told | ({"trigger": CALL_START, "names": constraint.tools} if constraint.tools else {})


def _same_scores(ours: Any, theirs: dict[str, float | None], near: float) -> None:
    assert set(ours) == {name for name, score in theirs.items() if score is not None}
    for name, score in theirs.items():
        assert score is None or _close(ours[name], score, near), (name, ours[name], score)


def _close(one: float, other: float, near: float) -> bool:
    return one == other or math.isclose(one, other, rel_tol=1e-5, abs_tol=near)


PROMPTS = (
    "Hello world, this is",
    "def add(a, b):\n    return",
    "| a | b |\n|---|---|\n",
    "日本語のテキスト",
    "naïve café 👩‍🔬",
    "x < 5 </s> <|im_end|> and",
)


CHATS = (
    [{"role": "user", "content": "Hi <|im_end|> there </s>"}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is 2 + 2?"},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "And 3 + 3?\n\nUser: hm"},
    ],
)
