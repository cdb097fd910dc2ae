"""The change of a map when the weights of the model are lost."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.attributor import Attributor
from keras_xai.attribution.metrics.noise import NoisyAttributor, ranges
from keras_xai.attribution.metrics.ranks import flat_values, rank_correlation
from keras_xai.errors import InvalidInput, check_int
from keras_xai.model.layers import iter_layers, layer_path, layers_within
from keras_xai.model.scores import Output

ORDERS = ("bottom up", "top down")


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
    return _correlations(model, lambda: flat_values(attributor()), "top down", seed)


def smooth_randomisation(
    model: keras.Model,
    x: Any,
    method: str = "saliency",
    *,
    target: Any = None,
    output: Output = None,
    baseline: Any = None,
    samples: int = 50,
    spread: float = 0.1,
    order: str = "bottom up",
    seed: int = 0,
    **options: Any,
) -> dict[str, float]:
    """Measure the same on maps averaged over noisy samples: smooth MPRT (Hedström et al. 2023, 2024, arXiv 2405.02383).

    A map of a random network flickers, and `randomisation` takes the flicker for independence of the weights. The mean over
    noisy samples (Gaussian, σ = `spread` · range) takes it away before maps are compared. The layers are shuffled from the first
    to the last: of a network whose last layers are lost the first ones still send the image through.

    Args:
        model: a built model; its weights are put back, also after an error.
        x: (B, ...) samples.
        method: see `attribute`.
        target: the class; default the one that the model predicts before.
        output: see `attribute`.
        baseline: see `attribute`.
        samples: maps in each mean. The last one is of the sample itself, as in the authors' code: 1 adds no noise.
        spread: σ as a share of the range max − min: of each sample's own for images, volumes, series and embeddings, of each
            column's over the samples for tables.
        order: "bottom up" (the first layer first) or "top down".
        seed: of the shuffles, of the noise, and of methods that draw; the global generators are neither read nor moved.
        **options: of the method.

    Returns:
        As `randomisation`: the correlation after each layer, by its path, in the order in which they were shuffled.

    Raises:
        InvalidInput: as `attribute`; no range to take a share of.

    Cost:
        The method's passes, `samples` times for each layer with weights and once more for the model itself; compiled once.

    Example:
        >>> correlations = smooth_randomisation(model, images[:4], "saliency", samples=4)
        >>> list(correlations)[-1]
        'head'
    """
    check_int("samples", samples)
    if not spread >= 0:
        raise InvalidInput(f"spread={spread!r}: expected no negative number.")
    if order not in ORDERS:
        raise InvalidInput(f"order={order!r}: expected one of {', '.join(map(repr, ORDERS))}.")
    attributor = NoisyAttributor(model, x, method, target, output, baseline, seed, options=options)
    if samples == 1:
        return _correlations(model, lambda: flat_values(attributor()), order, seed)
    spans = ranges(attributor.numbers)

    def smooth_map() -> NDArray[np.float64]:
        """Return the mean map (B, entries); the same draws for all samples, and at every call."""
        generator = np.random.default_rng([seed, 1])
        total = flat_values(attributor())
        for _ in range(samples - 1):
            noise = []
            for numbers, span in zip(attributor.numbers, spans, strict=True):
                drawn = spread * span * generator.standard_normal(numbers.shape[1:], np.float32)[None]
                noise.append(np.broadcast_to(drawn.astype(np.float32), numbers.shape))
            total += flat_values(attributor.with_noise(noise))
        return total / samples

    return _correlations(model, smooth_map, order, seed)


def _correlations(
    model: keras.Model, values: Callable[[], NDArray[np.float64]], order: str, seed: int
) -> dict[str, float]:
    """Return the rank correlation of the magnitudes of a map with those before, after each layer is shuffled."""
    first = np.abs(values())
    layers = [layer for layer in iter_layers(model) if layer.weights and not _is_container(layer)]
    generator = np.random.default_rng(seed)
    numpy = keras.ops.convert_to_numpy
    correlations = {}
    with _weights_put_back(model):
        for layer in layers if order == "bottom up" else reversed(layers):
            for variable in layer.trainable_variables:
                variable.assign(generator.permutation(numpy(variable).reshape(-1)).reshape(variable.shape))
            pairs = zip(first, np.abs(values()), strict=True)
            correlations[layer_path(layer, model)] = float(np.mean([rank_correlation(a, b) for a, b in pairs]))
    return correlations


@contextlib.contextmanager
def _weights_put_back(model: keras.Model) -> Iterator[None]:
    """Put all variables of a model back to what they are now, also after an error."""
    before = [np.array(keras.ops.convert_to_numpy(variable)) for variable in model.variables]
    try:
        yield
    finally:
        for variable, value in zip(model.variables, before, strict=True):
            variable.assign(value)


def _is_container(layer: keras.layers.Layer) -> bool:
    """True for a layer that only holds other layers, which are shuffled by themselves."""
    return any(inner.weights for inner in layers_within(layer))
