"""The laws that every attribution method obeys.

All methods share one engine for each model here, as they do in a callback: one trace instead of one for each method.
"""

import re

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.attribution import METHODS
from keras_xai.attribution.engine import Engine
from keras_xai.attribution.method import make_method
from keras_xai.model.runner import ModelRunner
from tests.frameworks import array as to_numpy

from .models import MODELS

pytestmark = [pytest.mark.oldest, pytest.mark.every_backend]

layers = keras.layers
LAYER = {"internal_influence": {"layer": "conv"}}
FEW = {"kernel_shap": 64, "lime": 64, "rise": 64, "smoothgrad": 6}  # draws: laws hold for any number
MAPS = [name for name, method in METHODS.items() if not method.input_shaped]
ON_INPUT = [name for name, method in METHODS.items() if method.input_shaped]
COMPLETE = [name for name, method in METHODS.items() if method.satisfies_completeness]
ON_LINEAR = {"contribution": lambda w, x: w * x, "slope": lambda w, x: np.tile(w, (len(x), 1))}  # by quantity


def chosen(names, **more):
    """Methods by name, with few draws."""
    methods = {}
    for name in names:
        few = {"n_samples": FEW[name]} if name in FEW else {}
        methods[name] = make_method(name, few | LAYER.get(name, {}) | more.get(name, {}), METHODS)
    return methods


def explained(model, x, names, target=1, **runner):
    """What each method says of x, by one engine; and the engine."""
    one = Engine(ModelRunner(model, x, **runner), chosen(names))
    return one([x], [np.zeros_like(x)], np.full(len(x), target)), one


class Case:
    """One model explained by all methods that fit it: whole, one sample alone, in chunks of four."""

    def __init__(self, name):
        self.model = MODELS[name]()
        shape = (6, 5) if name == "table" else (6, 8, 8, 2)
        self.x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        self.methods = ON_INPUT if name == "table" else list(METHODS)
        before = self.state()
        keras.utils.set_random_seed(3)
        drawn = np.random.random()
        keras.utils.set_random_seed(3)
        self.whole, _ = explained(self.model, self.x, self.methods)
        self.draw_is_untouched = np.random.random() == drawn
        self.alone, _ = explained(self.model, self.x[3:4], self.methods)
        self.chunked, self.engine = explained(self.model, self.x, self.methods, chunk=4)
        self.changed = [a for a, b in zip(before, self.state(), strict=True) if not np.array_equal(a, b)]

    def state(self):
        attributes = [sorted(vars(layer)) for layer in self.model._flatten_layers()]
        return [*(to_numpy(v) for v in self.model.variables), *attributes]


@pytest.fixture(scope="module", params=["table", "subclassed"])
def case(request):
    return Case(request.param)


@pytest.mark.parametrize("method", METHODS)
def test_shape_and_dtype(method, case):
    """float32, one value an input, or a map (B, h, w); a target, a score, a prediction a sample."""
    if method not in case.methods:
        with pytest.raises(kx.InvalidInput, match=r"spatial|'conv'"):
            explained(case.model, case.x, [method])
        return
    a, x = case.whole[method], case.x
    assert a.values.dtype == np.float32
    axes = 4 if METHODS[method].input_shaped or method in LAYER else 3
    assert (a.values.ndim, len(a.values)) == (axes, len(x)) if x.ndim == 4 else a.values.shape == x.shape
    assert a.values.shape == x.shape or not METHODS[method].input_shaped
    assert np.isfinite(a.values).all()
    outputs = to_numpy(case.model(x, training=False))
    np.testing.assert_array_equal(a.target, 1)
    np.testing.assert_array_equal(a.prediction, outputs.argmax(1))
    np.testing.assert_allclose(a.outputs, outputs, rtol=1e-5)
    assert a.space == "logit"


@pytest.mark.parametrize("method", METHODS)
def test_a_samples_map_is_the_same_alone_and_in_a_batch(method, case):
    """Neighbours in a batch, and the size of a chunk, do not matter; nor does the draw of anything random."""
    if method not in case.methods:
        return
    whole = case.whole[method].values
    np.testing.assert_allclose(case.alone[method].values[0], whole[3], atol=3e-6, rtol=1e-4)
    np.testing.assert_allclose(case.chunked[method].values, whole, atol=3e-6, rtol=1e-4)


def test_explaining_leaves_no_trace(case):
    """One trace for all chunks; weights, global generators and the layers' own attributes are as before."""
    assert case.engine.traces == 1
    assert case.draw_is_untouched
    assert case.changed == []


