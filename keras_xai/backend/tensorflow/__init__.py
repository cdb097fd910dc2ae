"""The functions of the framework seam for TensorFlow."""

from typing import TYPE_CHECKING

from keras_xai.backend.tensorflow.activations import ending, fit_rows, trace_activations
from keras_xai.backend.tensorflow.autodiff import (
    find_logits,
    fori_loop,
    forward_with_vjp,
    gradient,
    map,
    normal,
    origins,
    take_target,
)
from keras_xai.backend.tensorflow.datasets import reshuffles
from keras_xai.backend.tensorflow.deeplift import deeplift_multipliers
from keras_xai.backend.tensorflow.devices import is_chief
from keras_xai.backend.tensorflow.gradient_recorder import gradient_recorder
from keras_xai.backend.tensorflow.layer_calls import embedding_outputs, output_shapes, substitute_embeddings
from keras_xai.backend.tensorflow.preimage import preimages
from keras_xai.backend.tensorflow.program import compiled, constant, dense_tensor, numpy

if TYPE_CHECKING:
    from keras_xai.backend import tensorflow as module
    from keras_xai.backend.protocol import Backend

    _has_all: Backend = module  # checked by mypy

__all__ = [
    "compiled",
    "constant",
    "deeplift_multipliers",
    "dense_tensor",
    "embedding_outputs",
    "ending",
    "find_logits",
    "fit_rows",
    "fori_loop",
    "forward_with_vjp",
    "gradient",
    "gradient_recorder",
    "is_chief",
    "map",
    "normal",
    "numpy",
    "origins",
    "output_shapes",
    "preimages",
    "reshuffles",
    "substitute_embeddings",
    "take_target",
    "trace_activations",
]
