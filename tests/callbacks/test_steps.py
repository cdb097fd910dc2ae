"""Updates every n steps: when they are made, that training and epoch ends are what they were, and that runs go on."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.callbacks.base import RecordingCallback
from keras_xai.callbacks.schedule import Schedule
from keras_xai.callbacks.step_counter import StepCounter, words_on_interval
from keras_xai.errors import InvalidInput
from keras_xai.records import Shares
from tests.callbacks.small_training import small_data, small_model
from tests.frameworks import BACKEND, array

STEPS = 3  # of an epoch of the small data


def moments(records):
    return [(record.epoch, record.step) for record in records]


def loaded(directory):
    return kx.load(directory)["."]


def state(model):
    """Weights, optimizer and generators."""
    return [array(variable) for variable in (*model.variables, *model.optimizer.variables)]


def assert_same_state(first, second):
    for a, b in zip(state(first), state(second), strict=True):
        np.testing.assert_array_equal(a, b)


class Shifting(RecordingCallback):
    """Writes a small record an update, and remembers what it is told."""

    name = "shifting"
    default_figures = frozenset({"xai_drift_alarm"})
    alarm_figures = frozenset({"xai_drift_alarm"})

    def __init__(self, log_dir, alarms_at=(), **keywords):
        super().__init__(log_dir, on_error="raise", **keywords)
        self.updates, self.weights, self.alarms_at = [], [], alarms_at

    def record_update(self, update, logs):
        self.updates.append(update)
        self.weights.append(self.model.get_weights()[0].copy())
        self.log_figures(logs, {"xai_drift_alarm": float(update in self.alarms_at)})
        return [Shares(update, "clean", ("a",), np.ones(1, np.float32), 0.0, 6.0)]

    def carry_forward(self, update, logs):
        self.log_figures(logs, {"xai_drift_alarm": 0.0})


class Weights(keras.callbacks.Callback):
    """Keeps the first weights after each step, in the only way that does not look at the model inside a step."""

    def __init__(self):
        super().__init__()
        self.of_step = {}

    def on_train_batch_end(self, batch, logs=None):
        if BACKEND == "jax":
            self.model.jax_state_sync()
        self.of_step[len(self.of_step) + 1] = self.model.get_weights()[0].copy()


# When an update is made.


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("every", "expected"), [("2 steps", [2, 3, 4, 6]), (kx.steps(4), [3, 4, 6]), ("1 step", range(1, 7))]
)
def test_every_n_steps_of_the_training_and_at_the_end_of_each_epoch(tmp_path, model, fit, every, expected):
    """With the weights that the step left, whatever else is in the list."""
    watch, weights = Shifting(tmp_path, every=every), Weights()
    fit(model, watch, weights, epochs=2)
    assert watch.updates == list(expected)
    for update, seen in zip(watch.updates, watch.weights, strict=True):
        np.testing.assert_array_equal(seen, weights.of_step[update])
    run = loaded(tmp_path)
    assert moments(run.history) == moments(run.shares("clean")) == [((step - 1) // STEPS, step) for step in expected]
    assert [record.ends_epoch for record in run.history] == [step % STEPS == 0 for step in expected]
    assert all("loss" in record.logs for record in run.history)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="executions of several steps are TensorFlow's, and JAX's")
@pytest.mark.parametrize(("executed", "expected"), [(2, [4, 8, 12, 16, 20, 24]), (5, [5, 10, 12, 17, 22, 24])])
def test_several_steps_at_once(tmp_path, executed, expected):
    """Where a multiple lies inside an execution, the update is made after it."""
    model = small_model()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, steps_per_execution=executed)
    watch = Shifting(tmp_path, every="4 steps")
    model.fit(*small_data(), batch_size=8, epochs=2, verbose=0, callbacks=[watch])
    assert watch.updates == expected


def batches(count):
    x, y = small_data()
    for k in range(count):
        yield x[k * 8 : k * 8 + 8], y[k * 8 : k * 8 + 8]


@pytest.mark.every_backend
@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras says so at the end of every generator
def test_an_epoch_whose_length_nobody_knows(tmp_path):
    """The end of the data may come where an update was made: it is one update, at the end of the epoch."""
    watch = Shifting(tmp_path, every="3 steps")
    model = small_model()
    model.fit(batches(6), shuffle=False, verbose=0, callbacks=[watch])
    assert watch.updates == [3, 6]
    assert [(r.step, r.ends_epoch) for r in loaded(tmp_path).history] == [(3, False), (6, True)]


@pytest.mark.every_backend
def test_a_training_that_stops_inside_an_epoch(tmp_path, model, fit):
    """Keras ends the epoch there, with fewer steps than it was to have."""

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    watch = Shifting(tmp_path, every="1 step")
    fit(model, watch, Stop())
    assert watch.updates == [1, 2]
    assert [record.ends_epoch for record in loaded(tmp_path).history] == [False, True]


@pytest.mark.parametrize("every", ["200", "0 steps", "steps", "2 batches", "-1 steps", kx.steps, ""])
def test_another_every_is_an_error_at_construction(tmp_path, every):
    if every is kx.steps:
        with pytest.raises(InvalidInput, match="steps=0: expected a number of training steps"):
            kx.steps(0)
        return
    with pytest.raises(InvalidInput, match=r"kx\.steps"):
        Shifting(tmp_path, every=every)


def test_epochs_may_be_written_in_words(tmp_path):
    assert not Schedule("2 epochs").counts_steps
    assert [epoch for epoch in range(5) if Schedule("2 epochs").due(epoch, 0, 4)] == [0, 2, 4]


# What it leaves alone.


@pytest.mark.every_backend
def test_training_and_epoch_ends_are_what_they_were(tmp_path, data):
    """Weights, optimizer and generators; maps and shares of the epoch ends; with a window as long as an epoch every figure."""

    def train(every):
        model = small_model()
        callbacks = []
        if every:
            live = (data[0][:40], data[1][:40])
            options = {"live": live, "on_error": "raise", "method": "saliency"}
            callbacks = [kx.Explain(tmp_path / str(every), data, every=every, **options)]
        keras.utils.set_random_seed(1)
        model.fit(*data, batch_size=32, epochs=2, verbose=0, callbacks=callbacks)
        return model

    plain = train(None)
    for every in (1, "2 steps", f"{STEPS} steps"):
        assert_same_state(train(every), plain)
    by_epochs, inside, by_steps = (loaded(tmp_path / every) for every in ("1", "2 steps", f"{STEPS} steps"))
    assert (by_epochs.unit, inside.unit, by_steps.unit) == ("epoch", "step", "step")
    for run in (inside, by_steps):
        ends = [record for record in run.attributions("saliency") if record.step % STEPS == 0]
        for record, other in zip(ends, by_epochs.attributions("saliency"), strict=True):
            np.testing.assert_array_equal(record.values, other.values)
        shares = [record.share for record in run.shares("clean") if record.step % STEPS == 0]
        np.testing.assert_array_equal(shares, by_epochs.importance.share)
        np.testing.assert_array_equal(
            run.before.attributions["saliency"].values, by_epochs.before.attributions["saliency"].values
        )
    for record, other in zip(by_steps.weight_gradients, by_epochs.weight_gradients, strict=True):
        for name, values in record.statistics.items():
            np.testing.assert_array_equal(values, other.statistics[name])
    for record, other in zip(by_steps.history, by_epochs.history, strict=True):
        assert record.logs == pytest.approx(other.logs, rel=0, abs=0, nan_ok=True)


@pytest.mark.every_backend
def test_gradients_are_of_the_steps_since_the_last_update(tmp_path, data):
    """Every step recorded: the windows of one callback add up to those of another one, whoever collects inside them."""
    fine = kx.WeightGradients(tmp_path / "fine", every="1 step", samples_per_epoch="all")
    coarse = kx.WeightGradients(tmp_path / "coarse", samples_per_epoch="all")
    model = small_model()
    model.fit(*data, batch_size=32, epochs=2, verbose=0, shuffle=False, callbacks=[fine, coarse])
    of_steps, of_epochs = loaded(tmp_path / "fine").weight_gradients, loaded(tmp_path / "coarse").weight_gradients
    assert ([r.steps for r in of_steps][-3:], [r.steps for r in of_epochs][-1]) == ([1, 1, 1], 3)
    last = of_steps[-3:]
    np.testing.assert_allclose(
        np.sqrt(np.mean([r.statistics["rms"] ** 2 for r in last], 0)), of_epochs[-1].statistics["rms"], rtol=1e-5
    )
    np.testing.assert_allclose(np.max([r.statistics["max"] for r in last], 0), of_epochs[-1].statistics["max"])
    np.testing.assert_array_equal(np.sum([r.histogram for r in last], 0), of_epochs[-1].histogram)


# What Keras and the user see.


def test_an_alarm_inside_an_epoch_is_one_of_the_epoch(tmp_path, model, fit):
    """Other callbacks look at `logs` at its end only."""
    history = fit(model, Shifting(tmp_path, alarms_at=(2, 6), every="1 step"), epochs=3)
    assert history.history["xai_drift_alarm"] == [1.0, 1.0, 0.0]


def test_quiet_epochs_are_counted_from_the_alarm_inside_one():
    counter = StepCounter(10, 4)
    for epoch in range(2):
        counter.begin_epoch(epoch, 10 * epoch)
        for batch in range(10):
            counter.begin_batch(batch)
            counter.end_batch(batch)
        counter.end_epoch(10 * epoch + 10)
    assert [counter.position(step) for step in (-1, 0, 4, 10, 15, 20)] == [0, 0, 0.4, 1, 1.5, 2]
    unknown = StepCounter(None, 1)
    unknown.begin_epoch(0, 0)
    assert np.isnan(unknown.position(3))


@pytest.mark.parametrize(
    ("length", "executed", "begun", "ended", "counted", "steps"),
    [
        (10, 1, range(10), 9, 10, 10),
        (10, 1, range(4), 3, 4, 4),  # stopped inside the epoch
        (None, 1, range(7), 5, 7, 6),  # no more data, and an optimizer that has counted all the same
        (10, 4, (0, 4, 8), 11, 10, 10),
        (10, 4, (0, 4, 8), 8, 10, 10),  # older versions of Keras end an execution with its first step
        (None, 4, (0, 4, 8), 7, 10, 10),  # data for half an execution
        (None, 4, (0, 4, 8), 7, None, 8),
    ],
)
def test_the_steps_of_an_epoch_that_has_ended(length, executed, begun, ended, counted, steps):
    counter = StepCounter(length, 1)
    counter.begin_epoch(0, 0)
    for batch in begun:
        counter.begin_batch(batch)
    counter.end_batch(ended)
    counter.end_epoch(counted, executed)
    assert counter.done == steps


def test_alerts_flags_and_errors_name_the_step(tmp_path, data):
    """In the user's unit, beside the epoch that Keras prints."""
    alerts = []
    x, y = data
    watch = kx.ImportanceDrift(
        tmp_path, (x, y), every="1 step", burn_in=0, limit=1e-9, on_drift=alerts.append, on_error="raise"
    )
    model = small_model()
    model.optimizer.learning_rate = 0.1
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[watch])
    first = alerts[0]
    assert first.epoch == (first.step - 1) // 12
    assert f"step {first.step} of epoch {first.epoch} (Keras prints epoch {first.epoch + 1})" in str(first)
    assert first.event == first.step
    assert moments(loaded(tmp_path).alerts) == moments(alerts)


