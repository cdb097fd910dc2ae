"""From samples to the whole: which features a model relies on."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution import METHODS
from keras_xai.attribution.engine import Engine, attribute
from keras_xai.errors import InvalidInput, unknown
from keras_xai.probe import Probe
from keras_xai.records import Attribution


def global_importance(found: Attribution, probe: Probe) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Mean |attribution| (F) over the samples in the probe's `features`, and the sign (F) of the mean signed one."""
    values = found.values
    magnitude = probe.pooled(_each(values, np.abs)).mean(0)
    return magnitude, _sign(probe.pooled(values).mean(0))


def class_importance(
    found: Attribution, probe: Probe, classes: NDArray[np.int64] | None, wanted: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """`global_importance` of each wanted class by itself, one after the other (K·F); zero for a class without rows."""
    values = found.values
    magnitude, signed = probe.pooled(_each(values, np.abs)), probe.pooled(values)
    nothing = np.zeros(magnitude.shape[1])
    rows = [np.flatnonzero(classes == c) if classes is not None else np.zeros(0, int) for c in wanted]
    parts = [(magnitude[r].mean(0), signed[r].mean(0)) if r.size else (nothing, nothing) for r in rows]
    return np.concatenate([m for m, _ in parts]), _sign(np.concatenate([s for _, s in parts]))


def importance(
    model: keras.Model, probe: Any, method: str = "saliency", *, seed: int = 0, n_repeats: int = 5, **options: Any
) -> tuple[list[str], NDArray[np.float64]]:
    """What a model relies on over a whole probe.

    With an attribution method the mean |attribution| of each feature: columns of a table or their groups, cells of an
    image (at most 16 × 16), sensor channels, token positions; in the method's own units, not normalised. With
    "permutation" the increase of the model's loss when a feature's rows are shuffled (Breiman 2001), the mean over
    `n_repeats`; it needs labels and a compiled model.

    Args:
        model: a built Keras model.
        probe: a `Probe`, or what makes one.
        method: one of `METHODS` with values in the shape of the input, or "permutation".
        seed: of the permutations, and of methods that draw.
        n_repeats: shuffles a feature.
        **options: of the method.

    Returns:
        (names, values): F names and (F,) float64.

    Raises:
        InvalidInput: unknown methods, permutation without labels or without a loss.

    Cost:
        The method's passes over the probe; permutation F × n_repeats forward passes.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.set_weights([np.array([[3.0], [0.0]], "float32")])
        >>> names, values = importance(model, np.ones((4, 2), "float32"))
        >>> names, values.tolist()
        (['column 0', 'column 1'], [3.0, 0.0])
    """
    probe = Probe.of(probe)
    if method == "permutation":
        return list(probe.features), _permutation(model, probe, seed, n_repeats)
    if method not in METHODS:
        raise unknown("importance method", method, [*METHODS, "permutation"])
    if not METHODS[method].on_input:
        raise InvalidInput(
            f"{method} gives a map of its own resolution: it has no importance of features; take saliency."
        )
    found = attribute(model, probe, method, seed=seed, verbose=False, **options)
    return list(probe.features), global_importance(found, probe)[0]


def _permutation(model: keras.Model, probe: Probe, seed: int, n_repeats: int) -> NDArray[np.float64]:
    if probe.y is None:
        raise InvalidInput("Permutation importance measures the loss: the probe needs y.")
    if getattr(model, "loss", None) is None or callable(probe.output) or isinstance(model.loss, (dict, list, tuple)):
        raise InvalidInput(
            "Permutation importance measures the loss: the model must be compiled with one, for one output."
        )
    loss = keras.losses.get(model.loss)
    x = [a.astype(np.float32) if a.dtype.kind == "f" else a for a in probe.inputs]
    engine = Engine(model, {}, probe.x, probe.output)

    def lost(inputs: list[NDArray[Any]]) -> float:
        outputs = engine.outputs(inputs)
        if outputs.ndim == 2 and outputs.shape[1] == 1 and probe.y is not None and probe.y.ndim == 1:
            outputs = outputs[:, 0]
        return float(np.mean(keras.ops.convert_to_numpy(loss(probe.y, outputs))))

    plain, generator = lost(x), np.random.default_rng(seed)
    orders = [generator.permutation(probe.size) for _ in range(n_repeats)]
    increase = []
    for masks in probe.feature_masks():
        shuffled = [[np.where(mask[None], a[order], a) for a, mask in zip(x, masks, strict=True)] for order in orders]
        increase.append(np.mean([lost(inputs) for inputs in shuffled]) - plain)
    return np.asarray(increase, np.float64)


def _sign(values: NDArray[np.float64]) -> NDArray[np.int8]:
    """−1, 0 or 1; 0 for NaN."""
    return np.sign(np.nan_to_num(values)).astype(np.int8)


def _each(values: Any, function: Any) -> Any:
    if isinstance(values, dict):
        return {k: function(v) for k, v in values.items()}
    return [function(v) for v in values] if isinstance(values, list) else function(values)
