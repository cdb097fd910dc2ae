"""Long series go on under tags of their own: no answer of TensorBoard's data server is too long, and nobody sees a seam."""

from __future__ import annotations

import collections

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_xai as kx
from keras_xai.records import STATISTICS, Epoch, Gradients
from keras_xai.summary import parts
from keras_xai.summary.codec import epoch as epoch_codec
from keras_xai.summary.codec import gradients as gradients_codec
from keras_xai.summary.event_files import events
from keras_xai.summary.parts import PART_BYTES, part_of, series_of
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.writer import Writer
from tests.plugin.answers import HOME, LOADERS

GRADIENTS = PluginData(kind=PluginData.GRADIENTS)


def gradients(epoch, variables=10):
    names = tuple(f"layer_{v}/kernel" for v in range(variables))
    values = {name: np.full(variables, epoch, "f4") for name in STATISTICS}
    flags = ((names[0], "dead", epoch),) if epoch == 20 else ()
    edges = np.array([1, 2], "f4")
    return Gradients(epoch, names, values, np.ones((variables, 1), "f4"), edges, 3, flags, sizes=(8,) * variables)


def written(directory, epochs, start=0):
    writer = Writer(directory / "keras_xai", start)
    for epoch in epochs:
        writer.write([gradients(epoch), Epoch(epoch, 1e9 + epoch, 1.0, 0.1, 1e-3, {})])
    writer.close()
    return writer.path


@pytest.fixture
def small(monkeypatch):
    """Parts of four epochs: of 560 bytes each."""
    monkeypatch.setattr(parts, "PART_BYTES", 4 * 560)


def tags(path):
    """How often each tag stands in a file, and the constants that stand with it."""
    counts: dict[str, int] = collections.Counter()
    data = {}
    for event in events(path, []):
        for value in event.summary.value:
            counts[value.tag] += 1
            if value.metadata.plugin_data.content:
                data[value.tag] = PluginData.FromString(value.metadata.plugin_data.content)
    return counts, data


def test_parts_hold_an_even_number_of_epochs_and_the_names_once(tmp_path, small):
    """A power of two; the constants of a later part are those of the first."""
    counts, data = tags(written(tmp_path, range(21)))
    series = {tag: count for tag, count in counts.items() if series_of(tag)[0] == gradients_codec.TAG}
    assert series == {gradients_codec.TAG: 4, **{f"{gradients_codec.TAG}/part-{k}": 4 for k in (1, 2, 3, 4)}} | {
        f"{gradients_codec.TAG}/part-5": 1
    }
    assert [len(data[tag].names) for tag in series] == [10, 0, 0, 0, 0, 0]
    assert sum(count for tag, count in counts.items() if series_of(tag)[0] == epoch_codec.TAG) == 21


def test_parts_are_read_as_one_series(tmp_path, small):
    """With the names and sizes of the first part; the flags of the last record alone are found in the last part."""
    written(tmp_path, range(21))
    run = kx.load(tmp_path)["."]
    assert run.flags == (("layer_0/kernel", "dead", 20),)
    assert [record.epoch for record in run.weight_gradients] == list(range(21))
    assert {record.names for record in run.weight_gradients} == {gradients(0).names}
    assert [record.statistics["rms"][3] for record in run.weight_gradients] == list(range(21))
    assert run.constants["variables"] == gradients(0).names


@pytest.mark.parametrize("start", [6, 8, 9])
def test_a_resumed_training_goes_on_where_it_was(tmp_path, small, start):
    """Inside a part or at its begin; what it repeats is replaced."""
    written(tmp_path, range(10))
    written(tmp_path, range(start, 14), start)
    run = kx.load(tmp_path)["."]
    assert [record.epoch for record in run.weight_gradients] == run.epochs == list(range(14))
    assert run.passed_over == {}


def test_a_run_that_begins_late_has_its_names(tmp_path, small):
    """The first part that is written holds the constants, whatever its number."""
    written(tmp_path, range(9, 14), 9)
    run = kx.load(tmp_path)["."]
    assert [record.epoch for record in run.weight_gradients] == list(range(9, 14))


def test_parts_without_the_one_that_holds_the_names_are_passed_over(tmp_path, small):
    """And said: what the rows mean is not known."""
    path = written(tmp_path, range(9))
    content = bytearray(path.read_bytes())
    content[content.index(b"layer_0/kernel")] ^= 1
    path.write_bytes(content)
    run = kx.load(tmp_path)["."]
    with pytest.warns(UserWarning, match="1 damaged record"):
        assert run.epochs == list(range(9))
    with pytest.warns(UserWarning, match="weight_gradients is passed over: the part with its names is missing"):
        assert run.weight_gradients == []


def test_runs_of_before_are_read_as_they_were_written(tmp_path, small, monkeypatch):
    """One tag of any length, continued in parts by a later training."""
    monkeypatch.setattr(parts, "PART_BYTES", 1 << 60)
    written(tmp_path, range(10))
    monkeypatch.setattr(parts, "PART_BYTES", 4 * 560)
    written(tmp_path, range(10, 14), 10)
    assert [record.epoch for record in kx.load(tmp_path)["."].weight_gradients] == list(range(14))


@pytest.mark.parametrize("loader", LOADERS)
def test_the_tab_sees_no_seam(tmp_path, small, wsgi, wait_until, loader):
    """Both data loaders, while a training goes on: every epoch, the flags of the last, nothing passed over."""
    written(tmp_path / "run", range(10))
    client = wsgi(tmp_path, loader)

    def card():
        return client.get(HOME + "index").json["runs"][0]

    wait_until(lambda: client.get(HOME + "index").json["runs"] and card()["epochs"] == 10)
    assert client.get(HOME + "run", query_string={"run": "run"}).json["gradient_epochs"] == list(range(10))
    if loader == "rust":  # the other one does not look again in this test
        written(tmp_path / "run", range(10, 21), 10)
        wait_until(lambda: card()["epochs"] == 21)
        assert card()["flags"] == {"dead": 1}
        run = client.get(HOME + "run", query_string={"run": "run"}).json
        assert run["gradient_epochs"] == list(range(21))
        assert run["passed_over"] == {}


@given(st.lists(st.integers(1, PART_BYTES // 4), min_size=1, max_size=40), st.integers(1, 2000))
def test_no_part_is_longer_than_twice_what_it_should_be(sizes, stride):
    """Contents of about one size in one part, whatever the epochs; one content alone may be longer."""
    spread = [max(1, sizes[0] * (100 + size % 50) // 100) for size in sizes]
    parts: dict[str, int] = collections.Counter()
    for k, size in enumerate(spread):
        parts[part_of("tag", GRADIENTS, k * stride, [b"x" * size] if size < 100 else np.zeros(size, "u1"))] += size
    assert all(total <= 2 * PART_BYTES for total in parts.values())
    assert all(series_of(tag)[0] == "tag" for tag in parts)


def test_tags_that_only_look_like_parts_are_series_of_their_own():
    """Part 0 is the tag itself."""
    assert series_of("a/part-1") == ("a", 1)
    for tag in ("a", "a/part-0", "a/part-01", "a/part-", "/part-1", "a/part-1x", "a/part-9999999999"):
        assert series_of(tag) == (tag, 0)
