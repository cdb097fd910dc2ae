"""How far a map lies from the integral that it stands for."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.attribution.attributor import Attributor
from keras_xai.attribution.integrated_gradients import IntegratedGradients
from keras_xai.attribution.quadrature import RULES, half_difference
from tests.frameworks import array as to_numpy

layers = keras.layers
X = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)


def relu_net(seed=0):
    keras.utils.set_random_seed(seed)
    initializers = {"bias_initializer": "random_normal", "activation": "relu"}
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(32, **initializers), layers.Dense(32, **initializers), layers.Dense(1)]
    )


def once(model, x, method="integrated_gradients", **options):
    """One call, without the second one of more steps."""
    return Attributor(model, x, method, options=options)()


@pytest.mark.parametrize("quadrature", RULES)
@pytest.mark.parametrize("steps", [2, 3, 8, 16, 33, 64])
def test_both_halves_are_rules_of_their_own(quadrature, steps):
    """Each adds up to one half, has no negative weight, and is exact for a line; of Gauss points for half of all degrees."""
    a, _ = IntegratedGradients(steps, quadrature).points()
    w = half_difference(a).astype(np.float64)
    for part, sign in ((w[::2], 1), (w[1::2], -1)):
        assert (sign * part >= 0).all()
        assert part.sum() == pytest.approx(0.5 * sign, abs=1e-6)
    degrees = range(1, steps // 2 if quadrature == "gauss_legendre" else min(2, steps // 2))
    for degree in degrees:
        assert w @ a.astype(np.float64) ** degree == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 24, 64])
def test_a_graded_rule_ends_at_the_sample_and_is_exact_for_cubics(steps):
    """Closer together near the baseline, positive, and adding up to one."""
    a, w = RULES["graded"](steps)
    assert a[-1] == 1
    assert (w > 0).all()
    for degree in range(min(4, steps)):
        assert w @ a**degree == pytest.approx(1 / (degree + 1), abs=1e-12)
    assert (np.diff(a)[:-1] < np.diff(a)[1:] * 1.6).all()
    assert steps < 8 or a[: steps // 2].max() < 0.4


@pytest.mark.parametrize("rows", [1, 3, 40])
def test_a_graded_rule_is_the_sum_over_its_points_however_they_are_packed(rows):
    """Gradient by gradient, of rows that fill a pass, a part of one, or several."""
    model = relu_net()
    a, w = RULES["graded"](8)
    x = X[:rows]
    expected = np.zeros_like(x)
    for position, weight in zip(a, w, strict=True):
        expected += weight * once(model, (position * x).astype(np.float32), "saliency").values * x
    actual = once(model, x, n_steps=8, quadrature="graded").values
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_one_point_says_nothing_of_its_error():
    """None rather than zero."""
    assert once(relu_net(), X[:2], n_steps=1).quadrature_error is None


@pytest.mark.parametrize("quadrature", ["gauss_legendre", "graded"])
@pytest.mark.parametrize("steps", [4, 8, 16])
def test_it_is_of_the_size_of_the_true_error(steps, quadrature):
    """Of a net with kinks, against two thousand steps: the median within a factor of three, few rows far below."""
    model = relu_net()
    true = kx.attribute(model, X, n_steps=2000).values
    a = once(model, X, n_steps=steps, quadrature=quadrature)
    error = np.abs(a.values - true).sum(1) / np.abs(true).sum(1)
    ratio = a.quadrature_error / error
    assert 1 / 3 < np.median(ratio) < 4
    assert np.mean(ratio < 1 / 3) < 0.1


def test_it_is_not_inflated_by_a_small_difference():
    """A sample that scores as its baseline: the sum misses much of nearly nothing, the map hardly anything."""
    model = keras.Sequential([keras.Input((2,)), layers.Dense(64, activation="relu"), layers.Dense(1)])
    keras.utils.set_random_seed(1)
    model.set_weights([np.random.default_rng(0).normal(size=w.shape) for w in model.get_weights()])
    x = np.float32([[1.0, -1.0]])
    score = float((to_numpy(model(x)) - to_numpy(model(0 * x)))[0, 0])
    weights = model.get_weights()
    both = keras.Sequential([keras.Input((3,)), layers.Dense(65, activation="relu"), layers.Dense(1)])
    kernel = np.zeros((3, 65), np.float32)
    kernel[:2, :64], kernel[2, 64] = weights[0], 1.0
    out = np.append(weights[2][:, 0], -score + 1e-3)[:, None]
    both.set_weights([kernel, np.append(weights[1], 0.0), out, weights[3]])
    a = once(both, np.float32([[1.0, -1.0, 1.0]]), n_steps=8)
    assert a.completeness_error[0] > 5 * a.quadrature_error[0]
    assert a.quadrature_error[0] < 0.1


def test_expected_gradients_have_it_too_and_what_adds_up_no_steps_has_none():
    """Against many steps; None for a gradient."""
    model, background = relu_net(), X[20:26]
    a = once(model, X[:8], "expected_gradients", background=background)
    true = once(model, X[:8], "expected_gradients", background=background, n_steps=300).values
    error = np.abs(a.values - true).sum(1) / np.abs(true).sum(1)
    assert 1 / 3 < np.median(a.quadrature_error / error) < 4
    assert kx.attribute(model, X[:2], "saliency").quadrature_error is None


@pytest.mark.full
def test_the_same_call_gives_the_same_map_every_time():
    """A residual net, 64 steps, two hundred calls, in one thread and in several: every value to the last bit or nearly so."""
    from concurrent.futures import ThreadPoolExecutor

    keras.utils.set_random_seed(0)
    inputs = hidden = keras.Input((12, 12, 3))
    for _ in range(3):
        h = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", activation="relu")(hidden))
        hidden = (
            layers.Concatenate()([hidden, h]) if hidden is inputs else hidden + layers.Conv2D(hidden.shape[-1], 1)(h)
        )
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(hidden)))
    x = np.random.default_rng(0).normal(size=(20, 12, 12, 3)).astype(np.float32)
    asked = Attributor(model, x, "integrated_gradients", options={"n_steps": 64})
    first = asked().values
    scale = np.abs(first).max()
    for _ in range(100):
        assert np.abs(asked().values - first).max() < 1e-5 * scale
    with ThreadPoolExecutor(4) as pool:
        for a in pool.map(lambda _: asked(), range(100)):
            assert np.abs(a.values - first).max() < 1e-5 * scale
