"""The documents of the examples: a town library's notices, cut into paragraphs and searchable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adafuse.demo.models import sentence_embedding_folder

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.vectorstores import VectorStoreRetriever
    from llama_index.core import VectorStoreIndex

__all__ = ["as_text", "index_documents", "llama_index", "paragraphs"]

DOCUMENTS = Path(__file__).parent / "documents"


def paragraphs() -> list[tuple[str, str]]:
    """Every paragraph of the documents, without headings and line breaks, and its file's name."""
    return [
        (" ".join(paragraph.split()), path.name)
        for path in sorted(DOCUMENTS.glob("*.md"))
        for paragraph in path.read_text(encoding="utf-8").split("\n\n")
        if not paragraph.startswith("#")
    ]


# What embeds and stores is imported in the functions: together it takes seconds.


def index_documents(*, most: int = 2) -> VectorStoreRetriever:
    """For LangChain: the vectors are kept in memory; the retriever finds `most` paragraphs."""
    from langchain_core.documents import Document
    from langchain_huggingface import HuggingFaceEmbeddings
    from langchain_qdrant import QdrantVectorStore

    store = QdrantVectorStore.from_documents(
        [Document(text, metadata={"source": source}) for text, source in paragraphs()],
        HuggingFaceEmbeddings(model_name=str(sentence_embedding_folder())),
        location=":memory:",
        collection_name="library",
    )
    return store.as_retriever(search_kwargs={"k": most})


def as_text(documents: list[Document]) -> str:
    """Join what was retrieved."""
    return " ".join(document.page_content for document in documents)


def llama_index() -> VectorStoreIndex:
    """For LlamaIndex: likewise, as an index."""
    from llama_index.core import VectorStoreIndex
    from llama_index.core.schema import TextNode
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding

    nodes = [TextNode(text=text, metadata={"source": source}) for text, source in paragraphs()]
    for node in nodes:  # where a text comes from is for readers
        node.excluded_embed_metadata_keys = node.excluded_llm_metadata_keys = ["source"]
    embedding = HuggingFaceEmbedding(model_name=str(sentence_embedding_folder()))
    return VectorStoreIndex(nodes, embed_model=embedding)
