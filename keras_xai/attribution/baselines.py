"""The default baseline: rows that stand for "nothing" where the user gave none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.backend.preimages import preimages
from keras_xai.backend.team import present_team
from keras_xai.model.inputs import ABSENT_TOKEN
from keras_xai.model.layers import iter_layers
from keras_xai.model.samples import Samples
from keras_xai.model.scores import Output, ScoreFunction
from keras_xai.probe import Probe

MASK_DISTANCE = 1e-6  # of a mask value: as far from it as makes a step count, and changes nothing else
ABSENT: dict[str, Any] = {"i": ABSENT_TOKEN, "O": ""}  # by the kind of the dtype


class DefaultBaseline:
    """The baseline where the user gave none: the mean row for the table of a probe, else zero in the model's input space.

    Where a Normalization comes first, or after a rescaling, that is its adapted mean. What Keras masks by value (`Masking`)
    is left out of the way from the baseline to a sample: a step that the model skips keeps its value, and no other one begins
    at the value that is skipped, from which the score would jump.

    Integers get `ABSENT_TOKEN`, which is no token: an embedding of zeros where they are looked up, else the number 0. Strings get
    the empty one, which a lookup does not know.

    Args:
        model: a built model.
        x: (B, ...) an input.
        like: the input as the user holds it, for its structure.
        output: see `Probe`.
        probe: that x is of, or None.

    Cost:
        Two forward passes of one sample, once, of a model with a Normalization or a Masking.
    """

    def __init__(
        self, model: keras.Model, x: Sequence[Samples], like: Any, output: Output = None, probe: Probe | None = None
    ) -> None:
        self._masked: dict[int, NDArray[Any]] = {}  # by input: the sample that a Masking skips
        self._base: list[NDArray[Any]] = [np.full(a.shape[1:], ABSENT.get(a.dtype.kind, 0.0), a.dtype) for a in x]
        if probe is not None and probe.kind == "table":
            self._base = [_mean(a) if a.dtype.kind == "f" else b for a, b in zip(x, self._base, strict=True)]
            return
        layers = [
            layer
            for layer in iter_layers(model)
            if isinstance(layer, (keras.layers.Masking, keras.layers.Normalization))
            and not getattr(layer, "invert", False)
        ]
        if not layers or not any(a.dtype.kind == "f" for a in x):
            return
        present_team().meet()
        outputs = ScoreFunction(model, like, output).outputs
        for layer, point in preimages(outputs, [a[:1] for a in x], layers, model):
            for k, (is_fed, values) in point.items():
                if isinstance(layer, keras.layers.Normalization):
                    self._base[k] = np.where(is_fed, values, self._base[k]).astype(x[k].dtype)
                elif is_fed.all() and len(x[k].shape) > 2:
                    self._masked[k] = values

    def rows(self, x: Sequence[Samples]) -> list[NDArray[Any]]:
        """For these samples, one row for each."""
        baseline = []
        for k, (base, a) in enumerate(zip(self._base, x, strict=True)):
            rows: NDArray[Any] = np.broadcast_to(base, a.shape)
            baseline.append(_past_the_mask(a, rows, self._masked[k]) if k in self._masked else rows)
        return baseline


def _mean(x: Samples) -> NDArray[np.float32]:
    return np.asarray(x[:].mean(0, dtype=np.float64)).astype(np.float32)


def _past_the_mask(x: Samples, rows: NDArray[Any], masked: NDArray[Any]) -> NDArray[Any]:
    """(B, T, ...) baselines in which the steps that are all `masked` (T, ...) in x are so, and no others."""
    axes = tuple(range(2, len(x.shape)))
    skipped = (x[:] == masked).all(axes, keepdims=True)
    begins = (rows == masked).all(axes, keepdims=True) & ~skipped
    apart = np.where(begins, rows + MASK_DISTANCE * np.maximum(1.0, np.abs(masked)), rows)
    return np.where(skipped, x[:], apart).astype(x.dtype)
