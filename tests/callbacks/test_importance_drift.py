"""The alarm, in a real fit."""

import csv
import math

import keras
import numpy as np
import pytest

import keras_xai as kx
from tests.callbacks.small_training import small_model
from tests.frameworks import array

CHANGE = 12


class Stream(keras.utils.PyDataset):
    """Batches of rows; from epoch CHANGE on the last column gives the label away."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y, self.leaking, self.noise = x, y, False, None

    def __len__(self):
        return len(self.x) // 32

    def __getitem__(self, i):
        return self.rows(slice(i * 32, i * 32 + 32))

    def rows(self, which=slice(None)):
        x = self.x[which].copy()
        if self.leaking:
            x[:, -1] = self.y[which] * 2.0 - 1
        if self.noise is not None:
            x += self.noise.normal(size=x.shape).astype(np.float32)
        return x, self.y[which]


class Leak(keras.callbacks.Callback):
    def __init__(self, stream):
        super().__init__()
        self.stream = stream

    def on_epoch_begin(self, epoch, logs=None):
        self.stream.leaking = epoch >= CHANGE


def leaky(seed=0):
    """A table where the first two columns tell something and 20 % of the labels are wrong."""
    r = np.random.default_rng(seed)
    x = r.normal(size=(640, 8)).astype(np.float32)
    y = (x[:, 0] + 0.5 * x[:, 1] > 0).astype(np.int64)
    y = np.where(r.random(640) < 0.2, 1 - y, y)
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [keras.Input((8,)), keras.layers.GaussianNoise(0.5), keras.layers.Dense(16, "relu"), keras.layers.Dense(2)]
    )
    model.compile(keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    names = [f"column {i}" for i in range(7)] + ["leak"]
    return model, Stream(x[:384], y[:384]), kx.Probe(x[384:], y[384:], feature_names=names)


def watched(log_dir, seed=0, epochs=20, noise=False, before=(), after=(), **keywords):
    model, stream, probe = leaky(seed)
    if noise:
        stream.noise = np.random.default_rng(seed)
    watch = kx.ImportanceDrift(
        log_dir, probe, live=lambda: stream.rows(slice(0, 256)), on_error="raise", log="all", **keywords
    )
    history = model.fit(stream, epochs=epochs, verbose=0, callbacks=[*before, Leak(stream), watch, *after])
    return history, kx.load(log_dir)["."]


@pytest.mark.every_backend
@pytest.mark.filterwarnings("ignore:ALERT")
def test_a_leaking_column_is_found_named_and_judged(tmp_path):
    """The live rows see the change at its epoch: the data changed, in the leaking column."""
    history, run = watched(tmp_path)
    certain = run.alerts[0]
    assert (certain.epoch, certain.source, certain.changed) == (CHANGE, "data", (256, 0, 256))
    assert [(move.name, move.after) for move in certain.features] == [("leak", 1.0)]
    assert {(a.verdict, a.event) for a in run.alerts} == {("data changed", CHANGE)}
    alert = next(a for a in run.alerts if a.source == "live")
    assert CHANGE <= alert.epoch <= CHANGE + 1
    assert alert.features[0].name == "leak"
    move = alert.features[0]
    assert move.after - move.before >= 0.002
    assert abs(move.z) > 6
    assert move.direction in (-1, 0, 1)
    logs = history.history
    assert logs["xai_drift_alarm_live"][alert.epoch] == logs["xai_drift_alarm"][alert.epoch] == 1
    assert logs["xai_quiet_epochs"][: CHANGE + 1] == [*range(1, CHANGE + 1), 0]
    assert len(run.importance.epochs) == len(run.importance_live.epochs) == 20
    np.testing.assert_allclose(run.importance.share.sum(1), 1, rtol=1e-5)
    assert run.importance.limit == 6
    assert np.isnan(run.importance.score[0])
    assert run.data_score is None


@pytest.mark.filterwarnings("ignore:ALERT")
def test_noise_redrawn_at_every_read_is_judged_by_the_data_score(tmp_path):
    """Every read differs, so the hash says nothing: the data score raises the alarm, and only at the change."""
    _, run = watched(tmp_path, noise=True)
    assert run.data_score is not None
    data = [a for a in run.alerts if a.source == "data"]
    assert data[0].epoch in (CHANGE, CHANGE + 1)
    assert data[0].features[0].name == "leak"
    assert data[0].verdict == "data changed"


@pytest.mark.filterwarnings("ignore:ALERT")
def test_a_reversed_layer_under_the_same_data_is_reliance(tmp_path):
    """The data did not change, the model did: the live rows' hash tells."""

    class Reverse(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == CHANGE:
                layer = self.model.layers[1]
                layer.kernel.assign(keras.ops.flip(layer.kernel, 0))

    model, stream, probe = leaky()
    watch = kx.ImportanceDrift(tmp_path, probe, live=(stream.x, stream.y), on_error="raise")
    model.fit(stream, epochs=18, verbose=0, callbacks=[Reverse(), watch])
    alerts = kx.load(tmp_path)["."].alerts
    assert {(a.epoch, a.source) for a in alerts} >= {(CHANGE, "clean"), (CHANGE, "live")}
    assert all(a.verdict == "reliance moved" for a in alerts)


@pytest.mark.every_backend
@pytest.mark.filterwarnings("ignore:ALERT")
@pytest.mark.parametrize("on_drift", ["warn", "stop", "raise", "call"])
def test_the_user_says_what_happens_at_an_alarm(tmp_path, on_drift):
    """A warning in words, a stop after the epoch, an exception that on_error does not swallow, a call."""
    called = []
    if on_drift == "raise":
        model, stream, probe = leaky()
        watch = kx.ImportanceDrift(tmp_path, probe, live=lambda: stream.rows(slice(0, 256)), on_drift="raise")
        with pytest.raises(kx.DriftAlarm, match=r"epoch 12 \(Keras prints 13\).*leak"):
            model.fit(stream, epochs=20, verbose=0, callbacks=[Leak(stream), watch])
        assert kx.load(tmp_path)["."].alerts[0].epoch == CHANGE
        return
    if on_drift == "call":
        history, run = watched(tmp_path, on_drift=called.append)
        assert [a.epoch for a in called] == [a.epoch for a in run.alerts]
        return
    with pytest.warns(UserWarning, match="the training data changed: leak"):
        history, run = watched(tmp_path, on_drift=on_drift)
    assert len(history.epoch) == (CHANGE + 1 if on_drift == "stop" else 20)


@pytest.mark.filterwarnings("ignore:ALERT")
def test_early_stopping_and_csv_logger_see_our_keys(tmp_path):
    """EarlyStopping on xai_quiet_epochs stops at the alarm; CSVLogger has our columns from the first epoch."""
    stop = keras.callbacks.EarlyStopping(monitor="xai_quiet_epochs", mode="max", patience=1)
    history, _ = watched(tmp_path / "logs", after=[keras.callbacks.CSVLogger(tmp_path / "log.csv"), stop])
    assert len(history.epoch) == CHANGE + 1
    with open(tmp_path / "log.csv") as file:
        rows = list(csv.DictReader(file))
    assert {"xai_drift", "xai_drift_score", "xai_drift_alarm", "xai_quiet_epochs", "xai_drift_score_live"} <= set(
        rows[0]
    )


def test_skipped_epochs_keep_the_last_figure(tmp_path, model, fit, data):
    """every=3: the keys are there in each epoch, the alarm is 0 between, the quiet epochs count on."""
    history = fit(model, kx.ImportanceDrift(tmp_path, data, every=3, on_error="raise", log="all"), epochs=8).history
    drift = history["xai_drift"]
    assert math.isnan(drift[0])
    assert math.isnan(drift[2])
    assert drift[3] == drift[4] == drift[5]
    assert history["xai_quiet_epochs"] == list(range(1, 9))


@pytest.mark.filterwarnings("ignore:ALERT")
def test_a_resumed_run_equals_an_unbroken_one(tmp_path):
    """Stopped after epoch 10 and resumed with the same weights: record for record the same."""
    model, stream, probe = leaky()
    whole, broken = tmp_path / "whole", tmp_path / "broken"

    # One training, watched by two: one callback sees it whole, the other in two parts.
    first = kx.ImportanceDrift(whole, probe, live=lambda: stream.rows(slice(0, 256)), on_error="raise")

    class Forward(keras.callbacks.Callback):
        """Keeps `first` in one long fit of its own while the model is fitted twice."""

        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 0:
                first.set_model(self.model)
                first.set_params({"epochs": 20})
                first.on_train_begin()
            first.on_epoch_begin(epoch)

        def on_epoch_end(self, epoch, logs=None):
            first.on_epoch_end(epoch, dict(logs or {}))
            if epoch == 19:
                first.on_train_end()

    second = lambda: kx.ImportanceDrift(broken, probe, live=lambda: stream.rows(slice(0, 256)), on_error="raise")  # noqa: E731
    model.fit(stream, epochs=10, verbose=0, callbacks=[Leak(stream), second(), Forward()])
    model.fit(stream, initial_epoch=10, epochs=20, verbose=0, callbacks=[Leak(stream), second(), Forward()])
    a, b = kx.load(whole)["."], kx.load(broken)["."]
    assert a.epochs == b.epochs == list(range(20))
    np.testing.assert_array_equal(a.importance.share, b.importance.share)
    np.testing.assert_array_equal(a.importance.score, b.importance.score)
    np.testing.assert_array_equal(a.importance_live.score, b.importance_live.score)
    assert [str(x) for x in a.alerts] == [str(x) for x in b.alerts]
    assert a.alerts


class Interrupt(keras.callbacks.Callback):
    """The machine goes down in the middle of an epoch."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 2 and int(self.model.optimizer.iterations) == self.at * 12 + 2:
            raise KeyboardInterrupt


def steady():
    """`leaky` without random layers and with a fixed order: two trainings are the same training."""
    _, stream, probe = leaky()
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model, stream, probe


@pytest.mark.filterwarnings("ignore:ALERT")
@pytest.mark.parametrize(
    ("at", "first"),
    [
        (10, "backup"),
        (CHANGE + 1, "watch"),
        *(pytest.param(at, first, marks=pytest.mark.full) for at, first in ((10, "watch"), (CHANGE + 1, "backup"))),
        *(pytest.param(CHANGE, first, marks=pytest.mark.full) for first in ("backup", "watch")),
    ],
)
def test_a_run_restored_from_a_backup_equals_an_unbroken_one(tmp_path, first, at):
    """BackupAndRestore before or after us in the list; the data change after, while and before training is down: record
    for record the same."""

    def fit(name, *more, backup=False, leaking=False):
        model, stream, probe = steady()
        stream.leaking = leaking
        watch = kx.ImportanceDrift(tmp_path / name, probe, live=stream.rows, on_error="raise")
        callbacks = [watch]
        if backup:
            callbacks.insert(
                first == "watch", keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)
            )
        model.fit(stream, epochs=20, shuffle=False, verbose=0, callbacks=[Leak(stream), *callbacks, *more])

    fit("whole")
    with pytest.raises(KeyboardInterrupt):
        fit("broken", Interrupt(at), backup=True)
    assert kx.load(tmp_path / "broken")["."].epochs == list(range(at))
    fit("broken", backup=True, leaking=at >= CHANGE)
    a, b = (kx.load(tmp_path / name)["."] for name in ("whole", "broken"))
    assert a.epochs == b.epochs == list(range(20))
    for one, other in ((a.importance, b.importance), (a.importance_live, b.importance_live)):
        np.testing.assert_array_equal(one.share, other.share)
        np.testing.assert_array_equal(one.score, other.score)
    assert "data changed" in {x.verdict for x in a.alerts}
    told = lambda run: [(x.epoch, x.source, x.verdict, x.event, str(x.score)) for x in run.alerts]  # noqa: E731
    assert told(a) == told(b)
    if at != CHANGE:  # the rows of before are not kept while training is down: how many differ is not known
        assert [str(x) for x in a.alerts] == [str(x) for x in b.alerts]


def test_a_resumed_run_keeps_its_rhythm(tmp_path, model, fit, data):
    """With `every` the epoch that a training is resumed with is looked at only if its turn has come."""
    watch = lambda: kx.ImportanceDrift(tmp_path, data, every=3, on_error="raise")  # noqa: E731
    model.stop_training = False
    fit(model, watch(), epochs=4)
    fit(model, watch(), initial_epoch=4, epochs=9)
    assert kx.load(tmp_path)["."].importance.epochs.tolist() == [0, 3, 6, 8]


@pytest.mark.parametrize("changed", [{"method": "input_x_gradient"}, {"limit": 9.0}])
def test_what_was_measured_otherwise_is_another_run(tmp_path, model, fit, data, changed):
    """Another method or limit: the scores of before and after do not stand on one line."""
    fit(model, kx.ImportanceDrift(tmp_path, data, on_error="raise"), epochs=2)
    fit(model, kx.ImportanceDrift(tmp_path, data, on_error="raise", **changed), initial_epoch=2, epochs=4)
    runs = kx.load(tmp_path)
    assert [run.epochs for run in runs.values()] == [[0, 1], [2, 3]]
    assert next(iter(changed)) in runs["keras_xai-2"].history[0].notes[0]


def test_a_probe_without_labels_starts_its_burn_in_again_when_resumed(tmp_path, model, fit, data):
    """The classes predicted at the first epoch are not kept: said aloud, and old and new scores are not mixed."""
    watch = lambda: kx.ImportanceDrift(tmp_path, data[0], on_error="raise", log="all")  # noqa: E731
    fit(model, watch(), epochs=9)
    logs = fit(model, watch(), initial_epoch=9, epochs=12).history
    run = kx.load(tmp_path)["."]
    assert run.epochs == list(range(12))
    assert np.isfinite(run.importance.score[8])
    assert np.isnan(run.importance.score[9:]).all()
    assert math.isnan(logs["xai_drift"][0])
    assert any("no labels" in note for note in run.history[9].notes)


def test_an_unscored_epoch_is_no_step_of_a_resumed_run(tmp_path, model, fit, data):
    """The distance of the first resumed epoch is to the last share there was."""

    class Dead(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                self.kept = array(self.model.layers[-1].kernel)
                self.model.layers[-1].kernel.assign(0 * self.kept)

        def on_train_end(self, logs=None):
            self.model.layers[-1].kernel.assign(self.kept)

    watch = lambda: kx.ImportanceDrift(tmp_path, data, on_error="raise", log="all")  # noqa: E731
    fit(model, Dead(), watch())
    drift = fit(model, watch(), initial_epoch=3, epochs=4).history["xai_drift"][0]
    share = kx.load(tmp_path)["."].importance.share
    assert np.isnan(share[2]).all()
    assert drift == pytest.approx(np.abs(share[3] - share[1]).sum() / 2)


@pytest.mark.parametrize("per_class", [False, True])
def test_a_wide_table_is_pooled_and_resumed_with_the_same_names(tmp_path, per_class):
    """More than 500 columns: the 200 heaviest of the first epoch and "other", shares that sum to 1, one run."""
    r = np.random.default_rng(0)
    x = r.normal(size=(128, 600)).astype(np.float32)
    y = (x[:, 7] > 0).astype(np.int64)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((600,)), keras.layers.Dense(2, kernel_initializer="zeros")])
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    watch = lambda: kx.ImportanceDrift(tmp_path, (x, y), live=(x, y), per_class=per_class, on_error="raise")  # noqa: E731
    for begin, end in ((0, 3), (3, 5)):
        model.fit(x, y, initial_epoch=begin, epochs=end, verbose=0, callbacks=[watch()])
    run = kx.load(tmp_path)["."]
    assert list(kx.load(tmp_path)) == ["."]
    assert run.epochs == list(range(5))
    names = run.importance.names
    assert len(names) == 201 * (2 if per_class else 1)
    assert names[-1] == ("other, class 1" if per_class else "other")
    assert any(name.startswith("column 7") for name in names)
    assert run.importance_live.names == names
    np.testing.assert_allclose(run.importance.share.sum(1), 1, rtol=1e-5)
    assert np.isfinite(run.importance_live.share).all()


@pytest.mark.filterwarnings("ignore:ALERT")
def test_a_scrambled_one_hot_group_moves_though_its_sum_does_not(tmp_path):
    """The data score looks at the columns of a group: their sum is always one."""
    r = np.random.default_rng(0)
    kind = np.eye(3, dtype=np.float32)[r.integers(0, 3, 256)]
    rest = r.normal(size=(256, 3)).astype(np.float32)
    y = (rest[:, 0] + kind[:, 0] > 0.3).astype(np.int64)
    probe = kx.Probe(np.hstack([kind, rest]), y, groups={"kind": [0, 1, 2]})
    epoch, noise = [0], np.random.default_rng(1)

    def live():
        redrawn = rest + 0.3 * noise.normal(size=rest.shape).astype(np.float32)
        return np.hstack([np.roll(kind, 1, 0) if epoch[0] >= CHANGE else kind, redrawn]), y

    clock = keras.callbacks.LambdaCallback(on_epoch_begin=lambda e, logs: epoch.__setitem__(0, e))
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    watch = kx.ImportanceDrift(tmp_path, probe, live=live, on_error="raise")
    model.fit(probe.x, y, epochs=16, verbose=0, callbacks=[clock, watch])
    data = [a for a in kx.load(tmp_path)["."].alerts if a.source == "data"]
    assert [(a.epoch, a.features[0].name) for a in data] == [(CHANGE, "kind")]


def test_the_rate_that_is_scored_is_the_rate_that_is_recorded(tmp_path, model, data):
    """Also where a callback between two of ours changes it: a resume replays what was scored."""
    seen = []

    class Halve(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(watch.learning_rate)
            self.model.optimizer.learning_rate = self.model.optimizer.learning_rate / 2

    watch = kx.ImportanceDrift(tmp_path, data, on_error="raise")
    after = kx.WeightGradients(tmp_path, on_error="raise")
    model.fit(*data, epochs=3, verbose=0, callbacks=[watch, Halve(), after])
    np.testing.assert_allclose([e.learning_rate for e in kx.load(tmp_path)["."].history], seen)
    np.testing.assert_allclose(seen, [1e-3, 5e-4, 2.5e-4], rtol=1e-6)


def test_an_alarm_in_an_epoch_that_is_caught_up_is_told(tmp_path, model, data):
    """Training stops in an epoch that was not scheduled: its alarm is recorded, and acted on."""

    class Reverse(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 21:
                self.model.layers[0].kernel.assign(keras.ops.flip(self.model.layers[0].kernel, 0) * 5)
                self.model.stop_training = True

    told = []
    watch = kx.ImportanceDrift(tmp_path, data, every=2, on_drift=told.append, on_error="raise")
    model.fit(*data, epochs=30, verbose=0, callbacks=[watch, Reverse()])
    assert [a.epoch for a in told] == [a.epoch for a in kx.load(tmp_path)["."].alerts] == [21]


def test_another_probe_is_another_run(tmp_path, model, fit, data):
    """Resumed with other samples: said aloud, and not mixed."""
    x, y = data
    fit(model, kx.ImportanceDrift(tmp_path, (x, y), on_error="raise"))
    fit(model, kx.ImportanceDrift(tmp_path, (x[::-1], y[::-1]), on_error="raise"), initial_epoch=3, epochs=5)
    runs = kx.load(tmp_path)
    assert runs["keras_xai-2"].epochs == [3, 4]
    assert "probe changed" in runs["keras_xai-2"].history[0].notes[0]


def test_importance_that_is_all_zero_is_skipped_and_said(tmp_path, model, fit, data):
    """Dead from the start: no score, no alarm, a note; training untouched."""
    model.layers[-1].kernel.assign(np.zeros((6, 3)))
    model.layers[-1].trainable = False
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = fit(model, kx.ImportanceDrift(tmp_path, data, on_error="raise"))
    run = kx.load(tmp_path)["."]
    assert np.isnan(run.importance.share).all()
    assert "all zero" in run.history[0].notes[0]
    assert history.history["xai_drift_alarm"] == [0, 0, 0]


def test_nan_weights_are_skipped_and_said(tmp_path, model, fit, data):
    """A training that went NaN is recorded up to it, and runs on."""

    class Poison(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                self.model.layers[0].kernel.assign(np.full((4, 6), np.nan))

    history = fit(model, Poison(), kx.ImportanceDrift(tmp_path, data, live=data, on_error="raise"), epochs=4)
    run = kx.load(tmp_path)["."]
    assert np.isfinite(run.importance.share[:2]).all()
    assert np.isnan(run.importance.share[2:]).all()
    assert not run.alerts
    assert len(history.epoch) == 4


def test_a_live_source_that_breaks_is_reported_and_the_probe_watched_on(tmp_path, model, fit, data):
    """The user's own error in mid-training: one warning, clean records go on."""
    reads = []

    def source():
        reads.append(1)
        if len(reads) == 4:
            raise OSError("disk gone")
        return data

    with pytest.warns(UserWarning, match="disk gone"):
        fit(model, kx.ImportanceDrift(tmp_path, data, live=source), epochs=5)
    run = kx.load(tmp_path)["."]
    assert run.importance.epochs.tolist() == [0, 1, 2, 3, 4]
    assert run.importance_live.epochs.tolist() == [0]


def test_a_live_source_that_changes_its_length_is_reported(tmp_path, model, fit, data):
    """Mid-way: one warning with both shapes, the alarm of the live rows is 0 from then on, clean records go on."""
    x, y = data
    reads = []

    def source():
        reads.append(1)
        return (x, y) if len(reads) < 5 else (x[:50], y[:50])

    with pytest.warns(UserWarning, match=r"\(50, 4\).*\(96, 4\)"):
        logs = fit(model, kx.ImportanceDrift(tmp_path, data, live=source, log="all"), epochs=5).history
    run = kx.load(tmp_path)["."]
    assert run.importance.epochs.tolist() == [0, 1, 2, 3, 4]
    assert run.importance_live.epochs.tolist() == [0, 1]
    assert logs["xai_drift_alarm_live"] == [0] * 5
    assert math.isnan(logs["xai_drift_score_live"][-1])
    assert any("watched no longer" in note for note in run.history[2].notes)


def test_the_last_alarm_of_lost_live_rows_does_not_stand(tmp_path):
    """The source breaks at the epoch after its alarm: EarlyStopping must not see one for ever."""
    model, stream, probe = leaky()

    def source():
        if clock[0] > CHANGE + 1:
            raise OSError("disk gone")
        return stream.rows(slice(0, 256))

    clock = [0]
    tick = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: clock.__setitem__(0, epoch))
    watch = kx.ImportanceDrift(tmp_path, probe, live=source, on_drift=lambda alert: None, log="all")
    with pytest.warns(UserWarning, match="disk gone"):
        logs = model.fit(stream, epochs=18, verbose=0, callbacks=[tick, Leak(stream), watch]).history
    assert 1 in logs["xai_drift_alarm_live"]
    assert logs["xai_drift_alarm_live"][CHANGE + 2 :] == [0] * (16 - CHANGE)


