"""Figures of a run that counts in steps: each update has a place of its own, and the words are in steps."""

from __future__ import annotations

import json
import re

import numpy as np
import plotly.graph_objects as go
import pytest

from keras_xai.errors import InvalidInput
from keras_xai.figures import FIGURES, PANELS, Look, Overlay
from keras_xai.figures.heat_map import cell_edges, hatched
from keras_xai.run import load
from keras_xai.updates import BEFORE
from tests.mapping.mapping_records import mappings_of
from tests.reliance_records import ShortcutRun
from tests.run_in_steps import in_steps
from tests.summary.slice_records import slices_of

STEPS = list(range(10, 130, 10))


@pytest.fixture(scope="module")
def runs(stepped_directory, tmp_path_factory):
    """Runs by name; "rest" has what the others lack: mappings, slices and training rows beside the probe."""
    root = tmp_path_factory.mktemp("rest")
    shortcut = ShortcutRun(root / "epochs")
    for epoch in range(12):
        shortcut.writer.write([mappings_of(epoch), slices_of(epoch)])
    shortcut.write()
    (rest,) = load(root / "epochs").values()
    return {**load(stepped_directory), "rest": in_steps(rest, root / "steps")}


@pytest.mark.parametrize("name", [*FIGURES, *PANELS])
def test_every_figure_is_drawn_over_steps(runs, name):
    """plotly takes it, and no sentence counts in epochs: an epoch is named only as that of a step."""
    make = FIGURES.get(name) or PANELS[name]
    go.Figure(make(runs["begun"]))  # in which nothing says yet what it will count in
    for kind in ("pictures/watermark", "columns", "early", "rest"):
        made = make(runs[kind])
        go.Figure(made)
        words = json.dumps(made, ensure_ascii=False)
        counted = re.sub(r"[Ss]tep \d+ of epoch \d+", "", words)
        of_epochs = re.findall(
            r".{20}(?:[Ee]pochs? (?:%|\d)|over epochs|and epoch|× epoch|each epoch|this epoch).{9}", counted
        )
        assert of_epochs == []


@pytest.mark.parametrize("name", ["drift_score", "loss", "rank_bump", "variable_lines", "sample_outputs"])
def test_each_update_has_a_place_on_the_axis(runs, name):
    """Twelve updates in three epochs are twelve places, in steps; thin lines stand where epochs end."""
    panel = PANELS[name](runs["pictures/watermark"])
    lines = [trace for trace in panel["data"] if trace["mode"] == "lines" and isinstance(trace["x"], list)]
    assert all(set(trace["x"]) <= set(STEPS) for trace in lines)
    assert name == "rank_bump" or lines[0]["x"] == STEPS
    axis = panel["layout"]["xaxis"]
    assert axis["range"] == [10, 120]
    assert axis["unifiedhovertitle"] == {"text": "step %{x:d}"}
    assert axis["ticktext"][0].startswith("step ")
    assert axis["minor"]["tickvals"] == [50, 100]


def test_alerts_and_the_burn_in_stand_at_their_steps(runs):
    shapes = PANELS["drift_score"](runs["pictures/watermark"])["layout"]["shapes"]
    assert [(s["x0"], s["x1"]) for s in shapes if s["type"] == "rect"] == [(10, 90)]
    assert sorted(s["x0"] for s in shapes if s["type"] == "line" and s.get("yref") == "paper") == [70, 90]


def test_cells_reach_half_way_to_their_neighbours():
    """Also where the end of an epoch makes a narrow one: hatching has the edges of the cells that plotly draws."""
    np.testing.assert_array_equal(cell_edges([10, 20, 25, 35]), [5, 15, 22.5, 30, 40])
    (bars,) = hatched(Look(), [10, 20, 25, 35], np.array([[True, False, False, True], [True, True, True, False]]))
    assert (bars["base"], bars["x"], bars["y"]) == ([15, 30], [15, 10], [0, 1])


