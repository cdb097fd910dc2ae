"""The lifecycle: faults stay with us, misuse reaches the user, files are shared and closed."""

import gc
import warnings

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.callbacks.base import RecordingCallback
from keras_xai.records import Shares
from tests.callbacks.small_training import small_model


class Probing(RecordingCallback):
    """Writes one small record an epoch, and fails where it is told to."""

    name = "probing"

    def __init__(self, log_dir, fails=None, error=None, source="clean", **keywords):
        super().__init__(log_dir, **keywords)
        self.fails, self.error, self.source = fails, error or RuntimeError("broken"), source

    def _maybe(self, where):
        if self.fails == where:
            raise self.error

    def check(self):
        self._maybe("check")

    def on_run_start(self, epoch, past):
        self._maybe("on_run_start")

    def record_update(self, epoch, logs):
        if epoch == 1:
            self._maybe("record_update")
        return [Shares(epoch, self.source, ("a",), np.ones(1, np.float32), 0.0, 6.0)]

    def on_update_written(self):
        self._maybe("on_update_written")

    def close(self):
        self._maybe("close")


@pytest.mark.every_backend
@pytest.mark.parametrize("where", ["check", "on_run_start", "record_update", "on_update_written", "close"])
def test_a_fault_costs_a_warning_and_the_callback_never_the_training(tmp_path, model, fit, where):
    """Training goes on to the same weights, one warning names the cause, what was recorded before is read."""
    plain = small_model()
    fit(plain)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        history = fit(model, watch := Probing(tmp_path, where))
    assert len([w for w in seen if "broken" in str(w.message)]) == 1
    assert len(history.epoch) == 3
    assert watch.retired
    for a, b in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    if where == "record_update":
        run = kx.load(tmp_path)["."]
        assert run.importance.epochs.tolist() == [0]
        assert "broken" in run.history[-1].notes[0]


def test_in_development_faults_are_raised(tmp_path, model, fit):
    """on_error="raise"."""
    with pytest.raises(RuntimeError, match="broken"):
        fit(model, Probing(tmp_path, "record_update", on_error="raise"))


def test_a_keyboard_interrupt_passes_through(tmp_path, model, fit):
    """It is the user's, not ours."""
    with pytest.raises(KeyboardInterrupt):
        fit(model, Probing(tmp_path, "record_update", KeyboardInterrupt()))


def test_misuse_found_at_train_begin_reaches_the_user(tmp_path, model, fit):
    """Nothing is lost yet."""
    with pytest.raises(kx.InvalidInput):
        fit(model, Probing(tmp_path, "check", kx.InvalidInput("layers do not fit")))


@pytest.mark.parametrize(
    ("log_dir", "words"),
    [("nowhere://bucket/run", "nowhere"), ("{file}", "is a file"), ("{file}/below", "is a file"), (3, "int")],
)
def test_a_log_dir_that_cannot_be_written_is_an_error_at_construction(tmp_path, log_dir, words):
    """An address of no store, a file, a path below a file."""
    (tmp_path / "file").touch()
    with pytest.raises(kx.InvalidInput, match=words):
        Probing(log_dir.format(file=tmp_path / "file") if isinstance(log_dir, str) else log_dir)


def test_callbacks_of_one_directory_share_one_file_and_one_epoch_record(tmp_path, model, fit):
    """Three callbacks: one file with one START; the epoch's cost is their sum."""
    fit(model, *(Probing(tmp_path, source=s) for s in ("clean", "live", "data")))
    assert len(list((tmp_path / "keras_xai").iterdir())) == 1
    run = kx.load(tmp_path)["."]
    assert run.epochs == [0, 1, 2]
    assert all(0 < e.cost_seconds < e.seconds for e in run.history)
    assert (
        run.importance.epochs.tolist()
        == run.importance_live.epochs.tolist()
        == run.data_score.epochs.tolist()
        == [0, 1, 2]
    )


