"""From samples to the whole: which features a model relies on."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution import METHODS
from keras_xai.attribution.engine import Engine, attribute
from keras_xai.backend import chosen
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
        The method's passes over the probe; permutation F × n_repeats forward passes, in a graph that is traced at each call.

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
    generator = np.random.default_rng(seed)
    orders = np.stack([generator.permutation(probe.size) for _ in range(n_repeats)]).astype(np.int32)
    return _Losses(model, probe, orders, probe.feature_masks()).increases().mean(1)


class _Losses(Engine):
    """The loss of the rows as they are, then with each feature's entries in each of `orders` (R, B): (1 + F·R).

    All in one graph: calling it, and a loss outside, would cost more than the pass of a small model does.
    """

    def __init__(
        self, model: keras.Model, probe: Probe, orders: NDArray[np.int32], masks: list[list[NDArray[np.bool_]]]
    ) -> None:
        super().__init__(model, {}, probe.x, probe.output)
        self._probe, self._orders = probe, orders
        self._owners = [_owners(parts) for parts in zip(*masks, strict=True)]
        # Feature −1 owns nothing: the rows as they are.
        self._copies = np.asarray([(-1, 0), *np.ndindex(len(masks), len(orders))], np.int32)
        self._loss = keras.losses.get(model.loss)
        self._lost = chosen().compiled(self._graph)

    def increases(self) -> NDArray[np.float64]:
        """(F, R) over the loss of the rows as they are."""
        lost = self._ask(self._copies)
        if chosen().writes(self._lost):
            # A dropout that is always on: asked one by one all see the same draws, and only the shuffling makes a difference.
            lost = np.concatenate([self._ask(copy[None]) for copy in self._copies])
        return lost[1:].reshape(-1, len(self._orders)) - lost[0]

    def _ask(self, copies: NDArray[np.int32]) -> NDArray[np.float64]:
        backend = chosen()
        x = [backend.constant(a.astype(np.float32) if a.dtype.kind == "f" else a) for a in self._probe.inputs]
        with self._untouched(self._lost):
            lost = self._lost(x, backend.constant(self._probe.y), *(backend.constant(part) for part in copies.T))
        return np.asarray(backend.numpy(lost), np.float64)

    def _graph(self, x: list[Any], y: Any, features: Any, numbers: Any) -> Any:
        ops, backend, size = keras.ops, chosen(), self._probe.size
        orders, owners = backend.constant(self._orders), [backend.constant(owner) for owner in self._owners]
        chunks = np.asarray(self._chunks(size), np.int32)

        def said(rows: list[Any], others: list[Any], feature: Any) -> Any:
            mixed = [ops.where(own[None] == feature, b, a) for own, a, b in zip(owners, rows, others, strict=True)]
            return ops.cast(self.question.outputs(mixed), "float32")

        def one_copy(k: Any) -> Any:
            feature, order = features[k], orders[numbers[k]]

            def one_chunk(chunk: Any) -> Any:
                rows = backend.constant(chunks)[chunk]
                others = ops.take(order, rows)
                return said([ops.take(a, rows, 0) for a in x], [ops.take(a, others, 0) for a in x], feature)

            if len(chunks) == 1:
                parts = said(x, [ops.take(a, order, 0) for a in x], feature)[None]
            else:
                parts = backend.mapped(one_chunk, len(chunks))
            outputs = ops.reshape(parts, (-1, *parts.shape[2:]))[:size]
            if outputs.shape[1:] == (1,) and len(y.shape) == 1:
                outputs = outputs[:, 0]
            return ops.mean(self._loss(y, outputs))

        return backend.mapped(one_copy, features.shape[0])


def _owners(masks: tuple[NDArray[np.bool_], ...]) -> NDArray[np.int32]:
    """Which feature each entry of an input belongs to, in the shape of a sample; −2 where none."""
    owners = np.full(masks[0].shape, -2, np.int32)
    for feature, mask in enumerate(masks):
        owners[mask] = feature
    return owners


def _sign(values: NDArray[np.float64]) -> NDArray[np.int8]:
    """−1, 0 or 1; 0 for NaN."""
    return np.sign(np.nan_to_num(values)).astype(np.int8)


def _each(values: Any, function: Any) -> Any:
    if isinstance(values, dict):
        return {k: function(v) for k, v in values.items()}
    return [function(v) for v in values] if isinstance(values, list) else function(values)
