"""Loops of the user's own: the hooks and records of `fit`, the same training bit for bit, and what a loop can do wrong."""

from __future__ import annotations

import copy
import inspect
import warnings

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.errors import InvalidInput
from keras_xai.gradients.tap import TrainFunctionTap
from tests.frameworks import BACKEND, apply, array, generator_states, noise_of, value_and_gradients
from tests.gradients import by_hand

BATCH, STEPS = 32, 3  # of an epoch
# Older versions do not reset the metrics in `train_on_batch`.
METRICS_RUN_ON = "reset_metrics()" not in inspect.getsource(keras.Model.train_on_batch)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

pytestmark = [pytest.mark.filterwarnings("ignore:The probe")]
if BACKEND == "jax":  # where the optimizer of a loop by hand is not heard
    pytestmark.append(pytest.mark.filterwarnings("ignore:Gradients are not captured"))
# On JAX an optimizer's calls in a loop by hand are not heard, and XLA compiles for seconds.
NOT_ON_JAX = [pytest.mark.tensorflow, pytest.mark.torch]
BY_HAND_TOO = [False, pytest.param(True, marks=NOT_ON_JAX)]


@pytest.fixture(scope="module")
def rows():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(BATCH * STEPS, 4)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0)


def network(optimizer=None, *, policy="float32"):
    """A model with dropout and batch normalisation, the same at each call; compiled where it gets an optimizer."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(6, activation="relu", name="hidden", dtype=policy),
            layers.BatchNormalization(name="norm", dtype=policy),
            layers.Dropout(0.1, seed=1),
            layers.Dense(3, name="head"),
        ],
        name="net",
    )
    if optimizer is not None:
        model.compile(optimizer, LOSS, jit_compile=BACKEND == "jax")  # XLA takes seconds
    return model


def batches(rows):
    return [(rows[0][k : k + BATCH], rows[1][k : k + BATCH]) for k in range(0, len(rows[0]), BATCH)]


def step_by_hand(model, optimizer, x, y, variables=None):
    """One step as users write it, eagerly: a tape, its gradients, the optimizer's `apply`."""
    variables = model.trainable_variables if variables is None else variables

    def scaled():
        return optimizer.scale_loss(keras.ops.mean(LOSS(y, keras.ops.cast(model(x, training=True), "float32"))))

    loss, gradients = value_and_gradients(scaled, variables, model.non_trainable_variables)
    apply(optimizer, gradients, variables)
    return loss


def train(model, rows, loop=None, *, epochs=2, optimizer=None):
    """Train epoch by epoch: with `train_on_batch`, or by hand with an optimizer of the loop's own."""
    for _ in range(epochs):
        for x, y in batches(rows):
            if optimizer is None:
                model.train_on_batch(x, y)
                continue
            step_by_hand(model, optimizer, x, y)
            if loop is not None and BACKEND == "jax":  # whose stateless_apply is not heard
                loop.step()
        if loop is not None:
            loop.end_epoch()


def drift(tmp_path, rows, **options):
    return kx.ImportanceDrift(tmp_path, rows, method="saliency", on_error="raise", **options)


def assert_same_variables(variables, others):
    for variable, other in zip(variables, others, strict=True):
        np.testing.assert_array_equal(array(variable), array(other), err_msg=getattr(variable, "path", ""))


class Diary(keras.callbacks.Callback):
    """Writes down which hooks are called, in their order."""

    def __init__(self):
        super().__init__()
        self.hooks = []
        self.logs = []

    def on_train_begin(self, logs=None):
        self.hooks.append("train begins")

    def on_train_end(self, logs=None):
        self.hooks.append("train ends")

    def on_epoch_begin(self, epoch, logs=None):
        self.hooks.append(f"epoch {epoch} begins")

    def on_epoch_end(self, epoch, logs=None):
        self.hooks.append(f"epoch {epoch} ends")
        self.logs.append(dict(logs))

    def on_train_batch_begin(self, batch, logs=None):
        self.hooks.append(f"step {batch} begins")

    def on_train_batch_end(self, batch, logs=None):
        self.hooks.append(f"step {batch} ends")


# What is heard.


def test_the_hooks_are_those_of_fit_in_the_order_of_fit(rows):
    """With the number of steps known, a loop of train_on_batch calls every hook as `fit` does."""
    loop_diary, fit_diary = Diary(), Diary()
    model = network("sgd")
    with kx.watch(model, loop_diary, epochs=2, steps_per_epoch=STEPS) as loop:
        for x, y in batches(rows) * 2:
            model.train_on_batch(x, y)
    network("sgd").fit(*rows, batch_size=BATCH, epochs=2, shuffle=False, verbose=0, callbacks=[fit_diary])
    assert loop_diary.hooks == fit_diary.hooks
    assert (loop.steps, loop.epoch) == (2 * STEPS, 2)


