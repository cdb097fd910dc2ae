"""DeepLIFT through products, softmax and normalisation: complete, and as its rules say."""

import keras
import numpy as np
import pytest

import keras_xai as kx

layers = keras.layers
ops = keras.ops
R = np.random.default_rng(0)

on_every_backend = pytest.mark.every_backend


def explained(x, base, function, **options):
    """Of a model that is one function of its input, summed up."""
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, layers.Flatten()(layers.Lambda(function, output_shape=x.shape[1:])(inputs)))
    a = kx.attribute(model, x, "deeplift", baseline=base, output=lambda model, x: model(x), target=0, **options)
    assert a.completeness_error.max() < 1e-4
    return a.values


@on_every_backend
def test_a_product_gives_each_factor_its_change_at_the_mean_of_the_other():
    """Shapley's values of two factors."""
    x, base = R.normal(size=(4, 2)).astype(np.float32), R.normal(size=2).astype(np.float32)
    values = explained(x, base, lambda z: z[:, :1] * z[:, 1:])
    change, mean = x - base, (x + base) / 2
    np.testing.assert_allclose(values, change * mean[:, ::-1], rtol=1e-4, atol=1e-6)


@on_every_backend
def test_a_quotient_is_a_product_with_the_reciprocal():
    """Whose slope is that between baseline and sample."""
    x, base = R.uniform(0.5, 2, size=(4, 2)).astype(np.float32), np.array([1.0, 1.5], np.float32)
    values = explained(x, base, lambda z: z[:, :1] / z[:, 1:])
    reciprocal, of_base = 1 / x[:, 1], 1 / base[1]
    expected = [(x[:, 0] - base[0]) * (reciprocal + of_base) / 2, (x[:, 0] + base[0]) / 2 * (reciprocal - of_base)]
    np.testing.assert_allclose(values, np.stack(expected, 1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shift", [0.0, pytest.param(50.0, marks=on_every_backend)])
def test_a_softmax_has_logarithmic_means_as_slopes(shift):
    """And what is added to all logits changes nothing."""
    x, base = 2 * R.normal(size=(4, 5)).astype(np.float32), R.normal(size=5).astype(np.float32)
    values = explained(x + np.float32(shift), base, lambda z: 2 * ops.softmax(z, -1))  # 2: else the logit is explained
    p, p0 = (np.exp(z) / np.exp(z).sum(-1, keepdims=True) for z in (x.astype(float), base[None].astype(float)))
    slopes = (p - p0) / (np.log(p) - np.log(p0))
    multipliers = slopes * (np.eye(5)[0] - slopes[:, :1] / slopes.sum(1, keepdims=True))
    np.testing.assert_allclose(values, 2 * multipliers * (x + shift - base), rtol=1e-3, atol=1e-4)


@on_every_backend
@pytest.mark.parametrize("axis", [1, 2])
def test_the_logarithm_of_a_softmax_has_the_same_slopes(axis):
    """Its normaliser changes by the mean change of the logits, weighted by them; LRP has its gradient."""
    x, base = 2 * R.normal(size=(4, 3, 5)).astype(np.float32), R.normal(size=(3, 5)).astype(np.float32)
    values = explained(x, base, lambda z: ops.log_softmax(z, axis))
    p, p0 = (np.exp(z) / np.exp(z).sum(axis, keepdims=True) for z in (x.astype(float), base[None].astype(float)))
    slopes = (p - p0) / (np.log(p) - np.log(p0))
    above = np.eye(15)[0].reshape(1, 3, 5)
    multipliers = above - slopes / slopes.sum(axis, keepdims=True) * above.sum(axis, keepdims=True)
    np.testing.assert_allclose(values, multipliers * (x - base), rtol=1e-3, atol=1e-4)
    inputs = keras.Input((3, 5))
    model = keras.Model(inputs, layers.Flatten()(ops.log_softmax(inputs, axis)))
    relevance = kx.attribute(model, x, "lrp", target=0, output=lambda model, x: model(x)).values
    np.testing.assert_allclose(relevance, x * (above - p * above.sum(axis, keepdims=True)), rtol=1e-3, atol=1e-4)


def test_what_is_not_finite_is_told():
    """The norm of a baseline of zeros is divided by."""
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2)(ops.normalize(layers.Dense(3, use_bias=False)(inputs))))
    with pytest.warns(UserWarning, match="deeplift: the values of 2 of 2 samples are not finite"):
        kx.attribute(model, R.normal(size=(2, 4)).astype(np.float32), "deeplift", target=0)


def test_it_is_complete_through_a_transformers_block():
    """Attention, layer and RMS normalisation, a gate, a baseline of each sample's own or one of all."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5, 8))
    h = layers.LayerNormalization()(inputs + layers.MultiHeadAttention(2, 4)(inputs, inputs))
    h = layers.RMSNormalization()(h + layers.Dense(8, "silu")(h) * layers.Dense(8)(h))
    model = keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(h)))
    x, base = R.normal(size=(4, 5, 8)).astype(np.float32), R.normal(size=(5, 8)).astype(np.float32)
    one = kx.attribute(model, x, "deeplift", target=1, baseline=base)
    many = kx.attribute(model, x, "deeplift", target=1, baseline=np.repeat(base[None], 4, 0))
    assert one.completeness_error.max() < 1e-3
    np.testing.assert_allclose(one.values, many.values, rtol=1e-3, atol=1e-5)
