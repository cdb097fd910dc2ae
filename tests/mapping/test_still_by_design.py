"""Layers that give the same for every sample, and are not dead."""

import keras
import numpy as np
import pytest

import keras_xai as kx

layers, ops = keras.layers, keras.ops
R = np.random.default_rng(0)
TOKENS = R.integers(1, 20, (64, 8))
SERIES = R.normal(size=(64, 8, 4)).astype(np.float32)
Y = R.integers(0, 2, 64)


class Positions(layers.Layer):
    """Embeddings that know the shape alone."""

    def build(self, shape):
        self.table = self.add_weight(shape=(8, 6), initializer="uniform")

    def call(self, h):
        return ops.broadcast_to(self.table, ops.shape(h))


class CountedPositions(layers.Layer):
    """Positions counted over the steps that are no padding, of which there are none here."""

    def __init__(self, **options):
        super().__init__(**options)
        self.table = layers.Embedding(20, 6)

    def call(self, tokens):
        there = ops.cast(ops.not_equal(tokens, 0), "int32")
        return self.table(ops.cumsum(there, axis=1) * there)


class Queries(layers.Layer):
    """Learned, the same for every sample."""

    def build(self, shape):
        self.table = self.add_weight(shape=(3, 6))

    def call(self, h):
        return ops.tile(self.table[None], (ops.shape(h)[0], 1, 1))


def classified(inputs, h):
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.GlobalAveragePooling1D()(h)))


def tokens():
    i = keras.Input((8,), dtype="int32")
    return i, layers.Embedding(20, 6)(i)


def positions():
    i, h = tokens()
    return classified(i, layers.LayerNormalization()(h + Positions()(h))), TOKENS


def counted_positions():
    i, h = tokens()
    return classified(i, layers.LayerNormalization()(h + CountedPositions()(i))), TOKENS


def segments():
    i, h = tokens()
    s = keras.Input((8,), dtype="int32")
    return classified([i, s], layers.LayerNormalization()(h + layers.Embedding(2, 6)(s))), [TOKENS, 0 * TOKENS]


def queries():
    i, h = tokens()
    return classified(i, layers.MultiHeadAttention(2, 3)(layers.Dense(6)(Queries()(h)), h)), TOKENS


def weights_that_sum_to_one():
    """Their mean over the steps, which is what is read of a sequence, is the same for all."""
    i = keras.Input((8, 4))
    h = layers.Dense(6)(i)
    return classified(i, h * layers.Softmax(axis=1)(layers.Dense(1)(h))), SERIES


def normalised_over_the_steps():
    i = keras.Input((8, 4))
    return classified(i, layers.Conv1D(6, 3)(layers.LayerNormalization(axis=1, center=False)(i))), SERIES


STILL = [positions, counted_positions, segments, queries, weights_that_sum_to_one, normalised_over_the_steps]


# Keras on PyTorch has no LayerNormalization over another axis than the last.
NOT_ON_TORCH = [pytest.mark.tensorflow, pytest.mark.jax]
CASES = [pytest.param(case, marks=NOT_ON_TORCH if case is normalised_over_the_steps else []) for case in STILL]


def stuck():
    i = keras.Input((8, 4))
    options = {"kernel_initializer": "zeros", "bias_initializer": "ones", "trainable": False}
    return classified(i, layers.Conv1D(6, 3, name="stuck", **options)(i)), SERIES


def flags(tmp_path, case):
    model, x = case()
    model.compile("adam", "sparse_categorical_crossentropy")
    kind = "series" if x is SERIES else "tokens"
    seen = []
    watch = kx.ProbeMappings(
        tmp_path,
        kx.Probe(x, Y, kind=kind),
        surrogates=(),
        on_flag=lambda record: seen.extend(record.flags),
        on_error="raise",
    )
    model.fit(x, Y, verbose=0, callbacks=[watch])
    return seen


@pytest.mark.filterwarnings("ignore:The probe has 64 rows")
@pytest.mark.parametrize("case", CASES)
def test_what_is_still_by_design_is_not_dead(tmp_path, case):
    """Whatever it is made of, and whatever of it is read."""
    assert flags(tmp_path, case) == []


@pytest.mark.filterwarnings("ignore:The probe has 64 rows")
def test_what_gives_the_same_for_samples_that_differ_is(tmp_path):
    """A kernel of zeros."""
    assert flags(tmp_path, stuck) == [("stuck", "dead layer", 0)]