@pytest.fixture(scope="module")
def fitted_run(tmp_path_factory, rows):
    """The run of the same training under `fit`."""
    log_dir = tmp_path_factory.mktemp("fit")
    callbacks = [kx.WeightGradients(log_dir, samples_per_epoch="all"), drift(log_dir, rows)]
    model = network(keras.optimizers.SGD(0.1))
    model.fit(*rows, batch_size=BATCH, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
    return kx.load(log_dir)["."]


@pytest.mark.every_backend
@pytest.mark.tensorflow
@pytest.mark.torch
@pytest.mark.parametrize("by_hand_too", BY_HAND_TOO, ids=["train_on_batch", "by hand"])
def test_the_records_are_those_of_fit(tmp_path, rows, fitted_run, by_hand_too):
    """The same training under `fit` and in a loop: the same figures in the file, and in `loop.logs` what `logs` holds."""
    optimizer = keras.optimizers.SGD(0.1)
    model = network(None if by_hand_too else optimizer)
    callbacks = [kx.WeightGradients(tmp_path, samples_per_epoch="all"), drift(tmp_path, rows)]
    with kx.watch(model, callbacks, loss=LOSS, optimizer=optimizer) as loop:
        train(model, rows, loop, optimizer=optimizer if by_hand_too else None)
    run = kx.load(tmp_path)["."]
    assert run.epochs == fitted_run.epochs == [0, 1]
    np.testing.assert_allclose(run.importance.share, fitted_run.importance.share, rtol=1e-4)
    for record, expected in zip(run.weight_gradients, fitted_run.weight_gradients, strict=True):
        assert (record.names, record.steps, record.missing) == (expected.names, expected.steps, "")
        for name in ("rms", "max", "update_ratio", "weight_norm"):
            np.testing.assert_allclose(record.statistics[name], expected.statistics[name], rtol=1e-3, err_msg=name)
    assert [record.learning_rate for record in run.history] == [np.float32(0.1)] * 2
    assert set(loop.logs) >= {"xai_drift_score", "xai_drift_alarm", "xai_quiet_epochs"}


@pytest.mark.tensorflow
@pytest.mark.torch
@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "loss scaling"])
def test_gradients_are_those_of_a_training_by_hand(tmp_path, rows, scaled):
    """Statistics of every step's gradient, after loss scaling is undone and before clipping, against whole arrays."""
    optimizer, twin = (
        keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01, clipnorm=0.1), initial_scale=4.0)
        if scaled
        else keras.optimizers.Adam(0.01, clipnorm=0.1)
        for _ in range(2)
    )
    model, alone = network(), network(twin)
    with kx.watch(model, kx.WeightGradients(tmp_path, samples_per_epoch="all")) as loop:
        train(model, rows, loop, epochs=1, optimizer=optimizer)
    (epoch,) = by_hand.train(alone, *rows, batch_size=BATCH, epochs=1)
    (record,) = kx.load(tmp_path)["."].weight_gradients
    assert record.steps == STEPS
    for row, path in enumerate(record.names):
        for name, value in by_hand.statistics(epoch.calls[path]).items():
            np.testing.assert_allclose(
                record.statistics[name][row], value, rtol=2e-4, atol=1e-7, err_msg=f"{path} {name}"
            )


def test_samples_are_spread_over_the_steps_of_an_epoch(tmp_path, rows):
    """Two steps of each epoch are recorded; of the first one, whose length nobody knows, the first."""
    model = network("sgd")
    with kx.watch(model, kx.WeightGradients(tmp_path / "unknown", samples_per_epoch=2)) as loop:
        train(model, rows, loop)
    with kx.watch(model, kx.WeightGradients(tmp_path / "known", samples_per_epoch=2), steps_per_epoch=STEPS):
        train(model, rows)
    runs = kx.load(tmp_path)
    most = 1 if BACKEND == "jax" else 2
    assert [record.steps for record in runs["unknown"].weight_gradients] == [1, most]
    assert [record.steps for record in runs["known"].weight_gradients] == [most, most]


# Updates inside an epoch.


