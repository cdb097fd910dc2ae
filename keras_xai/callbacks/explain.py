"""All three in one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import keras

from keras_xai.callbacks.importance_drift import ImportanceDrift
from keras_xai.callbacks.memory import collected, warn_of
from keras_xai.callbacks.probe_attributions import Methods, ProbeAttributions
from keras_xai.callbacks.probe_mappings import ProbeMappings
from keras_xai.callbacks.weight_gradients import WeightGradients
from keras_xai.probe import Probe
from keras_xai.records import Alert


class Explain(keras.callbacks.Callback):
    """`WeightGradients`, `ProbeAttributions` and `ImportanceDrift` on one log directory, with their defaults.

    With `mappings=True` also `ProbeMappings`. Nothing of its own: each of them looks, isolates its faults and counts its
    cost by itself. Take them one by one where you want to set more.

    Args:
        log_dir: a local directory; the run is written to `<log_dir>/keras_xai`.
        probe: a `Probe`, or what makes one; 128 rows or more, not from the training data.
        live: training rows to re-read every epoch, see `ImportanceDrift`.
        method: of the gallery, see `ProbeAttributions`; None for no gallery.
        mappings: add `ProbeMappings`.
        on_drift: "warn", "stop", "raise" or a callable that gets the `records.Alert`.
        on_error: "warn" or "raise".
        log: "all" puts every figure into Keras' `logs`, and so into its progress line; by default `xai_drift_score`,
            `xai_drift_alarm` and `xai_quiet_epochs`. The records hold all of them.

    Raises:
        InvalidInput: as the three do.

    Example:
        >>> import keras, numpy as np, tempfile
        >>> x = np.random.default_rng(0).normal(size=(128, 4)).astype("float32")
        >>> y = (x[:, 0] > 0).astype("int32")
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=[Explain(tempfile.mkdtemp(), (x, y))])
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        probe: Any,
        *,
        live: Any = None,
        method: Methods | None = ("saliency", "integrated_gradients"),
        mappings: bool = False,
        on_drift: str | Callable[[Alert], Any] = "warn",
        on_error: str = "warn",
        log: str = "default",
    ) -> None:
        super().__init__()
        probe = Probe.of(probe)
        self.callbacks: list[keras.callbacks.Callback] = [WeightGradients(log_dir, on_error=on_error, log=log)]
        with collected() as self.needs:
            if method is not None:
                self.callbacks.append(ProbeAttributions(log_dir, probe, method, on_error=on_error))
            if mappings:
                self.callbacks.append(ProbeMappings(log_dir, probe, on_error=on_error, log=log))
            # Last, since on_drift="raise" ends the epoch for whoever comes after it.
            drift = ImportanceDrift(log_dir, probe, live=live, on_drift=on_drift, on_error=on_error, log=log)
            self.callbacks.append(drift)
        warn_of(self.needs, stacklevel=3)

    def __getstate__(self) -> dict[str, Any]:
        """A copy has the settings of this callback, and no part in its training."""
        return {**vars(self), "_model": None, "params": None}

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        for callback in self.callbacks:
            callback.set_params(params)

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        for callback in self.callbacks:
            callback.set_model(model)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_begin(logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_end(logs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        for callback in self.callbacks:
            callback.on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_batch_begin(batch, logs)
