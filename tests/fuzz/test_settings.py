"""Fuzzing of settings and member specifications; see fuzz_running for how many cases."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adafuse import DecodingConfig, Ensemble, LoadError, MemberSpec
from adafuse.constraints.constraint import read_constraint
from adafuse.errors import ConfigError
from adafuse.loading.sources import model_source, tokenizer_source
from adafuse.spec import as_spec
from fuzz_asking import GRAMMARS, NAMES, REGEXES, SCHEMAS, SETTINGS, SPECS
from fuzz_running import ends_well, fuzzed
from fuzz_values import ANY, maybe


def test_fuzz_knows_every_setting() -> None:
    assert set(SETTINGS) == {one.name for one in fields(DecodingConfig)}


@fuzzed(0.15, 100)
@given(st.one_of(maybe({}, SETTINGS, often=3), maybe({}, SETTINGS, often=50)))
def test_fuzz_configurations(given_: dict[str, Any]) -> None:
    with ends_well():
        config = DecodingConfig().override(**{str(key): one for key, one in given_.items()})
        hash(config.stop)
        assert repr(config)


@fuzzed(0.1, 100)
@given(st.sampled_from(sorted(SETTINGS)), ANY)
def test_fuzz_one_setting_that_is_anything(name: str, value: Any) -> None:
    with ends_well():
        DecodingConfig(**{name: value})


@fuzzed(0.15, 100)
@given(SPECS)
def test_fuzz_member_specifications(given_: Any) -> None:
    with ends_well():
        spec = as_spec(given_)
        assert isinstance(spec, MemberSpec)
        assert repr(spec)


@fuzzed(0.075, 50)
@given(NAMES, NAMES)
def test_fuzz_names_of_models(name: str, tokenizer: str) -> None:
    with ends_well():
        spec = MemberSpec(name, tokenizer=tokenizer)
        source = model_source(spec, spec.model)
        assert source.place
        tokenizer_source(spec, source)


@fuzzed(0.025, 20)
@given(st.lists(SPECS, max_size=2))
def test_fuzz_loading(given_: list[Any]) -> None:
    with ends_well():
        Ensemble.load(given_)
        pytest.fail("nothing of this can be loaded")


@pytest.mark.parametrize(
    ("name", "values"), [("regex", REGEXES), ("grammar", GRAMMARS), ("json_schema", SCHEMAS)]
)
def test_fuzz_constraints(name: str, values: st.SearchStrategy[Any]) -> None:
    kinds = []

    @fuzzed(0.025, 30)
    @given(values)
    def check(value: Any) -> None:
        with ends_well():
            made = read_constraint(DecodingConfig(**{name: value}))
            assert made is not None
            kinds.append(type(made))

    check()
    assert kinds  # some can be enforced


def test_fuzz_errors_of_loading_are_of_its_kinds() -> None:
    with pytest.raises((ConfigError, LoadError)):
        Ensemble.load(["../../etc/passwd"])
