"""Common laws of every figure and panel, and the closed forms of each."""

from __future__ import annotations

import base64
import inspect
import itertools
import json
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_xai.analysis.attributions import sample_title
from keras_xai.analysis.epochs import position
from keras_xai.analysis.gradients import decades, gradient_health, table, without_common_path
from keras_xai.analysis.importance import ranks
from keras_xai.errors import InvalidInput
from keras_xai.figures import FIGURES, PANELS, Look, Overlay
from keras_xai.figures.grid import PANEL_TITLE_LINE, grid
from keras_xai.figures.importance_drift import s_curve
from keras_xai.figures.theme import LIGHT, epoch_ticks, mark_alerts, text
from keras_xai.records import STATISTICS, Gradients, Outputs
from keras_xai.run import load
from tests.run_in_epochs import RunInEpochs

RECORDS = ("epochs", "importance", "importance_live", "data_score", "alerts")
KINDS = ["pictures/watermark", "pictures/clean", "columns", "words", "sensors", "waiting"]


@pytest.fixture(scope="module")
def runs(told_directory):
    return load(told_directory)


def unpacked(value):
    """A list, or plotly's binary form, as an array."""
    if not isinstance(value, dict):
        return np.asarray(value, np.float64)
    array = np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"])
    return array.reshape([int(n) for n in value["shape"].split(",")]) if "shape" in value else array


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [*FIGURES, *PANELS])
def test_plotly_accepts_every_figure(runs, name, kind):
    """plotly's own validation passes, the JSON is strict, names are text in it, never markup, and nothing is uploaded."""
    make = FIGURES.get(name) or PANELS[name]
    for look in (Look(), Look("dark", kind, 2, [Overlay("<i>other</i>", runs["pictures/clean"], 1)])):
        made = make(runs[kind], look=look)
        go.Figure(made)
        assert made["layout"]["modebar"]["remove"] == ["sendChartToCloud"]
        shown = json.dumps(made, allow_nan=False)
        for markup in ("<img", "<script", "<b>owl", "<i>other"):
            assert markup not in shown


def test_figures_do_not_import_plotly():
    """Charts are plain dicts: the viewing wing pays for plotly in the browser only."""
    import subprocess
    import sys

    program = "import sys, keras_xai.figures; print([m for m in ('plotly', 'keras', 'tensorflow') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "[]"


def test_the_drift_score_is_drawn_as_recorded(runs):
    """Both sources, with gaps before the first score, the limit, the burn-in and a mark at each alert."""
    panel = PANELS["drift_score"](runs["columns"])
    lines = {trace["name"]: trace for trace in panel["data"]}
    assert set(lines) == {"live rows", "fixed probe"}
    assert lines["live rows"]["y"][:3] == [None] * 3
    assert lines["live rows"]["y"][6] == 9
    assert lines["fixed probe"]["y"][8] == 9
    shapes = panel["layout"]["shapes"]
    assert [s["y0"] for s in shapes if s.get("xref") == "paper"] == [6]
    assert [(s["x0"], s["x1"]) for s in shapes if s["type"] == "rect"] == [(0, 8)]
    assert sorted(s["x0"] for s in shapes if s["type"] == "line" and s.get("yref") == "paper") == [6, 8]


def test_ranks_order_the_features():
    """Rank 1 is the largest share; equal shares keep their order; what was not measured has no rank."""
    nan = np.nan
    share = np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4], [nan, nan, nan], [0.4, nan, 0.6]])
    np.testing.assert_array_equal(ranks(share), [[3, 1, 2], [1, 3, 2], [nan, nan, nan], [2, nan, 1]])


def test_the_bump_chart_colours_only_what_was_alerted(runs):
    """The moved feature is red and climbs to rank 1; before its alert nothing is red."""
    red = Look()["alarm"]
    late = PANELS["rank_bump"](runs["columns"], source="live", epoch=11)
    assert [trace["name"] for trace in late["data"] if trace.get("line", {}).get("color") == red] == ["age"]
    marks = next(trace for trace in late["data"] if trace["mode"] == "markers" and trace["name"] == "age")
    assert marks["y"] == [5] * 6 + [1] * 6
    early = PANELS["rank_bump"](runs["columns"], source="live", epoch=5)
    assert not [trace for trace in early["data"] if trace.get("line", {}).get("color") == red]


