"""Settings and member specifications refuse what they do not know, in one line that names it."""

import dataclasses
import math
from typing import Any

import pytest
import torch

from adafuse import ConfigError, DecodingConfig, Ensemble, MemberSpec
from adafuse.spec import MAX_MEMBERS, as_spec
from adafuse.testing import ScriptedMember

NAN, INF, HUGE = math.nan, math.inf, 10**400

BAD_VALUES: dict[str, tuple[Any, ...]] = {
    "margin_threshold": (-0.01, 1.01, NAN, INF, "0.5", None, True, HUGE, [0.5]),
    "max_words": (0, -1, 1.0, 2.5, "3", None, True, NAN),
    "branches": (0, -3, 3.0, "3", False, INF),
    "max_word_tokens": (0, 16.0, None, True, "16"),
    "max_new_tokens": (0, -1, 1.5, None, True, INF, "256"),
    "temperature": (-0.1, NAN, INF, -INF, "1", None, True, HUGE),
    "rule": ("", "Words", None, 1, ["words"]),
    "combine": ("sum", None, 0, True),
    "prompt_exponent": (-1, NAN, INF, "1", None, True),
    "pool_stops": (1, "yes", None),
    "top_p": (0, -0.1, 1.01, NAN, "1", None, True),
    "repetition_penalty": (0, 0.0, -1.0, NAN, INF, None, "1", True, HUGE),
    "seed": (1.0, "1", True, [1], NAN),
    "stop": ("", ("a", ""), 5, ("a", None), b"end", [b"end"], "\ud83d", ["a", "b\udc00"], {"a"}),
    "weights": (
        (),
        (0, 0),
        (1, -1),
        (1, NAN),
        (1, INF),
        (1, "1"),
        (True, 1),
        (1, None),
        "11",
        1.0,
        {"a": 1.0},
        (HUGE,),
        (1e308, 1e308),  # their sum is no number
        torch.ones(2, 2),
    ),
}
CASES = [(name, value) for name, values in BAD_VALUES.items() for value in values]


def one_line(error: pytest.ExceptionInfo[ConfigError]) -> str:
    message = str(error.value)
    assert message.strip()
    assert len(message.splitlines()) == 1
    return message


def identify(value: Any) -> str:
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in repr(value))[:30]


@pytest.mark.parametrize(("name", "value"), CASES, ids=identify)
def test_a_bad_value_is_a_config_error_that_names_the_setting(name: str, value: Any) -> None:
    with pytest.raises(ConfigError) as built:
        DecodingConfig(**{name: value})
    assert name in one_line(built)
    with pytest.raises(ConfigError) as overridden:
        DecodingConfig().override(**{name: value})
    assert str(overridden.value) == str(built.value)


@pytest.mark.parametrize(("name", "value"), CASES, ids=identify)
def test_a_call_refuses_a_bad_value_before_anything_is_opened(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=name):
        Ensemble([Closed("x")]).stream("prompt", **{name: value})


class Closed(ScriptedMember):
    """A member that nobody may open."""

    def open(self, prompt: Any, config: Any) -> Any:
        raise AssertionError("the member was opened")


def test_a_number_of_weights_that_is_not_that_of_the_members_is_refused_at_once() -> None:
    ensemble = Ensemble([Closed("x")])
    with pytest.raises(ConfigError, match=r"weights has 2 numbers for 1 member"):
        ensemble.stream("prompt", weights=(1, 2))


def test_weights_of_members_must_not_all_be_zero() -> None:
    with pytest.raises(ConfigError, match="weights of the members must not all be 0"):
        Ensemble([ScriptedMember("x", weight=0.0)]).generate("p")
    assert Ensemble([ScriptedMember("x", weight=0.0)]).generate("p", weights=[1]).text == "x"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("margin_treshold", "margin_threshold"),
        ("max_word", "max_words"),
        ("branch", "branches"),
        ("temprature", "temperature"),
        ("max_tokens", "max_new_tokens"),
        ("stops", "stop"),
    ],
)
def test_an_unknown_setting_suggests_the_nearest(given: str, meant: str) -> None:
    with pytest.raises(ConfigError) as error:
        DecodingConfig().override(**{given: 1})
    message = one_line(error)
    assert repr(given) in message
    assert f"did you mean {meant!r}?" in message


def test_an_unknown_setting_that_is_like_no_other_lists_all() -> None:
    with pytest.raises(ConfigError) as error:
        Ensemble([Closed("x")]).stream("p", qqq=1)
    for setting in dataclasses.fields(DecodingConfig):
        assert setting.name in one_line(error)


def test_good_values_are_kept_and_given_one_form() -> None:
    config = DecodingConfig().override(
        margin_threshold=1, weights=[1, 0, 2.5], stop=["a", "b", "a"], seed=-1, temperature=0
    )
    assert config.weights == (1.0, 0.0, 2.5)
    assert config.stop == ("a", "b")
    assert DecodingConfig().override(stop="end").stop == ("end",)
    assert DecodingConfig().override(stop=None).stop == ()
    assert DecodingConfig(margin_threshold=0, repetition_penalty=0.5).branch_count == 1


