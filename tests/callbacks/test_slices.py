"""Slices of a probe in a training: what each callback records of them, in `logs` and in files."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.metrics import accuracy_score
from sklearn.model_selection import LeaveOneOut, cross_val_predict

import keras_xai as kx
from keras_xai.callbacks.prediction_watch import ProbePass
from keras_xai.callbacks.slice_watch import slices_of_figures
from keras_xai.drift.reliance_gap import Evidence, reliance_gap
from keras_xai.model.task import decide
from keras_xai.slice_accuracy import largest_gap, worst_slice
from keras_xai.summary.event_files import events
from tests.frameworks import array

R = np.random.default_rng(0)
SIZE = 128
X = R.normal(size=(SIZE, 4)).astype("float32")
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
HOSPITAL = np.array(["east", "north", "south"])[R.integers(0, 3, SIZE)]
SEX = np.where(X[:, 2] > 0, "f", "m")  # which the first layer holds
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def model(outputs=3, activation=None, loss=LOGITS):
    keras.utils.set_random_seed(1)
    hidden = keras.layers.Dense(6, "relu", name="first")
    built = keras.Sequential([keras.Input((4,)), hidden, keras.layers.Dense(outputs, activation, name="out")])
    built.compile(keras.optimizers.Adam(1e-2), loss)
    return built


def probe(y=Y, **slices):
    return kx.Probe(X, y, feature_names=list("abcd"), slices=slices or {"hospital": HOSPITAL, "sex": SEX})


def fit(watched, *callbacks, epochs=2, y=Y):
    return watched.fit(X, y, epochs=epochs, batch_size=32, verbose=0, callbacks=list(callbacks)).history


def slices_of_outputs(update, rows, task, outputs):
    """The record of outputs (B, K) that come in two parts."""
    passed = ProbePass(rows, task)
    for part in np.split(outputs, [40]):
        passed.add(part)
    return slices_of_figures(update, rows, passed.figures)


def slices_in(log_dir):
    return kx.load(log_dir)["."].slices


def rows_of(record):
    """The rows of each value."""
    columns = {"hospital": HOSPITAL, "sex": SEX}
    return [columns[value.slice] == value.value for value in record.values]


def check_accuracy(record, probabilities, y=Y):
    """The figures of a record against scikit-learn, from the probabilities (B, K) of the trained model."""
    for k, rows in enumerate(rows_of(record)):
        assert record.values[k].rows == rows.sum()
        assert record.accuracy[k] == pytest.approx(accuracy_score(y[rows], probabilities[rows].argmax(1)))
        assert record.confidence[k] == pytest.approx(probabilities[rows, y[rows]].mean(), abs=1e-5)
    assert record.overall_accuracy == pytest.approx(accuracy_score(y, probabilities.argmax(1)))
    assert record.overall_confidence == pytest.approx(probabilities[np.arange(SIZE), y].mean(), abs=1e-5)


def probabilities_of(watched):
    return array(keras.ops.softmax(watched(X)))


@pytest.mark.every_backend
@pytest.mark.parametrize("callback", [kx.ProbeMappings, kx.ProbeAttributions])
def test_accuracy_and_confidence_are_those_of_scikit_learn(tmp_path, callback):
    """Of the whole probe, though the gallery is a part of it; and the worst slice is in `logs` of every epoch."""
    watched = model()
    history = fit(watched, callback(tmp_path, probe(), every=2, on_error="raise"), epochs=4)
    records = slices_in(tmp_path)
    assert [record.epoch for record in records] == [0, 2, 3]
    assert records[0].names == ("hospital", "sex")
    check_accuracy(records[-1], probabilities_of(watched))
    worst = {record.epoch: worst_slice(record).accuracy for record in records}
    np.testing.assert_allclose(history["xai_worst_slice"], [worst[0], worst[0], worst[2], worst[3]])


def test_a_layer_tells_a_slice_as_refits_of_scikit_learn_do(tmp_path):
    """Ridge without each sample in turn, at the penalty with the smallest error; chance is the commonest value's share."""
    watched = model()
    fit(watched, kx.ProbeMappings(tmp_path, probe(), surrogates=(), on_error="raise"))
    readout = slices_in(tmp_path)[-1].readout
    assert (readout.layers, readout.slices) == (("first", "logits"), ("hospital", "sex"))
    layers = [array(watched.layers[0](X)).astype(np.float64), array(watched(X)).astype(np.float64)]
    for s, values in enumerate((HOSPITAL, SEX)):
        labels, codes = np.unique(values, return_inverse=True)
        assert readout.chance[s] == pytest.approx(np.bincount(codes).max() / SIZE)
        for layer, activations in enumerate(layers):
            predicted = refits(activations - activations.mean(0), np.eye(len(labels))[codes])
            score = (predicted == codes).mean()
            assert readout.readability[layer, s] == pytest.approx(score, abs=1.5 / SIZE)
            assert readout.standard_error[layer, s] == pytest.approx(np.sqrt(score * (1 - score) / SIZE), abs=2e-3)


