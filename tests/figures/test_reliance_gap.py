"""The figures of training rows beside the probe, against the numbers of the record."""

from __future__ import annotations

import base64
import html
import itertools
import re
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest

from keras_xai.figures import FIGURES, PANELS, Look
from keras_xai.figures.reliance_gap import NUMBER_ROOM
from keras_xai.figures.theme import text
from keras_xai.run import load
from tests.reliance_records import LIMIT, ShortcutRun
from tests.run_in_epochs import RunInEpochs

PANEL_NAMES = ("gap_shares", "gap_evidence", "gap_z")


def unpacked(value):
    """Plotly's binary form as an array."""
    array = np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"])
    return array.reshape([int(side) for side in value["shape"].split(",")])


def rows_of(panel):
    """The names of the bars, as they are read."""
    labels = [re.sub(r"</?(b|span)( [^>]*)?>", "", label) for label in panel["layout"]["yaxis"]["ticktext"]]
    return [html.unescape(label) for label in labels]


@pytest.fixture(scope="module")
def shortcuts(tmp_path_factory):
    root = tmp_path_factory.mktemp("gap")
    return {kind: ShortcutRun(root / kind, kind).write() for kind in ("table", "image", "tokens")}, load(root)


@pytest.mark.parametrize("name", PANEL_NAMES)
@pytest.mark.parametrize("kind", ["table", "image", "tokens"])
def test_plotly_accepts_them(shortcuts, name, kind):
    """In both themes, at every epoch; names are text."""
    run = shortcuts[1][kind]
    for look, epoch in itertools.product((Look(), Look("dark")), (None, 1, 3)):
        panel = PANELS[name](run, look, epoch=epoch)
        go.Figure(panel)
        assert "<b>site" not in str(panel)
    go.Figure(FIGURES["reliance_gap"](run))


def test_points_are_the_shares_of_both_sides(shortcuts):
    """In percent, the probe across and the training rows up; alarms red, rows that merely differ a ring, the diagonal x = y."""
    stories, runs = shortcuts
    live, probe = stories["table"].shares()
    panel = PANELS["gap_shares"](runs["table"])
    others, differing, alarmed = panel["data"]
    assert (alarmed["text"], alarmed["marker"]["color"]) == (["leak"], Look()["alarm"])
    assert (differing["text"], differing["marker"]["color"]) == (["age"], Look()["page"])
    drawn = {
        name: (x, y)
        for trace in panel["data"]
        for name, x, y in zip(trace["text"], trace["x"], trace["y"], strict=True)
    }
    names = [text(name) for name in stories["table"].names]
    np.testing.assert_allclose([drawn[name] for name in names], 100 * np.stack([probe, live], 1), atol=1e-3)
    assert len(others["x"]) == 8
    shade, diagonal = panel["layout"]["shapes"]
    assert (diagonal["x0"], diagonal["x1"]) == (diagonal["y0"], diagonal["y1"])
    assert panel["layout"]["xaxis"]["range"] == panel["layout"]["yaxis"]["range"]
    assert shade["path"].startswith("M ")
    early = PANELS["gap_shares"](runs["table"], epoch=2)
    assert len(early["data"]) == 1  # nothing was alarmed yet


def test_bars_of_both_sides_have_one_scale(shortcuts):
    """A bar's length is its share; the alarmed feature is red; the side of the probe begins right of the longest bar."""
    stories, runs = shortcuts
    live, probe = stories["table"].shares()
    panel = PANELS["gap_evidence"](runs["table"])
    order = [stories["table"].names.index(name) for name in rows_of(panel)]
    strength = np.maximum(np.abs(live), np.abs(probe))
    assert order == np.argsort(-strength, kind="stable")[:8].tolist()
    left, right = panel["data"]
    np.testing.assert_allclose(left["x"], live[order], rtol=1e-6)
    np.testing.assert_allclose(right["x"], probe[order], rtol=1e-6)
    assert left["base"] == 0
    low, unit = probe[order].min(), live[order].max() - live[order].min()
    assert right["base"] == pytest.approx(live.max() + NUMBER_ROOM * unit - low, rel=1e-6)
    red = [row for row, colour in enumerate(left["marker"]["color"]) if colour == Look()["alarm"]]
    assert [rows_of(panel)[row] for row in red] == ["leak"]
    assert len(PANELS["gap_evidence"](runs["table"], compact=True)["data"][0]["x"]) == 6
    words = [note["text"] for note in panel["layout"]["annotations"]]
    assert {"<b>training rows</b>", "<b>probe</b>", "38\u00a0%", "1.0\u00a0%"} <= set(words)


