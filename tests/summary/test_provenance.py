"""How a training was begun, on the wire."""

import dataclasses
import json

import pytest

from keras_xai.provenance import LayerSummary, ModelSummary, ProbeSummary, Provenance
from keras_xai.records import Epoch
from keras_xai.run import Run
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.codec import provenance
from keras_xai.summary.store import FileStore
from keras_xai.summary.writer import Writer

RECORD = Provenance(
    epoch=0,
    wall_time=1.7e9,
    versions={"keras_xai": "0.1.0", "python": "3.11.7"},
    backend="jax",
    platform="Linux 6.1 x86_64",
    model=ModelSummary("net", "Functional", 12, 10, 2, (LayerSummary("<b>", "Dense", "(None, 2)", 12),), "Adam", "mse"),
    probe=ProbeSummary(128, 16, "table", "00ff", 4, ("no", "yes"), ("sex",), "pandas.DataFrame"),
    seed=-3,
    command=("train.py", "--lr", "0.1"),
    epochs=5,
    steps=40,
)


def test_what_is_written_is_read(tmp_path):
    """Every field of every part, of the start and of a restart; of a run that has none nothing."""
    restart = dataclasses.replace(RECORD, epoch=3, model=None, probe=None, seed=None, seed_is_known=False, command=())
    writer = Writer(tmp_path / "keras_xai")
    writer.write([RECORD, *(Epoch(e, 0.0, 1.0, 0.1, 1e-3, {}) for e in range(4)), restart])
    writer.close()
    run = Run(FileStore(tmp_path / "keras_xai"))
    assert run.provenance == [RECORD, restart]
    assert run.passed_over == {}
    Writer(tmp_path / "other").close()
    assert Run(FileStore(tmp_path / "other")).provenance == []


def test_in_a_run_of_steps_it_has_the_epoch_of_its_step_and_is_no_update(tmp_path):
    """Whatever its step, a series continues in the part that it would have without it."""
    writer = Writer(tmp_path / "keras_xai", past_updates=0)
    writer.write([dataclasses.replace(RECORD, step=0)])
    writer.write([Epoch(e // 2, 0.0, 1.0, 0.1, 1e-3, {}, step=10 * (e + 1), ends_epoch=e % 2 == 1) for e in range(4)])
    writer.write([dataclasses.replace(RECORD, step=31)])
    assert writer._ordinal(50) == 4
    writer.close()
    run = Run(FileStore(tmp_path / "keras_xai"))
    assert [(record.epoch, record.step) for record in run.provenance] == [(0, 0), (1, 31)]
    assert len(run.updates) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"wall_time": "now"},
        {"model": []},
        {"model": {"name": 3}},
        {"probe": {"size": -1}},
        {"command": "rm"},
        {"seed": 0.5},
        {"versions": {"keras": 3}},
    ],
)
def test_what_does_not_fit_is_unreadable(change):
    """And nothing else is raised."""
    [(_, _, [text])] = provenance.encode(RECORD)
    forged = json.dumps(json.loads(text) | change).encode()
    assert provenance.decode(0, (), [text]) == RECORD
    with pytest.raises(Unreadable):
        provenance.decode(0, (), [forged])
