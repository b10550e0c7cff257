"""Several inputs at once: rows that are decoded together share the forwards of their members.

This module knows nothing of ensembles.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ContextThreadPoolExecutor, get_config_list

__all__ = ["Configs", "ainvoke_rows", "invoke_rows", "queued"]

In = TypeVar("In")
Out = TypeVar("Out")
ROWS = 8
"""Rows decoded at a time unless the configuration says otherwise."""
Configs = RunnableConfig | Sequence[RunnableConfig] | None


def queued(config: Configs, rows: int) -> list[RunnableConfig]:
    """A configuration for each row; they say how many rows run at a time, unless told: eight.

    The first row's configuration decides for all of them, as in LangChain.
    """
    configs = get_config_list(config, rows)
    if configs and not configs[0].get("max_concurrency"):
        configs[0] = {**configs[0], "max_concurrency": ROWS}
    return configs


def _concurrency(configs: Sequence[RunnableConfig]) -> int:
    return (configs[0].get("max_concurrency") or ROWS) if configs else 1


def invoke_rows(
    invoke: Callable[[In, RunnableConfig], Out],
    inputs: Sequence[In],
    config: Configs,
    *,
    return_exceptions: bool,
) -> list[Out]:
    """Answer each input with its own configuration, in order.

    With `return_exceptions` a row that fails is its exception; else the first error is raised.
    """
    configs = queued(config, len(inputs))

    def row(prompt: In, row_config: RunnableConfig) -> Out:
        try:
            return invoke(prompt, row_config)
        except Exception as error:
            if not return_exceptions:
                raise
            return cast("Out", error)  # as LangChain types it

    workers = min(_concurrency(configs), max(len(inputs), 1))
    if workers == 1:
        return [row(*pair) for pair in zip(inputs, configs, strict=True)]
    with ContextThreadPoolExecutor(max_workers=workers) as executor:
        return list(executor.map(row, inputs, configs))


async def ainvoke_rows(
    ainvoke: Callable[[In, RunnableConfig], Awaitable[Out]],
    inputs: Sequence[In],
    config: Configs,
    *,
    return_exceptions: bool,
) -> list[Out]:
    """As `invoke_rows`; an error that is raised, or cancelling, stops every row first."""
    configs = queued(config, len(inputs))
    gate = asyncio.Semaphore(_concurrency(configs))

    async def row(prompt: In, row_config: RunnableConfig) -> Out:
        async with gate:
            return await ainvoke(prompt, row_config)

    rows = [row(*pair) for pair in zip(inputs, configs, strict=True)]
    return await _gather(rows, return_exceptions)


async def _gather(rows: Sequence[Coroutine[Any, Any, Out]], return_exceptions: bool) -> list[Out]:
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
    return cast("list[Out]", done)
