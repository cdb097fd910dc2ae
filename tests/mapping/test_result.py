"""What a model says, how sure it is, and simple models that stand for it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.special import softmax as reference_softmax
from sklearn.linear_model import Ridge
from sklearn.metrics import confusion_matrix

from keras_xai.calibration import calibration_error, calibration_floor
from keras_xai.mapping.decision import Target, linear_probes
from keras_xai.mapping.gram import GramDecomposition
from keras_xai.mapping.predictions import predictions_of
from keras_xai.mapping.result import result
from keras_xai.mapping.surrogate import Columns, linear, pooled_inputs, svm
from keras_xai.probe import Probe

R = np.random.default_rng(0)
LOGITS = R.normal(size=(60, 4)) * 2
LABEL = R.integers(0, 4, 60)


def classes(logits=LOGITS, function="softmax"):
    return predictions_of(logits, logits, "logit", function, "class")


# The result.


def slow_calibration_error(certainty, correct, bins=15):
    """Bin by bin, as the paper writes it."""
    total = 0.0
    for k in range(bins):
        inside = (certainty > k / bins) & (certainty <= (k + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - certainty[inside].mean())
    return total


@given(st.integers(0, 10_000), st.integers(1, 300))
def test_calibration_error_is_that_of_a_slow_twin(seed, size):
    """Bins open on the left."""
    r = np.random.default_rng(seed)
    certainty, correct = 1 - r.random(size), r.random(size) < 0.5
    assert calibration_error(certainty, correct) == pytest.approx(slow_calibration_error(certainty, correct), abs=1e-9)


def test_the_floor_is_what_a_perfectly_calibrated_model_shows():
    """The mean error of models that are right as often as they say, drawn by a slow twin; it shrinks with the samples."""
    r = np.random.default_rng(1)
    certainty = r.uniform(0.3, 1, 256)
    drawn = [slow_calibration_error(certainty, r.random(256) < certainty) for _ in range(300)]
    assert calibration_floor(certainty) == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / np.sqrt(100))
    assert calibration_floor(certainty) == calibration_floor(certainty)
    assert calibration_floor(np.tile(certainty, 16)) < 0.5 * calibration_floor(certainty)


def test_a_recordof_classes():
    """Probabilities by scipy, confusion by scikit-learn, gap and accuracy by their definitions."""
    held_out = np.arange(60) >= 40
    record = result(classes(), LABEL, held_out, keep_label=True)
    p = reference_softmax(LOGITS, 1)
    np.testing.assert_allclose(record.confidence, p[np.arange(60), LABEL], rtol=1e-6)
    np.testing.assert_allclose(record.certainty, p.max(1), rtol=1e-6)
    right = LOGITS.argmax(1) == LABEL
    np.testing.assert_array_equal(record.correct, right)
    assert record.accuracy == pytest.approx(right.mean())
    assert record.held_out_accuracy == pytest.approx(right[40:].mean())
    assert record.confidence_gap == pytest.approx(p.max(1).mean() - right.mean())
    np.testing.assert_array_equal(record.confusion, confusion_matrix(LABEL, LOGITS.argmax(1), labels=range(4)))
    np.testing.assert_allclose(record.logits, LOGITS, rtol=1e-3, atol=1e-3)
    assert result(classes(), LABEL, None, keep_label=False).label is None


def test_a_single_output_speaks_for_class_one():
    """Sigmoid: two classes, the probability of the true one."""
    logits = LOGITS[:, :1]
    predictions = predictions_of(logits, expit(logits), "logit", "sigmoid", "class")
    label = LABEL % 2
    record = result(predictions, label, None, keep_label=True)
    p = expit(logits[:, 0])
    np.testing.assert_array_equal(record.prediction, p > 0.5)
    np.testing.assert_allclose(record.confidence, np.where(label, p, 1 - p), rtol=1e-6)
    np.testing.assert_allclose(record.certainty, np.maximum(p, 1 - p), rtol=1e-6)
    assert record.confusion.shape == (2, 2)
    assert record.classes == 2


def test_probabilities_without_logits_have_their_logarithm():
    """A model whose last operation is not the softmax: the same prediction, a logit that a softmax turns back."""
    p = reference_softmax(LOGITS, 1)
    predictions = predictions_of(p, p, "probability", "softmax", "class")
    np.testing.assert_allclose(reference_softmax(predictions.logits, 1), p, rtol=1e-9)
    np.testing.assert_array_equal(predictions.prediction, LOGITS.argmax(1))


def test_several_labels_a_sample():
    """Everything over pairs of sample and label; right means all of them."""
    truth = R.integers(0, 2, (60, 4))
    predictions = predictions_of(LOGITS, expit(LOGITS), "logit", "sigmoid", "labels")
    record = result(predictions, truth, None, keep_label=True)
    hits = (LOGITS > 0) == truth
    p = expit(LOGITS)
    assert record.accuracy == pytest.approx(hits.mean())
    np.testing.assert_array_equal(record.correct, hits.all(1))
    np.testing.assert_allclose(record.confidence, np.where(truth, p, 1 - p).mean(1), rtol=1e-6)
    assert record.ece == pytest.approx(slow_calibration_error(np.maximum(p, 1 - p).ravel(), hits.ravel()))
    assert record.confusion is None


def test_numbers_have_no_certainty():
    """Regression: the output is the prediction, the rest is NaN."""
    values = LOGITS[:, :1]
    record = result(predictions_of(values, values, "raw", "", "value"), values[:, 0] + 1, None, keep_label=True)
    np.testing.assert_array_equal(record.prediction, values[:, 0])
    assert np.isnan([record.accuracy, record.ece, record.confidence_gap, *record.confidence]).all()
    assert record.correct is None


def test_of_many_classes_the_true_one_and_the_top_five_are_kept():
    """A thousand columns would be 0.5 MB an epoch."""
    logits = R.normal(size=(30, 1000))
    label = R.integers(0, 1000, 30)
    record = result(classes(logits), label, None, keep_label=True)
    assert record.logits.shape == record.columns.shape == (30, 6)
    np.testing.assert_array_equal(record.columns[:, 0], label)
    np.testing.assert_array_equal(record.columns[:, 1:], np.argsort(-logits, 1)[:, :5])
    np.testing.assert_allclose(record.logits, np.take_along_axis(logits, record.columns, 1), rtol=1e-3, atol=1e-3)
    without = result(classes(logits), None, None, keep_label=True)
    assert (without.columns[:, 0] == -1).all()
    assert np.isnan(without.logits[:, 0]).all()
    assert record.confidence[0] == pytest.approx(reference_softmax(logits[0])[label[0]], rel=1e-5)


def test_logits_that_are_not_finite_are_no_crash():
    """A training that ended in NaN: no accuracy, no calibration, still a record."""
    logits = LOGITS.copy()
    logits[3] = np.nan
    with np.errstate(all="ignore"):
        record = result(classes(logits), LABEL, np.ones(60, bool), keep_label=True)
    assert np.isnan(
        [record.ece, record.ece_floor, record.accuracy, record.confidence_gap, record.held_out_accuracy]
    ).all()
    assert not record.correct[3]


# The decision.


def decomposition(x):
    return GramDecomposition(x - x.mean(0), is_gram=False)


def linear_probe(target, layer):
    return linear_probes([target], [layer])[0][0]


def test_readability_is_the_accuracy_of_refits():
    """Its class is that of a ridge fitted without the sample; R² of numbers from the left-out errors."""
    x = R.normal(size=(60, 5))
    label = (x @ [2, -1, 0, 0, 0] + R.normal(size=60) > 0).astype(int)
    reading = linear_probe(Target(label, "class", 2), decomposition(x))
    from keras_xai.mapping.ridge import ridge

    penalty = ridge(decomposition(x), np.eye(2)[label]).penalty
    seen = []
    for i in range(60):
        rest = np.arange(60) != i
        fit = Ridge(alpha=penalty, solver="svd").fit(x[rest], np.eye(2)[label][rest])
        # against the mean of all samples, not of those that are left
        seen.append((fit.predict(x[i : i + 1])[0] - np.eye(2)[label][rest].mean(0) + np.eye(2)[label].mean(0)).argmax())
    np.testing.assert_array_equal(reading.prediction, seen)
    assert reading.score == pytest.approx((np.array(seen) == label).mean())
    assert reading.standard_error == pytest.approx(np.sqrt(reading.score * (1 - reading.score) / 60))

    number = x[:, 0] + R.normal(size=60)
    reading = linear_probe(Target(number, "value", 1), decomposition(x))
    left = ridge(decomposition(x), number[:, None]).left_out[:, 0]
    assert reading.score == pytest.approx(1 - np.square(number - left).sum() / np.square(number - number.mean()).sum())
    assert (reading.prediction == -1).all()


def test_a_layer_that_says_nothing_reads_at_chance():
    """Not below it, as a plain leave-one-out would: there a sample's own class is always a little rarer."""
    label = np.arange(200) % 2
    scores = [linear_probe(Target(label, "class", 2), decomposition(R.normal(size=(200, 4)))).score for _ in range(40)]
    assert np.mean(scores) == pytest.approx(0.5, abs=0.03)
    assert Target(label, "class", 2).chance == 0.5


