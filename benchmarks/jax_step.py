"""Measure what recording a step costs on JAX, and what other ways of recording would change in the training.

    KERAS_BACKEND=jax python -m benchmarks.jax_step [--steps 40] [--rounds 60] [--only times bits]

Times: CPU milliseconds of a step and of programs that compute its gradients once more, each in turn with the others, medians.
Bits: arrays of weights, moving averages, metrics and optimizer state that are bit for bit those of the plain training after so
many steps, where the step returns something of the gradients as well; behind `jax.lax.optimization_barrier` in several places.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras
import numpy as np

from benchmarks._trainings import MODELS
from keras_xai.backend.jax.gradient_sums import GradientSums

barrier = jax.lax.optimization_barrier
# (optimizer, state of the optimizer, gradients, weights, update) -> the result of the update, and what else is returned
Way = Callable[[keras.optimizers.Optimizer, list, list, list, Callable[..., Any]], tuple[Any, Any]]


class Training(NamedTuple):
    """A compiled model, its state as JAX has it, and its batches."""

    model: keras.Model
    state: Any
    batches: list[Any]


def sums(gradients: Sequence[jax.Array], before: Sequence[jax.Array], after: Sequence[jax.Array]) -> Any:
    """Compute all that is recorded of one optimizer call."""
    variables = [keras.Variable(np.zeros(g.shape, np.float32), dtype="float32") for g in map(jax.typeof, gradients)]
    table = GradientSums(variables)
    with keras.StatelessScope(list(zip(variables, after, strict=True))):
        table.add(list(gradients), variables, list(before))
    return table.take()


def squares(gradients: Sequence[jax.Array]) -> list[jax.Array]:
    """Compute the least that needs every gradient."""
    return [jnp.vdot(gradient, gradient) for gradient in gradients]


def moments(gradients: Sequence[jax.Array]) -> Any:
    """Compute a few sums in another way than they are recorded."""
    vectors = [gradient.astype(jnp.float32).reshape(-1) for gradient in gradients]
    return [(vector.sum(), jnp.vdot(vector, vector), jnp.abs(vector).max()) for vector in vectors]


# What a step, or a second program, returns beside the state.


def nothing(optimizer, of_optimizer, gradients, weights, update):
    return update(of_optimizer, gradients, weights), []


def all_sums(optimizer, of_optimizer, gradients, weights, update):
    result = update(of_optimizer, gradients, weights)
    return result, sums(gradients, weights, result[0])


def sums_without_update(optimizer, of_optimizer, gradients, weights, update):
    return update(of_optimizer, gradients, weights), sums(gradients, weights, weights)


def squares_alone(optimizer, of_optimizer, gradients, weights, update):
    return update(of_optimizer, gradients, weights), squares(gradients)


def raw_gradients(optimizer, of_optimizer, gradients, weights, update):
    return update(of_optimizer, gradients, weights), list(gradients)


def moments_alone(optimizer, of_optimizer, gradients, weights, update):
    return update(of_optimizer, gradients, weights), moments(gradients)


def moments_behind_a_barrier(optimizer, of_optimizer, gradients, weights, update):
    gradients = barrier(list(gradients))
    return update(of_optimizer, gradients, weights), moments(gradients)


def moments_of_copies_behind_a_barrier(optimizer, of_optimizer, gradients, weights, update):
    return update(of_optimizer, gradients, weights), moments(barrier(list(gradients)))


def gradients_behind_a_barrier(optimizer, of_optimizer, gradients, weights, update):
    gradients = barrier(list(gradients))
    return update(of_optimizer, gradients, weights), sums(gradients, weights, weights)


def copies_behind_a_barrier(optimizer, of_optimizer, gradients, weights, update):
    return update(of_optimizer, gradients, weights), sums(barrier(list(gradients)), weights, weights)


def raw_copies_behind_a_barrier(optimizer, of_optimizer, gradients, weights, update):
    return update(of_optimizer, gradients, weights), barrier(list(gradients))


def both_behind_barriers(optimizer, of_optimizer, gradients, weights, update):
    copies, gradients = barrier(list(gradients)), barrier(list(gradients))
    return update(of_optimizer, gradients, weights), sums(copies, weights, weights)


def update_before_the_sums(optimizer, of_optimizer, gradients, weights, update):
    trained, of_optimizer = update(of_optimizer, gradients, weights)
    copies, trained = barrier((list(gradients), trained))
    return (trained, of_optimizer), sums(copies, weights, weights)


PROGRAMS: dict[str, Way] = {
    "all sums (what is recorded)": all_sums,
    "all sums but that of the update": sums_without_update,
    "Σg² alone": squares_alone,
}
RETURNED: dict[str, Way] = {
    "nothing (plain again)": nothing,
    r"Σg, Σg² and max \|g\|": moments_alone,
    "the same, gradients behind a barrier": moments_behind_a_barrier,
    "the same of copies behind a barrier": moments_of_copies_behind_a_barrier,
    "all sums": all_sums,
    "the gradients": raw_gradients,
    "all sums, gradients behind a barrier": gradients_behind_a_barrier,
    "all sums, copies of the gradients behind a barrier": copies_behind_a_barrier,
    "copies of the gradients behind a barrier": raw_copies_behind_a_barrier,
    "all sums, gradients and copies behind barriers": both_behind_barriers,
    "all sums, copies and new weights behind a barrier": update_before_the_sums,
}


def step_with(training: Training, way: Way) -> Callable[[Any, Any], Any]:
    """Return the train step of a model as a function that also returns what `way` does."""
    model, optimizer = training.model, training.model.optimizer

    def step(state: Any, batch: Any) -> Any:
        returned: list[Any] = []

        def stateless_apply(of_optimizer: list, gradients: list, weights: list) -> Any:
            update = type(optimizer).stateless_apply
            result, beside = way(
                optimizer, of_optimizer, gradients, weights, lambda *values: update(optimizer, *values)
            )
            returned.append(beside)
            return result

        vars(optimizer)["stateless_apply"] = stateless_apply
        try:
            logs, state = model.train_step(state, batch)
        finally:
            del vars(optimizer)["stateless_apply"]
        return logs, state, returned

    return step


def returned_alone(step: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return a step without its state: the compiler leaves out what only that needs."""
    return lambda state, batch: step(state, batch)[2]


