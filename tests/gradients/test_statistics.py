"""Sums on the device and what is derived from them, against numpy over the entries themselves."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_xai.backend.gradient_table import COLUMNS, HIGHEST, LOWEST, WIDTH
from keras_xai.gradients.statistics import BIN_EDGES, column, derived, histogram, overall
from keras_xai.gradients.variables import unique
from keras_xai.records import STATISTICS, layer_of
from tests.frameworks import BACKEND

if BACKEND == "tensorflow":
    import tensorflow as tf

    from keras_xai.backend.tensorflow.gradient_sums import GradientSums, read_values

    MODEL = SimpleNamespace(distribute_strategy=tf.distribute.get_strategy(), jit_compile=False)

    def sparse_gradient(values, indices, shape):
        return tf.IndexedSlices(tf.constant(values), tf.constant(indices), tf.constant(shape))

    def add(sums, gradient, variable, before, scale=None, **options):
        sums.add([gradient], [variable], before, scale=scale, **options)
elif BACKEND == "jax":
    from keras_xai.backend.jax.gradient_sums import GradientSums as SumsOfSteps
    from keras_xai.backend.jax.gradient_sums import read_value

    MODEL = None

    class GradientSums(SumsOfSteps):
        def __init__(self, variables, model):
            super().__init__(variables)

    def read_values(variables):
        return [read_value(variable) for variable in variables]

    def add(sums, gradient, variable, before, scale=None, **options):
        sums.add([gradient], [variable], before, scale=scale, **options)
        sums.absorb(sums.take())
elif BACKEND == "torch":
    import torch

    from keras_xai.backend.torch.gradient_sums import GradientSums, read_values, summarize

    MODEL = None

    def sparse_gradient(values, indices, shape):
        return torch.sparse_coo_tensor(torch.tensor(indices)[None], torch.tensor(values), shape, check_invariants=True)

    def add(sums, gradient, variable, before, scale=None, **options):
        sums.add([summarize(gradient, scale)], [variable], before, **options)


def summed(gradients, weights=None, changes=None, **options):
    """The sums over some calls for one variable; `gradients` is a list of arrays, or of sparse gradients."""
    shape = tuple(gradients[0].shape)
    variable = keras.Variable(np.ones(shape, np.float32) if weights is None else weights)
    sums = GradientSums([variable], MODEL)
    for k, gradient in enumerate(gradients):
        before = read_values([variable])
        if changes is not None:
            variable.assign_add(changes[k])
        tensor = keras.ops.convert_to_tensor(gradient) if isinstance(gradient, np.ndarray) else gradient
        add(sums, tensor, variable, before, **options)
    return sums.read()[:-1]


floats = st.floats(
    width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False, max_value=2.0**60, min_value=-(2.0**60)
)


@pytest.mark.every_backend
@settings(max_examples=40, deadline=None)
@given(st.lists(floats, min_size=1, max_size=30))
def test_statistics_of_any_numbers(numbers):
    """Every statistic against its definition in float64, for any finite gradient; octaves count them exactly."""
    g = np.array(numbers, np.float32)
    sums = summed([g, 2 * g])
    twin = np.stack([g, 2 * g]).astype(np.float64)
    got = {name: values[0] for name, values in derived(sums, np.array([len(g)])).items()}
    rms = np.sqrt(np.mean(twin**2))
    small = np.abs(twin[twin != 0]).min(initial=np.inf) < 1e-18  # squares that float32 has no room for
    if not small:
        np.testing.assert_allclose(got["rms"], rms, rtol=1e-5)
        np.testing.assert_allclose(got["std"], twin.std(), rtol=1e-5, atol=2e-3 * rms)
    np.testing.assert_allclose(got["mean"], twin.mean(), rtol=1e-5, atol=1e-5 * rms)
    assert got["max"] == np.abs(twin).max()
    assert got["zero_fraction"] == np.float32(np.mean(twin == 0))
    assert got["nonfinite"] == 0
    octave = np.clip(np.floor(np.log2(np.abs(twin[twin != 0]))), LOWEST, HIGHEST - 1).astype(int) - LOWEST
    np.testing.assert_array_equal(histogram(sums)[0], np.bincount(octave, minlength=HIGHEST - LOWEST))


def test_nonfinite_entries_are_counted_and_make_the_rest_nan():
    """NaN and both infinities, among numbers and zeros."""
    g = np.array([1.0, 0.0, np.nan, np.inf, -np.inf, -0.0], np.float32)
    sums = summed([g])
    got = {name: values[0] for name, values in derived(sums, np.array([6])).items()}
    assert got["nonfinite"] == 3
    assert got["zero_fraction"] == np.float32(2 / 6)
    assert np.isnan(got["rms"])
    assert histogram(sums)[0].sum() == 1


def test_a_largest_gradient_that_was_nan_stays_nan():
    """Whatever comes later: `max` of a NaN is NaN, not the largest of the others."""
    for order in ([np.nan, 1.0], [1.0, np.nan]):
        sums = summed([np.array([v], np.float32) for v in order])
        assert np.isnan(column(sums, "largest")[0])


@pytest.mark.tensorflow
@pytest.mark.torch  # JAX has none
def test_sparse_gradients_are_summed_row_by_row():
    """Rows named several times, rows not named at all, rows that cancel: equal to the dense gradient."""
    random = np.random.default_rng(1)
    for rows, named in ((50, 4), (3, 40), (5, 1)):
        indices = random.integers(0, rows, named)
        values = random.normal(size=(named, 4)).astype(np.float32)
        dense = np.zeros((rows, 4), np.float32)
        np.add.at(dense, indices, values)
        sparse = sparse_gradient(values, indices, [rows, 4])
        got, expected = summed([sparse]), summed([dense])
        np.testing.assert_allclose(got[:, : len(COLUMNS)], expected[:, : len(COLUMNS)], rtol=1e-5)
        np.testing.assert_array_equal(histogram(got).sum(), histogram(expected).sum())
        assert column(got, "zeros")[0] == column(expected, "zeros")[0]


@pytest.mark.tensorflow
@pytest.mark.torch
def test_an_empty_sparse_gradient_is_all_zeros():
    """A batch that used no row."""
    empty = sparse_gradient(np.zeros([0, 4], np.float32), np.zeros([0], np.int64), [6, 4])
    sums = summed([empty])
    assert column(sums, "zeros")[0] == 24
    assert column(sums, "squares")[0] == 0
    assert column(sums, "largest")[0] == 0


def test_update_ratio_and_weight_norm_have_closed_forms():
    """w = (3, 4): ‖w‖ = 5, a change of (0.3, 0.4) is a tenth of it."""
    w, change = np.array([3.0, 4.0], np.float32), np.array([0.3, 0.4], np.float32)
    got = derived(summed([np.ones(2, np.float32)], w, [change]), np.array([2]))
    np.testing.assert_allclose(got["weight_norm"], 5.0, rtol=1e-6)
    np.testing.assert_allclose(got["update_ratio"], 0.1, rtol=1e-5)


def test_calls_without_an_update_count_for_the_gradient_only():
    """As while gradients accumulate."""
    got = derived(summed([np.ones(2, np.float32)], updated=False), np.array([2]))
    assert got["rms"][0] == 1
    assert np.isnan(got["update_ratio"][0])


def test_a_skipped_call_is_counted_and_nothing_else():
    """Its gradient is infinite."""
    sums = summed([np.full(3, np.inf, np.float32)], applied=False)
    assert column(sums, "skipped")[0] == 1
    assert np.count_nonzero(sums) == 1


def test_loss_scale_is_divided_out():
    """Also in half precision, where 1024 · 2^-24 has room and 2^-24 hardly."""
    g = np.full(4, 2.0**-14, np.float16)
    got = derived(summed([g], np.ones(4, np.float32), scale=2.0**15), np.array([4]))
    np.testing.assert_allclose(got["rms"], 2.0**-29, rtol=1e-6)


def test_a_variable_without_a_gradient_is_nan_throughout():
    """Never a silent zero."""
    got = derived(np.zeros((1, WIDTH)), np.array([7]))
    assert set(got) == set(STATISTICS)
    assert all(np.isnan(values).all() and values.dtype == np.float32 for values in got.values())
    assert np.isnan(overall(np.zeros((1, WIDTH))).norm)


def test_overall_is_the_norm_of_everything_together():
    """Two variables as one long vector: ‖g‖ = √(Σ‖g_v‖²), and the same for updates and weights."""
    parts = [np.array([3.0], np.float32), np.array([4.0, 0.0], np.float32)]
    changes = [np.array([0.6], np.float32), np.array([0.8, 0.0], np.float32)]
    weights = [np.array([6.0], np.float32), np.array([8.0, 0.0], np.float32)]
    sums = np.concatenate([summed([g], w, [c]) for g, w, c in zip(parts, weights, changes, strict=True)])
    np.testing.assert_allclose(overall(sums).norm, 5.0, rtol=1e-6)
    np.testing.assert_allclose(overall(sums).update_ratio, 0.1, rtol=1e-5)
    assert overall(sums).nonfinite == 0


@pytest.mark.tensorflow  # whose kernel for a GPU refuses in deterministic mode
def test_without_a_histogram_zeros_and_nonfinite_are_counted_all_the_same(monkeypatch):
    """Where the device refuses to count exponents."""
    from keras_xai.backend.tensorflow import gradient_sums

    monkeypatch.setattr(gradient_sums, "_can_count", lambda: False)
    g = np.array([0.0, -0.0, 1.0, np.nan, -np.inf], np.float32)
    sums = summed([g])
    assert (column(sums, "zeros")[0], column(sums, "nonfinite")[0]) == (2, 2)
    assert histogram(sums).sum() == 0


FLOAT64 = pytest.param("float64", marks=[pytest.mark.tensorflow, pytest.mark.torch])  # JAX makes float32 of it


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", FLOAT64])
def test_other_precisions_are_measured_in_float32(dtype):
    """1.5 and -2 are exact in all of them."""
    variable = keras.Variable(np.ones(2), dtype=dtype)
    sums = GradientSums([variable], MODEL)
    add(sums, keras.ops.cast([1.5, -2.0], dtype), variable, read_values([variable]))
    np.testing.assert_allclose(derived(sums.read()[:-1], np.array([2]))["rms"], np.sqrt(6.25 / 2), rtol=1e-6)


def test_bin_edges_are_octaves():
    """Powers of two, one more than there are bins."""
    assert len(BIN_EDGES) == HIGHEST - LOWEST + 1 <= 65
    np.testing.assert_array_equal(BIN_EDGES[1:] / BIN_EDGES[:-1], 2)


def test_names():
    """Paths are made to differ, layers are paths without the last part."""
    assert unique(["a/kernel", "b/kernel", "a/kernel", "a/kernel"]) == (
        "a/kernel",
        "b/kernel",
        "a/kernel (2)",
        "a/kernel (3)",
    )
    assert layer_of("backbone/top_conv/kernel") == "backbone/top_conv"
    assert layer_of("alone") == "alone"
