"""The importance of features: what a model relies on over all samples."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution import METHODS
from keras_xai.attribution.attributor import Attributor, attribute_completely
from keras_xai.attribution.batch import NoPath
from keras_xai.attribution.whole import can_exchange, measuring, not_asked
from keras_xai.backend import get_backend
from keras_xai.errors import InvalidInput, unknown
from keras_xai.model.fitting import fit_probe
from keras_xai.model.layers import find_layer, is_channels_first
from keras_xai.model.runner import ModelRunner
from keras_xai.probe import Probe
from keras_xai.records import Attribution
from keras_xai.tree import leaves

MAX_REASON = 200  # characters of a framework's error


class PooledRows(NamedTuple):
    """Attributions pooled to a probe's `features`, sample by sample."""

    magnitude: NDArray[np.float64]  # (B, F) Σ|attribution| over what belongs together
    signed: NDArray[np.float64]  # (B, F) Σ attribution

    @classmethod
    def of(cls, parts: Iterable[Attribution], probe: Probe, rows: Probe | None = None) -> PooledRows:
        """Pool attributions that come some rows at a time, in order; none of them is held.

        Args:
            parts: attributions of `rows`.
            probe: to whose features they are pooled.
            rows: the samples that are explained; default the probe's own.
        """
        inputs, begin, pooled = (rows or probe).inputs, 0, []
        for part in parts:
            size = len(leaves(part.values)[0])
            samples = [array[begin : begin + size] for array in inputs]
            pooled.append((probe.pooled(part.values, np.abs, samples), probe.pooled(part.values, samples=samples)))
            begin += size
        magnitude, signed = zip(*pooled, strict=True)
        return cls(np.concatenate(magnitude), np.concatenate(signed))

    def mean(self) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
        """Mean magnitude (F), and the sign (F) of the mean signed one."""
        return self.magnitude.mean(0), _sign(self.signed.mean(0))

    def mean_of_classes(
        self, classes: NDArray[np.int64] | None, selected: tuple[int, ...]
    ) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
        """`mean` of each selected class by itself, one after the other (K·F); zero for a class without rows."""
        magnitude = np.zeros((len(selected), self.magnitude.shape[1]))
        signed = np.zeros_like(magnitude)
        for k, label in enumerate(selected):
            rows = np.zeros(0, int) if classes is None else np.flatnonzero(classes == label)
            if rows.size:
                magnitude[k], signed[k] = self.magnitude[rows].mean(0), self.signed[rows].mean(0)
        return magnitude.reshape(-1), _sign(signed.reshape(-1))


def global_importance(attribution: Attribution, probe: Probe) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Mean |attribution| (F) over the samples in the probe's `features`, and the sign (F) of the mean signed one."""
    return PooledRows.of([attribution], probe).mean()