@pytest.mark.parametrize("method", COMPLETE)
def test_completeness(method, case):
    """The values sum to score − baseline score, as far as the recorded error says."""
    a = case.whole[method]
    total = a.values.reshape(len(a.values), -1).sum(1, dtype=np.float64)
    difference = a.score.astype(np.float64) - a.baseline_score
    np.testing.assert_allclose(
        a.completeness_error, np.abs(total - difference) / np.abs(difference), rtol=1e-3, atol=1e-6
    )
    assert a.completeness_error.max() < 1e-3  # smooth nets


def test_two_compilers_agree():
    """TensorFlow's own executor and XLA give the same map: a gradient, a path, draws, coalitions, a walk."""
    names = ["saliency", "integrated_gradients", "smoothgrad", "kernel_shap", "deeplift"]
    x = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    plain, _ = explained(MODELS["table"](), x, names)
    xla, _ = explained(MODELS["table"](), x, names, jit=True)
    for name in names:
        np.testing.assert_allclose(xla[name].values, plain[name].values, atol=1e-5, rtol=1e-4, err_msg=name)


@pytest.fixture(scope="module")
def small():
    """Three small networks on one table: a linear one, one that does not use column 2, and the same written otherwise."""
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    linear = keras.Sequential([keras.Input((4,)), layers.Dense(1, use_bias=False)])
    linear.set_weights([np.array([[1.0], [-2.0], [0.5], [0.0]], np.float32)])
    keras.utils.set_random_seed(0)
    blind = keras.Sequential([keras.Input((4,)), layers.Dense(6, activation="tanh"), layers.Dense(2)])
    kernel, bias, head, shift = blind.get_weights()
    kernel[2] = 0
    blind.set_weights([kernel, bias, head, shift])
    # Each hidden unit twice, with a third and two thirds of what it says.
    twice = keras.Sequential([keras.Input((4,)), layers.Dense(12, activation="tanh"), layers.Dense(2)])
    twice.set_weights([np.tile(kernel, (1, 2)), np.tile(bias, 2), np.concatenate([head / 3, head * 2 / 3]), shift])
    found = {name: explained(model, x, ON_INPUT)[0] for name, model in zip("lbt", (linear, blind, twice), strict=True)}
    return x, found


@pytest.mark.parametrize("method", [name for name in ON_INPUT if METHODS[name].quantity in ON_LINEAR])
def test_exact_on_a_linear_model(method, small):
    """score = w·x: a slope is w, a contribution is w·x. A method of another quantity has a closed form of its own."""
    x, found = small
    w = np.array([1.0, -2.0, 0.5, 0.0], np.float32)
    expected = ON_LINEAR[METHODS[method].quantity](w, x)
    loose = method == "lime"  # its ridge shrinks
    np.testing.assert_allclose(
        found["l"][method].values, expected, rtol=0.02 if loose else 1e-5, atol=0.005 if loose else 5e-6
    )


@pytest.mark.parametrize(
    "method", [name for name in ON_INPUT if name != "lime"]
)  # a line through a curve promises nothing
def test_zero_on_inputs_the_model_does_not_use(method, small):
    """A column with zero weights gets nothing; what only looks at scores may round."""
    values = small[1]["b"][method].values
    np.testing.assert_allclose(values[:, 2], 0, atol=0 if METHODS[method].needs_gradient else 1e-6)
    assert (np.abs(values[:, [0, 1, 3]]) > 1e-3).any()


@pytest.mark.parametrize("method", ON_INPUT)
def test_the_same_function_written_otherwise_is_explained_alike(method, small):
    """Implementation invariance, on networks that differ in split hidden units alone."""
    np.testing.assert_allclose(small[1]["t"][method].values, small[1]["b"][method].values, atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_docstrings_say_what_a_reader_needs(method):
    """Formula, paper, cost, when to prefer it, an example."""
    text = METHODS[method].__doc__
    assert re.search(r"arXiv \d{4}\.\d|doi 10\.|https://", text), (
        "the paper: arXiv 1312.6034, doi 10.1000/182 or an address"
    )
    assert "Cost:" in text
    assert "values =" in text
    assert f'method="{method}"' in text


@pytest.mark.parametrize("method", METHODS)
def test_draws_are_counted_by_the_same_word(method):
    """`n_samples` counts draws everywhere, and what draws has a seed of its own."""
    fields = METHODS[method].__dataclass_fields__
    assert not {"samples", "nsamples", "num_samples"} & set(fields)
    assert ("seed" in fields) == ("n_samples" in fields)


def test_every_method_has_a_title_of_its_own():
    """As its paper spells it, for figures."""
    titles = [method.title for method in METHODS.values()]
    assert all(titles)
    assert len(set(titles)) == len(titles)