@pytest.fixture(scope="module")
def fitted_steps(tmp_path_factory, rows):
    """The run of a `fit` with an update every two steps."""
    log_dir = tmp_path_factory.mktemp("fit_steps")
    model = network(keras.optimizers.SGD(0.1))
    callbacks = every_two_steps(log_dir, rows)
    model.fit(*rows, batch_size=BATCH, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
    return kx.load(log_dir)["."]


def every_two_steps(log_dir, rows):
    gradients = kx.WeightGradients(log_dir, samples_per_epoch="all", every="2 steps", on_error="raise")
    gallery = kx.ProbeAttributions(log_dir, rows, "saliency", every="2 steps", on_error="raise")
    return [gradients, gallery, drift(log_dir, rows, every="2 steps")]


def assert_same_updates(run, fitted):
    """The same updates with the same figures, and the untrained model before them."""
    assert run.unit == fitted.unit == "step"
    moments = [[(record.epoch, record.step, record.ends_epoch) for record in r.history] for r in (run, fitted)]
    assert moments[0] == moments[1] == [(0, 2, False), (0, 3, True), (1, 4, False), (1, 6, True)]
    np.testing.assert_allclose(run.importance.share, fitted.importance.share, rtol=1e-4)
    assert run.importance.steps.tolist() == [2, 3, 4, 6]
    assert run.before is not None
    before = [r.before.attributions["saliency"].values for r in (run, fitted)]
    np.testing.assert_allclose(*before, rtol=1e-6)


@pytest.mark.every_backend
@pytest.mark.parametrize("ends", ["by steps", pytest.param("by call", marks=NOT_ON_JAX)])
def test_updates_inside_an_epoch_are_those_of_fit(tmp_path, rows, fitted_steps, ends):
    """Every two steps and at the ends of epochs: the same records as under `fit`, gradients by window among them."""
    model = network(keras.optimizers.SGD(0.1))
    losses = []
    with kx.watch(
        model, every_two_steps(tmp_path, rows), steps_per_epoch=STEPS if ends == "by steps" else None
    ) as loop:
        for _ in range(2):
            losses += [float(np.mean(model.train_on_batch(x, y))) for x, y in batches(rows)]
            if ends == "by call":
                loop.end_epoch()
    run = kx.load(tmp_path)["."]
    assert_same_updates(run, fitted_steps)
    for record, expected in zip(run.weight_gradients, fitted_steps.weight_gradients, strict=True):
        assert (record.update, record.steps, record.missing) == (expected.update, expected.steps, "")
        np.testing.assert_allclose(record.statistics["rms"], expected.statistics["rms"], rtol=1e-3)
    logged = [record.logs["loss"] for record in run.history]
    expected = [losses[1], losses[2], losses[3], losses[-1]]
    if not METRICS_RUN_ON:
        expected = [np.mean(losses[:2]), np.mean(losses[:3]), losses[3], np.mean(losses[3:])]
    np.testing.assert_allclose(logged, expected, rtol=1e-5)
    np.testing.assert_allclose(logged[:2], [record.logs["loss"] for record in fitted_steps.history[:2]], rtol=1e-5)


@pytest.mark.every_backend
@pytest.mark.tensorflow
@pytest.mark.torch
def test_a_loop_by_hand_has_updates_inside_an_epoch(tmp_path, rows, fitted_steps):
    """The model is not compiled: steps are counted by the loop, and the logs are what the loop reports."""
    model, optimizer = network(), keras.optimizers.SGD(0.1)
    with kx.watch(model, every_two_steps(tmp_path, rows), loss=LOSS) as loop:
        for _ in range(2):
            for x, y in batches(rows):
                loss = step_by_hand(model, optimizer, x, y)
                loop.step({"loss": loss})
            loop.end_epoch()
    run = kx.load(tmp_path)["."]
    assert_same_updates(run, fitted_steps)
    assert [record.steps for record in run.weight_gradients] == [2, 1, 1, 2]
    assert all(record.logs["loss"] > 0 for record in run.history)


def test_a_callback_by_itself_writes_every_update_at_once(tmp_path, rows):
    """A loop that never calls `finish` lacks the end of its last epoch alone; the model was trained before the first call."""
    model = network("sgd")
    watch = kx.ProbeAttributions(tmp_path, rows, "saliency", every=kx.steps(2), on_error="raise")
    for epoch in range(2):
        for x, y in batches(rows):
            model.train_on_batch(x, y)
            watch.step(model)
        if epoch == 0:
            watch.end_epoch()
    run = kx.load(tmp_path)["."]
    assert [(record.epoch, record.step) for record in run.history] == [(0, 2), (0, 3), (1, 4), (1, 6)]
    assert run.before is None


@pytest.mark.full
def test_an_automatic_interval_counts_the_steps_of_the_loop(tmp_path, rows):
    """30 updates of 60 steps, as many as the passes allow: chosen by the epochs and steps that the loop has announced."""
    model = network("sgd")
    watch = kx.ProbeAttributions(tmp_path, (rows[0][:4], rows[1][:4]), "saliency", every="auto", on_error="raise")
    with kx.watch(model, watch, epochs=2, steps_per_epoch=30):
        for _ in range(60):
            model.train_on_batch(*rows)
    steps = [record.step for record in kx.load(tmp_path)["."].history]
    assert steps == list(range(2, 61, 2))


# The training stays what it is.


def adam():
    return keras.optimizers.Adam(0.01, clipnorm=0.5)


def scaling():
    return keras.optimizers.LossScaleOptimizer(adam(), initial_scale=64.0)


@pytest.mark.every_backend
@pytest.mark.parametrize("by_hand_too", BY_HAND_TOO, ids=["train_on_batch", "by hand"])
@pytest.mark.parametrize(
    ("make", "policy"),
    [(adam, "float32"), pytest.param(scaling, "mixed_bfloat16", marks=[pytest.mark.full, *NOT_ON_JAX])],
    ids=["adam", "mixed"],
)
def test_a_watched_loop_trains_bit_for_bit_as_alone(tmp_path, rows, make, policy, by_hand_too):
    """Weights, the optimizer's state, seeds and global generators: with every callback, and without."""
    states = []
    for is_watched in (False, True):
        optimizer = make()
        model = network(None if by_hand_too else optimizer, policy=policy)
        of_loop = optimizer if by_hand_too else None
        if is_watched:
            gradients = kx.WeightGradients(tmp_path, samples_per_epoch=2, on_error="raise")
            with kx.watch(model, [gradients, drift(tmp_path, rows)], loss=LOSS) as loop:
                train(model, rows, loop, optimizer=of_loop)
        else:
            train(model, rows, optimizer=of_loop)
        states.append(([*model.variables, *optimizer.variables], generator_states(), array(noise_of(rows[0]))))
    (alone, generators, noise), (watched, later_generators, later_noise) = states
    assert_same_variables(watched, alone)
    for state, other in zip(generators, later_generators, strict=True):
        np.testing.assert_array_equal(state, other)
    np.testing.assert_array_equal(noise, later_noise)


def test_nothing_is_left_behind(tmp_path, rows):
    """After the block the model has its own train function and no loss, and optimizers their own methods."""
    model, compiled = network(), network("adam")
    with kx.watch(model, Diary(), loss=LOSS) as loop, kx.watch(compiled, kx.WeightGradients(tmp_path)):
        assert hasattr(keras.optimizers.Optimizer.apply, "_keras_xai")
        plain = compiled.train_function.plain.plain
        compiled.train_on_batch(*rows)
        step_by_hand(model, adam(), *rows)
        loop.step()
        assert model.loss is LOSS
    assert model.loss is None
    assert compiled.train_function is plain
    assert "apply" not in vars(keras.optimizers.Optimizer)
    assert not hasattr(keras.optimizers.Optimizer.apply, "_keras_xai")


# What a step is.


@pytest.mark.tensorflow
@pytest.mark.torch
def test_a_step_that_is_heard_and_marked_counts_once(tmp_path, rows):
    """`loop.step` takes over with its first call; its logs are averaged over the epoch."""
    model, diary = network(), Diary()
    optimizer = adam()
    with kx.watch(model, diary) as loop:
        for number, (x, y) in enumerate(batches(rows)):
            step_by_hand(model, optimizer, x, y)
            loop.step({"loss": number})
        loop.end_epoch({"val_loss": keras.ops.convert_to_tensor(0.5)})
    assert loop.steps == STEPS
    assert diary.hooks.count("step 2 ends") == 1
    assert diary.logs == [{"loss": 1.0, "val_loss": 0.5}]


def test_train_on_batch_with_marked_steps_counts_once(rows):
    """Its logs are then those that the loop gives; without, those of train_on_batch."""
    model, marked, by_itself = network("sgd"), Diary(), Diary()
    losses = []
    with kx.watch(model, marked) as loop:
        for x, y in batches(rows):
            losses.append(model.train_on_batch(x, y))
            loop.step({"accuracy": 0.25})
    assert loop.steps == STEPS
    assert marked.logs == [{"accuracy": 0.25}]
    with kx.watch(model, by_itself) as loop:
        for x, y in batches(rows):
            losses.append(np.mean(model.train_on_batch(x, y)))
    expected = losses[-1] if METRICS_RUN_ON else np.mean(losses[STEPS:])
    assert by_itself.logs[0]["loss"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("logs", "words"),
    [
        ({"loss": "0.5"}, "'loss' has str"),
        ({"losses": [0.5, 0.1]}, "'losses' has list"),
        ({"losses": np.zeros(2)}, r"'losses' has the shape \(2,\)"),
        ([0.5], "got a list, expected a dict"),
    ],
)
def test_logs_that_are_no_numbers_are_refused(rows, logs, words):
    """What came is in the message; nothing is left out in silence."""
    with kx.watch(network("sgd"), Diary()) as loop:
        with pytest.raises(kx.InvalidInput, match=words):
            loop.step(logs)
        loop.step({"loss": 1.0})


def test_auto_counts_the_rows_of_its_epoch_in_a_loop_that_never_resets_metrics(tmp_path, rows):
    """Keras' loss then counts on: the interval is chosen in each epoch, and is the same."""
    watch = kx.WeightGradients(tmp_path, every="auto")
    with kx.watch(network("sgd"), watch) as loop:
        for _ in range(3):
            for x, y in batches(rows):
                loop.model.train_on_batch(x, y)
            loop.end_epoch()
    notes = [note.text for note in kx.load(tmp_path)["."].notes if "auto" in note.text]
    assert set(notes) == {'every="auto": an update every 1 steps.'}


def test_a_refused_mark_leaves_the_steps_that_are_heard(rows):
    with kx.watch(network("sgd"), Diary()) as loop:
        for x, y in batches(rows):
            loop.model.train_on_batch(x, y)
        with pytest.raises(InvalidInput, match="after 3 steps that were heard"):
            loop.step()
        loop.model.train_on_batch(*rows)
    assert loop.steps == STEPS + 1


def test_a_block_inside_a_block_is_refused(rows):
    """It would hear nothing: the one around it listens."""
    model = network("sgd")
    with kx.watch(model, Diary()) as loop:
        with pytest.raises(InvalidInput, match="watched by a block around this one"), kx.watch(model, Diary()):
            pass
        model.train_on_batch(*rows)
    assert loop.steps == 1


def test_the_last_logs_of_a_callbacks_own_loop(tmp_path, rows):
    watch = kx.ImportanceDrift(tmp_path, rows, on_drift=lambda alert: None)
    model = network("sgd")
    watch.step(model, {"loss": 1.0})
    watch.finish({"loss": 0.3})
    watch.step(model)
    watch.end_epoch()
    with pytest.raises(kx.InvalidInput, match=r"finish\(.*no epoch with steps is open"):
        watch.finish({"loss": 0.3})
    watch.finish()
    assert [record.logs["loss"] for record in kx.load(tmp_path)["."].history] == [0.3]


def test_a_model_that_is_compiled_again_is_heard(rows):
    """As where layers are unfrozen between two epochs: it then makes another train function."""
    model = network("sgd")
    with kx.watch(model, Diary()) as loop:
        model.train_on_batch(*rows)
        loop.end_epoch()
        model.compile("sgd", LOSS, jit_compile=BACKEND == "jax")
        model.train_on_batch(*rows)
        model.train_on_batch(*rows)
    assert loop.steps == 3
    assert "make_train_function" not in vars(model)


@pytest.mark.tensorflow
@pytest.mark.torch
def test_two_optimizers_are_one_step(tmp_path, rows):
    """As in a GAN: the first one's calls are the steps, and both are recorded; by name the other's are."""
    losses = []
    for name in (None, "second", "alone"):
        model, first, second = network(), keras.optimizers.SGD(0.1), adam()
        body, head = model.trainable_variables[:-2], model.trainable_variables[-2:]

        def iterate(loop=None, model=model, first=first, second=second, body=body, head=head):
            for x, y in batches(rows):
                step_by_hand(model, first, x, y, body)
                step_by_hand(model, second, x, y, head)

        if name == "alone":
            iterate()
        else:
            watch = kx.WeightGradients(tmp_path / str(name), samples_per_epoch="all", on_error="raise")
            with kx.watch(model, watch, optimizer=second if name else None) as loop:
                iterate(loop)
            assert loop.steps == STEPS
            (record,) = kx.load(tmp_path)[str(name)].weight_gradients
            assert np.isfinite(record.statistics["rms"]).all()
            assert record.steps == 2 * STEPS
        losses.append([*model.variables, *first.variables, *second.variables])
    assert_same_variables(losses[0], losses[2])
    assert_same_variables(losses[1], losses[2])


@pytest.mark.tensorflow
@pytest.mark.torch
def test_an_optimizer_that_takes_anothers_place_goes_on_counting(rows):
    """A loop that makes a new optimizer in its middle misses one step of the count."""
    model, first, second = network(), adam(), adam()
    with kx.watch(model, Diary()) as loop:
        for optimizer in (first, first, second, second, second):
            step_by_hand(model, optimizer, *rows)
    assert loop.steps == 4


@pytest.mark.tensorflow
@pytest.mark.torch
def test_two_models_are_watched_at_once(tmp_path, rows):
    """Each loop hears the optimizer of its own model alone."""
    model, other, optimizers = network(), network(), (adam(), adam())
    with kx.watch(model, Diary()) as loop, kx.watch(other, Diary()) as other_loop:
        step_by_hand(model, optimizers[0], *rows)
        step_by_hand(other, optimizers[1], *rows)
        step_by_hand(other, optimizers[1], *rows)
    assert (loop.steps, other_loop.steps) == (1, 2)


@pytest.mark.tensorflow
def test_a_step_inside_a_tf_function_is_marked(tmp_path, rows):
    """It cannot be heard: marked by hand it counts; neither is one warning, and the record says why gradients are missing."""
    import tensorflow as tf

    for marks in (True, False):
        model, optimizer = network(), adam()

        @tf.function
        def step(x, y, model=model, optimizer=optimizer):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(LOSS(y, model(x, training=True)))
            optimizer.apply_gradients(
                zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
            )
            return loss

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with kx.watch(model, kx.WeightGradients(tmp_path / str(marks))) as loop:
                for x, y in batches(rows):
                    loss = step(x, y)
                    if marks:
                        loop.step({"loss": loss})
        texts = [str(warning.message) for warning in caught]
        assert loop.steps == (STEPS if marks else 0)
        if marks:
            assert "inside a compiled function" in kx.load(tmp_path)["True"].weight_gradients[0].missing
            assert np.isfinite(loop.logs["loss"])
        else:
            (text,) = texts
            assert "counted no training step: the optimizer was called inside a compiled function" in text
            assert "Call loop.step() after each step" in text


@pytest.mark.tensorflow
def test_an_optimizer_inside_its_tape_ends_no_step(rows):
    """Callbacks would run the model while the user's tape records: the warning says to mark the steps after the tape."""
    import tensorflow as tf

    model, optimizer = network(), adam()

    def step(loop=None):
        with tf.GradientTape(persistent=True) as tape:  # of another kind the tape ends with its gradient
            loss = tf.reduce_mean(LOSS(rows[1], model(rows[0], training=True)))
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
            if loop is not None:
                loop.step()

    with pytest.warns(UserWarning, match="inside the block of a GradientTape"), kx.watch(model, Diary()) as loop:
        step()
    assert loop.steps == 0
    with kx.watch(model, Diary()) as loop:
        with pytest.raises(InvalidInput, match=r"loop.step.. inside the block of a GradientTape"):
            step(loop)
        loop.step()
    with kx.watch(model, Diary()) as loop:
        step()
        loop.step()
        step()
        loop.step()
    assert loop.steps == 2


@pytest.mark.tensorflow
def test_marking_a_step_inside_a_tf_function_is_an_error(rows):
    """Its Python code runs while it is traced, once."""
    import tensorflow as tf

    with kx.watch(network(), Diary()) as loop:
        with pytest.raises(InvalidInput, match="inside a function that is compiled"):
            tf.function(loop.step, autograph=False)()
        loop.step()


@pytest.mark.every_backend
@pytest.mark.torch
def test_a_loop_under_autocast_is_explained_as_fit_is(tmp_path, rows):
    """The block of torch.autocast, and torch.no_grad around `apply`, do not reach what callbacks compute."""
    import torch

    shares = []
    for is_inside in (False, True):
        model, optimizer = network(), keras.optimizers.SGD(0.1)
        with kx.watch(model, drift(tmp_path / str(is_inside), rows), loss=LOSS, steps_per_epoch=1):
            _, gradients = value_and_gradients(
                lambda model=model: keras.ops.mean(LOSS(rows[1], model(rows[0]))), model.trainable_variables
            )
            with torch.autocast("cpu", torch.bfloat16, enabled=is_inside), torch.no_grad():
                optimizer.apply(gradients, model.trainable_variables)
        shares.append(kx.load(tmp_path)[str(is_inside)].importance.share)
    np.testing.assert_array_equal(*shares)


@pytest.mark.jax
def test_a_jitted_loop_writes_its_state_back_when_callbacks_look(tmp_path, rows, fitted_steps):
    """A stateless loop that gives its buffers away has the records of `fit`; it calls `sync` for updates alone."""
    import jax

    model, optimizer = network(), keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)
    calls = []

    def loss_of(trainable, other, x, y):
        outputs, other = model.stateless_call(trainable, other, x, training=True)
        return keras.ops.mean(LOSS(y, outputs)), other

    def step(state, x, y):
        trainable, other, of_optimizer = state
        (loss, other), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable, other, x, y)
        trainable, of_optimizer = optimizer.stateless_apply(of_optimizer, gradients, trainable)
        return loss, (trainable, other, of_optimizer)

    step = jax.jit(step, donate_argnums=0)
    lists = model.trainable_variables, model.non_trainable_variables, optimizer.variables
    state = tuple([jax.numpy.array(variable.value) for variable in variables] for variables in lists)

    def write_back():
        calls.append(1)
        for variables, values in zip(lists, state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    callbacks = every_two_steps(tmp_path, rows)
    with kx.watch(model, callbacks, loss=LOSS, optimizer=optimizer, sync=write_back, steps_per_epoch=STEPS) as loop:
        for x, y in batches(rows) * 2:
            loss, state = step(state, x, y)
            loop.step({"loss": loss})
    run = kx.load(tmp_path)["."]
    assert_same_updates(run, fitted_steps)
    assert loop.logs["loss"] == pytest.approx(fitted_steps.history[-1].logs["loss"], rel=1e-4)
    assert run.history[-1].learning_rate == pytest.approx(0.1)
    assert len(calls) == 7  # four updates, the first step, the late begin of epoch 1, the end


# Epochs, and the end.


@pytest.mark.tensorflow
@pytest.mark.torch
def test_a_learning_rate_schedule_holds_from_the_first_step_of_an_epoch(rows):
    """The next epoch begins before the weights change, not after."""
    model, optimizer = network(), keras.optimizers.SGD(0.5)
    model.compile(optimizer, LOSS)
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.0 if epoch else rate)
    with kx.watch(model, schedule) as loop:
        step_by_hand(model, optimizer, *rows)
        loop.end_epoch()
        before = array(model.trainable_variables[0])
        step_by_hand(model, optimizer, *rows)
    np.testing.assert_array_equal(array(model.trainable_variables[0]), before)
    assert loop.epoch == 2