@given(st.lists(st.integers(1, 12), min_size=2, max_size=20))
def test_s_curves_meet_their_points_and_never_overshoot(values):
    """The curve passes every rank and stays between its neighbours."""
    _, y = s_curve(np.arange(len(values)), values)
    np.testing.assert_allclose(y[::10], values)
    for i, (one, two) in enumerate(itertools.pairwise(values)):
        part = y[10 * i : 10 * i + 11]
        assert min(one, two) - 1e-9 <= part.min()
        assert part.max() <= max(one, two) + 1e-9


def test_the_importance_map_holds_the_shares(runs):
    """Rows in the order of the epoch asked for, values in percent."""
    panel = PANELS["importance_map"](runs["columns"], source="live", epoch=11)
    z = unpacked(panel["data"][0]["z"])
    np.testing.assert_allclose(z[0], 100 * np.array([0.02] * 6 + [0.5] * 6), rtol=1e-5)
    assert panel["data"][0]["customdata"][0][0] == "age"


def test_the_heat_map_hatches_what_is_not_there(runs):
    """log10 of the statistic; a dead variable is a bar of hatching from its first epoch, never the palest colour."""
    panel = PANELS["heat_map"](runs["pictures/clean"], statistic="rms")
    z = unpacked(panel["data"][0]["z"])
    np.testing.assert_allclose(z[0], np.log10(0.1 / np.arange(1, 13)), rtol=1e-5)
    assert np.isnan(z[2, 9:]).all()
    assert np.isfinite(z[2, :9]).all()
    bars = panel["data"][1]
    assert (bars["base"], bars["x"], bars["y"]) == ([8.5], [3], ["head/kernel"])
    assert [a["text"] for a in panel["layout"]["annotations"]] == ["<b>dead since 9</b>"]
    compact = PANELS["heat_map"](runs["pictures/clean"], compact=True, kernels_only=True)
    assert compact["layout"]["meta"]["rows"] == ["stem/conv/kernel", "head/kernel"]
    assert compact["layout"]["yaxis"]["ticktext"] == ["stem/conv", "head"]


def test_linear_statistics_keep_their_zeros(runs):
    """A zero fraction of 0 is a value; the scale reaches from 0 to 100 %."""
    panel = PANELS["heat_map"](runs["pictures/clean"], statistic="zero_fraction")
    np.testing.assert_array_equal(unpacked(panel["data"][0]["z"])[2], [0] * 9 + [1] * 3)
    assert len(panel["data"]) == 1
    assert (panel["data"][0]["zmin"], panel["data"][0]["zmax"]) == (0, 1)


def test_scales_fit_the_run():
    """Half decades around the bulk; an empty run has a scale too."""
    low, high = decades(np.array([[1e-5, 1e-3, 1e-2, 2e-2]]))
    assert low <= -4.5
    assert high == -1.5
    assert decades(np.array([[np.nan, 0.0]])) == (-8, 0)


def test_variables_that_come_later_are_gaps(runs):
    """A record with other names is matched by name."""
    from keras_xai.records import STATISTICS, Gradients

    def record(epoch, names, rms):
        values = {statistic: np.array(rms, "f4") for statistic in STATISTICS}
        return Gradients(epoch, names, values, np.ones((len(names), 2), "f4"), np.array([1, 2, 4], "f4"), 1)

    records = [record(0, ("b",), [2.0]), record(1, ("a", "b"), [1.0, 3.0])]
    np.testing.assert_array_equal(table(records, "rms"), [[np.nan, 1], [2, 3]])
    with pytest.raises(InvalidInput, match="statistic 'mode'"):
        table(records, "mode")


def test_health_is_told_in_words(runs):
    """How many variables carry a flag, which, since when and why; the thresholds where none does."""
    assert gradient_health(runs["pictures/clean"]).startswith(
        "1 of 4 variables dead. head/kernel has had no gradient since epoch 9"
    )
    assert gradient_health(runs["pictures/clean"], 3).startswith("No flag.")
    assert gradient_health(runs["waiting"]) == ""


def test_the_ridge_draws_one_curve_an_epoch(runs):
    """Every curve stands on its row, its largest count as tall as any other's; the epoch asked for is accented."""
    panel = PANELS["ridge"](runs["columns"], variable="stem/conv/kernel", epoch=4)
    assert len(panel["data"]) == 12
    heights = [row - unpacked(trace["y"]).min() for row, trace in enumerate(panel["data"])]
    np.testing.assert_allclose(heights, heights[0])
    accent = Look()["accent"]
    assert [trace["name"] for trace in panel["data"] if trace["line"]["color"] == accent] == ["epoch 4"]


