"""A conversation about a library's documents: a LlamaIndex chat engine with a memory.

    python examples/llama_index_chat.py ["a question" "the next one" ...]

For each question the engine looks paragraphs up, and the two models read them with the conversation
so far. The second question needs the memory: it does not say what it is about.
"""

from __future__ import annotations

import sys

from library import llama_index
from llama_index.core.chat_engine import ContextChatEngine
from llama_index.core.memory import Memory
from rich.console import Console

from adafuse.cli.quiet import quiet_libraries
from adafuse.demo.models import prepare_all
from adafuse_integrations.llama_index import AdaFuseLLM

QUESTIONS = ["What does a lost card cost?", "And how long is a card valid?"]
CONTEXT = "You answer questions about a library, in one sentence, from these notices: {context_str}"
console = Console()


def main() -> None:
    """Answer the questions of the command line, or two of our own."""
    folders = prepare_all()
    with console.status("indexing the documents"):
        index = llama_index()
    llm = AdaFuseLLM(
        models=[str(folder) for folder in folders.values()], max_tokens=40, stop=["\n"]
    )
    engine = ContextChatEngine.from_defaults(
        retriever=index.as_retriever(similarity_top_k=1),
        llm=llm,
        memory=Memory.from_defaults(session_id="library", token_limit=2000),
        context_template=CONTEXT,
    )
    for asked in sys.argv[1:] or QUESTIONS:
        console.rule(asked, style="dim", align="left")
        for word in engine.stream_chat(asked).response_gen:
            print(word, end="", flush=True)
        print("\n")
    console.print(f"{len(engine.chat_history)} messages are in the memory", style="dim")


if __name__ == "__main__":
    with quiet_libraries():
        main()
