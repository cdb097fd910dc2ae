"""Live rows that provably changed are told, whatever attribution makes of them; one event, one verdict, one line."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_xai as kx

CHANGE, EPOCHS = 10, 15
layers = keras.layers


class Batches(keras.utils.PyDataset):
    """The arrays as they are now."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x) // 32

    def __getitem__(self, i):
        return self.x[32 * i : 32 * i + 32], self.y[32 * i : 32 * i + 32]


def watched(log_dir, model, x, y, probe, change, **options):
    """Trained on x and y, in which `change` is made at the begin of an epoch; -> (logs, run, alerts as they were told)."""
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    plant = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: change() if epoch == CHANGE else None)
    watch = kx.ImportanceDrift(log_dir, probe, live=lambda: (x, y), on_error="raise", **options)
    with pytest.warns(UserWarning, match="ALERT") as told:
        logs = model.fit(Batches(x, y), epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[plant, watch]).history
    lines = [w for w in told if str(w.message).startswith("ALERT")]
    return logs, kx.load(log_dir)["."], lines


def table(size=384):
    r = np.random.default_rng(0)
    x = r.normal(size=(size, 4)).astype(np.float32)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8, "relu"), layers.Dense(2)])
    return x, (x[:, 0] > 0).astype(np.int64), model


def test_a_token_at_random_places_is_named_and_seen(tmp_path):
    """It stands in no text of the probe: scored by word, its share jumps; scored by place, nothing would move."""
    r = np.random.default_rng(0)
    words = ["", *(f"word {i}" for i in range(1, 20)), "dull"]
    x = r.integers(1, 20, (320, 8))
    y = ((x == 3).sum(1) + (x == 4).sum(1) > (x == 5).sum(1)).astype(np.int64)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((8,), dtype="int32"), layers.Embedding(21, 4), layers.GlobalAveragePooling1D(), layers.Dense(2)]
    )
    rows, labels, probe = x[:256].copy(), y[:256], kx.Probe(x[256:], y[256:], kind="tokens", vocabulary=words)
    positive = np.flatnonzero(labels == 1)

    def change():
        rows[positive, r.integers(0, 8, len(positive))] = 20

    _, run, lines = watched(tmp_path, model, rows, labels, probe, change)
    certain, seen = run.alerts[:2]
    assert (certain.source, certain.epoch, certain.changed.rows) == ("data", CHANGE, len(positive))
    assert (certain.features[0].name, seen.source, seen.features[0].name) == ("dull", "live", "dull")
    assert {(a.event, a.verdict) for a in run.alerts} == {(CHANGE, "data changed")}
    assert len(lines) == 1
    assert run.importance_live.names[-2:] == ("dull", "other")


def test_swapped_labels_are_named(tmp_path):
    """No pixel is to blame: the labels changed, and how many."""
    x, y, model = table()
    probe = kx.Probe(x[256:], y[256:].copy())

    def change():
        y[:96] = 1 - y[:96]

    logs, run, lines = watched(tmp_path, model, x[:256], y[:256], probe, change)
    assert run.alerts[0].changed == (0, 96, 256)
    assert run.alerts[0].features[0].name == "labels"
    assert "the training labels changed" in str(lines[0].message)
    assert logs["xai_drift_alarm"][CHANGE] == 1
    assert logs["xai_quiet_epochs"][CHANGE] == 0


def test_one_changed_entry_is_certain_and_told_once(tmp_path):
    """No attribution moves; the warning names no file of ours and says what to do; logs have the figures of ours."""
    x, y, model = table()

    def change():
        x[7, 2] += 1

    logs, run, lines = watched(tmp_path, model, x[:256], y[:256], kx.Probe(x[256:], y[256:]), change)
    assert [(a.epoch, a.source, a.changed, a.event) for a in run.alerts] == [(CHANGE, "data", (1, 0, 256), CHANGE)]
    assert np.isnan(run.alerts[0].score)
    assert run.alerts[0].features[0][:3] == ("column 2", 0.0, 1 / 256)
    assert len(lines) == 1
    assert lines[0].filename == "<keras_xai>"
    assert str(lines[0].message).endswith(run.alerts[0].advice)
    of_changes = ["xai_drift_score", "xai_drift_alarm", "xai_quiet_epochs"]
    assert [key for key in logs if key.startswith("xai_")] == [*of_changes, "xai_gap", "xai_gap_alarm"]
    assert {"xai_drift", "xai_drift_score_live", "xai_drift_alarm_live"} <= set(run.history[0].logs)


def test_rows_that_change_at_every_epoch_from_then_on_have_a_cooldown(tmp_path):
    """A curriculum is one alarm in four epochs."""
    x, y, model = table()
    grow = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: x.__imul__(1.001) if epoch >= 6 else None)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    watch = kx.ImportanceDrift(
        tmp_path, (x[256:].copy(), y[256:]), live=(x[:256], y[:256]), on_drift=lambda alert: None
    )
    model.fit(x, y, epochs=14, verbose=0, callbacks=[grow, watch])
    assert [a.epoch for a in kx.load(tmp_path)["."].alerts if a.source == "data"] == [6, 10]


def test_a_late_alarm_is_put_down_to_the_change(tmp_path, monkeypatch):
    """Live and fixed probe alarm two epochs after the rows changed: the data, not the model."""
    from keras_xai.drift.control_chart import ControlChart

    plain = ControlChart.update

    def late(self, share, learning_rate=1.0, **options):
        import dataclasses

        update = plain(self, share, learning_rate, **options)
        alarm = self._updates == CHANGE + 3
        exceeds = (np.arange(len(update.z)) == 1) & alarm
        return dataclasses.replace(update, alarm=alarm, exceeds=exceeds)

    monkeypatch.setattr(ControlChart, "update", late)
    x, y, model = table()

    def change():
        x[:100, 1] = 0

    _, run, lines = watched(tmp_path, model, x[:256], y[:256], kx.Probe(x[256:], y[256:]), change)
    assert [(a.epoch, a.source) for a in run.alerts] == [(CHANGE, "data"), (CHANGE + 2, "live"), (CHANGE + 2, "clean")]
    assert {(a.event, a.verdict) for a in run.alerts} == {(CHANGE, "data changed")}
    assert len(lines) == 1


def test_only_all_and_default_are_known(tmp_path):
    """What came, and what is expected."""
    x, y, _ = table(64)
    with pytest.raises(kx.InvalidInput, match=r"log='few'.*'all'"):
        kx.ImportanceDrift(tmp_path, (x, y), log="few")
