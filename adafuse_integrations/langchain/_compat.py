"""Private parts of LangChain that these classes rest on, as langchain-core 1.7 has them.

Read from version 1.7.2; whoever allows another one reads them again. Knows nothing of ensembles.

    BaseLLM._generate_helper       calls `_generate` for the prompts that no cache holds
    BaseLLM._serialized, also of BaseChatModel: how callbacks are told what a model is, computed
                                   once per object
    utils._merge.merge_dicts       adds up generation infos
    load.mapping and load.load     the list of classes that `load` builds, and copies of it
"""

from __future__ import annotations

import asyncio
import sys
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseLLM
from langchain_core.load import mapping
from langchain_core.load.serializable import Serializable
from langchain_core.outputs import Generation, LLMResult, RunInfo
from langchain_core.utils._merge import merge_dicts

__all__ = ["PromptwiseLLM", "describe_as", "forget_description", "make_loadable", "merge_dicts"]


def describe_as(copy: Any, model: Any) -> None:
    """Let callbacks be told of a copy what they are told of the model; computed once for both."""
    copy.__dict__["_serialized"] = model._serialized


def forget_description(copy: Any) -> None:
    """Let what callbacks are told of a copy be computed for it."""
    copy.__dict__.pop("_serialized", None)


def make_loadable(*classes: type[Serializable]) -> None:
    """Let `load(…, allowed_objects="all")` build these classes.

    Whoever loads must still name our package in `valid_namespaces`, or the classes themselves in
    `allowed_objects`. What is loaded may name any model: load only what you trust.
    """
    paths = {tuple(class_.lc_id()): tuple(class_.lc_id()) for class_ in classes}
    mapping.SERIALIZABLE_MAPPING.update(paths)
    loader = sys.modules.get("langchain_core.load.load")  # has copied that list, if imported
    getattr(loader, "ALL_SERIALIZABLE_MAPPINGS", {}).update(paths)
    getattr(loader, "_default_class_paths_cache", {}).clear()


class PromptwiseLLM(BaseLLM):
    """A completion model that answers each prompt on its own: callbacks, result and error.

    LangChain's class hands all prompts to the first one's run manager.
    """

    @abstractmethod
    def _result(self, generations: Sequence[Generation]) -> LLMResult:
        """The result that has an answer for each prompt."""

    def _joined(self, results: Sequence[LLMResult], run_managers: Sequence[Any]) -> LLMResult:
        joined = self._result([result.generations[0][0] for result in results])
        joined.run = [RunInfo(run_id=manager.run_id) for manager in run_managers] or None
        return joined

    def _generate_helper(
        self,
        prompts: list[str],
        stop: list[str] | None,
        run_managers: list[CallbackManagerForLLMRun],
        *,
        new_arg_supported: bool,
        **kwargs: Any,
    ) -> LLMResult:
        results = []
        for at, (prompt, manager) in enumerate(zip(prompts, run_managers, strict=True)):
            try:
                result = self._generate([prompt], stop, manager, **kwargs)
            except BaseException as error:
                for unanswered in run_managers[at:]:
                    unanswered.on_llm_error(error, response=LLMResult(generations=[]))
                raise
            manager.on_llm_end(result)
            results.append(result)
        return self._joined(results, run_managers)

    async def _agenerate_helper(
        self,
        prompts: list[str],
        stop: list[str] | None,
        run_managers: list[AsyncCallbackManagerForLLMRun],
        *,
        new_arg_supported: bool,
        **kwargs: Any,
    ) -> LLMResult:
        results = []
        for at, (prompt, manager) in enumerate(zip(prompts, run_managers, strict=True)):
            try:
                result = await self._agenerate([prompt], stop, manager, **kwargs)
            except BaseException as error:
                empty = LLMResult(generations=[])
                failed = (m.on_llm_error(error, response=empty) for m in run_managers[at:])
                await asyncio.gather(*failed)
                raise
            await manager.on_llm_end(result)
            results.append(result)
        return self._joined(results, run_managers)
