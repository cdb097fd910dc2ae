"""Values that are whole frames and not what we write: forged, or damaged and passed on by TensorBoard's data server."""

from __future__ import annotations

import os
import random
import warnings

import numpy as np
import pytest
from tensorboard.compat.proto import event_pb2

import keras_xai as kx
from keras_xai.summary.writer import Writer
from tests.plugin.answers import HOME, LOADERS
from tests.summary.epoch_records import epoch_of_records

DEEP = b"[" * 100_000
NASTY = [
    b"",
    b"null",
    b"[]",
    b"{}",
    DEEP,
    b'{"a": ' * 5000,
    b'{"wall_time": 1' + b"0" * 400 + b', "seconds": {}, "cost_seconds": [], "learning_rate": "x", "logs": 3}',
    b'{"verdict": 3, "learning_rate_rising": null, "features": [[1, 2, 3, 1e999, "nan"]], "score": []}',
    b"KXA1\x00\xff\x00\x00" + b"\xff" * 40,
    b"KXA1\x00\x02\x00\x00" + b"\x00" * 8 + b"\xff\xff\xff\x7f" * 2 + b"x\x9c",
]


def forge(event, chance):
    """One value of an event made into something else."""
    value = event.summary.value[0]
    tensor, plugin = value.tensor, value.metadata.plugin_data
    kind = chance.randrange(7)
    if kind == 0 and tensor.tensor_content:
        content = bytearray(tensor.tensor_content)
        for _ in range(8):
            content[chance.randrange(len(content))] = chance.choice((0, 0x7F, 0x80, 0xFF))
        tensor.tensor_content = bytes(content)
    elif kind == 1 and tensor.string_val:
        tensor.string_val[chance.randrange(len(tensor.string_val))] = chance.choice(NASTY)
    elif kind == 2 and tensor.tensor_shape.dim:
        tensor.tensor_shape.dim[0].size = chance.choice((-1, 0, 1, 2**40))
    elif kind == 3:
        tensor.dtype = chance.choice((1, 3, 7, 19, 99))
    elif kind == 4 and plugin.content:
        plugin.content = plugin.content[: chance.randrange(len(plugin.content))] + chance.choice(NASTY)
    elif kind == 5:
        event.step = chance.choice((-1, 2**62, 1))
    else:
        value.tag = chance.choice(("keras_xai/epoch", "keras_xai/probe", "keras_xai/importance/<b>", "", "\x00"))


def forged(directory, probe, seed):
    """A file of two epochs in which some events are forged, every check sum right."""
    chance = random.Random(seed)
    writer = Writer(directory)
    for records in ([probe], epoch_of_records(0), epoch_of_records(1)):
        writer.write(records)
    frames, writer._unflushed = writer._unflushed, []
    for frame in frames:
        event = event_pb2.Event.FromString(frame[12:-4])
        if chance.random() < 0.4:
            forge(event, chance)
        writer._append([event])
    writer.close()


def everything(run):
    """Reads all that a run says."""
    whole = (run.epochs, run.history, run.probe, run.weight_gradients, run.alerts, run.importance, run.importance_live)
    more = (run.data_score, run.mappings, run.samples, run.constants, repr(run))
    methods = [(run.outputs(m), run.attributions(m), run.attribution_updates(m)) for m in run.methods]
    return whole, more, methods


@pytest.mark.parametrize("seed", [0, *(pytest.param(k, marks=pytest.mark.full) for k in range(1, 20))])
@pytest.mark.filterwarnings("ignore")  # that something is passed over is said; how often is not the question
def test_forged_values_are_passed_over(tmp_path, probe, seed):
    """A hundred files: nothing of them raises, and what is whole is read."""
    read = 0
    for k in range(100):
        forged(tmp_path / f"{k}" / "keras_xai", probe, 100 * seed + k)
    for run in kx.load(tmp_path).values():
        everything(run)
        read += len(run.epochs)
    assert read > 50


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("loader", LOADERS)
def test_forged_values_are_no_server_error(tmp_path, probe, wsgi, loader, wait_until):
    """Every route answers for every run, in words where there is nothing."""
    for k in range(12):
        forged(tmp_path / f"{k}" / "keras_xai", probe, 7000 + k)
    client = wsgi(tmp_path, loader)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wait_until(lambda: len(client.get(HOME + "index").json["runs"]) >= 10)
        for run in [r["name"] for r in client.get(HOME + "index").json["runs"]]:
            for route in ("run", "summary", "importance", "inputs", "outputs", "attribution", "figure", "film"):
                ask = {"run": run, "epoch": 1, "source": "clean", "method": "saliency", "name": "overview", "sample": 0}
                answer = client.get(HOME + route, query_string=ask)
                assert answer.status_code in (200, 400, 404), (route, run, answer.status_code)


def test_a_pipe_in_a_log_directory_is_not_waited_for(tmp_path):
    """Only plain files are opened."""
    (tmp_path / "keras_xai").mkdir()
    os.mkfifo(tmp_path / "keras_xai" / "events.out.tfevents.1")
    assert kx.load(tmp_path)["."].epochs == []


def test_a_table_of_another_height_is_passed_over(tmp_path):
    """Epochs whose gallery is not that of the others have no place in one cube."""
    writer = Writer(tmp_path / "keras_xai")
    for epoch in range(3):
        record = epoch_of_records(epoch)[1]
        if epoch == 1:
            vars(record).update(
                values=record.values[:2],
                target=record.target[:2],
                score=record.score[:2],
                prediction=record.prediction[:2],
                outputs=record.outputs[:2],
            )
        writer.write([record])
    writer.close()
    run = kx.load(tmp_path)["."]
    with pytest.warns(UserWarning, match="saliency: 1 of 3 steps have another shape"):
        outputs = run.outputs("saliency")
    assert outputs.epochs.tolist() == [0, 2]
    assert np.isfinite(outputs.outputs).all()
