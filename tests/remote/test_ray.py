"""Members as actors on a cluster of two nodes: the answers of one process; what dies comes back.

The tests are in order: the cluster and its actors take their time to start, and the last ones take
them apart.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from adafuse import AdaFuseWarning, Answer, Ensemble, PromptError
from adafuse.errors import ConfigError, LoadError, MemberLostError, ModelNotFoundError
from constrained_cases import PERSON
from ray_cluster import actors, save, two_nodes
from remote_members import CHAT, TOOL
from speculation_cases import same
from waiting import PATIENCE, until

pytest.importorskip("ray", reason="the extra 'ray' is not installed")

PROMPTS = [f"{number} bottles of" for number in range(16)]
SMALL = {"num_cpus": 0.25}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    with two_nodes() as both:
        yield both


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return save(tmp_path_factory.mktemp("models"), ["llama", "gpt2"])


@pytest.fixture(scope="module")
def here(folders: dict[str, str]) -> Ensemble:
    return Ensemble.load(list(folders.values()))


@pytest.fixture(scope="module")
def there(nodes: Any, folders: dict[str, str]) -> Iterator[Ensemble]:
    """The first member on the first node; of the second a replica on each."""
    asked = {"llama": {"resources": {"one": 1}}, "gpt2": {"resources": {"slot": 1}, "replicas": 2}}
    specs = [{"model": folders[name], "ray": {**SMALL, **own}} for name, own in asked.items()]
    with Ensemble.load(specs, backend="ray", address=nodes[0].address) as ensemble:
        yield ensemble


def pid_of(ensemble: Ensemble, member: int, replica: int = 0) -> int:
    """The process of an actor."""
    import ray

    remote: Any = ensemble.members[member]
    handle = remote._transports[replica]._handle
    return int(ray.get(handle.__ray_call__.remote(lambda actor: os.getpid())))


def replicas(ensemble: Ensemble) -> list[Any]:
    """Those of the second member."""
    remote: Any = ensemble.members[1]
    return list(remote._replicas.in_order())


def both_answer(ensemble: Ensemble) -> bool:
    """Whether neither replica is dead, or asked last since it was."""
    try:
        for one in replicas(ensemble):
            one.transport.call("describe", {}, 10)
    except (ConnectionError, TimeoutError):
        return False
    return all(one.rests_until < time.monotonic() for one in replicas(ensemble))


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z"


def test_members_are_where_they_ask_to_be(there: Ensemble) -> None:
    llama, gpt2 = ([place.split("/")[1] for place in m.places] for m in there.members)  # type: ignore[attr-defined]
    assert len(set(gpt2)) == 2  # one slot on each node
    assert llama[0] in gpt2
    assert len(actors()) == 3


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"speculation": False, "branches": 1},
        {"prompt_exponent": 2.0, "rule": "paper"},
        {"json_schema": PERSON, "max_new_tokens": 50},
        {"tools": [TOOL], "tool_choice": "any", "max_new_tokens": 50},
    ],
    ids=["plain", "alone", "by prompt", "schema", "tools"],
)
def test_answers_are_those_in_process(
    asked: dict[str, Any], here: Ensemble, there: Ensemble
) -> None:
    asked = {"max_new_tokens": 20, **asked}
    one, other = here.generate(CHAT, **asked), there.generate(CHAT, **asked)
    assert same(one, other) == len(one.rounds)


def test_a_batch_is_answered_by_both_replicas(here: Ensemble, there: Ensemble) -> None:
    found = there.generate_batch(PROMPTS[:8], max_new_tokens=12)
    for prompt, answer in zip(PROMPTS, found, strict=False):
        assert same(here.generate(prompt, max_new_tokens=12), answer)


def test_refusals_come_back_as_they_are(there: Ensemble) -> None:
    with pytest.raises(PromptError, match="'llama', whose context window is 512"):
        there.generate("one two three " * 400)


def test_both_frameworks_take_members_on_a_cluster(
    nodes: Any, folders: dict[str, str], here: Ensemble
) -> None:
    from adafuse_integrations import langchain, llama_index

    asked: dict[str, Any] = {
        "models": [{"model": folders["gpt2"], "ray": SMALL}],
        "backend": "ray",
        "address": nodes[0].address,
        "max_tokens": 12,
        "prompt_format": "raw",
    }
    chain, index = langchain.AdaFuseLLM(**asked), llama_index.AdaFuseLLM(**asked)
    chat = langchain.ChatAdaFuse(**{n: one for n, one in asked.items() if n != "prompt_format"})
    alone = here.only(["gpt2"])
    wanted = alone.generate("Hello", max_new_tokens=12).text
    assert chain.invoke("Hello") == wanted
    assert index.complete("Hello").text == wanted
    asking = [{"role": "user", "content": "Hello"}]
    assert chat.invoke("Hello").content == alone.generate(asking, max_new_tokens=12).text
    member: Any = here.members[1]
    assert chain.get_num_tokens("Hello  world") == member.count_tokens("Hello  world")
    assert index.metadata.context_window == 512
    assert len(actors()) == 4  # the three models share one
    del chain, index, chat
    until(lambda: len(actors()) == 3)


def test_killing_one_of_two_replicas_under_load_loses_no_call(
    here: Ensemble, there: Ensemble
) -> None:
    wanted = [here.generate(prompt, max_new_tokens=12) for prompt in PROMPTS]
    answered = []

    def ask(prompt: str) -> Answer:
        answer = there.generate(prompt, max_new_tokens=12)
        answered.append(prompt)
        return answer

    pid = pid_of(there, 1)
    with ThreadPoolExecutor(8) as pool:
        rows = [pool.submit(ask, prompt) for prompt in PROMPTS]
        until(lambda: answered)
        os.kill(pid, signal.SIGKILL)
        found = [row.result(PATIENCE) for row in rows]
    for one, other in zip(wanted, found, strict=True):
        assert same(one, other)
    assert is_gone(pid)
    assert until(lambda: len(actors()) == 3)  # it is started again


def test_the_only_replica_is_lost_and_comes_back(here: Ensemble, there: Ensemble) -> None:
    wanted = here.generate(CHAT, max_new_tokens=20)
    stream = there.stream(CHAT, max_new_tokens=20)
    first = next(stream)
    os.kill(pid_of(there, 0), signal.SIGKILL)
    rounds, lost = [first], None
    try:
        rounds += stream
    except MemberLostError as error:
        lost = error
    if lost is not None:
        assert (lost.member, lost.round_index, lost.committed) == ("llama", 2, first.text)
    else:  # it was back before the call was given up
        assert "".join(one.text for one in rounds) == wanted.text
    with pytest.warns(AdaFuseWarning, match="'llama' failed"):
        answer = there.generate(CHAT, max_new_tokens=20, on_member_error="drop")
    assert [one.member for one in answer.dropped] == ["llama"]

    def back() -> Answer | None:
        try:
            return there.generate(CHAT, max_new_tokens=20)
        except MemberLostError:
            return None

    assert same(wanted, until(back)) == len(wanted.rounds)


def test_a_node_that_is_removed_mid_answer_changes_nothing(
    nodes: Any, here: Ensemble, there: Ensemble
) -> None:
    cluster, second = nodes
    asked: dict[str, Any] = {"max_new_tokens": 30}
    wanted = [here.generate(prompt, **asked) for prompt in PROMPTS[:4]]
    gate = threading.Barrier(5)
    until(lambda: both_answer(there))

    def ask(prompt: str) -> Answer:
        stream = there.stream(prompt, **asked)
        first = next(stream)
        gate.wait(PATIENCE)
        return Answer.fold([first, *stream])

    with ThreadPoolExecutor(4) as pool:
        rows = [pool.submit(ask, prompt) for prompt in PROMPTS[:4]]
        gate.wait(PATIENCE)
        assert min(one.sessions for one in replicas(there)) > 0
        cluster.remove_node(second, allow_graceful=False)
        found = [row.result(120) for row in rows]
    for one, other in zip(wanted, found, strict=True):
        assert same(one, other) == len(one.rounds)
    assert same(wanted[0], there.generate(PROMPTS[0], **asked))


def test_what_cannot_be_loaded_is_an_error_and_leaves_no_actor(
    nodes: Any, folders: dict[str, str], tmp_path: Path
) -> None:
    asked: dict[str, Any] = {"backend": "ray", "address": nodes[0].address}
    before = len(actors())
    with pytest.raises(ModelNotFoundError, match="no model at"):
        Ensemble.load([{"model": f"{tmp_path}/missing", "ray": SMALL}], **asked)
    greedy = {"resources": {"moon": 1}, "num_cpus": 0.5, "start_timeout": 1}
    with pytest.raises(LoadError, match=r"'gpt2': 1 of 1 .* asks for 0\.5 CPU, 1 moon, and free"):
        Ensemble.load([{"model": folders["gpt2"], "ray": greedy}], **asked)
    with pytest.raises(ConfigError, match="'gpt2': its specification cannot be sent"):
        Ensemble.load([{"model": folders["gpt2"], "tokenizer_kwargs": {"a": object()}}], **asked)
    with pytest.raises(ConfigError, match=r"is connected to the Ray cluster at .*ray\.shutdown"):
        Ensemble.load([folders["gpt2"]], backend="ray", address="192.0.2.1:1")
    until(lambda: len(actors()) <= before)


def test_nothing_is_left_once_it_is_closed(there: Ensemble) -> None:
    assert actors()
    there.close()
    until(lambda: not actors())
    there.close()
    with pytest.raises(MemberLostError):
        there.generate("Hello", max_new_tokens=2)
