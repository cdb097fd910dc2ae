"""From samples to the whole: which features a model relies on."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution import METHODS
from keras_xai.attribution.engine import Engine, explained
from keras_xai.attribution.fitting import settled
from keras_xai.attribution.method import NoPath
from keras_xai.attribution.whole import can_exchange, measuring, not_asked
from keras_xai.backend import get_backend
from keras_xai.errors import InvalidInput, unknown
from keras_xai.probe import Probe
from keras_xai.records import Attribution


class PooledRows(NamedTuple):
    """What attributions come to in a probe's `features`, sample by sample."""

    magnitude: NDArray[np.float64]  # (B, F) Σ|attribution| over what belongs together
    signed: NDArray[np.float64]  # (B, F) Σ attribution

    @classmethod
    def of(cls, parts: Iterable[Attribution], probe: Probe, rows: Probe | None = None) -> PooledRows:
        """Of attributions that come some rows at a time, in order; none of them is kept.

        Args:
            parts: attributions of `rows`.
            probe: whose features they come to.
            rows: the samples that are explained; default the probe's own.
        """
        inputs, begin, pooled = (rows or probe).inputs, 0, []
        for part in parts:
            size = _size(part.values)
            samples = [array[begin : begin + size] for array in inputs]
            pooled.append((probe.pooled(part.values, np.abs, samples), probe.pooled(part.values, samples=samples)))
            begin += size
        magnitude, signed = zip(*pooled, strict=True)
        return cls(np.concatenate(magnitude), np.concatenate(signed))

    def mean(self) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
        """Mean magnitude (F), and the sign (F) of the mean signed one."""
        return self.magnitude.mean(0), _sign(self.signed.mean(0))

    def mean_of_classes(
        self, classes: NDArray[np.int64] | None, wanted: tuple[int, ...]
    ) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
        """`mean` of each wanted class by itself, one after the other (K·F); zero for a class without rows."""
        nothing = np.zeros(self.magnitude.shape[1])
        rows = [np.flatnonzero(classes == c) if classes is not None else np.zeros(0, int) for c in wanted]
        means = [(self.magnitude[r].mean(0), self.signed[r].mean(0)) if r.size else (nothing, nothing) for r in rows]
        return np.concatenate([m for m, _ in means]), _sign(np.concatenate([signed for _, signed in means]))


def global_importance(found: Attribution, probe: Probe) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Mean |attribution| (F) over the samples in the probe's `features`, and the sign (F) of the mean signed one."""
    return PooledRows.of([found], probe).mean()


