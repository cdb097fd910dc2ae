"""The ways people train, each a small model and its data; test_every_situation.py says what must hold in all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from tests.frameworks import (
    BACKEND,
    array,
    forget_compiled,
    generator_states,
    moved,
    raw_state,
    seed_of_a_layer,
    value_and_gradients,
    without_gradients,
)

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(44, 6)).astype(np.float32)
Y = RANDOM.integers(0, 3, 44)
TOKENS = RANDOM.integers(0, 9, size=(44, 7))
LOSS = "sparse_categorical_crossentropy"
KERAS = tuple(map(int, keras.__version__.split(".")[:2]))


@dataclass
class Situation:
    """A compiled model, made the same at every call."""

    title: str  # as the documentation has it
    build: Callable[[], keras.Model]
    x: np.ndarray = field(default_factory=lambda: X)
    y: np.ndarray = field(default_factory=lambda: Y)
    batch_size: int = 8  # 44 rows: the last batch has 4
    rtol: float = 2e-4
    fit: dict[str, Any] = field(default_factory=dict)
    frameworks: tuple[str, ...] = ("tensorflow", "jax", "torch")
    is_slow: bool = False  # on the framework that Keras runs on


# Whether models are made harder to leave alone: an optimizer that keeps state, metrics, and a layer that moves state in
# every forward pass.
_demanding = False


class Remembering(keras.layers.Layer):
    """Moves state whenever it is called, where Keras keeps it (a weight) and where it does not (a raw variable, Keras'
    global generator)."""

    def build(self, shape: Any) -> None:
        self.mean = raw_state(shape[-1])
        self.seed = seed_of_a_layer()
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, dtype="float32")

    def call(self, x: Any) -> Any:
        ops = keras.ops
        values = ops.cast(x, "float32")
        self.count.assign_add(1.0)
        mean = moved(self.mean, ops.mean(values, 0))
        noise = keras.random.normal(ops.shape(values), dtype="float32", seed=self.seed)
        return ops.cast(values - 0.1 * mean / self.count + 0.05 * noise, x.dtype)


def remembering(x: Any) -> Any:
    """The tensor itself, or, where models are demanding, what `Remembering` makes of it."""
    return Remembering(name="memory")(x) if _demanding else x


def compiled(model: keras.Model, optimizer: Any, **options: Any) -> keras.Model:
    model.compile(optimizer, LOSS, **({"metrics": ["accuracy"]} if _demanding else {}), **options)
    return model


def mlp(optimizer: Any = "sgd", **compile_options: Any) -> keras.Model:
    inputs = keras.Input((6,), name="features")
    hidden = keras.layers.Dense(5, activation="relu", name="hidden")(remembering(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="scores")(hidden))
    return compiled(model, optimizer, **compile_options)


def sgd(momentum: float = 0.0, **options: Any) -> keras.optimizers.Optimizer:
    if _demanding:
        return keras.optimizers.Adam(0.01, **options)
    return keras.optimizers.SGD(0.1, momentum=momentum, **options)


def with_policy(policy: str, optimizer: Any) -> keras.Model:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return mlp(optimizer)
    finally:
        keras.config.set_dtype_policy(before)


def overflowing() -> keras.Model:
    """The first scale makes the first gradients infinite: the optimizer skips those steps and halves it."""
    return with_policy("mixed_float16", keras.optimizers.LossScaleOptimizer(sgd(), initial_scale=2.0**19))


class OwnStep(keras.Model):
    """A train step of the user's own, with `apply_gradients`; on JAX with `stateless_apply`."""

    def train_step(self, *arguments: Any) -> Any:
        if BACKEND == "jax":
            return self.stateless_step(*arguments)
        x, y = arguments[0]
        predictions = []

        def loss() -> Any:
            predictions.append(self(x, training=True))
            return self.compute_loss(x=x, y=y, y_pred=predictions[0])

        _, gradients = value_and_gradients(loss, self.trainable_variables)
        pairs = zip(gradients, self.trainable_variables, strict=True)
        without_gradients(lambda: self.optimizer.apply_gradients(pairs))
        return self.compute_metrics(x, y, predictions[0])

    def stateless_step(self, state: Any, data: Any) -> Any:
        import jax

        weights, others, of_optimizer, metrics = state
        x, y = data

        def loss(values: Any) -> Any:
            predictions, others_after = self.stateless_call(values, others, x, training=True)
            loss, _ = self.stateless_compute_loss(
                values, others_after, metrics, x=x, y=y, y_pred=predictions, training=True
            )
            return loss, others_after

        (value, others), gradients = jax.value_and_grad(loss, has_aux=True)(weights)
        weights, of_optimizer = self.optimizer.stateless_apply(of_optimizer, gradients, weights)
        return {"loss": value}, (weights, others, of_optimizer, metrics)


