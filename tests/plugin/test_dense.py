"""A segmentation in the tab: which score its maps explain, and what its figures count."""

import keras
import numpy as np
import pytest

import keras_xai as kx

from .tab import Tab

layers = keras.layers
CLASSES = 12  # two more than have a key


@pytest.mark.full
def test_the_tab_names_the_region_its_units_and_the_classes_without_a_key(tmp_path, browser, serve):
    """At 1280 pixels the scale of the surrogate's effects is whole."""
    x = np.random.default_rng(0).normal(size=(132, 6, 6, 1)).astype(np.float32)
    y = np.repeat(np.arange(132) % CLASSES, 36).reshape(132, 6, 6)
    model = keras.Sequential([keras.Input((6, 6, 1)), layers.Conv2D(CLASSES, 3, padding="same", activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    probe = kx.Probe(x, y, output=kx.outputs.segmentation())
    model.fit(x, y, epochs=2, verbose=0, callbacks=[kx.Explain(tmp_path, probe, mappings=True)])
    tab = Tab(browser, serve(tmp_path).url)
    tab.show("Attributions")
    tab.frame.get_by_text("Explained: the mean score of the class over the pixels that are labelled so").wait_for()
    tab.show("Mappings")
    tab.frame.get_by_text("and 2 more").wait_for()
    tab.frame.get_by_text("believed is the mean over all pixels with a label").wait_for()
    header = tab.frame.locator(".panel > header", has_text="What the linear surrogate uses")
    scale = header.locator(".legend")
    scale.wait_for()
    assert scale.evaluate("scale => scale.scrollWidth <= scale.parentElement.clientWidth")
    assert header.locator("h3").evaluate("title => title.scrollWidth <= title.clientWidth")
    tab.page.close()
    tab.quiet()
