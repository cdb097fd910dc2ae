"""`TrainingFlags` and `DataScreen` on the wire."""

import math

import numpy as np
import pytest

from keras_xai.run import Run
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.codec import training
from keras_xai.summary.store import FileStore
from keras_xai.training_records import Copies, DataScreen, TrainingFlag, TrainingFlags
from keras_xai.updates import BEFORE
from tests.summary.epoch_records import epoch_of_records
from tests.summary.runs import write

FLAGS = TrainingFlags(
    3,
    (
        TrainingFlag("model", "overfit", 2, 0.4, 0.1, "val_loss rose", "stop at epoch 1"),
        TrainingFlag(
            "<script>\u2028", "poor initialisation", BEFORE, math.nan, math.inf, "not finite", "take he_normal"
        ),
    ),
    {"neglected class": "no labels"},
    {"overfit": 0.1, "loss updates": 10.0},
)
SCREEN = DataScreen(
    BEFORE,
    ("a", "b", "<b>"),
    np.array([0.5, np.nan, 0.97], np.float32),
    "AUC",
    np.array([0, -1, 1]),
    np.array([False, True, False]),
    (Copies(("a", "<b>")),),
    64,
    "live rows",
    ("no", "yes"),
)


def fields(record):
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def test_flags_and_screen_come_back_as_they_were_written(tmp_path):
    """Numbers that are not finite, a name in markup, the moment before training."""
    write(tmp_path, lambda epoch: [*epoch_of_records(epoch), *([SCREEN, FLAGS] if epoch == 3 else [])], range(5))
    run = Run(FileStore(tmp_path))
    (record,) = run.training_flags
    assert record.flags[0] == FLAGS.flags[0]
    assert record.flags[1][:3] == FLAGS.flags[1][:3]
    assert math.isnan(record.flags[1].value)
    assert (record.unjudged, record.thresholds) == (FLAGS.unjudged, FLAGS.thresholds)
    for name, value in fields(SCREEN).items():
        np.testing.assert_array_equal(getattr(run.screen, name), value)
    assert (run.screen.moment, record.moment) == ("before training", "epoch 3")


def test_a_run_without_them_has_none(tmp_path):
    """Files of older versions."""
    write(tmp_path, lambda epoch: epoch_of_records(epoch), range(2))
    run = Run(FileStore(tmp_path))
    assert (run.training_flags, run.screen) == ([], None)


@pytest.mark.parametrize(
    "body",
    [
        b'{"flags": [], "unjudged": {"a rule": "of later versions"}}',
        b'{"flags": [["model", "overfit", 9, 1, 1, "", ""]], "unjudged": {}}',
        b'{"flags": [["model", "overfit"]], "unjudged": {}}',
        b"[]",
    ],
)
def test_forged_flags_are_unreadable(body):
    """Rules that this version does not know, a flag from the future, half a flag."""
    with pytest.raises(Unreadable):
        training.decode(3, {}, [body])


def test_a_forged_screen_is_unreadable():
    """Columns of another number, copies of a column that is not there."""
    [(_, _, [text])] = training.encode_screen(SCREEN)
    assert training.decode_screen(0, (), [text]).names == SCREEN.names
    for old, new in ((b'"<b>"]]', b'"other"]]'), (b'["a", "b", "<b>"]', b'["a", "b"]')):
        assert old in text
        with pytest.raises(Unreadable):
            training.decode_screen(0, (), [text.replace(old, new, 1)])
