"""The questions of rag_chain.py, answered by two models that live on two nodes of a Ray cluster.

    python examples/ray_cluster.py ["another question" ...]

Both nodes are on this machine; on a real cluster only `address` differs. Each model goes where its
label is. The same questions are then answered in this process, to compare answers and time. Needs
the extra `ray`; the models come from the cache (`python -m adafuse.demo` prepares them).
"""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from langchain_core.runnables import RunnablePassthrough
from library import as_text, index_documents
from rag_chain import PROMPT, QUESTIONS
from ray.cluster_utils import Cluster
from rich.console import Console

from adafuse import Ensemble
from adafuse.cli.quiet import quiet_libraries
from adafuse.demo.models import prepare_all
from adafuse.remote.member import RemoteMember
from adafuse_integrations.langchain import AdaFuseLLM, read_answer

console = Console()


@contextmanager
def two_nodes(labels: list[str]) -> Iterator[str]:
    """A cluster with a node for each label, on this machine; gives its address."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    node = {"num_cpus": 2, "include_dashboard": False}
    cluster: Any = Cluster()
    try:
        for label in labels:
            cluster.add_node(**node, resources={label: 1})
        yield str(cluster.address)
    finally:
        ray.shutdown()
        cluster.shutdown()


def ask(ensemble: Ensemble, questions: list[str], retriever: Any) -> tuple[list[str], float]:
    """Answers of the retrieval chain, and seconds that a round took."""
    llm = AdaFuseLLM(ensemble=ensemble, max_tokens=32, stop=["\n"])
    chain = {"context": retriever | as_text, "question": RunnablePassthrough[str]()} | PROMPT
    texts, rounds, seconds = [], 0, 0.0
    for question in questions:
        prompt = chain.invoke(question)
        begun = time.perf_counter()
        (generation,) = llm.generate_prompt([prompt]).generations[0]
        seconds += time.perf_counter() - begun
        rounds += len(read_answer(generation.generation_info or {}).rounds)
        texts.append(generation.text.strip())
    return texts, seconds / rounds


def main() -> None:
    """Answer the questions of the command line, or three of our own, on a cluster and here."""
    questions = sys.argv[1:] or QUESTIONS
    folders = prepare_all()
    with console.status("indexing the documents"):
        retriever = index_documents()
    with two_nodes(list(folders)) as address:
        specs = [
            {"model": str(folder), "name": name, "ray": {"resources": {name: 1}}}
            for name, folder in folders.items()
        ]
        with console.status("starting the members"):
            ensemble = Ensemble.load(specs, backend="ray", address=address)
        with ensemble:
            for member in ensemble.members:
                assert isinstance(member, RemoteMember)
                console.print(f"{member.name} is at {member.places[0]}")
            there, there_seconds = ask(ensemble, questions, retriever)
    here, here_seconds = ask(
        Ensemble.load([str(folder) for folder in folders.values()]), questions, retriever
    )
    for question, answer, other in zip(questions, there, here, strict=True):
        console.rule(question, style="dim", align="left")
        console.print(answer)
        if answer != other:
            console.print(f"[red]in process:[/red] {other}")
    console.print(
        f"\n{1000 * there_seconds:.0f} ms a round on the cluster, "
        f"{1000 * here_seconds:.0f} ms in one process"
    )


if __name__ == "__main__":
    logging.getLogger("ray").setLevel(logging.WARNING)
    with quiet_libraries():
        main()
