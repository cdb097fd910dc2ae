"""Models of one batch size, and those that keep a state from one batch to the next."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.attribution import METHODS
from keras_xai.model.batch_size import fixed_batch_size
from tests.frameworks import array as to_numpy

BATCH = 8
FEW = {"lime": {"n_samples": 60}, "smoothgrad": {"n_samples": 5}, "kernel_shap": {"n_samples": 60}}
# Each method on fewer rows than a batch, or on more; a few on every backend.
CELLS = [
    pytest.param(
        name, (3, 11)[k % 2], marks=[pytest.mark.every_backend] * (name in ("saliency", "deeplift", "occlusion"))
    )
    for k, name in enumerate(name for name, method in METHODS.items() if method.input_shaped)
]


@pytest.fixture(scope="module")
def tables():
    """A model with its batch size in a reshape, and one of the same weights that takes any."""
    keras.utils.set_random_seed(0)
    fixed_input = keras.Input(batch_shape=(BATCH, 6))
    dense, head = keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(2)
    fixed = keras.Model(fixed_input, head(dense(keras.ops.reshape(fixed_input, (BATCH, 6)))))
    free_input = keras.Input((6,))
    return fixed, keras.Model(free_input, head(dense(free_input)))


@pytest.fixture(scope="module")
def recurrent():
    """A stateful model, and one of the same weights without state."""
    keras.utils.set_random_seed(0)
    models = []
    for stateful in (True, False):
        series = keras.Input(batch_shape=(BATCH if stateful else None, 5, 3))
        h = keras.layers.LSTM(4, stateful=stateful)(series)
        models.append(keras.Model(series, keras.layers.Dense(2, activation="softmax")(h)))
    models[1].set_weights(models[0].get_weights())
    return models


@pytest.mark.parametrize(("method", "rows"), CELLS)
def test_a_fixed_batch_size_changes_no_number(tables, method, rows):
    """Fewer rows and more than one batch: as for the model that takes any number."""
    fixed, _ = tables
    x = np.random.default_rng(0).normal(size=(rows, 6)).astype(np.float32)
    options = {"background": x[:3]} if method == "expected_gradients" else FEW.get(method, {})
    if method == "deeplift" and keras.backend.backend() == "torch":
        with pytest.raises(kx.InvalidInput, match="samples and their baselines in one pass"):
            kx.attribute(fixed, x, method, target=1)
        return
    of_fixed, of_free = (kx.attribute(model, x, method, target=1, verbose=False, **options) for model in tables)
    np.testing.assert_allclose(of_fixed.values, of_free.values, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(of_fixed.score, of_free.score, rtol=1e-5, atol=1e-6)


@pytest.mark.every_backend
@pytest.mark.parametrize("method", ["saliency", "occlusion"])
def test_a_stateful_model_is_explained_from_the_beginning_of_a_sequence(recurrent, method):
    """Whatever state the batches before have left, in every pass; and the state is left as it was."""
    stateful, _ = recurrent
    x = np.random.default_rng(1).normal(size=(11, 5, 3)).astype(np.float32)
    stateful(x[:BATCH])
    variables = [*stateful.variables, *stateful.layers[1].states]
    before = [to_numpy(v) for v in variables]
    assert np.abs(before[-1]).max() > 0
    a, b = (kx.attribute(model, x, method, target=1, verbose=False) for model in recurrent)
    np.testing.assert_allclose(a.values, b.values, rtol=1e-4, atol=1e-6)
    for old, variable in zip(before, variables, strict=True):
        np.testing.assert_array_equal(old, to_numpy(variable))


@pytest.mark.every_backend
@pytest.mark.tensorflow  # Keras 3.15's own stateful `fit` fails on PyTorch: its states are written in place
@pytest.mark.jax
def test_a_stateful_training_is_watched_and_not_changed(tmp_path):
    """With a gallery and probe of other sizes than the batch: the same weights and states as without callbacks."""
    x = np.random.default_rng(2).normal(size=(30 * BATCH, 5, 3)).astype(np.float32)
    y = (x[:, :, 1].sum(1) > 0).astype(int)
    finals = []
    for watched in (False, True):
        keras.utils.set_random_seed(3)
        series = keras.Input(batch_shape=(BATCH, 5, 3))
        h = keras.layers.GRU(4, stateful=True)(series)
        model = keras.Model(series, keras.layers.Dense(2, activation="softmax")(h))
        model.compile("adam", "sparse_categorical_crossentropy")
        probe = kx.Probe(x[-131:], y[-131:], kind="series")
        callbacks = [kx.Explain(tmp_path, probe, mappings=True, live=(x[:80], y[:80]))] if watched else []
        model.fit(x[:80], y[:80], batch_size=BATCH, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
        finals.append([to_numpy(v) for v in [*model.variables, *model.layers[1].states]])
    for a, b in zip(*finals, strict=True):
        np.testing.assert_array_equal(a, b)
    run = kx.load(tmp_path)["."]
    assert not [note for note in run.notes if note.stopped]
    assert run.importance.share.shape == (2, 3)
    assert run.gap is not None
    assert len(run.mappings) == 2


def test_the_number_of_samples_is_read_off_the_model(tables, recurrent):
    """Of an input's shape; of a state where no input says it; None of a model that takes any number."""
    assert fixed_batch_size(tables[0]) == BATCH
    assert fixed_batch_size(tables[1]) is None
    deferred = keras.Sequential([keras.layers.Dense(3), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
    deferred.compile("sgd", "mse")
    deferred.fit(np.zeros((8, 6), np.float32), np.zeros((8, 1)), batch_size=4, verbose=0)
    assert fixed_batch_size(deferred) is None  # its input has the shape of the first batch
    two = [keras.Input(batch_shape=(4, 3), name="a"), keras.Input(batch_shape=(4, 2), name="b")]
    joined = keras.layers.Concatenate()(two)
    assert fixed_batch_size(keras.Model({"a": two[0], "b": two[1]}, joined)) is None
    assert fixed_batch_size(keras.Model(two, keras.ops.reshape(joined, (4, 5)))) == 4

    class Tagger(keras.Model):
        def __init__(self):
            super().__init__()
            self.layer = keras.layers.LSTM(3, stateful=True)

        def call(self, x):
            return self.layer(x)

    model = Tagger()
    model(np.zeros((5, 4, 2), np.float32))
    assert fixed_batch_size(model) == 5
