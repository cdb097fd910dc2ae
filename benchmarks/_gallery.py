"""The pictures of docs/gallery and of docs/start.md: which scenes they show, and how they are written."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

DOCS = Path(__file__).parent.parent / "docs"
FOLDER = DOCS / "gallery"
START_PICTURE = DOCS / "images" / "start_digits.png"
WIDTH = 1280


class Shot(NamedTuple):
    """One picture: what the page shows, and in which theme."""

    state: Mapping[str, Any]
    theme: str = "light"


def of_run(name: str, view: str, **more: Any) -> dict[str, Any]:
    """A view of one run."""
    return {"focus": name, "runs": [name], "view": view, **more}


PATH_METHOD = {"method": "integrated_gradients"}
# By the name of the file.
SHOTS: dict[str, Shot] = {
    "caught": Shot(of_run("digits/watermark", "overview", runs=["digits/watermark", "digits/clean"], epoch=19)),
    "shortcut": Shot(of_run("cancer/shortcut", "reliance_gap")),
    "drift": Shot(of_run("cancer/mlp", "importance_drift", epoch=19, **PATH_METHOD)),
    "pictures": Shot(of_run("digits/watermark", "probe_attributions", epoch=19)),
    "epochs": Shot(of_run("digits/watermark", "probe_attributions", epoch=19, compare="epochs")),
    "words": Shot(of_run("reviews/conv1d", "probe_attributions", **PATH_METHOD)),
    "series": Shot(of_run("sensors/conv1d", "probe_attributions", **PATH_METHOD)),
    "predictions": Shot(of_run("digits/watermark", "predictions", epoch=19)),
    "mappings": Shot(of_run("digits/mapped", "mappings")),
    "gradients": Shot(of_run("digits/watermark", "weight_gradients", epoch=19)),
    "table_dark": Shot(of_run("cancer/mlp", "probe_attributions", **PATH_METHOD), "dark"),
    "caught_dark": Shot(of_run("digits/watermark", "overview", epoch=19), "dark"),
}

# A canvas without loss at quality 1: text and lines stay sharp.
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
MAX_BYTES = 100_000


def write_webp(browser: Any, picture: bytes, path: Path) -> None:
    """Write a PNG as WebP, drawn by the browser itself: without loss where that stays below `MAX_BYTES`."""
    page = browser.new_page()
    data = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    for quality in (1.0, 0.95, 0.9, 0.8):
        content = base64.b64decode(page.evaluate(TO_WEBP, [data, quality]))
        if len(content) < MAX_BYTES:
            break
    page.close()
    path.write_bytes(content)
    print(path, len(content), flush=True)


def write_start_picture(browser: Any) -> None:
    """Run the programs of docs/start.md as far as their figure, and write what it shows."""
    import plotly.graph_objects as go

    figures: list[go.Figure] = []
    go.Figure.show = lambda figure: figures.append(figure)
    names: dict[str, Any] = {}
    text = (DOCS / "start.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)[:2]:
        exec(compile(block, "start.md", "exec"), names)
    [figure] = figures
    page = browser.new_page(viewport={"width": 900, "height": 700})
    page.set_content(figure.to_html(include_plotlyjs=True, config={"displayModeBar": False}))
    page.wait_for_selector(".main-svg")
    page.wait_for_timeout(1000)
    page.locator(".plotly-graph-div").screenshot(path=START_PICTURE)
    page.close()
    print(START_PICTURE, flush=True)
