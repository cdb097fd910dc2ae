"""Internal influence."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import keras

from keras_xai.attribution.batch import Batch
from keras_xai.attribution.integrated_gradients import IntegratedGradients
from keras_xai.attribution.layer_method import LayerMethod
from keras_xai.attribution.method import Method
from keras_xai.attribution.straight_path import mean_gradient
from keras_xai.backend.protocol import Tensors
from keras_xai.errors import InvalidInput, check_int
from keras_xai.probe import Probe
from keras_xai.records import Quantity


@dataclasses.dataclass(frozen=True)
class InternalInfluence(LayerMethod):
    """The gradient at a layer, averaged on the straight path from a baseline (Leino et al. 2018, arXiv 1802.03788).

        values = ∫₀¹ ∂ score / ∂ A (x₀ + a (x − x₀)) da

    How much the score moves with each unit A of the layer, over what the layer meets on the way to the sample: signed, in score
    units per unit of the activation. It does not ask how far a unit itself moves, which conductance does
    (`integrated_gradients` with `layer`); prefer it to compare what units would do. The values have the shape of the layer's
    output.

    Cost: `n_steps` forward and backward passes.

    Args:
        layer: path or name of a layer; needed.
        n_steps: points on the path, of Gauss and Legendre; a callback takes 8 where none are given.
        input: name or number of the input that feeds the call which the values are of, where the layer is shared.

    Raises:
        InvalidInput: no layer is named, or none is called so (with close matches); nothing leads from it to the score.

    Example:
        >>> a = kx.attribute(model, images, method="internal_influence", layer="conv2")
        >>> a.values.shape
        (16, 8, 8, 8)
    """

    title: ClassVar[str] = "Internal influence"
    quantity: ClassVar[Quantity] = "slope"
    follows_path: ClassVar[bool] = True
    input_shaped: ClassVar[bool] = False

    layer: str | None = None
    n_steps: int = 16
    input: str | int | None = None

    def __post_init__(self) -> None:
        check_int("n_steps", self.n_steps)

    @property
    def needs_baseline(self) -> bool:
        return True

    def check(self, model: keras.Model) -> None:
        if self.layer is None:
            raise InvalidInput("internal_influence is of the units of a layer: name one with layer=.")
        super().check(model)

    def passes(self, probe: Probe) -> float:
        return float(self.n_steps)

    def for_callback(self, options: Mapping[str, Any]) -> Method:
        return self if "n_steps" in options else dataclasses.replace(self, n_steps=8)

    def values(self, batch: Batch) -> Tensors:
        self.activation(batch)
        positions, weights = IntegratedGradients(self.n_steps).points()
        return [mean_gradient(batch, self.chosen_layer(batch), self.chosen_call(batch), positions, weights)]
