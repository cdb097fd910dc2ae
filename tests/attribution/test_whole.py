"""What no gradient reaches is measured otherwise, or said to be unmeasured: it is never 0 %."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai import judgement

layers = keras.layers
R = np.random.default_rng(0)
SIZE = 96
CITY = R.choice(["a", "b", "c"], (SIZE, 1)).astype(object)
X = {"age": R.normal(size=(SIZE, 1)).astype(np.float32), "city": CITY, "rank": R.integers(0, 3, (SIZE, 1))}
Y = (CITY[:, 0] == "a").astype(np.int64)


@pytest.fixture(scope="module")
def mixed():
    """Knows the city alone: one more for "a"."""
    inputs = {
        "age": keras.Input((1,), name="age"),
        "city": keras.Input((1,), dtype="string", name="city"),
        "rank": keras.Input((1,), dtype="int32", name="rank"),
    }
    city = layers.StringLookup(vocabulary=["a", "b", "c"], output_mode="one_hot")(inputs["city"])
    rank = layers.CategoryEncoding(3, output_mode="one_hot")(inputs["rank"])
    model = keras.Model(inputs, layers.Dense(1)(layers.Concatenate()([inputs["age"], city, rank])))
    kernel = np.zeros((8, 1), np.float32)
    kernel[2] = 1.0  # behind the one for unknown cities
    model.layers[-1].set_weights([kernel, np.zeros(1, np.float32)])
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    return model


def other_rows():
    return np.random.default_rng(0).permutation(SIZE)


@pytest.mark.tensorflow  # strings
def test_a_category_has_its_importance(mixed):
    """By exchange, in one unit with the numbers: the share of rows whose city comes or goes."""
    with pytest.warns(UserWarning, match=r"No gradient reaches 'city.*'rank.*measured by occlusion"):
        names, values = kx.importance(mixed, kx.Probe(X, Y))
    moved = np.abs((CITY[:, 0] == "a") * 1.0 - (CITY[other_rows(), 0] == "a")).mean()
    np.testing.assert_allclose(dict(zip(names, values, strict=True))["city"], moved, rtol=1e-6)
    assert values.sum() == pytest.approx(moved)


@pytest.mark.tensorflow  # strings
def test_drift_measures_a_table_with_categories_whole(mixed, tmp_path):
    """The record says by which method; nothing is unmeasured; live rows likewise."""
    import tensorflow as tf

    rows = tf.data.Dataset.from_tensor_slices((X | {"city": CITY.astype(str)}, Y)).batch(32)
    watch = kx.ImportanceDrift(tmp_path, kx.Probe(X, Y), live=(X, Y), on_error="raise")
    with pytest.warns(UserWarning, match="No gradient reaches"):
        mixed.fit(rows, epochs=2, shuffle=None, verbose=0, callbacks=[watch])
    run = kx.load(tmp_path)["."]
    for importance in (run.importance, run.importance_live):
        assert importance.method == "occlusion"
        assert importance.unmeasured == ()
        assert importance.share[-1].argmax() == 1
        np.testing.assert_allclose(importance.share.sum(1), 1, rtol=1e-6)


def test_a_column_of_one_table_behind_an_encoding_is_found():
    """The input as a whole has a gradient; its third column has none, and is in use."""
    inputs = keras.Input((3,))
    kind = layers.CategoryEncoding(4, output_mode="one_hot")(keras.ops.cast(inputs[:, 2:], "int32"))
    keras.utils.set_random_seed(0)
    model = keras.Model(inputs, layers.Dense(1)(layers.Concatenate()([inputs[:, :2], kind])))
    x = np.column_stack([R.normal(size=(SIZE, 2)), R.integers(0, 4, SIZE)]).astype(np.float32)
    with pytest.warns(UserWarning, match="No gradient reaches 'column 2'"):
        _, values = kx.importance(model, x)
    changed = x.copy()
    changed[:, 2] = x[other_rows(), 2]
    expected = np.abs(model.predict(x, verbose=0) - model.predict(changed, verbose=0)).mean()
    np.testing.assert_allclose(values[2], expected, rtol=1e-5)


def test_a_column_that_is_not_in_use_is_zero_and_measured():
    """No gradient and no effect: the gradients of the others stay what they are."""
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1, use_bias=False)])
    model.set_weights([np.array([[2.0], [0.0], [-1.0]], np.float32)])
    _, values = kx.importance(model, R.normal(size=(SIZE, 3)).astype(np.float32))
    np.testing.assert_allclose(values, [2, 0, 1])


def test_what_stays_unmeasured_is_nan_and_no_verdict(tmp_path):
    """An image with a category beside it: its share is NaN, the others add up, `check` says 2 and why."""
    inputs = {"picture": keras.Input((4, 4, 1), name="picture"), "kind": keras.Input((1,), dtype="int32", name="kind")}
    kind = layers.CategoryEncoding(3, output_mode="one_hot")(inputs["kind"])
    keras.utils.set_random_seed(0)
    model = keras.Model(inputs, layers.Dense(2)(layers.Concatenate()([layers.Flatten()(inputs["picture"]), kind])))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = {"picture": R.random((SIZE, 4, 4, 1)).astype(np.float32), "kind": R.integers(0, 3, (SIZE, 1))}
    probe = kx.Probe(x, x["kind"][:, 0] % 2, kind="image")
    watch = kx.ImportanceDrift(tmp_path, probe, live=(x, probe.y), on_error="raise")
    with pytest.warns(UserWarning, match="not measured, which is not 0 %"):
        model.fit(x, probe.y, epochs=11, verbose=0, callbacks=[watch])
    run = kx.load(tmp_path)["."]
    for importance in (run.importance, run.importance_live):
        assert importance.unmeasured == ("kind: column 0",)
        np.testing.assert_allclose(np.nansum(importance.share, 1), 1, rtol=1e-6)
        assert np.isfinite(importance.score[8:]).all()
    judged = judgement.judge(run)
    assert judged.status == judgement.UNWATCHED
    assert judged.reasons[0].startswith("not measured: kind: column 0")
    run.figure("importance_drift")
    with pytest.warns(UserWarning, match="not measured"):
        names, values = kx.importance(model, probe)
    assert [name for name, value in zip(names, values, strict=True) if np.isnan(value)] == ["kind: column 0"]
