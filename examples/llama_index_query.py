"""A LlamaIndex query engine over a library's documents, with two small models that write together.

    python examples/llama_index_query.py ["another question" ...]

A query engine as any other: only the language model is an ensemble. Words appear as they are fused,
coloured by the member that drafted them: LlamaIndex's instrumentation tells of each. Where they
come from, and what the answer took, stands below. Nothing is sent anywhere.
"""

from __future__ import annotations

import sys
from typing import Any

from library import llama_index
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMChatInProgressEvent
from llama_index.core.prompts import ChatPromptTemplate
from llama_index_instrumentation import get_dispatcher
from pydantic import PrivateAttr
from rich.console import Console

from adafuse.cli.display import AnswerPrinter, stats_table
from adafuse.cli.quiet import quiet_libraries
from adafuse.demo.models import prepare_all
from adafuse.telemetry.summary import summarise
from adafuse_integrations.llama_index import AdaFuseLLM, read_answer

QUESTIONS = [
    "How many items can I borrow at once?",
    "What does a printed page cost?",
    "When does the library open on Saturdays?",
]
PROMPT = ChatPromptTemplate.from_messages(
    [
        ("system", "You answer questions from the notices of a library."),
        ("user", "Notice: {context_str}\n\nQuestion: {query_str}"),
    ]
)
console = Console()


class ShowWords(BaseEventHandler):
    """Prints each word when it is fused, and a table when the answer is complete."""

    _printer: AnswerPrinter = PrivateAttr()

    def __init__(self, members: list[str]) -> None:
        super().__init__()
        self._printer = AnswerPrinter(sys.stdout, members)

    def handle(self, event: Any, **kwargs: Any) -> None:
        """Take what LlamaIndex tells of an answer."""
        if isinstance(event, LLMChatInProgressEvent) and event.response.delta:
            told = event.response.additional_kwargs["round"]
            self._printer.write(event.response.delta, told["member"])
        elif isinstance(event, LLMChatEndEvent) and event.response is not None:
            answer = read_answer(event.response.additional_kwargs)
            console.print("\n")
            console.print(stats_table(summarise(answer.rounds), answer.usage))


def main() -> None:
    """Answer the questions of the command line, or three of our own."""
    folders = prepare_all()
    with console.status("indexing the documents"):
        index = llama_index()
    llm = AdaFuseLLM(
        models=[str(folder) for folder in folders.values()], max_tokens=32, stop=["\n"]
    )
    engine = index.as_query_engine(
        llm=llm, text_qa_template=PROMPT, similarity_top_k=1, streaming=True
    )
    get_dispatcher().add_event_handler(ShowWords(list(folders)))
    for asked in sys.argv[1:] or QUESTIONS:
        console.rule(asked, style="dim", align="left")
        response: Any = engine.query(asked)
        for _ in response.response_gen:  # words are shown as they come
            pass
        sources = dict.fromkeys(node.metadata["source"] for node in response.source_nodes)
        console.print(f"from {', '.join(sources)}\n", style="dim")


if __name__ == "__main__":
    with quiet_libraries():
        main()
