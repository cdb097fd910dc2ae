"""Fits inside fits, one after the other and side by side: each writes a run of its own, whole."""

from __future__ import annotations

import copy
import threading
import warnings

import keras
import numpy as np
import pytest

import keras_xai as kx
from tests.callbacks.small_training import small_data, small_model
from tests.frameworks import BACKEND
from tests.trust.trainings import assert_same, state, with_warnings

X, Y = small_data()


def watch(log_dir, part=kx.WeightGradients):
    if part is kx.WeightGradients:
        return kx.WeightGradients(log_dir, on_flag=lambda record: None)
    return part(log_dir, (X, Y), **({"method": "saliency"} if part is kx.ProbeAttributions else {}))


def fit(model, *callbacks, epochs=4, **options):
    model.fit(X, Y, batch_size=32, epochs=epochs, verbose=0, shuffle=False, callbacks=list(callbacks), **options)
    return model


def epochs_of(log_dir):
    return sorted(run.epochs for run in kx.load(log_dir).values())


class Inner(keras.callbacks.Callback):
    """Trains a second model in the middle of a training, in one of its hooks."""

    def __init__(self, hook, train):
        super().__init__()
        self.done = False

        def strike(number, logs=None):
            if number == 1 and not self.done:
                self.done = True
                train(self.model)

        setattr(self, hook, strike)


@pytest.mark.parametrize(
    ("before", "hook"),
    [
        (True, "on_epoch_begin"),
        pytest.param(False, "on_epoch_end", marks=pytest.mark.full),
        pytest.param(True, "on_train_batch_begin", marks=pytest.mark.full),
        (False, "on_train_batch_end"),
        pytest.param(False, "on_epoch_begin", marks=pytest.mark.full),
        pytest.param(True, "on_epoch_end", marks=pytest.mark.full),
        pytest.param(False, "on_train_batch_begin", marks=pytest.mark.full),
        pytest.param(True, "on_train_batch_end", marks=pytest.mark.full),
    ],
)
def test_a_fit_inside_a_fit(tmp_path, hook, before):
    """From a callback before or behind ours, with another model watched in the same directory."""

    def inside(outer):
        fit(small_model(3), watch(tmp_path), epochs=2)

    both = [watch(tmp_path), Inner(hook, inside)]
    model, said = with_warnings(lambda: fit(small_model(), *(both[::-1] if before else both)))
    assert said == []
    assert epochs_of(tmp_path) == [[0, 1], [0, 1, 2, 3]]
    assert_same(state(model), state(fit(small_model(), Inner(hook, lambda outer: fit(small_model(3), epochs=2)))))
    gradients = {len(run.weight_gradients) for run in kx.load(tmp_path).values()}
    assert gradients == {2, 4}


def test_the_same_model_is_trained_inside_its_own_fit(tmp_path):
    """Pseudo labels: the inner steps are the inner run's, the outer ones the outer's."""

    def trained(log_dir):
        def inside(model):
            fit(model, *([watch(log_dir)] if log_dir else []), epochs=2)

        outer = [watch(log_dir)] if log_dir else []
        return fit(small_model(), *outer, Inner("on_epoch_end", inside))

    model, said = with_warnings(lambda: trained(tmp_path))
    assert said == []
    assert_same(state(model), state(trained(None)))
    runs = kx.load(tmp_path).values()
    assert sorted(run.epochs for run in runs) == [[0, 1], [0, 1, 2, 3]]
    for run in runs:
        assert [record.missing for record in run.weight_gradients] == [""] * len(run.epochs)
        sampled = 1 if BACKEND == "jax" else 3  # where each is computed twice, at most one in 24
        assert [record.steps for record in run.weight_gradients] == [sampled] * len(run.epochs)


def test_a_data_generator_that_trains(tmp_path):
    """The inner fit runs in whatever thread reads the data."""

    class Source(keras.utils.PyDataset):
        reads = 0

        def __len__(self):
            return 3

        def __getitem__(self, k):
            self.reads += 1
            if self.reads == 5:
                fit(small_model(3), watch(tmp_path), epochs=2)
            return X[32 * k : 32 * k + 32], Y[32 * k : 32 * k + 32]

    def outer():
        small_model().fit(Source(), epochs=4, verbose=0, shuffle=False, callbacks=[watch(tmp_path)])

    _, said = with_warnings(outer)
    assert said == []
    assert epochs_of(tmp_path) == [[0, 1], [0, 1, 2, 3]]


@pytest.mark.full
def test_three_deep(tmp_path):
    """Each level has its run."""

    def deepest(model):
        fit(small_model(5), watch(tmp_path), epochs=2)

    def inside(model):
        fit(small_model(3), watch(tmp_path), Inner("on_epoch_begin", deepest), epochs=3)

    fit(small_model(), watch(tmp_path, kx.ImportanceDrift), Inner("on_epoch_end", inside))
    assert epochs_of(tmp_path) == [[0, 1], [0, 1, 2], [0, 1, 2, 3]]