def test_nothing_to_read_is_nan():
    """One class only, or a layer that gives the same for everybody."""
    same = GramDecomposition(np.zeros((60, 3)), is_gram=False)
    assert np.isnan(linear_probe(Target(LABEL, "class", 4), same).score)
    assert np.isnan(linear_probe(Target(np.zeros(60, int), "class", 4), decomposition(R.normal(size=(60, 3)))).score)
    assert np.isnan(
        linear_probe(
            Target.of_predictions(classes(np.tile([1.0, 0], (60, 1)))), decomposition(R.normal(size=(60, 3)))
        ).score
    )


def test_chance_of_labels_and_numbers():
    """The commonest state of each label; 0 for R²."""
    truth = np.array([[1, 0], [1, 0], [1, 1], [0, 0]])
    assert Target(truth, "labels", 2).chance == 0.75
    assert Target(truth[:, 0] * 1.5, "value", 1).chance == 0


# Surrogates.


def test_a_linear_model_is_explained_whole():
    """R² 1, full agreement, and coefficients that are the model's own, per standard deviation and class-centred."""
    x = R.normal(size=(80, 5)) * [1, 2, 3, 0, 1] + 4
    weights = R.normal(size=(5, 3))
    predictions = classes(x @ weights)
    surrogate = linear(Columns.of(list("abcde"), x), predictions)
    assert surrogate.r2 == pytest.approx(1, abs=1e-4)
    assert surrogate.agreement == 1
    expected = x.std(0)[:, None] * (weights - weights.mean(1, keepdims=True))
    np.testing.assert_allclose(surrogate.coefficients, expected, rtol=2e-2, atol=1e-3)
    assert not surrogate.coefficients[3].any()  # a column that never changes
    assert surrogate.classes == (0, 1, 2)


