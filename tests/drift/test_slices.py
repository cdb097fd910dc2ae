"""Accuracy, importance and gaps by slice: against loops, scikit-learn and closed forms."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from keras_xai.drift.reliance_gap import Evidence, reliance_gap
from keras_xai.drift.slices import (
    accuracy_by_slice,
    gaps_by_slice,
    importance_by_slice,
    slice_means,
    slice_values,
)
from keras_xai.records import SliceValue
from keras_xai.slice_accuracy import largest_gap, wilson_interval, worst_slice


def draw(seed: int = 0, size: int = 200):
    """Slices of three hospitals and two sexes, labels and predictions, right in 80 %."""
    r = np.random.default_rng(seed)
    slices = {
        "hospital": (("east", "north", "south"), r.integers(0, 3, size)),
        "sex": (("f", "m"), r.integers(0, 2, size)),
    }
    labels = r.integers(0, 4, size)
    predictions = np.where(r.random(size) < 0.8, labels, (labels + 1) % 4)
    return slices, labels, predictions, r


def rows_of(slices):
    """The rows of each value, in the order of a record."""
    return [codes == k for labels, codes in slices.values() for k in range(len(labels))]


def test_accuracy_and_confidence_are_those_of_scikit_learn_on_the_rows_of_each_value():
    """accuracy_score, and the mean of what each row has."""
    slices, labels, predictions, r = draw()
    confidence = r.random(200)
    record = accuracy_by_slice(3, slices, (labels == predictions).astype(float), confidence)
    assert [(value.slice, value.value) for value in record.values] == [
        ("hospital", "east"), ("hospital", "north"), ("hospital", "south"), ("sex", "f"), ("sex", "m"),
    ]  # fmt: skip
    for k, rows in enumerate(rows_of(slices)):
        assert record.values[k].rows == rows.sum()
        assert record.accuracy[k] == pytest.approx(accuracy_score(labels[rows], predictions[rows]))
        assert record.confidence[k] == pytest.approx(confidence[rows].mean())
    assert record.overall_accuracy == pytest.approx(accuracy_score(labels, predictions))
    assert (record.epoch, record.size, record.names) == (3, 200, ("hospital", "sex"))


def test_a_value_without_rows_has_no_accuracy():
    """A gallery may hold none of a hospital: that is not 0 %."""
    slices = {"hospital": (("north", "south"), np.zeros(4, int))}
    record = accuracy_by_slice(0, slices, np.ones(4), np.ones(4))
    assert slice_values(slices)[1] == SliceValue("hospital", "south", 0)
    np.testing.assert_array_equal(record.accuracy, [1, np.nan])
    assert worst_slice(record) is None  # of four rows nothing is said


def test_importance_is_the_share_of_the_mean_magnitude_in_the_rows():
    """By a loop; what is not measured is NaN, and no part of the total."""
    slices, *_, r = draw()
    magnitude = r.random((200, 5)) * [1, 2, 3, 4, 5]
    hidden = np.array([False, False, True, False, False])
    measured = importance_by_slice(slices, magnitude, list("abcde"))
    partly = importance_by_slice(slices, magnitude, list("abcde"), hidden)
    for k, rows in enumerate(rows_of(slices)):
        mean = magnitude[rows].mean(0)
        np.testing.assert_allclose(measured.share[k], mean / mean.sum())
        mean[2] = 0
        np.testing.assert_allclose(partly.share[k], np.where(hidden, np.nan, mean / mean.sum()))
    np.testing.assert_allclose(measured.overall, magnitude.mean(0) / magnitude.mean(0).sum())
    assert np.isnan(partly.overall).tolist() == hidden.tolist()


def test_an_importance_that_is_zero_or_not_finite_is_unknown():
    """Of that value alone."""
    slices = {"sex": (("f", "m"), np.array([0, 0, 1, 1]))}
    magnitude = np.array([[0, 0], [0, 0], [1, 3], [1, 3.0]])
    np.testing.assert_array_equal(importance_by_slice(slices, magnitude, "ab").share, [[np.nan] * 2, [0.25, 0.75]])
    magnitude[0, 0] = np.inf
    np.testing.assert_array_equal(importance_by_slice(slices, magnitude, "ab").share, [[np.nan] * 2, [0.25, 0.75]])


@pytest.mark.parametrize(("right", "rows"), [(0, 8), (8, 8), (5, 12), (60, 100)])
def test_the_interval_holds_the_accuracies_that_are_not_rejected(right, rows):
    """At an end p of Wilson's interval the observed share is 1.96 standard errors of p away: the score test, solved."""
    low, high = wilson_interval(np.asarray(right / rows), np.asarray(rows))
    for end in (float(low), float(high)):
        if 0 < end < 1:
            assert abs(right / rows - end) / np.sqrt(end * (1 - end) / rows) == pytest.approx(1.959964, rel=1e-5)
    assert low <= right / rows <= high
    assert 0 <= low < high <= 1


