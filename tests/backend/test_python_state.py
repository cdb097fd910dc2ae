"""State that a model's code keeps in Python: as before after our pass, and so a training is the same with and without us."""

from __future__ import annotations

import collections
import random

import keras
import numpy as np
import pytest
from keras import layers

import keras_xai as kx
from keras_xai.backend.python_state import python_state_kept

pytestmark = pytest.mark.every_backend

R = np.random.default_rng(0)
X = R.normal(size=(128, 6)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")


class Counter:
    """An object of the user's own."""

    def __init__(self):
        self.count = 0

    def next(self):
        self.count += 1
        return self.count


def closure():
    count = 0

    def following():
        nonlocal count
        count += 1
        return count

    return following


class Stateful(layers.Layer):
    """Multiplies by numbers that its own Python code counts or draws."""

    of_all = 0

    def __init__(self, kind):
        super().__init__()
        self.kind, self.number, self.entries, self.table = kind, 0, [0], {"count": 0}
        self.queue, self.seen = collections.deque([0], maxlen=3), {0}
        self.drawn, self.old, self.python = np.random.default_rng(0), np.random.RandomState(0), random.Random(0)
        self.counter, self.following, self.nested = Counter(), closure(), {"deep": ([0],)}
        self.array = np.zeros(3)
        type(self).of_all = 0

    def following_number(self):
        if self.kind == "number":
            self.number += 1
            return self.number
        if self.kind == "list":
            self.entries[0] += 1
            return self.entries[0]
        if self.kind == "growing list":
            self.entries.append(0)
            return len(self.entries)
        if self.kind == "dict":
            self.table["count"] += 1
            return self.table["count"]
        if self.kind == "deque":
            self.queue.append(self.queue[-1] + 1)
            return self.queue[-1]
        if self.kind == "set":
            self.seen.add(len(self.seen))
            return len(self.seen)
        if self.kind == "nested":
            self.nested["deep"][0][0] += 1
            return self.nested["deep"][0][0]
        calls = {
            "generator": lambda: float(self.drawn.normal()),
            "random state": lambda: float(self.old.normal()),
            "random": lambda: self.python.random(),
            "object": lambda: self.counter.next(),
            "closure": lambda: self.following(),
            "array": lambda: float(np.add(self.array, 1, out=self.array)[0]),
            "class": lambda: self.following_of_all(),
        }
        return calls[self.kind]()

    def following_of_all(self):
        type(self).of_all += 1
        return self.of_all

    def call(self, inputs):
        return inputs * (1 + 0.1 * self.following_number())


KINDS = [
    *("number", "list", "growing list", "dict", "deque", "set", "nested"),
    *("generator", "random state", "random", "object", "closure", "array", "class"),
]


def trained(layer, callbacks):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), layer, layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(X, Y, epochs=2, verbose=0, callbacks=callbacks)
    return history.history["loss"], [np.array(keras.ops.convert_to_numpy(w)) for w in model.weights]


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_with_state_in_python_is_the_same_with_us(kind, tmp_path):
    """Weights and losses, bit for bit."""
    losses, weights = trained(Stateful(kind), [])
    again, repeated = trained(Stateful(kind), [])
    assert losses == again
    watch = kx.Explain(tmp_path, (X, Y), live=(X, Y), method="saliency", mappings=True, on_error="raise")
    watched_losses, watched = trained(Stateful(kind), [watch])
    assert watched_losses == losses
    for first, second, third in zip(weights, repeated, watched, strict=True):
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first, third)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "class"])  # which two objects share
def test_each_kind_of_state_is_as_before_after_a_block(kind):
    """The next number is the one that would have come."""
    layer, untouched = Stateful(kind), Stateful(kind)
    model, _ = (keras.Sequential([keras.Input((6,)), twin]) for twin in (layer, untouched))
    with python_state_kept(model):
        layer.following_number()
        layer.following_number()
    assert [layer.following_number() for _ in range(3)] == [untouched.following_number() for _ in range(3)]


def test_what_a_class_holds_for_all_its_objects_is_as_before():
    """Counted in one layer, and read in another."""
    layer, other = Stateful("class"), Stateful("class")
    model = keras.Sequential([keras.Input((6,)), layer])
    before = other.of_all
    with python_state_kept(model):
        layer.following_number()
    assert other.of_all == before


class Keeping(layers.Layer):
    """Keeps its last activation, as attention does that is to be looked at."""

    def __init__(self):
        super().__init__()
        self.last = None

    def call(self, inputs):
        self.last = inputs
        self.added = inputs
        return 2 * inputs


def test_activations_that_a_layer_keeps_are_not_ours():
    """An attribute is what it was; one that our pass would have added is not there."""
    layer = Keeping()
    model = keras.Sequential([keras.Input((6,)), layer, layers.Dense(2)])
    layer.last = "as it was"
    vars(layer).pop("added", None)
    kx.attribute(model, X[:8], target=1, verbose=False)
    assert layer.last == "as it was"
    assert "added" not in vars(layer)


def test_a_large_vocabulary_is_not_copied_again_and_again():
    """What lies behind ten thousand objects is left alone."""
    layer = Stateful("number")
    layer.table = {k: [k] for k in range(50_000)}
    model = keras.Sequential([keras.Input((6,)), layer])
    before = layer.number
    with python_state_kept(model):
        layer.number += 1
    assert layer.number == before


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["buffer", "buffer of a module", "tensor", "none", "number of a module"])
def test_tensors_that_are_replaced_are_put_back(kind, tmp_path):
    """Not written in place but assigned anew, on a layer and on a module inside it."""
    import torch

    class Inner(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(6, device="cpu"))
            self.number = 0

        def forward(self, x):
            if x.device.type != "meta":
                self.number += 1
                self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
            return x - self.mean if kind == "buffer of a module" else x * (1 + 0.1 * self.number)

    class Replacing(layers.Layer):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(6, device="cpu"))
            self.tensor, self.none, self.inner = torch.zeros(6, device="cpu"), None, Inner()

        def call(self, x):
            if x.device.type == "meta":
                return x + 0.0
            if "module" in kind:
                return self.inner(x)
            mean = x.detach().mean(0)
            if kind == "buffer":
                self.mean = 0.9 * self.mean + 0.1 * mean
                return x - self.mean
            if kind == "tensor":
                self.tensor = 0.9 * self.tensor + 0.1 * mean
                return x - self.tensor
            self.none = mean if self.none is None else 0.9 * self.none + 0.1 * mean
            return x - self.none

    losses, weights = trained(Replacing(), [])
    watched_losses, watched = trained(
        Replacing(), [kx.Explain(tmp_path, (X, Y), live=(X, Y), method="saliency", mappings=True, on_error="raise")]
    )
    assert watched_losses == losses
    for first, second in zip(weights, watched, strict=True):
        np.testing.assert_array_equal(first, second)
