"""An ensemble as a LangChain model: a chat model, and a completion model.

    from adafuse_integrations.langchain import ChatAdaFuse
    llm = ChatAdaFuse(models=["org/model-a", "org/model-b"])
    agent = create_agent(llm, tools=[…])

Members are loaded, and torch is imported, when the first prompt is answered.
"""

from adafuse_integrations._shared.trace import read_answer
from adafuse_integrations.langchain._chat_chunks import ChatAnswerChunk
from adafuse_integrations.langchain._compat import make_loadable
from adafuse_integrations.langchain._completion_chunks import AnswerChunk
from adafuse_integrations.langchain.chat_models import ChatAdaFuse
from adafuse_integrations.langchain.llms import AdaFuseLLM

make_loadable(AdaFuseLLM, ChatAdaFuse)

__all__ = ["AdaFuseLLM", "AnswerChunk", "ChatAdaFuse", "ChatAnswerChunk", "read_answer"]
