"""What a fit comes to: weights, numbers, and the sentence that a user needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from adafuse.compare.results import Interval
from adafuse.fitting.cross_fit import Verdict

__all__ = ["FitResult", "as_result", "sentence"]


@dataclass(frozen=True, slots=True)
class FitResult:
    """The outcome of a fit.

    Attributes:
        names: of the members.
        weights: one for each, with sum 1; 0 for a member that has no say.
        prompt_exponent: as the setting of this name; 0: weights are the same for every prompt.
        members: nats per word of each member alone, and where they lie in 95 of 100 resamples.
        mixture: nats per word of the fitted mixture on texts that it was not fitted to.
        difference: that less the best member's; below 0 the mixture is better.
        best: name of the member that is best alone.
        texts: how many were read.
        words: of these texts, their ends included.
        skipped: why texts were left out, one line each.
        seed: of the halves and resamples.
        path: of the file that was written, if one was.
    """

    names: tuple[str, ...]
    weights: tuple[float, ...]
    prompt_exponent: float
    members: tuple[Interval, ...]
    mixture: Interval
    difference: Interval
    best: str
    texts: int
    words: int
    skipped: tuple[str, ...]
    seed: int
    path: Path | None = None

    @property
    def sentence(self) -> str:
        """What it means."""
        return sentence(self)

    @property
    def together(self) -> bool:
        """Whether several members have a say."""
        return sum(weight > 0 for weight in self.weights) > 1

    @property
    def left_out(self) -> tuple[str, ...]:
        """Names of members that have no say."""
        return tuple(n for n, w in zip(self.names, self.weights, strict=True) if not w)

    def __str__(self) -> str:
        return self.sentence


def sentence(result: FitResult) -> str:
    """One sentence: who is better, by how much, and who gets what say."""
    best, difference = result.best, result.difference
    alone = result.members[result.names.index(best)].mean
    nobody = f"{_listed(result.left_out)} {'gets' if len(result.left_out) == 1 else 'get'} no say"
    if result.together:
        weights = ", ".join(
            f"{name} {weight:.2g}"
            for name, weight in zip(result.names, result.weights, strict=True)
            if weight
        )
        spread = f"95 % interval of the difference {difference.low:.2f} to {difference.high:.2f}"
        by_prompt = ", more by how well each predicts the prompt" if result.prompt_exponent else ""
        rest = f"; {nobody}" if result.left_out else ""
        return (
            f"Together they are better: {result.mixture.mean:.2f} nats a word against {alone:.2f} "
            f"of {best} alone ({spread}); weights {weights}{by_prompt}{rest}."
        )
    if f"{alone:.2f}" == f"{result.mixture.mean:.2f}":  # the mixture is that member, or as good as
        name, next_best = min(
            (pair for pair in zip(result.names, result.members, strict=True) if pair[0] != best),
            key=lambda pair: pair[1].mean,
        )
        return (
            f"{best} alone is better here: {alone:.2f} nats a word against {next_best.mean:.2f} of "
            f"{name}, which adds nothing to it; {nobody}."
        )
    if difference.mean >= 0:
        return (
            f"{best} alone is better here: {alone:.2f} nats a word against "
            f"{result.mixture.mean:.2f} together; {nobody}."
        )
    return (
        f"{best} alone is as good here, as far as {result.texts} texts can tell: {alone:.2f} nats "
        f"a word against {result.mixture.mean:.2f} together (95 % interval of the difference "
        f"{difference.low:.2f} to {difference.high:+.2f}); {nobody}."
    )


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else ""


def as_result(
    verdict: Verdict,
    names: tuple[str, ...],
    *,
    texts: int,
    words: int,
    skipped: tuple[str, ...],
    seed: int,
) -> FitResult:
    """A verdict with the names of those it is about."""
    return FitResult(
        names=names,
        weights=verdict.weights,
        prompt_exponent=verdict.exponent,
        members=verdict.members,
        mixture=verdict.mixture,
        difference=verdict.difference,
        best=names[verdict.best],
        texts=texts,
        words=words,
        skipped=skipped,
        seed=seed,
    )
