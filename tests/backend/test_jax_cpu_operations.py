"""The fast forms of JAX's operations on a CPU compute what the operations do."""

from __future__ import annotations

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("JAX", allow_module_level=True)

import jax
import jax.extend.core as jex
import jax.numpy as jnp

from keras_xai.backend.jax.cpu_operations import with_fast_operations

layers = keras.layers
R = np.random.default_rng(0)

EVERYWHERE = (
    "by channel",
    "convolution to few",
    "pooling with overlap",
    "three dimensions, stride",
)  # on every backend's run
CASES = {
    "convolution": (layers.Conv2D(5, 3, padding="same"), (2, 6, 7, 4)),
    "convolution to few": (layers.Conv2D(8, 3, padding="valid"), (2, 6, 7, 2)),
    "stride": (layers.Conv2D(5, (3, 2), strides=(2, 1), padding="same"), (2, 7, 6, 4)),
    "dilation": (layers.Conv2D(5, 3, dilation_rate=2), (2, 8, 7, 3)),
    "groups": (layers.Conv2D(6, 3, groups=2), (2, 6, 6, 4)),
    "one dimension": (layers.Conv1D(5, 3, padding="causal", dilation_rate=2), (2, 9, 4)),
    "three dimensions": (layers.Conv3D(3, 3, padding="same"), (2, 5, 4, 6, 2)),
    "three dimensions, stride": (layers.Conv3D(3, (2, 3, 1), strides=(2, 1, 2)), (2, 5, 4, 6, 2)),
    "transposed": (layers.Conv2DTranspose(3, 3, strides=2, padding="same"), (2, 4, 5, 3)),
    "by channel": (layers.DepthwiseConv2D(3, padding="same"), (2, 6, 7, 4)),
    "by channel, several": (layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2), (2, 7, 7, 3)),
    "by channel, one dimension": (layers.DepthwiseConv1D(3, dilation_rate=2), (2, 9, 3)),
    "separable": (layers.SeparableConv2D(4, 3, padding="same"), (2, 6, 6, 3)),
    "pooling": (layers.MaxPooling2D(2), (2, 6, 7, 3)),
    "pooling with overlap": (layers.MaxPooling2D(3, strides=2, padding="same"), (2, 7, 6, 3)),
    "pooling in one dimension": (layers.MaxPooling1D(2), (2, 7, 3)),
    "pooling in three dimensions": (layers.MaxPooling3D(2), (2, 4, 4, 5, 2)),
    "recurrent": (layers.ConvLSTM2D(2, 3, padding="same"), (2, 3, 5, 5, 2)),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.every_backend] if name in EVERYWHERE else []) for name in CASES]
)
def test_values_and_gradients_are_the_same(name):
    """Integers, so that sums are exact and a pooling has ties; of a recurrent layer up to rounding."""
    layer, shape = CASES[name]
    x = jnp.asarray(R.integers(-2, 3, shape).astype("float32"))
    layer(x)
    layer.set_weights([R.integers(-2, 3, w.shape).astype("float32") for w in layer.get_weights()])

    def both(x, above):
        y, pullback = jax.vjp(layer, x)
        return y, pullback(above)[0]

    above = jnp.asarray(R.integers(-2, 3, layer(x).shape).astype("float32"))
    closed = jax.make_jaxpr(both)(x, above)
    fast = with_fast_operations(closed)
    assert fast is not closed
    results, references = jax.jit(jex.jaxpr_as_fun(fast))(x, above), jax.jit(jex.jaxpr_as_fun(closed))(x, above)
    for result, expected in zip(results, references, strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-5 if name == "recurrent" else 0, atol=1e-6)


@pytest.mark.every_backend
def test_what_is_fast_already_stays():
    """Nothing is rewritten in a network without convolutions."""
    closed = jax.make_jaxpr(lambda x: jnp.tanh(x @ x))(jnp.ones((3, 3)))
    assert with_fast_operations(closed) is closed