def training_of(model: keras.Model, x: np.ndarray, y: np.ndarray, batch_size: int) -> Training:
    """Compile a model as its benchmarks do, and return it with the state before the first step."""
    batches = [(x[k : k + batch_size], y[k : k + batch_size], None) for k in range(0, len(x) - batch_size, batch_size)]
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    model._symbolic_build(data_batch=batches[0])
    parts = ("trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables")
    state = model._get_jax_state(**dict.fromkeys(parts, True))
    return Training(model, jax.tree.map(lambda value: jnp.array(value, copy=True), state), batches)


# Times.


def times(kind: str, rounds: int) -> None:
    """Print a row of CPU times for one model of the other benchmarks."""
    training = training_of(*MODELS[kind]())
    plain = jax.jit(training.model.train_step, donate_argnums=0)
    programs = {name: jax.jit(returned_alone(step_with(training, way))) for name, way in PROGRAMS.items()}
    state, seconds = training.state, {name: [] for name in ("plain", *programs)}
    for number in range(rounds + 3):  # the first ones compile
        batch = training.batches[number % len(training.batches)]
        for name, program in programs.items():
            start = time.process_time()
            jax.block_until_ready(program(state, batch))
            seconds[name].append(time.process_time() - start)
        start = time.process_time()
        _, state = jax.block_until_ready(plain(state, batch))
        seconds["plain"].append(time.process_time() - start)
    medians = {name: float(np.median(values[3:])) for name, values in seconds.items()}
    cells = [f"{1000 * medians['plain']:.2f}"]
    cells += [f"{1000 * medians[name]:.2f} ({medians[name] / medians['plain']:.2f})" for name in programs]
    print(
        f"| {kind} | {' | '.join(cells)} | {1 + medians['all sums (what is recorded)'] / medians['plain']:.2f} |",
        flush=True,
    )


# Bits.


def dense() -> keras.Model:
    """Dense layers, layer normalisation, dropout."""
    layers = keras.layers
    stack = [layers.Flatten(), layers.Dense(64, activation="gelu"), layers.LayerNormalization()]
    return keras.Sequential(
        [keras.Input((16, 16, 3)), *stack, layers.Dense(32, activation="relu"), layers.Dropout(0.2), layers.Dense(5)]
    )


def convolutions() -> keras.Model:
    """Convolutions, batch normalisation, maximum pooling, dropout."""
    layers = keras.layers
    stack: list[keras.layers.Layer] = []
    for filters in (16, 32):
        convolution = layers.Conv2D(filters, 3, padding="same", use_bias=False)
        stack += [convolution, layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D()]
    return keras.Sequential(
        [keras.Input((16, 16, 3)), *stack, layers.GlobalAveragePooling2D(), layers.Dropout(0.3), layers.Dense(5)]
    )


def trained(make: Callable[[], keras.Model], policy: str, way: Way, steps: int) -> list[np.ndarray]:
    """Return the state after so many steps, array by array."""
    keras.utils.set_random_seed(3)
    keras.config.set_dtype_policy(policy)
    try:
        random = np.random.default_rng(0)
        x, y = random.random((256, 16, 16, 3)).astype(np.float32), random.integers(0, 5, 256)
        training = training_of(make(), x, y, 32)
    finally:
        keras.config.set_dtype_policy("float32")
    step, state = jax.jit(step_with(training, way), donate_argnums=0), training.state
    for number in range(steps):
        _, state, _ = step(state, training.batches[number % len(training.batches)])
    return [np.asarray(value) for value in jax.tree.leaves(state)]


def bits(steps: int) -> None:
    """Print a row for each way: how many arrays of each training stay what they are."""
    trainings = [
        (dense, "float32"),
        (convolutions, "float32"),
        (dense, "mixed_float16"),
        (convolutions, "mixed_float16"),
        (convolutions, "mixed_bfloat16"),
    ]
    expected = [trained(make, policy, nothing, steps) for make, policy in trainings]
    print(f"| the step returns as well | {' | '.join(f'{make.__name__}, {policy}' for make, policy in trainings)} |")
    print("|---" * (len(trainings) + 1) + "|")
    for name, way in RETURNED.items():
        cells = []
        for (make, policy), plain in zip(trainings, expected, strict=True):
            pairs = zip(trained(make, policy, way, steps), plain, strict=True)
            equal = sum(np.array_equal(array, other, equal_nan=True) for array, other in pairs)
            cells.append(f"{equal}/{len(plain)}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--only", nargs="+", choices=("times", "bits"), default=["times", "bits"])
    options = parser.parse_args()
    device = jax.devices()[0].device_kind
    print(f"{device}, JAX {jax.__version__}, Keras {keras.__version__}\n")
    if "times" in options.only:
        print(f"| model | plain step, ms | {' | '.join(PROGRAMS)} | recorded step to plain |")
        print("|---" * (len(PROGRAMS) + 3) + "|")
        for kind in MODELS:
            times(kind, options.rounds)
        print()
    if "bits" in options.only:
        bits(options.steps)


if __name__ == "__main__":
    main()
