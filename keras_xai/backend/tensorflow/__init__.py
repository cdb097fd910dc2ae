"""The functions of the framework seam for TensorFlow."""

from typing import TYPE_CHECKING

from keras_xai.backend.tensorflow.activations import embedding_outputs, fit_rows, trace_activations
from keras_xai.backend.tensorflow.autodiff import find_logits, forward_with_vjp, gradient, take_target
from keras_xai.backend.tensorflow.datasets import reshuffles
from keras_xai.backend.tensorflow.deeplift import deeplift_multipliers
from keras_xai.backend.tensorflow.devices import chief, replicas
from keras_xai.backend.tensorflow.gradient_sums import GradientSums, present, weights
from keras_xai.backend.tensorflow.graphs import building, own_randomness, ran, sealed
from keras_xai.backend.tensorflow.loops import fori_loop, map
from keras_xai.backend.tensorflow.preimage import preimages
from keras_xai.backend.tensorflow.program import compiled, constant, dense_tensor, numpy

if TYPE_CHECKING:
    from keras_xai.backend import tensorflow as module
    from keras_xai.backend.protocol import Backend

    _has_all: Backend = module  # checked by mypy

__all__ = [
    "GradientSums",
    "building",
    "chief",
    "compiled",
    "constant",
    "deeplift_multipliers",
    "dense_tensor",
    "embedding_outputs",
    "find_logits",
    "fit_rows",
    "fori_loop",
    "forward_with_vjp",
    "gradient",
    "map",
    "numpy",
    "own_randomness",
    "preimages",
    "present",
    "ran",
    "replicas",
    "reshuffles",
    "sealed",
    "take_target",
    "trace_activations",
    "weights",
]