def refits(z, targets):
    """The class that fits without each sample predict, at the penalty at which they err least."""
    total = np.square(z).sum()
    penalties = [relative * total / SIZE for relative in np.logspace(-4, 2, 7)]
    chosen = RidgeCV(penalties).fit(z, targets).alpha_  # by generalised cross-validation, sample by sample
    left_out = cross_val_predict(Ridge(chosen, solver="cholesky"), z, targets, cv=LeaveOneOut())
    # against the mean of all samples, not of those that are left
    return (left_out + (targets - targets.mean(0)) / (SIZE - 1)).argmax(1)


def test_a_probe_without_slices_records_none(tmp_path):
    """Nor is there a key in `logs`."""
    plain = kx.Probe(X, Y)
    callbacks = [kx.ProbeMappings(tmp_path, plain), kx.ProbeAttributions(tmp_path, plain)]
    assert "xai_worst_slice" not in fit(model(), *callbacks)
    assert slices_in(tmp_path) == []


def test_several_callbacks_write_one_record_an_epoch(tmp_path):
    """With all that each of them measured, also in the last epoch, which is not scheduled for one of them."""
    attributions = kx.ProbeAttributions(tmp_path, probe(), on_error="raise")
    mappings = kx.ProbeMappings(tmp_path, probe(), every=lambda epoch: epoch == 1, on_error="raise")
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(watched, "stop_training", epoch == 2)
    )
    watched = model()
    history = fit(watched, attributions, mappings, stop, epochs=9)
    records = slices_in(tmp_path)
    # Of the gallery's callback the mappings' own looks suffice: it makes no pass over the whole probe.
    assert [record.epoch for record in records] == [0, 1, 2]
    assert all(record.readout is not None for record in records)
    assert len(history["xai_worst_slice"]) == 3
    check_accuracy(records[-1], probabilities_of(watched))


@pytest.mark.parametrize(
    ("outputs", "head", "loss", "y"),
    [
        (3, "softmax", "sparse_categorical_crossentropy", Y),
        (3, "", LOGITS, Y),
        (1, "sigmoid", "binary_crossentropy", (Y > 0).astype(int)),
        (1, "", keras.losses.BinaryCrossentropy(from_logits=True), (Y > 0).astype(int)),
        (2, "sigmoid", "binary_crossentropy", np.stack([X[:, 0] > 0, X[:, 1] > 0], 1).astype("float32")),
        (1, "", "mse", X[:, 0]),
    ],
    ids=["softmax", "logits", "sigmoid", "logit", "labels", "number"],
)
def test_every_kind_of_output_has_its_figures(outputs, head, loss, y):
    """By hand from the outputs; numbers have no accuracy, which is not 0 %."""
    logits = np.random.default_rng(2).normal(size=(SIZE, outputs)) * 2
    if outputs == 1 or np.ndim(y) == 2:
        raw = 1 / (1 + np.exp(-logits))
    else:
        raw = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    task = decide(head, raw if head else logits, loss, y, named=False)
    record = slices_of_outputs(4, probe(y), task, (raw if head else logits).astype("float32"))
    assert record.epoch == 4
    if loss == "mse":
        assert np.isnan([*record.accuracy, record.overall_accuracy, *record.confidence]).all()
        return
    if outputs == 1:
        raw = np.concatenate([1 - raw, raw], 1)
    if np.ndim(y) == 2:
        right, confidence = ((raw > 0.5) == y).mean(1), np.where(y == 1, raw, 1 - raw).mean(1)
    else:
        right, confidence = raw.argmax(1) == y, raw[np.arange(SIZE), y]
    for k, rows in enumerate(rows_of(record)):
        assert record.accuracy[k] == pytest.approx(right[rows].mean())
        assert record.confidence[k] == pytest.approx(confidence[rows].mean(), abs=1e-5)


