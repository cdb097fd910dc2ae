"""The lifecycle that all callbacks share, and the one decorator that keeps our faults away from training."""

from __future__ import annotations

import functools
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Concatenate, ParamSpec

import keras

from keras_xai import backend
from keras_xai.callbacks.cost import Cost
from keras_xai.callbacks.schedule import Every, Schedule
from keras_xai.callbacks.session import Session, checked_directory
from keras_xai.errors import Alarm, InvalidInput
from keras_xai.probe import Probe
from keras_xai.summary.metadata import Record
from keras_xai.summary.reader import Log

logger = logging.getLogger("keras_xai")
P = ParamSpec("P")


def isolated(hook: Callable[Concatenate[Any, P], None]) -> Callable[Concatenate[Any, P], None]:
    """Run a hook of a `Watcher` so that its faults cost a warning and the callback, never the training.

    What passes through: `KeyboardInterrupt` and its like, an `Alarm` the user asked for, a warning that the user's own
    filter turned into an error, and, at train begin, an `InvalidInput`: nothing is lost yet. With `on_error="raise"`
    everything does.
    """

    @functools.wraps(hook)
    def guarded(self: Watcher, /, *args: P.args, **kwargs: P.kwargs) -> None:
        first = hook.__name__ == "on_train_begin"
        if self.retired and not first:
            return
        with self.cost:
            session = self._session
            if session is not None and session.lost is not None and not first:
                self._withdraw()  # another callback met the fault and told it
                return
            try:
                hook(self, *args, **kwargs)
            except Exception as fault:
                passes = isinstance(fault, (Alarm, UserWarning)) or (isinstance(fault, InvalidInput) and first)
                self._retire(
                    fault, hook.__name__, self._session or session, aloud=not passes and self.on_error == "warn"
                )
                if passes or self.on_error == "raise":
                    raise

    return guarded


class Watcher(keras.callbacks.Callback):
    """A callback that looks at the model on a schedule and writes records.

    A subclass says what it does at each turn of a training; everything else stands here once.

    Args:
        log_dir: a local directory; the run is written to `<log_dir>/keras_xai`.
        every: look at every n-th epoch, or a function epoch -> bool; the first and the last always.
        on_error: "warn" (a fault is one warning, and the callback retires) or "raise" (for development).
    """

    name: ClassVar[str]
    cheaper: ClassVar[str] = ""  # what makes it cost less, in words for the user

    def __init__(self, log_dir: str | os.PathLike[str], *, every: Every = 1, on_error: str = "warn") -> None:
        super().__init__()
        if on_error not in ("warn", "raise"):
            raise InvalidInput(f"on_error={on_error!r}: expected 'warn' or 'raise'.")
        self.log_dir = checked_directory(log_dir)
        self.on_error = on_error
        self.retired = False
        self.cost = Cost()
        self.rate = float("nan")  # the learning rate of the epoch that is looked at
        self._schedule = Schedule(every)
        self._session: Session | None = None
        self._first: int | None = None
        self._seen: int | None = None
        self._observed: int | None = None

    # What a subclass fills in.

    def check(self) -> None:
        """At train begin: all that needs the model. Raises `InvalidInput`, which reaches the user."""

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

    def due(self, epoch: int) -> bool:
        """Whether `epoch` is looked at."""
        epochs = (self.params or {}).get("epochs")
        return self._schedule.due(epoch, epoch if self._first is None else self._first, epochs - 1 if epochs else None)

    def note(self, text: str) -> None:
        """Say something in the epoch's record."""
        if self._session is not None:
            self._session.note(text)

    def warn(self, text: str) -> None:
        """A Python warning that is also kept in the epoch's record."""
        self.note(text)
        warnings.warn(text, stacklevel=2)

    def _learning_rate(self) -> float:
        """The optimizer's present learning rate, NaN without one."""
        rate = getattr(getattr(self.model, "optimizer", None), "learning_rate", None)
        # The addition reads it: a variable mirrored on several devices is no number by itself.
        return float("nan") if rate is None else float(getattr(rate, "value", rate) + 0.0)

    # What Keras calls.

    @isolated
    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._quietly_leave()  # an aborted fit never called on_train_end
        self.retired = False  # a new training is a new chance
        self._first = self._seen = self._observed = None
        self.cost.take()
        self._session = Session.of(self.log_dir, self.params, writes=backend.chosen().chief(self.model))
        self.check()
        self._session.join(self, self.constants(), self.shown())

    @isolated
    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        session = self._here()
        session.begin(epoch)
        if self._first is None:
            # A run that is continued keeps the rhythm it had.
            self._first = min([epoch, *(session.past.epochs if session.past is not None else ())])
            self.begin(epoch, session.past)

    @isolated
    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        session, logs = self._here(), {} if logs is None else logs
        self._seen = epoch
        self.rate = session.learning_rate(self._learning_rate)
        if self.due(epoch):
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

    def _retire(self, fault: Exception, hook: str, session: Session | None, *, aloud: bool) -> None:
        who = dict.fromkeys([type(self).__name__])
        if session is not None and session.lost is fault:
            who |= dict.fromkeys(session.ended_with)
        it, recorded = ("it", "it recorded") if len(who) == 1 else ("them", "they recorded")
        text = (
            f"{' and '.join(who)} stopped in {hook}: {type(fault).__name__}: {fault}. Training goes on without {it}; "
            f"what {recorded} before is kept."
        )
        if aloud:
            self.retired = True
            self.note(text)
        if session is not None:
            session.charge(self.name, self.cost.take())
        self._quietly_leave()
        if aloud:
            logger.debug("%s retired", self.name, exc_info=fault)
            warnings.warn(text, stacklevel=4)

    def _withdraw(self) -> None:
        """Retire without a word."""
        self.retired = True
        self._quietly_leave()

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
