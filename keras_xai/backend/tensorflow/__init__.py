"""The functions of the framework seam for TensorFlow."""

from keras_xai.backend.tensorflow.activations import Heard, ending, heard, rows_of
from keras_xai.backend.tensorflow.autodiff import fold, gradient, head, mapped, normal, origins, picked, recorded
from keras_xai.backend.tensorflow.datasets import reshuffles
from keras_xai.backend.tensorflow.deeplift import rescaled
from keras_xai.backend.tensorflow.devices import chief, replicas
from keras_xai.backend.tensorflow.gradient_sums import GradientSums, present, weights
from keras_xai.backend.tensorflow.graphs import building, own_randomness, ran, sealed
from keras_xai.backend.tensorflow.layer_calls import embedded, output_shapes, with_embedded
from keras_xai.backend.tensorflow.preimage import preimages
from keras_xai.backend.tensorflow.program import Compiled, compiled, constant, dense, numpy

__all__ = [
    "Compiled",
    "GradientSums",
    "Heard",
    "building",
    "chief",
    "compiled",
    "constant",
    "dense",
    "embedded",
    "ending",
    "fold",
    "gradient",
    "head",
    "heard",
    "mapped",
    "normal",
    "numpy",
    "origins",
    "output_shapes",
    "own_randomness",
    "picked",
    "preimages",
    "present",
    "ran",
    "recorded",
    "replicas",
    "rescaled",
    "reshuffles",
    "rows_of",
    "sealed",
    "weights",
    "with_embedded",
]
