"""The alarm, in a real fit."""

import csv
import math

import keras
import numpy as np
import pytest

import keras_xai as kx
from tests.callbacks.conftest import small_model

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
    watch = kx.ImportanceDrift(log_dir, probe, live=lambda: stream.rows(slice(0, 256)), on_error="raise", **keywords)
    history = model.fit(stream, epochs=epochs, verbose=0, callbacks=[*before, Leak(stream), watch, *after])
    return history, kx.load(log_dir)["."]


@pytest.mark.filterwarnings("ignore:Importance drift")
def test_a_leaking_column_is_found_named_and_judged(tmp_path):
    """The live rows see the change at its epoch: the data changed, in the leaking column."""
    history, run = watched(tmp_path)
    alert = run.alerts[0]
    assert CHANGE <= alert.epoch <= CHANGE + 1
    assert (alert.source, alert.verdict) == ("live", "data changed")
    assert alert.features[0][0] == "leak"
    _, before, after, direction, z = alert.features[0]
    assert after - before >= 0.002
    assert abs(z) > 6
    assert direction in (-1, 0, 1)
    logs = history.history
    assert logs["xai_drift_alarm_live"][alert.epoch] == 1
    assert logs["xai_quiet_epochs"][: alert.epoch + 2] == [*range(1, alert.epoch + 1), 0, 1]
    assert len(run.importance.epochs) == len(run.importance_live.epochs) == 20
    np.testing.assert_allclose(run.importance.share.sum(1), 1, rtol=1e-5)
    assert run.importance.limit == 6
    assert np.isnan(run.importance.score[0])
    assert run.data_score is None


@pytest.mark.filterwarnings("ignore:Importance drift")
def test_noise_redrawn_at_every_read_is_judged_by_the_data_score(tmp_path):
    """Every read differs, so the hash says nothing: the data score raises the alarm, and only at the change."""
    _, run = watched(tmp_path, noise=True)
    assert run.data_score is not None
    data = [a for a in run.alerts if a.source == "data"]
    assert data[0].epoch in (CHANGE, CHANGE + 1)
    assert data[0].features[0][0] == "leak"
    assert data[0].verdict == "data changed"


@pytest.mark.filterwarnings("ignore:Importance drift")
def test_a_reversed_layer_under_the_same_data_is_reliance(tmp_path):
    """The data did not change, the model did: the live rows' hash tells."""

    class Reverse(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == CHANGE:
                layer = self.model.layers[1]
                layer.kernel.assign(layer.kernel[::-1])

    model, stream, probe = leaky()
    watch = kx.ImportanceDrift(tmp_path, probe, live=(stream.x, stream.y), on_error="raise")
    model.fit(stream, epochs=18, verbose=0, callbacks=[Reverse(), watch])
    alerts = kx.load(tmp_path)["."].alerts
    assert {(a.epoch, a.source) for a in alerts} >= {(CHANGE, "clean"), (CHANGE, "live")}
    assert all(a.verdict == "reliance moved" for a in alerts)


@pytest.mark.filterwarnings("ignore:Importance drift")
@pytest.mark.filterwarnings("ignore:Importance drift")
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


@pytest.mark.filterwarnings("ignore:Importance drift")
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
    history = fit(model, kx.ImportanceDrift(tmp_path, data, every=3, on_error="raise"), epochs=8).history
    drift = history["xai_drift"]
    assert math.isnan(drift[0])
    assert math.isnan(drift[2])
    assert drift[3] == drift[4] == drift[5]
    assert history["xai_quiet_epochs"] == list(range(1, 9))


@pytest.mark.filterwarnings("ignore:Importance drift")
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
        found.append((model.get_weights(), [v.numpy() for v in model.optimizer.variables], np.random.random()))
    for a, b in zip(found[0][0] + found[0][1], found[1][0] + found[1][1], strict=True):
        np.testing.assert_array_equal(a, b)
    assert found[0][2] == found[1][2]
