"""`WeightGradients` as a user meets it: arguments, records, logs, flags, continued runs. Figures: tests/gradients."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.callbacks.base import RecordingCallback
from keras_xai.errors import GradientAlarm, InvalidInput
from keras_xai.records import STATISTICS
from tests.frameworks import BACKEND
from tests.gradients import by_hand
from tests.gradients.situations import LOSS, X, Y, mlp, sgd

# The steps, of six in an epoch, that are recorded by default: on JAX, where each is computed twice, at most one in 24.
SAMPLED = (0,) if BACKEND == "jax" else (0, 2, 5)
KEYS = ["xai_grad_norm", "xai_update_ratio", "xai_nonfinite"]


def model(optimizer="sgd", **options):
    keras.utils.set_random_seed(5)
    return mlp(optimizer, **options)


def fit(watched, *callbacks, epochs=2, x=X, **options):
    arguments = {"batch_size": 8, "shuffle": False, "verbose": 0} | options
    return watched.fit(x, Y, epochs=epochs, callbacks=list(callbacks), **arguments)


def records(log_dir, run="."):
    return kx.load(log_dir)[run].weight_gradients


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """Three epochs of plain SGD with the defaults: log directory, history and model."""
    log_dir = tmp_path_factory.mktemp("usual")
    watched = model(sgd())
    history = fit(watched, kx.WeightGradients(log_dir, on_error="raise", log="all"), epochs=3)
    return log_dir, history.history, watched


@pytest.mark.every_backend
def test_every_epoch_is_recorded(usual):
    """Names, statistics, histogram and steps, as they are read back."""
    log_dir, _, watched = usual
    found = records(log_dir)
    assert [record.epoch for record in found] == [0, 1, 2]
    for record in found:
        assert record.names == tuple(v.path for v in watched.trainable_variables)
        assert set(record.statistics) == set(STATISTICS)
        assert record.histogram.shape == (4, len(record.bin_edges) - 1)
        assert record.steps == len(SAMPLED)
        assert record.flags == ()
        assert record.missing == ""


@pytest.mark.every_backend
def test_sampled_figures_are_those_of_the_first_middle_and_last_step(usual):
    """Six steps an epoch: 0, 2 and 5, on JAX 0 alone, against the training written out by hand."""
    log_dir, _, _ = usual
    history = by_hand.train(model(sgd()), X, Y, batch_size=8, epochs=3)
    for record, epoch in zip(records(log_dir), history, strict=True):
        for v, name in enumerate(record.names):
            twin = by_hand.statistics([epoch.calls[name][k] for k in SAMPLED])
            for key in STATISTICS:
                np.testing.assert_allclose(record.statistics[key][v], twin[key], rtol=1e-3, atol=1e-7, err_msg=key)


@pytest.mark.every_backend
def test_the_update_of_plain_sgd_is_the_learning_rate_times_the_gradient(usual):
    """The textbook check: w' − w = −α ∇J, so ‖Δw‖ = α ‖g‖ (root mean squares over the same steps)."""
    log_dir, _, watched = usual
    sizes = np.array([np.prod(v.shape) for v in watched.trainable_variables])
    for record in records(log_dir):
        got = record.statistics
        moved = got["weight_norm"] > 0  # relative to biases that are still zero no update has a size
        update, step = got["update_ratio"] * got["weight_norm"], 0.1 * got["rms"] * np.sqrt(sizes)
        np.testing.assert_allclose(update[moved], step[moved], rtol=1e-3)


def test_logs_hold_the_figures_of_the_whole_model(usual):
    """The norm of the whole gradient, of the whole update relative to the weights, and the count; in `History` too."""
    log_dir, history, watched = usual
    sizes = np.array([np.prod(v.shape) for v in watched.trainable_variables])
    for epoch, record in enumerate(records(log_dir)):
        got = {key: values.astype(np.float64) for key, values in record.statistics.items()}
        norm = np.sqrt(np.sum(got["rms"] ** 2 * sizes))
        np.testing.assert_allclose(history["xai_grad_norm"][epoch], norm, rtol=1e-5)
        ratio = 0.1 * norm / np.sqrt(np.sum(got["weight_norm"] ** 2))
        np.testing.assert_allclose(history["xai_update_ratio"][epoch], ratio, rtol=1e-3)
        assert history["xai_nonfinite"][epoch] == 0


