"""Count what survives a crash: kill -9 of a writer and of a training, files cut, files in which a byte is flipped.

    python -m benchmarks.crashes [--kills 180] [--fits 20] [--cuts 200] [--flips 200] [--seed 0] [--keep DIRECTORY]

Every crash leaves a run in one directory. Then each run is read by `kx.load` and, over HTTP, through a TensorBoard with
each of its two data loaders: every epoch that was flushed before the crash (or that stands before the damage) has to be
there with the very numbers that were written. The table says in how many runs that was so.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks._crash_runs import LOADERS, Read, loaded, series, served, verdict


@contextlib.contextmanager
def tensorboard(root: Path, loader: str) -> Iterator[Callable[[str, dict[str, str]], bytes]]:
    """A TensorBoard over a directory, as a function that gets a route of the plugin."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(root), "--port", "0", "--host", "127.0.0.1"]
    process = subprocess.Popen(
        [*command, "--load_fast", LOADERS[loader], "--reload_interval", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        matches = (re.search(r"at (http://\S+?)/? \(Press", line) for line in process.stderr)
        url = next(match.group(1) for match in matches if match)

        def get(route: str, query: dict[str, str]) -> bytes:
            address = f"{url}/data/plugin/keras_xai/{route}?{urllib.parse.urlencode(query)}"
            with urllib.request.urlopen(address, timeout=120) as answer:
                return bytes(answer.read())

        before = -1
        for _ in range(600):  # until two answers in a row are the same
            epochs = sum(run["epochs"] for run in json.loads(get("index", {}))["runs"])
            if epochs and epochs == before:
                break
            before = epochs
            time.sleep(3)
        yield get
    finally:
        process.terminate()
        process.wait(30)


def main() -> None:
    """Crash, read, print the table and what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, usual in (("kills", 180), ("fits", 20), ("cuts", 200), ("flips", 200), ("seed", 0)):
        parser.add_argument(f"--{option}", type=int, default=usual)
    parser.add_argument("--keep", type=Path, help="leave the runs there")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        root = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sizes = {kind: getattr(options, kind) for kind in ("kills", "fits", "cuts", "flips")}
        expected = series(root, **sizes, seed=options.seed)
        readers: dict[str, Callable[[str], Read]] = {"kx.load": loaded(root)}
        for loader in LOADERS:
            get = stack.enter_context(tensorboard(root, loader))
            readers[f"TensorBoard, {loader} loader"] = served(get)
        print("\n| crash | runs | epochs | " + " | ".join(readers) + " |\n|---|---|---|" + "---|" * len(readers))
        wrong: list[str] = []
        for kind, words in {
            "kill": "kill -9 of a process that writes",
            "fit": "kill -9 of a training",
            "cut": "cut anywhere",
            "flip": "one byte flipped",
        }.items():
            names = [name for name in expected if name.startswith(kind)]
            cells = []
            for reader, read in readers.items():
                verdicts = {name: verdict(name, expected[name], read) for name in names}
                faults = {name: text for name, text in verdicts.items() if text}
                cells.append(f"{len(names) - len(faults)} of {len(names)}")
                wrong += [f"{name}, {reader}: {text}" for name, text in faults.items()]
            epochs = sum(len(expected[name]) for name in names)
            print(f"| {words} | {len(names)} | {epochs} | " + " | ".join(cells) + " |")
        print(*wrong, sep="\n")


if __name__ == "__main__":
    main()
