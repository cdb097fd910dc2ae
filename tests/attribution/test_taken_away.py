"""Tokens and strings that are taken away as a whole."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from tests.frameworks import array as to_numpy

layers = keras.layers
TOKENS = np.random.default_rng(0).integers(1, 9, (3, 5))
NUMBERS = np.random.default_rng(1).normal(size=(3, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def beside_a_table():
    """(a model of tokens, looked up twice, and of numbers; the same from the embeddings on; the embeddings)."""
    keras.utils.set_random_seed(0)
    tokens, numbers = keras.Input((5,), dtype="int32"), keras.Input((2,))
    wide, narrow = layers.Embedding(9, 7)(tokens), layers.Embedding(9, 1)(tokens)
    h = layers.Concatenate()([layers.Flatten()(wide), layers.Flatten()(narrow), numbers])
    said = layers.Dense(1)(layers.Dense(6, activation="tanh")(h))
    model = keras.Model([tokens, numbers], said)
    rest = keras.Model([wide, narrow, numbers], said)
    return model, rest, [layer for layer in model.layers if isinstance(layer, layers.Embedding)]


def test_occlusion_is_the_score_that_a_tokens_absence_costs(beside_a_table):
    """Against a loop that empties all embeddings of a token; the numbers beside it are as they would be alone."""
    model, rest, looked_up = beside_a_table
    embedded = [to_numpy(layer(TOKENS)) for layer in looked_up]
    full = to_numpy(rest([*embedded, NUMBERS]))[:, 0]
    tokens, numbers = kx.attribute(model, [TOKENS, NUMBERS], "occlusion").values
    for t in range(5):
        without = [np.where((np.arange(5) == t)[:, None], 0, e) for e in embedded]
        np.testing.assert_allclose(tokens[:, t], full - to_numpy(rest([*without, NUMBERS]))[:, 0], atol=1e-6)
    for c in range(2):
        without = np.where(np.arange(2) == c, 0, NUMBERS)
        np.testing.assert_allclose(numbers[:, c], full - to_numpy(rest([*embedded, without]))[:, 0], atol=1e-6)


@pytest.mark.parametrize("method", ["lime", "kernel_shap"])
def test_a_token_is_one_feature_however_often_it_is_looked_up(beside_a_table, method):
    """Seven features: values of the same shape, complete for Shapley values."""
    a = kx.attribute(beside_a_table[0], [TOKENS, NUMBERS], method)
    assert [part.shape for part in a.values] == [(3, 5), (3, 2)]
    if method == "kernel_shap":
        assert a.completeness_error.max() < 1e-4


@pytest.mark.parametrize("method", ["occlusion", "kernel_shap"])
@pytest.mark.parametrize("width", [1, 16])
def test_a_sample_that_is_one_token_is_taken_away_as_a_whole(method, width):
    """(B,): its score less that of an embedding of zeros."""
    tokens = keras.Input((), dtype="int32")
    model = keras.Model(tokens, layers.Dense(1)(layers.Embedding(5, width)(tokens)))
    table, (kernel, _) = to_numpy(model.layers[1].embeddings), model.layers[2].get_weights()
    values = kx.attribute(model, np.array([1, 2, 3]), method).values
    np.testing.assert_allclose(values, (table[1:4] @ kernel)[:, 0], atol=1e-6)


@pytest.mark.tensorflow  # strings
@pytest.mark.parametrize("method", ["occlusion", "lime", "kernel_shap"])
def test_strings_one_a_sample(method):
    """(B,): a known word has a value, one that stands for the unknown has none."""
    model = keras.Sequential(
        [
            keras.Input((), dtype="string"),
            layers.StringLookup(vocabulary=["a", "b"]),
            layers.CategoryEncoding(num_tokens=3, output_mode="one_hot"),
            layers.Dense(1),
        ]
    )
    words = np.array(["a", "b", "c"])
    values = kx.attribute(model, words, method).values
    assert values.shape == (3,)
    if method != "lime":  # a ridge shrinks its line
        kernel = model.layers[-1].get_weights()[0][:, 0]
        np.testing.assert_allclose(values, kernel[[1, 2, 0]] - kernel[0], atol=1e-6)
