"""Screenshots of every view for every kind of probe, in both themes and at three widths, and sheets of them.

    python -m benchmarks.screenshots [--logs LOGDIR] [--out artifacts] [--run NAME] [--epoch N]
                                     [--scene S] [--theme T] [--width W]
    python -m benchmarks.screenshots --gallery [--logs LOGDIR]

Without `--logs` small models of every kind are trained first, a few minutes. TensorBoard serves the directory, the system's
Chromium (or the one that CHROME_BIN names) looks at it. One PNG a scene, theme and width, `image-overview_light_1280.png`, and a
contact sheet of all views of a kind, `sheet_image_light_1280.png`. A scene is a kind and a view of it, or one of what else there
is to see; `--scene image` takes all views of a kind. The views are those that the page has. With `--logs` the kind is "run": the
run that the page opens with, or `--run`. `--gallery` writes the pictures of docs/gallery and docs/start.md instead. Exits 1 where
the page complained or asked another host for something.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import _gallery
from benchmarks._browser import OPTIONS, TOUR_SEEN, browser_path, served
from benchmarks._runs_of_each_kind import fit_all

FRAME = "iframe[src*='name=keras_xai']"
THEMES = ("light", "dark")
WIDTHS = (640, 1280, 1920)
HEIGHTS = {640: 800, 1280: 800, 1920: 1144}  # with TensorBoard's own bar of 64 pixels
SHEET_WIDTH = 2400  # pixels
LONGEST_WAIT = 60_000  # milliseconds

State = Mapping[str, Any]  # of the page: what was chosen


def of_run(name: str, **more: Any) -> State:
    """The selection of one run."""
    return {"focus": name, "runs": [name], **more}


WATERMARK = of_run("digits/watermark", runs=["digits/watermark", "digits/clean"], epoch=19)
CANCER = of_run("cancer/mlp", method="integrated_gradients")
# By kind of probe: of each every view.
KINDS: dict[str, State] = {
    "image": WATERMARK,
    "categories": of_run("churn/columns"),
    "text": of_run("reviews/conv1d", method="integrated_gradients"),
    "series": of_run("sensors/conv1d", method="integrated_gradients"),
    "regression": of_run("diabetes/mlp"),
    "volume": of_run("scans/conv3d"),
}
# What else there is to see.
MORE: dict[str, State] = {
    "image-mapped": of_run("digits/mapped", view="mappings"),
    "image-layers": {**WATERMARK, "view": "weight_gradients", "by": "layers"},
    "image-compare_epochs": {**WATERMARK, "view": "probe_attributions", "compare": "epochs"},
    "image-compare_runs": {**WATERMARK, "view": "probe_attributions", "compare": "runs"},
    "image-compare_methods": {**WATERMARK, "view": "probe_attributions", "compare": "methods"},
    "image-quiet": of_run("digits/clean", view="overview"),
    "table-overview": {**CANCER, "view": "overview"},
    "table-probe_attributions": {**CANCER, "view": "probe_attributions"},
    "table-importance_drift": {**CANCER, "view": "importance_drift", "epoch": 19},
    "table-compare_epochs": {**CANCER, "view": "probe_attributions", "compare": "epochs"},
    "shortcut-overview": of_run("cancer/shortcut", view="overview"),
    "shortcut-reliance_gap": of_run("cancer/shortcut", view="reliance_gap"),
    "long-overview": of_run("long/table", view="overview"),
    "long-importance_drift": of_run("long/table", view="importance_drift"),
    "other-waiting": of_run("waiting", view="overview"),
    "other-partial": of_run("tuning/cnn", view="probe_attributions"),
}

# Whether everything stands: charts, maps and words.
DRAWN = """() => {
    const main = document.querySelector('main');
    const charts = [...main.querySelectorAll('.chart')];
    const drawn = (chart) => chart.querySelector('.main-svg') || chart.querySelector('.waiting').textContent.length > 1;
    const reading = [...main.querySelectorAll('.note')].some((note) => note.textContent.endsWith('…'));
    const stands = main.querySelector('.grid, .empty, .runs-table') && !main.textContent.startsWith('Reading');
    return stands && charts.every(drawn) && !reading;
}"""
SETTLED = 700  # milliseconds: the last map is painted after the last chart


@dataclass
class Camera:
    """Takes pictures of one page of TensorBoard, in one theme."""

    page: Any
    url: str
    directory: Path
    theme: str
    out: Path

    def open(self, state: State) -> None:
        """Load the page anew with a selection."""
        self.page.goto(f"{self.url}/?darkMode={str(self.theme == 'dark').lower()}#keras_xai")
        # Without its frame, which would keep its own state when it goes.
        self.page.evaluate("() => { for (const frame of document.querySelectorAll('iframe')) frame.remove(); }")
        place, text = f"keras_xai:{self.directory}", json.dumps(dict(state))
        self.page.evaluate("([place, text]) => localStorage.setItem(place, text)", [place, text])
        self.page.reload()
        self.page.frame_locator(FRAME).locator("main .grid, main .empty, main .runs-table").first.wait_for(
            timeout=LONGEST_WAIT
        )

    @property
    def frame(self) -> Any:
        return next(frame for frame in self.page.frames if "name=keras_xai" in frame.url)

    def views(self) -> list[str]:
        """The names of the views that the page has."""
        tabs = self.frame.locator(".bar [role=tab]").evaluate_all("(tabs) => tabs.map((tab) => tab.id)")
        return [tab.removeprefix("tab-") for tab in tabs]

    def show(self, view: str) -> None:
        """Turn to a view, and to its top."""
        self.frame.locator(f"#tab-{view}").evaluate("(tab) => tab.click()")
        self.frame.locator("main").evaluate("(main) => { main.scrollTop = 0; }")

    def picture(self, width: int) -> bytes:
        """A PNG of what stands at a width, once it stands."""
        self.page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
        self.page.wait_for_timeout(100)
        self.frame.wait_for_function(DRAWN, timeout=LONGEST_WAIT)
        self.page.wait_for_timeout(SETTLED)
        return bytes(self.page.screenshot())

    def take(self, scene: str, width: int) -> Path:
        """Write what stands at a width."""
        path = self.out / f"{scene}_{self.theme}_{width}.png"
        path.write_bytes(self.picture(width))
        print(path, flush=True)
        return path


def take_all(camera: Camera, kinds: Mapping[str, State], more: Mapping[str, State], options: Any) -> Iterator[Path]:
    """Take every scene that was asked for, in one theme, at every width."""
    widths = options.width or WIDTHS
    for kind, state in kinds.items():
        if not is_wanted(f"{kind}-", options, prefix=True):
            continue
        camera.page.set_viewport_size({"width": widths[0], "height": HEIGHTS[widths[0]]})
        camera.open(state)
        for view in camera.views():
            if not is_wanted(f"{kind}-{view}", options):
                continue
            camera.show(view)
            for width in widths:
                yield camera.take(f"{kind}-{view}", width)
    for scene, state in more.items():
        if not is_wanted(scene, options):
            continue
        camera.open(state)
        for width in widths:
            yield camera.take(scene, width)


def take_gallery(camera: Camera, browser: Any) -> Iterator[Path]:
    """Write the pictures of the gallery that are in the camera's theme."""
    for name, shot in _gallery.SHOTS.items():
        if shot.theme == camera.theme:
            camera.page.set_viewport_size({"width": _gallery.WIDTH, "height": HEIGHTS[_gallery.WIDTH]})
            camera.open(shot.state)
            path = _gallery.FOLDER / f"{name}.webp"
            _gallery.write_webp(browser, camera.picture(_gallery.WIDTH), path)
            yield path


