"""An answer as a whole: the text, the rounds it came from, why it ended, and what it cost.

A plain frozen value that pickles and turns into JSON (`dataclasses.asdict`). Knows how to show
itself as a page, and nothing of how it was decoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adafuse.events import Dropped, FinishReason, MemberUsage, Round

__all__ = ["Answer"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: text, the rounds it came from, why it ended, what it cost by member."""

    text: str
    rounds: tuple[Round, ...]
    finish_reason: FinishReason
    usage: Mapping[str, MemberUsage]

    @classmethod
    def fold(cls, rounds: Iterable[Round]) -> Answer:
        """Fold the rounds of a finished stream.

        Raises:
            ValueError: the stream has not finished: its last round has no finish reason.
        """
        done = tuple(rounds)
        if not done or done[-1].finish_reason is None or done[-1].usage is None:
            raise ValueError("the stream was not read to its end, so there is no whole answer")
        text = "".join(round_.text for round_ in done)
        return cls(text, done, done[-1].finish_reason, done[-1].usage)

    def __str__(self) -> str:
        return self.text

    @property
    def dropped(self) -> tuple[Dropped, ...]:
        """Members that failed and were left out from then on, in order."""
        return tuple(dropped for round_ in self.rounds for dropped in round_.dropped)

    def save_trace(
        self,
        path: str | Path,
        *,
        prompt: str | Sequence[Mapping[str, Any]] | None = None,
        title: str | None = None,
    ) -> Path:
        """Write one HTML page that shows who wrote which word, against which candidates.

        Args:
            path: of the file; it is written over, and its folder must be there.
            prompt: what was asked, text or chat messages, to be shown too.
            title: of the page.

        Raises:
            ConfigError: the file cannot be written.
        """
        from adafuse.pages.trace import save_trace  # templates are read when a page is wanted

        return save_trace(self, path, prompt=prompt, title=title)

    def _repr_html_(self) -> str:
        """How notebooks show it."""
        from adafuse.pages.trace import trace_frame

        return trace_frame(self)
