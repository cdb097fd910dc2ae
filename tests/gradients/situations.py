"""The ways people train, each a small model and its data; test_every_situation.py says what must hold in all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(44, 6)).astype(np.float32)
Y = RANDOM.integers(0, 3, 44)
TOKENS = RANDOM.integers(0, 9, size=(44, 7))
LOSS = "sparse_categorical_crossentropy"


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


def mlp(optimizer: Any = "sgd", **compile_options: Any) -> keras.Model:
    inputs = keras.Input((6,), name="features")
    hidden = keras.layers.Dense(5, activation="relu", name="hidden")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="scores")(hidden))
    model.compile(optimizer, LOSS, **compile_options)
    return model


def sgd(**options: Any) -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(0.1, **options)


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
    """A train step of the user's own, with `apply_gradients`."""

    def train_step(self, data: Any) -> Any:
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"loss": loss}


def own_step() -> keras.Model:
    plain = mlp()
    model = OwnStep(plain.input, plain.output)
    model.compile(sgd(), LOSS)
    return model


def frozen() -> keras.Model:
    model = mlp()
    model.get_layer("hidden").trainable = False
    model.compile(sgd(), LOSS)
    return model


def shared() -> keras.Model:
    inputs = keras.Input((6,))
    twice = keras.layers.Dense(6, activation="tanh", name="twice")
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="scores")(twice(twice(inputs))))
    model.compile(sgd(), LOSS)
    return model


def embedding() -> keras.Model:
    """9 tokens, 7 in a row: each batch names rows more than once."""
    model = keras.Sequential(
        [
            keras.Input((7,), dtype="int32"),
            keras.layers.Embedding(40, 4, name="tokens"),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(3, activation="softmax", name="scores"),
        ]
    )
    model.compile(sgd(), LOSS)
    return model


def large_embedding() -> keras.Model:
    """More tokens in a batch than rows in the table."""
    model = embedding()
    model.compile("adam", LOSS, jit_compile=True)
    return model


class Subclassed(keras.Model):
    """Built by its first step."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = keras.layers.Dense(5, activation="relu", name="hidden")
        self.scores = keras.layers.Dense(3, activation="softmax", name="scores")

    def call(self, x: Any) -> Any:
        return self.scores(self.hidden(x))


def subclassed() -> keras.Model:
    model = Subclassed()
    model.compile(sgd(), LOSS)
    return model


def unbuilt() -> keras.Model:
    layers = [keras.layers.Dense(5, activation="relu", name="hidden"), keras.layers.Dense(3, activation="softmax")]
    model = keras.Sequential(layers)
    model.compile(sgd(), LOSS)
    return model


def constrained() -> keras.Model:
    inputs = keras.Input((6,))
    short = keras.constraints.MaxNorm(0.5)
    scores = keras.layers.Dense(3, activation="softmax", kernel_constraint=short, name="scores")
    model = keras.Model(inputs, scores(inputs))
    model.compile(keras.optimizers.AdamW(0.01, weight_decay=0.1), LOSS)
    return model


def normalised() -> keras.Model:
    inputs = keras.Input((6,))
    hidden = keras.layers.BatchNormalization(name="norm")(keras.layers.Dense(5, name="hidden")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="scores")(keras.layers.ReLU()(hidden)))
    model.compile("adam", LOSS)
    return model


SITUATIONS = {
    "functional": Situation("functional model, partial last batch", lambda: mlp(sgd(momentum=0.9))),
    "unbuilt": Situation("Sequential without an input shape", unbuilt),
    "subclassed": Situation("subclassed, built by its first step", subclassed),
    "xla": Situation("`jit_compile=True`", lambda: mlp("adam", jit_compile=True), batch_size=11),
    "several_steps": Situation("`steps_per_execution=4`", lambda: mlp(sgd(), steps_per_execution=4)),
    "xla_several_steps": Situation(
        "XLA and `steps_per_execution=2`", lambda: mlp(sgd(), steps_per_execution=2, jit_compile=True), batch_size=11
    ),
    "eager": Situation("`run_eagerly=True`", lambda: mlp(sgd(), run_eagerly=True)),
    "mixed_float16": Situation("mixed_float16", lambda: with_policy("mixed_float16", sgd()), rtol=2e-2),
    "overflowing": Situation("mixed_float16, steps skipped by the loss scale", overflowing, rtol=2e-2),
    "mixed_bfloat16": Situation("mixed_bfloat16", lambda: with_policy("mixed_bfloat16", sgd()), rtol=5e-2),
    "float64": Situation("float64", lambda: with_policy("float64", sgd())),
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
    "embedding_xla": Situation("the same under XLA", large_embedding, x=TOKENS, batch_size=11),
}


def made(situation: Situation) -> keras.Model:
    """The model of a situation, from the same seed each time."""
    keras.utils.set_random_seed(3)
    return situation.build()