@pytest.mark.every_backend
def test_what_it_cost_is_told(usual):
    """The second trace and what a sampled step takes longer, each once; both are counted."""
    log_dir, _, _ = usual
    history = kx.load(log_dir)["."].history
    traced = [note for epoch in history for note in epoch.notes if "built next to" in note]
    if BACKEND == "torch":  # where a step runs eagerly
        assert traced == []
    else:
        assert len(traced) == 1
        told = float(re.search(r"([\d.]+) s, once", traced[0])[1])
        assert history[0].costs["weight_gradients"] >= history[0].once_seconds >= told - 0.05  # rounded to a tenth
    assert all(record.once_seconds == 0 for record in history[1:])
    words = f"Recording {len(SAMPLED)} of an epoch's 6 calls"
    assert sum(words in note for epoch in history for note in epoch.notes) == 1


def test_epochs_between_keep_their_keys(tmp_path):
    """`every=3` of five epochs: 0, 3 and the last; in between the last figures stand: CSVLogger has its columns."""
    watched = model(sgd())
    history = fit(
        watched, kx.WeightGradients(tmp_path / "logs", every=3, on_error="raise", log="all"), epochs=5
    ).history
    assert [record.epoch for record in records(tmp_path / "logs")] == [0, 3, 4]
    for key in KEYS:
        assert len(history[key]) == 5
        assert history[key][1] == history[key][2] == history[key][0]


def test_logs_are_nan_before_there_is_a_figure(tmp_path):
    """A step that every optimizer call skips has none: the keys are there all the same."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        watched = model(keras.optimizers.LossScaleOptimizer(sgd(), initial_scale=2.0**100))
    finally:
        keras.config.set_dtype_policy(policy)
    history = fit(watched, kx.WeightGradients(tmp_path, on_error="raise", log="all"), epochs=1).history
    assert all(np.isnan(history[key]).all() for key in KEYS)
    (record,) = records(tmp_path)
    assert record.steps == 0
    assert record.missing == ""
    assert all(np.isnan(values).all() for values in record.statistics.values())
    words = f"skipped {len(SAMPLED)} of {len(SAMPLED)}"
    assert any(words in note for note in kx.load(tmp_path)["."].history[0].notes)


def test_chosen_layers_only(tmp_path):
    """`include` and `exclude` by layer, variable or pattern; the overall norm is theirs."""
    watched = model(sgd())
    callback = kx.WeightGradients(
        tmp_path, include=["hidden", "scores/bias"], exclude="hidden/bias", on_error="raise", log="all"
    )
    history = fit(watched, callback, epochs=1).history
    (record,) = records(tmp_path)
    assert record.names == ("hidden/kernel", "scores/bias")
    norm = np.sqrt(np.sum(record.statistics["rms"] ** 2 * [30, 3]))
    np.testing.assert_allclose(history["xai_grad_norm"], [norm], rtol=1e-5)


def test_two_callbacks_with_different_layers(tmp_path):
    """Each writes what it was asked for, out of one recording."""
    watched = model(sgd())
    first = kx.WeightGradients(tmp_path / "one", include="hidden", on_error="raise")
    second = kx.WeightGradients(tmp_path / "two", include="scores", samples_per_epoch="all", on_error="raise")
    fit(watched, first, second)
    assert records(tmp_path / "one")[1].names == ("hidden/kernel", "hidden/bias")
    assert records(tmp_path / "two")[1].names == ("scores/kernel", "scores/bias")
    assert records(tmp_path / "one")[1].steps == records(tmp_path / "two")[1].steps == 6


@pytest.mark.tensorflow
@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # how Keras ends an epoch of unknown length
def test_a_length_that_is_not_known(tmp_path):
    """A generator: calls 0 and 10 first, then the first, middle and last of as many as there were."""

    def batches():
        for _ in range(13):
            yield X[:4], Y[:4]

    if BACKEND == "tensorflow":
        import tensorflow as tf

        signature = tuple(tf.TensorSpec((4, *a.shape[1:]), a.dtype) for a in (X, Y))
        data = tf.data.Dataset.from_generator(batches, output_signature=signature)
    else:
        from torch.utils.data import DataLoader, IterableDataset

        class Batches(IterableDataset):
            def __iter__(self):
                return batches()

        data = DataLoader(Batches(), batch_size=None)
    watched = model(sgd())
    watched.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=[kx.WeightGradients(tmp_path, on_error="raise")])
    assert [record.steps for record in records(tmp_path)] == [2, 3]


def test_a_continued_run_goes_on(tmp_path):
    """A later fit that starts above epoch 0 adds to the same run, with flags judged as if it had never stopped."""
    thresholds = {"vanishing": 1e3}
    watched = model(sgd())
    fit(watched, kx.WeightGradients(tmp_path, thresholds=thresholds, on_error="raise"), epochs=2)
    with pytest.warns(UserWarning, match="vanishing"):
        fit(watched, kx.WeightGradients(tmp_path, thresholds=thresholds, on_error="raise"), epochs=3, initial_epoch=2)
    found = records(tmp_path)
    assert [record.epoch for record in found] == [0, 1, 2]
    assert found[2].flags == tuple((name, "vanishing", 0) for name in found[2].names)


def test_a_second_training_is_a_run_of_its_own(tmp_path):
    """A fit from epoch 0 with the same callback writes beside the first, not over it."""
    callback = kx.WeightGradients(tmp_path, on_error="raise")
    watched = model(sgd())
    fit(watched, callback)
    fit(watched, callback)
    assert [len(run.weight_gradients) for run in kx.load(tmp_path).values()] == [2, 2]


# Flags.


def broken():
    """A loss that is NaN from the first step, and all of its gradient."""
    watched = model(sgd())
    watched.compile(sgd(), lambda y, p: keras.ops.sqrt(-1.0 - keras.ops.sum(p * p, -1)))
    return watched


def test_gradients_that_are_nan_from_the_first_step(tmp_path):
    """Recorded, flagged at once, said in words; the training is the user's to end."""
    watched = broken()
    with pytest.warns(UserWarning, match=r"epoch 0: .*hidden/kernel \(since epoch 0\).*non-finite"):
        history = fit(watched, kx.WeightGradients(tmp_path, on_error="raise", log="all")).history
    first, second = records(tmp_path)
    # The derivative of a rectifier at NaN is 0 on JAX: once the weights are NaN, the layer in front of it has a gradient again.
    reached = 2 if BACKEND == "jax" else 0
    assert first.flags == tuple((name, "non-finite", 0) for name in first.names)
    assert second.flags == tuple((name, "non-finite", 0) for name in first.names[reached:])
    expected = len(SAMPLED) * np.array([30, 5, 15, 3])
    np.testing.assert_array_equal(first.statistics["nonfinite"], expected)
    assert np.isnan(first.statistics["rms"]).all()
    assert history["xai_nonfinite"] == [expected.sum(), expected[reached:].sum()]
    assert np.isnan(history["xai_grad_norm"]).all()