def test_a_live_source_that_breaks_before_training_costs_only_itself(tmp_path, model, fit, data):
    """A file that is not there: one warning, the fixed probe is watched."""

    def source():
        raise FileNotFoundError("rows.npz")

    with pytest.warns(UserWarning, match=r"rows\.npz"):
        fit(model, kx.ImportanceDrift(tmp_path, data, live=source))
    assert kx.load(tmp_path)["."].importance.epochs.tolist() == [0, 1, 2]


@pytest.mark.filterwarnings("ignore:ALERT")
def test_rows_redrawn_between_epochs_get_a_data_score(tmp_path):
    """A PyDataset that draws its noise in on_epoch_end: two reads in a row agree, and still the data score judges."""

    class Redrawing(Stream):
        def on_epoch_end(self):
            self.drawn = np.random.default_rng(self.seed).normal(size=self.x.shape).astype(np.float32)
            self.seed += 1

        def rows(self, which=slice(None)):
            x, y = super().rows(which)
            return x + self.drawn[which], y

    model, stream, probe = leaky()
    source = Redrawing(stream.x, stream.y)
    source.seed = 0
    source.on_epoch_end()
    watch = kx.ImportanceDrift(tmp_path, probe, live=source, on_error="raise")
    model.fit(source, epochs=20, verbose=0, callbacks=[Leak(source), watch])
    run = kx.load(tmp_path)["."]
    assert run.data_score.epochs[0] == 2
    data = [a for a in run.alerts if a.source == "data"]
    assert [(a.epoch, a.features[0].name) for a in data] == [(CHANGE, "leak")]


