"""What the user wants done when a flag is raised: the same choice in every callback that raises one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from keras_xai.callbacks.base import Watcher
from keras_xai.errors import GradientAlarm, InvalidInput, MappingAlarm

OnFlag = Literal["warn", "stop", "raise"] | Callable[[Any], Any]  # the callable gets the record


def checked(on_flag: OnFlag) -> OnFlag:
    """`on_flag`, if it is one.

    Raises:
        InvalidInput: it is neither one of the words nor callable.
    """
    if not callable(on_flag) and on_flag not in ("warn", "stop", "raise"):
        raise InvalidInput(f"on_flag={on_flag!r}: expected 'warn', 'stop', 'raise' or a function of the record.")
    return on_flag


def answer(
    watcher: Watcher, on_flag: OnFlag, text: str, record: Any, alarm: type[GradientAlarm] | type[MappingAlarm]
) -> None:
    """Do it: call, raise `alarm`, or warn with `text`, and stop the training after this epoch where that is asked for."""
    if callable(on_flag):
        on_flag(record)
        return
    if on_flag == "raise":
        raise alarm(text, record)
    if on_flag == "stop":
        watcher.model.stop_training = True
        text += " Training stops."
    watcher.warn(text)
