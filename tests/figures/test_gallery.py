"""The tiles of the gallery show what was recorded: the values themselves, the picture, the words, the lines, the names."""

from __future__ import annotations

import json

import numpy as np
import plotly.graph_objects as go
import pytest

import keras_xai as kx
from keras_xai.figures import FIGURES, Look
from keras_xai.figures.attribution.lanes import MAX_STEPS, lanes_tile
from keras_xai.figures.attribution.maps import clip_of, image_tile
from keras_xai.figures.attribution.picture import data_uri, levels, painted
from keras_xai.figures.attribution.words import words_tile
from keras_xai.figures.options import check_value
from keras_xai.figures.theme import LIGHT, text
from keras_xai.records import Attribution
from keras_xai.run import Run, load
from tests.plotted import picture, traces, unpacked, words

EPOCH = 3


@pytest.fixture(scope="module")
def runs(told_directory):
    return load(told_directory)


def test_a_picture_lies_under_its_map(runs):
    """The heat map holds the recorded values of each sample, the image below it the pixels that were recorded."""
    run = runs["pictures/clean"]
    figure = FIGURES["probe_attributions"](run, method="integrated_gradients", epoch=EPOCH)
    recorded = run.attribution("integrated_gradients", EPOCH).values
    assert len(traces(figure)) == len(figure["layout"]["images"]) == 6
    inputs = levels(np.asarray(run.probe.x))
    for sample, trace in enumerate(traces(figure)):
        np.testing.assert_array_equal(unpacked(trace["z"]), np.asarray(recorded[sample], np.float32))
        image = figure["layout"]["images"][sample]
        assert (image["xref"], image["yref"]) == (trace["xaxis"], trace["yaxis"])
        assert (image["x"], image["y"], image["sizex"], image["sizey"]) == (-0.5, -0.5, 4, 4)
        pixels = picture(image["source"])
        expected = 255 + (25 - 255) * (inputs[sample, ..., 0] / 255) * 0.55
        np.testing.assert_allclose(pixels[::32, ::32], expected, atol=0.5)


def test_a_map_is_transparent_where_it_is_weak(runs):
    """Above a picture; alone it is opaque, and no picture is below it."""
    run = runs["pictures/clean"]
    (over, *_), (alone, *_) = (
        traces(FIGURES["probe_attributions"](run, epoch=EPOCH, samples=1, display=display))
        for display in ("overlay", "map")
    )
    assert over["colorscale"][0][1].endswith(",0)")  # saliency has no sign: it begins at zero
    assert over["colorscale"][-1][1].endswith(",0.85)")
    assert all(colour.endswith(",1)") for _, colour in alone["colorscale"])
    assert not FIGURES["probe_attributions"](run, samples=1, display="map")["layout"].get("images")


def test_grad_cam_is_blended_at_its_own_resolution():
    """Its few cells are spread over the pixels of the picture, edge to edge."""
    values = np.array([[0.0, 1.0], [2.0, 4.0]])
    tile = image_tile(LIGHT, values, np.zeros((1, 8, 8, 1)), 0, sides=(8, 8), smooth=True)
    (trace,) = traces(tile)
    np.testing.assert_array_equal(unpacked(trace["z"]), values)
    assert (trace["zsmooth"], trace["x0"], trace["dx"]) == ("best", 1.5, 4.0)
    assert (trace["zmin"], trace["zmax"]) == (0, clip_of(values))


def test_colours_keep_their_colours_and_large_pictures_are_pooled():
    """An RGB picture as it is, alone; below a map paler. Nothing is drawn larger than it was asked for."""
    photograph = np.random.default_rng(0).integers(0, 256, (300, 200, 3)).astype(np.uint8)
    small = painted(LIGHT, photograph, faint=False, pixels=100)
    assert small.shape == (100, 67, 3)
    np.testing.assert_allclose(small[0, 0], photograph[:3, :3].mean((0, 1)), atol=0.5)
    np.testing.assert_array_equal(picture(data_uri(small)), small)
    faint = painted(LIGHT, photograph, faint=True, pixels=300)
    np.testing.assert_allclose(faint, 255 + (photograph.astype(float) - 255) * 0.6, atol=0.5)