@pytest.mark.every_backend
def test_a_flag_can_stop_the_training(tmp_path):
    """`on_flag="stop"` ends the fit after the epoch, which is written."""
    with pytest.warns(UserWarning, match="Training stops"):
        history = fit(broken(), kx.WeightGradients(tmp_path, on_flag="stop", on_error="raise"), epochs=5)
    assert len(history.epoch) == 1
    assert len(records(tmp_path)) == 1


def test_a_flag_can_be_raised(tmp_path):
    """`on_flag="raise"` raises out of fit, with the record, which is written before."""
    watched = broken()
    with pytest.raises(GradientAlarm, match="non-finite") as caught:
        fit(watched, kx.WeightGradients(tmp_path, on_flag="raise"))
    assert caught.value.record.flags[0].kind == "non-finite"
    assert len(records(tmp_path)) == 1
    watched.train_on_batch(X[:8], Y[:8])


def test_a_flag_can_call_a_function(tmp_path):
    """Once for what is new, not every epoch."""
    seen = []
    fit(broken(), kx.WeightGradients(tmp_path, on_flag=seen.append, on_error="raise"), epochs=3)
    assert [record.epoch for record in seen] == [0]


def test_a_dead_layer_is_flagged_after_three_epochs(tmp_path):
    """A ReLU layer that a large negative bias switches off: no gradient reaches it."""
    watched = model(sgd())
    kernel, bias = watched.get_layer("hidden").get_weights()
    watched.get_layer("hidden").set_weights([kernel, bias - 100])
    with pytest.warns(UserWarning, match="hidden/kernel .*dead"):
        fit(watched, kx.WeightGradients(tmp_path, on_error="raise"), epochs=4)
    flags = [record.flags for record in records(tmp_path)]
    dead = (("hidden/kernel", "dead", 0), ("hidden/bias", "dead", 0), ("scores/kernel", "dead", 0))
    assert flags[:2] == [(), ()]
    assert {name for name, _, _ in flags[2]} >= {"hidden/kernel", "hidden/bias"}
    assert set(flags[2]) <= set(dead)


