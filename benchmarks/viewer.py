"""Measure how fast the tab is, in a real browser on a real TensorBoard, over runs that our own writer wrote.

    python -m benchmarks.viewer [--only opening slider wide long many thousand start requests] [--rounds 5] [--pairs 15]
                                [--requests 10000] [--out docs/viewer.md]

Times are the page's own: from the moment the frame begins to load, or a key or a click arrives, to the frame in which
the last chart or map stands. The page is the one that TensorBoard shows in its tab. A cold opening has a server and a
browser that never saw anything of ours; a warm one is a browser's third visit. What the slider costs is the CPU time of
the page's main thread a step, painting included, so that a busy machine does not count. TensorBoard's start is the CPU
time of the process until it says that it listens, with the plugin and without it in turn. Without `--out` nothing is
written. Exits 1 where a bar is missed, the page complained, or something was asked of another host.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import keras_xai as kx
from benchmarks._browser import OPTIONS, TOUR_SEEN, browser_path, served
from benchmarks._statistics import median_interval
from keras_xai.figures import PANELS
from keras_xai.probe import Probe
from keras_xai.records import STATISTICS, Alert, Attribution, Epoch, Gradients, Shares
from keras_xai.summary.writer import Writer

BETWEEN = 200  # milliseconds between two jumps of the slider: the page has drawn its words, and not yet fetched ahead
AT_REST = 2000  # milliseconds until a browser has started: it is the tab that opens, not the browser
FRAME = "/data/plugin_entry.html?name=keras_xai"
CHARTS = {"overview": 2, "weight_gradients": 4, "probe_attributions": 1, "importance_drift": 2}
COLUMNS = ("what", "measured", "bar", "")

# In the page: a frame that was shown, and whether everything of a view stands in it.
PAGE = """
window.rest = () => new Promise((done) => setTimeout(done, 4)); // shorter than a frame, and without forcing one
window.shown = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
const all = (selector) => [...document.querySelectorAll(selector)];
window.standing = {
  gallery: (least) => {
    const tiles = all('main .tile');
    return tiles.length >= least && tiles.every((tile) => tile.querySelector('canvas, svg'));
  },
  charts: (least) => {
    const charts = all('main .chart');
    const drawn = (chart) => chart.querySelector('.main-svg') && !chart.querySelector('.waiting').textContent;
    return charts.length >= least && charts.every(drawn);
  },
};
window.until = async (what, least) => {
  while (!standing[what](least)) await rest();
  await shown();
  return performance.now();
};
"""
DOCUMENT = """# The tab, measured

`python -m benchmarks.viewer`, keras_xai {version}, {machine}. Event files of our own writer, a real TensorBoard with its
fast loader, the system's Chromium in a window of 1280 × 800.

{table}
- **Times** are the page's own, from the begin of the frame, a click or a key, to the frame in which the last chart or map
  stands: median, and the least and the most in brackets. *Cold* is a server and a browser that never saw anything of
  ours, *warm* the third visit of the same browser.
- **The slider's** cost with maps that are there already is CPU time of the page's main thread a step, painting included;
  the wall time of a step on a busy machine would say more of the machine.
- **An opening** is that of the tab in a browser that has started. TensorBoard's page loads ours when it has loaded itself; then
  the index is asked for, which brings the run that was looked at last, and after it the maps. All scripts are one file and all
  stylesheets another, for each request takes milliseconds of TensorBoard's server; the first drawing waits for its maps.
- **TensorBoard's fast loader** answers in two parts, the second of which the system holds back until the first is acknowledged:
  44 ms a call, whatever it brings. While one is awaited the plugin sends something small every millisecond, which carries the
  acknowledgement: 2 ms a call.
- **plotly** is served from the installed package, cut to the kinds of traces that our charts draw: a quarter of its 4.8 MB,
  and most of what the first charts would wait for. Where it cannot be cut it is served whole.