def test_the_loop_sees_that_a_callback_stops_it(tmp_path, rows):
    """`loop.stopped` is what `fit` looks at; the last open epoch is written when the block ends."""
    model = network("sgd")
    stop = keras.callbacks.EarlyStopping("xai_quiet_epochs", mode="min", patience=1)
    with kx.watch(model, [drift(tmp_path, rows), stop]) as loop:
        while not loop.stopped:
            model.train_on_batch(*rows)
            loop.end_epoch()
        model.train_on_batch(*rows)
    assert loop.logs["xai_quiet_epochs"] == 3
    assert kx.load(tmp_path)["."].epochs == [0, 1, 2]


@pytest.mark.parametrize(
    "fault",
    [RuntimeError("no more data"), pytest.param(KeyboardInterrupt(), marks=pytest.mark.full)],
    ids=["error", "interrupt"],
)
def test_an_exception_leaves_what_was_written(tmp_path, rows, fault):
    """No hook is called any more, the exception passes, and the same callbacks watch a `fit` afterwards."""
    model, diary = network("sgd"), Diary()
    callbacks = [kx.WeightGradients(tmp_path), drift(tmp_path, rows), diary]

    def run():
        with kx.watch(model, callbacks) as loop:
            train(model, rows, loop, epochs=1)
            model.train_on_batch(*rows)
            raise fault

    with pytest.raises(type(fault)):
        run()
    assert diary.hooks[-1] == "step 1 begins"
    assert kx.load(tmp_path)["."].epochs == [0]
    assert not isinstance(model.train_function, TrainFunctionTap)
    assert not hasattr(keras.optimizers.Optimizer.apply, "_keras_xai")
    model.fit(*rows, epochs=1, verbose=0, callbacks=callbacks)
    assert kx.load(tmp_path)["keras_xai-2"].epochs == [0]


