"""What a callback costs, on a clock that does as it is told."""

import itertools

import keras
import pytest

import keras_xai as kx
from keras_xai.callbacks.base import Watcher
from keras_xai.callbacks.cost import Cost, Ledger


def test_nested_hooks_count_once_and_hands_can_add():
    """The outermost hook's time, plus what was added; a take starts anew."""
    ticks = itertools.count(0, 10)
    cost = Cost(lambda: next(ticks))
    with cost, cost:
        pass
    cost.add(2.5)
    assert cost.take() == 12.5
    assert cost.take() == 0


def test_a_running_hook_is_counted_up_to_now():
    """`take` inside a hook counts its time so far, and leaves the rest to the next take."""
    now = [0.0]
    cost = Cost(lambda: now[0])
    with cost:
        now[0] = 3.0
        assert cost.take() == 3.0
        now[0] = 5.0
    assert cost.take() == 2.0


CHEAPER = {"gallery": "samples=8", "gradients": "samples_per_epoch=1"}


def test_a_ledger_says_once_which_part_costs_what_and_what_to_change():
    """Above 5 % of the training time, from the third epoch on; sums over all epochs, tracing in the first included."""
    ledger = Ledger()
    said = []
    for epoch in range(6):
        ledger.enter(100.0, {"gradients": 2.0, "gallery": 10.0 if epoch == 0 else 6.0})
        said.append(ledger.notice(CHEAPER))
    assert [bool(text) for text in said] == [False, False, True, False, False, False]
    assert said[2] == (
        "The callbacks took 9.3% of the training time (28.0 of 300.0 s: gallery 22.0 s, gradients 6.0 s) so far."
        " To spend less: samples=8."
    )
    assert (
        ledger.line()
        == "the callbacks took 8.7% of the training time (52.0 of 600.0 s: gallery 40.0 s, gradients 12.0 s)"
    )


def test_a_ledger_says_where_the_first_epoch_was_most_of_it():
    """Tracing is done once: less of anything else would not help."""
    ledger = Ledger()
    for cost in (30.0, 1.0, 1.0):
        ledger.enter(100.0, {"gradients": cost})
        said = ledger.notice(CHEAPER)
    assert said == (
        "The callbacks took 10.7% of the training time (32.0 of 300.0 s: gradients 32.0 s) so far. 30.0 s of it were in"
        " the first epoch, in which functions are traced: the share falls with every other."
    )


@pytest.mark.parametrize(("training", "ours"), [(100.0, 5.0), (1.0, 0.5)], ids=["five per cent", "seconds in all"])
def test_a_ledger_is_silent_where_the_cost_is_small(training, ours):
    """Five per cent are allowed, and so is any share of next to nothing."""
    ledger = Ledger()
    for _ in range(5):
        ledger.enter(training, {"gradients": ours})
        assert ledger.notice(CHEAPER) is None


class Slow(Watcher):
    """Takes three seconds an epoch of a clock, and one at either end of the training."""

    name = "slow"
    cheaper = "every=5 in Slow"

    def __init__(self, log_dir, now):
        super().__init__(log_dir, on_error="raise")
        self.now, self.cost = now, Cost(lambda: now[0])

    def check(self):
        self.now[0] += 1.0

    def observe(self, epoch, logs):
        self.now[0] += 3.0
        return ()

    def close(self):
        self.now[0] += 1.0 if self._seen else 0.0


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
    assert [len(record.notes) for record in run.history] == [0, 0, 1, 0]
    words = "The callbacks took 11.6% of the training time (10.0 of 86.0 s: slow 10.0 s) so far. To spend less: every=5 in Slow."
    assert run.history[2].notes == (words,)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [words]


@pytest.mark.parametrize("verbose", [0, 2])
def test_a_line_at_the_end_where_keras_says_something_too(tmp_path, data, model, monkeypatch, capsys, verbose):
    """With verbose=0 there is none."""

    def fit(model, *callbacks, epochs):
        model.fit(*data, batch_size=32, epochs=epochs, verbose=verbose, callbacks=list(callbacks))

    slow_fit(tmp_path, fit, model, monkeypatch)
    lines = [line for line in capsys.readouterr().out.splitlines() if "keras_xai" in line]
    # The end of the last epoch (2 s) and of the training (1 s, ours) belong to it.
    words = "keras_xai: the callbacks took 11.9% of the training time (14.0 of 118.0 s: slow 14.0 s)."
    assert lines == ([words] if verbose else [])
