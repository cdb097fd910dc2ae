"""Metrics of predictions against scikit-learn and closed forms, and the sentences on them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import (
    confusion_matrix as sklearn_confusion,
)
from sklearn.metrics import (
    log_loss,
    mean_absolute_error,
    precision_recall_fscore_support,
    r2_score,
    root_mean_squared_error,
)

from keras_xai.analysis.prediction_metrics import (
    calibration,
    cells,
    class_metrics,
    confusion_matrix,
    errors,
    label_metrics,
    matrix_classes,
    predicted_classes,
    slice_rows,
    truth_histogram,
)
from keras_xai.analysis.predictions import (
    at_update,
    gallery_rows,
    rows_of_cell,
    sentence,
    surest_wrong,
    why_none,
)
from keras_xai.calibration import calibration_error
from keras_xai.drift.slices import accuracy_by_slice
from keras_xai.probe import Probe
from keras_xai.records import Predictions
from tests.mapping.mapping_records import mappings_of
from tests.run_in_epochs import RunInEpochs
from tests.summary.prediction_records import labels_of, outputs_of, predictions_of_kind

STORES = ["inputs", "none"]  # rows with their labels, or counts alone


def run_of(*records, **more):
    """A run of these predictions."""
    members = {"probe": None, "slices": [], "mappings": [], "notes": [], "stops": [], "methods": [], "importance": None}
    return RunInEpochs(predictions=Predictions.of(records), epochs=[r.epoch for r in records], **(members | more))


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_confusion_and_metrics_are_those_of_scikit_learn(kind, store):
    """From rows and from counts alike: counts, precision, recall, F1 and support by class, accuracy, cross-entropy."""
    record = predictions_of_kind(kind, 3, store=store)
    outputs, y = outputs_of(kind, seed=3), labels_of(kind)
    outputs = np.concatenate([1 - outputs, outputs], 1) if kind == "sigmoid" else outputs
    predicted, classes = outputs.argmax(1), np.arange(outputs.shape[1])
    counted = cells(record)
    counts, shares = confusion_matrix(counted, classes)
    np.testing.assert_array_equal(counts, sklearn_confusion(y, predicted))
    np.testing.assert_allclose(shares, sklearn_confusion(y, predicted, normalize="true"))
    metrics = class_metrics(counted)
    expected = precision_recall_fscore_support(y, predicted, zero_division=np.nan)
    for column, reference in zip(metrics[1:], expected, strict=True):
        np.testing.assert_allclose(column, reference)
    assert record.accuracy == pytest.approx((predicted == y).mean())
    if store == "inputs":
        assert record.loss.mean() == pytest.approx(log_loss(y, outputs), rel=1e-5)
    truth = outputs[np.arange(40), y]
    histogram = truth_histogram(record)
    expected = np.histogram(truth, np.linspace(0, 1, 21))[0]
    np.testing.assert_array_equal(histogram.right + (0 if histogram.wrong is None else histogram.wrong), expected)


@pytest.mark.parametrize("store", STORES)
def test_labels_have_metrics_of_their_own(store):
    """Of the rows that have each, at the threshold 0.5."""
    record = predictions_of_kind("labels", 2, store=store)
    y, outputs = labels_of("labels"), outputs_of("labels", seed=2)
    metrics = label_metrics(record)
    expected = precision_recall_fscore_support(y, outputs > 0.5, zero_division=np.nan)
    for column, reference in zip(metrics[1:], expected, strict=True):
        np.testing.assert_allclose(column, reference)
    for label in range(3):
        counts, _ = confusion_matrix(cells(record, label), np.arange(2))
        np.testing.assert_array_equal(counts, sklearn_confusion(y[:, label], outputs[:, label] > 0.5))
    if store == "inputs":
        assert record.loss.mean() == pytest.approx(-np.log(np.where(y == 1, outputs, 1 - outputs)).mean(), rel=1e-5)
    assert label_metrics(predictions_of_kind("softmax")) is None


def slow_calibration(certainty, right):
    """The definition, bin by bin: the weighted distance between mean certainty and accuracy."""
    error, size = 0.0, len(certainty)
    for k in range(15):
        inside = (certainty > k / 15) & (certainty <= (k + 1) / 15)
        if inside.any():
            error += inside.sum() / size * abs(certainty[inside].mean() - right[inside].mean())
    return error


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("kind", ["softmax", "sigmoid", "labels"])
def test_the_calibration_error_is_its_definition(kind, store):
    """An obvious twin; of several labels over all pairs of row and label. What chance makes is that of the mappings."""
    record = predictions_of_kind(kind, 5, store=store)
    outputs, y = outputs_of(kind, seed=5), labels_of(kind)
    if kind == "softmax":
        certainty, right = outputs.max(1), outputs.argmax(1) == y
    else:
        certainty = np.maximum(outputs, 1 - outputs).ravel()
        right = ((outputs > 0.5) == y.reshape(outputs.shape)).ravel()
    bins = calibration(record)
    assert bins.error == pytest.approx(slow_calibration(certainty, right), abs=1e-6)
    assert bins.error == pytest.approx(calibration_error(certainty, right), abs=1e-6)
    assert bins.total == certainty.size
    filled = bins.counts > 0
    assert (bins.certainty[filled] * bins.counts[filled]).sum() == pytest.approx(certainty.sum(), rel=1e-5)
    assert (bins.accuracy[filled] * bins.counts[filled]).sum() == pytest.approx(right.sum())
    assert np.isnan(bins.floor) == (store == "none")


@pytest.mark.parametrize("kind", ["margin", "number"])
def test_what_has_no_probability_is_not_calibrated(kind):
    """Margins of a hinge loss put rows in order and mean no more; numbers have no certainty."""
    record = predictions_of_kind(kind)
    assert calibration(record) is None
    assert truth_histogram(record) is None
    assert calibration(predictions_of_kind("softmax", labelled=False)) is None


def test_certainty_is_counted_against_the_truth():
    """numpy's histogram of the probability of the true class, right and wrong apart."""
    record = predictions_of_kind("softmax", 1)
    outputs, y = outputs_of("softmax", seed=1), labels_of("softmax")
    truth, right = outputs[np.arange(40), y], outputs.argmax(1) == y
    counted = truth_histogram(record)
    for part, rows in ((counted.right, right), (counted.wrong, ~right)):
        np.testing.assert_array_equal(part, np.histogram(truth[rows], np.linspace(0, 1, 21))[0])
    worst = surest_wrong(record, 5)
    order = np.argsort(truth, kind="stable")
    assert worst.tolist() == [row for row in order if not right[row]][:5]