def test_a_log_of_epoch_ends_is_drawn_as_points(tmp_path):
    """One epoch has one validation loss: a line of one point would not be seen."""
    from keras_xai.records import Epoch
    from keras_xai.run import Run
    from keras_xai.summary.store import FileStore
    from keras_xai.summary.writer import Writer

    writer = Writer(tmp_path / "keras_xai", past_updates=0)
    for step in (10, 20, 30):
        logs = {"loss": 1 / step} | ({"val_loss": 0.5} if step == 30 else {})
        writer.write([Epoch(0, 1e9 + step, 1.0, 0.1, 0.1, logs, ends_epoch=step == 30, step=step, iterations=step)])
    writer.close()
    training, validation = PANELS["loss"](Run(FileStore(tmp_path / "keras_xai")))["data"]
    assert (training["x"], training["mode"]) == ([10, 20, 30], "lines")
    assert (validation["x"], validation["y"], validation["mode"]) == ([30], [0.5], "lines+markers")


@pytest.mark.parametrize("name", ["drift_score", "loss", "update_ratio"])
def test_runs_of_different_units_are_not_laid_over_each_other(runs, name):
    """Step 10 is not epoch 10: the line is left out, and named."""
    columns, other = runs["columns"], runs["in_epochs"]
    apart = PANELS[name](columns, Look(others=[Overlay("words", other, 1)]))
    alone = PANELS[name](columns, Look())
    assert len(apart["data"]) == len(alone["data"])
    texts = [mark["text"] for mark in apart["layout"]["annotations"]]
    assert "not overlaid: words counts in epochs" in texts
    together = PANELS[name](columns, Look(others=[Overlay("pictures", runs["pictures/clean"], 1)]))
    assert len(together["data"]) > len(alone["data"])
    assert not [mark for mark in together["layout"]["annotations"] if "not overlaid" in mark["text"]]


def title_of(figure):
    return figure.layout.title.text


def test_a_figure_is_asked_for_by_step_or_by_the_epoch_that_it_ends(runs):
    run = runs["pictures/watermark"]
    draw = lambda **options: title_of(run.figure("probe_attributions", **options))  # noqa: E731
    assert draw(step=70).startswith("Saliency, step 70 of epoch 1")
    assert draw(step=74).startswith("Saliency, step 70 of epoch 1")
    assert draw(epoch=0).startswith("Saliency, step 50 of epoch 0")
    assert draw(epoch=2).startswith("Saliency, step 120 of epoch 2")
    assert draw(step=0).startswith("Saliency, before training")
    assert draw().startswith("Saliency, step 120 of epoch 2")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("columns", {"step": 70, "epoch": 1}, r"epoch=1 and step=70: give one of them\."),
        ("columns", {"epoch": 7}, r"epoch=7: recorded: epochs 0 to 2; or give step=, up to 120\."),
        ("columns", {"step": 3}, r"step=3: the first update is at step 10, the last at 120\."),
        ("columns", {"step": "70"}, r"step='70': expected a whole number\."),
        ("in_epochs", {"step": 70}, r"step=70: this run counts in epochs; give epoch=, recorded: epochs 0 to 11\."),
    ],
)
def test_a_place_that_is_not_there_is_refused_with_what_is(runs, name, options, words):
    with pytest.raises(InvalidInput, match=words):
        runs[name].figure("importance_drift", **options)


def test_a_run_says_its_updates(runs):
    assert repr(runs["columns"]) == "Run(12 updates in 3 epochs, 2 alerts)"
    assert repr(runs["in_epochs"]).startswith("Run(12 epochs, ")


def test_the_gallery_of_an_untrained_model_is_drawn_before_there_is_an_update(runs):
    """Its maps and its own predictions; once there are updates it is drawn where it is asked for."""
    begun, columns = runs["begun"], runs["columns"]
    first = FIGURES["probe_attributions"](begun)
    assert first["layout"]["title"]["text"].startswith("Integrated gradients, before training")
    later = FIGURES["probe_attributions"](columns, epoch=BEFORE)
    assert [trace["x"] for trace in first["data"]] == [trace["x"] for trace in later["data"]]
    assert "before training" not in FIGURES["probe_attributions"](columns)["layout"]["title"]["text"]
    assert "Training has begun." in FIGURES["overview"](begun)["layout"]["title"]["text"]
