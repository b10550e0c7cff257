"""How the packages' files import each other: no circle, lazy and type-only imports included."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import adafuse
import adafuse_integrations

MAPS = ("docs/architecture.md", "CONTRIBUTING.md")
PACKAGES = [Path(package.__path__[0]) for package in (adafuse, adafuse_integrations)]


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> dict[str, Path]:
    """Every file of both packages by its module's name."""
    return {module_name(path, root): path for root in PACKAGES for path in root.rglob("*.py")}


def imported(path: Path, module: str) -> Iterator[str]:
    """Dotted names that a file imports, wherever in it."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *(node.module.split(".") if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def graph() -> dict[str, set[str]]:
    """The modules that each module imports."""
    files = sources()
    edges: dict[str, set[str]] = {}
    for module, path in files.items():
        targets = set()
        for name in imported(path, module):
            origin = name if name in files else name.rpartition(".")[0]
            if origin in files:
                targets.add(origin)
        edges[module] = targets - {module}
    return edges


def cycles(edges: dict[str, set[str]]) -> list[set[str]]:
    """Sets of modules that reach each other: strongly connected components of two or more."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for target in edges[waiting.pop()] - seen:
                seen.add(target)
                waiting.append(target)
        return seen

    reach = {module: reached(module) for module in edges}
    return [
        {other for other in reach[module] if module in reach[other]}
        for module in edges
        if module in reach[module]
    ]


def test_no_file_imports_itself_by_way_of_others() -> None:
    edges = graph()
    assert sum(map(len, edges.values())) > 300, "imports are not read"
    assert cycles(edges) == []


def test_a_circle_would_be_found() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}] * 3


def test_no_file_is_longer_than_300_lines() -> None:
    tests = Path(__file__).parents[1]
    roots = [*PACKAGES, tests, tests.parent / "benchmarks", tests.parent / "examples"]
    long = {
        str(path): lines
        for root in roots
        for path in root.rglob("*.py")
        if (lines := path.read_text("utf-8").count("\n")) > 300
    }
    assert long == {}


def test_the_map_names_files_that_are_there() -> None:
    root = Path(__file__).parents[2]
    text = "".join((root / name).read_text("utf-8") for name in MAPS)
    named = set(re.findall(r"[\w/]+\.py\b", text)) | set(re.findall(r"`([\w/]+/)`", text))
    places = [root, *PACKAGES]
    assert len(named) > 50
    assert [name for name in named if not any((place / name).exists() for place in places)] == []