def is_wanted(scene: str, options: Any, *, prefix: bool = False) -> bool:
    """True where a scene was asked for, by its name or its kind; of a kind, where any of its scenes was."""
    kind = scene.partition("-")[0]
    names = options.scene or [scene]
    return any(name in (scene, kind) or (prefix and name.partition("-")[0] == kind) for name in names)


SHEET = """<!doctype html><style>
    body {{ margin: 24px; width: {width}px; background: #777; font: 500 18px sans-serif; color: #fff }}
    main {{ display: grid; grid-template-columns: repeat({columns}, 1fr); gap: 24px }}
    figure {{ margin: 0 }} img {{ width: 100%; display: block; margin-top: 6px }}
</style><main>{figures}</main>"""


def write_sheet(browser: Any, paths: list[Path], sheet: Path) -> None:
    """Write a picture of pictures, each under its name, drawn by the browser itself."""
    figures = []
    for path in paths:
        data = base64.b64encode(path.read_bytes()).decode()
        figures.append(f"<figure>{path.stem}<img src='data:image/png;base64,{data}'></figure>")
    columns = 4 if len(paths) > 4 else max(1, len(paths))
    page = browser.new_page(viewport={"width": SHEET_WIDTH + 48, "height": 600})
    page.set_content(SHEET.format(width=SHEET_WIDTH, columns=columns, figures="".join(figures)))
    page.screenshot(path=sheet, full_page=True)
    page.close()
    print(sheet, flush=True)


