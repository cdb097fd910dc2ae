"""A network, and the passes of it that each attribution method cannot do without, run by themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_xai.attribution import METHODS
from keras_xai.backend import get_backend
from keras_xai.model.scores import ScoreFunction

OPTIONS: dict[str, dict[str, Any]] = {
    "integrated_gradients": {"n_steps": 32},
    "expected_gradients": {"n_steps": 32},
    "smoothgrad": {"n_samples": 32},
    "internal_influence": {"layer": "last_conv", "n_steps": 16},
    "occlusion": {"window": 4},
    "rise": {"n_samples": 256},
    "lime": {"n_samples": 256},
    "kernel_shap": {"n_samples": 256},
}
CHANNELS = 64  # of the last convolution


# (forward; both ways; both ways from the last convolution on), how many, rows in each
Passes = list[tuple[str, int, int]]


def passes(method: str, rows: int) -> Passes:
    """The passes of the model that a method cannot do without for `rows` samples in one chunk."""
    if method in ("occlusion", "score_cam", "rise", "lime", "kernel_shap"):
        ends = 2 if METHODS[method].satisfies_completeness else 1  # the sample itself, and its baseline
        return [("forward", {"occlusion": 64, "score_cam": CHANNELS}.get(method, 256) + ends, rows)]
    if method == "deeplift":
        return [("both", 1, rows), ("forward", 1, rows)]  # of the baselines
    if method == "lrp":
        return [("both", 2, rows)]  # convolutions, which are nearly all there is, have a second one of magnitudes
    if method in ("integrated_gradients", "expected_gradients", "smoothgrad"):
        return [("both", 32, rows), ("forward", 2 if METHODS[method].satisfies_completeness else 1, rows)]
    if method == "internal_influence":
        return [("layer", 16, rows), ("forward", 1, rows)]
    return [("layer" if not METHODS[method].input_shaped else "both", 1, rows)]


def network(activation: str | None = "softmax") -> keras.Model:
    """Five convolutions on 32 × 32 × 3."""
    layers = keras.layers
    stack: list[Any] = [keras.Input((32, 32, 3))]
    for filters in (16, 32):
        stack += [layers.Conv2D(filters, 3, padding="same", activation="relu") for _ in range(2)]
        stack += [layers.MaxPooling2D()]
    stack += [layers.Conv2D(CHANNELS, 3, padding="same", activation="relu", name="last_conv"), layers.Flatten()]
    return keras.Sequential([*stack, layers.Dense(10, activation=activation)])


def floor(model: keras.Model, x: np.ndarray, model_passes: Passes) -> Callable[[], Any]:
    """Those passes and nothing else, in one compiled function."""
    backend, score_function = get_backend(), ScoreFunction(model, x)
    *_, last, flatten, dense = model.layers
    to_layer = keras.Model(model.inputs, last.output)

    def logits(activation: Any, target: Any) -> Any:
        h = keras.ops.matmul(flatten(activation), dense.kernel) + dense.bias
        return backend.take_target(h, target)

    def looped(samples: Any, kind: str, count: int, size: int) -> Any:
        rows = samples if size == len(x) else backend.constant(np.resize(x, (size, *x.shape[1:])))
        target = backend.constant(np.ones(size, np.int32))
        shape = {"forward": (size,), "both": rows.shape, "layer": (size, *last.output.shape[1:])}[kind]

        def add_pass(k: Any, total: list[Any]) -> list[Any]:
            # The input moves a little, so that no compiler takes the pass out of the loop.
            z = [rows + keras.ops.cast(k, "float32") * 1e-6]
            ask = lambda z: backend.take_target(score_function.logits(z).scores, target)  # noqa: E731
            if kind == "forward":
                return [total[0] + ask(z)]
            if kind == "both":
                return [total[0] + backend.gradient(ask, z)[1][0]]
            activation = to_layer(z[0])
            slope = backend.gradient(lambda a: logits(a[0], target), [activation])[1][0]
            return [total[0] + slope * activation]  # which no method does without

        return backend.fori_loop(add_pass, count, [keras.ops.zeros(shape)])[0]

    run = backend.compiled(lambda samples: [looped(samples, *loop) for loop in model_passes])
    return lambda: [np.array(backend.numpy(value)) for value in run(backend.constant(x))]
