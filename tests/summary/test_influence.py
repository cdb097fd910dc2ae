"""Records of influence through a file."""

import dataclasses

import numpy as np
import pytest

from keras_xai.records import AlertReference, InfluenceRanks, RowInfluences
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.codec import influence
from tests.summary.runs import through_a_file

pytestmark = pytest.mark.oldest

NONE = np.full((2, 1), np.nan, "f4")
RECORD = RowInfluences(
    epoch=1,
    layer="<b>head</b>",
    loss="mse",
    live=np.array([3, 70000, 12]),
    labels=np.array([0, 1, 2.5], "f4"),
    checkpoints=2,
    probe=InfluenceRanks(np.array([[3], [12]]), np.array([[0.5], [2]], "f4"), np.array([[-1], [-1]]), NONE),
    alerts=(AlertReference("gap", 1, ("age", "<script>")),),
    on_alerts=InfluenceRanks(
        np.array([[3, 12]]), np.array([[2, 1]], "f4"), np.array([[70000]]), np.array([[-1]], "f4")
    ),
)


def test_influence_comes_back_as_it_was_written(tmp_path):
    """All figures to the last bit, numbers of rows beyond 16 bits, names as they are; with and without labels and alerts."""
    empty = InfluenceRanks(*[np.zeros((0, 2), dtype) for dtype in ("i4", "f4", "i4", "f4")])
    plain = dataclasses.replace(RECORD, epoch=0, labels=None, alerts=(), on_alerts=empty)
    run = through_a_file(tmp_path, [plain, RECORD])
    assert run.passed_over == {}
    assert [record.epoch for record in run.influences] == [0, 1]
    back = run.influences[1]
    for name in ("layer", "loss", "checkpoints", "alerts"):
        assert getattr(back, name) == getattr(RECORD, name)
    for name in ("live", "labels"):
        np.testing.assert_array_equal(getattr(back, name), getattr(RECORD, name))
    for pair in ((back.probe, RECORD.probe), (back.on_alerts, RECORD.on_alerts)):
        for values, expected in zip(*pair, strict=True):
            np.testing.assert_array_equal(values, expected)
    assert run.influences[0].labels is None
    assert run.influences[0].on_alerts.proponents.shape == (0, 2)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("live", np.array([3, 3, 12])),
        ("live", np.array([3, 12])),
        ("labels", np.zeros(2, "f4")),
        ("checkpoints", 0),
        ("probe", RECORD.probe._replace(proponent_scores=np.array([[-0.5], [2]], "f4"))),
        ("probe", RECORD.probe._replace(proponent_scores=NONE)),
        ("probe", RECORD.probe._replace(proponents=np.array([[3], [4]]))),
        ("alerts", ()),
    ],
)
def test_values_that_do_not_fit_are_unreadable(field, value):
    """Rows that are not live, scores on the wrong side, another number of alerts."""
    ((_, _, blobs),) = influence.encode(dataclasses.replace(RECORD, **{field: value}))
    with pytest.raises(Unreadable):
        influence.decode(1, (), blobs)
