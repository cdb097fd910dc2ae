"""Trainings of many seeds at once, and the contributions to the margin after every epoch.

The nets are those of `gap_scenarios.Net`, written in JAX: a seed is one row of everything, and `vmap` trains them together in
one program. What a seed draws does not depend on which others are trained beside it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from benchmarks.gap_scenarios import PIXELS, REGRESSION, Net, Rows, Scenario

KERNEL = 3  # pixels a side
MAPS = (16, 32)  # of the two convolutions
NORM_MEMORY = 0.9  # of the running mean and variance of a batch normalisation, per step
MOMENTUM = 0.9

Tree = Any  # of JAX arrays: the parameters of a net, or moments of their gradients
Array = jax.Array


class Update(NamedTuple):
    """Contributions in the models of all seeds after an epoch; S seeds, n or m rows, then the shape of a sample."""

    live: NDArray[np.float32]  # (S, n, …) contributions to the margin of the row's own label
    probe: NDArray[np.float32]  # (S, m, …)
    live_x: NDArray[np.float32]  # (S, n, …) the live rows as they were read
    accuracy: NDArray[np.float32]  # (S) on the probe; R² in a regression

    def of_seed(self, index: int) -> Update:
        """Return one seed's, without the first axis."""
        return Update(*(values[index] for values in self))


class Model(NamedTuple):
    """The part of a scenario that makes another program."""

    net: Net
    classes: int
    redrawn_noise: float


class Programs(NamedTuple):
    """The compiled functions of a model, over all seeds; the same ones for scenarios that differ in their rows alone."""

    train: Callable[..., State]
    explain: Callable[..., Array]
    judge: Callable[..., Array]


@functools.cache
def programs(model: Model) -> Programs:
    functions = (epoch, contributions, accuracy)
    return Programs(*(jax.jit(jax.vmap(partial(function, model=model))) for function in functions))


class State(NamedTuple):
    """A training between two steps."""

    weights: Tree
    statistics: Tree  # running mean and variance of each batch normalisation
    first: Tree  # moments of the gradients
    second: Tree
    step: Array


def updates(scenario: Scenario, rows: Sequence[Rows], seeds: Sequence[int]) -> Iterator[Update]:
    """Train all seeds of a scenario, and yield an update after each epoch."""
    x, probe_x = jnp.stack([seed.x for seed in rows]), jnp.stack([seed.probe_x for seed in rows])
    kind = jnp.float32 if scenario.classes == REGRESSION else jnp.int32
    y, probe_y = jnp.stack([seed.y for seed in rows]).astype(kind), jnp.stack([s.probe_y for s in rows]).astype(kind)
    drawn = jnp.stack([seed.live() for seed in rows])
    live_x, live_y = (jax.vmap(lambda values, numbers: values[numbers])(values, drawn) for values in (x, y))
    keys = jnp.stack([jax.random.PRNGKey(seed) for seed in seeds])
    model = Model(scenario.net, scenario.classes, scenario.redrawn_noise)
    state = jax.vmap(partial(initial, model=model, shape=x.shape[2:]))(keys)
    train, explain, judge = programs(model)
    reference = probe_x.mean(1, keepdims=True)
    for number in range(scenario.net.epochs):
        epoch_keys = jax.vmap(partial(jax.random.fold_in, data=number))(keys)
        state = train(state, epoch_keys, x, y)
        read = _noisy(live_x, scenario.redrawn_noise, epoch_keys)
        yield Update(
            np.asarray(explain(state, read, live_y, reference)),
            np.asarray(explain(state, probe_x, probe_y, reference)),
            np.asarray(read),
            np.asarray(judge(state, probe_x, probe_y)),
        )


def _noisy(x: Array, sigma: float, keys: Array) -> Array:
    """Return rows (S, n, …) behind the random part of a pipeline."""
    if not sigma:
        return x
    return x + sigma * jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, 1), x.shape[1:]))(keys)


# The net.


def initial(key: Array, model: Model, shape: tuple[int, ...]) -> State:
    """Draw the weights of one seed: Glorot's uniform distribution, zero biases."""
    net, keys = model.net, jax.random.split(key, 8)
    widths = _widths(model, shape)
    weights = []
    for layer, (inputs, outputs) in enumerate(widths):
        fan = (inputs + outputs) if layer == len(widths) - 1 or not net.is_convolutional else _fan(inputs, outputs)
        limit = 0.05 if net.embedding and layer == 0 else np.sqrt(6 / fan)
        kernel = jax.random.uniform(keys[layer], (inputs, outputs), minval=-limit, maxval=limit)
        scale = jnp.ones(outputs)  # of a batch normalisation, whose shift is the bias
        weights.append({"kernel": kernel, "bias": jnp.zeros(outputs), "scale": scale})
    statistics = [(jnp.zeros(outputs), jnp.ones(outputs)) for _, outputs in widths]
    zeros = jax.tree.map(jnp.zeros_like, weights)
    return State(weights, statistics, zeros, zeros, jnp.zeros(()))