def test_members_propose_several_words_where_that_changes_answers() -> None:
    """One branch is as good as several where the likeliest wins; draws need more."""
    config = DecodingConfig()
    for settings, count in (
        ({}, 1),
        ({"temperature": 0.5}, 3),
        ({"rule": "paper"}, 3),
        ({"preset": "paper"}, 3),
        ({"temperature": 0.5, "branches": 1}, 1),
        ({"branches": 4}, 4),
        ({"rule": "paper", "branches": None}, 3),
    ):
        assert config.override(**settings).branch_count == count


def test_settings_are_frozen_and_overriding_copies() -> None:
    config = DecodingConfig()
    changed = config.override(branches=5)
    assert (config.branches, changed.branches) == (None, 5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.branches = 4  # type: ignore[misc]


def test_the_defaults_are_those_of_the_specification() -> None:
    assert dataclasses.asdict(DecodingConfig()) == {
        "rule": "words",
        "combine": "mixture",
        "margin_threshold": 0.7,
        "max_words": 3,
        "branches": None,
        "max_word_tokens": 16,
        "weights": None,
        "prompt_exponent": 0.0,
        "pool_stops": True,
        "temperature": 0.0,
        "top_p": 1.0,
        "seed": None,
        "stop": (),
        "max_new_tokens": 256,
        "repetition_guard": True,
        "speculation": True,
        "timeout": None,
        "round_timeout": None,
        "on_member_error": "raise",
        "min_members": 1,
        "repetition_penalty": 1.0,
        "json_schema": None,
        "regex": None,
        "choices": None,
        "grammar": None,
    }


# Members.


def test_a_member_is_a_string_a_mapping_or_a_specification() -> None:
    spec = MemberSpec("org/model", weight=2)
    assert as_spec(spec) is spec
    assert as_spec("org/model") == MemberSpec("org/model")
    assert as_spec({"model": "org/model", "weight": 2}) == spec


@pytest.mark.parametrize("member", [None, 5, ["org/model"], b"org/model", True])
def test_other_members_are_refused(member: Any) -> None:
    with pytest.raises(ConfigError, match="a member is a string, a mapping or a MemberSpec"):
        as_spec(member)


def test_unknown_and_missing_member_fields_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown member field 'wieght'; did you mean 'weight'"):
        as_spec({"model": "m", "wieght": 1})
    with pytest.raises(ConfigError, match="needs 'model'"):
        as_spec({"name": "m"})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", ""),
        ("model", "  "),
        ("model", None),
        ("model", 3),
        ("name", 5),
        ("name", ["a"]),
        ("weight", -1),
        ("weight", NAN),
        ("weight", INF),
        ("weight", True),
        ("weight", "1"),
        ("weight", HUGE),
        ("device", 0),
        ("dtype", 16),
        ("device_map", 3),
        ("revision", 7),
        ("tokenizer", 1),
        ("tokenizer_kwargs", "fast"),
        ("tokenizer_kwargs", None),
        ("chat_template", 5),
        ("chat_template_kwargs", ["x"]),
        ("attn_implementation", "flash_attention_2"),
        ("attn_implementation", None),
        ("trust_remote_code", "no"),
    ],
    ids=identify,
)
def test_a_bad_member_field_is_a_config_error_that_names_it(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as error:
        as_spec({"model": "org/model", field: value})
    assert field in one_line(error)


def test_a_dtype_or_device_of_torch_is_as_good_as_its_name() -> None:
    spec = as_spec({"model": "m", "dtype": torch.bfloat16, "device": torch.device("cuda:1")})
    assert (spec.dtype, spec.device) == ("bfloat16", "cuda:1")


def test_a_device_and_a_device_map_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="device or device_map, not both"):
        MemberSpec("m", device="cpu", device_map="auto")


@pytest.mark.parametrize("count", [0, MAX_MEMBERS + 1])
def test_an_ensemble_has_one_to_eight_members(count: int) -> None:
    members = [ScriptedMember("x", str(at)) for at in range(count)]
    with pytest.raises(ConfigError, match="1 to 8 members"):
        Ensemble(members)
    with pytest.raises(ConfigError, match="1 to 8 members"):
        Ensemble.load(["org/model"] * count)


@pytest.mark.parametrize("models", ["org/model", {"model": "m"}, MemberSpec("m")], ids=identify)
def test_a_single_member_is_given_in_a_list(models: Any) -> None:
    with pytest.raises(ConfigError, match="models must be a list"):
        Ensemble.load(models)


def test_members_need_different_names() -> None:
    with pytest.raises(ConfigError, match="given twice: a"):
        Ensemble([ScriptedMember("x", "a"), ScriptedMember("y", "a"), ScriptedMember("z", "b")])


def test_loading_refuses_bad_settings_before_models_are_looked_for() -> None:
    with pytest.raises(ConfigError, match="margin_threshold"):
        Ensemble.load(["no/such/folder"], margin_threshold=2)
    with pytest.raises(ConfigError, match="unknown setting 'margin'"):
        Ensemble.load(["no/such/folder"], margin=2)
