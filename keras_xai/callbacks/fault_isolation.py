"""The isolation of faults: an exception in a hook is one warning, and the training goes on without the callback."""

from __future__ import annotations

import functools
import logging
import time
import warnings
from collections.abc import Callable
from typing import Any, ClassVar, Concatenate, NamedTuple, ParamSpec

from keras_xai import backend
from keras_xai.backend.team import ALONE, Team, in_team
from keras_xai.callbacks.loops.stepping import Stepping
from keras_xai.callbacks.model_reading import ModelReading
from keras_xai.callbacks.overhead import Stopwatch
from keras_xai.callbacks.session import RunSession
from keras_xai.errors import Alarm, FailedElsewhere, InvalidInput, named_fault

logger = logging.getLogger("keras_xai")
clock = time.perf_counter
HOOKS_OF_EVERY_BATCH = ("expect_step",)  # in which processes do not wait for each other
P = ParamSpec("P")


class FaultFacts(NamedTuple):
    """Facts of an exception in a hook, by which all processes of a training treat it alike."""

    reaches_user: bool = False  # it is raised whatever `on_error` is: an alarm that was asked for, or a misuse
    is_shared: bool = False  # it ends the session for all callbacks


def fault_isolated(hook: Callable[Concatenate[Any, P], None]) -> Callable[Concatenate[Any, P], None]:
    """Keep an exception in a hook of an `IsolatedCallback` from ending the training: it is warned of, the callback disabled.

    These are raised all the same: `KeyboardInterrupt` and its like, an `Alarm` that the user asked for, a warning that the
    user's own filter turned into an error, and an `InvalidInput` before the first step, when no training is lost yet. With
    `on_error="raise"` every exception is.
    """

    @functools.wraps(hook)
    def guarded(self: IsolatedCallback, /, *args: P.args, **kwargs: P.kwargs) -> None:
        is_train_begin = hook.__name__ == "on_train_begin"
        if self._in_hook and not is_train_begin:  # a subclass's hook calls super(): the guard around that one is enough
            hook(self, *args, **kwargs)
            return
        if self.retired and not is_train_begin:
            self._after_disabling(hook.__name__, *args)
            return
        with self.cost:
            session = self._session
            if session is not None and not is_train_begin and self._has_failed(session, hook.__name__):
                self._disable_silently(session, hook.__name__)  # another callback has warned of the shared fault
                return
            try:
                self._in_hook = True
                self._run_in_step(hook, *args, **kwargs)
            except Exception as fault:
                facts = self._facts(fault, hook.__name__, session)
                self._disable(fault, hook.__name__, self._session or session, facts)
                if facts.reaches_user or self.on_error == "raise":
                    raise
            finally:
                self._in_hook = False

    return guarded


