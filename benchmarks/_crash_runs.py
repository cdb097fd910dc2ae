"""Runs that crash, each in its own way, and readers that say which of their epochs are still there."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import random
import signal
import struct
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_xai as kx
from keras_xai.records import STATISTICS, Attribution, Epoch, Gradients, Shares
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.writer import Writer

EPOCHS = 12  # of a file that is damaged
LOADERS = {"python": "false", "rust": "true"}
VARIABLES, FEATURES = ("dense/kernel", "dense/bias"), ("a", "b", "c")
EDGES = 2.0 ** np.arange(-3, 2, dtype=np.float32)


def share(epoch: int) -> np.ndarray:
    """Shares that were written for an epoch: they follow from its number alone."""
    first = np.float32(1 / (epoch + 2))
    return np.array([first, (1 - first) / 2, (1 - first) / 2], np.float32)


def records(epoch: int) -> list[Any]:
    """Everything that an epoch writes, some 10 kB."""
    drawn = np.random.default_rng(epoch)
    maps = drawn.normal(size=(8, 16, 16)).astype(np.float32)
    rows = np.zeros(8, np.float32)
    classes = np.zeros(8, np.int64)
    return [
        Gradients(
            epoch,
            VARIABLES,
            {name: np.full(2, epoch + 1, np.float32) for name in STATISTICS},
            drawn.integers(0, 9, (2, 4)).astype(np.float32),
            EDGES,
            steps=3,
            sizes=(8, 2),
        ),
        Attribution("saliency", maps, classes, rows, None, classes, None, "logit", None, epoch, "image"),
        Shares(epoch, "clean", FEATURES, share(epoch), 1.0, 6.0),
        Epoch(epoch, 1e9 + epoch, 1.0, 0.1, 1e-3, {"loss": 1 / (1 + epoch)}),
    ]


# Crashes. Each leaves a run and says which of its epochs have to be there.


def killed(child: Callable[[Callable[[int], None]], None], seconds: float) -> list[int]:
    """Epochs that a process reports before it is killed, `seconds` after the first one.

    It is forked, so that libraries need not be imported two hundred times; everything else it does by itself.
    """
    reading_end, writing_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            os.close(reading_end)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            child(lambda epoch: (os.write(writing_end, struct.pack("<I", epoch)), None)[1])
        os._exit(1)
    os.close(writing_end)
    content = os.read(reading_end, 4)
    assert content, "the process ended before its first epoch"
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while more := os.read(reading_end, 1 << 16):
        content += more
    os.close(reading_end)
    return [epoch for (epoch,) in struct.iter_unpack("<I", content[: len(content) // 4 * 4])]


def write(log_dir: Path, tell: Callable[[int], None]) -> None:
    """Epoch after epoch, as fast as it goes."""
    writer = Writer(log_dir / PLUGIN_NAME)
    for epoch in itertools.count():
        writer.write(records(epoch))
        writer.flush()
        tell(epoch)


def train(log_dir: Path, tell: Callable[[int], None]) -> None:
    """A real training with `Explain`, told of by a callback behind it."""

    class Tell(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            tell(epoch)

    x = np.random.default_rng(0).normal(size=(256, 8)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    layers = [keras.Input((8,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, epochs=100_000, verbose=0, callbacks=[kx.Explain(log_dir, (x[:64], y[:64])), Tell()])


def whole_file(directory: Path) -> tuple[bytes, list[int]]:
    """An undamaged file, and where each of its epochs ends."""
    writer = Writer(directory)
    ends = []
    for epoch in range(EPOCHS):
        writer.write(records(epoch))
        writer.flush()
        ends.append(writer.path.stat().st_size)
    writer.close()
    return writer.path.read_bytes(), ends


def damaged(log_dir: Path, content: bytes, ends: Sequence[int], at: int) -> list[int]:
    """A run with the given content; what ends before the damage has to be there."""
    (log_dir / PLUGIN_NAME).mkdir(parents=True)
    (log_dir / PLUGIN_NAME / "events.out.tfevents.1700000000.host").write_bytes(content)
    return [epoch for epoch, end in enumerate(ends) if end <= at]


def series(
    root: Path, *, kills: int, fits: int, cuts: int, flips: int, seed: int = 0, say: Callable[[str], None] = print
) -> dict[str, list[int]]:
    """All crashes, each a run below `root`, and the epochs that have to be there."""
    chance, expected = random.Random(seed), {}
    for k in range(kills):
        expected[f"kill-{k}"] = killed(functools.partial(write, root / f"kill-{k}"), chance.uniform(0, 0.1))
    say(f"{kills} writers killed")
    for k in range(fits):
        expected[f"fit-{k}"] = killed(functools.partial(train, root / f"fit-{k}"), chance.uniform(0, 3))
    say(f"{fits} trainings killed")
    with tempfile.TemporaryDirectory() as scratch:
        whole, ends = whole_file(Path(scratch) / PLUGIN_NAME)
    for k in range(cuts):
        at = chance.randrange(len(whole))
        expected[f"cut-{k}"] = damaged(root / f"cut-{k}", whole[:at], ends, at)
    for k in range(flips):
        at = chance.randrange(len(whole))
        flipped = bytes([whole[at] ^ chance.randrange(1, 256)])
        expected[f"flip-{k}"] = damaged(root / f"flip-{k}", whole[:at] + flipped + whole[at + 1 :], ends, at)
    return expected


# Readers. Each gives, for a run, the epochs it knows and the share of the features at each, or raises.

Read = tuple[list[int], dict[int, np.ndarray]]


def loaded(root: Path) -> Callable[[str], Read]:
    """By `kx.load`."""
    runs = kx.load(root)

    def read(name: str) -> Read:
        if name not in runs:
            return [], {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is passed over is told; here it counts what is there
            run = runs[name]
            rows = run.importance
            assert all(record.values.ndim >= 2 for record in run.attributions("saliency"))
            assert all(len(record.names) for record in run.weight_gradients)
            return run.epochs, {} if rows is None else dict(zip(rows.epochs.tolist(), rows.share, strict=True))

    return read


def served(get: Callable[[str, dict[str, str]], bytes]) -> Callable[[str], Read]:
    """By TensorBoard, through a function that gets a route of the plugin."""
    names = {card["name"] for card in json.loads(get("index", {}))["runs"]}

    def read(name: str) -> Read:
        if name not in names:
            return [], {}
        run = json.loads(get("run", {"run": name}))
        if "clean" not in run["sources"]:
            return run["epochs"], {}
        answer = get("importance", {"run": name, "source": "clean"})
        length = struct.unpack("<I", answer[:4])[0]
        header = json.loads(answer[4 : 4 + length])
        array = next(a for a in header["arrays"] if a["name"] == "share")
        start = 4 + length + array["offset"]
        count = int(np.prod(array["shape"]))
        rows = np.frombuffer(answer, "<f4", count, start).reshape(array["shape"])
        return run["epochs"], dict(zip(run["sources"]["clean"]["epochs"], rows, strict=True))

    return read


def verdict(name: str, epochs: Sequence[int], read: Callable[[str], Read]) -> str:
    """Describe what is wrong with a run; empty where all that has to be there is."""
    try:
        present, shares = read(name)
    except Exception as fault:
        return f"{type(fault).__name__}: {fault}"
    if lost := sorted(set(epochs) - set(present)):
        return f"epochs {lost} are lost of {len(epochs)}"
    for epoch in epochs:
        if epoch not in shares:
            return f"the importance of epoch {epoch} is lost"
        if not name.startswith("fit") and not np.array_equal(shares[epoch], share(epoch)):
            return f"the importance of epoch {epoch} is {shares[epoch]}, written was {share(epoch)}"
    return ""