@pytest.mark.parametrize("classes", [1, 3])
def test_a_single_feature_and_a_single_class_raise_no_alarm(tmp_path, classes):
    """A single feature holds the whole share for ever; a single class is watched like any other."""
    x = np.random.default_rng(0).normal(size=(96, 1 if classes == 3 else 4)).astype(np.float32)
    y = np.zeros(96, np.int64) if classes == 1 else np.arange(96) % 3
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Dense(3)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for per_class in (False, True):
        watch = kx.ImportanceDrift(
            tmp_path / str(per_class), (x, y), live=(x, y), per_class=per_class, on_error="raise", log="all"
        )
        logs = model.fit(x, y, epochs=12, verbose=0, callbacks=[watch]).history
        assert logs["xai_drift_alarm"] == logs["xai_drift_alarm_live"] == [0] * 12
        assert np.isfinite(logs["xai_drift_score"][-1])


@pytest.mark.tensorflow
def test_a_tf_data_source_is_watched_and_one_that_shuffles_refused(tmp_path, data):
    """Before training: the constructor says it."""
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(data)
    model = small_model()
    watch = kx.ImportanceDrift(tmp_path, data, live=dataset.batch(16), on_error="raise")
    model.fit(dataset.shuffle(96).batch(32), epochs=2, shuffle=None, verbose=0, callbacks=[watch])
    assert kx.load(tmp_path)["."].importance_live.epochs.tolist() == [0, 1]
    with pytest.raises(kx.InvalidInput, match="even to look at it"):
        kx.ImportanceDrift(tmp_path, data, live=dataset.shuffle(96).batch(32))


