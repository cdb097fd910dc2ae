"""The slow, obvious twin: a training written out step by step, and statistics of whole gradients in float64."""

from __future__ import annotations

from dataclasses import dataclass, field

import keras
import numpy as np

from tests.frameworks import apply, array, value_and_gradients


@dataclass
class Call:
    """One call of the optimizer, for one variable."""

    gradient: np.ndarray
    before: np.ndarray
    after: np.ndarray
    updated: bool


@dataclass
class Epoch:
    """What one epoch of a training did to each variable, by path."""

    calls: dict[str, list[Call]] = field(default_factory=dict)
    skipped: int = 0


def dense(gradient):
    """A gradient as float64: sparse ones summed row by row."""
    if hasattr(gradient, "dense_shape"):
        full = np.zeros(tuple(array(gradient.dense_shape)), np.float64)
        np.add.at(full, array(gradient.indices), array(gradient.values).astype(np.float64))
        return full
    return array(gradient).astype(np.float64)


def train(model, x, y, *, batch_size, epochs):
    """Train without `fit`, in eager mode and in the order of the data, keeping all that happened."""
    history = []
    for _ in range(epochs):
        epoch = Epoch()
        for start in range(0, len(y), batch_size):
            step(model, x[start : start + batch_size], y[start : start + batch_size], epoch)
        history.append(epoch)
    return history


def step(model, x, y, epoch):
    """One step of gradient descent by the model's own loss and optimizer."""
    optimizer = model.optimizer
    factor = optimizer.scale_loss(keras.ops.convert_to_tensor(1.0))
    if not model.built:
        model(x)
    variables = model.trainable_variables

    def scaled():
        return optimizer.scale_loss(model.compute_loss(x=x, y=y, y_pred=model(x, training=True)))

    _, gradients = value_and_gradients(scaled, variables, model.non_trainable_variables)
    scale = float(array(factor))
    before = [array(v) for v in variables]
    counting = getattr(optimizer, "inner_optimizer", optimizer)
    iterations = int(array(counting.iterations))  # with accumulation made anew at each look
    apply(optimizer, gradients, variables)
    finite = all(np.isfinite(dense(g)).all() for g in gradients if g is not None)
    if hasattr(optimizer, "inner_optimizer") and not finite:
        epoch.skipped += 1
        return
    for variable, gradient, old in zip(variables, gradients, before, strict=True):
        if gradient is not None:
            call = Call(dense(gradient) / scale, old, array(variable), int(array(counting.iterations)) > iterations)
            epoch.calls.setdefault(variable.path, []).append(call)


def statistics(calls):
    """What the definitions say, of one variable."""
    g = np.stack([call.gradient for call in calls])
    w = np.stack([call.before.astype(np.float64) for call in calls])
    updates = [call for call in calls if call.updated]
    moved = sum(np.sum((c.after.astype(np.float64) - c.before) ** 2) for c in updates)
    weight = sum(np.sum(c.before.astype(np.float64) ** 2) for c in updates)
    return {
        "rms": np.sqrt(np.mean(g**2)),
        "mean": g.mean(),
        "std": g.std(),
        "max": np.abs(g).max(),
        "zero_fraction": np.mean(g == 0),
        "nonfinite": np.sum(~np.isfinite(g)),
        "update_ratio": np.sqrt(moved / weight) if weight > 0 else np.nan,
        "weight_norm": np.sqrt(np.sum(w**2) / len(calls)),
    }
