"""The rules on activations: a sigmoid or tanh that stands at its bounds, a ReLU layer whose units are zero for every row."""

from __future__ import annotations

from collections.abc import Sequence

from keras_xai.training_checks.activation_reader import LayerStatistics
from keras_xai.training_checks.finding import Finding
from keras_xai.training_checks.thresholds import Thresholds

SATURATING = ("sigmoid", "tanh")  # a softmax over many keys is near 0 by nature


def saturated_activations(layers: Sequence[LayerStatistics], thresholds: Thresholds) -> list[Finding]:
    """Return the layers nearly all of whose activations are within 0.01 of a bound of their sigmoid or tanh."""
    limit = thresholds["saturated activation"]
    return [
        Finding(
            "saturated activation",
            layer.name,
            layer.saturated,
            limit,
            f"{layer.saturated:.0%} of the {layer.function} outputs of {layer.name} are within 0.01 of a bound, where hardly any "
            f"gradient passes",
            "scale the inputs, lower the learning rate or the initial weights, or normalise in front of it",
        )
        for layer in layers
        if layer.function in SATURATING and layer.saturated > limit
    ]


def dead_units(layers: Sequence[LayerStatistics], thresholds: Thresholds) -> list[Finding]:
    """Return the ReLU layers nearly all of whose units are zero for every row."""
    limit = thresholds["dead units"]
    return [
        Finding(
            "dead units",
            layer.name,
            layer.dead,
            limit,
            f"{layer.dead:.0%} of the units of {layer.name} are zero for every row that was looked at",
            "lower the learning rate, or take LeakyReLU or He initialisation",
        )
        for layer in layers
        if layer.dead > limit
    ]
