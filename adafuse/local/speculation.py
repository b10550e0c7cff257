"""What to read besides what is asked for, where a forward is needed anyway.

A wider forward often costs little more, so tokens that may be needed soon are read with those that
are. They change no answer: a node's logits are the same whatever was read with it, and nothing is
decided by whether a node was read. Right guesses save later forwards. What a model's forwards cost
(`cost_curve`) says how many are worth it, the likeliest first; where that was not measured a fixed
number is read, in this order:

- what other members proposed, or are likely to propose, which will have to be scored;
- how a word that is being read may go on: as it did where the same tokens were read before;
- the member's own most probable tokens behind what it has read: its branches in the next round;
- what followed the same two tokens in prompt and answer, which a quotation repeats, and what
  followed the last token alone.

This module knows ids, nodes and probabilities; it runs no forward.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from adafuse.config import DecodingConfig
from adafuse.local.cost_curve import CostCurve
from adafuse.local.guesses import Chosen, Counted, Guess, Weighed
from adafuse.local.token_tree import Node

__all__ = ["Speculator"]

_UNLIKELY = -3.0  # nats, of all tokens since the prefix: what is less probable is not guessed
_WORD = 4  # tokens of a word guessed ahead
_QUOTATION = 6  # tokens of a quotation guessed ahead
_FOLLOWERS = 3  # tokens guessed because they followed the last one before
_FEW = 16  # tokens of the prefix that such a forward may have to read if it is to read guesses


class Speculator:
    """The guesses of one answer of one member.

    `spaced` tells whether a token's text begins with whitespace, and `free` whether anything may
    follow: under a grammar only what it allows is worth a guess. `room` is that of an answer in the
    window. `curve` is what forwards cost now (asked at each), or None; then `width` is how many
    tokens one may have.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        end_ids: Collection[int],
        spaced: Callable[[int], bool],
        config: DecodingConfig,
        width: Callable[[], int],
        curve: Callable[[], CostCurve | None],
        free: Callable[[], bool],
        room: int,
    ) -> None:
        self._end_ids, self._spaced, self._config = end_ids, spaced, config
        self._width, self._curve, self._free, self._room = width, curve, free, room
        self._last: tuple[int, ...] = tuple(prompt[-2:])
        self._quoted: dict[tuple[int, ...], int] = {}  # the token after two, in prompt and answer
        self._greedy: dict[tuple[int, ...], int] = {}  # the most probable one after one or two
        self._hints: list[Sequence[int]] = []
        self._followers: dict[int, list[int]] = {}  # of a token, the latest first
        for token, following in itertools.pairwise(prompt):
            self._follow(token, following)
        for at in range(len(prompt) - 2):
            self._quoted[tuple(prompt[at : at + 2])] = prompt[at + 2]
            self._greedy[(prompt[at + 1],)] = prompt[at + 2]

    def hint(self, spans: Iterable[Sequence[int]]) -> None:
        """Ids after the prefix that will have to be read, in this round or soon."""
        self._hints += spans

    def _follow(self, token: int, following: int) -> None:
        """Remember that one token followed another."""
        if following not in self._end_ids:
            others = [other for other in self._followers.get(token, ()) if other != following]
            self._followers[token] = [following, *others[: _FOLLOWERS - 1]]

    def learn(self, node: Node) -> None:
        """Remember what follows a node that was just read."""
        assert node.next is not None
        if not node.next.top or (following := node.next.top[0]) in self._end_ids or following < 0:
            return
        before = self._before(node)
        self._greedy[before] = self._greedy[before[-1:]] = following

    def commit(self, ids: Sequence[int]) -> None:
        """Append ids to the answer."""
        self._room -= len(ids)
        for token in ids:
            self._quoted[self._last] = token
            for last in self._last[-1:]:
                self._follow(last, token)
            self._last = (*self._last[-1:], token)
        self._hints.clear()

    def beside(self, root: Node, unread: Sequence[Node], waiting: int) -> list[Node]:
        """Nodes to read with `unread`, each after its parent.

        `root` may be not read yet: then the forward also reads so many tokens that are `waiting`.
        """
        curve = self._curve()
        chosen: Chosen
        if curve is not None:
            if waiting + len(unread) >= curve.widest:
                return []
            chosen = Weighed(root, unread, self._room, curve, waiting + len(unread))
        else:
            width = self._width() - len(unread)
            if width <= 0 or waiting > _FEW:
                return []
            chosen = Counted(root, unread, self._room, width)
        for guess in self._guesses(root, unread):
            chosen.add(guess)
        return chosen.nodes()

    def _guesses(self, root: Node, unread: Sequence[Node]) -> Iterator[Guess]:
        for ids in self._hints:
            yield Guess(root, ids, "hint")
        free = self._free()
        if free:
            for tip in unread or [root]:
                yield Guess(tip, self._word(self._before(tip)), "word")
        for node, token, reached in self._likely(root):
            rest = self._word((*self._before(node)[-1:], token)) if free else []
            yield Guess(node, [token, *rest], "likely", reached)
        if free:
            for tip in [*unread, root]:
                yield Guess(tip, self._quotation(self._before(tip)), "quotation")
            for tip in unread or [root]:
                for last in self._before(tip)[-1:]:
                    for token in self._followers.get(last, ()):
                        ids = [token, *self._quotation((last, token))[:2]]
                        yield Guess(tip, ids, "follower")

    def _before(self, node: Node) -> tuple[int, ...]:
        """The last two tokens up to a node."""
        if node.parent is None:
            return self._last
        if node.parent.parent is None:
            return (*self._last[-1:], node.token)
        return node.parent.token, node.token

    def _word(self, before: tuple[int, ...]) -> list[int]:
        """How the word that ends with `before` may go on, to its end."""
        tokens: list[int] = []
        while len(tokens) < _WORD:
            following = self._greedy.get(before, self._greedy.get(before[-1:]))
            if following is None or self._spaced(following):
                break
            tokens.append(following)
            before = (*before[-1:], following)
        return tokens

    def _quotation(self, before: tuple[int, ...]) -> list[int]:
        tokens: list[int] = []
        while len(tokens) < _QUOTATION and (following := self._quoted.get(before)) is not None:
            if following in self._end_ids:
                break
            tokens.append(following)
            before = (*before[-1:], following)
        return tokens

    def _likely(self, root: Node) -> Iterator[tuple[Node, int, float]]:
        """The most probable tokens after nodes that are read, the likeliest nodes first.

        As (node, token, probability that the answer reaches the node): there it will be drafted.
        """
        guesses: list[tuple[float, int, Node, int]] = []
        count = itertools.count()
        waiting: list[tuple[float, Node]] = [(0.0, root)]
        while waiting:
            reached, node = waiting.pop()
            if node.next is None or not node.next.finite or not node.next.top:
                continue
            for token in self._next(node):
                if token in self._end_ids or token < 0:
                    continue
                child = node.children.get(token)
                if child is None or child.row is None:
                    guesses.append((-reached, next(count), node, token))
            for child in node.children.values():
                logprob = node.next.logprob(child.token)
                if child.row is not None and logprob is not None and reached + logprob > _UNLIKELY:
                    waiting.append((reached + logprob, child))
        for unlikely, _, node, token in sorted(guesses):
            yield node, token, math.exp(-unlikely)

    def _next(self, node: Node) -> tuple[int, ...]:
        """The tokens that drafting may take after a node that is read."""
        assert node.next is not None
        first = node.next.top[0]
        within = node.parent is not None and first >= 0 and not self._spaced(first)
        if within or node.next.margin >= self._config.margin_threshold:
            return node.next.top[:1]
        return node.next.top[: self._config.branch_count]
