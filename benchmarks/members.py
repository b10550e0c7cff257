"""Models as members of a benchmark: each reads messages in the form that it was trained to read."""

from collections.abc import Collection, Mapping
from pathlib import Path

from adafuse.errors import ConfigError
from adafuse.spec import MemberSpec

__all__ = ["PLAIN", "specs_of"]

PLAIN = """\
{{ bos_token }}
{%- for m in messages %}{% if m['role'] == 'system' %}{{ m['content'] }}

{% elif m['role'] == 'user' %}{{ m['content'] }}
{% else %}Answer: {{ m['content'] }}

{% endif %}{% endfor %}{% if add_generation_prompt %}Answer:{% endif %}"""
"""Messages as a list of questions and answers, for members that have no template of their own."""


def specs_of(
    models: Mapping[str, str | Path], dtype: str, plain: Collection[str], cache_mb: int
) -> list[MemberSpec]:
    """Specifications of models by member name.

    Those named in `plain`, and those that have no chat template of their own, get `PLAIN`.

    Raises:
        ConfigError: `plain` names somebody else.
    """
    if unknown := set(plain) - set(models):
        raise ConfigError(f"there is no member {min(unknown)!r} to read plain prompts")
    return [
        MemberSpec(
            str(model),
            name=name,
            dtype=dtype,
            prompt_cache_mb=cache_mb,
            chat_template=PLAIN if name in plain or not _has_template(model) else None,
        )
        for name, model in models.items()
    ]


def _has_template(model: str | Path) -> bool:
    from transformers import AutoTokenizer

    return bool(AutoTokenizer.from_pretrained(model).chat_template)
