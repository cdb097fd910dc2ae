"""`Log`: the records of one run, from event files or from TensorBoard's data provider; needs no framework."""

from __future__ import annotations

import bisect
import dataclasses
import functools
import math
import operator
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from keras_xai.concept_records import Concepts
from keras_xai.events import with_events
from keras_xai.probe import Probe
from keras_xai.provenance import Provenance
from keras_xai.records import (
    PARTS,
    Alert,
    Attribution,
    BeforeTraining,
    ChosenRows,
    Epoch,
    Flag,
    Gradients,
    Importance,
    MapCheck,
    Mappings,
    Note,
    Outputs,
    Predictions,
    Quantity,
    Reliance,
    RelianceGap,
    RowInfluences,
    Samples,
    Shares,
    Slices,
    Source,
    StepSizes,
    Stop,
    StoredSamples,
    TaskKind,
    epochs_of,
    missing_epochs,
    steps_of,
)
from keras_xai.row_records import TrainingRows
from keras_xai.summary import tag_constants
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.codec import (
    alert,
    attribution,
    concepts,
    epoch,
    gallery,
    gradients,
    importance,
    influence,
    map_checks,
    mappings,
    predictions,
    probe,
    provenance,
    reliance,
    slices,
    step_sizes,
    stop,
    training,
    training_rows,
)
from keras_xai.summary.codec.attribution import OutputConstants
from keras_xai.summary.codec.inputs import Inputs, inputs_of
from keras_xai.summary.parts import series_of
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.store import Row, Series, Store, pass_over
from keras_xai.summary.tag_constants import no_constants
from keras_xai.training_records import DataScreen, TrainingFlags
from keras_xai.updates import BEFORE, AtUpdate, Unit

A = TypeVar("A")
T = TypeVar("T")

# The tags from which a verdict on a run is derived.
_JUDGED = (epoch.TAG, gradients.TAG, importance.TAG, reliance.TAG, alert.TAG, stop.TAG)


