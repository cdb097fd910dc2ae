"""What outputs say, by their task: one class, labels, a margin, numbers; and which class colours speak for."""

from __future__ import annotations

import numpy as np
import pytest

from keras_xai.analysis.attributions import is_magnitude, method_named, reach_of, sample_title
from keras_xai.analysis.outputs import (
    explained,
    finite_at,
    number,
    predicted,
    probabilities,
    sides,
    title_value,
    trajectory,
)
from keras_xai.figures import FIGURES, PANELS, Look
from keras_xai.probe import Probe
from keras_xai.records import Attribution, Outputs
from tests.run_in_epochs import RunInEpochs

NAN = np.nan


def outputs(values, task, link="", *, target=0, prediction=0, score=0.0, space="logit", error=None):
    """Outputs of one sample at one epoch, or (E, K) of one sample over epochs."""
    values = np.atleast_2d(np.asarray(values, "f4"))[:, None]
    one = np.ones((len(values), 1), "f4")
    return Outputs(
        "integrated_gradients", np.arange(len(values)), (target * one).astype(np.int64), prediction * one, score * one,
        NAN * one, None if error is None else error * one, values, space, task=task, link=link,
    )  # fmt: skip


def quantity_of(method):
    """The quantity of a method by its name, as a file has it."""
    return {"saliency": "slope", "squared_gradient": "other"}.get(method, "contribution")


def run_of(
    table, *, names=("malignant", "benign"), y=(0,), values=None, kind="table", methods=("integrated_gradients",)
):
    """A run that wrote this table, and maps."""
    values = np.ones((1, 3), "f4") if values is None else np.asarray(values, "f4")
    x = np.zeros((len(values), *values.shape[1:]), "int32" if kind == "tokens" else "f4")
    y = np.asarray(y)
    probe = Probe(x, y, kind=kind, class_names=names)
    found = Attribution(
        "integrated_gradients", values, table.target[0], table.score[0], None, table.prediction[0], None, "logit"
    )
    return RunInEpochs(
        probe=probe, methods=methods, epochs=list(map(int, table.epochs)), alerts=[], stops=[],
        outputs=lambda method: table, attribution=lambda method, epoch: found, method_title=lambda method: method,
        method_quantity=quantity_of, method_layer=lambda method: "",
    )  # fmt: skip


def test_logits_are_finished_by_the_recorded_link():
    """Softmax and sigmoid of logits; probabilities stay; one column of two classes gets its counterpart."""
    logits = outputs([np.log(1), np.log(3), np.log(4)], "classes", "softmax")
    np.testing.assert_allclose(probabilities(logits)[0, 0], [1 / 8, 3 / 8, 4 / 8], rtol=1e-6)
    np.testing.assert_allclose(probabilities(outputs([0.2, 0.8], "classes", "softmax"))[0, 0], [0.2, 0.8], rtol=1e-6)
    np.testing.assert_allclose(probabilities(outputs([0.9, 0.8], "labels", "sigmoid"))[0, 0], [0.9, 0.8], rtol=1e-6)
    np.testing.assert_allclose(probabilities(outputs([0.2], "binary", "sigmoid"))[0, 0], [0.8, 0.2], rtol=1e-6)
    np.testing.assert_allclose(probabilities(outputs([np.log(3)], "binary", "sigmoid"))[0, 0], [0.25, 0.75], rtol=1e-6)
    np.testing.assert_allclose(probabilities(outputs([-1e4], "binary", "sigmoid"))[0, 0], [1, 0])


@pytest.mark.parametrize(("target", "score"), [(1, 0.25), (0, -0.25)])
def test_a_logit_between_zero_and_one_is_known_by_its_score(target, score):
    """The score explained is the output itself, or its negative for class 0: then it is no probability yet."""
    table = outputs([0.25], "binary", "sigmoid", target=target, score=score)
    np.testing.assert_allclose(probabilities(table)[0, 0, 1], 1 / (1 + np.exp(-0.25)), rtol=1e-6)


