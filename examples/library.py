"""The documents of the examples: a town library's notices, cut into paragraphs and searchable."""

from __future__ import annotations

from pathlib import Path

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStoreRetriever

from adafuse.models import sentence_embedding_folder

__all__ = ["as_text", "index_documents", "paragraphs"]

DOCUMENTS = Path(__file__).parent / "documents"


def paragraphs() -> list[Document]:
    """Every paragraph of the documents, without headings."""
    return [
        Document(paragraph, metadata={"source": path.name})
        for path in sorted(DOCUMENTS.glob("*.md"))
        for paragraph in path.read_text(encoding="utf-8").split("\n\n")
        if not paragraph.startswith("#")
    ]


def index_documents(*, most: int = 2) -> VectorStoreRetriever:
    """Embed the paragraphs and keep the vectors in memory; the retriever finds `most` of them."""
    # Imported here: together they take seconds.
    from langchain_huggingface import HuggingFaceEmbeddings
    from langchain_qdrant import QdrantVectorStore

    store = QdrantVectorStore.from_documents(
        paragraphs(),
        HuggingFaceEmbeddings(model_name=str(sentence_embedding_folder())),
        location=":memory:",
        collection_name="library",
    )
    return store.as_retriever(search_kwargs={"k": most})


def as_text(documents: list[Document]) -> str:
    """Join what was retrieved, without the line breaks of the files."""
    return " ".join(" ".join(document.page_content.split()) for document in documents)
