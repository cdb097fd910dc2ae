"""`ProbeAttributions(check=True)`: when maps are checked, what is measured, and the training that is as without."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.callbacks.map_check import DRAWS, ORDERS, SPREAD

layers = keras.layers
METHODS = ("saliency", "integrated_gradients")


def classifier():
    """Dropout, batch normalisation and Adam, on a table of six columns."""
    keras.utils.set_random_seed(0)
    parts = [layers.Dense(8, activation="tanh"), layers.BatchNormalization(), layers.Dropout(0.3), layers.Dense(1)]
    model = keras.Sequential([keras.Input((6,)), *parts, layers.Activation("sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def rows():
    x = np.random.default_rng(0).normal(size=(96, 6)).astype(np.float32)
    return x, (x[:, 0] - x[:, 1] > 0).astype(np.int32)


def fit(rows, log_dir, *, check, epochs=12, method=METHODS, **options):
    """A training that is watched: the run, the model, and all of its numbers."""
    x, y = rows
    model = classifier()
    watch = kx.ProbeAttributions(log_dir, (x[:32], y[:32]), method, check=check, samples=8, on_error="raise", **options)
    model.fit(x, y, epochs=epochs, batch_size=32, verbose=0, callbacks=[watch])
    numbers = [keras.ops.convert_to_numpy(variable) for variable in [*model.variables, *model.optimizer.variables]]
    return kx.load(log_dir)["."], model, numbers


@pytest.fixture(scope="module")
def checked(rows, tmp_path_factory):
    return fit(rows, tmp_path_factory.mktemp("checked"), check=True)


@pytest.mark.every_backend
def test_the_training_is_what_it_is_without_checks(rows, checked, tmp_path):
    """Weights, statistics, seeds and optimizer, bit for bit."""
    run, _, numbers = fit(rows, tmp_path, check=False)
    assert run.map_checks == {}
    for with_checks, without in zip(checked[2], numbers, strict=True):
        np.testing.assert_array_equal(with_checks, without)


def test_the_first_every_tenth_and_the_last_update_are_checked(checked):
    """Twelve epochs, both methods."""
    updates = {method: [check.update for check in checks] for method, checks in checked[0].map_checks.items()}
    assert updates == {method: [0, 10, 11] for method in METHODS}
    assert [len(check.deletion) for check in checked[0].map_checks["saliency"]] == [8, 8, 8]


@pytest.mark.parametrize("method", METHODS)
def test_the_figures_are_those_of_the_metrics(checked, method):
    """`kx.metrics` of the gallery's maps, with the same random orders and the same noise."""
    run, model, _ = checked
    check, gallery = run.map_checks[method][-1], run.probe
    a = run.attributions(method)[-1]
    common = {"target": a.target, "baseline": gallery.x.mean(0)}
    fall = kx.metrics.deletion(model, gallery.x, a.values, steps=10, **common)
    orders = np.random.default_rng(0)
    random = [kx.metrics.deletion(model, gallery.x, orders.random((8, 6)), steps=10, **common) for _ in range(ORDERS)]
    unit = np.abs(fall[:, 0] - fall[:, -1]).mean()
    np.testing.assert_allclose(check.deletion, (np.mean(random, 0) - fall).mean(1) / unit, rtol=1e-3, atol=1e-4)
    moved = kx.metrics.sensitivity(
        model,
        gallery.x,
        method,
        spread=SPREAD,
        samples=DRAWS,
        **common,
        **({"n_steps": 8} if method == "integrated_gradients" else {}),
    )
    np.testing.assert_allclose(check.sensitivity, moved, rtol=1e-2, atol=1e-4)


def test_an_early_end_is_checked_too(rows, tmp_path):
    """A callback before ours says stop; and one update alone is first and last at once."""
    x, y = rows
    model, log_dir = classifier(), tmp_path / "early"
    stop = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(model, "stop_training", epoch == 2))
    watch = kx.ProbeAttributions(log_dir, (x[:32], y[:32]), "saliency", check=True, samples=4)
    model.fit(x, y, epochs=20, batch_size=32, verbose=0, callbacks=[stop, watch])
    assert [check.update for check in kx.load(log_dir)["."].map_checks["saliency"]] == [0, 2]


def test_units_of_a_layer_have_no_order_in_the_input(rows, tmp_path):
    """Their deletion is not known; the noise moves them as well."""
    x, y = rows
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, activation="relu", name="hidden"), layers.Dense(2)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    methods = {"input_x_gradient": {"layer": "hidden"}}
    watch = kx.ProbeAttributions(tmp_path, (x[:32], y[:32]), methods, check=True, samples=4, on_error="raise")
    model.fit(x, y, epochs=1, verbose=0, callbacks=[watch])
    (check,) = kx.load(tmp_path)["."].map_checks["input_x_gradient"]
    assert np.isnan(check.deletion).all()
    assert np.isfinite(check.sensitivity).any()


def test_tokens_are_checked_at_their_embeddings(tmp_path):
    """A classifier of texts: both figures are there, of all samples."""
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).integers(1, 20, (64, 6))
    y = (x == 3).any(1).astype(np.int32)
    model = keras.Sequential(
        [keras.Input((6,), dtype="int32"), layers.Embedding(20, 4), layers.GlobalMaxPooling1D(), layers.Dense(2)]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    watch = kx.ProbeAttributions(
        tmp_path, (x[:32], y[:32]), "input_x_gradient", check=True, samples=4, on_error="raise"
    )
    model.fit(x, y, epochs=1, verbose=0, callbacks=[watch])
    (check,) = kx.load(tmp_path)["."].map_checks["input_x_gradient"]
    assert np.isfinite(check.deletion).all()
    assert (check.sensitivity > 0).all()


def test_check_is_true_or_false(rows, tmp_path):
    """Anything else is refused at construction."""
    with pytest.raises(kx.InvalidInput, match="check=10"):
        kx.ProbeAttributions(tmp_path, rows, check=10)


def test_the_tab_and_the_report_say_what_was_measured(checked):
    """The payload of each method, and a paragraph of the report."""
    from keras_xai.page.run_section import words_on_checks
    from keras_xai.plugin.payload import _method

    run = checked[0]
    checks = _method(run, "saliency")["checks"]
    assert [check["epoch"] for check in checks] == [0, 10, 11]
    assert "random orders" in checks[-1]["words"]
    sentences = words_on_checks(run)
    assert len(sentences) == 2
    assert all("(epoch 11)" in sentence for sentence, _ in sentences)
