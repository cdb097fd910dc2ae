"""Records of slices through a file."""

import dataclasses

import numpy as np
import pytest

from keras_xai.records import Slices
from tests.summary.runs import through_a_file
from tests.summary.slice_records import VALUES, slices_of

pytestmark = pytest.mark.oldest


def assert_same(back: Slices, record: Slices) -> None:
    """All figures are equal, to the last bit of float32."""
    for field in dataclasses.fields(Slices):
        one, other = getattr(back, field.name), getattr(record, field.name)
        if dataclasses.is_dataclass(other):
            for part in dataclasses.fields(other):
                np.testing.assert_array_equal(getattr(one, part.name), getattr(other, part.name), field.name)
        elif isinstance(other, np.ndarray):
            np.testing.assert_array_equal(one, other)
        else:
            assert one == other, field.name


def test_slices_come_back_as_they_were_written(tmp_path):
    """With all figures, in the order of epochs."""
    run = through_a_file(tmp_path, [slices_of(epoch) for epoch in (0, 2, 1)])
    assert [record.epoch for record in run.slices] == [0, 1, 2]
    for record in run.slices:
        assert_same(record, slices_of(record.epoch))
    assert run.slices[1].names == ("hospital", "sex")
    assert run.passed_over == {}


def test_what_was_not_measured_in_an_epoch_is_none(tmp_path):
    """The readout comes later than the accuracy: its names stand with its own first value."""
    early = dataclasses.replace(slices_of(0), importance=None, gaps=None, readout=None)
    unknown = dataclasses.replace(early, epoch=1, accuracy=np.full(5, np.nan, "f4"), overall_accuracy=float("nan"))
    run = through_a_file(tmp_path, [early, unknown, slices_of(2)])
    assert [record.readout is None for record in run.slices] == [True, True, False]
    assert (run.slices[0].importance, run.slices[0].gaps) == (None, None)
    assert np.isnan(run.slices[1].accuracy).all()
    assert np.isnan(run.slices[1].overall_accuracy)
    assert_same(run.slices[2], slices_of(2))


def test_a_run_without_slices_has_none(tmp_path):
    """An empty list, and nothing is passed over."""
    run = through_a_file(tmp_path, [])
    assert (run.slices, run.passed_over) == ([], {})


def test_a_resumed_run_replaces_the_slices_it_repeats(tmp_path):
    """As every other record."""
    through_a_file(tmp_path, [slices_of(epoch) for epoch in range(3)])
    run = through_a_file(tmp_path, [dataclasses.replace(slices_of(7), epoch=1)], [1], start=1)
    assert [record.epoch for record in run.slices] == [0, 1]
    np.testing.assert_array_equal(run.slices[1].accuracy, slices_of(7).accuracy)


def test_records_of_two_callbacks_join(tmp_path):
    """The one has the importance, the other the readout; of other slices the first stays."""
    importance = dataclasses.replace(slices_of(0), readout=None)
    readout = dataclasses.replace(slices_of(0), importance=None, gaps=None)
    for pair in ((importance, readout), (readout, importance)):
        assert_same(pair[0].joined(pair[1]), slices_of(0))
    other = dataclasses.replace(readout, values=VALUES[:3])
    assert importance.joined(other) is importance
