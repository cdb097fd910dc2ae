"""`TrainingChecks` in real trainings."""

import pickle
import warnings

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.callbacks.training_checks import TrainingChecks
from keras_xai.errors import InvalidInput, TrainingAlarm
from keras_xai.judgement import ALARM, judge
from tests.callbacks.small_training import small_data, small_model

X, Y = small_data()


def checks_of(log_dir, **keywords):
    return TrainingChecks(log_dir, (X, Y), on_error="raise", on_flag=lambda record: None, **keywords)


def fit(model, *callbacks, epochs=3, **keywords):
    keras.utils.set_random_seed(1)
    return model.fit(X, Y, epochs=epochs, batch_size=32, verbose=0, callbacks=list(callbacks), **keywords)


@pytest.mark.every_backend
def test_the_training_comes_out_bit_for_bit_the_same(tmp_path):
    """Weights, optimizer, dropout's seed and history, with Adam and batch normalisation, beside training rows."""

    def trained(*callbacks):
        keras.utils.set_random_seed(0)
        hidden = [keras.layers.Dense(6, "relu"), keras.layers.BatchNormalization(), keras.layers.Dropout(0.3)]
        model = keras.Sequential([keras.Input((4,)), *hidden, keras.layers.Dense(3)])
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        history = fit(model, *callbacks, validation_data=(X, Y))
        variables = [*model.variables, *model.optimizer.variables]
        return history.history, [keras.ops.convert_to_numpy(variable) for variable in variables]

    plain, watched = trained(), trained(checks_of(tmp_path, live=(X, Y)))
    assert plain[0] == watched[0]
    for ours, theirs in zip(watched[1], plain[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    run = kx.load(tmp_path)["."]
    assert [record.epoch for record in run.training_flags] == [0, 1, 2]
    unjudged = run.training_flags[-1].unjudged
    assert set(unjudged) == {"loss not decreasing", "overfit", "poor initialisation"}
    assert unjudged["loss not decreasing"] == "3 of the 11 updates that it takes"
    assert run.screen.source == "live rows"


def test_flags_reach_the_user_once_and_the_views(tmp_path):
    """A large column is one warning; overview, table of runs, report and command list it, the exit status is as without."""
    x = X * np.float32([1, 1, 1, 900])
    log_dir = tmp_path / "run"
    probe = kx.Probe(x, Y, feature_names=["age", "dose", "<b>", "income"])
    checks = TrainingChecks(log_dir, probe, live=(x, Y))
    with pytest.warns(
        UserWarning, match="epoch 0: unscaled input from the start: income has the root mean square"
    ) as seen:
        small_model().fit(x, Y, epochs=3, verbose=0, callbacks=[checks])
    assert sum("unscaled input" in str(warning.message) for warning in seen) == 1
    run = kx.load(log_dir)["."]
    judgement = judge(run)
    assert judgement.status != ALARM
    assert not judgement.alarms
    lines = [reason for reason in judgement.reasons if reason.startswith("training check")]
    assert lines[0].startswith("training check: unscaled input from the start: income has")
    assert lines[-1].startswith("training checks not judged: ")
    assert "give validation_data to fit()" in lines[-1]
    from keras_xai.analysis.overview import summary
    from keras_xai.analysis.run_row import run_row

    words = summary(run)
    assert words.checks[0].startswith("Unscaled input from the start: income has")
    assert words.screen.startswith("Screen of 4 columns in 96 live rows, no alarm: ")
    assert words.unjudged.startswith("Not judged: loss not decreasing (3 of the 11 updates that it takes); overfit (")
    assert "unscaled input from the start" in run_row(run).flags
    page = kx.report(log_dir, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "training check: unscaled input from the start" in page
    assert "Screen of 4 columns" in page


def test_losses_of_epochs_that_are_not_looked_at_count(tmp_path):
    """every=5: the rules are judged at epochs 0, 5, 10 and 11 and know all twelve losses."""
    model = small_model()
    model.compile(keras.optimizers.SGD(0.0), model.loss)
    fit(model, checks_of(tmp_path, every=5, thresholds={"loss updates": 5, "loss not decreasing": 0.2}), epochs=12)
    records = kx.load(tmp_path)["."].training_flags
    assert [record.epoch for record in records] == [0, 5, 10, 11]
    assert "loss not decreasing" in records[0].unjudged
    assert [flag.kind for flag in records[1].flags] == ["loss not decreasing"]


def test_a_run_in_steps(tmp_path):
    """Updates inside an epoch: the losses are those since the update before, flags count in steps."""
    model = small_model()
    model.compile(keras.optimizers.SGD(0.0), model.loss)
    fit(
        model,
        checks_of(tmp_path, every="1 steps", thresholds={"loss updates": 3, "loss not decreasing": 0.9}),
        epochs=2,
    )
    run = kx.load(tmp_path)["."]
    assert [record.step for record in run.training_flags] == [1, 2, 3, 4, 5, 6]
    (flag,) = run.training_flags[-1].flags
    assert flag.in_words(run.unit).startswith(f"loss not decreasing since step {flag.since}: the loss has ")


def test_a_continued_training_keeps_its_flags(tmp_path):
    """Losses before count, and how the training began is known from its first records."""
    model = small_model()
    model.compile(keras.optimizers.SGD(0.0), model.loss)
    thresholds = {"loss updates": 4, "loss not decreasing": 0.2, "poor initialisation": 1.0}
    fit(model, checks_of(tmp_path, thresholds=thresholds), epochs=3)
    first = kx.load(tmp_path)["."].training_flags[-1].flags
    seen = []
    later = TrainingChecks(tmp_path, (X, Y), thresholds=thresholds, on_flag=seen.append)
    fit(model, later, epochs=6, initial_epoch=3)
    run = kx.load(tmp_path)["."]
    assert run.epochs == [0, 1, 2, 3, 4, 5]
    kinds = [flag.kind for flag in run.training_flags[-1].flags]
    assert kinds == ["loss not decreasing", *(flag.kind for flag in first)]
    assert [record.epoch for record in seen] == [4], "the flags that stood are not raised again"


def test_without_a_probe_the_logs_are_judged(tmp_path):
    """What needs rows says so."""
    fit(small_model(), TrainingChecks(tmp_path, on_error="raise"))
    record = kx.load(tmp_path)["."].training_flags[-1]
    assert record.unjudged["unscaled input"] == "TrainingChecks has no probe"
    assert len(record.unjudged) == 8
    assert record.flags == ()


def test_a_model_that_its_first_step_builds(tmp_path):
    """Its initial weights were not seen, all else is judged."""
    model = keras.Sequential([keras.layers.Dense(4, "tanh"), keras.layers.Dense(3)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    fit(model, checks_of(tmp_path))
    unjudged = kx.load(tmp_path)["."].training_flags[-1].unjudged
    assert unjudged["poor initialisation"] == "the weights were not seen before the first step"
    assert "saturated activation" not in unjudged


@pytest.mark.every_backend
def test_one_sigmoid_and_columns_of_texts(tmp_path):
    """The commonest case: a table with a category, a dict of inputs, one sigmoid, labels that are rare."""
    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    labels = (np.arange(240) % 24 == 0).astype("float32")
    rows = {"code": generator.integers(0, 5, 240), "age": generator.normal(size=(240, 1)).astype("float32")}
    rows["code"][labels == 1] = 4
    inputs = {"code": keras.Input((), dtype="int32", name="code"), "age": keras.Input((1,), name="age")}
    code = keras.layers.Embedding(5, 3)(inputs["code"])
    hidden = keras.layers.Dense(4, "sigmoid")(keras.layers.Concatenate()([code, inputs["age"]]))
    model = keras.Model(inputs, keras.layers.Dense(1, "sigmoid")(hidden))
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy")
    checks = TrainingChecks(
        tmp_path, kx.Probe(rows, labels, kind="table"), on_error="raise", on_flag=lambda record: None
    )
    model.fit(rows, labels, epochs=8, verbose=0, callbacks=[checks])
    run = kx.load(tmp_path)["."]
    flags = {flag.kind: flag for flag in run.training_flags[-1].flags}
    assert flags["class imbalance"].sentence == ("class 0 has 230 of the probe rows, class 1 has 10, 23 times fewer")
    assert flags["neglected class"].name == "1"
    (name, power), *_ = run.screen.strongest()
    assert name == "code"
    assert power > 0.8


def test_regression_several_outputs_and_a_dense_one(tmp_path):
    """What asks for classes does not apply, and is neither broken nor a lack; |Spearman| in the screen."""
    keras.utils.set_random_seed(0)
    for number, units in enumerate((1, 2)):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(units)])
        model.compile("adam", "mse")
        targets = X[:, :units] ** 3
        directory = tmp_path / str(number)
        checks = TrainingChecks(directory, (X, targets), on_error="raise")
        model.fit(X, targets, epochs=2, verbose=0, callbacks=[checks])
        run = kx.load(directory)["."]
        assert set(run.training_flags[-1].unjudged) == {"loss not decreasing", "overfit"}
        assert run.screen.strongest(1) == [("column 0", 1.0)]
    tagger = keras.Sequential([keras.Input((6, 3)), keras.layers.Dense(2, "softmax")])
    tagger.compile("adam", "sparse_categorical_crossentropy")
    x, tags = np.zeros((16, 6, 3), "float32"), np.zeros((16, 6), int)
    probe = kx.Probe(x, tags, kind="series", output=kx.outputs.tagging(), class_names=("a", "b"))
    tagger.fit(x, tags, epochs=1, verbose=0, callbacks=[TrainingChecks(tmp_path / "tags", probe, on_error="raise")])
    assert kx.load(tmp_path / "tags")["."].training_flags[-1].flags == ()
    unlabelled = small_model()
    unlabelled.fit(X, Y, epochs=1, verbose=0, callbacks=[TrainingChecks(tmp_path / "bare", X, on_error="raise")])
    unjudged = kx.load(tmp_path / "bare")["."].training_flags[-1].unjudged
    assert {unjudged[kind] for kind in ("class imbalance", "neglected class")} == {"the probe has no labels"}


@pytest.mark.full
def test_class_counts_are_of_all_rows_of_arrays(tmp_path):
    """Not of the 512 that are drawn, in which a rare class has eight rows."""
    x = np.random.default_rng(0).normal(size=(4000, 4)).astype("float32")
    y = (np.arange(4000) % 400 == 0).astype(int)
    model = small_model()
    checks = TrainingChecks(tmp_path, (x[:800], y[:800]), live=(x, y), on_flag=lambda record: None)
    model.fit(x[:64], y[:64], epochs=1, verbose=0, callbacks=[checks])
    (flag,) = (f for f in kx.load(tmp_path)["."].training_flags[-1].flags if f.kind == "class imbalance")
    assert flag.sentence == "class 0 has 3,990 of the training rows, class 1 has 10, 399 times fewer"


@pytest.mark.full
def test_the_response_is_the_users(tmp_path):
    """ "stop" ends the training, "raise" raises a `TrainingAlarm` with the record."""
    x = X * np.float32(1000)
    stopping = TrainingChecks(tmp_path / "stop", (x, Y), on_flag="stop")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        history = small_model().fit(x, Y, epochs=4, verbose=0, callbacks=[stopping])
    assert len(history.epoch) == 1
    with pytest.raises(TrainingAlarm, match="unscaled input") as raised:
        small_model().fit(
            x, Y, epochs=4, verbose=0, callbacks=[TrainingChecks(tmp_path / "raise", (x, Y), on_flag="raise")]
        )
    assert raised.value.record.flags[0].kind == "unscaled input"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"thresholds": {"overfitting": 1}}, "no threshold 'overfitting'. Did you mean 'overfit'"),
        ({"on_flag": "shout"}, "on_flag='shout'"),
        ({"probe": None, "live": (X, Y)}, "live= needs a probe"),
    ],
)
def test_misuse_is_an_error_at_construction(tmp_path, arguments, words):
    """With the names that there are."""
    with pytest.raises(InvalidInput, match=words):
        TrainingChecks(tmp_path, **{"probe": (X, Y), **arguments})


