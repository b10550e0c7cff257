"""Reading a reference, teacher forced: how probable a member finds each of its words (DESIGN 3.8).

One reading of prompt and reference per member, some hundred tokens at a time, so that there is
never more than one block of logits. What a word's probability is, is DESIGN 3.7; a long word is
read whole, without the cap that drafts have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import torch

from adafuse.errors import ContextWindowError
from adafuse.local.member import LocalMember
from adafuse.local.prompt_nll import prompt_nll
from adafuse.local.request import Cache, Request
from adafuse.prompting.prompt import Prompt
from adafuse.text.tokenizer import TokenCodec
from adafuse.text.words import Word, decode, split_words, unspaced

__all__ = [
    "ReferenceReading",
    "encode_words",
    "open_word",
    "rate_prompt",
    "read_reference",
    "split_reference",
]

_NO_CAP = 2**31  # tokens of a word


@dataclass(frozen=True, slots=True)
class ReferenceReading:
    """What a member thinks of a reference.

    Attributes:
        nlls: minus the log-probability of each word with its border, in nats, then of the end if
            it was asked for; NaN where the model's logits are not numbers.
        entropies: of the next-token distribution before each of them, in nats.
        prompt_nll: summed over the tokens of what the prompt's messages say, in nats.
        prompt_characters: how many characters these are; 0 where the member reads none of them as
            they are and has no other token to rate.
    """

    nlls: tuple[float, ...]
    entropies: tuple[float, ...]
    prompt_nll: float
    prompt_characters: int


def split_reference(text: str, members: Iterable[LocalMember]) -> tuple[str, ...]:
    """A reference's words, each with the whitespace before it; their texts join to `text`.

    Scripts written without spaces are parted where all members have a token border, so that none
    is forced into a spelling that is not its own. Members that cannot hold a word have no say.
    """
    codecs = [member.codec for member in members]
    return tuple(part for word in split_words(text) for part in _parted(word, codecs))


def _parted(word: str, codecs: Sequence[TokenCodec]) -> list[str]:
    """The parts of a word that are words of an unspaced script; most words are one part."""
    places = {at for at, char in enumerate(word[:-1], 1) if unspaced(char)}
    if not places:
        return [word]
    whole = word.encode()
    for codec in codecs:
        pieces = [codec.token_bytes(id_) for id_ in codec.encode(word)]
        if b"".join(pieces) != whole:
            continue
        ends = set(accumulate(map(len, pieces)))
        sizes = accumulate(len(char.encode()) for char in word)
        places &= {at for at, size in enumerate(sizes, 1) if size in ends}
    return [word[a:b] for a, b in pairwise([0, *sorted(places), len(word)])]


def encode_words(codec: TokenCodec, words: Sequence[str], blank: str = "") -> list[list[int]]:
    """The ids of each word as a continuation, as the decoder commits them (DESIGN 3.4).

    `blank` is what the member puts before the first.
    """
    return [codec.encode(word if at else blank + word) for at, word in enumerate(words)]


def open_word(codec: TokenCodec, ids: Iterable[int]) -> bool:
    """Whether a word needs a border behind it: it is not complete whatever comes next."""
    return not Word.of(map(codec.token_bytes, ids)).complete(_NO_CAP)


def read_reference(
    member: LocalMember,
    prompt: Prompt,
    words: Sequence[str],
    *,
    ends: bool,
    stops: Sequence[str] = (),
    where: str = "this text",
) -> ReferenceReading:
    """Read a prompt and the words of a reference behind it, and rate every word.

    The first word of a chat answer is read behind the blank that the member's own greedy answer
    begins with, if it does (DESIGN 3.4). A word that the tokenizer cannot hold is read as its own
    rendering of it.

    Args:
        words: of the reference, as `split_reference` gives them for all members.
        ends: whether the answer is over behind them: the end is rated too.
        stops: strings that end an answer as well: a base model ends by a new line, say. Tokens that
            begin with one count to the end.
        where: what the text is called in errors, such as "row 3".

    Raises:
        ContextWindowError: the member's window is too small for both together.
        PromptError: as for `LocalMember.open`.
    """
    rendered = member.render(prompt)
    codec, ids = member.codec, rendered.ids
    line = _Line(member, member.ends(tuple(stops)))
    window = member.runner.window_of(len(ids))
    _refuse_longer(member, window, len(ids), where)
    # Where rotary factors change at some length, a long prompt is one forward, as in decoding.
    line.read(ids, [len(ids) - 1], whole=window != member.runner.window_of(0))
    prompt_logprobs = line.logprobs[1:]
    chat = prompt.format != "raw" and words and not words[0][:1].isspace()
    blank = " " if chat and codec.token_bytes(line.greedy).startswith(b" ") else ""
    encoded = encode_words(codec, words, blank)
    _refuse_longer(member, window, len(ids) + sum(map(len, encoded)), where)
    begins = list(accumulate(map(len, encoded), initial=len(ids)))
    line.read([id_ for word in encoded for id_ in word], [end - 1 for end in begins[1:]])
    nlls = []
    for begin, end, word in zip(begins, begins[1:], encoded, strict=False):
        logprob = math.fsum(line.logprobs[begin:end])
        if open_word(codec, word):
            logprob += line.borders[end - 1].border
        nlls.append(-logprob)
    if ends:
        nlls.append(-line.borders[begins[-1] - 1].end)
    before = [line.borders[begin - 1].entropy for begin in begins]
    said, characters = rate_prompt(codec, ids, prompt_logprobs, prompt)
    return ReferenceReading(tuple(nlls), tuple(before[: len(nlls)]), said, characters)


def _refuse_longer(member: LocalMember, window: int | None, tokens: int, where: str) -> None:
    if window is not None and tokens > window:
        raise ContextWindowError(member.name, window, tokens, where=where)


def rate_prompt(
    codec: TokenCodec, ids: Sequence[int], logprobs: Sequence[float], prompt: Prompt
) -> tuple[float, int]:
    """NLL and characters of what the messages say; of the whole prompt where that is not there."""
    pieces = [codec.token_bytes(id_) for id_ in ids]
    texts = [str(message["content"]).strip() for message in prompt.messages]
    found = prompt_nll(pieces, logprobs, texts)
    rated = [(fit[0], len(text)) for fit, text in zip(found.texts, texts, strict=True) if fit]
    if not sum(length for _, length in rated):
        return found.whole[0], len(decode(b"".join(pieces))[0]) if len(ids) > 1 else 0
    return math.fsum(nll for nll, _ in rated), sum(length for _, length in rated)


@dataclass(frozen=True, slots=True)
class _Border:
    """What is known of the token after a border, in nats."""

    entropy: float
    border: float  # log-probability that the word before is over
    end: float  # that the answer is


@dataclass(slots=True)
class _Line:
    """One sequence that is read part by part, behind a cache of its own.

    `logprobs` has the log-probability of every token read, given those before it; NaN for the
    first. `borders` has the places that were asked for; `greedy` is what would come next.
    """

    member: LocalMember
    ends: list[int]  # ids
    logprobs: list[float] = field(default_factory=list)
    borders: dict[int, _Border] = field(default_factory=dict)
    greedy: int = -1
    _cache: Cache | None = None
    _next: torch.Tensor | None = None  # log-probabilities behind the last token read, (V,)

    def read(self, ids: Sequence[int], places: Sequence[int], *, whole: bool = False) -> None:
        """Read further tokens; learn what follows those at `places` of the whole sequence."""
        runner = self.member.runner
        step = len(ids) if whole else runner.most_logits
        for start in range(0, len(ids), step):
            self._read(ids[start : start + step], set(places))
        self.member.runner.scheduler.left()

    def _read(self, part: Sequence[int], places: set[int]) -> None:
        begin, runner = len(self.logprobs), self.member.runner
        if self._cache is None:
            self._cache = runner.new_cache()
        end = begin + len(part)
        request = Request(part, range(begin, end), end, (), self._cache, len(part))
        runner.scheduler.read(runner, request, self._learner(begin, part, places))

    def _learner(
        self, begin: int, part: Sequence[int], places: set[int]
    ) -> Callable[[torch.Tensor], None]:
        def learn(rows: torch.Tensor) -> None:
            rows = rows.float().log_softmax(-1)  # (n, V)
            first = math.nan if self._next is None else float(self._next[part[0]])
            inner = rows[range(len(part) - 1), part[1:]].tolist()
            self.logprobs += [first, *inner]
            asked = [at for at in range(len(part)) if begin + at in places]
            for at, border in zip(asked, self._borders(rows[asked]), strict=True):
                self.borders[begin + at] = border
            self._next = rows[-1].clone()
            self.greedy = int(self._next.argmax())

        return learn

    def _borders(self, rows: torch.Tensor) -> list[_Border]:
        entropy = torch.special.entr(rows.exp()).sum(-1)
        border = (rows + self.member.borders.log()).logsumexp(-1)
        end = rows[:, self.ends].logsumexp(-1)
        return [_Border(*numbers) for numbers in torch.stack([entropy, border, end], -1).tolist()]