def test_an_alarm_leaves_the_loop(tmp_path, rows):
    """`on_flag="raise"` raises out of the call that ended the epoch."""
    model = network("sgd")
    watch = kx.WeightGradients(tmp_path, thresholds={"vanishing": 1e9}, on_flag="raise")

    def run():
        with kx.watch(model, watch, steps_per_epoch=1):
            for _ in range(5):
                model.train_on_batch(*rows)

    with pytest.raises(kx.GradientAlarm):
        run()
    assert not isinstance(model.train_function, TrainFunctionTap)


def test_one_logit_is_a_class_where_the_loss_says_so(tmp_path, rows):
    """A model that is not compiled: its loop's loss tells a class from a number, as `compile` would."""
    x, y = rows[0], (rows[0][:, 0] > 0).astype(np.int64)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    watch = kx.ProbeAttributions(tmp_path, (x, y), method="saliency", on_error="raise")
    with kx.watch(model, watch, loss="binary_crossentropy", steps_per_epoch=1) as loop:
        loop.step()
    assert set(np.unique(kx.load(tmp_path)["."].attributions("saliency")[0].prediction)) <= {0, 1}


# One callback by itself.


def test_a_callback_is_driven_by_its_own_step(tmp_path, rows):
    """`step` alone: the epochs of the loop, the gradients of train_on_batch, the means of its logs."""
    model = network("sgd")
    watch = kx.WeightGradients(tmp_path, samples_per_epoch="all", on_error="raise")
    for epoch in range(2):
        for x, y in batches(rows):
            watch.step(model, {"loss": np.float32(model.train_on_batch(x, y))}, epoch=epoch)
        if epoch == 0:
            watch.end_epoch({"val_loss": 0.5})
    run = kx.load(tmp_path)["."]
    assert run.epochs == [0]  # on disk before the loop ends
    assert run.history[0].logs["val_loss"] == 0.5
    assert run.history[0].logs["loss"] > 0
    watch.finish()
    watch.finish()
    run = kx.load(tmp_path)["."]
    assert run.epochs == [0, 1]
    # The first step was done before the callback knew of the model.
    assert [record.steps for record in run.weight_gradients] == [STEPS - 1, STEPS]
    assert not isinstance(model.train_function, TrainFunctionTap)