def test_a_gallery_of_photographs_is_small():
    """Sixteen of 224 × 224 colours are less than 300 kB of JSON."""
    from keras_xai.analysis.gallery import Gallery
    from keras_xai.figures.attribution.gallery import gallery_figure

    random = np.random.default_rng(0)
    photographs = random.random((16, 28, 28, 3)).repeat(8, 1).repeat(8, 2).astype("float32")
    values = random.normal(size=(16, 224, 224)).astype("float32")
    target = np.zeros(16, int)
    probe = kx.Probe(photographs, target)
    record = Attribution("saliency", values, target, np.ones(16), None, target, None, "logit", np.ones((16, 2)))
    figure = gallery_figure(LIGHT, Gallery.of(record, probe), range(16))
    assert len(go.Figure(figure).to_json()) < 300_000


def test_a_table_has_its_values_and_a_bar_for_each(runs):
    """Lengths are the recorded contributions, on one scale; markup in a name shows."""
    run = runs["columns"]
    figure = FIGURES["probe_attributions"](run, epoch=EPOCH)
    recorded = run.attribution("integrated_gradients", EPOCH).values
    assert len(traces(figure)) == 6
    for sample, trace in enumerate(traces(figure)):
        order = np.argsort(-np.abs(recorded[sample]), kind="stable")
        np.testing.assert_allclose(trace["x"], recorded[sample, order], rtol=1e-6)
        names = [hover.split("<br>")[0] for hover in trace["hovertext"]]
        assert names == [text(run.probe.features[k]) for k in order]
    labels = figure["layout"]["yaxis"]["ticktext"]
    shown = run.probe.x[0, int(np.argmax(np.abs(recorded[0])))]
    assert f"= {shown:.4g}" in labels[0]
    assert "<img" not in json.dumps(figure)
    assert figure["layout"]["xaxis"]["range"] == figure["layout"]["xaxis4"]["range"]


def test_a_text_has_its_words(runs):
    """In their order, each with its recorded value; shades follow the values."""
    run = runs["words"]
    figure = FIGURES["probe_attributions"](run, epoch=EPOCH)
    recorded = run.attribution("integrated_gradients", EPOCH).values
    for sample, trace in enumerate(traces(figure)):
        expected = [run.probe.vocabulary[token] for token in run.probe.x[sample].tolist()]
        assert trace["text"] == [word.replace("<", "&lt;").replace(">", "&gt;") for word in expected]
        np.testing.assert_allclose(trace["customdata"], recorded[sample], rtol=1e-6)
    assert not go.Figure(figure).layout.annotations[0].text.startswith("position")


def test_long_texts_are_broken_and_padding_is_left_out():
    """Lines of a figure's width; a gallery says how many words follow."""
    sentence = ["word"] * 100 + [""] * 28
    values = np.linspace(-1, 1, 128)
    whole = words_tile(LIGHT, sentence, values, 1.0)
    (trace,) = traces(whole)
    assert len(trace["text"]) == 100
    ends = np.asarray(trace["base"]) + trace["x"]
    assert ends.max() <= whole["layout"]["xaxis"]["range"][1]
    assert whole["layout"]["meta"]["lines"] > 2
    cut = words_tile(LIGHT, sentence, values, 1.0, lines=2)
    drawn = len(traces(cut)[0]["text"])
    assert f"and {100 - drawn} words more" in words(cut)
    assert not traces(words_tile(LIGHT, ["", ""], np.zeros(2), 1.0))


def test_a_series_has_a_lane_for_each_channel(runs):
    """Shades are the recorded values by channel and step, under the line of the channel, with its name."""
    run = runs["sensors"]
    figure = FIGURES["probe_attributions"](run, epoch=EPOCH, samples=2)
    recorded = run.attribution("integrated_gradients", EPOCH).values
    shades, line = traces(figure)[2:]
    np.testing.assert_allclose(unpacked(shades["z"]), recorded[1].T, rtol=1e-6)
    np.testing.assert_allclose(unpacked(shades["customdata"]), run.probe.x[1].T, rtol=1e-6)
    assert figure["layout"]["yaxis2"]["ticktext"] == ["channel 0", "channel 1"]
    heights = unpacked(line["y"])[:20]
    np.testing.assert_allclose(np.corrcoef(heights, -run.probe.x[1, :, 0])[0, 1], 1, rtol=1e-5)
    assert heights.min() >= -0.5
    assert heights.max() <= 0.5


