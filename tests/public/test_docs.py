"""What the pages name is there: files, links, names, options, and the rows of their tables."""

import ast
import builtins
import importlib
import itertools
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.main import get_command

import adafuse.errors
from adafuse.config import DecodingConfig
from adafuse.events import RoundKind
from adafuse.spec import RayOptions

ROOT = Path(__file__).parents[2]
PAGES = (*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md")
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text("utf-8") for page in PAGES}
GUIDES = {name: text for name, text in TEXTS.items() if "comparison" not in name}
OTHERS = ("llama_index/", "langchain_", "core/", "chat_models/", "llms/", "tasks/")  # packages'
COMMANDS = ("ask", "compare", "fit", "serve")
OTHER_ERRORS = {"ConnectError", "UndefinedError", "ValidationError"}
FOREIGN = {"--modelfile",   # options of other programs
    "--apply_chat_template", "--gen_kwargs", "--include_path", "--model_args", "--num_fewshot",
    "--output_path", "--tasks", "--disable-pip", "--no-deps", "--resources",
}  # fmt: skip
BENCHMARKS = ("docs/measurements.md", "docs/evidence.md", "CONTRIBUTING.md")


def source() -> str:
    files = [*ROOT.glob("adafuse/**/*.py"), *ROOT.glob("adafuse_integrations/**/*.py")]
    return "\n".join(file.read_text("utf-8") for file in files)


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the table that begins with a heading's row."""
    lines = TEXTS[page].partition(f"\n{heading}\n")[2].splitlines()[1:]
    table = itertools.takewhile(lambda line: line.startswith("|"), lines)
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]
    assert cells, heading
    return cells


def code(cell: str) -> list[str]:
    """What a cell has in backticks."""
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("page", TEXTS)
def test_files_that_a_page_names_are_there(page: str) -> None:
    named = re.findall(r"[\w./-]+/[\w./-]+\.(?:py|md|yaml|jsonl?|svg|sh)\b", TEXTS[page])
    for name in {name for name in named if not name.startswith((*OTHERS, "/"))}:
        places = (ROOT, ROOT / "docs", ROOT / "adafuse", ROOT / "tests")
        assert any((place / name).exists() for place in places) or "//" in name, name


@pytest.mark.parametrize("page", TEXTS)
def test_links_of_a_page_lead_somewhere(page: str) -> None:
    for path, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", TEXTS[page]):
        if path.startswith("http"):
            continue
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), path
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings]
            assert anchor in slugs, anchor


