"""What TensorBoard's data server cannot answer at once is asked for in another way, and costs its own run alone."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

from keras_xai.records import STATISTICS, Epoch, Gradients
from keras_xai.summary import parts, provider
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.codec import gradients
from keras_xai.summary.provider import ProviderStore, Reads
from keras_xai.summary.writer import Writer
from tests.plugin.answers import HOME

pytestmark = pytest.mark.oldest

CHANNEL = 60_000  # bytes of an answer, instead of 256 MiB


@pytest.fixture
def narrow(monkeypatch):
    """TensorBoard's connection to its data server takes short answers alone."""
    from tensorboard.data import grpc_provider, server_ingester

    def stub(address, credentials):
        secret, options = credentials.channel_config()
        channel = grpc.secure_channel(address, secret, [*options, ("grpc.max_receive_message_length", CHANNEL)])
        return grpc_provider.make_stub(channel)

    monkeypatch.setattr(server_ingester, "_make_stub", stub)
    monkeypatch.setattr(provider, "MAX_ANSWER_BYTES", CHANNEL // 2)
    monkeypatch.setattr(parts, "PART_BYTES", 1 << 60)  # as runs were written before there were parts


def write(directory, epochs, variables=3, logs=1):
    writer = Writer(directory / "keras_xai")
    names = tuple(f"layer_{v}/kernel" for v in range(variables))
    statistics = dict.fromkeys(STATISTICS, np.ones(variables, "f4"))
    for epoch in range(epochs):
        flags = ((names[0], "dead", 1),) if epoch else ()
        counts, edges = np.ones((variables, 1), "f4"), np.array([1, 2], "f4")
        writer.write([Gradients(epoch, names, statistics, counts, edges, 3, flags, sizes=(8,) * variables)])
        writer.write([Epoch(epoch, 1e9 + epoch, 1.0, 0.1, 1e-3, {f"log {k}": 1.0 for k in range(logs)})])
    writer.close()


@pytest.mark.filterwarnings("ignore:.*too long for one answer")
def test_a_series_too_long_for_one_answer_is_thinned_and_said(narrow, tmp_path, wsgi, wait_until):
    """The list of runs reads the last record alone; the run shows steps of the series, and a note how many."""
    write(tmp_path / "long", 60, variables=40)  # 135 kB of gradients
    write(tmp_path / "short", 5)
    client = wsgi(tmp_path, "rust")
    wait_until(lambda: {r["name"]: r["epochs"] for r in client.get(HOME + "index").json["runs"]} == EXPECTED)
    cards = {card["name"]: card for card in client.get(HOME + "index").json["runs"]}
    assert [cards[name]["error"] for name in EXPECTED] == ["", ""]
    assert cards["long"]["flags"] == {"dead": 1}
    run = client.get(HOME + "run", query_string={"run": "long"}).json
    assert run["epochs"] == list(range(60))
    assert 5 < len(run["gradient_epochs"]) < 30
    assert run["gradient_epochs"][-1] == 59
    assert f"{len(run['gradient_epochs'])} of its steps" in run["notes"][-1]["text"]
    assert "kx.load reads all of them" in run["passed_over"][gradients.TAG]
    for panel in ("heat_map", "ridge", "loss"):
        assert client.get(HOME + "figure", query_string={"run": "long", "name": panel}).status_code == 200


EXPECTED = {"long": 60, "short": 5}


def test_a_run_that_cannot_be_read_is_one_line_in_the_list(narrow, tmp_path, wsgi, wait_until):
    """One record longer than any answer: its run is named with the reason, and asked for it is a 404; the others stand."""
    write(tmp_path / "huge", 2, logs=5000)
    write(tmp_path / "short", 5)
    client = wsgi(tmp_path, "rust")
    wait_until(lambda: [r["epochs"] for r in client.get(HOME + "index").json["runs"]] == [0, 5])
    huge, short = client.get(HOME + "index", query_string={"focus": "huge"}).json["runs"]
    assert short["error"] == ""
    assert "larger than max" in huge["error"]
    assert "\n" not in huge["error"]
    assert client.get(HOME + "index", query_string={"focus": "huge"}).json["run"]["name"] == "short"
    for route in ("run", "summary", "inputs", "mapping"):
        answer = client.get(HOME + route, query_string={"run": "huge"})
        assert answer.status_code == 404
        assert "This run cannot be read" in answer.text
    overlay = {"run": "short", "name": "loss", "overlay": "huge"}
    assert client.get(HOME + "figure", query_string=overlay).status_code == 404


def test_a_list_too_long_for_one_answer_is_asked_for_run_by_run(narrow, tmp_path, wsgi, wait_until):
    """Thirty runs whose names of variables take three answers."""
    for k in range(30):
        write(tmp_path / f"run{k:02d}", 1, variables=200)
    client = wsgi(tmp_path, "rust")
    wait_until(lambda: sum(r["epochs"] for r in client.get(HOME + "index").json["runs"]) == 30)
    assert client.get(HOME + "run", query_string={"run": "run07"}).json["epochs"] == [0]


def test_one_run_that_cannot_even_be_listed_is_one_line(narrow, tmp_path, wsgi, wait_until):
    """Its names alone are longer than any answer."""
    write(tmp_path / "huge", 1, variables=4000)
    write(tmp_path / "short", 5)
    client = wsgi(tmp_path, "rust")
    wait_until(lambda: [r["epochs"] for r in client.get(HOME + "index").json["runs"]] == [0, 5])
    huge, short = client.get(HOME + "index").json["runs"]
    assert (short["error"], huge["name"]) == ("", "huge")
    assert huge["error"].startswith("TensorBoard's data server: ")
    assert client.get(HOME + "run", query_string={"run": "short"}).json["epochs"] == [0, 1, 2, 3, 4]


class Listed:
    def __init__(self, max_step, max_length=1):
        self.plugin_content, self.max_step, self.max_wall_time, self.max_length = b"", max_step, 1.0, max_length


class Datum:
    def __init__(self, step, numpy):
        self.step, self.numpy = step, numpy


class Provider:
    """Answers from memory, and counts the questions."""

    def __init__(self, answers):
        self.answers, self.asked = answers, []

    def read_tensors(self, context, *, run_tag_filter, downsample, **_):
        (tag,) = run_tag_filter.tags
        self.asked.append((tag, downsample))
        rows = self.answers[tag]
        if isinstance(rows, Exception):
            raise rows
        return {"run": {tag: rows[-downsample:]}}

    def read_blob_sequences(self, context, *, run_tag_filter, **_):
        raise AssertionError("nobody may ask for so many blobs")


def store_of(source, tags, blobs=None, before=None):
    return ProviderStore(Reads(source, None, "", "run"), tags, blobs or {}, before)


def test_what_did_not_grow_is_not_read_again():
    """Of two listings of a run, the second asks for the series that changed."""
    source = Provider({"a": [Datum(0, np.ones(1))], "b": [Datum(0, np.ones(1)), Datum(1, np.ones(1))]})
    first = store_of(source, {"a": Listed(0), "b": Listed(0)})
    assert [len(first.series()[tag].rows) for tag in "ab"] == [1, 2]
    second = store_of(source, {"a": Listed(0), "b": Listed(1)}, before=first)
    assert [len(second.series()[tag].rows) for tag in "ab"] == [1, 2]
    assert source.asked == [("a", provider.ALL_STEPS), ("b", provider.ALL_STEPS), ("b", provider.ALL_STEPS)]


def test_the_last_step_is_asked_for_alone_unless_all_are_known():
    """The list of runs needs no more of a long series."""
    source = Provider({"a": [Datum(0, np.ones(1)), Datum(1, np.ones(1))]})
    assert store_of(source, {"a": Listed(1)}).series()["a"].last[0] == 1
    assert source.asked == [("a", 1)]
    series = store_of(source, {"a": Listed(1)}).series()["a"]
    assert (len(series.rows), series.last[0], len(source.asked)) == (2, 1, 2)


@pytest.mark.parametrize("fault", [MemoryError(), ValueError("cannot reshape"), TypeError("no such type")])
def test_what_tensorboard_cannot_decode_is_passed_over_and_said(fault):
    """It decodes all of a tag or nothing; an array of more than there is memory is no end of the server."""
    store = store_of(Provider({"a": fault}), {"a": Listed(0)})
    with pytest.warns(UserWarning, match="run: a is passed over"):
        assert store.series()["a"].rows == []
    assert "a" in store.passed_over


def test_blobs_beyond_all_counting_are_not_asked_for():
    """TensorBoard's Python loader would make a key for each of as many as a shape says."""
    store = store_of(Provider({}), {}, {"a": Listed(0, max_length=2**40)})
    with pytest.warns(UserWarning, match="1,099,511,627,776 blobs of one step"):
        assert store.series()["a"].rows == []


def test_one_string_for_a_large_shape_is_not_taken_for_many():
    """As TensorBoard's provider gives it."""
    source = Provider({"a": [Datum(0, np.full(2**20, b"x", object)), Datum(1, np.array([b"{}"], object))]})
    (_, large), (_, small) = store_of(source, {"a": Listed(1)}).series()["a"].rows
    assert small() == [b"{}"]
    with pytest.raises(Unreadable, match="one string, got 1048576"):
        large()
