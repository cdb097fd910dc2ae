"""The charts of slices: values as recorded, words where nothing was."""

from __future__ import annotations

import base64
import dataclasses
import itertools

import numpy as np
import plotly.graph_objects as go
import pytest

from keras_xai.analysis.overview import summary
from keras_xai.analysis.slices import gap_sentence, important_features, least_accurate, slices_at, slices_sentence
from keras_xai.figures import FIGURES, PANELS, Look
from keras_xai.figures.grid import LETTERS, TITLE_LETTERS, wrapped
from keras_xai.figures.line_ends import apart
from keras_xai.figures.slices import MAX_LINES
from keras_xai.records import SliceGaps, SliceImportance, Slices, SliceValue
from keras_xai.slice_accuracy import wilson_interval
from tests.run_in_epochs import RunInEpochs
from tests.summary.slice_records import slices_of


def run_of(records, **more):
    """A run of which only slices were recorded."""
    epochs = [record.epoch for record in records]
    empty = {
        "history": [],
        "alerts": [],
        "probe": None,
        "weight_gradients": [],
        "methods": (),
        "stops": [],
        "notes": [],
    }
    empty |= {"importance": None, "importance_live": None, "data_score": None, "missing_epochs": [], "doubts": ()}
    empty |= {"mappings": [], "samples": None, "reliance": [], "gap": None}
    return RunInEpochs(**{**empty, "epochs": epochs, "slices": list(records), **more})


def unpacked(form):
    """plotly's binary form as an array."""
    array = np.frombuffer(base64.b64decode(form["bdata"]), form["dtype"])
    return array.reshape([int(n) for n in form["shape"].split(",")])


def record_of(accuracy, rows, epoch=0, overall=None, **more):
    values = tuple(SliceValue("site", f"s{k}", count) for k, count in enumerate(rows))
    accuracy = np.asarray(accuracy, np.float64)
    overall = float(accuracy @ rows / sum(rows)) if overall is None else overall
    return Slices(epoch, values, sum(rows), accuracy, np.full(len(rows), 0.5), overall, 0.5, **more)


def test_the_accuracy_of_each_value_is_drawn_as_recorded():
    """Over epochs, with the whole probe, and the interval of the least accurate as a band."""
    records = [slices_of(epoch) for epoch in range(4)]
    run = run_of(records)
    for epoch in (None, 1):
        panel = PANELS["slice_accuracy"](run, epoch=epoch)
        go.Figure(panel)
        lines = {trace["name"]: trace["y"] for trace in panel["data"] if trace["name"] != "95 %"}
        assert len(lines) == 6
        for k, value in enumerate(records[0].values):
            name = f"{value.slice} = {value.value}, {value.rows} rows".replace("<", "&lt;").replace(">", "&gt;")
            np.testing.assert_allclose(lines[name], [record.accuracy[k] for record in records], rtol=1e-5)
        np.testing.assert_allclose(lines["all rows"], [record.overall_accuracy for record in records], rtol=1e-5)
        lowest = int(np.argmin(slices_at(run, epoch).accuracy))
        band = [trace["y"] for trace in panel["data"] if trace["name"] == "95 %"]
        of_lowest = np.array([record.accuracy[lowest] for record in records])
        np.testing.assert_allclose(band, wilson_interval(of_lowest, records[0].values[lowest].rows), rtol=1e-5)


def test_of_many_values_the_least_accurate_are_drawn():
    """Those of few rows last; none that has no accuracy."""
    record = record_of([0.5, 0.9, 0.1, np.nan, *np.linspace(0.6, 0.8, 20)], [20, 20, 3, 20, *[20] * 20], overall=0.7)
    assert least_accurate(record, 4) == [0, 4, 5, 6]
    assert least_accurate(record, 24)[-3:] == [1, 3, 2]
    panel = PANELS["slice_accuracy"](run_of([record]))
    lines = [trace for trace in panel["data"] if trace["name"] != "95 %"]
    assert len(lines) == MAX_LINES + 1
    assert {trace["mode"] for trace in lines} == {"markers"}  # a single epoch is a point


@pytest.mark.parametrize("heights", [[0.5, 0.5, 0.5], [0.97, 0.98, 0.99], [0.0, 0.01, 0.9], []])
def test_labels_stand_apart_and_inside(heights):
    """At least a gap from each other, in the order of their lines, none above the chart."""
    moved = apart(heights, 0.1)
    assert all(later - earlier >= 0.1 - 1e-9 for earlier, later in itertools.pairwise(moved))
    assert not moved or max(moved) <= 1


def test_importance_by_slice_holds_the_shares():
    """Features by values, the whole first; of the last epoch that has one."""
    records = [slices_of(0), slices_of(1), dataclasses.replace(slices_of(2), importance=None)]
    panel = PANELS["slice_importance"](run_of(records))
    go.Figure(panel)
    assert "epoch 1" in panel["layout"]["meta"]["title"]
    z = unpacked(panel["data"][0]["z"])
    order = least_accurate(records[1], 12)
    features = important_features(records[1], order, 13)
    importance = records[1].importance
    np.testing.assert_allclose(z[:, 0], 100 * importance.overall[features], rtol=1e-5)
    np.testing.assert_allclose(z[:, 1:], 100 * importance.share[order][:, features].T, rtol=1e-5)
    names = [importance.features[f] for f in features]
    assert [row[0] for row in panel["data"][0]["customdata"]] == [f"{name}<br>all rows" for name in names]
    assert panel["layout"]["yaxis"]["ticktext"] == names


