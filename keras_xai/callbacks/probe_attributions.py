"""`ProbeAttributions`: a few samples, the gallery, explained again every epoch."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution import METHODS
from keras_xai.attribution.explainer import ProbeExplainer, is_built
from keras_xai.attribution.method import Method, make_method
from keras_xai.callbacks.base import RecordingCallback
from keras_xai.callbacks.gallery_watch import GalleryWatch
from keras_xai.callbacks.map_check import EVERY, MapChecker, rows_a_check
from keras_xai.callbacks.memory import Need, announce_need
from keras_xai.callbacks.prediction_watch import DensePass, ProbePass
from keras_xai.callbacks.schedule import Every
from keras_xai.errors import InvalidInput, check_int
from keras_xai.model.fitting import fit_probe
from keras_xai.probe import Probe
from keras_xai.probe.gallery import Selection
from keras_xai.records import Attribution, MapCheck
from keras_xai.spatial import SPATIAL_KINDS, SpatialShape, box_means, kind_of_input
from keras_xai.summary.metadata import Record
from keras_xai.summary.reader import Log
from keras_xai.tree import leaves, like
from keras_xai.updates import BEFORE

MAX_VOXELS = 2**18  # of the map of a volume that is written: 64 × 64 × 64, a quarter of a MB in 8 bits
RUN_THE_WHOLE_PROBE = ("importance_drift", "probe_mappings")  # callbacks that have its outputs anyway
Methods = str | Sequence[str] | Mapping[str, Mapping[str, Any]]
Rows = Sequence[int] | NDArray[np.integer[Any]]
Gallery = str | Rows  # a rule, or rows


class ProbeAttributions(RecordingCallback):
    """Explains a gallery of samples at each epoch's end, by the engine of `attribute`, compiled once.

    The rows of `gallery=` are the same at every epoch, so that their maps compare. Of the rules "wrong", "worst loss" and
    "suspects" others are chosen at each epoch, and explained beside a fixed balanced gallery of the same size: the run has
    them as `chosen_rows`.

    Maps of images and volumes are written as sums over channels, in 8 bits; those of volumes of more than 2¹⁸ voxels as means
    over boxes of them.

    Where the probe has slices, accuracy and confidence of each of their values are recorded, over the whole probe, with all
    its predictions, and `logs` get `xai_worst_slice`, the accuracy of the worst.

    Args:
        log_dir: a directory or an address, as "s3://bucket/run"; the run is written to `<log_dir>/keras_xai`.
        probe: a `Probe`, or what makes one.
        method: a name from `METHODS`, a list of names, or a dict from names to their options:
            `{"grad_cam": {"layer": "backbone/top_conv"}}`.
        every: look at every n-th epoch, or a function epoch -> bool, the first and the last always; or "200 steps"
            (`kx.steps(200)`), or "auto", about 30 times in the whole training, and at the end of each epoch.
        samples: the size of the gallery, the pinned rows among them; of given rows all are taken.
        gallery: which rows of the probe are explained:

            | value | rows |
            |---|---|
            | "balanced" | the first of each class in order, the remainder from the largest classes; without labels the first |
            | "per class" | the same number of each class, at least one |
            | "wrong" | fixed ones as "balanced", and at each epoch those that are read wrongly, the largest loss first |
            | "worst loss" | the same with the largest loss: cross-entropy, or squared error of numbers |
            | "suspects" | the same with those whose label was believed least, as a mean over the epochs so far |
            | a list or array | these rows: whole numbers from 0, each once |

        pinned: rows of the probe that stand first in the gallery, whatever the rule.
        check: at the first, at every tenth and at the last update, test whether the maps of the gallery can be believed: is
            their order better than a random one (deletion), and does a small noise move them (max-sensitivity). The views mark
            the methods that fail on this model; the run has the figures as `map_checks`.
        seed: of methods that draw.
        jit_compile: compile with XLA: pays on models without convolutions where there are hundreds of epochs.
        on_error: "warn" (an exception is one warning, and the callback is disabled) or "raise" (for development).
        **options: of the method, where it is a single name.

    Raises:
        InvalidInput: at construction or at train begin: unknown methods, options, layers, rules; rows out of range or there
            twice; a rule that needs labels, or classes, where there are none; samples that do not fit.

    Cost:
        In each epoch, the methods' passes over the gallery. Integrated gradients take 8 graded steps here,
        24 for the samples whose completeness error is above 3 %, and 64 for those where it then is above 5 %; with `n_steps=`
        as many as it says, and 64 above 5 %. Where it stays above, a note in the record says so, once; a warning if that
        concerns a tenth of the samples. Of a probe with slices one forward pass over all its rows, unless `ImportanceDrift` or
        `ProbeMappings` makes it anyway. A rule that changes with the model takes the passes of the gallery once more, and one
        forward pass over the probe.

    Example:
        >>> import keras, numpy as np, tempfile
        >>> x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
        >>> y = (x[:, 0] > 0).astype("int32")
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
        >>> model.compile("adam", "sparse_categorical_crossentropy")
        >>> logs = tempfile.mkdtemp()
        >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=[ProbeAttributions(logs, (x, y), samples=8)])
        >>> import keras_xai as kx
        >>> kx.load(logs)["."].attributions("integrated_gradients")[1].values.shape
        (8, 4)
    """

    name: ClassVar[str] = "probe_attributions"
    default_figures: ClassVar[frozenset[str]] = frozenset({"xai_worst_slice"})
    fit_state: ClassVar[Mapping[str, Any]] = {"_explainer": None, "_watch": None, "_checker": None, "_past": None}
    cost_hint: ClassVar[str] = "fewer methods, samples=8 or every=5 in ProbeAttributions"

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        probe: Any,
        method: Methods = "integrated_gradients",
        *,
        every: Every = 1,
        samples: int = 16,
        gallery: Gallery = "balanced",
        pinned: Rows | None = None,
        check: bool = False,
        seed: int = 0,
        jit_compile: bool = False,
        on_error: str = "warn",
        **options: Any,
    ) -> None:
        super().__init__(log_dir, every=every, on_error=on_error)
        self._past: Log | None = None
        samples = check_int("samples", samples, expected="the number of samples in the gallery, 1 or more")
        self.probe = self._original_probe = Probe.of(probe)
        self.samples = samples
        self.selection = Selection.of(gallery, pinned, self.probe.size)
        self.gallery = self._fixed_gallery()
        sets = 2 if self.selection.changes else 1
        self.needs = announce_need(Need(self.probe, passes=4, gallery=sets * self.gallery.size))
        self.methods = chosen_methods(method, options, seed)
        self.jit_compile = bool(jit_compile)
        if not isinstance(check, (bool, np.bool_)):
            raise InvalidInput(f"check={check!r}: expected True (test every tenth update's maps) or False.")
        self.checks_maps = bool(check)

    def check(self) -> None:
        self.probe = fit_probe(self.model, self._original_probe)
        self.selection.check_labels(has_labels=self.probe.y is not None)
        self.gallery = self._fixed_gallery()
        self._explainer: ProbeExplainer | None = None
        self._watch: GalleryWatch | None = None
        self._checker: MapChecker | None = None
        self._looked = 0  # updates in this fit
        self._is_last_update = False  # of a training that ended between two updates
        self._remarked: set[tuple[str, bool]] = set()  # methods that were remarked on; True: on many of their samples
        self._past_target: Any = None
        self._written_gallery: Probe | None = None

    def _fixed_gallery(self) -> Probe:
        """Return the rows of the probe that are explained at every update."""
        probe = self.probe
        return probe.of_rows(self.selection.fixed_rows(probe.classes_to_balance, probe.size, self.samples))

    def is_built(self) -> bool:
        return is_built(self.model, self.probe)

    def prepare(self) -> None:
        self._explainer = ProbeExplainer(self.model, self.gallery, self.methods, self.jit_compile)
        self.note(self._explainer.task.remark)
        if self.selection.rule == "per class":
            self.selection.check_classes(has_classes=bool(self._explainer.task.classes))
        if self.checks_maps:
            self._checker = MapChecker(self._explainer)
        if self.selection.changes:
            self._watch = GalleryWatch(self._explainer, self.probe, self.selection, self.samples)
        self._continue_with_past_target()

    def gallery_probe(self) -> Probe | None:
        self._written_gallery = self.gallery if self._explainer is None else self._explainer.probe
        return self._written_gallery

    def run_identity(self) -> Mapping[str, Any]:
        assert self.gallery.rows is not None
        return {"gallery": tuple(self.gallery.rows.tolist())}

    def common_inputs(self) -> Mapping[str, str]:
        methods = repr((self.methods, self.jit_compile, self.checks_maps))
        rows = repr((self.selection.rule, self.samples, self.run_identity()))
        return {**super().common_inputs(), "method": methods, "probe": self.gallery.hash, "gallery": rows}

    def on_run_start(self, epoch: int, past: Log | None) -> None:
        outputs = None if past is None else next((past.outputs(name) for name in self.methods), None)
        self._past_target = self._team.agreed(None if outputs is None else outputs.target[-1])
        self._continue_with_past_target()
        self._past = past if self.selection.changes else None
        self._resume_watch()

    def _resume_watch(self) -> None:
        if self._watch is not None and self._past is not None:
            self._watch.resume(self._past)
            self._past = None

    def _continue_with_past_target(self) -> None:
        """Explain, where there are no labels, the classes that were predicted when a continued run began."""
        if self._explainer is not None and self._explainer.target is None and self._past_target is not None:
            self._explainer.target = self._past_target

    def rows_per_update(self) -> float:
        rows = self.gallery.size * sum(method.passes(self.gallery) for method in self.methods.values())
        if self._checker is not None and self._explainer is not None:
            rows += rows_a_check(self._explainer) / EVERY
        return 2 * rows + self.probe.size / 3 if self.selection.changes else rows

    def record_before_training(self) -> Iterable[Record]:
        assert self._explainer is not None
        return [self._as_recorded(record, BEFORE) for record in self._explainer.before_training().values()]

    def record_update(self, update: int, logs: dict[str, Any]) -> Iterable[Record]:
        assert self._explainer is not None
        attributions = self._explainer()
        self.warn_once(self._explainer.engine.side_effects)
        for name, (text, of_many) in self._explainer.remarks(attributions).items():
            if (name, of_many) in self._remarked:
                continue
            self._remarked |= {(name, of_many), (name, False)}
            if of_many:
                self.warn(text)
            else:
                self.note(text)
        records = [self._as_recorded(record, update) for record in attributions.values()]
        whole = self._pass_over_probe()
        return [
            *self._late_gallery(),
            *records,
            *self._map_checks(update, attributions),
            *self._chosen(update, whole),
            *self._of_whole_probe(update, logs, whole),
        ]

    def _map_checks(self, update: int, attributions: Mapping[str, Attribution]) -> list[MapCheck]:
        """Return the checks of the maps, where they are due: at every tenth update from the first on, and at the last."""
        if self._checker is None:
            return []
        is_tenth = self._looked % EVERY == 0
        self._looked += 1
        stops = self._is_last_epoch or self._is_last_update or bool(getattr(self.model, "stop_training", False))
        return self._checker(update, attributions) if self._team.agreed(is_tenth or stops) else []

    def _pass_over_probe(self) -> ProbePass | DensePass | None:
        """Return one forward pass over the whole probe, of which the gallery is a part; None where nothing looks at it."""
        if self.whole_probe is None:
            return None
        explainer = self._explainer
        assert explainer is not None
        if explainer.dense is not None:
            return DensePass(explainer, self.probe)
        rows = ProbePass(self.probe, explainer.task)
        rows.add(explainer.outputs(self.probe))
        return rows

    def _chosen(self, update: int, whole: ProbePass | DensePass | None) -> list[Record]:
        """Return the rows that the gallery's rule chooses now, and their inputs where they are not written yet."""
        if self._watch is None or whole is None:
            return []
        self._resume_watch()
        chosen = self._watch(update, whole.outcomes)
        attributions = {name: self._as_recorded(record, update) for name, record in chosen.attributions.items()}
        samples = None
        if self._session is not None:
            samples = self._session.stored_rows(self.probe).record(update, "chosen", chosen.rows.tolist())
        record = dataclasses.replace(chosen, attributions=attributions)
        return [record] if samples is None else [record, samples]

    def carry_forward(self, update: int, logs: dict[str, Any]) -> None:
        if self._looks_at_slices:
            self.log_figures(logs, self.slice_figures(self.probe))

    @property
    def _looks_at_slices(self) -> bool:
        """True where the probe has slices, and no other callback runs the model on the whole probe."""
        if not self.probe.slices or self._session is None:
            return False
        for member in self._session.others(self):
            if getattr(member, "name", "") in RUN_THE_WHOLE_PROBE and getattr(member, "probe", self.probe).slices:
                return False
        return True

    @property
    def whole_probe(self) -> Probe | None:
        return self.probe if self._watch is not None or self._looks_at_slices else None

    def _of_whole_probe(self, update: int, logs: dict[str, Any], whole: ProbePass | DensePass | None) -> list[Record]:
        """Return accuracy by slice and predictions over the whole probe."""
        if whole is None:
            return []
        records: list[Record] = []
        if self._looks_at_slices:
            records.append(whole.slices(update))
            self.log_figures(logs, self.slice_figures(self.probe, records))
        predictions = whole.record(update) if self.awaits_predictions else None
        return records if predictions is None else [*records, predictions]

    def _late_gallery(self) -> list[Record]:
        """Return the gallery once more, where it was written before the model was built, which decides what labels mean."""
        assert self._explainer is not None
        is_late = self._written_gallery is self.gallery
        self._written_gallery = self._explainer.probe
        return [self._written_gallery] if is_late else []

    def record_last_update(self, update: int) -> Iterable[Record]:
        self._is_last_update = True
        return self.record_update(update, {})

    def close(self) -> None:
        self._explainer = self._watch = self._checker = None  # its graph holds the model

    def _as_recorded(self, record: Attribution, update: int) -> Attribution:
        """Return a record as it is written: of images and volumes the signed sum over channels, of a layer over its units.

        An input without gradient is NaN.
        """
        values = record.values
        if record.layer and self._explainer is not None:
            values = _at_most_voxels(self._explainer.by_place(record))
            return dataclasses.replace(record, epoch=update, values=values)
        if self._explainer is not None and self.methods[record.method].needs_gradient:
            values = _without_inputs(values, self._explainer.engine.held_inputs)
        return dataclasses.replace(record, epoch=update, values=_channel_sum(values, self.gallery))


