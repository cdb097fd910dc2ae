"""Reading a log directory back: `kx.load`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_xai.errors import InvalidInput, unknown
from keras_xai.summary.reader import FileStore, Log
from keras_xai.summary.runs import directories

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


class Run(Log):
    """Everything one training said about itself, as records and numpy arrays; see `keras_xai.records`.

    Lazy: a property reads its records on first use and keeps them. Values that are damaged, foreign or from a newer
    version are passed over with a warning.
    """

    def __repr__(self) -> str:
        return f"Run({len(self.epochs)} epochs, {len(self.alerts)} alerts)"

    def figure(self, name: str, **options: Any) -> Figure:
        """Draw the figure that the tab shows, for a notebook.

        Args:
            name: one of `keras_xai.figures.FIGURES`.
            **options: of this figure. All take `epoch` (as the run stood then; by default the last) and `look`, a
                `keras_xai.figures.Look` (theme, name and colour of the run, other runs laid over it). Beside these
                "weight_gradients" takes `variable` and `statistic`; "probe_attributions" `method` and `samples`, how many;
                "importance_drift" `source`: "live", "clean" or "data"; "mappings" `layer` and `source`: "label",
                "prediction", "held_out" or "correct".

        Raises:
            InvalidInput: there is no such figure, or it takes no such option, or the run has nothing of the name given.
        """
        from plotly.graph_objects import Figure

        from keras_xai.figures import FIGURES, options_of

        if name not in FIGURES:
            raise unknown("figure", name, FIGURES)
        for option in options:
            if option not in options_of(FIGURES[name]):
                raise unknown(f"option of the figure {name!r}", option, options_of(FIGURES[name]))
        return Figure(FIGURES[name](self, **options))


def load(log_dir: str | os.PathLike[str]) -> dict[str, Run]:
    """Every run below a directory, by the `log_dir` it was written to, relative to `log_dir`; itself is ".".

    A later training into the same directory is a run of its own, "run1/keras_xai-2". Needs neither Keras nor TensorFlow.

    Raises:
        InvalidInput: no such directory.

    Example:
        >>> import tempfile
        >>> load(tempfile.mkdtemp())
        {}
    """
    root = Path(os.path.expanduser(os.fspath(log_dir)))
    if not root.is_dir():
        raise InvalidInput(
            f"There is no directory {str(log_dir)!r}; give the log_dir of a callback, or a directory above it."
        )
    return {name: Run(FileStore(path)) for name, path in directories(root.resolve())}
