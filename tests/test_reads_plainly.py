"""The mechanical part of how the code is to read: names, first words of docstrings, statements rather than folded expressions.

CONTRIBUTING.md says the rules in words.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Words that say what happened to a value, or where it stands, and not what it is.
NO_NAMES = frozenset(
    [
        "found",
        "told",
        "given",
        "one",
        "here",
        "there",
        "now",
        "seen",
        "shown",
        "said",
        "heard",
        "known",
        "kept",
        "tried",
        "asked",
        "made",
        "own",
        "rest",
        "hit",
        "mine",
        "fresh",
        "waiting",
        "alike",
        "wanted",
    ]
)

# Names that others use: (file, name).
EXCEPT: frozenset[tuple[str, str]] = frozenset()

NO_FIRST_WORDS = ("What", "Whether", "How", "Which", "Where", "When")

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def files() -> list[Path]:
    """Every file of the package, the benchmarks and the examples, but generated ones."""
    paths = [
        path for folder in ("keras_xai", "benchmarks", "examples") for path in sorted((ROOT / folder).rglob("*.py"))
    ]
    return [path for path in paths if not path.name.endswith("_pb2.py")]


def bound_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every name that a file gives to something: variables, parameters, functions, classes, attributes, imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.lineno, node.name
        elif isinstance(node, ast.alias) and node.asname:
            yield node.lineno, node.asname


def docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Those of the module, its classes and functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text


def inside(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below this one, without what a lambda or a function inside it does."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.Lambda):
            yield child
            yield from inside(child)


def folded(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Expressions that are to be statements with names."""
    for node in ast.walk(tree):
        if isinstance(node, COMPREHENSIONS) and any(isinstance(child, COMPREHENSIONS) for child in inside(node)):
            yield node.lineno, "a comprehension inside a comprehension"
        if isinstance(node, ast.IfExp) and any(isinstance(child, ast.IfExp) for child in inside(node)):
            yield node.lineno, "a conditional expression inside a conditional expression"
        if isinstance(node, (ast.Call, *COMPREHENSIONS)) and any(isinstance(c, ast.NamedExpr) for c in inside(node)):
            yield node.lineno, "an assignment (:=) inside a call or a comprehension"


def complaints(source: str, name: str) -> list[str]:
    """List what in a file does not read plainly, each with its line."""
    tree = ast.parse(source)
    lines = [
        (line, f"{word!r} does not say what it holds: name the content")
        for line, word in bound_names(tree)
        if word.lstrip("_") in NO_NAMES and (name, word) not in EXCEPT
    ]
    lines += [
        (line, f"a docstring begins with {text.split()[0]!r}: begin with a verb or a noun")
        for line, text in docstrings(tree)
        if text.split()[0] in NO_FIRST_WORDS
    ]
    lines += list(folded(tree))
    return [f"{name}:{line}: {complaint}" for line, complaint in sorted(set(lines))]


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_reads_plainly(path):
    """No name that says nothing, no docstring that begins with a question word, no folded expression."""
    assert complaints(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))) == []


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("found = 1", "'found'"),
        ("self.told = 1", "'told'"),
        ("_kept = 1", "'_kept'"),
        ("def f(given): pass", "'given'"),
        ("def heard(): pass", "'heard'"),
        ("for one in x: pass", "'one'"),
        ("[hit for hit in x]", "'hit'"),
        ("class A:\n    seen: int", "'seen'"),
        ("with a as here: pass", "'here'"),
        ("def f():\n    'Whether it is.'", "'Whether'"),
        ("[[b for b in a] for a in x]", "comprehension inside"),
        ("{a: b for a in (c for c in x)}", "comprehension inside"),
        ("a if b else c if d else e", "conditional"),
        ("f(a := 1)", "assignment"),
        ("[a for b in x if (a := b)]", "assignment"),
    ],
)
def test_the_rules_see_what_they_forbid(source, complaint):
    """One example of each."""
    assert any(complaint in line for line in complaints(source, "example.py"))


@pytest.mark.parametrize("source", ["if (m := f(x)): pass", "[f(lambda: [b for b in c]) for a in x]", "a if b else c"])
def test_the_rules_let_plain_code_pass(source):
    """A walrus in an `if` is a statement with a name; a lambda is a function by itself."""
    assert complaints(source, "example.py") == []
