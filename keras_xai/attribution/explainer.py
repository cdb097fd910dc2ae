"""A probe and a model, made ready to be explained again every epoch."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.baselines import DefaultBaseline
from keras_xai.attribution.completeness import are_many_incomplete, finer_methods, sentence_on_incomplete
from keras_xai.attribution.engine import Engine
from keras_xai.attribution.method import Method
from keras_xai.attribution.metrics.replacement import ScoredRows
from keras_xai.attribution.placement import Placement, TokenOptions, place_layer
from keras_xai.attribution.refined import Refined, refining_runner
from keras_xai.backend.team import present_team
from keras_xai.errors import InvalidInput, cause
from keras_xai.model.dense import DenseOutput, LabelledRegions, Positions
from keras_xai.model.fitting import fit_probe
from keras_xai.model.inputs import broadcast_baseline, check_input_shapes, prepare_inputs
from keras_xai.model.layers import find_layer, is_channels_first, iter_layers
from keras_xai.model.positions import PositionLabels
from keras_xai.model.regions import wanted_classes
from keras_xai.model.runner import ModelRunner
from keras_xai.model.samples import Samples
from keras_xai.model.task import Task, resolve_target, true_classes
from keras_xai.probe import Probe
from keras_xai.records import Attribution
from keras_xai.tree import map_leaves

MAX_LABELLED = 4  # sets of rows of which it is remembered what their labels say


class ProbeExplainer:
    """Explains the rows of one probe, and others of the same shape, by the same methods with the model's live weights.

    Args:
        model: a built Keras model.
        probe: its kind, output, target, baseline and structure hold for all rows that are explained.
        methods: by name.
        jit_compile: compile with XLA.
        exchanged: in the place of a baseline each row is compared with another one of its own kind, drawn once.
        warns_of_held: warn once of inputs that no gradient leads to.
        companions: further methods, chosen once it is known what the outputs say; they share the passes.

    Raises:
        InvalidInput: samples or labels that do not fit the model, with both shapes.
    """

    def __init__(
        self,
        model: keras.Model,
        probe: Probe,
        methods: Mapping[str, Method],
        jit_compile: bool = False,
        exchanged: bool = False,
        warns_of_held: bool = True,
        companions: Callable[[Task, Probe, list[Samples]], Mapping[str, Method]] | None = None,
    ) -> None:
        self.probe = probe = fit_probe(model, probe)
        self._model = model
        check_built(model, probe)
        check_input_shapes(model, probe.inputs, probe.x)
        self._x = prepare_inputs(model, probe.inputs, probe.x)
        fitted = {name: method.for_probe(probe).for_inputs(self._x, probe.x) for name, method in methods.items()}
        runner = ModelRunner(model, probe.x, probe.output, jit=jit_compile)
        self.engine = Engine(runner, fitted, warns_of_held=warns_of_held)
        self._labelled: dict[int, tuple[Probe, LabelledRegions | None]] = {}
        self.task = self._settle()
        self._refined: dict[str, Refined] = {}
        self._placements: dict[int, Placement | None] = {}  # by the layer's id
        for name, method in fitted.items():
            # Made here, traced where it is needed.
            ladder = [(above, Engine(refining_runner(runner), {name: finer})) for above, finer in finer_methods(method)]
            if ladder:
                self._refined[name] = Refined(ladder)
        self.probe = probe.with_classes(self.classes_of(probe))
        if companions is not None:
            self.engine.add(companions(self.task, self.probe, self._x))
        self._exchanged = exchanged
        self._default: DefaultBaseline | None = None
        if probe.baseline is None and not exchanged:
            self._default = DefaultBaseline(model, self._x, probe.x, probe.output, probe)
        self.baseline = self._baseline_of(self._x)
        self.target: NDArray[np.int64] | None = self._target(probe)
        self.engine.prepare(self._x, self.baseline, self._placeholder(probe.size))

    def _settle(self) -> Task:
        try:
            return self.engine.runner.settle(self._x, self.probe.y, named=self.probe.class_names is not None)
        except InvalidInput:
            raise
        except Exception as error:
            shapes = ", ".join(str(a.shape) for a in self._x)
            raise InvalidInput(f"The model does not take the probe of shape {shapes}: {cause(error)}") from error

    def classes_of(self, probe: Probe) -> NDArray[np.int64] | None:
        """(B,) the true classes of labelled rows, of a dense output those of most of the region; None without labels, or where
        the outputs are labels or numbers."""
        if probe.y is None:
            return None
        if self.dense is not None:
            regions = self.labelled_regions(probe)
            return regions.label if regions is not None and self.task.classes else None
        return true_classes(probe.y, self.task, self.probe.class_names, self.probe.output)

    @property
    def dense(self) -> DenseOutput | None:
        """Of a dense output; None for a row of scores."""
        return self.engine.runner.dense

    def labelled_regions(self, probe: Probe) -> LabelledRegions | None:
        """The regions of a dense output by the labels of rows alone; None without labels."""
        if self.dense is None or probe.y is None:
            return None
        if id(probe) not in self._labelled:
            if len(self._labelled) == MAX_LABELLED:
                self._labelled.pop(next(iter(self._labelled)))
            x = prepare_inputs(self._model, probe.inputs, probe.x)
            regions = self.dense.labelled_regions(x, probe.y, self._requested_target(probe), self.probe.class_names)
            self._labelled[id(probe)] = probe, regions  # with the probe, so that no other one gets its id
        return self._labelled[id(probe)][1]

    def scored_rows(self) -> ScoredRows:
        """The probe's rows, their baseline and their targets, as the engine takes them."""
        return ScoredRows(self.engine.runner, self.probe.x, self._x, self.baseline, self._resolved_target())

    def prepare_rows(self, probe: Probe) -> None:
        """Trace what other rows of the same shape take.

        Raises:
            InvalidInput: rows that do not fit the model.
        """
        x = prepare_inputs(self._model, probe.inputs, probe.x)
        self._target(probe)
        self.engine.prepare(x, self._baseline_of(x), self._placeholder(probe.size))

    def __call__(self) -> dict[str, Attribution]:
        """Explain the probe, with more steps for the rows that need them. Without labels the classes predicted at the first
        call are explained ever after."""
        target = self._resolved_target()
        attributions = self.engine(self._x, self.baseline, target)
        for name, refined in self._refined.items():
            attributions[name] = refined(attributions[name], self._x, self.baseline, target)
        return self._with_kind(attributions)

    def explain_rows(self, probe: Probe, size: int) -> dict[str, Attribution]:
        """Explain other rows of the same shape for their own classes, with more steps for those that need them.

        Args:
            probe: rows of the same probe, as many as this explainer's own, so that nothing is traced again; what is behind
                the first `size` of them fills up.
            size: how many are wanted.
        """
        x, target = prepare_inputs(self._model, probe.inputs, probe.x), self._target(probe)
        if self.dense is not None:
            target = self.dense.targets(x, probe.y, target, self.probe.class_names)
        if target is None:
            target = present_team().agreed(self.task.explained(self.engine.runner.outputs(x)))
        baseline = self._baseline_of(x)
        attributions = self.engine(x, baseline, target)
        for name, refined in self._refined.items():
            with refined.uncounted():
                attributions[name] = refined(attributions[name], x, baseline, target)
        attributions = self._with_kind(attributions)
        return {name: first_rows(attribution, size) for name, attribution in attributions.items()}

    def before_training(self) -> dict[str, Attribution]:
        """Explain the probe with the untrained model; later calls do what they would have done without this one.

        Without labels they explain the classes that the trained model predicts, and more steps are tried for their own rows.
        """
        target = self.target
        with contextlib.ExitStack() as stack:
            for refined in self._refined.values():
                stack.enter_context(refined.first_step_alone())
            attributions = self()
        self.target = target
        return attributions

    def _placeholder(self, size: int) -> NDArray[np.int64]:
        """Something to explain, where only the shape counts."""
        return np.zeros(size, np.int64) if self.dense is None else self.dense.placeholder(size)

    def outputs(self, probe: Probe | None = None) -> NDArray[np.float32]:
        """(B, K) the model's outputs for the probe, or for other rows of the same shape; one forward pass."""
        x = self._x if probe is None else prepare_inputs(self._model, probe.inputs, probe.x)
        return self.engine.runner.outputs(x)

    def positions(self, probe: Probe | None = None) -> tuple[Positions, PositionLabels | None]:
        """The answers of a dense output at every position of the probe or of other rows, and their labels; one forward pass."""
        assert self.dense is not None
        rows = self.probe if probe is None else probe
        x = self._x if probe is None else prepare_inputs(self._model, probe.inputs, probe.x)
        labels = self.dense.labels(rows.y, self.probe.class_names)
        return self.dense.positions(x, labels), labels

    def remarks(self, attributions: Mapping[str, Attribution]) -> dict[str, tuple[str, bool]]:
        """By method the sentence where values miss their sum by more than 5 %, and whether those of many samples do."""
        remarks = {}
        for name, attribution in attributions.items():
            sentence = sentence_on_incomplete(self.engine.methods[name], attribution)
            if sentence:
                remarks[name] = sentence, are_many_incomplete(attribution)
        return remarks

    def by_place(self, attribution: Attribution) -> NDArray[Any]:
        """The values at a layer's units, summed over the units of each place: (B, h, w), (B, t) or (B, d, h, w).

        Tokens of an image lie on its grid where that is known. A layer without places keeps its units, (B, units).
        """
        values: NDArray[Any] = attribution.values
        if values.ndim < 3:
            return values
        layer = find_layer(self._model, attribution.layer)
        if is_channels_first(layer, self._model, values.ndim):
            return np.asarray(values.sum(1))
        placement = self._token_placement(layer) if values.ndim == 3 else None
        values = values.sum(-1)
        if placement is None or placement.grid is None:
            return values
        return values[:, list(placement.tokens)].reshape(len(values), *placement.grid)

    def _token_placement(self, layer: keras.layers.Layer) -> Placement | None:
        """The placement of a layer's tokens on an image, looked up once; None without an image, or where it is not known."""
        if id(layer) not in self._placements:
            placement = None
            with contextlib.suppress(InvalidInput):
                placement = place_layer(self.engine.runner, self._x, layer, TokenOptions(None, None))
            self._placements[id(layer)] = placement
        return self._placements[id(layer)]

    def in_parts(self, watch: Callable[[NDArray[np.float32]], None] | None = None) -> Iterator[dict[str, Attribution]]:
        """The same some rows at a time, in order, for what is added up: a large probe's attributions are never all there.

        Args:
            watch: gets the outputs (n, K) of these rows.
        """
        parts = self.engine.in_parts(self._x, self.baseline, self._resolved_target(), watch)
        return (self._with_kind(part) for part in parts)

    def _resolved_target(self) -> NDArray[np.int64]:
        """The targets of the probe's rows, as the engine takes it; of a dense output with the regions of the moment."""
        if self.dense is not None:
            chosen = self.dense.targets(self._x, self.probe.y, self.target, self.probe.class_names)
            self.target = chosen[:, 0]
            return chosen
        if self.target is None:
            # Close scores may round to another class in another process, and all explain one.
            self.target = present_team().agreed(self.task.explained(self.engine.runner.outputs(self._x)))
        return self.target

    def rows_in_parts(self, probe: Probe) -> Iterator[dict[str, Attribution]]:
        """Explain other rows of the same shape for their own classes, some at a time."""
        x = prepare_inputs(self._model, probe.inputs, probe.x)
        target = self._target(probe)
        if self.dense is not None:
            target = self.dense.targets(x, probe.y, target, self.probe.class_names)
        if target is None:
            target = present_team().agreed(self.task.explained(self.engine.runner.outputs(x)))
        return (self._with_kind(part) for part in self.engine.in_parts(x, self._baseline_of(x), target))

    def _baseline_of(self, x: list[Samples]) -> list[NDArray[Any]]:
        """Of the probe's rows, or of others: other rows, the default, or what the probe's first row has."""
        if self._exchanged:
            return _other_rows(x)
        if self._default is not None:
            return self._default.rows(x)
        baseline = broadcast_baseline(self.probe.baseline, self._x, self.probe.x)
        if x is self._x:
            return baseline
        return [np.broadcast_to(b[:1], a.shape) for a, b in zip(x, baseline, strict=True)]

    def magnitudes_now(self) -> dict[str, NDArray[np.float64]]:
        """(F) of each method the mean |attribution| in the probe's features; predicted classes are not kept for it."""
        target = self._placeholder(self.probe.size) if self.target is None or self.dense is not None else self.target
        totals: dict[str, NDArray[np.float64]] = {}
        begin = 0
        for part in self.engine.in_parts(self._x, self.baseline, target):
            end = begin + len(next(iter(part.values())).score)
            rows = [np.asarray(a)[begin:end] for a in self.probe.inputs]
            begin = end
            for name, attribution in part.items():
                totals[name] = totals.get(name, 0.0) + self.probe.pooled(attribution.values, np.abs, rows).sum(0)
        return {name: total / self.probe.size for name, total in totals.items()}

    def _with_kind(self, attributions: Mapping[str, Attribution]) -> dict[str, Attribution]:
        return {name: dataclasses.replace(a, kind=self.probe.kind) for name, a in attributions.items()}

    def _target(self, probe: Probe) -> NDArray[np.int64] | None:
        """(B,) the class or column to explain, None where it is to be predicted."""
        target = self._requested_target(probe)
        if self.dense is not None:
            requested = wanted_classes(self.dense.spec, target, self.task, probe.size, self.probe.class_names)
            regions = self.labelled_regions(probe) if requested is None else None
            return requested if regions is None else regions.target
        classes = self.classes_of(probe) if target is None else None
        return resolve_target(target, self.task, probe.size, classes, self.probe.class_names)

    def _requested_target(self, probe: Probe) -> Any:
        """The target that is asked for of rows; other rows than the probe's are explained for the same one."""
        is_for_each = isinstance(self.probe.target, np.ndarray) and self.probe.target.ndim > 0
        return self.probe.target if probe.target is None and not is_for_each else probe.target


