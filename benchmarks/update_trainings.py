"""Trainings of many seeds at once that are explained every few steps, in JAX.

A seed is one row of everything, and `vmap` trains them together in one program. Four kinds of net: dense layers for tables,
convolutions for digits, an LSTM for series, and a bag of embeddings for texts.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from benchmarks.update_scenarios import Net, Rows

Tree = Any  # of JAX arrays
Array = jax.Array

KERNEL = 3  # pixels a side
MOMENTUM = 0.9
DROPPED = 0.3  # of the units, with dropout


class Explained(NamedTuple):
    """Measurements of an update, with a first axis of seeds."""

    clean: NDArray[np.float32]  # (S, F) mean |gradient| on the probe
    live: NDArray[np.float32]  # (S, F) mean |input × gradient| on the live rows
    probe_margin: NDArray[np.float32]  # (S, m, F) contributions to the margin
    live_margin: NDArray[np.float32]  # (S, n, F)


class State(NamedTuple):
    """A training between two steps."""

    weights: Tree
    first: Tree  # moments of the gradients
    second: Tree
    step: Array


class Programs(NamedTuple):
    """The compiled functions of a net, over all seeds."""

    initial: Callable[..., State]
    advance: Callable[..., State]
    explain: Callable[..., Explained]


@functools.cache
def programs(net: Net) -> Programs:
    over_seeds = (0, None, None, 0, 0, 0, None, 0)
    return Programs(
        jax.jit(jax.vmap(partial(initial, net=net), (0, None)), static_argnums=1),
        jax.jit(jax.vmap(partial(advance, net=net), over_seeds)),
        jax.jit(jax.vmap(partial(explain, net=net))),
    )


# The nets.


def initial(key: Array, shape: tuple[int, ...], net: Net) -> State:
    """Draw the weights of one seed: Glorot's uniform distribution, zero biases."""
    keys = iter(jax.random.split(key, 16))
    outputs = max(net.outputs, 1)

    def dense(inputs: int, units: int, fan: int | None = None) -> dict[str, Array]:
        limit = np.sqrt(6 / (fan or inputs + units))
        return {
            "kernel": jax.random.uniform(next(keys), (inputs, units), minval=-limit, maxval=limit),
            "bias": jnp.zeros(units),
        }

    if net.kind == "images":
        maps, channels, side = (8, 16), shape[-1], shape[0] - 2 * (KERNEL - 1)
        weights = [
            dense(KERNEL**2 * channels, maps[0], KERNEL**2 * (channels + maps[0])),
            dense(KERNEL**2 * maps[0], maps[1], KERNEL**2 * sum(maps)),
            dense(side**2 * maps[1], 24),
            dense(24, outputs),
        ]
    elif net.kind == "series":
        weights = [dense(shape[-1] + 16, 64, shape[-1] + 80), dense(16, outputs)]
    else:
        sizes = [shape[0], *net.hidden, outputs]
        weights = [dense(*pair) for pair in itertools.pairwise(sizes)]
        if net.kind == "text":  # of an embedding
            weights[0]["kernel"] = jax.random.uniform(next(keys), (sizes[0], sizes[1]), minval=-0.05, maxval=0.05)
    zeros = jax.tree.map(jnp.zeros_like, weights)
    return State(weights, zeros, zeros, jnp.zeros(()))


def scores(weights: Tree, x: Array, net: Net, key: Array | None = None) -> Array:
    """Return the outputs (n, K) of rows; with a key as in training, else as in inference."""
    if net.kind == "series":
        return _lstm(weights, x)
    for layer, weight in enumerate(weights):
        if net.kind == "images":
            x = _windows(x) if layer < 2 else x.reshape(len(x), -1)
        x = x @ weight["kernel"]
        if not (net.kind == "text" and layer == 0):
            x = x + weight["bias"]
        if layer == len(weights) - 1:
            break
        if not (net.kind == "text" and layer == 0):
            x = jax.nn.relu(x)
        if net.optimizer == "dropout" and key is not None:
            keep = jax.random.bernoulli(jax.random.fold_in(key, layer), 1 - DROPPED, x.shape)
            x = x * keep / (1 - DROPPED)
    return x


def _lstm(weights: Tree, x: Array) -> Array:
    def cell(carry: tuple[Array, Array], inputs: Array) -> tuple[tuple[Array, Array], None]:
        h, c = carry
        gates = jnp.concatenate([inputs, h], -1) @ weights[0]["kernel"] + weights[0]["bias"]
        i, f, g, o = jnp.split(gates, 4, -1)
        c = jax.nn.sigmoid(f + 1) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    zeros = jnp.zeros((len(x), 16))
    (h, _), _ = jax.lax.scan(cell, (zeros, zeros), x.swapaxes(0, 1))
    return h @ weights[1]["kernel"] + weights[1]["bias"]


def _windows(x: Array) -> Array:
    """Return the 3 × 3 windows (n, h, w, 9 C) of maps (n, H, W, C)."""
    height, width = x.shape[1] - KERNEL + 1, x.shape[2] - KERNEL + 1
    places = [(row, column) for row in range(KERNEL) for column in range(KERNEL)]
    return jnp.concatenate([x[:, row : row + height, column : column + width] for row, column in places], -1)


# Training.


