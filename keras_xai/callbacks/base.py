"""The lifecycle that all callbacks share, and the one decorator that keeps our faults away from training."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Concatenate, ParamSpec

import keras

from keras_xai import backend
from keras_xai.backend.building_time import seconds_built
from keras_xai.callbacks.cost import Cost
from keras_xai.callbacks.schedule import Every, Schedule
from keras_xai.callbacks.session import Session, checked_directory
from keras_xai.errors import Alarm, InvalidInput
from keras_xai.probe import Probe
from keras_xai.running import is_running
from keras_xai.summary.metadata import Record
from keras_xai.summary.reader import Log

logger = logging.getLogger("keras_xai")
P = ParamSpec("P")


def isolated(hook: Callable[Concatenate[Any, P], None]) -> Callable[Concatenate[Any, P], None]:
    """Run a hook of a `Watcher` so that its faults cost a warning and the callback, never the training.

    What passes through: `KeyboardInterrupt` and its like, an `Alarm` the user asked for, a warning that the user's own
    filter turned into an error, and an `InvalidInput` before the model is seen to fit: nothing is lost yet. With
    `on_error="raise"` everything does.
    """

    @functools.wraps(hook)
    def guarded(self: Watcher, /, *args: P.args, **kwargs: P.kwargs) -> None:
        if self._inside and hook.__name__ != "on_train_begin":  # called by a hook of a subclass, which sees to it
            hook(self, *args, **kwargs)
            return
        first = hook.__name__ == "on_train_begin"
        if self.retired and not first:
            self._after_retirement(hook.__name__, *args)
            return
        with self.cost:
            session = self._session
            if session is not None and session.lost is not None and not first:
                self._withdraw(session, hook.__name__)  # another callback met the fault and told it
                return
            try:
                self._inside = True
                hook(self, *args, **kwargs)
            except Exception as fault:
                misuse = isinstance(fault, InvalidInput) and (first or self._checking)
                asked = misuse or isinstance(fault, (Alarm, UserWarning))
                self._retire(fault, hook.__name__, self._session or session, asked=asked)
                if asked or self.on_error == "raise":
                    raise
            finally:
                self._inside = False

    return guarded


class Watcher(keras.callbacks.Callback):
    """A callback that looks at the model on a schedule and writes records.

    A subclass says what it does at each turn of a training; everything else stands here once.

    Args:
        log_dir: a local directory; the run is written to `<log_dir>/keras_xai`.
        every: look at every n-th epoch, or a function epoch -> bool; the first and the last always.
        on_error: "warn" (a fault is one warning, and the callback retires) or "raise" (for development).
        log: "all" puts every figure into Keras' `logs`, and so into its progress line; "default" its `default_figures`.
    """

    name: ClassVar[str]
    default_figures: ClassVar[frozenset[str]] = frozenset()  # the figures that `logs` get by default
    cheaper: ClassVar[str] = ""  # what makes it cost less, in words for the user
    # Attributes that belong to one fit and hold its model, its file or its graphs, and what they are outside of one.
    of_one_fit: ClassVar[Mapping[str, Any]] = {"_model": None, "params": None, "_session": None, "_lost": None}

    def __init__(
        self, log_dir: str | os.PathLike[str], *, every: Every = 1, on_error: str = "warn", log: str = "default"
    ) -> None:
        super().__init__()
        if on_error not in ("warn", "raise"):
            raise InvalidInput(f"on_error={on_error!r}: expected 'warn' or 'raise'.")
        if log not in ("default", "all"):
            raise InvalidInput(f"log={log!r}: expected 'default' (few figures in logs) or 'all'.")
        self.log = log
        self.log_dir = checked_directory(log_dir)
        self.on_error = on_error
        self.retired = False
        self.cost = Cost()
        self.rate = float("nan")  # the learning rate of the epoch that is looked at
        self._schedule = Schedule(every)
        self._session: Session | None = None
        self._lost: Session | None = None  # the one that a fault in what all share has ended
        self._directory: Path | None = None  # of the run that was written last
        self._checking = False  # whether misuse may still be told by an error
        self._inside = False  # of a hook
        self._warned: set[str] = set()  # texts, in this fit
        self._first: int | None = None
        self._seen: int | None = None
        self._observed: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        """A copy has the settings of this callback, and no part in its training."""
        state = dict(vars(self))
        for cls in type(self).__mro__:
            state.update({k: v for k, v in getattr(cls, "of_one_fit", {}).items() if k in state})
        return state

    # What a subclass fills in.

    def check(self) -> None:
        """At train begin: all that needs the model, built or not. Raises `InvalidInput`, which reaches the user."""

    def is_built(self) -> bool:
        """Whether the model has its weights at train begin."""
        return bool(self.model.built)

    def prepare(self) -> None:
        """As soon as the model has its weights, at train begin or after its first step: all that needs them. Raises
        `InvalidInput`, which reaches the user."""

    def constants(self) -> Mapping[str, Any]:
        """What must be the same for a run to be continued; known after `check`."""
        return {}

    def shown(self) -> Probe | None:
        """The samples that the viewer shows, or at least has to know of."""
        return None

    def begin(self, epoch: int, past: Log | None) -> None:
        """At the begin of the fit's first epoch; `past` are the records of the run that is continued."""

    def observe(self, epoch: int, logs: dict[str, Any]) -> Iterable[Record]:
        """At the end of a scheduled epoch: the records of it. May add keys to `logs`."""
        return ()

    def skip(self, epoch: int, logs: dict[str, Any]) -> None:
        """At the end of any other epoch: CSVLogger and EarlyStopping want the same keys in every epoch."""

    def act(self) -> None:
        """After the epoch is written: what the user asked for in case of an alarm."""

    def catch_up(self, epoch: int) -> Iterable[Record]:
        """At train end, if the last epoch was not scheduled: its records after all."""
        return ()

    def close(self) -> None:
        """At train end, at retirement, before the next fit: put back whatever was touched. Idempotent."""

    # For use in a subclass.

    def tell(self, logs: dict[str, Any], figures: Mapping[str, float]) -> None:
        """Put figures of this epoch into `logs`, as many as are asked for, and all of them into the epoch's record."""
        logs |= {name: value for name, value in figures.items() if self.log == "all" or name in self.default_figures}
        if self._session is not None:
            self._session.record(figures)

    def due(self, epoch: int) -> bool:
        """Whether `epoch` is looked at."""
        epochs = (self.params or {}).get("epochs")
        return self._schedule.due(epoch, epoch if self._first is None else self._first, epochs - 1 if epochs else None)

    def note(self, text: str) -> None:
        """Say something in the epoch's record; nothing where there is no text."""
        if text and self._session is not None:
            self._session.note(text)

    def warn(self, text: str) -> None:
        """A Python warning that is also kept in the epoch's record."""
        self.note(text)
        warnings.warn(text, stacklevel=2)

    def warn_once(self, text: str) -> None:
        """The same once in a fit; nothing where there is no text."""
        if text and text not in self._warned:
            self._warned.add(text)
            self.warn(text)

    def stop_part(self, part: str, reason: str) -> None:
        """Record for good that a part of the watch has ended before the training."""
        if self._session is not None:
            self._session.stop(part, reason)

    def _learning_rate(self) -> float:
        """The optimizer's present learning rate, NaN without one."""
        rate = getattr(getattr(self.model, "optimizer", None), "learning_rate", None)
        # The addition reads it: a variable mirrored on several devices is no number by itself.
        return float("nan") if rate is None else float(getattr(rate, "value", rate) + 0.0)

    # What Keras calls.

    @isolated
    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._checking = True
        self._refuse_a_second_fit()
        self._quietly_leave()  # an aborted fit never called on_train_end
        self.retired = False  # a new training is a new chance
        self._lost = None
        self._warned = set()
        self._first = self._seen = self._observed = None
        self.cost.take()
        self._session = Session.of(self.log_dir, self.params, writes=backend.get_backend().chief(self.model))
        with self.cost.once():
            self.check()
        if self.is_built():
            self._prepare_once()
        self._session.join(self, self.constants(), self.shown(), self._directory)

    @isolated
    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        session = self._here()
        session.begin(epoch)
        if self._first is None:
            self._directory = session.directory
            # A run that is continued keeps the rhythm it had.
            self._first = min([epoch, *(session.past.epochs if session.past is not None else ())])
            self.begin(epoch, session.past)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        # Not at the end of the first batch: where a callback looks there, Keras waits for the figures of every batch.
        if self._checking and batch > 0:
            self.on_second_batch()

    @isolated
    def on_second_batch(self) -> None:
        """After the first step of a model that was not built before: now it has its weights."""
        self._prepare_once()

    @contextlib.contextmanager
    def _building(self) -> Iterator[None]:
        """What graphs take to be built in here comes once."""
        before = seconds_built()
        try:
            yield
        finally:
            self.cost.of_these_once(seconds_built() - before)

    def _prepare_once(self) -> None:
        if self._checking:
            with self.cost.once():
                self.prepare()
            self._checking = False

    def _refuse_a_second_fit(self) -> None:
        """Raise where this callback watches a fit that is still running, inside of which another one was given it."""
        session = self._session
        if session is not None and session.fit is not self.params and is_running(session.fit):
            name = type(self).__name__
            session.stop(self.name, f"the same {name} was given to a fit inside its own")
            self.retired = True
            raise InvalidInput(
                f"This {name} watches a fit that is still running: a fit inside it needs a callback of its own."
            )

    @isolated
    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        session, logs = self._here(), {} if logs is None else logs
        self._prepare_once()  # after an epoch of one batch
        self._seen = epoch
        self.rate = session.learning_rate(self._learning_rate)
        if self.due(epoch):
            with self._building():
                session.write(self.observe(epoch, logs))
            self._observed = epoch
        else:
            self.skip(epoch, logs)
        session.finish(self, self.name, self.cost.take(), logs)
        self.act()

    @isolated
    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        session = self._here()
        if self._seen is not None and self._seen != self._observed:
            session.write(self.catch_up(self._seen))
        self._leave()
        session.charge(self.name, self.cost.take())
        if session.over:
            self._tell_cost(session)
        self.act()

    def _tell_cost(self, session: Session) -> None:
        """What all of us cost, when the training ends: a line beside Keras' own, where that has one."""
        session.settle()
        line = f"keras_xai: {session.ledger.line()}."
        logger.info("%s", line)
        if (self.params or {}).get("verbose"):
            print(line)

    def _here(self) -> Session:
        if self._session is None:
            raise RuntimeError("on_train_begin was not called before this hook")
        return self._session

    def _retire(self, fault: Exception, hook: str, session: Session | None, *, asked: bool) -> None:
        """End this callback's part; unless the user `asked` for the fault, the run says so and, if that is wished, a
        warning."""
        who = dict.fromkeys([type(self).__name__])
        if session is not None and session.lost is fault:
            who |= dict.fromkeys(session.ended_with)
        it, recorded = ("it", "it recorded") if len(who) == 1 else ("them", "they recorded")
        text = (
            f"{' and '.join(who)} stopped in {hook}: {type(fault).__name__}: {fault}. Training goes on without {it}; "
            f"what {recorded} before is kept."
        )
        aloud = not asked and self.on_error == "warn"
        self._checking = False
        if aloud:
            self.retired = True
            self.note(text)
        if session is not None:
            missed = hook != "on_train_end" or self._seen != self._observed
            if not asked and missed:
                session.stop(self.name, f"{hook}: {type(fault).__name__}: {fault}")
            session.charge(self.name, self.cost.take())
        self._lost = session if session is not None and session.lost is not None else None
        if aloud and session is not None and not session.begun:
            self._quietly_close()  # what it stopped for is written when the first epoch begins
        else:
            self._quietly_leave()
        if aloud:
            logger.debug("%s retired", self.name, exc_info=fault)
            self._after_retirement(hook)
            warnings.warn(text, stacklevel=4)

    def _withdraw(self, session: Session, hook: str) -> None:
        """Retire without a word."""
        self.retired = True
        self._lost = session
        session.stop(self.name, f"{type(session.lost).__name__}: {session.lost}")
        self._quietly_leave()
        self._after_retirement(hook)

    def _after_retirement(self, hook: str, *args: Any) -> None:
        """See to it that the run says that this part has ended, also where that could not be written at once."""
        try:
            if self._session is not None and hook == "on_epoch_begin":
                self._session.begin(args[0])
            if self._lost is not None and hook == "on_train_end":
                self._lost.last_words()
        except Exception:
            logger.debug("%s could not record that it stopped", self.name, exc_info=True)
        if self._session is not None and hook in ("on_epoch_begin", "on_train_end"):
            self._quietly_leave()

    def _quietly_close(self) -> None:
        try:
            self.close()
        except Exception:
            logger.debug("%s could not clean up", self.name, exc_info=True)

    def _quietly_leave(self) -> None:
        try:
            self._leave()
        except Exception:  # the fault's own cause (a full disk) may strike again; the first one is the one to tell
            logger.debug("%s could not clean up", self.name, exc_info=True)

    def _leave(self) -> None:
        """Let go of the model and the file, whatever happened; what we left to the session stays readable."""
        try:
            self.close()
        finally:
            session, self._session = self._session, None
            if session is not None:
                session.leave(self)