@pytest.mark.parametrize("page", GUIDES)
def test_python_of_a_page_imports_what_there_is(page: str) -> None:
    for block in re.findall(r"```python\n(.*?)```", TEXTS[page], re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("adafuse"):
                module: Any = importlib.import_module(str(node.module))
                for alias in node.names:
                    assert hasattr(module, alias.name), (page, alias.name)


@pytest.mark.parametrize("page", GUIDES)
def test_options_and_errors_and_variables_of_a_page_are_there(page: str) -> None:
    written = source()
    if page not in BENCHMARKS:
        for option in set(re.findall(r"(?<![\w-])--[a-z][\w-]+", TEXTS[page])) - FOREIGN:
            assert option in options(), option
    for name in set(re.findall(r"\b(?:ADAFUSE|OTEL)_[A-Z_]+\b", TEXTS[page])):
        assert name in written or name == "ADAFUSE_DATA", name
    for name in set(re.findall(r"`([A-Z]\w+Error)`", TEXTS[page])):
        assert hasattr(builtins, name) or hasattr(adafuse.errors, name) or name in OTHER_ERRORS, (
            name
        )


def options() -> set[str]:
    """Of all commands."""
    found = set[str]()
    for name in COMMANDS:
        command: Any = get_command(importlib.import_module(f"adafuse.cli.{name}").app)
        for part in (command, *getattr(command, "commands", {}).values()):
            found |= {option for one in part.params for option in (*one.opts, *one.secondary_opts)}
    return found | {"--help"}


def test_every_variable_of_the_environment_is_on_a_page() -> None:
    everything = "\n".join(TEXTS.values())
    for name in set(re.findall(r"\bADAFUSE_[A-Z_]*[A-Z]\b", source())):
        assert f"`{name}`" in everything, name


@pytest.mark.parametrize("page", TEXTS)
def test_targets_of_make_that_a_page_names_are_there(page: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    named = re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", TEXTS[page], re.MULTILINE)
    assert {one or other for one, other in named} <= set(targets)


@pytest.mark.parametrize(
    ("page", "said", "module"),
    [
        ("docs/speed.md", r"on (\d+) random ensembles", "local/test_speculation.py"),
        ("docs/measurements.md", r"compares (\d+) random ensembles", "decoding/test_parity.py"),
    ],
)
def test_a_page_knows_how_much_is_compared(page: str, said: str, module: str) -> None:
    found = re.search(said, TEXTS[page])
    assert found is not None
    assert f"\nMIXES = {found.group(1)}\n" in (ROOT / "tests" / module).read_text("utf-8")


@pytest.mark.parametrize("page", GUIDES)
def test_settings_that_are_gone_are_named_nowhere(page: str) -> None:
    gone = {"scoring", "weighting", "leader", "contested_only"}
    assert not gone & {f.name for f in fields(DecodingConfig)}
    for name in gone:
        assert not re.search(rf"`{name}[`=]|\b{name}=", TEXTS[page]), name


def test_the_table_of_extras() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = [
        code(cells[0])[0] for cells in rows("README.md", "| extra | brings |") if code(cells[0])
    ]
    assert sorted(named) == sorted(project["optional-dependencies"])


def test_the_map_has_every_package() -> None:
    table = rows("docs/architecture.md", "| package | its one idea |")
    named = {name.strip("/") for cells in table for name in code(cells[0])}
    there = {path.stem for path in (ROOT / "adafuse").iterdir() if path.suffix in ("", ".py")}
    assert {name for name in there if not name.startswith("_")} <= named


def test_the_tables_of_telemetry() -> None:
    written = source()
    page = "docs/telemetry.md"
    for _, logger, _ in rows(page, "| level | logger | says |"):
        assert f'getLogger("{code(logger)[0]}")' in written
    for metric, _, attributes in rows(page, "| name | | attributes |"):
        assert f'"{code(metric)[0]}"' in written
        if code(metric) == ["adafuse.rounds"]:
            assert sorted(code(attributes)[1:]) == sorted(get_args(RoundKind))


def test_the_table_of_what_a_member_on_a_cluster_may_ask_for() -> None:
    table = {
        code(name)[0]: default
        for name, default, _ in rows("docs/ray.md", "| option | default | meaning |")
    }
    options = RayOptions()
    assert list(table) == [each.name for each in fields(RayOptions)]
    assert table.pop("resources") == "none"
    assert table == {name: f"{getattr(options, name):g}" for name in table}


def test_the_arguments_of_the_server() -> None:
    pytest.importorskip("fastapi")
    from adafuse.serve.request import ARGUMENTS

    named = {name for cells in rows("docs/serve.md", "| argument | |") for name in code(cells[0])}
    assert named - {"DecodingConfig", "max_new_tokens"} <= ARGUMENTS


BEGIN = """
import sys
sys.path.insert(0, {support!r})
from adafuse_integrations.langchain import ChatAdaFuse
from families import family
model, tokenizer = family("llama")  # it has no chat template, which a warning says
model.save_pretrained({folder!r}), tokenizer.save_pretrained({folder!r})
chat = ChatAdaFuse(models=[{folder!r}])
"""


def test_what_the_page_says_makes_a_wrapper_quiet(tmp_path: Path) -> None:
    pytest.importorskip("langchain_core")
    part = TEXTS["docs/langchain.md"].partition("## Warm up, and be quiet\n")[2]
    warm_up, quiet = re.findall(r"```python\n(.*?)```", part, re.DOTALL)[:2]
    begin = BEGIN.format(support=str(ROOT / "tests" / "support"), folder=str(tmp_path / "model"))
    loud = written_by(begin + warm_up)
    assert "Loading weights" in loud
    assert "AdaFuseWarning" in loud
    silent = written_by(begin + quiet + warm_up)
    assert "Loading weights" not in silent
    assert "Warning" not in silent


def written_by(script: str) -> str:
    """What a program writes to stderr."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr
