"""Smooth MPRT: its means, its order, and the model that is left as it was."""

import keras
import numpy as np
import pytest
from scipy.stats import spearmanr

import keras_xai as kx

layers = keras.layers
pytestmark = pytest.mark.every_backend


def state(model):
    """All that a metric must leave: variables of the model and its optimizer, and the caller's generators."""
    variables = [*model.variables, *model.optimizer.variables]
    numbers = [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
    return numbers, np.random.get_state()[1].tolist()


@pytest.fixture(scope="module")
def trained():
    """A model with dropout, batch normalisation and an optimizer that has moved."""
    keras.utils.set_random_seed(0)
    parts = [layers.Conv2D(3, 3, name="conv"), layers.BatchNormalization(name="norm"), layers.ReLU()]
    parts += [layers.Dropout(0.5), layers.Flatten(), layers.Dense(2, name="head")]
    model = keras.Sequential([keras.Input((6, 6, 1)), *parts])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = np.random.default_rng(0).normal(size=(12, 6, 6, 1)).astype(np.float32)
    model.fit(x, np.arange(12) % 2, epochs=1, verbose=0)
    return model, x[:4]


def test_a_single_map_in_each_mean_is_plain_randomisation(trained):
    """Without noise, in the same order: the same shuffles, the same correlations."""
    model, x = trained
    plain = kx.metrics.randomisation(model, x, "saliency")
    smooth = kx.metrics.smooth_randomisation(model, x, "saliency", samples=1, order="top down")
    assert list(smooth) == ["head", "norm", "conv"]
    assert smooth == pytest.approx(plain, abs=1e-6)
    assert list(kx.metrics.smooth_randomisation(model, x, samples=2)) == ["conv", "norm", "head"]


def test_no_metric_changes_the_model_or_a_generator(trained):
    """Weights, statistics, seeds and optimizer, bit for bit; also where the method fails on the way."""
    model, x = trained
    before, generators = state(model)
    a = kx.attribute(model, x, "integrated_gradients")
    for scores in (
        kx.metrics.smooth_randomisation(model, x, "saliency", samples=3),
        kx.metrics.sensitivity(model, x, "smoothgrad", samples=2, n_samples=2),
        kx.metrics.infidelity(model, x, a, samples=3),
        kx.metrics.pixel_flipping(model, x, a, entries=9),
        kx.metrics.region_perturbation(model, x, a, patch=3),
    ):
        assert len(scores)
    with pytest.raises(kx.InvalidInput):
        kx.metrics.smooth_randomisation(model, x, "grad_cam", layer="head")
    after, generators_after = state(model)
    for b, c in zip(before, after, strict=True):
        np.testing.assert_array_equal(b, c)
    assert generators == generators_after


def test_each_map_is_the_mean_over_noisy_samples():
    """The gradient of a tanh network written out, of noisy copies one by one, with weights shuffled by hand; σ by columns."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((10,)), layers.Dense(16, activation="tanh"), layers.Dense(2)])
    x = np.random.default_rng(0).normal(size=(6, 10)).astype(np.float32)
    target = model.predict(x, verbose=0).argmax(1)
    scores = kx.metrics.smooth_randomisation(model, x, "saliency", samples=4, spread=0.3)

    def mean_map():
        draws = np.random.default_rng([0, 1])
        noise = [0.3 * np.ptp(x, axis=0) * draws.standard_normal(10, np.float32) for _ in range(3)]
        copies = [x, *(x + e.astype(np.float32) for e in noise)]
        w1, b1, w2, _ = (w.astype(np.float64) for w in model.get_weights())
        slopes = [((1 - np.tanh(copy @ w1 + b1) ** 2) * w2[:, target].T) @ w1.T for copy in copies]
        return np.abs(np.mean(slopes, 0))

    first, shuffles, expected = mean_map(), np.random.default_rng(0), []
    for layer in model.layers:
        layer.set_weights([shuffles.permutation(w.reshape(-1)).reshape(w.shape) for w in layer.get_weights()])
        pairs = zip(first, mean_map(), strict=True)
        expected.append(np.mean([spearmanr(a, b).statistic for a, b in pairs]))
    np.testing.assert_allclose(list(scores.values()), expected, atol=1e-3)  # a rank may differ in float32
