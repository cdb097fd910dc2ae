"""The table of all training rows on the wire."""

import dataclasses

import numpy as np
import pytest

from keras_xai.row_records import TrainingRows
from keras_xai.summary.arrays import pack
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.codec import training_rows
from keras_xai.summary.json_text import json_of


def table(size=5):
    r = np.random.default_rng(0)
    shares = {name: r.random(size).astype(np.float16).astype(np.float32) for name in training_rows.SHARES}
    counts = {name: r.integers(-1 if lowest else 0, 9, size) for name, lowest in training_rows.COUNTS.items()}
    losses = {name: r.normal(size=size).astype(np.float32) for name in ("label", *training_rows.LOSSES)}
    losses["label"][:1] = np.nan
    digest = r.integers(-(2**63), 2**63 - 1, size)
    return TrainingRows(
        3, "class", digest=digest, **shares, **counts, **losses, unmatched=4, missing="why", has_numbers=False
    )


@pytest.mark.parametrize("size", [0, 1, 5])
def test_what_is_written_is_read(size):
    """Encoding and decoding is the identity, of an empty table, too; probabilities have the 11 bits of float16."""
    record = table(size)
    ((tag, _, content),) = training_rows.encode(record)
    read = training_rows.decode(3, (), list(content))
    assert tag == "keras_xai/training_rows"
    for field in dataclasses.fields(TrainingRows):
        np.testing.assert_array_equal(getattr(read, field.name), getattr(record, field.name), field.name)


CHANGES = {
    "task": {"task": "guess"},
    "unmatched": {"unmatched": -1},
    "names": {"arrays": ["digest"]},
    "no object": None,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_does_not_fit_is_unreadable(change):
    """Another task, a negative count, other arrays than it names, no JSON."""
    ((_, _, content),) = training_rows.encode(table())
    import json

    body = b"{" if change is None else json_of({**json.loads(content[0]), **change})
    with pytest.raises(Unreadable):
        training_rows.decode(3, (), [body, *content[1:]])


def test_arrays_that_do_not_fit_are_unreadable():
    """A probability of 2, another number of rows, visits below 0."""
    ((_, _, content),) = training_rows.encode(table())
    blobs = list(content)
    for number, array in ((3, np.full(5, 2, np.float16)), (2, np.zeros(4, np.float32)), (-3, np.full(5, -2, np.int32))):
        with pytest.raises(Unreadable):
            training_rows.decode(3, (), [*blobs[:number], pack(array), *blobs[number:][1:]])
