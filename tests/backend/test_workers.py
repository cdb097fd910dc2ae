"""The workers of TensorFlow's strategies: two that exchange messages, and strategies that are refused."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
from types import SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf

from keras_xai.backend.tensorflow.devices import REFUSED, team
from keras_xai.errors import FailedElsewhere, InvalidInput

pytestmark = pytest.mark.tensorflow


def work(rank: int, ports: list[int], answers: Any) -> None:
    """One of two workers of a strategy."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": rank}})
    both = team(SimpleNamespace(distribute_strategy=tf.distribute.MultiWorkerMirroredStrategy()))
    with both.together():
        agreed = both.agreed(["of the chief", float("inf")] if both.is_chief else None)
        long = both.agreed("long " * 1000)
        alike = both.same("x"), both.same(str(rank))
    try:
        with both.together():
            if rank == 1:
                raise OSError("gone")
    except (OSError, FailedElsewhere) as fault:
        answers.put((both.rank, both.size, agreed, len(long), alike, f"{type(fault).__name__}: {fault}"))


def test_two_workers_are_a_team():
    """Keras 3.15 cannot train in two; what they say to each other arrives all the same."""
    ports = []
    listeners = [socket.socket() for _ in range(2)]
    for listener in listeners:
        listener.bind(("127.0.0.1", 0))
        ports.append(listener.getsockname()[1])
    for listener in listeners:
        listener.close()
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    both = [context.Process(target=work, args=(rank, ports, answers)) for rank in range(2)]
    for process in both:
        process.start()
    received = sorted(answers.get(timeout=120) for _ in both)
    for process in both:
        process.join(60)
        process.kill()
    same = 2, ["of the chief", float("inf")], 5000, (True, False)
    assert received == [(0, *same, "FailedElsewhere: process 1: OSError: gone"), (1, *same, "OSError: gone")]


@pytest.mark.parametrize("kind", REFUSED)
def test_a_strategy_that_is_not_supported_is_refused(kind):
    """Before the first step, in words."""
    model: Any = SimpleNamespace(distribute_strategy=object.__new__(kind))
    with pytest.raises(InvalidInput, match=rf"{kind.__name__}.*MirroredStrategy"):
        team(model)
