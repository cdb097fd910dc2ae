"""What several rooms' tests share: a small run written record by record, TensorBoard in both loaders, a browser."""

from __future__ import annotations

import importlib.machinery
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.waiting import wait_until
from tests.plugin.answers import LOADERS

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

FRAMEWORKS = ("tensorflow", "jax", "torch")  # each a marker
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")


class WithoutTensorFlow(importlib.machinery.PathFinder):
    """Finds everything but TensorFlow. (Keras takes an entry in `sys.modules`, even None, for an imported one.)"""

    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> Any:
        return None if fullname.partition(".")[0] == "tensorflow" else super().find_spec(fullname, path, target)


if BACKEND != "tensorflow":  # all that is tested on another backend works where TensorFlow is not installed
    sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = WithoutTensorFlow
if BACKEND == "jax" and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    # Most of the time goes into compiling, often the same program: each is compiled once in all processes of a run.
    _cache = tempfile.TemporaryDirectory(prefix="keras_xai_jax_")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out, on another backend, the files that import TensorFlow or a benchmark that does."""
    if BACKEND == "tensorflow" or collection_path.suffix != ".py":
        return None
    text = collection_path.read_text(encoding="utf-8")
    return True if re.search(r"^(import|from) (tensorflow|benchmarks\._drift_rows)", text, re.MULTILINE) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that need other frameworks than the one that Keras runs on."""
    left_out = []
    for item in items:
        needed = [name for name in FRAMEWORKS if item.get_closest_marker(name)]
        if needed and BACKEND not in needed:
            left_out.append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session", name="wait_until")
def _wait_until() -> Callable[..., Any]:
    return wait_until


# A run with a known story.


