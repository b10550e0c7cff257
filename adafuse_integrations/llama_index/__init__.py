"""adafuse in LlamaIndex: an ensemble in place of a single model.

    from adafuse_integrations.llama_index import AdaFuseLLM

Needs `llama-index-core`. LangChain is not needed.
"""

from adafuse_integrations._trace import read_answer
from adafuse_integrations.llama_index.llm import AdaFuseLLM

__all__ = ["AdaFuseLLM", "read_answer"]