def test_unknown_names_are_refused_with_close_ones(runs):
    """A variable or a method that does not exist is an InvalidInput that names what is close."""
    with pytest.raises(InvalidInput, match="Did you mean 'stem/conv/kernel'"):
        PANELS["ridge"](runs["columns"], variable="stem/conv/kernl")
    with pytest.raises(InvalidInput, match="Did you mean 'saliency'"):
        PANELS["sample_outputs"](runs["columns"], method="salience")


def test_paths_lose_the_models_own_name():
    """Only where every variable begins with it, and something is left to tell layers apart."""
    assert without_common_path(["m/a/kernel", "m/b/kernel"]) == ["a/kernel", "b/kernel"]
    assert without_common_path(["a/kernel", "a/bias"]) == ["a/kernel", "a/bias"]
    assert without_common_path(["m/a/kernel", "n/b/kernel"]) == ["m/a/kernel", "n/b/kernel"]


def test_outputs_of_a_sample_name_truth_and_prediction(runs):
    """Sample 1, a dog, is read as a cat from epoch 6: the prediction is red only when it is wrong."""
    red = Look()["alarm"]
    right = PANELS["sample_outputs"](runs["columns"], sample=1, epoch=3)
    assert not [trace for trace in right["data"] if trace["line"]["color"] == red]
    wrong = PANELS["sample_outputs"](runs["columns"], sample=1, epoch=9)
    (trace,) = [trace for trace in wrong["data"] if trace["line"]["color"] == red]
    assert trace["name"] == "cat"
    np.testing.assert_allclose(trace["y"], [0.1] * 6 + [0.8] * 6, rtol=1e-6)


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_epoch_ticks_are_round_and_few(first, length):
    """At most eight labels, rising, the last epoch among them."""
    marks = epoch_ticks(first, first + length)
    assert marks[-1] == first + length
    assert len(marks) <= 9
    assert marks == sorted(set(marks))
    assert marks[0] >= first


@given(st.lists(st.integers(0, 99), min_size=1, unique=True).map(sorted), st.integers(-5, 120))
def test_the_nearest_earlier_epoch(epochs, epoch):
    """The last epoch that is not later; the first where all are."""
    earlier = [e for e in epochs if e <= epoch]
    assert epochs[position(epochs, epoch)] == (earlier[-1] if earlier else epochs[0])
    assert position(epochs, None) == len(epochs) - 1


def test_the_learning_rate_is_drawn_where_it_moved(runs):
    """On an axis of its own below the score, alone and in a grid; a steady rate is no line."""
    run = runs["columns"]
    assert "yaxis2" not in PANELS["drift_score"](run)["layout"]
    warm = [replace(record, learning_rate=0.1 if record.epoch < 5 else 0.01) for record in run.history]
    given = RunInEpochs(**{name: getattr(run, name) for name in RECORDS}, history=warm)
    panel = PANELS["drift_score"](given)
    (rate,) = [trace for trace in panel["data"] if trace["name"] == "learning rate"]
    assert rate["y"] == [0.1] * 5 + [0.01] * 7
    assert rate["yaxis"] == "y2"
    whole = FIGURES["importance_drift"](given)
    go.Figure(whole)
    (rate,) = [trace for trace in whole["data"] if trace.get("name") == "learning rate"]
    lower, upper = (whole["layout"][f"yaxis{rate['yaxis'][1:]}"]["domain"], whole["layout"]["yaxis"]["domain"])
    assert lower[1] < upper[0]


def test_a_grid_keeps_panels_apart(runs):
    """Every panel has its own axes; marks and square pixels refer to them, and domains do not overlap."""
    made = FIGURES["probe_attributions"](runs["pictures/watermark"])
    layout = made["layout"]
    assert layout["yaxis4"]["scaleanchor"] == "x4"
    domains = [(layout[f"xaxis{n}"]["domain"], layout[f"yaxis{n}"]["domain"]) for n in ("", *range(2, 7))]
    for (x, y), (u, v) in itertools.combinations(domains, 2):
        assert x[1] <= u[0] or u[1] <= x[0] or y[1] <= v[0] or v[1] <= y[0]
    whole = FIGURES["importance_drift"](runs["columns"])
    assert {mark["xref"] for mark in whole["layout"]["shapes"]} <= {"x", "x domain", "x2"}