def test_a_retired_callback_does_not_hold_up_the_others(tmp_path, model, fit):
    """The epoch records go on."""
    with pytest.warns(UserWarning, match="broken"):
        fit(model, Probing(tmp_path, "record_update"), Probing(tmp_path, source="live"))
    run = kx.load(tmp_path)["."]
    assert run.epochs == [0, 1, 2]
    assert any("broken" in note for note in run.history[1].notes)


def test_a_second_training_is_a_run_of_its_own_and_says_so(tmp_path, model, fit, caplog):
    """Epoch 0 into a directory that holds epochs: the first run is not written over, and the log says how to read the new one."""
    fit(model, Probing(tmp_path))
    assert caplog.messages == []
    fit(model, Probing(tmp_path), Probing(tmp_path, source="live"), epochs=2)
    (message,) = caplog.messages
    assert message.startswith("keras_xai holds 3 epochs of an earlier training: this one is keras_xai-2.")
    assert eval(message.partition("keras_xai-2. ")[2].removesuffix(" reads it."), {"kx": kx}).epochs == [0, 1]
    runs = kx.load(tmp_path)
    assert {name: run.epochs for name, run in runs.items()} == {".": [0, 1, 2], "keras_xai-2": [0, 1]}
    assert "holds 3 epochs" in runs["keras_xai-2"].history[0].notes[0]


def test_a_resumed_training_continues_the_newest_run(tmp_path, model, fit):
    """initial_epoch above 0: the epochs from there are replaced."""
    fit(model, Probing(tmp_path))
    fit(model, Probing(tmp_path), initial_epoch=2, epochs=5)
    runs = kx.load(tmp_path)
    assert {name: run.epochs for name, run in runs.items()} == {".": [0, 1, 2, 3, 4]}


def test_after_an_aborted_fit_the_same_callback_works_again(tmp_path, model, fit):
    """`fit` that raises never calls on_train_end; the next one starts clean, with the old or with new callbacks."""

    class Abort(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise ValueError("out of luck")

    first, second = Probing(tmp_path), Probing(tmp_path, source="live")
    with pytest.raises(ValueError, match="out of luck"):
        fit(model, first, second, Abort())
    fit(model, first)
    runs = kx.load(tmp_path)
    assert runs["."].epochs == [0, 1]
    assert runs["keras_xai-2"].epochs == [0, 1, 2]


def test_a_retired_callback_takes_part_in_the_next_training(tmp_path, model, fit):
    """The fault may be gone; silence would be worse."""
    watch = Probing(tmp_path, "record_update")
    with pytest.warns(UserWarning, match="broken"):
        fit(model, watch)
    watch.fails = None
    fit(model, watch)
    assert kx.load(tmp_path)["keras_xai-2"].importance.epochs.tolist() == [0, 1, 2]


def test_no_file_stays_open(tmp_path, model, fit):
    """Closed at train end; after an aborted fit when the callbacks are gone."""
    fit(model, Probing(tmp_path))
    from keras_xai.callbacks import session

    gc.collect()
    assert not list(session._open)


def test_every_epoch_has_a_record_whatever_the_schedule(tmp_path, model, fit):
    """Records of the callback at 0, 2 and the last; Epoch records always."""
    fit(model, Probing(tmp_path, every=2), epochs=4)
    run = kx.load(tmp_path)["."]
    assert run.epochs == [0, 1, 2, 3]
    assert run.importance.epochs.tolist() == [0, 2, 3]
    assert run.history[0].learning_rate == pytest.approx(1e-3)
    assert "loss" in run.history[0].logs


@pytest.mark.parametrize("on_error", ["stop", None])
def test_an_unknown_on_error_is_an_error(tmp_path, on_error):
    """The choices are in the message."""
    with pytest.raises(kx.InvalidInput, match="'warn' or 'raise'"):
        Probing(tmp_path, on_error=on_error)