- **Maps not yet in the page** come from the server, one file read a map, as bytes that stand for numbers. Of maps
  at least twice as wide as their tile come the means that the tile shows, and how the whole map's values spread, which the clip
  is read from; the chosen sample's map comes whole when the slider rests, and all do where two are compared. Those around a
  slider at rest are fetched ahead, as far as 60 MB go, so that most steps are of the cached kind. The uncached ones are those
  of a slider that jumps to and fro before that begins.
- **A thousand runs** are listed by their names at once and read a few at a time, for 0.4 s of each look at the log directory; the
  table's verdicts come for 0.3 s a request, those in sight first. Only what is in sight is in the page.
- **A long run** is drawn with as many points as there are pixels: heat maps show at most 500 columns, each the largest of
  its epochs; lines show every epoch. Nothing is dropped before: all epochs are on the slider.

## Training rows beside probe

![What each feature says for the label in the training rows and in the probe](images/training_rows_beside_probe.png)

A shortcut that was in the training rows from the start never moves, and no drift score sees it. This view sets the training rows
beside the probe, at the epoch of the slider:

- **Bars of both sides on one scale** (maps of an image, with their difference on a scale of its own): the mean share of a row's
  evidence that each feature gives, for the label or against it. A feature of an alarm is red.
- **Training rows over probe**, each feature a point. On the diagonal it says the same in both; in the shaded part it speaks for
  the label in the training rows alone. A ring is a feature whose values merely differ: listed, and no alarm.
- **z over updates** with its limit: at the third update running above it there is an alarm.
- **The training rows that carry it most**: the rows to look at first.

Where nothing was compared the view says why. The overview begins with the alarm's sentence and its bars, whatever else happened.
In the gallery "Clusters of the sample's class" sorts the samples of one class by k-means of their maps, as SpRAy does (Lapuschkin
et al. 2019): a way to look, and no finding, for it makes two clusters of any samples.