def test_names_of_columns_stand_between_a_title_and_its_panel():
    """Above a panel whose axis is at its top the title moves up by a line, and the figure has room for it."""
    look = Look("light")
    plain, table = ({"data": [], "layout": {"xaxis": {"side": side}, "yaxis": {}}} for side in ("bottom", "top"))
    title = "first line<br>second line"
    without = grid(look, [(title, plain), (title, plain)])["layout"]
    with_names = grid(look, [(title, plain), (title, table)])["layout"]
    assert [mark["yshift"] for mark in with_names["annotations"]] == [8, 8 + PANEL_TITLE_LINE]
    assert with_names["height"] - without["height"] == PANEL_TITLE_LINE
    assert with_names["margin"]["t"] - without["margin"]["t"] == PANEL_TITLE_LINE


def test_text_shows_markup_and_cuts_the_middle():
    """plotly reads a little HTML: names must not speak it."""
    assert text("<b>&amp;</b>") == "&lt;b&gt;&amp;amp;&lt;/b&gt;"
    assert text("%{y} of 50%") == "%&#123;y} of 50%"  # else plotly would write the annotation's own y
    assert text("a" * 50 + "b" * 50, 11) == "aaaaa…bbbbb"


def long_run(epochs=1000, names=("a", "b", "c")):
    """A run of gradients and shares longer than a chart is wide: variable v has RMS v + 1, but a thousand at epoch 701."""
    from keras_xai.records import STATISTICS, Gradients, Importance

    records = []
    for epoch in range(epochs):
        rms = np.arange(1, 1 + len(names)) * (1000.0 if epoch == 701 else 1.0)
        values = dict.fromkeys(STATISTICS, rms.astype("f4"))
        records.append(Gradients(epoch, names, values, np.ones((len(names), 2), "f4"), np.array([1, 2, 4], "f4"), 1))
    share = np.tile(np.array([[0.5, 0.3, 0.2]], "f4"), (epochs, 1))
    importance = Importance(np.arange(epochs), ("x", "y", "z"), share, np.ones(epochs), 6.0)
    return RunInEpochs(
        weight_gradients=records, importance=importance, importance_live=None, data_score=None, alerts=[],
        epochs=list(range(epochs)), history=[], probe=None, methods=(),
    )  # fmt: skip


def test_a_long_run_is_drawn_with_as_many_cells_as_there_are_pixels():
    """Two epochs share a column, which shows the larger: one bad epoch in a thousand is still seen."""
    panel = PANELS["heat_map"](long_run(), statistic="rms")
    trace = panel["data"][0]
    assert trace["x"] == list(range(0, 1000, 2))
    z = unpacked(trace["z"])
    assert z.shape == (3, 500)
    np.testing.assert_allclose(z[:, trace["x"].index(700)], np.log10([1000, 2000, 3000]), rtol=1e-6)
    np.testing.assert_allclose(np.delete(z, 350, axis=1), np.log10([[1], [2], [3]]) + np.zeros((3, 499)), atol=1e-6)
    assert len(PANELS["heat_map"](long_run(), compact=True)["data"][0]["x"]) == 250


def test_a_long_run_costs_few_marks():
    """Ranks stand at twelve of a thousand epochs, each with its own rank and share."""
    panel = PANELS["rank_bump"](long_run())
    go.Figure(panel)
    assert [trace["mode"] for trace in panel["data"]] == ["lines"] * 3 + ["markers"] * 3
    marks = panel["data"][3:]
    assert [trace["x"] for trace in marks] == [[0, 91, 182, 272, 363, 454, 545, 636, 727, 817, 908, 999]] * 3
    assert [trace["text"][0] for trace in marks] == ["rank 1, 50\u00a0%", "rank 2, 30\u00a0%", "rank 3, 20\u00a0%"]
    assert panel["layout"]["meta"]["anchors"] == 12


def test_alerts_that_would_touch_are_one_mark():
    """Those nearer than a twenty-fifth of the axis are a shaded span with their number; the others have a line each."""
    panel = {"layout": {"shapes": [], "annotations": [], "xaxis": {"range": [0, 999]}}}
    mark_alerts(LIGHT, panel, [100, 110, 125, 125, 500, 520, 580, 980])
    spans = [(shape["x0"], shape["x1"]) for shape in panel["layout"]["shapes"]]
    assert spans == [(100, 125), (500, 520), (580, 580), (980, 980)]
    assert [mark["text"] for mark in panel["layout"]["annotations"]] == ["▼ 3 alerts", "▼2", "▼", "▼"]
    mark_alerts(LIGHT, panel, [])
    assert len(panel["layout"]["shapes"]) == 4


