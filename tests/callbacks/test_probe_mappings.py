"""`ProbeMappings` as a user meets it: arguments, records, logs, flags, continued runs. Figures: tests/mapping."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import keras_xai as kx
from keras_xai.records import Samples
from tests.frameworks import array

R = np.random.default_rng(0)
X = R.normal(size=(160, 4)).astype("float32")
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
KEYS = ["xai_surrogate_r2", "xai_confidence_gap", "xai_churn", "xai_dead_units"]
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def model(*hidden, outputs=3, activation=None, loss=LOGITS, rate=1e-2, inputs=4, **options):
    keras.utils.set_random_seed(1)
    stack = hidden or (layers.Dense(6, "relu", name="first"), layers.Dense(5, "relu", name="second"))
    built = keras.Sequential([keras.Input((inputs,)), *stack, layers.Dense(outputs, activation, name="out")])
    built.compile(keras.optimizers.Adam(rate), loss, **options)
    return built


def fit(watched, *callbacks, epochs=3, x=X, y=Y, **options):
    return watched.fit(x, y, epochs=epochs, batch_size=32, verbose=0, callbacks=list(callbacks), **options)


def run(log_dir, name="."):
    return kx.load(log_dir)[name]


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """Seven epochs with the defaults: log directory, history and model."""
    log_dir = tmp_path_factory.mktemp("usual")
    watched = model(metrics=["accuracy"])
    probe = kx.Probe(X, Y, class_names=["none", "one", "both"], feature_names=list("abcd"))
    callback = kx.ProbeMappings(log_dir, probe, held_out=np.arange(160) >= 128, on_error="raise", log="all")
    history = fit(watched, callback, epochs=7, x=X[:128], y=Y[:128]).history
    return log_dir, history, watched


def test_the_last_record_is_what_the_model_says(usual):
    """Logits, predictions and activations of the trained model, called by hand."""
    log_dir, _, watched = usual
    record = run(log_dir).mappings[-1]
    assert record.epoch == 6
    assert record.features.layers == ("first", "second", "logits")
    assert record.features.width.tolist() == [6, 5, 3]
    logits = keras.ops.convert_to_numpy(watched(X))
    np.testing.assert_allclose(record.result.logits, logits, rtol=1e-3, atol=2e-3)
    np.testing.assert_array_equal(record.result.prediction, logits.argmax(1))
    first = keras.ops.convert_to_numpy(watched.layers[0](X)).astype(np.float64)
    np.testing.assert_allclose(record.features.mean[0], first.mean(), rtol=1e-4)
    np.testing.assert_allclose(record.features.dead[0], (first.max(0) == 0).mean())
    z = first - first.mean(0)
    assert record.features.spread[0] == pytest.approx((z**2).sum() / (first**2).sum(), rel=1e-4)
    at = record.features.coordinates[0].astype(np.float64) * record.features.scale[0]
    np.testing.assert_allclose(at @ at.T, z @ z.T, atol=2e-2 * np.abs(z @ z.T).max())
    assert record.features.captured[0] == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(record.result.label, Y)
    assert record.result.held_out.sum() == 32
    assert record.decision.target == "label"
    assert record.decision.surrogates["linear"].features == tuple("abcd")


def test_every_epoch_is_recorded_and_svms_every_fifth(usual):
    """First, every fifth and last."""
    records = run(usual[0]).mappings
    assert [record.epoch for record in records] == list(range(7))
    assert [e for e, record in enumerate(records) if "svm" in record.decision.surrogates] == [0, 5, 6]
    assert np.isnan(records[0].features.cka_previous).all()
    assert np.isfinite(records[1].features.cka_previous).all()
    np.testing.assert_allclose(records[1].features.cka_previous, records[1].features.cka_first)


def test_cka_between_epochs_follows_from_the_coordinates(usual):
    """What the viewer computes from 16 coordinates is what was computed from all."""
    from keras_xai.mapping.cka import linear_cka
    from keras_xai.mapping.features import restored

    records = run(usual[0]).mappings
    first, last = restored(records[0].features), restored(records[-1].features)
    for k, expected in enumerate(records[-1].features.cka_first):
        assert linear_cka(last[k], first[k]) == pytest.approx(expected, abs=0.007)


def test_logs_hold_the_figures(usual):
    """In `History` too, and the same as in the records."""
    log_dir, history, _ = usual
    records = run(log_dir).mappings
    for key in KEYS:
        assert len(history[key]) == 7
    np.testing.assert_allclose(
        history["xai_surrogate_r2"], [record.decision.surrogates["linear"].r2 for record in records], rtol=1e-6
    )
    np.testing.assert_allclose(
        history["xai_confidence_gap"], [record.result.confidence_gap for record in records], rtol=1e-6
    )
    np.testing.assert_allclose(history["xai_churn"], run(log_dir).samples.churn)
    last = records[-1].features
    share = (last.dead[:2] * last.width[:2]).sum() / last.width[:2].sum()
    assert history["xai_dead_units"][-1] == pytest.approx(share)
    assert run(log_dir).history[-1].logs["xai_churn"] == pytest.approx(history["xai_churn"][-1])


def test_samples_follow_from_the_records(usual):
    """Up to any epoch."""
    found = run(usual[0])
    assert found.samples.mean_confidence.shape == (160,)
    early = Samples.of(found.mappings[:2])
    assert early.epochs.tolist() == [0, 1]
    assert early.suspects(5).shape == (5,)


def test_weights_are_bit_identical_with_and_without(tmp_path):
    """Weights, optimizer, global generators; dropout and batch normalisation in the model; all of it in one line."""
    found = []
    for callbacks in (
        [],
        [kx.ProbeMappings(tmp_path / "one", (X, Y), on_error="raise")],
        [kx.Explain(tmp_path / "all", (X, Y), mappings=True, on_error="raise")],
    ):
        keras.utils.set_random_seed(1)
        watched = model(layers.Dense(6, "relu"), layers.BatchNormalization(), layers.Dropout(0.3))
        fit(watched, *callbacks)
        state = [*watched.get_weights(), *(keras.ops.convert_to_numpy(v) for v in watched.optimizer.variables)]
        found.append((state, np.random.random(), array(keras.random.SeedGenerator().state).tolist()))
    for other in found[1:]:
        for a, b in zip(found[0][0], other[0], strict=True):
            np.testing.assert_array_equal(a, b)
        assert found[0][1:] == other[1:]
    assert len(run(tmp_path / "all").mappings) == 3
    assert len(run(tmp_path / "all").weight_gradients) == 3


def test_epochs_between_keep_their_keys(tmp_path):
    """`every=3` of five epochs: 0, 3 and the last."""
    history = fit(model(), kx.ProbeMappings(tmp_path, (X, Y), every=3, on_error="raise", log="all"), epochs=5).history
    assert [record.epoch for record in run(tmp_path).mappings] == [0, 3, 4]
    for key in KEYS[:2]:
        assert history[key][1] == history[key][2] == history[key][0]
    assert np.isnan(history["xai_churn"][:3]).all()


def test_a_continued_run_goes_on(tmp_path):
    """Epoch 2 of a resumed training knows its predecessor and the first epoch, from the file."""
    watched = model()
    fit(watched, kx.ProbeMappings(tmp_path, (X, Y), on_error="raise"), epochs=2)
    fit(watched, kx.ProbeMappings(tmp_path, (X, Y), on_error="raise"), epochs=4, initial_epoch=2)
    records = run(tmp_path).mappings
    assert [record.epoch for record in records] == [0, 1, 2, 3]
    assert np.isfinite([records[2].features.cka_previous, records[2].features.cka_first]).all()
    assert np.isfinite(run(tmp_path).history[2].logs["xai_churn"])


@pytest.mark.parametrize("on_flag", ["warn", "stop", "raise", "call"])
def test_a_dead_layer_is_named_at_once(tmp_path, on_flag):
    """A bias of −100: the first dead layer, in words, from epoch 0, once; stop, raise and call do what they say."""
    watched = model(layers.Dense(6, "relu", name="fine"), layers.Dense(5, "relu", name="hit"))
    watched.get_layer("hit").bias.assign([-100.0] * 5)
    told: list = []
    callback = kx.ProbeMappings(
        tmp_path, (X, Y), on_flag=told.append if on_flag == "call" else on_flag, on_error="raise"
    )
    words = "epoch 0: hit is dead since epoch 0: 100 % of its units give zero on the probe"
    if on_flag == "call":
        fit(watched, callback)
        assert [record.flags for record in told] == [(("hit", "dead layer", 0),)]
    elif on_flag == "raise":
        with pytest.raises(kx.MappingAlarm, match=words) as caught:
            fit(watched, callback)
        assert caught.value.record.epoch == 0
    else:
        with pytest.warns(UserWarning, match=words) as caught:
            history = fit(watched, callback)
        assert sum("dead" in str(w.message) for w in caught) == 1
        assert len(history.epoch) == (1 if on_flag == "stop" else 3)
    record = run(tmp_path).mappings[0]
    assert record.flags == (("hit", "dead layer", 0),)
    assert np.isnan(record.features.cka_layers[1]).all()
    assert np.isnan(record.decision.readability[1])


class Break(keras.callbacks.Callback):
    """Spoils the second layer as the third epoch begins; its gradient spoils the first."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            self.model.get_layer("second").kernel.assign(np.full((6, 5), np.nan))


