"""What one member thinks at every border of some references, in few wide forwards.

The references and what their prompts do not have in common are branches of one token tree; drafts
and candidates are branches behind their borders. Nodes are read a block at a time, so that there
are never more logits than `_LOGITS` but for one row a border.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch

from adafuse.config import DecodingConfig
from adafuse.errors import ContextWindowError
from adafuse.local.drafting import Drafter, _Path
from adafuse.local.kv_cache import KVCache
from adafuse.local.logits import next_token_stats
from adafuse.local.member import LocalMember
from adafuse.local.reference import encode_words, rate_prompt
from adafuse.local.token_tree import Node, TokenTree
from adafuse.prompting.prompt import Prompt
from adafuse.text.words import Word

__all__ = ["BRANCHES", "MARGIN", "MAX_WORD_TOKENS", "Decision", "Likelihood", "Reader", "Reference"]

BRANCHES = 5
MARGIN = 0.7
MAX_WORD_TOKENS = 16
_LOGITS = 2**24  # in one forward: 64 MiB in float32
_WIDEST = 256  # tokens in one forward
_ROOM = 48  # tokens behind the deepest border


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Of a candidate: log-probability of its tokens, how many these are, and of the border."""

    tokens: float
    count: int
    border: float  # 0 where the word is complete whatever comes next


@dataclass(frozen=True, slots=True)
class Decision:
    """What a member would do at a border, and what it thinks of the reference's own word.

    `drafts` are (text, ends, rank of its first token): the words that the most probable tokens at
    the first doubtful decision begin, or at the last one where the member is `confident`.
    """

    margin: float  # of the last decision
    confident: bool
    entropy: float
    drafts: tuple[tuple[str, bool, int], ...]
    reference: Likelihood


@dataclass(slots=True)
class Reference:
    """A text as one member reads it."""

    prompt: Prompt
    words: tuple[str, ...]
    ends: bool
    ids: tuple[int, ...] = ()  # of the prompt
    blank: str = ""
    borders: list[Node] = field(default_factory=list)  # before each word, and behind the last
    spelt: list[list[int]] = field(default_factory=list)  # the words
    nll: tuple[float, int] = (0.0, 0)  # of the prompt's texts, and their characters
    drafted: list[dict[tuple[str, bool], list[Node]]] = field(default_factory=list)


