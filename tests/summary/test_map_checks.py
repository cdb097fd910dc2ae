"""Checks of maps through a file."""

import numpy as np
import pytest

import keras_xai as kx
from keras_xai.records import Epoch, MapCheck
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.codec import map_checks
from keras_xai.summary.writer import Writer

pytestmark = pytest.mark.oldest


def check_of(epoch, method="saliency"):
    """Three samples, one of them with a map of zeros."""
    deletion, sensitivity = np.array([0.5, -0.25, 0.125], "f4"), np.array([0.5, np.nan, 2.0], "f4")
    return MapCheck(epoch, method, deletion + epoch, sensitivity, spread=0.02, draws=2, orders=4)


def test_checks_come_back_as_they_were_written(tmp_path):
    """By method, in the order of updates, with NaN where nothing was measured."""
    writer = Writer(tmp_path / "keras_xai", start=0)
    writer.write([Epoch(epoch, 1e9 + epoch, 1.0, 0.1, 1e-3, {}) for epoch in range(11)])
    records = [check_of(epoch, method) for epoch in (0, 10) for method in ("saliency", "a <script> method")]
    writer.write(records)
    writer.close()
    run = kx.load(tmp_path)["."]
    assert {method: [check.epoch for check in checks] for method, checks in run.map_checks.items()} == {
        "a <script> method": [0, 10],
        "saliency": [0, 10],
    }
    for check in run.map_checks["saliency"]:
        expected = check_of(check.epoch)
        np.testing.assert_array_equal(check.deletion, expected.deletion)
        np.testing.assert_array_equal(check.sensitivity, expected.sensitivity)
        assert (check.spread, check.draws, check.orders, check.method) == (0.02, 2, 4, "saliency")
    assert run.passed_over == {}


def test_a_run_without_checks_has_none(tmp_path):
    """An empty dict, and no complaint."""
    writer = Writer(tmp_path / "keras_xai", start=0)
    writer.write([Epoch(0, 1e9, 1.0, 0.1, 1e-3, {})])
    writer.close()
    assert kx.load(tmp_path)["."].map_checks == {}


@pytest.mark.parametrize("table", [np.zeros((3, 3), "f4"), np.array([[0.0, -1.0]], "f4"), b"text"])
def test_what_does_not_fit_is_unreadable(table):
    """Another number of columns, a norm below zero, no table at all."""
    with pytest.raises(Unreadable):
        map_checks.decode(0, map_checks.Constants("saliency", 0.02, 2, 4), table)
