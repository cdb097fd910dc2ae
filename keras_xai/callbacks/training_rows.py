"""`TrainingRows`: gathers, from the train step itself, what it computed of each row of the training data."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from keras_xai.callbacks.base import RecordingCallback
from keras_xai.callbacks.fault_isolation import fault_isolated
from keras_xai.callbacks.schedule import Every
from keras_xai.digests import row_digest
from keras_xai.errors import InvalidInput, check_int
from keras_xai.gradients.selection import Selection
from keras_xai.gradients.tap import TrainFunctionTap
from keras_xai.labels import coded
from keras_xai.loop_params import LoopParams
from keras_xai.row_records import TrainingRows as Table
from keras_xai.row_records import keyed
from keras_xai.summary.metadata import Record
from keras_xai.summary.reader import Log
from keras_xai.training_rows.figures import RowFigures
from keras_xai.training_rows.table import RowTable

NO_VARIABLES = Selection(include=())
SEVERAL_PROCESSES = "several processes train the model, each on rows of its own"
NONE_MATCHED = (
    "none of the rows that the model was trained on is one of x with its label: they are changed on the way, or x has another"
    " dtype, other inputs or other labels than those that fit got"
)


class TrainingRows(RecordingCallback):
    """Writes one table of all training rows: what the train step's own forward passes made of each, over the epochs.

    `kx.load(log_dir)[...].training_rows` has for each row the probability of its label (mean, variability, over the first
    epochs, the last), how often it was right and forgotten, its loss, and what the model takes it for; `.suspects()` are the
    labels to look at first. A shuffled `fit` hands no row numbers to a step: a row is known again by a digest of its values
    (`kx.row_digest`) and its label.

    On TensorFlow the step is compiled a second time with a log of the rows, on PyTorch its loss is heard. On JAX a compiled step
    is left alone, and its forward pass is repeated before it. The training is the same bit for bit. Where rows cannot be had
    (several devices or processes, a step compiled by `torch.compile`, a `train_step` of the user's own on JAX or one that
    does not call `compute_loss`, inputs of text) a warning and the run say so, and the training goes on.

    Args:
        log_dir: a directory or an address, as "s3://bucket/run"; the run is written to `<log_dir>/keras_xai`.
        x: the rows that `fit` trains on, as the model gets them: the table then has their order, and rows that are none of
            these are counted. None: each different row is taken as it comes, and `run.training_rows.find(x)` finds it. Rows
            that are augmented before they reach the model are other rows each time; put augmentation into layers of the model.
        y: their labels, needed with x.
        epochs: gather in the first so many epochs alone; None for all. Wrong labels show in the first five or so.
        every: write the table in every n-th epoch, or a function epoch -> bool, the first and the last always: a training
            that breaks off has the table that was written last.
        max_rows: different rows that are taken without x; about 150 bytes each on the host.
        on_error: "warn" (an exception is one warning, and the callback is disabled) or "raise" (for development).

    Raises:
        InvalidInput: x without y or of another length; at train begin a model of several outputs or without a loss, or a
            training that is not `fit`.

    Example:
        >>> import keras, numpy as np, tempfile
        >>> import keras_xai as kx
        >>> x = np.random.default_rng(0).normal(size=(128, 4)).astype("float32")
        >>> y = (x[:, 0] > 0).astype("int32")
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "sigmoid")])
        >>> model.compile("adam", "binary_crossentropy")
        >>> log_dir = tempfile.mkdtemp()
        >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=[kx.TrainingRows(log_dir, x, y)])
        >>> rows = kx.load(log_dir)["."].training_rows
        >>> rows.visits.sum(), rows.unmatched, len(rows.suspects(5))
        (np.int64(256), 0, 5)
    """

    name: ClassVar[str] = "training_rows"
    cost_hint: ClassVar[str] = "epochs=5 in TrainingRows"
    fit_state: ClassVar[Mapping[str, Any]] = {"_tap": None, "_figures": None, "_table": None}

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        x: Any = None,
        y: Any = None,
        *,
        epochs: int | None = None,
        every: Every = 10,
        max_rows: int = 1_000_000,
        on_error: str = "warn",
    ) -> None:
        super().__init__(log_dir, every=every, on_error=on_error)
        if self._schedule.counts_steps:
            raise InvalidInput(f"every={every!r}: TrainingRows counts epochs, in each of which a row has one visit.")
        self.epochs = None if epochs is None else check_int("epochs", epochs, expected="a number of epochs, 1 or more")
        self.max_rows = check_int("max_rows", max_rows, expected="a number of rows, 1 or more")
        self._digests, self._labels = _digests_and_labels(x, y)
        self._tap: TrainFunctionTap | None = None
        self._reset()

    def _reset(self) -> None:
        """Forget the fit before."""
        self._figures: RowFigures | None = None
        self._table: RowTable | None = None
        self._past: Table | None = None
        self._gathered = 0  # epochs
        self._why_missing = ""
        self._changed = False  # rows came since the table was written

    # The lifecycle.

    def check(self) -> None:
        self._reset()
        model = self.model
        if isinstance(self.params, LoopParams) or not model.compiled or model.train_function is None:
            raise InvalidInput(
                "TrainingRows hears the train step of model.fit(): compile the model and give the callback to fit()."
            )
        self._figures = RowFigures(model)
        self._tap = TrainFunctionTap.of(model, self._tap, self.params)
        self._tap.team = self._team
        if self._team.size > 1:
            self._end(SEVERAL_PROCESSES)
            return
        self._tap.subscribe(self, NO_VARIABLES)
        self._tap.watch_rows(self, self._figures)
        _, reason = self._tap.take_rows()
        if reason:
            self._end(reason)

    def on_run_start(self, epoch: int, past: Log | None) -> None:
        self._past = None if past is None else past.training_rows
        if self._why_missing:
            self.stop_part(self.name, self._why_missing)

    def common_inputs(self) -> Mapping[str, str]:
        return {**super().common_inputs(), "epochs": str(self.epochs), "max_rows": str(self.max_rows)}

    @fault_isolated
    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        if not self.retired and self._tap is not None:
            self._tap.attach()

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_train_batch_begin(batch, logs)
        if self._tap is not None:
            self._tap.expect_step(self, False)

    @fault_isolated
    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._tap is not None:
            self._tap.detach()
            self._gather(self._tap)
        super().on_epoch_end(epoch, logs)

    def record_update(self, update: int, logs: dict[str, Any]) -> Iterable[Record]:
        return self._records(update)

    def record_last_update(self, update: int) -> Iterable[Record]:
        return self._records(update)

    def close(self) -> None:
        if self._tap is not None:
            self._tap.unsubscribe(self)

    # Inside.

    def _records(self, update: int) -> list[Record]:
        if self._table is None or self._figures is None or not self._changed:
            return []
        self._changed = False
        return [self._table.record(update, self._figures.task, self._why_missing)]

    def _gather(self, tap: TrainFunctionTap) -> None:
        """Take the rows of the epoch that ends."""
        rows, reason = tap.take_rows()
        if rows is not None and len(rows.digests) and self._figures is not None:
            table = self._table = self._table or self._new_table(self._figures)
            table.add(rows, self._figures.task, self._figures.classes)
            self._say_what_was_not_found(table)
            table.end_epoch()
            self._changed = True
            self._gathered += 1
        if reason:
            self._end(reason)
            self.stop_part(self.name, reason)
        elif self._table is not None and self._table.has_numbers and not self._table.matched:
            self._end(NONE_MATCHED)
            self.stop_part(self.name, NONE_MATCHED)
        elif self._gathered == self.epochs:
            self._leave_tap()

    def _new_table(self, figures: RowFigures) -> RowTable:
        keys = None
        if self._digests is not None and self._labels is not None:
            keys = keyed(self._digests, figures.host_labels(self._labels))
        table = RowTable(keys, self._digests, self.max_rows)
        if self._past is not None:
            table.resume(self._past)
            self._past = None
        return table

    def _say_what_was_not_found(self, table: RowTable) -> None:
        rows = table.rows_in_epoch
        if table.has_numbers and self._gathered == 0 and table.matched and table.unmatched:
            self.note(
                f"TrainingRows: {table.unmatched:,} of {rows:,} rows of an epoch are none of x with its label, and are in no"
                " row of the table."
            )
        if not table.has_numbers and self._gathered == 1 and table.new_in_epoch > rows / 2:
            self.note(
                f"TrainingRows: {table.new_in_epoch:,} of {rows:,} rows of the second epoch were not in the first: either an"
                " epoch is a part of the data, or rows are augmented on the way to the model, and are other rows each time."
            )

    def _end(self, reason: str) -> None:
        """Log no more rows, and say why."""
        self._why_missing = reason
        self.warn_once(f"TrainingRows logs no rows: {reason}. The training goes on as it is.")
        self._leave_tap()

    def _leave_tap(self) -> None:
        tap, self._tap = self._tap, None
        if tap is not None:
            tap.unsubscribe(self)


def _digests_and_labels(x: Any, y: Any) -> tuple[NDArray[np.int64] | None, NDArray[Any] | None]:
    """Return the digest of each row and its label, None where no rows are given.

    Raises:
        InvalidInput: one without the other, or of other lengths.
    """
    if x is None and y is None:
        return None, None
    if x is None or y is None:
        absent, present = ("x", "y") if x is None else ("y", "x")
        raise InvalidInput(
            f"TrainingRows got {present} without {absent}: a row is known by both, give both or neither."
        )
    digests, labels = row_digest(x), np.asarray(coded(y)[0])
    if len(labels) != len(digests):
        raise InvalidInput(f"x has {len(digests)} rows and y {len(labels)}: one label a row is expected.")
    return digests, labels
