"""docs/development: the how-tos are followed step by step in a copy of the package, and do what they say."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "development"
HOW_TOS = sorted(PAGES.glob("add_a_*.md"))
APART = {"add_a_backend"}  # puts another framework in the place of the real one
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def changed(text: str, diff: str, where: str) -> str:
    """A file's text after a diff without line numbers: its lines of context stand in the file once."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    assert text.count(before) == 1, (
        f"{where}: these lines stand {text.count(before)} times in the file. "
        f"Where you changed the file, give the page the lines that stand there now:\n{before}"
    )
    return text.replace(before, after)


def follow(page: Path, copy: Path) -> str:
    """Write the files, run the commands and make the changes of a page; return the code that tries the result."""
    code = ""
    for language, file, content in BLOCK.findall(page.read_text(encoding="utf-8")):
        path = copy / file.strip()
        if language == "diff":
            path.write_text(
                changed(path.read_text(encoding="utf-8"), content, f"{page.name}, {file.strip()}"), encoding="utf-8"
            )
        elif language == "sh":
            subprocess.run(content, shell=True, cwd=copy, check=True)
        elif language == "python" and file.strip():
            assert not path.exists(), f"{page.name} writes {file.strip()}, which is there"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        elif language == "python":
            code += content
    return code


RUN_ALL = """
import json, runpy, sys, traceback
errors = {}
for path in sys.argv[1:]:
    try:
        runpy.run_path(path)
        errors[path] = ""
    except BaseException:
        errors[path] = traceback.format_exc()
print("RESULT", json.dumps(errors))
"""


# Tests over the tables that the how-tos add to.
LAWS = (
    "tests/analysis",
    "tests/figures",
    "tests/gradients/test_flags.py",
    "tests/gradients/test_docs.py",
    "tests/attribution/test_attributions_page.py",
    "tests/attribution/test_every_method.py",
)


def tried(pages: list[Path], copy: Path) -> dict[str, str]:
    """Follow pages in one copy of the package, and run what tries each of them, in one process: the error of each page."""
    for folder in ("keras_xai", "tests", "docs"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__", "images"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    errors: dict[str, str] = {}
    for page in pages:
        try:
            code = follow(page, copy)
        except AssertionError as error:  # of this page alone: the others are tried
            errors[page.stem] = str(error)
            continue
        assert code, f"{page.name} does not try what it adds"
        (copy / f"{page.stem}.py").write_text(code, encoding="utf-8")
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        RUN_ALL,
        *(f"{page.stem}.py" for page in pages if page.stem not in errors),
    ]
    environment = os.environ | {"PYTHONPATH": str(copy), "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-4000:]
    for name, error in json.loads(process.stdout.rpartition("RESULT ")[2]).items():
        errors[name.removesuffix(".py")] = error
    return errors


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """The folder of the copy in which all pages were followed but those that stand in each other's way."""
    return tmp_path_factory.mktemp("together")


@pytest.fixture(scope="module")
def errors(together, tmp_path_factory):
    """The error of each page, "" where it does what it says."""
    of_page = tried([page for page in HOW_TOS if page.stem not in APART], together)
    for page in HOW_TOS:
        if page.stem in APART:
            of_page |= tried([page], tmp_path_factory.mktemp(page.stem))
    return of_page


@pytest.mark.parametrize("page", HOW_TOS, ids=lambda page: page.stem)
def test_a_how_to_does_what_it_says(page, errors):
    """Its files and changes in a copy of the package, then the code that tries them, in another process."""
    assert errors[page.stem] == ""


@pytest.mark.full  # half a minute
def test_what_the_how_tos_add_obeys_the_laws(together, errors):
    """A reader who follows the pages to the letter ends with green tests."""
    assert errors  # the pages were followed
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *LAWS]
    command += ["-k", "not test_every_method or squared_gradient or linear"]
    environment = os.environ | {"PYTHONPATH": str(together), "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.run(command, cwd=together, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout[-4000:]


def test_the_architecture_names_every_room():
    """In its table: a new room says there what it is for."""
    text = (PAGES / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)(?:/|\.py)`", text[text.index("## Rooms") : text.index("## The life")]))
    rooms = {path.stem for path in (ROOT / "keras_xai").iterdir() if path.suffix in ("", ".py") and path.stem[0] != "."}
    assert rooms - {"__pycache__"} - named == set()


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_files_that_a_page_names_are_there(page):
    """Paths of the repository in code marks."""
    text = page.read_text(encoding="utf-8")
    written = {file.strip() for language, file, _ in BLOCK.findall(text) if language == "python"}
    named = set(re.findall(r"`((?:keras_xai|tests|benchmarks|docs|examples|tools)/[\w/.]*)`", text)) - written
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
    modules = re.findall(r"python -m (benchmarks\.\w+)", text)
    assert [name for name in modules if not (ROOT / (name.replace(".", "/") + ".py")).exists()] == []


def test_the_glossary_is_in_order():
    """Every term once, by the alphabet."""
    terms = re.findall(r"^\*\*(.+?)\*\*", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(terms) >= 30
    assert terms == sorted(set(terms), key=str.lower)
