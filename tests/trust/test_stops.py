"""A part that stopped, an epoch that is missing: facts in the run, not lines that scrolled away."""

from __future__ import annotations

import os
import warnings

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.records import Note, listed, missing_epochs
from tests.callbacks.small_training import small_data, small_model
from tests.trust.planting import planted
from tests.trust.trainings import PARTS, At, callback, parts, trained, with_warnings

SHORT = {"WeightGradients": "weight_gradients", "ProbeAttributions": "probe_attributions"}
SHORT |= {"ImportanceDrift": "importance_drift"}


TURNS = ("check", "run_identity", "on_run_start", "record_update")


def stops():
    """Each part at each turn, alone and with the others; quick is one of the two."""
    for at, name in enumerate(PARTS):
        for k, turn in enumerate(TURNS):
            for together in (False, True):
                yield pytest.param(together, name, turn, marks=[] if together == (at + k) % 2 else pytest.mark.full)


@pytest.mark.parametrize(("together", "name", "turn"), list(stops()))
def test_the_run_says_which_part_stopped_when_and_why(tmp_path, name, turn, together):
    """Also where that was before the first epoch, and where nobody else writes."""
    ours = callback("Explain" if together else name, tmp_path)
    hit = parts(ours)[name]

    def strike(model=None):
        setattr(hit, turn, planted("RuntimeError"))

    late = turn == "record_update"
    if not late:
        strike()
    with_warnings(lambda: trained(*([At(1, strike)] if late else []), ours))
    run = kx.load(tmp_path)["."]
    assert [(stop.epoch, stop.part) for stop in run.stops] == [(int(late), SHORT[name])]
    assert "RuntimeError: planted" in run.stops[0].reason
    assert [note.part for note in run.notes if note.stopped] == [SHORT[name]]
    assert run.epochs == ([0, 1, 2] if together else [0, 1] if late else [])


def test_a_live_source_that_died_is_a_fact(tmp_path):
    """The fixed probe is watched on, and the run says that the live rows are not."""
    reads = []

    def source():
        reads.append(1)
        if len(reads) > 3:
            raise ConnectionError("the store is gone")
        return small_data()

    _, said = with_warnings(lambda: trained(kx.ImportanceDrift(tmp_path, small_data(), live=source)))
    assert len(said) == 1
    run = kx.load(tmp_path)["."]
    assert [(stop.epoch, stop.part) for stop in run.stops] == [(1, "live_rows")]
    assert run.importance.epochs.tolist() == [0, 1, 2]


def test_it_is_said_for_ever(tmp_path):
    """A training that goes on, its parts alive again, does not take it back."""
    ours = callback("ImportanceDrift", tmp_path)
    with_warnings(lambda: trained(At(1, lambda model: setattr(ours, "record_update", planted("RuntimeError"))), ours))
    trained(callback("ImportanceDrift", tmp_path), initial_epoch=2, epochs=4)
    run = kx.load(tmp_path)["."]
    assert [stop.epoch for stop in run.stops] == [1]
    assert run.epochs == [0, 1, 2, 3]


def test_a_full_disk_is_said_once_there_is_room_again(tmp_path):
    """What all parts share broke, so none could write that it stopped: they do when the training ends."""
    ours = callback("Explain", tmp_path)

    def fill(model):
        writer = parts(ours)["WeightGradients"]._session._writer
        device = os.open("/dev/full", os.O_WRONLY)
        os.dup2(device, writer._file.fileno())
        os.close(device)

    _, said = with_warnings(lambda: trained(At(1, fill), ours))
    assert len(said) == 1
    run = kx.load(tmp_path)["."]
    assert run.epochs == [0]
    assert {stop.part for stop in run.stops} == set(SHORT.values())
    assert all("No space left on device" in stop.reason for stop in run.stops)


def test_an_alarm_that_the_user_asked_for_is_no_stop(tmp_path):
    """Neither is misuse, an interrupt, or a warning that became an error."""
    ours = callback("WeightGradients", tmp_path, on_flag="raise")

    def poison(model):
        model.layers[-1].kernel.assign(np.full(model.layers[-1].kernel.shape, np.nan))

    with pytest.raises(kx.GradientAlarm):
        trained(At(1, poison), ours)
    assert kx.load(tmp_path)["."].stops == []


# Missing epochs.


class Checkpoint(keras.callbacks.Callback):
    """Keeps the weights of each epoch, and ends the fit right after, before the callbacks behind it have their turn."""

    def __init__(self, kept, ends):
        super().__init__()
        self.kept, self.ends = kept, ends

    def on_epoch_end(self, epoch, logs=None):
        self.kept[:] = self.model.get_weights()
        if epoch == self.ends:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("killed", "missing"), [(0, "Epoch 0 is not"), (2, "Epoch 2 is not")])
def test_a_hole_is_said_when_the_training_goes_on(tmp_path, killed, missing):
    """A checkpoint before ours was saved, our record was not written."""
    kept = []

    def train(first, ends):
        ours = kx.ImportanceDrift(tmp_path, small_data())
        model = small_model()
        if first:
            model.set_weights(kept)
        x, y = small_data()
        model.fit(x, y, initial_epoch=first, epochs=5, verbose=0, callbacks=[Checkpoint(kept, ends), ours])

    with pytest.raises(KeyboardInterrupt):
        train(0, killed)
    train(killed + 1, None)
    run = kx.load(tmp_path)["."]
    assert killed not in run.epochs
    assert any(missing in note.text for note in run.notes)
    assert run.missing_epochs == ([2] if killed == 2 else [])


def test_behind_ours_a_checkpoint_leaves_no_hole(tmp_path):
    """The order that docs/trust.md names."""

    class Killed(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(kx.ImportanceDrift(tmp_path, small_data()), Killed(), epochs=5)
    trained(kx.ImportanceDrift(tmp_path, small_data()), initial_epoch=3, epochs=5)
    run = kx.load(tmp_path)["."]
    assert run.epochs == [0, 1, 2, 3, 4]
    assert run.missing_epochs == []
    assert run.notes == []


@pytest.mark.parametrize(
    ("epochs", "missing", "words"),
    [
        ([], [], ""),
        ([4], [], ""),
        ([0, 1, 2], [], ""),
        ([0, 2], [1], "epoch 1"),
        ([3, 4, 8, 10], [5, 6, 7, 9], "epochs 5 to 7 and 9"),
        ([0, 2, 4, 6], [1, 3, 5], "epochs 1, 3 and 5"),
    ],
)
def test_missing_epochs_in_words(epochs, missing, words):
    """Stretches, commas, one "and"."""
    assert missing_epochs(epochs) == missing
    assert not missing or listed(missing) == words


def test_notes_are_in_order_and_say_whose_they_are(tmp_path):
    """`run.notes` holds what was said in each epoch and why a part stopped."""
    ours = callback("Explain", tmp_path)
    hit = parts(ours)["ProbeAttributions"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trained(At(1, lambda model: setattr(hit, "record_update", planted("MemoryError"))), ours)
    notes = kx.load(tmp_path)["."].notes
    assert notes == sorted(notes, key=lambda note: note.epoch)
    assert Note(1, "on_epoch_end: MemoryError: planted", "probe_attributions", stopped=True) in notes
