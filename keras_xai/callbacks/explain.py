"""`Explain`: all callbacks of this package as one."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import Any

import keras

from keras_xai.callbacks.importance_drift import ImportanceDrift
from keras_xai.callbacks.instruments import Instruments, instrument_options
from keras_xai.callbacks.loops.stepping import Stepping
from keras_xai.callbacks.memory import collected_needs, warn_of_memory
from keras_xai.callbacks.probe_attributions import Methods, ProbeAttributions, method_options
from keras_xai.callbacks.probe_mappings import ProbeMappings
from keras_xai.callbacks.response import Response
from keras_xai.callbacks.schedule import Every
from keras_xai.callbacks.training_checks import TrainingChecks
from keras_xai.callbacks.training_rows import TrainingRows
from keras_xai.callbacks.weight_gradients import WeightGradients
from keras_xai.errors import InvalidInput, unknown
from keras_xai.probe import Probe
from keras_xai.records import Alert

Options = Mapping[str, Any]  # of one callback, by the names of its arguments


class Explain(Stepping):
    """`WeightGradients`, `ProbeAttributions` and `ImportanceDrift` on one log directory; with `mappings` also `ProbeMappings`.

    It passes every hook on: each of them records, isolates its faults and counts its cost by itself. An argument set here
    holds for each that has one of this name. `gradients`, `attributions`, `drift` and `mappings` are dicts of arguments
    for one of them, which override what is set for all:

        Explain(log_dir, probe, every=5, gradients={"include": "backbone"}, drift={"limit": 8, "every": 1})

    Args:
        log_dir: a directory or an address, as "s3://bucket/run"; the run is written to `<log_dir>/keras_xai`.
        probe: a `Probe`, or what makes one; 128 rows or more, not from the training data.
        live: training rows to re-read every epoch, at most 512, and to compare with the probe, see `ImportanceDrift`: with them a
            shortcut that was there from the first epoch is an alarm, where a labelled probe is free of it.
        method: of the gallery, see `ProbeAttributions`; None for no gallery.
        every: look at every n-th epoch, or a function epoch -> bool, the first and the last always; or "200 steps"
            (`kx.steps(200)`), or "auto", about 30 times in the whole training, and at the end of each epoch.
        mappings: True adds `ProbeMappings`, and so does a dict of its options.
        instruments: what is measured beside, "all" or names of `keras_xai.callbacks.instruments.INSTRUMENTS`:
            "critical_step" (how far a step could have gone), "map_checks" (whether the gallery's maps can be believed),
            "training_checks" (adds `TrainingChecks`), "influence" (which live rows taught the model; of "all" where there are
            labelled live rows and the last layer is a `Dense`). What each costs: docs/trust.md.
        training_rows: True adds `TrainingRows`, and so does a dict of its options, `x` and `y` among them.
        gradients: options of `WeightGradients`, such as `include`, `samples_per_epoch`, `thresholds`.
        attributions: options of `ProbeAttributions`, such as `samples`, `gallery`, `pinned`; those of the method where it is a
            single one.
        drift: options of `ImportanceDrift`, such as `rules`, `gap`, `limit`, `per_class`, `burn_in`.
        on_drift: at an alert: "warn", "stop" (and warn), "raise" a `DriftAlarm`, or a function of the `records.Alert`.
        on_flag: at a new flag: "warn", "stop" (and warn), "raise" a `GradientAlarm` or `MappingAlarm`, or a function of the
            record that has the flag, `records.Gradients` or `records.Mappings`.
        on_error: "warn" (an exception is one warning, and the callback that raised it is disabled) or "raise" (for
            development).
        log: "all" puts every figure into Keras' `logs`, and so into its progress line; by default `xai_drift_score`,
            `xai_drift_alarm` and `xai_quiet_epochs`; with live rows and a labelled probe also `xai_gap` and `xai_gap_alarm`,
            with a region `xai_inside`, with slices `xai_worst_slice`. The records hold all of them.

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
        instruments: Instruments = None,
        training_rows: bool | Options = False,
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
        mappings_dict = None if isinstance(mappings, bool) else mappings
        gradient_options = _options(WeightGradients, "gradients", gradients)
        attribution_options = _options(ProbeAttributions, "attributions", attributions, method)
        mapping_options = _options(ProbeMappings, "mappings", mappings_dict)
        drift_options = _options(ImportanceDrift, "drift", drift)
        if method is None and attribution_options and "method" not in attribution_options:
            raise InvalidInput(f"attributions={attributions!r} with method=None: there is no gallery; give a method.")

        wants_rows = training_rows is not False and training_rows is not None
        row_options = _options(
            TrainingRows, "training_rows", training_rows if isinstance(training_rows, Mapping) else None
        )
        turned_on = instrument_options(instruments)
        if method is None and not attribution_options and turned_on["attributions"] and instruments != "all":
            raise InvalidInput(
                f"instruments={instruments!r} with method=None: there is no gallery to check; give a method."
            )
        if turned_on["drift"].get("influence") is True and drift_options.get("live", live) is None:
            raise InvalidInput(
                f"instruments={instruments!r} without live rows: influence is that of rows that are trained on; give live=(x, y)."
            )
        shared = {"every": every, "on_error": on_error}
        self.callbacks: list[keras.callbacks.Callback] = []
        with collected_needs() as self.needs:
            gradient_options = {**shared, "on_flag": on_flag, "log": log, **turned_on["gradients"], **gradient_options}
            self.callbacks.append(WeightGradients(log_dir, **gradient_options))
            if method is not None or attribution_options:
                attribution_options = {**shared, "method": method, **turned_on["attributions"], **attribution_options}
                self.callbacks.append(ProbeAttributions(log_dir, probe, **attribution_options))
            if turned_on["mappings"] or (mappings is not False and mappings is not None):
                mapping_options = {**shared, "on_flag": on_flag, "log": log, **turned_on["mappings"], **mapping_options}
                self.callbacks.append(ProbeMappings(log_dir, probe, **mapping_options))
            if turned_on["training_checks"]:
                check_options = {**shared, "live": live, "on_flag": on_flag, "log": log, **turned_on["training_checks"]}
                self.callbacks.append(TrainingChecks(log_dir, probe, **check_options))
            if wants_rows:
                self.callbacks.append(TrainingRows(log_dir, **{"on_error": on_error, **row_options}))
            # Last, since on_drift="raise" ends the epoch for the callbacks behind it.
            shared_of_drift = {**shared, "live": live, "on_drift": on_drift, "log": log}
            drift_options = {**shared_of_drift, **turned_on["drift"], **drift_options}
            self.callbacks.append(ImportanceDrift(log_dir, probe, **drift_options))
        warn_of_memory(self.needs, stacklevel=3)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state of a copy: the settings of this callback, without what belongs to the fit that it watches."""
        return {**vars(self), "_model": None, "params": None, "_loop": None}

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

    @property
    def async_safe(self) -> bool:
        """True where it is for each of them, see `RecordingCallback`."""
        return all(getattr(callback, "async_safe", False) for callback in self.callbacks)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_batch_begin(batch, logs)


def _options(
    callback: type[keras.callbacks.Callback], argument: str, options: Options | None, method: Methods | None = None
) -> dict[str, Any]:
    """Check the options of one callback, and return them as a dict.

    Args:
        callback: the class that gets them.
        argument: the one of `Explain` that holds them, for the error message.
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
    names = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY or p.name in ("method", "x", "y")]
    method = options.get("method", method)
    if callback is ProbeAttributions and isinstance(method, str):
        names += [name for name in method_options(method) if name not in names]
    for name in options:
        if name not in names:
            raise unknown(f"option of {callback.__name__}", name, names)
    return dict(options)
