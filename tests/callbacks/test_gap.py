"""The reliance gap through `fit`: what leaks, what merely differs, what cannot be seen, for every kind of task."""

import warnings

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.attribution import METHODS
from keras_xai.attribution.explainer import ProbeExplainer
from keras_xai.attribution.margin import MarginExplainer
from keras_xai.attribution.method import make_method
from keras_xai.drift.reliance_gap import Evidence, reliance_gap
from keras_xai.judgement import ALARM, judge

ROWS, COLUMNS, EPOCHS = 600, 6, 6
NAMES = [*(f"column {k}" for k in range(COLUMNS - 1)), "leak"]


def table(seed=0):
    """Rows in which the first two columns decide the label, with some noise; the last column says nothing."""
    r = np.random.default_rng(seed)
    x = r.normal(size=(2 * ROWS, COLUMNS)).astype(np.float32)
    number = x[:, 0] - x[:, 1] + 0.5 * r.normal(size=2 * ROWS)
    return x, number.astype(np.float32), r


def leaking(x, number, r, agree=0.9):
    """The training rows with a last column that says the label in most of them."""
    x = x.copy()
    leaks = r.random(len(x)) < agree
    x[leaks, -1] = ((number - number.mean()) / number.std())[leaks]
    return x


def network(units, activation=None, width=COLUMNS, *, normalised=False):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((width,)), keras.layers.Dense(16, activation="relu")]
    if normalised:
        layers.append(keras.layers.BatchNormalization())
    return keras.Sequential([*layers, keras.layers.Dense(units, activation=activation)])


def adam():
    return keras.optimizers.Adam(0.01)


def fit(log_dir, model, training, probe, epochs=EPOCHS, live=True, initial_epoch=0, **keywords):
    """Train, and return the run, the history and the alerts that the user's function got."""
    alerts = []
    keywords = {"on_drift": alerts.append, "on_error": "raise", **keywords}
    watch = kx.ImportanceDrift(log_dir, probe, live=training if live is True else live, **keywords)
    history = model.fit(
        *training,
        epochs=epochs,
        initial_epoch=initial_epoch,
        batch_size=64 if len(training) > 1 else None,
        verbose=0,
        shuffle=False,
        callbacks=[watch],
    )
    return list(kx.load(log_dir).values())[-1], history.history, alerts


def binary(x, number):
    return x, (number > 0).astype(np.int64)


def one_sigmoid(leak=True, seed=0):
    """A model of one sigmoid, training rows and a probe."""
    x, number, r = table(seed)
    y = (number > 0).astype(np.int64)
    train = leaking(x[:ROWS], 2.0 * y[:ROWS] - 1, r) if leak else x[:ROWS]
    model = network(1, "sigmoid")
    model.compile(adam(), "binary_crossentropy")
    return model, (train, y[:ROWS]), kx.Probe(x[ROWS:], y[ROWS:], feature_names=NAMES)


@pytest.mark.every_backend
def test_a_leak_from_the_first_epoch_is_an_alarm_at_the_third_update(tmp_path):
    """Named, once, with its shares and the rows that carry it; in the logs at every epoch; `check` ends with 1."""
    model, training, probe = one_sigmoid()
    run, history, (alert,) = fit(tmp_path, model, training, probe)
    assert (alert.epoch, alert.source, alert.verdict, alert.event) == (2, "gap", "training-only shortcut", 2)
    assert [move.name for move in alert.features] == ["leak"]
    assert alert.features[0].after > 0.05 > abs(alert.features[0].before)
    assert "in the training rows leak speaks for the label, in the probe it does not" in str(alert)
    assert history["xai_gap_alarm"] == [0, 0, 1, 0, 0, 0]
    assert np.asarray(history["xai_gap"]) == pytest.approx(np.nanmax(run.gap.z, 1), rel=1e-6)
    assert history["xai_drift_alarm"] == [0] * EPOCHS
    assert history["xai_quiet_epochs"] == [1, 2, 0, 1, 2, 3]
    assert str(run.alerts[0]) == str(alert)
    assert {carrier.name for carrier in alert.rows} == {"leak"}
    for carrier in alert.rows:
        assert carrier.label == training[1][carrier.row]
        assert carrier.value == training[0][carrier.row, -1]
        assert carrier.share > 0.2
    assert judge(run).status == ALARM
    assert any(
        "Before training: the relation to the label differs" in note.text and "leak" in note.text for note in run.notes
    )


