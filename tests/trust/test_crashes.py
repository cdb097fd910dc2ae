"""A short form of `benchmarks.crashes`: what was flushed before a crash is read by `kx.load` and both data loaders."""

from __future__ import annotations

import warnings

import keras
import pytest
from tensorboard.compat.proto import event_pb2, summary_pb2

import keras_xai as kx
from benchmarks._crash_runs import EPOCHS, loaded, records, series, served, share, verdict, whole_file
from keras_xai.summary.tag_constants import SCHEMA, plugin_data
from keras_xai.summary.writer import Writer
from tests.plugin.answers import HOME, LOADERS
from tests.trust.trainings import callback, trained

SIZES = {"kills": 6, "fits": 0, "cuts": 10, "flips": 10}


@pytest.fixture(scope="module")
def crashed(tmp_path_factory):
    """The directory of many runs, and the epochs that each of them has to hold."""
    root = tmp_path_factory.mktemp("crashed")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process", DeprecationWarning)  # a fork among threads: it only writes
        expected = series(root, **SIZES, say=lambda text: None)
    assert sum(map(bool, expected.values())) > 15
    return root, expected


def faults(crashed, read):
    return {name: text for name, epochs in crashed[1].items() if (text := verdict(name, epochs, read))}


def getter(client):
    def get(route, query):
        answer = client.get(HOME + route, query_string=query)
        assert answer.status_code == 200, (route, query, answer.status_code)
        return answer.data

    return get


def test_every_epoch_flushed_before_a_crash_is_loaded(crashed):
    """With the numbers that were written."""
    assert faults(crashed, loaded(crashed[0])) == {}


@pytest.mark.filterwarnings("ignore:.*passed over")  # the Rust loader hands on what it does not check
@pytest.mark.parametrize("loader", LOADERS)
def test_every_epoch_flushed_before_a_crash_is_served(crashed, wsgi, loader, wait_until):
    """By both data loaders."""
    get = getter(wsgi(crashed[0], loader))
    wait_until(lambda: not faults(crashed, served(get)), 60, 1)


def test_a_crash_costs_no_more_than_what_it_hit(tmp_path):
    """One damaged frame: `kx.load` says so, and reads the epochs before and after it."""
    content, ends = whole_file(tmp_path / "whole" / "keras_xai")
    path = tmp_path / "hit" / "keras_xai" / "events.out.tfevents.1700000000.host"
    path.parent.mkdir(parents=True)
    at = ends[4] + 40  # in the data of the first record of epoch 5
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    run = kx.load(tmp_path)["hit"]
    with pytest.warns(UserWarning, match="1 damaged record"):
        known = run.epochs
    assert known == list(range(EPOCHS))
    assert [record.epoch for record in run.weight_gradients] == [e for e in range(EPOCHS) if e != 5]
    for epoch, row in zip(run.importance.epochs, run.importance.share, strict=True):
        assert row.tolist() == share(int(epoch)).tolist()


def foreign(writer, tag, plugin, content):
    value = summary_pb2.Summary.Value(tag=tag)
    value.tensor.float_val.append(1.0)
    value.metadata.plugin_data.plugin_name = plugin
    value.metadata.plugin_data.content = content
    writer._append([event_pb2.Event(step=0, summary=summary_pb2.Summary(value=[value]))])


def test_foreign_and_future_records_are_passed_over_and_said(tmp_path, wsgi, wait_until):
    """Another plugin's tag, a tag of a later version, a kind that nobody knows: ours are read as if they were alone."""
    writer = Writer(tmp_path / "run" / "keras_xai")
    later = plugin_data(1)
    later.schema_version = SCHEMA + 1
    foreign(writer, "loss", "scalars", b"")
    foreign(writer, "keras_xai/alert/live", "keras_xai", later.SerializeToString())
    foreign(writer, "keras_xai/importance/data", "keras_xai", b"\xff\xff no message")
    foreign(writer, "keras_xai/never/heard/of", "keras_xai", plugin_data(1).SerializeToString())
    for epoch in range(3):
        writer.write(records(epoch))
    writer.close()
    run = kx.load(tmp_path)["run"]
    with pytest.warns(UserWarning, match="keras_xai/alert/live is passed over: schema version"):
        assert run.alerts == []
    with pytest.warns(UserWarning, match="keras_xai/importance/data is passed over"):
        assert run.data_score is None
    assert run.epochs == run.importance.epochs.tolist() == [0, 1, 2]
    for loader in LOADERS:
        get = getter(wsgi(tmp_path, loader))

        def complete(get=get):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return not verdict("run", [0, 1, 2], served(get))

        wait_until(complete, 60, 1)


@pytest.mark.parametrize("loader", ["python", pytest.param("rust", marks=pytest.mark.full)])
def test_a_resumed_training_is_one_run_in_both_loaders(tmp_path, wsgi, loader, wait_until):
    """Stopped after epoch 3, resumed from the checkpoint of epoch 1: every epoch once, and those of the second file."""
    for start, end in ((0, 4), (2, 6)):
        keras.utils.clear_session()  # as in a new process: layers get the names they had
        trained(callback("Explain", tmp_path / "run"), epochs=end, initial_epoch=start)
    run = kx.load(tmp_path)["run"]
    assert run.epochs == run.importance.epochs.tolist() == [record.epoch for record in run.weight_gradients]
    assert run.epochs == [0, 1, 2, 3, 4, 5]
    get = getter(wsgi(tmp_path, loader))
    expected = dict(zip(run.importance.epochs.tolist(), run.importance.share.tolist(), strict=True))

    def same():
        known, shares = served(get)("run")
        return known == run.epochs and {e: row.tolist() for e, row in shares.items()} == expected

    wait_until(same, 60, 1)
    assert len(list((tmp_path / "run" / "keras_xai").iterdir())) == 2