def first_rows(attribution: Attribution, size: int) -> Attribution:
    """Return the attributions of the first rows."""

    def cut(values: NDArray[Any] | None) -> NDArray[Any] | None:
        return None if values is None else values[:size]

    return dataclasses.replace(
        attribution,
        values=map_leaves(cut, attribution.values),
        target=attribution.target[:size],
        score=attribution.score[:size],
        baseline_score=cut(attribution.baseline_score),
        prediction=attribution.prediction[:size],
        completeness_error=cut(attribution.completeness_error),
        outputs=cut(attribution.outputs),
        r2=cut(attribution.r2),
        quadrature_error=cut(attribution.quadrature_error),
    )


def _other_rows(x: list[Samples]) -> list[NDArray[Any]]:
    """For each row another one, the same at every call."""
    order = np.random.default_rng(0).permutation(len(x[0]))
    return [np.asarray(a[order]) for a in x]


def passes_of(explainer: ProbeExplainer) -> float:
    """Passes over each row that the methods of an explainer take together, forwards and backwards."""
    return float(sum(method.passes(explainer.probe) for method in explainer.engine.methods.values()))


def is_built(model: keras.Model, probe: Probe) -> bool:
    """True where there is something to explain: a built model, or the built parts that the probe's own output is made of."""
    if model.built or not callable(probe.output):
        return bool(model.built)
    layers = iter_layers(model)
    return bool(layers) and all(layer.built for layer in layers)


def check_built(model: keras.Model, probe: Probe) -> None:
    """Refuse a probe of which there is nothing to explain.

    A model that its own training does not build would be built by our call, and
    get weights that it has not without us.

    Raises:
        InvalidInput: it is not built, and the probe's output is not a function of its own.
    """
    if not model.built and not callable(probe.output):
        raise InvalidInput(
            f"The model {model.name!r} is not built by its own training step, which does not call it as a whole: say what is"
            f" to be explained with output= a callable(model, x) that returns scores (n, K) by the parts that are trained."
        )
