"""Members behind a wire answer as they do in process, and what they say is strings and numbers."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from adafuse import DecodingConfig, Ensemble
from adafuse.decoding.member import Rated, Speculative
from adafuse.errors import (
    AdaFuseError,
    ConfigError,
    ContextWindowError,
    LoadError,
    PromptError,
    UnsupportedTokenizerError,
)
from adafuse.prompting.prompt import read_prompt
from adafuse.testing import ScriptedMember
from constrained_cases import PERSON
from remote_members import CHAT, TOOL, Line, behind_wires, locals_
from speculation_cases import PROMPTS, members, same, settings


@pytest.mark.parametrize("number", range(30))
def test_answers_are_those_in_process(number: int) -> None:
    asked = {**settings(number), "speculation": number % 2 == 0}
    prompt = PROMPTS[number % len(PROMPTS)]
    here = Ensemble(members(number))
    there, _ = behind_wires(members(number))
    one, other = here.generate(prompt, **asked), there.generate(prompt, **asked)
    assert same(one, other)
    for name, used in one.usage.items():
        assert other.usage[name].losses == used.losses
        assert other.usage[name].prompt_tokens == used.prompt_tokens
        assert other.usage[name].replaced_characters == used.replaced_characters


@pytest.mark.parametrize("branches", [1, 3])
@pytest.mark.parametrize("speculation", [True, False])
@pytest.mark.parametrize(
    "asked",
    [
        {"prompt_exponent": 2.0},
        {"combine": "product", "stop": ("e",)},
        {"weights": (0, 1), "margin_threshold": 0.2},
        {"preset": "paper"},
        {"choices": ["a pear", "an apple", "nothing"]},
        {"json_schema": PERSON, "max_new_tokens": 60},
        {"regex": "[0-9]{2,3} (cats|dogs)"},
        {"temperature": 2.0, "seed": 3, "repetition_penalty": 1.2},
    ],
    ids=lambda asked: next(iter(asked)),
)
def test_every_setting_crosses_the_wire(
    asked: dict[str, Any], speculation: bool, branches: int
) -> None:
    asked = {"max_new_tokens": 10, **asked, "speculation": speculation, "branches": branches}
    there, _ = behind_wires(locals_("llama", "gpt2"))
    here = Ensemble(locals_("llama", "gpt2"))
    assert same(here.generate(CHAT, **asked), there.generate(CHAT, **asked))


def test_tools_cross_the_wire() -> None:
    there, _ = behind_wires(locals_("llama3", "gpt2"))
    here = Ensemble(locals_("llama3", "gpt2"))
    for choice in ("any", "auto"):
        asked: dict[str, Any] = {"tools": [TOOL], "tool_choice": choice, "max_new_tokens": 60}
        assert same(here.generate(CHAT, **asked), there.generate(CHAT, **asked))


def test_answers_at_the_same_time_are_those_alone() -> None:
    prompts = [f"{number} bottles of" for number in range(8)]
    here = Ensemble(locals_("qwen2", "gemma3"))
    there, lines = behind_wires(locals_("qwen2", "gemma3", cache=8), replicas=2)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda p: there.generate(p, max_new_tokens=12), prompts))
    for prompt, answer in zip(prompts, found, strict=True):
        assert same(here.generate(prompt, max_new_tokens=12), answer)
    for own in lines:
        opened = [line.calls.count("open") for line in own]
        assert sum(opened) == 8
        assert min(opened) >= 2  # the one with fewest sessions is next
        assert all(line.host is not None and line.host.sessions == 0 for line in own)


def test_a_round_takes_three_calls_at_most() -> None:
    there, lines = behind_wires(locals_("llama", "llama3"))
    answer = there.generate("Hello world", max_new_tokens=24)
    rounds, scored = len(answer.rounds), sum(one.scored for one in answer.rounds)
    for (line,) in lines:
        assert [line.calls.count(one) for one in ("open", "prefill")] == [1, 1]
        assert line.calls.count("draft") == rounds
        assert line.calls.count("score") == scored
        assert line.calls.count("commit") == rounds
        assert line.calls.count("fit") <= 1  # where the answer is cut
        assert line.calls.count("count") == 0


def test_sessions_are_what_the_core_asks_for() -> None:
    there, _ = behind_wires(locals_("llama"))
    session = there.members[0].open(read_prompt("Hello"), DecodingConfig())
    assert isinstance(session, Speculative)
    assert isinstance(session, Rated)
    assert session.place == "llama-0/0"
    session.close()
    session.close()


def test_what_is_counted_is_counted_there() -> None:
    (here,), (there, _) = locals_("llama3"), behind_wires(locals_("llama3"))
    remote: Any = there.members[0]
    prompt = read_prompt(CHAT, tools=[TOOL])
    assert remote.count_tokens("Hello  world") == here.count_tokens("Hello  world")
    assert remote.count_prompt_tokens(prompt) == here.count_prompt_tokens(prompt)
    assert remote.window == here.runner.window == 512


@pytest.mark.parametrize("kind", [ContextWindowError, PromptError, UnsupportedTokenizerError])
def test_refusals_are_the_same_errors(kind: type[AdaFuseError]) -> None:
    asked: dict[str, Any] = {}
    prompt: Any = "one two three " * 400
    names = ["llama"]
    if kind is PromptError:
        prompt = [{"role": "user", "content": "hi", "extra": object()}]
    if kind is UnsupportedTokenizerError:
        prompt, names, asked = "Hello", ["t5"], {"choices": ["a", "b"]}
    there, lines = behind_wires(locals_(*names))
    with pytest.raises(kind) as refused:
        there.generate(prompt, **asked)
    if kind is not PromptError:  # in process a template may leave the object out
        with pytest.raises(kind) as expected:
            Ensemble(locals_(*names)).generate(prompt, **asked)
        assert type(refused.value) is type(expected.value)
        assert str(refused.value) == str(expected.value)
        assert vars(refused.value) == vars(expected.value)
    assert lines[0][0].host is not None
    assert lines[0][0].host.sessions == 0


def test_a_member_of_ones_own_can_be_behind_a_wire() -> None:
    scripts = [
        ScriptedMember("One two three.", "first", confident=False),
        ScriptedMember("One too many.", "second", weight=0.5),
    ]
    here, (there, _) = Ensemble(scripts), behind_wires(scripts)
    assert there.generate("Count.").text == here.generate("Count.").text
    assert [member.weight for member in there.members] == [1.0, 0.5]


def test_another_version_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Line.call

    def older(self: Line, method: str, arguments: Any, timeout: Any) -> Any:
        reply = call(self, method, arguments, timeout)
        reply["value"]["version"] = "0.0.1"
        return reply

    monkeypatch.setattr(Line, "call", older)
    with pytest.raises(LoadError, match=r"'llama-0': llama-0/0 runs adafuse 0\.0\.1.*same version"):
        behind_wires(locals_("llama"))


def test_a_member_that_cannot_count_says_so() -> None:
    class Plain:
        name, weight = "plain", 1.0

        def open(self, prompt: Any, config: Any) -> Any:
            raise NotImplementedError

    there, _ = behind_wires([Plain()])
    remote: Any = there.members[0]
    with pytest.raises(ConfigError, match="'plain' cannot count"):
        remote.count_tokens("text")


def test_reading_ahead_saves_forwards_there_too() -> None:
    passes = {}
    for speculation in (True, False):
        there, _ = behind_wires(locals_("llama", "gpt2"))
        answer = there.generate(CHAT, max_new_tokens=32, speculation=speculation)
        passes[speculation] = sum(used.forward_passes for used in answer.usage.values())
    assert passes[True] < 0.9 * passes[False]


def test_closing_an_ensemble_ends_the_hosts_it_has() -> None:
    there, lines = behind_wires(locals_("llama", "gpt2"), replicas=2)
    with there as same_one:
        assert same_one is there
        assert there.generate("Hello", max_new_tokens=2).text
    assert [line.host for own in lines for line in own] == [None] * 4
    there.close()
    with Ensemble([ScriptedMember("One.")]) as here:  # which has nothing to end
        assert here.generate("Count.").text == "One."
