"""The line of Python that draws a panel of the tab in a notebook."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from keras_xai.errors import InvalidInput, unknown
from keras_xai.figures import FIGURES, PANELS
from keras_xai.figures.options import accepted
from keras_xai.remote.address import is_address
from keras_xai.run import Run
from keras_xai.summary.runs import display_names
from keras_xai.updates import BEFORE


def notebook_line(
    directory: str, paths: Iterable[str], path: str, run: Run, figure: str, options: Mapping[str, Any]
) -> str:
    """Return the line that draws a figure or panel of a run, for a notebook on the machine of the log directory.

    Args:
        directory: the log directory.
        paths: of all runs below it.
        path: of this run.
        run: read from there.
        figure: a key of `FIGURES` or `PANELS`.
        options: of the figure; those that it does not take are left out. An `epoch` is the number of an update.

    Raises:
        InvalidInput: there is no such figure, or the log directory is not one of this machine.
    """
    draw = {**FIGURES, **PANELS}.get(figure)
    if draw is None:
        raise unknown("figure", figure, {**FIGURES, **PANELS})
    folder = directory if is_address(directory) else os.path.abspath(os.path.expanduser(directory))
    if not is_address(directory) and not os.path.isdir(folder):
        raise InvalidInput(
            f"{directory!r} is no directory of the machine that TensorBoard runs on: kx.load reads those alone."
        )
    chosen = accepted(draw, options)
    update = chosen.pop("epoch", None)
    if update is not None and (update != BEFORE or run.unit == "step"):
        chosen[run.unit] = 0 if update == BEFORE else update
    arguments = "".join(f", {name}={value!r}" for name, value in chosen.items())
    name = display_names(paths)[path]
    return f"import keras_xai as kx; kx.load({folder!r})[{name!r}].figure({figure!r}{arguments})"