def own_step() -> keras.Model:
    plain = mlp()
    return compiled(OwnStep(plain.input, plain.output), sgd())


def frozen() -> keras.Model:
    model = mlp()
    model.get_layer("hidden").trainable = False
    return compiled(model, sgd())


def shared() -> keras.Model:
    inputs = keras.Input((6,))
    twice = keras.layers.Dense(6, activation="tanh", name="twice")
    outputs = keras.layers.Dense(3, activation="softmax", name="scores")(twice(twice(remembering(inputs))))
    return compiled(keras.Model(inputs, outputs), sgd())


def embedding() -> keras.Model:
    """9 tokens, 7 in a row: each batch names rows more than once."""
    inputs = keras.Input((7,), dtype="int32")
    embedded = keras.layers.Embedding(40, 4, name="tokens")(inputs)
    pooled = remembering(keras.layers.GlobalAveragePooling1D()(embedded))
    return compiled(keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="scores")(pooled)), sgd())


def large_embedding() -> keras.Model:
    """More tokens in a batch than rows in the table."""
    return compiled(embedding(), "adam", jit_compile=True)


class Subclassed(keras.Model):
    """Built by its first step."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = Remembering(name="memory") if _demanding else keras.layers.Identity()
        self.hidden = keras.layers.Dense(5, activation="relu", name="hidden")
        self.scores = keras.layers.Dense(3, activation="softmax", name="scores")

    def call(self, x: Any) -> Any:
        return self.scores(self.hidden(self.memory(x)))


def subclassed() -> keras.Model:
    return compiled(Subclassed(), sgd())


def unbuilt() -> keras.Model:
    layers = [keras.layers.Dense(5, activation="relu", name="hidden"), keras.layers.Dense(3, activation="softmax")]
    return compiled(keras.Sequential([*([Remembering(name="memory")] if _demanding else []), *layers]), sgd())


def constrained() -> keras.Model:
    inputs = keras.Input((6,))
    short = keras.constraints.MaxNorm(0.5)
    scores = keras.layers.Dense(3, activation="softmax", kernel_constraint=short, name="scores")
    return compiled(keras.Model(inputs, scores(remembering(inputs))), keras.optimizers.AdamW(0.01, weight_decay=0.1))


def normalised() -> keras.Model:
    inputs = keras.Input((6,))
    hidden = keras.layers.BatchNormalization(name="norm")(keras.layers.Dense(5, name="hidden")(remembering(inputs)))
    outputs = keras.layers.Dense(3, activation="softmax", name="scores")(keras.layers.ReLU()(hidden))
    return compiled(keras.Model(inputs, outputs), "adam")


ALL_SITUATIONS = {
    "functional": Situation("functional model, partial last batch", lambda: mlp(sgd(momentum=0.9))),
    "unbuilt": Situation("Sequential without an input shape", unbuilt),
    "subclassed": Situation("subclassed, built by its first step", subclassed),
    "xla": Situation(
        "`jit_compile=True`", lambda: mlp("adam", jit_compile=True), batch_size=11, is_slow=BACKEND == "torch"
    ),
    "several_steps": Situation(
        "`steps_per_execution=4`",
        lambda: mlp(sgd(), steps_per_execution=4),
        # Before 3.7 Keras warns, and counts steps that it did not make, where the last execution is not a whole one.
        batch_size=8 if KERAS >= (3, 7) else 11,
        frameworks=("tensorflow", "jax"),  # Keras refuses it on PyTorch
    ),
    "xla_several_steps": Situation(
        "XLA and `steps_per_execution=2`",
        lambda: mlp(sgd(), steps_per_execution=2, jit_compile=True),
        batch_size=11,
        frameworks=("tensorflow",),  # JAX has but one way
    ),
    "eager": Situation("`run_eagerly=True`", lambda: mlp(sgd(), run_eagerly=True)),
    "mixed_float16": Situation("mixed_float16", lambda: with_policy("mixed_float16", sgd()), rtol=2e-2),
    "overflowing": Situation("mixed_float16, steps skipped by the loss scale", overflowing, rtol=2e-2),
    "mixed_bfloat16": Situation("mixed_bfloat16", lambda: with_policy("mixed_bfloat16", sgd()), rtol=5e-2),
    "float64": Situation(
        "float64",
        lambda: with_policy("float64", sgd()),
        frameworks=("tensorflow", "torch"),  # JAX makes float32 of it, with a warning
    ),
    "loss_scale_factor": Situation("`loss_scale_factor`", lambda: mlp(sgd(loss_scale_factor=64.0))),
    "accumulation": Situation(
        "`gradient_accumulation_steps`", lambda: mlp(keras.optimizers.SGD(0.1, gradient_accumulation_steps=4))
    ),
    "clipnorm": Situation("`clipnorm`", lambda: mlp(sgd(clipnorm=0.01))),
    "global_clipnorm": Situation("`global_clipnorm`", lambda: mlp(sgd(global_clipnorm=0.01))),
    "clipvalue": Situation("`clipvalue`", lambda: mlp(sgd(clipvalue=0.001))),
    "own_train_step": Situation("custom `train_step` with `apply_gradients`", own_step),
    "frozen": Situation("frozen layers", frozen),
    "shared": Situation("shared layers", shared),
    "ema": Situation("`use_ema`", lambda: mlp(sgd(use_ema=True, ema_overwrite_frequency=3))),
    "constrained": Situation("weight decay and constraints", constrained),
    "batch_normalization": Situation("batch normalisation", normalised),
    "embedding": Situation("sparse gradients of an Embedding", embedding, x=TOKENS),
    "embedding_xla": Situation(
        "the same under XLA", large_embedding, x=TOKENS, batch_size=11, is_slow=BACKEND == "torch"
    ),
}


# Those that exist on the framework that Keras runs on.
SITUATIONS = {name: situation for name, situation in ALL_SITUATIONS.items() if BACKEND in situation.frameworks}


def made(situation: Situation, *, demanding: bool = False) -> keras.Model:
    """The model of a situation, from the same seed each time.

    Args:
        demanding: with Adam, metrics and a layer that moves state in every forward pass.
    """
    global _demanding
    forget_compiled()
    if demanding:
        keras.utils.clear_session()  # Keras' global generator begins anew
    keras.utils.set_random_seed(3)
    _demanding = demanding
    try:
        return situation.build()
    finally:
        _demanding = False


def all_state(model: keras.Model) -> list[np.ndarray]:
    """Everything that a training moves: weights, optimizer, metrics, raw variables, generators."""
    memories = [layer for layer in model._flatten_layers() if isinstance(layer, Remembering)]
    variables = [*model.variables, *model.optimizer.variables, *(m for m in model.metrics_variables)]
    values = [array(variable) for variable in (*variables, *(layer.mean for layer in memories))]
    return [*values, array(keras.random.uniform((2,))), *generator_states()]
