"""Records of a run that counts in steps: each has its epoch and its step when it is read."""

import dataclasses

import numpy as np
import pytest

from keras_xai.records import Attribution, Epoch, Stop
from keras_xai.run import Run
from keras_xai.summary.event_files import events
from keras_xai.summary.store import FileStore
from keras_xai.summary.writer import Writer
from keras_xai.updates import BEFORE

MOMENTS = [(0, 10, False), (0, 20, False), (0, 25, True), (1, 30, False), (1, 50, True)]  # epoch, step, ends the epoch


def of_moment(record, epoch, step):
    return dataclasses.replace(record, epoch=epoch, step=step)


def write(directory, records, moments=MOMENTS, start=0, past_updates=0):
    writer = Writer(directory / "keras_xai", start=start, past_updates=past_updates)
    for epoch, step, ends in moments:
        *others, of_epoch = records(0)
        of_epoch = dataclasses.replace(of_epoch, ends_epoch=ends, iterations=step)
        writer.write([of_moment(record, epoch, step) for record in (*others, of_epoch)])
    writer.close()
    return Run(FileStore(directory / "keras_xai"))


@pytest.fixture
def run(tmp_path, records):
    return write(tmp_path, records)


def moments(records):
    return [(record.epoch, record.step) for record in records]


EPOCHS_AND_STEPS = [(epoch, step) for epoch, step, _ in MOMENTS]


def test_each_record_has_its_epoch_and_its_step(run):
    assert run.unit == "step"
    assert moments(run.history) == EPOCHS_AND_STEPS
    assert [record.ends_epoch for record in run.history] == [ends for *_, ends in MOMENTS]
    assert [record.iterations for record in run.history] == [10, 20, 25, 30, 50]
    assert moments(run.weight_gradients) == moments(run.attributions("saliency")) == EPOCHS_AND_STEPS
    assert sorted(set(moments(run.alerts))) == EPOCHS_AND_STEPS
    for figures in (run.importance, run.outputs("saliency")):
        assert figures.epochs.tolist() == [0, 0, 0, 1, 1]
        assert figures.steps.tolist() == figures.updates.tolist() == [10, 20, 25, 30, 50]
    assert (run.epochs, run.updates, run.missing_epochs) == ([0, 1], [10, 20, 25, 30, 50], [])


def test_a_run_of_epochs_has_no_steps(tmp_path, records):
    writer = Writer(tmp_path / "keras_xai")
    for epoch in (0, 1):
        writer.write(records(epoch))
    writer.close()
    run = Run(FileStore(tmp_path / "keras_xai"))
    assert (run.unit, run.updates, moments(run.history)) == ("epoch", [0, 1], [(0, None), (1, None)])
    assert (run.importance.steps, run.importance.updates.tolist()) == (None, [0, 1])
    assert run.epoch_of(7) == 7


def test_the_epoch_of_a_record_without_an_epochs_own_is_that_of_the_next(tmp_path, records):
    """A part that stopped between two updates, or after the last one."""
    write(tmp_path, records)
    writer = Writer(tmp_path / "keras_xai", start=51, past_updates=5)
    writer.write([Stop(0, "live_rows", "gone", step=12), Stop(0, "gap", "gone", step=61)])
    writer.close()
    run = Run(FileStore(tmp_path / "keras_xai"))
    assert [(stop.part, stop.epoch, stop.step) for stop in run.stops] == [("live_rows", 0, 12), ("gap", 2, 61)]
    assert [note.update for note in run.notes if note.stopped] == [12, 61]


def test_a_continued_run_replaces_the_updates_it_repeats(tmp_path, records):
    write(tmp_path, records)
    run = write(tmp_path, records, [(1, 31, False), (1, 52, True)], start=26, past_updates=3)
    assert moments(run.history) == [(0, 10), (0, 20), (0, 25), (1, 31), (1, 52)]
    assert moments(run.until(25).history) == [(0, 10), (0, 20)]


def test_the_gallery_of_the_untrained_model_is_no_epoch(tmp_path, records):
    writer = Writer(tmp_path / "keras_xai")
    saliency = next(record for record in records(0) if isinstance(record, Attribution))
    writer.write([dataclasses.replace(saliency, epoch=BEFORE, values=saliency.values * 2)])
    writer.write(records(0))
    writer.close()
    run = Run(FileStore(tmp_path / "keras_xai"))
    untrained = run.before["saliency"]
    assert (list(run.before), repr(run.before)) == (["saliency"], "BeforeTraining(saliency)")
    assert (untrained.epoch, untrained.step) == (None, None)
    np.testing.assert_allclose(untrained.values, 2 * run.attributions("saliency")[0].values, rtol=1e-2)
    assert run.attribution("saliency", BEFORE) is untrained
    assert (run.epochs, run.methods, len(run.attributions("saliency"))) == ([0], ("saliency",), 1)
    assert run.passed_over == {}


def test_steps_far_apart_share_the_parts_of_a_series(tmp_path, records):
    """Parts hold so many updates, not so many steps: else each update of a long training would have a tag of its own."""
    write(tmp_path, records, [(0, 100_000 * k, False) for k in range(1, 9)])
    (path,) = (tmp_path / "keras_xai").iterdir()
    tags = {value.tag for event in events(path, []) for value in event.summary.value}
    assert not [tag for tag in tags if "/part-" in tag]


def test_an_epoch_says_its_unit_only_where_it_counts_in_steps(tmp_path):
    """Files of runs that count in epochs are what they were."""
    writer = Writer(tmp_path / "keras_xai")
    writer.write([Epoch(0, 1.0, 1.0, 0.1, 0.5, {})])
    writer.close()
    (path,) = (tmp_path / "keras_xai").iterdir()
    data = path.read_bytes()
    assert b"unit" not in data
    assert b"ends_epoch" not in data
