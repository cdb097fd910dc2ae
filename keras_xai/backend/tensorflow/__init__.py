"""The functions of the framework seam for TensorFlow."""

from typing import TYPE_CHECKING

from keras_xai.backend.tensorflow.activations import embedding_outputs, trace_activations
from keras_xai.backend.tensorflow.autodiff import find_logits, forward_with_vjp, gradient, take_target
from keras_xai.backend.tensorflow.deeplift import deeplift_multipliers
from keras_xai.backend.tensorflow.devices import is_first_process, sync_model, team
from keras_xai.backend.tensorflow.gradient_recorder import gradient_recorder
from keras_xai.backend.tensorflow.gradient_sums import GradientSums
from keras_xai.backend.tensorflow.loops import fori_loop, map
from keras_xai.backend.tensorflow.lrp import lrp_multipliers
from keras_xai.backend.tensorflow.program import compiled, compiles, constant, dense_tensor, has_text, numpy
from keras_xai.backend.tensorflow.row_watch import row_watch
from keras_xai.backend.tensorflow.user_loop import (
    begin_train_call,
    finish_train_call,
    free_for_passes,
    obstacle_to_passes,
    trace_state,
)

if TYPE_CHECKING:
    from keras_xai.backend import tensorflow as module
    from keras_xai.backend.protocol import Backend

    _has_all: Backend = module  # checked by mypy

__all__ = [
    "GradientSums",
    "begin_train_call",
    "compiled",
    "compiles",
    "constant",
    "deeplift_multipliers",
    "dense_tensor",
    "embedding_outputs",
    "find_logits",
    "finish_train_call",
    "fori_loop",
    "forward_with_vjp",
    "free_for_passes",
    "gradient",
    "gradient_recorder",
    "has_text",
    "is_first_process",
    "lrp_multipliers",
    "map",
    "numpy",
    "obstacle_to_passes",
    "row_watch",
    "sync_model",
    "take_target",
    "team",
    "trace_activations",
    "trace_state",
]