def test_a_training_that_ends_in_nan_is_recorded_up_to_it(tmp_path):
    """A flag names the first layer; every epoch has a record; nothing crashes."""
    hidden = layers.Dense(6, "tanh", name="first"), layers.Dense(5, "tanh", name="second")
    with pytest.warns(UserWarning, match="first gives NaN or infinite values since epoch 2"):
        history = fit(
            model(*hidden), Break(), kx.ProbeMappings(tmp_path, (X, Y), on_error="raise", log="all"), epochs=4
        ).history
    records = run(tmp_path).mappings
    assert [record.epoch for record in records] == [0, 1, 2, 3]
    assert records[3].flags == (("first", "non-finite", 2),)  # the gradient brought it there
    assert np.isfinite(records[1].result.accuracy)
    assert np.isnan(records[2].result.accuracy)
    assert np.isnan(history["xai_confidence_gap"][2:]).all()


def test_a_rectifier_does_not_hide_weights_that_are_not_finite(tmp_path):
    """With some processors' fused operations it gives 0 for NaN, and the layer would count as dead."""
    with pytest.warns(UserWarning, match="first gives NaN or infinite values since epoch 2"):
        fit(model(), Break(), kx.ProbeMappings(tmp_path, (X, Y), on_error="raise"), epochs=4)
    record = run(tmp_path).mappings[3]
    assert ("first", "non-finite", 2) in record.flags
    assert ("first", "dead layer", 2) not in record.flags


