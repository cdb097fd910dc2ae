"""The words of instruments in the tab: training checks in the overview, checks of maps in the gallery."""

from __future__ import annotations

import numpy as np
import pytest

from keras_xai.probe import Probe
from keras_xai.records import Attribution, Epoch, MapCheck
from keras_xai.summary.writer import Writer
from keras_xai.training_records import Copies, DataScreen, TrainingFlag, TrainingFlags
from keras_xai.updates import BEFORE
from tests.plugin.tab import Tab

NAMES = ["<b>age</b>", "leak"]
ROWS = 4


def flags(epoch):
    """An overfit from epoch 1 on, and a rule that could not be judged."""
    flag = TrainingFlag("model", "overfit", 1, 0.2, 0.1, "val_loss has <i>risen</i>", "stop at epoch 0")
    return TrainingFlags(epoch, (flag,) if epoch else (), {"neglected class": "the probe has no labels"})


def write(root):
    """Two epochs of two methods: the maps of one fail their last check, those of the other pass."""
    writer = Writer(root / "run" / "keras_xai")
    probe = Probe(np.zeros((ROWS, 2), "f4"), np.arange(ROWS) % 2, feature_names=NAMES)
    screen = DataScreen(
        BEFORE, NAMES, [0.6, 0.99], "AUC", [0, 1], [False, False], (Copies(tuple(NAMES)),), 64, "live rows"
    )
    writer.write([probe.gallery(ROWS), screen])
    zeros, ones = np.zeros(ROWS, int), np.ones(ROWS, "f4")
    for epoch in range(2):
        for method, moved in (("saliency", 0.1 + 0.3 * epoch), ("input_x_gradient", 0.05)):
            values, outputs = np.ones((ROWS, 2), "f4"), np.ones((ROWS, 2), "f4")
            maps = Attribution(method, values, zeros, ones, None, zeros, None, "logit", outputs, epoch, "table")
            check = MapCheck(epoch, method, np.linspace(0.2, 0.3, ROWS), np.full(ROWS, moved), 0.02, 2, 4)
            writer.write([maps, check])
        writer.write([flags(epoch), Epoch(epoch, 10.0 * epoch, 10.0, 0.1, 1e-3, {"loss": 1.0})])
    writer.close()


@pytest.fixture(scope="module")
def tab(browser, serve, tmp_path_factory):
    root = tmp_path_factory.mktemp("instruments")
    write(root)
    opened = Tab(browser, serve(root, "python").url)
    yield opened
    opened.page.close()
    opened.quiet()


def test_the_overview_lists_what_the_training_breaks(tab):
    """The rule in bold, with what was measured and what to do; what was not judged; the screen. Names stay text."""
    tab.show("Overview")
    items = tab.frame.locator(".checks li")
    items.first.wait_for()
    flag, unjudged, screen = items.all_inner_texts()
    assert flag == "Overfit since epoch 1: val_loss has <i>risen</i>: stop at epoch 0."
    assert unjudged == "Not judged: neglected class (the probe has no labels)."
    assert screen.startswith("Screen of 2 columns in 64 live rows, no alarm: leak (AUC 0.990) alone tells the label")
    assert screen.endswith("copies of each other: <b>age</b> = leak.")
    assert items.first.locator("b").inner_text() == "Overfit since epoch 1"


def test_the_gallery_says_whether_its_maps_passed(tab):
    """At each epoch what the check up to then says, an alarm where it failed; the list of methods marks what fails."""
    tab.show("Attributions")
    options = tab.frame.locator("select option").all_inner_texts()
    assert [text for text in options if "fails" in text] == ["Saliency: fails"]
    tab.frame.locator("select").first.select_option("saliency")
    words = tab.frame.locator(".note", has_text="on this model")
    words.wait_for()
    assert "alarm" in words.get_attribute("class").split()
    assert words.inner_text().startswith("Fails on this model (epoch 1). It does not stay;")
    assert "moves its maps by 40\xa0% of their size" in words.inner_text()
    tab.key("ArrowLeft")
    passed = tab.frame.locator(".note", has_text="Passes its checks (epoch 0)")
    passed.wait_for()
    assert "deletion: the score falls" in passed.inner_text()
    assert passed.get_attribute("class") == "note"
