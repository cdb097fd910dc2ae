"""Tests of an explanation: what the model loses without what it names, and whether it follows the weights.

Public as `keras_xai.metrics`.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.attributor import Attributor, explained_targets
from keras_xai.attribution.baselines import DefaultBaseline
from keras_xai.attribution.features import spatial_axes
from keras_xai.errors import InvalidInput, check_int
from keras_xai.model.inputs import broadcast_baseline, check_input_shapes, prepare_inputs
from keras_xai.model.layers import iter_layers, layer_path, layers_within
from keras_xai.model.runner import ModelRunner
from keras_xai.model.scores import Output
from keras_xai.records import Attribution
from keras_xai.tree import leaves

__all__ = ["deletion", "insertion", "randomisation"]


def deletion(
    model: keras.Model,
    x: Any,
    values: Any,
    *,
    target: Any = None,
    output: Output = None,
    baseline: Any = None,
    steps: int = 20,
) -> NDArray[np.float64]:
    """Trace the score while what an attribution names first is taken away (Petsiuk et al. 2018, arXiv 1806.07421).

    Entries go from the largest value to the smallest, an equal share of them each step, and are replaced by the baseline. The
    pixels of an image and the voxels of a volume go with all their channels, by the sum of the values over them. The sooner
    the curve falls, the better the order; compare with the curve of random values, since an average alone says little.

    Args:
        model: a built model with one input.
        x: (B, ...) samples.
        values: their attribution: the shape of x, or a map (B, h, w) of any resolution, which is enlarged to the image; of
            volumes (B, d, h, w).
        target: the class, (B,) or one integer; default the predicted one.
        output: see `Probe`.
        baseline: see `attribute`.
        steps: equal shares.

    Returns:
        (B, steps + 1) scores: of x itself first, of the baseline last. Logits where the model has some. The mean over the
        last axis is the area under the curve.

    Raises:
        InvalidInput: values of another shape, `steps` under 1, a model with several inputs.

    Cost:
        `steps` + 1 forward passes.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.set_weights([np.array([[1.0], [2.0], [4.0]], "float32")])
        >>> deletion(model, np.ones((1, 3), "float32"), np.array([[1.0, 2.0, 4.0]]), steps=3).tolist()
        [[7.0, 3.0, 1.0, 0.0]]
    """
    return _curve(model, x, values, target, output, baseline, steps, take_away=True)


def insertion(
    model: keras.Model,
    x: Any,
    values: Any,
    *,
    target: Any = None,
    output: Output = None,
    baseline: Any = None,
    steps: int = 20,
) -> NDArray[np.float64]:
    """Trace the score while what an attribution names first is put into the baseline (Petsiuk et al. 2018, arXiv 1806.07421).

    The opposite of `deletion`, whose arguments, errors and cost it has: (B, steps + 1) scores, of the baseline first and of x
    last. The sooner the curve rises, the better the order.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.set_weights([np.array([[1.0], [2.0], [4.0]], "float32")])
        >>> insertion(model, np.ones((1, 3), "float32"), np.array([[1.0, 2.0, 4.0]]), steps=3).tolist()
        [[0.0, 4.0, 6.0, 7.0]]
    """
    return _curve(model, x, values, target, output, baseline, steps, take_away=False)


def randomisation(
    model: keras.Model,
    x: Any,
    method: str = "saliency",
    *,
    target: Any = None,
    output: Output = None,
    seed: int = 0,
    **options: Any,
) -> dict[str, float]:
    """Measure how much an attribution stays the same when the weights are lost (Adebayo et al. 2018, arXiv 1810.03292).

    From the last layer to the first each layer's weights are shuffled, and stay so, and the attribution is made again. Its
    rank correlation (Spearman, of magnitudes, the mean over samples) with the one before should fall towards 0: a method that
    stays near 1 shows the image and not the model.

    Args:
        model: a built model; its weights are put back, also after an error.
        x: (B, ...) samples.
        method: see `attribute`.
        target: the class; default the one that the model predicts before.
        output: see `attribute`.
        seed: of the shuffles.
        **options: of the method.

    Returns:
        The correlation after each layer, by its path, in the order in which they were shuffled.

    Raises:
        InvalidInput: as `attribute`.

    Cost:
        The method's passes, once more than there are layers with weights; compiled once.

    Example:
        >>> correlations = randomisation(model, images, "grad_cam")
        >>> list(correlations)[:2]
        ['head', 'conv2']
    """
    attributor = Attributor(model, x, method, target, output, seed=seed, options=options)
    first = _magnitudes(attributor())
    layers = [layer for layer in iter_layers(model) if layer.weights and not _is_container(layer)]
    generator = np.random.default_rng(seed)
    numpy = keras.ops.convert_to_numpy
    before = [np.array(numpy(variable)) for variable in model.variables]
    correlations = {}
    try:
        for layer in reversed(layers):
            for variable in layer.trainable_variables:
                variable.assign(generator.permutation(numpy(variable).reshape(-1)).reshape(variable.shape))
            pairs = zip(first, _magnitudes(attributor()), strict=True)
            correlations[layer_path(layer, model)] = float(np.mean([_rank_correlation(a, b) for a, b in pairs]))
    finally:
        for variable, value in zip(model.variables, before, strict=True):
            variable.assign(value)
    return correlations


def _is_container(layer: keras.layers.Layer) -> bool:
    """True for a layer that only holds other layers, which are shuffled by themselves."""
    return any(inner.weights for inner in layers_within(layer))


def _magnitudes(attribution: Attribution) -> NDArray[np.float64]:
    """(B, entries of all inputs)"""
    parts = [np.abs(values).reshape(len(values), -1) for values in leaves(attribution.values)]
    return np.concatenate(parts, 1).astype(np.float64)


def _rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Spearman's, ties sharing their mean rank; 0 where one of the two is constant and says nothing."""
    from scipy.stats import rankdata

    ranks = [rankdata(v) - (len(v) + 1) / 2 for v in (a, b)]
    norm = float(np.sqrt((ranks[0] @ ranks[0]) * (ranks[1] @ ranks[1])))
    return float(ranks[0] @ ranks[1]) / norm if norm else 0.0


