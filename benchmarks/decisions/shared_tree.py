"""A token tree that several texts share: what begins alike is read once, in blocks of logits.

Knows ids and probabilities, not texts. Nodes are read a block at a time, so that there are never
more logits than `_LOGITS`, but for one row of each node that is kept.
"""

from collections.abc import Iterable, Sequence

import torch

from adafuse.local.logits import next_token_stats
from adafuse.local.member import LocalMember
from adafuse.local.token_tree import Node, TokenTree

__all__ = ["SharedTree", "common"]

_LOGITS = 2**24  # in one forward: 64 MiB in float32
_WIDEST = 256  # tokens in one forward


class SharedTree:
    """Nodes behind a prefix, which is kept for the next tree as far as that begins alike.

    Attributes:
        logprobs: of the prefix's tokens, each given those before it; NaN for the first.
        plain: nodes of which nobody asks what follows them.
        entropies, ends, after: of what follows a node that is read, in nats: the entropy, and the
            log-probabilities that the answer ends and that a word is over there.
    """

    def __init__(self, member: LocalMember, branches: int) -> None:
        self._member, self._branches = member, branches
        self._tree = TokenTree(member.runner)
        self._prefix: list[int] = []
        self._cache = member.runner.new_cache()  # of the last prefix
        self._whole = True  # whether all rows are kept, as a commit needs them
        self._kept: set[Node] = set()  # nodes whose rows are kept
        self._twins: dict[Node, Node] = {}
        self.logprobs: list[float] = []
        self.plain: set[Node] = set()
        self.entropies: dict[Node, float] = {}
        self.ends: dict[Node, float] = {}
        self.after: dict[Node, float] = {}

    @property
    def root(self) -> Node:
        """The prefix's end."""
        return self._tree.root

    def close(self) -> None:
        """Let go of everything but the prefix's cache."""
        for held in (self.entropies, self.ends, self.after, self._twins):
            held.clear()
        self.plain = set()
        self._cache = self._tree.close()
        self._member.runner.scheduler.left()

    def begin(self, prefix: list[int]) -> None:
        """Read a prefix, from where it parts from the last one."""
        known = max(min(common([prefix, self._prefix]), len(prefix)), 1)
        self._tree = tree = TokenTree(self._member.runner)
        self.logprobs = self.logprobs[:known] or [float("nan")]
        tree.append(prefix[:known])
        if known > 1:
            self._cache.keep(known - 1, [])
            tree.resume(self._cache, known - 1)
        self._whole = True
        step = self._step
        for start in range(known, len(prefix), step):
            part = prefix[start : start + step]
            nodes = tree.line(part)
            self.plain = set(nodes[:-1])
            self.read(nodes)
            self.logprobs += [self.logprob(node) for node in nodes]
            tree.commit(part)
            assert tree.root.row is not None
            tree.root.row = tree.root.row.clone()  # else it holds the block that it is of
        self._whole = False
        self.keep([tree.root])
        if tree.waiting:
            self.read([])
        self._prefix = prefix

    @property
    def _step(self) -> int:
        return min(max(_LOGITS // self._member.runner.vocabulary, 1), _WIDEST)

    def line(self, node: Node, ids: Iterable[int]) -> list[Node]:
        """Nodes behind one, made where they are new; a probability that is lost is read again."""
        nodes: list[Node] = []
        for token in ids:
            child = node.children.get(token)
            if child is None:
                if node.slots and node.row is None and self._known(node, token) is None:
                    node = self._twin(node, nodes)
                child = node.child(token)
                if node.slots:
                    child.logprob = self._known(node, token)
            node = child
            nodes.append(node)
        return nodes

    def _twin(self, node: Node, nodes: list[Node]) -> Node:
        """A node like this one that is not read yet, in its place at the end of `nodes`."""
        if node not in self._twins:
            logprob = self.logprob(node)
            self._twins[node] = Node(node.token, node.parent, node.depth, logprob=logprob)
        nodes[-1] = self._twins[node]
        return nodes[-1]

    def _known(self, node: Node, token: int) -> float | None:
        if node.next is not None and node.row is not None:
            return float(node.row[token]) - node.next.log_normalizer
        return None if node.next is None else node.next.logprob(token)

    def keep(self, nodes: Iterable[Node]) -> None:
        """Keep the rows of these nodes once they are read."""
        self._kept = set(nodes)

    def read(self, nodes: Sequence[Node]) -> None:
        """Read those of the nodes, and of those before them, that are not read yet."""
        lines = [before for node in nodes if not node.slots for before in node.path()]
        unread = list(dict.fromkeys(node for node in lines if not node.slots))
        if not unread and self._tree.waiting:
            self._tree.read([], self._learn)
        for start in range(0, len(unread), self._step):
            self._tree.read(unread[start : start + self._step], self._learn)

    def _learn(self, new: list[Node], rows: torch.Tensor) -> None:
        rows = rows.float()  # (n, V)
        normalizers = rows.logsumexp(-1)
        pairs = [(at, child) for at, node in enumerate(new) for child in node.children.values()]
        if pairs:
            places, tokens = [at for at, _ in pairs], [child.token for _, child in pairs]
            logprobs = (rows[places, tokens] - normalizers[places]).tolist()
            for (_, child), known in zip(pairs, logprobs, strict=True):
                child.logprob = known
        asked = [at for at, node in enumerate(new) if node not in self.plain]
        if asked:
            every = len(asked) == len(new)
            these = rows if every else rows[asked]
            self._learn_stats([new[at] for at in asked], these, normalizers[asked])
        for node, row in zip(new, rows, strict=True):
            node.row = row.clone() if node in self._kept else row if self._whole else None

    def _learn_stats(
        self, nodes: Sequence[Node], rows: torch.Tensor, normalizers: torch.Tensor
    ) -> None:
        ends = sorted(self._member.end_ids)
        stats, _ = next_token_stats(rows, [], branches=self._branches, end_ids=ends, penalty=None)
        likely = (rows - normalizers[:, None]).exp_()
        smallest = torch.finfo(torch.float32).tiny
        borders = (likely @ self._member.borders).clamp(min=smallest).log().tolist()
        entropies = torch.special.entr(likely).sum(-1).tolist()
        for node, known, entropy, border in zip(nodes, stats, entropies, borders, strict=True):
            node.next = known
            self.entropies[node], self.after[node] = entropy, border
            self.ends[node] = known.end_logprob

    def logprob(self, node: Node) -> float:
        """A node's log-probability, given what is before it."""
        if node.logprob is None and node.parent is not None:
            node.logprob = self._known(node.parent, node.token)
        assert node.logprob is not None
        return node.logprob


def common(lines: Sequence[Sequence[int]]) -> int:
    """How many first ids all of them have in common."""
    shortest = min(map(len, lines))
    return next((at for at in range(shortest) if len({line[at] for line in lines}) > 1), shortest)
