"""Records of predictions through a file."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import keras_xai as kx
from keras_xai.mapping.row_predictions import MAX_ROWS
from keras_xai.records import Epoch, PredictionCounts, ProbePredictions
from keras_xai.summary.codec import predictions
from keras_xai.summary.metadata import encode
from keras_xai.summary.writer import Writer
from tests.summary.prediction_records import TASKS, predictions_of_kind

pytestmark = pytest.mark.oldest
HOSPITALS = {"hospital": np.array(["east", "north"] * 20)}


def through_a_file(tmp_path, records, epochs=range(3), start=0):
    """A run of these records, read back."""
    writer = Writer(tmp_path / "keras_xai", start=start)
    writer.write([Epoch(epoch, 1e9 + epoch, 1.0, 0.1, 1e-3, {}) for epoch in epochs])
    writer.write(records)
    writer.close()
    return kx.load(tmp_path)["."]


def assert_same(back, record):
    """All fields are equal, to the last bit of float32."""
    for field in dataclasses.fields(record):
        first, second = getattr(back, field.name), getattr(record, field.name)
        if isinstance(second, PredictionCounts):
            assert_same(first, second)
        elif isinstance(second, np.ndarray):
            np.testing.assert_array_equal(first, second.astype(first.dtype), field.name)
        else:
            assert first == second, field.name


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("options", [{}, {"labelled": False}, {"store": "none"}, {"slices": HOSPITALS}], ids=str)
def test_predictions_come_back_as_they_were_written(tmp_path, kind, options):
    """Of every kind of output; without labels, of a probe that is not stored, and with slices."""
    records = [predictions_of_kind(kind, epoch, **options) for epoch in range(3)]
    run = through_a_file(tmp_path, records)
    assert run.predictions.updates.tolist() == [0, 1, 2]
    for back, record in zip(run.predictions.records, records, strict=True):
        assert_same(back, record)
    assert run.passed_over == {}
    assert run.predictions.answer == records[0].answer
    assert run.predictions.loss.shape == run.predictions.right.shape == (3, 40)


def test_the_figures_of_all_updates_are_stacked(tmp_path):
    """(E, B) each; the truth is the same at all."""
    run = through_a_file(tmp_path, [predictions_of_kind("softmax", epoch) for epoch in range(3)])
    stacked = run.predictions
    assert stacked.prediction.shape == stacked.probability.shape == stacked.true_probability.shape == (3, 40)
    np.testing.assert_array_equal(stacked.right, stacked.prediction == stacked.true)
    np.testing.assert_allclose(stacked.accuracy, stacked.right.mean(1))
    np.testing.assert_allclose(stacked.loss, -np.log(stacked.true_probability), rtol=1e-5)


def test_a_run_without_predictions_has_none(tmp_path):
    """As one of an older version."""
    run = through_a_file(tmp_path, [])
    assert (run.predictions, run.passed_over) == (None, {})


def test_outputs_that_are_not_finite_have_no_class(tmp_path):
    """−1 and NaN, at the rows that are not finite alone."""
    outputs = np.full((6, 3), 1 / 3)
    outputs[2] = np.nan
    with np.errstate(invalid="ignore"):
        record = predictions_of_kind("softmax", 0, outputs, np.zeros(6, int))
    back = through_a_file(tmp_path, [record]).predictions.records[0]
    assert back.prediction.tolist() == [0, 0, -1, 0, 0, 0]
    assert np.flatnonzero(np.isnan(back.right)).tolist() == [2]
    assert np.flatnonzero(np.isnan(back.loss)).tolist() == [2]


def test_the_bytes_of_a_record_are_bounded():
    """About 20 a row; of very many rows 4,096 are recorded, of very many labels or numbers none but the loss."""

    def size_of(record):
        return sum(len(blob) for _, _, content in encode(record) for blob in content)

    size = 256
    softmax = predictions_of_kind("softmax", 0, np.full((size, 1000), 1e-3), np.zeros(size, int))
    assert size_of(softmax) < 24 * size
    many = predictions_of_kind("sigmoid", 0, np.full((9000, 1), 0.7), np.ones(9000, int))
    assert (len(many.right), many.rows[0], many.rows[-1]) == (MAX_ROWS, 0, 8999)
    assert size_of(many) < 24 * MAX_ROWS
    labels = predictions_of_kind("labels", 0, np.full((size, 300), 0.7), np.ones((size, 300), int))
    assert labels.prediction is None
    assert labels.counts.cells.tolist() == [[label, 1, 1, size] for label in range(300)]
    numbers = predictions_of_kind("numbers", 0, np.zeros((size, 784)), np.ones((size, 784)))
    assert (numbers.prediction, numbers.true, numbers.counts) == (None, None, None)
    assert numbers.loss.tolist() == [1] * size


def test_a_continued_run_replaces_what_it_repeats(tmp_path):
    """And one of another shape is passed over with a word."""
    through_a_file(tmp_path, [predictions_of_kind("softmax", epoch) for epoch in range(3)])
    run = through_a_file(tmp_path, [dataclasses.replace(predictions_of_kind("softmax", 7), epoch=1)], [1], start=1)
    assert run.predictions.updates.tolist() == [0, 1]
    np.testing.assert_array_equal(run.predictions.records[1].loss, predictions_of_kind("softmax", 7).loss)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prediction": np.full(40, 3)}, "whole numbers from -1 and under 3"),
        ({"true": np.full(40, -1)}, "whole numbers from 0"),
        ({"probability": np.full(40, 1.5, "f4")}, "numbers from 0 to 1"),
        ({"rows": np.full(40, 40)}, "under 40"),
        ({"right": np.full(41, 1.0, "f4"), "true_probability": np.ones(41), "loss": np.ones(41)}, "at most 40 rows"),
    ],
)
def test_what_does_not_fit_is_passed_over(tmp_path, change, words):
    """With one warning; the other updates are read."""
    forged = dataclasses.replace(predictions_of_kind("softmax", 1), **change)
    run = through_a_file(tmp_path, [predictions_of_kind("softmax"), forged])
    with pytest.warns(UserWarning, match="keras_xai/predictions"):
        updates = run.predictions.updates
    assert updates.tolist() == [0]
    assert words in run.passed_over[predictions.TAG]


def test_a_record_says_what_it_is_of():
    """The numbers of its rows in the probe, and the share that is right."""
    record = predictions_of_kind("softmax")
    assert record.row_numbers.tolist() == list(range(40))
    assert record.accuracy == pytest.approx(float(record.right.mean()))
    assert isinstance(record, ProbePredictions)
    assert np.isnan(predictions_of_kind("number").accuracy)
    assert predictions_of_kind("softmax", store="none").accuracy == pytest.approx(record.accuracy)