def record_of(rows: dict[str, tuple[int, int]], name: str = "hospital"):
    """A record from rows and right ones of each value."""
    right = np.concatenate([np.repeat([1.0, 0.0], [good, count - good]) for count, good in rows.values()])
    codes = np.repeat(np.arange(len(rows)), [count for count, _ in rows.values()])
    return accuracy_by_slice(0, {name: (tuple(rows), codes)}, right, np.full(len(right), np.nan))


def test_the_worst_slice_has_enough_rows_and_ties_go_by_name():
    """Seven rows are not enough, eight are; of equal accuracies the first name."""
    worst = worst_slice(record_of({"a": (7, 0), "c": (8, 4), "b": (8, 4), "d": (50, 40)}))
    assert (worst.value.value, worst.accuracy) == ("b", 0.5)
    assert (worst.low, worst.high) == tuple(map(float, wilson_interval(np.asarray(0.5), np.asarray(8))))
    assert str(worst.value) == "hospital = b"
    assert worst_slice(record_of({"a": (7, 0), "b": (7, 0)})) is None


def test_the_largest_gap_is_the_one_that_is_largest_beyond_chance():
    """8 rows at 50 % scatter more than 100 at 60 %: the second is surer, though its gap is smaller."""
    record = record_of({"few": (8, 4), "many": (100, 60), "rest": (200, 190)})
    gap = largest_gap(record)
    assert gap.value.value == "many"
    assert gap.gap == pytest.approx(254 / 308 - 0.6)
    others = (254 - 60) / 208
    assert gap.gap == pytest.approx(208 / 308 * (others - 0.6))  # the whole holds the slice
    assert largest_gap(record, "sex") is None
    assert largest_gap(record_of({"all": (20, 10)})) == (SliceValue("hospital", "all", 20), 0.0, 0.0)


def test_the_standard_error_of_a_gap_is_what_draws_scatter_by():
    """2,000 draws of two groups with known accuracies: at most a few per cent apart."""
    r = np.random.default_rng(0)
    gaps, errors = [], []
    for _ in range(2000):
        a, b = r.binomial(30, 0.5), r.binomial(90, 0.95)
        gap = largest_gap(record_of({"a": (30, a), "b": (90, b)}), "hospital")
        assert gap.value.value == "a"
        gaps.append(gap.gap)
        errors.append(gap.standard_error)
    assert np.mean(errors) == pytest.approx(np.std(gaps), rel=0.05)


def test_a_rule_stays_whole_where_slices_differ_by_chance_alone():
    """Six hospitals of 20 rows at one accuracy, 400 draws: beyond 10 points by two standard errors in less than 1 of 100."""
    r = np.random.default_rng(1)
    beyond = 0
    for _ in range(400):
        record = record_of({f"h{k}": (20, r.binomial(20, 0.8)) for k in range(6)})
        gap = largest_gap(record, "hospital")
        beyond += gap.gap - 2 * gap.standard_error > 0.1
    assert beyond <= 4


def test_the_gap_of_a_slice_is_the_reliance_gap_of_its_rows_against_the_others():
    """A feature that speaks for the label in one hospital alone is named there, and nowhere else."""
    r = np.random.default_rng(0)
    hospital = np.repeat([0, 1, 2], 80)
    classes = np.tile([0, 1], 120)
    contributions = r.normal(size=(240, 6)) * 0.1 + [1, 1, 1, 1, 1, 0]
    contributions[hospital == 1, 5] += 1
    evidence = Evidence(contributions, classes, np.ones(240))
    slices = {"hospital": (("a", "b", "c"), hospital), "one": (("x", "y"), np.zeros(240, int))}
    gaps = gaps_by_slice(slices, evidence, list("uvwxyz"))
    inside = hospital == 1
    whole = reliance_gap(Evidence(*(e[inside] for e in evidence)), Evidence(*(e[~inside] for e in evidence)))
    assert (gaps.features[1], gaps.z[1]) == ("z", whole.z[5])
    assert gaps.z[1] > 10
    assert all(gaps.z[[0, 2]] < 4.25)
    assert gaps.features[3:] == ("", "")
    assert np.isnan(gaps.z[3:]).all()  # nothing stands on the other side


def test_means_of_rows_keep_their_other_axes():
    """(B, F) becomes (V, F)."""
    slices, *_, r = draw()
    figures = r.random((200, 2, 3))
    means = slice_means(slices, figures)
    for k, rows in enumerate(rows_of(slices)):
        np.testing.assert_allclose(means[k], figures[rows].mean(0))
