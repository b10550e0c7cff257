"""What one member thinks at every border of some references, in few wide forwards.

The references and what their prompts do not have in common are branches of one token tree; drafts
and candidates are branches behind their borders.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from adafuse.config import DecodingConfig
from adafuse.errors import ContextWindowError
from adafuse.local.drafting import Drafter, _Path
from adafuse.local.member import LocalMember
from adafuse.local.reference import encode_words, rate_prompt
from adafuse.local.sequence import stats_of
from adafuse.local.token_tree import Node
from adafuse.prompting.prompt import Prompt
from adafuse.text.words import Word
from benchmarks.decisions.shared_tree import SharedTree, common

__all__ = ["BRANCHES", "MARGIN", "MAX_WORD_TOKENS", "Decision", "Likelihood", "Reader", "Reference"]

BRANCHES = 5
MARGIN = 0.7
MAX_WORD_TOKENS = 16
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
        self._shared = shared = SharedTree(member, branches)
        self._drafter = Drafter(
            member.codec, member.end_ids, self._config, shared.read, lambda node: None
        )

    def open(self, references: Sequence[Reference], where: str) -> None:
        """Read prompts and references, all but what the last group had in common with them."""
        member = self.member
        for one in references:
            one.ids = member.render(one.prompt).ids
        size = common([one.ids for one in references])
        self._shared.begin(list(references[0].ids[:size]))
        root = self._shared.root
        lines = [self._shared.line(root, one.ids[size:]) for one in references]
        ends = [line[-1] if line else root for line in lines]
        self._shared.plain = {node for line in lines for node in line}.difference(ends)
        self._shared.keep(ends)
        self._shared.read([node for line in lines for node in line])
        for one, line, end in zip(references, lines, ends, strict=True):
            logprobs = [*self._shared.logprobs[1:], *(self._shared.logprob(node) for node in line)]
            one.nll = rate_prompt(member.codec, one.ids, logprobs, one.prompt)
            greedy = member.codec.token_bytes(stats_of(end).top[0])
            chat = one.prompt.format != "raw" and one.words and not one.words[0][:1].isspace()
            one.blank = " " if chat and greedy.startswith(b" ") else ""
            one.spelt = encode_words(member.codec, one.words, one.blank)
            self._refuse_longer(one, where)
            one.borders = [end]
            for ids in one.spelt:
                one.borders.append([one.borders[-1], *self._shared.line(one.borders[-1], ids)][-1])
        borders = [node for one in references for node in one.borders]
        self._shared.keep(borders)
        self._shared.read(borders)

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
                margins[-1], confident, self._shared.entropies[border], tuple(drafts),
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
                    row.append(
                        self._shared.line(one.borders[at], self.member.codec.encode(blank + text))
                    )
            spelt.append(row)
        needed = [
            nodes[-1] if self._open(nodes) else [one.borders[at], *nodes][-2]
            for (one, at, _), row in zip(asked, spelt, strict=True)
            for nodes in row
            if nodes
        ]
        self._shared.read(needed)
        return [
            [
                Likelihood(self._shared.ends[one.borders[at]], 1, 0.0)
                if nodes is None
                else self._likelihood(nodes)
                for nodes in row
            ]
            for (one, at, _), row in zip(asked, spelt, strict=True)
        ]

    def close(self) -> None:
        """Let go of everything but the cache of what the prompts had in common."""
        self._shared.close()

    # -- drafting

    def _read_blanks(self, roots: Sequence[Node]) -> None:
        """Read the whitespace tokens that members are sure of, at all borders together."""
        waiting = list(roots)
        for _ in range(MAX_WORD_TOKENS):
            waiting = [
                node.child(stats_of(node).top[0])
                for node in waiting
                if stats_of(node).margin >= MARGIN and self._is_blank(stats_of(node).top[0])
            ]
            self._shared.read(waiting)

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
            path = _Path(node, word=self._word(node.path()[root.depth :]))
        return _Path(path.node, word=path.word), margins, confident

    def _ranks(self, path: _Path) -> list[int]:
        """Ranks of the tokens that branches begin with: end tokens are one branch."""
        ranks, ended = [], False
        for rank, token in enumerate(stats_of(path.node).top[: self._config.branch_count]):
            ends = token in self.member.end_ids
            if not (ends and ended):
                ranks.append(rank)
            ended = ended or ends
        return ranks

    # -- likelihoods

    def _open(self, nodes: Sequence[Node]) -> bool:
        return not self._word(nodes).complete(MAX_WORD_TOKENS)

    def _word(self, nodes: Sequence[Node]) -> Word:
        return Word.of(self.member.codec.token_bytes(node.token) for node in nodes)

    def _likelihood(self, nodes: Sequence[Node]) -> Likelihood:
        total = sum(map(self._shared.logprob, nodes))
        return Likelihood(
            total, len(nodes), self._shared.after[nodes[-1]] if self._open(nodes) else 0.0
        )

    def _reference(self, one: Reference, at: int) -> Likelihood:
        if at == len(one.words):
            return Likelihood(self._shared.ends[one.borders[at]], 1, 0.0)
        return self._likelihood(one.borders[at + 1].path()[one.borders[at].depth :])

    def _refuse_longer(self, one: Reference, where: str) -> None:
        window = self.member.runner.window_of(len(one.ids))
        tokens = len(one.ids) + sum(map(len, one.spelt)) + _ROOM
        if window is not None and tokens > window:
            raise ContextWindowError(self.member.name, window, tokens, where=where)
