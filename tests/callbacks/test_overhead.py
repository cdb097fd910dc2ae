"""What a callback costs, on a clock that does as it is told."""

import itertools

import keras
import pytest

import keras_xai as kx
from keras_xai.callbacks.base import RecordingCallback
from keras_xai.callbacks.overhead import OverheadLedger, Stopwatch


def test_nested_hooks_count_once_and_hands_can_add():
    """The outermost hook's time, plus what was added; a take starts anew."""
    ticks = itertools.count(0, 10)
    cost = Stopwatch(lambda: next(ticks))
    with cost, cost:
        pass
    cost.add(2.5)
    cost.add(0.5, once=True)
    assert cost.take() == (13.0, 0.5)
    assert cost.take() == (0, 0)


def test_a_running_hook_is_counted_up_to_now():
    """`take` inside a hook counts its time so far, and leaves the rest to the next take."""
    now = [0.0]
    cost = Stopwatch(lambda: now[0])
    with cost:
        now[0] = 3.0
        assert cost.take().seconds == 3.0
        now[0] = 5.0
    assert cost.take().seconds == 2.0


def test_what_is_made_for_a_fit_comes_once():
    """It is part of what is counted, never more."""
    now = [0.0]
    cost = Stopwatch(lambda: now[0])
    with cost:
        with cost.once():
            now[0] = 3.0
        now[0] = 4.0
    cost.mark_once(0.5)
    assert cost.take() == (4.0, 3.5)
    cost.mark_once(9.0)
    assert cost.take() == (0.0, 0.0)


CHEAPER = {"gallery": "samples=8", "gradients": "samples_per_epoch=1"}


def test_a_ledger_says_once_which_part_costs_what_and_what_to_change():
    """Above 5 % of an epoch, from the third on; what comes once weighs in none."""
    ledger = OverheadLedger()
    said = []
    for epoch in range(6):
        once = {"gallery": 44.0} if epoch == 0 else {}
        ledger.enter(
            100.0 + once.get("gallery", 0.0), {"gradients": 2.0, "gallery": 6.0 + once.get("gallery", 0.0)}, once
        )
        said.append(ledger.notice(CHEAPER))
    assert [bool(text) for text in said] == [False, False, True, False, False, False]
    assert said[2] == (
        "The callbacks took 44.0 s once to compile, then 8.0 s an epoch (8.0%) (in all: gallery 62.0 s, gradients 6.0 s) so"
        " far. To spend less: samples=8."
    )
    assert ledger.line() == (
        "the callbacks took 44.0 s once to compile, then 8.0 s an epoch (8.0%) (in all: gallery 80.0 s, gradients 12.0 s)"
    )


def test_what_comes_once_is_never_held_against_an_epoch():
    """Thirty seconds of compiling, and little behind: no notice, and a line that tells both apart."""
    ledger = OverheadLedger()
    for epoch in range(5):
        once = {"gradients": 30.0} if epoch == 0 else {}
        ledger.enter(100.0 + sum(once.values()), {"gradients": 0.04 + sum(once.values())}, once)
        assert ledger.notice(CHEAPER) is None
    assert ledger.line() == (
        "the callbacks took 30.0 s once to compile, then 0.04 s an epoch (0.0%) (in all: gradients 30.2 s)"
    )


def test_the_first_pass_of_a_graph_is_a_pass_too():
    """All of it was measured as compiling; what an epoch takes is taken off when that is known."""
    ledger = OverheadLedger()
    ledger.enter(10.0, {"gallery": 5.0}, {"gallery": 5.0})
    assert ledger.once == 5.0
    ledger.enter(10.0, {"gallery": 2.0})
    assert (ledger.once, ledger.seconds_per_epoch, ledger.share) == (3.0, 2.0, 0.2)
    ledger.enter(1.0, {"gallery": 0.0}, extends_last=True)  # the end of the training belongs to its last epoch
    assert (ledger.seconds_per_epoch, ledger.share) == (2.0, 2 / 11)


@pytest.mark.parametrize(("training", "ours"), [(100.0, 5.0), (1.0, 0.5)], ids=["five per cent", "seconds in all"])
def test_a_ledger_is_silent_where_the_cost_is_small(training, ours):
    """Five per cent are allowed, and so is any share of next to nothing."""
    ledger = OverheadLedger()
    for _ in range(5):
        ledger.enter(training, {"gradients": ours})
        assert ledger.notice(CHEAPER) is None


class Slow(RecordingCallback):
    """Takes three seconds an epoch of a clock, and one at either end of the training."""

    name = "slow"
    cost_hint = "every=5 in Slow"

    def __init__(self, log_dir, now):
        super().__init__(log_dir, on_error="raise")
        self.now, self.cost = now, Stopwatch(lambda: now[0])

    def check(self):
        self.now[0] += 1.0

    def record_update(self, epoch, logs):
        self.now[0] += 3.0
        return ()

    def close(self):
        self.now[0] += 1.0 if self._last_update else 0.0


def slow_fit(tmp_path, fit, model, monkeypatch, **options):
    """Four epochs of three batches, 8 s each: 24 s of training beside 3 of ours."""
    now = [0.0]
    monkeypatch.setattr("keras_xai.callbacks.session.clock", lambda: now[0])

    class Work(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            now[0] += 8.0

        def on_epoch_end(self, epoch, logs=None):
            now[0] += 2.0  # after our record: it belongs to the next one

    fit(model, Slow(tmp_path, now), Work(), epochs=4, **options)
    return kx.load(tmp_path)["."]


def test_the_share_of_a_training_stands_in_its_records(tmp_path, fit, model, monkeypatch, caplog):
    """Each record's seconds follow on the one before: nothing of the training is left out; one record has the notice."""
    run = slow_fit(tmp_path, fit, model, monkeypatch)
    assert [record.seconds for record in run.history] == [28.0, 29.0, 29.0, 29.0]
    assert [record.cost_seconds for record in run.history] == [4.0, 3.0, 3.0, 3.0]
    assert [record.once_seconds for record in run.history] == [1.0, 0.0, 0.0, 0.0]
    assert [len(record.notes) for record in run.history] == [0, 0, 0, 1]
    words = (
        "The callbacks took 1.0 s once to compile, then 3.0 s an epoch (10.3%) (in all: slow 13.0 s) so far. To spend less:"
        " every=5 in Slow."
    )
    assert run.history[3].notes == (words,)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [words]


@pytest.mark.parametrize("verbose", [0, 2])
def test_a_line_at_the_end_where_keras_says_something_too(tmp_path, data, model, monkeypatch, capsys, verbose):
    """With verbose=0 there is none."""

    def fit(model, *callbacks, epochs):
        model.fit(*data, batch_size=32, epochs=epochs, verbose=verbose, callbacks=list(callbacks))

    slow_fit(tmp_path, fit, model, monkeypatch)
    lines = [line for line in capsys.readouterr().out.splitlines() if "keras_xai" in line]
    # The end of the last epoch (2 s) and of the training (1 s, ours) belong to it.
    words = "keras_xai: the callbacks took 1.0 s once to compile, then 3.3 s an epoch (11.1%) (in all: slow 14.0 s)."
    assert lines == ([words] if verbose else [])
