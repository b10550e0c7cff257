"""What a grammar leaves no choice about costs no forward, and changes nothing but that."""

from typing import Any

import pytest
import torch

from adafuse import Answer, DecodingConfig, Ensemble
from adafuse.constraints.constraint import read_constraint
from adafuse.local.member import LocalMember
from constrained_cases import NAMES
from families import FAMILIES, family
from forward_watch import Transfers, Watch, own
from oracle_grammar import Grammar, Masks
from oracle_text import Text

PROMPT = "The quick brown fox"
PERSON = {
    "type": "object",
    "properties": {
        "first name": {"type": "string", "maxLength": 8},
        "kind": {"enum": ["a person", "a thing"]},
        "is it known": {"type": "boolean"},
    },
    "required": ["first name", "kind", "is it known"],
}
CONSTRAINTS: tuple[dict[str, Any], ...] = (
    {"json_schema": PERSON},
    {"choices": ["a very long answer indeed", "a very long answer, too"]},
    {"regex": "[a-z ]{5,20}[.] The end of it is here[.]"},
)
OPEN = (
    r"[a-z ]{3,30}[.!?]",
    "[0-9]{1,4}(, [0-9]{1,4}){1,3};",
    r"(\p{L}| ){5,25}[.:]",
    "[^\n]{1,20}(\n|\n\n)",
)


class Fed:
    """What one model is fed, by a hook on it: no token of prompt or answer twice."""

    def __init__(self, member: LocalMember, number: int, watch: Watch) -> None:
        self.counts: list[int] = []
        self._number, self._watch, self._read = number, watch, 0
        model: Any = member.runner.model
        model.register_forward_pre_hook(self._note, with_kwargs=True)

    def _note(self, module: Any, args: Any, given: dict[str, Any]) -> None:
        ids, positions = given["input_ids"][0].tolist(), given["position_ids"][0].tolist()
        cached = given["past_key_values"].get_seq_length()
        held = list(self._watch.held.values())[self._number]
        if min(positions) < len(held):  # what was committed and not read yet, forced words too
            waited = len(held) - cached
            assert ids[:waited] == held[cached:]
            assert positions[:waited] == list(range(cached, len(held)))
            assert all(position >= len(held) for position in positions[waited:])
            assert cached >= self._read, "a token is fed twice"
            self._read = len(held)
        else:
            assert cached >= len(held)
        self.counts.append(len(ids))