def _curve(
    model: keras.Model,
    x: Any,
    values: Any,
    target: Any,
    output: Output,
    baseline: Any,
    steps: int,
    take_away: bool,
) -> NDArray[np.float64]:
    if isinstance(x, (dict, list)):
        raise InvalidInput("deletion and insertion take models with one input; x is a " + type(x).__name__ + ".")
    check_int("steps", steps)
    like = np.asarray(x)
    check_input_shapes(model, [like], like)
    rows = prepare_inputs(model, [like], like)[0][:]
    if baseline is None:
        (base,) = DefaultBaseline(model, [rows], like, output).rows([rows])
    else:
        (base,) = broadcast_baseline(baseline, [rows], like)
    if rows.dtype.kind == "i":
        base = np.maximum(base, 0)  # a token, where the engine would take an embedding of zeros
    runner = ModelRunner(model, like, output)
    classes = explained_targets(runner, [rows], target)
    rank = _order(np.asarray(values, np.float64), rows.shape)
    count, curve = rank.max() + 1, []
    for step in range(steps + 1):
        is_first = rank < round(count * step / steps)
        changed = np.where(is_first, base, rows) if take_away else np.where(is_first, rows, base)
        curve.append(runner.scores([changed], classes))
    return np.stack(curve, 1).astype(np.float64)


def _order(values: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """(B, ...) the number of the step at which each entry goes, broadcastable to x: 0 first."""
    axes = spatial_axes(shape)
    if axes is None and len(shape) == 3 and values.ndim == 2:
        axes = (1,)  # a layer's map over the steps of a series
    is_map = axes is not None and values.ndim == len(shape) - 1 and len(values) == shape[0]
    if values.shape != shape and not is_map:
        raise InvalidInput(
            f"values has shape {values.shape}, x has {shape}: the same, or a map (B, h, w), is expected; of volumes "
            f"(B, d, h, w), of series (B, t)."
        )
    if axes is None:
        return _ranks(values)
    channels_first = axes[0] == 2
    channel_axis = 1 if channels_first else -1
    flat = values if is_map else values.sum(channel_axis)
    for axis, of_input in enumerate(axes, 1):
        # A map of a coarser resolution: each position takes the value of the cell that it lies in.
        length = shape[of_input]
        flat = np.take(flat, np.arange(length) * flat.shape[axis] // length, axis)
    ranks = _ranks(flat)
    return ranks[:, None] if channels_first else ranks[..., None]


def _ranks(values: NDArray[np.float64]) -> NDArray[np.int64]:
    flat = values.reshape(len(values), -1)
    order = np.argsort(-flat, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(flat.shape[1])[None], axis=1)
    return ranks.reshape(values.shape)
