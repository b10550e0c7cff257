"""No wasted work: what every model is fed, what stays in its cache, what comes to the host."""

import gc
from contextlib import closing
from typing import Any

import pytest
import torch
from transformers import DynamicCache

from adafuse import Ensemble
from adafuse.local.member import LocalMember
from adafuse.local.token_tree import Node, TokenTree
from adafuse.prompting.prompt import read_prompt
from corpus import LINES
from forward_watch import Transfers, Watch, own

MIXES = (("llama", "gpt2"), ("gemma3", "mistral", "qwen2"), ("t5", "llama3"), ("mistral",))
PROMPT = LINES[4][:40]


class Fed:
    """What one model is fed, by a hook on it: no token of prompt or answer twice."""

    def __init__(self, member: LocalMember, number: int, watch: Watch) -> None:
        self.counts: list[int] = []
        self._number, self._watch, self._waited = number, watch, 0
        model: Any = member.runner.model
        model.register_forward_pre_hook(self._note, with_kwargs=True)

    def _note(self, module: Any, args: Any, given: dict[str, Any]) -> None:
        ids, positions = given["input_ids"][0].tolist(), given["position_ids"][0].tolist()
        cached = given["past_key_values"].get_seq_length()
        held = list(self._watch.held.values())[self._number]
        end = len(held)  # of prompt and answer
        if not self.counts:
            assert (ids, positions, cached) == (held, list(range(end)), 0)
        elif min(positions) < end:  # the last committed token, which could wait to be read
            assert (ids, positions, cached) == (held[-1:], [end - 1], end - 1)
            assert end > self._waited, "it is fed twice"
            self._waited = end
        else:
            assert cached >= end
        self.counts.append(len(ids))


@pytest.mark.parametrize("names", MIXES, ids="-".join)
@pytest.mark.parametrize("form", ["raw", "chat"])
def test_prompt_and_committed_tokens_are_fed_once(
    names: tuple[str, ...], form: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = [own(name) for name in names]
    watch = Watch(monkeypatch)
    fed = [Fed(one, number, watch) for number, one in enumerate(members)]
    answer = Ensemble(members).generate(
        PROMPT, prompt_format=form, max_new_tokens=16, speculation=False
    )
    for one, record in zip(members, fed, strict=True):
        usage = answer.usage[one.name]
        prompt = one.render(read_prompt(PROMPT, form)).ids
        assert record.counts[0] == usage.prompt_tokens == len(prompt)
        assert usage.forward_passes == len(record.counts)
        assert usage.tokens_processed == sum(record.counts)


@pytest.mark.parametrize("names", MIXES, ids="-".join)
@pytest.mark.parametrize("temperature", [0.0, 5.0])
def test_tokens_processed_are_the_prompt_and_tree_nodes_each_once(
    names: tuple[str, ...], temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A committed token may wait for the next round to be read: one at most, and never twice."""
    members = [own(name) for name in names]
    watch = Watch(monkeypatch)
    answer = Ensemble(members).generate(
        PROMPT, speculation=False, max_new_tokens=16, temperature=temperature, seed=1, branches=4
    )
    for tree, usage in zip(watch.held, answer.usage.values(), strict=True):
        prompt, *waiting = watch.prefixes[tree]
        nodes = sum(map(len, watch.read[tree]))
        assert prompt == usage.prompt_tokens
        assert set(waiting) <= {1}
        assert usage.tokens_processed == prompt + nodes + len(waiting)
        assert usage.forward_passes == 1 + len(watch.read[tree]) + len(waiting)
        assert len(watch.held[tree]) == prompt + usage.committed_tokens
    assert any(len(nodes) > 1 for reads in watch.read.values() for nodes in reads)


@pytest.mark.parametrize("names", MIXES[:3], ids="-".join)
def test_a_drafted_candidate_is_not_run_again_to_score_it(
    names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    members = [own(name) for name in names]
    watch = Watch(monkeypatch)
    Ensemble(members).generate(PROMPT, max_new_tokens=16, speculation=False)
    assert any(read for read, _ in watch.scoring)
    for read, drafts in watch.scoring:
        inner = {id(node) for path in drafts for node in path[:-1]}
        assert not inner.intersection(map(id, read))


@pytest.mark.parametrize("names", MIXES, ids="-".join)
def test_all_branches_of_a_draft_go_through_the_model_together(
    names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    members = [own(name) for name in names]
    watch = Watch(monkeypatch)
    Ensemble(members).generate(PROMPT, max_new_tokens=16, branches=4, speculation=False)
    for forwards in watch.drafting:
        for nodes in forwards:  # one token of each branch
            assert not {id(node.parent) for node in nodes} & set(map(id, nodes))


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3", "mistral"])
def test_the_cache_after_a_commit_is_that_of_a_plain_forward(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the sliding windows too: Gemma's is 8 tokens here and Mistral's 12."""
    first, lengths = own(name), []
    watch = Watch(monkeypatch)
    model: Any = first.runner.model

    def compare(tree: TokenTree) -> None:
        plain: Any = DynamicCache()  # without a config it keeps all states
        if tree._runner is not first.runner:
            return
        lengths.append(tree.length)
        with torch.inference_mode():
            ids = torch.tensor([watch.held[tree][: tree.length]])
            model(input_ids=ids, past_key_values=plain, use_cache=True)
        layers: list[Any] = tree._cache.layers
        for ours, theirs in zip(layers, plain.layers, strict=True):
            held = ours.keys[:, :, : tree.length], ours.values[:, :, : tree.length]
            torch.testing.assert_close(held[0], theirs.keys, atol=1e-4, rtol=0)
            torch.testing.assert_close(held[1], theirs.values, atol=1e-4, rtol=0)

    watch.after_commit = compare
    Ensemble([first, own("qwen2")]).generate(LINES[0], max_new_tokens=20)
    assert lengths[-1] > lengths[0] > 12


@pytest.mark.parametrize("names", MIXES, ids="-".join)
@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_at_most_one_transfer_to_the_host_for_each_forward(
    names: tuple[str, ...], penalty: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble = Ensemble([own(name) for name in names])
    with Transfers(monkeypatch) as transfers:
        answer = ensemble.generate(PROMPT, max_new_tokens=16, repetition_penalty=penalty)
    assert transfers.forwards == sum(usage.forward_passes for usage in answer.usage.values())
    assert 0 < transfers.copies <= transfers.forwards
    assert transfers.stalls == []


def test_the_count_of_transfers_sees_what_would_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    with Transfers(monkeypatch) as transfers:
        row = torch.arange(3.0)
        row.to("cpu", copy=True).tolist()
        assert (transfers.copies, transfers.stalls) == (1, [])
        row.nonzero()
        row.sum().item()
        row.to("cpu")
    assert {"aten.nonzero.default", "item", "to"} <= set(transfers.stalls)


def test_nothing_of_an_answer_outlives_it() -> None:
    """Nodes hold logits of the whole vocabulary: they must not wait for the garbage collector."""
    ensemble = Ensemble([own("llama"), own("gpt2")])
    ensemble.generate(PROMPT, max_new_tokens=4)
    gc.collect()
    gc.disable()
    try:
        ensemble.generate(PROMPT, max_new_tokens=16)
        with closing(ensemble.stream(PROMPT, max_new_tokens=16)) as rounds:
            next(rounds)
        del rounds
        assert not [one for one in gc.get_objects() if type(one) is Node]
    finally:
        gc.enable()
