"""The cache of one answer in llama.cpp: a forest of slots, and the sequences that hold them.

Every slot has a sequence that holds it with all its ancestors, its owner: so a token behind it can
go on in that sequence, or, where another does already, in a copy of its beginning. There are as
many sequences as the forest has leaves.

    slots      0 1 2 … length-1 | rest of the forest
    owner      the main one     | each its own

Copies share cells: a sequence is but a name on them. Layers with a sliding window let cells be
overwritten that one sequence alone holds and that its last token cannot see; a second name on each
cell, the guard's, keeps them, for an answer may be cut back to where they are seen.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from adafuse.llama.context import BATCH, Context, NoRoomError

__all__ = ["LlamaCache", "Plan"]


class LlamaCache:
    """Slots of one sequence and of the tree of drafts behind it; see `adafuse.local.request.Cache`.

    Its positions are depths: a slot's is its parent's and one more.
    """

    def __init__(self, context: Context, cell_bytes: int) -> None:
        self._context, self._cell_bytes = context, cell_bytes
        self._length = 0  # the first slots, one behind the other, all in the main sequence
        self._main: int | None = None
        self._parents: list[int] = []  # of the other slots
        self._owners: list[int] = []
        self._positions: list[int] = []
        self._tips: dict[int, int] = {}  # the last slot of each sequence
        self._guard: int | None = None
        self._held: set[int] = set()  # all sequences, for when this object is gone
        weakref.finalize(self, context.dropped.append, self._held).atexit = False

    def get_seq_length(self) -> int:
        """How many slots it has."""
        return self._length + len(self._parents)

    @property
    def nbytes(self) -> int:
        """Bytes of its cells."""
        return self.get_seq_length() * self._cell_bytes

    def position(self, slot: int) -> int:
        """A slot's position in its text; -1 before the first."""
        return slot if slot < self._length else self._positions[slot - self._length]

    def copy(self, count: int) -> LlamaCache:
        """A cache of its own with the first `count` slots, which are one line of tokens."""
        with self._context.lock:
            self._context.collect()
            made = LlamaCache(self._context, self._cell_bytes)
            if count and self._main is not None:
                made._main = made._take(self._owner(count - 1), count)
                made._length, made._tips = count, {made._main: count - 1}
                made._guard_from(count)
            return made

    def keep(self, start: int, slots: Sequence[int]) -> None:
        """Keep the first `start` slots, then `slots` in their order, and drop the rest."""
        with self._context.lock:
            self._context.collect()
            self._keep(start, list(slots))

    def plan(self, parents: Sequence[int]) -> Plan:
        """How new slots behind these, which may be new themselves, are read; NoRoomError.

        The sequences that it needs are made; `Plan.done` or `Plan.undo` must follow, under the
        context's lock.
        """
        first = self.get_seq_length()
        inner = set(parents)
        leaves = [slot for slot in range(first, first + len(parents)) if slot not in inner]
        plan = Plan(self, first, parents, [[] for _ in parents])
        self._guard_from(max(plan.positions()))
        went_on: set[int] = set()  # sequences that a leaf continues
        try:
            for leaf in leaves:
                line = [leaf]
                while (parent := parents[line[-1] - first]) >= first:
                    line.append(parent)
                name = self._continued(parent, went_on)
                if name is None:
                    owner = self._owner(parent) if parent >= 0 else None
                    name = self._take(owner, self.position(parent) + 1)
                    plan.fresh.append(name)
                went_on.add(name)
                plan.leaves[name] = leaf, parent
                for slot in line:
                    plan.sequences[slot - first].append(name)
        except NoRoomError:
            plan.undo()
            raise
        return plan

    def _add(self, plan: Plan) -> None:
        if self._main is None:
            self._main = plan.sequences[0][0]
        tips = {name: leaf for name, (leaf, _) in plan.leaves.items()}
        positions = plan.positions()
        self._parents += plan.parents
        self._positions += positions
        self._owners += [
            self._main if self._main in names else names[0] for names in plan.sequences
        ]
        self._tips.update(tips)
        self._add_to_guard(tips, plan.first)
        self._lengthen()

    def _undo(self, plan: Plan) -> None:
        for name, (_, parent) in plan.leaves.items():
            if name not in plan.fresh:
                self._context.cut(name, self.position(parent) + 1)
        for name in plan.fresh:
            self._release(name)

    def _continued(self, parent: int, taken: set[int]) -> int | None:
        """The sequence that ends with a slot, unless another leaf goes on in it."""
        if parent < 0:
            return None
        name = self._owner(parent)
        return name if self._tips[name] == parent and name not in taken else None

    def _owner(self, slot: int) -> int:
        if slot < self._length:
            assert self._main is not None
            return self._main
        return self._owners[slot - self._length]

    def _parent(self, slot: int) -> int:
        return slot - 1 if slot < self._length else self._parents[slot - self._length]

    def _take(self, source: int | None = None, count: int = 0) -> int:
        name = self._context.take(source, count)
        self._held.add(name)
        return name

    def _release(self, name: int) -> None:
        self._held.discard(name)
        self._tips.pop(name, None)
        self._context.release(name)

    def _keep(self, start: int, slots: list[int]) -> None:
        if self._main is None or (start >= self.get_seq_length() and not slots):
            return
        if not start and not slots:
            return self._clear()
        line = min(start, self._length)
        lowest = min([line, *self._positions])
        kept = [*range(line, start), *slots]  # the old slots, from the new `line` on
        places = {slot: at for at, slot in enumerate(kept, line)}
        parents = [self._parent(slot) for slot in kept]
        parents = [parent if parent < line else places[parent] for parent in parents]
        positions = [self.position(slot) for slot in kept]
        inner = set(parents)
        tips = {self._owner(slot): at for slot, at in places.items() if at not in inner}
        if line and line - 1 not in inner:
            tips[self._main] = line - 1
        before = {name: self.position(tip) for name, tip in self._tips.items()}
        self._length, self._parents, self._positions = line, parents, positions
        self._give_back(tips, before)
        self._own()
        self._lengthen()
        self._protect(lowest)

    def _clear(self) -> None:
        for name in list(self._held):
            self._release(name)
        self._main = self._guard = None
        self._length = 0
        self._parents, self._owners, self._positions, self._tips = [], [], [], {}

    def _give_back(self, tips: dict[int, int], before: Mapping[int, int]) -> None:
        """Cut sequences back to what they are to end with, and let go of those that hold no leaf.

        `before` are the positions that they end with now. The main one holds the line behind which
        all else is: where it holds no leaf it takes over what another holds.
        """
        assert self._main is not None
        if self._main not in tips:
            heir, leaf = next(iter(tips.items()))  # the line's end has leaves below it
            if self._length:
                heir, leaf = next((name, tip) for name, tip in tips.items() if self._descends(tip))
                self._context.cut(self._main, self._length)
                self._context.copy(heir, self._main, self._length, self.position(leaf) + 1)
                tips[self._main] = tips.pop(heir)
                before = {**before, self._main: self.position(leaf)}
            else:
                self._main = heir
        for name in before.keys() - tips.keys():
            self._release(name)
        for name, tip in tips.items():
            if before[name] > (end := self.position(tip)):
                self._context.cut(name, end + 1)
        self._tips = tips

    def _descends(self, slot: int) -> bool:
        """Whether a slot is behind the end of the line."""
        while slot >= self._length:
            slot = self._parent(slot)
        return slot == self._length - 1

    def _own(self) -> None:
        """Say anew which sequence each slot behind the line is owned by."""
        self._owners = [-1] * len(self._parents)
        for name, begin, tip in self._runs(self._tips, self._length):
            slot = tip
            while slot >= self._length and self.position(slot) >= begin:
                self._owners[slot - self._length] = name
                slot = self._parent(slot)

    def _runs(self, tips: Mapping[int, int], first: int) -> Iterator[tuple[int, int, int]]:
        """Slots from `first` on, parted among the sequences that end with `tips`.

        Gives each sequence, the position where its part of its line begins, and the last slot.
        """
        known: set[int] = set()
        for name, tip in tips.items():
            slot = tip
            while slot >= first and slot not in known:
                known.add(slot)
                slot = self._parent(slot)
            yield name, self.position(slot) + 1, tip

    def _lengthen(self) -> None:
        """Take slots into the line that continue it in the main sequence."""
        count = 0
        while (
            count < len(self._parents)
            and self._parents[count] == self._length + count - 1
            and self._owners[count] == self._main
        ):
            count += 1
        self._length += count
        for part in (self._parents, self._owners, self._positions):
            del part[:count]

    def _protect(self, begin: int) -> None:
        """Let the guard hold just what there is, where cells at positions from `begin` changed."""
        if self._guard is None or self._main is None:
            return
        self._context.cut(self._guard, begin)
        self._context.copy(self._main, self._guard, begin, self._length)
        self._add_to_guard(self._tips, self._length)

    def _add_to_guard(self, tips: Mapping[int, int], first: int) -> None:
        """Let the guard hold slots from `first` on, which are the lines that end with `tips`."""
        if self._guard is not None:
            for name, begin, tip in self._runs(tips, first):
                self._context.copy(name, self._guard, begin, self.position(tip) + 1)

    def _guard_from(self, position: int) -> None:
        """Take a guard before there is a token that does not see all before it; NoRoomError."""
        window = self._context.window
        if self._guard is None and window and position >= window // 2 - BATCH:
            self._guard = self._take()
            self._protect(0)


@dataclass(slots=True)
class Plan:
    """New slots of a cache that are about to be read, and the sequences that each is in."""

    cache: LlamaCache
    first: int  # of the slots
    parents: Sequence[int]
    sequences: list[list[int]]
    leaves: dict[int, tuple[int, int]] = field(default_factory=dict)  # leaf, last slot before
    fresh: list[int] = field(default_factory=list)  # sequences made for it

    def positions(self) -> list[int]:
        """Of the new slots."""
        positions: list[int] = []
        for parent in self.parents:
            known = parent < self.first
            before = self.cache.position(parent) if known else positions[parent - self.first]
            positions.append(before + 1)
        return positions

    def done(self) -> None:
        """The slots are read: they are the cache's from now on."""
        self.cache._add(self)

    def undo(self) -> None:
        """They are not: nothing of them stays, not even part of it."""
        self.cache._undo(self)
