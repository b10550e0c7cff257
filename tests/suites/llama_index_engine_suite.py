"""The part of the standard suite for LlamaIndex models that is about what is built on them.

Query engines, selectors, chat engines and agents, each as LlamaIndex makes them. Nothing depends on
what the models say, but that they keep to the forms that grammars hold them to.
"""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core import Document, MockEmbedding, SummaryIndex, VectorStoreIndex
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.agent.workflow.workflow_events import AgentStream, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine import (
    CondensePlusContextChatEngine,
    ContextChatEngine,
    SimpleChatEngine,
)
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.query_engine import RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.selectors import LLMSingleSelector, PydanticSingleSelector
from llama_index.core.tools import QueryEngineTool
from pydantic import BaseModel, Field

from adafuse_integrations.llama_index import AdaFuseLLM, react_grammar
from llama_index_script import Person, listening, multiply, now, tools
from llama_index_suite import LlamaIndexSuite
from watched_members import run

__all__ = ["EngineSuite"]

TEXTS = [
    "The library opens at nine. On Saturdays it opens at ten.",
    "Rooms are booked at the desk. A room holds eight people.",
    "A lost card costs three euros. Anyone may borrow ten items.",
]
MODES = [
    "compact",
    "refine",
    "tree_summarize",
    "simple_summarize",
    "accumulate",
    "compact_accumulate",
    "generation",
]
QUESTION = "When does the library open?"


class SubQuestions(BaseModel):
    """What a question generator is held to."""

    items: list[SubQuestion] = Field(min_length=1, max_length=2)


class SubQuestion(BaseModel):
    sub_question: str = Field(max_length=40)
    tool_name: str = Field(pattern="^(hours|rooms)$")


