"""More steps for the rows whose values miss their sum: on every backend the values of as many steps at once."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.attribution import METHODS
from keras_xai.attribution.attributor import Attributor
from keras_xai.attribution.explainer import ProbeExplainer
from keras_xai.attribution.refined import REFINED_CHUNK
from keras_xai.backend import get_backend

pytestmark = pytest.mark.every_backend
ROWS = 20


@pytest.fixture(scope="module")
def steep():
    """A score that rises within a sixth of the path, at another place for each row."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    outputs = keras.ops.tanh(20 * (keras.ops.sum(inputs, axis=-1, keepdims=True) - 1))
    x = np.random.default_rng(0).uniform(0.3, 1, (ROWS, 4)).astype("float32")
    return keras.Model(inputs, outputs), kx.Probe(x, baseline=np.zeros_like(x))


def test_refined_rows_have_the_values_of_64_steps(steep):
    """Whatever number of rows a pass takes."""
    model, probe = steep
    explainer = ProbeExplainer(model, probe, {"ig": METHODS["integrated_gradients"](n_steps=8)})
    refined = explainer()["ig"]
    few, fine = (Attributor(model, probe, "integrated_gradients", options={"n_steps": steps})() for steps in (8, 64))
    mended = few.completeness_error > 0.06
    assert mended.sum() >= 4
    np.testing.assert_allclose(refined.values[mended], fine.values[mended], rtol=1e-4, atol=1e-5)


def test_a_backend_that_compiles_nothing_takes_as_many_rows_a_pass_as_otherwise(steep):
    """One shape of few rows pays where it is compiled; elsewhere it is passes more."""
    model, probe = steep
    explainer = ProbeExplainer(model, probe, {"ig": METHODS["integrated_gradients"](n_steps=8)})
    (refined,) = explainer._refined.values()
    expected = REFINED_CHUNK if get_backend().compiles() else explainer.engine.runner.chunk
    assert refined._engine.runner.chunk == expected
