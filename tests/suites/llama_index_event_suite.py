"""The part of the standard suite for LlamaIndex models on events, closed streams, many callers."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler

from adafuse import AnswerTimeoutError
from adafuse_integrations.llama_index import AdaFuseLLM
from llama_index_script import debugging, is_async, is_stream, listening, text_of
from llama_index_suite import MethodSuite, said
from watched_members import run

__all__ = ["EventSuite"]


class EventSuite(MethodSuite):
    """What callbacks and instrumentation are told, and callers that come at once or go away."""

    # --- What is told of it ---

    def test_events(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        manager, ends = debugging()
        llm.callback_manager = manager
        with listening() as events:
            responses = self.ask(llm, method, form)
        kind = "Chat" if method == "chat" else "Completion"
        told = [name for name in events.names if name.startswith("LLM")]
        between = [f"LLM{kind}InProgressEvent"] * (len(responses) if is_stream(form) else 0)
        assert told == [f"LLM{kind}StartEvent", *between, f"LLM{kind}EndEvent"]
        end = next(one for one in events.seen if type(one).__name__ == told[-1])
        assert end.response == responses[-1]
        (payload,) = ends()
        assert payload["response" if method == "chat" else "completion"] == responses[-1]

    def test_exceptions_are_told(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        manager, ends = debugging()
        llm.callback_manager = manager
        with listening() as events, pytest.raises(AnswerTimeoutError) as raised:
            self.ask(llm, method, form, timeout=1e-9)
        (payload,) = ends()
        assert payload["exception"] is raised.value
        assert not [name for name in events.names if name.endswith("EndEvent") and "LLM" in name]
        if is_stream(form):
            told = [one for one in events.seen if type(one).__name__ == "ExceptionEvent"]
            assert [one.exception for one in told] == [raised.value]

    def test_token_counts(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        handler = TokenCountingHandler()
        llm.callback_manager = CallbackManager([handler])
        usage = self.ask(llm, method, form)[-1].raw["usage"]
        assert handler.prompt_llm_token_count == usage["prompt_tokens"]
        assert handler.completion_llm_token_count == usage["completion_tokens"]

    # --- Several at once, and some that are not read to the end ---

    @pytest.mark.parametrize("form", ["stream", "astream"], indirect=True)
    def test_a_stream_that_is_closed_lets_go(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        asked: Any = said(self.prompt) if method == "chat" else self.prompt
        expected = self.text(llm, method, "plain")
        for read in (0, 1):
            if form == "stream":
                words: Any = getattr(llm, f"stream_{method}")(asked)
                for _ in range(read):
                    next(words)
                words.close()
                continue

            async def main(read: int = read) -> None:
                words = await getattr(llm, f"astream_{method}")(asked)
                for _ in range(read):
                    await anext(words)
                await words.aclose()

            run(main(), seconds=600)
        assert self.text(llm, method, "plain") == expected

    @pytest.mark.parametrize("form", ["async", "astream"], indirect=True)
    def test_cancelling_lets_go(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        asked: Any = said(self.prompt) if method == "chat" else self.prompt

        async def read() -> None:
            if form == "async":
                await getattr(llm, f"a{method}")(asked)
            else:
                async for _ in await getattr(llm, f"astream_{method}")(asked):
                    pass

        async def main() -> None:
            task = asyncio.create_task(read())
            await asyncio.sleep(0.001)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        expected = self.text(llm, method, "plain")
        run(main(), seconds=600)
        assert self.text(llm, method, "plain") == expected

    def test_answers_at_once_are_those_given_alone(
        self, llm: AdaFuseLLM, method: str, form: str
    ) -> None:
        prompts = [self.prompt, f"{self.prompt} Be brief.", "Who are you?"]
        alone = [self.text(llm, method, "plain", one, max_tokens=6) for one in prompts]
        if not is_async(form):
            with ThreadPoolExecutor(3) as pool:
                jobs = [
                    pool.submit(self.text, llm, method, form, one, max_tokens=6) for one in prompts
                ]
            assert [one.result() for one in jobs] == alone
            return

        async def main() -> list[str]:
            return await asyncio.gather(*(self._atext(llm, method, form, one) for one in prompts))

        assert run(main(), seconds=600) == alone

    async def _atext(self, llm: AdaFuseLLM, method: str, form: str, prompt: str) -> str:
        asked: Any = said(prompt) if method == "chat" else prompt
        if form == "async":
            return text_of(await getattr(llm, f"a{method}")(asked, max_tokens=6))
        words = await getattr(llm, f"astream_{method}")(asked, max_tokens=6)
        return "".join([one.delta async for one in words])
