"""The documentation as pages of the tab: the Markdown of `docs/`, which the package has with it, as HTML.

The pages' own HTML is shown as text: `markdown-it-py` renders Markdown alone.
"""

from __future__ import annotations

import functools
import html
import posixpath
import re
from pathlib import Path
from typing import Any

from keras_xai.figures.colour import TOKENS, Theme

IMAGE_TYPES = {".png": "image/png", ".svg": "image/svg+xml"}
# Installed, the pages lie in the package; in a checkout they lie beside it.
FOLDERS = (Path(__file__).parents[1] / "docs", Path(__file__).parents[2] / "docs")
START = "index"
SITE_ONLY = ("gallery",)  # folders that the package does not have with it: what they show the tab shows itself
_STYLE = """
:root { color-scheme: %(scheme)s; }
body { margin: 0; background: %(page)s; color: %(text)s; font: 15px/24px Roboto, "Helvetica Neue", Arial, sans-serif; }
nav { padding: 12px 24px; border-bottom: 1px solid %(line)s; font-size: 13px; }
main { max-width: 800px; margin: 0 auto; padding: 8px 24px 64px; overflow-wrap: anywhere; }
h1 { font-size: 26px; line-height: 32px; font-weight: 500; }
h2 { margin-top: 40px; font-size: 19px; font-weight: 500; }
h3 { margin-top: 32px; font-size: 16px; font-weight: 500; }
a { color: %(accent)s; }
img { max-width: 100%%; }
code, pre { font: 13px/20px "Roboto Mono", "DejaVu Sans Mono", monospace; background: %(rail)s; border-radius: 4px; }
code { padding: 1px 4px; }
pre { padding: 12px 16px; overflow: auto; border: 1px solid %(line)s; }
pre code { padding: 0; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; line-height: 20px; overflow-wrap: normal; }
th, td { padding: 6px 16px 6px 0; border-bottom: 1px solid %(line)s; text-align: left; vertical-align: top; }
:target { scroll-margin-top: 16px; color: %(accent)s; }
"""


@functools.cache
def folder() -> Path:
    """Return the folder of the pages.

    Raises:
        FileNotFoundError: this installation has none.
    """
    for path in FOLDERS:
        if (path / f"{START}.md").is_file():
            return path
    raise FileNotFoundError("this installation has no documentation")


@functools.cache
def pages() -> dict[str, Path]:
    """Return the pages by their names, which are those of the files: "drift", "development/index"."""
    names = {path.relative_to(folder()).with_suffix("").as_posix(): path for path in sorted(folder().rglob("*.md"))}
    return {name: path for name, path in names.items() if name.partition("/")[0] not in SITE_ONLY}


@functools.cache
def images() -> dict[str, tuple[bytes, str]]:
    """Return the pages' images by their paths: content and content type."""
    paths = [path for path in sorted(folder().rglob("*")) if path.suffix in IMAGE_TYPES]
    return {path.relative_to(folder()).as_posix(): (path.read_bytes(), IMAGE_TYPES[path.suffix]) for path in paths}


def anchor(heading: str) -> str:
    """Return the anchor of a heading, as GitHub makes it.

    Example:
        >>> anchor("When it is an alarm: `live`")
        'when-it-is-an-alarm-live'
    """
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@functools.cache
def page(name: str, theme: Theme = "light") -> str:
    """Return a page as HTML.

    Args:
        name: a key of `pages`.
        theme: "light" or "dark"; links to other pages keep it.
    """
    from markdown_it import MarkdownIt  # not at TensorBoard's start

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(pages()[name].read_text(encoding="utf-8"))
    title = name
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open" and following is not None:
            token.attrSet("id", anchor(following.content))
            title = following.content if token.tag == "h1" else title
        for child in token.children or []:
            _lead(child, name, theme)
    body = parser.renderer.render(tokens, parser.options, {})
    body = body.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")
    up = posixpath.relpath(START, posixpath.dirname(name) or ".")
    style = _STYLE % {**TOKENS[theme], "scheme": theme}
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style>'
    navigation = f'<nav><a href="{up}?theme={theme}">keras_xai: documentation</a></nav>'
    return (
        f'<!DOCTYPE html><html lang="en"><head>{head}<title>{html.escape(title)}</title></head>'
        f"<body>{navigation}<main>{body}</main></body></html>"
    )


def _lead(token: Any, name: str, theme: str) -> None:
    """Lead a link to another page there, in the same theme; one off the host opens apart, one out of the folder is text."""
    if token.type != "link_open":
        return
    target = str(token.attrGet("href") or "")
    if re.match(r"[a-z]+:", target):
        token.attrSet("target", "_blank")
        token.attrSet("rel", "noopener noreferrer")
        return
    path, _, heading = target.partition("#")
    page_name = posixpath.normpath(posixpath.join(posixpath.dirname(name), path.removesuffix(".md")))
    if page_name in pages():
        token.attrSet("href", f"{path.removesuffix('.md')}?theme={theme}{'#' + heading if heading else ''}")
    elif path:
        token.attrs.pop("href")