def test_a_margin_is_no_probability():
    """A hinge loss has no link: the raw output is shown, without a percent sign."""
    table = outputs([2.5], "binary", target=0, prediction=1, score=-2.5)
    np.testing.assert_allclose(probabilities(table)[0, 0], [2.5])
    assert number(table, float(title_value(table)[0, 0])) == "2.5"
    assert sample_title(run_of(table), "integrated_gradients", 0, None) == "malignant read as benign, 2.5"


@pytest.mark.parametrize(
    ("task", "link", "target", "values", "expected"),
    [
        ("binary", "sigmoid", 0, [0.2], 0.8),
        ("binary", "sigmoid", 1, [0.2], 0.2),
        ("labels", "sigmoid", 2, [0.1, 0.2, 0.7], 0.7),
        ("numbers", "", 1, [21.5, -3.0], -3.0),
        ("numbers", "", -1, [21.5, -3.0], 18.5),
        ("number", "", 0, [21.5], 21.5),
        ("classes", "softmax", 500, [0.4, 0.6], NAN),
    ],
)
def test_what_is_explained_is_shown(task, link, target, values, expected):
    """Of the target's class, label or column, or of the sum; unknown where that column was not kept."""
    table = outputs(values, task, link, target=target)
    np.testing.assert_allclose(explained(table)[0, 0], expected, rtol=1e-6)


def test_numbers_are_read_as_nothing():
    """No class, no percent; the title has the explained column's value."""
    table = outputs([21.5, -3.0], "numbers", target=1)
    assert np.isnan(predicted(table)).all()
    assert sample_title(run_of(table, y=(0.5,)), "integrated_gradients", 0, None) == "sample 0, −3"


def test_outputs_that_are_not_finite_are_read_as_nothing():
    """The class that NaN would give is never told; the last epoch before is shown, and since when."""
    table = outputs([[0.2], [NAN], [NAN]], "binary", "sigmoid", prediction=1, score=1.0)
    table.score[1:] = NAN
    np.testing.assert_array_equal(predicted(table)[:, 0], [1, NAN, NAN])
    assert finite_at(table, None) == (0, 1)
    assert finite_at(table, 0) == (0, None)
    assert finite_at(outputs([[NAN]], "binary", score=NAN), None) == (0, 0)
    figure = FIGURES["probe_attributions"](run_of(table))
    assert "not finite since epoch 1" in figure["layout"]["title"]["text"]


def test_the_true_class_is_followed():
    """And the explained one where there is no true class."""
    table = outputs([0.2], "binary", "sigmoid", target=1)
    np.testing.assert_allclose(trajectory(table, np.array([0])), [[0.8]], rtol=1e-6)
    np.testing.assert_allclose(trajectory(table, None), [[0.2]], rtol=1e-6)


@pytest.mark.parametrize(
    ("task", "targets", "method", "expected"),
    [
        ("binary", [0, 0], "integrated_gradients", ("against malignant", "for malignant")),
        ("binary", [1], "occlusion", ("against benign", "for benign")),
        ("classes", [0, 1], "integrated_gradients", ("against", "for the class named at each sample")),
        ("labels", [1], "lime", ("against benign", "for benign")),
        ("numbers", [1], "integrated_gradients", ("lowers benign", "raises benign")),
        ("numbers", [-1], "integrated_gradients", ("lowers the sum of all outputs", "raises the sum of all outputs")),
        ("number", [0], "integrated_gradients", ("lowers the output", "raises the output")),
        ("binary", [0], "saliency", ("score of malignant falls", "rises as the value grows")),
        ("binary", [0], "squared_gradient", ("low", "high for malignant")),
        ("classes", [0, 1], "squared_gradient", ("low", "high for the output explained at each sample")),
    ],
)
def test_colours_name_what_they_speak_for(task, targets, method, expected):
    """The explained class, class 0 as well; a slope is not a contribution."""
    table = outputs([0.2], task, "sigmoid")
    assert sides(run_of(table), table, np.array(targets), method) == expected


