"""A `Mappings` record through a real event file, and what is derived from several."""

import contextlib
import dataclasses
import json

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
    support = np.stack([w.decision.support[:-1].astype(np.float64).mean(0) for w in written]).mean(0)
    np.testing.assert_allclose(samples.label_support, support)
    np.testing.assert_allclose(samples.label_quality, (confidence.mean(0) + support) / 2)
    assert samples.suspects(3).tolist() == samples.label_quality.argsort()[:3].tolist()
    assert Samples.of([]) is None
    assert kx.load(tmp_path)["."].samples.churn.shape == (4,)


def test_records_of_before_are_read_without_what_came_later(tmp_path, mappings):
    """No support in the file: NaN, and the suspects are those of the confidence alone."""
    record = mappings(1)
    ((_, data, blobs),) = encode(record)
    body = json.loads(blobs[0])
    later = [name == "support" for name in body["arrays"]]
    assert sum(later) == 1
    body["arrays"] = [name for name, is_later in zip(body["arrays"], later, strict=True) if not is_later]
    kept = [blob for blob, is_later in zip(blobs[1:], later, strict=True) if not is_later]
    old = wire.decode(1, wire.Constants.of(data), [json.dumps(body).encode(), *kept])
    assert np.isnan(old.decision.support).all()
    samples = Samples.of([old])
    assert np.isnan(samples.label_support).all()
    assert samples.suspects(4).tolist() == record.result.confidence.argsort()[:4].tolist()
    assert_same(dataclasses.replace(old, decision=record.decision), record)


def test_the_support_of_the_output_and_of_a_dense_output_is_not_counted(mappings):
    """The model's own output says what it memorised; a dense output has a label at each position; no labels, no support."""
    record = mappings(0)
    support = record.decision.support.copy()
    support[-1], support[0] = 0, np.nan  # a dead layer
    np.testing.assert_array_equal(with_support(record, support).label_support, support[1].astype(np.float64))
    dense = dataclasses.replace(record, result=dataclasses.replace(record.result, unit="pixel"))
    for other in (dense, mappings(0, labels=False)):
        assert np.isnan(other.label_support).all()
        np.testing.assert_array_equal(other.label_quality, other.result.confidence.astype(np.float64))


def with_support(record, support):
    return dataclasses.replace(record, decision=dataclasses.replace(record.decision, support=support))


def test_prediction_depth_is_counted_as_by_hand(mappings):
    """The first layer from which on all probes say what the model says; the output where the last one before it does not."""
    record = mappings(0)
    prediction = record.result.prediction
    wrong = (prediction + 1) % 3
    read_as = np.stack([prediction, prediction, prediction])
    read_as[0, [1, 3]] = wrong[[1, 3]]  # agree from layer 1 on
    read_as[1, [2, 3]] = wrong[[2, 3]]  # the last layer before the output disagrees
    read_as[2] = wrong  # what a probe reads from the output does not matter
    decided = dataclasses.replace(record, decision=dataclasses.replace(record.decision, read_as=read_as))
    assert decided.prediction_depth.tolist() == [0, 1, 2, 2, *[0] * 8]
    read_as[1] = -1  # a layer that tells no samples apart
    assert decided.prediction_depth.tolist() == [0, 2, 0, 2, *[0] * 8]
    number = dataclasses.replace(record, result=dataclasses.replace(record.result, answer="value"))
    assert (number.prediction_depth == -1).all()


def history_of(mappings, right):
    """Records of samples that are right where `right` (E, B) says so; two classes."""
    size = len(right[0])
    record = mappings(0, size)
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
