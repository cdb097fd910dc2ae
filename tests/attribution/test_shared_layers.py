"""The map of a layer that is called for several inputs."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from tests.attribution.kinds import CAMS

layers = keras.layers
X = [np.random.default_rng(k).random((2, 8, 8, 1)).astype(np.float32) for k in range(2)]
WORDS = r"'encoder/top' is called 2 times \(call 1 by 'left', call 2 by 'right'\): the map is of call 1, on 'left'. .* input="


@pytest.fixture(scope="module")
def siamese():
    """(a model of two pictures of which the right one counts, the same of the right one alone)."""
    keras.utils.set_random_seed(0)
    parts = [layers.Conv2D(3, 3, activation="softplus", name="top"), layers.GlobalAveragePooling2D()]
    encoder = keras.Sequential([keras.Input((8, 8, 1)), *parts], name="encoder")
    left, right = keras.Input((8, 8, 1), name="left"), keras.Input((8, 8, 1), name="right")
    both = keras.Model([left, right], layers.Dense(1)(layers.Concatenate()([encoder(left), encoder(right)])))
    alone = keras.Model(right, layers.Dense(1)(encoder(right)))
    kernel, bias = np.array([[1.0], [2.0], [-1.0]], np.float32), np.zeros(1, np.float32)
    alone.layers[-1].set_weights([kernel, bias])
    both.layers[-1].set_weights([np.concatenate([0 * kernel, kernel]), bias])
    return both, alone


@pytest.mark.parametrize("method", CAMS)
def test_input_chooses_the_call(siamese, method):
    """By name or by number: the map that the picture has by itself; of the other one nothing depends on it."""
    both, alone = siamese
    expected = kx.attribute(alone, X[1], method).values
    for chosen in ("right", 1, "input 1"):
        np.testing.assert_allclose(kx.attribute(both, X, method, input=chosen).values, expected, atol=1e-6)
    left = kx.attribute(both, X, method, input="left").values
    assert not np.allclose(left, expected)
    if method != "score_cam":  # which weighs what no channel moves alike
        assert (left == 0).all()


def test_without_it_a_warning_says_of_which_call_the_map_is(siamese):
    """And how to have the other one."""
    with pytest.warns(UserWarning, match=WORDS):
        kx.attribute(siamese[0], X, "hires_cam")


@pytest.mark.parametrize(("chosen", "words"), [("up", "no input 'up'"), (2, "no input 2"), (True, "no input True")])
def test_an_input_that_is_none_is_answered_with_the_list(siamese, chosen, words):
    """Names or numbers."""
    with pytest.raises(kx.InvalidInput, match=rf"{words}; the model has 'left', 'right'"):
        kx.attribute(siamese[0], X, "grad_cam", input=chosen)


def test_an_input_that_does_not_feed_the_layer_is_refused():
    """With those that do."""
    picture, numbers = keras.Input((8, 8, 1), name="picture"), keras.Input((2,), name="numbers")
    h = layers.Flatten()(layers.Conv2D(2, 3, name="only")(picture))
    model = keras.Model([picture, numbers], layers.Dense(1)(layers.Concatenate()([h, numbers])))
    x = [X[0], np.ones((2, 2), np.float32)]
    with pytest.raises(kx.InvalidInput, match="'only' is not fed by the input 'numbers', but by 'picture'"):
        kx.attribute(model, x, "grad_cam", input="numbers")
