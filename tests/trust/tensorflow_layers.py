"""Layers that keep state in TensorFlow's own ways, and move it in their forward pass."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf


class Counter(keras.layers.Layer):
    """A raw variable, which Keras does not list."""

    def __init__(self):
        super().__init__()
        self.count = tf.Variable(0.0, trainable=False)

    def call(self, x):
        self.count.assign_add(1.0)
        return x * (1 + 0.01 * self.count)


class Several(keras.layers.Layer):
    """Raw variables in a list and in a dict, written in a loop and in a branch."""

    def __init__(self):
        super().__init__()
        self.kept = [tf.Variable(0.0, trainable=False), {"last": tf.Variable([0.0], trainable=False)}]

    def call(self, x):
        def step(k):
            self.kept[0].assign_add(0.5)
            return k + 1

        tf.while_loop(lambda k: k < 2, step, [0])
        last = self.kept[1]["last"]
        tf.cond(self.kept[0] > 1.0, lambda: last.assign_add([1.0]), lambda: last.assign([0.0]))
        return x * (1 + 0.01 * self.kept[0]) + 0.01 * last


class RunningMean(keras.layers.Layer):
    """A streaming normalisation, as codebooks and memories keep it."""

    def build(self, shape):
        self.mean = tf.Variable(tf.zeros(shape[-1:]), trainable=False)

    def call(self, x):
        self.mean.assign(0.9 * self.mean + 0.1 * tf.reduce_mean(x, 0))
        return x - self.mean


class Scatter(keras.layers.Layer):
    """A memory in a Keras weight, written row by row."""

    def build(self, shape):
        self.bank = self.add_weight(shape=(4, shape[-1]), trainable=False, initializer="zeros")

    def call(self, x):
        row = [tf.reduce_mean(x, 0)]
        tf.raw_ops.ResourceScatterAdd(resource=self.bank.value.handle, indices=[0], updates=row)
        return x + 0.01 * tf.reduce_mean(tf.convert_to_tensor(self.bank.value), 0)


class Generator(keras.layers.Layer):
    """TensorFlow's generator object."""

    def __init__(self):
        super().__init__()
        self.generator = tf.random.Generator.from_seed(5)

    def call(self, x):
        return x + 0.1 * self.generator.normal(tf.shape(x))


class Table(keras.layers.Layer):
    """Counts in a lookup table that it writes."""

    def __init__(self):
        super().__init__()
        self.table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, 0.0)

    def call(self, x):
        key = tf.constant([7], tf.int64)
        count = tf.ensure_shape(self.table.lookup(key), [1]) + 1.0
        self.table.insert(key, count)
        return x * (1 + 0.01 * count)


class Calling(keras.layers.Layer):
    """Runs Python code from its graph, which keeps a state of its own."""

    def call(self, x):
        return x + tf.ensure_shape(tf.numpy_function(lambda: np.float32(0.1), [], tf.float32), [])


LAYERS = (Counter, Several, RunningMean, Scatter, Generator, Table)


def held_state(layer: keras.layers.Layer) -> list[Any]:
    """What these layers hold, as arrays."""
    states = []
    for value in tf.nest.flatten([v for k, v in vars(layer).items() if not k.startswith("_")]):
        if isinstance(value, tf.Variable):
            states.append(value.numpy())
        elif isinstance(value, tf.lookup.experimental.MutableHashTable):
            states += [part.numpy() for part in value.export()]
        elif isinstance(value, tf.random.Generator):
            states.append(value.state.numpy())
    return states
