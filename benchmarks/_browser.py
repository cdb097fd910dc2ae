"""A TensorBoard that serves a directory, and the system's Chromium with the options that a benchmark wants."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


# A visitor who has seen the tour of the first visit; a frame of no origin has no storage.
TOUR_SEEN = "try { localStorage.setItem('keras_xai.tour', 'seen') } catch {}"


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
                if match := re.search(r"at (http://\S+?)/? \(Press", line):
                    yield match.group(1)
                    return
            raise SystemExit("TensorBoard did not start")
        finally:
            process.terminate()


def browser_path() -> str:
    """The system's Chromium."""
    path = os.environ.get("CHROME_BIN") or next(filter(None, map(shutil.which, BROWSERS)), None)
    return path or sys.exit("no Chromium: `apt-get install chromium`, or name one in CHROME_BIN")