def test_a_cost_is_told_by_the_update(tmp_path, model, fit, caplog):
    caplog.set_level("INFO", "keras_xai")
    fit(model, Shifting(tmp_path, every="1 step"))
    assert "an update (" in caplog.text


# The gallery before training.


def test_the_gallery_of_the_untrained_model_can_be_read_before_the_first_step(tmp_path, data):
    """It equals what is attributed to the model before `fit`, and is no epoch."""

    class Read(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 0:
                self.before = loaded(tmp_path).before

    model, read = small_model(), Read()
    expected = kx.attribute(model, data[0], "saliency", target=data[1]).values
    watch = kx.ProbeAttributions(tmp_path, data, "saliency", samples=6, on_error="raise")
    model.fit(*data, verbose=0, callbacks=[watch, read])
    run = loaded(tmp_path)
    rows = [int(np.flatnonzero((data[0] == row).all(1))[0]) for row in run.probe.x]
    np.testing.assert_allclose(read.before.attributions["saliency"].values, expected[rows], rtol=1e-5, atol=1e-7)
    assert (run.epochs, run.before.attributions["saliency"].epoch) == ([0], None)
    assert len(run.attributions("saliency")) == 1


def test_a_training_that_goes_on_has_no_second_gallery_before_it(tmp_path, data):
    model = small_model()
    watch = kx.ProbeAttributions(tmp_path, data, "saliency", samples=6, on_error="raise")
    model.fit(*data, epochs=1, verbose=0, callbacks=[watch])
    before = loaded(tmp_path).before.attributions["saliency"].values
    model.fit(*data, initial_epoch=1, epochs=2, verbose=0, callbacks=[watch])
    np.testing.assert_array_equal(loaded(tmp_path).before.attributions["saliency"].values, before)


# "auto".


def announced(counter, schedule, length):
    """The steps of an epoch before which an update is due."""
    due = []
    for batch in range(length):
        counter.begin_batch(batch)
        if counter.is_due(schedule):
            due.append(batch)
    return due


@pytest.mark.parametrize(
    ("epochs", "length", "rows", "expected"),
    [
        (1, 300, 10.0, 10),  # 30 updates
        (3, 1000, 10.0, 100),  # 10 an epoch
        (60, 100, 10.0, 100),  # the ends of epochs are enough
        (1, 300, 160.0, 100),  # 5 % of 100 × 32 rows are 160
        (1, 300, 1e6, 300),  # no more than the end of the epoch
    ],
)
def test_auto_counts_updates_and_rows(epochs, length, rows, expected):
    """About 30 updates, rows × passes at most 5 % of steps × batch size."""
    counter = StepCounter(length, epochs)
    counter.begin_epoch(0, 0)
    assert counter.choose_interval(rows, 32) == expected
    due = announced(counter, Schedule("auto"), length)
    assert due == list(range(expected, length, expected))
    assert rows * (len(due) or 1) <= 0.05 * 32 * length or expected == length


def test_auto_says_why_there_are_no_updates_inside_an_epoch():
    text = words_on_interval(300, 1424.0, 32, 300)
    assert "one passes 1424 rows through the model, and 5% of an epoch are 480." in text
    assert words_on_interval(40, 10.0, None, 300).endswith("taking a batch for 32 rows: the model does not count them.")
    assert words_on_interval(100, 10.0, 32, 100) == 'every="auto": updates at the ends of epochs.'


def test_auto_of_an_epoch_of_unknown_length_doubles_its_interval():
    counter = StepCounter(None, 1)
    counter.begin_epoch(0, 0)
    due = []
    for batch in range(200):
        counter.begin_batch(batch)
        if batch and counter.awaits_interval:
            counter.choose_interval(1.0, 32)
        if counter.is_due(Schedule("auto")):
            due.append(batch)
    assert due[:5] == [1, 2, 3, 4, 5]
    assert np.diff(due).max() == 8
    assert len(due) <= 30 * 3


@pytest.mark.every_backend
def test_auto_in_a_training(tmp_path, data):
    """By the rows of a batch that Keras' own loss counts; the same in every run."""
    x, y = (np.repeat(a, 40, 0) for a in data)
    runs = []
    for name in ("first", "second"):
        watch = kx.ImportanceDrift(tmp_path / name, data, every="auto", on_drift=lambda alert: None, on_error="raise")
        small_model().fit(x, y, batch_size=64, verbose=0, callbacks=[watch])
        runs.append(moments(loaded(tmp_path / name).history))
    # 96 rows at 5 % of a batch of 64 are 30 steps; 60 steps an epoch.
    assert runs[0] == runs[1] == [(0, 30), (0, 60)]
    assert 'every="auto": an update every 30 steps.' in [note.text for note in loaded(tmp_path / "first").notes]


# A run that goes on.


class Crash(keras.callbacks.Callback):
    """Ends the process before a step of the training, as far as Keras can see."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_begin(self, batch, logs=None):
        if self.params["steps"] * getattr(self, "epoch", 0) + batch == self.step:
            raise KeyboardInterrupt

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch


def trained_model():
    """A model whose dropout has a seed of its own: PyTorch draws that of any other from a global generator."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential([keras.Input((4,)), layers.Dense(6, "relu"), layers.Dropout(0.1, seed=3), layers.Dense(3)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def watched(directory, data):
    return kx.Explain(
        directory, data, every="2 steps", method="saliency", on_error="raise", on_drift=lambda alert: None
    )


@pytest.mark.every_backend
@pytest.mark.parametrize("crash", [4, 5, 17])  # at the backup, after it, in the second epoch
def test_a_run_that_broke_inside_an_epoch_goes_on_as_if_unbroken(tmp_path, data, crash):
    """From a backup at step 4 of the epoch: the steps after it are made again, with the rest of its data.

    An update that was to be made where the run broke off is made when it goes on, without its gradients.
    """
    x, y = data

    def rows(begin, count):
        order = np.arange(begin * 8, (begin + count) * 8) % len(x)
        return x[order], y[order]

    options = {"batch_size": 8, "shuffle": False, "verbose": 0}
    whole, broken = trained_model(), trained_model()
    whole.fit(*rows(0, 12), epochs=2, callbacks=[watched(tmp_path / "whole", data)], **options)

    epoch = crash // 12
    backup = 12 * epoch + 4
    callbacks = [watched(tmp_path / "broken", data), Crash(crash)]
    if crash == backup:  # before the update that comes with the next batch
        callbacks.reverse()
    with pytest.raises(KeyboardInterrupt):
        broken.fit(*rows(0, 12), epochs=2, callbacks=callbacks, **options)
    saved = trained_model()  # what a backup at that step holds
    saved.fit(*rows(0, 12), epochs=epoch, **options)
    saved.fit(*rows(0, 4), epochs=1, **options)
    watch = watched(tmp_path / "broken", data)
    saved.fit(*rows(4, 8), initial_epoch=epoch, epochs=epoch + 1, callbacks=[watch], **options)
    if epoch == 0:
        saved.fit(*rows(0, 12), initial_epoch=1, epochs=2, callbacks=[watched(tmp_path / "broken", data)], **options)

    runs = kx.load(tmp_path)
    assert sorted(runs) == ["broken", "whole"]
    unbroken, continued = runs["whole"], runs["broken"]
    assert moments(continued.history) == moments(unbroken.history)
    for source in ("clean",):
        for a, b in zip(continued.shares(source), unbroken.shares(source), strict=True):
            np.testing.assert_array_equal(a.share, b.share)
            np.testing.assert_array_equal(a.score, b.score)
    for a, b in zip(continued.attributions("saliency"), unbroken.attributions("saliency"), strict=True):
        np.testing.assert_array_equal(a.values, b.values)
    recorded = {record.step: record for record in continued.weight_gradients}
    for record in unbroken.weight_gradients:
        if (crash, record.step) != (backup, backup):
            np.testing.assert_array_equal(recorded[record.step].statistics["rms"], record.statistics["rms"])
    assert continued.resumed[0] == (backup if crash == backup else backup + 2)
    (note,) = [note.text for note in continued.notes if "goes on" in note.text]
    assert note == f"The run goes on after step {backup}, inside epoch {epoch}: so far had the optimizer counted."


def test_a_second_training_from_the_first_epoch_is_a_run_of_its_own(tmp_path, data):
    model = small_model()
    for _ in range(2):
        model.fit(*data, batch_size=32, epochs=1, verbose=0, callbacks=[watched(tmp_path, data)])
    runs = kx.load(tmp_path)
    assert [moments(run.history) for run in runs.values()] == [[(0, 2), (0, 3)]] * 2


def test_a_training_from_the_first_epoch_never_replaces_records_of_later_ones(tmp_path, data):
    """Of a run that broke off in its second epoch: the same model, trained again from the first, is another training."""
    model = small_model()
    with pytest.raises(KeyboardInterrupt):
        model.fit(*data, batch_size=8, epochs=2, verbose=0, callbacks=[watched(tmp_path, data), Crash(17)])
    model.fit(*data, batch_size=8, epochs=1, verbose=0, callbacks=[watched(tmp_path, data)])
    first, second = kx.load(tmp_path).values()
    assert first.updates == [2, 4, 6, 8, 10, 12, 14, 16]
    assert (second.epochs, second.updates[0]) == ([0], 2)


def test_a_training_that_goes_on_from_an_earlier_epoch_replaces_the_later_ones(tmp_path, data):
    """Also where the optimizer counts on, as that of the same model does."""
    model = small_model()
    model.fit(*data, batch_size=32, epochs=3, verbose=0, callbacks=[watched(tmp_path, data)])
    model.fit(*data, batch_size=32, initial_epoch=1, epochs=2, verbose=0, callbacks=[watched(tmp_path, data)])
    run = loaded(tmp_path)
    assert moments(run.history) == moments(run.shares("clean")) == [(0, 2), (0, 3), (1, 4), (1, 6)]
    assert not [note.text for note in run.notes if "goes on" in note.text]


def test_another_model_is_not_taken_for_the_one_of_a_run_that_broke_off(tmp_path, data):
    """Its optimizer has counted further than the run can have gone."""
    with pytest.raises(KeyboardInterrupt):
        small_model().fit(*data, batch_size=8, verbose=0, callbacks=[watched(tmp_path, data), Crash(5)])
    other = small_model()
    other.fit(*data, batch_size=8, epochs=2, verbose=0)
    other.fit(*data, batch_size=8, verbose=0, callbacks=[watched(tmp_path, data)])
    first, second = kx.load(tmp_path).values()
    assert (first.updates, second.updates) == ([2, 4], [2, 4, 6, 8, 10, 12])


@pytest.mark.skipif(BACKEND == "jax", reason="a train step of JAX has no metric that it could reset")
def test_a_loss_that_keras_did_not_compute_is_not_recorded(tmp_path, data):
    """A train step of the user's own leaves Keras' loss at 0: inside an epoch nothing is known of it."""

    class Own(keras.Sequential):
        def train_step(self, *arguments):
            logs = super().train_step(*arguments)
            self._loss_tracker.reset_state()
            return logs

    model = Own([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*data, batch_size=32, verbose=0, callbacks=[Shifting(tmp_path, every="1 step")])
    assert [("loss" in record.logs, record.ends_epoch) for record in loaded(tmp_path).history] == [
        (False, False),
        (False, False),
        (True, True),
    ]


def test_a_run_of_epochs_is_not_continued_in_steps(tmp_path, data):
    model = small_model()
    model.fit(*data, batch_size=32, epochs=1, verbose=0, callbacks=[Shifting(tmp_path)])
    model.fit(
        *data, batch_size=32, initial_epoch=1, epochs=2, verbose=0, callbacks=[Shifting(tmp_path, every="1 step")]
    )
    first, second = kx.load(tmp_path).values()
    assert (first.unit, second.unit) == ("epoch", "step")
    assert any("unit of updates changed" in note.text for note in second.notes)
