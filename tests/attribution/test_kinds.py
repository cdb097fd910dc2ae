"""Every method on every kind of input: explained by the laws, or refused in words that say what to do.

The quick suite takes some cells, so that each method and each kind is there; `-m full` takes them all.
"""

import warnings

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.attribution import METHODS
from tests.frameworks import array as to_numpy

from .kinds import KINDS, OF_UNITS, kind

FEW = {
    "kernel_shap": {"n_samples": 128},
    "lime": {"n_samples": 60},
    "rise": {"n_samples": 40},
    "smoothgrad": {"n_samples": 5},
}
CELLS = [(one, method) for one in KINDS for method in METHODS]
# Each kind with a method or two, so that each method comes by more than once; then some that are easily lost.
QUICK = [
    *((one, list(METHODS)[k % len(METHODS)]) for k, one in enumerate(KINDS)),
    *((one, list(METHODS)[(k + 7) % len(METHODS)]) for k, one in enumerate(KINDS) if k % 3 == 0),
    ("tokens", "deeplift"),  # through a mask
    ("tokens through attention", "grad_cam"),  # what attention holds has four axes and no places
    ("series, convolution", "score_cam"),
    ("series, convolution", "internal_influence"),
    ("strings beside numbers", "input_x_gradient"),
    ("strings beside numbers", "integrated_gradients"),
]
RECTIFIED = ("grad_cam", "grad_cam_plus_plus", "layer_cam", "score_cam")  # nothing may speak for a class
HELD = "strings beside numbers"  # strings are held fixed by what needs a gradient
OF_TEXT = ("text", HELD)


def cells(pairs, on_other_backends=()):
    """Parameters; those of text for TensorFlow alone, which has tensors of strings."""
    parameters = []
    for pair in pairs:
        marks = [pytest.mark.every_backend] if pair in on_other_backends else []
        marks += [pytest.mark.tensorflow] if pair[0] in OF_TEXT else []
        parameters.append(pytest.param(*pair, marks=marks))
    return parameters


def parts(values):
    return list(values.values()) if isinstance(values, dict) else values if isinstance(values, list) else [values]


def ask(name, method, x=None):
    asked = kind(name)
    how = {k: v for k, v in asked.how.items() if k == "output"} | FEW.get(method, {}) | asked.how.get(method, {})
    if "groups" in asked.how and "groups" in METHODS[method].__dataclass_fields__:
        how["groups"] = asked.how["groups"]
    with warnings.catch_warnings():
        if name == HELD:
            warnings.filterwarnings("ignore", "No gradient leads from the score to 'word'")
        return kx.attribute(asked.model, asked.x if x is None else x, method, target=0, **how)


def holds(name, method):
    """What must hold for one cell."""
    asked = kind(name)
    before = [to_numpy(v) for v in asked.model.variables]
    if method in asked.refused:
        with pytest.raises(kx.InvalidInput, match=asked.refused[method]):
            ask(name, method)
        return
    a = ask(name, method)
    given, found = parts(asked.x), parts(a.values)
    assert type(a.values) is type(asked.x) or not METHODS[method].input_shaped
    if METHODS[method].input_shaped:
        assert [v.shape for v in found] == [x.shape for x in given]
    else:
        axes = 1 + asked.places + (method in OF_UNITS)
        assert (found[0].ndim, len(found[0])) == (axes, len(given[0]))
    assert all(v.dtype == np.float32 and np.isfinite(v).all() for v in found)
    assert any((v != 0).any() for v in found) or method in RECTIFIED
    assert a.space == asked.space
    assert a.score.shape == a.target.shape == (len(given[0]),)
    assert (a.completeness_error is not None) == METHODS[method].satisfies_completeness
    if a.completeness_error is not None:
        assert a.completeness_error.max() < 1e-3 * asked.rounding
    for b, v in zip(before, asked.model.variables, strict=True):
        np.testing.assert_array_equal(b, to_numpy(v))


def a_new_model_fits():
    """And is explained rightly: a failure leaves Keras and TensorFlow as they were."""
    x = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    model.compile("sgd", "mse")
    before = model.get_weights()[0].copy()
    model.fit(x, x[:, :1] + 1, verbose=0)
    assert not np.array_equal(model.get_weights()[0], before)
    np.testing.assert_allclose(
        kx.attribute(model, x, "saliency").values, np.tile(model.get_weights()[0].T, (4, 1)), rtol=1e-6
    )


@pytest.mark.parametrize(("name", "method"), cells(QUICK, on_other_backends=QUICK[::2]))
def test_some_cells(name, method):
    """Explained or refused."""
    holds(name, method)


def test_after_all_of_these_a_new_model_fits():
    """Refusals included."""
    a_new_model_fits()


def test_the_quick_cells_hold_every_kind_and_every_method():
    """None is left to the full suite alone."""
    assert {name for name, _ in QUICK} == set(KINDS)
    assert {method for _, method in QUICK} == set(METHODS)


@pytest.mark.full
@pytest.mark.parametrize(("name", "method"), cells(CELLS))
def test_all_cells(name, method):
    """Explained or refused."""
    holds(name, method)


@pytest.mark.tensorflow  # strings
def test_strings_are_taken_away_one_by_one():
    """A lookup's column without its word is a word that nobody knows: the difference of the two scores."""
    asked = kind(HELD)
    found = ask(HELD, "occlusion").values["word"]
    score = lambda words: ask(HELD, "occlusion", asked.x | {"word": words}).score  # noqa: E731
    for column in range(2):
        without = asked.x["word"].copy()
        without[:, column] = ""
        np.testing.assert_allclose(found[:, column], score(asked.x["word"]) - score(without), rtol=1e-4, atol=1e-6)
    with pytest.warns(UserWarning, match="'word': held fixed"):
        kx.attribute(asked.model, asked.x, "saliency")


FAULTS = {
    "no such method": ({"method": "salience"}, "Did you mean 'saliency'"),
    "no such option": ({"n_step": 3}, r"no option 'n_step'. It has n_steps, quadrature"),
    "a class that is not there": ({"target": 3}, "class 3, the output has 3 classes"),
    "a baseline of another shape": ({"baseline": np.zeros((4, 4))}, r"\(4, 4\), x has \(3, 8, 8, 2\)"),
    "no batch": ({"x": np.zeros((0, 8, 8, 2), np.float32)}, r"x has shapes \[\(0, 8, 8, 2\)\]"),
    "not finite": ({"x": np.full((3, 8, 8, 2), np.nan, np.float32)}, "NaN or infinite"),
    "a layer without places": (
        {"method": "grad_cam", "layer": "dense"},
        r"needs places.*have some: 'conv2d.*average_pooling",
    ),
    "no such layer": ({"method": "grad_cam", "layer": "conv2d_99"}, "Did you mean 'conv2d"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_after_each_failure_a_new_model_fits(fault):
    """What came, what is expected, what to do; and the process is as it was."""
    arguments, words = FAULTS[fault]
    asked = kind("pictures of 2 channels")
    if arguments.get("layer") == "dense":
        arguments = arguments | {"layer": asked.model.layers[-1].name}
    with pytest.raises(kx.InvalidInput, match=words):
        kx.attribute(asked.model, **{"x": asked.x} | arguments)
    a_new_model_fits()