def test_per_class_names_feature_and_class(tmp_path, model, fit, data):
    """Class × feature, limit 9."""
    probe = kx.Probe(*data, feature_names=list("abcd"), class_names=["x", "y", "z"])
    fit(model, kx.ImportanceDrift(tmp_path, probe, per_class=True, on_error="raise"))
    importance = kx.load(tmp_path)["."].importance
    assert importance.limit == 9
    assert importance.names[:5] == ("a, class x", "b, class x", "c, class x", "d, class x", "a, class y")


def test_an_unbuilt_model_is_watched_from_its_first_epoch(tmp_path, fit, data):
    """No input shape yet at train begin: the first epoch builds it."""
    model = keras.Sequential([keras.layers.Dense(4), keras.layers.Dense(3)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    fit(model, kx.ImportanceDrift(tmp_path, data, on_error="raise"))
    assert kx.load(tmp_path)["."].importance.epochs.tolist() == [0, 1, 2]


def test_a_small_probe_is_warned_of(tmp_path, data):
    """Under 64 rows, and over 1,024."""
    x, y = data
    with pytest.warns(UserWarning, match="has 16 rows"):
        kx.ImportanceDrift(tmp_path, (x[:16], y[:16]))
    with pytest.warns(UserWarning, match="2000 rows"):
        kx.ImportanceDrift(tmp_path, (np.zeros((2000, 4)), np.zeros(2000, int)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "salience"}, "Did you mean 'saliency'"),
        ({"method": "grad_cam"}, "map of its own resolution"),
        ({"limit": -1}, "limit=-1"),
        ({"burn_in": -1}, "burn_in=-1"),
        ({"on_drift": "halt"}, "'warn', 'stop', 'raise'"),
        ({"every": 0}, "every=0"),
        ({"live": 7}, "live is a int"),
    ],
)
def test_bad_arguments_are_errors_at_construction(tmp_path, data, arguments, words):
    """What came, what is expected."""
    with pytest.raises(kx.InvalidInput, match=words):
        kx.ImportanceDrift(tmp_path, data, **arguments)