def chosen_methods(method: Methods, options: Mapping[str, Any], seed: int) -> dict[str, Method]:
    """Return the methods by name, with their options and the defaults of a callback.

    Args:
        method: a name, several, or names with the options of each.
        options: of the method, where it is a single name.
        seed: of methods that draw, unless their options have one.

    Raises:
        InvalidInput: none at all, unknown names or options, options that could belong to several methods.
    """
    options_by_name: dict[str, Mapping[str, Any]]
    if isinstance(method, str):
        options_by_name = {method: options}
    elif isinstance(method, Mapping):
        options_by_name = {str(name): dict(method_options or {}) for name, method_options in method.items()}
    else:
        options_by_name = {str(name): {} for name in method}
    if not options_by_name:
        raise InvalidInput(f"method={method!r}: expected at least one of {', '.join(METHODS)}.")
    if options and not isinstance(method, str):
        raise InvalidInput(
            f"{', '.join(options)} could belong to any of {', '.join(options_by_name)}: write method={{name: {{option: value}}}}."
        )
    chosen = {}
    for name, options_of in options_by_name.items():
        seeded = {"seed": seed, **options_of} if "seed" in method_options(name) else options_of
        chosen[name] = make_method(name, seeded, METHODS).for_callback(options_of)
    return chosen