def test_a_model_that_is_another_one_in_inference(tmp_path):
    """Batch statistics in training, moving averages with a momentum of 0.9999 in inference."""
    x = (X * 30 + 200).astype("float32")
    watched = model(
        layers.BatchNormalization(momentum=0.9999),
        layers.Dense(16, "relu"),
        rate=0.02,
        metrics=["accuracy"],
    )
    with pytest.warns(UserWarning, match="another one in inference"):
        fit(watched, kx.ProbeMappings(tmp_path, (x, Y), on_error="raise"), epochs=8, x=x)
    assert ("model", "inference gap") in {flag[:2] for record in run(tmp_path).mappings for flag in record.flags}


def test_a_subclassed_model_that_is_built_by_the_first_batch(tmp_path):
    """Nothing is known at train begin; the first epoch's end finds it."""

    class Late(keras.Model):
        def __init__(self):
            super().__init__()
            self.one, self.two = layers.Dense(5, "relu", name="one"), layers.Dense(3, name="two")

        def call(self, x):
            return self.two(self.one(x))

    watched = Late()
    watched.compile("adam", LOGITS)
    fit(watched, kx.ProbeMappings(tmp_path, (X, Y), on_error="raise"))
    assert run(tmp_path).mappings[-1].features.layers == ("one", "logits")


# Kinds of answers.


def test_regression(tmp_path):
    """R² in place of accuracy; the surrogate explains the output; no classes anywhere."""
    y = (X @ [1, 2, 0, -1]).astype("float32")[:, None]
    watched = model(layers.Dense(8, "relu", name="first"), outputs=1, loss="mse", rate=0.03)
    history = fit(watched, kx.ProbeMappings(tmp_path, (X, y), on_error="raise", log="all"), epochs=6, y=y).history
    record = run(tmp_path).mappings[-1]
    assert record.features.layers == ("first", "output")
    assert record.result.answer == "value"
    assert record.decision.chance == 0
    assert record.decision.readability[0] > 0.9
    assert set(record.decision.surrogates) == {"linear"}
    assert np.isnan(history["xai_churn"]).all()
    assert record.result.correct is None
    assert np.isnan(run(tmp_path).samples.mean_confidence).all()