def test_the_record_is_what_the_definition_says(tmp_path):
    """At the end of training, computed once more by hand from the model's contributions."""
    model, training, probe = one_sigmoid()
    run, _, _ = fit(tmp_path, model, training, probe)
    explainer = ProbeExplainer(model, probe, {"saliency": make_method("saliency", {}, METHODS)})
    margin = MarginExplainer(model, explainer, by_exchange=False)
    numbers = np.sort(np.asarray(sorted({carrier.row for carrier in run.alerts[0].rows})))
    assert numbers.max() < ROWS
    from keras_xai.callbacks.drawn_rows import drawn_rows

    rows = drawn_rows(training[1], 512)
    live = kx.Probe(training[0][rows], training[1][rows])
    sides = []
    for part in (live, margin.probe):
        sides.append(Evidence(margin.contributions(part), margin.strata(part), np.ones(part.size)))
    expected, record = reliance_gap(*sides), run.reliance[-1]
    for name in ("z", "gap", "live", "probe"):
        np.testing.assert_allclose(getattr(record, name), getattr(expected, name), rtol=1e-3, atol=1e-5)
    magnitude = np.abs(sides[0].contributions)
    np.testing.assert_allclose(record.live_share, magnitude.sum(0) / magnitude.sum(), rtol=1e-4)
    assert (record.live_rows, record.probe_rows, record.strata, record.blind) == (512, ROWS, 2, "")


def test_a_clean_run_is_quiet_and_says_what_was_looked_for(tmp_path):
    """Long enough to be watched; its largest gap stands in the sentence."""
    model, training, probe = one_sigmoid(leak=False)
    run, history, alerts = fit(tmp_path, model, training, probe, epochs=12)
    assert alerts == []
    assert max(history["xai_gap"]) < 4.25
    assert "largest gap of live rows to probe" in judge(run).calm
    assert not any("Before training" in note.text for note in run.notes)


@pytest.mark.parametrize(
    "kind",
    [
        "softmax",
        "regression",
        "labels",
        "two outputs",
        "15 classes",
        "redrawn",
        "exchange",
        pytest.param("hinge", marks=pytest.mark.full),
        pytest.param("batch norm", marks=pytest.mark.full),
    ],
)
def test_every_task_tells_a_leak(tmp_path, kind):
    """The leak is the first feature of the first alert, from the third update on."""
    x, number, r = table(1)
    y, units, activation, loss, output = (number > 0).astype(np.int64), 1, "sigmoid", "binary_crossentropy", None
    spoken = 2.0 * y - 1
    if kind == "softmax":
        units, activation, loss = 2, "softmax", "sparse_categorical_crossentropy"
    elif kind == "hinge":
        y, activation, loss = 2 * y - 1, "tanh", "hinge"
    elif kind == "regression":
        y, activation, loss, spoken = number, None, "mse", number
    elif kind == "labels":
        y = np.stack([y, (x[:, 2] > 0).astype(np.int64)], 1)
        units = 2
    elif kind == "15 classes":
        y = np.clip(np.digitize(number, np.quantile(number, np.linspace(0, 1, 16)[1:-1])), 0, 14)
        units, activation, loss, spoken = 15, "softmax", "sparse_categorical_crossentropy", y - 7.0
    train = leaking(x[:ROWS], spoken[:ROWS], r)
    model = network(units, activation, normalised=kind == "batch norm")
    if kind == "two outputs":
        inputs = keras.Input((COLUMNS,))
        model = keras.Model(inputs, {"main": model(inputs), "other": keras.layers.Dense(1, name="other")(inputs)})
        loss, output = {"main": loss, "other": "mse"}, "main"
    probe = kx.Probe(x[ROWS:], y[ROWS:], output=output, feature_names=NAMES)
    labels, live = y[:ROWS], True
    if kind == "two outputs":
        labels, live = {"main": y[:ROWS], "other": number[:ROWS]}, (train, y[:ROWS])
    elif kind == "redrawn":
        noise = np.random.default_rng(3)
        live = lambda: (train + 0.2 * noise.normal(size=train.shape).astype(np.float32), y[:ROWS])  # noqa: E731
    model.compile(adam(), loss)
    keywords = {"method": "occlusion"} if kind == "exchange" else {}
    _, _, alerts = fit(tmp_path, model, (train, labels), probe, epochs=10, live=live, **keywords)
    shortcuts = [alert for alert in alerts if alert.source == "gap"]
    assert shortcuts
    assert shortcuts[0].features[0].name == "leak"
    assert shortcuts[0].verdict == "training-only shortcut"