def test_two_trainings_that_take_turns_go_on_with_their_own_runs(tmp_path):
    """Epoch by epoch, each with its own callback: a continued training goes on with the run that its callback wrote."""
    first, second = (small_model(1), watch(tmp_path)), (small_model(2), watch(tmp_path))
    for epoch in range(3):
        for model, callback in (first, second):
            fit(model, callback, initial_epoch=epoch, epochs=epoch + 1)
    runs = kx.load(tmp_path)
    assert {name: run.epochs for name, run in runs.items()} == {".": [0, 1, 2], "keras_xai-2": [0, 1, 2]}
    norms = [[record.statistics["weight_norm"][0] for record in run.weight_gradients] for run in runs.values()]
    assert all(np.abs(np.diff(norm)).max() < 0.2 * np.ptp(np.stack(norms)[:, 0]) for norm in norms)


def test_threads_that_train_side_by_side(tmp_path):
    """Four at once, in one directory."""
    failed = []

    def train(seed):
        try:
            fit(small_model(seed), watch(tmp_path), watch(tmp_path, kx.ImportanceDrift), epochs=3)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=train, args=(seed,)) for seed in range(4)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failed == []
    assert epochs_of(tmp_path) == [[0, 1, 2]] * 4


def test_one_callback_cannot_watch_two_fits_at_once(tmp_path):
    """The inner fit is refused in words; the outer run says that it was watched no longer."""
    shared = watch(tmp_path)
    told = []

    def inside(model):
        with pytest.raises(kx.InvalidInput, match="still running") as caught:
            fit(small_model(3), shared)
        told.append(str(caught.value))

    model, said = with_warnings(lambda: fit(small_model(), shared, Inner("on_epoch_end", inside)))
    assert len(told) == 1
    assert said == []

    class Refused(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            raise InterruptedError

    def without_us(model):  # what such a fit draws until then moves torch's generator, and with it Dropout
        with pytest.raises(InterruptedError):
            fit(small_model(3), Refused())

    assert_same(state(model), state(fit(small_model(), Inner("on_epoch_end", without_us))))
    run = kx.load(tmp_path)["."]
    assert run.epochs == [0, 1]
    assert [(stop.epoch, stop.part) for stop in run.stops] == [(1, "weight_gradients")]


def test_an_aborted_fit_is_not_taken_for_a_running_one(tmp_path):
    """Though its callbacks and its error are still there: a continued training goes on with its run."""

    class Abort(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise RuntimeError("out of luck")

    kept = watch(tmp_path)
    model = small_model()
    with pytest.raises(RuntimeError) as error:
        fit(model, kept, Abort())
    fit(model, watch(tmp_path), initial_epoch=3, epochs=5)
    assert error.value is not None
    assert kept is not None
    assert {name: run.epochs for name, run in kx.load(tmp_path).items()} == {".": [0, 1, 2, 3, 4]}


# A callback's second life.


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(kx.WeightGradients, marks=pytest.mark.full),
        pytest.param(kx.ProbeAttributions, marks=pytest.mark.full),
        kx.ImportanceDrift,
        pytest.param(kx.ProbeMappings, marks=pytest.mark.full),
    ],
)
def test_a_callback_is_used_again_for_another_model(tmp_path, part):
    """Each training is a run of its own, and neither model is held."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = watch(tmp_path, part)
        fit(small_model(), ours, epochs=2)
        keras.utils.clear_session()
        inputs = keras.Input((4,))
        outputs = keras.layers.Dense(3)(keras.layers.Dense(5, activation="tanh", name="other")(inputs))
        other = keras.Model(inputs, outputs)
        other.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        fit(other, ours, epochs=3)
    assert not ours.retired
    assert {name: run.epochs for name, run in kx.load(tmp_path).items()} == {".": [0, 1], "keras_xai-2": [0, 1, 2]}


def test_a_copy_of_a_used_explain_is_one_of_its_own(tmp_path):
    """`copy.deepcopy`, as search tools do; before, after and between trainings, `clear_session` in between."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = kx.Explain(tmp_path, (X, Y), method="saliency", live=(X, Y), mappings=True, on_drift=print)
        first = copy.deepcopy(ours)
        fit(small_model(), first, epochs=2)
        second = copy.deepcopy(first)
        keras.utils.clear_session()
        alone = state(fit(small_model(1), epochs=2))
        assert_same(state(fit(small_model(1), second, epochs=2)), alone)
        fit(small_model(2), ours, epochs=2)
    assert not any(part.retired for explain in (ours, first, second) for part in explain.callbacks)
    assert epochs_of(tmp_path) == [[0, 1]] * 3
    assert all(len(run.weight_gradients) == 2 and run.importance is not None for run in kx.load(tmp_path).values())