class IsolatedCallback(Stepping):
    """A callback whose faults never end a training, in any of the processes that train together.

    Args:
        on_error: "warn" (an exception is one warning, and the callback is disabled) or "raise" (for development).

    Attributes:
        cost: the time spent in this callback.
        retired: True after a fault, until the next training.
    """

    name: ClassVar[str]

    def __init__(self, *, on_error: str = "warn") -> None:
        super().__init__()
        if on_error not in ("warn", "raise"):
            raise InvalidInput(f"on_error={on_error!r}: expected 'warn' or 'raise'.")
        self.on_error = on_error
        self.retired = False
        self.cost = Stopwatch()
        self._session: RunSession | None = None
        self._failed_session: RunSession | None = None  # the one that a fault in what all share has ended
        self._checking = False  # misuse may still be answered by an error
        self._in_hook = False
        self._team: Team = ALONE  # the processes of this fit
        self._postponed: Exception | None = None  # a fault of this process that the others are still to be told of

    # What a subclass overrides.

    def close(self) -> None:
        """Put back whatever was touched, at train end, after a fault and before the next fit. Idempotent."""

    @property
    def is_complete(self) -> bool:
        """True where everything that a training has to record is recorded: a fault at its end loses nothing."""
        return False

    # What it uses.

    def note(self, text: str) -> None:
        """Add a sentence to the notes of the update's record; an empty one is left out."""
        if text and self._session is not None:
            self._session.note(text)

    # Inside.

    def _run_in_step(self, hook: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        """Run a hook; where several processes train together a fault in one of them is a fault in all."""
        name = hook.__name__
        if name == "on_train_begin":
            self._team, self._postponed = ALONE, None
            self._team = backend.get_backend().team(self.model)
        team = self._team
        if team.size == 1:
            hook(self, *args, **kwargs)
            return
        with in_team(team):
            if name in HOOKS_OF_EVERY_BATCH:
                self._run_in_batch(hook, *args, **kwargs)
                return
            session = self._session
            with team.together(lambda fault: self._facts(fault, name, session)._asdict()):
                fault, self._postponed = self._postponed, None
                if fault is not None:
                    raise fault
                hook(self, *args, **kwargs)

    def _run_in_batch(self, hook: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        """Run a hook of every batch: without an exchange, which would take time, so that the others hear of a fault later."""
        try:
            hook(self, *args, **kwargs)
        except Exception as fault:
            if self._facts(fault, hook.__name__, self._session).reaches_user:
                raise
            self._postponed = self._postponed or fault

    def _has_failed(self, session: RunSession, hook: str) -> bool:
        """Return True where the session has ended for all callbacks: in the chief's process, which alone writes.

        This is where the processes wait for each other. It does not count as a cost: they would have in the next step.
        """
        is_well = session.failure is None
        if self._team.size == 1:
            return not is_well
        if hook in HOOKS_OF_EVERY_BATCH:
            return False  # no exchange for every batch; at the epoch's end all hear of it
        arrival = clock()
        are_well = self._team.all(is_well)
        self.cost.add(arrival - clock())
        if not are_well and is_well and not self._team.is_broken:
            session.fail(FailedElsewhere("the run can no longer be written"))
        return session.failure is not None

    def _facts(self, fault: Exception, hook: str, session: RunSession | None) -> FaultFacts:
        if isinstance(fault, FailedElsewhere) and self._team.failure is not None:
            return FaultFacts(**self._team.failure.facts)
        is_misuse = isinstance(fault, InvalidInput) and (hook == "on_train_begin" or self._checking)
        session = self._session or session
        is_shared = session is not None and session.failure is fault
        return FaultFacts(is_misuse or isinstance(fault, (Alarm, UserWarning)), is_shared)

    def _disable(self, fault: Exception, hook: str, session: RunSession | None, facts: FaultFacts) -> None:
        """End this callback's part in the training, and write the reason into the run.

        A warning says it too, unless the exception is raised.

        Args:
            fault: what was raised.
            hook: the name of the hook that raised it.
            session: of the training.
            facts: of the fault.
        """
        if facts.is_shared and session is not None:
            session.fail(fault)
        text = self._fault_message(fault, hook, session)
        warns = not facts.reaches_user and self.on_error == "warn"
        self._checking = False
        if warns:
            self.retired = True
            self.note(text)
        if session is not None:
            is_incomplete = hook != "on_train_end" or not self.is_complete
            if not facts.reaches_user and is_incomplete:
                session.record_stop(self.name, f"{hook}: {named_fault(fault)}")
            session.add_cost(self.name, self.cost.take())
        self._failed_session = session if session is not None and session.failure is not None else None
        if warns and session is not None and not session.has_begun:
            self._close_quietly()  # the reason is written when the first epoch begins
        else:
            self._leave_quietly()
        if warns:
            logger.debug("%s was disabled", self.name, exc_info=fault)
            self._after_disabling(hook)
            self._warn_of_disabling(text)

    def _warn_of_disabling(self, text: str) -> None:
        """Warn. A filter of the user's may turn that into an error: then all processes raise it, and none waits for the chief."""
        error: UserWarning | None = None
        if self._team.is_chief:
            try:
                warnings.warn(text, stacklevel=5)
            except UserWarning as warning:
                error = warning
        if not self._team.all(error is None) and error is None and not self._team.is_broken:
            raise FailedElsewhere(f"process 0: UserWarning: {text}")
        if error is not None:
            raise error

    def _fault_message(self, fault: Exception, hook: str, session: RunSession | None) -> str:
        names = dict.fromkeys([type(self).__name__])
        if session is not None and session.failure is fault:
            names |= dict.fromkeys(session.members_at_failure)
        pronoun, subject = ("it", "it") if len(names) == 1 else ("them", "they")
        return (
            f"{' and '.join(names)} stopped in {hook}: {named_fault(fault)}. Training goes on without {pronoun}; "
            f"what {subject} recorded before is kept."
        )

    def _disable_silently(self, session: RunSession, hook: str) -> None:
        """End this callback's part without a warning: the callback that raised the shared fault has warned of it."""
        self.retired = True
        self._failed_session = session
        session.record_stop(self.name, named_fault(session.failure))
        self._leave_quietly()
        self._after_disabling(hook)

    def _after_disabling(self, hook: str, *args: Any) -> None:
        """Write into the run that this callback has ended, where that could not be written at once."""
        try:
            if self._session is not None and hook == "on_epoch_begin":
                self._session.begin_epoch(args[0], ModelReading(self.model))
            if self._failed_session is not None and hook == "on_train_end":
                self._failed_session.write_last_stops()
        except Exception:
            logger.debug("%s could not record that it stopped", self.name, exc_info=True)
        if self._session is not None and hook in ("on_epoch_begin", "on_train_end"):
            self._leave_quietly()

    def _close_quietly(self) -> None:
        try:
            self.close()
        except Exception:
            logger.debug("%s could not clean up", self.name, exc_info=True)

    def _leave_quietly(self) -> None:
        try:
            self._leave()
        except Exception:  # the fault's own cause (a full disk) may strike again; the first one is the one to report
            logger.debug("%s could not clean up", self.name, exc_info=True)

    def _leave(self) -> None:
        """Release the model, and leave the session; the records that it wrote stay readable."""
        try:
            self.close()
        finally:
            session, self._session = self._session, None
            if session is not None:
                session.leave(self)
