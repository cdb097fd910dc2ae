"""The `keras-xai` command."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from keras_xai.printed import printable

if TYPE_CHECKING:
    from keras_xai.judgement import Judgement
    from keras_xai.run import Run

FAILED = 2  # exit status: no verdict, wrong usage, nothing to read


def command_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line: docs/command_line.md says the same."""
    parser = argparse.ArgumentParser(prog="keras-xai", description="What a Keras model learns from, while it trains.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="train a real model with a planted shortcut, and see it caught")
    demo.add_argument("log_dir", nargs="?", default="logs/demo", help="where the run is written (default: %(default)s)")
    demo.add_argument("--seed", type=int, default=0, help="of the data, the weights and the batches")
    demo.add_argument(
        "--from-start", action="store_true", help="the shortcut is in the training data from the first epoch"
    )
    demo.add_argument("--serve", action="store_true", help="start TensorBoard on it afterwards")
    report = commands.add_parser("report", help="write one HTML page that opens from disk")
    report.add_argument("log_dir", help="a log directory, or one above several; a path or s3://…")
    report.add_argument("path", nargs="?", default="report.html", help="of the page (default: %(default)s)")
    report.add_argument("--no-command", action="store_true", help="leave out the commands that started the trainings")
    check = commands.add_parser("check", help="for CI: 0 watched and quiet, 1 an alarm, 2 not watched")
    check.add_argument("log_dir", help="a log directory, or one above several; a path or s3://…")
    check.add_argument("--max-alerts", type=int, default=0, metavar="N", help="alerts a run may have (default: 0)")
    check.add_argument("--json", action="store_true", help="print one JSON object instead of words")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    options = command_parser().parse_args(arguments)
    commands_of: dict[str, Callable[[], int]] = {
        "check": lambda: _check(options.log_dir, options.max_alerts, options.json),
        "report": lambda: _report(options.log_dir, options.path, not options.no_command),
        "demo": lambda: _demo(options.log_dir, options.seed, options.serve, options.from_start),
    }
    from keras_xai.errors import InvalidInput

    try:
        return commands_of[options.command]()
    except InvalidInput as error:
        _print_line(error, sys.stderr)
    except Exception as error:  # which is no verdict on a training: an interpreter that ends in it would say 1
        _print_line(f"keras-xai {options.command} failed: {type(error).__name__}: {error}", sys.stderr)
    return FAILED


def _print_line(text: object, file: TextIO | None = None) -> None:
    """Print one line, in which nothing from a file acts on the terminal, and what the terminal cannot show is escaped."""
    file = file or sys.stdout
    encoding = file.encoding or "utf-8"
    print(printable(text).encode(encoding, "backslashreplace").decode(encoding), file=file, flush=True)


def _report(log_dir: str, path: str, command: bool) -> int:
    from keras_xai.page import report

    _print_line(report(log_dir, path, command=command))
    return 0


def _check(log_dir: str, max_alerts: int, as_json: bool) -> int:
    from keras_xai.judgement import STATUS_WORDS, judge, overall
    from keras_xai.remote.address import without_password
    from keras_xai.run import load

    runs = load(log_dir)
    judgements = {name: judge(run, max_alerts=max_alerts) for name, run in runs.items()}
    status = overall(judgements)
    if as_json:
        entries = [_entry(name, judgement, runs[name]) for name, judgement in judgements.items()]
        document = json.dumps({"status": status, "runs": entries})
        print(document.replace("##", r"#\u0023"))  # the same to a reader of JSON, and nothing to one of commands
        return status
    for name, judgement in judgements.items():
        _print_line(f"{STATUS_WORDS[judgement.status]}    {name}")
        for reason in judgement.reasons:
            _print_line(f"    {reason}")
    if not judgements:
        _print_line(f"Nothing was recorded below {without_password(log_dir)}.", sys.stderr)
    return status


def _entry(name: str, judgement: Judgement, run: Run) -> dict[str, Any]:
    return {
        "run": name,
        "status": judgement.status,
        "reasons": [printable(reason) for reason in judgement.reasons],
        "epochs": _count(run, "epochs"),
        **({"updates": _count(run, "updates")} if run.unit == "step" else {}),
        "alerts": _count(run, "alerts"),
    }


def _count(run: Run, records: str) -> int:
    """Count the records of one kind that can be read."""
    try:
        return len(getattr(run, records))
    except Exception:
        return 0


def _demo(log_dir: str, seed: int, serve: bool, from_start: bool) -> int:
    if not _imports_keras():
        return FAILED
    from keras_xai.demo import CHANGED_LATER, FROM_START, run

    run(log_dir, seed, FROM_START if from_start else CHANGED_LATER)
    command = ["tensorboard", "--logdir", log_dir]
    for line in ("", "Look at it in TensorBoard, tab Explain:", "", f"    {' '.join(command)}", ""):
        _print_line(line)
    if serve:
        return subprocess.call([sys.executable, "-m", "tensorboard.main", *command[1:]])
    return 0


def _imports_keras() -> bool:
    """Import Keras with the framework that KERAS_BACKEND names; without the variable, with one that is installed.

    Returns:
        False where there is none, which is printed.
    """
    frameworks = ("tensorflow", "jax", "torch")
    installed = [name for name in frameworks if importlib.util.find_spec(name) is not None]
    if installed and "tensorflow" not in installed:  # which Keras takes where nothing is said
        os.environ.setdefault("KERAS_BACKEND", installed[0])
    try:
        with _quiet():
            import keras  # noqa: F401
    except ImportError:
        framework = os.environ.get("KERAS_BACKEND", "tensorflow")
        extra = framework if framework in frameworks else "tensorflow"
        others = [f"KERAS_BACKEND={name}" for name in installed]
        instead = f", or set {' or '.join(others)}" if others else ""
        _print_line(
            f"The demo trains a model, and Keras cannot import its backend {framework!r}: "
            f'pip install "keras-xai[{extra}]"{instead}',
            sys.stderr,
        )
        return False
    return True


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the frameworks' libraries print to the file descriptor itself: their greetings drown ours."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    standard_error = os.dup(2)
    try:
        with open(os.devnull, "wb") as null:
            os.dup2(null.fileno(), 2)
        yield
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)


if __name__ == "__main__":
    sys.exit(main())
