"""`TrainingRows`: the table is what the train step computed, and the training is the same with and without it."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from tests.frameworks import BACKEND

R = np.random.default_rng(0)
X = R.normal(size=(44, 6)).astype(np.float32)
Y = R.integers(0, 3, 44)
LOSS = "sparse_categorical_crossentropy"


def model_of(loss=LOSS, width=3, activation="softmax", optimizer="adam", **options):
    """Dropout, batch normalisation and augmentation inside the model: what a second forward pass would draw anew."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    stack = [layers.GaussianNoise(0.1), layers.Dense(5, "relu"), layers.BatchNormalization(), layers.Dropout(0.3)]
    model = keras.Sequential([keras.Input((6,)), *stack, layers.Dense(width, activation)])
    model.compile(optimizer, loss, metrics=["accuracy"], **options)
    return model


def state(model):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in model.variables + model.optimizer.variables]


def fitted(model, log_dir, *callbacks, x=X, y=Y, **options):
    given = {"epochs": 2, "batch_size": 8, "verbose": 0} | options
    model.fit(x, y, callbacks=list(callbacks), **given)
    return kx.load(log_dir)["."] if callbacks else None


SITUATIONS = [
    pytest.param({}, id="compiled"),
    pytest.param({"run_eagerly": True}, id="eager", marks=pytest.mark.full),
    pytest.param({"steps_per_execution": 3}, id="several steps a call", marks=pytest.mark.full),
    pytest.param({"jit_compile": True}, id="XLA", marks=pytest.mark.full),
]


@pytest.mark.oldest
@pytest.mark.every_backend
@pytest.mark.parametrize("options", SITUATIONS)
def test_training_is_the_same(tmp_path, options):
    """Weights, optimizer and seeds are those of a training without it, beside sampled gradients; all rows are in the table."""
    if BACKEND == "torch" and set(options) & {"steps_per_execution", "jit_compile"}:
        pytest.skip("Keras refuses it on torch, or rows are not had there")
    plain = model_of(**options)
    fitted(plain, tmp_path)
    watched = model_of(**options)  # which sets the seed of the shuffling, too
    watch = [kx.WeightGradients(tmp_path), kx.TrainingRows(tmp_path, X, Y, on_error="raise")]
    run = fitted(watched, tmp_path, *watch)
    for before, after in zip(state(plain), state(watched), strict=True):
        np.testing.assert_array_equal(before, after)
    rows = run.training_rows
    assert (rows.visits.tolist(), rows.unmatched, rows.missing) == ([2] * 44, 0, "")
    assert not {*vars(watched)} & {"compute_loss"}


@pytest.mark.oldest
@pytest.mark.every_backend
def test_figures_are_those_of_the_step(tmp_path):
    """With a learning rate of 0 and no noise the step computes what `predict` does, in whatever order rows come."""
    inputs = keras.Input((6,))
    model = keras.Model(inputs, keras.layers.Dense(3, "softmax")(inputs))
    model.compile(keras.optimizers.SGD(0.0), LOSS)
    rows = fitted(
        model, tmp_path, kx.TrainingRows(tmp_path, X, Y, on_error="raise"), validation_split=0.25
    ).training_rows
    predicted = model.predict(X, verbose=0)
    p = predicted[np.arange(44), Y]
    np.testing.assert_array_equal(rows.visits, np.where(np.arange(44) < 33, 2, 0))
    np.testing.assert_allclose(rows.probability[:33], p[:33], atol=1e-3)  # as float16
    np.testing.assert_allclose(rows.loss[:33], -np.log(p[:33]), 1e-4)
    np.testing.assert_array_equal(rows.correctness[:33], (predicted.argmax(1) == Y)[:33])
    np.testing.assert_array_equal(rows.read_as[:33], predicted.argmax(1)[:33])
    assert np.isnan(rows.probability[33:]).all()
    assert (rows.variability[:33] < 1e-3).all()


