"""The figures of a model in training that its records hold: counts of the optimizer and of the loss, metrics."""

from __future__ import annotations

import logging
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.backend import get_backend
from keras_xai.callbacks.provenance import provenance_of
from keras_xai.probe import Probe
from keras_xai.provenance import Provenance

logger = logging.getLogger("keras_xai")


class ModelReading:
    """Reads figures of a model that is in training, between two of its steps.

    Args:
        model: in training.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model

    def sync(self) -> None:
        """Bring the model's variables up to date."""
        get_backend().sync_model(self._model)

    @property
    def is_built(self) -> bool:
        """True where the model has its weights."""
        return bool(getattr(self._model, "built", False))

    def provenance(self, probe: Probe | None, **moment: Any) -> Provenance:
        """Return how the training was begun, see `callbacks.provenance.provenance_of`."""
        return provenance_of(self._model, probe, **moment)

    @property
    def steps_per_execution(self) -> int:
        """The steps of one call of the train function."""
        return getattr(self._model, "steps_per_execution", 1) or 1

    def iterations(self) -> int | None:
        """Return how many steps the optimizer has counted, those of accumulation among them; None without an optimizer."""
        optimizer = getattr(self._model, "optimizer", None)
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        count = getattr(optimizer, "_iterations", None)
        if count is None:
            return None
        # The addition reads it: a variable mirrored on several devices is no number by itself.
        return int(np.asarray(keras.ops.convert_to_numpy(getattr(count, "value", count) + 0)))

    def rows(self) -> float:
        """Return the rows over which Keras' own loss is a mean at present, 0 where it keeps no count."""
        for metric in getattr(self._model, "metrics", ()):
            count = getattr(metric, "count", None)
            if metric.name == "loss" and count is not None:
                return float(keras.ops.convert_to_numpy(count))
        return 0.0

    def metrics(self) -> dict[str, NDArray[Any]]:
        """Return the metrics so far of the epoch that runs, as Keras' `logs` have them at its end.

        Those that cannot be read are left out, and so is a loss that Keras did not compute.
        """
        try:
            results = self._model.get_metrics_result()
            if not self.rows():  # a train step of the user's own leaves Keras' loss at 0
                results.pop("loss", None)
            return {name: keras.ops.convert_to_numpy(value) for name, value in results.items()}
        except Exception:  # a metric of the user's own may not be ready for it
            logger.debug("the metrics inside the epoch could not be read", exc_info=True)
            return {}