@pytest.mark.parametrize(
    ("probe", "live", "words"),
    [
        (lambda x, y: (x[:, :3], y), None, r"\(3,\).*takes \(4,\)"),
        (lambda x, y: (x, y + 1), None, r"class 3, the model's output has 3 classes"),
        (lambda x, y: (x, y), lambda x, y: (x[:, :3], y), r"\[\(3,\)\].*\[\(4,\)\]"),
        (lambda x, y: (x, y), lambda x, y: lambda: (x, np.random.default_rng().permutation(y)), "shuffle"),
        (lambda x, y: (x, y), lambda x, y: lambda: x, r"expected \(x, y\)"),
    ],
)
def test_what_does_not_fit_the_model_is_an_error_at_train_begin(tmp_path, fit, data, probe, live, words):
    """Both shapes in the message; a live source whose labels change between two reads is refused."""
    watch = kx.ImportanceDrift(tmp_path, probe(*data), live=None if live is None else live(*data))
    with pytest.raises(kx.InvalidInput, match=words):
        fit(small_model(), watch)


def test_training_is_bit_identical_with_and_without(tmp_path, data):
    """The same weights and the same global random numbers afterwards."""
    found = []
    for callbacks in ([], [kx.ImportanceDrift(tmp_path, data, live=data, on_error="raise")]):
        model = small_model()
        model.fit(*data, epochs=3, verbose=0, callbacks=callbacks)
        found.append((model.get_weights(), [array(v) for v in model.optimizer.variables], np.random.random()))
    for a, b in zip(found[0][0] + found[0][1], found[1][0] + found[1][1], strict=True):
        np.testing.assert_array_equal(a, b)
    assert found[0][2] == found[1][2]
