"""A setting is written in one place, `adafuse.config`; all else that tells of it follows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from adafuse import DecodingConfig
from adafuse_integrations._shared.settings import SETTINGS, DecodingFields
from settings_table import settings_table

ROOT = Path(__file__).parents[2]
ADDED = """\
    sharpness: float = _setting(0.5, partial(check_float, low=0, high=1), "How sharp it is.")
    branches: int"""
SCRIPT = """
import json
from typer.testing import CliRunner
from adafuse import DecodingConfig, Ensemble
from adafuse.cli.ask import app
from adafuse_integrations.langchain import ChatAdaFuse
from adafuse_integrations.llama_index import AdaFuseLLM
from settings_table import settings_table

def load(models, **options):
    raise SystemExit(f"sharpness {options['sharpness']}")

Ensemble.load = load
run = lambda *arguments: CliRunner().invoke(app, arguments, env={"COLUMNS": "200"}, color=False)
values = []
for model in (ChatAdaFuse, AdaFuseLLM):
    values.append(model(models=["org/a"], sharpness=0.25)._decoding().sharpness)
    values.append(model.model_fields["sharpness"].description)
    try:
        model(models=["org/a"], sharpness=2.0)
    except ValueError as error:
        values.append("sharpness must be a finite number from 0 to 1" in str(error))
values.append("--sharpness" in (told := run("--help").stdout) and "How sharp it is." in told)
values.append(str(run("hi", "-m", "org/a", "--sharpness", "0.75").exception))
values.append("sharpness must be" in run("hi", "-m", "org/a", "--sharpness", "2").stderr)
values.append("| `sharpness` | 0.5 | How sharp it is. |" in settings_table())
print(json.dumps(values))
"""


def test_the_table_of_the_readme_is_made_of_the_settings() -> None:
    """If this fails: put what `python tests/support/settings_table.py` prints into README.md."""
    assert f"\n\n{settings_table()}\n" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_fields_of_wrappers_are_the_settings() -> None:
    for setting, (name, field) in zip(
        fields(DecodingConfig), DecodingFields.model_fields.items(), strict=True
    ):
        assert SETTINGS[name] == setting.name
        assert (field.default, field.description) == (
            setting.default,
            setting.metadata["description"],
        )


def test_a_setting_that_is_added_reaches_wrappers_command_and_readme(tmp_path: Path) -> None:
    pytest.importorskip("langchain_core")
    pytest.importorskip("llama_index.core")
    for package in ("adafuse", "adafuse_integrations"):
        shutil.copytree(ROOT / package, tmp_path / package)
    config = tmp_path / "adafuse" / "config.py"
    source = config.read_text(encoding="utf-8")
    assert source.count("    branches: int") == 1
    config.write_text(source.replace("    branches: int", ADDED), encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), str(ROOT / "tests" / "support")])
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    of_model = [0.25, "How sharp it is.", True]
    assert json.loads(result.stdout) == [*of_model, *of_model, True, "sharpness 0.75", True, True]
