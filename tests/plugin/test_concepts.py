"""The panels of concepts in the tab: what is said of each concept, as the run stood, and which layers tell it."""

from __future__ import annotations

import pytest

from keras_xai.probe import Probe
from keras_xai.records import Epoch
from keras_xai.summary.writer import Writer
from tests.mapping.mapping_records import mappings_of
from tests.plugin.tab import Tab
from tests.summary.concept_records import concepts_over

SIZE, EPOCHS = 12, 5


@pytest.fixture(scope="module")
def tab(browser, serve, tmp_path_factory):
    """Five epochs, in the last three of which the model uses the first of two concepts."""
    root = tmp_path_factory.mktemp("concepts")
    writer = Writer(root / "run" / "keras_xai")
    writer.write([Probe([[float(row), 1.0] for row in range(SIZE)], [row % 3 for row in range(SIZE)])])
    for epoch, concepts in enumerate(concepts_over([0, 0, 1, 1, 1])):
        writer.write([mappings_of(epoch, SIZE), concepts, Epoch(epoch, 10.0 * epoch, 10.0, 0.1, 1e-3, {"loss": 1.0})])
    writer.close()
    opened = Tab(browser, serve(root, "python").url)
    opened.show("Mappings")
    yield opened
    opened.page.close()
    opened.quiet()


def test_a_sentence_on_each_concept_follows_the_slider(tab):
    """Whole sentences with names as they were given, never cut into one another."""
    panel = tab.frame.locator(
        ".panel", has=tab.frame.get_by_role("heading", name="What the model says along a concept")
    )
    panel.locator(".findings").wait_for()
    used, unread = panel.locator(".findings li").all_inner_texts()
    assert used == "The model uses “<b>mark</b>” since epoch 2: for class 2, +2.5 log-odds at h2."
    assert unread.startswith("No layer can tell “nothing”: a linear readout tells 40 examples")
    assert unread.endswith("so there is no effect to measure.")
    tab.key("Home")
    panel.locator(".findings li", has_text="The model is not shown to use “<b>mark</b>”").wait_for()


def test_the_layers_that_tell_a_concept_are_a_heat_map(tab):
    """From chance to 100 %, a row for each concept and layer."""
    panel = tab.frame.locator(".panel", has=tab.frame.get_by_role("heading", name="Layers that tell a concept"))
    panel.locator(".main-svg").first.wait_for()
    scale = panel.locator("header").inner_text()
    assert ("chance" in scale, "100 %" in scale) == (True, True)
    labels = panel.locator(".ytick text").all_text_contents()
    assert labels == ["<b>mark</b>: h1", "<b>mark</b>: h2", "nothing: h1", "nothing: h2"]