def test_errors_of_numbers_are_those_of_scikit_learn():
    """Root mean square and mean absolute error and R², output by output; one that does not vary has no R²."""
    record = predictions_of_kind("numbers", 4)
    outputs, y = outputs_of("numbers", seed=4), labels_of("numbers")
    measured = errors(record)
    for column in range(3):
        true, predicted = y[:, column], outputs[:, column]
        assert measured.rmse[column] == pytest.approx(root_mean_squared_error(true, predicted), rel=1e-5)
        assert measured.mae[column] == pytest.approx(mean_absolute_error(true, predicted), rel=1e-5)
        assert measured.r2[column] == pytest.approx(r2_score(true, predicted), rel=1e-5)
    assert record.loss.mean() == pytest.approx(np.square(outputs - y).mean(), rel=1e-5)
    still = errors(predictions_of_kind("number", 0, np.zeros((4, 1)), np.ones((4, 1))))
    assert (still.rmse[0], np.isnan(still.r2[0])) == (1, True)
    assert errors(predictions_of_kind("number", labelled=False)) is None


def test_of_many_classes_the_confused_ones_are_drawn():
    """All that are ever confused, then the first of the rest; shares are of the whole class."""
    y = np.arange(30).repeat(2)
    predicted = y.copy()
    predicted[[50, 51]] = 7  # class 25, both
    predicted[40] = 29  # class 20, one of two
    record = predictions_of_kind("softmax", 0, np.eye(30)[predicted] * 0.9 + 0.1 / 30, y)
    counted = cells(record)
    classes = matrix_classes(counted, 30, 5)
    assert classes.tolist() == [0, 7, 20, 25, 29]
    counts, shares = confusion_matrix(counted, classes)
    assert counts[3].tolist() == [0, 2, 0, 0, 0]
    assert shares[2].tolist() == [0, 0, 0.5, 0, 0.5]
    wrong = counted.wrong
    assert list(zip(wrong.true, wrong.predicted, wrong.counts, strict=True)) == [(25, 7, 2), (20, 29, 1)]


