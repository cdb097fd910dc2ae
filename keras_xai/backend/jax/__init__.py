"""The functions of the framework seam for JAX."""

from keras_xai.backend.jax.autodiff import find_logits, forward_with_vjp, gradient, take_target
from keras_xai.backend.jax.datasets import reshuffles
from keras_xai.backend.jax.devices import is_chief
from keras_xai.backend.jax.gradient_recorder import gradient_recorder
from keras_xai.backend.jax.gradient_sums import GradientSums
from keras_xai.backend.jax.loops import fori_loop, map
from keras_xai.backend.jax.program import compiled, constant, dense_tensor, numpy

__all__ = [
    "GradientSums",
    "compiled",
    "constant",
    "dense_tensor",
    "find_logits",
    "fori_loop",
    "forward_with_vjp",
    "gradient",
    "gradient_recorder",
    "is_chief",
    "map",
    "numpy",
    "reshuffles",
    "take_target",
]