@pytest.mark.tensorflow
@pytest.mark.torch
def test_step_alone_says_why_there_are_no_gradients(tmp_path, rows):
    """Without a block around the loop no optimizer is heard."""
    model, optimizer = network(), adam()
    watch = kx.WeightGradients(tmp_path)
    step_by_hand(model, optimizer, *rows)
    watch.step(model)
    with pytest.warns(UserWarning, match="put the loop into a block of kx.watch"):
        watch.finish()


def test_two_callbacks_that_step_in_one_directory_are_an_error(tmp_path, rows):
    """A later training takes the directory over, as from one that an exception has ended: the earlier one is told."""
    model = network()
    first, second = drift(tmp_path, rows), drift(tmp_path, rows)
    first.step(model)
    second.step(model)
    with pytest.raises(InvalidInput, match=r"go into one block of kx.watch"):
        first.step(model)
    second.finish()
    assert kx.load(tmp_path)["."].epochs == [0]


def test_explain_steps_and_is_copied(tmp_path, rows):
    """All of its callbacks take part; a copy, as search tools make them, begins a training of its own."""
    model = network("sgd")
    watch = kx.Explain(tmp_path, rows, method=None)
    for _ in range(2):
        model.train_on_batch(*rows)
        watch.step(model, epoch=3)
    other = copy.deepcopy(watch)
    assert other._loop is None
    watch.finish()
    run = kx.load(tmp_path)["."]
    assert run.epochs == [3]
    assert run.importance.epochs.tolist() == [3]


