"""Volumes on their way from `fit` to the tab: written slice by slice, drawn with a slider."""

import base64

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.callbacks.probe_attributions import MAX_VOXELS, _summed
from keras_xai.figures.attribution.volumes import MAX_NUMBERS, MAX_SLICES, reduced_slices, volume_tile
from keras_xai.figures.theme import LIGHT
from keras_xai.summary.writer import Writer

from .answers import HOME, arrays
from .tab import Tab

layers = keras.layers
SHAPE = (5, 6, 8, 2)
SAMPLES = 6


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """A log directory with a run of two epochs on volumes, and the gallery's samples."""
    directory = tmp_path_factory.mktemp("scans")
    x = np.random.default_rng(0).normal(size=(64, *SHAPE)).astype(np.float32)
    x[32:, 3, 1:3, 2:4] += 4
    y = np.arange(64) // 32
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input(SHAPE), layers.Conv3D(3, 2, activation="relu"), layers.Flatten(), layers.Dense(2)]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    probe = kx.Probe(x, y)
    watch = [
        kx.ProbeAttributions(directory, probe, ["saliency", "occlusion"], samples=SAMPLES, on_error="raise"),
        kx.ImportanceDrift(directory, probe, on_error="raise"),
    ]
    model.fit(x, y, epochs=2, verbose=0, callbacks=watch)
    values = kx.attribute(model, watch[0].gallery, "saliency").values
    return directory, watch[0].gallery, values


def numbers(packed):
    """An array as plotly reads it."""
    values = np.frombuffer(base64.b64decode(packed["bdata"]), packed["dtype"])
    return values.reshape([int(side) for side in packed["shape"].split(",")])


def test_a_map_of_volumes_is_read_back_as_sums_over_channels(scans):
    """(B, D, H, W) in 8 bits; the gallery whole; the report and the gallery's figure can be made of it."""
    directory, gallery, values = scans
    run = kx.load(directory)["."]
    assert (run.probe.kind, run.probe.shape) == ("volume", SHAPE)
    recorded = run.attribution("saliency", 1).values
    assert recorded.shape == (SAMPLES, *SHAPE[:3])
    span = np.ptp(values.sum(-1))
    np.testing.assert_allclose(recorded, values.sum(-1), atol=span / 255)
    np.testing.assert_allclose(run.probe.x, gallery.x, atol=np.ptp(gallery.x) / 255)
    assert len(run.importance.names) == 5 * 6 * 8
    assert "slice " in kx.report(directory, directory / "report.html").read_text()


