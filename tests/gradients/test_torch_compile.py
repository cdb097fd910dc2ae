"""Steps that `torch.compile` compiled: read before and after, and neither changed nor compiled again."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.backend import get_backend
from tests.frameworks import array, forget_compiled
from tests.gradients import by_hand
from tests.gradients.situations import LOSS, X, Y, sgd

pytestmark = [pytest.mark.torch, pytest.mark.every_backend]


def model(cls=keras.Model, optimizer=None):
    forget_compiled()
    keras.utils.clear_session()
    keras.utils.set_random_seed(5)
    inputs = keras.Input((6,))
    compiled = cls(inputs, keras.layers.Dense(3, activation="softmax", name="scores")(inputs))
    compiled.compile(optimizer or sgd(momentum=0.9), LOSS, jit_compile=True)
    return compiled


def fit(model, *callbacks, epochs=2):
    """Train, and return how many graphs were compiled. (The first training of a process looks at more frames than the next.)"""
    import torch

    torch._dynamo.utils.counters.clear()
    model.fit(X, Y, batch_size=11, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks))
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def test_a_compiled_step_is_neither_changed_nor_compiled_again(tmp_path):
    """The same weights and state, the same number of compiled graphs, and the gradients of the training by hand."""
    watched = model()
    graphs = fit(watched, kx.WeightGradients(tmp_path, samples_per_epoch=2, on_error="raise"))
    alone = model()
    assert graphs == fit(alone) > 0
    pairs = [(m.variables, n.variables) for m, n in ((watched, alone), (watched.optimizer, alone.optimizer))]
    for mine, theirs in (pair for lists in pairs for pair in zip(*lists, strict=True)):
        np.testing.assert_array_equal(array(mine), array(theirs))
    eager = model()
    eager.compile(sgd(momentum=0.9), LOSS, jit_compile=False)
    history = by_hand.train(eager, X, Y, batch_size=11, epochs=2)
    for record, expected in zip(kx.load(tmp_path)["."].weight_gradients, history, strict=True):
        assert (record.steps, record.missing) == (2, "")
        for v, variable in enumerate(eager.trainable_variables):
            calls = expected.calls[variable.path]
            twin = by_hand.statistics([calls[0], calls[-1]])
            for name in ("rms", "mean", "max", "update_ratio", "weight_norm"):
                np.testing.assert_allclose(record.statistics[name][v], twin[name], rtol=2e-3, atol=1e-6, err_msg=name)


class OwnStep(keras.Model):
    def train_step(self, data):
        return super().train_step(data)


class OwnRule(keras.optimizers.SGD):
    """Could change gradients before it uses them."""


@pytest.mark.parametrize(
    ("cls", "optimizer", "words"),
    [(OwnStep, None, "not Keras' own"), (keras.Model, OwnRule, "OwnRule is not one of Keras' own")],
    ids=["step", "optimizer"],
)
def test_another_step_or_optimizer_is_refused_with_a_reason(cls, optimizer, words):
    """Its gradients cannot be known from what the step leaves behind; nothing is compiled to say so."""
    refused = model(cls, optimizer and optimizer(0.1))
    refused.make_train_function()
    recorder = get_backend().gradient_recorder(refused, refused.train_function, lambda variables: None)
    recorder.select(lambda variable: True)
    assert recorder.recording_function(()) is None
    assert words in recorder.reason
    assert "jit_compile=False" in recorder.reason


def test_an_update_that_users_compile_is_not_heard_and_not_changed():
    """In an eager step. The hook is no part of what is compiled: one more graph, and the same update."""
    import torch

    class SealedUpdate(keras.Model):
        """Compiles nothing but its update."""

        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.update = torch.compile(lambda gradients, variables: self.optimizer.apply(gradients, variables))

        def train_step(self, data):
            x, y = data
            self.zero_grad()
            self.compute_loss(x=x, y=y, y_pred=self(x, training=True)).backward()
            variables = self.trainable_variables
            with torch.no_grad():
                self.update([v.value.grad for v in variables], variables)
            return {}

    def trained(is_recorded):
        sealed = model(SealedUpdate)
        sealed.compile(sgd(momentum=0.9), LOSS, jit_compile=False)
        sealed.make_train_function()
        plain = sealed.train_function
        recorder = get_backend().gradient_recorder(sealed, plain, lambda variables: None)
        recorder.select(lambda variable: True)

        def step(*arguments):
            return (recorder.recording_function(arguments) or plain)(*arguments)

        sealed.train_function = step if is_recorded else plain
        fit(sealed, epochs=3)
        return recorder, [array(v) for v in (*sealed.variables, *sealed.optimizer.variables)]

    recorder, watched = trained(True)
    _, alone = trained(False)
    for mine, theirs in zip(watched, alone, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert "torch.compile" in recorder.reason
    assert recorder.read().steps == 0
