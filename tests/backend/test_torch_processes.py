"""Several processes of `torch.distributed` are refused: Keras would train a model of its own in each."""

from __future__ import annotations

import multiprocessing
import socket

import keras
import numpy as np
import pytest

import keras_xai as kx

pytestmark = [pytest.mark.torch, pytest.mark.every_backend]


def train(rank: int, port: int, answers) -> None:
    """One of two processes."""
    import torch

    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    try:
        model.fit(x, x[:, 0] > 0, verbose=0, callbacks=[kx.WeightGradients(f"run{rank}")])
    except kx.InvalidInput as error:
        answers.put((rank, str(error), model.optimizer.iterations.numpy() == 0))
    torch.distributed.destroy_process_group()


def test_two_processes_are_refused_before_the_first_step(tmp_path, monkeypatch):
    """In words that say what to do."""
    monkeypatch.chdir(tmp_path)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    both = [context.Process(target=train, args=(rank, port, answers)) for rank in range(2)]
    for process in both:
        process.start()
    received = sorted(answers.get(timeout=120) for _ in both)
    for process in both:
        process.join(60)
        process.kill()
    assert [rank for rank, *_ in received] == [0, 1]
    for _, text, is_untouched in received:
        assert "torch.distributed runs with 2 processes" in text
        assert is_untouched
    assert list(tmp_path.iterdir()) == []


def test_one_process_with_a_group_of_its_own_is_watched(tmp_path):
    """As some launchers start it."""
    import torch

    store = f"file://{tmp_path / 'store'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(x, x[:, 0] > 0, verbose=0, callbacks=[kx.WeightGradients(tmp_path / "run", on_error="raise")])
    finally:
        torch.distributed.destroy_process_group()
    assert kx.load(tmp_path)["run"].weight_gradients[0].missing == ""
