"""Chat templates as strict, and with tools as differently written, as those of real models.

Each is for the tokenizer of a family: qwen2, gemma3, mistral or llama3. Beside them is what members
read through them.
"""

import functools
from typing import Any

from adafuse.prompting.prompt import read_prompt
from adafuse.prompting.renderer import Renderer
from adafuse.text.tokenizer import TokenCodec
from families import family

__all__ = [
    "DEAF",
    "GEMMA",
    "LLAMA31",
    "MISTRAL",
    "MISTRAL_TOOLS",
    "QWEN",
    "codec",
    "messages",
    "reads",
    "renderer",
]


@functools.cache
def codec(name: str) -> TokenCodec:
    """Of a family's tokenizer."""
    return TokenCodec(family(name)[1], name)


def renderer(name: str, template: Any = None, **arguments: Any) -> Renderer:
    """Of a member 'strict' with a family's tokenizer and a template."""
    return Renderer(codec(name), "strict", template, arguments)


def messages(chat: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Messages of roles and contents."""
    return [{"role": role, "content": content} for role, content in chat]


def reads(name: str, template: Any, chat: Any, tools: Any = None) -> str:
    """What a member reads of a conversation: the text of its prompt's ids."""
    chat = messages(chat) if isinstance(chat[0], tuple) else chat
    rendered = renderer(name, template).render(read_prompt(chat, tools=tools))
    return codec(name).text(rendered.ids)


def _joined(*lines: str) -> str:
    return "".join(lines)


QWEN = _joined(  # tools in the system message, calls in the canonical syntax
    "{% if tools %}<|im_start|>system\n",
    "{% if messages[0].role == 'system' %}{{ messages[0].content }}\n\n{% endif %}",
    "# Tools\n\n<tools>{% for tool in tools %}\n{{ tool | tojson }}{% endfor %}\n</tools>\n\n",
    'Call with <tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n',
    "</tool_call><|im_end|>\n",
    "{% elif messages[0].role == 'system' %}",
    "<|im_start|>system\n{{ messages[0].content }}<|im_end|>\n{% endif %}",
    "{% for m in messages %}",
    "{% if m.role == 'tool' %}<|im_start|>user\n<tool_response>\n{{ m.content }}\n",
    "</tool_response><|im_end|>\n",
    "{% elif m.role != 'system' or not loop.first %}<|im_start|>{{ m.role }}\n{{ m.content }}",
    "{% for call in m.tool_calls or [] %}\n<tool_call>\n",
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}',
    "\n</tool_call>{% endfor %}<|im_end|>\n{% endif %}{% endfor %}",
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
)
GEMMA = _joined(  # no system message, turns that alternate, texts trimmed
    "{{ bos_token }}{% if messages[0].role == 'system' %}",
    "{{ raise_exception('System role not supported') }}{% endif %}",
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}",
    "{{ raise_exception('Conversation roles must alternate user/assistant/...') }}{% endif %}",
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n",
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}",
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
)
DEAF = _joined(  # leaves out what is neither the user's nor the assistant's
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]",
    "{% elif m.role == 'assistant' %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}",
)
MISTRAL = _joined(  # a system message first, which the last user message shows
    "{% if messages[0].role == 'system' %}{% set system = messages[0].content %}",
    "{% set rest = messages[1:] %}{% else %}{% set rest = messages %}{% endif %}{{ bos_token }}",
    "{% for m in rest %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}",
    "{{ raise_exception('After the optional system message, roles must alternate') }}{% endif %}",
    "{% if m.role == 'user' %}[INST] {% if loop.last and system is defined %}{{ system }}\n\n",
    "{% endif %}{{ m.content }} [/INST]{% elif m.role == 'assistant' %} {{ m.content }}",
    "{{ eos_token }}{% else %}{{ raise_exception('Only user and assistant roles') }}{% endif %}",
    "{% endfor %}",
)
MISTRAL_TOOLS = _joined(  # another syntax of calls, and ids of nine characters
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' or m.role == 'system' %}",
    "{% if tools and loop.last %}[AVAILABLE_TOOLS] {{ tools | tojson }}[/AVAILABLE_TOOLS]",
    "{% endif %}[INST] {{ m.content }} [/INST]{% elif m.role == 'tool' %}",
    "{% if m.tool_call_id | length != 9 %}{{ raise_exception('9 characters') }}{% endif %}",
    "[TOOL_RESULTS] {{ m.content }}[/TOOL_RESULTS]{% else %} {{ m.content }}",
    "{% if m.tool_calls %}[TOOL_CALLS] {{ m.tool_calls | tojson }}{% endif %}{{ eos_token }}",
    "{% endif %}{% endfor %}",
)
LLAMA31 = _joined(  # tools in the first user message, calls in another syntax, one at a time
    "{{ bos_token }}{% for m in messages %}{% if m.tool_calls %}",
    "{% if m.tool_calls | length != 1 %}{{ raise_exception('single tool-calls only') }}{% endif %}",
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    '{"name": "{{ m.tool_calls[0].function.name }}", ',
    '"parameters": {{ m.tool_calls[0].function.arguments | tojson }}}<|eot_id|>',
    "{% else %}<|start_header_id|>{{ 'ipython' if m.role == 'tool' else m.role }}",
    "<|end_header_id|>\n\n{% if m.role == 'user' and tools and not ns %}{% set ns = true %}",
    'Respond in the format {"name": function name, "parameters": dictionary}.\n',
    "{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}{% endif %}",
    "{{ m.content | tojson if m.role == 'tool' else m.content | trim }}<|eot_id|>",
    "{% endif %}{% endfor %}{% if add_generation_prompt %}",
    "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
)
