"""A run of very many updates in the tab: what is sent and drawn is bounded, and each update can still be looked at."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_xai.figures.theme import MAX_POINTS
from keras_xai.plugin.sent_updates import MAX_UPDATES, sent_updates
from keras_xai.probe import Probe
from keras_xai.records import Attribution, Epoch
from keras_xai.run import load
from keras_xai.summary.writer import Writer
from tests.plugin.answers import HOME, arrays
from tests.plugin.tab import Tab

EPOCHS, SIZE, EVERY = 2 * MAX_POINTS, 2, 3
DOTS = """(view) => [...view.querySelectorAll('.chart')].filter((chart) => chart.querySelector('.layer line')).map(
    (chart) => [...chart.querySelectorAll('.layer circle')].map((dot) => +dot.getAttribute('cx') -
        +chart.querySelector('.layer line').getAttribute('x1')))"""


@settings(max_examples=20, deadline=None)
@given(st.integers(MAX_UPDATES + 1, 5000), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_the_extremes_the_ends_and_every_change_are_sent(count, size, seed):
    """Of any series; whether an update is finite is what the last one sent before it says."""
    generator = np.random.default_rng(seed)
    values, is_read = generator.normal(size=(count, size)), np.ones(count, bool)
    start = int(generator.integers(1, count - 1))
    is_read[start : start + 3] = False
    values[~is_read] = np.nan
    always = generator.integers(0, count, 4)
    sent = sent_updates(np.arange(count), values, is_read, always.tolist())
    extremes = [np.nanargmin(values, 0), np.nanargmax(values, 0)]
    assert set(np.concatenate([*extremes, always, [0, count - 1]]).tolist()) <= set(sent.tolist())
    assert len(sent) <= MAX_UPDATES + 4 + 4
    before = sent[np.searchsorted(sent, np.arange(count), side="right") - 1]
    np.testing.assert_array_equal(is_read[before], is_read)


def test_of_few_updates_all_are_sent():
    """Up to the limit."""
    assert (
        len(sent_updates(np.arange(MAX_UPDATES), np.zeros((MAX_UPDATES, 2)), np.ones(MAX_UPDATES, bool))) == MAX_UPDATES
    )


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A loss at each of very many epochs, and outputs of two samples at every third."""
    root, generator = tmp_path_factory.mktemp("long"), np.random.default_rng(0)
    writer = Writer(root / "run" / "keras_xai")
    writer.write([Probe(np.zeros((SIZE, 2), "f4"), np.arange(SIZE)).gallery(SIZE)])
    target, ones = np.arange(SIZE), np.ones(SIZE, "f4")
    for epoch in range(EPOCHS):
        logs = {"loss": float(generator.random())}
        records = [Epoch(epoch, 10.0 * epoch, 10.0, 0.1, 1e-3, logs)]
        if epoch % EVERY == 0:
            values, outputs = np.ones((SIZE, 2), "f4"), generator.random((SIZE, 2)).astype("f4")
            maps = ("saliency", values, target, ones, None, target, None, "logit", outputs, epoch, "table")
            records.insert(0, Attribution(*maps))
        writer.write(records)
    writer.close()
    return root


def test_outputs_are_sent_in_part_and_each_by_itself(wsgi, directory):
    """What is sent is what was recorded; an update that was left out is answered alone."""
    client, whole = wsgi(directory), load(directory)["run"].outputs("saliency")
    of_run = {"run": "run", "method": "saliency"}
    header, values = arrays(client.get(HOME + "outputs", query_string=of_run).data)
    assert header["thinned"] is True
    assert len(header["epochs"]) <= MAX_UPDATES
    at = np.searchsorted(whole.epochs, header["epochs"])
    np.testing.assert_array_equal(values["score"], whole.score[at])
    left_out = int(np.setdiff1d(whole.epochs, header["epochs"])[0])
    header, alone = arrays(client.get(HOME + "outputs", query_string={**of_run, "epoch": left_out}).data)
    assert (header["epochs"], header["thinned"]) == ([left_out], False)
    np.testing.assert_array_equal(alone["outputs"], whole.outputs[whole.epochs == left_out])
    assert alone["target"].tolist() == [[0, 1]]


def test_the_slider_marks_the_line_between_the_points_that_are_drawn(browser, serve, directory):
    """A dot on the line of the loss at every update, also at those of which no point is drawn."""
    tab = Tab(browser, serve(directory, "python").url)
    tab.show("Overview")
    tab.drawn(1)
    for _ in range(6):
        tab.key("ArrowLeft")
        tab.page.wait_for_timeout(60)
        dots = [dot for dots in tab.frame.locator("main").evaluate(DOTS) for dot in dots]
        assert len(dots) == 1
        assert abs(dots[0]) < 0.01
    tab.page.close()
    tab.quiet()
