"""Several prompts, each answered as if it were alone.

LangChain's base class hands all prompts to the first one's run manager, and lets one error fail
every row of a batch. Here each prompt has its own callbacks, result and error. This module knows
nothing of ensembles.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Coroutine, Sequence
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseLLM, LanguageModelInput
from langchain_core.outputs import LLMResult, RunInfo
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ContextThreadPoolExecutor, get_config_list

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

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[str]:
        """Answer each input with its own configuration, in order.

        One after the other, unless the configuration's `max_concurrency` asks for threads. With
        `return_exceptions` a row that fails is its exception; else the first error is raised.
        """
        configs = get_config_list(config, len(inputs))

        def row(one: LanguageModelInput, own: RunnableConfig) -> str:
            try:
                return self.invoke(one, own, **kwargs)
            except Exception as error:
                if not return_exceptions:
                    raise
                return cast("str", error)  # as the base class types it

        workers = _concurrency(configs)
        if workers == 1:
            return [row(one, own) for one, own in zip(inputs, configs, strict=True)]
        with ContextThreadPoolExecutor(max_workers=workers) as executor:
            return list(executor.map(row, inputs, configs))

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[str]:
        """As `batch`; an error that is raised, or cancelling, stops every row first."""
        configs = get_config_list(config, len(inputs))
        gate = asyncio.Semaphore(_concurrency(configs))

        async def row(one: LanguageModelInput, own: RunnableConfig) -> str:
            async with gate:
                return await self.ainvoke(one, own, **kwargs)

        rows = [row(one, own) for one, own in zip(inputs, configs, strict=True)]
        return await _gather(rows, return_exceptions)


def _concurrency(configs: Sequence[RunnableConfig]) -> int:
    """How many rows may run at once; the first row's configuration says so, as in LangChain."""
    return (configs[0].get("max_concurrency") or 1) if configs else 1


async def _gather(rows: Sequence[Coroutine[Any, Any, str]], return_exceptions: bool) -> list[str]:
    """Gather rows; leave none running where one raises or the gathering is cancelled."""
    tasks = [asyncio.create_task(row) for row in rows]
    try:
        done = await asyncio.gather(*tasks, return_exceptions=return_exceptions)
    except BaseException:
        for task in tasks:
            if not task.cancelling():  # else it is closing its decoder: let it
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    return cast("list[str]", done)
