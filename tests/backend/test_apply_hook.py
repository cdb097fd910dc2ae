"""Hearing optimizers, and never leaving anything of it behind: an interrupt may come at any line."""

from __future__ import annotations

import contextlib
import threading

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.backend import apply_hook
from keras_xai.gradients import tap
from tests.backend.interrupting import Interrupting, originals
from tests.gradients.situations import X, Y, mlp


def train_by_hand(listener):
    """An optimizer's call while somebody listens."""
    variable = keras.Variable(np.ones(2, np.float32))
    optimizer = keras.optimizers.SGD(0.1, name="by_hand")
    apply_hook.with_apply_hook(listener, lambda: optimizer.apply([keras.ops.ones(2)], [variable]))
    return variable


def test_a_call_is_heard_and_made():
    """With its gradients and variables; nested listeners hear what is theirs."""
    heard = []

    def listener(optimizer, gradients, variables, update):
        heard.append((optimizer.name, len(gradients), len(variables)))
        return update()

    variable = train_by_hand(listener)
    np.testing.assert_allclose(variable.numpy(), 0.9)
    assert heard == [("by_hand", 1, 1)]


def test_an_interrupt_at_any_line_leaves_no_optimizer_replaced():
    """Every line that runs, one after the other."""
    before, n, struck = originals(), 0, True
    while struck:
        n += 1
        with Interrupting(n, apply_hook) as interrupting, contextlib.suppress(KeyboardInterrupt):
            train_by_hand(lambda optimizer, gradients, variables, update: update())
        struck = interrupting.struck
        assert originals() == before, n
        assert not apply_hook._active, n
        assert getattr(apply_hook._thread, "hook", None) is None, n
    assert n > 25


@pytest.mark.parametrize("stride", [31, pytest.param(1, marks=pytest.mark.full)])
def test_an_interrupt_at_any_line_of_the_tap_leaves_the_model_its_own(tmp_path, stride):
    """The classes' `apply`, the model's `train_step` and `make_train_function`; it then trains on as ever."""
    before = originals()
    struck = True
    n = 0
    while struck:
        n += stride
        model = mlp("adam", run_eagerly=True, metrics=["accuracy"])
        watch = kx.WeightGradients(tmp_path / str(n), on_flag=lambda record: None)
        with Interrupting(n, tap, apply_hook) as interrupting, contextlib.suppress(KeyboardInterrupt):
            model.fit(X[:16], Y[:16], batch_size=8, verbose=0, callbacks=[watch])
        struck = interrupting.struck
        assert originals() == before, n
        assert "train_step" not in vars(model)
        assert "make_train_function" not in vars(model)
    model.fit(X[:16], Y[:16], batch_size=8, verbose=0)
    assert not isinstance(model.train_function, tap.TrainFunctionTap)


def test_two_threads_that_listen_hear_their_own_and_leave_nothing():
    """The first to stop does not take the other's ears away."""
    before, heard = originals(), {"one": 0, "two": 0}
    both = threading.Barrier(2)

    def train(name):
        def listener(optimizer, gradients, variables, update):
            heard[name] += 1
            return update()

        for _ in range(20):
            both.wait()
            train_by_hand(listener)

    threads = [threading.Thread(target=train, args=(name,)) for name in heard]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == {"one": 20, "two": 20}
    assert originals() == before
