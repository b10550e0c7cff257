"""One answer of a member whose model is elsewhere.

A round takes three calls at most: draft, score, commit. Their replies carry what else may be asked
for, such as room and usage. Where a host is lost, the session goes on at another one that has the
same member: it reads the prompt again and appends the ids that were committed, as they were.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from adafuse.config import DecodingConfig
from adafuse.decoding.member import Drafts, PromptNLL
from adafuse.events import Loss, MemberUsage
from adafuse.remote import wire
from adafuse.remote.transport import Link, LostSessionError, Replica, Replicas

__all__ = ["RatedRemoteSession", "RemoteSession"]

_LONGEST = 16  # tokens of a byte of text, at most: NFKC, which expands most, makes 11 bytes of one

Plain = dict[str, Any]


class RemoteSession:
    """One answer of a member that is elsewhere; made by `RemoteMember.open`.

    Not every host's sessions can rate a prompt; those that can are a `RatedRemoteSession`.
    """

    def __init__(
        self, replicas: Replicas, asked: Plain, config: DecodingConfig, link: Link, opened: Plain,
        state: Plain,
    ) -> None:  # fmt: skip
        self._replicas = replicas
        self._asked = asked  # the arguments of `open`
        self._limit = config.round_timeout
        self._rate = config.weighting == "perplexity"
        self._link = link
        self.templated: bool = opened["templated"]
        self.extra_stops: tuple[str, ...] = tuple(opened["extra_stops"])
        self.price: float = opened["price"]
        self.place = link.replica.transport.place
        self._fit: PromptNLL | None = None
        self._hints: list[str] = []
        self._sizes: dict[tuple[str, bool], int] = {}  # tokens of this round's candidates
        self._prefilled = False
        self._committed: list[tuple[str, list[int]]] = []
        self._since: list[tuple[str, Plain]] = []  # calls since the last commit that shape the next
        self._ids: list[int] = []
        self._losses: list[Loss] = []
        self._before: MemberUsage | None = None  # what it has cost at hosts that were lost
        self._absorb(state)
        self._learn(state)

    @property
    def room(self) -> int:
        """How many more tokens the context window can hold."""
        return self._room

    @property
    def usage(self) -> MemberUsage:
        """What this session has cost so far, at every host; time is what it took there."""
        here = MemberUsage(
            token_ids=tuple(self._ids), losses=tuple(self._losses), **self._usage
        )  # fmt: skip
        return here if self._before is None else _both(self._before, here)

    def likely(self) -> list[str]:
        """See `adafuse.decoding.member.Speculative`."""
        return self._likely

    def hint(self, texts: Sequence[str]) -> None:
        """See `adafuse.decoding.member.Speculative`; told with the next draft."""
        self._hints += texts

    def look_ahead(self, tokens: int) -> str:
        """Nothing: no other member is in the same place and could read it too."""
        return ""

    def prefill(self) -> None:
        """Read the prompt."""
        fit = self._call("prefill", rate=self._rate)
        self._fit = None if fit is None else wire.read_fit(fit)
        self._prefilled = True

    def draft(self, *, strip_blank: bool) -> Drafts:
        """Propose candidates; see `adafuse.decoding.member.Session`."""
        arguments = {"strip_blank": strip_blank, "hints": self._hints}
        self._sizes, self._hints, self._since = {}, [], []
        found = self._call("draft", **arguments)
        self._since.append(("draft", arguments))
        drafts = wire.read_drafts(found)
        texts = [(draft.text, draft.ends) for draft in drafts.drafts]
        self._sizes.update(zip(texts, found["sizes"], strict=True))
        return drafts

    def score(self, candidates: Sequence[tuple[str, bool]]) -> list[float | None]:
        """Score candidates; see `adafuse.decoding.member.Session`."""
        found = self._call("score", candidates=list(candidates))
        self._sizes.update(zip(candidates, found["sizes"], strict=True))
        scores: list[float | None] = found["scores"]
        return scores

    def count(self, text: str, ends: bool) -> int:
        """How many tokens it takes to commit this; see `adafuse.decoding.member.Session`."""
        if (text, ends) not in self._sizes:
            self._sizes[text, ends] = self._call("count", text=text, ends=ends)
        return self._sizes[text, ends]

    def fit(self, text: str, ends: bool, limit: int) -> tuple[str, bool]:
        """Cut a candidate to what fits in `limit` tokens; see `adafuse.decoding.member.Session`."""
        most = _LONGEST * (len(text.encode()) + 1)  # and a blank may come before it
        if self._sizes.get((text, ends), most) <= limit:
            return text, False
        arguments = {"text": text, "ends": ends, "limit": limit}
        self._sizes = {}  # it may be committed as other ids than were drafted
        fitting, cut = self._call("fit", **arguments)
        self._since.append(("fit", arguments))
        return fitting, cut

    def commit(self, text: str, ends: bool) -> int:
        """Append the text; keys and values of what was read already are kept there."""
        known = len(self._ids)
        self._call("commit", text=text, ends=ends)
        self._committed.append((text, self._ids[known:]))
        self._sizes, self._since = {}, []
        return self._room

    def close(self) -> None:
        """Let go of the cache there, without waiting for it."""
        self._link.close()

    def _call(self, method: str, **arguments: Any) -> Any:
        until = None if self._limit is None else time.monotonic() + self._limit
        try:
            value, state = self._link.send(method, arguments, until)
        except ConnectionError as error:
            value, state = self._again(method, arguments, until, error)
        self._absorb(state)
        self._learn(state)
        return value

    def _again(
        self, method: str, arguments: Plain, until: float | None, error: ConnectionError
    ) -> tuple[Any, Plain]:
        """Make a call that had no reply again: there, else at another replica."""
        besides: list[Replica] = []
        if not isinstance(error, LostSessionError):  # perhaps only the reply is lost
            try:
                return self._link.send(method, arguments, until)
            except LostSessionError:
                pass  # it was started again, and may as well go on there
            except ConnectionError:
                besides.append(self._link.replica)
        while (replica := self._replicas.take(besides)) is not None:
            besides.append(replica)
            link = Link(self._replicas, replica)
            try:
                self._rebuild(link, until)
            except ConnectionError:
                link.close()
                continue
            except BaseException:
                link.close()
                raise
            self._link.close()
            self._link = link
            try:
                return link.send(method, arguments, until)
            except ConnectionError:
                continue
        raise error

    def _rebuild(self, link: Link, until: float | None) -> None:
        """Bring a new session to where this one is."""
        before = self.usage
        _, state = link.send("open", self._asked, until)
        if self._prefilled:
            _, state = link.send("prefill", {"rate": False}, until)
        if self._committed:
            _, state = link.send("restore", {"spans": self._committed}, until)
        for method, arguments in self._since:
            _, state = link.send(method, arguments, until)
        self._sizes = {}
        self._absorb(state)
        twice = self._usage["rounds_left_out"]  # this round, if it is among them
        self._before = replace(before, rounds_left_out=before.rounds_left_out - twice)

    def _absorb(self, state: Plain) -> None:
        """Keep what the other side says of itself."""
        self._room: int = state["room"]
        self._usage: Plain = state["usage"]
        self._likely: list[str] = state["likely"]

    def _learn(self, state: Plain) -> None:
        """Keep what has come to the answer with a call."""
        self._ids += state["ids"]
        self._losses += wire.read_losses(state["losses"])


class RatedRemoteSession(RemoteSession):
    """Likewise, of a member that can rate a prompt."""

    def prompt_nll(self) -> PromptNLL:
        """See `adafuse.decoding.member.Rated`; it came with the prefill."""
        assert self._fit is not None, "asked for after prefill, by weighting 'perplexity'"
        return self._fit


def _both(one: MemberUsage, other: MemberUsage) -> MemberUsage:
    """What two hosts have done for one answer, the later one last."""

    def sums(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
        return {name: a.get(name, 0.0) + b[name] for name in b}

    added = (
        "forward_passes", "tokens_processed", "replaced_characters", "rounds_left_out",
        "forward_seconds", "reused_tokens",
    )  # fmt: skip
    totals: Any = {name: getattr(one, name) + getattr(other, name) for name in added}
    return replace(other, seconds=sums(one.seconds, other.seconds), **totals)