def row_losses(outputs: Array, y: Array, net: Net) -> Array:
    if net.outputs == 0:
        return (outputs[:, 0] - y) ** 2
    if net.outputs == 1:
        return jax.nn.softplus(-outputs[:, 0] * (2 * y - 1))
    return -jnp.take_along_axis(jax.nn.log_softmax(outputs), y.astype(jnp.int32)[:, None], 1)[:, 0]


def advance(
    state: State, start: Array, stop: Array, x: Array, y: Array, batches: Array, rates: Array, key: Array, net: Net
) -> State:
    """Train from one step to another.

    Args:
        state: of one seed.
        start: the first step.
        stop: the one after the last.
        x: (n, …) rows.
        y: (n)
        batches: (steps, batch) numbers of rows.
        rates: (steps) learning rates.
        key: of the seed.
        net: what is trained.
    """

    def step(number: Array, state: State) -> State:
        rows = batches[number]
        inputs, step_key = x[rows], jax.random.fold_in(key, number)
        if net.noise:
            inputs = inputs + net.noise * jax.random.normal(step_key, inputs.shape)

        def mean_loss(weights: Tree) -> Array:
            return row_losses(scores(weights, inputs, net, step_key), y[rows], net).mean()

        gradient = jax.grad(mean_loss)(state.weights)
        is_adam = net.optimizer in ("adam", "dropout")
        return (adam if is_adam else sgd)(state, gradient, rates[number], MOMENTUM * (net.optimizer == "momentum"))

    return jax.lax.fori_loop(start, stop, step, state)


def adam(state: State, gradient: Tree, rate: Array, momentum: float) -> State:
    step = state.step + 1
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state.first, gradient)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, state.second, gradient)

    def moved(weight: Array, m: Array, v: Array) -> Array:
        return weight - rate * (m / (1 - 0.9**step)) / (jnp.sqrt(v / (1 - 0.999**step)) + 1e-7)

    return State(jax.tree.map(moved, state.weights, first, second), first, second, step)


def sgd(state: State, gradient: Tree, rate: Array, momentum: float) -> State:
    velocity = jax.tree.map(lambda m, g: momentum * m - rate * g, state.first, gradient)
    return State(jax.tree.map(jnp.add, state.weights, velocity), velocity, state.second, state.step + 1)


# Looking.


def explain(
    state: State, probe_x: Array, probe_y: Array, live_x: Array, live_y: Array, reference: Array, net: Net
) -> Explained:
    """Return importance and contributions of one seed, in inference."""

    def own_score(x: Array, y: Array) -> Array:
        outputs = scores(state.weights, x, net)
        if net.outputs <= 1:
            return outputs[:, 0].sum()
        return jnp.take_along_axis(outputs, y.astype(jnp.int32)[:, None], 1).sum()

    def margin(x: Array, y: Array) -> Array:
        outputs = scores(state.weights, x, net)
        if net.outputs == 0:
            return outputs[:, 0].sum()
        if net.outputs == 1:
            return (outputs[:, 0] * (2 * y - 1)).sum()
        is_own = jax.nn.one_hot(y.astype(jnp.int32), net.outputs) > 0
        others = jax.nn.logsumexp(jnp.where(is_own, -jnp.inf, outputs), axis=1)
        return (jnp.where(is_own, outputs, 0).sum(1) - others).sum()

    def by_feature(values: Array) -> Array:
        """Sum the entries of a row (n, …) into its features (n, F)."""
        return values.sum(1) if net.kind == "series" else values.reshape(len(values), -1)

    return Explained(
        by_feature(jnp.abs(jax.grad(own_score)(probe_x, probe_y))).mean(0),
        by_feature(jnp.abs(live_x * jax.grad(own_score)(live_x, live_y))).mean(0),
        by_feature((probe_x - reference) * jax.grad(margin)(probe_x, probe_y)),
        by_feature((live_x - reference) * jax.grad(margin)(live_x, live_y)),
    )


class Training:
    """All seeds of a net, between two updates."""

    def __init__(self, net: Net, rows: Sequence[Rows], seeds: Sequence[int]) -> None:
        self._programs = programs(net)
        self._keys = jnp.stack([jax.random.PRNGKey(seed) for seed in seeds])
        self.state = self._programs.initial(self._keys, rows[0].x.shape[1:])
        self.give(rows)

    def give(self, rows: Sequence[Rows]) -> None:
        """Train on other rows from here on."""
        stacked = [np.stack(values).astype(np.float32) for values in zip(*rows, strict=True)]
        self.rows = Rows(*map(jnp.asarray, stacked))

    def restart_optimizer(self) -> None:
        zeros = jax.tree.map(jnp.zeros_like, self.state.first)
        self.state = State(self.state.weights, zeros, zeros, jnp.zeros_like(self.state.step))

    def train(self, start: int, stop: int, batches: NDArray[np.int32], rates: NDArray[np.float32]) -> None:
        """Make the steps from start to stop (batches: (S, steps, batch); rates: (steps))."""
        self.state = self._programs.advance(
            self.state, start, stop, self.rows.x, self.rows.y, batches, rates, self._keys
        )

    def explained(self, live_x: Array | None = None) -> Explained:
        rows = self.rows
        live_x = rows.live_x if live_x is None else live_x
        reference = rows.probe_x.mean(1, keepdims=True)
        return Explained(
            *map(
                np.asarray,
                self._programs.explain(self.state, rows.probe_x, rows.probe_y, live_x, rows.live_y, reference),
            )
        )
