"""Questions about a library's documents, answered by two small models that write together.

    python examples/rag_chain.py ["another question" ...]

A retrieval chain as any other: only the language model is an ensemble. Words appear as they are
fused, coloured by the member that drafted them; a table says what each answer took. The models
come from the cache (`python -m adafuse.demo` prepares them); nothing is sent anywhere.
"""

import sys
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import GenerationChunk, LLMResult
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import RunnablePassthrough
from library import as_text, index_documents
from rich.console import Console

from adafuse.cli.display import AnswerPrinter, stats_table
from adafuse.cli.quiet import quiet_libraries
from adafuse.demo.models import prepare_all
from adafuse.telemetry.summary import summarise
from adafuse_integrations.langchain import AdaFuseLLM, read_answer

QUESTIONS = [
    "How many items can I borrow at once?",
    "What drove the rope machines?",
    "What does a printed page cost?",
]
PROMPT = PromptTemplate.from_template(
    "Answer the question from the context, in one sentence.\n\n"
    "Context: {context}\n\nQuestion: {question}\n\nAnswer:"
)
console = Console()


class ShowWords(BaseCallbackHandler):
    """Prints each word when it is fused, and a table when the answer is complete."""

    def __init__(self, members: list[str]) -> None:
        self.printer = AnswerPrinter(sys.stdout, members)

    def on_llm_new_token(self, token: str | list[Any], *, chunk: Any = None, **kwargs: Any) -> None:
        if isinstance(chunk, GenerationChunk) and chunk.text:
            self.printer.write(chunk.text, (chunk.generation_info or {}).get("member", ""))

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        answer = read_answer(response.generations[0][0].generation_info or {})
        console.print("\n")
        console.print(stats_table(summarise(answer.rounds), answer.usage))


def main() -> None:
    """Answer the questions of the command line, or three of our own."""
    folders = prepare_all()
    with console.status("indexing the documents"):
        retriever = index_documents()
    llm = AdaFuseLLM(
        models=[str(folder) for folder in folders.values()],
        max_tokens=48,
        stop=["\n"],
    )
    question = {"context": retriever | as_text, "question": RunnablePassthrough[str]()}
    chain = question | PROMPT | llm | StrOutputParser()
    for asked in sys.argv[1:] or QUESTIONS:
        console.rule(asked, style="dim", align="left")
        chain.invoke(asked, config={"callbacks": [ShowWords(list(folders))]})
        console.print()


if __name__ == "__main__":
    with quiet_libraries():
        main()
