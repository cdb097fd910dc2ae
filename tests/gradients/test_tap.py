"""How the tap comes and goes: fits after one another, aborted, shared, recompiled; and where nothing is captured."""

from __future__ import annotations

import collections
import pickle
import threading

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.gradients.cost import CallTimes
from keras_xai.gradients.tap import TrainFunctionTap
from tests.frameworks import BACKEND
from tests.gradients import by_hand
from tests.gradients.listeners import Listener, assert_same, fit, model
from tests.gradients.situations import LOSS, X, Y, sgd


class Abort(keras.callbacks.Callback):
    """Ends a fit the hard way."""

    def __init__(self, error, batch=2):
        super().__init__()
        self.error, self.batch = error, batch

    def on_train_batch_end(self, batch, logs=None):
        if batch == self.batch:
            raise self.error


# Of a model, by its id. Not in the model or its class: what those hold is put back after a trace of ours.
TRACES: collections.Counter[int] = collections.Counter()


class Counted(keras.Model):
    """Counts how often its step's Python code runs, once a trace."""

    @property
    def traces(self):
        return TRACES[id(self)]

    def train_step(self, *arguments):
        TRACES[id(self)] += 1
        return super().train_step(*arguments)


def counted():
    plain = model()
    found = Counted(plain.input, plain.output)
    found.compile(sgd(), LOSS)
    return found


@pytest.mark.every_backend
def test_only_the_calls_asked_for_are_recorded():
    """Steps 1 and 4 of an epoch, equal to those of the training written out by hand."""
    watched, listener = model(), Listener(1, 4)
    fit(watched, listener)
    (epoch,) = by_hand.train(model(), X, Y, batch_size=8, epochs=1)
    assert listener.heard[0].steps == listener.heard[0].executions == 2
    for variable, sums in zip(listener.heard[0].variables, listener.heard[0].sums, strict=True):
        calls = epoch.calls[variable.path]
        squares = sum(np.sum(calls[k].gradient ** 2) for k in (1, 4))
        np.testing.assert_allclose(sums[3], squares, rtol=1e-5)


def test_a_second_fit_on_a_traced_model_records_too(tmp_path):
    """A callback added to a model that was trained before sees the gradients of the training that goes on."""
    watched = model()
    fit(watched)
    listener = Listener(0)
    fit(watched, listener)
    history = by_hand.train(model(), X, Y, batch_size=8, epochs=2)
    call = history[1].calls["hidden/kernel"][0]
    np.testing.assert_allclose(listener.heard[0].sums[0][3], np.sum(call.gradient**2), rtol=1e-4)


@pytest.mark.every_backend
def test_a_later_fit_without_the_callback_runs_the_plain_function():
    """After the fit the model has the very train function that it had, and trains as if it had never been watched."""
    watched, alone, listener = model(), model(), Listener(0, 3)
    fit(watched, listener)
    plain = listener.tap.plain
    assert watched.train_function is plain
    fit(watched)
    assert watched.train_function is plain
    fit(alone, epochs=2)
    assert_same(watched, alone)


@pytest.mark.tensorflow  # a step that runs eagerly has no trace
@pytest.mark.parametrize("calls", [(0, 2), tuple(range(6))], ids=["some steps", "all steps"])
def test_the_models_code_runs_no_more_often_than_without_us(calls):
    """The recording function is made of the plain one's graph, over epochs and fits."""
    watched, alone, listener = counted(), counted(), Listener(*calls)
    fit(alone)
    fit(watched, listener, epochs=3)
    assert watched.traces == alone.traces
    assert [heard.steps for heard in listener.heard] == [len(calls)] * 3
    fit(watched, listener, epochs=2)
    assert watched.traces == alone.traces


@pytest.mark.tensorflow  # likewise
def test_a_model_that_was_trained_before_is_traced_once_more():
    """Nobody listened when its own function was traced; over epochs and fits."""
    watched, listener = counted(), Listener(0, 2)
    fit(watched)
    before = watched.traces
    fit(watched, listener, epochs=2)
    fit(watched, listener)
    assert watched.traces == before + 1
    assert [heard.steps for heard in listener.heard] == [2, 2, 2]


