"""The fast loader's answers do not wait for the network's timers."""

from __future__ import annotations

import threading

import pytest

from keras_xai.plugin.workarounds.nagle import UndelayedProvider, without_delay


class Slow:
    """A provider whose answer is let through by the second question that comes after it."""

    def __init__(self):
        self.nudges, self.through = 0, threading.Event()

    def list_tensors(self, context, *, experiment_id):
        assert self.through.wait(30), "nobody asked anything else"
        return [context, experiment_id]

    def read_blob(self, context):
        raise LookupError("no such blob")

    def experiment_metadata(self, context, *, experiment_id):
        self.nudges += 1
        if self.nudges == 2:
            self.through.set()
        if self.nudges % 2:
            raise ConnectionError("the server is busy")  # which is for those to hear who await an answer


def test_something_small_is_asked_while_an_answer_is_awaited():
    """An answer that stands behind others comes through; arguments, answers and errors are the provider's own."""
    provider = Slow()
    asked = UndelayedProvider(provider)
    assert asked.list_tensors("context", experiment_id="x") == ["context", "x"]
    with pytest.raises(LookupError, match="no such blob"):
        asked.read_blob("context")


def test_nothing_is_asked_while_nobody_waits():
    """A tab that is closed costs the server nothing."""
    provider = Slow()
    UndelayedProvider(provider)
    assert not provider.through.wait(0.2)
    assert provider.nudges == 0


def test_a_provider_in_the_same_process_is_left_alone(wsgi, told_directory):
    """The Python loader needs no connection; the fast loader's provider is the one that is asked over one."""
    provider = Slow()
    assert without_delay(provider) is provider
    client = wsgi(told_directory, "rust")
    (plugin,) = (p for p in client.application._plugins if p.plugin_name == "keras_xai")
    assert isinstance(plugin._provider, UndelayedProvider)
