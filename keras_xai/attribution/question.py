"""Samples of a model and the score of each that is asked about: what `kx.attribute` and `kx.metrics` have in common."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai import tree
from keras_xai.attribution.baselines import DefaultBaseline
from keras_xai.errors import InvalidInput
from keras_xai.frames import Names, as_arrays, warn_of_conversion
from keras_xai.model.fitting import arrays_for, fit_probe
from keras_xai.model.inputs import broadcast_baseline, check_input_shapes, check_samples, prepare_inputs
from keras_xai.model.runner import ModelRunner
from keras_xai.model.samples import Samples
from keras_xai.model.scores import Output
from keras_xai.probe import Probe


class Question:
    """Samples as a model takes them, the rows that they are compared with, and the score that is explained of each.

    Args:
        model: a built model.
        x: (B, ...) samples as `attribute` takes them.
        target: as `attribute` takes it.
        output: see `Probe`.
        baseline: as `attribute` takes it.
        jit_compile: compile with XLA.
        stacklevel: of the warning that samples are converted, from here to the user's line.

    Attributes:
        probe: that the samples came as, with the kind that the model says; None of bare samples.
        like: the samples in the structure that the model takes.
        inputs: (B, ...) one an input, as the graph takes them.
        baseline: (B, ...) one an input.
        runner: of the model.

    Raises:
        InvalidInput: samples or a baseline that do not fit the model, a model without weights.
    """

    def __init__(
        self,
        model: keras.Model,
        x: Any,
        target: Any = None,
        output: Output = None,
        baseline: Any = None,
        jit_compile: bool = False,
        stacklevel: int = 4,
    ) -> None:
        self.model, self._target = model, target
        self.probe = fit_probe(model, x) if isinstance(x, Probe) else None
        self._names: Names = None
        if self.probe is not None:
            if self.probe.x is None:
                raise InvalidInput("This probe holds no samples (store='none').")
            x, output = self.probe.x, self.probe.output if output is None else output
            baseline = self.probe.baseline if baseline is None else baseline
        else:
            samples = as_arrays(x)
            warn_of_conversion(samples, stacklevel=stacklevel)
            x = arrays_for(model, samples)
            self._names = samples.names[0] if len(samples.names) == 1 else None
        arrays = tree.leaves(x)
        check_samples(arrays)
        if not model.built:
            raise InvalidInput("The model has no weights yet: call it once, or build it, before it is explained.")
        check_input_shapes(model, arrays, x)
        self.like = x
        self.inputs: list[Samples] = prepare_inputs(model, arrays, x)
        if baseline is None:
            self.baseline = DefaultBaseline(model, self.inputs, x, output, self.probe).rows(self.inputs)
        else:
            self.baseline = broadcast_baseline(baseline, self.inputs, x)
        self.runner = ModelRunner(model, x, output, jit=jit_compile)

    @functools.cached_property
    def target(self) -> NDArray[np.int64]:
        """The targets, see `ModelRunner.targets`: what is asked for, else the true classes of a probe, else the model's choice.

        Raises:
            InvalidInput: labels or targets that do not fit the output; no target where none can be chosen.
        """
        probe, target = self.probe, self._target
        y, names = (None, None) if probe is None else (probe.y, probe.class_names)
        if target is None and probe is not None:
            target = probe.target
        return self.runner.targets(self.inputs, y, target, names)

    def samples(self) -> Probe | None:
        """Return the samples as a probe, with what is known of them; None where the model leaves a doubt of their kind."""
        if self.probe is not None:
            return self.probe
        try:
            return fit_probe(self.model, Probe(self.like, feature_names=self._names))
        except InvalidInput:
            return None