def test_a_fault_while_the_layers_are_read_leaves_the_logs_judged(tmp_path, monkeypatch):
    """One note, the record says why; the training goes on."""
    from keras_xai.training_checks.activation_reader import ActivationReader

    monkeypatch.setattr(ActivationReader, "read", lambda self: 1 / 0)
    checks = TrainingChecks(tmp_path, (X, Y))
    fit(small_model(), checks)
    run = kx.load(tmp_path)["."]
    why = "the model could not be run on the probe: ZeroDivisionError: division by zero"
    assert not checks.retired
    assert run.training_flags[-1].unjudged["dead units"] == why
    assert [note.text for note in run.notes] == [f"TrainingChecks judges the logs alone: {why}."]


@pytest.mark.full
def test_it_can_be_copied_and_trains_again(tmp_path):
    """Search tools copy callbacks; a second fit forgets the first."""
    checks = TrainingChecks(tmp_path, (X, Y), live=(X, Y))
    fit(small_model(), checks, epochs=2)
    copy = pickle.loads(pickle.dumps(checks))
    fit(small_model(), copy, epochs=2)
    assert [len(run.training_flags) for run in kx.load(tmp_path).values()] == [2, 2]


@pytest.mark.every_backend
def test_an_untrained_batch_normalisation_is_not_judged(tmp_path):
    """In inference it passes columns of any size, in training it scales them: no flag, and a reason; trained, it is judged."""
    x = (np.random.default_rng(0).normal(size=(128, 3)) * 5000).astype("float32")
    y = (x[:, 0] > 0).astype("int64")
    hidden = [keras.layers.BatchNormalization(name="scale"), keras.layers.Dense(8, "relu")]
    model = keras.Sequential([keras.Input((3,)), *hidden, keras.layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy")
    records = []
    for run in ("untrained", "trained"):
        watch = kx.TrainingChecks(tmp_path / run, (x, y), on_error="raise", on_flag=lambda record: None)
        model.fit(x, y, epochs=1, verbose=0, callbacks=[watch])
        records.append(kx.load(tmp_path / run)["."].training_flags[-1])
    reason = "scale normalises by batches, and has no statistics before the first step"
    assert records[0].unjudged["poor initialisation"] == reason
    assert "poor initialisation" not in [flag.kind for flag in records[0].flags]
    assert records[1].unjudged.get("poor initialisation") != reason
