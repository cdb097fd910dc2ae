"""Runs the notebooks of docs/tutorials, and keeps what they print and draw.

    python -m benchmarks.tutorials [NAME ...]

What is printed stays in the notebook as text. A figure is a picture beside it, `figures/NAME-CELL.webp`, drawn by the system's
Chromium (or the one that CHROME_BIN names) with the installed plotly.
"""

from __future__ import annotations

import argparse
import base64
import json
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import sync_playwright
from plotly.graph_objects import Figure

from benchmarks._browser import OPTIONS, browser_path
from benchmarks._notebooks import executed, figures, keep_text, notebooks, picture_path

WIDTH, SCALE = 900, 1.5
QUALITY = 0.9
TO_WEBP = """async ([data, quality]) => {
    const image = new Image();
    image.src = data;
    await image.decode();
    const canvas = document.createElement('canvas');
    canvas.width = image.width;
    canvas.height = image.height;
    canvas.getContext('2d').drawImage(image, 0, 0);
    return canvas.toDataURL('image/webp', quality).split(',')[1];
}"""


def main(names: list[str]) -> None:
    """Run the notebooks of these names, all without one."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=list(OPTIONS))
        for path in notebooks():
            if not names or path.stem in names:
                run(path, browser)
        browser.close()


def run(path: Path, browser: Any) -> None:
    """Run one notebook, and write it and its pictures."""
    with tempfile.TemporaryDirectory() as folder:
        notebook = executed(path, Path(folder))
    drawn = figures(notebook)
    for old in picture_path(path, "").parent.glob(f"{path.stem}-*.webp"):
        old.unlink()
    for cell, figure in drawn.items():
        write_picture(figure, picture_path(path, cell), browser)
    keep_text(notebook)
    path.write_text(as_json(notebook), encoding="utf-8")
    print(path.stem, *drawn, flush=True)


def as_json(notebook: Any) -> str:
    """Return a notebook as text, in an order of its own keys that does not change."""
    return json.dumps(json.loads(nbformat.writes(notebook)), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def write_picture(figure: Any, path: Path, browser: Any) -> None:
    """Draw plotly's JSON, and write it as WebP."""
    path.parent.mkdir(exist_ok=True)
    page = browser.new_page(viewport={"width": WIDTH, "height": 600}, device_scale_factor=SCALE)
    html = Figure(figure).to_html(include_plotlyjs=True, config={"displayModeBar": False})
    page.set_content(f"<style>body {{ margin: 0; }}</style>{html}")
    page.wait_for_selector(".main-svg")
    page.wait_for_timeout(500)
    picture = page.locator(".plotly-graph-div").screenshot()
    data = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    path.write_bytes(base64.b64decode(page.evaluate(TO_WEBP, [data, QUALITY])))
    page.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of notebooks; all without one")
    main(parser.parse_args().names)