def test_the_rows_of_a_cell_come_surest_first():
    """By the probability of their prediction; of a label by the distance from 0.5."""
    record = predictions_of_kind("softmax", 1)
    outputs, y = outputs_of("softmax", seed=1), labels_of("softmax")
    rows = rows_of_cell(record, 1, 2)
    expected = [row for row in np.argsort(-outputs.max(1)) if y[row] == 1 and outputs[row].argmax() == 2]
    assert rows.tolist() == expected
    labels = predictions_of_kind("labels", 1)
    rows = rows_of_cell(labels, 0, 1, label=2)
    probability = outputs_of("labels", seed=1)[:, 2]
    assert (np.diff(probability[rows]) <= 0).all()
    assert set(rows) == set(np.flatnonzero((labels_of("labels")[:, 2] == 0) & (probability > 0.5)))
    assert rows_of_cell(predictions_of_kind("softmax", store="none"), 1, 2).tolist() == []


def test_slices_have_accuracy_confidence_and_loss():
    """Means over the rows of each value, the least accurate first."""
    hospital = np.array(["east", "north", "north", "south"] * 10)
    record = predictions_of_kind("softmax", 2, slices={"hospital": hospital})
    probe = Probe(np.zeros((40, 2)), labels_of("softmax"), slices={"hospital": hospital})
    slices = accuracy_by_slice(2, probe.slices, record.right, record.true_probability)
    rows = slice_rows(record, slices)
    assert [row.accuracy for row in rows] == sorted(row.accuracy for row in rows)
    for row in rows:
        inside = hospital == row.value
        assert (row.rows, row.loss) == (inside.sum(), pytest.approx(record.loss[inside].mean(), rel=1e-5))
        assert row.confidence == pytest.approx(record.true_probability[inside].mean(), rel=1e-5)
    assert slice_rows(record, None) == []


def with_rows(gallery, rows):
    """The gallery with other row numbers, as an older file has it without."""
    gallery.__dict__["rows"] = rows
    return gallery


# Words.


def test_a_sentence_on_each_kind_of_output():
    """What is right of how many and what is confused; of numbers the errors."""
    y = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    predicted = np.array([0, 0, 1, 1, 1, 0, 0, 2])
    outputs = np.eye(3)[predicted] * 0.7 + 0.1
    names = Probe(np.zeros((8, 1)), y, class_names=["cat", "dog", "owl"])
    record = predictions_of_kind("softmax", 4, outputs, y)
    assert sentence(run_of(record, probe=names)) == (
        "Epoch 4: 62\u00a0% of 8 right; most often owl is read as cat (2 rows)."
    )
    assert sentence(run_of(predictions_of_kind("softmax", 4, outputs, predicted))) == (
        "Epoch 4: 100\u00a0% of 8 right; no class is taken for another."
    )
    unlabelled = predictions_of_kind("softmax", 4, outputs, y, labelled=False)
    assert sentence(run_of(unlabelled, probe=names)) == "Epoch 4: 8 rows without labels; 50\u00a0% are read as cat."
    numbers = predictions_of_kind("number", 1, np.array([[1.0], [2], [5]]), np.array([[1.0], [2], [3]]))
    assert sentence(run_of(numbers)) == "Epoch 1: RMSE 1.15, MAE 0.667, R² −1 over 3 rows."
    labels = predictions_of_kind(
        "labels", 1, np.full((4, 3), 0.9), np.array([[1, 1, 1], [1, 0, 1], [1, 0, 1], [1, 1, 1]])
    )
    assert sentence(run_of(labels)) == (
        "Epoch 1: 83\u00a0% of 3 × 4 labels right; most often wrong is label 1 (50\u00a0% of its rows)."
    )
    assert sentence(run_of()) == ""


