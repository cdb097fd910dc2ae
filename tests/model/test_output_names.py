"""Which output is explained, of several in whatever structure."""

import keras
import numpy as np
import pytest

import keras_xai as kx

layers = keras.layers
X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
INPUT = keras.Input((3,))


def head(name):
    return layers.Dense(2, name=name)(INPUT)


class Subclassed(keras.Model):
    """Without names for its outputs."""

    def __init__(self):
        super().__init__()
        self.first, self.second = layers.Dense(2), layers.Dense(2)

    def call(self, x):
        return {"z": (self.first(x), self.second(x)), "y": self.first(x) * 2}


def subclassed():
    model = Subclassed()
    model(X)
    return model


# A structure, and under which path in it each way of asking must find its output.
CASES = {
    "a dict in a list": (
        lambda: keras.Model(INPUT, [{"hi": head("one"), "lo": head("two")}, head("kind")]),
        {"one": (0, "hi"), "two": (0, "lo"), "kind": (1,), "0/lo": (0, "lo"), "lo": (0, "lo"), 0: (0, "hi"), 2: (1,)},
    ),
    "dicts in a dict": (
        lambda: keras.Model(INPUT, {"b": {"q": head("x"), "p": head("y")}, "a": head("v")}),
        {"x": ("b", "q"), "y": ("b", "p"), "v": ("a",), "a": ("a",), "b/q": ("b", "q"), 0: ("a",), 1: ("b", "p")},
    ),
    "a dict": (
        lambda: keras.Model(INPUT, {"b": head("p1"), "a": head("p2")}),
        {"a": ("a",), "b": ("b",), "p1": ("b",), "p2": ("a",), 0: ("b",), 1: ("a",)},
    ),
    "no names": (subclassed, {"y": ("y",), "z/0": ("z", 0), "z/1": ("z", 1), 1: ("z", 0)}),
}


@pytest.mark.parametrize("case", CASES)
def test_names_and_tensors_are_flattened_alike(case):
    """By Keras' name, by path, by number: the output that is meant, and no other."""
    made, ways = CASES[case]
    model = made()
    said = model(X)
    for output, path in ways.items():
        expected = said
        for key in path:
            expected = expected[key]
        a = kx.attribute(model, X, "saliency", output=output, target=0)
        np.testing.assert_allclose(a.score, expected[:, 0], rtol=1e-5, atol=1e-6, err_msg=repr(output))


@pytest.mark.parametrize("output", [None, "b", 3, -1, True, "q/b"])
def test_what_is_no_output_is_answered_with_the_list(output):
    """A part of the structure that holds several is none."""
    model = CASES["dicts in a dict"][0]()
    with pytest.raises(kx.InvalidInput, match="'v', 'y', 'x'"):
        kx.attribute(model, X, "saliency", output=output)
