"""The figures of predictions: what they draw, of every kind of output, in epochs and in steps."""

from __future__ import annotations

import base64
import json

import numpy as np
import plotly.graph_objects as go
import pytest

import keras_xai as kx
from keras_xai.errors import InvalidInput
from keras_xai.figures import FIGURES, Look
from keras_xai.figures.predictions import PANELS, READING
from keras_xai.probe import Probe
from keras_xai.records import Epoch
from keras_xai.summary.writer import Writer
from tests.run_in_steps import in_steps
from tests.summary.prediction_records import TASKS, labels_of, outputs_of, predictions_of_kind

NAMES = ["<b>cat</b>", "dog", "owl"]
DRAWN = {
    "softmax": {"confusion", "class_metrics", "calibration", "truth_histogram"},
    "sigmoid": {"confusion", "class_metrics", "calibration", "truth_histogram"},
    "labels": {"confusion", "class_metrics", "calibration", "truth_histogram"},
    "number": {"predicted_against_true", "residuals"},
    "numbers": {"predicted_against_true", "residuals"},
    "margin": {"confusion", "class_metrics"},
}


def unpacked(form):
    """An array of plotly's binary form."""
    array = np.frombuffer(base64.b64decode(form["bdata"]), form["dtype"])
    return array.reshape([int(side) for side in form["shape"].split(",")]) if "shape" in form else array


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run of three epochs of each kind of output, and one without labels."""
    root = tmp_path_factory.mktemp("predicted")
    for kind in [*TASKS, "unlabelled"]:
        writer = Writer(root / kind / "keras_xai")
        labelled, kind_of_output = kind != "unlabelled", kind if kind in TASKS else "softmax"
        y = labels_of(kind_of_output) if labelled else None
        names = NAMES if kind_of_output in ("softmax", "labels", "numbers") else None
        writer.write([Probe(np.zeros((40, 2), "f4"), y, class_names=names).gallery(4)])
        for epoch in range(3):
            record = predictions_of_kind(kind_of_output, epoch, labelled=labelled)
            writer.write([record, Epoch(epoch, 1e9 + epoch, 1.0, 0.1, 1e-3, {})])
        writer.close()
    return kx.load(root)


@pytest.mark.parametrize("kind", TASKS)
def test_each_kind_of_output_has_its_panels(runs, kind):
    """plotly takes them in both themes, names are text, and the whole figure has the same panels under their titles."""
    run = runs[kind]
    drawn = {name for name, draw in PANELS.items() if draw(run)["data"]}
    assert drawn == DRAWN[kind]
    for theme in ("light", "dark"):
        figure = FIGURES["predictions"](run, Look(theme), epoch=1)
        go.Figure(figure)
        assert "<b>cat" not in json.dumps(figure["data"], allow_nan=False)
    titles = [mark["text"] for mark in figure["layout"]["annotations"]]
    for name in drawn:
        assert any(title.startswith(READING[name][0]) for title in titles), name
    assert figure["layout"]["title"]["text"].startswith("Epoch 1: ")
    assert run.figure("predictions").data


def test_the_panels_draw_what_was_recorded(runs):
    """Shares of the true class, bins of certainty, counts of rows; of labels and numbers the column that is asked for."""
    outputs, y = outputs_of("softmax", seed=1), labels_of("softmax")
    (cells,) = PANELS["confusion"](runs["softmax"], epoch=1)["data"]
    shares = unpacked(cells["z"])
    for true, predicted in np.ndindex(3, 3):
        assert shares[true, predicted] == pytest.approx((outputs[y == true].argmax(1) == predicted).mean())
    (dots,) = PANELS["calibration"](runs["softmax"], epoch=1)["data"]
    assert np.dot(np.array(dots["x"]), [int(n) for n in dots["text"]]) == pytest.approx(outputs.max(1).sum(), rel=1e-5)
    bars = PANELS["truth_histogram"](runs["softmax"], epoch=1)["data"]
    assert sum(map(sum, (trace["y"] for trace in bars))) == 40
    (points,) = PANELS["predicted_against_true"](runs["numbers"], epoch=1, label=2)["data"]
    np.testing.assert_allclose(unpacked(points["y"]), outputs_of("numbers", seed=1)[:, 2], rtol=1e-5)
    (residuals,) = PANELS["residuals"](runs["numbers"], epoch=1, label=2)["data"]
    assert sum(residuals["y"]) == 40
    with pytest.raises(InvalidInput, match="no output 7"):
        PANELS["residuals"](runs["numbers"], label=7)
    with pytest.raises(InvalidInput, match="no label 3"):
        PANELS["confusion"](runs["labels"], label=3)


def test_a_probe_without_labels_has_its_predicted_classes(runs):
    """The most frequent first, with their share."""
    drawn = {name for name, draw in PANELS.items() if draw(runs["unlabelled"])["data"]}
    assert drawn == {"predicted_classes"}
    (cells,) = PANELS["predicted_classes"](runs["unlabelled"])["data"]
    counts = np.bincount(outputs_of("softmax", seed=2).argmax(1))
    np.testing.assert_allclose(unpacked(cells["z"])[:, 0], np.sort(counts)[::-1] / 40, rtol=1e-6)


def test_a_run_in_steps_draws_the_same(runs, tmp_path):
    """By its steps; the sentence has their moment."""
    stepped = in_steps(runs["softmax"], tmp_path)
    figure = stepped.figure("predictions", step=20)
    assert figure.layout.title.text.startswith("Step 20 of epoch 0: ")
    (cells,) = PANELS["confusion"](runs["softmax"], epoch=1)["data"]
    (same,) = PANELS["confusion"](stepped, epoch=20)["data"]
    np.testing.assert_array_equal(unpacked(cells["z"]), unpacked(same["z"]))
