"""What the members of one answer tell each other of their drafts, to save forwards (speculation).

A member that is told which texts others have drafted reads them together with its own, and finds
its own words among them where it agrees. While members agree, the one that drafts first looks
further ahead each time. None of it changes what anyone drafts or scores. This module knows neither
threads nor failures: `sessions` says whose turn it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adafuse.decoding.member import Drafts, Session, Speculative
from adafuse.events import Candidate

__all__ = ["DraftSharing"]

_NEAREST, _FARTHEST = 4, 16  # tokens that the leader looks ahead while members agree


class DraftSharing:
    """The texts of one round by the member that drafted them, and how far to look ahead.

    If it is not `enabled` (`speculation`), nothing is told and nothing looked ahead.
    """

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self._texts: dict[str, list[str]] = {}  # by member, in this round
        self._leader = ""  # the member that looked ahead last
        self._distance = 0  # tokens to look ahead

    def begin(self) -> None:
        """Begin a round."""
        self._texts = {}

    def expect(self, texts: Mapping[str, list[str]]) -> None:
        """Take texts that members are likely to draft, by name, until they have drafted."""
        self._texts = {**texts, **self._texts}

    def draft(self, name: str, session: Session, *, strip_blank: bool, followed: bool) -> Drafts:
        """Let a member draft, and tell others what.

        `followed` says whether another member drafts after it at the same place.
        """
        speculative = session if self.enabled and isinstance(session, Speculative) else None
        if speculative is not None:
            others = (texts for other, texts in self._texts.items() if other != name)
            speculative.hint([text for texts in others for text in texts])
        drafts = session.draft(strip_blank=strip_blank)
        if self.enabled:
            texts = [draft.text for draft in drafts.drafts]
            if followed and speculative is not None:
                self._leader = name
                if self._distance and (further := speculative.look_ahead(self._distance)):
                    texts.insert(0, further)
            self._texts[name] = texts
        return drafts

    def settle(self, candidates: Sequence[Candidate], winner: int) -> None:
        """Learn from a round how far to look ahead."""
        if len(candidates) == 1:
            self._distance = min(max(self._distance * 2, _NEAREST), _FARTHEST)
        elif not self._leader or self._leader not in candidates[winner].drafters:
            self._distance //= 4
