"""`TrainingRows` on what `fit` takes: each row is known again, or counted; and what it refuses."""

import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.callbacks.training_rows import SEVERAL_PROCESSES
from tests.frameworks import BACKEND

R = np.random.default_rng(0)
SIZE, BATCH = 44, 8
X = (10 * R.normal(size=(SIZE, 6))).astype(np.float32)
Y = R.integers(0, 3, SIZE)
ONE_HOT = np.eye(3, dtype=np.float32)[Y]
WEIGHTS = np.arange(SIZE, dtype=np.float32)  # one row has none


def model_of(loss="sparse_categorical_crossentropy", policy=None):
    inputs = keras.Input((6,), dtype="float32")
    hidden = keras.layers.Dense(4, "relu", dtype=policy)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, "softmax", dtype="float32")(hidden))
    model.compile("sgd", loss)
    return model


def rows_of(log_dir, data, model=None, watch=None, **options):
    watch = watch or kx.TrainingRows(log_dir, X, Y, on_error="raise")
    (model or model_of()).fit(*data, verbose=0, callbacks=[watch], **{"epochs": 2} | options)
    return kx.load(log_dir)["."].training_rows


def batches(order=np.arange):
    """Batches for ever, in a new order each epoch."""
    while True:
        rows = order(SIZE)
        for begin in range(0, SIZE, BATCH):
            at = rows[begin : begin + BATCH]
            yield X[at], Y[at]


class Batches(keras.utils.PyDataset):
    """Weighted batches."""

    def __len__(self):
        return -(-SIZE // BATCH)

    def __getitem__(self, index):
        at = slice(BATCH * index, BATCH * index + BATCH)
        return X[at], Y[at], WEIGHTS[at]


def shuffled():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, ONE_HOT)).shuffle(SIZE).batch(BATCH)


def test_a_shuffled_data_set_in_mixed_precision(tmp_path):
    """Rows of `tf.data` with one-hot labels are those of x with classes, and are found by either."""
    pytest.importorskip("tensorflow")
    model = model_of("categorical_crossentropy", "mixed_bfloat16")
    rows = rows_of(tmp_path, (shuffled(),), model, shuffle=False)
    assert (rows.visits.tolist(), rows.unmatched) == ([2] * SIZE, 0)
    np.testing.assert_array_equal(rows.find(X, Y), np.arange(SIZE))
    np.testing.assert_array_equal(rows.find(X, ONE_HOT), np.arange(SIZE))


def test_a_generator_without_x(tmp_path):
    """Each different row is taken as it comes, once."""
    rows = rows_of(
        tmp_path, (batches(R.permutation),), watch=kx.TrainingRows(tmp_path), steps_per_epoch=6, shuffle=False
    )
    assert sorted(rows.find(X, Y)) == list(range(SIZE))
    assert (rows.visits.tolist(), rows.unmatched) == ([2] * SIZE, 0)


@pytest.mark.full
@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("data", "options"),
    [
        pytest.param((X, Y), {"class_weight": {0: 1.0, 1: 2.0, 2: 0.0}}, id="class weights"),
        pytest.param((X, Y), {"sample_weight": WEIGHTS}, id="sample weights"),
        pytest.param((Batches(),), {"shuffle": False}, id="PyDataset"),
    ],
)
def test_weighted_rows(tmp_path, data, options):
    """Weights change no figure, and every row is there."""
    rows = rows_of(tmp_path, data, epochs=1, **options)
    assert (rows.visits.tolist(), rows.unmatched) == ([1] * SIZE, 0)
    np.testing.assert_allclose(rows.loss, -np.log(rows.probability), 2e-2)  # probabilities are float16


@pytest.mark.full
@pytest.mark.every_backend
def test_a_data_loader(tmp_path):
    """PyTorch's own, shuffled, with any framework."""
    data = pytest.importorskip("torch.utils.data")
    torch = pytest.importorskip("torch")
    loader = data.DataLoader(data.TensorDataset(torch.tensor(X), torch.tensor(Y)), batch_size=BATCH, shuffle=True)
    rows = rows_of(tmp_path, (loader,), shuffle=False)
    assert (rows.visits.tolist(), rows.unmatched) == ([2] * SIZE, 0)


# Refusals.


def check_refusal(log_dir, model, data, words, **options):
    """A warning and the run say why, and the training goes on."""
    with pytest.warns(UserWarning, match=f"TrainingRows logs no rows: {words}"):
        model.fit(*data, epochs=2, verbose=0, callbacks=[kx.TrainingRows(log_dir)], **options)
    run = kx.load(log_dir)["."]
    assert (run.training_rows, run.epochs) == (None, [0, 1])
    assert [(stop.part, stop.reason.startswith(words)) for stop in run.stops] == [("training_rows", True)]


@pytest.mark.skipif(BACKEND != "tensorflow", reason="text is a tensor on TensorFlow alone")
def test_text_inside_the_model(tmp_path):
    """No digest of text: the reason is in words for the user."""
    import tensorflow as tf

    inputs = {"kind": keras.Input((1,), name="kind", dtype="string"), "size": keras.Input((2,), name="size")}
    kind = keras.layers.StringLookup(vocabulary=["a", "b", "c"], output_mode="one_hot")(inputs["kind"])
    joined = keras.layers.Concatenate()([kind, inputs["size"]])
    model = keras.Model(inputs, keras.layers.Dense(1, "sigmoid")(joined))
    model.compile("sgd", "binary_crossentropy")
    x = {"kind": np.array(["a", "b", "c"])[Y][:, None], "size": X[:, :2]}
    data = tf.data.Dataset.from_tensor_slices((x, Y > 0)).batch(BATCH)
    check_refusal(tmp_path, model, (data,), "the inputs hold text", shuffle=False)
    with pytest.raises(kx.InvalidInput, match="a digest needs rows of numbers"):
        kx.TrainingRows(tmp_path, x, Y)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="replicas of TensorFlow")
def test_replicas(tmp_path, monkeypatch):
    """Under a strategy no rows are logged."""
    module = sys.modules["keras_xai.backend.tensorflow.row_watch"]  # the package has a function of this name
    monkeypatch.setattr(module, "has_strategy", lambda model: True)
    check_refusal(tmp_path, model_of(), (X, Y), "the model trains on several devices", batch_size=BATCH)


def test_several_processes_and_outputs(tmp_path):
    """A team of processes is a reason, several outputs are a misuse."""
    watch = kx.TrainingRows(tmp_path)
    watch.set_model(model_of())
    watch.model.make_train_function()
    watch.set_params({"epochs": 1, "steps": 1})
    watch._team = SimpleNamespace(size=2, is_chief=True)
    with pytest.warns(UserWarning, match=SEVERAL_PROCESSES):
        watch.check()
    assert watch._tap is None
    inputs = keras.Input((6,))
    two = keras.Model(inputs, [keras.layers.Dense(1)(inputs), keras.layers.Dense(1)(inputs)])
    two.compile("sgd", ["mse", "mse"])
    with pytest.raises(kx.InvalidInput, match="2 losses"):
        two.fit(X, [Y, Y], verbose=0, callbacks=[kx.TrainingRows(tmp_path)])
