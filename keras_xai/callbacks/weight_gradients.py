"""`WeightGradients`: the gradients that trained the model, recorded every epoch."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from keras_xai.callbacks.base import RecordingCallback
from keras_xai.callbacks.fault_isolation import fault_isolated
from keras_xai.callbacks.model_parts import ModelParts
from keras_xai.callbacks.response import Response, check_response, common_response, respond
from keras_xai.callbacks.schedule import Every
from keras_xai.errors import GradientAlarm, InvalidInput
from keras_xai.gradients.cost import RecordingCost
from keras_xai.gradients.flags import Flags, sentence
from keras_xai.gradients.rows import GradientRows
from keras_xai.gradients.sampling import Samples, Sampling
from keras_xai.gradients.selection import Patterns, Selection
from keras_xai.gradients.statistics import Overall
from keras_xai.gradients.tap import RecordedGradients, TrainFunctionTap
from keras_xai.loop_params import LoopParams
from keras_xai.records import Flag, Gradients, StepSizes
from keras_xai.summary.metadata import Record
from keras_xai.summary.reader import Log
from keras_xai.updates import Unit


class WeightGradients(RecordingCallback):
    """Records the gradients that `fit` hands to the optimizer: their statistics and log2 histograms, by variable.

    They are the gradients of the training's own steps and not of a batch evaluated later: after loss scaling is undone,
    summed over replicas, before any clipping. A few sampled steps of each epoch are recorded; all others run the model's own
    train function alone. The weights end up the same, bit for bit. TensorFlow and PyTorch take the gradients inside the
    step. On JAX a second program computes them again, from the same weights, batch and random keys: they may differ from
    the step's in their last bits.

    With `log="all"` `logs` get, in every epoch from the first, NaN before there is a figure:

    - `xai_grad_norm`: L2 norm of the whole gradient, root mean square over the recorded optimizer calls;
    - `xai_update_ratio`: L2 norm of the whole update over that of the weights; about 1e-3 a step is usual;
    - `xai_nonfinite`: NaN or infinite gradient entries in the recorded calls.

    With `critical_step=True` they get `xai_critical_step` whatever `log` is: the multiple of the step just taken at which the
    loss of its own batch would rise, median of the recorded steps (Kalra et al. 2026, arXiv 2601.16979). At 70 the
    learning rate could be many times higher; from 1 to 2 it is at the edge. It takes 4 to 14 forward passes a recorded step.

    Where gradients cannot be recorded (a train step without an optimizer, random operations that keep their state in
    the graph), the record and a warning say "not captured" and why, and the training runs on untouched.

    Args:
        log_dir: a directory or an address, as "s3://bucket/run"; the run is written to `<log_dir>/keras_xai`.
        every: look at every n-th epoch, or a function epoch -> bool, the first and the last always; or "200 steps"
            (`kx.steps(200)`), or "auto", about 30 times in the whole training, and at the end of each epoch.
        samples_per_epoch: how many calls of the train function are recorded, spread from the first to the last of an
            epoch, or of the steps between two updates where `every` counts steps; or "all".
            With `steps_per_execution` one call holds several steps, which are all recorded. On JAX at most
            one call in 24, and at least one, unless it is "all".
        include: layer or variable paths, wildcards allowed ("backbone", "*/kernel"); default all trainable variables.
        exclude: the same, of what to leave out.
        thresholds: other numbers for the flags, None to switch one off, see `keras_xai.gradients.flags.Flags`.
        on_flag: when a flag is raised that did not stand before: "warn", "stop" (and warn), "raise" a `GradientAlarm`,
            or a function of the `records.Gradients`.
        on_error: "warn" (an exception is one warning, and the callback is disabled) or "raise" (for development).
        log: "all" puts the figures above into Keras' `logs`; by default the records alone hold them.
        critical_step: measure how far each recorded step could have gone. Where that cannot be known the record says why.

    Raises:
        InvalidInput: an argument that cannot work; patterns that match no trainable variable, at train begin.

    Example:
        >>> watch = kx.WeightGradients("logs/run1", include="backbone")
        >>> history = model.fit(x, y, epochs=3, verbose=0, callbacks=[watch])
        >>> kx.load("logs")["run1"].weight_gradients[-1].names
        ('backbone/kernel', 'backbone/bias')
    """

    name: ClassVar[str] = "weight_gradients"
    default_figures: ClassVar[frozenset[str]] = frozenset({"xai_critical_step"})
    cost_hint: ClassVar[str] = "samples_per_epoch=1, or every=5, in WeightGradients"
    fit_state: ClassVar[Mapping[str, Any]] = {"_tap": None, "_rows": None}

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        *,
        every: Every = 1,
        samples_per_epoch: Samples = 3,
        include: Patterns = None,
        exclude: Patterns = None,
        thresholds: Mapping[str, float | None] | None = None,
        on_flag: Response[Gradients] = "warn",
        on_error: str = "warn",
        log: str = "default",
        critical_step: bool = False,
    ) -> None:
        super().__init__(log_dir, every=every, on_error=on_error, log=log)
        check_response("on_flag", on_flag, "records.Gradients")
        if not isinstance(critical_step, bool):
            raise InvalidInput(f"critical_step={critical_step!r}: expected True or False.")
        self.critical_step = critical_step
        self.on_flag = on_flag
        self._sampling = Sampling(samples_per_epoch)
        self._selection = Selection.of(include, exclude)
        self._thresholds = thresholds
        self._flags = Flags(thresholds)
        self._tap: TrainFunctionTap | None = None
        self._reset()

    def _reset(self) -> None:
        """Forget the fit before."""
        self._flags = Flags(self._thresholds)
        self._active_flags: frozenset[tuple[str, str]] = frozenset()
        self._new_flags: list[Flag] = []
        self._record: Gradients | None = None
        self._overall = Overall()
        self._critical = math.nan  # the last critical step
        self._rows: GradientRows | None = GradientRows(self._selection)
        self._past: Sequence[Gradients] = ()
        self._is_due = False  # the present window is recorded
        self._execution = 0  # number of the next call of the train function in it
        self._interval: int | None = None  # of "auto", by which the window is sampled
        self._calls_before = 0  # of the train function, before this epoch
        self._noted: set[str] = set()  # sentences that a fit's notes have once
        self._extra_noted = False

    def check(self) -> None:
        self._reset()
        model = self.model
        loop = self.params if isinstance(self.params, LoopParams) else None
        if loop is None and (not model.compiled or model.train_function is None):
            raise InvalidInput(
                "WeightGradients listens to model.fit(): compile the model, give the callback to fit(); around a loop of your own"
                " put `with kx.watch(model, callback):`."
            )
        previous = self._tap if loop is None or loop.tap is None else loop.tap
        self._tap = TrainFunctionTap.of(model, previous, self.params)
        if loop is not None:
            loop.tap = self._tap
        self._tap.team = self._team
        self._tap.announce = print if (self.params or {}).get("verbose") and self._team.is_chief else None
        self._tap.subscribe(self, self._selection, measures_steps=self.critical_step)
        self._calls_before = self._tap.calls

    def prepare(self) -> None:
        GradientRows(self._selection).check(self.model)

    def run_identity(self) -> Mapping[str, Any]:
        if not self.model.built:
            return {}
        return {"variables": ModelParts(*GradientRows(self._selection).expect(self.model))}

    def common_inputs(self) -> Mapping[str, str]:
        inputs = {"samples_per_epoch": str(self._sampling.samples), "on_flag": common_response(self.on_flag)}
        inputs["critical_step"] = str(self.critical_step)
        return {**super().common_inputs(), **inputs, "include or exclude": repr(self._selection)}

    def on_run_start(self, epoch: int, past: Log | None) -> None:
        self._past = [] if past is None else past.weight_gradients

    @fault_isolated
    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        if self.retired or self._tap is None:
            return
        self._is_due = self.is_scheduled(epoch)
        self._begin_window(self._tap)
        self._calls_before = self._tap.calls
        self._tap.attach()

    def _begin_window(self, tap: TrainFunctionTap) -> None:
        """Begin the steps that the next record is of: those of an epoch, or up to the next update inside it."""
        # The first step of an epoch that a loop begins too late cannot be recorded any more.
        self._execution = -1 if isinstance(self.params, LoopParams) and self.params.is_late else 0
        tap.begin_window(self)
        self._spread_samples(tap)

    def _spread_samples(self, tap: TrainFunctionTap) -> None:
        """Choose the calls of the train function that are recorded, of those that the window has."""
        counter = None if self._session is None else self._session.counter
        steps = (self.params or {}).get("steps")
        length: int | None
        if counter is not None and self._schedule.counts_steps:
            self._interval = counter.interval
            steps = counter.window(self._schedule)
        if steps:
            per_call = 1 if isinstance(self.params, LoopParams) else self.model.steps_per_execution
            length = self._execution + -(-steps // per_call)
        else:
            length = (tap.calls - self._calls_before) or None  # as many as in the last epoch
        self._sampling.begin(self._team.agreed(length), tap.repeats_steps)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_train_batch_begin(batch, logs)
        self.expect_step()

    @fault_isolated
    def expect_step(self) -> None:
        """Announce whether the step that comes now is recorded."""
        if self._tap is None:
            return
        counter = None if self._session is None else self._session.counter
        if counter is not None and self._schedule.is_auto and counter.interval != self._interval:
            self._spread_samples(self._tap)
        self._tap.expect_step(self, self._is_due and self._sampling.due(self._execution))
        self._execution += 1

    @fault_isolated
    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._tap is not None:
            self._tap.detach()
        super().on_epoch_end(epoch, logs)

    def record_update(self, update: int, logs: dict[str, Any]) -> Iterable[Record]:
        if self._tap is None or self._rows is None:
            raise RuntimeError("on_train_begin was not called before this hook")
        if self._is_owed:  # what was recorded before the run broke off is lost
            self.carry_forward(update, logs)
            return []
        recorded = self._tap.collect(update, self)
        self._note_cost(recorded, self._tap.take_cost())
        self._decide_rows(self._rows, recorded)
        record, self._overall = self._rows.record(update, recorded, self._flags)
        if record.missing:
            self._note_once(f"Gradients are not captured: {record.missing}.", as_warning=True)
        self._new_flags = [flag for flag in record.flags if flag[:2] not in self._active_flags]
        self._active_flags, self._record = _flag_keys(record), self.stamped(record)
        records: list[Record] = [record]
        if self.critical_step:
            records.append(self._step_sizes(update, recorded))
        self.carry_forward(update, logs)
        if self._is_inside:
            self._begin_window(self._tap)
        return records

    def _step_sizes(self, update: int, recorded: RecordedGradients) -> StepSizes:
        """Return the record of the critical steps, and note the first reason why there are none."""
        steps = recorded.critical_steps
        sizes = StepSizes(
            update, tuple(step.multiple for step in steps), tuple(step.loss for step in steps), recorded.unmeasured
        )
        if sizes.missing:
            self._note_once(f"The critical step is not measured: {sizes.missing}.")
        self._critical = sizes.critical
        return sizes

    def carry_forward(self, update: int, logs: dict[str, Any]) -> None:
        overall = self._overall
        figures = {"xai_grad_norm": overall.norm, "xai_update_ratio": overall.update_ratio}
        if self.critical_step:
            figures["xai_critical_step"] = self._critical
        self.log_figures(logs, figures | {"xai_nonfinite": overall.nonfinite})

    def on_update_written(self) -> None:
        new_flags, self._new_flags = self.agreed_flags(self._new_flags), []
        if not new_flags or self._record is None:
            return
        unit: Unit = "epoch" if self._record.step is None else "step"
        text = f"{self._record.moment}: {sentence(new_flags, self._flags.thresholds, unit)}."
        respond(self.on_flag, self._record, text, model=self.model, alarm=GradientAlarm, warn=self.warn)

    def close(self) -> None:
        if self._tap is not None:
            self._tap.unsubscribe(self)

    def _decide_rows(self, rows: GradientRows, recorded: RecordedGradients) -> None:
        """Decide the rows at the first record, those of a continued run's file; later ones would be lost."""
        if rows.is_decided:
            late = rows.missing(recorded)
            if late:
                self._note_once(
                    f"{', '.join(late[:3])} had no gradient in the first epoch and cannot be added to the record now."
                )
            return
        rows.decide(self.model, recorded)
        if self._past:
            last = self._past[-1]
            if not ModelParts(rows.names, rows.sizes).continues(last.names, last.sizes):
                raise InvalidInput("the run that is continued has other variables; give this training its own log_dir")
            rows.names = last.names  # a model that was saved and loaded has other paths
            self._active_flags = _flag_keys(last)
        sizes = dict(zip(rows.names, rows.sizes, strict=True))
        self._flags.replay(self._past, sizes, rows.sparse(recorded))

    def _note_cost(self, recorded: RecordedGradients, cost: RecordingCost) -> None:
        """Count the time spent outside the hooks, and note what limits the figures: skipped steps, no histogram."""
        once, extra = cost.built + cost.compiled, cost.extra
        self.cost.add(once, once=True)
        self.cost.add(extra or 0.0)
        if once:
            self.note(f"The train step that records gradients was built next to the plain one: {once:.1f} s, once.")
        elif extra is not None and recorded.executions and not self._extra_noted:  # once: each epoch's cost has it
            self._extra_noted = True
            self.note(
                f"Recording {recorded.executions} of an {self._window_word}'s {self._execution} calls took {1000 * extra:.1f} ms"
                " more than plain ones take."
            )
        if recorded.skipped:
            self.note(
                f"The optimizer skipped {recorded.skipped} of {recorded.skipped + recorded.steps} recorded steps because"
                " loss scaling overflowed: they are not in the figures."
            )
        if not recorded.has_octaves:
            self._note_once(
                "No histogram: on a GPU deterministic operations and counting exclude each other without XLA."
            )

    @property
    def _window_word(self) -> str:
        return "interval" if self._schedule.counts_steps else "epoch"

    def _note_once(self, text: str, *, as_warning: bool = False) -> None:
        """Add a sentence to the notes once in a fit, and warn of it if `as_warning`."""
        if text not in self._noted:
            self._noted.add(text)
            (self.warn if as_warning else self.note)(text)


def _flag_keys(record: Gradients) -> frozenset[tuple[str, str]]:
    """Return the flags of a record by variable and kind."""
    return frozenset((flag.name, flag.kind) for flag in record.flags)