def test_one_sigmoid_and_rows_as_they_come(tmp_path):
    """Without x the rows are found afterwards; whole numbers and a dict of inputs have the digest that the host computes."""
    inputs = {"a": keras.Input((2,), name="a"), "b": keras.Input((1,), name="b", dtype="int32")}
    joined = keras.layers.Concatenate()(
        [inputs["a"], keras.layers.Flatten()(keras.layers.Embedding(9, 2)(inputs["b"]))]
    )
    model = keras.Model(inputs, keras.layers.Dense(1, "sigmoid")(joined))
    model.compile(keras.optimizers.SGD(0.0), "binary_crossentropy")
    x, y = {"b": R.integers(0, 9, (44, 1)), "a": X[:, :2].astype(np.float64)}, (Y > 0).astype(np.int64)
    rows = fitted(model, tmp_path, kx.TrainingRows(tmp_path, epochs=1, on_error="raise"), x=x, y=y).training_rows
    at = rows.find(x, y)
    assert sorted(at) == list(range(44))
    assert (rows.visits == 1).all()
    p = model.predict(x, verbose=0)[:, 0]
    np.testing.assert_allclose(rows.probability[at], np.where(y > 0, p, 1 - p), atol=1e-3)
    np.testing.assert_array_equal(rows.label[at], y)


def test_rows_that_are_changed_on_the_way(tmp_path):
    """Rows that are none of x are never counted as rows of x: one warning, and the run says that a part stopped."""
    with pytest.warns(UserWarning, match="none of the rows"):
        run = fitted(model_of(), tmp_path, kx.TrainingRows(tmp_path, X + 1, Y))
    assert run.training_rows.visits.sum() == 0
    assert run.training_rows.unmatched == 44
    assert [stop.part for stop in run.stops] == ["training_rows"]


class OwnStep(keras.Model):
    """A train step without `compute_loss`."""

    def train_step(self, *arguments):
        return {"loss": keras.ops.zeros(())} if BACKEND != "jax" else ({"loss": keras.ops.zeros(())}, arguments[0])


@pytest.mark.oldest
@pytest.mark.every_backend
def test_a_step_whose_rows_cannot_be_had(tmp_path):
    """A warning says so, the run too, and the training goes on."""
    inputs = keras.Input((6,))
    model = OwnStep(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="TrainingRows logs no rows: the (train step|model)"):
        run = fitted(model, tmp_path, kx.TrainingRows(tmp_path), batch_size=4, epochs=2)
    assert run.training_rows is None
    assert run.epochs == [0, 1]
    assert run.stops[0].part == "training_rows"


def test_misuse():
    """x without y, other lengths, steps, a model that is not fitted."""
    for arguments, words in (((X,), "x without y"), ((None, Y), "y without x"), ((X, Y[1:]), "one label a row")):
        with pytest.raises(kx.InvalidInput, match=words):
            kx.TrainingRows("logs", *arguments)
    with pytest.raises(kx.InvalidInput, match="counts epochs"):
        kx.TrainingRows("logs", every="20 steps")
    with pytest.raises(kx.InvalidInput, match="epochs"):
        kx.TrainingRows("logs", epochs=0)


def test_a_table_goes_on_with_its_run(tmp_path):
    """A fit that continues the run, with the same callback, continues the table."""
    model = model_of()
    watch = kx.TrainingRows(tmp_path, X, Y, on_error="raise")
    fitted(model, tmp_path, watch)
    rows = fitted(model, tmp_path, watch, initial_epoch=2, epochs=3).training_rows
    assert (rows.visits == 3).all()
    frame = rows.columns()
    assert set(frame) > {"label", "visits", "probability", "loss"}


def test_of_explain(tmp_path):
    """`Explain` adds it on demand, with its options; an unknown one is an error."""
    probe = kx.Probe(np.tile(X, (3, 1)), np.tile(Y, 3))
    names = [c.name for c in kx.Explain(tmp_path, probe, training_rows={"x": X, "y": Y, "epochs": 1}).callbacks]
    assert "training_rows" in names
    assert "training_rows" not in [c.name for c in kx.Explain(tmp_path, probe).callbacks]
    with pytest.raises(kx.InvalidInput, match="epoch"):
        kx.Explain(tmp_path, probe, training_rows={"epoch": 1})
