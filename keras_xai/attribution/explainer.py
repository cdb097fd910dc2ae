"""A probe and a model, made ready to be explained again every epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.engine import Engine, baseline_rows, check_fit, default_rows, smooth
from keras_xai.attribution.fitting import settled
from keras_xai.attribution.method import Method, every_layer
from keras_xai.attribution.task import Task, resolve_target, true_classes
from keras_xai.errors import InvalidInput, cause
from keras_xai.probe import Probe
from keras_xai.records import Attribution


class Explainer:
    """Explains the rows of one probe, and others of the same shape, by the same methods with the model's live weights.

    Args:
        model: a built Keras model.
        probe: its kind, output, target, baseline and structure hold for all rows that are explained.
        methods: by name.
        jit_compile: compile with XLA.

    Raises:
        InvalidInput: samples or labels that do not fit the model, with both shapes.
    """

    def __init__(
        self, model: keras.Model, probe: Probe, methods: Mapping[str, Method], jit_compile: bool = False
    ) -> None:
        self.probe = probe = settled(model, probe)
        self._model = model
        check_built(model, probe)
        check_fit(model, probe.inputs, probe.x)
        self._x = smooth(model, probe.inputs, probe.x)
        ready = {name: method.for_probe(probe) for name, method in methods.items()}
        self.engine = Engine(model, ready, probe.x, probe.output, jit=jit_compile)
        self.task = self._settled()
        self.probe = probe.with_classes(self.classes_of(probe))
        self.baseline = baseline_rows(probe.baseline, self._x, default_rows(model, self._x, probe))
        self.target: NDArray[np.int64] | None = self._target(probe)
        target = np.zeros(probe.size, np.int64) if self.target is None else self.target
        self.engine.prepare(self._x, self.baseline, target)

    def _settled(self) -> Task:
        try:
            return self.engine.settle(self._x, self.probe.y, named=self.probe.class_names is not None)
        except InvalidInput:
            raise
        except Exception as error:
            shapes = ", ".join(str(a.shape) for a in self._x)
            raise InvalidInput(f"The model does not take the probe of shape {shapes}: {cause(error)}") from error

    def classes_of(self, probe: Probe) -> NDArray[np.int64] | None:
        """(B,) the true classes of labelled rows; None without labels, or where the outputs are labels or numbers."""
        if probe.y is None:
            return None
        return true_classes(probe.y, self.task, self.probe.class_names, self.probe.output)

    def prepare_rows(self, probe: Probe) -> None:
        """Trace what other rows of the same shape take.

        Raises:
            InvalidInput: rows that do not fit the model.
        """
        x = smooth(self._model, probe.inputs, probe.x)
        baseline = [np.broadcast_to(b[:1], a.shape) for a, b in zip(x, self.baseline, strict=True)]
        self._target(probe)
        self.engine.prepare(x, baseline, np.zeros(probe.size, np.int64))

    def __call__(self) -> dict[str, Attribution]:
        """Explain the probe. Without labels the classes predicted at the first call are kept."""
        return self._kind(self.engine(self._x, self.baseline, self._kept_target()))

    def in_parts(self) -> Iterator[dict[str, Attribution]]:
        """The same some rows at a time, in order, for what is added up: a large probe's attributions are never all there."""
        parts = self.engine.in_parts(self._x, self.baseline, self._kept_target())
        return (self._kind(part) for part in parts)

    def _kept_target(self) -> NDArray[np.int64]:
        if self.target is None:
            self.target = self.task.explained(self.engine.outputs(self._x))
        return self.target

    def rows_in_parts(self, probe: Probe) -> Iterator[dict[str, Attribution]]:
        """Explain other rows of the same shape for their own classes, some at a time."""
        x = smooth(self._model, probe.inputs, probe.x)
        target = self._target(probe)
        if target is None:
            target = self.task.explained(self.engine.outputs(x))
        baseline = [np.broadcast_to(b[:1], a.shape) for a, b in zip(x, self.baseline, strict=True)]
        return (self._kind(part) for part in self.engine.in_parts(x, baseline, target))

    def _kind(self, found: Mapping[str, Attribution]) -> dict[str, Attribution]:
        return {name: dataclasses.replace(a, kind=self.probe.kind) for name, a in found.items()}

    def _target(self, probe: Probe) -> NDArray[np.int64] | None:
        """(B,) the class or column to explain, None where it is to be predicted."""
        true = self.classes_of(probe) if probe.target is None else None
        return resolve_target(probe.target, self.task, probe.size, true, self.probe.class_names)


def is_built(model: keras.Model, probe: Probe) -> bool:
    """Whether there is something to explain: a built model, or the built parts that the probe's own output is made of."""
    if model.built or not callable(probe.output):
        return bool(model.built)
    layers = every_layer(model)
    return bool(layers) and all(layer.built for layer in layers)


def check_built(model: keras.Model, probe: Probe) -> None:
    """That there is something to explain. A model that its own training does not build would be built by our call, and
    get weights that it has not without us.

    Raises:
        InvalidInput: it is not built, and the probe's output is not a function of its own.
    """
    if not model.built and not callable(probe.output):
        raise InvalidInput(
            f"The model {model.name!r} is not built by its own training step, which does not call it as a whole: say what is"
            f" to be explained with output= a callable(model, x) that returns scores (n, K) by the parts that are trained."
        )
