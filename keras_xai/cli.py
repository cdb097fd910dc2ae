"""The `keras-xai` command."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    parser = argparse.ArgumentParser(prog="keras-xai", description="What a Keras model learns from, while it trains.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="train a real model with a planted shortcut, and see it caught")
    demo.add_argument("log_dir", nargs="?", default="logs/demo", help="where the run is written (default: %(default)s)")
    demo.add_argument("--seed", type=int, default=0, help="of the data, the weights and the batches")
    demo.add_argument("--serve", action="store_true", help="start TensorBoard on it afterwards")
    given = parser.parse_args(arguments)
    return _demo(given.log_dir, given.seed, given.serve)


def _demo(log_dir: str, seed: int, serve: bool) -> int:
    try:
        with _quiet():
            import tensorflow  # noqa: F401
    except ImportError:
        print('The demo trains a model: pip install "keras-xai[tensorflow]"', file=sys.stderr)
        return 2
    from keras_xai.demo import run
    from keras_xai.errors import InvalidInput

    try:
        run(log_dir, seed)
    except InvalidInput as error:
        print(error, file=sys.stderr)
        return 2
    command = ["tensorboard", "--logdir", log_dir]
    print(f"\nLook at it in TensorBoard, tab Explain:\n\n    {' '.join(command)}\n", flush=True)
    if serve:
        return subprocess.call([sys.executable, "-m", "tensorboard.main", *command[1:]])
    return 0


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what TensorFlow's libraries print to the file descriptor itself: its greeting drowns ours."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


if __name__ == "__main__":
    sys.exit(main())
