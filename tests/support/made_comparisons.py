"""Comparisons made by hand, for pages: of any scores, answers, names and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adafuse.compare import Comparison, Question, SystemAnswer, SystemResult

MEMBERS = ("small", "large")


def given(text: str, *members: str, error: str = "", at: int = 0) -> SystemAnswer:
    """An answer of these members; the first wrote most of it."""
    if error:
        return SystemAnswer("", 0.5, error=error)
    words = {name: 3 * (number == 0) + 1 for number, name in enumerate(members)}
    return SystemAnswer(
        text, 0.25 * len(members) + at % 7 / 50, "stop" if at % 5 else "length", rounds=5, scored=2,
        words=words, forward_passes=9 * len(members), tokens_processed=80, tokens=6,
    )  # fmt: skip


def system(
    name: str,
    members: Sequence[str],
    scores: Mapping[str, Sequence[float]],
    texts: Sequence[str] = (),
    settings: Mapping[str, object] | None = None,
    failed: Sequence[int] = (),
) -> SystemResult:
    """A system with these scores; what it answered is of no account unless given."""
    count = len(next(iter(scores.values())))
    answers = tuple(
        given(
            texts[at] if texts else f"{name} says {at}",
            *members,
            error="The prompt is too long." if at in failed else "",
            at=at,
        )
        for at in range(count)
    )
    numbers = {metric: tuple(map(float, values)) for metric, values in scores.items()}
    return SystemResult(name, tuple(members), settings or {}, answers, numbers)


def comparison(
    *systems: SystemResult, notes: Sequence[str] = (), questions: Sequence[Question] = ()
) -> Comparison:
    """A comparison of these systems, on questions that are of no account unless given."""
    count = len(systems[0].given)
    asked = questions or [question(f"Question {at}?", f"answer {at}") for at in range(count)]
    return Comparison(tuple(asked), systems, tuple(systems[0].scores), tuple(notes), seed=7)


def question(text: str, *references: str) -> Question:
    """A question in chat form."""
    return Question(({"role": "user", "content": text},), references, (), {"question": text})


def of_two(
    small: Sequence[float], large: Sequence[float], ensemble: Sequence[float], metric: str = "EM"
) -> Comparison:
    """Two members and their ensemble, with these scores."""
    return comparison(
        system("small", MEMBERS[:1], {metric: small}, settings={"branches": 1}),
        system("large", MEMBERS[1:], {metric: large}, settings={"branches": 1}),
        system("ensemble", MEMBERS, {metric: ensemble}),
    )