@pytest.mark.parametrize("names", [("llama", "gpt2"), ("gemma3", "qwen2", "llama3"), ("mistral",)])
@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=lambda given: next(iter(given)))
def test_forced_words_cost_no_forward_and_no_token_is_fed_twice(
    names: tuple[str, ...], constraint: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    members = [own(name) for name in names]
    watch = Watch(monkeypatch)
    fed = [Fed(one, number, watch) for number, one in enumerate(members)]
    rounds, before = [], 0
    for one in Ensemble(members).stream(PROMPT, max_new_tokens=200, **constraint):
        forwards = sum(len(record.counts) for record in fed)
        assert (forwards == before or not rounds) if one.forced else forwards >= before
        rounds.append(one)
        before = forwards
    assert any(one.forced for one in rounds)
    answer = Answer.fold(rounds)
    for member, record in zip(members, fed, strict=True):
        usage = answer.usage[member.name]
        assert record.counts[0] == usage.prompt_tokens
        assert usage.forward_passes == len(record.counts)
        assert usage.tokens_processed == sum(record.counts)
        prompt = member.codec.text(member.codec.encode_start(PROMPT, special_tokens=True))
        reads = member.codec.text(watch.held[list(watch.held)[members.index(member)]])
        assert reads == prompt + answer.text


def test_tokens_that_are_certain_are_not_read_to_draft_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The inside of a word of which only the beginning is a choice."""
    member = LocalMember(*FAMILIES["llama3"](1, logit_scale=0.2), "llama3")
    watch = Watch(monkeypatch)
    words = ["incomprehensibilities", "counterrevolutionaries"]
    settings: dict[str, Any] = {"branches": 9, "margin_threshold": 1.0, "max_word_tokens": 99}
    answer = Ensemble([member]).generate(PROMPT, choices=words, speculation=False, **settings)
    drafted = [len(member.codec.encode(word)) for word in words]
    assert min(drafted) > 8
    assert {one.text for one in answer.rounds[0].candidates} == set(words)
    (forwards,) = watch.drafting
    assert forwards == []  # the prompt's end says with which tokens they begin
    assert answer.usage["llama3"].forward_passes == 2  # the prompt, and to score them


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=lambda given: next(iter(given)))
def test_at_most_one_transfer_to_the_host_for_each_forward(
    constraint: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Masks are made on the host, and go to the device: nothing comes back for them."""
    ensemble = Ensemble([own("llama3"), own("gemma3")])
    with Transfers(monkeypatch) as transfers:
        answer = ensemble.generate(PROMPT, max_new_tokens=200, speculation=False, **constraint)
    forwards = sum(usage.forward_passes for usage in answer.usage.values())
    assert transfers.forwards == forwards
    assert 0 < transfers.copies <= forwards


def naive(member: LocalMember, regex: str) -> list[int]:
    """Greedy search with transformers' own forward, and a mask before each choice."""
    constraint = read_constraint(DecodingConfig(regex=regex))
    assert constraint is not None
    text = Text(member.tokenizer)
    masks = Masks(Grammar(constraint.grammar), text.plain_tokens(), text.continuation)
    prompt, ids = text.raw_prompt(PROMPT), list[int]()
    model: Any = member.runner.model
    while True:
        data = b"".join(map(text.token_bytes, ids))
        allowed = masks.allowed("", data, set(member.end_ids))
        assert allowed is not None
        if not allowed:
            return ids
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + ids])).logits[0, -1]
        best = max(sorted(allowed), key=lambda token: float(logits[token]))
        if best in member.end_ids:
            return ids
        ids.append(best)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("regex", OPEN)
def test_one_member_without_branches_is_greedy_search_under_a_mask(name: str, regex: str) -> None:
    """Where nothing is forced: forced words are encoded, whatever a search would do."""
    member = LocalMember(*family(name, 3), name)
    expected = naive(member, regex)
    settings: dict[str, Any] = {"margin_threshold": 0.0} if len(name) % 2 else {"max_words": 1}
    answer = Ensemble([member]).generate(
        PROMPT, regex=regex, branches=1, speculation=False, **settings
    )
    assert list(answer.usage[name].token_ids) == expected
    assert not any(done.forced for done in answer.rounds)
    assert answer.text == member.codec.text(expected)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3"])
def test_between_forced_words_one_member_is_greedy_search_under_a_mask(name: str) -> None:
    member = LocalMember(*FAMILIES[name](3), name)
    answer = Ensemble([member]).generate(PROMPT, json_schema=PERSON, branches=1, speculation=False)
    constraint = read_constraint(DecodingConfig(json_schema=PERSON))
    assert constraint is not None
    text = Text(member.tokenizer)
    grammar = Grammar(constraint.grammar)
    masks = Masks(grammar, text.plain_tokens(), text.continuation)
    ids, said = text.raw_prompt(PROMPT), ""
    start = len(ids)
    for done in answer.rounds:
        if done.forced:
            assert grammar.forced(said) == done.text
            ids += text.continuation(done.text)
        span: list[int] = []
        while not done.forced and text.read(span)[0] != done.text:
            data = b"".join(map(text.token_bytes, span))
            allowed = masks.allowed(said, data, set(member.end_ids))
            model: Any = member.runner.model
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([ids + span])).logits[0, -1]
            span.append(max(sorted(allowed or ()), key=lambda token: float(logits[token])))
            assert done.text.startswith(text.read(span)[0])
        ids, said = ids + span, said + done.text
    assert ids[start:] == list(answer.usage[name].token_ids)
    assert (said, answer.finish_reason) == (answer.text, "stop")
