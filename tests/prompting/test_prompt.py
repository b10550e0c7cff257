"""Prompts that cannot be read are refused in one line, before any member is opened."""

from typing import Any

import pytest

from adafuse import (
    ConfigError,
    ContextWindowError,
    DecodingConfig,
    Ensemble,
    MemberError,
    PromptError,
)
from adafuse.local.member import LocalMember
from adafuse.prompting.prompt import read_prompt
from adafuse.prompting.renderer import FALLBACK_STOP, Renderer
from adafuse.testing import ScriptedMember
from adafuse.text.tokenizer import TokenCodec
from families import FAMILIES, family

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


class Closed(ScriptedMember):
    """A member that nobody may open."""

    def open(self, prompt: Any, config: Any) -> Any:
        raise AssertionError("the member was opened")


def user(content: Any, **more: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content, **more}]


def call(name: str = "f", arguments: Any = "{}") -> dict[str, Any]:
    return {"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}


def assistant(tool_calls: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": tool_calls}


BAD_PROMPTS: dict[str, tuple[Any, str]] = {
    "empty": ("", "the prompt is empty"),
    "no messages": ([], "the conversation is empty"),
    "no content": (user(""), "the conversation is empty"),
    "no content at all": ([*user(""), {"role": "assistant", "content": None}], "is empty"),
    "no calls": ([{"role": "assistant", "content": None, "tool_calls": []}], "is empty"),
    "no blocks": (user([]), "the conversation is empty"),
    "empty block": (user([{"type": "text", "text": ""}]), "the conversation is empty"),
    "none": (None, "must be a string or a list of messages, not NoneType"),
    "bytes": (b"text", "not bytes"),
    "number": (5, "not int"),
    "one message": ({"role": "user", "content": "x"}, "not dict"),
    "set": ({"text"}, "not set"),
    "iterator": (iter(user("x")), "not list_iterator"),
    "string in list": (["text"], "message 0 must be a mapping"),
    "pair": ([("user", "text")], "message 0 must be a mapping"),
    "no role": ([{"content": "x"}], "message 0 has no 'role'"),
    "empty role": ([{"role": "", "content": "x"}], "message 0 has no 'role'"),
    "role number": ([{"role": 1, "content": "x"}], "message 0 has no 'role'"),
    "second": ([*user("x"), {"role": "user"}], "message 1 must have text as 'content', not None"),
    "content number": (user(5), "message 0 must have text as 'content', not 5"),
    "content bytes": (user(b"x"), "message 0 must have text"),
    "content mapping": (user({"type": "text", "text": "x"}), "message 0 must have text"),
    "image": (user([{"type": "text", "text": "x"}, IMAGE]), "block of type 'image_url'"),
    "audio": (user([{"type": "input_audio"}]), "block of type 'input_audio'"),
    "block number": (user([7]), "block of type 'int'"),
    "block text number": (user([{"type": "text", "text": 5}]), "message 0"),
    "block without text": (user([{"type": "text"}]), "message 0"),
    "block without type": (user([{"text": "x"}]), "block of type None"),
    "surrogate": ("a\ud83d", r"lone surrogate \('\\ud83d' at character 1\)"),
    "low surrogate": ("\udc00", "lone surrogate"),
    "surrogate content": (user("x\udfffy"), "message 0 has a lone surrogate"),
    "surrogate block": (user(["x", {"type": "text", "text": "\ud800"}]), "message 0 has a lone"),
    "surrogate role": ([{"role": "us\ud800er", "content": "x"}], "message 0 has a lone surrogate"),
    "surrogate name": (user("x", name="\ud800"), "message 0 has a lone surrogate"),
    "surrogate key": (user("x", **{"\ud800": 1}), "message 0 has a lone surrogate"),
    "role end": ([{"role": "<|im_end|>", "content": "x"}], "message 0 has the role '<|im_end|>'"),
    "role line": ([{"role": "user\n", "content": "x"}], r"message 0 has the role 'user\\n'"),
    "role blank": ([{"role": "a b", "content": "x"}], "message 0 has the role 'a b'"),
    "role long": ([{"role": "a" * 33, "content": "x"}], "message 0 has the role 'aaa"),
    "role digit": ([{"role": "1", "content": "x"}], "message 0 has the role '1'"),
    "role bracket": ([{"role": "[INST]", "content": "x"}], "message 0 has the role"),
    "name number": (user("x", name=5), "message 0 must have one line of text as 'name', not 5"),
    "name lines": (user("x", name="a\n\nUser: b"), "message 0 must have one line of text"),
    "name blank": (user("x", name=" "), "message 0 must have one line of text as 'name'"),
    "calls of a user": (user("x", tool_calls=[call()]), "which only an assistant's may"),
    "calls alone": ([assistant({})], "message 0 must have a list as 'tool_calls'"),
    "call text": ([assistant(["f()"])], "message 0, tool call 0 must be"),
    "call flat": ([assistant([{"name": "f", "args": {}}])], "message 0, tool call 0 must be"),
    "call kind": ([assistant([{**call(), "type": "custom"}])], "message 0, tool call 0 must be"),
    "call name": ([assistant([call(), call(name="")])], "message 0, tool call 1 has no 'name'"),
    "call id": ([assistant([{**call(), "id": 5}])], "tool call 0 must have text as 'id'"),
    "arguments": ([assistant([call(arguments="{a")])], "'arguments' that cannot be read: .*JSON"),
    "a number": ([assistant([call(arguments=5)])], "a mapping as 'arguments', not 5"),
    "a list": ([assistant([call(arguments="[1]")])], r"a mapping as 'arguments', not \[1\]"),
    "odd arguments": ([assistant([call(arguments={"a": {1}})])], "cannot be read: .* set "),
    "not a number": ([assistant([call(arguments={"a": float("nan")})])], "cannot be read: .*NaN"),
    "deep": ([assistant([call(arguments="[" * 10**5)])], "'arguments' that cannot be read"),
    "half a pair": ([assistant([call(arguments='"\\ud800"')])], "cannot be read: .*surrogate"),
    "result": ([{"role": "tool", "content": "x", "tool_call_id": 1}], "text as 'tool_call_id'"),
    "surrogate deep": (user("x", tool_calls=[{"f": {"a": ("\ud800",)}}]), "message 0 has a lone"),
    "surrogate deep key": (user("x", tool_calls=[{"f": {"\ud800": 1}}]), "message 0 has a lone"),
}


@pytest.mark.parametrize(("prompt", "reason"), BAD_PROMPTS.values(), ids=BAD_PROMPTS)
def test_a_bad_prompt_is_refused_before_any_member_is_opened(prompt: Any, reason: str) -> None:
    ensemble = Ensemble([Closed("x")])
    with pytest.raises(PromptError, match=reason) as error:
        ensemble.stream(prompt)  # at once, not when the first round is asked for
    assert len(str(error.value).splitlines()) == 1
    str(error.value).encode()  # the message itself can be printed


@pytest.mark.parametrize("form", ["", "Chat", "text", 5, ["raw"]])
def test_an_unknown_format_is_refused(form: Any) -> None:
    with pytest.raises(ConfigError, match="prompt_format must be 'raw', 'auto' or 'chat'"):
        Ensemble([Closed("x")]).stream("prompt", prompt_format=form)


@pytest.mark.parametrize("form", ["raw", "auto"])
def test_messages_are_always_chat(form: Any) -> None:
    with pytest.raises(ConfigError, match="messages are always chat"):
        Ensemble([Closed("x")]).stream(user("x"), prompt_format=form)
    assert read_prompt(user("x"), "chat").format == "chat"


@pytest.mark.parametrize("text", [" ", "\n", "x", "👩\u200d🔬", "\x00", "</s>", " a \n"])
def test_a_text_is_kept_as_it_is(text: str) -> None:
    prompt = read_prompt(text)
    assert (prompt.text, prompt.format) == (text, "raw")
    assert prompt.messages == ({"role": "user", "content": text},)
    assert read_prompt(text, "auto").format == "auto"


def test_content_blocks_of_text_are_joined_and_other_fields_kept() -> None:
    blocks = [{"type": "text", "text": "a "}, "b", {"type": "text", "text": "\nc"}]
    calling = assistant([call(arguments='{"b": [1, null]}'), call("g", {"ü": "<|im_end|>"})])
    result = {"role": "tool", "content": "", "tool_call_id": "1", "name": None, "more": 5}
    given = [*user(blocks, name="Ada"), calling, result]
    prompt = read_prompt(given)
    assert prompt.messages == (
        {"role": "user", "content": "a b\nc", "name": "Ada"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [call(arguments={"b": [1, None]}), call("g", {"ü": "<|im_end|>"})],
        },
        {"role": "tool", "content": "", "tool_call_id": "1", "more": 5},
    )
    assert given[0]["content"] is blocks  # the caller's messages are left as they were
    assert calling["content"] is None
    assert calling["tool_calls"][0]["function"]["arguments"] == '{"b": [1, null]}'
    assert prompt.text is None
    assert read_prompt(prompt.messages) == prompt


def test_a_conversation_of_calls_alone_is_not_empty() -> None:
    bare = {"function": {"name": "f", "arguments": {}}}
    (message,) = read_prompt([assistant([bare])]).messages
    assert message["tool_calls"] == [{"type": "function", **bare}]


def test_tools_go_with_conversations() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    for prompt in (read_prompt(user("x"), tools=tools), read_prompt("x", "chat", tools)):
        assert prompt.tools[0]["function"]["parameters"] == {"type": "object", "properties": {}}
    assert read_prompt("x", "raw", []).tools == ()
    for form in (None, "raw", "auto"):
        with pytest.raises(ConfigError, match="tools are for messages, or for text with"):
            Ensemble([Closed("x")]).stream("x", prompt_format=form, tools=tools)  # type: ignore[arg-type]
    with pytest.raises(PromptError, match="tool 1 needs a 'name'"):
        read_prompt(user("x"), tools=[*tools, {"function": {"name": "a b"}}])


def test_a_tuple_of_messages_is_a_conversation() -> None:
    assert read_prompt(tuple(user("x"))) == read_prompt(user("x"))


def test_a_prompt_beyond_a_members_window_is_refused_before_the_others_start() -> None:
    members = [ScriptedMember("x", "wide"), ScriptedMember("x", "narrow", window=6)]
    with pytest.raises(ContextWindowError, match=r"6 tokens for member 'narrow'.* is 6") as error:
        Ensemble(members).generate("prompt")
    assert (error.value.member, error.value.window, error.value.prompt_tokens) == ("narrow", 6, 6)
    assert Ensemble(members).generate("promp").finish_reason == "length"


def test_a_prompt_beyond_several_windows_names_the_smallest() -> None:
    class Broken(ScriptedMember):
        def open(self, *_: Any) -> Any:
            raise RuntimeError("not even opened")

    windows = {"small": 30, "smallest": 9, "wide": 999, "middle": 12}
    members = [ScriptedMember("x", name, window=size) for name, size in windows.items()]
    with pytest.raises(ContextWindowError, match=r"'smallest', whose context window is 9") as error:
        Ensemble([*members, Broken(name="broken")]).generate("p" * 40, on_member_error="drop")
    assert (error.value.window, error.value.prompt_tokens) == (9, 40)
    with pytest.raises(ContextWindowError, match="'small', whose context window is 30"):
        Ensemble(members).only(["wide", "small"]).generate("p" * 40)


def refuse(*_: Any) -> None:
    raise AssertionError("a forward was run")


def test_a_prompt_beyond_the_window_is_refused_before_any_forward() -> None:
    prompt = "many words " * 20
    wide = LocalMember(*FAMILIES["llama"](), "wide")
    narrow = LocalMember(*FAMILIES["gpt2"](max_position_embeddings=32), "narrow")
    for one in (wide, narrow):
        one.runner.model.register_forward_pre_hook(refuse)
    with pytest.raises(ContextWindowError, match=r"'narrow', whose context window is 32") as error:
        Ensemble([wide, narrow]).generate(prompt)
    assert error.value.prompt_tokens == narrow.count_tokens(prompt) > 32
    with pytest.raises(MemberError, match="a forward was run"):
        Ensemble([wide, narrow]).generate("x")


@pytest.mark.parametrize("form", ["raw", "chat"])
def test_a_prompt_that_a_tokenizer_reads_as_nothing_is_refused(form: Any) -> None:
    model, tokenizer = family("t5")  # drops blanks at the end, and puts no token first
    empty = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    member = LocalMember(model, tokenizer, "blind", chat_template=empty)
    with pytest.raises(PromptError, match="blind"):
        Ensemble([member]).generate("\n", prompt_format=form)


@pytest.mark.parametrize(
    "template", ["{{ raise_exception('no\nsystem') }}", "{{ x.y.z }}", "{% if"]
)
def test_a_template_that_fails_names_the_member(template: str) -> None:
    model, tokenizer = family("qwen2")
    one = LocalMember(model, tokenizer, "fussy", chat_template=template)
    with pytest.raises(PromptError, match=r"member 'fussy': its chat template refuses") as caught:
        Ensemble([one]).generate([{"role": "system", "content": "x"}])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3"])
def test_members_without_a_template_read_speakers_and_blank_lines(name: str) -> None:
    chat = [("system", "Be brief."), ("user", "Hi </s>"), ("assistant", "Yes?"), ("user", "2+2")]
    prompt = read_prompt([{"role": role, "content": text} for role, text in chat])
    model, tokenizer = family(name)
    member = LocalMember(model, tokenizer, name)
    session = member.open(prompt, DecodingConfig())
    expected = "System: Be brief.\n\nUser: Hi </s>\n\nAssistant: Yes?\n\nUser: 2+2\n\nAssistant:"
    ids = member.codec.encode_start(expected, special_tokens=True)
    assert list(member.render(prompt).ids) == ids
    assert str(tokenizer.decode(ids)).endswith(expected)
    assert (session.templated, session.extra_stops) == (False, (FALLBACK_STOP,))


@pytest.mark.parametrize("name", [name for name in FAMILIES if family(name)[1].bos_token_id])
@pytest.mark.parametrize("form", ["raw", "chat"])
def test_a_prompt_has_at_most_one_bos(name: str, form: Any) -> None:
    tokenizer: Any = family(name)[1]
    renderer = Renderer(TokenCodec(tokenizer, name), name)
    ids = renderer.render(read_prompt(f"a {tokenizer.bos_token} b", form)).ids
    assert ids.count(tokenizer.bos_token_id) == (0 if name == "gpt2" else 1)
    assert ids[0] == tokenizer.bos_token_id or name == "gpt2"


def test_blanks_that_a_chat_answer_leaves_out_count_as_tokens_of_the_limit() -> None:
    model, tokenizer = FAMILIES["qwen2"]()
    member = LocalMember(model, tokenizer, "blank")
    forward: Any = model.forward
    says = iter([*member.codec.encode(" ") * 2, tokenizer.eos_token_id])

    def two_blanks(*args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        output.logits[...] = 0.0
        output.logits[..., next(says)] = 99.0
        return output

    model.forward = two_blanks
    answer = Ensemble([member]).generate(user("x"), max_new_tokens=1)
    assert (answer.text, answer.usage["blank"].committed_tokens <= 1) == ("", True)