def test_what_no_line_explains_has_no_r2():
    """XOR."""
    x = R.normal(size=(200, 2))
    xor = 5 * np.sign(x[:, :1] * x[:, 1:])
    assert linear(Columns.of("ab", x), classes(np.concatenate([xor, -xor], 1))).r2 < 0.1
    one = predictions_of(xor, expit(xor), "logit", "sigmoid", "class")
    assert linear(Columns.of("ab", x), one).classes == (1,)
    assert np.isnan(linear(Columns.of("ab", x), predictions_of(xor, xor, "raw", "", "value")).agreement)


def test_the_svm_agrees_with_a_linear_model():
    """And says which inputs count; the same twice; None where the model says one thing only."""
    x = R.normal(size=(120, 4))
    columns, predictions = Columns.of("abcd", x), classes(np.stack([x[:, 0], x[:, 1], -x[:, 0]], 1))
    surrogate = svm(columns, predictions)
    assert surrogate.agreement > 0.9
    assert np.abs(surrogate.coefficients).max(1).argsort()[-2:].tolist() in ([0, 1], [1, 0])
    np.testing.assert_array_equal(surrogate.coefficients, svm(columns, predictions).coefficients)
    binary = svm(columns, classes(np.stack([x[:, 0], -x[:, 0]], 1)))
    assert binary.coefficients.shape == (4, 1)
    assert binary.classes == (1,)
    assert binary.coefficients[0, 0] < 0
    assert svm(columns, classes(np.tile([1.0, 0], (120, 1)))) is None


def test_what_a_surrogate_gets_to_see():
    """Columns by name; means of 8 × 8 cells, over channels; of 8 stretches a channel; of tokens what the model embeds."""
    names, values = pooled_inputs(Probe(R.normal(size=(5, 3)), feature_names=list("xyz")))
    assert names == ["x", "y", "z"]
    pictures = R.random((5, 16, 12, 2))
    names, values = pooled_inputs(Probe(pictures))
    assert (values.shape, names[9]) == ((5, 64), "cell (1,1)")
    np.testing.assert_allclose(values[:, 0], pictures[:, 0:2, 0:2].mean((1, 2, 3)))
    np.testing.assert_allclose(values.reshape(5, 8, 8)[:, 7, 7], pictures[:, 14:16, 10:12].mean((1, 2, 3)))
    series = R.normal(size=(5, 20, 2))
    names, values = pooled_inputs(Probe(series, kind="series"))
    assert values.shape == (5, 16)
    np.testing.assert_allclose(values[:, 0], series[:, 0:2, 0].mean(1))
    assert pooled_inputs(Probe(np.ones((5, 7), int), kind="tokens")) is None
    several = Probe({"a": R.normal(size=(5, 2)), "b": R.normal(size=(5, 1))})
    assert pooled_inputs(several)[0] == ["a: column 0", "a: column 1", "b: column 0"]


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 40))
def test_cells_cover_a_picture_once(side):
    """The mean over cells weighted by their size is the mean of the picture."""
    from keras_xai.image import cell_edges

    edges = cell_edges(side, 8)
    assert (edges[0], edges[-1]) == (0, side)
    assert (np.diff(edges) > 0).all()
    assert len(edges) == min(8, side) + 1
