"""Drafting: what one member proposes in one round (DESIGN 3.1 and 3.2).

All branches of a draft are completed together: each forward reads one more token of every branch
that is not complete. This module knows tokens and their bytes; it neither scores nor commits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from adafuse.config import DecodingConfig
from adafuse.constraints.token_mask import END
from adafuse.events import cut_words
from adafuse.local.logits import NextTokenStats
from adafuse.local.token_tree import Node
from adafuse.text.tokenizer import TokenCodec
from adafuse.text.words import Word

__all__ = ["Drafter", "Proposal"]

_DOUBT = 0.3  # margin below which other members too often go another way


@dataclass(frozen=True, slots=True)
class Proposal:
    """A drafted span: its words, whether the answer ends after it, and its last token's node.

    Where a stop string ends the answer the words are those before it, `node` is the token that
    completes it, and `stop` says how many characters before the span belong to it.
    """

    words: tuple[str, ...]
    ends: bool
    node: Node
    stop: int | None = None

    @property
    def text(self) -> str:
        """The span."""
        return "".join(self.words)


@dataclass(slots=True)
class _Path:
    """A span being read: the last token taken, complete words, and the word being read."""

    node: Node
    words: tuple[str, ...] = ()
    word: Word = Word()  # noqa: RUF009 - frozen
    done: bool = False  # the word is complete, or nothing can follow
    ends: bool = False  # the answer ends after the span
    full: bool = False  # the next token would not fit in the context window
    stop: int | None = None  # where in the span a stop begins that it completes

    @property
    def spoken(self) -> tuple[str, ...]:
        return (*self.words, self.word.text) if self.word.text else self.words

    def proposal(self) -> Proposal:
        if self.stop is None:
            return Proposal(self.spoken, self.ends, self.node)
        before = cut_words(self.spoken, max(self.stop, 0))
        return Proposal(before, self.ends, self.node, max(-self.stop, 0))


class Drafter:
    """Drafts spans from the end of a prefix.

    `read` runs nodes that are not read yet through the model in one forward; `certain` is the only
    token that may follow a node, if that is known without reading it; `stop` is where a stop string
    begins that a span, which ends with a node, completes: negative before the span, None if none.
    """

    def __init__(
        self,
        codec: TokenCodec,
        end_ids: frozenset[int],
        config: DecodingConfig,
        read: Callable[[Sequence[Node]], None],
        certain: Callable[[Node], int | None],
        stop: Callable[[str, Node], int | None] = lambda text, node: None,
    ) -> None:
        self._codec, self._config, self._stop = codec, config, stop
        self._words = config.max_words if config.rule == "paper" else 1
        self._end_ids = end_ids | {END}
        self._read, self._certain = read, certain

    def draft(self, root: Node, room: int) -> tuple[list[Proposal], list[float], bool]:
        """Propose spans of at most `room` tokens after `root`.

        Returns the proposals, the most probable first; the margins tested; whether all were
        confident. A span cut to nothing by the context window is no proposal.
        """
        margins: list[float] = []
        paths = [path := _Path(root)]
        for _ in range(self._words):
            path.word, path.done = Word(), False
            confident = self._decide(path, room, margins)
            if not confident:
                paths = self._branch(path, room)
            self._complete(paths, room)
            if not confident or path.ends or path.full:
                break
            path.words, path.word = (*path.words, path.word.text), Word()
        proposals = [p for p in map(_Path.proposal, paths) if p.ends or p.text]
        return proposals, margins, confident

    def go_on(self, node: Node, depth: int) -> Node:
        """Read the most probable tokens after a node, up to a depth, a doubt or an end token."""
        while node.depth < depth:
            path = _Path(node)
            token, margin = self._greedy(path)
            if token in self._end_ids or margin < _DOUBT:
                break
            node = node.child(token)
        if node.parent is not None:
            self._read([node])
        return node

    def _decide(self, path: _Path, room: int, margins: list[float]) -> bool:
        """Take greedy tokens up to the first with a body, while each margin is large enough."""
        while not path.done and not path.word.decided:
            token, margin = self._greedy(path)
            margins.append(margin)
            if margin < self._config.margin_threshold:
                return False
            if token in self._end_ids:
                path.done = path.ends = True
            else:
                self._take(path, token, room)
        return True

    def _branch(self, path: _Path, room: int) -> list[_Path]:
        """One path per most probable token; end tokens are one path."""
        paths: list[_Path] = []
        for token in self._stats(path).top[: self._config.branch_count]:
            branch = replace(path)
            if token not in self._end_ids:
                self._take(branch, token, room)
            elif any(other.ends and other.stop is None for other in paths):
                continue
            else:
                branch.done = branch.ends = True
            paths.append(branch)
        return paths

    def _complete(self, paths: Sequence[_Path], room: int) -> None:
        """Go on greedily until every path's word is complete, all paths in one forward a step."""
        while active := [path for path in paths if not path.done]:
            if nodes := [path.node for path in active if self._certain(path.node) is None]:
                self._read(nodes)
            for path in active:
                self._step(path, room)

    def _step(self, path: _Path, room: int) -> None:
        """Look at the next greedy token: it ends the word, or the answer, or is taken."""
        (token, _), word = self._greedy(path), path.word
        if token in self._end_ids:
            self._drop_unfinished(path)
            path.done, path.ends = True, not path.word.has_body
        elif word.has_body and not word.pending and self._codec.starts_with_whitespace(token):
            path.done = True
        else:
            self._take(path, token, room)

    def _take(self, path: _Path, token: int, room: int) -> None:
        """Append a token; if it does not fit, the path is cut there, back to a whole character."""
        if path.node.depth >= room:
            self._drop_unfinished(path)
            path.done = path.full = True
            return
        path.node = path.node.child(token)
        path.word = path.word.read(self._codec.token_bytes(token))
        path.done = path.word.complete(self._config.max_word_tokens)
        path.stop = self._stop("".join(path.spoken), path.node)
        if path.stop is not None:
            path.done = path.ends = True

    def _drop_unfinished(self, path: _Path) -> None:
        for _ in range(path.word.tokens - path.word.whole_tokens):
            assert path.node.parent is not None
            path.node = path.node.parent
        path.word = path.word.without_pending()

    def _greedy(self, path: _Path) -> tuple[int, float]:
        """The most probable next token and its margin."""
        if (token := self._certain(path.node)) is not None:
            return token, 1.0
        stats = self._stats(path)
        return stats.top[0], stats.margin

    def _stats(self, path: _Path) -> NextTokenStats:
        if path.node.next is None:
            self._read([path.node])
        assert path.node.next is not None
        return path.node.next