def test_outputs_that_are_not_finite_have_no_accuracy():
    """A model whose weights are NaN is right nowhere we know of: of the slices that hold such a row, without a warning."""
    outputs = np.full((SIZE, 3), 1 / 3, "float32")
    row = int(np.flatnonzero(HOSPITAL == "north")[0])
    outputs[row] = np.nan
    record = slices_of_outputs(0, probe(), decide("softmax", outputs, LOGITS, Y, named=False), outputs)
    assert np.isnan(record.accuracy).tolist() == [row in np.flatnonzero(rows) for rows in rows_of(record)]
    assert np.isnan(record.overall_accuracy)


def test_labels_that_do_not_fit_a_function_of_the_users_own_are_no_labels():
    """It may give something else than the labels are about."""
    own = kx.Probe(X, np.arange(SIZE), output=lambda model, x: model(x), slices={"sex": SEX})
    outputs = np.full((SIZE, 3), 1 / 3, "float32")
    record = slices_of_outputs(0, own, decide("softmax", outputs, LOGITS, Y, named=False), outputs)
    assert np.isnan(record.accuracy).all()


def test_a_probe_without_labels_has_a_readout_and_no_accuracy(tmp_path):
    """What a layer tells of a slice needs no label; a slice of one value is recorded, and cannot be read."""
    unlabelled = probe(None, site=["a"] * SIZE, sex=SEX)
    history = fit(model(), kx.ProbeMappings(tmp_path, unlabelled, surrogates=(), on_error="raise"))
    record = slices_in(tmp_path)[-1]
    assert np.isnan(record.accuracy).all()
    assert np.isnan(record.readout.readability).tolist() == [[True, False]] * 2
    assert record.readout.chance[0] == 1
    assert np.isnan(history["xai_worst_slice"]).all()


def test_a_continued_run_goes_on_with_its_slices(tmp_path):
    """The same slices are the same run; other ones are another."""
    watched = model()
    for slices, initial in ((probe(), 0), (probe(), 1), (probe(sex=SEX), 2)):
        callback = kx.ProbeMappings(tmp_path, slices, surrogates=(), on_error="raise")
        watched.fit(X, Y, epochs=initial + 1, initial_epoch=initial, verbose=0, callbacks=[callback])
    runs = kx.load(tmp_path)
    assert [record.epoch for record in runs["."].slices] == [0, 1]
    assert [record.names for record in runs["keras_xai-2"].slices] == [("sex",)]


@pytest.mark.every_backend
def test_the_drift_callback_records_accuracy_and_importance_by_slice(tmp_path):
    """Without a further pass over the probe: its own attributions say both. Of a linear model saliency is the weights."""
    keras.utils.set_random_seed(1)
    watched = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    watched.compile("adam", "sparse_categorical_crossentropy")
    callback = kx.ImportanceDrift(tmp_path, probe(), every=2, on_error="raise")
    history = fit(watched, callback, epochs=4)
    records = slices_in(tmp_path)
    assert [record.epoch for record in records] == [0, 2, 3]
    check_accuracy(records[-1], array(watched(X)))
    kernel = np.abs(array(watched.layers[0].kernel))
    magnitude = kernel[:, Y].T  # of the logit of the true class
    importance = records[-1].importance
    assert importance.features == ("a", "b", "c", "d")
    np.testing.assert_allclose(importance.overall, magnitude.mean(0) / magnitude.mean(0).sum(), rtol=1e-4)
    for k, rows in enumerate(rows_of(records[-1])):
        mean = magnitude[rows].mean(0)
        np.testing.assert_allclose(importance.share[k], mean / mean.sum(), rtol=1e-4)
    worst = [worst_slice(record).accuracy for record in records]
    np.testing.assert_allclose(history["xai_worst_slice"], [worst[0], worst[0], worst[1], worst[2]])


def test_all_callbacks_together_write_one_record_an_epoch(tmp_path):
    """Importance of the one, readout of the other; the files hold each figure once."""
    watched = model()
    fit(watched, kx.Explain(tmp_path, probe(), mappings={"surrogates": ()}, on_error="raise"), epochs=2)
    records = slices_in(tmp_path)
    assert [record.epoch for record in records] == [0, 1]
    assert all(record.importance is not None and record.readout is not None for record in records)
    check_accuracy(records[-1], probabilities_of(watched))
    (path,) = (tmp_path / "keras_xai").glob("events*")
    tags = [value.tag for event in events(path, []) for value in event.summary.value if "slices" in value.tag]
    groups = ["accuracy", "gaps", "importance", "readout"]
    assert sorted(tags) == sorted(2 * [f"keras_xai/slices/{group}" for group in groups])