The picture is of `python -m benchmarks.screenshots --scene shortcut`: breast cancer with a column that says the label in 80 % of
the training rows and in none of the probe.
"""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    measured: str
    bar: str
    met: bool


def least(what: str, seconds: list[float], bar: float) -> Row:
    """The median against a bar, both in seconds."""
    middle = statistics.median(seconds)
    unit, scale = ("s", 1) if bar >= 0.2 else ("ms", 1000)
    spread = f"{scale * min(seconds):.3g}–{scale * max(seconds):.3g}"
    return Row(what, f"{scale * middle:.3g} {unit} ({spread})", f"≤ {scale * bar:g} {unit}", middle <= bar)


# The runs, written record by record.


def table_run(directory: Path, epochs: int, variables: int, features: int, alert: int, seed: int = 0) -> None:
    """Gradients of every variable, shares of every feature on both sources, and sixteen rows explained, an epoch."""
    random_numbers = np.random.default_rng(seed)
    rows = random_numbers.random((64, features), "f4")
    probe = Probe(rows, np.arange(64) % 3, feature_names=[f"feature number {i}" for i in range(features)]).gallery(16)
    names = tuple(f"model/block{i // 10}/conv{i % 10}/kernel" for i in range(variables))
    edges = 2.0 ** np.linspace(-36, 4, 41, dtype="f4")
    walk = np.abs(random_numbers.normal(0, 0.02, (epochs, features)).cumsum(0)) + 0.3
    writer = Writer(directory / "keras_xai")
    writer.write([probe])
    for epoch in range(epochs):
        sizes = np.exp(random_numbers.normal(-5, 1, variables)).astype("f4")
        counts = random_numbers.integers(0, 100, (variables, 40)).astype("f4")
        records: list[Any] = [Gradients(epoch, names, dict.fromkeys(STATISTICS, sizes), counts, edges, 3)]
        for source in ("clean", "live"):
            score = float(random_numbers.gamma(2, 0.8)) if epoch > 7 else float("nan")
            share = (walk[epoch] / walk[epoch].sum()).astype("f4")
            records.append(Shares(epoch, source, tuple(probe.features), share, score, 6.0))
        if epoch == alert:
            moved = ((probe.features[3], 0.01, 0.1, 1, 8.0),)
            records.append(Alert(epoch, "live", "data changed", False, moved, 8.0, 6.0))
        records.append(explained(probe, epoch, random_numbers.normal(size=(16, features)).astype("f4"), random_numbers))
        writer.write([*records, ended(epoch, epochs)])
    writer.close()


def image_run(directory: Path, epochs: int, samples: int, side: int) -> None:
    """A spot that wanders over noise, on every sample at every epoch."""
    random_numbers = np.random.default_rng(0)
    images = random_numbers.random((samples, side, side, 3), "f4")
    probe = Probe(images, np.arange(samples) % 10)
    writer = Writer(directory / "keras_xai")
    writer.write([probe])
    y, x = np.mgrid[:side, :side] / side
    for epoch in range(epochs):
        middle = 0.3 + 0.4 * ((7 * np.arange(samples) + epoch) % 10) / 10
        spot = np.exp(-((x - middle[:, None, None]) ** 2 + (y - 0.5) ** 2) / 0.04)
        maps = (spot + random_numbers.normal(0, 0.05, spot.shape)).astype("f4")
        writer.write([explained(probe, epoch, maps, random_numbers), ended(epoch, epochs)])
    writer.close()


def explained(probe: Probe, epoch: int, values: Any, random_numbers: np.random.Generator) -> Attribution:
    """Attributions with outputs of as many classes as the labels name."""
    outputs = random_numbers.dirichlet(np.ones(int(probe.y.max()) + 1), probe.size).astype("f4")
    predicted = outputs.argmax(1)
    return Attribution(
        "saliency", values, probe.y, outputs[:, 0], None, predicted, None, "logit", outputs, epoch, probe.kind
    )


def ended(epoch: int, epochs: int) -> Epoch:
    logs = {"loss": 1 / (epoch + 1), "val_loss": 1.2 / (epoch + 1), "val_accuracy": 0.9}
    return Epoch(epoch, time.time() - 10.0 * (epochs - epoch), 10.0, 0.2, 1e-3, logs)


# The browser.


class Tab:
    """A page on the tab, and everything it complained about."""

    def __init__(self, context: Any, url: str, complaints: list[str]) -> None:
        self.page, self.url = context.new_page(), url
        self.requests: list[str] = []  # all but those for news
        self.page.add_init_script(PAGE)
        self.page.add_init_script(TOUR_SEEN)
        self.page.set_default_timeout(120_000)
        self.page.on("console", lambda message: self._on_message(message, complaints))
        self.page.on("pageerror", lambda error: complaints.append(str(error)))
        self.page.on("request", lambda request: self._on_request(request.url, complaints))

    def _on_message(self, message: Any, complaints: list[str]) -> None:
        # The bare frame has no icon; the browser asks for one all the same.
        if message.type in ("error", "warning") and "favicon" not in message.location.get("url", ""):
            complaints.append(message.text)

    def _on_request(self, address: str, complaints: list[str]) -> None:
        if not address.endswith("/index"):
            self.requests.append(address)
        if not address.startswith((self.url, "data:", "blob:")):
            complaints.append(f"asked {address}")

    def keep(self, directory: Path, **state: Any) -> None:
        """Leave the state that an earlier visitor left, without touching anything of ours, so that the cache stays as it was."""
        self.page.goto(f"{self.url}/data/environment")
        self.page.wait_for_timeout(AT_REST)
        entry = [f"keras_xai:{directory}", json.dumps(state)]
        self.page.evaluate("([place, text]) => localStorage.setItem(place, text)", entry)

    def open(self, what: str, count: int = 1) -> float:
        """Seconds from the begin of the frame to the frame in which it stands."""
        self.page.goto(self.url + FRAME, wait_until="commit")
        return float(self.page.evaluate("([what, count]) => until(what, count)", [what, count])) / 1000

    def parts(self) -> tuple[float, float, float]:
        """Return the seconds to three points of an opening, see `PARTS_OF_OPENING`."""
        program = """() => {
            const files = performance.getEntriesByType('resource');
            const of = (name) => files.filter((file) => file.name.includes(name));
            return [of('/index.js')[0].startTime, performance.getEntriesByType('paint')[0].startTime,
                Math.max(...of('/attribution?').map((file) => file.responseEnd))]; }"""
        first, painted, maps = self.page.evaluate(program)
        return first / 1000, painted / 1000, maps / 1000

    def settle(self) -> None:
        """Wait until the page has asked for nothing but news for half a second."""
        count = -1
        while len(self.requests) > count:
            count = len(self.requests)
            self.page.wait_for_timeout(500)

    def switch(self, view: str) -> float:
        """Seconds from a click on a view to its last chart."""
        program = """async ([view, count]) => {
            const begin = performance.now();
            document.getElementById(`tab-${view}`).click();
            return (await until('charts', count)) - begin; }"""
        return float(self.page.evaluate(program, [view, CHARTS[view]])) / 1000


@contextmanager
def browsing(playwright: Any, profile: Path) -> Iterator[Any]:
    """A browser with a profile on disk: only then does it keep compiled scripts, as a person's does."""
    context = playwright.chromium.launch_persistent_context(
        profile, executable_path=browser_path(), args=list(OPTIONS), viewport={"width": 1280, "height": 800}
    )
    try:
        yield context
    finally:
        context.close()


