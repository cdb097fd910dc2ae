"""Predictions for the probe in a training: what is recorded, by whom, and what that leaves as it was."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.attribution.explainer import ProbeExplainer
from keras_xai.summary.event_files import events
from tests.frameworks import array

pytestmark = pytest.mark.filterwarnings("ignore:The probe has")
R = np.random.default_rng(0)
SIZE = 64
X = R.normal(size=(SIZE, 4)).astype("float32")
CLASSES = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
SEX = np.where(X[:, 2] > 0, "f", "m")
OUTPUTS = {
    "softmax": (3, "softmax", "sparse_categorical_crossentropy", CLASSES),
    "logits": (3, None, keras.losses.SparseCategoricalCrossentropy(from_logits=True), CLASSES),
    "sigmoid": (1, "sigmoid", "binary_crossentropy", (CLASSES > 0).astype(int)),
    "labels": (2, "sigmoid", "binary_crossentropy", (X[:, :2] > 0).astype("float32")),
    "number": (1, None, "mse", 3 * X[:, 0]),
}


def model(kind="softmax"):
    outputs, head, loss, _ = OUTPUTS[kind]
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(6, "relu"), keras.layers.Dense(outputs, head, name="out")]
    built = keras.Sequential([keras.Input((4,)), *layers])
    built.compile(keras.optimizers.Adam(1e-2), loss)
    return built


def fit(watched, *callbacks, kind="softmax", epochs=2, initial=0):
    watched.fit(
        X, OUTPUTS[kind][3], epochs=epochs, initial_epoch=initial, batch_size=16, verbose=0, callbacks=list(callbacks)
    )


def recorded(log_dir):
    return kx.load(log_dir)["."].predictions


def probabilities(watched, kind="softmax"):
    """The outputs of the model for the probe, as probabilities of each class or label."""
    outputs = array(watched(X)).astype(np.float64)
    if kind == "logits":
        return np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True)
    return np.concatenate([1 - outputs, outputs], 1) if kind == "sigmoid" else outputs


def check_classes(record, watched, kind="softmax"):
    """The figures of every row, from the trained model by hand."""
    outputs, y, rows = probabilities(watched, kind), OUTPUTS[kind][3], np.arange(SIZE)
    np.testing.assert_array_equal(record.prediction, outputs.argmax(1))
    np.testing.assert_array_equal(record.true, y)
    np.testing.assert_array_equal(record.right, outputs.argmax(1) == y)
    np.testing.assert_allclose(record.probability, outputs.max(1), rtol=1e-3)
    np.testing.assert_allclose(record.true_probability, outputs[rows, y], rtol=1e-3)
    np.testing.assert_allclose(record.loss, -np.log(outputs[rows, y]), rtol=1e-3, atol=1e-5)


@pytest.mark.every_backend
def test_the_drift_callback_records_the_predictions_of_its_own_pass(tmp_path):
    """At each of its updates, and at the last; of the trained model every figure by hand."""
    watched = model()
    fit(watched, kx.ImportanceDrift(tmp_path, (X, CLASSES), every=2, on_error="raise"), epochs=4)
    predictions = recorded(tmp_path)
    assert predictions.updates.tolist() == [0, 2, 3]
    check_classes(predictions.records[-1], watched)


@pytest.mark.parametrize(
    ("callback", "kind"),
    [
        (kx.ImportanceDrift, "sigmoid"),
        (kx.ImportanceDrift, "number"),
        (kx.ImportanceDrift, "labels"),
        (kx.ProbeMappings, "logits"),
        pytest.param(kx.ImportanceDrift, "logits", marks=pytest.mark.full),
        pytest.param(kx.ProbeMappings, "sigmoid", marks=pytest.mark.full),
        pytest.param(kx.ProbeMappings, "number", marks=pytest.mark.full),
        pytest.param(kx.ProbeMappings, "labels", marks=pytest.mark.full),
    ],
)
def test_every_kind_of_output_is_recorded(tmp_path, kind, callback):
    """By hand from the outputs of the trained model."""
    watched, y = model(kind), OUTPUTS[kind][3]
    fit(watched, callback(tmp_path, (X, y), on_error="raise"), kind=kind, epochs=1)
    record, outputs = recorded(tmp_path).records[-1], array(watched(X)).astype(np.float64)
    if kind == "number":
        np.testing.assert_allclose(record.prediction, outputs, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(record.loss, np.square(outputs[:, 0] - y), rtol=1e-2, atol=1e-4)
        assert np.isnan(record.right).all()
    elif kind == "labels":
        np.testing.assert_allclose(record.probability, outputs, rtol=1e-3)
        np.testing.assert_array_equal(record.prediction, outputs > 0.5)
        np.testing.assert_allclose(record.right, ((outputs > 0.5) == y).mean(1))
        truth = np.where(y == 1, outputs, 1 - outputs)
        np.testing.assert_allclose(record.loss, -np.log(truth).mean(1), rtol=1e-3, atol=1e-5)
    else:
        check_classes(record, watched, kind)


def written(log_dir):
    """The steps at which predictions stand in the files."""
    paths = sorted((log_dir / "keras_xai").glob("events*"))
    all_events = [event for path in paths for event in events(path, [])]
    return [event.step for event in all_events for value in event.summary.value if value.tag == "keras_xai/predictions"]


MAKERS = {
    "drift": lambda directory, probe: kx.ImportanceDrift(directory, probe, on_error="raise"),
    "mappings": lambda directory, probe: kx.ProbeMappings(directory, probe, surrogates=(), on_error="raise"),
    "attributions": lambda directory, probe: kx.ProbeAttributions(
        directory, probe, "saliency", samples=4, on_error="raise"
    ),
    "gradients": lambda directory, probe: kx.WeightGradients(directory, on_error="raise"),
}


QUICK = [("attributions",), tuple(MAKERS)]
PAIRS = [names for size in (1, 2) for names in itertools.combinations(MAKERS, size) if names not in QUICK]


@pytest.mark.parametrize("sliced", [False, True], ids=["whole", "sliced"])
@pytest.mark.parametrize(
    "names", [*QUICK, *(pytest.param(names, marks=pytest.mark.full) for names in PAIRS)], ids="-".join
)
def test_exactly_one_callback_writes_at_an_update(tmp_path, names, sliced):
    """Whichever makes a pass over the probe anyway; nobody makes one for it."""
    probe = kx.Probe(X, CLASSES, slices={"sex": SEX} if sliced else None)
    watched = model()
    fit(watched, *(MAKERS[name](tmp_path, probe) for name in names), epochs=1)
    makes_a_pass = {"drift", "mappings"} | ({"attributions"} if sliced else set())
    assert written(tmp_path) == ([0] if makes_a_pass & set(names) else [])
    if written(tmp_path):
        check_classes(recorded(tmp_path).records[0], watched)


def test_explain_always_records_them(tmp_path):
    """Once an update, with and without mappings, also where the callbacks look at other epochs."""
    options = {"method": "saliency", "on_error": "raise"}
    watch = kx.Explain(tmp_path, (X, CLASSES), mappings={"every": 3}, drift={"every": 2}, **options)
    fit(model(), watch, epochs=5)
    assert written(tmp_path) == [0, 2, 3, 4]
    other = tmp_path / "other"
    fit(model(), kx.Explain(other, (X, CLASSES), method=None, on_error="raise"), epochs=1)
    assert written(other) == [0]


def test_of_two_probes_the_larger_one_is_recorded(tmp_path):
    """By the callback that runs the model on it."""
    small = kx.ProbeMappings(tmp_path, (X[:32], CLASSES[:32]), surrogates=(), on_error="raise")
    fit(model(), small, kx.ImportanceDrift(tmp_path, (X, CLASSES), on_error="raise"))
    assert written(tmp_path) == [0, 1]
    assert recorded(tmp_path).right.shape == (2, SIZE)


def test_no_pass_is_made_for_them(tmp_path, monkeypatch):
    """Of 70 classes, whose outputs no attribution holds whole, nor of a probe with slices."""
    monkeypatch.setattr(ProbeExplainer, "outputs", None)
    keras.utils.set_random_seed(1)
    watched = keras.Sequential([keras.Input((4,)), keras.layers.Dense(70, "softmax")])
    watched.compile("adam", "sparse_categorical_crossentropy")
    probe = kx.Probe(X, CLASSES, slices={"sex": SEX})
    fit(watched, kx.ImportanceDrift(tmp_path, probe, on_error="raise"), epochs=1)
    record = recorded(tmp_path).records[0]
    check_classes(record, watched)
    loss = -np.log(probabilities(watched)[np.arange(SIZE), CLASSES])
    np.testing.assert_allclose(record.slice_loss, [loss[value == SEX].mean() for value in ("f", "m")], rtol=1e-4)


def test_the_training_is_the_same_to_the_last_bit(tmp_path):
    """With the record and without any callback."""
    plain, watched = model(), model()
    fit(plain)
    fit(watched, kx.ImportanceDrift(tmp_path, (X, CLASSES), on_error="raise"))
    for first, second in zip(plain.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_continued_run_goes_on(tmp_path):
    """Under the same tag, one record an epoch."""
    watched = model()
    for initial in (0, 1):
        callback = kx.ImportanceDrift(tmp_path, (X, CLASSES), on_error="raise")
        fit(watched, callback, epochs=initial + 1, initial=initial)
    assert recorded(tmp_path).updates.tolist() == [0, 1]
    check_classes(recorded(tmp_path).records[-1], watched)


def test_updates_inside_an_epoch_are_recorded(tmp_path):
    """By their steps, with the epoch of each."""
    watched = model()
    fit(watched, kx.ImportanceDrift(tmp_path, (X, CLASSES), every=kx.steps(3), on_error="raise"))
    predictions = recorded(tmp_path)
    assert predictions.unit == "step"
    assert predictions.steps.tolist() == kx.load(tmp_path)["."].updates
    assert predictions.epochs.tolist() == [kx.load(tmp_path)["."].epoch_of(step) for step in predictions.steps]
    check_classes(predictions.records[-1], watched)


def test_labels_of_a_probe_that_is_not_stored_are_not_written(tmp_path):
    """Counts are: who is what stays untold, how many are taken for what does not."""
    watched = model()
    fit(watched, kx.ImportanceDrift(tmp_path, kx.Probe(X, CLASSES, store="none"), on_error="raise"), epochs=1)
    record = recorded(tmp_path).records[0]
    assert record.true is None
    assert np.isnan([record.right, record.true_probability, record.loss]).all()  # they would tell it
    assert record.counts.total == SIZE
    assert record.counts.cells[:, 3].sum() == SIZE


def test_labels_that_do_not_fit_the_output_are_left_out(tmp_path):
    """A function of the user's own may give something else than the labels are about."""
    probe = kx.Probe(X, CLASSES, output=lambda watched, x: watched(x)[:, :2], target=0)
    fit(model("logits"), kx.ImportanceDrift(tmp_path, probe, on_error="raise"), kind="logits", epochs=1)
    record = recorded(tmp_path).records[0]
    assert record.true is None
    assert np.isnan(record.loss).all()