# Misuse.


def test_arguments_of_watch_are_checked(rows):
    """What came, what is expected."""
    model = network("sgd")
    for arguments, options, words in [
        (("model", Diary()), {}, "got a str, expected a keras.Model"),
        ((model, "callback"), {}, "got a str among the callbacks"),
        ((model, []), {}, "got no callback"),
        ((model, Diary()), {"epochs": 0}, "epochs=0"),
        ((model, Diary()), {"steps_per_epoch": 2.5}, "steps_per_epoch=2.5"),
        ((model, Diary()), {"initial_epoch": -1}, "initial_epoch=-1"),
        ((model, Diary()), {"optimizer": "adam"}, "expected one of Keras"),
        ((model, Diary()), {"sync": 3}, "sync=3"),
    ]:
        with pytest.raises(InvalidInput, match=words):
            kx.watch(*arguments, **options)


def test_calls_outside_of_the_block_are_errors(rows):
    """A loop is begun once, and its methods belong inside."""
    loop = kx.watch(network("sgd"), Diary())
    with pytest.raises(InvalidInput, match="outside of its block"):
        loop.step()
    with loop:
        loop.step()
        with pytest.raises(InvalidInput, match="expected a dict of numbers"):
            loop.step(0.3)
    with pytest.raises(InvalidInput, match="outside of its block"):
        loop.end_epoch()
    with pytest.raises(InvalidInput, match="watched before"), loop:
        pass


