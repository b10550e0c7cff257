"""An ensemble as a LangChain model.

    from adafuse_integrations.langchain import AdaFuseLLM
    llm = AdaFuseLLM(models=["org/model-a", "org/model-b"])
    chain = prompt | llm | StrOutputParser()

Members are loaded, and torch is imported, when the first prompt is answered.
"""

from adafuse_integrations._trace import read_answer
from adafuse_integrations.langchain.chunks import AnswerChunk
from adafuse_integrations.langchain.llm import AdaFuseLLM

__all__ = ["AdaFuseLLM", "AnswerChunk", "read_answer"]