def test_of_many_features_the_top_ones_are_recorded_by_slice_too(tmp_path):
    """600 columns are 200 and "other"; of 70 classes the outputs come by a pass of their own."""
    r = np.random.default_rng(3)
    x = r.normal(size=(SIZE, 600)).astype("float32")
    keras.utils.set_random_seed(1)
    watched = keras.Sequential([keras.Input((600,)), keras.layers.Dense(70, "softmax")])
    watched.compile("adam", "sparse_categorical_crossentropy")
    wide = kx.Probe(x, Y, slices={"sex": SEX})
    watched.fit(x, Y, epochs=1, verbose=0, callbacks=[kx.ImportanceDrift(tmp_path, wide, on_error="raise")])
    (record,) = slices_in(tmp_path)
    importance = record.importance
    assert importance.features == kx.load(tmp_path)["."].importance.names
    assert importance.share.shape == (2, 201)
    np.testing.assert_allclose(importance.share.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(importance.overall, kx.load(tmp_path)["."].importance.share[0], rtol=1e-5)
    probabilities = array(watched(x))
    for k, value in enumerate(("f", "m")):
        rows = value == SEX
        assert record.accuracy[k] == pytest.approx(accuracy_score(Y[rows], probabilities[rows].argmax(1)))
        assert record.confidence[k] == pytest.approx(probabilities[rows, Y[rows]].mean(), abs=1e-5)


def test_a_slice_to_which_another_rule_applies_is_found(tmp_path):
    """Its accuracy, the rule on it that breaks, and the feature that speaks for the label there alone."""
    r = np.random.default_rng(0)
    x, north = r.normal(size=(1024, 4)).astype("float32"), r.random(1024) < 0.2
    y = np.where(north, x[:, 2] > 0, x[:, 0] + x[:, 1] > 0).astype(int)
    keras.utils.set_random_seed(1)
    watched = keras.Sequential([keras.Input((4,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(2)])
    watched.compile(keras.optimizers.Adam(5e-3), LOGITS)
    names = ["age", "dose", "rate", "weight"]
    looked_at = kx.Probe(
        x[:512], y[:512], feature_names=names, slices={"site": np.where(north, "north", "south")[:512]}
    )
    alerts = []
    rules = {"site": 0.02}
    callback = kx.ImportanceDrift(tmp_path, looked_at, rules=rules, on_drift=alerts.append, on_error="raise")
    watched.fit(x[512:], y[512:], epochs=9, verbose=0, callbacks=[callback])
    record = slices_in(tmp_path)[-1]
    worst = worst_slice(record)
    assert str(worst.value) == "site = north"
    assert worst.high < record.overall_accuracy
    gap = largest_gap(record, "site")
    assert gap.gap - 2 * gap.standard_error > 0.02
    (alert,) = alerts
    assert (alert.source, alert.verdict) == ("rule", "rule broken")
    assert alert.sentence.startswith("the accuracy where site is north is ")
    assert record.gaps.features[0] == "rate"
    assert record.gaps.z[0] > 4.25 > record.gaps.z[1]


def test_gaps_between_slices_are_those_of_the_probes_own_evidence(tmp_path):
    """By hand: of a linear model a contribution is the distance to the mean row times the weight of the margin."""
    keras.utils.set_random_seed(1)
    watched = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    watched.compile("sgd", LOGITS)
    y = (X[:, 0] > 0).astype(int)
    fit(watched, kx.ImportanceDrift(tmp_path, probe(y, sex=SEX), on_error="raise"), y=y, epochs=1)
    gaps = slices_in(tmp_path)[-1].gaps
    kernel = array(watched.layers[0].kernel).astype(np.float64)
    weight = (kernel[:, 1] - kernel[:, 0]) * np.where(y == 1, 1, -1)[:, None]
    contributions = (X - X.mean(0)) * weight
    for k, value in enumerate(("f", "m")):
        rows = value == SEX
        inside = Evidence(contributions[rows], y[rows], np.ones(rows.sum()))
        outside = Evidence(contributions[~rows], y[~rows], np.ones((~rows).sum()))
        z = reliance_gap(inside, outside).z
        assert gaps.z[k] == pytest.approx(z.max(), abs=1e-2)
        assert gaps.features[k] == ("abcd"[int(z.argmax())] if z.max() > 0 else "")
    fit(watched, kx.ImportanceDrift(tmp_path / "off", probe(y, sex=SEX), gap=False, on_error="raise"), y=y, epochs=1)
    assert slices_in(tmp_path / "off")[-1].gaps is None
