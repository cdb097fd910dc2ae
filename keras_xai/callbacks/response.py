"""The answer to an alert or a flag that the user wants: the same choice in every callback that raises one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import keras

from keras_xai.errors import Alarm, InvalidInput

R = TypeVar("R")  # the record that the function gets
Response = Literal["warn", "stop", "raise"] | Callable[[R], object]


def check_response(option: str, response: Any, record: str) -> None:
    """Check what the user gave for `on_drift` or `on_flag`.

    Args:
        option: its name, for the error message.
        response: one of the words, or a function.
        record: what the function gets.

    Raises:
        InvalidInput: it is neither one of the words nor callable.
    """
    if not callable(response) and response not in ("warn", "stop", "raise"):
        raise InvalidInput(f"{option}={response!r}: expected 'warn', 'stop', 'raise' or a function of the {record}.")


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

    The user is told once, by a Python warning: nothing of it is said to `logging` as well.

    Args:
        response: what the user asked for.
        record: the alert, or what holds the flags.
        text: what happened, in words.
        model: in training.
        alarm: the exception that "raise" raises, made of text and record.
        warn: warns.
        advice: what to do next; a part of the warning alone.

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
