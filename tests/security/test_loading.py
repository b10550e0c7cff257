"""What is loaded runs nothing; names of models lead nowhere but to models; templates are caged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers.dynamic_module_utils

from adafuse import Ensemble, ModelNotFoundError, PromptError, UnsafeCheckpointError
from adafuse.demo.models import DEMO_MODELS
from adafuse.loading.sources import model_source, tokenizer_source
from adafuse.local.member import LocalMember
from adafuse.spec import MemberSpec
from families import family

ASK = [{"role": "user", "content": "Where is it?"}]
READS = "{{ messages[0].content }}"


def _with_code(folder: Path) -> Path:
    """A whole checkpoint with code beside it, which leaves a file when it runs."""
    model, tokenizer = family("llama")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    name = f"code_{folder.name}"
    code = f"open({str(folder / 'ran')!r}, 'w').close()\n"
    code += "from transformers import LlamaConfig, LlamaForCausalLM\n"
    code += f"class Odd(LlamaConfig):\n    model_type = '{name}'\n"
    code += "class OddModel(LlamaForCausalLM):\n    config_class = Odd\n"
    (folder / f"{name}.py").write_text(code)
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = name
    config["auto_map"] = {
        "AutoConfig": f"{name}.Odd",
        "AutoModelForCausalLM": f"{name}.OddModel",
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_remote_code_runs_for_the_member_that_asks_and_for_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = str(tmp_path / "modules")
    monkeypatch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", modules)
    monkeypatch.syspath_prepend(modules)
    trusted, other = (_with_code(tmp_path / name) for name in ("trusted", "other"))
    with pytest.raises(UnsafeCheckpointError, match="member 'other'"):
        Ensemble.load([{"model": str(trusted), "trust_remote_code": True}, str(other)])
    assert (trusted / "ran").exists()
    assert not (other / "ran").exists()


def test_every_demo_model_has_a_version_and_a_checksum() -> None:
    for model in DEMO_MODELS.values():
        assert len(bytes.fromhex(model.sha256)) == 32
        assert all("==" in package for package in model.packages)


ODD_NAMES = [
    "../../etc", "../../etc/passwd", "/etc/passwd", "/etc", "..", "org/../../etc", "org/..",
    "org/repo/../../x.gguf", "../x.gguf", "a\0b", "a\nb", "org/repo\n", "a\\..\\b", "~root/x",
    "~nobody-here/x", "file:///etc", "https://example.com/x", "$(id)", "org/repo;id", "`id`",
    "/dev/zero", "/dev/stdin", "/proc/self/mem", "a" * 5000, "\u202eabc", "-o/../x",
]  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES, ids=lambda name: repr(name[:24]))
def test_odd_names_of_models_are_refused_in_one_printable_line(name: str) -> None:
    for spec in (MemberSpec(name), MemberSpec("org/repo", tokenizer=name)):
        if spec.tokenizer is not None and Path(name[:99].replace("\0", "")).is_dir():
            continue  # a folder may hold a tokenizer; reading it tells
        with pytest.raises(ModelNotFoundError) as caught:
            tokenizer_source(spec, model_source(spec, spec.model))
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize("revision", ["../../x", "a/../../b", "/etc", "a\nb", "a\0b", ".", "a//b"])
def test_odd_revisions_are_refused(revision: str) -> None:
    spec = MemberSpec("org/repo", revision=revision)
    with pytest.raises(ModelNotFoundError, match="no branch, tag or commit"):
        model_source(spec, spec.model)


def test_a_revision_is_pinned() -> None:
    spec = MemberSpec("org/repo", revision="0123456789abcdef0123456789abcdef01234567")
    assert model_source(spec, spec.model).arguments["revision"] == spec.revision


def _asked(template: str) -> Any:
    member = LocalMember(*family("qwen2"), "m", chat_template=template)
    return Ensemble([member]).generate(ASK, max_new_tokens=1)


HOSTILE = [
    "{{ messages.__class__.__mro__ }}",
    "{{ ''.__class__.__base__.__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ messages|attr('__class__')|attr('mro') }}",
    "{{ raise_exception.__globals__['os'].getcwd() }}",
    "{{ strftime_now.__code__.co_filename.upper() }}",
    "{{ self.__init__.__globals__ }}",
    "{{ lipsum.__globals__.os }}",
    "{{ '{0.__class__.__mro__}'.format(messages) }}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update(role='system') }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{{ range(10**9)|list|length }}",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_template_reaches_nothing(hostile: str) -> None:
    """It is refused by the sandbox, or gives nothing at all where a harmless one gives a text."""
    assert _asked(READS).usage["m"].prompt_tokens > 0
    with pytest.raises(PromptError, match="member 'm': its chat template refuses") as caught:
        _asked(READS + hostile)
    assert "\n" not in str(caught.value)


def test_a_template_that_writes_too_much_is_too_long_for_the_window() -> None:
    with pytest.raises(PromptError, match="context window"):
        _asked(READS + "{{ 'x ' * 10000 }}")


def test_a_template_that_asks_for_more_memory_than_there_is_is_refused() -> None:
    with pytest.raises(PromptError, match="refuses the messages: MemoryError"):
        _asked(READS + "{{ 'x' * 10**17 }}")
