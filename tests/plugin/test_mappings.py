"""The view of mappings: its route, and the tab as a person uses it."""

from __future__ import annotations

import numpy as np
import pytest

from keras_xai.analysis.mappings import aligned_coordinates
from keras_xai.probe import Probe
from keras_xai.records import Attribution, Epoch
from keras_xai.run import load
from keras_xai.summary.writer import Writer
from tests.mapping.mapping_records import LAYERS, mappings_of
from tests.plugin.answers import HOME, arrays
from tests.plugin.tab import Tab

RUN = "mapped"
SAMPLES, EPOCHS = 12, 8


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A run of twelve samples in three classes, of which the gallery shows the first two of each."""
    root = tmp_path_factory.mktemp("mapped")
    writer = Writer(root / RUN / "keras_xai")
    x = np.random.default_rng(0).random((SAMPLES, 4, 4, 1), "float32")
    probe = Probe(x, np.arange(SAMPLES) % 3, class_names=["<b>cat</b>", "dog", "owl"]).gallery(6)
    writer.write([probe])
    for epoch in range(EPOCHS):
        outputs = np.eye(3, dtype="f4")[probe.y]
        maps = np.random.default_rng(epoch).random((6, 4, 4)).astype("f4")
        found = Attribution(
            "saliency", maps, probe.y, np.ones(6, "f4"), None, probe.y, None, "logit", outputs, epoch, "image"
        )
        writer.write([mappings_of(epoch, SAMPLES), found, Epoch(epoch, 10.0 * epoch, 10.0, 0.1, 1e-3, {"loss": 1.0})])
    writer.close()
    return root


@pytest.fixture(scope="module")
def client(wsgi, directory):
    return wsgi(directory)


def test_the_route_holds_the_map_of_a_layer(client, directory):
    """Places turned towards the last epoch, what each sample is taken for, and which rows the gallery shows."""
    run = load(directory)[RUN]
    header, found = arrays(client.get(HOME + "mapping", query_string={"run": RUN, "layer": "stem/conv"}).data)
    assert (header["layer"], header["layers"], header["epochs"]) == ("stem/conv", [*LAYERS], list(range(EPOCHS)))
    assert header["classes"] == ["<b>cat</b>", "dog", "owl"]
    np.testing.assert_allclose(found["places"], aligned_coordinates(run.mappings, 0), atol=1e-5)
    np.testing.assert_array_equal(found["prediction"], [record.result.prediction for record in run.mappings])
    np.testing.assert_array_equal(found["label"], np.arange(SAMPLES) % 3)
    np.testing.assert_array_equal(found["held_out"], np.arange(SAMPLES) >= 8)
    assert header["gallery"] == [0, 3, 1, 4, 2, 5]  # the first two of each class
    samples, first = run.samples, header["suspects"][0]
    order = np.argsort(samples.label_quality, kind="stable").tolist()
    assert [suspect["row"] for suspect in header["suspects"]] == order
    figures = (samples.label_quality, samples.mean_confidence, samples.label_support)
    named = [first[name] for name in ("quality", "confidence", "support")]
    assert named == pytest.approx([values[order[0]] for values in figures], rel=1e-6)
    assert header["unit"] == ""  # one answer a sample
    assert client.get(HOME + "mapping", query_string={"run": RUN}).status_code == 200


def test_what_is_not_there_is_said(client, wsgi, told_directory):
    """An unknown layer is a 400 with close matches; a run without mappings has no epochs of them."""
    answer = client.get(HOME + "mapping", query_string={"run": RUN, "layer": "stem/con"})
    assert (answer.status_code, "Did you mean 'stem/conv'" in answer.text) == (400, True)
    answer = wsgi(told_directory).get(HOME + "mapping", query_string={"run": "columns"})
    assert arrays(answer.data) == ({"epochs": [], "arrays": []}, {})


@pytest.fixture(scope="module")
def tab(browser, serve, directory):
    opened = Tab(browser, serve(directory).url)
    opened.show("Mappings")
    yield opened
    opened.page.close()
    opened.quiet()


def picture(tab):
    return tab.frame.locator("canvas.layer-map").evaluate("(canvas) => canvas.toDataURL()")


def test_the_map_moves_with_the_slider(tab):
    """Another epoch, another layer or another colouring is another picture; the panels stand below."""
    tab.frame.get_by_role("heading", name="Samples in head/hidden (principal components)").wait_for()
    tab.drawn(8)
    seen = {picture(tab)}
    for step in (
        lambda: tab.key("Home"),
        lambda: tab.key("ArrowRight"),
        lambda: tab.frame.get_by_role("button", name="Predicted").click(),
    ):
        step()
        tab.page.wait_for_timeout(300)
        seen.add(picture(tab))
    tab.frame.get_by_label("Layer", exact=True).select_option("stem/conv")
    tab.frame.get_by_role("heading", name="Samples in stem/conv (principal components)").wait_for()
    seen.add(picture(tab))
    assert len(seen) == 5
    assert tab.frame.get_by_text("<b>cat</b>").first.is_visible()


def test_a_suspicious_label_leads_to_the_sample(tab):
    """A click on one that the gallery holds opens its attributions; the others are named without a way."""
    assert tab.frame.locator(".suspects tr").count() == 1 + SAMPLES
    ways = tab.frame.locator(".suspects button")
    assert ways.count() == 6
    row = int(ways.first.inner_text().split()[1])
    ways.first.click()
    sample = [0, 3, 1, 4, 2, 5].index(row)
    tab.frame.get_by_role("heading", name=f"Sample {sample}: true class").wait_for()
    assert tab.frame.locator(".tile[aria-pressed=true]").get_attribute("data-key") == f"sample {sample}"
    tab.show("Mappings")


def test_a_run_without_mappings_says_which_line_would_help(browser, serve, told_directory):
    """The view names the callback."""
    tab = Tab(browser, serve(told_directory).url)
    tab.focus("columns")
    tab.show("Mappings")
    tab.frame.get_by_text("kx.ProbeMappings(log_dir, probe)").wait_for()
    tab.page.close()
    tab.quiet()


def test_outputs_that_are_not_finite_are_no_class_and_no_place():
    """Of NaN nothing is read: the last epoch before is shown, and the map is turned towards that one."""
    from types import SimpleNamespace

    from keras_xai.analysis.mappings import at_epoch, has_prediction

    turn = np.array([[0.0, 1], [-1, 0]])
    where = np.array([[1.0, 0], [0, 2], [-1, -2]])

    def record(epoch, coordinates, logits):
        features = SimpleNamespace(coordinates=np.asarray([coordinates], np.float16))
        return SimpleNamespace(
            update=epoch, features=features, result=SimpleNamespace(logits=np.asarray(logits, np.float16))
        )

    one, nan = np.ones((3, 2)), np.full((3, 2), np.nan)
    records = [record(0, where @ turn, one), record(1, where, one), record(2, 0 * where, nan)]
    assert [at_epoch(records, epoch) for epoch in (0, 1, 2, None)] == [0, 1, 1, 1]
    np.testing.assert_array_equal(has_prediction(records[2].result), [False] * 3)
    found = aligned_coordinates(records, 0)
    np.testing.assert_allclose(found[:2], [where, where], atol=1e-6)
    assert np.isnan(found[2]).all()