class EngineSuite(LlamaIndexSuite):
    """What applications are made of."""

    @pytest.fixture
    def llm(self) -> AdaFuseLLM:
        return self.model(max_tokens=12)

    def index(self, *texts: str) -> VectorStoreIndex:
        documents = [Document(text=text) for text in texts or TEXTS]
        return VectorStoreIndex.from_documents(documents, embed_model=MockEmbedding(8))

    @pytest.mark.parametrize("mode", MODES)
    def test_query_engines(self, llm: AdaFuseLLM, mode: str) -> None:
        index = self.index()
        engine = index.as_query_engine(llm=llm, response_mode=mode, similarity_top_k=3)
        expected = str(engine.query(QUESTION))
        assert expected.strip()
        assert str(run(engine.aquery(QUESTION), seconds=600)) == expected
        if "accumulate" in mode:
            return  # those join whole answers
        told = index.as_query_engine(
            llm=llm, response_mode=mode, similarity_top_k=3, streaming=True
        )
        with listening() as events:
            words = list(told.query(QUESTION).response_gen)
        assert "".join(words) == expected
        assert len([word for word in words if word]) > 1
        assert any("InProgress" in name for name in events.names)

    def test_an_object_from_documents(self) -> None:
        llm = self.model(max_tokens=64)
        for mode in ("compact", "refine", "tree_summarize"):
            engine = self.index(TEXTS[0]).as_query_engine(
                llm=llm, response_mode=mode, output_cls=Person
            )
            assert isinstance(engine.query("Who is in charge?").response, Person)

    @pytest.mark.parametrize("use_async", [False, True])
    def test_sub_questions(self, llm: AdaFuseLLM, use_async: bool) -> None:
        asking = self.model(max_tokens=96, json_schema=SubQuestions)
        engine = SubQuestionQueryEngine.from_defaults(
            query_engine_tools=self.engine_tools(llm),
            llm=llm,
            question_gen=LLMQuestionGenerator.from_defaults(llm=asking),
            use_async=use_async,
            verbose=False,
        )
        response = engine.query("How do the hours compare with the rooms?")
        assert str(response).strip()
        asked = [node for node in response.source_nodes if "Sub question:" in node.text]
        assert 1 <= len(asked) <= 2

    @pytest.mark.parametrize("kind", ["pydantic", "text"])
    def test_a_router(self, llm: AdaFuseLLM, kind: str) -> None:
        picks = self.selector(kind)
        engine = RouterQueryEngine(
            selector=picks, query_engine_tools=self.engine_tools(llm), llm=llm
        )
        for response in (engine.query(QUESTION), run(engine.aquery(QUESTION), seconds=600)):
            assert str(response).strip()
            (chosen,) = response.metadata["selector_result"].selections
            assert chosen.index in (0, 1)

    def selector(self, kind: str) -> Any:
        """A selector among two; each is held to what it can choose."""
        if kind == "pydantic":
            llm = self.model(max_tokens=96)
            return PydanticSingleSelector.from_defaults(llm=llm)  # type: ignore[arg-type]
        form = r'\[\{"choice": [12], "reason": "[a-z ]{1,40}"\}\]'
        return LLMSingleSelector.from_defaults(llm=self.model(max_tokens=96, regex=form))

    def engine_tools(self, llm: AdaFuseLLM) -> list[QueryEngineTool]:
        made = []
        for name, text in zip(("hours", "rooms"), TEXTS, strict=False):
            index = SummaryIndex.from_documents([Document(text=text)])
            engine = index.as_query_engine(llm=llm)
            made.append(QueryEngineTool.from_defaults(engine, name=name, description=f"On {name}."))
        return made

    @pytest.mark.parametrize("kind", ["simple", "context", "condense_plus_context"])
    def test_chat_engines(self, llm: AdaFuseLLM, form: str, kind: str) -> None:
        engine = self.chat_engine(llm, kind)
        texts = _chatted(engine, form, QUESTION, "And on Saturdays?")
        assert all(text.strip() for text in texts)
        roles = [str(one.role.value) for one in engine.chat_history]
        assert roles == ["user", "assistant"] * 2
        # LlamaIndex strips what it remembers of streams.
        told = [str(one.content) for one in engine.chat_history[1::2]]
        assert [one.strip() for one in told] == [text.strip() for text in texts]
        assert _chatted(self.chat_engine(llm, kind), "plain", QUESTION) == texts[:1]

    def chat_engine(self, llm: AdaFuseLLM, kind: str) -> Any:
        memory = ChatMemoryBuffer.from_defaults(token_limit=4000)
        if kind == "simple":
            return SimpleChatEngine.from_defaults(llm=llm, memory=memory, system_prompt="Be brief.")
        classes = {
            "context": ContextChatEngine,
            "condense_plus_context": CondensePlusContextChatEngine,
        }
        retriever = self.index(TEXTS[0]).as_retriever(similarity_top_k=1)
        return classes[kind].from_defaults(retriever=retriever, llm=llm, memory=memory)

    @pytest.mark.parametrize("streaming", [True, False])
    def test_a_function_agent(self, streaming: bool) -> None:
        agent = FunctionAgent(
            tools=tools(multiply, now),
            llm=self.model(max_tokens=96, answer_after_tools=True),
            system_prompt="Use a tool, then answer.",
            initial_tool_choice="any",
            allow_parallel_tool_calls=False,
            streaming=streaming,
        )
        events, output = _agent(agent, "Call multiply for 6 and 7.")
        assert [one.tool_name for one in events if isinstance(one, ToolCallResult)]
        assert not output.tool_calls or output.tool_calls[0].tool_output is not None
        words = [one for one in events if isinstance(one, AgentStream)]
        assert bool(words) == streaming
        assert str(output).strip()

    @pytest.mark.parametrize("streaming", [True, False])
    def test_a_react_agent(self, streaming: bool) -> None:
        agent = ReActAgent(
            tools=(shown := tools(multiply)),
            llm=self.model(max_tokens=160, grammar=react_grammar(shown)),
            early_stopping_method="generate",
            streaming=streaming,
        )
        events, output = _agent(agent, "What is 127 times 34?", max_iterations=2)
        assert str(output).strip()
        for one in events:
            if isinstance(one, ToolCallResult):
                assert not one.tool_output.is_error

    def test_agents_hand_over(self) -> None:
        llm = self.model(max_tokens=96, answer_after_tools=True)
        common = {"llm": llm, "allow_parallel_tool_calls": False}
        talking = FunctionAgent(
            name="talking",
            description="Talks.",
            system_prompt="Hand over what is to be computed.",
            can_handoff_to=["counting"],
            initial_tool_choice="handoff",
            **common,
        )
        counting = FunctionAgent(
            name="counting", description="Computes.", tools=tools(multiply), **common
        )
        flow = AgentWorkflow(agents=[talking, counting], root_agent="talking")
        events, output = _agent(flow, "What is 127 times 34?")
        called = [one.tool_name for one in events if isinstance(one, ToolCallResult)]
        assert called[0] == "handoff"
        assert str(output).strip()


def _chatted(engine: Any, form: str, *said: str) -> list[str]:
    """The answers of a chat engine."""
    if form == "plain":
        return [str(engine.chat(one)) for one in said]
    if form == "stream":
        return ["".join(engine.stream_chat(one).response_gen) for one in said]

    async def answer(one: str) -> str:
        if form == "async":
            return str(await engine.achat(one))
        words = await engine.astream_chat(one)
        return "".join([word async for word in words.async_response_gen()])

    async def main() -> list[str]:  # its memory is bound to one event loop
        return [await answer(one) for one in said]

    return run(main(), seconds=600)


def _agent(agent: Any, said: str, **kwargs: Any) -> tuple[list[Any], Any]:
    """The events and the output of an agent."""

    async def main() -> tuple[list[Any], Any]:
        handler = agent.run(ChatMessage(role="user", content=said), **kwargs)
        events = [one async for one in handler.stream_events()]
        return events, await handler

    return run(main(), seconds=600)
