"""What decoding must give on tiny models: greedy ids, limits, streams cut short."""

import dataclasses
import json
import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from adafuse import Answer, Ensemble
from adafuse.local.member import LocalMember
from corpus import LINES
from families import FAMILIES, family
from oracle import OracleMember
from oracle_text import Text
from parity import compare

PROMPTS = tuple(line[:30] for line in LINES[::3][:20])
LONG = "".join(LINES[:6])  # far beyond the sliding windows of Gemma (8) and Mistral (12)


def member(name: str, label: str = "", seed: int = 1, **config: Any) -> LocalMember:
    return LocalMember(*family(name, seed, **config), label or name)


def trio() -> Ensemble:
    """Three members that disagree now and then."""
    return Ensemble([member("llama", seed=2), member("gpt2"), member("gemma3", seed=3)])


def facts(answer: Answer) -> Any:
    """All that must be the same each time: not what it cost, nor the last digits of a score."""
    rounds = [
        (one.text, one.words, one.drafters, one.winner, [(c.text, c.ends) for c in one.candidates])
        for one in answer.rounds
    ]
    return answer.text, rounds, answer.finish_reason, ids(answer)


def ids(answer: Answer) -> dict[str, Any]:
    return {name: usage.token_ids for name, usage in answer.usage.items()}


def greedy(one: LocalMember, name: str, prompt: str, count: int) -> tuple[list[int], bool]:
    """What `generate` gives up to the first end token, and whether it came."""
    model: Any = family(name, 1)[0]
    ids = Text(family(name, 1)[1]).raw_prompt(prompt)
    given = torch.tensor([ids])
    made = model.generate(
        given,
        attention_mask=torch.ones_like(given),
        max_new_tokens=count,
        do_sample=False,
        eos_token_id=sorted(one.end_ids),
        pad_token_id=0,
    )
    new = made[0, len(ids) :].tolist()
    ended = new[-1] in one.end_ids
    return new[:-1] if ended else new, ended


@pytest.mark.parametrize("name", FAMILIES)
def test_one_member_without_branches_gives_the_ids_of_greedy_generate(name: str) -> None:
    """Ids are those of `generate` but for the last ones that leave a character unfinished."""
    one, text = member(name), Text(family(name, 1)[1])
    for prompt in PROMPTS[::2]:
        wanted, ended = greedy(one, name, prompt, 40)
        answer = Ensemble([one]).generate(prompt, branches=1, max_new_tokens=40)
        assert list(answer.usage[name].token_ids) == text.whole(wanted), prompt
        assert answer.text == text.read(text.whole(wanted))[0]
        assert answer.finish_reason == ("stop" if ended else "length")
        assert all(one.unanimous and len(one.candidates) == 1 for one in answer.rounds)


@pytest.mark.parametrize("name", FAMILIES)
def test_two_copies_without_branches_give_that_too(name: str) -> None:
    """Where `max_new_tokens` cuts a span, the second member reads the cut text as its own ids."""
    one, text = member(name, "one"), Text(family(name, 1)[1])
    two = LocalMember(one.runner, family(name, 1)[1], "two")
    for prompt in PROMPTS[::7]:
        wanted, ended = greedy(one, name, prompt, 40)
        answer = Ensemble([one, two]).generate(prompt, branches=1, max_new_tokens=40)
        first, second = (list(usage.token_ids) for usage in answer.usage.values())
        assert first == text.whole(wanted), prompt
        assert all(one.unanimous and one.drafters == ("one", "two") for one in answer.rounds)
        last = len(text.continuation(answer.rounds[-1].text)) + 1
        assert second == first or not ended
        assert second[: len(first) - last] == first[: len(first) - last]
        assert text.read(second)[0] == answer.text or name in ("t5", "qwen2")


def parity(names: dict[str, dict[str, Any]], prompt: str, **settings: Any) -> Answer:
    members = [OracleMember(name, *family(name, 1, **config)) for name, config in names.items()]
    return compare(members, prompt, **settings)[0]


@pytest.mark.parametrize("names", [("gemma3",), ("mistral",), ("mistral", "gemma3")])
@pytest.mark.parametrize("window", [3, 9])  # 3: shorter than many drafts too
def test_beyond_the_sliding_window_equals_the_oracle(names: tuple[str, ...], window: int) -> None:
    config = {"sliding_window": window}
    answer = parity(dict.fromkeys(names, config), LONG, max_new_tokens=12, branches=4)
    assert all(usage.prompt_tokens > 64 for usage in answer.usage.values())