def method_options(name: str) -> tuple[str, ...]:
    """Return the names of a method's options; none where there is no such method."""
    return tuple(field.name for field in dataclasses.fields(METHODS[name])) if name in METHODS else ()


def _without_inputs(values: Any, unreached: Sequence[int]) -> Any:
    """Return values with NaN for the inputs that no gradient reaches: their importance is not known, which is not zero."""
    if not unreached or not isinstance(values, (dict, list)):
        return values
    arrays = [np.full_like(array, np.nan) if k in unreached else array for k, array in enumerate(leaves(values))]
    return like(values, arrays)


def _at_most_voxels(values: NDArray[Any]) -> NDArray[Any]:
    """Return values at a layer's places; of a large volume (B, d, h, w) means."""
    return _at_most(values, MAX_VOXELS) if values.ndim == 4 else values


def _channel_sum(values: Any, probe: Probe) -> Any:
    """Return values as signed sums over channels: (B, H, W) of images, (B, D, H, W) of volumes; other inputs as they are."""
    if probe.kind not in SPATIAL_KINDS:
        return values
    arrays = leaves(values)
    kinds = [probe.kind] * len(arrays)
    if len(arrays) == len(probe.shapes):
        kinds = [kind_of_input(probe.kind, shape, probe.shapes) for shape in probe.shapes]
    return like(values, [_summed(array, kind) for array, kind in zip(arrays, kinds, strict=True)])


def _summed(array: NDArray[Any], kind: str) -> NDArray[Any]:
    """Return (B, ...) summed over channels, where a map of this kind has an axis of channels; large volumes as means."""
    rank_with_channels = {"image": 4, "volume": 5}
    if array.ndim == rank_with_channels.get(kind):
        array = SpatialShape.of_kind(kind, array.shape[1:]).sum_over_channels(array)
    return _at_most(array, MAX_VOXELS) if kind == "volume" else array


def _at_most(maps: NDArray[Any], voxels: int) -> NDArray[Any]:
    """Return maps (B, D, H, W) as means over boxes, the longest side halved until a map has no more than so many voxels."""
    positions = maps.shape[1:]
    sides = [1] * len(positions)
    while math.prod(-(-length // side) for length, side in zip(positions, sides, strict=True)) > voxels:
        longest = max(range(len(sides)), key=lambda axis: -(-positions[axis] // sides[axis]))
        sides[longest] *= 2
    return maps if max(sides) == 1 else box_means(maps, sides)