@pytest.mark.every_backend
@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("data ran dry")], ids=["interrupt", "error"])
def test_an_aborted_fit_leaves_the_optimizer_clean_and_heals(error):
    """`on_train_end` is not called then. Whatever comes next finds its own train function again."""
    watched, alone = model(), model()
    with pytest.raises(type(error)):
        fit(watched, Listener(0, 1), Abort(error))
    with pytest.raises(type(error)):
        fit(alone, Abort(error))
    assert "apply" not in vars(watched.optimizer)
    assert "apply" not in vars(keras.optimizers.Optimizer)
    fit(watched)
    fit(alone)
    assert not isinstance(watched.train_function, TrainFunctionTap)
    assert_same(watched, alone)


@pytest.mark.every_backend
def test_after_an_aborted_fit_another_callback_takes_over():
    """The tap that was left behind serves the next fit's listener and goes with it."""
    watched, listener = model(), Listener(0)
    with pytest.raises(KeyboardInterrupt):
        fit(watched, Listener(0, 1), Abort(KeyboardInterrupt()))
    fit(watched, listener)
    assert listener.heard[0].steps == 1
    assert not isinstance(watched.train_function, TrainFunctionTap)


def test_after_an_aborted_fit_everything_else_works(tmp_path):
    """save, load, pickle, clone, evaluate, predict, train_on_batch and export, with the tap still in place."""
    watched = model()
    with pytest.raises(KeyboardInterrupt):
        fit(watched, Listener(0), Abort(KeyboardInterrupt()))
    assert isinstance(watched.train_function, TrainFunctionTap)
    watched.evaluate(X, Y, verbose=0)
    expected = watched.predict(X, verbose=0)
    watched.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras").predict(X, verbose=0), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(watched)).predict(X, verbose=0), expected)
    assert keras.models.clone_model(watched).count_params() == watched.count_params()
    if BACKEND == "tensorflow":  # whose files these are
        watched.export(tmp_path / "exported", verbose=False)
    watched.train_on_batch(X[:8], Y[:8])
    assert not isinstance(watched.train_function, TrainFunctionTap)


def test_two_callbacks_in_one_fit_share_one_tap():
    """The step is traced once for both, and both hear what either asked for."""
    watched, alone, first, second = counted(), counted(), Listener(0), Listener(0, 3)
    fit(watched, first, second, epochs=2)
    fit(alone, epochs=2)
    assert watched.traces == alone.traces + (BACKEND == "jax")  # for a second program
    assert first.tap is second.tap
    for one, other in zip(first.heard, second.heard, strict=True):
        assert one.steps == other.steps == 2
        np.testing.assert_array_equal(one.sums, other.sums)
    assert not isinstance(watched.train_function, TrainFunctionTap)
    assert_same(watched, alone)


def test_recompiling_between_fits_makes_a_new_tap():
    """A new optimizer, a new train function: the old recording one is not used again."""
    watched, listener = model(), Listener(0)
    fit(watched, listener)
    watched.compile(keras.optimizers.Adam(), LOSS)
    fit(watched, listener)
    alone = model()
    fit(alone)
    alone.compile(keras.optimizers.Adam(), LOSS)
    fit(alone)
    assert [heard.steps for heard in listener.heard] == [1, 1]
    assert_same(watched, alone)


