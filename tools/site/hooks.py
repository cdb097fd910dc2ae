"""What the site has beside the pages of docs/: the reference, notebooks, examples, the changelog; and its own checks.

`mkdocs build --strict` fails on each warning of these hooks.
"""

from __future__ import annotations

import ast
import json
import logging
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from notebook_pages import page_of  # beside this file

ROOT = Path(__file__).parent.parent.parent
REFERENCE = ROOT / "tools" / "site" / "reference"
TUTORIALS = ROOT / "docs" / "tutorials"
LOG = logging.getLogger("mkdocs.hooks.keras_xai")
# Pages that lie outside of docs/, by where the site has them.
ADDED = {"changelog.md": "CHANGELOG.md", "development/contributing.md": "CONTRIBUTING.md"}
WIDE = ("gallery/index.md",)  # pages of pictures, which take the room of the navigation
FENCES = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:\s]+)(#[\w-]+)?\)")
# What a browser requests by itself; a link is followed by hand.
REQUESTED = re.compile(
    r"<(?:script|img|iframe|source|audio|video)\b[^>]*?\bsrc=\"([^\"]+)\"|<link\b[^>]*?\bhref=\"([^\"]+)\""
)

site_pages: dict[str, str] = {"README.md": "index.md"}  # by the path in the repository


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the folders that the navigation names: tutorials and examples."""
    config.nav = _listed(config.nav)
    return config


def _listed(entries: list[Any]) -> list[Any]:
    """Return entries of the navigation, with the pages of a folder in the place of its name; without folders that are empty."""
    listed: list[Any] = []
    for entry in entries:
        if isinstance(entry, dict):
            [(title, target)] = entry.items()
            if isinstance(target, str) and target in FOLDERS:
                pages = FOLDERS[target]()
                listed += [{title: pages}] if pages else []
            else:
                listed.append({title: _listed(target) if isinstance(target, list) else target})
        else:
            listed.append(entry)
    return listed


def _tutorials() -> list[Any]:
    """Return the pages of the tutorials: their list, and the notebooks in its order."""
    listed = re.findall(r"\]\((\w+)\.ipynb\)", (TUTORIALS / "index.md").read_text(encoding="utf-8"))
    return ["tutorials/index.md", *(f"tutorials/{name}.md" for name in listed)]


def _examples() -> list[Any]:
    return [f"examples/{path.stem}.md" for path in sorted((ROOT / "examples").glob("*.py"))]


FOLDERS = {"tutorials": _tutorials, "examples": _examples}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of docs/."""
    for path in sorted(REFERENCE.glob("*.md")):
        files.append(_page(f"reference/{path.name}", path.read_text(encoding="utf-8"), config))
    for path in sorted((ROOT / "examples").glob("*.py")):
        site_pages[f"examples/{path.name}"] = f"examples/{path.stem}.md"
        files.append(_page(f"examples/{path.stem}.md", _example(path), config))
    pictures = {path.relative_to(TUTORIALS).as_posix() for path in TUTORIALS.glob("figures/*.webp")}
    for path in sorted(TUTORIALS.glob("*.ipynb")):
        text = page_of(json.loads(path.read_text(encoding="utf-8")), path.name, pictures)
        site_pages[f"docs/tutorials/{path.name}"] = f"tutorials/{path.stem}.md"
        files.append(_page(f"tutorials/{path.stem}.md", text, config))
    for uri, name in ADDED.items():
        site_pages[name] = uri
        files.append(_page(uri, (ROOT / name).read_text(encoding="utf-8"), config))
    added = set(site_pages.values())
    site_pages.update(
        {f"docs/{page.src_uri}": page.src_uri for page in files.documentation_pages() if page.src_uri not in added}
    )
    site_pages["docs/index.md"] = "index.md"
    return files


def _page(uri: str, text: str, config: MkDocsConfig) -> File:
    return File.generated(config, uri, content=text)


def _example(path: Path) -> str:
    """Return an example as a page: its docstring, and its code."""
    source = path.read_text(encoding="utf-8")
    module = ast.parse(source)
    words = (ast.get_docstring(module) or "").replace("    python", "```sh\npython")
    words = re.sub(r"(^```sh\n.*)$", r"\1\n```", words, flags=re.MULTILINE)
    code = "\n".join(source.splitlines()[module.body[0].end_lineno :]).strip()
    return f"# {path.name}\n\n{words}\n\n```python\n{code}\n```\n"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links between files of the repository to where the site has them; set what is wide."""
    uri = page.file.src_uri
    if uri in WIDE:
        page.meta["hide"] = ["navigation", "toc"]
    origins = {site: origin for origin, site in site_pages.items()}
    origin = origins.get(uri, f"docs/{uri}")

    def led(match: re.Match[str]) -> str:
        target, anchor = match[1], match[2] or ""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
        if path not in site_pages:
            return match[0]
        return f"]({posixpath.relpath(site_pages[path], posixpath.dirname(uri) or '.')}{anchor})"

    parts = FENCES.split(markdown)
    return "".join(part if part.startswith("```") else LINK.sub(led, part) for part in parts)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Warn of what a page would request from another host."""
    for match in REQUESTED.finditer(output):
        address = match[1] or match[2]
        if re.match(r"(?:https?:)?//", address):
            LOG.warning("%s: requests %s", page.file.src_uri, address)
    return output
