"""Measure what reads a run of very many epochs takes: time and peak memory of load, check, report and the tab's answers.

    python -m benchmarks.many_epochs [--epochs 1000 10000 100000] [--only load check report tab] [--directory DIR]

The runs are written by the library's own writer: a table of eight features, sixteen samples in the gallery, four variables, an
alarm now and then. Each reader is a process of its own, whose peak resident memory is that of the system's account; "load" is
`kx.load` with the history, the importance and the last flags read. Of the tab, without a browser: the seconds that TensorBoard's
Python loader takes to read the run, and then the answers that an opened page requests.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from keras_xai.probe import Probe
from keras_xai.records import STATISTICS, Alert, Attribution, Epoch, Gradients, Shares
from keras_xai.summary.writer import Writer

VARIABLES = ("first/kernel", "first/bias", "second/kernel", "second/bias")
NAMES = tuple(f"feature {k}" for k in range(8))
READERS = ("load", "check", "report", "tab")
EDGES = np.geomspace(1e-9, 10, 31).astype(np.float32)


def write(directory: Path, epochs: int) -> float:
    """Write a run, and return the seconds that it took."""
    start, generator = time.perf_counter(), np.random.default_rng(0)
    x, y = generator.random((16, 8), "float32"), np.arange(16) % 2
    writer = Writer(directory / "keras_xai")
    writer.write([Probe(x, y, feature_names=NAMES, class_names=("no", "yes"))])
    for epoch in range(epochs):
        writer.write(records(epoch, generator))
        if epoch % 100 == 0:
            writer.flush()
    writer.close()
    return time.perf_counter() - start


def records(epoch: int, generator: np.random.Generator) -> list[Any]:
    """One epoch of what `Explain` with one method writes."""
    share = generator.dirichlet(np.full(8, 5.0)).astype(np.float32)
    statistics = {name: generator.random(4).astype(np.float32) for name in STATISTICS}
    values: list[Any] = [
        Gradients(epoch, VARIABLES, statistics, generator.random((4, 30), "float32"), EDGES, 3, sizes=(64, 8, 8, 1)),
        Attribution(
            "saliency",
            generator.normal(size=(16, 8)).astype(np.float32),
            target=np.arange(16) % 2,
            score=generator.random(16, "float32"),
            baseline_score=None,
            prediction=np.arange(16) % 2,
            completeness_error=None,
            space="logit",
            outputs=generator.random((16, 2), "float32"),
            epoch=epoch,
            kind="table",
        ),
        Shares(epoch, "clean", NAMES, share, 1.0, 6.0, None),
    ]
    if epoch % 5000 == 4999:
        move = (NAMES[0], 0.1, 0.4, 1, 7.0)
        values.append(Alert(epoch, "clean", "reliance moved", False, (move,), 7.0, 6.0))
    logs = {"loss": 1 / (1 + epoch), "val_loss": 1 / (1 + epoch), "accuracy": 0.9}
    values.append(Epoch(epoch, 1.7e9 + epoch, 1.0, 0.02, 1e-3, logs, {"weight_gradients": 0.02}))
    return values


def read(reader: str, directory: Path) -> dict[str, float]:
    """Read a run in this process, and return the seconds of each step, and bytes of what came out."""
    start = time.perf_counter()
    figures: dict[str, float] = {}
    if reader == "load":
        import keras_xai as kx

        (run,) = kx.load(directory).values()
        assert len(run.history) == len(run.importance.epochs)
        assert run.flags == ()
    elif reader == "check":
        from keras_xai.cli import main

        main(["check", str(directory)])
    elif reader == "report":
        import keras_xai as kx

        path = kx.report(directory, directory.parent / "report.html")
        figures["MB of the page"] = path.stat().st_size / 1e6
    else:
        figures |= answers(directory)
    return {"seconds": time.perf_counter() - start, **figures}


def answers(directory: Path) -> dict[str, float]:
    """Read a run in TensorBoard, and return the seconds and bytes of the answers that an opened page gets."""
    from tensorboard import program
    from tensorboard.backend import application
    from tensorboard.plugins.core.core_plugin import CorePluginLoader
    from werkzeug.test import Client

    from keras_xai.plugin.loader import Loader

    start = time.perf_counter()
    board = program.TensorBoard(plugins=[CorePluginLoader(), Loader()])
    reload = ["--reload_interval", "0", "--reload_task", "blocking", "--load_fast", "false"]
    board.configure(argv=["", "--logdir", str(directory), *reload])
    provider, multiplexer = board._make_data_provider()
    client = Client(
        application.TensorBoardWSGIApp(
            board.flags, board.plugin_loaders, provider, board.assets_zip_provider, multiplexer
        )
    )
    figures = {"s of TensorBoard": time.perf_counter() - start}
    base = "/data/plugin/keras_xai"
    start = time.perf_counter()
    index = json.loads(client.get(f"{base}/index?focus=").data)
    figures["s of the index"] = time.perf_counter() - start
    name = index["runs"][0]["name"]
    paths = [f"rows?run={name}", f"summary?run={name}"]
    panels = ("drift_score", "importance", "update_ratio", "gradient_norms", "loss", "overview")
    paths += [f"figure?run={name}&name={panel}" for panel in panels]
    for path in (*paths, f"film?run={name}&method=saliency&sample=0", f"outputs?run={name}&method=saliency"):
        start = time.perf_counter()
        answer = client.get(f"{base}/{path}")
        label = path.partition("&name=")[2] or path.partition("?")[0]
        if answer.status_code == 200:
            figures[f"s of {label}"] = time.perf_counter() - start
            figures[f"MB of {label}"] = len(answer.data) / 1e6
    return figures


def measured(reader: str, directory: Path) -> dict[str, float]:
    """Run one reader in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.many_epochs", "--read", reader, "--directory", str(directory)]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=dict(os.environ)).stdout
    return dict(json.loads(output.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--only", nargs="*", default=list(READERS), choices=READERS)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--read", choices=READERS)
    options = parser.parse_args()
    if options.read:
        figures = read(options.read, options.directory)
        cpu = time.process_time()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"CPU s": round(cpu, 2), "MiB": round(peak), **{k: round(v, 2) for k, v in figures.items()}}))
        return
    for epochs in options.epochs:
        with tempfile.TemporaryDirectory() as scratch:
            directory = (options.directory or Path(scratch)) / f"of-{epochs}"
            if not directory.exists():
                seconds = write(directory, epochs)
                size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 1e6
                print(f"{epochs:,} epochs: {size:.0f} MB, written in {seconds:.1f} s", flush=True)
            for reader in options.only:
                print(f"    {reader}: {measured(reader, directory)}", flush=True)


if __name__ == "__main__":
    main()
