"""What an engine builds: how often the model is run for several methods together."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.attribution import METHODS
from keras_xai.attribution.engine import Engine
from keras_xai.attribution.method import make_method
from keras_xai.model.runner import ModelRunner


def built(model, x, methods):
    """The types of all operations that the values of these methods need, loops not looked into."""
    engine = Engine(
        ModelRunner(model, x), {name: make_method(name, options, METHODS) for name, options in methods.items()}
    )
    found = engine([x], [np.zeros_like(x)], np.ones(len(x), np.int64))
    return operation_types(engine._compiled), found


def operation_types(program):
    """The types of the operations that a program's results need, under TensorFlow's names."""
    if keras.backend.backend() == "jax":
        return operation_types_of_jaxpr(*program.jaxprs)
    (concrete,) = program.graphs
    stack, operations = [t.op for t in concrete.graph.outputs], set()
    while stack:
        op = stack.pop()
        if op not in operations:
            operations.add(op)
            stack += [t.op for t in op.inputs]
    return [op.type for op in operations]


def operation_types_of_jaxpr(closed):
    """The same of a jaxpr. The gradient of a convolution is one whose kernel has its inputs and outputs exchanged."""
    from keras_xai.backend.ancestry import with_ancestors
    from keras_xai.backend.jax.ancestry import JaxprAncestry
    from keras_xai.backend.jax.jaxprs import FlatJaxpr

    flat = FlatJaxpr(closed)
    values = with_ancestors(flat.outputs, JaxprAncestry(flat))
    types = []
    for operation in flat.operations:
        if not values.isdisjoint(operation.outputs):
            kind = {"scan": "While", "while": "While"}.get(operation.kind, operation.kind)
            if kind == "conv_general_dilated":
                _, kernel, _ = operation.params["dimension_numbers"]
                kind = "Conv2D" if kernel == (3, 2, 0, 1) else "Conv2DBackpropInput"
            types.append(kind)
    return types


def fed_tensors(program, model):
    """How many tensors a call of a program is fed, beside the model's variables."""
    if keras.backend.backend() == "jax":
        (closed,) = program.jaxprs
        return len(closed.jaxpr.invars) - len(model.variables)
    (graph,) = program.graphs
    return len(graph.inputs) - len(graph.captured_inputs)


@pytest.mark.tensorflow
@pytest.mark.jax
@pytest.mark.parametrize(("method", "fed"), [("saliency", 2), ("integrated_gradients", 3), ("occlusion", 3)])
def test_only_what_looks_at_a_baseline_is_fed_one(method, fed):
    """Rows and target, and the baseline where a method counts from it or goes back to it; one graph for all calls."""
    x = np.ones((4, 3), np.float32)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    engine = Engine(ModelRunner(model, x), {method: make_method(method, {}, METHODS)})
    for _ in range(2):
        engine([x], [np.zeros_like(x)], np.zeros(len(x), np.int64))
    assert (fed_tensors(engine._compiled, model), engine.traces) == (fed, 1)


ONE_BACKWARD = {
    "gradients": ({"saliency": {}, "input_x_gradient": {}}, 2),
    "maps": ({"grad_cam": {}, "hires_cam": {}, "layer_cam": {}, "grad_cam_plus_plus": {}}, 0),
    "a map of an early layer": ({"layer_cam": {"layer": "first"}}, 1),
    "all": ({"grad_cam": {}, "saliency": {}, "hires_cam": {"layer": "first"}, "input_x_gradient": {}}, 2),
    "beside what needs none": ({"occlusion": {}, "saliency": {}, "score_cam": {}, "grad_cam": {}}, 2),
    "scores alone": ({"occlusion": {}, "lime": {"n_samples": 20}, "rise": {"n_samples": 20}, "score_cam": {}}, 0),
}


@pytest.mark.tensorflow
@pytest.mark.jax
@pytest.mark.parametrize("name", ONE_BACKWARD)
def test_methods_asked_for_together_share_one_pass(name, cnn, images):
    """Two convolutions: each is run once forward, and backward no further than somebody looks."""
    methods, backward = ONE_BACKWARD[name]
    types, together = built(cnn, images, methods)
    assert types.count("Conv2D") == 2
    assert types.count("Conv2DBackpropInput") == backward
    assert types.count("Conv2DBackpropFilter") == 0
    for method, options in methods.items():
        _, alone = built(cnn, images, {method: options})
        np.testing.assert_allclose(together[method].values, alone[method].values, rtol=1e-5, atol=1e-6)


@pytest.mark.tensorflow
@pytest.mark.jax
def test_a_path_costs_its_points_and_the_two_ends(cnn, images):
    """Integrated gradients: outside of the loop the sample and the baseline, forward alone."""
    types, _ = built(cnn, images, {"integrated_gradients": {}})
    assert types.count("Conv2D") == 4
    assert types.count("Conv2DBackpropInput") == 0


@pytest.mark.tensorflow
@pytest.mark.jax
def test_deeplift_is_one_pass_over_samples_and_baselines(cnn, images):
    """Each of them forward, and back over the samples alone."""
    types, _ = built(cnn, images, {"deeplift": {}})
    assert types.count("Conv2D") == 4
    assert types.count("Conv2DBackpropInput") == 2


@pytest.mark.tensorflow
@pytest.mark.jax
def test_a_background_is_scored_once():
    """The mean score of its rows serves the values and the record."""
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5), keras.layers.Dense(2)])
    types, _ = built(model, x, {"kernel_shap": {"background": [np.zeros((6, 4), np.float32)]}})
    assert types.count("While") + types.count("StatelessWhile") == 2  # the background, and the coalitions


def test_xla_says_the_same(tmp_path):
    """`jit_compile=True` of `kx.attribute` and in a fit: the values of the plain graph, to rounding."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential([keras.Input((5, 2)), layers.LSTM(3), layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = np.random.default_rng(0).normal(size=(8, 5, 2)).astype(np.float32), np.arange(8) % 2
    probe = kx.Probe(x, y, kind="series")
    watch = [
        kx.ProbeAttributions(tmp_path / str(jit), probe, "integrated_gradients", jit_compile=jit, on_error="raise")
        for jit in (False, True)
    ]
    model.fit(x, y, verbose=0, callbacks=watch)
    plain, xla = (kx.load(tmp_path)[str(jit)].attributions("integrated_gradients")[0] for jit in (False, True))
    np.testing.assert_allclose(xla.values, plain.values, rtol=1e-4, atol=1e-6)
    after = [kx.attribute(model, probe, "saliency", jit_compile=jit).values for jit in (False, True)]
    np.testing.assert_allclose(after[1], after[0], rtol=1e-4, atol=1e-6)