def ready(url: str, runs: dict[str, int]) -> None:
    """Wait until TensorBoard has read so many epochs of each run."""
    from urllib.request import urlopen

    for _ in range(600):
        with urlopen(f"{url}/data/plugin/keras_xai/index") as answer:
            read = {card["name"]: card["epochs"] for card in json.load(answer)["runs"]}
        if read == runs:
            return
        time.sleep(0.5)
    raise SystemExit(f"TensorBoard read {read}, expected {runs}")


# What is measured.

PARTS_OF_OPENING = (
    "of which until TensorBoard's own page asks for our first module",
    "until the first paint, of the shell",
    "until the last map has arrived",
)


def opening(playwright: Any, root: Path, options: argparse.Namespace, complaints: list[str]) -> list[Row]:
    """The tab opens: gallery, then charts; a fresh server and browser, then a browser's third visit."""
    table_run(root / "table", 24, 14, 30, alert=14)
    image_run(root / "image", 24, 16, 28)
    gallery: dict[str, list[float]] = {"cold": [], "warm": []}
    charts: dict[str, list[float]] = {"cold": [], "warm": []}
    parts: list[tuple[float, float, float]] = []
    for view, what, visits in (("probe_attributions", "gallery", gallery), ("overview", "charts", charts)):
        for _ in range(options.rounds):
            state = {"view": view, "focus": "image" if what == "gallery" else "table"}
            with served(root) as url, tempfile.TemporaryDirectory() as profile:
                ready(url, {"image": 24, "table": 24})
                for visit in ("cold", "again", "warm"):
                    with browsing(playwright, Path(profile)) as context:
                        tab = Tab(context, url, complaints)
                        tab.keep(root, **state)
                        seconds = tab.open(what, CHARTS[view])
                        if (what, visit) == ("gallery", "warm"):
                            parts.append(tab.parts())
                        tab.settle()
                    if visit in visits:
                        visits[visit].append(seconds)
    return [
        least("shell and gallery painted after the tab opens, cold", gallery["cold"], 0.3),
        least("shell and gallery painted after the tab opens, warm", gallery["warm"], 0.3),
        *(
            Row(f"… {part}", f"{1000 * statistics.median(seconds):.0f} ms", "none", True)
            for part, seconds in zip(PARTS_OF_OPENING, zip(*parts, strict=True), strict=True)
        ),
        least("charts of the overview drawn after the tab opens, cold", charts["cold"], 2.5),
        least("charts of the overview drawn after the tab opens, warm", charts["warm"], 1.5),
    ]


