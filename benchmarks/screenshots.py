"""Pictures of every view of a log directory, in both themes and at three widths.

    python -m benchmarks.screenshots LOGDIR OUTDIR [--run NAME] [--epoch N] [--view V] [--theme T] [--width W]

TensorBoard serves the directory, the system's Chromium (or the one that CHROME_BIN names) looks at it. One PNG a view,
theme and width: `overview_light_1280.png`. Exits 1 where the page complained or asked another host for something.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

VIEWS = ("overview", "weight_gradients", "probe_attributions", "importance_drift")
THEMES = ("light", "dark")
WIDTHS = (640, 1280, 1920)
HEIGHTS = {640: 864, 1280: 864, 1920: 1144}  # with TensorBoard's own bar of 64 pixels
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """The address of a TensorBoard over the directory."""
    command = [
        sys.executable,
        "-m",
        "tensorboard.main",
        "--logdir",
        str(directory),
        "--port",
        "0",
        "--host",
        "127.0.0.1",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if found := re.search(r"at (http://\S+?)/? \(Press", line):
                    yield found.group(1)
                    return
            raise SystemExit("TensorBoard did not start")
        finally:
            process.terminate()


def browser_path() -> str:
    """The system's Chromium."""
    found = os.environ.get("CHROME_BIN") or next(filter(None, map(shutil.which, BROWSERS)), None)
    return found or sys.exit("no Chromium: `apt-get install chromium`, or name one in CHROME_BIN")


def pictures(url: str, browser: Any, directory: Path, given: argparse.Namespace, state: dict[str, Any]) -> list[str]:
    """Writes the pictures; returns what the page complained of."""
    complaints: list[str] = []
    for theme in given.theme or THEMES:
        context = browser.new_context()
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda asked: (
                None if asked.url.startswith((url, "data:", "blob:")) else complaints.append(f"asked {asked.url}")
            ),
        )
        page.goto(f"{url}/?darkMode={str(theme == 'dark').lower()}#keras_xai")
        for view in given.view or VIEWS:
            for width in given.width or WIDTHS:
                page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
                kept = json.dumps({**state, "view": view})
                page.evaluate("([place, kept]) => localStorage.setItem(place, kept)", [f"keras_xai:{directory}", kept])
                page.reload()
                frame = page.frame_locator("iframe[src*='name=keras_xai']")
                frame.locator("main .grid, main .empty").first.wait_for(timeout=60_000)
                page.wait_for_timeout(2500)  # charts and maps come one after the other; nothing marks the last
                path = given.out_dir / f"{view}_{theme}_{width}.png"
                page.screenshot(path=path)
                print(path)
        context.close()
    return complaints


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("log_dir", type=Path)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--run", default="", help="the run in focus; default: one with an alert")
    parser.add_argument("--epoch", type=int, help="where the slider stands; default: the last epoch")
    parser.add_argument("--view", choices=VIEWS, action="append", help="only this one; may be repeated")
    parser.add_argument("--theme", choices=THEMES, action="append", help="only this one")
    parser.add_argument("--width", choices=WIDTHS, type=int, action="append", help="only this one; may be repeated")
    given = parser.parse_args()
    from playwright.sync_api import sync_playwright

    given.out_dir.mkdir(parents=True, exist_ok=True)
    directory = given.log_dir.resolve()
    state = {"focus": given.run, "runs": [given.run] if given.run else [], "epoch": given.epoch}
    with served(directory) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=list(OPTIONS))
        complaints = pictures(url, browser, directory, given, state)
        browser.close()
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