class Log:
    """The records of one run, decoded on first use and then kept.

    A value that is foreign, damaged or from a newer version is passed over with one warning; all others are read.

    Axis letters: B probe sample, F feature, V variable, E update, K class. Epochs count from 0. An update has a number: its
    epoch, or in a run that counts in steps the training steps done; see `unit`.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._end: float = math.inf  # the number of the first update that is left out, see `until`
        self._outputs_of: dict[str, Outputs | None] = {}  # by tag: they are asked for with every map

    @property
    def passed_over(self) -> dict[str, str]:
        """The reasons why tags could not be read, of all that was read so far; "" is the key of the files themselves."""
        return dict(self._store.passed_over)

    @property
    def doubts(self) -> tuple[str, ...]:
        """The reasons in `passed_over` that make a verdict on the run doubtful: of epochs, alerts, importance, gradients."""
        return tuple(why for tag, why in self.passed_over.items() if not tag or tag.startswith(_JUDGED))

    def until(self, end: int) -> Log:
        """Return the same run, up to but without the update of the number `end`."""
        log = type(self)(self._store)
        log._end = end
        return log

    @functools.cached_property
    def _series(self) -> dict[str, list[Series]]:
        """The parts of each series in their order, by its tag."""
        parts: dict[str, dict[int, Series]] = {}
        for tag, series in self._store.series().items():
            whole, number = series_of(tag)
            parts.setdefault(whole, {})[number] = series
            if whole.startswith(alert.TAG) and whole.removeprefix(alert.TAG) not in alert.SERIES:
                pass_over(
                    self._store, whole, f"{whole} is passed over: alerts of a kind that this version does not know"
                )
        return {tag: list(dict(sorted(numbered.items())).values()) for tag, numbered in parts.items()}

    # The training.

    @functools.cached_property
    def unit(self) -> Unit:
        """The unit in which updates are counted: "step" where a callback looked at the model every n steps, else "epoch"."""
        return self._constants_of(epoch.TAG, epoch.unit_of) or "epoch"

    @functools.cached_property
    def epochs(self) -> list[int]:
        """The epochs that were recorded, sorted; one that has updates but did not end is among them."""
        return sorted({record.epoch for record in self.history})

    @functools.cached_property
    def updates(self) -> list[int]:
        """The numbers of the updates, sorted: steps in a run that counts in steps, else the epochs."""
        return sorted({record.update for record in self.history})

    @functools.cached_property
    def history(self) -> list[Epoch]:
        """One `records.Epoch` an update: wall time in seconds since 1970, seconds and those of our callbacks among them, learning
        rate (NaN where the optimizer has none), and Keras' `logs` with our own figures."""
        return self._decoded(epoch.TAG, epoch.unit_of, epoch.decode)

    @functools.cached_property
    def missing_epochs(self) -> list[int]:
        """The epochs between the first and the last whose end was not recorded."""
        ended = {record.epoch for record in self.history if record.ends_epoch}
        return [number for number in missing_epochs(sorted(ended)) if number not in ended]

    @functools.cached_property
    def resumed(self) -> list[int]:
        """The numbers of the updates with which an interrupted training went on."""
        return [record.update for record in self.history if record.resumed]

    def epoch_of(self, update: int) -> int:
        """Return the epoch of the update of a number; that of the next recorded one where it was not recorded.

        In a run that counts in epochs it is the number itself.
        """
        if self.unit == "epoch":
            return update
        if not self.history:
            return 0
        index = bisect.bisect_left(self.history, update, key=lambda record: record.update)
        if index < len(self.history):
            return self.history[index].epoch
        last = self.history[-1]
        return last.epoch + last.ends_epoch

    @functools.cached_property
    def stops(self) -> list[Stop]:
        """The callbacks, or parts of them, that ended before the training did; in their order."""
        stops: list[Stop] = []
        for tag in sorted(tag for tag in self._series if tag.startswith(stop.TAG)):
            constants = functools.partial(stop.constants, part=tag.removeprefix(stop.TAG))
            stops += self._decoded(tag, constants, stop.decode)
        return sorted(stops, key=lambda record: record.update)

    @functools.cached_property
    def notes(self) -> list[Note]:
        """The sentences of all callbacks, and the reasons why some stopped; in their order."""
        notes = [Note(record.epoch, text, step=record.step) for record in self.history for text in record.notes]
        notes += [Note(r.epoch, r.reason, r.part, stopped=True, step=r.step) for r in self.stops]
        return sorted(notes, key=lambda note: note.update)

    @functools.cached_property
    def provenance(self) -> list[Provenance]:
        """One `provenance.Provenance` of how the training was begun, and one of each restart; [] in files of older versions."""
        return self._decoded(provenance.TAG, no_constants, provenance.decode)

    # Weight gradients.

    @functools.cached_property
    def weight_gradients(self) -> list[Gradients]:
        """One `records.Gradients` a scheduled update.

        `statistics` are float32 (V) by name, of the entries of a variable's gradient over the sampled steps; `histogram` is
        (V, bins) of counts over `bin_edges`. A row is NaN where the variable got no gradient, all are where nothing was
        captured, and `missing` says why.
        """
        reasons = dict(self._decoded(gradients.TAG_OF_MISSING, no_constants, gradients.decode_missing))

        def decode(step: int, constants: gradients.Constants, table: Any) -> Gradients:
            return gradients.decode(step, constants, table, reasons.get(step, ""))

        return self._decoded(gradients.TAG, gradients.Constants.of, decode)

    @functools.cached_property
    def critical_step(self) -> list[StepSizes]:
        """One `records.StepSizes` a scheduled update: the multiple of a step at which the loss of its batch would rise.

        Empty where it was not asked for; `missing` says why none was measured.
        """
        return self._decoded(step_sizes.TAG, no_constants, step_sizes.decode)

    @functools.cached_property
    def training_rows(self) -> TrainingRows | None:
        """The table of all training rows, a `row_records.TrainingRows`, as it was written last; None without one."""
        tag = training_rows.TAG
        steps = {step for part in self._series.get(tag, []) for step, _ in part.rows if step < self._end}
        for last in sorted(steps, reverse=True):  # the one before, where the last is damaged
            tables = self._decoded(tag, no_constants, training_rows.decode, functools.partial(operator.eq, last))
            if tables:
                return tables[-1]
        return None

    @functools.cached_property
    def flags(self) -> tuple[Flag, ...]:
        """The gradient flags that stand at the last record, which alone is read."""
        last = next((part.last for part in reversed(self._series.get(gradients.TAG, [])) if part.last), None)
        constants = self._constants_of(gradients.TAG, gradients.Constants.of)
        if last is None or constants is None:
            return ()
        records = self._each(gradients.TAG, [last], lambda update, table: gradients.decode(update, constants, table))
        return records[0].flags if records else ()

    @functools.cached_property
    def variable_sizes(self) -> tuple[int, ...]:
        """(V) how many entries each variable has whose gradients were recorded; empty where that is not known."""
        return self._constants_of(gradients.TAG, lambda data: gradients.Constants.of(data).sizes) or ()

    # Training checks.

    @functools.cached_property
    def training_flags(self) -> list[TrainingFlags]:
        """One `training_records.TrainingFlags` a scheduled update: rules that are broken, and rules that could not be judged."""
        return self._decoded(training.TAG, training.thresholds_of, training.decode)

    @functools.cached_property
    def screen(self) -> DataScreen | None:
        """The screen of a table at train begin, a `training_records.DataScreen`; None where nothing was screened."""
        screens = self._decoded(training.TAG_OF_SCREEN, no_constants, training.decode_screen)
        return dataclasses.replace(screens[-1], epoch=BEFORE, step=None) if screens else None

    # The probe and its attributions.

    @functools.cached_property
    def probe(self) -> Probe | None:
        """The samples of the gallery (B) with their labels and names, None where none were written.

        Images are rounded to 8 bits, each within its own range. `x` is None where `store="none"`.
        """
        probes = self._decoded(probe.TAG, probe.Constants.of, probe.decode)
        return probes[-1] if probes else None

    @functools.cached_property
    def probe_described(self) -> Probe | None:
        """The same probe without the values of its samples, which are not read."""
        return self._constants_of(probe.TAG, lambda data: probe.Constants.of(data).probe())

    @functools.cached_property
    def methods(self) -> tuple[str, ...]:
        """The attribution methods that were written, in the order of their tags."""
        tags = [tag for tag in self._series if tag.startswith(attribution.TAG)]
        return tuple(sorted(filter(None, (tag.removeprefix(attribution.TAG) for tag in tags))))

    def attributions(self, method: str) -> list[Attribution]:
        """Return one `records.Attribution` for each update at which a method was written.

        `values` are float32 of the gallery's shape, images (B, H, W): the signed sum over channels. An input that no gradient
        reaches is NaN. They are in the units of `score`: see `space`.
        """
        return self._attributions(method, lambda update: True)

    def attribution(self, method: str, update: int) -> Attribution | None:
        """Return the record of a method at one update, None where there is none; reads only that update's maps."""
        if update == BEFORE:
            return None if self.before is None else self.before.attributions.get(method)
        records = self._attributions(method, lambda number: number == update)
        return records[-1] if records else None

    def attribution_updates(self, method: str) -> list[int]:
        """Return the numbers of the updates at which a method was written, sorted."""
        parts = self._series.get(attribution.TAG + method, [])
        return sorted({number for part in parts for number, _ in part.rows if 0 <= number < self._end})

    @functools.cached_property
    def before(self) -> BeforeTraining | None:
        """The gallery of the untrained model, a `records.BeforeTraining`; None where it was not recorded.

        It was recorded before the first step: it belongs to no epoch, and is not in `attributions`.
        """
        attributions = {}
        for method in self.methods_before:
            records = self._attributions(method, lambda number: True, before_training=True)
            if records:
                attributions[method] = dataclasses.replace(records[-1], epoch=None, step=None)
        return BeforeTraining(dict(sorted(attributions.items()))) if attributions else None

    def method_title(self, method: str) -> str:
        """Return a method's name as its paper spells it; derived from `method` where an older file does not hold it."""
        constants = self._output_constants(method)
        title = "" if constants is None else constants.title
        return title or method.replace("_", " ").capitalize()

    def method_quantity(self, method: str) -> Quantity:
        """Return what a value of a method is: a contribution to the score, a slope, or another figure."""
        constants = self._output_constants(method)
        return "contribution" if constants is None else constants.quantity

    def method_task(self, method: str) -> TaskKind | None:
        """Return the kind of output that a method explains; None in an older file."""
        constants = self._output_constants(method)
        return None if constants is None else constants.task

    def method_layer(self, method: str) -> str:
        """Return the layer whose units the values of a method are of; "" for values of the input, and for maps."""
        constants = self._output_constants(method)
        return "" if constants is None else constants.layer

    def _output_constants(self, method: str) -> OutputConstants | None:
        """Return the constants of a method; those of the untrained model's gallery while there is no other."""
        tag = attribution.tags_of(method, before_training=method not in self.methods)[1]
        return self._constants_of(tag, attribution.OutputConstants.of)

    @functools.cached_property
    def methods_before(self) -> tuple[str, ...]:
        """The methods by which the untrained model was explained, in the order of their tags; reads no map."""
        prefix = attribution.tags_of("", before_training=True)[0]
        tags = [tag for tag in self._series if tag.startswith(prefix)]
        return tuple(sorted(filter(None, (tag.removeprefix(prefix) for tag in tags))))

    def outputs_before(self, method: str) -> Outputs | None:
        """Return what `outputs` returns, of the untrained model alone (E = 1): its update has the number `updates.BEFORE`."""
        outputs = self._outputs(attribution.tags_of(method, before_training=True)[1], method)
        if outputs is None:
            return None
        return dataclasses.replace(outputs, epochs=np.full(len(outputs.epochs), BEFORE), steps=None)

    def outputs(self, method: str) -> Outputs | None:
        """Return targets, predictions, scores (E, B) and outputs (E, B, K) of the gallery over updates; reads no map."""
        return self._outputs(attribution.tags_of(method)[1], method)

    def _outputs(self, tag: str, method: str) -> Outputs | None:
        if tag not in self._outputs_of:
            self._outputs_of[tag] = self._read_outputs(tag, method)
        return self._outputs_of[tag]

    def _read_outputs(self, tag: str, method: str) -> Outputs | None:
        constants = self._constants_of(tag, attribution.OutputConstants.of)
        tables = self._decoded(tag, attribution.OutputConstants.of, attribution.decode_outputs)
        rows = self._of_one_shape(tag, tables, lambda row: len(row[1]))
        if constants is None or not rows:
            return None
        steps = np.asarray([number for number, _ in rows], np.int64)
        epochs = np.asarray([self.epoch_of(number) for number, _ in rows], np.int64)
        return _outputs(
            method, constants, [table for _, table in rows], epochs, None if self.unit == "epoch" else steps
        )

    def _attributions(
        self, method: str, selects: Callable[[int], bool], *, before_training: bool = False
    ) -> list[Attribution]:
        tag, tag_of_outputs = attribution.tags_of(method, before_training=before_training)
        outputs = self._outputs(tag_of_outputs, method)
        if outputs is None:
            return []
        rows, stored = outputs.target.shape[1], self._stored_samples
        if stored is not None and rows > stored:
            pass_over(self._store, tag, f"{tag} is passed over: maps of {rows} samples, the probe has {stored}")
            return []
        index = {int(number): k for k, number in enumerate(outputs.updates)}

        def decode(step: int, inputs: Inputs, blobs: Any) -> tuple[int, Any]:
            number, values = attribution.decode(step, inputs, blobs)
            samples = attribution.samples_of(values)
            if step in index and samples != rows:
                raise Unreadable(f"maps of {samples} samples, outputs of {rows}")
            return number, values

        maps = self._decoded(tag, inputs_of, decode, selects)
        facts = {**self._facts_of(method), "samples": self.probe}
        return [_attribution(outputs, index[step], values, **facts) for step, values in maps if step in index]

    def _facts_of(self, method: str) -> dict[str, Any]:
        """Return what is the same in all attributions of a method."""
        kind = "" if self.probe is None else self.probe.kind
        return {"kind": kind, "quantity": self.method_quantity(method), "layer": self.method_layer(method)}

    @property
    def _stored_samples(self) -> int | None:
        """The number of samples of the gallery that were written, None where none was."""
        return None if self.probe is None or self.probe.x is None else self.probe.size

    @functools.cached_property
    def map_checks(self) -> dict[str, list[MapCheck]]:
        """One `records.MapCheck` an update, by method, of `ProbeAttributions(check=True)`; empty where maps were not checked."""
        methods = sorted(tag.removeprefix(map_checks.TAG) for tag in self._series if tag.startswith(map_checks.TAG))
        of_methods = {}
        for method in methods:
            of_methods[method] = self._decoded(map_checks.TAG + method, map_checks.Constants.of, map_checks.decode)
        return {method: records for method, records in of_methods.items() if records}

    # The rows of the probe beside the fixed gallery.

    @functools.cached_property
    def chosen_rows(self) -> list[ChosenRows]:
        """One `records.ChosenRows` an update: the rows that the rule of `gallery=` chose, and the loss of every row.

        Empty where the gallery is fixed. Their attributions are read by `chosen_attribution`.
        """
        return self._decoded(gallery.TAG, gallery.rule_of, gallery.decode)

    def chosen_attribution(self, method: str, update: int) -> Attribution | None:
        """Return the attributions of the rows that were chosen at an update, in their order; None where there are none."""
        record = next((record for record in self.chosen_rows if record.update == update), None)
        outputs = self.chosen_outputs(method, update)
        if record is None or outputs is None:
            return None
        tag, _ = gallery.tags_of(method)
        maps = self._decoded(tag, inputs_of, attribution.decode, lambda number: number == update)
        if not maps or attribution.samples_of(maps[-1][1]) != len(record.rows):
            return None
        samples = self.samples_of(record.rows.tolist())
        if samples is not None and samples.size < len(record.rows):
            samples = None
        return _attribution(outputs, 0, maps[-1][1], **self._facts_of(method), samples=samples)

    def chosen_outputs(self, method: str, update: int) -> Outputs | None:
        """Return what `outputs` returns, of the rows that were chosen at one update alone (E = 1)."""
        record = next((record for record in self.chosen_rows if record.update == update), None)
        _, tag = gallery.tags_of(method)
        constants = self._constants_of(tag, attribution.OutputConstants.of)
        if record is None or constants is None:
            return None
        of_method = attribution.OutputConstants.of
        tables = self._decoded(tag, of_method, attribution.decode_outputs, lambda number: number == update)
        if not tables or len(tables[-1][1]) != len(record.rows):
            return None
        steps = None if self.unit == "epoch" else np.asarray([update], np.int64)
        epochs = np.asarray([self.epoch_of(update)], np.int64)
        return _outputs(method, constants, [tables[-1][1]], epochs, steps)

    @functools.cached_property
    def stored_samples(self) -> StoredSamples | None:
        """Inputs and labels of rows beside the gallery, by row number: of chosen rows and of suspects; None without any.

        They are written as far as they stay below 8 MiB, and not at all where `store="none"`.
        """
        records: list[StoredSamples] = []
        for part in PARTS:
            decode = functools.partial(gallery.decode_samples, part=part)
            records += self._decoded(gallery.TAG_OF_SAMPLES + part, gallery.SampleConstants.of, decode)
        return gallery.joined(records)

    def samples_of(self, rows: Sequence[int]) -> Probe | None:
        """Return rows of the probe with their inputs, as far as they were written; None where none of them was.

        Args:
            rows: row numbers of the probe. The result's `rows` are those of them that were written, in their order.
        """
        fixed = self.probe
        if fixed is None:
            return None
        place = {} if fixed.rows is None or fixed.x is None else {int(row): k for k, row in enumerate(fixed.rows)}
        if all(row in place for row in rows):
            return fixed.of_rows(np.asarray([place[row] for row in rows], np.int64))
        stored = self.stored_samples
        if stored is None:
            return None
        place = {int(row): k for k, row in enumerate(stored.rows)}
        places = [place[row] for row in rows if row in place]
        return gallery.probe_of(fixed, stored, places) if places else None

    # Importance and its alerts.

    @functools.cached_property
    def importance(self) -> Importance | None:
        """Global importance on the fixed probe over updates, None where none was recorded.

        `share` (E, F) is each feature's part of the sum over features of mean |attribution|, 0 to 1; a row is NaN where the
        importance was not finite or all zero, a column where the method cannot measure the feature. `score` (E) is the largest
        |z| of a move, in units of a feature's usual move; NaN before there are six moves to compare with.
        """
        return _stacked(self.shares("clean"))

    @functools.cached_property
    def importance_live(self) -> Importance | None:
        """Global importance on the live rows, as `importance`; None where there were no live rows."""
        return _stacked(self.shares("live"))

    @functools.cached_property
    def data_score(self) -> Importance | None:
        """Movement of the live rows' values over updates; None unless they came out differently at every read.

        `share` (E, F) is the root mean square of a feature's distance to its mean over the two reads before, in units of its
        usual range, 0 to 3; the first two rows are NaN. `score` (E) is the largest |z| of it.
        """
        return _stacked(self.shares("data"))

    def shares(self, source: Source) -> list[Shares]:
        """Return the updates of one source, "clean", "live" or "data", in their order."""
        constants = functools.partial(importance.Constants.of, source=source)
        return self._decoded(importance.TAG + source, constants, importance.decode)

    @functools.cached_property
    def reliance(self) -> list[Reliance]:
        """Reliance on each feature in the live rows and in the probe, a `records.Reliance` an update."""
        return self._decoded(reliance.TAG, reliance.Constants.of, reliance.decode)

    @functools.cached_property
    def gap(self) -> RelianceGap | None:
        """The same over updates, a `records.RelianceGap`; None where live rows and a labelled probe were not compared."""
        compared = [update for update in self.reliance if not update.blind]
        return RelianceGap.of(compared)

    @functools.cached_property
    def alerts(self) -> list[Alert]:
        """The `records.Alert` of all sources, sorted by update, a cause before its effect.

        Those of one cause share `event` and verdict.
        """
        alerts: list[Alert] = []
        for series in reversed(alert.SERIES):
            alerts += self._decoded(alert.TAG + series, functools.partial(alert.constants, series=series), alert.decode)
        return with_events(alerts)

    @functools.cached_property
    def influences(self) -> list[RowInfluences]:
        """One `records.RowInfluences` an update: the live rows that taught the model most; [] without `influence=True`.

        `kx.influence(run, row=…)` and `kx.influence(run, alert=…)` read them.
        """
        return self._decoded(influence.TAG, no_constants, influence.decode)

    @property
    def has_influences(self) -> bool:
        """True where it was recorded which live rows taught the model; reads no record."""
        return influence.TAG in self._series

    # Mappings.

    @functools.cached_property
    def mappings(self) -> list[Mappings]:
        """One `records.Mappings` a scheduled update: data → features → decision → result; those with the last one's shapes."""
        records = self._decoded(mappings.TAG, mappings.Constants.of, mappings.decode)
        return self._of_one_shape(mappings.TAG, records, mappings.shape)

    @functools.cached_property
    def samples(self) -> Samples | None:
        """Training dynamics of each probe sample (B) over those updates, a `records.Samples`; None where nothing was recorded."""
        return Samples.of(self.mappings)

    @functools.cached_property
    def concepts(self) -> list[Concepts]:
        """One `concept_records.Concepts` a scheduled update of `ProbeMappings(concepts=…)`, with the last one's shapes.

        Empty where none were given.
        """
        records = self._decoded(concepts.TAG, concepts.digest_of, concepts.decode)
        return self._of_one_shape(concepts.TAG, records, lambda record: (record.names, record.layers, record.questions))

    # Slices of the probe.

    @functools.cached_property
    def slices(self) -> list[Slices]:
        """One `records.Slices` an update: accuracy, confidence, importance, gaps and readout by slice of the probe.

        Empty where the probe has no slices.
        """
        constants = self._constants_of(slices.ACCURACY, slices.Constants.of)
        if constants is None:
            return []
        of_group = functools.partial(slices.GroupConstants.of, slices=constants)
        return slices.joined(
            self._decoded(slices.ACCURACY, slices.Constants.of, slices.decode),
            self._decoded(slices.IMPORTANCE, of_group, slices.decode_importance),
            self._decoded(slices.GAPS, of_group, slices.decode_gaps),
            self._decoded(slices.READOUT, of_group, slices.decode_readout),
        )

    # Predictions for the probe.

    @functools.cached_property
    def predictions(self) -> Predictions | None:
        """Predictions for the rows of the probe over updates, a `records.Predictions`; None where none were recorded.

        Those with the last one's shapes, as `Explain`, `ImportanceDrift` and `ProbeMappings` write them.
        """
        records = self._decoded(predictions.TAG, predictions.Constants.of, predictions.decode)
        return Predictions.of(self._of_one_shape(predictions.TAG, records, predictions.shape))

    # Continuing a run.

    @functools.cached_property
    def constants(self) -> dict[str, Any]:
        """Values that must be the same for the run to be continued, by the names in the note that says why it is not."""
        constants: dict[str, Any] = {"unit of updates": self.unit}
        if self.probe is not None:
            constants["probe"] = self.probe.hash
            if self.probe.rows is not None and self.probe.size:
                constants["gallery"] = tuple(self.probe.rows.tolist())
        named = {"variables": gradients.TAG, "features": importance.TAG + "clean", "layers": mappings.TAG}
        for name, tag in named.items():
            names = self._constants_of(tag, lambda data: tuple(data.names))
            if names is not None:
                constants[name] = names
        digest = self._constants_of(concepts.TAG, concepts.digest_of)
        if digest is not None:
            constants["concepts"] = digest
        methods: dict[Source, str] = {"clean": "method", "live": "live method"}
        for source, name in methods.items():
            updates = self.shares(source)
            if updates:
                constants |= {name: updates[-1].method, "limit": updates[-1].limit}
        return constants

    # From tags to records.

    def _constants_of(self, tag: str, make: Callable[[PluginData], A]) -> A | None:
        """Return the constants of a series, decoded by `make`; None where there is no such series or they are unreadable."""
        if tag not in self._series:
            return None
        try:
            for part in self._series[tag]:
                data = tag_constants.constants(part.constants)
                if not tag_constants.continues(data):
                    return make(data)
            raise Unreadable("the part with its names is missing")
        except Unreadable as error:
            pass_over(self._store, tag, f"{tag} is passed over: {error}")
            return None

    def _decoded(
        self,
        tag: str,
        make: Callable[[PluginData], A],
        decode: Callable[[int, A, Any], T],
        selects: Callable[[int], bool] = lambda step: True,
    ) -> list[T]:
        """Return the records of a series in the order of their steps; of several at one step the one written last."""
        constants = self._constants_of(tag, make)
        if constants is None:
            return []
        latest: dict[int, Callable[[], Any]] = {}
        for part in self._series[tag]:
            latest |= {step: read for step, read in part.rows if step < self._end and selects(step)}
        records = self._each(tag, sorted(latest.items()), lambda number, content: decode(number, constants, content))
        if tag == epoch.TAG or self.unit == "epoch":
            return records
        return [self._at_step(record) for record in records]

    def _at_step(self, record: T) -> T:
        """Return a record of a run that counts in steps with its epoch and its step, where it has only its number."""
        if not isinstance(record, AtUpdate):
            return record
        return dataclasses.replace(record, epoch=self.epoch_of(record.update), step=record.update)  # type: ignore[type-var]

    def _each(self, tag: str, rows: Sequence[Row], decode: Callable[[int, Any], T]) -> list[T]:
        """Return the records that can be read."""
        records, failures = [], []
        for step, read in rows:
            try:
                records.append(decode(step, read()))
            except Exception as error:  # `Unreadable`, or any fault that damaged bytes cause: only this step is lost
                failures.append(f"{self._failing_unit(tag)} {step} ({error or type(error).__name__})")
        # A sentence on the whole series says more than that on one of its steps.
        if failures and (len(rows) > 1 or tag not in self._store.passed_over):
            many = f"{len(failures)} of {len(rows)} steps are" if len(rows) > 1 else "it is"
            pass_over(self._store, tag, f"{tag}: {many} damaged and passed over: {failures[0]}")
        return records

    def _failing_unit(self, tag: str) -> Unit:
        """Return the word for the number of an update that cannot be read."""
        return "epoch" if tag == epoch.TAG else self.unit

    def _of_one_shape(self, tag: str, records: list[T], shape: Callable[[T], Hashable]) -> list[T]:
        """Return the records with the shape of the last one, which can be stacked over epochs."""
        fitting = [record for record in records if shape(record) == shape(records[-1])]
        if len(fitting) < len(records):
            other = f"{len(records) - len(fitting)} of {len(records)} steps have another shape than the last"
            pass_over(self._store, tag, f"{tag}: {other} and are passed over")
        return fitting