def test_of_outputs_that_are_not_finite_the_last_finite_update_is_shown():
    """And said, with the update since when; where some rows are finite it is said how many are not."""
    lost = np.full((40, 3), np.nan)
    partly = outputs_of("softmax", seed=1)
    partly[:2] = np.nan
    with np.errstate(invalid="ignore"):
        records = [predictions_of_kind("softmax", 0), predictions_of_kind("softmax", 1, partly)]
        records += [predictions_of_kind("softmax", epoch, lost) for epoch in (2, 3)]
    run = run_of(*records)
    assert at_update(run, None).epoch == at_update(run, 2).epoch == 1
    words = "poch 1: the outputs of 2 of 40 rows are not finite."
    assert sentence(run, 1) == f"E{words}"
    assert sentence(run, 3) == f"No output is finite since epoch 2. The last before: e{words}"
    assert calibration(records[1]) is None
    assert sentence(run_of(*records[2:])) == "No output is finite since epoch 2."


def test_a_run_without_predictions_says_why():
    """The callback was not there, or the run is older, or a note says it."""
    assert why_none(run_of()).startswith("ImportanceDrift was not among the callbacks")
    assert "version" in why_none(run_of(importance=object()))
    from keras_xai.records import Note

    note = Note(0, "Predictions are not recorded: the model predicts numbers at each pixel, not classes.")
    assert why_none(run_of(notes=[note])) == "the model predicts numbers at each pixel, not classes"


def test_an_older_run_shows_the_predictions_of_its_mappings():
    """As they were recorded there: classes, certainty, confidence, right or wrong."""
    mappings = [mappings_of(epoch) for epoch in range(3)]
    record = at_update(run_of(mappings=mappings), 1)
    result = mappings[1].result
    np.testing.assert_array_equal(record.prediction, result.prediction)
    counts, _ = confusion_matrix(cells(record), np.arange(3))
    np.testing.assert_array_equal(counts, result.confusion)
    assert calibration(record).error == pytest.approx(
        slow_calibration(result.certainty.astype(float), result.correct), abs=1e-6
    )


def test_rows_of_the_gallery_are_found_by_their_labels():
    """By their recorded numbers; of an older file by the labels, as many of each class as go in evenly, or none."""
    y = labels_of("softmax")
    record = predictions_of_kind("softmax", y=y)
    probe = Probe(np.arange(40.0)[:, None], y)
    gallery = probe.gallery(6)
    for numbers in (gallery.rows, None):
        rows = gallery_rows(run_of(record, probe=with_rows(gallery, numbers)), record)
        np.testing.assert_array_equal(gallery.x[:, 0], rows)
    other = Probe(np.zeros((40, 1)), y % 2).gallery(6)  # without the third class
    assert gallery_rows(run_of(record, probe=with_rows(other, None)), record) == []
    numbers = predictions_of_kind("number")
    probe = Probe(np.arange(40.0)[:, None], labels_of("number")).gallery(5)
    assert gallery_rows(run_of(numbers, probe=with_rows(probe, None)), numbers) == [0, 1, 2, 3, 4]


def test_without_labels_the_predicted_classes_are_counted():
    """How often each, and the mean probability of it."""
    record = predictions_of_kind("softmax", 2, labelled=False)
    outputs = outputs_of("softmax", seed=2)
    shares = predicted_classes(record)
    for k, index in enumerate(shares.classes):
        inside = outputs.argmax(1) == index
        assert shares.counts[k] == inside.sum()
        assert shares.certainty[k] == pytest.approx(outputs.max(1)[inside].mean(), rel=1e-5)
    assert predicted_classes(predictions_of_kind("softmax")) is None
