"""`kx.plot` and `Attribution.plot`: what is drawn is what was attributed, for the class that it says."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace

import keras
import numpy as np
import plotly.graph_objects as go
import pytest

import keras_xai as kx
from keras_xai.records import Attribution
from keras_xai.tree import leaves
from tests.plotted import traces, unpacked, words

NAMES = ["age", "<b>dose</b>", "weight"]
WEIGHTS = np.array([[1.0], [-2.0], [0.5]], "float32")
X = np.array([[1, 0.5, -1], [-2, 1, 0.25], [3, -1, 2], [0.5, 2, 1]], "float32")
MARGIN = (X @ WEIGHTS)[:, 0]  # −0.5, −3.9, 6, −3


@pytest.fixture(scope="module")
def sigmoid():
    """One unit behind a sigmoid, of three columns: its contributions are w · x."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, "sigmoid", use_bias=False)])
    model.set_weights([WEIGHTS])
    model.compile("sgd", "binary_crossentropy")
    return model


@pytest.fixture(scope="module")
def explained(sigmoid):
    probe = kx.Probe(
        X, [0, 0, 1, 1], class_names=["sick", "well"], feature_names=NAMES, baseline=np.zeros(3, "float32")
    )
    return kx.attribute(sigmoid, probe, verbose=False)


def record(values, kind, samples=None, method="integrated_gradients", **fields):
    """An attribution of these values."""
    size = len(leaves(values)[0])
    target = np.zeros(size, int)
    named = {
        "quantity": "contribution",
        "outputs": np.full((size, 2), 0.5),
        "task": "classes",
        "link": "softmax",
    } | fields
    return Attribution(
        method, values, target, np.ones(size), None, target, None, "logit", kind=kind, samples=samples, **named
    )


@pytest.fixture(scope="module")
def images():
    """A convolution without training, and three pictures."""
    keras.utils.set_random_seed(0)
    parts = [keras.layers.Conv2D(4, 3, name="conv", activation="relu"), keras.layers.Flatten()]
    hidden = keras.layers.Dense(5, activation="tanh", name="hidden")
    model = keras.Sequential([keras.Input((8, 8, 1)), *parts, hidden, keras.layers.Dense(2, activation="softmax")])
    return model, np.random.default_rng(0).random((3, 8, 8, 1)).astype("float32")


def test_the_class_that_a_bar_speaks_for_is_that_of_its_title(explained):
    """One sigmoid: class 0 is explained by the negative logit. Signs, titles and legends agree, right and wrong ones."""
    figure = kx.plot.bars(explained, scale="own")
    titles = [mark for mark in words(figure).split("\n") if "<br>" in mark]
    signs = np.where(np.array([0, 0, 1, 1]) == 0, -1, 1)
    contributions = signs[:, None] * X * WEIGHTS[:, 0]
    for sample, trace in enumerate(traces(figure)):
        order = np.argsort(-np.abs(contributions[sample]), kind="stable")
        np.testing.assert_allclose(trace["x"], contributions[sample, order], rtol=1e-5)
    expected = ["sick, 62", "sick, 98", "well, 100", "well read as sick, 95"]
    sides = ["against sick / for sick"] * 2 + ["against well / for well"] * 2
    for title, name, side in zip([title for title in titles if "against" in title][-4:], expected, sides, strict=True):
        assert title.startswith(name)
        assert side in title