def class_importance(
    found: Attribution, probe: Probe, classes: NDArray[np.int64] | None, wanted: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """`global_importance` of each wanted class by itself, one after the other (K·F); zero for a class without rows."""
    return PooledRows.of([found], probe).mean_of_classes(classes, wanted)


def importance(
    model: keras.Model, probe: Any, method: str = "saliency", *, seed: int = 0, n_repeats: int = 5, **options: Any
) -> tuple[list[str], NDArray[np.float64]]:
    """What a model relies on over a whole probe.

    With an attribution method the mean |attribution| of each feature: columns of a table or their groups, cells of an
    image (at most 16 × 16), sensor channels, words; in the method's own units, not normalised. With
    "permutation" the increase of the model's loss when a feature's rows are shuffled (Breiman 2001), the mean over
    `n_repeats`; it needs labels and a compiled model, and takes tokens by their position.

    A table with a column that no gradient reaches (categories, integers into a lookup) is measured whole by exchange, said in
    a warning: the mean |score| that moves when a column takes another row's values. Of other kinds such an input is NaN.

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
        The method's passes over the probe; permutation F × n_repeats forward passes, of a graph that is traced at each call.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.set_weights([np.array([[3.0], [0.0]], "float32")])
        >>> names, values = importance(model, np.ones((4, 2), "float32"))
        >>> names, values.tolist()
        (['column 0', 'column 1'], [3.0, 0.0])
    """
    probe = settled(model, Probe.of(probe))
    if method == "permutation":
        return list(probe.feature_map.entry_names), _permutation(model, probe, seed, n_repeats)
    if method not in METHODS:
        raise unknown("importance method", method, [*METHODS, "permutation"])
    if not METHODS[method].on_input:
        raise InvalidInput(
            f"{method} gives a map of its own resolution: it has no importance of features; take saliency."
        )
    try:
        found, held = explained(model, probe, method, seed=seed, options=options)
    except NoPath:
        if not can_exchange(probe):
            raise
        return list(probe.features), _by_exchange(model, probe, method)
    values = global_importance(found, probe)[0]
    if can_exchange(probe) and METHODS[method].differentiates and (held or not values.all()):
        return list(probe.features), _by_exchange(model, probe, method, values)
    unmeasured = probe.feature_map.in_inputs(held)
    if notice := not_asked(probe, unmeasured):
        warnings.warn(notice, stacklevel=2)
    return list(probe.features), np.where(unmeasured, np.nan, values)


def _by_exchange(
    model: keras.Model, probe: Probe, method: str, values: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Of a table in which a gradient misses features: of all by exchange, or `values` where none of them is in use."""
    whole = measuring(model, probe, method, METHODS[method]())
    if whole.method == method and values is not None:
        return values
    warnings.warn(whole.notice, stacklevel=3)
    parts = (part[whole.method] for part in whole.explainer.in_parts())
    return PooledRows.of(parts, probe).mean()[0]


def _permutation(model: keras.Model, probe: Probe, seed: int, n_repeats: int) -> NDArray[np.float64]:
    if probe.y is None:
        raise InvalidInput("Permutation importance measures the loss: the probe needs y.")
    if getattr(model, "loss", None) is None or callable(probe.output) or isinstance(model.loss, (dict, list, tuple)):
        raise InvalidInput(
            "Permutation importance measures the loss: the model must be compiled with one, for one output."
        )
    generator = np.random.default_rng(seed)
    orders = np.stack([generator.permutation(probe.size) for _ in range(n_repeats)]).astype(np.int32)
    return _Losses(model, probe, orders, probe.feature_map.masks()).increases().mean(1)


class _Losses(Engine):
    """The loss of the rows as they are, then with each feature's entries in each of `orders` (R, B).

    The rows of all copies stand in one line, of which a pass takes as many as it holds, whatever copies they belong to. A loop
    inside the graph would take ten times as long to trace as a small model takes to answer.
    """

    def __init__(
        self, model: keras.Model, probe: Probe, orders: NDArray[np.int32], masks: list[list[NDArray[np.bool_]]]
    ) -> None:
        super().__init__(model, {}, probe.x, probe.output)
        self._orders, self._features = orders, len(masks)
        self._x = [a.astype(np.float32) if a.dtype.kind == "f" else a for a in probe.inputs]
        self._y = np.asarray(probe.y)
        self._owners = [_owners(parts) for parts in zip(*masks, strict=True)]
        self._loss = keras.losses.get(model.loss)

    def increases(self) -> NDArray[np.float64]:
        """(F, R) over the loss of the rows as they are."""
        number, size = self._orders.shape
        # Feature −1 owns nothing: the rows as they are.
        features = np.repeat(np.asarray([-1, *np.repeat(np.arange(self._features), number)], np.int32), size)
        own = np.tile(np.arange(size, dtype=np.int32), len(features) // size)
        other = np.concatenate([own[:size], np.tile(self._orders.reshape(-1), self._features)])
        said = self._said(features, own, other)
        if self._forward.has_side_effects:
            # A dropout that is always on: asked one by one all see the same draws, and only the shuffling makes a difference.
            copies = (slice(k, k + size) for k in range(0, len(features), size))
            said = np.concatenate([self._said(features[copy], own[copy], other[copy]) for copy in copies])
        lost = self._losses(said)
        return lost[1:].reshape(self._features, number) - lost[0]

    def _said(
        self, features: NDArray[np.int32], own: NDArray[np.int32], other: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """(M, ...) what the model says of M rows, each with the entries of a feature that another row has."""
        parts = []
        for rows in self._chunks(len(own)):
            feature = features[rows]
            mixed = [
                np.where(owner == feature.reshape(-1, *[1] * owner.ndim), a[other[rows]], a[own[rows]])
                for a, owner in zip(self._x, self._owners, strict=True)
            ]
            parts.append(self.outputs(mixed))
        return np.concatenate(parts)[: len(own)]

    def _losses(self, said: NDArray[np.float32]) -> NDArray[np.float64]:
        """(1 + F·R) of each copy's outputs. All at once where a loss of Keras' own tells rows apart, else one by one."""
        size, loss = len(self._y), self._loss
        # As `fit` has them: labels of one unit stand in a column, as its outputs do.
        labels = self._y[:, None] if said.shape[1:] == (1,) and self._y.ndim == 1 else self._y
        known = type(loss) if isinstance(loss, keras.losses.Loss) else loss
        if known.__module__.startswith("keras."):
            y = np.tile(labels, (len(said) // size, *[1] * (labels.ndim - 1)))
            rows = get_backend().numpy(getattr(loss, "call", loss)(_tensor(y), _tensor(said)))
            if rows.shape[:1] == said.shape[:1]:
                rows = rows.reshape(len(said) // size, -1).astype(np.float64)
                return np.asarray(rows.sum(1) if getattr(loss, "reduction", "") == "sum" else rows.mean(1))
        one = get_backend().compiled(lambda y, outputs: keras.ops.mean(loss(y, outputs)))
        return np.asarray([one(labels, said[k : k + size]) for k in range(0, len(said), size)], np.float64)


def _tensor(array: NDArray[Any]) -> Any:
    return keras.ops.cast(array, "float32")


def _owners(masks: tuple[NDArray[np.bool_], ...]) -> NDArray[np.int32]:
    """Which feature each entry of an input belongs to, in the shape of a sample; −2 where none."""
    owners = np.full(masks[0].shape, -2, np.int32)
    for feature, mask in enumerate(masks):
        owners[mask] = feature
    return owners


def _size(values: Any) -> int:
    """How many samples the values of one or several inputs are of."""
    first = next(iter(values.values())) if isinstance(values, Mapping) else values
    return len(first[0] if isinstance(first, list) else first)


def _sign(values: NDArray[np.float64]) -> NDArray[np.int8]:
    """−1, 0 or 1; 0 for NaN."""
    return np.sign(np.nan_to_num(values)).astype(np.int8)
