"""The training steps of a run: how many are done, when the next update is due, and where in its epoch a step lies."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from keras_xai.callbacks.schedule import Schedule
from keras_xai.records import Epoch

if TYPE_CHECKING:
    from keras_xai.backend.team import Team

AUTO_UPDATES = 30  # of a whole training, where the interval is chosen automatically
AUTO_SHARE = 0.05  # of the rows that the training passes through the model, at most so many are ours
USUAL_BATCH = 32  # rows of a batch where they cannot be counted: Keras' own


class StepCounter:
    """Counts the training steps of a run.

    Keras announces the batch that comes next; the steps before it are done. With `steps_per_execution` it announces every so
    many.

    Args:
        length: steps of an epoch, None where Keras does not know it.
        epochs: of the whole training, None where that is not known.

    Attributes:
        done: steps of the run so far.
        epoch: the present one.
        interval: of "auto", in steps; None before it is chosen.
        owes_update: the run broke off where an update was to be made, before the batch that comes now.
    """

    def __init__(self, length: int | None, epochs: int | None) -> None:
        self.done = 0
        self.epoch = 0
        self.interval: int | None = None
        self.owes_update = False
        self._is_of_unknown_length = False  # the interval was chosen before the length of an epoch was known
        self._length = length
        self._epochs = epochs
        self._first_step = 0  # steps done when this epoch began, or went on
        self._batch = 0  # steps of it that are done
        self._last_batch = 0  # the same at the announcement before
        self._rows = 0.0  # that Keras' loss had counted when this epoch began
        self._last_run = -1  # the last batch of the epoch that was trained on
        self._starts: dict[int, int] = {}  # steps done when an epoch began
        self._iterations: int | None = None  # of the optimizer, when the epoch began

    @property
    def length(self) -> int | None:
        """The steps of an epoch; None while that is not known."""
        return self._length

    @property
    def awaits_interval(self) -> bool:
        """True where the interval of "auto" is to be chosen, or to be doubled."""
        if self.interval is None or self._is_of_unknown_length != (self._length is None):
            return True
        return self._length is None and self._batch // self.interval >= AUTO_UPDATES

    # Counting.

    def restore(self, history: Iterable[Epoch], done: int) -> None:
        """Go on from the records of a run, of which so many steps are done."""
        self.done, start, last = done, 0, 0
        for record in history:
            last = record.step or 0
            self._starts.setdefault(record.epoch, start)
            if record.ends_epoch and record.step is not None:
                start = record.step
                self._starts[record.epoch + 1] = start
        self.owes_update = last < done

    def agree(self, team: Team) -> None:
        """Take over the chief's count, who alone has the records of a run that is continued."""
        state: list[list[int]] = [[self.done, self.owes_update], list(self._starts), list(self._starts.values())]
        (self.done, owes), epochs, starts = team.agreed(state)
        self.owes_update = bool(owes)
        self._starts = dict(zip(epochs, starts, strict=True))
        self._first_step = self.done

    def begin_epoch(self, epoch: int, iterations: int | None, rows: float = 0.0) -> None:
        """Begin an epoch.

        Args:
            epoch: its number.
            iterations: that the optimizer has counted before it.
            rows: that Keras' loss has counted before it: a loop of the user's own may never set it back.
        """
        self._rows = rows
        self.epoch, self._iterations = epoch, iterations
        self._first_step = self.done
        self._batch, self._last_batch, self._last_run = 0, 0, -1
        self._starts.setdefault(epoch, self.done)

    def begin_batch(self, batch: int) -> None:
        """Count the steps before this one of the epoch."""
        self.owes_update &= batch == 0
        self._last_batch, self._batch = self._batch, batch
        self.done = self._first_step + batch

    def end_batch(self, batch: int) -> None:
        """Note that a batch was trained on; Keras may call this in another thread, and has by the end of the epoch."""
        self._last_run = max(self._last_run, batch)

    def end_epoch(
        self, iterations: int | None, steps_per_execution: int = 1, *, steps_of_epoch: int | None = None
    ) -> None:
        """Count the steps of an epoch that has ended.

        Keras says how long an epoch is to be, not how long it was: a training may stop inside it, and the last execution that was
        announced may have found no data, or not enough for all of its steps.

        Args:
            iterations: that the optimizer has counted; on TensorFlow one too many where there was no data.
            steps_per_execution: of the model.
            steps_of_epoch: where they are counted otherwise, as in a loop of the user's own; else None.
        """
        self.owes_update = False
        steps = self._steps_by(iterations, steps_per_execution) if steps_of_epoch is None else steps_of_epoch
        self.done = self._first_step + steps
        self._length = steps if self._length is None else self._length
        self._starts[self.epoch + 1] = self.done

    def _steps_by(self, iterations: int | None, steps_per_execution: int) -> int:
        """Return the steps of the epoch that ends, by what Keras has announced and what it has run."""
        end = self._batch + steps_per_execution
        if self._length is not None and self._batch < self._length:
            end = min(end, self._length)
        steps = end if self._last_run >= self._batch else self._batch
        if steps == self._batch and steps_per_execution > 1 and iterations is not None and self._iterations is not None:
            counted = iterations - self._iterations
            steps = counted if self._batch < counted <= end else steps
        return steps

    # Updates inside an epoch.

    def is_due(self, schedule: Schedule) -> bool:
        """Return True where an update inside this epoch is due, by a schedule of steps, before the batch that was announced."""
        if self.owes_update and schedule.interval is not None:
            return self.done % schedule.interval == 0
        if self._batch <= self._last_batch:
            return False
        if schedule.is_auto:
            interval = self.interval
            return interval is not None and self._batch // interval > self._last_batch // interval
        if schedule.interval is None:
            return False
        before = self._first_step + self._last_batch
        return self.done // schedule.interval > before // schedule.interval

    def window(self, schedule: Schedule) -> int | None:
        """Return how many steps there are from here to the next update of a schedule; None where that is not known."""
        remaining = None if self._length is None else max(1, self._length - self._batch)
        if not schedule.counts_steps:
            return remaining
        interval = self.interval if schedule.is_auto else schedule.interval
        if interval is None:
            return None
        position = self._batch if schedule.is_auto else self.done
        steps = interval - position % interval
        return steps if remaining is None else min(steps, remaining)

    def rows_of_batch(self, rows: float) -> int | None:
        """Return the rows of a step of this epoch, of those that Keras' loss has counted; None where it counts none."""
        return round((rows - self._rows) / self._batch) or None if self._batch else None

    def choose_interval(self, rows_of_update: float, batch_size: int) -> int:
        """Choose the interval of "auto": at most 30 updates a training, beside the end of each epoch, and 5 % of its rows.

        It depends on counts alone, so that it is the same in every run. Where the length of an epoch is not known, only the
        second bound is: the interval is doubled after each 30 updates of the epoch.

        Args:
            rows_of_update: rows that an update passes through the model, forwards and backwards.
            batch_size: rows of a training step.
        """
        self._is_of_unknown_length = self._length is None
        least = max(1, math.ceil(rows_of_update / (AUTO_SHARE * batch_size)))
        if self._length is None:
            self.interval = least
            while self._batch // self.interval >= AUTO_UPDATES:
                self.interval *= 2
            return self.interval
        updates_of_epoch = max(1, AUTO_UPDATES // (self._epochs or 1))
        updates_of_epoch = max(1, min(updates_of_epoch, self._length // least))
        self.interval = math.ceil(self._length / updates_of_epoch)
        return self.interval

    # Epochs as a measure of time.

    def position(self, done: int) -> float:
        """Return how many epochs are over after so many steps: 1.5 in the middle of epoch 1; NaN where that is not known."""
        epoch: int | None = None
        if done > 0:  # from the last one back: a training may have very many epochs
            epoch = next((number for number, start in reversed(self._starts.items()) if start < done), None)
        if epoch is None:
            return 0.0
        start, end = self._starts[epoch], self._starts.get(epoch + 1)
        if end is None and self._length is not None:
            end = start + self._length
        if end is None or end <= start:
            return float("nan")
        return epoch + min(1.0, (done - start) / (end - start))


def words_on_interval(interval: int, rows_of_update: float, batch: int | None, length: int | None) -> str:
    """Return a sentence on the interval that "auto" has chosen.

    Args:
        interval: in steps.
        rows_of_update: rows that an update passes through the model.
        batch: rows of a training step; None where they were not counted.
        length: steps of an epoch; None where that is not known.
    """
    guess = "" if batch else f", taking a batch for {USUAL_BATCH} rows: the model does not count them"
    if length is None or interval < length:
        return f'every="auto": an update every {interval} steps{guess}.'
    allowed = AUTO_SHARE * length * (batch or USUAL_BATCH)
    if rows_of_update > allowed / 2:
        return (
            f'every="auto": updates at the ends of epochs alone, since one passes {rows_of_update:.0f} rows through the model, '
            f"and {AUTO_SHARE:.0%} of an epoch are {allowed:.0f}{guess}. For updates inside an epoch give fewer probe or live "
            f'rows, a method with fewer passes, or every="n steps".'
        )
    return f'every="auto": updates at the ends of epochs{guess}.'


def resumed_step(history: Sequence[Epoch], epoch: int, iterations: int | None) -> int:
    """Return how many steps of a run were done when a training goes on with it.

    That is the end of the epoch before. Where the optimizer has counted as far as the run went inside this epoch, the training
    goes on in the middle of it, as from a backup that was made there.

    Args:
        history: of the run.
        epoch: the first one of the training.
        iterations: that the optimizer has counted; None where it counts none.
    """
    counts = [record for record in history if record.step is not None and record.iterations is not None]
    earlier = [record for record in counts if record.epoch < epoch]
    done = counted = 0
    if earlier:
        done, counted = earlier[-1].step or 0, earlier[-1].iterations or 0
    inside = [record for record in counts if record.epoch == epoch]
    if iterations is None or not inside or not counted < iterations < _end_of(counts, inside):
        return done
    before = [record for record in inside if (record.iterations or 0) <= iterations]
    if before:
        done, counted = before[-1].step or 0, before[-1].iterations or 0
    return done + iterations - counted


def _end_of(counts: Sequence[Epoch], inside: Sequence[Epoch]) -> float:
    """Return what the optimizer had counted where an epoch ended, or a bound on it where the run broke off inside.

    Args:
        counts: the records of a run.
        inside: those of the epoch.
    """
    last = inside[-1]
    if last.ends_epoch or last is not counts[-1]:
        return last.iterations or 0
    numbers = [0, *(record.iterations or 0 for record in counts)]
    longest = max(after - before for before, after in itertools.pairwise(numbers))
    return numbers[-1] + longest + 1  # one update may be missing: the one that was to be made where it broke off