def class_importance(
    attribution: Attribution, probe: Probe, classes: NDArray[np.int64] | None, selected: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """`global_importance` of each selected class by itself, one after the other (K·F); zero for a class without rows."""
    return PooledRows.of([attribution], probe).mean_of_classes(classes, selected)


def importance(
    model: keras.Model, probe: Any, method: str = "saliency", *, seed: int = 0, n_repeats: int = 5, **options: Any
) -> tuple[list[str], NDArray[np.float64]]:
    """Measure what a model relies on over a whole probe.

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
        **options: of the method. With `layer` the units of that layer are measured in the place of features.

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
    probe = fit_probe(model, Probe.of(probe))
    if method == "permutation":
        return list(probe.feature_map.entry_names), _permutation(model, probe, seed, n_repeats)
    if method not in METHODS:
        raise unknown("importance method", method, [*METHODS, "permutation"])
    if options.get("layer"):
        return _of_units(attribute_completely(Attributor(model, probe, method, seed=seed, options=options)), model)
    if not METHODS[method].input_shaped:
        raise InvalidInput(
            f"{method} gives a map of its own resolution: it has no importance of features; take saliency."
        )
    try:
        attributor = Attributor(model, probe, method, seed=seed, options=options, warns_of_held=False)
        attribution = attribute_completely(attributor)
    except NoPath:
        if not can_exchange(probe):
            raise
        return list(probe.features), _by_exchange(model, probe, method)
    values, held = global_importance(attribution, probe)[0], attributor.held_inputs
    if can_exchange(probe) and METHODS[method].needs_gradient and (held or not values.all()):
        return list(probe.features), _by_exchange(model, probe, method, values)
    unmeasured = probe.feature_map.in_inputs(held)
    if notice := not_asked(probe, unmeasured):
        warnings.warn(notice, stacklevel=2)
    return list(probe.features), np.where(unmeasured, np.nan, values)


def _of_units(attribution: Attribution, model: keras.Model) -> tuple[list[str], NDArray[np.float64]]:
    """The units of a layer, and of each the mean over samples of Σ |attribution| over its places.

    Raises:
        InvalidInput: the method gives a map, in which units are summed.
    """
    if not attribution.layer:
        raise InvalidInput(
            f"{attribution.method} sums over the units of a layer: take integrated_gradients or deeplift."
        )
    values = np.abs(np.asarray(attribution.values, np.float64))
    layer = find_layer(model, attribution.layer)
    axis = 1 if values.ndim > 2 and is_channels_first(layer, model, values.ndim) else values.ndim - 1
    by_unit = np.moveaxis(values, axis, 1).reshape(len(values), values.shape[axis], -1).sum(2).mean(0)
    return [f"unit {k}" for k in range(len(by_unit))], by_unit


def _by_exchange(
    model: keras.Model, probe: Probe, method: str, values: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Measure a table in which a gradient misses features: all by exchange, or `values` where none of them is in use."""
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
    return _PermutationLosses(model, probe, orders).increases().mean(1)


class _PermutationLosses:
    """The loss of the rows as they are, then with each feature's entries in each of `orders` (R, B).

    The rows of all copies stand in one line, of which a pass takes as many as it holds, whatever copies they belong to. A loop
    inside the graph would take ten times as long to trace as a small model takes to answer.
    """

    def __init__(self, model: keras.Model, probe: Probe, orders: NDArray[np.int32]) -> None:
        self._runner = ModelRunner(model, probe.x, probe.output)
        self._orders, self._feature_count = orders, len(probe.feature_map.entry_names)
        self._x = [a.astype(np.float32) if a.dtype.kind == "f" else a for a in probe.inputs]
        self._y, self._has_names = np.asarray(probe.y), probe.class_names is not None
        self._owners = probe.feature_map.parts()
        self._loss = keras.losses.get(model.loss)

    def increases(self) -> NDArray[np.float64]:
        """(F, R) over the loss of the rows as they are."""
        number, size = self._orders.shape
        # Feature −1 owns nothing: the rows as they are.
        features = np.repeat(np.asarray([-1, *np.repeat(np.arange(self._feature_count), number)], np.int32), size)
        row = np.tile(np.arange(size, dtype=np.int32), len(features) // size)
        donor = np.concatenate([row[:size], np.tile(self._orders.reshape(-1), self._feature_count)])
        dense = self._runner.dense
        if dense is not None:
            self._runner.settle(self._x, self._y, named=self._has_names)
            labels = dense.labels(self._y)
            if labels is not None and not labels.counts.any():
                raise InvalidInput(
                    f"No {dense.spec.unit} has a label that counts: permutation importance measures the loss."
                )
            # One copy of the rows after the other: what a model says at every position of all copies is too much to hold.
            by_copy = []
            for k in range(0, len(features), size):
                copy = slice(k, k + size)
                mixed = self._mixed(features[copy], row[copy], donor[copy])
                counts = None if labels is None else dense.counts(mixed, labels)
                by_copy.append(self._losses(self._outputs(features[copy], row[copy], donor[copy]), counts)[0])
            losses = np.asarray(by_copy, np.float64)
            return losses[1:].reshape(self._feature_count, number) - losses[0]
        outputs = self._outputs(features, row, donor)
        if self._runner.has_side_effects:
            # A dropout that is always on: asked copy by copy all see the same draws, and only the shuffling makes a difference.
            copies = (slice(k, k + size) for k in range(0, len(features), size))
            outputs = np.concatenate([self._outputs(features[copy], row[copy], donor[copy]) for copy in copies])
        losses = self._losses(outputs)
        return losses[1:].reshape(self._feature_count, number) - losses[0]

    def _outputs(
        self, features: NDArray[np.int32], row: NDArray[np.int32], donor: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """(M, ...) the model's outputs for M rows, each with the entries of a feature that another row has."""
        parts = []
        for rows, _ in self._runner.chunks(len(row)):
            parts.append(self._runner.outputs(self._mixed(features[rows], row[rows], donor[rows])))
        return np.concatenate(parts)[: len(row)]

    def _mixed(
        self, features: NDArray[np.int32], row: NDArray[np.int32], donor: NDArray[np.int32]
    ) -> list[NDArray[Any]]:
        """(M, ...) rows, each with the entries of a feature that another row has, one array an input."""
        mixed = []
        for a, owner in zip(self._x, self._owners, strict=True):
            is_owned = owner == features.reshape(-1, *[1] * owner.ndim)
            mixed.append(np.where(is_owned, a[donor], a[row]))
        return mixed

    def _losses(self, outputs: NDArray[np.float32], counts: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """(1 + F·R) of each copy's outputs. All at once where a loss of Keras' own tells rows apart, else copy by copy.

        Of a dense output the mean is over the positions that count, (B, P), as that of `fit` is.
        """
        try:
            return self._unchecked_losses(outputs, counts)
        except Exception as error:
            name = getattr(self._loss, "name", None) or getattr(self._loss, "__name__", "loss")
            why = (str(error).splitlines() or [""])[0][:MAX_REASON]
            raise InvalidInput(
                f"The model's loss, {name}, cannot be computed of y of shape {self._y.shape} and outputs of shape "
                f"{(len(self._y), *outputs.shape[1:])}: labels are expected as `fit` gets them ({why})."
            ) from error

    def _unchecked_losses(self, outputs: NDArray[np.float32], counts: NDArray[np.bool_] | None) -> NDArray[np.float64]:
        size, loss = len(self._y), self._loss
        # As `fit` has them: labels of one unit stand in a column, as its outputs do.
        is_column = outputs.ndim == self._y.ndim + 1 and outputs.shape[-1] == 1
        takes_column = self._runner.dense is not None or self._y.ndim == 1
        labels = self._y[..., None] if is_column and takes_column else self._y
        if counts is not None and labels.size == counts.size and labels.dtype.kind in "iu":
            # No loss takes −1 for a class.
            labels = np.where(counts.reshape(labels.shape), labels, np.maximum(labels, 0))
        kind = type(loss) if isinstance(loss, keras.losses.Loss) else loss
        if kind.__module__.startswith("keras."):
            y = np.tile(labels, (len(outputs) // size, *[1] * (labels.ndim - 1)))
            rows = get_backend().numpy(getattr(loss, "call", loss)(_tensor(y), _tensor(outputs)))
            if rows.shape[:1] == outputs.shape[:1]:
                if counts is not None and rows.size == counts.size and not counts.all():
                    rows = rows.reshape(counts.shape)[counts]
                rows = rows.reshape(len(outputs) // size, -1).astype(np.float64)
                return np.asarray(rows.sum(1) if getattr(loss, "reduction", "") == "sum" else rows.mean(1))
        loss_of_copy = get_backend().compiled(lambda y, outputs: keras.ops.mean(loss(y, outputs)))
        numpy = get_backend().numpy
        losses = [numpy(loss_of_copy(labels, outputs[k : k + size])) for k in range(0, len(outputs), size)]
        return np.asarray(losses, np.float64)


def _tensor(array: NDArray[Any]) -> Any:
    return keras.ops.cast(array, "float32")


def _sign(values: NDArray[np.float64]) -> NDArray[np.int8]:
    """−1, 0 or 1; 0 for NaN."""
    return np.sign(np.nan_to_num(values)).astype(np.int8)