@pytest.mark.tensorflow
@pytest.mark.torch
def test_a_mark_after_several_steps_is_an_error(rows):
    """Nobody can say which of them were one: the message names both ways out."""
    model, optimizer = network(), adam()
    with kx.watch(model, Diary()) as loop:
        step_by_hand(model, optimizer, *rows)
        step_by_hand(model, optimizer, *rows)
        with pytest.raises(InvalidInput, match="after 2 steps that were heard"):
            loop.step()


def test_an_epoch_is_not_ended_twice(rows):
    """`steps_per_epoch` and `end_epoch` together would make empty epochs."""
    model = network("sgd")
    with kx.watch(model, Diary(), steps_per_epoch=1) as loop:
        model.train_on_batch(*rows)
        with pytest.raises(InvalidInput, match="steps_per_epoch=1 has ended"):
            loop.end_epoch()


def test_a_callback_steps_in_one_training_at_a_time(tmp_path, rows):
    """Inside `kx.watch` and `fit` its hooks are called already; an epoch does not come back; a model does not change."""
    model, watch = network("sgd"), drift(tmp_path, rows)
    with kx.watch(model, watch, steps_per_epoch=1) as loop:
        with pytest.raises(InvalidInput, match=r"step.. inside fit.. or kx.watch"):
            watch.step(model)
        loop.step()

    class Stepping(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            with pytest.raises(InvalidInput, match=r"step.. inside fit.. or kx.watch"):
                watch.step(model)

    model.fit(*rows, verbose=0, callbacks=[watch, Stepping()])
    watch.step(model, epoch=2)
    with pytest.raises(InvalidInput, match="epoch=1 after epoch 2"):
        watch.step(model, epoch=1)
    with pytest.raises(InvalidInput, match="another model"):
        watch.step(network("sgd"))
    watch.finish()
    with pytest.raises(InvalidInput, match=r"got a str, expected a keras.Model"):
        watch.step("model")


def test_a_loop_in_which_nothing_happens_says_so(rows):
    """Neither heard nor marked, and no epoch ended."""
    with (
        pytest.warns(UserWarning, match="counted no training step.*No epoch is recorded"),
        kx.watch(network("sgd"), Diary()),
    ):
        pass


def test_a_fit_inside_the_loop_needs_its_own_callback(tmp_path, rows):
    """The same callback cannot watch both."""
    model, watch = network("sgd"), drift(tmp_path, rows)
    with pytest.raises(InvalidInput, match="still running"), kx.watch(model, watch):
        model.fit(*rows, verbose=0, callbacks=[watch])
