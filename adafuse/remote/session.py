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
from adafuse.remote.transport import Connection, LostSessionError, Replica, Replicas

__all__ = ["RatedRemoteSession", "RemoteSession"]

_LONGEST = 16  # tokens of a byte of text, at most: NFKC, which expands most, makes 11 bytes of one

Plain = dict[str, Any]


class RemoteSession:
    """One answer of a member that is elsewhere; made by `RemoteMember.open`.

    Not every host's sessions can rate a prompt; those that can are a `RatedRemoteSession`.
    """

    def __init__(
        self, replicas: Replicas, open_arguments: Plain, config: DecodingConfig,
        connection: Connection, opened: Plain, state: Plain,
    ) -> None:  # fmt: skip
        self._replicas = replicas
        self._open_arguments = open_arguments
        self._limit = config.round_timeout
        self._rate = config.prompt_exponent > 0
        self._connection = connection
        self.templated: bool = opened["templated"]
        self.extra_stops: tuple[str, ...] = tuple(opened["extra_stops"])
        self.price: float = opened["price"]
        self.place = connection.replica.transport.place
        self._prompt_nll: PromptNLL | None = None
        self._hints: list[str] = []
        self._sizes: dict[tuple[str, bool], int] = {}  # tokens of this round's candidates
        self._prefilled = False
        self._committed: list[tuple[str, list[int]]] = []
        # Calls since the last commit that the next one depends on.
        self._replayed_calls: list[tuple[str, Plain]] = []
        self._ids: list[int] = []
        self._losses: list[Loss] = []
        self._usage_elsewhere: MemberUsage | None = None  # what it has cost at hosts that were lost
        self._set_state(state)
        self._append_new(state)

    @property
    def room(self) -> int:
        """How many more tokens the context window can hold."""
        return self._room

    @property
    def usage(self) -> MemberUsage:
        """What this session has cost so far, at every host; time is what it took there."""
        current = MemberUsage(
            token_ids=tuple(self._ids), losses=tuple(self._losses), **self._usage
        )  # fmt: skip
        before = self._usage_elsewhere
        return current if before is None else _usage_sum(before, current)

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
        nll = self._call("prefill", rate=self._rate)
        self._prompt_nll = None if nll is None else wire.read_prompt_nll(nll)
        self._prefilled = True

    def draft(self, *, strip_blank: bool) -> Drafts:
        """Propose candidates; see `adafuse.decoding.member.Session`."""
        arguments = {"strip_blank": strip_blank, "hints": self._hints}
        self._sizes, self._hints, self._replayed_calls = {}, [], []
        reply = self._call("draft", **arguments)
        self._replayed_calls.append(("draft", arguments))
        drafts = wire.read_drafts(reply)
        texts = [(draft.text, draft.ends) for draft in drafts.drafts]
        self._sizes.update(zip(texts, reply["sizes"], strict=True))
        return drafts

    def score(self, candidates: Sequence[tuple[str, bool]]) -> list[float | None]:
        """Score candidates; see `adafuse.decoding.member.Session`."""
        reply = self._call("score", candidates=list(candidates))
        self._sizes.update(zip(candidates, reply["sizes"], strict=True))
        scores: list[float | None] = reply["scores"]
        return scores

    def count(self, text: str, ends: bool) -> int:
        """How many tokens it takes to commit this; see `adafuse.decoding.member.Session`."""
        if (text, ends) not in self._sizes:
            self._sizes[text, ends] = self._call("count", text=text, ends=ends)
        return self._sizes[text, ends]

    def fit(self, text: str, ends: bool, limit: int) -> tuple[str, bool]:
        """Cut a candidate to what fits in `limit` tokens; see `adafuse.decoding.member.Session`."""
        upper_bound = _LONGEST * (len(text.encode()) + 1)  # and a blank may come before it
        if self._sizes.get((text, ends), upper_bound) <= limit:
            return text, False
        arguments = {"text": text, "ends": ends, "limit": limit}
        self._sizes = {}  # it may be committed as other ids than were drafted
        fitting, cut = self._call("fit", **arguments)
        self._replayed_calls.append(("fit", arguments))
        return fitting, cut

    def commit(self, text: str, ends: bool) -> int:
        """Append the text; keys and values of what was read already are kept there."""
        before = len(self._ids)
        self._call("commit", text=text, ends=ends)
        self._committed.append((text, self._ids[before:]))
        self._sizes, self._replayed_calls = {}, []
        return self._room

    def close(self) -> None:
        """Let go of the cache there, without waiting for it."""
        self._connection.close()

    def _call(self, method: str, **arguments: Any) -> Any:
        until = None if self._limit is None else time.monotonic() + self._limit
        try:
            value, state = self._connection.send(method, arguments, until)
        except ConnectionError as error:
            value, state = self._retry(method, arguments, until, error)
        self._set_state(state)
        self._append_new(state)
        return value

    def _retry(
        self, method: str, arguments: Plain, until: float | None, error: ConnectionError
    ) -> tuple[Any, Plain]:
        """Make a call that had no reply again: there, else at another replica."""
        tried: list[Replica] = []
        if not isinstance(error, LostSessionError):  # perhaps only the reply is lost
            try:
                return self._connection.send(method, arguments, until)
            except LostSessionError:
                pass  # it was started again, and may as well go on there
            except ConnectionError:
                tried.append(self._connection.replica)
        while (replica := self._replicas.take(tried)) is not None:
            tried.append(replica)
            connection = Connection(self._replicas, replica)
            try:
                self._replay(connection, until)
            except BaseException as failure:
                connection.close()
                if not isinstance(failure, ConnectionError):
                    raise
                continue
            self._connection.close()
            self._connection = connection
            try:
                return connection.send(method, arguments, until)
            except ConnectionError:
                continue
        raise error

    def _replay(self, connection: Connection, until: float | None) -> None:
        """Bring a new session to where this one is."""
        before = self.usage
        _, state = connection.send("open", self._open_arguments, until)
        if self._prefilled:
            _, state = connection.send("prefill", {"rate": False}, until)
        if self._committed:
            _, state = connection.send("restore", {"spans": self._committed}, until)
        for method, arguments in self._replayed_calls:
            _, state = connection.send(method, arguments, until)
        self._sizes = {}
        self._set_state(state)
        counted_again = self._usage["rounds_left_out"]  # this round, if it is among them
        left_out = before.rounds_left_out - counted_again
        self._usage_elsewhere = replace(before, rounds_left_out=left_out)

    def _set_state(self, state: Plain) -> None:
        """Keep what the other side says of itself."""
        self._room: int = state["room"]
        self._usage: Plain = state["usage"]
        self._likely: list[str] = state["likely"]

    def _append_new(self, state: Plain) -> None:
        """Keep what has come to the answer with a call."""
        self._ids += state["ids"]
        self._losses += wire.read_losses(state["losses"])


class RatedRemoteSession(RemoteSession):
    """Likewise, of a member that can rate a prompt."""

    def prompt_nll(self) -> PromptNLL:
        """See `adafuse.decoding.member.Rated`; it came with the prefill."""
        assert self._prompt_nll is not None, "asked for after prefill, by prompt_exponent"
        return self._prompt_nll


def _usage_sum(first: MemberUsage, last: MemberUsage) -> MemberUsage:
    """What two hosts have done for one answer, the later one last."""

    def sums(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
        return {name: a.get(name, 0.0) + b[name] for name in b}

    added = (
        "forward_passes", "tokens_processed", "replaced_characters", "rounds_left_out",
        "forward_seconds", "reused_tokens",
    )  # fmt: skip
    totals: Any = {name: getattr(first, name) + getattr(last, name) for name in added}
    return replace(last, seconds=sums(first.seconds, last.seconds), **totals)
