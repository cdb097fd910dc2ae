"""The answer to an alert or a flag, the same for every callback that raises one."""

import types

import pytest

import keras_xai as kx
from keras_xai.callbacks.base import RecordingCallback
from keras_xai.callbacks.response import check_response, respond
from keras_xai.errors import DriftAlarm
from keras_xai.records import Alert

ALERT = Alert(3, "clean", "reliance moved", False, (), 9.0, 6.0)


def answered(response):
    """The warnings that a response gives, and whether the training stops."""
    model, warnings = types.SimpleNamespace(stop_training=False), []
    respond(response, ALERT, "it moved.", model=model, alarm=DriftAlarm, warn=warnings.append, advice="Look at it.")
    return warnings, model.stop_training


def test_the_user_is_warned_once_and_the_training_stops_where_that_is_asked_for():
    """Text, advice, and what happens next."""
    assert answered("warn") == (["it moved. Look at it."], False)
    assert answered("stop") == (["it moved. Look at it. Training stops."], True)


def test_a_function_gets_the_record_and_nothing_else_happens():
    """It may do what it likes."""
    records = []
    assert answered(records.append) == ([], False)
    assert records == [ALERT]


def test_raise_raises_the_alarm_with_the_record():
    """The advice is for a warning."""
    with pytest.raises(DriftAlarm, match=r"^it moved\.$") as caught:
        answered("raise")
    assert caught.value.alert is ALERT


@pytest.mark.parametrize("response", ["shout", None, 1, []])
def test_anything_else_is_refused(response):
    """With the name of the option, what came and what is expected."""
    with pytest.raises(kx.InvalidInput, match=r"on_flag=.*expected 'warn', 'stop', 'raise' or a function of"):
        check_response("on_flag", response, "records.Gradients")


@pytest.mark.parametrize(
    "callback",
    [kx.WeightGradients, kx.ProbeAttributions, kx.ImportanceDrift, kx.ProbeMappings],
    ids=lambda c: c.__name__,
)
def test_every_callback_says_what_makes_it_cost_less(callback):
    """In words that name it."""
    assert issubclass(callback, RecordingCallback)
    assert callback.cost_hint.endswith(f"in {callback.__name__}")
