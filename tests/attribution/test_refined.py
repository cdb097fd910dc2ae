"""More steps for the rows whose values miss their sum: on every backend the values of as many steps at once."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.attribution import METHODS
from keras_xai.attribution.attributor import Attributor
from keras_xai.attribution.completeness import FINER_ABOVE, FINER_STEPS, REFINED_STEPS, finer_methods
from keras_xai.attribution.explainer import ProbeExplainer
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


def callback_method():
    return METHODS["integrated_gradients"]().for_callback({})


def test_a_callback_of_its_own_choice_climbs_in_two_steps(steep):
    """Rows above 3 % have the values of 24 graded steps, those that still miss 5 % the values of 64."""
    model, probe = steep
    explainer = ProbeExplainer(model, probe, {"ig": callback_method()})
    refined, few = explainer()["ig"], explainer.engine(explainer._x, explainer.baseline, explainer._resolved_target())
    more, fine = (
        Attributor(model, probe, "integrated_gradients", options={"n_steps": steps, "quadrature": "graded"})()
        for steps in (FINER_STEPS, REFINED_STEPS)
    )
    first = few["ig"].completeness_error > FINER_ABOVE
    second = first & (more.completeness_error > 0.05)
    assert first.sum() > second.sum() >= 1
    expected = np.where(second[:, None], fine.values, np.where(first[:, None], more.values, few["ig"].values))
    np.testing.assert_allclose(refined.values, expected, rtol=1e-4, atol=1e-5)


def test_the_number_of_rows_takes_no_graph_of_its_own(steep):
    """Where one is compiled: one of each engine that is needed; of the untrained model the first alone."""
    model, probe = steep
    explainer = ProbeExplainer(model, probe, {"ig": callback_method()})
    (refined,) = explainer._refined.values()
    before = explainer.before_training()["ig"]
    traces = refined.traces
    explainer()
    explainer.explain_rows(probe, 5)
    if get_backend().compiles():
        assert (traces, refined.traces) == (1, 2)
    more = Attributor(model, probe, "integrated_gradients", options={"n_steps": FINER_STEPS, "quadrature": "graded"})()
    mended = more.completeness_error > 0.06
    assert mended.any()
    np.testing.assert_allclose(before.values[mended], more.values[mended], rtol=1e-4, atol=1e-5)


def test_steps_that_a_user_names_are_taken_as_they_are():
    """No graded rule, no step between: 64 of the same rule above 5 %, as `attribute` has them; a layer's rule is its own."""
    method = METHODS["integrated_gradients"]
    assert method(n_steps=8).for_callback({"n_steps": 8}) == method(n_steps=8)
    assert finer_methods(method(n_steps=8)) == [(0.05, method(n_steps=64))]
    assert method(quadrature="midpoint").for_callback({"quadrature": "midpoint"}).quadrature == "midpoint"
    assert [steps.n_steps for _, steps in finer_methods(method(layer="dense").for_callback({}))] == [64]
    assert finer_methods(method(n_steps=64)) == []
