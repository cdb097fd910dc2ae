"""docs/trust.md and docs/security.md: every test, file and benchmark that they name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("trust", "security")


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_exists(page):
    """A promise is a test that can be run."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert {name for name in re.findall(r"`(test_\w+)`", text) if f"def {name}(" not in code} == set()
    files = re.findall(r"`?((?:tests|benchmarks)/[\w/]+\.py)", text)
    files += [name.replace(".", "/") + ".py" for name in re.findall(r"python -m (benchmarks\.\w+)", text)]
    assert [name for name in files if not (ROOT / name).exists()] == []
    assert files or page == "security"
