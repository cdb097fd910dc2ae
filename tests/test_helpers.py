"""No test or benchmark leans on another: what several need stands in a module of its own, named for what it holds."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(
    [*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "examples").glob("*.py")]
)


def module_path(name: str) -> Path | None:
    """The file of a module of tests or benchmarks; None for any other module."""
    path = ROOT.joinpath(*name.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.exists()), None)


def is_runnable(path: Path) -> bool:
    """Return whether a file is a test or its fixtures, or a script that runs by itself."""
    return path.name.startswith(("test_", "conftest")) or '__name__ == "__main__"' in path.read_text(encoding="utf-8")


def imported_modules(path: Path) -> set[str]:
    """Every module of tests or benchmarks that a file imports."""
    package = ".".join(path.relative_to(ROOT).parent.parts)
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = f"{package}.{node.module or ''}".rstrip(".") if node.level else node.module or ""
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.split(".")[0] in ("tests", "benchmarks", "examples")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_imported_from_a_test_or_a_benchmark(path):
    """Whoever changes a test changes that test alone."""
    paths = {name: module_path(name) for name in imported_modules(path)}
    assert [name for name, file in paths.items() if file is not None and is_runnable(file)] == []