def test_long_series_are_means_and_say_so():
    """Of more steps than are seen; of many channels those with the largest attribution are drawn."""
    values = np.zeros((3 * MAX_STEPS, 9))
    values[:, 7] = np.arange(3 * MAX_STEPS)
    tile = lanes_tile(LIGHT, values, values, [f"c{k}" for k in range(9)], 1.0, lanes=2)
    shades, line = traces(tile)
    np.testing.assert_allclose(unpacked(shades["z"])[-1, :2], [1, 4])
    assert "mean of 3 steps" in shades["hovertemplate"]
    assert tile["layout"]["yaxis"]["ticktext"][-1] == "c7"
    assert "and 7 more channels" in words(tile)
    assert np.nanmax(unpacked(line["x"])) == 3 * MAX_STEPS - 1


def test_a_picture_beside_columns_is_drawn_with_them():
    """Each sample is a row of tiles: the picture under its map, and the bars of the columns."""
    from keras_xai.analysis.gallery import Gallery
    from keras_xai.figures.attribution.gallery import gallery_figure

    random = np.random.default_rng(0)
    x = {"row": random.random((3, 2), "float32"), "scan": random.random((3, 6, 6, 1), "float32")}
    values = {name: random.normal(size=array.shape).astype("float32") for name, array in x.items()}
    target = np.array([0, 1, 1])
    record = Attribution("lime", values, target, np.ones(3), None, target, None, "logit", np.ones((3, 2)))
    probe = kx.Probe(x, target, feature_names=["age", "dose"], class_names=["no", "yes"])
    figure = gallery_figure(LIGHT, Gallery.of(record, probe), [2])
    shades, bars = traces(figure)
    np.testing.assert_allclose(unpacked(shades["z"]), values["scan"][2, ..., 0])
    np.testing.assert_allclose(sorted(bars["x"]), sorted(values["row"][2]), rtol=1e-6)
    assert {hover.split("<br>")[0] for hover in bars["hovertext"]} == {"age", "dose"}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("probe_attributions", {"samples": [99]}, "samples: there is no sample 99; there are 6, 0 to 5"),
        ("probe_attributions", {"samples": 0}, "samples=0: expected a positive integer"),
        (
            "probe_attributions",
            {"samples": "all"},
            "samples='all': expected a whole number or a sequence of whole numbers",
        ),
        ("probe_attributions", {"display": "blend"}, "no display 'blend'.*'overlay'"),
        ("probe_attributions", {"scale": 2}, "scale=2: expected 'common' or 'own'"),
        ("probe_attributions", {"method": "salience"}, "Did you mean 'saliency'"),
        ("probe_attributions", {"epoch": 99}, "epoch=99: recorded: epochs 0 to 11"),
        ("probe_attributions", {"epoch": 1.5}, r"epoch=1.5: expected a whole number or None"),
        ("overview", {"sample": 3}, "no option of the figure 'overview' 'sample'"),
        ("overview", {"theme": "blue"}, "no theme 'blue'"),
        ("overview", {"look": "dark"}, "look='dark': expected a keras_xai.figures.Look"),
        ("importance_drift", {"source": "lives"}, "no source 'lives'. Did you mean 'live'"),
        ("mappings", {"source": "labels"}, "no source 'labels'. Did you mean 'label'"),
        ("weight_gradients", {"statistic": "mode"}, "statistic 'mode'"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(runs, name, options, message):
    """In words, with what is expected."""
    with pytest.raises(kx.InvalidInput, match=message):
        runs["columns"].figure(name, **options)


def test_every_option_of_every_figure_is_described():
    """In the docstring of `run.figure`, and on the page."""
    from keras_xai.figures import options_of
    from tests.helpers.pages import DOCS

    page = (DOCS / "plots.md").read_text(encoding="utf-8")
    for name, draw in FIGURES.items():
        for description in (Run.figure.__doc__, page):
            assert name in description
            assert all(f"`{option}`" in description for option in options_of(draw) if option != "look")


def test_a_theme_may_be_named(runs):
    """Without a `Look`; a value of none of the kinds that an option takes is refused."""
    dark = runs["columns"].figure("probe_attributions", theme="dark", samples=[4, 2])
    assert dark.layout.paper_bgcolor == Look("dark")["page"]
    assert len(dark.data) == 2
    with pytest.raises(kx.InvalidInput, match="x=True: expected a whole number"):
        check_value("x", True, int)
