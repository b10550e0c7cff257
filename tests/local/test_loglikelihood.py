"""Log-likelihoods of given tokens: equal to one plain forward, whatever is read together."""

import random

import pytest
import torch

from adafuse import ConfigError, ContextWindowError, PromptError
from adafuse.local.loglikelihood import continuation_logprobs, continuations_logprobs
from adafuse.local.member import LocalMember
from adafuse.testing import ScriptedMember
from families import FAMILIES, family, phi3
from family_tokenizers import llama3_tokenizer


def _plain(member: LocalMember, context: list[int], tokens: list[int]) -> torch.Tensor:
    """Log-probabilities at every token, shape (n, V), out of one forward without a cache."""
    with torch.no_grad():
        logits = member.runner.model(torch.tensor([context + tokens[:-1]])).logits[0]
    return logits.float().log_softmax(-1)[len(context) - 1 :]


def _same(member: LocalMember, context: list[int], continuations: list[list[int]]) -> None:
    found = continuations_logprobs(member, context, continuations)
    for tokens, one in zip(continuations, found, strict=True):
        rows = _plain(member, context, tokens)
        expected = [float(row[token]) for row, token in zip(rows, tokens, strict=True)]
        assert one.logprobs == pytest.approx(expected, abs=1e-4)
        assert one.greedy == tuple(
            int(row.argmax()) == t for row, t in zip(rows, tokens, strict=True)
        )
        assert one.total == pytest.approx(sum(expected), abs=1e-3)
        assert one.is_greedy == all(one.greedy)


@pytest.mark.parametrize("logits", [2**24, 2500])
@pytest.mark.parametrize("name", FAMILIES)
def test_they_are_those_of_a_plain_forward(
    monkeypatch: pytest.MonkeyPatch, name: str, logits: int
) -> None:
    member = LocalMember(*family(name, 1), name)
    at_once = max(logits // member.runner.vocabulary, 1)  # a few tokens
    monkeypatch.setattr(member.runner, "most_logits", at_once)
    rng = random.Random(1)

    def ids(count: int) -> list[int]:
        return [rng.randrange(member.runner.vocabulary) for _ in range(count)]

    start = ids(300)
    for length in (300, 40, 40, 1):  # twice the same: the second is not read
        first = ids(5)
        _same(member, start[:length], [first, [*first[:2], *ids(3)], ids(1), first[:1], first])
        _same(member, start[:length], [ids(60)])
        _same(member, start[:length], [ids(1)])


def test_a_context_is_read_once_for_all_its_continuations() -> None:
    member = LocalMember(*family("gpt2", 1), "gpt2")
    read: list[int] = []
    plain = member.runner.forward

    def forward(request: object) -> torch.Tensor:
        read.append(len(request.tokens))  # type: ignore[attr-defined]
        return plain(request)  # type: ignore[arg-type]

    member.runner.forward = forward  # type: ignore[method-assign]
    continuations_logprobs(member, list(range(20)), [[1, 2], [1, 3], [4]])
    assert read == [21]  # only "1" is followed by something
    continuations_logprobs(member, [*range(20), 30], [[1], [2], [3]])
    assert read == [21, 1]


def test_greedy_tokens_are_those_of_generate() -> None:
    member = LocalMember(*family("llama3", 2), "llama3")
    context = [1, 2, 3, 4]
    model = member.runner.model
    output = model.generate(torch.tensor([context]), max_new_tokens=8, do_sample=False)
    written = output[0][4:].tolist()
    assert continuation_logprobs(member, context, written).is_greedy
    changed = [*written[:-1], (written[-1] + 1) % 300]
    assert continuation_logprobs(member, context, changed).greedy[-1] is False


def test_a_long_continuation_gives_no_more_logits_than_the_limit() -> None:
    member = LocalMember(*family("gemma3", 1), "gemma3")
    tokens = [i % 300 for i in range(400)]
    widest = 0
    plain = member.runner.forward

    def forward(request: object) -> torch.Tensor:
        nonlocal widest
        rows = plain(request)  # type: ignore[arg-type]
        widest = max(widest, rows.numel())
        return rows

    member.runner.forward = forward  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(member.runner, "most_logits", 20_000 // member.runner.vocabulary)
        continuation_logprobs(member, [1, 2], tokens)
    assert 10_000 < widest <= 20_000 + member.runner.vocabulary  # the context's own row


@pytest.mark.parametrize("length", [10, 20, 47, 60])
def test_factors_that_change_with_the_length_are_those_of_a_plain_forward(length: int) -> None:
    member = LocalMember(phi3(), llama3_tokenizer(), "m")  # other ones beyond 48 tokens
    ids = [7 * at % 300 for at in range(120)]
    _same(member, ids[:length], [ids[60:64], ids[80:115], ids[70:73]])


def test_nothing_continues_with_certainty() -> None:
    member = LocalMember(*family("gpt2", 1), "gpt2")
    empty = continuation_logprobs(member, [1], [])
    assert (empty.total, empty.is_greedy) == (0, True)


def test_what_cannot_be_read_is_refused() -> None:
    member = LocalMember(*family("gpt2", 1), "gpt2")
    with pytest.raises(PromptError, match="at least one token"):
        continuation_logprobs(member, [], [1])
    with pytest.raises(PromptError, match="no id of its model"):
        continuation_logprobs(member, [1], [10_000])
    with pytest.raises(ContextWindowError):
        continuation_logprobs(member, [1] * 500, [2] * 14)
    assert len(continuation_logprobs(member, [1] * 500, [2] * 13).logprobs) == 13
    with pytest.raises(ConfigError, match="ScriptedMember"):
        continuation_logprobs(ScriptedMember("x"), [1], [2])