class Reader:
    """Reads groups of references for one member; prompts that begin alike are read once."""

    def __init__(self, member: LocalMember, branches: int = BRANCHES) -> None:
        self.member = member
        self._config = DecodingConfig(
            branches=branches, margin_threshold=MARGIN, max_words=1,
            max_word_tokens=MAX_WORD_TOKENS, speculation=False,
        )  # fmt: skip
        self._drafter = Drafter(
            member.codec, member.end_ids, self._config, self._read, lambda node: None
        )
        self._tree = TokenTree(member.runner)
        self._prefix: list[int] = []
        self._logprobs: list[float] = []
        self._whole = True  # whether all rows are kept, as a commit needs them
        self._plain: set[Node] = set()  # nodes of prompts: nobody asks what follows them
        self._entropies: dict[Node, float] = {}
        self._ends: dict[Node, float] = {}
        self._after: dict[Node, float] = {}  # log-probability of a border behind a node
        self._twins: dict[Node, Node] = {}
        self._kept: set[Node] = set()  # nodes whose rows are kept
        self._cache = KVCache()  # of the last group's prefix

    def open(self, references: Sequence[Reference], where: str) -> None:
        """Read prompts and references, all but what the last group had in common with them."""
        member = self.member
        for one in references:
            one.ids = member.render(one.prompt).ids
        common = _common([one.ids for one in references])
        self._begin(list(references[0].ids[:common]))
        root = self._tree.root
        lines = [self._line(root, one.ids[common:]) for one in references]
        ends = [line[-1] if line else root for line in lines]
        self._plain = {node for line in lines for node in line}.difference(ends)
        self._keep(ends)
        self._read([node for line in lines for node in line])
        for one, line, end in zip(references, lines, ends, strict=True):
            logprobs = [*self._logprobs[1:], *(self._logprob(node) for node in line)]
            one.nll = rate_prompt(member.codec, one.ids, logprobs, one.prompt)
            greedy = member.codec.token_bytes(end.next.top[0])
            chat = one.prompt.format != "raw" and one.words and not one.words[0][:1].isspace()
            one.blank = " " if chat and greedy.startswith(b" ") else ""
            one.spelt = encode_words(member.codec, one.words, one.blank)
            self._refuse_longer(one, where)
            one.borders = [end]
            for ids in one.spelt:
                one.borders.append([one.borders[-1], *self._line(one.borders[-1], ids)][-1])
        borders = [node for one in references for node in one.borders]
        self._keep(borders)
        self._read(borders)

    def decide(self, references: Sequence[Reference]) -> list[list[Decision]]:
        """Draft at every border of every reference, the last one only where it ends."""
        asked = [
            (one, at) for one in references for at in range(len(one.words) + one.ends)
        ]  # fmt: skip
        room = max(node.depth for one in references for node in one.borders) + _ROOM
        roots = [one.borders[at] for one, at in asked]
        self._read_blanks(roots)
        starts, branches = [], []
        for root in roots:
            path, margins, confident = self._decide(root, room)
            starts.append((path, margins, confident))
            branches.append(self._drafter._branch(path, room))
        self._drafter._complete([path for paths in branches for path in paths], room)
        for one in references:
            one.drafted = [{} for _ in one.borders]
        decisions: list[list[Decision]] = [[] for _ in references]
        places = {id(one): at for at, one in enumerate(references)}
        for (one, at), (path, margins, confident), paths in zip(
            asked, starts, branches, strict=True
        ):
            drafts = []
            for rank, branch in zip(self._ranks(path), paths, strict=True):
                proposal = branch.proposal()
                text = "" if proposal.ends else proposal.text
                if at == 0 and one.prompt.format != "raw":
                    text = text.lstrip(" ")
                if not text and not proposal.ends:
                    continue
                nodes = proposal.node.path()[one.borders[at].depth :]
                one.drafted[at].setdefault((text, proposal.ends), [] if proposal.ends else nodes)
                drafts.append((text, proposal.ends, rank))
            border = one.borders[at]
            decision = Decision(
                margins[-1], confident, self._entropies[border], tuple(drafts),
                self._reference(one, at),
            )  # fmt: skip
            decisions[places[id(one)]].append(decision)
        return decisions

    def score(
        self, asked: Sequence[tuple[Reference, int, Sequence[tuple[str, bool]]]]
    ) -> list[list[Likelihood]]:
        """Likelihoods of candidates (text, ends) at borders, given as (reference, border, …)."""
        spelt: list[list[list[Node] | None]] = []
        for one, at, candidates in asked:
            row: list[list[Node] | None] = []
            for text, ends in candidates:
                if ends:
                    row.append(None)
                elif (nodes := one.drafted[at].get((text, False))) is not None:
                    row.append(nodes)
                else:
                    blank = one.blank if at == 0 else ""
                    row.append(self._line(one.borders[at], self.member.codec.encode(blank + text)))
            spelt.append(row)
        lines = [nodes for row in spelt for nodes in row if nodes]
        self._read([nodes[-1] if self._open(nodes) else nodes[-1].parent for nodes in lines])
        return [
            [
                Likelihood(self._ends[one.borders[at]], 1, 0.0)
                if nodes is None
                else self._likelihood(nodes)
                for nodes in row
            ]
            for (one, at, _), row in zip(asked, spelt, strict=True)
        ]

    def close(self) -> None:
        """Let go of everything but the cache of what the prompts had in common."""
        for held in (self._entropies, self._ends, self._after, self._twins):
            held.clear()
        self._plain = set()
        self._cache = self._tree.close()
        self.member.runner.scheduler.left()

    # -- reading

    def _begin(self, prefix: list[int]) -> None:
        """Read a prefix, from where it parts from the last one."""
        known = max(min(_common([prefix, self._prefix]), len(prefix)), 1)
        self._tree = tree = TokenTree(self.member.runner)
        self._logprobs = self._logprobs[:known] or [float("nan")]
        tree.append(prefix[:known])
        if known > 1:
            self._cache.keep(known - 1, [])
            tree.resume(self._cache, known - 1)
        self._whole = True
        step = self._step
        for start in range(known, len(prefix), step):
            part = prefix[start : start + step]
            nodes = tree.line(part)
            self._plain = set(nodes[:-1])
            self._read(nodes)
            self._logprobs += [self._logprob(node) for node in nodes]
            tree.commit(part)
            tree.root.row = tree.root.row.clone()
        self._whole = False
        self._keep([tree.root])
        if tree.waiting:
            self._read([])
        self._prefix = prefix

    @property
    def _step(self) -> int:
        return min(max(_LOGITS // self.member.runner.vocabulary, 1), _WIDEST)

    def _line(self, node: Node, ids: Iterable[int]) -> list[Node]:
        """Nodes behind one, made where they are new; a probability that is lost is read again."""
        nodes = []
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
            logprob = self._logprob(node)
            self._twins[node] = Node(node.token, node.parent, node.depth, logprob=logprob)
        nodes[-1] = self._twins[node]
        return nodes[-1]

    def _known(self, node: Node, token: int) -> float | None:
        if node.next is not None and node.row is not None:
            return float(node.row[token]) - node.next.log_normalizer
        return None if node.next is None else node.next.logprob(token)

    def _keep(self, nodes: Iterable[Node]) -> None:
        """Keep the rows of these nodes once they are read."""
        self._kept = set(nodes)

    def _read(self, nodes: Sequence[Node]) -> None:
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
        asked = [at for at, node in enumerate(new) if node not in self._plain]
        if asked:
            every = len(asked) == len(new)
            these = rows if every else rows[asked]
            self._learn_stats([new[at] for at in asked], these, normalizers[asked])
        for node, row in zip(new, rows, strict=True):
            node.row = row.clone() if node in self._kept else row if self._whole else None

    def _learn_stats(
        self, nodes: Sequence[Node], rows: torch.Tensor, normalizers: torch.Tensor
    ) -> None:
        ends = sorted(self.member.end_ids)
        stats, _ = next_token_stats(
            rows, [], branches=self._config.branches, end_ids=ends, penalty=None
        )
        likely = (rows - normalizers[:, None]).exp_()
        smallest = torch.finfo(torch.float32).tiny
        borders = (likely @ self.member.borders).clamp(min=smallest).log().tolist()
        entropies = torch.special.entr(likely).sum(-1).tolist()
        for node, known, entropy, border in zip(nodes, stats, entropies, borders, strict=True):
            node.next = known
            self._entropies[node], self._after[node] = entropy, border
            self._ends[node] = known.end_logprob

    def _logprob(self, node: Node) -> float:
        if node.logprob is None:
            node.logprob = self._known(node.parent, node.token)
        assert node.logprob is not None
        return node.logprob

    # -- drafting

    def _read_blanks(self, roots: Sequence[Node]) -> None:
        """Read the whitespace tokens that members are sure of, at all borders together."""
        waiting = list(roots)
        for _ in range(MAX_WORD_TOKENS):
            waiting = [
                node.child(node.next.top[0])
                for node in waiting
                if node.next.margin >= MARGIN and self._is_blank(node.next.top[0])
            ]
            self._read(waiting)

    def _is_blank(self, token: int) -> bool:
        return token not in self.member.end_ids and self.member.codec.text([token]).isspace()

    def _decide(self, root: Node, room: int) -> tuple[_Path, list[float], bool]:
        """The path to the decision that branches, the margins tested, whether it was confident."""
        margins: list[float] = []
        path = _Path(root)
        confident = self._drafter._decide(path, room, margins)
        if confident and not path.ends:
            node = path.node.parent
            assert node is not None
            word = Word()
            for before in node.path()[root.depth :]:
                word = word.read(self.member.codec.token_bytes(before.token))
            path = _Path(node, word=word)
        return _Path(path.node, word=path.word), margins, confident

    def _ranks(self, path: _Path) -> list[int]:
        """Ranks of the tokens that branches begin with: end tokens are one branch."""
        ranks, ended = [], False
        for rank, token in enumerate(path.node.next.top[: self._config.branches]):
            ends = token in self.member.end_ids
            if not (ends and ended):
                ranks.append(rank)
            ended = ended or ends
        return ranks

    # -- likelihoods

    def _open(self, nodes: Sequence[Node]) -> bool:
        word = Word()
        for node in nodes:
            word = word.read(self.member.codec.token_bytes(node.token))
        return not word.complete(MAX_WORD_TOKENS)

    def _likelihood(self, nodes: Sequence[Node]) -> Likelihood:
        total = sum(map(self._logprob, nodes))
        return Likelihood(total, len(nodes), self._after[nodes[-1]] if self._open(nodes) else 0.0)

    def _reference(self, one: Reference, at: int) -> Likelihood:
        if at == len(one.words):
            return Likelihood(self._ends[one.borders[at]], 1, 0.0)
        return self._likelihood(one.borders[at + 1].path()[one.borders[at].depth :])

    def _refuse_longer(self, one: Reference, where: str) -> None:
        window = self.member.runner.window_of(len(one.ids))
        tokens = len(one.ids) + sum(map(len, one.spelt)) + _ROOM
        if window is not None and tokens > window:
            raise ContextWindowError(self.member.name, window, tokens, where=where)


def _common(lines: Sequence[Sequence[int]]) -> int:
    """How many first ids all of them have in common."""
    shortest = min(map(len, lines))
    return next((at for at in range(shortest) if len({line[at] for line in lines}) > 1), shortest)