class Story:
    """Writes a run whose numbers have closed forms, epoch by epoch.

    Feature 0 holds a share of 0.02 until epoch `moves`, 0.5 from then on; the others share the rest evenly. The live
    rows raise an alert at `moves`, the fixed probe two epochs later. Variable "head/kernel" is dead from epoch `dies`.
    """

    classes = ("cat", "dog", "<b>owl</b>")
    variables = ("stem/conv/kernel", "stem/conv/bias", "head/kernel", "head/bias")
    started = 1_700_000_000.0

    def __init__(self, directory: Path, *, kind: str = "image", moves: int | None = 6, dies: int | None = None) -> None:
        from keras_xai.probe import Probe
        from keras_xai.summary.writer import Writer

        generator = np.random.default_rng(0)
        labels = np.array([0, 1, 2, 0, 1, 2])
        self.kind, self.moves, self.dies, self.labels = kind, moves, dies, labels
        if kind == "image":
            self.probe = Probe(generator.random((6, 4, 4, 1), "float32"), labels, class_names=self.classes)
        elif kind == "table":
            names = ["age", "<img src=x onerror=alert(1)>", "dose", "weight & height", "%{y}"]
            x = generator.random((6, 5), "float32")
            self.probe = Probe(x, labels, feature_names=names, class_names=self.classes)
        elif kind == "tokens":
            words = ["", "good", "bad", "<script>", "film"]
            x = generator.integers(1, 5, (6, 7))
            self.probe = Probe(x, labels, kind="tokens", vocabulary=words, class_names=self.classes)
        else:
            self.probe = Probe(generator.random((6, 20, 2), "float32"), labels, kind="series", class_names=self.classes)
        self.writer = Writer(directory / "keras_xai")
        self.writer.write([self.probe])
        self.writer.flush()

    def share(self, epoch: int, lag: int = 0) -> Any:
        """The share of each feature at an epoch; the fixed probe follows `lag` epochs later."""
        count = len(self.probe.features)
        first = 0.5 if self.moves is not None and epoch >= self.moves + lag else 0.02
        return np.array([first, *[(1 - first) / (count - 1)] * (count - 1)], np.float32)

    def score(self, epoch: int, lag: int = 0) -> float:
        """NaN for three epochs, then 1 + epoch / 100, 9 where the share moves."""
        if epoch < 3:
            return float("nan")
        return 9.0 if self.moves is not None and epoch == self.moves + lag else 1 + epoch / 100

    def maps(self, epoch: int) -> Any:
        """Sample b's attribution at an epoch: signed, finite, different at every epoch."""
        shape = self.probe.inputs[0].shape
        flat = np.sin(np.arange(np.prod(shape[1:]))[None] * (epoch + 1) + np.arange(shape[0])[:, None])
        values = flat.reshape(shape).astype(np.float32)
        return values.sum(-1) if self.kind == "image" else values

    def outputs(self, epoch: int) -> Any:
        """Class probabilities (B, 3): the true class until the move, then always class 0."""
        predicted = np.where(self.moves is not None and epoch >= self.moves, 0, self.labels)
        return np.where(np.arange(3) == np.reshape(predicted, (-1, 1)), 0.8, 0.1).astype(np.float32)

    def records(self, epoch: int) -> list[Any]:
        """Everything that callbacks would write at an epoch."""
        from keras_xai.records import Alert, Attribution, Epoch, Gradients, Shares

        outputs, size = self.outputs(epoch), len(self.variables)
        dead = self.dies is not None and epoch >= self.dies
        rms = np.array([0.1, 0.01, 0.0 if dead else 0.001, 0.02], np.float32) / (1 + epoch)
        columns = dict.fromkeys(("rms", "mean", "std", "max", "update_ratio"), rms)
        columns["zero_fraction"] = (rms == 0).astype(np.float32)
        columns |= {"nonfinite": np.zeros(size, np.float32), "weight_norm": np.ones(size, np.float32)}
        edges = 2.0 ** np.arange(-20, 1, dtype=np.float32)
        histogram = np.tile(
            np.bincount(np.arange(20) // 2 + epoch % 5, minlength=20)[:20].astype(np.float32), (size, 1)
        )
        flags = (("head/kernel", "dead", self.dies),) if dead and self.dies is not None else ()
        result: list[Any] = [Gradients(epoch, self.variables, columns, histogram, edges, 3, flags)]
        picked = np.arange(len(self.labels)), self.labels
        for method, error in (("saliency", None), ("integrated_gradients", np.full(6, 0.01 * epoch, np.float32))):
            values = np.abs(self.maps(epoch)) if method == "saliency" else self.maps(epoch)
            predicted = outputs.argmax(1)
            result.append(
                Attribution(
                    method,
                    values,
                    self.labels,
                    outputs[picked],
                    None,
                    predicted,
                    error,
                    "logit",
                    outputs,
                    epoch,
                    self.kind,
                )
            )
        for source, lag in (("live", 0), ("clean", 2)):
            share, score = self.share(epoch, lag), self.score(epoch, lag)
            result.append(Shares(epoch, source, self.probe.features, share, score, 6.0))
            if self.moves is not None and epoch == self.moves + lag:
                verdict = "data changed" if source == "live" else "reliance moved"
                moved = ((self.probe.features[0], 0.02, 0.5, 1, 9.0),)
                result.append(Alert(epoch, source, verdict, False, moved, 9.0, 6.0))
        logs = {"loss": 2.0 / (1 + epoch), "val_loss": 1.0, "val_accuracy": 0.9 if epoch < 7 else 0.4}
        result.append(Epoch(epoch, self.started + 10 * epoch, 10.0, 0.2, 1e-3, logs))
        return result

    def write(self, *epochs: int) -> Story:
        """Appends epochs, as a training would."""
        for epoch in epochs:
            self.writer.write(self.records(epoch))
            self.writer.flush()
        return self

    def close(self) -> None:
        self.writer.close()


@pytest.fixture(scope="session")
def story() -> Iterator[Callable[..., Story]]:
    """`story(directory, kind=..., moves=..., dies=...)` writes the probe; `.write(0, 1, ...)` the epochs."""
    stories: list[Story] = []

    def tell(directory: Path, **options: Any) -> Story:
        stories.append(Story(directory, **options))
        return stories[-1]

    yield tell
    for written in stories:
        written.close()


@pytest.fixture(scope="session")
def told_directory(story: Callable[..., Story], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log directory with one run of each kind: nobody writes to it."""
    root = tmp_path_factory.mktemp("told")
    story(root / "pictures" / "watermark").write(*range(12))
    story(root / "pictures" / "clean", moves=None, dies=9).write(*range(12))
    story(root / "columns", kind="table").write(*range(12))
    story(root / "words", kind="tokens", moves=None).write(*range(12))
    story(root / "sensors", kind="series", moves=None).write(*range(12))
    story(root / "waiting")
    return root


@pytest.fixture(scope="session")
def stepped_directory(told_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same stories counted in steps, each with the gallery of its untrained model; and two trainings that have begun."""
    from keras_xai.run import load
    from tests.run_in_steps import in_steps

    root, told = tmp_path_factory.mktemp("stepped"), load(told_directory)
    for name in ("pictures/watermark", "pictures/clean", "columns"):
        in_steps(told[name], root / name)
    in_steps(told["columns"], root / "begun", until=0)
    in_steps(told["columns"], root / "early", until=3)
    shutil.copytree(told_directory / "words", root / "in_epochs")
    return root


# TensorBoard.


@pytest.fixture(scope="session")
def wsgi() -> Iterator[Callable[..., Any]]:
    """`wsgi(directory, loader)`: TensorBoard's application without a socket, with this plugin and the core's."""
    from tests.helpers.tensorboard_client import TensorBoardClient

    clients: list[Any] = []

    def make(directory: Path, loader: str = "python") -> Any:
        clients.append(TensorBoardClient(directory, loader))
        return clients[-1]

    yield make
    for client in clients:
        client.end()


# TensorBoard beside TensorFlow, which it imports for seconds and 700 MB, and as it is where there is none.
WITH_TENSORFLOW = ("-m", "tensorboard.main")
WITHOUT_TENSORFLOW = (
    "-c",
    "import sys; sys.modules['tensorflow'] = None; from tensorboard.main import run_main; run_main()",
)


class Served:
    """A TensorBoard process over a directory."""

    def __init__(self, directory: Path, loader: str, program: tuple[str, ...]) -> None:
        command = [sys.executable, *program, "--logdir", str(directory), "--port", "0", "--host", "127.0.0.1"]
        command += ["--load_fast", LOADERS[loader], "--reload_interval", "1"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self.url = ""
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        wait_until(lambda: self.url or self.process.poll() is not None, 90)
        assert self.url, "".join(self.lines)

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if match := re.search(r"at (http://\S+?)/? \(Press", line):
                self.url = match.group(1)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self._listener.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[..., Served]]:
    """`serve(directory, loader, tensorflow=False)`: a running TensorBoard, one of each kind, stopped when the tests end."""
    running: dict[tuple[Path, str, bool], Served] = {}

    def start(directory: Path, loader: str = "python", tensorflow: bool = False) -> Served:
        key = (directory, loader, tensorflow)
        if key not in running:
            running[key] = Served(directory, loader, WITH_TENSORFLOW if tensorflow else WITHOUT_TENSORFLOW)
        return running[key]

    yield start
    for server in running.values():
        server.close()


# A browser.


def _browser_path() -> str | None:
    named = os.environ.get("CHROME_BIN")
    return named if named and Path(named).exists() else next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The system's Chromium, or a skip that says how to get one."""
    path = _browser_path()
    if path is None:
        words = "no Chromium: `apt-get install chromium`, or name one in CHROME_BIN"
        if os.environ.get("KERAS_XAI_REQUIRE_BROWSER") == "1":
            pytest.fail(words)
        pytest.skip(words)
    if os.environ.get("KERAS_XAI_REQUIRE_BROWSER") == "1":
        from playwright import sync_api
    else:
        sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=list(QUIET))
        yield running
        running.close()