@pytest.mark.parametrize(("sample", "name", "sign"), [(0, "sick", -1), (3, "well", 1)])
def test_a_waterfall_leads_from_the_baseline_to_the_score(explained, sample, name, sign):
    """Each bar begins where the one above ends; the last ends at the score; "k others" is the sum of what has no bar."""
    figure = kx.plot.waterfall(explained, sample=sample, features=2)
    (bars,) = figure.data
    contributions = sign * X[sample] * WEIGHTS[:, 0]
    order = np.argsort(-np.abs(contributions), kind="stable")
    np.testing.assert_allclose(bars.x, [*contributions[order[:2]], contributions[order[2]]], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(bars.base, np.concatenate([[0], np.cumsum(bars.x)[:-1]]), atol=1e-6)
    np.testing.assert_allclose(bars.base[-1] + bars.x[-1], sign * MARGIN[sample], rtol=1e-5)
    assert figure.layout.yaxis.ticktext[2] == "1 other"
    assert f"score of {name} (logit)" == figure.layout.xaxis.title.text
    assert f"for {name}" in words(figure)
    assert "<b>dose" not in figure.to_json()


def test_what_the_values_miss_is_a_bar_of_its_own(explained):
    """A method whose values do not add up still ends at the score, and its error is in red."""
    short_of_it = replace(explained, values=0.5 * explained.values, completeness_error=np.full(4, 0.5))
    figure = kx.plot.waterfall(short_of_it, sample=2)
    (bars,) = figure.data
    assert figure.layout.yaxis.ticktext[-1] == "not accounted for"
    np.testing.assert_allclose([bars.x[-1], bars.base[-1] + bars.x[-1]], [3.0, 6.0], rtol=1e-5)
    assert "completeness error 50" in words(figure)
    with pytest.raises(kx.InvalidInput, match=r"saliency has no baseline.*kx\.plot\.bars"):
        kx.plot.waterfall(record(X, "table", method="saliency"))


def test_a_swarm_of_one_sigmoid_is_turned_towards_class_1(explained):
    """All points of a feature are w · x, whichever class each row was explained for; one row is marked."""
    figure = kx.plot.beeswarm(explained, highlight=2)
    swarms = [trace for trace in figure.data if "highlight" not in (trace.meta or {})]
    assert [trace.name for trace in swarms] == ["&lt;b&gt;dose&lt;/b&gt;", "age", "weight"]
    for trace, column in zip(swarms, [1, 0, 2], strict=True):
        np.testing.assert_allclose(trace.x, X[:, column] * WEIGHTS[column, 0], rtol=1e-5)
        assert len(set(trace.marker.color)) == 4
    marked = [trace for trace in figure.data if "highlight" in (trace.meta or {})]
    np.testing.assert_allclose([trace.x[0] for trace in marked], (X[2] * WEIGHTS[:, 0])[[1, 0, 2]], rtol=1e-5)
    assert "against well ← → for well" in figure.layout.xaxis.title.text
    with pytest.raises(kx.InvalidInput, match="highlight=9"):
        kx.plot.beeswarm(explained, highlight=9)


def test_categories_have_colours_with_names():
    """One colour a category, named at the right; a feature that was not measured says so."""
    x = {"city": np.array(["Bern", "Zürich", "Bern"], object), "age": np.array([1.0, 2, 3])}
    values = {"city": np.array([1.0, -1, 2]), "age": np.full(3, np.nan)}
    figure = kx.plot.beeswarm(record(values, "table"), x)
    colours = figure.data[0].marker.color
    assert colours[0] == colours[2] != colours[1]
    assert "Bern" in words(figure)
    assert "not measured" in words(figure)
    bars = kx.plot.bars(record(values, "table"), x, samples=[1])
    assert "= Zürich" in bars.layout.yaxis.ticktext[0]
    assert "not measured" in words(bars)


def test_importance_is_the_mean_magnitude(explained, sigmoid):
    """Of attributions, and of what `kx.importance` returns; what has no bar is summed."""
    (bars,) = kx.plot.importance(explained, features=1).data
    means = np.abs(X * WEIGHTS[:, 0]).mean(0)
    np.testing.assert_allclose(bars.x, [means[1], means[0] + means[2]], rtol=1e-5)
    (bars,) = kx.plot.importance((["a", "b"], np.array([np.nan, 2.0]))).data
    assert (bars.x[0], bars.x[1]) == (2.0, None)


def test_pictures_have_their_tiles(images):
    """The picture, the map above it, the map alone and what it leaves of the picture, side by side."""
    model, x = images
    a = kx.attribute(model, x, "input_x_gradient", verbose=False)
    figure = kx.plot.image(a, mode=("input", "overlay", "map", "masked"), samples=[2])
    assert len(figure.data) == 3
    assert len(figure.layout.images) == 3
    for trace in traces(figure):
        np.testing.assert_allclose(unpacked(trace["z"]), a.values[2, ..., 0])
    assert len(a.plot().layout.images) == 6
    mapped = a.plot(x=None, mode="overlay")
    assert len(mapped.data) == 3
    bare = replace(a, samples=None)
    assert "give x=" in words(bare.plot())
    assert not bare.plot().layout.images
    assert len(bare.plot(x).layout.images) == 6
    with pytest.raises(kx.InvalidInput, match="give x="):
        bare.plot(mode="masked")
    cam = kx.attribute(model, x[:1], "hires_cam", verbose=False)
    assert unpacked(traces(cam.plot())[0]["z"]).shape == cam.values.shape[1:]


def test_texts_series_and_volumes_are_drawn_by_their_kind():
    """`plot()` chooses; names, words and channels may be given with it."""
    random = np.random.default_rng(0)
    tokens = np.array([[1, 2, 0], [2, 1, 1]])
    text = record(random.normal(size=(2, 3)), "tokens").plot(tokens, vocabulary=["", "good", "<i>bad"])
    assert text.data[0].text == ("good", "&lt;i&gt;bad")
    positions = record(random.normal(size=(2, 3)), "tokens").plot()
    assert positions.data[0].text == ("[0]", "[1]", "[2]")
    steps = random.normal(size=(2, 9, 2))
    series = record(steps, "series").plot(steps, feature_names=["x", "y"])
    assert series.layout.yaxis.ticktext == ("x", "y")
    np.testing.assert_allclose(unpacked(traces(series)[0]["z"]), steps[0].T, rtol=1e-6)
    scans = random.normal(size=(2, 4, 5, 6, 1))
    volume = record(scans, "volume").plot(scans, depth=3)
    assert volume.layout.sliders[0].active == 3
    assert record(scans[..., 0], "volume").plot().layout.sliders[0].steps[3].label == "3"


def test_the_samples_go_with_the_attribution(sigmoid):
    """Of arrays, frames and probes; names come with a frame; another number of rows is refused."""
    pandas = pytest.importorskip("pandas")
    a = kx.attribute(sigmoid, pandas.DataFrame(X, columns=["age", "dose", "weight"]), verbose=False)
    assert a.samples.features == ("age", "dose", "weight")
    assert a.kind == "table"
    assert {hover.split("<br>")[0] for hover in a.plot(samples=1).data[0].hovertext} == {"age", "dose", "weight"}
    assert a.plot(sample=1).data[0].base[0] == 0
    with pytest.raises(kx.InvalidInput, match="x has 2 samples, the attribution is of 4"):
        a.plot(X[:2])
    with pytest.raises(kx.InvalidInput, match=r"no option of kx.plot.bars 'sampels'. Did you mean 'samples'"):
        a.plot(sampels=2)
    with pytest.raises(kx.InvalidInput, match=r"kind 'table': kx.plot.bars draws them"):
        kx.plot.image(a)
    with pytest.raises(kx.InvalidInput, match="ndarray is no attribution"):
        kx.plot.bars(X)
    with pytest.raises(kx.InvalidInput, match="class_names: the attribution does not hold the samples"):
        kx.plot.bars(replace(a, samples=None), class_names=["a", "b"])


def test_regression_says_what_is_true():
    """The output, the label and the difference."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([WEIGHTS])
    model.compile("sgd", "mse")
    a = kx.attribute(model, kx.Probe(X, [0.5, -3.5, 5.0, 0.25]), verbose=False)
    assert re.search(r"sample 2, 6(\.0+)?, true 5(\.0+)?, \+1(\.0+)?<", words(kx.plot.waterfall(a, sample=2)))


def test_units_of_a_layer_are_bars(images):
    """Named by their numbers, without values of inputs."""
    model, x = images
    a = kx.attribute(model, x, "input_x_gradient", layer="hidden", verbose=False)
    figure = a.plot()
    assert figure.layout.yaxis.ticktext[0].startswith("unit ")
    names, means = kx.plot.importance(a).layout.yaxis.ticktext, np.abs(a.values).mean(0)
    assert names[0] == f"unit {means.argmax()}"


def test_what_is_not_finite_or_alone_is_drawn():
    """NaN, one row, one class, a huge name and markup break no figure."""
    values = np.full((1, 2), np.nan)
    one = record(values, "table")
    for figure in (one.plot(), kx.plot.beeswarm(one), kx.plot.importance(one)):
        assert isinstance(figure, go.Figure)
        figure.to_json()
    assert words(one.plot()).count("not measured") == 2
    long = record(np.ones((1, 1)), "table").plot(np.ones((1, 1)), feature_names=["<script>" + "a" * 500])
    assert len(long.layout.yaxis.ticktext[0]) < 120
    assert "<script" not in long.to_json()
    nothing = record(np.full((1, 4, 4), np.nan), "image")
    nothing.plot().to_json()


def test_an_attribution_prints_itself_in_two_lines(explained):
    """Method, kind, shapes, targets, scores and completeness; not its arrays."""
    first, second = repr(explained).split("\n")
    assert first == "Attribution(integrated_gradients of kind table, values (4, 3), target sick ×2, well ×2)"
    assert second == "  score -3 to 6 (logit); completeness error 0 % at most"
    html = explained._repr_html_()
    assert "well read as sick" in html
    assert "Integrated gradients" in html
    many = record(np.zeros((9, 2)), "table")
    assert "and 1 more sample<" in replace(many, target=np.arange(9))._repr_html_()


def test_an_unknown_kind_is_drawn_by_its_shape():
    """What the model leaves open is decided by what the values look like, or by kind of the x that is given."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert record(np.ones((2, 3)), "").plot().data[0].type == "bar"
        assert record(np.ones((2, 5, 3)), "").plot().data[0].type == "heatmap"
        assert record(np.ones((2, 5, 5)), "", method="grad_cam").plot().data[0].type == "heatmap"