def _widths(model: Model, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Inputs and outputs of each layer; those of a convolution are one window's."""
    net = model.net
    outputs = 1 if net.one_logit else max(model.classes, 1)
    if net.is_convolutional:
        side = PIXELS - 2 * (KERNEL - 1)
        first, second = MAPS
        return [(KERNEL**2 * shape[-1], first), (KERNEL**2 * first, second), (side**2 * second, outputs)]
    sizes = [shape[0], *([net.embedding] if net.embedding else []), *net.hidden, outputs]
    return list(itertools.pairwise(sizes))


def _fan(inputs: int, outputs: int) -> int:
    """Return the entries that go into a convolution's output and those that an input goes into."""
    return inputs + KERNEL**2 * outputs


def scores(
    weights: Tree, statistics: Tree, x: Array, net: Net, key: Array | None = None
) -> tuple[Array, list[tuple[Array, Array]]]:
    """Return the outputs (n, K) of rows, and each layer's mean and variance; with a key as in training, else as in inference."""
    moments = []
    last = len(weights) - 1
    for layer, weight in enumerate(weights):
        if net.is_convolutional:
            x = _windows(x) if layer < last else x.reshape(len(x), -1)
        x = x @ weight["kernel"]
        if net.embedding and layer == 0:  # a linear layer without a bias
            moments.append(statistics[layer])
            continue
        if net.batch_norm and layer < last:
            mean, variance = statistics[layer] if key is None else (x.mean(0), x.var(0))
            moments.append((mean, variance))
            x = weight["scale"] * (x - mean) / jnp.sqrt(variance + 1e-3)
        else:
            moments.append(statistics[layer])
        x = x + weight["bias"]
        if layer < last:
            x = jax.nn.relu(x)
            if net.dropout and key is not None:
                keep = jax.random.bernoulli(jax.random.fold_in(key, layer), 1 - net.dropout, x.shape)
                x = x * keep / (1 - net.dropout)
    return x, moments


def _windows(x: Array) -> Array:
    """Return the 3 × 3 windows (n, h, w, 9 C) of maps (n, H, W, C)."""
    height, width = x.shape[1] - KERNEL + 1, x.shape[2] - KERNEL + 1
    places = [(row, column) for row in range(KERNEL) for column in range(KERNEL)]
    return jnp.concatenate([x[:, row : row + height, column : column + width] for row, column in places], -1)


# Training.


def row_losses(outputs: Array, y: Array, model: Model) -> Array:
    """Return the loss of each row: squared error, or cross entropy."""
    if model.classes == REGRESSION:
        return (outputs[:, 0] - y) ** 2
    if model.net.one_logit:
        return jax.nn.softplus(-outputs[:, 0] * (2 * y - 1))
    return -jnp.take_along_axis(jax.nn.log_softmax(outputs), y[:, None], 1)[:, 0]


def epoch(state: State, key: Array, x: Array, y: Array, model: Model) -> State:
    """Train on all rows once, in batches of a new order; what fills no batch is left out."""
    net = model.net
    steps = len(x) // net.batch
    order_key, noise_key, step_key = jax.random.split(key, 3)
    if model.redrawn_noise:
        x = x + model.redrawn_noise * jax.random.normal(noise_key, x.shape)
    order = jax.random.permutation(order_key, len(x))[: steps * net.batch].reshape(steps, net.batch)

    def train_step(state: State, batch: tuple[Array, Array]) -> tuple[State, None]:
        rows, key = batch
        inputs = x[rows]
        if net.input_noise:
            inputs = inputs + net.input_noise * jax.random.normal(key, inputs.shape)

        def mean_loss(weights: Tree) -> tuple[Array, Tree]:
            outputs, moments = scores(weights, state.statistics, inputs, net, key)
            return row_losses(outputs, y[rows], model).mean(), moments

        gradient, moments = jax.grad(mean_loss, has_aux=True)(state.weights)
        statistics = jax.tree.map(lambda a, b: NORM_MEMORY * a + (1 - NORM_MEMORY) * b, state.statistics, moments)
        return OPTIMIZERS[net.optimizer](state._replace(statistics=statistics), gradient, net.rate), None

    state, _ = jax.lax.scan(train_step, state, (order, jax.random.split(step_key, steps)))
    return state


def adam(state: State, gradient: Tree, rate: float) -> State:
    step = state.step + 1
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state.first, gradient)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, state.second, gradient)

    def moved(weight: Array, m: Array, v: Array) -> Array:
        return weight - rate * (m / (1 - 0.9**step)) / (jnp.sqrt(v / (1 - 0.999**step)) + 1e-7)

    return state._replace(
        weights=jax.tree.map(moved, state.weights, first, second), first=first, second=second, step=step
    )


def sgd(state: State, gradient: Tree, rate: float) -> State:
    """With momentum, as Keras has it."""
    velocity = jax.tree.map(lambda m, g: MOMENTUM * m - rate * g, state.first, gradient)
    return state._replace(weights=jax.tree.map(jnp.add, state.weights, velocity), first=velocity, step=state.step + 1)


OPTIMIZERS: dict[str, Callable[[State, Tree, float], State]] = {"adam": adam, "sgd": sgd}


# Looking.


def contributions(state: State, x: Array, y: Array, reference: Array, model: Model) -> Array:
    """Return (x − x̄) · ∂m/∂x for each row, in inference; the margin m is that of the row's own label."""

    def margins(x: Array) -> Array:
        outputs, _ = scores(state.weights, state.statistics, x, model.net)
        if model.classes == REGRESSION:
            return outputs[:, 0].sum()
        if model.net.one_logit:
            return (outputs[:, 0] * (2 * y - 1)).sum()
        is_own = jax.nn.one_hot(y, model.classes) > 0
        others = jax.nn.logsumexp(jnp.where(is_own, -jnp.inf, outputs), axis=1)
        return (jnp.where(is_own, outputs, 0).sum(1) - others).sum()

    return (x - reference) * jax.grad(margins)(x)


def accuracy(state: State, x: Array, y: Array, model: Model) -> Array:
    """Return the share of rows that are right; in a regression R²."""
    outputs, _ = scores(state.weights, state.statistics, x, model.net)
    if model.classes == REGRESSION:
        return 1 - ((outputs[:, 0] - y) ** 2).mean() / y.var()
    predicted = (outputs[:, 0] > 0).astype(y.dtype) if model.net.one_logit else outputs.argmax(1)
    return (predicted == y).mean()