def test_several_labels_a_sample(tmp_path):
    """Two independent yes-or-no questions."""
    y = np.stack([X[:, 0] > 0, X[:, 1] > 0], 1).astype("float32")
    watched = model(layers.Dense(8, "relu"), outputs=2, activation="sigmoid", loss="binary_crossentropy", rate=0.03)
    fit(watched, kx.ProbeMappings(tmp_path, (X, y), on_error="raise"), epochs=4, y=y)
    record = run(tmp_path).mappings[-1]
    assert record.features.layers[-1] == "logits"
    assert record.result.answer == "labels"
    assert record.result.prediction.shape == (160, 2)
    said = keras.ops.convert_to_numpy(watched(X)) > 0.5
    assert record.result.accuracy == pytest.approx((said == y).mean())
    assert record.decision.readability[0] > 0.9


def test_two_classes_with_one_output_and_float_labels(tmp_path):
    """A sigmoid: logits of one column, classes 0 and 1."""
    y = (X[:, 0] > 0).astype("float32")
    watched = model(layers.Dense(8, "relu"), outputs=1, activation="sigmoid", loss="binary_crossentropy", rate=0.03)
    fit(watched, kx.ProbeMappings(tmp_path, (X, y[:, None]), on_error="raise"), epochs=4, y=y[:, None])
    record = run(tmp_path).mappings[-1]
    assert record.result.logits.shape == (160, 1)
    assert record.result.confusion.sum() == 160
    assert record.decision.surrogates["linear"].classes == (1,)
    assert record.decision.surrogates["svm"].agreement > 0.8


def test_one_of_several_outputs_and_more_than_64_classes(tmp_path):
    """By name; of 70 classes the true one's logit and the top five are kept."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    hidden = layers.Dense(6, "relu", name="hidden")(inputs)
    many = keras.Model(
        inputs, {"many": layers.Dense(70, name="many")(hidden), "few": layers.Dense(3, name="few")(hidden)}
    )
    many.compile("adam", {"many": LOGITS, "few": LOGITS})
    y = R.integers(0, 70, 160)
    probe = kx.Probe(X, y, output="many")
    fit(many, kx.ProbeMappings(tmp_path, probe, on_error="raise"), epochs=2, y={"many": y, "few": Y})
    record = run(tmp_path).mappings[-1]
    assert record.features.layers == ("hidden", "logits")
    assert record.result.classes == 70
    assert record.result.columns.shape == (160, 6)
    np.testing.assert_array_equal(record.result.columns[:, 0], y)
    assert record.result.confusion.shape == (70, 70)
    with pytest.raises(kx.InvalidInput, match="'few' takes no part"):
        fit(many, kx.ProbeMappings(tmp_path / "a", probe, layers=["few"]), epochs=1, y={"many": y, "few": Y})
    with pytest.raises(kx.InvalidInput, match="several outputs"):
        fit(many, kx.ProbeMappings(tmp_path / "b", (X, y)), epochs=1, y={"many": y, "few": Y})


def test_tokens_are_explained_by_what_the_model_embeds(tmp_path):
    """The surrogate's inputs are the mean embedding of the words that count."""
    tokens = R.integers(1, 20, (160, 6))
    tokens[:, 4:] = 0
    y = (tokens[:, 0] > 9).astype(int)
    keras.utils.set_random_seed(0)
    watched = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            layers.Embedding(20, 3, mask_zero=True, name="words"),
            layers.GlobalAveragePooling1D(name="bag"),
            layers.Dense(2, "softmax"),
        ]
    )
    watched.compile("adam", "sparse_categorical_crossentropy")
    probe = kx.Probe(tokens, y, kind="tokens")
    fit(watched, kx.ProbeMappings(tmp_path, probe, on_error="raise"), x=tokens, y=y)
    record = run(tmp_path).mappings[-1]
    linear = record.decision.surrogates["linear"]
    assert linear.features == ("embedding 0", "embedding 1", "embedding 2")
    assert linear.r2 == pytest.approx(1, abs=1e-3)  # the model is linear in them
    assert record.features.layers == ("words", "bag", "logits")
    np.testing.assert_allclose(record.features.coordinates[0], record.features.coordinates[1], atol=2e-2)