def sheets_of(paths: list[Path]) -> dict[str, list[Path]]:
    """Screenshots by sheet: of one kind, theme and width."""
    sheets: dict[str, list[Path]] = {}
    for path in paths:
        scene, theme, width = path.stem.rsplit("_", 2)
        sheets.setdefault(f"sheet_{scene.partition('-')[0]}_{theme}_{width}", []).append(path)
    return sheets


def photograph(url: str, browser: Any, directory: Path, options: argparse.Namespace) -> list[str]:
    """Write screenshots and sheets; return what the page complained of."""
    complaints: list[str] = []
    selection = {"focus": options.run, "runs": [options.run] if options.run else None, "epoch": options.epoch}
    state = {key: value for key, value in selection.items() if value is not None}
    kinds = {"run": state} if options.logs else {kind: {**of_kind, **state} for kind, of_kind in KINDS.items()}
    paths: list[Path] = []
    themes = THEMES if options.gallery or not options.theme else options.theme
    for theme in themes:
        context = browser.new_context()
        page = context.new_page()
        page.add_init_script(TOUR_SEEN)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.extend(foreign(request.url, url)))
        camera = Camera(page, url, directory, theme, options.out)
        if options.gallery:
            paths += take_gallery(camera, browser)
        else:
            paths += take_all(camera, kinds, {} if options.logs else MORE, options)
        context.close()
    if options.gallery:
        _gallery.write_start_picture(browser)
        return complaints
    for name, pictures in sheets_of(paths).items():
        write_sheet(browser, pictures, options.out / f"{name}.png")
    if not paths:
        complaints.append(f"nothing to see of {', '.join(options.scene)}")
    return complaints


def foreign(address: str, url: str) -> list[str]:
    """A complaint where a request goes to another host."""
    return [] if address.startswith((url, "data:", "blob:")) else [f"asked {address}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--logs", type=Path, help="a log directory; default: small models are trained")
    parser.add_argument("--out", type=Path, default=Path("artifacts"))
    parser.add_argument("--run", help="the run in focus; default: one with an alert")
    parser.add_argument("--epoch", type=int, help="where the slider stands; default: the last epoch")
    parser.add_argument("--gallery", action="store_true", help="write the pictures of the documentation instead")
    parser.add_argument("--scene", action="append", help="only this one, or this kind; may be repeated")
    parser.add_argument("--theme", choices=THEMES, action="append", help="only this one")
    parser.add_argument("--width", choices=WIDTHS, type=int, action="append", help="only this one; may be repeated")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="keras_xai_") as fitted:
        directory = (options.logs or Path(fitted)).resolve()
        if not options.logs:
            fit_all(directory)
        with served(directory) as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_path(), args=list(OPTIONS))
            complaints = photograph(url, browser, directory, options)
            browser.close()
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
