"""The gradients that trained the model, every epoch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from keras_xai.callbacks.base import RecordingCallback, fault_isolated
from keras_xai.callbacks.model_parts import ModelParts
from keras_xai.callbacks.response import Response, check_response, respond
from keras_xai.callbacks.schedule import Every
from keras_xai.errors import GradientAlarm, InvalidInput
from keras_xai.gradients.flags import Flags, sentence
from keras_xai.gradients.sampling import Samples, Sampling
from keras_xai.gradients.selection import Patterns, Selection
from keras_xai.gradients.statistics import BIN_EDGES, WIDTH, Overall, derived, histogram, overall, size_of, unique
from keras_xai.gradients.tap import Heard, Seconds, Tap, path, recordable
from keras_xai.records import STATISTICS, Flag, Gradients
from keras_xai.summary.metadata import Record
from keras_xai.summary.reader import Log


class WeightGradients(RecordingCallback):
    """Records the gradients that `fit` hands to the optimizer: their statistics and log2 histograms, by variable.

    They are those of the training's own steps, from inside the compiled train step, not of a batch evaluated later:
    after loss scaling is undone, summed over replicas, before any clipping. A second train function is traced once and
    runs on a few sampled steps of each epoch; all others run the model's own. The weights end up the same, bit for bit.

    With `log="all"` `logs` get, in every epoch from the first, NaN before there is a figure:

    - `xai_grad_norm`: L2 norm of the whole gradient, root mean square over the recorded optimizer calls;
    - `xai_update_ratio`: L2 norm of the whole update over that of the weights; about 1e-3 a step is usual;
    - `xai_nonfinite`: NaN or infinite gradient entries in the recorded calls.

    Where gradients cannot be recorded (a train step without an optimizer, random operations that keep their state in
    the graph), the record and a warning say "not captured" and why, and the training runs on untouched.

    Args:
        log_dir: a local directory; the run is written to `<log_dir>/keras_xai`.
        every: look at every n-th epoch, or a function epoch -> bool; the first and the last always.
        samples_per_epoch: how many calls of the train function are recorded, spread from the first to the last of an
            epoch; or "all". With `steps_per_execution` one call holds several steps, which are all recorded.
        include: layer or variable paths, wildcards allowed ("backbone", "*/kernel"); default all trainable variables.
        exclude: the same, of what to leave out.
        thresholds: other numbers for the flags, see `keras_xai.gradients.flags.Flags`.
        on_flag: when a flag is raised that did not stand before: "warn", "stop" (and warn), "raise" a `GradientAlarm`,
            or a function of the `records.Gradients`.
        on_error: "warn" (a fault is one warning, and the callback retires) or "raise" (for development).
        log: "all" puts the figures above into Keras' `logs`; by default the records alone hold them.

    Raises:
        InvalidInput: an argument that cannot work; patterns that match no trainable variable, at train begin.

    Example:
        >>> watch = kx.WeightGradients("logs/run1", include="backbone")
        >>> history = model.fit(x, y, epochs=3, verbose=0, callbacks=[watch])
        >>> kx.load("logs")["run1"].weight_gradients[-1].names
        ('backbone/kernel', 'backbone/bias')
    """

    name: ClassVar[str] = "weight_gradients"
    cost_hint: ClassVar[str] = "samples_per_epoch=1, or every=5, in WeightGradients"
    fit_state: ClassVar[Mapping[str, Any]] = {"_tap": None, "_variables": None}

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        *,
        every: Every = 1,
        samples_per_epoch: Samples = 3,
        include: Patterns = None,
        exclude: Patterns = None,
        thresholds: Mapping[str, float] | None = None,
        on_flag: Response[Gradients] = "warn",
        on_error: str = "warn",
        log: str = "default",
    ) -> None:
        super().__init__(log_dir, every=every, on_error=on_error, log=log)
        check_response("on_flag", on_flag, "records.Gradients")
        self.on_flag = on_flag
        self._sampling = Sampling(samples_per_epoch)
        self._selection = Selection.of(include, exclude)
        self._thresholds = thresholds
        self._flags = Flags(thresholds)
        self._tap: Tap | None = None
        self._reset()

    def _reset(self) -> None:
        """Forget the fit before."""
        self._flags = Flags(self._thresholds)
        self._active_flags: frozenset[tuple[str, str]] = frozenset()
        self._new_flags: list[Flag] = []
        self._record: Gradients | None = None
        self._overall = Overall()
        self._variables: list[Any] | None = None  # the rows of every record, from the first one on
        self._names: tuple[str, ...] = ()
        self._past: Sequence[Gradients] = ()
        self._is_scheduled = False
        self._execution = 0
        self._before = 0  # calls of the train function before this epoch
        self._texts: set[str] = set()  # that were said in this fit
        self._has_said_extra = False

    def check(self) -> None:
        self._reset()
        model = self.model
        if not model.compiled or model.train_function is None:
            raise InvalidInput("WeightGradients listens to model.fit(): compile the model, give the callback to fit().")
        self._tap = Tap.of(model, self._tap, self.params)
        self._tap.tell = print if (self.params or {}).get("verbose") else None
        self._tap.join(self, self._selection)
        self._before = self._tap.calls

    def prepare(self) -> None:
        self._selection.check([path(v) for v in self.model.trainable_variables if recordable(v)])

    def run_identity(self) -> Mapping[str, Any]:
        return {"variables": self._parts(self._expected())} if self.model.built else {}

    def on_run_start(self, epoch: int, past: Log | None) -> None:
        self._past = [] if past is None else past.weight_gradients

    @fault_isolated
    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        if self.disabled or self._tap is None:
            return
        steps = (self.params or {}).get("steps")
        if steps:
            self._sampling.begin(-(-steps // self.model.steps_per_execution))
        else:
            self._sampling.begin((self._tap.calls - self._before) or None)  # as many as the last time
        self._before = self._tap.calls
        self._execution, self._is_scheduled = 0, self.is_scheduled(epoch)
        self._tap.install()

    @fault_isolated
    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_train_batch_begin(batch, logs)
        if self._tap is not None:
            self._tap.announce(self, self._is_scheduled and self._sampling.due(self._execution))
            self._execution += 1

    @fault_isolated
    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._tap is not None:
            self._tap.rest()
        super().on_epoch_end(epoch, logs)

    def record_epoch(self, epoch: int, logs: dict[str, Any]) -> Iterable[Record]:
        if self._tap is None:
            raise RuntimeError("on_train_begin was not called before this hook")
        gradients = self._tap.collect(epoch)
        self._note_cost(gradients, self._tap.seconds())
        self._check_variables(gradients)
        record = self._recorded(epoch, gradients)
        self._new_flags = [flag for flag in record.flags if (flag.name, flag.kind) not in self._active_flags]
        self._active_flags = frozenset((flag.name, flag.kind) for flag in record.flags)
        self._record = record
        self.carry_forward(epoch, logs)
        return [record]

    def carry_forward(self, epoch: int, logs: dict[str, Any]) -> None:
        overall = self._overall
        figures = {"xai_grad_norm": overall.norm, "xai_update_ratio": overall.update_ratio}
        self.log_figures(logs, figures | {"xai_nonfinite": overall.nonfinite})

    def on_epoch_written(self) -> None:
        flags, self._new_flags = self._new_flags, []
        if not flags or self._record is None:
            return
        text = f"epoch {self._record.epoch}: {sentence(flags, self._flags.thresholds)}."
        respond(self.on_flag, self._record, text, model=self.model, alarm=GradientAlarm, warn=self.warn)

    def close(self) -> None:
        if self._tap is not None:
            self._tap.leave(self)

    def _expected(self) -> list[Any]:
        """Return the variables of the model that are to be recorded."""
        return [v for v in self.model.trainable_variables if recordable(v) and path(v) in self._selection]

    def _parts(self, variables: list[Any]) -> ModelParts:
        """Return variables by name and size."""
        return ModelParts(unique([path(v) for v in variables]), tuple(map(size_of, variables)))

    def _check_variables(self, gradients: Heard) -> None:
        """Decide the rows, at the first record: the event file keeps their names once. Later ones would be lost."""
        selected = [v for v in gradients.variables if path(v) in self._selection]
        if self._variables is None:
            self._choose_variables(gradients, selected)
            return
        rows = {id(v) for v in self._variables}
        late = [path(v) for v in selected if id(v) not in rows]
        if late:
            self._say_once(
                f"{', '.join(late[:3])} had no gradient in the first epoch and cannot be added to the record now."
            )

    def _choose_variables(self, gradients: Heard, selected: list[Any]) -> None:
        everything = (*self.model.trainable_variables, *gradients.variables)
        self._selection.check([path(v) for v in everything if recordable(v)])
        self._variables = list({id(v): v for v in (*self._expected(), *selected)}.values())
        parts = self._parts(self._variables)
        self._names = parts.names
        if self._past:
            last = self._past[-1]
            if not parts.continues(last.names, last.sizes):
                raise InvalidInput("the run that is continued has other variables; give this training its own log_dir")
            self._names = last.names  # a model that was saved and loaded has other paths
            self._active_flags = frozenset((flag.name, flag.kind) for flag in last.flags)
        sizes = dict(zip(self._names, map(size_of, self._variables), strict=True))
        self._flags.replay(self._past, sizes, self._sparse(gradients))

    def _recorded(self, epoch: int, gradients: Heard) -> Gradients:
        variables = self._variables or []
        sizes = np.array([size_of(v) for v in variables], np.int64)
        rows = {id(v): row for v, row in zip(gradients.variables, gradients.sums, strict=True)}
        sums = np.stack([rows.get(id(v), np.zeros(WIDTH)) for v in variables]) if variables else np.zeros((0, WIDTH))
        statistics = derived(sums, sizes)
        missing = gradients.reason
        if not missing and not gradients.steps and not gradients.skipped:
            missing = "no optimizer was called in the sampled steps"
        self._overall = overall(sums)
        flags: tuple[Flag, ...] = ()
        if missing:
            statistics = {name: np.full(len(variables), np.nan, np.float32) for name in STATISTICS}
            self._say_once(f"Gradients are not captured: {missing}.", warns=True)
        else:
            flags = self._flags.judge(epoch, self._names, statistics, sizes.tolist(), self._sparse(gradients))
        return Gradients(
            epoch=epoch,
            names=self._names,
            statistics=statistics,
            histogram=histogram(sums),
            bin_edges=BIN_EDGES,
            steps=gradients.steps,
            flags=flags,
            missing=missing,
            sizes=tuple(sizes.tolist()),
            thresholds=self._flags.thresholds,
        )

    def _sparse(self, gradients: Heard) -> list[str]:
        return [n for n, v in zip(self._names, self._variables or [], strict=True) if id(v) in gradients.sparse]

    def _note_cost(self, gradients: Heard, seconds: Seconds) -> None:
        """Count the time that was spent outside our hooks, and say what else there is to know of the figures."""
        once, extra = seconds.built + seconds.compiled, seconds.extra
        self.cost.add(once, once=True)
        self.cost.add(extra or 0.0)
        if once:
            self.note(f"The train step that records gradients was built next to the plain one: {once:.1f} s, once.")
        elif (
            extra is not None and gradients.executions and not self._has_said_extra
        ):  # later the cost of each epoch has it
            self._has_said_extra = True
            self.note(
                f"Recording {gradients.executions} of an epoch's {self._execution} calls took {1000 * extra:.1f} ms more"
                " than plain ones take."
            )
        if gradients.skipped:
            recorded = gradients.skipped + gradients.steps
            self.note(
                f"The optimizer skipped {gradients.skipped} of {recorded} recorded steps because loss scaling overflowed: they"
                " are not in the figures."
            )
        if not gradients.octaves:
            self._say_once(
                "No histogram: on a GPU deterministic operations and counting exclude each other without XLA."
            )

    def _say_once(self, text: str, *, warns: bool = False) -> None:
        """Note a text, or warn with it, unless this fit has done so."""
        if text in self._texts:
            return
        self._texts.add(text)
        if warns:
            self.warn(text)
        else:
            self.note(text)