def test_without_labels_the_own_decision_is_read(tmp_path):
    """Readability of what the model predicts."""
    fit(model(), kx.ProbeMappings(tmp_path, X, on_error="raise"))
    record = run(tmp_path).mappings[-1]
    assert record.decision.target == "prediction"
    np.testing.assert_array_equal(record.decision.readability, record.decision.own_decision)
    assert record.result.label is None
    assert record.result.confusion is None


def test_labels_of_a_private_probe_are_not_written(tmp_path):
    """store="none"."""
    fit(model(), kx.ProbeMappings(tmp_path, kx.Probe(X, Y, store="none"), on_error="raise"), epochs=1)
    record = run(tmp_path).mappings[0]
    assert record.result.label is None
    assert np.isfinite(record.result.accuracy)


# Bad input.


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"layers": []}, "expected paths"),
        ({"layers": [3]}, "expected paths"),
        ({"layers": ["first", "first"]}, "more than once"),
        ({"held_out": [True]}, r"shape \(1,\)"),
        ({"held_out": np.full(160, 2)}, "expected true or false"),
        ({"surrogates": ["tree"]}, "no surrogate 'tree'"),
        ({"surrogates": "liner"}, "Did you mean 'linear'"),
        ({"coordinates": 1}, "coordinates=1"),
        ({"on_flag": "shout"}, "on_flag='shout'"),
        ({"every": 0}, "every=0"),
    ],
)
def test_bad_arguments_are_errors_at_construction(tmp_path, arguments, words):
    """What came, what is expected."""
    with pytest.raises(kx.InvalidInput, match=words):
        kx.ProbeMappings(tmp_path, (X, Y), **arguments)


def test_a_probe_that_cannot_work(tmp_path):
    """One class; too few rows; few rows warn with their error, many with their cost."""
    with pytest.raises(kx.InvalidInput, match="All 160 labels of the probe are 1"):
        kx.ProbeMappings(tmp_path, (X, np.ones(160, int)))
    with pytest.raises(kx.InvalidInput, match="5 rows"):
        kx.ProbeMappings(tmp_path, (X[:5], Y[:5]))
    with pytest.warns(UserWarning, match=r"64 rows.*standard error of up to 0\.062"):
        kx.ProbeMappings(tmp_path, (X[:64], Y[:64]))
    with pytest.warns(UserWarning, match="1120 rows"):
        kx.ProbeMappings(tmp_path, (np.tile(X, (7, 1)), np.tile(Y, 7)))


@pytest.mark.parametrize(
    ("probe", "options", "words"),
    [
        ((X, Y), {"layers": ["frist"]}, "Did you mean 'first'"),
        ((X, Y + 3), {}, "y holds the class 5"),
        ((X[:, :3], Y), {}, r"samples of shape \(3,\)"),
        ((X, X[:, :2]), {}, r"y has shape \(160, 2\)"),
    ],
)
def test_what_does_not_fit_the_model_is_an_error_at_train_begin(tmp_path, probe, options, words):
    """Before an epoch is lost."""
    with pytest.raises(kx.InvalidInput, match=words):
        fit(model(), kx.ProbeMappings(tmp_path, probe, **options), epochs=1)


def test_a_shared_layer_is_said(tmp_path):
    """In the notes."""
    keras.utils.set_random_seed(0)
    inputs, twice = keras.Input((4,)), layers.Dense(4, "relu", name="twice")
    watched = keras.Model(inputs, layers.Dense(3)(twice(twice(inputs))))
    watched.compile("adam", LOGITS)
    fit(watched, kx.ProbeMappings(tmp_path, (X, Y), on_error="raise"), epochs=1)
    assert any("read at their first call: 'twice'" in note for note in run(tmp_path).history[0].notes)


def test_one_trace_serves_a_whole_fit(tmp_path):
    """Compiled once."""
    traces = []

    class Count(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            traces.append(watch._reader.traces)

    watch = kx.ProbeMappings(tmp_path, (X, Y), on_error="raise")
    fit(model(), watch, Count())
    assert traces == [1, 1, 1]
