"""The loss of a batch along the step that was taken on it, and the trainings in which it cannot be known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_xai.backend.recorder import StepTaken, Tensor

OWN_TRAIN_STEP = "the model has a train_step of its own, whose loss is not known"
ACCUMULATES = "gradients of several batches are accumulated: a step is not of its own batch"
SEVERAL_STEPS = "one call of the train function takes several steps (steps_per_execution)"
OWN_LOOP = "the loss of a training loop of your own is not known"
IN_PROCESSES = "several processes train the model"
NOT_FINITE = "the loss before the step is not finite"
UNMOVED = "the sampled steps changed no weight"
NO_STEPS = "no step was sampled"


def obstacle(model: keras.Model) -> str:
    """Return why the loss of a batch cannot be evaluated along the step taken on it; "" where it can."""
    if "train_step" in vars(model) or type(model).train_step is not keras.Model.train_step:
        return OWN_TRAIN_STEP
    if model.steps_per_execution != 1:
        return SEVERAL_STEPS
    optimizer = model.optimizer
    while optimizer is not None:
        if getattr(optimizer, "gradient_accumulation_steps", None):
            return ACCUMULATES
        optimizer = getattr(optimizer, "inner_optimizer", None)
    return ""


def computes_in_half(model: keras.Model) -> bool:
    """Return True where a layer computes in 16 bits."""
    policies = [model.dtype_policy, *(layer.dtype_policy for layer in model._flatten_layers(include_self=False))]
    return any("16" in str(policy.compute_dtype) for policy in policies)


def loss_of(model: keras.Model) -> Callable[..., Tensor]:
    """Return the loss of a batch at w + αΔ, as a function of tensors: (α, step) -> a number.

    It is the loss that Keras' own train step differentiates: with `training=True` and the seeds that the step began with, so that
    dropout draws the same mask, with the sample weights of the batch, and with regularizers and `add_loss`. It runs in a
    stateless scope: nothing that the forward pass assigns reaches a variable.
    """

    def loss(multiple: Tensor, step: StepTaken) -> Tensor:
        pairs = zip(model.trainable_variables, step.before, step.after, strict=True)
        mapping = [(variable, _along(old, new, multiple)) for variable, old, new in pairs]
        mapping += zip(model.non_trainable_variables, step.others, strict=True)
        mapping += zip(model.metrics_variables, step.metrics, strict=True)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(step.batch)
        with keras.StatelessScope(state_mapping=mapping, collect_losses=True):
            y_pred = model(x, training=True) if model._call_has_training_arg else model(x)
            # Keras' own name of `compute_loss` with whichever arguments the model's has.
            value = model._compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True)
        return keras.ops.cast(value, "float32")

    return loss


def _along(old: Tensor, new: Tensor, multiple: Tensor) -> Tensor:
    """Return the weights at a multiple of a step, in their own dtype."""
    ops = keras.ops
    start = ops.cast(old, "float32")
    return ops.cast(start + multiple * (ops.cast(new, "float32") - start), old.dtype)


def scalar(value: float) -> np.ndarray[Any, Any]:
    """Return a number as an array, which is an argument of a program and no constant of it."""
    return np.asarray(value, np.float32)