@given(st.integers(1, 400), st.integers(1, 60))
def test_binning_keeps_the_largest(epochs, most):
    """At most so many columns, each the largest of its neighbours by a slow twin; an empty column is a gap."""
    from keras_xai.analysis.gradients import binned

    values = np.sin(np.arange(2 * epochs)).reshape(2, epochs)
    values[1] = np.nan
    starts, found = binned(list(range(epochs)), values, most)
    assert len(starts) <= most
    ends = [*starts[1:], epochs]
    np.testing.assert_array_equal(found[0], [values[0, a:b].max() for a, b in zip(starts, ends, strict=True)])
    assert np.isnan(found[1]).all()


def test_every_figure_draws_with_what_the_tab_loads(runs):
    """The tab's plotly is cut to these kinds of traces: a figure with another one would not be drawn."""
    from keras_xai.figures.plotly_script import TRACES

    kinds = {
        trace["type"]
        for make in (*FIGURES.values(), *PANELS.values())
        for name in KINDS
        for trace in make(runs[name])["data"]
    }
    assert kinds <= set(TRACES)


def layered(epochs=4):
    """Two layers, of two variables and of one, with sizes; the bias of the first gets no gradient at epoch 2."""
    from keras_xai.records import STATISTICS, Gradients

    generator = np.random.default_rng(0)
    names, found = ("m/conv/kernel", "m/conv/bias", "m/head/kernel"), []
    for epoch in range(epochs):
        values = {statistic: generator.random(3).astype("f4") for statistic in STATISTICS}
        values["rms"] += values["mean"]  # no variance below zero
        if epoch == 2:
            for column in values.values():
                column[1] = np.nan
        if epoch == 3:
            values["update_ratio"][:2] = np.nan
        flags = (("m/conv/bias", "dead", 2), ("m/conv/kernel", "dead", 3)) if epoch == 3 else ()
        edges, counts = 2.0 ** np.arange(4, dtype="f4"), generator.integers(0, 9, (3, 3)).astype("f4")
        found.append(Gradients(epoch, names, values, counts, edges, 1, flags, sizes=(6, 2, 5)))
    return found


def test_layers_are_merged_as_the_records_merge_them():
    """All epochs at once give what `Gradients.by_layer` gives one by one, for every statistic."""
    from keras_xai.analysis.gradients import layer_table, layers
    from keras_xai.records import STATISTICS

    records = layered()
    groups = layers(records)
    assert groups == {"m/conv": ("m/conv/kernel", "m/conv/bias"), "m/head": ("m/head/kernel",)}
    for statistic in set(STATISTICS):
        slow = np.stack([record.by_layer().statistics[statistic] for record in records], axis=1)
        np.testing.assert_allclose(layer_table(records, statistic, list(groups.values())), slow, rtol=1e-5)


def test_the_heat_map_shows_layers(runs):
    """A row a layer with the flags of its variables; its lines and its ridge answer to the layer's name."""
    run = RunInEpochs(weight_gradients=layered(), alerts=[], epochs=list(range(4)), history=[])
    panel = PANELS["heat_map"](run, by="layers")
    assert panel["layout"]["meta"]["rows"] == ["m/conv", "m/head"]
    assert [mark["text"] for mark in panel["layout"]["annotations"]] == ["<b>dead since 2</b>"]
    z = unpacked(panel["data"][0]["z"])
    lines = {trace["name"]: trace for trace in PANELS["variable_lines"](run, variable="m/conv")["data"]}
    np.testing.assert_allclose(np.log10(lines["RMS"]["y"]), z[0], rtol=1e-4)
    edges = [unpacked(trace["x"]) for trace in PANELS["ridge"](run, variable="m/conv")["data"]]
    assert len(edges) == 4
    with pytest.raises(InvalidInput, match="rows 'columns'"):
        PANELS["heat_map"](run, by="columns")
    with pytest.raises(InvalidInput, match="Did you mean 'm/conv'"):
        PANELS["ridge"](run, variable="m/conf")
    # A record without sizes cannot be merged: its rows stay variables.
    assert PANELS["heat_map"](runs["columns"], by="layers")["layout"]["meta"]["rows"][0] == "stem/conv/kernel"


