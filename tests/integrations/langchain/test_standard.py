"""LangChain's standard suites, unit and integration, on scripted members."""

from __future__ import annotations

from typing import Any

from langchain_tests.unit_tests import ChatModelUnitTests

from adafuse import MemberSpec
from adafuse_integrations.langchain import ChatAdaFuse
from langchain_suite import ChatSuite, scripted_pair


class TestUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[ChatAdaFuse]:
        return ChatAdaFuse

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"models": ["org/model-a", {"model": "folder/model-b", "weight": 0.5}]}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        environment = {
            "ADAFUSE_MODELS": "org/model-a, folder/model-b",
            "ADAFUSE_DEVICE": "cpu",
            "ADAFUSE_DTYPE": "bfloat16",
        }
        specs = (MemberSpec("org/model-a"), MemberSpec("folder/model-b"))
        return environment, {}, {"models": specs, "device": "cpu", "dtype": "bfloat16"}


class TestIntegration(ChatSuite):
    ensemble = scripted_pair()
    override = "second"


class TestIntegrationByCalls(ChatSuite):
    """Structured output by function calling."""

    ensemble = scripted_pair()
    override = "second+first"

    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        return {"method": "function_calling"}
