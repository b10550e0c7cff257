"""adafuse in LlamaIndex: an ensemble in place of a single model.

    from adafuse_integrations.llama_index import AdaFuseLLM

Needs `llama-index-core`. LangChain is not needed.
"""

from adafuse_integrations._shared.trace import read_answer
from adafuse_integrations.llama_index.base import AdaFuseLLM
from adafuse_integrations.llama_index.react import GrammarReActAgent, react_grammar

__all__ = ["AdaFuseLLM", "GrammarReActAgent", "react_grammar", "read_answer"]
