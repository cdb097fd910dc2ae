"""`kx.attribute`: a question about some samples, answered with the weights as they are."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai import tree
from keras_xai.attribution import METHODS
from keras_xai.attribution.completeness import (
    REFINED_ABOVE,
    incomplete,
    refined_method,
    sentence_on_incomplete,
)
from keras_xai.attribution.engine import Engine
from keras_xai.attribution.grad_cam import GradCam, Unrectified
from keras_xai.attribution.hires_cam import HiResCam
from keras_xai.attribution.method import Method, make_method
from keras_xai.attribution.progress import Progress
from keras_xai.attribution.question import Question
from keras_xai.errors import InvalidInput
from keras_xai.model.samples import take_rows
from keras_xai.model.scores import Output
from keras_xai.probe import Probe
from keras_xai.records import Attribution


def attribute(
    model: keras.Model,
    x: Any,
    method: str = "integrated_gradients",
    *,
    target: Any = None,
    output: Output = None,
    baseline: Any = None,
    seed: int = 0,
    verbose: bool | str = "auto",
    jit_compile: bool = False,
    **options: Any,
) -> Attribution:
    """Attribute the model's score to each part of x: the engine of the callbacks, after training.

    Args:
        model: a built Keras model: functional, Sequential or subclassed.
        x: (B, ...) samples as `fit` gets them: an array, a frame, a list or dict of such, or a `Probe`. Values come as the
            arrays that these are turned into, see `keras_xai.frames.as_arrays`.
        method: one of `keras_xai.attribution.METHODS`.
        target: the class or column to explain: an integer or a name, (B,) integers, or "sum" of several labels or numbers.
            Default the class that the model predicts (a `Probe`: its true class). Of one unit that says class 1 or not,
            class 0 is explained by the negative logit. Several numbers need one.
        output: which output of several, by name or index; a description of `keras_xai.outputs`, where the model says something
            at every pixel, step or box; or a callable(model, x) -> scores (B, K).
        baseline: one sample or (B, ...), finite: what "nothing" looks like. Default zero in the model's input space (of an
            input behind a Normalization the adapted mean; steps that a Masking skips stay skipped); for a `Probe` of a table
            its mean.
        seed: of the methods that draw; the global generators are neither read nor moved.
        verbose: a progress bar: True, False, or "auto" (where a call takes more than two seconds).
        jit_compile: compile with XLA, which takes seconds once: for long runs on models without convolutions.
        **options: of the method, see its class.

    Returns:
        An `Attribution`. Samples whose completeness error is above 1 % are run again with 64 steps; one that stays above 5 %
        is a warning.

    Raises:
        InvalidInput: unknown methods or options, shapes that do not fit, targets out of range: with name and shape; a
            Grad-CAM whose averages hide what its layer holds.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.set_weights([np.array([[1.0], [2.0], [-1.0]], "float32")])
        >>> attribute(model, np.ones((1, 3), "float32")).values.round(3).tolist()
        [[1.0, 2.0, -1.0]]
    """
    progress = Progress(verbose)
    attributor = Attributor(model, x, method, target, output, baseline, seed, jit_compile, options, progress)
    result, samples = attribute_completely(attributor, progress), attributor.samples
    return dataclasses.replace(result, samples=samples, kind="" if samples is None else samples.kind)


def attribute_completely(attributor: Attributor, progress: Progress | None = None) -> Attribution:
    """The attribution of all rows, with more steps for those that need them, and warnings of what stays wrong.

    Raises:
        InvalidInput: a Grad-CAM whose averages hide what its layer holds.
    """
    result, method = attributor(), attributor.method
    if attributor.side_effects:
        warnings.warn(attributor.side_effects, stacklevel=3)
    if type(method) is GradCam and not result.values.any():
        _check_averages(attributor, method, result)
    finer_method, rows = refined_method(method), incomplete(result, REFINED_ABOVE)
    if finer_method is not None and len(rows):
        result = merged(result, attributor.attribute_rows_with(finer_method, rows, progress), rows)
    if sentence := sentence_on_incomplete(method, result):
        warnings.warn(sentence, stacklevel=3)
    return result


def _check_averages(attributor: Attributor, method: GradCam, result: Attribution) -> None:
    """Refuse a Grad-CAM whose averages are zero where the layer's positions do lead to the score.

    Raises:
        InvalidInput: the gradient of each channel cancels out over the positions.
    """
    rows = np.arange(len(result.score))
    before_relu = attributor.attribute_rows_with(Unrectified(**method.layer_options), rows).values
    if not before_relu.any() and attributor.attribute_rows_with(HiResCam(**method.layer_options), rows).values.any():
        raise InvalidInput(
            "grad_cam is zero everywhere, though the places of the layer lead to the score: each channel's gradients, averaged "
            "over all places, cancel out. Take hires_cam or layer_cam, which weigh each place by itself."
        )


class Attributor:
    """One question about some samples, ready to be asked: again and again, where the weights move in between.

    The arguments are those of `attribute`, which checks them here; `warns_of_held`: warn of inputs that no gradient leads to.
    """

    def __init__(
        self,
        model: keras.Model,
        x: Any,
        method: str,
        target: Any = None,
        output: Output = None,
        baseline: Any = None,
        seed: int = 0,
        jit_compile: bool = False,
        options: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
        warns_of_held: bool = True,
    ) -> None:
        options = dict(options or {})
        if method in METHODS and "seed" in {f.name for f in dataclasses.fields(METHODS[method])}:
            options.setdefault("seed", seed)
        self.name, self.method = method, make_method(method, options, METHODS)
        question = Question(model, x, target, output, baseline, jit_compile)
        if question.probe is not None:
            self.method = self.method.for_probe(question.probe)
        self.method = self.method.for_inputs(question.inputs, question.like)
        self._question = question
        self._x, self._baseline, self._runner = question.inputs, question.baseline, question.runner
        self._warns_of_held = warns_of_held
        self._remarked: set[str] = set()  # by any of its engines
        self._engine = self._engine_with(self.method, progress)
        self.target = question.target

    def __call__(self) -> Attribution:
        """The attribution with the present weights."""
        return self._engine(self._x, self._baseline, self.target)[self.name]

    @property
    def samples(self) -> Probe | None:
        """The samples as a probe, with what is known of them; None where the model leaves a doubt of their kind."""
        return self._question.samples()

    @property
    def side_effects(self) -> str:
        """See `Engine.side_effects`."""
        return self._engine.side_effects

    @property
    def held_inputs(self) -> tuple[int, ...]:
        """See `Engine.held_inputs`."""
        return self._engine.held_inputs

    def attribute_rows_with(
        self, method: Method, rows: NDArray[np.integer[Any]], progress: Progress | None = None
    ) -> Attribution:
        """The attribution of some of the rows by another method."""
        engine = self._engine_with(method, progress)
        return engine(take_rows(self._x, rows), take_rows(self._baseline, rows), self.target[rows])[self.name]

    def _engine_with(self, method: Method, progress: Progress | None) -> Engine:
        return Engine(self._runner, {self.name: method}, progress, self._warns_of_held, remarked=self._remarked)


def merged(coarse: Attribution, fine: Attribution, rows: NDArray[np.integer[Any]]) -> Attribution:
    """`coarse` with the values and errors of `fine` in these rows."""

    def put(a: Any, b: Any) -> Any:
        a = a.copy()
        a[rows] = b
        return a

    values = [put(a, b) for a, b in zip(tree.leaves(coarse.values), tree.leaves(fine.values), strict=True)]
    quadrature_error = coarse.quadrature_error
    if quadrature_error is not None:
        quadrature_error = put(quadrature_error, fine.quadrature_error)
    return dataclasses.replace(
        coarse,
        values=tree.like(coarse.values, values),
        completeness_error=put(coarse.completeness_error, fine.completeness_error),
        quadrature_error=quadrature_error,
    )
