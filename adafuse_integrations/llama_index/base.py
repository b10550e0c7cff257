"""`AdaFuseLLM`: an ensemble in place of a LlamaIndex model."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import aclosing, closing
from typing import Any, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    MessageRole,
)
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.loading import RECOGNIZED_LLMS
from llama_index.core.tools.types import BaseTool

from adafuse.concurrency.async_iterator import ThreadedIterator
from adafuse.errors import ConfigError, NoToolCallError
from adafuse.validation import refuse_unknown
from adafuse_integrations.llama_index._call import Making
from adafuse_integrations.llama_index._instrumentation import tells_of_chat, tells_of_completion
from adafuse_integrations.llama_index._responses import (
    Snapshot,
    chat_response,
    completion_response,
)
from adafuse_integrations.llama_index._structured_output import StructuredAnswers
from adafuse_integrations.llama_index._tools import core_tools, selections

__all__ = ["AdaFuseLLM"]

R = TypeVar("R")


class AdaFuseLLM(StructuredAnswers):
    """Several local models that write one answer together, word by word.

    It is both a `CustomLLM` and a `FunctionCallingLLM`. Give `models`, or an `ensemble` that is
    already built, or set ADAFUSE_MODELS; the other fields are decoding settings, what is reported,
    and LlamaIndex's own. Members are loaded with the first answer, once for all instances that name
    the same ones.

    Members render messages with their own chat templates, and read a string as one user message;
    `prompt_format` "raw" completes strings as they are, and "auto" (the default) does so for
    members without a template. A `messages_to_prompt` or `completion_to_prompt` renders the prompt
    instead, for all members alike: they complete its text. `system_prompt` stands in front on every
    path, once.

    Every decoding setting may also be given per call; so may `model` (which members answer),
    `timeout`, `logprobs` and `response_format`, and, to chats, `tools`, `tool_choice` and
    `parallel_tool_calls`. A name that is not known is refused. Streams give one response per fused
    word. `raw["usage"]` sums the tokens of all members; `additional_kwargs["fusion"]` has the
    trace, which `read_answer` reads.

    Raises:
        pydantic.ValidationError: a field is unknown or out of range.
        ConfigError: likewise for an argument of a call; before anything is loaded.
        PromptError: a message or a tool cannot be read: an image, say.
        IncompleteAnswerError: a constrained answer was cut, by max_tokens or a stop string.
        AdaFuseError: what loading and decoding raise, unchanged, once a prompt is answered.
    """

    # --- Completions ---

    @tells_of_completion
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a string.

        Args:
            prompt: what is asked.
            formatted: whether it is rendered already, to be completed as it is.
            kwargs: settings of this call.
        """
        last = _last(self._completing(prompt, formatted, kwargs))
        return completion_response(last, streamed=False)

    @tells_of_completion
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """As `complete`, without blocking the event loop; cancelling it stops the decoder."""
        last = await _alast(self._completing(prompt, formatted, kwargs))
        return completion_response(last, streamed=False)

    @tells_of_completion
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> Generator[CompletionResponse]:
        """As `complete`, with a response per word; closing it early is safe."""
        return _responses(self._completing(prompt, formatted, kwargs), completion_response)

    @tells_of_completion
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> AsyncGenerator[CompletionResponse]:
        """As `stream_complete`; closing or cancelling it stops the decoder and waits for it."""
        return _aresponses(self._completing(prompt, formatted, kwargs), completion_response)

    # --- Chats ---

    @tells_of_chat
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation.

        Args:
            messages: of the conversation.
            kwargs: settings of this call, and tools.
        """
        return chat_response(_last(self._chatting(messages, kwargs)), streamed=False)

    @tells_of_chat
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """As `chat`, without blocking the event loop; cancelling it stops the decoder."""
        return chat_response(await _alast(self._chatting(messages, kwargs)), streamed=False)

    @tells_of_chat
    def stream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> Generator[ChatResponse]:
        """As `chat`, with a response per word; closing it early is safe."""
        return _responses(self._chatting(messages, kwargs), chat_response)

    @tells_of_chat
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> AsyncGenerator[ChatResponse]:
        """As `stream_chat`; closing or cancelling it stops the decoder and waits for it."""
        return _aresponses(self._chatting(messages, kwargs), chat_response)

    # --- Tools: `chat_with_tools` and its kin are LlamaIndex's ---

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """What `chat` is asked, for `chat_with_tools`; the history is not changed.

        A `tool_choice` among the settings says more than `tool_required`, and goes before it.
        `verbose` is for LlamaIndex, which prints the calls that it carries out.
        """
        messages = list(chat_history or [])
        if user_msg is not None:
            if isinstance(user_msg, str):
                user_msg = ChatMessage(role=MessageRole.USER, content=user_msg)
            messages.append(user_msg)
        if "messages" in kwargs:
            raise ConfigError("give the conversation as chat_history, not as messages")
        if tool_required and kwargs.get("tool_choice") in ("auto", "none", False):
            raise ConfigError(f"tool_required=True, but tool_choice={kwargs['tool_choice']!r}")
        if kwargs.get("tool_choice") is None:
            kwargs["tool_choice"] = "any" if tool_required else "auto"
        if shown := core_tools(tools):
            kwargs["tools"] = shown
            kwargs.setdefault("parallel_tool_calls", allow_parallel_tool_calls)
        return {"messages": messages, **kwargs}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """The calls in a response, whole or of a stream.

        Of a call that is still being written, the arguments are there as far as they go. A call
        that was cut is none: it is in the text.

        Raises:
            NoToolCallError: there is none, and `error_on_no_tool_call`.
            ConfigError: an argument is unknown.
        """
        refuse_unknown("argument", kwargs, [])
        calls = selections(response)
        if not calls and error_on_no_tool_call:
            cut = isinstance(response.raw, dict) and response.raw.get("finish_reason") == "length"
            raise NoToolCallError(response.message.content or "", cut=cut)
        return calls


def _last(make: Making) -> Snapshot:
    with closing(make()) as decoded:
        return deque(decoded, maxlen=1).pop()


async def _alast(make: Making) -> Snapshot:
    async with aclosing(ThreadedIterator(make)) as decoded:
        async for snapshot in decoded:
            last = snapshot
    return last  # every answer has an end


def _responses(make: Making, respond: Callable[..., R]) -> Generator[R]:
    """A response for each snapshot; closing this lets go of the decoder."""
    with closing(make()) as decoded:
        for snapshot in decoded:
            yield respond(snapshot, streamed=True)


async def _aresponses(make: Making, respond: Callable[..., R]) -> AsyncGenerator[R]:
    """Likewise; the decoder runs in a thread of its own."""
    async with aclosing(ThreadedIterator(make)) as decoded:
        async for snapshot in decoded:
            yield respond(snapshot, streamed=True)


RECOGNIZED_LLMS[AdaFuseLLM.class_name()] = AdaFuseLLM  # for LlamaIndex's `load_llm`
