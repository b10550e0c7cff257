"""Several prompts, each answered as if it were alone.

LangChain's base class hands all prompts to the first one's run manager. Here each prompt has its
own callbacks, result and error. This module knows nothing of ensembles.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseLLM
from langchain_core.outputs import LLMResult, RunInfo

__all__ = ["PromptwiseLLM"]


class PromptwiseLLM(BaseLLM):
    """A completion model that answers each prompt on its own."""

    @abstractmethod
    def _merged(self, results: Sequence[LLMResult]) -> LLMResult:
        """Join the results of single prompts."""

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
        merged = self._merged(results)
        merged.run = [RunInfo(run_id=manager.run_id) for manager in run_managers] or None
        return merged

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
        merged = self._merged(results)
        merged.run = [RunInfo(run_id=manager.run_id) for manager in run_managers] or None
        return merged
