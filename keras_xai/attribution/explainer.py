"""A probe and a model, made ready to be explained again every epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.engine import Engine, baseline_rows, check_fit, default_rows, smooth
from keras_xai.attribution.method import Method, every_layer
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
        self.probe = probe
        self._model = model
        check_built(model, probe)
        check_fit(model, probe.inputs, probe.x)
        self._x = smooth(model, probe.inputs, probe.x)
        ready = {name: method.for_probe(probe) for name, method in methods.items()}
        self.engine = Engine(model, ready, probe.x, probe.output, jit=jit_compile)
        try:
            outputs = self.engine.outputs([a[: self.engine.chunk] for a in self._x])
        except InvalidInput:
            raise
        except Exception as error:
            shapes = ", ".join(str(a.shape) for a in self._x)
            raise InvalidInput(f"The model does not take the probe of shape {shapes}: {cause(error)}") from error
        self.width = 1 if outputs.ndim == 1 else outputs.shape[1]
        self.baseline = baseline_rows(probe.baseline, self._x, default_rows(model, self._x, probe))
        self.target: NDArray[np.int64] | None = self._target(probe)
        target = np.zeros(probe.size, np.int64) if self.target is None else self.target
        self.engine.prepare(self._x, self.baseline, target)

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
            outputs = self.engine.outputs(self._x)
            self.target = outputs.argmax(1).astype(np.int64)
        return self.target

    def rows_in_parts(self, probe: Probe) -> Iterator[dict[str, Attribution]]:
        """Explain other rows of the same shape for their own classes, some at a time."""
        x = smooth(self._model, probe.inputs, probe.x)
        target = self._target(probe)
        if target is None:
            target = self.engine.outputs(x).argmax(1).astype(np.int64)
        baseline = [np.broadcast_to(b[:1], a.shape) for a, b in zip(x, self.baseline, strict=True)]
        return (self._kind(part) for part in self.engine.in_parts(x, baseline, target))

    def _kind(self, found: Mapping[str, Attribution]) -> dict[str, Attribution]:
        return {name: dataclasses.replace(a, kind=self.probe.kind) for name, a in found.items()}

    def _target(self, probe: Probe) -> NDArray[np.int64] | None:
        """(B,) the class to explain, None where it is to be predicted."""
        if self.width == 1:
            if probe.target is not None and probe.target.max() > 1:
                raise InvalidInput(f"target holds the class {probe.target.max()}, the model has one output.")
            return np.zeros(probe.size, np.int64)
        classes: Any = probe.target if probe.target is not None else probe.classes
        if classes is None and probe.y is not None and probe.y.size == probe.size:
            y = probe.y.reshape(-1)  # classes written as floats, as many loaders give them
            classes = y.astype(np.int64) if np.equal(y, np.round(y)).all() else None
        if classes is None:
            return None
        if classes.max() >= self.width:
            word = "target" if probe.target is not None else "y"
            raise InvalidInput(
                f"{word} holds the class {classes.max()}, the model's output has {self.width} classes (0 to {self.width - 1})."
            )
        return np.broadcast_to(classes, (probe.size,)).astype(np.int64)


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