def test_maps_are_the_shares_and_their_difference(shortcuts):
    """Training rows and probe on one signed scale, the difference on its own, which its legend names."""
    stories, runs = shortcuts
    live, probe = (side.reshape(6, 4) for side in stories["image"].shares())
    panel = PANELS["gap_evidence"](runs["image"])
    for trace, values in zip(panel["data"], (live, probe, live - probe), strict=True):
        np.testing.assert_allclose(unpacked(trace["z"]), values, atol=1e-6)
        assert trace["zmin"] == -trace["zmax"]
    highs = [trace["zmax"] for trace in panel["data"]]
    np.testing.assert_allclose(highs, [0.38, 0.38, 0.37], rtol=1e-5)
    starts = [trace["x0"] for trace in panel["data"]]
    assert all(second >= first + 4 for first, second in itertools.pairwise(starts))
    shares, difference = panel["layout"]["meta"]["scales"]
    assert (shares["high"], difference["low"]) == ("+38\u00a0% for the label", "difference −37\u00a0%")
    assert panel["layout"]["yaxis"]["scaleanchor"] == "x"
    frames = [(shape["x0"], shape["y0"]) for shape in panel["layout"]["shapes"]]
    np.testing.assert_allclose(frames, [(start - 0.5, -0.5) for start in starts])  # the guilty cell is the first


def test_words_are_bars(shortcuts):
    """Each scored word is a feature."""
    panel = PANELS["gap_evidence"](shortcuts[1]["tokens"])
    assert rows_of(panel)[0] == "watermark"


def test_z_is_drawn_over_updates_with_its_limit(shortcuts):
    """The five largest, dots over the limit, a mark at the alarm alone, and not at rows that merely differ."""
    run = shortcuts[1]["table"]
    panel = PANELS["gap_z"](run)
    lines = {trace["name"]: trace for trace in panel["data"] if trace["mode"] == "lines"}
    assert len(lines) == 5
    np.testing.assert_allclose(lines["leak"]["y"], 3 + 2 * np.arange(1, 12))
    assert lines["leak"]["line"]["color"] == Look()["alarm"] != lines["age"]["line"]["color"]
    dots = [trace["x"] for trace in panel["data"] if trace["mode"] == "markers"]
    assert list(range(1, 12)) in dots
    assert list(range(3, 12)) in dots
    shapes = panel["layout"]["shapes"]
    assert [shape["y0"] for shape in shapes if shape.get("xref") == "paper"] == [LIMIT]
    assert [shape["x0"] for shape in shapes if shape.get("yref") == "paper"] == [3]
    assert "three updates running" in [note["text"] for note in panel["layout"]["annotations"]]
    assert panel["layout"]["xaxis"]["range"] == [0, 11]  # an epoch stands where it stands in all charts


def test_other_charts_mark_alarms_alone(shortcuts):
    """Rows that merely differ are no red line anywhere."""
    for name in ("drift_score", "loss", "rank_bump"):
        shapes = PANELS[name](shortcuts[1]["table"])["layout"]["shapes"]
        marks = [shape["x0"] for shape in shapes if shape["type"] == "line" and shape.get("yref") == "paper"]
        assert marks == [3], name


def test_nothing_compared_is_words(shortcuts):
    """Never an empty chart that looks quiet."""
    run = shortcuts[1]["table"]
    for name in PANEL_NAMES:
        panel = PANELS[name](run, epoch=0)
        assert panel["data"] == []
        assert panel["layout"]["meta"]["absent"] == "live rows and probe have too few rows of each class in common"
    title = FIGURES["reliance_gap"](run, epoch=0)["layout"]["title"]["text"]
    assert title == "No comparison: live rows and probe have too few rows of each class in common"


def test_a_feature_that_was_not_recorded_has_no_point_and_no_bar(shortcuts):
    """NaN is not compared: neither a bar of nothing nor a point at zero."""
    run = shortcuts[1]["table"]
    gap = run.gap
    columns = {name: np.array(getattr(gap, name)) for name in ("live", "probe", "z", "gap")}
    for values in columns.values():
        values[:, 1] = np.nan
    blank = replace(gap, **columns)
    partial = RunInEpochs(gap=blank, alerts=run.alerts, probe=run.probe, reliance=run.reliance, epochs=run.epochs)
    assert sum(len(trace["x"]) for trace in PANELS["gap_shares"](partial)["data"]) == 9
    assert "dose" not in rows_of(PANELS["gap_evidence"](partial))
    assert "dose" not in [trace.get("name") for trace in PANELS["gap_z"](partial)["data"]]
