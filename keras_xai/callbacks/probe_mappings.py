"""`ProbeMappings`: data → features → decision → result, recorded every epoch."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.explainer import check_built, is_built
from keras_xai.callbacks.base import RecordingCallback
from keras_xai.callbacks.concept_rows import concepts_of, digest_of
from keras_xai.callbacks.concept_watch import ConceptNews, ConceptWatch
from keras_xai.callbacks.first_warning import warn_in_first_process
from keras_xai.callbacks.memory import Need, announce_need
from keras_xai.callbacks.model_parts import ModelParts
from keras_xai.callbacks.prediction_watch import dense_predictions, why_not_recorded
from keras_xai.callbacks.response import Response, check_response, common_response, respond
from keras_xai.callbacks.schedule import Every
from keras_xai.callbacks.slice_watch import slice_readout, slice_targets, slices_of_figures, slices_of_positions
from keras_xai.callbacks.stored_rows import LabelQualities
from keras_xai.errors import InvalidInput, MappingAlarm, cause, check_int, unknown
from keras_xai.mapping.decision import Target, linear_probes, output_decomposition
from keras_xai.mapping.features import decomposition_of, features, restored
from keras_xai.mapping.flags import Flags, HeldOutGap, held_out_gap, training_gap
from keras_xai.mapping.gram import GramDecomposition, single_threaded_blas
from keras_xai.mapping.predictions import Predictions
from keras_xai.mapping.reading import Reader, Reading, constant_by_design, remarks
from keras_xai.mapping.result import result
from keras_xai.mapping.row_predictions import RowFigures, predictions_of_rows
from keras_xai.mapping.surrogate import Columns, linear, pooled_inputs, svm
from keras_xai.mapping.task import ProbeTask
from keras_xai.model.fitting import fit_probe
from keras_xai.model.inputs import check_input_shapes, prepare_inputs
from keras_xai.outputs.dense import Dense
from keras_xai.outputs.words import unit_word
from keras_xai.probe import Probe
from keras_xai.records import Decision, Flag, Mappings, ProbePredictions, Result, SliceReadout, Slices, Surrogate
from keras_xai.summary.metadata import Record
from keras_xai.summary.reader import Log

logger = logging.getLogger("keras_xai")

SURROGATES = ("linear", "svm")
MIN_PROBE_ROWS, MAX_PROBE_ROWS = 128, 1024  # below, an accuracy is noisy; above, an epoch takes long
EPOCHS_BETWEEN_SVMS = 5
STORED_SUSPECTS = 16  # rows of an update whose inputs are written: as many as the viewer lists
UNREADABLE_LAYER = "its output could not be made a row of features for each sample"


class ProbeMappings(RecordingCallback):
    """Records, for a fixed probe, how data become features, features a decision and a decision a result.

    At each epoch's end the model is run on the probe once. The record holds

    - of each layer's activations: their mean and spread, dead and saturated units, the number of directions in use, the
      similarity (CKA) to the record before, to the first one and to the other layers, and principal coordinates, aligned
      between epochs by the viewer;
    - of each layer: how well a linear probe predicts the label, and the model's own prediction, from it, every sample left
      out in turn;
    - how much of the model a linear regression and a linear SVM from its inputs explain;
    - of each sample: its logits; and of all: accuracy, calibration and confusion;
    - of each slice of the probe, where it has some: accuracy and confidence of each value, and how well a linear probe tells
      the slice from each layer;
    - of each of `concepts`: whether a layer can tell it, and how what the model says of each class moves along it;
    - the inputs of the rows with the lowest label quality so far, unless the probe is `store="none"`.

    `kx.load(...)[...].mappings`, `.samples` and `.concepts` read it back.

    Where the probe has slices `logs` get `xai_worst_slice`, the accuracy of the worst of their values.

    With `log="all"` they get, in every epoch from the first, NaN before there is a figure:

    - `xai_surrogate_r2`: R² of a linear model of the inputs for the logits, at most 1;
    - `xai_confidence_gap`: mean maximum probability − accuracy, above 0 is too sure;
    - `xai_churn`: share of samples with another prediction than in the record before, 0 to 1;
    - `xai_dead_units`: share of units that are zero throughout, 0 to 1.

    Args:
        log_dir: a directory or an address, as "s3://bucket/run"; the run is written to `<log_dir>/keras_xai`.
        probe: a `Probe`, or what makes one; 256 rows are good, below 128 a warning says that accuracies are noisy.
        layers: paths ("backbone/top_conv"). By default at most eight, evenly spaced children of the model that change the
            representation, a nested block as one, the last feature layer always. A layer whose output cannot be made one row
            of features a sample is left out, and named once in the notes. The model's output (its logits, where it has
            some) is always the last row.
        held_out: (B) true for the rows of the probe that are not trained on: whether the model memorises is then judged by
            its accuracy on these. Without it by the validation metric, else by the accuracy on the whole probe; each is
            compared with the training metric.
        every: look at every n-th epoch, or a function epoch -> bool, the first and the last always; or "200 steps"
            (`kx.steps(200)`), or "auto", about 30 times in the whole training, and at the end of each epoch.
        concepts: {"ruler": examples}: rows like those of the probe (arrays, a dict of them, a frame) that have the concept, ten
            or more, thirty are good; or a tuple of examples and counter-examples, which are the probe's rows by default. Of
            either 512 are used at most. In both the classes are to be mixed alike: else their difference is part of the concept.
        surrogates: of "linear" and "svm"; the SVM is fitted at the first record and at the end of every fifth and the last epoch.
        coordinates: how many principal coordinates a layer keeps.
        on_flag: when a flag is raised that did not stand before: "warn", "stop" (and warn), "raise" a `MappingAlarm`, or a
            function of the `records.Mappings`. The flags: `keras_xai.mapping.flags.Flags`.
        on_error: "warn" (an exception is one warning, and the callback is disabled) or "raise" (for development).
        log: "all" puts the figures above into Keras' `logs`; by default the records alone hold them.

    Raises:
        InvalidInput: at construction or at train begin: named layers that do not exist or cannot be read, labels of one
            class only or that do not fit the output, an output that is no scores (n, K), concepts that are not like the probe.

    Cost:
        One forward pass over the probe, one eigenvalue problem a layer of its width or the probe's size. With concepts two more
        forward passes and a backward one over the probe, a forward pass over their rows, and an eigenvalue problem a layer for
        each concept.

    Sources:
        Kim et al. 2018, arXiv 1711.11279 (TCAV); Pahde et al. 2022, arXiv 2202.03482 (why a concept's direction is the shift of
        the mean).

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
    default_figures: ClassVar[frozenset[str]] = frozenset({"xai_worst_slice"})
    cost_hint: ClassVar[str] = "a probe of 256 rows, fewer layers, surrogates=() or every=5 in ProbeMappings"
    fit_state: ClassVar[Mapping[str, Any]] = {"_reader": None, "_answers": None, "_concepts": None}

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        probe: Any,
        *,
        layers: Sequence[str] | None = None,
        held_out: Any = None,
        concepts: Mapping[str, Any] | None = None,
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
        self.concepts = concepts_of(concepts, self.probe)
        self.needs = announce_need(Need(self.probe, passes=4))
        self._reset()

    def _check_probe(self) -> None:
        size, classes = self.probe.size, self.probe.classes
        if size < 8:
            raise InvalidInput(f"The probe has {size} rows: nothing can be read from fewer than 8; 256 are good.")
        if classes is not None and len(np.unique(classes)) == 1:
            raise InvalidInput(
                f"All {size} labels of the probe are {classes[0]}: there is nothing to tell apart; give rows of every class."
            )
        if size < MIN_PROBE_ROWS:
            warn_in_first_process(
                f"The probe has {size} rows: an accuracy that is read from a layer has a standard error of up to "
                f"{0.5 / math.sqrt(size):.3f}; give {MIN_PROBE_ROWS} or more.",
                stacklevel=3,
            )
        elif size > MAX_PROBE_ROWS:
            warn_in_first_process(
                f"The probe has {size} rows: a wide layer costs an eigenvalue problem of that size at every epoch; 256 are "
                f"enough.",
                stacklevel=3,
            )

    def _reset(self) -> None:
        """Forget the fit before."""
        self._reader: Reader | None = None
        self._task: ProbeTask | None = None
        self._flags = Flags()
        self._active_flags: frozenset[tuple[str, str]] = frozenset()
        self._new_flags: list[Flag] = []
        self._record: Mappings | None = None
        self._previous: Sequence[GramDecomposition | None] | None = None
        self._earliest: Sequence[GramDecomposition | None] | None = None
        self._last_prediction: NDArray[Any] | None = None
        self._columns: Columns | None = None
        self._layers: tuple[str, ...] = ()  # the names of a run that is continued
        self._label_qualities = LabelQualities()
        self._concepts: ConceptWatch | None = None
        self._news = ConceptNews()
        self._figures = dict.fromkeys(
            ("xai_surrogate_r2", "xai_confidence_gap", "xai_churn", "xai_dead_units"), float("nan")
        )

    # The lifecycle.

    def check(self) -> None:
        self.probe = fit_probe(self.model, self._original_probe)
        self._reset()

    def is_built(self) -> bool:
        return is_built(self.model, self.probe)

    def prepare(self) -> None:
        probe, model = self.probe, self.model
        check_built(model, probe)
        check_input_shapes(model, probe.inputs, probe.x)
        x = prepare_inputs(model, probe.inputs, probe.x)
        reader = Reader(model, x, probe.x, probe.output, self._paths, probe.y, probe.class_names)
        self._first_reading(reader)
        for remark in remarks(reader):
            self.note(remark)
        self._reader = reader
        assert reader.runner.task is not None
        self._task = ProbeTask(reader.runner.task, probe, reader.region_label)
        self._note_regions(self._task)
        self.note(why_not_recorded(probe, reader.runner.task))
        if self.concepts:
            watch = ConceptWatch(self.concepts, model, probe, x, reader, self._task.label)
            self.note(watch.obstacle)
            if not watch.obstacle:
                with self._team.together():
                    watch.check_rows()
                self._concepts = watch
        columns = pooled_inputs(probe) if self.surrogates else None
        if columns is not None:
            self._columns = Columns.of(*columns)

    def _note_regions(self, task: ProbeTask) -> None:
        """Note where the regions of a dense output all have one label: linear probes have nothing to tell apart."""
        output = self.probe.output
        if not isinstance(output, Dense) or task.label is None or task.answer != "class":
            return
        values = np.unique(task.label)
        if len(values) == 1:
            self.note(
                f"{output} explains regions that all have the label {values[0]}: no linear probe of a layer can tell them apart, "
                f"and readability is not measured. Samples without this label, or with another one, make it a question."
            )

    def _first_reading(self, reader: Reader) -> Reading:
        """Read once with the layers, and where that fails unexpectedly once more without them: the model's output alone."""
        try:
            with self._team.together():
                return reader.read()
        except InvalidInput:
            raise
        except Exception as error:
            fault = error
        reader.exclude_layers(UNREADABLE_LAYER)
        try:
            reading = reader.read()
        except InvalidInput:
            raise
        except Exception as error:
            shapes = ", ".join(str(a.shape) for a in self.probe.inputs)
            raise InvalidInput(f"The model does not take the probe of shape {shapes}: {cause(error)}") from error
        if self.on_error == "raise":
            raise fault
        logger.debug("the layers could not be read", exc_info=fault)
        return reading

    def rows_per_update(self) -> float:
        passes = 1 / 3  # a forward one
        if self.concepts:
            passes += 5 / 3
        return self.probe.size * passes + sum(rows.examples.size for rows in self.concepts.values()) / 3

    @property
    def whole_probe(self) -> Probe:
        return self.probe

    def run_identity(self) -> Mapping[str, Any]:
        if self._reader is None:
            return {}
        layers = {"layers": ModelParts(tuple(layer.name for layer in self._reader.layers))}
        return {**layers, "concepts": digest_of(self.concepts, self.probe)} if self.concepts else layers

    def gallery_probe(self) -> Probe | None:
        return self.probe.gallery(0)

    def common_inputs(self) -> Mapping[str, str]:
        inputs = {"layers": repr(self._paths), "on_flag": common_response(self.on_flag), "probe": self.probe.hash}
        if self.concepts:
            inputs["concepts"] = digest_of(self.concepts, self.probe)
        return {**super().common_inputs(), **inputs}

    def on_run_start(self, epoch: int, past: Log | None) -> None:
        records = [] if past is None else past.mappings
        if past is None or not records:
            return
        logs = {record.update: record.logs for record in past.history}
        gaps = {}
        for record in records:
            gap = held_out_gap(logs.get(record.update, {}), record.result)
            if gap is not None:
                gaps[record.update] = gap
        self._flags.replay(records, gaps)
        for record in records:
            self._label_qualities.add(record)
        last = records[-1]
        self._active_flags = frozenset((flag.name, flag.kind) for flag in last.flags)
        self._previous, self._earliest = restored(last.features), restored(records[0].features)
        self._last_prediction = last.result.prediction
        self._news.resume(past.concepts)
        self._layers = last.features.layers  # kept, since a model that was saved and loaded has other paths

    def record_update(self, update: int, logs: dict[str, Any]) -> Iterable[Record]:
        record, *others = self._recorded_mappings(update, logs)
        self._new_flags = [flag for flag in record.flags if (flag.name, flag.kind) not in self._active_flags]
        self._active_flags = frozenset((flag.name, flag.kind) for flag in record.flags)
        self._record = self.stamped(record)
        records: list[Record] = [record, *(other for other in others if other is not None)]
        records += self._suspects(update, record)
        if self._concepts is not None:
            with single_threaded_blas(), np.errstate(all="ignore"):
                of_concepts = self._concepts.record(update, record.features.layers[:-1], record.result.prediction)
            for sentence in self._news.sentences(self.stamped(of_concepts)):
                self.note(sentence)
            records.append(of_concepts)
        self.log_figures(logs, {**self._figures, **self.slice_figures(self.probe, records)})
        return records

    def _suspects(self, update: int, record: Mappings) -> list[Record]:
        """Return the inputs of the rows with the lowest label quality so far, which the viewer lists; each once."""
        if record.result.answer != "class" or self._session is None:
            return []
        self._label_qualities.add(record)
        rows = self._label_qualities.lowest(STORED_SUSPECTS)
        samples = self._session.stored_rows(self.probe).record(update, "suspects", rows)
        return [] if samples is None else [samples]

    def carry_forward(self, update: int, logs: dict[str, Any]) -> None:
        self.log_figures(logs, {**self._figures, **self.slice_figures(self.probe)})

    def record_last_update(self, update: int) -> Iterable[Record]:
        return self.record_update(update, {})

    def on_update_written(self) -> None:
        flags, self._new_flags = self.agreed_flags(self._new_flags), []
        if not flags or self._record is None:
            return
        text = f"{self._record.moment}: {self._flags.sentence(flags, self._record)}."
        respond(self.on_flag, self._record, text, model=self.model, alarm=MappingAlarm, warn=self.warn)

    def close(self) -> None:
        self._reader = self._concepts = None  # their graphs hold the model

    # One epoch.

    def _recorded_mappings(
        self, update: int, logs: Mapping[str, Any]
    ) -> tuple[Mappings, Slices | None, ProbePredictions | None]:
        assert self._reader is not None
        assert self._task is not None
        reader, task = self._reader, self._task
        reading = reader.read()
        self.warn_once(reader.side_effects)
        # A model whose weights are NaN is recorded as well: no warning of NumPy's for each figure.
        with single_threaded_blas(), np.errstate(all="ignore"):
            predictions = task.predictions(reading)
            decompositions = [decomposition_of(matrix) for matrix in reading.matrices]
            representation = features(
                reader.layers, reading.matrices, decompositions, self._previous, self._earliest, self.coordinates
            )
            if len(self._layers) == len(representation.layers):
                representation = dataclasses.replace(representation, layers=self._layers)
            decision, readout = self._decision(
                update, task, predictions, decompositions, reading, representation.layers
            )
            output = self.probe.output
            outcome = result(
                predictions,
                task.label,
                self.held_out,
                keep_label=self.probe.store == "inputs",
                positions=reading.positions,
                unit=unit_word(output.unit, self.probe.kind) if isinstance(output, Dense) else "",
            )
            slices = None
            if readout is not None:
                slices = self._slices(update, predictions, reading, task)
                slices = dataclasses.replace(slices, readout=readout)
            recorded = self._predictions(update, predictions, reading, task) if self.awaits_predictions else None
        r2 = decision.surrogates["linear"].r2 if "linear" in decision.surrogates else math.nan
        inference_gap, memory_gap = self._gaps(logs, outcome)
        constant_layers = constant_by_design(reader, reading)
        flags, notes = self._flags.judge(
            update, representation, outcome, r2, inference_gap, memory_gap, constant_layers
        )
        self._figures = {
            "xai_surrogate_r2": r2,
            "xai_confidence_gap": outcome.confidence_gap,
            "xai_churn": self._churn(predictions),
            "xai_dead_units": _dead_units(representation.dead, representation.width),
        }
        self._previous, self._last_prediction = decompositions, predictions.prediction
        self._earliest = decompositions if self._earliest is None else self._earliest
        record = Mappings(update, representation, decision, outcome, flags, notes, self._flags.thresholds)
        return record, slices, recorded

    def _predictions(
        self, update: int, predictions: Predictions, reading: Reading, task: ProbeTask
    ) -> ProbePredictions | None:
        """Return the record of the predictions; None where none of a dense output can be counted."""
        assert self._reader is not None
        runner, probe = self._reader.runner, self.probe
        assert runner.task is not None
        if reading.positions is None or runner.dense is None:
            return predictions_of_rows(update, RowFigures.of(predictions, task.label), task.label, probe, runner.task)
        labels = runner.dense.labels(probe.y, probe.class_names)
        return dense_predictions(update, reading.positions, labels, probe, runner.task)

    def _slices(self, update: int, predictions: Predictions, reading: Reading, task: ProbeTask) -> Slices:
        """Return accuracy and confidence by slice; of a dense output of each row the means over its positions."""
        if reading.positions is None:
            return slices_of_figures(update, self.probe, RowFigures.of(predictions, task.label))
        return slices_of_positions(update, self.probe, reading.positions)

    def _gaps(self, logs: Mapping[str, Any], outcome: Result) -> tuple[float, HeldOutGap | None]:
        """Return two gaps to the training metric, of the probe's accuracy and of that of held-out rows.

        The first is NaN for a model without batch normalisation, the second None where it cannot be judged.
        """
        layers = self.model._flatten_layers()
        has_normalisation = any(isinstance(layer, keras.layers.BatchNormalization) for layer in layers)
        inference_gap = training_gap(logs, outcome) if has_normalisation else math.nan
        if inference_gap > self._flags.thresholds["inference gap"]:
            # The model behaves differently in inference, which also lowers held-out accuracy.
            return (
                inference_gap,
                None,
            )
        return inference_gap, held_out_gap(logs, outcome)

    def _decision(
        self,
        update: int,
        task: ProbeTask,
        predictions: Predictions,
        decompositions: Sequence[GramDecomposition | None],
        reading: Reading,
        layers: tuple[str, ...],
    ) -> tuple[Decision, SliceReadout | None]:
        """Return the linear probes of all layers, and of the slices where the probe has some."""
        model_itself = Target.of_predictions(predictions)
        target = task.target or model_itself
        targets = [target] if target is model_itself else [target, model_itself]
        of_slices = slice_targets(self.probe)
        probes_by_target = linear_probes(
            targets, [*decompositions[:-1], output_decomposition(predictions, decompositions[-1])]
        )
        target_probes, self_probes = probes_by_target[0], probes_by_target[-1]
        readout = None
        if of_slices:
            readout = slice_readout(self.probe, layers, of_slices, linear_probes(of_slices, decompositions))
        decision = Decision(
            target="prediction" if target is model_itself else "label",
            readability=np.asarray([linear_probe.score for linear_probe in target_probes], np.float32),
            standard_error=np.asarray([linear_probe.standard_error for linear_probe in target_probes], np.float32),
            chance=target.chance,
            own_decision=np.asarray([linear_probe.score for linear_probe in self_probes], np.float32),
            read_as=np.stack([linear_probe.prediction for linear_probe in target_probes]),
            support=np.stack([linear_probe.support for linear_probe in target_probes]).astype(np.float16),
            surrogates=self._surrogates(update, predictions, reading),
        )
        return decision, readout

    def _surrogates(self, update: int, predictions: Predictions, reading: Reading) -> dict[str, Surrogate]:
        columns, embedding = self._columns, reading.embedding
        if columns is None and self.surrogates and embedding is not None and np.isfinite(embedding).all():
            columns = Columns.of([f"embedding {k}" for k in range(embedding.shape[1])], embedding)
        if columns is None or not np.isfinite(predictions.logits).all():
            return {}
        surrogates: dict[str, Surrogate] = {}
        if "linear" in self.surrogates:
            surrogates["linear"] = linear(columns, predictions)
        is_due = self._earliest is None or self._is_last_epoch
        if not self._is_inside:
            is_due |= self._epoch % EPOCHS_BETWEEN_SVMS == 0
        if "svm" in self.surrogates and is_due:
            fitted = svm(columns, predictions)
            if fitted is not None:
                surrogates["svm"] = fitted
        return surrogates

    def _churn(self, predictions: Predictions) -> float:
        """Return the share of samples with another prediction than in the record before, NaN where there is none."""
        last, prediction = self._last_prediction, predictions.prediction
        if last is None or predictions.answer == "value" or last.shape != prediction.shape:
            return math.nan
        return float((last != prediction).reshape(len(prediction), -1).any(1).mean())


def _dead_units(dead: NDArray[np.floating[Any]], width: NDArray[np.integer[Any]]) -> float:
    """Return the share of dead units in the layers where `dead` is finite, NaN where there is no such layer."""
    layers = np.isfinite(dead)
    return float((dead[layers] @ width[layers]) / width[layers].sum()) if layers.any() else math.nan


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
