"""What is explained of an output, in words: at the maps of the tab and in the report, also of a run that is read back."""

import numpy as np
import pytest

import keras_xai as kx
from keras_xai.outputs.words import explained_words, unit_word
from keras_xai.page.run_section import explained_of
from keras_xai.plugin import payload
from keras_xai.summary.writer import Writer

outputs = kx.outputs
WORDS = [
    (None, ""),
    ("head", ""),
    (lambda model, x: model(x), ""),
    (
        outputs.segmentation(),
        "the mean score of the class over the pixels that are labelled so; over all pixels where none is",
    ),
    (outputs.segmentation(over="predicted"), "over the pixels that the model reads so; over all pixels where none is"),
    (outputs.segmentation(over=np.ones((4, 4))), "the mean score of the class over the pixels of a mask"),
    (outputs.tagging(), "over the tokens that are labelled so"),
    (outputs.tagging(step=2), "the score of the class at step 2"),
    (outputs.next_token(), "the score of the token at the last step"),
    (outputs.next_token(step=-3), "at step -3, counted from the end"),
    (outputs.next_token(step=[1, 2]), "at one step of each sample"),
    (outputs.detection(), "the score of the class at the box where it is most probable"),
    (outputs.detection(box=7), "at box 7"),
    (outputs.detection(box=[1, 2]), "at one box of each sample, by its number"),
    (outputs.detection(box=[0.0, 0, 4, 4], boxes="boxes"), "at the box that overlaps [0.0, 0.0, 4.0, 4.0] most"),
    (outputs.layer("hidden", unit=3), "unit 3 of the layer hidden"),
    (outputs.layer("block", unit=(2, 5, 3)), "unit 3 of the layer block at (2, 5)"),
    (outputs.layer("hidden"), "a unit of the layer hidden"),
]


@pytest.mark.parametrize(("output", "words"), WORDS)
def test_the_score_that_is_explained_is_named(output, words):
    """Nothing is said of a class of the sample."""
    text = explained_words(output, has_labels=True)
    assert text.endswith(words) or words in text
    assert bool(text) == bool(words)


def test_without_labels_the_region_is_the_models_and_volumes_have_voxels():
    """The default of `over` follows from the probe, and so do the words."""
    words = explained_words(outputs.segmentation(), has_labels=False, kind="volume")
    assert words == "the mean score of the class over the voxels that the model reads so; over all voxels where none is"
    assert [unit_word("pixel", "image"), unit_word("token", "volume")] == ["pixel", "token"]


def test_the_words_are_written_and_read_back(tmp_path):
    """The tab and the report have them of a run on disk, whose output is a text."""
    probe = kx.Probe(np.zeros((3, 4, 4, 1)), np.zeros((3, 4, 4), int), kind="image", output=outputs.segmentation())
    for name, written in (("dense", probe), ("plain", kx.Probe(np.zeros((3, 4, 4, 1)), [0, 1, 0], kind="image"))):
        writer = Writer(tmp_path / name / "keras_xai")
        writer.write([written])
        writer.close()
    runs = kx.load(tmp_path)
    assert runs["dense"].probe.explained == probe.explained != ""
    assert payload.probe(runs["dense"].probe)["explained"] == probe.explained
    assert probe.explained in explained_of(runs["dense"])
    assert (runs["plain"].probe.explained, explained_of(runs["plain"])) == ("", "")