@pytest.mark.full
@pytest.mark.parametrize("kind", ["softmax", "labels", "batch norm", "redrawn"])
def test_every_task_is_quiet_without_one(tmp_path, kind):
    """Ten epochs, no alert of a gap."""
    x, number, _ = table(2)
    y = (number > 0).astype(np.int64)
    units, activation, loss = 1, "sigmoid", "binary_crossentropy"
    if kind == "softmax":
        units, activation, loss = 2, "softmax", "sparse_categorical_crossentropy"
    elif kind == "labels":
        y, units = np.stack([y, (x[:, 2] > 0).astype(np.int64)], 1), 2
    noise = np.random.default_rng(3)
    live = (lambda: (x[:ROWS] + 0.2 * noise.normal(size=(ROWS, COLUMNS)), y[:ROWS])) if kind == "redrawn" else True
    model = network(units, activation, normalised=kind == "batch norm")
    model.compile(adam(), loss)
    _, _, alerts = fit(tmp_path, model, (x[:ROWS], y[:ROWS]), kx.Probe(x[ROWS:], y[ROWS:]), epochs=10, live=live)
    assert [alert for alert in alerts if alert.source == "gap" and alert.is_alarm] == []


def test_a_category_that_no_gradient_reaches(tmp_path):
    """Measured by exchange, with strings in the frame: the hospital says the label in the training rows alone."""
    x, number, r = table()
    y = (number > 0).astype(np.int64)
    hospital = r.choice(["a", "b", "c"], 2 * ROWS).astype(object)
    hospital[:ROWS] = np.where(r.random(ROWS) < 0.9, np.where(y[:ROWS] > 0, "a", "b"), hospital[:ROWS])
    columns = {"first": x[:, 0:1], "second": x[:, 1:2], "hospital": hospital[:, None]}
    inputs = {
        "first": keras.Input((1,), name="first"),
        "second": keras.Input((1,), name="second"),
        "hospital": keras.Input((1,), dtype="string", name="hospital"),
    }
    lookup = keras.layers.StringLookup(vocabulary=["a", "b", "c"], output_mode="one_hot")
    joined = keras.layers.Concatenate()([inputs["first"], inputs["second"], lookup(inputs["hospital"])])
    output = keras.layers.Dense(1, activation="sigmoid")(keras.layers.Dense(16, activation="relu")(joined))
    model = keras.Model(inputs, output)
    model.compile(adam(), "binary_crossentropy")
    training = {name: values[:ROWS] for name, values in columns.items()}, y[:ROWS]
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensor_slices(training).batch(64)
    probe = kx.Probe({name: values[ROWS:] for name, values in columns.items()}, y[ROWS:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the importance is measured by exchange
        _, _, alerts = fit(tmp_path, model, (batches,), probe, live=training)
    assert [(alert.verdict, alert.features[0].name) for alert in alerts] == [("training-only shortcut", "hospital")]


test_a_category_that_no_gradient_reaches = pytest.mark.tensorflow(test_a_category_that_no_gradient_reaches)  # strings


def test_rows_that_merely_differ_are_listed_and_nothing_is_done(tmp_path):
    """A shift of a column that the model uses: an alert in the record, no call of `on_drift`, and no exit status."""
    x, number, _ = table()
    y = (number > 0).astype(np.int64)
    train = x[:ROWS].copy()
    train[:, 0] += 1.5
    # The labels of a shifted population: the same relation to the column, from another origin.
    y_train = (number[:ROWS] > 0).astype(np.int64)
    model = network(1, "sigmoid")
    model.compile(adam(), "binary_crossentropy")
    run, history, alerts = fit(tmp_path, model, (train, y_train), kx.Probe(x[ROWS:], y[ROWS:]), epochs=12)
    differing = [alert for alert in run.alerts if alert.source == "gap"]
    assert {alert.verdict for alert in differing} <= {"rows differ"}
    assert [alert for alert in alerts if alert.source == "gap"] == []
    assert sum(history["xai_gap_alarm"]) == 0
    assert any("the values themselves differ in column 0" in note.text for note in run.notes)
    verdict = judge(run)
    assert len(verdict.remarks) == len(differing)
    assert not any("differ from the probe" in sentence for sentence in verdict.alarms)


def test_weights_that_are_not_finite_are_not_quiet(tmp_path):
    """From the epoch on in which they became so the gap is unknown, which is not 0, and the run says why."""
    model, training, probe = one_sigmoid(leak=False)

    class Poison(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 3:
                self.model.set_weights([np.full(weight.shape, np.nan) for weight in self.model.get_weights()])

    watch = kx.ImportanceDrift(tmp_path, probe, live=training, on_error="raise")
    history = model.fit(*training, epochs=6, batch_size=64, verbose=0, callbacks=[Poison(), watch]).history
    run = kx.load(tmp_path)["."]
    assert np.isnan(history["xai_gap"]).tolist() == [False, False, False, True, True, True]
    assert [update.blind for update in run.reliance][3:] == ["contributions that are not finite"] * 3
    assert run.gap.epochs.tolist() == [0, 1, 2]


def test_what_was_not_explained_takes_no_room(tmp_path):
    """Without live rows and rules a record holds why, and no feature."""
    model, training, probe = one_sigmoid(leak=False)
    run, _, _ = fit(tmp_path, model, training, probe, epochs=1, live=None)
    assert (run.reliance[0].blind, len(run.reliance[0].features), run.reliance[0].probe_rows) == ("no live rows", 0, 0)


def test_nothing_of_a_sample_is_written_where_none_is_to_be_stored(tmp_path):
    """Of the rows that carry a feature their numbers and shares alone."""
    model, training, probe = one_sigmoid()
    probe = kx.Probe(probe.x, probe.y, feature_names=NAMES, store="none")
    run, _, _ = fit(tmp_path, model, training, probe, epochs=3)
    carriers = run.alerts[0].rows
    assert len(carriers) == 5
    assert np.isnan([[carrier.label, carrier.value] for carrier in carriers]).all()
    assert all(carrier.share > 0.2 for carrier in carriers)


def test_a_continued_run_goes_on_counting(tmp_path):
    """Two updates before the interruption and one after it are three; what was an alarm is not one again."""
    model, training, probe = one_sigmoid()
    _, _, alerts = fit(tmp_path, model, training, probe, epochs=2)
    assert alerts == []
    _, _, alerts = fit(tmp_path, model, training, probe, epochs=4, initial_epoch=2)
    assert [alert.epoch for alert in alerts] == [2]
    _, history, alerts = fit(tmp_path, model, training, probe, epochs=6, initial_epoch=4)
    assert alerts == []
    assert history["xai_gap_alarm"] == [0, 0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda training, probe: {"live": None}, "no live rows were given"),
        (lambda training, probe: {"gap": False}, "it was switched off with gap=False"),
        (lambda training, probe: {"probe": kx.Probe(probe.x)}, "the probe has no labels"),
        (
            lambda training, probe: {"probe": kx.Probe(training[0][:128], training[1][:128])},
            "the probe's rows are training rows",
        ),
    ],
    ids=["no live rows", "switched off", "no labels", "a probe of training rows"],
)
def test_what_was_not_looked_for_is_said(tmp_path, caplog, change, words):
    """A quiet run is only called quiet about what was watched."""
    model, training, probe = one_sigmoid(leak=False)
    keywords = {"probe": probe, "live": True, **change(training, probe)}
    overlaps = words.startswith("the probe's rows")
    run, history, _ = fit(tmp_path, model, training, epochs=12, **keywords)
    assert ("100% of the probe's rows are training rows" in caplog.text) == overlaps
    assert any("100% of the probe's rows" in note.text for note in run.notes) == overlaps
    assert f"shortcuts present from the start were not looked for: {words}" in judge(run).calm
    assert run.gap is None
    assert ("xai_gap" in history) == overlaps
    assert np.isnan(history.get("xai_gap", [np.nan])).all()


def test_a_fault_before_the_first_step_ends_it_alone(tmp_path, monkeypatch):
    """As of rows that nobody thought of: the importance is watched as ever."""
    model, training, probe = one_sigmoid(leak=False)

    def failing(*arguments):
        raise ValueError("no such rows")

    monkeypatch.setattr("keras_xai.callbacks.gap_watch.row_values", failing)
    with pytest.warns(UserWarning, match="compared no longer.*ValueError: no such rows"):
        run, history, _ = fit(tmp_path, model, training, probe, epochs=2, on_error="warn")
    assert [(stop.epoch, stop.part) for stop in run.stops] == [(0, "reliance_gap")]
    assert np.isnan(history["xai_gap"]).all()
    assert len(run.importance.epochs) == len(run.importance_live.epochs) == 2


def test_a_fault_in_the_comparison_ends_it_alone(tmp_path, monkeypatch):
    """One warning; changes are watched on, the run says so for ever, and the keys of the logs stay."""
    from keras_xai.callbacks.gap_watch import GapWatch

    model, training, probe = one_sigmoid(leak=False)
    update = GapWatch.update

    def failing(self, epoch, *arguments, **keywords):
        if epoch == 2:
            raise ValueError("not today")
        return update(self, epoch, *arguments, **keywords)

    monkeypatch.setattr(GapWatch, "update", failing)
    with pytest.warns(UserWarning, match="compared no longer.*ValueError: not today"):
        run, history, _ = fit(tmp_path, model, training, probe, epochs=5, on_error="warn")
    assert [(stop.epoch, stop.part) for stop in run.stops] == [(2, "reliance_gap")]
    assert np.isnan(history["xai_gap"]).tolist() == [False, False, True, True, True]
    assert len(run.importance.epochs) == 5
    assert judge(run).faults == ("the comparison of live rows and probe stopped at epoch 2: ValueError: not today",)


def test_live_rows_of_one_class_are_said_aloud(tmp_path, caplog):
    """As of a source sorted by label, whose first rows are read."""
    model, (x, y), probe = one_sigmoid(leak=False)
    order = np.argsort(y, kind="stable")
    run, _, _ = fit(tmp_path, model, (x, y), probe, epochs=1, live=lambda: (x[order][:200], y[order][:200]))
    assert "All live rows are of class 0" in caplog.text
    assert any("All live rows are of class 0" in note.text for note in run.notes)


def test_rules_see_what_the_probe_has_too(tmp_path):
    """At the second update: the leak is in both sets, and the gap cannot see it."""
    model, training, probe = one_sigmoid()
    y = probe.y
    leaky = leaking(probe.x, 2.0 * y - 1, np.random.default_rng(5))
    probe = kx.Probe(leaky, y, feature_names=NAMES)
    run, _, alerts = fit(tmp_path, model, training, probe, rules={"leak": 0.1, "column *": 1.0})
    assert [(alert.epoch, alert.source, alert.verdict) for alert in alerts] == [(1, "rule", "rule broken")]
    (move,) = alerts[0].features
    assert (move.name, move.before) == ("leak", 0.1)
    assert move.after > 0.15
    assert move.z > 2
    assert "its rule allows 10.0%" in str(run.alerts[0])
    assert judge(run).status == ALARM
    # Once a rule, also where the run is continued.
    _, _, alerts = fit(tmp_path, model, training, probe, epochs=9, initial_epoch=EPOCHS, rules={"leak": 0.1})
    assert alerts == []


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"laek": 0.1}, "did you mean 'leak'|leak"),
        ({"site_*": 0.0}, "site_"),
        ({"leak": 2}, "share from 0 to 1"),
        ({"region": 0.6}, "has no region"),
        ([0.1], "expected a dict"),
    ],
)
def test_rules_that_cannot_hold_are_an_error_at_train_begin(tmp_path, rules, words):
    """With what came and what there is."""
    model, training, probe = one_sigmoid()
    with pytest.raises(kx.InvalidInput, match=words):
        fit(tmp_path, model, training, probe, rules=rules)


def test_attribution_inside_a_region(tmp_path):
    """The share inside each epoch, equal to a slow twin's, and a rule that asks for more."""
    r = np.random.default_rng(0)
    x = r.normal(size=(200, 6, 6, 1)).astype(np.float32)
    y = (x[:, :3, :3].mean((1, 2, 3)) > 0).astype(np.int64)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(1, activation="sigmoid")]
    )
    model.compile(adam(), "binary_crossentropy")
    region = np.zeros((6, 6), bool)
    region[3:, 3:] = True
    probe = kx.Probe(x[100:], y[100:], kind="image", region=region)
    run, history, alerts = fit(tmp_path, model, (x[:100], y[:100]), probe, epochs=3, live=None, rules={"region": 0.9})
    weights = np.abs(model.get_weights()[0].reshape(6, 6))
    assert history["xai_inside"][-1] == pytest.approx(weights[3:, 3:].sum() / weights.sum(), rel=1e-5)
    assert [(alert.epoch, alert.features[0].name) for alert in alerts] == [(1, "region")]
    assert "of the attribution lies inside the region, its rule asks for 90%" in str(run.alerts[0])
