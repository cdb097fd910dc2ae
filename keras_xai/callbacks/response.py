"""The response to an alert or a flag, chosen by `on_drift` and `on_flag`: the same in every callback that raises one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import keras

from keras_xai.errors import Alarm, InvalidInput

R = TypeVar("R")  # the record that the function gets
Response = Literal["warn", "stop", "raise"] | Callable[[R], object]


def check_response(option: str, response: Any, record: str) -> None:
    """Check the value of `on_drift` or `on_flag`.

    Args:
        option: "on_drift" or "on_flag", for the error message.
        response: one of the words, or a function.
        record: the name of the record that the function gets, for the error message.

    Raises:
        InvalidInput: it is neither one of the words nor callable.
    """
    if not callable(response) and response not in ("warn", "stop", "raise"):
        raise InvalidInput(f"{option}={response!r}: expected 'warn', 'stop', 'raise' or a function of the {record}.")


def common_response(response: Any) -> str:
    """Return what all processes of a training must have alike in a response: whether it ends the training."""
    return "" if callable(response) or response == "warn" else str(response)


def respond(
    response: Response[R],
    record: R,
    text: str,
    *,
    model: keras.Model,
    alarm: Callable[[str, R], Alarm],
    warn: Callable[[str], None],
    advice: str = "",
) -> None:
    """Call the user's function, raise, or warn; stop the training after this epoch where that is asked for.

    A warning is a Python warning only, and is not logged as well: the user reads it once.

    Args:
        response: the value of `on_drift` or `on_flag`.
        record: the alert, or the record that has the flags.
        text: what happened, in words.
        model: whose training is stopped.
        alarm: makes the exception of "raise" from text and record.
        warn: issues a warning with a text.
        advice: what to do next; for the warning only.

    Raises:
        Alarm: the user asked for it.
    """
    if callable(response):
        response(record)
        return
    if response == "raise":
        raise alarm(text, record)
    sentences = [text, advice]
    if response == "stop":
        model.stop_training = True
        sentences.append("Training stops.")
    warn(" ".join(filter(None, sentences)))
