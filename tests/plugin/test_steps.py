"""The tab on runs that count in steps, and before training."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from keras_xai.run import load
from tests.plugin.answers import HOME, arrays
from tests.plugin.tab import Tab
from tests.run_in_steps import InSteps

STEPS = list(range(10, 130, 10))
RUN = {"run": "pictures/watermark"}
MAPS = {**RUN, "method": "saliency"}


@pytest.fixture(scope="module")
def client(wsgi, stepped_directory):
    return wsgi(stepped_directory)


def answer(client, route, **query):
    return client.get(HOME + route, query_string=query)


def test_the_routes_count_updates(client):
    """Cards, stamps, joins and notes: the number of an update, and the words of its run."""
    cards = {card["name"]: card for card in client.get(HOME + "index").json["runs"]}
    watermark = cards["pictures/watermark"]
    assert (watermark["unit"], watermark["epochs"], watermark["before"]) == ("step", 12, True)
    assert (watermark["last"]["epoch"], watermark["last"]["moment"]) == (120, "step 120 of epoch 2")
    assert watermark["stamp"].startswith("12.")
    assert (cards["in_epochs"]["unit"], cards["in_epochs"]["before"]) == ("epoch", False)
    run = answer(client, "run", **RUN).json
    assert (run["epochs"], run["epoch_of"], run["ends"]) == (STEPS, [0] * 5 + [1] * 5 + [2] * 2, [50, 100])
    assert [(alert["epoch"], alert["moment"]) for alert in run["alerts"]] == [
        (70, "step 70 of epoch 1"),
        (90, "step 90 of epoch 1"),
    ]
    assert run["gradient_epochs"] == run["sources"]["live"]["epochs"] == STEPS
    assert [method["epochs"] for method in run["methods"]] == [STEPS] * 2
    assert (
        "Step 70 of epoch 1: the training data changed" in answer(client, "summary", **RUN, epoch=70).json["sentence"]
    )
    assert answer(client, "summary", **RUN, epoch=60).json["sentence"].startswith("No alert so far")
    header, _ = arrays(answer(client, "importance", **RUN, source="live").data)
    assert header["epochs"] == STEPS
    of_epochs = answer(client, "run", run="in_epochs").json
    assert (of_epochs["epochs"], of_epochs["epoch_of"], of_epochs["ends"]) == (list(range(12)), [], [])


def test_the_untrained_model_has_maps_and_outputs_of_its_own(client):
    """By the number −1; they are in no list of updates, and the first frame of a film strip."""
    header, before = arrays(answer(client, "attribution", **MAPS, epoch=-1).data)
    _, first = arrays(answer(client, "attribution", **MAPS, epoch=10).data)
    assert header["epoch"] == -1
    np.testing.assert_allclose(before["v0"], first["v0"] / 2, atol=0.01)
    header, alone = arrays(answer(client, "outputs", **MAPS, epoch=-1).data)
    _, over = arrays(answer(client, "outputs", **MAPS).data)
    assert (header["epochs"], alone["prediction"].shape) == ([-1], (1, 6))
    np.testing.assert_array_equal(alone["prediction"][0], over["prediction"][0])
    header, _ = arrays(answer(client, "film", **MAPS, sample=2).data)
    assert header["epochs"] == [-1, *STEPS]
    missing = answer(client, "attribution", run="in_epochs", method="saliency", epoch=-1)
    assert missing.status_code == 404
    assert answer(client, "summary", **RUN, epoch=-1).status_code == 400


def test_a_training_that_has_begun_is_served(client):
    """It has no update, and the methods of its untrained model."""
    card = next(card for card in client.get(HOME + "index").json["runs"] if card["name"] == "begun")
    assert (card["epochs"], card["before"], card["last"]) == (0, True, None)
    run = answer(client, "run", run="begun").json
    assert [(m["name"], m["title"], m["epochs"], m["before"]) for m in run["methods"]] == [
        ("integrated_gradients", "Integrated gradients", [], True),
        ("saliency", "Saliency", [], True),
    ]
    assert run["opens_with"] == "integrated_gradients"
    assert answer(client, "summary", run="begun").json["sentence"] == "Training has begun."


@pytest.fixture(scope="module")
def root(stepped_directory, tmp_path_factory):
    """A copy, to which a test adds a run."""
    return shutil.copytree(stepped_directory, tmp_path_factory.mktemp("copy") / "logs")


@pytest.fixture(scope="module")
def url(serve, root):
    return serve(root).url


def test_the_slider_stops_at_updates_and_before_training(browser, url):
    """Twelve stops and one before them, by keyboard; only the gallery has something to show there, and compares it."""
    tab = Tab(browser, url)
    tab.focus("pictures/watermark")
    tab.frame.get_by_text("Step 120 of epoch 2", exact=True).wait_for()
    tab.show("Attributions")
    tab.frame.get_by_text("Saliency · step 120 of epoch 2").wait_for()
    tile = tab.frame.locator(".tile canvas").nth(1)
    trained = tile.evaluate("(canvas) => canvas.toDataURL()")
    tab.key("ArrowLeft")
    assert tab.epoch == 110
    tab.key("Home")
    tab.frame.get_by_text("Saliency · before training").wait_for()
    tab.frame.get_by_text("Before training", exact=True).wait_for()
    assert tab.epoch == -1
    assert tab.frame.locator(".tile canvas").nth(1).evaluate("(canvas) => canvas.toDataURL()") != trained
    assert tab.frame.locator(".film button").count() == 13
    for view in ("Overview", "Weight gradients", "Importance & drift"):
        tab.show(view)
        tab.frame.get_by_text(
            "Before training this view has no record: step 10 of epoch 0, the first, is shown."
        ).wait_for()
    tab.key("ArrowRight")
    assert tab.epoch == 10
    assert tab.frame.locator(".remark").count() == 0
    tab.key("End", "c")
    tab.frame.get_by_label("The first step").select_option("Untrained")
    tab.frame.get_by_text("Saliency: before training against step 120").wait_for()
    tab.page.close()
    tab.quiet()


def test_runs_of_different_units_are_kept_apart(browser, url):
    """A ticked run that counts in epochs is named, and no line of it is drawn."""
    tab = Tab(browser, url)
    tab.focus("columns")
    tab.show("Importance & drift")
    tab.drawn(2)
    tab.frame.locator(".runs [data-key='tick in_epochs']").click()
    tab.frame.get_by_text("in_epochs counts in epochs and is not laid over columns, which counts in steps.").wait_for()
    tab.frame.locator(".runs [data-key='tick pictures/clean']").click()
    keys = tab.frame.locator(".panel", has_text="Drift score").locator("header .key")
    keys.filter(has_text="pictures/clean").wait_for()
    assert keys.filter(has_text="in_epochs").count() == 0
    tab.page.close()
    tab.quiet()


def test_a_training_is_seen_from_its_first_seconds_on(browser, url, root, told_directory):
    """The untrained model's tiles come first; then an update inside epoch 0, which the slider follows."""
    live = InSteps(load(told_directory)["columns"], root / "live")
    tab = Tab(browser, url)
    tab.focus("live")
    tab.frame.get_by_text("Training has begun").wait_for()
    tab.frame.get_by_role("button", name="See the maps of before training").click()
    tab.frame.get_by_text("Integrated gradients · before training").wait_for()
    assert tab.frame.locator("main .tile").count() == 6
    live.write(0)
    tab.frame.get_by_text("Step 10 of epoch 0", exact=True).wait_for()
    tab.frame.get_by_text("Integrated gradients · step 10 of epoch 0").wait_for()
    tab.page.close()
    tab.quiet()
    live.read()
