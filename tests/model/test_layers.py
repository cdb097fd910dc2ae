"""The layers of a model: which there are, and in which order."""

from __future__ import annotations

import keras
import numpy as np

import keras_xai as kx
from keras_xai.model.layers import iter_layers, layer_path


def nested_model() -> keras.Model:
    """Two layers of a backbone with a block inside, and a head."""
    layers = keras.layers
    block = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="b1"), layers.Dense(4, name="b2")], name="block")
    backbone = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="a"), block], name="backbone")
    return keras.Sequential([keras.Input((4,)), backbone, layers.Dense(2, name="head")])


def test_layers_come_in_the_order_they_were_added():
    """Containers before what they contain, which Keras' own flattening has in reverse; no layer twice."""
    model = nested_model()
    paths = [layer_path(layer, model) for layer in iter_layers(model)]
    assert [path.rsplit("/")[-1] for path in paths] == ["backbone", "a", "block", "b1", "b2", "head"]

    shared = keras.layers.Dense(4, name="shared")
    twice = keras.Sequential([keras.Input((4,)), shared, shared, keras.layers.Dense(1, name="end")])
    assert [layer.name for layer in iter_layers(twice)] == ["shared", "end"]


def test_randomisation_goes_from_the_last_layer_to_the_first():
    """Also inside a nested backbone, as the cascade of Adebayo et al. 2018 does."""
    x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    names = [path.rsplit("/")[-1] for path in kx.metrics.randomisation(nested_model(), x, "saliency")]
    assert names == ["head", "b2", "b1", "a"]