@pytest.mark.parametrize("window", [12, 17, 32])
@pytest.mark.parametrize("branches", [1, 3])
def test_a_full_window_ends_the_answer_and_equals_the_oracle(window: int, branches: int) -> None:
    config: dict[str, Any] = {"max_position_embeddings": window, "eos_bias": -9.0}
    for names in ({"gpt2": config}, {"llama": {"eos_bias": -9.0}, "gpt2": config}):
        answer = parity(names, "The quick", branches=branches, max_new_tokens=99)
        usage = answer.usage["gpt2"]
        assert answer.finish_reason == "length"
        assert window - 3 <= usage.prompt_tokens + usage.committed_tokens <= window


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_the_first_member_counts_max_new_tokens(count: int) -> None:
    ensemble = Ensemble([member("llama", eos_bias=-9.0), member("gpt2", eos_bias=-9.0)])
    answer = ensemble.generate("The quick", max_new_tokens=count)
    assert answer.finish_reason == "length"
    first = answer.usage["llama"]
    assert 0 <= count - first.committed_tokens < 4  # an unfinished character is left off
    assert Text(family("llama", 1)[1]).read(first.token_ids) == (answer.text, False)
    assert ensemble.generate("The quick", max_new_tokens=20).text.startswith(answer.text)


def test_a_temperature_repeats_with_its_seed_and_differs_with_another() -> None:
    def texts(seed: int) -> list[str]:
        settings: dict[str, Any] = {"temperature": 5.0, "seed": seed, "max_new_tokens": 10}
        return [trio().generate(prompt, **settings).text for prompt in PROMPTS[:2]]

    assert texts(1) == texts(1)
    assert len({tuple(texts(seed)) for seed in range(3)}) > 1


def test_weights_decide_who_wins() -> None:
    for alone in ("llama", "gpt2", "gemma3"):
        weights = [float(name == alone) for name in ("llama", "gpt2", "gemma3")]
        answer = trio().generate(PROMPTS[0], weights=weights, max_new_tokens=12)
        for one in answer.rounds:
            if one.scored:
                scores = [c.scores.get(alone, math.inf) for c in one.candidates]
                assert one.winner == scores.index(min(scores))
                assert [c.score for c in one.candidates] == pytest.approx(scores)
    texts = {trio().generate(PROMPTS[0], weights=w).text for w in [(1, 0, 0), (0, 1, 0), (1, 1, 1)]}
    assert len(texts) > 1


def refuse(*_: Any) -> None:
    raise MemoryError("out of memory")


@pytest.mark.parametrize("way", ["close", "throw", "forward", "forget"])
def test_a_stream_cut_short_leaves_the_ensemble_and_other_streams_as_new(way: str) -> None:
    ensemble = trio()
    alone = facts(trio().generate(PROMPTS[3], max_new_tokens=20))
    other = ensemble.stream(PROMPTS[3], max_new_tokens=20)
    begun = [next(other)]
    stream: Any = ensemble.stream(PROMPTS[5], max_new_tokens=64)
    words = 0
    while words < 3:
        words += len(next(stream).words)
    if way == "close":
        stream.close()
    elif way == "throw":
        with pytest.raises(KeyError):
            stream.throw(KeyError("from outside"))
    elif way == "forward":
        handle = family("gpt2", 1)[0].register_forward_pre_hook(refuse)
        try:
            with pytest.raises(MemoryError):
                list(stream)
        finally:
            handle.remove()
    del stream
    assert facts(ensemble.generate(PROMPTS[3], max_new_tokens=20)) == alone
    assert facts(Answer.fold([*begun, *other])) == alone


def test_threads_give_the_answers_they_give_alone() -> None:
    ensemble = trio()
    alone = [facts(trio().generate(p, max_new_tokens=16)) for p in PROMPTS[:3]]
    with ThreadPoolExecutor(2) as pool:
        answers = pool.map(lambda p: ensemble.generate(p, max_new_tokens=16), PROMPTS[:3])
        assert [facts(answer) for answer in answers] == alone


def test_answers_pickle_and_turn_into_json() -> None:
    answer = trio().generate(PROMPTS[0], max_new_tokens=12)
    assert pickle.loads(pickle.dumps(answer)) == answer
    read = json.loads(json.dumps(dataclasses.asdict(answer)))
    assert "".join(one["text"] for one in read["rounds"]) == read["text"] == answer.text
    usage = answer.usage["gpt2"]
    assert tuple(read["usage"]["gpt2"]["token_ids"]) == usage.token_ids
    assert set(usage.seconds) == {"prefill", "draft", "score", "commit"}
    with pytest.raises(ValueError, match="not read to its end"):
        Answer.fold(answer.rounds[:-1])
