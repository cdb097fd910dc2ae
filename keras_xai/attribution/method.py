"""An attribution method: what it computes, what it needs, and what it reports beside its values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras

from keras_xai.attribution.batch import Batch
from keras_xai.attribution.placement import Placement
from keras_xai.backend.protocol import Tensor, Tensors
from keras_xai.errors import InvalidInput, unknown
from keras_xai.model.runner import ModelRunner
from keras_xai.model.samples import Samples
from keras_xai.probe import Probe
from keras_xai.records import Quantity


@dataclasses.dataclass(frozen=True)
class Method:
    """An attribution method; its options are its fields, under the names the field uses.

    Its `values` run inside one program, on some rows at a time, so they are written with tensors alone.
    """

    title: ClassVar[str] = ""  # as the method's paper spells it
    satisfies_completeness: ClassVar[bool] = False  # Σ values = score − baseline score
    needs_gradient: ClassVar[bool] = True  # what has none to offer is held fixed
    input_shaped: ClassVar[bool] = True  # values have the shape of the input; else a map (n, h, w) of their own
    reports_r2: ClassVar[bool] = False  # puts a model of its own in the place of the user's, and says how well it fits
    # "contribution": a value is its input's part of the score; on a linear model w·x, x counted from the baseline.
    # "slope": the score's change per unit of the input; on a linear model w.
    # "other": a figure of its own, which no view sums up or calls one of these.
    quantity: ClassVar[Quantity] = "contribution"
    follows_path: ClassVar[bool] = False  # goes from a baseline to the sample, and adds up what changes on the way

    @property
    def needs_baseline(self) -> bool:
        """True for a method that counts from a baseline, or takes entries back to it."""
        return self.satisfies_completeness or not self.needs_gradient

    @property
    def is_of_input(self) -> bool:
        """True where the values have the shape of the input; else they are of a layer's output, one array for all inputs."""
        return self.input_shaped

    @property
    def layer_of_units(self) -> str:
        """The layer whose units the values are of; "" for values of the input, and for maps."""
        return ""

    @property
    def full_title(self) -> str:
        """The title, with the layer where the values are of one."""
        return self.title

    @property
    def differentiates_inputs(self) -> bool:
        """True where a gradient has to lead from the score to an input."""
        return self.needs_gradient

    @property
    def reports_quadrature_error(self) -> bool:
        """True for a method that can say how far its sum lies from the integral that it stands for."""
        return False

    def values(self, batch: Batch) -> Tensors:
        """The attribution of these rows, one tensor an input: of `batch.x` for gradient methods, else of `model_inputs`."""
        raise NotImplementedError

    def required_layers(self, batch: Batch) -> Sequence[keras.layers.Layer]:
        """The layers whose activations it will ask for: one pass serves all methods, so it must know them first."""
        return ()

    def check(self, model: keras.Model) -> None:
        """Raise `InvalidInput` where the options do not fit the model."""

    def baseline_score(self, batch: Batch) -> Tensor:
        """(n,) what the values of a method that satisfies completeness are counted from."""
        return batch.path_start_score if self.needs_gradient else batch.baseline_score

    def r2(self, batch: Batch) -> Tensor:
        """(n,) of a method that reports it: the share of the score's movement that its own model accounts for."""
        raise NotImplementedError

    def quadrature_difference(self, batch: Batch) -> Tensors:
        """Half the difference of two quadratures of a method's points, one for each of `batch.x`, where it reports it."""
        raise NotImplementedError

    def placed(self, runner: ModelRunner, x: Sequence[Samples]) -> Placement | None:
        """The layer that a map of its own is read off, and how its tokens lie; None for any other method. Looked up once.

        Raises:
            InvalidInput: nothing says how they lie.
        """
        return None

    def for_probe(self, probe: Probe) -> Method:
        """The same method with what a probe says and the options leave open: its groups, its background."""
        return self

    def for_inputs(self, x: Sequence[Samples], like: Any) -> Method:
        """The same method with what it compares samples with as arrays, one an input of x.

        Raises:
            InvalidInput: that does not fit x, is not finite, or is of another type.
        """
        return self

    def passes(self, probe: Probe) -> float:
        """Passes over each row of a probe, forwards and backwards; a forward pass alone is a third."""
        return 1.0

    def for_callback(self, options: Mapping[str, Any]) -> Method:
        """The same method with the defaults that an epoch can afford, for all options but those that a user gave."""
        return self


def make_method(name: str, options: Mapping[str, Any], table: Mapping[str, type[Method]]) -> Method:
    """The method of that name with these options.

    Raises:
        InvalidInput: no such method, or no such option.
    """
    if name not in table:
        raise unknown("attribution method", name, table)
    cls = table[name]
    fields = [f.name for f in dataclasses.fields(cls)]
    for option in options:
        if option not in fields:
            choices = f"It has {', '.join(fields)}." if fields else "It has none."
            raise InvalidInput(f"{name} has no option {option!r}. {choices}")
    return cls(**options)