def attentive():
    """The key bias of an attention has no gradient by nature: softmax does not see it."""
    inputs = keras.Input((6, 1))
    wide = keras.layers.Dense(8)(inputs)
    x = keras.layers.LayerNormalization()(wide + keras.layers.MultiHeadAttention(2, 4)(wide, wide))
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(x)))


def convolutional():
    """Nor has the bias of a convolution in front of a normalisation."""
    inputs = keras.Input((6, 1))
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(keras.layers.Conv1D(8, 3)(inputs)))
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(x)))


@pytest.mark.parametrize("build", [pytest.param(attentive, marks=pytest.mark.full), convolutional])
def test_a_normal_training_raises_no_flag(build, tmp_path):
    """Not even for variables without a gradient worth the name, beside others of their layer that have one."""
    keras.utils.set_random_seed(1)
    watched = build()
    watched.compile("adam", LOSS)
    fit(watched, kx.WeightGradients(tmp_path, on_error="raise"), epochs=5, x=X[..., None])
    found = records(tmp_path)
    assert min(record.statistics["rms"].min() for record in found) < 1e-7
    assert all(record.flags == () for record in found)


# What cannot work.


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"samples_per_epoch": 0}, "samples_per_epoch=0"),
        ({"every": 0}, "every=0"),
        ({"thresholds": {"vanishing": -1}}, "0 or more"),
        ({"on_flag": "shout"}, "on_flag='shout'"),
        ({"include": 3}, "include=3"),
        ({"on_error": "ignore"}, "on_error='ignore'"),
    ],
)
def test_arguments_that_cannot_work(arguments, match, tmp_path):
    """Told at construction, before an epoch is lost."""
    with pytest.raises(InvalidInput, match=match):
        kx.WeightGradients(tmp_path, **arguments)


def test_unknown_layers_are_told_at_train_begin(tmp_path):
    """With the close matches; nothing is trained."""
    watched = model(sgd())
    start = watched.get_weights()
    with pytest.raises(InvalidInput, match=r"no trainable layer or variable 'hiden'\. Did you mean 'hidden'"):
        fit(watched, kx.WeightGradients(tmp_path, include="hiden"))
    np.testing.assert_array_equal(start[0], watched.get_weights()[0])


def test_unknown_layers_of_an_unbuilt_model_are_an_error_after_its_first_step(tmp_path):
    """Only then there are layers to compare with; elsewhere than on TensorFlow Keras builds the model before."""
    keras.utils.set_random_seed(0)
    watched = keras.Sequential([keras.layers.Dense(3, activation="softmax", name="scores")])
    watched.compile(sgd(), LOSS)
    with pytest.raises(kx.InvalidInput, match=r"scorse.*Did you mean.*scores"):
        fit(watched, kx.WeightGradients(tmp_path, include="scorse"))
    assert int(watched.optimizer.iterations) == (1 if BACKEND == "tensorflow" else 0)


def test_a_model_that_was_never_compiled(tmp_path):
    """Keras says so itself in fit; the callback does where it is driven by hand."""
    watched = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    callback = kx.WeightGradients(tmp_path)
    callback.set_params({"epochs": 1})
    callback.set_model(watched)
    with pytest.raises(InvalidInput, match="compile the model"):
        callback.on_train_begin()


def test_a_fault_of_ours_retires_the_callback(tmp_path, monkeypatch):
    """One warning, the tap is gone, the weights are those of a training without us."""
    from keras_xai.gradients import rows

    def broken(*_):
        raise RuntimeError("a fault of ours")

    watched, alone = model(sgd()), model(sgd())
    monkeypatch.setattr(rows, "derived", broken)
    with pytest.warns(UserWarning, match="WeightGradients stopped in on_epoch_end: RuntimeError: a fault of ours"):
        fit(watched, kx.WeightGradients(tmp_path))
    fit(alone)
    for mine, theirs in zip(watched.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert type(watched.train_function) is type(alone.train_function)


def test_it_is_a_keras_callback():
    """With the shared lifecycle."""
    assert issubclass(kx.WeightGradients, RecordingCallback)
    assert issubclass(kx.WeightGradients, keras.callbacks.Callback)
