"""The bar of a call that takes long, by a clock that the test turns."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.attribution import METHODS, progress
from keras_xai.attribution.engine import Engine
from keras_xai.attribution.method import make_method
from keras_xai.attribution.progress import Progress
from keras_xai.model.runner import ModelRunner, chunk_rows


@pytest.fixture
def bars(monkeypatch):
    """Every bar that is made: (its target, what it was told)."""
    made = []

    class Bar:
        def __init__(self, target, unit_name):
            assert unit_name == "pass"
            self.target, self.told = target, []
            made.append(self)

        def update(self, done):
            self.told.append(done)

    monkeypatch.setattr(keras.utils, "Progbar", Bar)
    return made


@pytest.fixture
def clock(monkeypatch):
    """Seconds, which pass only where a test says so."""
    now = [100.0]
    monkeypatch.setattr(progress, "clock", lambda: now[0])
    return now


def test_a_bar_shows_after_two_seconds_and_moves_inside_a_chunk(bars, clock):
    """Three chunks of four passes, a second each: nothing, nothing, then a bar that knows what was done before it."""
    seen = Progress("auto")
    seen.begin(3, passes=4)
    for _ in range(3):
        for _ in range(3):
            clock[0] += 1
            seen.report(1)
        clock[0] += 1
        seen.chunk_done()
    assert [bar.target for bar in bars] == [12]
    assert bars[0].told == list(range(2, 13))


def test_a_call_that_is_quick_has_no_bar(bars, clock):
    """Two seconds are the limit; a call that ends as they do has no use for one; False never shows, True at once."""
    for verbose, shown in (("auto", 0), (False, 0), (True, 1)):
        seen = Progress(verbose)
        seen.begin(2)
        clock[0] += 1.9
        seen.chunk_done()
        clock[0] += 1
        seen.chunk_done()
        assert len(bars) == shown
    assert bars[0].told == [1, 2]


def test_the_second_part_of_a_call_counts_anew_without_waiting_again(bars, clock):
    """Samples that are run again with more steps have a bar of their own, at once."""
    seen = Progress("auto")
    seen.begin(1)
    clock[0] += 3
    seen.chunk_done()
    assert not bars
    seen.begin(2)
    seen.chunk_done()
    assert bars[0].told == [1]


@pytest.mark.parametrize(
    ("method", "passes"),
    [
        ("integrated_gradients", 1 + 16),
        ("smoothgrad", 1 + 25),
        ("expected_gradients", 1 + 8),
        ("kernel_shap", 1 + 14),
        ("lime", 1 + 50),
        ("saliency", 1),
    ],
)
def test_one_chunk_reports_from_inside_its_graph(bars, method, passes):
    """Every loop does, in order; the last thing said is that all is done; the values are those of a silent call."""
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="tanh"), keras.layers.Dense(2)])
    how = {method: make_method(method, {"n_samples": 50} if method == "lime" else {}, METHODS)}
    zero, target = np.zeros_like(x), np.ones(5, np.int64)
    loud = Engine(ModelRunner(model, x, chunk=5), how, Progress(True))([x], [zero], target)[method]
    assert [bar.target for bar in bars] == [passes]
    told = bars[0].told
    assert told == sorted(told)
    assert told[-1] == passes
    assert len(told) <= 1 + 2 * 20
    silent = Engine(ModelRunner(model, x, chunk=5), how)([x], [zero], target)[method]
    np.testing.assert_array_equal(loud.values, silent.values)
    assert len(bars) == 1


def test_a_long_call_shows_a_bar_and_a_short_one_none(bars, clock, monkeypatch):
    """Through `kx.attribute`: time passes as the loop reports."""
    x = np.zeros((1, 4), np.float32)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    rows = chunk_rows(x, convolves=False)
    kx.attribute(model, x, "lime", n_samples=4 * rows - 5)
    assert not bars
    report = Progress.report

    def slowly(self, passes):
        clock[0] += 1.5
        report(self, passes)

    monkeypatch.setattr(Progress, "report", slowly)
    kx.attribute(model, x, "lime", n_samples=4 * rows - 5)
    (bar,) = bars
    assert bar.target == 1 + 4
    assert bar.told == [2, 3, 4, 5]
    with pytest.raises(kx.InvalidInput, match="verbose='loud'"):
        kx.attribute(model, x, verbose="loud")
