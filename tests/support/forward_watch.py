"""Watching what is read by which forward, and what crosses from the device to the host."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from adafuse.local.drafting import Drafter
from adafuse.local.member import LocalMember
from adafuse.local.model_runner import ModelRunner
from adafuse.local.session import LocalSession
from adafuse.local.token_tree import Node, TokenTree
from families import FAMILIES


def own(name: str) -> LocalMember:
    """A member with a model of its own, whose trial readings are over."""
    return LocalMember(*FAMILIES[name](2, eos_bias=-9.0), name)


def wrapped(around: Callable[..., Any], original: Any) -> Any:
    """A method that calls `around(self, original, …)`."""
    return lambda self, *args: around(self, original, *args)


class Watch:
    """What happened in each token tree, and in each member's drafts and scores."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: dict[TokenTree, list[list[Node]]] = {}  # nodes of each forward
        self.prefixes: dict[TokenTree, list[int]] = {}  # tokens of each reading of the prefix
        self.held: dict[TokenTree, list[int]] = {}  # ids of prompt and answer
        self.drafting: list[list[list[Node]]] = []  # nodes of each forward of a draft
        self.scoring: list[tuple[list[Node], list[list[Node]]]] = []  # read; what it had drafted
        self.after_commit: Callable[[TokenTree], None] = lambda tree: None
        self._phase = ""
        self._drafts: dict[Drafter, list[list[Node]]] = {}
        for kind, name in [
            *((TokenTree, name) for name in ("append", "read", "commit")),
            (Drafter, "draft"),
            (LocalSession, "score"),
        ]:
            around = getattr(self, f"_{kind.__name__.lower()}_{name}")
            monkeypatch.setattr(kind, name, wrapped(around, getattr(kind, name)))

    @contextmanager
    def _in(self, phase: str) -> Iterator[None]:
        before, self._phase = self._phase, phase
        yield
        self._phase = before

    def _tokentree_append(self, tree: TokenTree, original: Any, tokens: Any) -> None:
        original(tree, tokens)
        if self._phase != "commit":
            self.held.setdefault(tree, []).extend(tokens)

    def _tokentree_read(
        self, tree: TokenTree, original: Any, nodes: list[Node], *then: Any
    ) -> None:
        assert all(node.row is None for node in nodes), "a node is read twice"
        assert len(set(map(id, nodes))) == len(nodes), "a node is read twice in one forward"
        if tree.waiting:
            self.prefixes.setdefault(tree, []).append(tree.waiting)
        original(tree, nodes, *then)
        if nodes:
            self.read.setdefault(tree, []).append(list(nodes))
        if nodes and self._phase == "draft":
            self.drafting[-1].append(list(nodes))
        if self._phase == "score":
            self.scoring[-1][0].extend(nodes)

    def _tokentree_commit(self, tree: TokenTree, original: Any, tokens: Any) -> None:
        node, before, read = tree.root, tree.length, 0
        for token in tokens:
            following = node.children.get(token)
            if following is None or following.row is None:
                break
            node, read = following, read + 1
        with self._in("commit"):
            original(tree, tokens)
        assert tree.length == before + read, "what was read is not kept"
        self.held[tree].extend(tokens)
        self.after_commit(tree)

    def _drafter_draft(self, drafter: Drafter, original: Any, *args: Any) -> Any:
        self.drafting.append([])
        with self._in("draft"):
            result = original(drafter, *args)
        self._drafts[drafter] = [proposal.node.path() for proposal in result[0]]
        return result

    def _localsession_score(self, session: LocalSession, original: Any, candidates: Any) -> Any:
        self.scoring.append(([], self._drafts[session._drafter]))
        before = session.usage.forward_passes
        with self._in("score"):
            scores = original(session, candidates)
        assert session.usage.forward_passes <= before + 1, "candidates are not scored together"
        return scores


STALLS = re.compile(r"aten\.(_local_scalar_dense|nonzero|equal|is_nonzero|masked_select)\b")


READS = ("to", "tolist", "item", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__")


class Transfers(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what a GPU would have to wait for, outside the model's own forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.forwards = self.copies = self.inside = 0
        self.copied: list[torch.Tensor] = []
        self.stalls: list[str] = []
        forward = ModelRunner.forward

        def marked(*args: Any, **kwargs: Any) -> Any:
            self.forwards, self.inside = self.forwards + 1, self.inside + 1
            try:
                return forward(*args, **kwargs)
            finally:
                self.inside -= 1

        monkeypatch.setattr(ModelRunner, "forward", marked)
        for name in READS:
            monkeypatch.setattr(torch.Tensor, name, self._watched(name))

    def _watched(self, name: str) -> Any:
        original = getattr(torch.Tensor, name)

        def method(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            copied = any(tensor.data_ptr() == copy.data_ptr() for copy in self.copied)
            unseen = name != "to" or (args[:1] == ("cpu",) and not kwargs.get("copy"))
            if not self.inside and not copied and unseen:
                self.stalls.append(name)
            return original(tensor, *args, **kwargs)

        return method

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not self.inside:
            if "_to_copy" in str(func) and (kwargs or {}).get("device") == torch.device("cpu"):
                self.copies += 1
                self.copied.append(result)
            elif STALLS.match(str(func)):
                self.stalls.append(str(func))
        return result