def _outputs(
    method: str,
    constants: attribution.OutputConstants,
    tables: Sequence[NDArray[Any]],
    epochs: NDArray[np.int64],
    steps: NDArray[np.int64] | None,
) -> Outputs:
    """Return the outputs of all updates from their tables, which have one shape but for the last columns."""
    width = min(table.shape[1] for table in tables)
    cube = np.stack([table[:, :width] for table in tables])  # (E, B, width)
    # A column that some updates lack is left out in all: the run may have been continued by a later version.
    has_quadrature = constants.quadrature and width > 5 + constants.r2
    has_r2 = constants.r2 and width > 5
    end_of_r2 = width - has_quadrature
    end = end_of_r2 - has_r2
    task, link = constants.read_as(end - 5)
    target = cube[:, :, 0].astype(np.int64)
    if constants.task is None and task == "binary":
        target = np.ones_like(target)  # an older version explained class 1, and wrote the number of its column, 0
    return Outputs(
        method=method,
        epochs=epochs,
        steps=steps,
        target=target,
        prediction=cube[:, :, 1],
        score=cube[:, :, 2],
        baseline_score=cube[:, :, 3],
        completeness_error=cube[:, :, 4] if constants.complete else None,
        outputs=cube[:, :, 5:end],
        space=constants.space,
        r2=cube[:, :, end] if has_r2 else None,
        quadrature_error=cube[:, :, -1] if has_quadrature else None,
        task=task,
        link=link,
    )


