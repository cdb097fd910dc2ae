"""The functions of the framework seam for JAX."""

from keras_xai.backend.jax.activations import embedding_outputs, trace_activations
from keras_xai.backend.jax.autodiff import find_logits, forward_with_vjp, gradient, take_target
from keras_xai.backend.jax.datasets import reshuffles
from keras_xai.backend.jax.deeplift import deeplift_multipliers
from keras_xai.backend.jax.devices import is_chief
from keras_xai.backend.jax.loops import fori_loop, map
from keras_xai.backend.jax.program import compiled, constant, dense_tensor, numpy

__all__ = [
    "compiled",
    "constant",
    "deeplift_multipliers",
    "dense_tensor",
    "embedding_outputs",
    "find_logits",
    "fori_loop",
    "forward_with_vjp",
    "gradient",
    "is_chief",
    "map",
    "numpy",
    "reshuffles",
    "take_target",
    "trace_activations",
]