def slider(playwright: Any, root: Path, options: argparse.Namespace, complaints: list[str]) -> list[Row]:
    """A usual gallery: sixteen small images over 300 epochs, more than are fetched ahead."""
    return sliding(playwright, root, complaints, epochs=300, samples=16, side=28)


def wide(playwright: Any, root: Path, options: argparse.Namespace, complaints: list[str]) -> list[Row]:
    """The largest gallery: 32 images of 224 × 224 over 100 epochs."""
    return sliding(playwright, root, complaints, epochs=100, samples=32, side=224)


def sliding(playwright: Any, root: Path, complaints: list[str], epochs: int, samples: int, side: int) -> list[Row]:
    """The slider, where maps are there already and where they are not."""
    image_run(root / "maps", epochs, samples, side)
    with served(root) as url, tempfile.TemporaryDirectory() as profile, browsing(playwright, Path(profile)) as context:
        ready(url, {"maps": epochs})
        tab = Tab(context, url, complaints)
        tab.keep(root, view="probe_attributions", epoch=epochs - 1)
        opened = tab.open("gallery")
        # To and fro over the whole run, faster than epochs are fetched ahead: that begins when the slider rests.
        tries = [jump(tab, 1 + 61 * step % (epochs - 2)) for step in range(24)]
        tab.settle()
        uncached = [seconds for seconds, fetched in tries if fetched]
        tab.settle()
        cached = steps(tab, 60)
    kind = f"{samples} maps of {side} × {side}, {epochs} epochs"
    return [
        Row(f"{kind}: gallery painted after the tab opens", f"{opened:.2f} s", "none", True),
        least(f"{kind}: epoch slider to new maps, uncached", uncached, 0.07),
        least(f"{kind}: epoch slider to new maps, cached", cached, 0.01),
    ]


def jump(tab: Tab, epoch: int) -> tuple[float, bool]:
    """Seconds from a press on the slider to other maps, and whether the server had to be asked for them."""
    program = """async (epoch) => {
        const track = document.querySelector('.transport svg[role=slider]');
        const box = track.getBoundingClientRect();
        const x = box.left + 8 + (box.width - 16) * epoch / Number(track.getAttribute('aria-valuemax'));
        const picture = () => [...document.querySelectorAll('main .tile canvas')].at(-1)?.toDataURL();
        const before = picture();
        track.setPointerCapture = () => {};
        performance.clearResourceTimings();
        const begin = performance.now();
        track.dispatchEvent(new PointerEvent('pointerdown', { clientX: x, clientY: box.top + 40, bubbles: true }));
        while (picture() === before) await shown();
        const seconds = (performance.now() - begin) / 1000;
        const asked = performance.getEntriesByType('resource').some(({ name }) => name.includes('/attribution?'));
        return [seconds, asked]; }"""
    seconds, fetched = tab.page.evaluate(program, epoch)
    tab.page.wait_for_timeout(BETWEEN)
    return float(seconds), bool(fetched)