def _attribution(outputs: Outputs, k: int, values: Any, **facts: Any) -> Attribution:
    """Return the record of one update, from its maps, from row `k` of the outputs, and from facts of all updates."""

    def at_update(array: NDArray[Any] | None) -> NDArray[Any] | None:
        return None if array is None else array[k]

    baseline, prediction = outputs.baseline_score[k], outputs.prediction[k]
    if outputs.task in ("binary", "classes", "labels") and _are_whole(prediction):
        prediction = prediction.astype(np.int64)
    return Attribution(
        method=outputs.method,
        values=values,
        target=outputs.target[k],
        score=outputs.score[k],
        baseline_score=None if np.isnan(baseline).all() else baseline,
        prediction=prediction,
        completeness_error=at_update(outputs.completeness_error),
        space=outputs.space,
        outputs=outputs.outputs[k],
        epoch=int(outputs.epochs[k]),
        step=None if outputs.steps is None else int(outputs.steps[k]),
        r2=at_update(outputs.r2),
        task=outputs.task,
        link=outputs.link,
        quadrature_error=at_update(outputs.quadrature_error),
        **facts,
    )


def _are_whole(numbers: NDArray[Any]) -> bool:
    """Return True where all numbers are whole, as classes are; NaN is not."""
    whole = np.isfinite(numbers) & (numbers == np.round(numbers)) & (np.abs(numbers) < 2**31)
    return bool(whole.all())


def _stacked(updates: Sequence[Shares]) -> Importance | None:
    if not updates:
        return None
    first = updates[0]
    return Importance(
        epochs=epochs_of(updates),
        steps=steps_of(updates),
        names=first.names,
        share=np.stack([update.share for update in updates]),
        score=np.asarray([update.score for update in updates], np.float64),
        limit=first.limit,
        burn_in=first.burn_in,
        method=first.method,
    )
