"""The screen of a table against scikit-learn and scipy."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from keras_xai.probe import Probe
from keras_xai.training_checks.columns import Column, columns_of
from keras_xai.training_checks.screen import column_power, data_screen, roc_area, target_means

GENERATOR = np.random.default_rng(0)
LABELS = (np.arange(240) % 2).astype(np.int64)


def column(values, *, is_category=False):
    return Column("x", np.asarray(values, np.float64), is_category)


@pytest.mark.parametrize("levels", [0, 5])
def test_the_area_is_that_of_scikit_learn(levels):
    """With and without ties."""
    values = GENERATOR.normal(size=240) + 0.4 * LABELS
    values = np.round(values * levels) if levels else values
    assert roc_area(values, LABELS) == pytest.approx(roc_auc_score(LABELS, values), abs=1e-12)
    assert column_power(column(-values), LABELS, "AUC") == pytest.approx(roc_auc_score(LABELS, values), abs=1e-12)


def test_the_correlation_is_that_of_scipy():
    """|Spearman's ρ|, with ties."""
    target = GENERATOR.normal(size=240)
    values = np.round(target**3 - GENERATOR.normal(size=240))
    expected = abs(stats.spearmanr(values, target).statistic)
    assert column_power(column(-values), target, "|Spearman|") == pytest.approx(expected, abs=1e-12)


def test_categories_stand_for_the_mean_label_of_other_rows():
    """A slow twin: row by row the mean over the rows of other folds with its category."""
    categories = GENERATOR.integers(0, 4, 60).astype(np.float64)
    target = (GENERATOR.random(60) < 0.2 + 0.2 * categories).astype(np.float64)
    fold = np.random.default_rng(0).permutation(60) % 5
    for row, mean in enumerate(target_means(categories, target)):
        others = (fold != fold[row]) & (categories == categories[row])
        assert mean == pytest.approx(target[others].mean())


def test_a_column_of_row_numbers_tells_nothing():
    """Each category once: no other row has it. In the fold itself it would tell every label."""
    assert column_power(column(np.arange(240), is_category=True), LABELS, "AUC") < 0.65
    telling = column(LABELS + 2 * GENERATOR.integers(0, 3, 240), is_category=True)
    assert column_power(telling, LABELS, "AUC") == 1.0


def test_a_leak_constant_columns_and_copies_are_found():
    """Celsius and Fahrenheit, a column of one value, one that is the label."""
    x = GENERATOR.normal(size=(240, 6)).astype(np.float32)
    x[:, 2], x[:, 3], x[:, 4] = 1.8 * x[:, 1] + 32, 7, LABELS + 0.1 * x[:, 4]
    probe = Probe(x, LABELS, feature_names=["age", "celsius", "fahrenheit", "unit", "leak", "<script>"])
    screen = data_screen(probe, LABELS, "probe rows")
    assert screen.names[np.flatnonzero(screen.constant)[0]] == "unit"
    assert np.isnan(screen.power[3])
    assert [copies.names for copies in screen.copies] == [("celsius", "fahrenheit")]
    assert screen.strongest(1) == [("leak", 1.0)]
    assert screen.summary == (
        "Screen of 6 columns in 240 probe rows, no alarm: leak (AUC 1.000) alone tells the label: as it should be, or a leak; "
        "unit is constant: nothing can be learned from it; copies of each other: celsius = fahrenheit."
    )


def test_a_class_is_told_from_all_others():
    """Of three classes a column tells the third; a class with fewer than eight rows is not asked for."""
    classes = np.repeat([0, 1, 2, 3], [80, 80, 76, 4])
    x = GENERATOR.normal(size=(240, 2)).astype(np.float32)
    x[:, 1] += 9 * (classes == 2)
    x[:, 0] += 9 * (classes == 3)
    screen = data_screen(Probe(x, classes), classes, "live rows")
    assert screen.tells.tolist()[1] == 2
    assert screen.power[1] > 0.99 > screen.power[0]


def test_what_is_no_table_and_what_has_no_label():
    """Images are not screened; without labels there are constant columns and copies, and no power; numbers have |Spearman|."""
    assert data_screen(Probe(np.zeros((8, 4, 4, 1), "float32")), None, "probe rows") is None
    x = GENERATOR.normal(size=(40, 3)).astype(np.float32)
    unlabelled = data_screen(Probe(x), None, "probe rows")
    assert np.isnan(unlabelled.power).all()
    assert unlabelled.summary.endswith("no constant column, no copies.")
    numbers = data_screen(Probe(x, x[:, 1] ** 3), None, "probe rows")
    assert (numbers.statistic, numbers.strongest(1)) == ("|Spearman|", [("column 1", 1.0)])
    assert data_screen(Probe(x[:1]), None, "probe rows") is None
    one_class = data_screen(Probe(x, np.zeros(40, int)), np.zeros(40, np.int64), "probe rows")
    assert np.isnan(one_class.power).all()


def test_columns_come_in_any_structure():
    """A dict of columns with texts, and whole numbers of few values, which are categories."""
    rows = {"city": np.array(["Bern", "Basel"] * 8), "age": np.arange(16.0), "code": np.arange(16) % 4}
    columns = {column.name: column for column in columns_of(Probe(rows, kind="table"))}
    assert {name: column.is_category for name, column in columns.items()} == {"city": True, "age": False, "code": True}
    assert columns["city"].values.tolist()[:2] == [1.0, 0.0]