def steps(tab: Tab, count: int) -> list[float]:
    """CPU seconds of the main thread a step, over rounds of ten steps to and fro between maps that are there."""
    program = """async (keys) => {
        for (const key of keys) {
            document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
            await shown();
        } }"""
    for key in ["ArrowRight"] * 5 + ["ArrowLeft"] * 5:  # every map of the walk is fetched, and every path compiled
        tab.page.keyboard.press(key)
        tab.settle()
    meter = tab.page.context.new_cdp_session(tab.page)
    meter.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent() -> float:
        metrics = meter.send("Performance.getMetrics")["metrics"]
        return float(next(entry["value"] for entry in metrics if entry["name"] == "TaskDuration"))

    seconds = []
    for _ in range(count // 10):
        begin = spent()
        tab.page.evaluate(program, ["ArrowRight"] * 5 + ["ArrowLeft"] * 5)
        seconds.append((spent() - begin) / 10)
        tab.settle()
    return seconds


def long(playwright: Any, root: Path, options: argparse.Namespace, complaints: list[str]) -> list[Row]:
    """1000 epochs × 300 layers × 100 features: nothing is lost, and each view stands a second after it was asked for."""
    table_run(root / "long", 1000, 300, 100, alert=400)
    rows = []
    with served(root) as url:
        ready(url, {"long": 1000})
        times = views(playwright, root, url, options, complaints, {"focus": "long"})
        rows.append(Row("1000 epochs × 300 layers × 100 features: epochs shown", "1000", "1000", True))
    rows += [
        least(f"… {TITLES[view]}, from the click to its last chart", seconds, 1.0) for view, seconds in times.items()
    ]
    return rows


def many(playwright: Any, root: Path, options: argparse.Namespace, complaints: list[str]) -> list[Row]:
    """Twenty runs, all of them ticked."""
    names = [f"run{i:02d}" for i in range(20)]
    for seed, name in enumerate(names):
        table_run(root / name, 50, 30, 30, alert=30, seed=seed)
    with served(root) as url:
        ready(url, dict.fromkeys(names, 50))
        times = views(playwright, root, url, options, complaints, {"focus": names[0], "runs": names, "seen": names})
    return [
        least(f"20 runs ticked: {TITLES[view]}, from the click to its last chart", seconds, 2.0)
        for view, seconds in times.items()
    ]


SWEEP = 1000  # runs, in folders of a hundred
TYPED = ("s", "seed1", "seed1\\b", "lr0.1.*seed[1-3]", "(", "nothing like it", "SEED", "")
LISTED = """async (runs) => {
    const rows = () => (document.querySelector('.runs')?.scrollHeight ?? 0) / 32;
    while (rows() < runs) await rest();
    await shown();
    return performance.now() / 1000; }"""
TYPING = """async ([selector, texts]) => {
    const input = document.querySelector(selector), seconds = [];
    for (const text of texts) {
        const begin = performance.now();
        input.value = text;
        input.dispatchEvent(new InputEvent('input'));
        await shown();
        seconds.push((performance.now() - begin) / 1000);
        await rest();
    }
    return seconds; }"""


def thousand(playwright: Any, root: Path, options: argparse.Namespace, complaints: list[str]) -> list[Row]:
    """A sweep of a thousand runs: how soon they are listed, and how soon a letter in the filter has its effect."""
    for seed in range(SWEEP):
        folder = root / f"sweep-2026-11-26/lr0.{seed % 10}_wd1e-4"
        table_run(
            folder / f"exp-2026-11-26_resnet50_seed{seed // 10}", 12, 4, 8, alert=9 if seed % 7 == 0 else -1, seed=seed
        )
    listed: list[float] = []
    typed: dict[str, list[float]] = {"rail": [], "main": []}
    with served(root) as url, tempfile.TemporaryDirectory() as profile, browsing(playwright, Path(profile)) as context:
        loaded(url, SWEEP)
        for _ in range(options.rounds):
            tab = Tab(context, url, complaints)
            tab.keep(root, view="overview")
            tab.page.goto(tab.url + FRAME, wait_until="commit")
            listed.append(float(tab.page.evaluate(LISTED, SWEEP)))
            tab.page.close()
        tab = Tab(context, url, complaints)
        tab.keep(root, view="runs")
        tab.page.goto(tab.url + FRAME)
        words = "document.querySelector('.runs-view > .note')?.textContent"
        begin = time.monotonic()
        tab.page.wait_for_function(f"{words} && !{words}.includes('not judged')")
        judged = time.monotonic() - begin
        for _ in range(options.rounds):
            for place, seconds in typed.items():
                selector = f".{place} .filter-input" if place == "rail" else f"{place} .filter-input"
                seconds += tab.page.evaluate(TYPING, [selector, TYPED])
    return [
        least(f"{SWEEP:,} runs: listed after the tab opens", listed, 1.0),
        Row("… of which the first time, with no run read before", f"{listed[0]:.2f} s", "none", True),
        Row("… all of them judged in the table of runs after", f"{judged:.1f} s", "none", True),
        least(f"{SWEEP:,} runs: a letter in the filter of the rail", typed["rail"], 0.05),
        least(f"{SWEEP:,} runs: a letter in the filter of the table", typed["main"], 0.05),
    ]


def loaded(url: str, runs: int) -> None:
    """Wait until TensorBoard itself lists so many runs; nothing of ours is asked."""
    from urllib.request import urlopen

    for _ in range(600):
        with urlopen(f"{url}/data/runs") as answer:
            if len(json.load(answer)) >= runs:
                return
        time.sleep(0.5)
    raise SystemExit(f"TensorBoard did not read {runs} runs")


TITLES = {
    "overview": "overview",
    "weight_gradients": "weight gradients",
    "probe_attributions": "attributions",
    "importance_drift": "importance & drift",
}


def views(
    playwright: Any, root: Path, url: str, options: argparse.Namespace, complaints: list[str], state: dict[str, Any]
) -> dict[str, list[float]]:
    """Seconds to each view, every time on a page that has not shown it yet."""
    times: dict[str, list[float]] = {view: [] for view in CHARTS}
    with tempfile.TemporaryDirectory() as profile, browsing(playwright, Path(profile)) as context:
        for _ in range(options.rounds):
            for view in CHARTS:
                tab = Tab(context, url, complaints)
                elsewhere = "overview" if view != "overview" else "weight_gradients"
                tab.keep(root, **state, view=elsewhere)
                tab.open("charts", CHARTS[elsewhere])
                tab.settle()
                times[view].append(tab.switch(view))
                tab.page.close()
    return times


# Without a browser.


START = """
import importlib.metadata, sys
original = importlib.metadata.entry_points
if sys.argv.pop(1) == 'without':
    def entry_points(**names):
        others = [entry for entry in original(**names) if not entry.value.startswith('keras_xai')]
        return importlib.metadata.EntryPoints(others)
    importlib.metadata.entry_points = entry_points
from tensorboard.main import run_main
run_main()
"""


def start(playwright: Any, root: Path, options: argparse.Namespace, complaints: list[str]) -> list[Row]:
    """CPU seconds until TensorBoard listens, with the plugin and without it in turn, in an order drawn anew each time."""
    (root / "nothing").mkdir()
    ratios = []
    for pair in range(options.pairs + 1):
        order = random.Random(pair).sample(("with", "without"), 2)
        spent = {kind: started(kind, root / "nothing") for kind in order}
        if pair:  # the first pair fills the file system's cache
            ratios.append(spent["with"] / spent["without"])
    middle = statistics.median(ratios)
    _, low, high = median_interval(ratios)
    measured = f"{middle:.3f} (95 % {low:.3f}–{high:.3f}, {len(ratios)} pairs)"
    return [Row("TensorBoard's start with the plugin against without, CPU time", measured, "≤ 1.05", middle <= 1.05)]


def started(kind: str, directory: Path) -> float:
    """CPU seconds of one start."""
    command = [sys.executable, "-c", START, kind, "--logdir", str(directory), "--port", "0", "--load_fast", "false"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "(Press" in line:
            break
    spent = sum(map(int, Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
    process.terminate()
    process.wait()
    process.stderr.close()
    return spent / os.sysconf("SC_CLK_TCK")


def requests(playwright: Any, root: Path, options: argparse.Namespace, complaints: list[str]) -> list[Row]:
    """Random parameters on every route of TensorBoard's own application: answers of 200, 400 or 404."""
    table_run(root / "table", 12, 6, 8, alert=9)
    image_run(root / "image", 6, 4, 16)
    client, draw = application(root), random.Random(0)
    words = [
        "table",
        "image",
        "saliency",
        "live",
        "clean",
        "rms",
        "model/block0/conv0/kernel",
        "dark",
        "layers",
        "0",
        "7",
    ]
    words += ["../../etc/passwd", "<script>", "%00", "nan", "-1", "1e9", "%{x}", "☃", "", "9" * 40]
    keys = ["run", "name", "epoch", "method", "source", "sample", "statistic", "variable", "theme", "overlay", "colour"]
    keys += ["most", "focus", "overlay_colour", "compact", "input", "by", "nonsense"]
    routes = ["index", "run", "summary", "figure", "importance", "inputs", "outputs", "attribution", "film", "theme"]
    routes += ["static/index.js", "static/../plugin.py", "plotly.partial.min.js", "mapping"]
    codes: dict[int, int] = {}
    for _ in range(options.requests):
        route = draw.choice(routes)
        query = {key: draw.choice(words) for key in draw.sample(keys, draw.randrange(6))}
        if draw.random() < 0.8:  # else hardly any request would come past the first check
            query["run"] = draw.choice(("table", "image"))
        if route == "figure" and draw.random() < 0.9:
            query["name"] = draw.choice([*PANELS])
        code = client.get(f"/data/plugin/keras_xai/{route}", query_string=query).status_code
        codes[code] = codes.get(code, 0) + 1
    answers = ", ".join(f"{number:,} × {code}" for code, number in sorted(codes.items()))
    return [
        Row(f"{options.requests:,} requests of random parameters", answers, "no 500", set(codes) <= {200, 400, 404})
    ]


def application(root: Path) -> Any:
    """TensorBoard's application without a socket."""
    from werkzeug.test import Client

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboard import program
        from tensorboard.backend import application as backend
        from tensorboard.plugins.core.core_plugin import CorePluginLoader

        from keras_xai.plugin.loader import Loader

        board = program.TensorBoard(plugins=[CorePluginLoader(), Loader()])
        reload = ["--reload_interval", "0", "--reload_task", "blocking"]
        board.configure(argv=["", "--logdir", str(root), "--load_fast", "false", *reload])
        provider, multiplexer = board._make_data_provider()
    return Client(backend.TensorBoardWSGIApp(board.flags, board.plugin_loaders, provider, None, multiplexer))


PARTS: dict[str, Callable[..., list[Row]]] = {
    "opening": opening,
    "slider": slider,
    "wide": wide,
    "long": long,
    "many": many,
    "thousand": thousand,
    "start": start,
    "requests": requests,
}


def verdict(row: Row) -> str:
    """Say whether a row meets its bar; empty where it has none."""
    if row.bar == "none":
        return ""
    return "met" if row.met else "missed"


def table(rows: list[Row]) -> str:
    """Return the rows as Markdown."""
    lines = [f"| {row.what} | {row.measured} | {row.bar} | {verdict(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS), *lines, ""])


def machine() -> str:
    """Describe what it ran on."""
    return f"{os.cpu_count()} cores of {platform.machine()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    rows: list[Row] = []
    complaints: list[str] = []
    with sync_playwright() as playwright:
        for part in options.only:
            with tempfile.TemporaryDirectory(prefix="keras_xai_") as root:
                for row in PARTS[part](playwright, Path(root), options, complaints):
                    rows.append(row)
                    print(f"{row.what}: {row.measured}, bar {row.bar}: {verdict(row)}", flush=True)
    complained = "nothing" if not complaints else f"{len(complaints)}: {complaints[0]}"
    rows.append(
        Row("browser console: errors, CSP violations, requests off the host", complained, "nothing", not complaints)
    )
    print(table(rows))
    if options.out:
        text = DOCUMENT.format(version=kx.__version__, table=table(rows), machine=machine())
        options.out.write_text(text, encoding="utf-8")
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
