"""The table of settings in README.md, made of the settings. As a command it prints the table."""

from __future__ import annotations

from dataclasses import fields

from adafuse.config import DecodingConfig
from adafuse.presets import ABOUT_PRESETS
from adafuse_integrations._shared.settings import SETTINGS

__all__ = ["settings_table"]


def settings_table() -> str:
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for of_model, setting in zip(SETTINGS, fields(DecodingConfig), strict=True):
        meaning = setting.metadata["description"]
        if of_model != setting.name:
            meaning += f" In LangChain and LlamaIndex: `{of_model}`."
        lines.append(f"| `{setting.name}` | {_shown(setting.default)} | {meaning} |")
    lines.append(f"| `preset` | none | {ABOUT_PRESETS} |")
    return "\n".join(lines) + "\n"


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    return "none" if default in (None, ()) else str(default)


if __name__ == "__main__":
    print(settings_table(), end="")
