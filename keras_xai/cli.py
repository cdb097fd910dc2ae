"""The `keras-xai` command."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    parser = argparse.ArgumentParser(prog="keras-xai", description="What a Keras model learns from, while it trains.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="train a real model with a planted shortcut, and see it caught")
    demo.add_argument("log_dir", nargs="?", default="logs/demo", help="where the run is written (default: %(default)s)")
    demo.add_argument("--seed", type=int, default=0, help="of the data, the weights and the batches")
    demo.add_argument("--serve", action="store_true", help="start TensorBoard on it afterwards")
    report = commands.add_parser("report", help="write one HTML page that opens from disk")
    report.add_argument("log_dir", help="a log directory, or one above several")
    report.add_argument("path", nargs="?", default="report.html", help="of the page (default: %(default)s)")
    check = commands.add_parser("check", help="for CI: 0 watched and quiet, 1 an alarm, 2 not watched")
    check.add_argument("log_dir", help="a log directory, or one above several")
    check.add_argument("--max-alerts", type=int, default=0, metavar="N", help="alerts a run may have (default: 0)")
    check.add_argument("--json", action="store_true", help="print one JSON object instead of words")
    given = parser.parse_args(arguments)
    if given.command == "check":
        return _check(given.log_dir, given.max_alerts, given.json)
    if given.command == "report":
        return _report(given.log_dir, given.path)
    return _demo(given.log_dir, given.seed, given.serve)


def _report(log_dir: str, path: str) -> int:
    from keras_xai.errors import InvalidInput
    from keras_xai.page import report

    try:
        print(report(log_dir, path))
    except InvalidInput as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _check(log_dir: str, max_alerts: int, as_json: bool) -> int:
    from keras_xai.errors import InvalidInput
    from keras_xai.run import load
    from keras_xai.verdict import ALARM, QUIET, overall, verdict

    try:
        runs = load(log_dir)
    except InvalidInput as error:
        print(error, file=sys.stderr)
        return 2
    verdicts = {name: verdict(name, run, max_alerts) for name, run in runs.items()}
    status = overall(verdicts)
    if as_json:
        print(json.dumps({"status": status, "runs": [asdict(v) for v in verdicts.values()]}, ensure_ascii=False))
        return status
    words = {QUIET: "quiet", ALARM: "ALARM"}
    for found in verdicts.values():
        print(f"{words.get(found.status, 'not watched')}    {found.run}")
        for reason in found.reasons:
            print(f"    {reason}")
    if not verdicts:
        print(f"Nothing was recorded below {log_dir}.", file=sys.stderr)
    return status


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
