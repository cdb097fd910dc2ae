"""Permutation importance of a dense output: over the positions that count, as the loss of `fit` is."""

import keras
import numpy as np
import pytest

import keras_xai as kx

layers = keras.layers
SIZE, STEPS = 12, 3


def tagger(mask_zero, ignore_class):
    """A tagger with weights of its own, tokens with padding of zeros, and their tags."""
    generator = np.random.default_rng(0)
    tokens = generator.integers(1, 9, (SIZE, STEPS))
    tokens[::2, 2], tokens[::3, 1:] = 0, 0
    tags = np.where(tokens == 0, 0 if ignore_class is None else ignore_class, tokens % 3)
    keras.utils.set_random_seed(1)
    inputs = keras.Input((STEPS,), dtype="int32")
    embedded = layers.Embedding(9, 4, mask_zero=mask_zero, embeddings_initializer="normal")(inputs)
    model = keras.Model(inputs, layers.Dense(3, activation="softmax", kernel_initializer="normal")(embedded))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(ignore_class=ignore_class))
    for weight in model.weights:
        weight.assign(30 * weight)
    return model, tokens, tags


@pytest.mark.parametrize(
    ("mask_zero", "ignore_class"),
    [
        (True, -1),
        pytest.param(False, -1, marks=pytest.mark.full),
        pytest.param(True, None, marks=pytest.mark.full),
    ],
)
def test_the_increase_is_that_of_the_loss_that_evaluate_measures(mask_zero, ignore_class):
    """Padding is left out of the mean: by its label, by the mask that a shuffled row has, by both."""
    model, tokens, tags = tagger(mask_zero, ignore_class)
    probe = kx.Probe(tokens, tags, kind="tokens", output=kx.outputs.tagging())
    _, values = kx.importance(model, probe, "permutation", n_repeats=1, seed=0)
    order = np.random.default_rng(0).permutation(SIZE)
    losses = []
    for step in (-1, *range(STEPS)):
        rows = tokens.copy()
        if step >= 0:
            rows[:, step] = tokens[order, step]
        losses.append(float(model.evaluate(rows, tags, verbose=0, batch_size=SIZE)))
    assert np.ptp(losses) > 0.01
    np.testing.assert_allclose(values, np.subtract(losses[1:], losses[0]), rtol=1e-3, atol=1e-5)


def test_labels_that_the_loss_cannot_take_are_refused_in_words():
    """With what came and what is expected, in the place of a framework's error."""
    model, tokens, tags = tagger(True, None)

    def importance(y):
        kx.importance(
            model, kx.Probe(tokens, y, kind="tokens", output=kx.outputs.tagging()), "permutation", n_repeats=1
        )

    with pytest.raises(kx.InvalidInput, match=r"y has shape \(12, 2\)"):
        importance(tags[:, :2])
    with pytest.raises(kx.InvalidInput, match="No token has a label that counts"):
        importance(tags * 0 - 1)
    with pytest.raises(kx.InvalidInput, match="y holds the class 7"):
        importance(np.where(tags == 1, 7, tags))
    with pytest.raises(kx.InvalidInput, match=r"sparse_categorical_crossentropy.* y of shape \(12, 3, 3\)"):
        importance(np.eye(3)[tags])
