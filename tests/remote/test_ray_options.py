"""What a member may ask of a cluster; it is read, and refused, without Ray."""

import sys
from typing import Any

import pytest

from adafuse import Ensemble, MemberSpec
from adafuse.errors import ConfigError, MissingExtraError
from adafuse_integrations.langchain import AdaFuseLLM


def test_options_are_filled_in() -> None:
    spec = MemberSpec("m", ray={"num_gpus": 0.5, "resources": {"big": 1}, "replicas": 2})
    assert spec.ray == {
        "replicas": 2,
        "num_cpus": 1,
        "num_gpus": 0.5,
        "resources": {"big": 1},
        "max_concurrency": 16,
        "max_restarts": -1,
        "lease": 600.0,
        "start_timeout": 600.0,
    }
    assert MemberSpec("m", ray=spec.ray) == spec
    assert MemberSpec("m").ray is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (2, "ray must be a mapping"),
        ({"num_gpu": 1}, r"unknown ray option of a member 'num_gpu'; did you mean 'num_gpus'"),
        ({"replicas": 0}, "ray replicas must be a whole number of at least 1"),
        ({"max_restarts": -2}, "at least -1"),
        ({"num_gpus": -1}, "ray num_gpus must be a finite number"),
        ({"num_gpus": 1.5}, r"ray num_gpus above 1 must be whole, not 1\.5"),
        ({"resources": ["big"]}, "ray resources must be numbers by name"),
        ({"resources": {"GPU": 1}}, "num_cpus and num_gpus are fields of their own"),
        ({"resources": {"big": "1"}}, "ray resource 'big' must be a finite number"),
        ({"lease": 0}, "ray lease must be a number of seconds above 0"),
        ({"start_timeout": float("inf")}, "ray start_timeout must be a number of seconds"),
    ],
)
def test_what_is_wrong_is_named(given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Ensemble.load([{"model": "m", "ray": given}], backend="ray")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"backend": "spark"}, "backend must be one of 'local', 'ray', not 'spark'"),
        ({"address": "auto"}, "address is for backend 'ray'"),
        ({"backend": "ray", "address": ""}, "address must be a non-empty string"),
    ],
)
def test_a_wrong_backend_is_refused_before_anything_is_loaded(
    asked: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        Ensemble.load(["no/such/folder"], **asked)
    with pytest.raises(ValueError, match=r"backend|address"):
        AdaFuseLLM(models=["no/such/folder"], **asked)


def test_ray_options_are_refused_in_process() -> None:
    with pytest.raises(ConfigError, match="'m' has ray options; they are for backend 'ray'"):
        Ensemble.load([{"model": "m", "ray": {"replicas": 2}}])


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "adafuse.remote.ray", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"backend 'ray' needs an extra.*adafuse\[ray\]"):
        Ensemble.load(["no/such/folder"], backend="ray")
