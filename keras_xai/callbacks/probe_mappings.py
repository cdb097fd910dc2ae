"""Data → features → decision → result, every epoch."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.engine import check_fit, smooth
from keras_xai.attribution.explainer import check_built, is_built
from keras_xai.attribution.fitting import settled
from keras_xai.callbacks.base import RecordingCallback
from keras_xai.callbacks.memory import Need, expect
from keras_xai.callbacks.model_parts import ModelParts
from keras_xai.callbacks.response import Response, check_response, respond
from keras_xai.callbacks.schedule import Every
from keras_xai.errors import InvalidInput, MappingAlarm, check_int, unknown
from keras_xai.mapping.decision import Target, linear_probes
from keras_xai.mapping.features import decomposition_of, features, restored
from keras_xai.mapping.flags import Flags, held_out_gap, training_gap
from keras_xai.mapping.gram import GramDecomposition, single_threaded_blas
from keras_xai.mapping.predictions import Predictions
from keras_xai.mapping.reading import Reader, Reading, refusal, remarks, still_by_design
from keras_xai.mapping.result import result
from keras_xai.mapping.surrogate import Columns, linear, pooled_inputs, svm
from keras_xai.mapping.task import ProbeTask
from keras_xai.probe import Probe
from keras_xai.records import Decision, Flag, Mappings, Surrogate
from keras_xai.summary.metadata import Record
from keras_xai.summary.reader import Log

logger = logging.getLogger("keras_xai")

SURROGATES = ("linear", "svm")
FEW, MANY = 128, 1024  # probe rows below which a readability is rough, and above which it is dear
RARELY = 5  # the SVM is fitted every fifth epoch
UNFORESEEN = "its output could not be made a row of features for each sample"


class ProbeMappings(RecordingCallback):
    """Records, for a fixed probe, how data become features, features a decision and a decision a result.

    At each epoch's end the model is run on the probe once. From each layer's activations follow their mean, spread, dead and
    saturated units, the directions in use, likeness (CKA) to the record before, to the first and between layers, and
    principal coordinates for a map that does not jump; how well label and own decision are read from it by a straight line,
    every sample left out in turn; what a linear regression and a linear SVM from the inputs explain of the model; and each
    sample's logits, with accuracy, calibration and confusion. `kx.load(...)[...].mappings` and `.samples` read it back.

    With `log="all"` `logs` get, in every epoch from the first, NaN before there is a figure: `xai_surrogate_r2` (share of
    the logits that a straight line explains, at most 1), `xai_confidence_gap` (mean certainty − accuracy), `xai_churn`
    (share of samples with another prediction than in the record before), `xai_dead_units` (share of units that are zero
    throughout).

    Args:
        log_dir: a local directory; the run is written to `<log_dir>/keras_xai`.
        probe: a `Probe`, or what makes one; 256 rows are good, 128 the least.
        layers: paths ("backbone/top_conv"), in place of at most eight by rule: evenly spaced children of the model that
            change the representation, a nested block as one, the last feature layer always. What cannot be read as one
            row of features a sample is left out, and named once in the notes. What the model says (its logits, where it has
            some) is always the last row.
        held_out: (B) true for the rows that are not trained on: what they say of memorising counts most. Without it the
            validation metric decides, else the probe's own accuracy, both against the training metric.
        every: look at every n-th epoch, or a function epoch -> bool; the first and the last always.
        surrogates: of "linear" and "svm"; the SVM is fitted at the first, every fifth and the last epoch.
        coordinates: how many principal coordinates a layer keeps.
        on_flag: when a flag is raised that did not stand before: "warn", "stop" (and warn), "raise" a `MappingAlarm`, or a
            function of the `records.Mappings`. The flags: `keras_xai.mapping.flags.Flags`.
        on_error: "warn" (a fault is one warning, and the callback retires) or "raise" (for development).
        log: "all" puts the figures above into Keras' `logs`; by default the records alone hold them.

    Raises:
        InvalidInput: at construction or at train begin: layers that were named and do not exist or give nothing to read, one
            class only, labels that do not fit, an output that is no scores (n, K).

    Stopwatch:
        One forward pass over the probe, one eigenvalue problem a layer of its width or the probe's size.

    Example:
        >>> import keras, numpy as np, tempfile
        >>> import keras_xai as kx
        >>> x = np.random.default_rng(0).normal(size=(128, 4)).astype("float32")
        >>> y = (x[:, 0] > 0).astype("int32")
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu", name="hidden"), keras.layers.Dense(2)])
        >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> logs = tempfile.mkdtemp()
        >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=[kx.ProbeMappings(logs, (x, y))])
        >>> record = kx.load(logs)["."].mappings[-1]
        >>> record.features.layers, record.decision.readability.shape, record.result.logits.shape
        (('hidden', 'logits'), (2,), (128, 2))
    """

    name: ClassVar[str] = "probe_mappings"
    cost_hint: ClassVar[str] = "a probe of 256 rows, fewer layers, surrogates=() or every=5 in ProbeMappings"
    fit_state: ClassVar[Mapping[str, Any]] = {"_reader": None, "_answers": None}

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        probe: Any,
        *,
        layers: Sequence[str] | None = None,
        held_out: Any = None,
        every: Every = 1,
        surrogates: Sequence[str] = SURROGATES,
        coordinates: int = 16,
        on_flag: Response[Mappings] = "warn",
        on_error: str = "warn",
        log: str = "default",
    ) -> None:
        super().__init__(log_dir, every=every, on_error=on_error, log=log)
        self.probe = self._original_probe = Probe.of(probe)
        self._paths = _checked_paths(layers)
        self.held_out = _checked_rows(held_out, self.probe.size)
        self.surrogates = (surrogates,) if isinstance(surrogates, str) else tuple(surrogates)
        for name in self.surrogates:
            if name not in SURROGATES:
                raise unknown("surrogate", name, SURROGATES)
        check_response("on_flag", on_flag, "records.Mappings")
        self.coordinates = check_int("coordinates", coordinates, 2, "a number of coordinates, 2 or more")
        self.on_flag = on_flag
        self._check_probe()
        self.needs = expect(Need(self.probe, passes=4))
        self._reset()

    def _check_probe(self) -> None:
        size, classes = self.probe.size, self.probe.classes
        if size < 8:
            raise InvalidInput(f"The probe has {size} rows: nothing can be read from fewer than 8; 256 are good.")
        if classes is not None and len(np.unique(classes)) == 1:
            raise InvalidInput(
                f"All {size} labels of the probe are {classes[0]}: there is nothing to tell apart; give rows of every class."
            )
        if size < FEW:
            warnings.warn(
                f"The probe has {size} rows: an accuracy that is read from a layer has a standard error of up to "
                f"{0.5 / math.sqrt(size):.3f}; give {FEW} or more.",
                stacklevel=3,
            )
        elif size > MANY:
            warnings.warn(
                f"The probe has {size} rows: a wide layer costs an eigenvalue problem of that size at every epoch; 256 are "
                f"enough.",
                stacklevel=3,
            )

    def _reset(self) -> None:
        """What belongs to one fit."""
        self._reader: Reader | None = None
        self._answers: ProbeTask | None = None
        self._flags = Flags()
        self._active_flags: frozenset[tuple[str, str]] = frozenset()
        self._new_flags: list[Flag] = []
        self._record: Mappings | None = None
        self._previous: Sequence[GramDecomposition | None] | None = None
        self._earliest: Sequence[GramDecomposition | None] | None = None
        self._said: NDArray[Any] | None = None
        self._columns: Columns | None = None
        self._past: Sequence[Mappings] = ()
        self._layers: tuple[str, ...] = ()  # the names of a run that is continued
        self._figures = dict.fromkeys(
            ("xai_surrogate_r2", "xai_confidence_gap", "xai_churn", "xai_dead_units"), float("nan")
        )

    # The lifecycle.

    def check(self) -> None:
        self.probe = settled(self.model, self._original_probe)
        self._reset()

    def is_built(self) -> bool:
        return is_built(self.model, self.probe)

    def prepare(self) -> None:
        probe, model = self.probe, self.model
        check_built(model, probe)
        check_fit(model, probe.inputs, probe.x)
        x = smooth(model, probe.inputs, probe.x)
        reader = Reader(model, x, probe.x, probe.output, self._paths, probe.y, probe.class_names)
        self._first_reading(reader)
        for remark in remarks(reader):
            self.note(remark)
        self._reader = reader
        assert reader.question.task is not None
        self._answers = ProbeTask(reader.question.task, probe)
        if self.surrogates and (found := pooled_inputs(probe)) is not None:
            self._columns = Columns.of(*found)

    def _first_reading(self, reader: Reader) -> Reading:
        """With the layers; of the model's output alone where something fails in them that nobody foresaw."""
        try:
            return reader.read()
        except InvalidInput:
            raise
        except Exception as error:
            fault = error
        reader.exclude_layers(UNFORESEEN)
        try:
            reading = reader.read()
        except InvalidInput:
            raise
        except Exception as error:
            shapes = ", ".join(str(a.shape) for a in self.probe.inputs)
            raise InvalidInput(
                f"The model does not take the probe of shape {shapes}: {refusal(reader, error)}"
            ) from error
        if self.on_error == "raise":
            raise fault
        logger.debug("the layers could not be read", exc_info=fault)
        return reading

    def run_identity(self) -> Mapping[str, Any]:
        return (
            {} if self._reader is None else {"layers": ModelParts(tuple(layer.name for layer in self._reader.layers))}
        )

    def gallery_probe(self) -> Probe | None:
        return self.probe.gallery(0)

    def on_run_start(self, epoch: int, past: Log | None) -> None:
        self._past = [] if past is None else past.mappings
        if self._past:
            logs = {record.epoch: record.logs for record in past.history} if past is not None else {}
            gaps = {r.epoch: held_out_gap(logs.get(r.epoch, {}), r.result) for r in self._past}
            self._flags.replay(self._past, {epoch: gap for epoch, gap in gaps.items() if gap is not None})
            last = self._past[-1]
            self._active_flags = frozenset((name, kind) for name, kind, _ in last.flags)
            self._previous, self._earliest = restored(last.features), restored(self._past[0].features)
            self._said = last.result.prediction
            self._layers = last.features.layers  # a model that was saved and loaded has other paths

    def record_epoch(self, epoch: int, logs: dict[str, Any]) -> Iterable[Record]:
        record = self._looked(epoch, logs)
        self._new_flags = [flag for flag in record.flags if flag[:2] not in self._active_flags]
        self._active_flags = frozenset((name, kind) for name, kind, _ in record.flags)
        self._record = record
        self.log_figures(logs, self._figures)
        return [record]

    def carry_forward(self, epoch: int, logs: dict[str, Any]) -> None:
        self.log_figures(logs, self._figures)

    def record_last_epoch(self, epoch: int) -> Iterable[Record]:
        return self.record_epoch(epoch, {})

    def on_epoch_written(self) -> None:
        news, self._new_flags = self._new_flags, []
        if not news or self._record is None:
            return
        text = f"epoch {self._record.epoch}: {self._flags.sentence(news, self._record)}."
        respond(self.on_flag, self._record, text, model=self.model, alarm=MappingAlarm, warn=self.warn)

    def close(self) -> None:
        self._reader = None  # its graphs hold the model

    # One epoch.

    def _looked(self, epoch: int, logs: Mapping[str, Any]) -> Mappings:
        assert self._reader is not None
        assert self._answers is not None
        reader, answers = self._reader, self._answers
        reading = reader.read()
        self.warn_once(reader.side_effects)
        with (
            single_threaded_blas(),
            np.errstate(all="ignore"),
        ):  # a training that ended in NaN is recorded as what it is
            told = answers.predictions(reading)
            factors = [decomposition_of(matrix) for matrix in reading.matrices]
            made = features(reader.layers, reading.matrices, factors, self._previous, self._earliest, self.coordinates)
            made = dataclasses.replace(made, layers=self._layers) if len(self._layers) == len(made.layers) else made
            decision = self._decision(epoch, answers, told, factors, reading)
            shown = result(told, answers.label, self.held_out, keep_label=self.probe.store == "inputs")
        r2 = decision.surrogates["linear"].r2 if "linear" in decision.surrogates else math.nan
        normalises = any(isinstance(one, keras.layers.BatchNormalization) for one in self.model._flatten_layers())
        gap = training_gap(logs, shown) if normalises else math.nan
        apart = held_out_gap(logs, shown)
        if normalises and gap > self._flags.thresholds["inference gap"]:
            apart = None  # the model is another one in inference: that says nothing of what it knows by heart
        flags, notes = self._flags.judge(epoch, made, shown, r2, gap, apart, still_by_design(reader, reading))
        self._figures = {
            "xai_surrogate_r2": r2,
            "xai_confidence_gap": shown.confidence_gap,
            "xai_churn": self._churn(told),
            "xai_dead_units": _dead_units(made.dead, made.width),
        }
        self._previous, self._said = factors, told.prediction
        self._earliest = factors if self._earliest is None else self._earliest
        return Mappings(epoch, made, decision, shown, flags, notes, self._flags.thresholds)

    def _decision(
        self,
        epoch: int,
        answers: ProbeTask,
        told: Predictions,
        factors: Sequence[GramDecomposition | None],
        reading: Reading,
    ) -> Decision:
        itself = Target.of_predictions(told)
        target = answers.target or itself
        read, *rest = linear_probes([target] if target is itself else [target, itself], factors)
        again = rest[0] if rest else read
        return Decision(
            target="prediction" if target is itself else "label",
            readability=np.asarray([one.score for one in read], np.float32),
            standard_error=np.asarray([one.standard_error for one in read], np.float32),
            chance=target.chance,
            own_decision=np.asarray([one.score for one in again], np.float32),
            read_as=np.stack([one.prediction for one in read]),
            surrogates=self._surrogates(epoch, told, reading),
        )

    def _surrogates(self, epoch: int, told: Predictions, reading: Reading) -> dict[str, Surrogate]:
        columns = self._columns
        if (
            columns is None
            and self.surrogates
            and reading.embedding is not None
            and np.isfinite(reading.embedding).all()
        ):
            columns = Columns.of([f"embedding {k}" for k in range(reading.embedding.shape[1])], reading.embedding)
        if columns is None or not np.isfinite(told.logits).all():
            return {}
        found: dict[str, Surrogate] = {}
        if "linear" in self.surrogates:
            found["linear"] = linear(columns, told)
        epochs = (self.params or {}).get("epochs")
        last = epoch == epochs - 1 if epochs else False
        if "svm" in self.surrogates and (self._earliest is None or last or epoch % RARELY == 0):
            fitted = svm(columns, told)
            found |= {} if fitted is None else {"svm": fitted}
        return found

    def _churn(self, told: Predictions) -> float:
        if self._said is None or told.answer == "value" or self._said.shape != told.prediction.shape:
            return math.nan
        moved = (self._said != told.prediction).reshape(len(told.prediction), -1).any(1)
        return float(moved.mean())


def _dead_units(dead: NDArray[np.floating[Any]], width: NDArray[np.integer[Any]]) -> float:
    """Of the layers where zero says that a unit is dead."""
    known = np.isfinite(dead)
    return float((dead[known] @ width[known]) / width[known].sum()) if known.any() else math.nan


def _checked_paths(layers: Sequence[str] | None) -> tuple[str, ...] | None:
    if layers is None:
        return None
    paths = (layers,) if isinstance(layers, str) else tuple(layers)
    if not paths or not all(isinstance(path, str) for path in paths):
        raise InvalidInput(f"layers={layers!r}: expected paths of layers as text, like ['backbone/top_conv'].")
    if len(set(paths)) < len(paths):
        raise InvalidInput(f"layers={layers!r}: a layer is named more than once.")
    return paths


def _checked_rows(held_out: Any, size: int) -> NDArray[np.bool_] | None:
    if held_out is None:
        return None
    rows = np.asarray(held_out)
    if rows.shape != (size,) or not (rows.dtype == bool or np.isin(rows, (0, 1)).all()):
        raise InvalidInput(
            f"held_out has shape {rows.shape} and dtype {rows.dtype}: expected true or false for each of the {size} rows."
        )
    return rows.astype(bool)
