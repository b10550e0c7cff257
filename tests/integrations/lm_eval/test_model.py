"""The adapter to lm-eval: the numbers of the harness's own model, and what an ensemble adds."""

import copy
import logging
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("lm_eval")

from lm_eval.models.huggingface import HFLM

from adafuse import AdaFuseWarning, ConfigError, Ensemble, PromptError
from adafuse.local.member import LocalMember
from adafuse.testing import ScriptedMember
from adafuse_integrations.lm_eval import AdaFuseLM
from families import FAMILIES, family
from harness_models import CHAT, CONTEXTS, PAIRS, ExactHFLM, alone, ask, member, same_likelihoods


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_member_alone_has_the_likelihoods_of_the_harness(name: str) -> None:
    theirs = HFLM(pretrained=family(name, 1)[0], tokenizer=copy.deepcopy(family(name, 1)[1]))
    ours = alone(name)
    same_likelihoods(ask(ours, "loglikelihood", PAIRS), ask(theirs, "loglikelihood", PAIRS))
    texts = [("The quick brown fox jumps. " * count,) for count in (0, 1, 10, 80)]
    expected = ask(theirs, "loglikelihood_rolling", texts)
    assert ask(ours, "loglikelihood_rolling", texts) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("name", sorted(set(FAMILIES) - {"t5"}))  # it puts an end in front
def test_a_member_alone_answers_as_the_harness(name: str, batch_size: int) -> None:
    kinds: list[dict[str, Any]] = [
        {"until": ["\n\n"], "max_gen_toks": 24, "do_sample": False, "temperature": 0.0},
        {"until": "e", "max_gen_toks": 24, "top_p": 0.9},
        {"until": [], "max_gen_toks": 40, "num_beams": 1},
    ]
    asked = [(context, kind) for context in CONTEXTS for kind in kinds]
    lm = alone(name, batch_size=batch_size)
    with pytest.warns(AdaFuseWarning, match="lost their first tokens"):  # "word " * 800
        found = ask(lm, "generate_until", asked)
    assert found == ask(ExactHFLM(member(name)), "generate_until", asked)
    assert any(found)


def test_a_byte_level_member_answers_as_the_harness_character_by_character() -> None:
    theirs = HFLM(pretrained=family("gpt2", 1)[0], tokenizer=copy.deepcopy(family("gpt2", 1)[1]))
    asked = [(context, {"until": ["\n\n"], "max_gen_toks": 24}) for context in CONTEXTS]
    assert ask(alone("gpt2"), "generate_until", asked) == ask(theirs, "generate_until", asked)


@pytest.mark.parametrize("name", ["llama3", "qwen2", "mistral"])
def test_a_member_alone_reads_conversations_as_the_harness(name: str) -> None:
    theirs, ours = ExactHFLM(member(name)), alone(name)
    begun = [*CHAT[0], {"role": "assistant", "content": "Paris is in"}]
    histories = [(CHAT[0], True), (CHAT[1], True), (begun, False)]
    if name == "mistral":  # its template puts a blank before an assistant's text
        histories.pop()
    for history, new in histories:
        contexts = [lm.apply_chat_template(history, new) for lm in (theirs, ours)]
        rows = [[(context, text) for text in ("Paris", "Yes, sir")] for context in contexts]
        same_likelihoods(ask(ours, "loglikelihood", rows[1]), ask(theirs, "loglikelihood", rows[0]))
        asked = [[(context, {"until": ["\n"], "max_gen_toks": 16})] for context in contexts]
        found = ask(ours, "generate_until", asked[1])
        assert found == ask(theirs, "generate_until", asked[0])


def test_an_ensemble_has_the_weighted_mean_of_its_members() -> None:
    names = ["llama3", "gemma3"]
    one, two = (ask(alone(name), "loglikelihood", PAIRS) for name in names)
    lm = AdaFuseLM(Ensemble([member(name) for name in names]), weights="3+1")
    for text, a, b in zip(ask(lm, "loglikelihood", PAIRS), one, two, strict=True):
        assert text == (pytest.approx(0.75 * a[0] + 0.25 * b[0], abs=1e-3), a[1] and b[1])
    rolled = [ask(alone(name), "loglikelihood_rolling", [("Once.",)])[0] for name in names]
    found = ask(lm, "loglikelihood_rolling", [("Once.",)])[0]
    assert found == pytest.approx(0.75 * rolled[0] + 0.25 * rolled[1])


def test_a_text_is_greedy_if_all_members_with_a_weight_would_write_it() -> None:
    context, limit = "Once upon a time there", {"until": [], "max_gen_toks": 2}
    (text,) = ask(alone("gpt2"), "generate_until", [(context, limit)])
    twins = [member("gpt2"), LocalMember(*family("gpt2", 1), "twin"), member("qwen2")]

    def greedy(weights: tuple[float, ...]) -> Any:
        lm = AdaFuseLM(Ensemble(twins), weights=weights)
        return ask(lm, "loglikelihood", [(context, text)])[0][1]

    assert greedy((1, 1, 0))
    assert not greedy((1, 1, 1))


def test_members_elsewhere_answer_but_have_no_likelihoods() -> None:
    pair = [member("gpt2"), ScriptedMember(" Paris.", name="far")]
    lm = AdaFuseLM(Ensemble(pair), max_new_tokens=4)
    with pytest.raises(ConfigError, match="'far' is a ScriptedMember"):
        ask(lm, "loglikelihood", PAIRS[:1])
    assert ask(AdaFuseLM(Ensemble(pair), weights=[1, 0]), "loglikelihood", PAIRS[:1])
    assert ask(lm, "generate_until", [("France:", {"until": ["\n"]})])
    context = lm.apply_chat_template([*CHAT[0], {"role": "assistant", "content": "In"}], False)
    with pytest.raises(PromptError, match="begun answer"):
        ask(lm, "generate_until", [(context, {"until": []})])


def test_members_without_a_template_go_on_behind_a_blank() -> None:
    lm = alone("gemma3")
    found = ask(lm, "loglikelihood", [(lm.apply_chat_template(CHAT[0]), "Paris")])
    plain = ("User: Where is Paris?\n\nAssistant:", " Paris")
    same_likelihoods(found, ask(lm, "loglikelihood", [plain]))


def test_what_a_tokenizer_cannot_hold_is_told() -> None:
    with pytest.warns(AdaFuseWarning, match="cannot hold 1 texts exactly"):
        ask(alone("t5"), "loglikelihood", [("A tab", "\tbehind")])
    with pytest.warns(AdaFuseWarning, match="1 contexts spell special tokens"):
        ask(alone("qwen2"), "generate_until", [("a<|im_end|>b", {"until": [], "max_gen_toks": 2})])
    with pytest.raises(PromptError, match="is empty"):
        ask(alone("gpt2"), "loglikelihood", [("a", "")])
    with pytest.raises(PromptError, match="no token of its own"):
        ask(alone("t5"), "loglikelihood", [("日本語の", "テキスト")])
    with pytest.raises(ConfigError, match="no context would be left"):
        ask(alone("gpt2"), "generate_until", [("a", {"until": [], "max_gen_toks": 512})])
