"""An ensemble as a LangChain model: a chat model, and a completion model.

    from adafuse_integrations.langchain import ChatAdaFuse
    llm = ChatAdaFuse(models=["org/model-a", "org/model-b"])
    agent = create_agent(llm, tools=[…])

Members are loaded, and torch is imported, when the first prompt is answered.
"""

from adafuse_integrations._trace import read_answer
from adafuse_integrations.langchain.chat import ChatAdaFuse
from adafuse_integrations.langchain.chat_chunks import ChatAnswerChunk
from adafuse_integrations.langchain.chunks import AnswerChunk
from adafuse_integrations.langchain.llm import AdaFuseLLM
from adafuse_integrations.langchain.loadable import make_loadable

make_loadable(AdaFuseLLM, ChatAdaFuse)

__all__ = ["AdaFuseLLM", "AnswerChunk", "ChatAdaFuse", "ChatAnswerChunk", "read_answer"]
