"""`kx.report`: writes the page, at once or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from keras_xai.errors import InvalidInput
from keras_xai.page.document import html_of
from keras_xai.remote.address import without_password
from keras_xai.run import Run, load


def report(
    log_dir: str | os.PathLike[str], path: str | os.PathLike[str] = "report.html", *, command: bool = True
) -> Path:
    """Write one HTML file of every run below a directory: a table of the runs, the worst first, then each run with its figures.

    It needs no server and no network: about 1.2 MB of plotly, and about 0.3 MB a run; the gallery at up to 20 epochs takes up to
    4 MB more, however many runs there are. A figure is drawn when it is scrolled to. Printed it has the runs that are open.

    Args:
        log_dir: a log directory, or one above several; a path, or an address as "s3://bucket/logs".
        path: where the page goes; an existing file is replaced at the end, so that a failure leaves it as it was, and
            nothing else.
        command: False leaves out the commands that started the trainings.

    Returns:
        The path.

    Raises:
        InvalidInput: no such directory, nothing recorded below it, or a path that cannot be written.

    Example:
        >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=[kx.WeightGradients("logs/run1")])
        >>> kx.report("logs", "report.html").name
        'report.html'
    """
    runs: dict[str, Run] = load(log_dir)
    if not runs:
        raise InvalidInput(
            f"Nothing was recorded below {without_password(str(log_dir))!r}: give the log_dir of a callback, or one above it."
        )
    target = Path(path)
    if not target.parent.is_dir() or target.is_dir():
        raise InvalidInput(f"The page cannot be written to {str(path)!r}: give a file in a directory that exists.")
    title = without_password(str(log_dir))
    if title not in runs:
        runs = {title if name == "." else name: run for name, run in runs.items()}
    content = html_of(title, runs, command=command)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        draft.write_text(content, encoding="utf-8")
        os.replace(draft, target)
    except OSError as error:
        raise InvalidInput(f"The page cannot be written to {str(path)!r}: {error.strerror}.") from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    return target
