"""The callbacks of this package in one line."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import Any

import keras

from keras_xai.callbacks.importance_drift import ImportanceDrift
from keras_xai.callbacks.memory import collected, warn_of
from keras_xai.callbacks.probe_attributions import Methods, ProbeAttributions, method_options
from keras_xai.callbacks.probe_mappings import ProbeMappings
from keras_xai.callbacks.response import Response
from keras_xai.callbacks.schedule import Every
from keras_xai.callbacks.weight_gradients import WeightGradients
from keras_xai.errors import InvalidInput, unknown
from keras_xai.probe import Probe
from keras_xai.records import Alert

Options = Mapping[str, Any]  # of one callback, by the names of its arguments


class Explain(keras.callbacks.Callback):
    """`WeightGradients`, `ProbeAttributions` and `ImportanceDrift` on one log directory; with `mappings` also `ProbeMappings`.

    Nothing of its own: each of them looks, isolates its faults and counts its cost by itself. What is set here holds for
    each that has such an argument. `gradients`, `attributions`, `drift` and `mappings` are dicts of arguments of one
    of them, which go before what is set for all:

        Explain(log_dir, probe, every=5, gradients={"include": "backbone"}, drift={"limit": 8, "every": 1})

    Args:
        log_dir: a local directory; the run is written to `<log_dir>/keras_xai`.
        probe: a `Probe`, or what makes one; 128 rows or more, not from the training data.
        live: training rows to re-read every epoch, see `ImportanceDrift`.
        method: of the gallery, see `ProbeAttributions`; None for no gallery.
        every: look at every n-th epoch, or a function epoch -> bool; the first and the last always.
        mappings: True adds `ProbeMappings`, and so does a dict of its options.
        gradients: options of `WeightGradients`, such as `include`, `samples_per_epoch`, `thresholds`.
        attributions: options of `ProbeAttributions`, such as `samples`, `seed`; those of the method where it is a single one.
        drift: options of `ImportanceDrift`, such as `limit`, `per_class`, `burn_in`.
        on_drift: at an alert: "warn", "stop" (and warn), "raise" a `DriftAlarm`, or a function of the `records.Alert`.
        on_flag: at a new flag: "warn", "stop" (and warn), "raise" a `GradientAlarm` or `MappingAlarm`, or a function of the
            record that has the flag, `records.Gradients` or `records.Mappings`.
        on_error: "warn" (a fault is one warning, and the callback that has it retires) or "raise" (for development).
        log: "all" puts every figure into Keras' `logs`, and so into its progress line; by default `xai_drift_score`,
            `xai_drift_alarm` and `xai_quiet_epochs`. The records hold all of them.

    Raises:
        InvalidInput: as each of them does; for an option that none has, with the nearest name.

    Example:
        >>> import keras, numpy as np, tempfile
        >>> x = np.random.default_rng(0).normal(size=(128, 4)).astype("float32")
        >>> y = (x[:, 0] > 0).astype("int32")
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> watch = Explain(tempfile.mkdtemp(), (x, y), every=2, gradients={"samples_per_epoch": 1})
        >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=[watch])
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        probe: Any,
        *,
        live: Any = None,
        method: Methods | None = ("saliency", "integrated_gradients"),
        every: Every = 1,
        mappings: bool | Options = False,
        gradients: Options | None = None,
        attributions: Options | None = None,
        drift: Options | None = None,
        on_drift: Response[Alert] = "warn",
        on_flag: Response[Any] = "warn",
        on_error: str = "warn",
        log: str = "default",
    ) -> None:
        super().__init__()
        probe = Probe.of(probe)
        of_all = {"every": every, "on_error": on_error}
        of_gradients = _options(WeightGradients, "gradients", gradients)
        of_attributions = _options(ProbeAttributions, "attributions", attributions, method)
        of_mappings = _options(ProbeMappings, "mappings", None if isinstance(mappings, bool) else mappings)
        of_drift = _options(ImportanceDrift, "drift", drift)
        if method is None and of_attributions and "method" not in of_attributions:
            raise InvalidInput(f"attributions={attributions!r} with method=None: there is no gallery; give a method.")

        self.callbacks: list[keras.callbacks.Callback] = []
        with collected() as self.needs:
            of_gradients = {**of_all, "on_flag": on_flag, "log": log, **of_gradients}
            self.callbacks.append(WeightGradients(log_dir, **of_gradients))
            if method is not None or of_attributions:
                of_attributions = {**of_all, "method": method, **of_attributions}
                self.callbacks.append(ProbeAttributions(log_dir, probe, **of_attributions))
            if mappings is not False and mappings is not None:
                of_mappings = {**of_all, "on_flag": on_flag, "log": log, **of_mappings}
                self.callbacks.append(ProbeMappings(log_dir, probe, **of_mappings))
            # Last, since on_drift="raise" ends the epoch for whoever comes after it.
            of_drift = {**of_all, "live": live, "on_drift": on_drift, "log": log, **of_drift}
            self.callbacks.append(ImportanceDrift(log_dir, probe, **of_drift))
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


def _options(
    callback: type[keras.callbacks.Callback], argument: str, options: Options | None, method: Methods | None = None
) -> dict[str, Any]:
    """Return the options of one callback, each of which it has.

    Args:
        callback: which gets them.
        argument: of `Explain`, for the error message.
        options: as the user gave them.
        method: of the gallery; where it is a single one its own options may be among them.

    Raises:
        InvalidInput: no dict, or an option that the callback does not have.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise InvalidInput(f"{argument}={options!r}: expected a dict of options of {callback.__name__}.")
    parameters = inspect.signature(callback).parameters.values()
    names = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY or p.name == "method"]
    method = options.get("method", method)
    if callback is ProbeAttributions and isinstance(method, str):
        names += [name for name in method_options(method) if name not in names]
    for name in options:
        if name not in names:
            raise unknown(f"option of {callback.__name__}", name, names)
    return dict(options)
