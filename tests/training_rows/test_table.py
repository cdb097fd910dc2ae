"""The table of all training rows, against a slow twin that keeps a list for each row."""

import numpy as np
import pytest

from keras_xai.backend.row_watch import LoggedRows
from keras_xai.digests import row_digest
from keras_xai.row_records import EARLY, keyed
from keras_xai.summary.codec.training_rows import _halves
from keras_xai.training_rows.table import RowTable

EPOCHS, SIZE, CLASSES = 8, 30, 3
R = np.random.default_rng(0)
X = R.normal(size=(SIZE, 2)).astype(np.float32)
X[7] = X[3]  # copies: with one label each, and with two
X[11] = X[4]
Y = R.integers(0, CLASSES, SIZE)
Y[7], Y[11] = Y[3], (Y[4] + 1) % CLASSES
PROBABILITY = R.random((EPOCHS, SIZE)).astype(np.float32)
PREDICTION = R.integers(0, CLASSES, (EPOCHS, SIZE))
PROBABILITY[:, 7], PREDICTION[:, 7] = PROBABILITY[:, 3], PREDICTION[:, 3]


def logged(epoch, rows):
    figures = np.stack(
        [Y[rows], PREDICTION[epoch, rows], -np.log(PROBABILITY[epoch, rows]), PROBABILITY[epoch, rows]], 1
    )
    return LoggedRows(_halves(row_digest(X[rows])), figures.astype(np.float32))


def filled(table, epochs=range(EPOCHS), resumed=False):
    for epoch in epochs:
        order = np.random.default_rng(epoch).permutation(SIZE)
        order = order[order != 20]  # a row of the validation split
        for rows in np.array_split(order, 4):
            table.add(logged(epoch, rows), "class", CLASSES)
        table.end_epoch()
    return table


def check(table, rows):
    seen = np.arange(SIZE) != 20
    right = PREDICTION == Y
    expected = {
        "label": Y,
        "probability": PROBABILITY.mean(0),
        "variability": PROBABILITY.std(0),
        "early_probability": PROBABILITY[:EARLY].mean(0),
        "last_probability": PROBABILITY[-1],
        "correctness": right.mean(0),
        "loss": -np.log(PROBABILITY).mean(0),
        "last_loss": -np.log(PROBABILITY[-1]),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(table, name)[rows[seen]], values[seen], 1e-5, 1e-6, err_msg=name)
    for row in np.flatnonzero(seen):
        counts = np.bincount(PREDICTION[:EARLY, row], minlength=CLASSES)
        assert table.read_as[rows[row]] == counts.argmax()
        forgotten = sum(before and not after for before, after in zip(right[:-1, row], right[1:, row], strict=True))
        assert table.forgetting[rows[row]] == forgotten
        assert table.visits[rows[row]] == EPOCHS


def test_rows_of_the_user():
    """Means over epochs, in the order of x; a row that no step saw is NaN, and another row is counted as unmatched."""
    digests = row_digest(X)
    table = filled(RowTable(keyed(digests, Y), digests, 1))
    stranger = LoggedRows(np.array([[1, 2]], np.int32), np.zeros((1, 4), np.float32))
    table.add(stranger, "class", CLASSES)
    table.end_epoch()
    record = table.record(EPOCHS, "class")
    check(record, np.arange(SIZE))
    assert (record.unmatched, record.visits[20]) == (1, 0)
    assert np.isnan(record.probability[20])
    assert 20 not in record.suspects(None)
    assert len(record.suspects(None)) == SIZE - 1
    early = PROBABILITY[:EARLY].mean(0)
    adjusted = [
        early[row] - np.mean([early[k] for k in range(SIZE) if Y[k] == Y[row] and k != 20]) for row in range(SIZE)
    ]
    np.testing.assert_allclose(2 * np.delete(record.label_quality, 20) - 1, np.delete(adjusted, 20), atol=1e-5)
    assert record.suspects(1)[0] == np.argmin(np.where(np.arange(SIZE) == 20, np.inf, adjusted))


def test_rows_as_they_come():
    """Without x a row of other values or label is a row of its own; `find` gives the place of each of x."""
    record = filled(RowTable(None, None, 100)).record(EPOCHS, "class")
    rows = record.find(X, Y)
    assert (rows[20], rows[3], len(record.digest)) == (-1, rows[7], SIZE - 2)
    assert rows[4] != rows[11]
    check(record, np.where(rows < 0, 0, rows))
    assert (record.find(X)[[3, 4]] >= 0).all()
    assert record.find(X + 1).tolist() == [-1] * SIZE


def test_room_for_few_rows():
    """What comes when the table is full is counted as unmatched."""
    record = filled(RowTable(None, None, 10)).record(EPOCHS, "class")
    assert len(record.digest) == 10
    copies = np.bincount(record.find(X, Y)[record.find(X, Y) >= 0], minlength=10).sum()
    assert record.unmatched == EPOCHS * (SIZE - 1 - copies)


@pytest.mark.parametrize("has_numbers", [True, False])
def test_a_run_that_goes_on(has_numbers):
    """The figures of a record are taken over: only whether the last visit was right is not known."""
    digests = row_digest(X)
    arguments = (keyed(digests, Y), digests, 1) if has_numbers else (None, None, 100)
    first = filled(RowTable(*arguments), range(6)).record(6, "class")
    table = RowTable(*arguments)
    table.resume(first)
    record, whole = (
        filled(t, e).record(EPOCHS, "class") for t, e in ((table, (6, 7)), (RowTable(*arguments), range(8)))
    )
    rows, reference = (t.find(X, Y)[np.arange(SIZE) != 20] for t in (record, whole))
    for name in (
        "visits",
        "probability",
        "variability",
        "early_probability",
        "correctness",
        "loss",
        "read_as",
        "label",
    ):
        np.testing.assert_allclose(
            getattr(record, name)[rows], getattr(whole, name)[reference], 1e-5, 1e-5, err_msg=name
        )