def test_what_no_method_measured_is_no_zero_in_the_importance():
    """A NaN stays an empty cell."""
    share = np.array([[0.5, np.nan, 0.5], [1.0, np.nan, 0.0]])
    importance = SliceImportance(("a", "b", "c"), share, np.array([0.75, np.nan, 0.25]))
    panel = PANELS["slice_importance"](run_of([record_of([0.5, 0.6], [20, 30], importance=importance)]))
    assert panel["layout"]["yaxis"]["ticktext"] == ["a", "c"]


def test_the_readout_is_drawn_between_chance_and_all_right():
    """0 where a layer tells no more than the commonest value, 1 where it tells all; a row for each slice and layer."""
    records = [slices_of(epoch) for epoch in range(3)]
    panel = PANELS["slice_readout"](run_of(records))
    go.Figure(panel)
    z = unpacked(panel["data"][0]["z"])
    rows = [(s, layer) for s in range(2) for layer in range(2)]
    for row, (s, layer) in enumerate(rows):
        chance = records[0].readout.chance[s]
        for column, record in enumerate(records):
            expected = (record.readout.readability[layer, s] - chance) / (1 - chance)
            assert z[row, column] == pytest.approx(expected, rel=1e-4)
    assert panel["layout"]["yaxis"]["ticktext"][:2] == ["hospital: stem/conv", "hospital: head"]
    assert f"chance {round(100 * float(records[0].readout.chance[0]))}" in panel["data"][0]["customdata"][0][0]


def test_a_slice_of_one_value_is_hatched():
    """It cannot be told from anything: no colour is no 0 %."""
    readout = dataclasses.replace(slices_of(0).readout, chance=np.ones(2), readability=np.full((2, 2), np.nan))
    panel = PANELS["slice_readout"](run_of([dataclasses.replace(slices_of(0), readout=readout)]))
    assert np.isnan(unpacked(panel["data"][0]["z"])).all()
    assert panel["data"][1]["y"] == [0, 1, 2, 3]


def test_there_are_words_where_nothing_was_given():
    """A probe without slices; slices without an accuracy; values with few rows."""
    figure = FIGURES["slices"](run_of([]))
    assert "the probe has no slices; give Probe(slices=" in figure["layout"]["title"]["text"]
    assert not any(PANELS[name](run_of([]))["data"] for name in ("slice_accuracy", "slice_importance", "slice_readout"))
    unlabelled = record_of([np.nan, np.nan], [20, 30], overall=np.nan)
    assert slices_sentence(unlabelled).startswith("No accuracy by slice: the probe has no labels that are classes")
    assert "no labels" in FIGURES["slices"](run_of([unlabelled]))["layout"]["title"]["text"]
    assert slices_sentence(record_of([0.5, 1], [4, 5])) == "No accuracy by slice: no value has 8 rows."


def test_a_feature_that_speaks_in_one_slice_alone_is_named():
    """Above the limit; in the words of the figure and of the importance panel, where the text of a name is no markup."""
    sentence = gap_sentence(slices_of(0))
    assert sentence == "Where hospital = south, c speaks for the label; elsewhere it does not (z 9.5)."
    assert slices_sentence(slices_of(0)).endswith(sentence)
    panel = PANELS["slice_importance"](run_of([slices_of(0)]))
    assert panel["layout"]["meta"]["reading"].startswith(sentence)
    quiet = dataclasses.replace(slices_of(0), gaps=SliceGaps(("a", "b", "", "", ""), np.array([4.2, 1, 0, np.nan, 0])))
    assert gap_sentence(quiet) == ""
    unknown = dataclasses.replace(slices_of(0), gaps=SliceGaps(("",) * 5, np.full(5, np.nan)))
    assert gap_sentence(unknown) == ""


def test_the_whole_figure_has_every_panel_under_its_words():
    """In both themes, as plotly takes it."""
    for theme in ("light", "dark"):
        figure = FIGURES["slices"](run_of([slices_of(epoch) for epoch in range(3)]), Look(theme))
        go.Figure(figure)
        titles = [note["text"] for note in figure["layout"]["annotations"]]
        for words in ("Accuracy by slice<br>", "Importance by slice, epoch 2<br>", "Slices that layers tell<br>"):
            assert sum(title.startswith(words) for title in titles) == 1


def test_what_stands_above_the_figure_is_not_wider_than_it():
    """Its title and the words above its panels are broken into lines, and lose no word."""
    figure = FIGURES["slices"](run_of([slices_of(epoch) for epoch in range(3)]))
    title = figure["layout"]["title"]["text"]
    assert max(len(part) for part in title.split("<br>")) <= TITLE_LETTERS
    words = "a sentence of many words, " * 8 + "and of its end"
    assert wrapped(words).replace("<br>", " ") == words
    assert max(len(part) for part in wrapped(words).split("<br>")) <= LETTERS


def test_the_overview_names_the_worst_slice_and_the_largest_gap():
    """Marked where chance does not explain them; nothing of it where the probe has no slices."""
    sure = record_of([0.5, 0.9, 0.95], [60, 100, 100])
    worst, gap = summary(run_of([sure])).facts[4:]
    assert (worst.value, worst.note, worst.alarm) == ("50\xa0%", "worst slice: site = s0, 60 rows", True)
    assert worst.was == "38\xa0% to 62\xa0%, all 83\xa0%"
    assert (gap.value, gap.note, gap.alarm) == ("33 points", "largest gap below all: site = s0", True)
    assert gap.was.startswith("± ")
    chance = record_of([0.8, 0.9], [20, 20])
    assert [fact.alarm for fact in summary(run_of([chance])).facts[4:]] == [False, False]
    assert len(summary(run_of([], epochs=[0])).facts) == 4
    (words,) = summary(run_of([record_of([np.nan], [20])])).facts[4:]
    assert (words.value, words.note[:36]) == ("–", "worst slice: the probe has no labels")
