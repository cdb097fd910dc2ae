"""The rule on the untrained model: its loss is far above guessing, its signal dies out, explodes or is saturated."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray
from scipy import special

from keras_xai.model.layers import iter_layers, layer_path
from keras_xai.model.task import Task
from keras_xai.training_checks.activation_reader import ActivationReading, LayerStatistics
from keras_xai.training_checks.activations import dead_units, saturated_activations
from keras_xai.training_checks.finding import MODEL, Finding
from keras_xai.training_checks.thresholds import Thresholds

_ADVICE = "take the initialiser that fits the activation (he_normal for ReLU, glorot_uniform for tanh and sigmoid)"


def poor_initialisation(
    reading: ActivationReading, task: Task | None, classes: NDArray[np.int64] | None, thresholds: Thresholds
) -> list[Finding]:
    """Return what is wrong with an untrained model; at most one finding of each layer, and one of the model.

    Args:
        reading: of the untrained model on rows of the probe.
        task: of its outputs; None where they are no scores of a row.
        classes: (n) of these rows; None where they have none.
        thresholds: of all rules.
    """
    findings: dict[str, Finding] = {}
    if not np.isfinite(reading.outputs).all():
        sentence = "outputs of the untrained model are not finite"
        return [Finding("poor initialisation", MODEL, math.nan, math.nan, sentence, _ADVICE)]
    for flat in (*saturated_activations(reading.layers, thresholds), *dead_units(reading.layers, thresholds)):
        sentence = f"{flat.sentence}, before the first step"
        findings[flat.name] = flat._replace(kind="poor initialisation", sentence=sentence, advice=_ADVICE)
    for lost in (*_blocked(reading), *_signal(reading.layers, thresholds["initial signal"])):
        findings.setdefault(lost.name, lost)
    loss = None if task is None or classes is None else initial_loss(reading.outputs, task, classes)
    if loss is not None and loss[0] > thresholds["poor initialisation"] * loss[1]:
        sentence = f"the untrained model's cross-entropy on the probe is {loss[0]:.3g}, guessing has {loss[1]:.3g}"
        advice = "scale the inputs, and make the last layer's initial weights smaller"
        ratio = loss[0] / loss[1]
        findings[MODEL] = Finding(
            "poor initialisation", MODEL, ratio, thresholds["poor initialisation"], sentence, advice
        )
    return list(findings.values())


def without_statistics(model: keras.Model) -> str:
    """Return the path of the first batch normalisation whose statistics are those that it was made with; "" without one.

    In inference it passes what it gets, in training it normalises: what the untrained model does in inference says nothing.
    """
    for layer in iter_layers(model):
        if not isinstance(layer, keras.layers.BatchNormalization):
            continue
        mean, variance = map(keras.ops.convert_to_numpy, (layer.moving_mean, layer.moving_variance))
        if not mean.any() and (variance == 1).all():
            return layer_path(layer, model)
    return ""


def initial_loss(outputs: NDArray[np.float32], task: Task, classes: NDArray[np.int64]) -> tuple[float, float] | None:
    """Return the mean cross-entropy of outputs in nats, and that of guessing; None for outputs that are no classes.

    Args:
        outputs: (n, K) logits or probabilities.
        task: says which.
        classes: (n) the true ones.
    """
    scores = outputs.reshape(len(outputs), -1).astype(np.float64)
    if task.kind == "binary":
        is_probability = task.outputs == "probability"
        logit = special.logit(np.clip(scores[:, 0], 1e-7, 1 - 1e-7)) if is_probability else scores[:, 0]
        return float(-special.log_expit((2 * classes - 1) * logit).mean()), math.log(2)
    if task.kind != "classes" or task.link != "softmax":
        return None
    logs = np.log(np.clip(scores, 1e-7, 1)) if task.outputs == "probability" else special.log_softmax(scores, 1)
    return float(-logs[np.arange(len(classes)), classes].mean()), math.log(scores.shape[1])


def _blocked(reading: ActivationReading) -> list[Finding]:
    """Return the first layer that gives the same for every row, where the whole model does."""
    outputs = reading.outputs.reshape(len(reading.outputs), -1)
    if len(outputs) < 2 or np.ptp(outputs, 0).max() > 1e-7 * max(1e-12, float(np.abs(outputs).max())):
        return []
    constant = [layer for layer in reading.layers if not layer.varies and not layer.may_be_constant]
    if not constant:
        return []  # the last layer's weights are zero, which trains
    sentence = f"{constant[0].name} gives the same for every row, before the first step"
    return [Finding("poor initialisation", constant[0].name, 0.0, 0.0, sentence, _ADVICE)]


def _signal(layers: Sequence[LayerStatistics], limit: float) -> list[Finding]:
    """Return the layer at which the standard deviation of activations has changed by more than allowed since the first."""
    measured = [layer for layer in layers if layer.varies and layer.std > 0 and math.isfinite(layer.std)]
    for layer in measured:
        ratio = layer.std / measured[0].std
        if min(ratio, 1 / ratio) < limit:
            word = "dies out" if ratio < 1 else "explodes"
            sentence = (
                f"the signal {word}: activations have a standard deviation of {measured[0].std:.2g} in {measured[0].name} and of "
                f"{layer.std:.2g} in {layer.name}, before the first step"
            )
            return [Finding("poor initialisation", layer.name, ratio, limit, sentence, _ADVICE)]
    return []
