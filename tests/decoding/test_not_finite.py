"""Members whose logits are NaN or infinite: left out, counted, and an error where none is left."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from adafuse import Ensemble, NonFiniteError
from adafuse.local.member import LocalMember
from adafuse.local.session import LocalSession
from corpus import LINES
from families import FAMILIES

PROMPT = LINES[0][:30]


def patched(one: LocalMember, change: Callable[[torch.Tensor], None]) -> LocalMember:
    """The member with its logits changed in place; its model is its own."""
    model: Any = one.runner.model
    forward = model.forward

    def changed(*args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        change(output.logits)
        return output

    model.forward = changed
    return one


def own(name: str, label: str = "") -> LocalMember:
    return LocalMember(*FAMILIES[name](1), label or name)


def nan(logits: torch.Tensor, value: float = math.nan) -> None:
    logits[..., 5] = value


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_member_without_numbers_is_left_out_of_every_round(value: float) -> None:
    good = Ensemble([own("llama")]).generate(PROMPT, max_new_tokens=16)
    bad = patched(own("gpt2", "bad"), lambda logits: nan(logits, value))
    answer = Ensemble([bad, own("llama")]).generate(PROMPT, max_new_tokens=999)
    assert answer.text.startswith(good.text)
    assert all(one.left_out == ("bad",) for one in answer.rounds)
    assert answer.usage["bad"].rounds_left_out == len(answer.rounds)
    assert answer.usage["llama"].rounds_left_out == 0
    for one in answer.rounds:
        assert all(set(candidate.scores) <= {"llama"} for candidate in one.candidates)
        assert one.margins["bad"] == ()


@pytest.mark.parametrize("phase", ["draft", "score"])
def test_numbers_missing_in_one_phase_leave_the_member_out_of_the_round(
    phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = patched(own("gpt2", "bad"), lambda logits: nan(logits) if inside else None)
    inside: list[LocalSession] = []
    method = getattr(LocalSession, phase)

    def noted(self: LocalSession, *args: Any, **kwargs: Any) -> Any:
        inside.append(self)
        try:
            return method(self, *args, **kwargs)
        finally:
            inside.pop()

    monkeypatch.setattr(LocalSession, phase, noted)
    members = [own("llama", "good"), broken]
    answer = Ensemble(members).generate(PROMPT, max_new_tokens=24, speculation=False)
    left_out = [one for one in answer.rounds if one.left_out]
    assert left_out
    assert all(one.left_out == ("bad",) for one in left_out)
    assert answer.usage["bad"].rounds_left_out == len(left_out)
    for one in answer.rounds:
        if one.scored:
            judges = {"good"} if one.left_out else {"good", "bad"}
            assert all(set(candidate.scores) == judges for candidate in one.candidates)
    drafted = any("bad" in candidate.drafters for candidate in answer.rounds[0].candidates)
    assert drafted == (phase == "score")


def test_no_member_left_is_an_error_that_names_them_and_the_round() -> None:
    members = [patched(own("gpt2", "one"), nan), patched(own("llama", "two"), nan)]
    with pytest.raises(NonFiniteError, match=r"round 1: .*\(one, two\)") as error:
        Ensemble(members).generate(PROMPT)
    assert (error.value.members, error.value.round_index) == (("one", "two"), 1)

    forwards = iter(range(99))
    late = patched(own("llama", "late"), lambda logits: nan(logits) if next(forwards) > 4 else None)
    seen: list[Any] = []
    with pytest.raises(NonFiniteError) as error:
        seen.extend(Ensemble([late]).stream(PROMPT, max_words=1))
    assert (error.value.members, error.value.round_index) == (("late",), len(seen) + 1)
    assert seen


@pytest.mark.parametrize("healthy", [0, 3])  # forwards before the first that is not finite
def test_no_member_with_a_weight_left_is_an_error_too(healthy: int) -> None:
    """The others' scores do not count: every candidate would be as good as the first."""
    forwards = iter(range(99))

    def late(logits: torch.Tensor) -> None:
        if next(forwards) >= healthy:
            nan(logits)

    members = [patched(own("gpt2", "heavy"), late), own("llama", "light")]
    with pytest.raises(NonFiniteError, match="heavy") as error:
        Ensemble(members).generate(PROMPT, weights=[1, 0])
    assert error.value.members == ("heavy",)
    assert Ensemble(members).generate(PROMPT, weights=[0, 1], max_new_tokens=4).rounds


@pytest.mark.parametrize("combine", ["product", "mixture"])
def test_plus_infinity_counts_and_loses(combine: str) -> None:
    """In a product; in a mixture the other member's share remains."""

    def narrow(logits: torch.Tensor) -> None:
        rest = logits.topk(logits.shape[-1] - 4, largest=False).indices
        logits.scatter_(-1, rest, -math.inf)

    ensemble = Ensemble([own("llama"), patched(own("gpt2", "narrow"), narrow)])
    answer = ensemble.generate(PROMPT, max_new_tokens=16, combine=combine)
    infinite_scores = 0
    for one in answer.rounds:
        assert one.left_out == ()
        scores = [c.score for c in one.candidates if c.score is not None]
        infinite_scores += sum(math.inf in c.scores.values() for c in one.candidates)
        if one.scored and min(scores) < math.inf:
            assert scores[one.winner] < math.inf
        lost = [candidate for candidate in one.candidates if math.inf in candidate.scores.values()]
        assert combine == "mixture" or all(c.score == math.inf for c in lost)
    assert infinite_scores > 0