@pytest.mark.every_backend
def test_recompiling_in_the_middle_of_a_fit():
    """As callbacks that unfreeze layers do: the epoch after is recorded with the new optimizer."""

    class Recompile(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.model.compile(keras.optimizers.Adam(), LOSS)
                self.model.optimizer.build(self.model.trainable_variables)
                self.model.make_train_function()

    class Installing(Listener):
        def on_epoch_begin(self, epoch, logs=None):
            self.tap.attach()

    watched, alone, listener = model(), model(), Installing(0)
    fit(watched, Recompile(), listener, epochs=3)
    fit(alone, Recompile(), epochs=3)
    assert [heard.steps for heard in listener.heard] == [1, 1, 1]
    assert_same(watched, alone)


def test_a_clone_is_trained_apart():
    """A clone made after a fit knows nothing of the tap."""
    watched, listener = model(), Listener(0)
    fit(watched, listener)
    clone = keras.models.clone_model(watched)
    clone.compile(sgd(), LOSS)
    fit(clone, Listener(0))
    assert type(clone.train_function) is type(watched.train_function)


def test_stop_training_in_the_middle_of_an_epoch():
    """What was recorded until then is there."""

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 2

    watched, listener = model(), Listener(0, 2, 4)
    fit(watched, listener, Stop(), epochs=3)
    assert [heard.steps for heard in listener.heard] == [2]


@pytest.mark.every_backend
def test_train_on_batch_by_another_callback_does_not_end_the_recording():
    """It is not one of the announced steps: it runs plain, and the next epoch is recorded again."""

    class Extra(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.train_on_batch(X[:8], Y[:8])

    watched, alone, listener = model(), model(), Listener(0)
    fit(watched, listener, Extra(), epochs=3)
    fit(alone, Extra(), epochs=3)
    assert [heard.steps for heard in listener.heard] == [1, 1, 1]
    assert_same(watched, alone)


def test_a_fit_in_another_thread_is_not_heard():
    """Its optimizer is called while this model's step is being traced, and stays out of the figures."""
    other = model("adam", run_eagerly=True)

    class Meanwhile(keras.Model):
        def train_step(self, *arguments):
            thread = threading.Thread(target=fit, args=(other,))
            thread.start()
            thread.join()
            return super().train_step(*arguments)

    plain = model()
    watched, listener = Meanwhile(plain.input, plain.output), Listener(0)
    watched.compile(sgd(), LOSS)
    fit(watched, listener)
    assert listener.heard[0].steps == 1
    assert [v.path for v in listener.heard[0].variables] == [v.path for v in watched.trainable_variables]
    assert all(mine is v for mine, v in zip(listener.heard[0].variables, watched.trainable_variables, strict=True))


def test_memory_is_given_back_with_the_model():
    """A tap holds on to its model only as long as somebody holds on to the tap."""
    import gc
    import weakref

    watched = model()
    fit(watched, Listener(0))
    gone = weakref.ref(watched)
    del watched
    keras.backend.clear_session()
    gc.collect()
    assert gone() is None


def test_a_long_compilation_is_announced(tmp_path, monkeypatch, capsys):
    """Where Keras shows its progress, and the recording step has many variables."""
    monkeypatch.setattr("keras_xai.gradients.tap.ANNOUNCED_VARIABLES", 4)
    for verbose, said in ((0, 0), (2, 1)):
        ours = kx.WeightGradients(tmp_path / str(verbose), on_flag=lambda record: None)
        model().fit(X, Y, batch_size=8, epochs=2, verbose=verbose, callbacks=[ours])
        assert capsys.readouterr().out.count("compiling the recording step (4 variables)") == said


def test_what_any_first_step_takes_is_no_cost_of_ours():
    """The first run of the recording function: less a step where the plain one had run before; else as the plain one's compiling,
    by its operations, and no more than it took; nothing yet where that did not run."""
    times = CallTimes()

    def compilation(relative_size=1.0, **attributes):
        vars(times).update(attributes)
        return times.compilation(1.0, relative_size)

    assert compilation(first_recording=0.0) == 0
    assert compilation(first_recording=9.0, follows_plain=True) == 8.0
    assert compilation(follows_plain=False, first_plain=None) is None
    assert compilation(1.25, first_plain=5.0) == 5.0
    assert compilation(1.25, first_recording=3.0) == 3.0
    assert compilation(1.25, first_plain=0.5) == 0.0
