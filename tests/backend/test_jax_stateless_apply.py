"""A hook around `stateless_apply`, which Keras calls on JAX: it is heard with the values that it is given and returns."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("Keras calls it on JAX", allow_module_level=True)

from keras_xai.backend import apply_hook
from tests.backend.interrupting import Interrupting, originals

pytestmark = pytest.mark.every_backend


def stateless_call(listener, optimizer=None):
    """The result of `stateless_apply` while somebody listens; its values are not those of the variables."""
    optimizer = optimizer or keras.optimizers.SGD(0.1)
    variable = keras.Variable(np.zeros(2, np.float32))
    optimizer.build([variable])
    values = [keras.ops.ones(2)], [keras.ops.copy(v.value) for v in optimizer.variables]
    gradients = [keras.ops.ones(2)]
    run = lambda: optimizer.stateless_apply(values[1], gradients, values[0])  # noqa: E731
    return variable, optimizer, apply_hook.with_apply_hook(listener, run)


@pytest.mark.parametrize("scales", [False, True], ids=["plain", "loss scale"])
def test_a_stateless_call_is_heard_with_its_values_and_made(scales):
    """Before and after it the variables have the values that went in and came out; then their own again."""
    heard = []

    def listener(optimizer, gradients, variables, update):
        def read():
            counter = apply_hook.update_counter(optimizer)
            return [float(keras.ops.convert_to_numpy(v.value).flat[0]) for v in (*variables, counter)]

        before = read()
        result = update()
        heard.append((before, read()))
        return result

    rule = keras.optimizers.SGD(0.5)
    optimizer = keras.optimizers.LossScaleOptimizer(rule, initial_scale=4.0) if scales else rule
    variable, optimizer, (trained, state) = stateless_call(listener, optimizer)
    expected = 1 - 0.5 / (4 if scales else 1)
    assert heard == [([1.0, 0.0], [expected, 1.0])]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(trained[0]), expected)
    assert len(state) == len(optimizer.variables)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), 0)


def test_an_interrupt_at_any_line_leaves_neither_hook_nor_scope():
    """Every line that runs, one after the other."""
    before, n, struck = originals(), 0, True
    while struck:
        n += 1
        with Interrupting(n, apply_hook) as interrupting, contextlib.suppress(KeyboardInterrupt):
            stateless_call(lambda optimizer, gradients, variables, update: update())
        struck = interrupting.struck
        assert originals() == before, n
        assert not apply_hook._active, n
        assert getattr(apply_hook._thread, "hook", None) is None, n
        keras.Variable(0.0)  # which a scope that is left in place refuses
    assert n > 25
