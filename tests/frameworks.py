"""The few things that tests do in the framework's own way: differentiating, raw state, the state of generators."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

BACKEND = keras.backend.backend()


def array(value: Any) -> np.ndarray:
    """A tensor or variable of any framework as an array."""
    return np.asarray(keras.ops.convert_to_numpy(value))


def value_and_gradients(
    loss: Callable[[], Any], variables: Sequence[Any], state: Sequence[Any] = ()
) -> tuple[Any, list[Any]]:
    """The loss and its gradients; None, or zeros on JAX, where it does not depend on a variable.

    On TensorFlow and PyTorch it may be part of a train step.

    Args:
        loss: of no arguments.
        variables: by which it is differentiated.
        state: further variables of Keras that the loss may write.
    """
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss()
        return value, tape.gradient(value, list(variables))
    if BACKEND == "torch":
        for variable in variables:
            variable.value.grad = None
        value = loss()
        value.backward()
        return value.detach(), [variable.value.grad for variable in variables]
    import jax

    def of_values(values: Sequence[Any]) -> Any:
        with keras.StatelessScope(list(zip(variables, values, strict=True))) as scope:
            value = loss()
        return value, [scope.get_current_value(variable) for variable in state]

    values = [variable.value for variable in variables]
    (value, written), gradients = jax.value_and_grad(of_values, has_aux=True)(values)
    for variable, new in zip(state, written, strict=True):
        if new is not None:
            variable.assign(new)
    return value, gradients


def without_gradients(function: Callable[[], Any]) -> Any:
    """Run an update of weights, which on PyTorch is no part of what is differentiated."""
    if BACKEND != "torch":
        return function()
    import torch

    with torch.no_grad():
        return function()


def apply(optimizer: Any, gradients: Sequence[Any], variables: Sequence[Any]) -> None:
    """Call an optimizer on variables, in a step that nobody compiles."""
    if BACKEND != "jax":
        without_gradients(lambda: optimizer.apply(gradients, variables))
        return
    if not optimizer.built:
        optimizer.build(variables)
    of_optimizer = [variable.value for variable in optimizer.variables]
    results = optimizer.stateless_apply(of_optimizer, gradients, [variable.value for variable in variables])
    for variable, value in zip([*variables, *optimizer.variables], [*results[0], *results[1]], strict=True):
        variable.assign(value)


def sealed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a part of a train step, as users of TensorFlow do; itself elsewhere."""
    if BACKEND != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function)


def noise_of(x: Any) -> Any:
    """Standard normal numbers in the shape of x, by the framework's own random operation."""
    if BACKEND == "torch":
        import torch

        return torch.randn(x.shape)
    if BACKEND == "jax":  # which has none without a key
        return keras.random.normal(x.shape, seed=1)
    import tensorflow as tf

    return tf.random.normal(tf.shape(x))


def exhausted(text: str) -> Exception:
    """The exception of an accelerator that has no memory left."""
    if BACKEND == "torch":
        import torch

        return torch.OutOfMemoryError(text)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.errors.ResourceExhaustedError(None, None, text)
    import jax

    return jax.errors.JaxRuntimeError(f"RESOURCE_EXHAUSTED: {text}")


def framework_settings() -> tuple[Any, ...]:
    """What a framework is set to, for the whole process."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.config.functions_run_eagerly(), tf.executing_eagerly(), tf.config.optimizer.get_jit()
    if BACKEND == "torch":
        import torch

        modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_anomaly_enabled()
        return *modes, torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    return ()


def forget_compiled() -> None:
    """Forget what torch.compile compiled in this process: after a few models it gives up, and runs a part of a step eagerly."""
    if BACKEND == "torch":
        import torch

        torch._dynamo.reset()


def raw_state(size: int) -> Any:
    """Zeros of the framework's own that are written in place: Keras does not list them. JAX has nothing of the kind."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.Variable(tf.zeros([size]), trainable=False)
    if BACKEND == "torch":
        import torch

        return torch.zeros(size, device="cpu")  # where Keras builds the layer symbolically, its own zeros are on "meta"
    return np.zeros([size], np.float32)


def moved(state: Any, mean: Any) -> Any:
    """Take a tenth of a mean into a raw state, and return its value. On JAX it stays what it is."""
    if BACKEND == "tensorflow":
        state.assign(0.9 * state + 0.1 * mean)
        return state + 0.0
    if BACKEND == "jax":
        return keras.ops.convert_to_tensor(state)
    from keras.src.backend.common.symbolic_scope import in_symbolic_scope

    if in_symbolic_scope():  # Keras asks for shapes, with numbers that nobody has set
        return state.clone()
    state.mul_(0.9).add_(0.1 * mean.detach())
    return state.clone()


def seed_of_a_layer() -> Any:
    """The seed that a layer draws with: Keras' global generator where it may be drawn from inside a step, as not on JAX."""
    return keras.random.SeedGenerator(7) if BACKEND == "jax" else None


def generator_states() -> list[np.ndarray]:
    """The states of the generators of Python, NumPy and the framework, as far as they are global."""
    _, python_state, _ = random.getstate()
    numpy_state = np.random.get_state(legacy=False)["state"]
    states = [np.asarray(python_state), np.asarray(numpy_state["key"]), np.asarray(numpy_state["pos"])]
    if BACKEND == "torch":
        import torch

        states.append(torch.get_rng_state().numpy())
    return states
