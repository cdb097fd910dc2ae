"""`kx.load`: reads the runs of a log directory."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_xai.analysis.formatting import count
from keras_xai.cards import run_card, runs_card
from keras_xai.errors import InvalidInput, unknown
from keras_xai.records import listed
from keras_xai.remote.address import Address, is_address, refuse_one_slash, without_file_scheme
from keras_xai.remote.mirror import local_copy
from keras_xai.summary.reader import Log
from keras_xai.summary.runs import directories
from keras_xai.summary.store import FileStore
from keras_xai.updates import BEFORE

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


class Run(Log):
    """Everything that one training recorded, as records and numpy arrays; see `keras_xai.records`.

    Lazy: a property reads its records on first use and keeps them. Values that are damaged, foreign or from a newer
    version are passed over with a warning.

    | member | what it is |
    |---|---|
    | `epochs`, `updates` | the epochs, and the numbers of the updates: the same, or steps, as `unit` says |
    | `history` | for each update its time, cost, learning rate and logs |
    | `before` | the gallery of the untrained model |
    | `provenance` | how the training was begun: versions, model, probe, seed, command; and its restarts |
    | `weight_gradients` | statistics, histograms and flags by variable |
    | `critical_step` | the multiple of a step at which the loss of its own batch would rise, where it was measured |
    | `probe`, `attributions(method)`, `outputs(method)` | the gallery, its attribution maps, and the model's outputs for it |
    | `map_checks` | deletion and sensitivity of the gallery's maps, by method |
    | `chosen_rows`, `chosen_attribution(method, update)` | the rows that the gallery's rule chose at each update |
    | `stored_samples`, `samples_of(rows)` | inputs of rows beside the gallery |
    | `importance`, `importance_live`, `data_score` | shares of the features over epochs, and how unusual their move is |
    | `gap`, `reliance` | what each feature says in the live rows beside the probe: over epochs, and by update |
    | `alerts`, `notes`, `stops` | alarms, sentences of the callbacks, and callbacks that ended before the training |
    | `mappings`, `samples` | features, decision and result of each epoch; the training dynamics of each sample |
    | `concepts` | how strongly the model answers to each concept, of each epoch |
    | `slices` | accuracy, confidence, importance and readout by slice of the probe, of each epoch |
    | `training_flags`, `screen` | rules that the training breaks, or that could not be judged; the columns before training |
    | `training_rows` | the table of all training rows that `TrainingRows` wrote last |
    | `predictions` | prediction, probability, truth and loss of each row of the probe, over updates |
    | `figure(name)` | the figure of the tab |

    Example:
        >>> import keras, numpy as np, tempfile
        >>> import keras_xai as kx
        >>> x = np.random.default_rng(0).normal(size=(128, 4)).astype("float32")
        >>> y = (x[:, 0] > 0).astype("int32")
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> log_dir = tempfile.mkdtemp()
        >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=[kx.Explain(log_dir, (x, y))])
        >>> run = kx.load(log_dir)["."]
        >>> run.epochs, run.importance.share.shape, run.attributions("saliency")[1].values.shape
        ([0, 1], (2, 4), (16, 4))
    """

    def __repr__(self) -> str:
        updates = f"{count(len(self.updates), 'update')} in " if self.unit == "step" else ""
        return f"Run({updates}{count(len(self.epochs), 'epoch')}, {count(len(self.alerts), 'alert')})"

    def _repr_html_(self) -> str:
        return run_card(self)

    def figure(self, name: str, **options: Any) -> Figure:
        """Return the plotly figure that the tab shows, for a notebook.

        - "overview", "reliance_gap" and "slices": `epoch`; "training_rows": nothing, it is the last table.
        - "weight_gradients": `variable`, a path; `statistic`, "rms", "max", "std", "update_ratio", "zero_fraction", "nonfinite"
          or "weight_norm"; `epoch`.
        - "probe_attributions": `method`, a name; `samples`, how many or which rows; `display` of pictures, "overlay", "map",
          "masked" or "input"; `scale` of bars and shades, "common" or "own"; `depth`, the visible slice of volumes; `epoch`.
        - "importance_drift": `source`, "live", "clean" or "data"; `epoch`.
        - "predictions": `label`, the number of one of several labels or numbers a row; `epoch`.
        - "concepts": `concept`, a name; `layer`, a path; `epoch`.
        - "mappings": `layer`, a path; `source`, "label", "prediction", "held_out" or "correct"; `epoch`.

        `epoch` shows the run as it stood at its end, by default at the last. In a run that counts in steps `step` may stand in
        its place: as it stood after so many training steps; 0 for the gallery of the untrained model.

        Args:
            name: one of `keras_xai.figures.FIGURES`, or of `keras_xai.figures.PANELS`, the charts that they consist of.
            **options: of this figure. All take `theme`, "light" or "dark"; or `look`, a `keras_xai.figures.Look`: theme, name
                and colour of the run, other runs laid over it.

        Raises:
            InvalidInput: there is no such figure, or the figure takes no such option, with the nearest name; a value that it
                does not take, with what is expected; the run has no such variable, method, layer, sample, epoch or step.

        Example:
            >>> history = model.fit(x, y, epochs=1, verbose=0, callbacks=[kx.ProbeAttributions("logs", probe)])
            >>> kx.load("logs")["."].figure("probe_attributions", samples=[3, 5], theme="dark").layout.title.text.split("<br>")[0]
            'Integrated gradients, epoch 0'
        """
        from plotly.graph_objects import Figure

        from keras_xai.figures import FIGURES, PANELS, Look, check_options

        draw = {**PANELS, **FIGURES}.get(name)
        if draw is None:
            raise unknown("figure", name, FIGURES)
        if "theme" in options:
            options["look"] = dataclasses.replace(options.get("look", Look()), theme=options.pop("theme"))
        if "step" in options or (self.unit == "step" and "epoch" in options):
            options["epoch"] = self._update_of(name, options.pop("epoch", None), options.pop("step", None))
        check_options(draw, options, f"the figure {name!r}")
        if self.unit == "epoch" and options.get("epoch") is not None:
            self._check_epoch(options["epoch"])
        return Figure(draw(self, **options))

    def _check_epoch(self, epoch: int) -> None:
        """Raise for an epoch outside of those that were recorded.

        Raises:
            InvalidInput: earlier than the first, or later than the last.
        """
        is_before = epoch == BEFORE and bool(self.methods_before)
        if self.epochs and not is_before and not self.epochs[0] <= epoch <= self.epochs[-1]:
            raise InvalidInput(f"epoch={epoch}: {self._recorded_epochs}.")

    def _update_of(self, figure: str, epoch: int | None, step: int | None) -> int | None:
        """Return the number of the update that a figure is asked for, by the epoch that it ends or by its step."""
        if step is not None and epoch is not None:
            raise InvalidInput(f"epoch={epoch!r} and step={step!r}: give one of them.")
        if self.unit == "epoch":
            raise InvalidInput(f"step={step!r}: this run counts in epochs; give epoch=, {self._recorded_epochs}.")
        for name, value in (("epoch", epoch), ("step", step)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, np.integer))):
                raise InvalidInput(f"{name}={value!r}: expected a whole number.")
        if step == 0 and figure == "probe_attributions" and self.methods_before:
            return BEFORE
        if epoch is None:
            if step is not None and self.updates and not self.updates[0] <= step:
                raise InvalidInput(
                    f"step={step}: the first update is at step {self.updates[0]}, the last at {self.updates[-1]}."
                )
            return step
        ends = [record.update for record in self.history if record.epoch == epoch]
        if not ends:
            raise InvalidInput(
                f"epoch={epoch}: {self._recorded_epochs}; or give step=, up to {max(self.updates, default=0)}."
            )
        return ends[-1]

    @property
    def _recorded_epochs(self) -> str:
        return f"recorded: {listed(self.epochs)}" if self.epochs else "none was recorded yet"


class Runs(dict[str, Run]):
    """Runs by name, as `load` returns them: a dictionary that a notebook shows as a table with the verdict on each."""

    def _repr_html_(self) -> str:
        return runs_card(self)


def load(log_dir: str | os.PathLike[str]) -> Runs:
    """Return every run below a directory, by name: the `log_dir` of its callbacks relative to this one, "." for this one.

    It is a dictionary, which a notebook shows as a table. A later training into the same directory is a run of its own,
    "run1/keras_xai-2". Needs neither Keras nor TensorFlow.

    Args:
        log_dir: the log_dir of some callbacks, or a directory above it; also a remote one, as "s3://bucket/logs", of which a
            local copy is made and kept: another call transmits what changed.

    Raises:
        InvalidInput: no such directory.
        ConnectionError: a remote store does not answer.

    Example:
        >>> import tempfile
        >>> load(tempfile.mkdtemp())
        {}
    """
    text = without_file_scheme(os.fspath(log_dir))
    if is_address(text):
        address = Address(text)
        root = local_copy(address)
        return Runs({name: Run(_store(address, root, path)) for name, path in directories(root)})
    refuse_one_slash(text)
    root = Path(os.path.expanduser(text))
    if not root.is_dir():
        raise InvalidInput(
            f"There is no directory {str(log_dir)!r}; give the log_dir of a callback, or a directory above it."
        )
    return Runs({name: Run(FileStore(path)) for name, path in directories(root.resolve())})


def _store(address: Address, root: Path, path: Path) -> FileStore:
    """Return the store of a run in the copy of a remote directory, which warnings name by its address."""
    store = FileStore(path)
    store.place = f"{address}/{path.relative_to(root).as_posix()}"
    return store