def test_a_large_map_of_volumes_is_written_as_means_over_boxes():
    """The longest side is halved until 2¹⁸ voxels are left; incomplete boxes at the far end are means of fewer."""
    values = np.random.default_rng(0).normal(size=(1, 7, 301, 160)).astype(np.float32)
    written = _summed(values, "volume")
    assert written.shape == (1, 7, 151, 160)
    assert written[0].size <= MAX_VOXELS < values[0].size
    np.testing.assert_allclose(written[0, 3, 5], values[0, 3, 10:12].mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(written[0, 3, 150], values[0, 3, 300], rtol=1e-6)
    assert _summed(values[:, :2], "volume").shape == (1, 2, 301, 160)
    assert _summed(values, "image").shape == (1, 7, 301)  # 160 channels


def test_segments_and_a_volume_beside_columns_are_read_back(tmp_path):
    """The probe of a run as it was, but for the rounding of its samples."""
    scan = np.random.default_rng(0).normal(size=(3, 2, 3, 4, 1)).astype(np.float32)
    probes = [
        kx.Probe(scan, groups=np.arange(24).reshape(2, 3, 4) // 5),
        kx.Probe({"scan": scan, "row": np.ones((3, 2), np.float32)}),
    ]
    for k, probe in enumerate(probes):
        writer = Writer(tmp_path / str(k) / "keras_xai")
        writer.write([probe])
        writer.close()
        (back,) = [run.probe for run in kx.load(tmp_path / str(k)).values()]
        assert (back.kind, back.features, back.shapes, back.hash) == (
            "volume",
            probe.features,
            probe.shapes,
            probe.hash,
        )


def test_the_figure_of_volumes_holds_every_slice_and_shows_one(scans):
    """A slider shows the same slice of all samples; it opens at the one with the largest share."""
    run = kx.load(scans[0])["."]
    figure = run.figure("probe_attributions")
    assert len(figure.data) == 2 * SAMPLES * 5  # a slice, and its map above it
    (slider,) = figure.layout.sliders
    assert [step.label for step in slider.steps] == ["0", "1", "2", "3", "4"]
    recorded = run.attribution("saliency", 1).values
    magnitude = np.abs(recorded).sum((2, 3))
    strongest = (magnitude / magnitude.sum(1, keepdims=True)).mean(0).argmax()
    assert slider.active == strongest
    shown = [trace for trace in figure.data if trace.visible]
    assert len(shown) == 2 * SAMPLES
    for step, label in zip(slider.steps, range(5), strict=True):
        visible = step.args[0]["visible"]
        traces = [trace for trace, is_visible in zip(figure.data, visible, strict=True) if is_visible]
        assert [trace.meta["slice"] for trace in traces] == [str(label)] * 2 * SAMPLES
    slice_of_scan, plane = figure.to_plotly_json()["data"][2 * (2 * 5 + strongest) :][:2]
    np.testing.assert_allclose(numbers(plane["z"]), recorded[2, strongest], rtol=1e-5)
    ink = np.asarray(run.probe.x[2, strongest, ..., 0], np.float64)
    darkness = 255 - numbers(slice_of_scan["z"]).astype(np.float64)
    np.testing.assert_allclose(np.corrcoef(ink.ravel(), darkness.ravel())[0, 1], 1, atol=1e-3)
    chosen = run.figure("probe_attributions", depth=4)
    assert chosen.layout.sliders[0].active == 4
    with pytest.raises(kx.InvalidInput, match="no slice '5'"):
        run.figure("probe_attributions", depth=5)


def test_a_deep_volume_is_drawn_as_means_of_neighbouring_slices():
    """At most 32 slices, and so few pixels that all samples go into the report."""
    values = np.random.default_rng(0).normal(size=(70, 200, 100))
    spans, slices = reduced_slices(values, samples=12)
    assert len(spans) == 24 <= MAX_SLICES
    assert [list(spans[0]), list(spans[-1])] == [[0, 1, 2], [69]]
    assert 12 * sum(plane.size for plane in slices) <= MAX_NUMBERS
    figure = volume_tile(LIGHT, values, samples=12, depth=4)
    assert [trace["meta"]["slice"] for trace in figure["data"] if trace["visible"]] == ["3–5"]


def test_routes_send_volumes_slice_by_slice(scans, wsgi):
    """The slices of all samples are rows, with their number in the header; a film is of one slice."""
    directory, gallery, _ = scans
    client = wsgi(directory)
    run, name = kx.load(directory)["."], directory.name
    ask = {"run": name, "method": "saliency", "epoch": 1}
    assert client.get(HOME + "index").json["runs"][0]["probe"]["kind"] == "volume"
    probe = client.get(HOME + "run", query_string={"run": name}).json["probe"]
    assert (probe["cells"], probe["depth"]) == ([5, 6, 8], 5)

    header, inputs = arrays(client.get(HOME + "inputs", query_string={"run": name}).data)
    assert header["depth"] == {"x0": 5}
    assert inputs["x0"].shape == (SAMPLES * 5, 6, 8, 2)
    low, high = gallery.x.min(), gallery.x.max()
    np.testing.assert_allclose(
        low + inputs["x0"] / 255 * (high - low), gallery.x.reshape(-1, 6, 8, 2), atol=(high - low) / 200
    )

    header, maps = arrays(client.get(HOME + "attribution", query_string=ask).data)
    recorded = run.attribution("saliency", 1).values
    assert header["depth"] == {"v0": 5}
    np.testing.assert_allclose(maps["v0"], recorded.reshape(-1, 6, 8), atol=np.ptp(recorded) / 200)
    _, one = arrays(client.get(HOME + "attribution", query_string={**ask, "sample": 2}).data)
    np.testing.assert_allclose(one["v0"], recorded[2], atol=np.ptp(recorded) / 200)

    film = {"run": name, "method": "saliency", "sample": 2}
    header, frames = arrays(client.get(HOME + "film", query_string={**film, "depth": 3}).data)
    assert header["epochs"] == [-1, 0, 1]  # the first one before training
    np.testing.assert_allclose(frames["maps"][2], recorded[2, 3], atol=1e-6)
    answer = client.get(HOME + "film", query_string={**film, "depth": 5})
    assert answer.status_code == 404
    assert "no slice 5 of 5" in answer.text


def test_the_tab_goes_through_the_slices(scans, browser, serve):
    """Each tile shows its strongest slice, the slider one of all; a click on the strip does the same."""
    tab = Tab(browser, serve(scans[0]).url)
    tab.show("Attributions")
    tiles = tab.frame.locator(".gallery .tile")
    tiles.first.wait_for()
    assert tiles.count() == SAMPLES
    recorded = np.abs(kx.load(scans[0])["."].attribution("saliency", 1).values).sum((2, 3))
    words = tab.frame.locator(".gallery .speaks").all_inner_texts()
    assert [text.split(",")[0] for text in words] == [f"slice {k}" for k in recorded.argmax(1)]
    automatic = tab.frame.get_by_role("button", name="Strongest of each sample")
    assert automatic.get_attribute("aria-pressed") == "true"

    slider = tab.frame.locator("input[aria-label=Slice]")
    map_of_second = tab.frame.locator(".gallery .tile >> nth=1").locator("canvas").last
    before = map_of_second.evaluate("canvas => canvas.toDataURL()")
    other = (recorded.argmax(1)[1] + 2) % 5
    slider.fill(str(other))
    tab.frame.locator(".gallery .speaks", has_text=f"slice {other}").nth(SAMPLES - 1).wait_for()
    assert automatic.get_attribute("aria-pressed") == "false"
    assert map_of_second.evaluate("canvas => canvas.toDataURL()") != before

    strip = tab.frame.locator(".sliced button")
    assert strip.count() == 5
    strip.nth(3).click()
    tab.frame.locator(".gallery .speaks", has_text="slice 3").nth(SAMPLES - 1).wait_for()
    assert slider.input_value() == "3"
    tab.frame.get_by_text("Slice 3 at each epoch").wait_for()
    automatic.click()
    assert automatic.get_attribute("aria-pressed") == "true"

    tab.key("c")
    tab.frame.get_by_text("Saliency: before training against epoch 1").wait_for()
    tab.frame.get_by_text("Attribution rose most in depth").wait_for()
    tab.show("Importance & drift")
    tab.frame.get_by_text("Cells by depth: from left to right, row by row.").wait_for()
    tab.page.close()
    tab.quiet()