def test_tables_open_with_contributions_and_pictures_with_saliency():
    """A slope of a word is a magnitude."""
    methods = ("lime", "saliency")
    table = outputs([0.2], "binary", "sigmoid")
    assert method_named(run_of(table, methods=("integrated_gradients", "saliency")), None) == "integrated_gradients"
    assert method_named(run_of(table, methods=methods), None) == "lime"
    assert method_named(run_of(table, methods=("saliency",)), None) == "saliency"
    assert method_named(run_of(table, methods=methods), "saliency") == "saliency"
    pictures = run_of(table, values=np.ones((1, 4, 4, 1)), kind="image", methods=("integrated_gradients", "saliency"))
    assert method_named(pictures, None) == "saliency"
    assert is_magnitude("tokens", "slope")
    assert not is_magnitude("table", "slope")


def test_bars_share_one_scale_and_sum_up_the_others():
    """Samples side by side have one axis; what is beyond the eight largest is one bar, the sum."""
    values = np.array([[5.0, -4, 3, 3, 3, 3, 3, 3, 2, 2], [0.5, -1, 0, 0, 0, 0, 0, 0, 0, 0]])
    table = outputs([0.2], "binary", "sigmoid")
    table = Outputs(**{**vars(table), **{name: np.repeat(getattr(table, name), 2, 1) for name in
        ("target", "prediction", "score", "baseline_score", "outputs")}})  # fmt: skip
    figure = FIGURES["probe_attributions"](run_of(table, values=values, y=(0, 0)))
    bars = [trace for trace in figure["data"] if trace["type"] == "bar"]
    assert bars[0]["x"] == [5, -4, 3, 3, 3, 3, 3, 3, 4]
    assert bars[0]["hovertext"][-1].startswith("2 others")
    ranges = [figure["layout"][name]["range"] for name in ("xaxis", "xaxis2")]
    assert ranges[0] == ranges[1]
    assert ranges[0][0] < -4 < 5 < ranges[0][1]
    assert reach_of(np.array([2.0, NAN])) == (0, 2)
    alone = PANELS["sample_outputs"](run_of(table, values=values, y=(0, 0)), sample=1)
    assert alone["data"]


def test_a_large_completeness_error_is_marked():
    """Above 5 % the sample says so in the alarm colour; up to there it does not."""
    titles = []
    for error in (0.67, 0.04):
        table = outputs([0.2], "binary", "sigmoid", error=error)
        figure = FIGURES["probe_attributions"](run_of(table))
        titles.append(figure["layout"]["annotations"][-1]["text"])
    assert "completeness error 67\u00a0%" in titles[0]
    assert Look()["alarm"] in titles[0]
    assert "completeness" not in titles[1]


def test_why_a_figure_is_empty():
    """A callback that retired is not one that was absent."""
    from keras_xai.records import Stop

    table = outputs([0.2], "binary", "sigmoid")
    run = run_of(table, methods=())
    run.stops = [Stop(3, "probe_attributions", "no gradient")]
    run.importance = run.importance_live = run.data_score = run.samples = None
    run.weight_gradients, run.mappings, run.slices = [], [], []
    run.history = []
    run.gap, run.reliance = None, []
    titles = {name: FIGURES[name](run)["layout"]["title"]["text"] for name in FIGURES if name != "overview"}
    assert all(title.startswith("No ") and ": " in title for title in titles.values()), titles
    reasons = {
        "weight_gradients": "No weight gradients: WeightGradients was not among the callbacks",
        "probe_attributions": "No attributions: ProbeAttributions stopped at epoch 3: no gradient",
        "importance_drift": "No importance: ImportanceDrift was not among the callbacks",
        "reliance_gap": "No comparison: ImportanceDrift was not among the callbacks",
        "mappings": "No mappings: ProbeMappings was not among the callbacks",
    }
    assert {name: titles[name] for name in reasons} == reasons