def test_a_class_beyond_the_columns_that_are_kept_is_left_out():
    """Of a thousand classes 64 outputs are kept, and the explained one may be another; a prediction may be NaN."""
    cube, shape = np.full((3, 2, 64), 1 / 64, "f4"), (3, 2)
    cube[:, :, 7] = 0.5
    target = np.array([[500, 7]] * 3)
    nothing = np.full(shape, np.nan, "f4")
    outputs = Outputs("saliency", np.arange(3), target, nothing, nothing, nothing, None, cube, "logit", link="softmax")
    run = RunInEpochs(
        epochs=[0, 1, 2],
        methods=("saliency",),
        alerts=[],
        probe=None,
        outputs=lambda method: outputs,
        method_quantity=lambda method: "slope",
        method_layer=lambda method: "",
    )
    named = [trace["name"] for trace in PANELS["sample_outputs"](run, sample=0)["data"] if "opacity" not in trace]
    assert "7" in named
    assert "500" not in named
    assert sample_title(run, "saliency", 0, 2) == "sample 0"


def test_gradients_of_no_variable_draw_nothing(tmp_path):
    """A model without anything to train."""
    empty = np.zeros(0, "f4")
    record = Gradients(0, (), dict.fromkeys(STATISTICS, empty), np.zeros((0, 1), "f4"), np.array([1, 2], "f4"), 0)
    run = RunInEpochs(epochs=[0], weight_gradients=[record], alerts=[], history=[])
    assert PANELS["heat_map"](run)["data"] == []
    for name in ("variable_lines", "ridge", "update_ratio"):
        json.dumps(PANELS[name](run), allow_nan=False)


def test_every_row_of_a_large_heat_map_has_its_name():
    """Forty rows are labelled; the pointer finds the names of all."""
    names = tuple(f"m/block{v}/kernel" for v in range(90))
    panel = PANELS["heat_map"](long_run(3, names))
    go.Figure(panel)
    assert panel["data"][0]["y"] == list(names)
    axis = panel["layout"]["yaxis"]
    assert axis["type"] == "category"
    assert set(axis["tickvals"]) < set(names)
    assert len(axis["tickvals"]) == len(axis["ticktext"]) == 30


def test_a_value_beyond_the_scale_is_said():
    """The darkest colour stands for more than its number where some values are above it."""
    run = long_run(1000, ("a", "b"))
    assert PANELS["heat_map"](run)["layout"]["meta"]["scale"]["high"].startswith("≥ ")


def test_a_curve_ends_at_the_point_before_a_gap():
    """The last rank before a gap is drawn."""
    _, y = s_curve(np.arange(4), np.array([1.0, 2, np.nan, np.nan]))
    assert y[10] == 2
    assert np.isnan(y[11:]).all()


def test_an_option_that_does_not_exist_is_refused_with_those_that_do(runs):
    """A typo is an error in words, in the notebook."""
    run = runs["columns"]
    with pytest.raises(InvalidInput, match=r"Did you mean 'epoch'.* Known: .*'source'"):
        run.figure("importance_drift", epochs=3)
    with pytest.raises(InvalidInput, match="There is no option of the figure 'overview' 'source'"):
        run.figure("overview", source="live")


@pytest.mark.parametrize("name", [*FIGURES, *PANELS])
def test_a_figure_is_a_function_of_a_run_a_look_and_its_options(name):
    """In this order; options are named and have defaults, and the docstring of a figure describes each of them."""
    draw = FIGURES.get(name) or PANELS[name]
    run, look, *options = inspect.signature(draw).parameters.values()
    assert (run.name, look.name) == ("run", "look")
    assert look.kind == look.POSITIONAL_OR_KEYWORD
    for option in options:
        assert option.kind == option.KEYWORD_ONLY
        assert option.default is not option.empty
        assert name not in FIGURES or f"\n        {option.name}: " in draw.__doc__, f"Args: lacks {option.name}"


def test_a_new_figure_is_one_file_and_one_line(runs, told_directory, monkeypatch, tmp_path):
    """A function of a run, entered in `FIGURES`: the notebook draws it, its options are checked, the report shows it."""
    import keras_xai as kx
    from keras_xai.figures.theme import LIGHT, chart, epoch_axis, line

    def figure(run, look=LIGHT, *, smooth=1):
        losses = [record.logs["loss"] for record in run.history]
        return chart(look, [line("loss", run.epochs, losses, look.run_colour)], xaxis=epoch_axis(look, run.epochs))

    monkeypatch.setitem(FIGURES, "loss_curve", figure)
    run = runs["columns"]
    assert run.figure("loss_curve", smooth=3).data[0].name == "loss"
    with pytest.raises(InvalidInput, match="Did you mean 'smooth'"):
        run.figure("loss_curve", smoth=3)
    page = kx.report(told_directory / "columns", tmp_path / "report.html").read_text()
    assert "<h3>Loss curve</h3>" in page
