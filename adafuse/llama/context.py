"""One llama.cpp context: cells for keys and values, and the sequences that cells belong to.

A token sees the cells of its sequence before its own position, so what it may see is said by which
sequences a cell is in. Nobody but the caches of `cache.py` decides that. Knows ids of tokens and
of sequences, no trees.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from adafuse.errors import LoadMemoryError, UnsupportedModelError
from adafuse.llama.library import complaint, forget_complaints, library
from adafuse.llama.weights import Weights

__all__ = ["BATCH", "Context", "ForwardError", "NoRoomError", "Token"]

BATCH = 512  # tokens of one call
_LOGITS = 2**24  # numbers of one call: 64 MiB
_SEQUENCES = 256  # that llama.cpp can tell apart; each costs a row of logits in memory
_FEWEST = 64  # of them, however large a vocabulary is


class NoRoomError(MemoryError):
    """There are too few cells, or sequences, for what is to be read."""


class ForwardError(RuntimeError):
    """llama.cpp could not run a forward."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a call: its id, its position, and the sequences of the leaves below it."""

    id: int
    position: int
    sequences: Sequence[int]
    wanted: bool  # whether its logits are


class Context:
    """Cells of one model, with a lock that whoever changes several things of it holds.

    Args:
        weights: of the model.
        cells: tokens whose keys and values it holds, of all answers and kept prompts together.
        threads: that compute.
        adapters: of `Weights.adapter`, all in use.

    Raises:
        LoadMemoryError: there is not that much memory.
        UnsupportedModelError: the model does not write texts.

    Attributes:
        sequences: how many there are.
        batch: tokens of one call.
        rows: of logits that one call may give.
        dropped: sequences of caches that nobody refers to any more; given back at the next turn.
    """

    def __init__(
        self, weights: Weights, cells: int, threads: int, adapters: Sequence[Any] = ()
    ) -> None:
        llama = library()
        self.weights, self.cells = weights, cells
        self.vocabulary = weights.vocabulary
        self.window = weights.window
        self.rows = self.sequences = min(_SEQUENCES, max(_FEWEST, _LOGITS // self.vocabulary))
        self.lock = threading.RLock()
        self.dropped: deque[Iterable[int]] = deque()
        self._free = list(range(self.sequences))[::-1]
        options = llama.llama_context_default_params()
        options.n_ctx, options.n_seq_max, options.n_outputs_max = cells, self.sequences, self.rows
        options.n_batch = options.n_ubatch = BATCH  # a call is one forward
        options.n_threads = options.n_threads_batch = threads
        # Cells of all sequences stand together, and sliding layers keep theirs: both are needed to
        # let sequences share and give back cells one by one.
        options.kv_unified = options.swa_full = options.no_perf = True
        options.pooling_type = llama.LLAMA_POOLING_TYPE_NONE
        forget_complaints()
        self._pointer = llama.llama_init_from_model(weights.pointer, options)
        if not self._pointer:
            raise LoadMemoryError(
                f"member {weights.name!r}: llama.cpp cannot make a context of {cells} tokens: "
                f"{complaint() or 'it does not say why'}; a smaller n_ctx takes less memory"
            )
        if adapters:
            pointers = (llama.llama_adapter_lora_p_ctypes * len(adapters))(*adapters)
            strengths = (ctypes.c_float * len(adapters))(*[1.0] * len(adapters))
            llama.llama_set_adapters_lora(self._pointer, pointers, len(adapters), strengths)
        self._batch = llama.llama_batch_init(BATCH, 0, self.sequences)
        weakref.finalize(self, _free, self._pointer, self._batch, weights)
        self.batch = int(llama.llama_n_batch(self._pointer))  # fewer, in a small context
        self._memory = llama.llama_get_memory(self._pointer)
        if not self._memory or not llama.llama_get_causal_attn(self._pointer):
            raise UnsupportedModelError(
                f"member {weights.name!r}: {weights.kind} reads texts and writes none"
            )

    @property
    def free_sequences(self) -> int:
        """How many sequences are in nobody's hands, as far as they were given back."""
        return len(self._free)

    def collect(self) -> None:
        """Give back what caches held that are gone."""
        while self.dropped:
            for name in self.dropped.popleft():
                self.release(name)

    def take(self, source: int | None = None, count: int = 0) -> int:
        """A sequence of its own, with the first `count` cells of another; NoRoomError."""
        if not self._free:
            raise NoRoomError(f"all {self.sequences} sequences of this member are in use")
        name = self._free.pop()
        if source is not None:
            self.copy(source, name, 0, count)
        return name

    def release(self, name: int) -> None:
        """Give back a sequence; cells that are in no other are free."""
        self.cut(name, 0)
        self._free.append(name)

    def copy(self, source: int, target: int, begin: int, end: int) -> None:
        """Make the cells of `source` at positions from `begin` to before `end` `target`'s too."""
        library().llama_memory_seq_cp(self._memory, source, target, begin, end)

    def cut(self, name: int, begin: int) -> None:
        """Take a sequence's cells from a position on away from it."""
        library().llama_memory_seq_rm(self._memory, name, begin, -1)

    def decode(self, tokens: Sequence[Token]) -> torch.Tensor:
        """Read tokens in one forward; returns the logits that are wanted, float32, (rows, V).

        At most `batch` tokens, and `rows` wanted. Where it raises, the cells of the tokens are for
        the caller to take back.

        Raises:
            NoRoomError: too few cells are free.
            ForwardError: anything else.
        """
        llama, batch = library(), self._batch
        batch.n_tokens = len(tokens)
        for at, token in enumerate(tokens):
            batch.token[at], batch.pos[at] = token.id, token.position
            batch.n_seq_id[at], batch.logits[at] = len(token.sequences), token.wanted
            names = batch.seq_id[at]
            for place, name in enumerate(token.sequences):
                names[place] = name
        forget_complaints()
        status = llama.llama_decode(self._pointer, batch)
        if status == 1:
            raise NoRoomError(f"the {self.cells} tokens of its n_ctx are in use")
        if status:
            raise ForwardError(f"llama.cpp failed ({status}): {complaint() or 'no reason given'}")
        rows = sum(token.wanted for token in tokens)
        if not rows:
            return torch.empty(0, self.vocabulary)
        logits = llama.llama_get_logits(self._pointer)  # those wanted, in order
        return torch.from_numpy(np.ctypeslib.as_array(logits, (rows, self.vocabulary)).copy())


def _free(pointer: Any, batch: Any, weights: Weights) -> None:
    """Free a context before its weights, which it holds until now."""
    llama = library()
    llama.llama_batch_free(batch)
    llama.llama_free(ctypes.c_void_p(pointer) if isinstance(pointer, int) else pointer)
    del weights
