"""A `Mappings` record through a real event file, and what is derived from several."""

import contextlib
import dataclasses

import numpy as np
import pytest

import keras_xai as kx
from keras_xai.records import Mappings, Samples
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.codec import mappings as wire
from keras_xai.summary.metadata import encode
from keras_xai.summary.writer import Writer


def through_a_file(directory, records):
    writer = Writer(directory / "keras_xai")
    for record in records:
        writer.write([record])
    writer.close()
    return kx.load(directory)["."]


def assert_same(one, two):
    """Field by field, arrays by their values; float32 on the wire."""
    if dataclasses.is_dataclass(one):
        for f in dataclasses.fields(one):
            assert_same(getattr(one, f.name), getattr(two, f.name))
    elif isinstance(one, dict):
        assert list(one) == list(two)
        for key, value in one.items():
            assert_same(value, two[key])
    elif isinstance(one, np.ndarray):
        assert np.issubdtype(two.dtype, np.floating) == np.issubdtype(one.dtype, np.floating)
        np.testing.assert_array_equal(two, one)
    elif isinstance(one, float):
        np.testing.assert_equal(two, one)
    else:
        assert two == one


@pytest.mark.parametrize("labels", [True, False])
def test_a_record_comes_back_as_it_was_written(tmp_path, mappings, labels):
    """Every field of every part, bit for bit, with and without labels."""
    written = [mappings(epoch, labels=labels) for epoch in range(3)]
    found = through_a_file(tmp_path, written).mappings
    assert len(found) == 3
    for one, two in zip(written, found, strict=True):
        assert_same(one, two)


def test_other_shapes_come_back_too(tmp_path, mappings):
    """More than 64 classes keep columns; labels and values have predictions of their own shape."""
    record = mappings(0)
    many = dataclasses.replace(
        record.result, classes=1000, columns=np.arange(72).reshape(12, 6) - 1, logits=np.zeros((12, 6), np.float16)
    )
    labels = dataclasses.replace(record.result, answer="labels", prediction=np.ones((12, 3), np.int64))
    values = dataclasses.replace(
        record.result, answer="value", prediction=np.linspace(0, 1, 12, dtype=np.float32), correct=None
    )
    written = [
        dataclasses.replace(record, epoch=e, result=dataclasses.replace(r, label=None, held_out=None))
        for e, r in enumerate((many, labels, values))
    ]
    for one in written:  # each in a run of its own: what the answers are is a constant of a run
        (found,) = through_a_file(tmp_path / str(one.epoch), [one]).mappings
        assert_same(one, found)


def test_samples_are_derived_from_the_records(tmp_path, mappings):
    """Mean and standard deviation over epochs of the confidence, against the arrays themselves."""
    written = [mappings(epoch) for epoch in (0, 1, 2, 4)]
    samples = through_a_file(tmp_path, written).samples
    confidence = np.stack([w.result.confidence for w in written]).astype(np.float64)
    np.testing.assert_allclose(samples.mean_confidence, confidence.mean(0))
    np.testing.assert_allclose(samples.variability, confidence.std(0))
    assert samples.epochs.tolist() == [0, 1, 2, 4]
    assert samples.suspects(3).tolist() == confidence.mean(0).argsort()[:3].tolist()
    assert Samples.of([]) is None
    assert kx.load(tmp_path)["."].samples.churn.shape == (4,)


def history_of(mappings, right):
    """Records of samples that are right where `right` (E, B) says so; two classes."""
    record, size = mappings(0), len(right[0])
    label = np.zeros(size, int)
    records = []
    for epoch, row in enumerate(np.asarray(right, bool)):
        result = dataclasses.replace(
            record.result,
            prediction=1 - row.astype(int),
            correct=row,
            label=label,
            confidence=row.astype("f4"),
            classes=2,
        )
        records.append(dataclasses.replace(record, epoch=epoch, result=result))
    return records


def test_forgetting_is_counted_as_by_hand(mappings):
    """Right, wrong, right, wrong: forgotten twice, first learned at 0; never right: −1 (Toneva et al. 2019)."""
    right = np.array([[1, 0, 0, 1], [0, 0, 1, 1], [1, 0, 1, 1], [0, 0, 1, 1]])
    samples = Samples.of(history_of(mappings, right))
    assert samples.forgetting.tolist() == [2, 0, 0, 0]
    assert samples.first_learned.tolist() == [0, -1, 1, 0]
    assert samples.correctness.tolist() == [0.5, 0, 0.75, 1]
    np.testing.assert_array_equal(samples.churn, [np.nan, 0.5, 0.25, 0.25])


def test_a_slow_twin_counts_the_same(mappings):
    """Forgetting and first learning of random histories, sample by sample and epoch by epoch."""
    right = np.random.default_rng(0).random((9, 40)) < 0.6
    samples = Samples.of(history_of(mappings, right))
    for b in range(40):
        lost = sum(right[e, b] and not right[e + 1, b] for e in range(8))
        first = next((e for e in range(9) if right[e, b]), -1)
        assert (samples.forgetting[b], samples.first_learned[b]) == (lost, first)


def test_samples_without_labels_say_so(mappings):
    """NaN and −1; the churn is known all the same."""
    samples = Samples.of([mappings(epoch, labels=False) for epoch in range(3)])
    assert np.isnan(samples.mean_confidence).all()
    assert (samples.forgetting == -1).all()
    assert np.isfinite(samples.churn[1:]).all()
    assert samples.suspects().size == 0


def test_the_confusion_counts_true_against_predicted(mappings):
    """Rows are true classes; None where there is no label."""
    result = mappings(0).result
    counts = result.confusion
    for true in range(3):
        for said in range(3):
            assert counts[true, said] == ((result.label == true) & (result.prediction == said)).sum()
    assert mappings(0, labels=False).result.confusion is None


def test_damaged_records_are_unreadable_and_nothing_worse(mappings):
    """A flipped byte in the JSON or in an array, a blob too few: `Unreadable`, or a record."""
    ((_, data, blobs),) = encode(mappings(1))
    about = wire.Constants.of(data)
    r = np.random.default_rng(0)
    for k in range(300):
        damaged = [bytearray(b) for b in blobs]
        one = damaged[0 if k % 2 else r.integers(len(damaged))]
        one[r.integers(len(one))] ^= int(r.integers(1, 255))
        with contextlib.suppress(Unreadable):
            assert isinstance(wire.decode(1, about, [bytes(b) for b in damaged]), Mappings)
    with pytest.raises(Unreadable):
        wire.decode(1, about, blobs[:-1])
