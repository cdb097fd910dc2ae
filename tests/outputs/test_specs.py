"""A description says what it is: as text, which a probe's hash and its record hold; and refuses what it cannot be."""

import numpy as np
import pytest

import keras_xai as kx

MASK = np.eye(4, dtype=bool)
outputs = kx.outputs

SAID = {
    "segmentation()": lambda: outputs.segmentation(),
    "segmentation(target=2, over='label')": lambda: outputs.segmentation(2, "label"),
    "segmentation(target='liver', background=None)": lambda: outputs.segmentation("liver", background=None),
    "segmentation(ignore=255, axis=1, output='mask')": lambda: outputs.segmentation(ignore=255, axis=1, output="mask"),
    "tagging(target=1, step=-2, padding=0)": lambda: outputs.tagging(1, step=-2, padding=0),
    "next_token()": lambda: outputs.next_token(),
    "next_token(token=3, step=2)": lambda: outputs.next_token(np.int64(3), np.int64(2)),
    "detection(target=1, box=7)": lambda: outputs.detection(target=1, box=7),
    "detection(classes=slice(4, None, None))": lambda: outputs.detection(classes=slice(4, None)),
}
REFUSED = {
    "a class below zero": (lambda: outputs.segmentation(-1), "classes count from 0"),
    "half a class": (lambda: outputs.segmentation(1.5), "a class as an integer or by its name"),
    "a truth value": (lambda: outputs.segmentation(True), "a class as an integer"),
    "a word for a region": (lambda: outputs.segmentation(over="labels"), "expected 'label', 'predicted' or a mask"),
    "numbers for a mask": (lambda: outputs.segmentation(over=np.full((4, 4), 2)), r"shape \(4, 4\).*truth"),
    "a mask of nothing": (lambda: outputs.segmentation(over=~MASK & MASK), "nothing is true"),
    "the axis of the samples": (lambda: outputs.segmentation(axis=0), "0 is that of the samples"),
    "a background by name": (lambda: outputs.segmentation(background="sky"), "expected a class, or None"),
    "an output that is none": (lambda: outputs.tagging(output=1.0), "name or the number of one"),
    "a step and a region": (lambda: outputs.tagging(step=1, over="label"), "give one of them"),
    "half a step": (lambda: outputs.next_token(step=0.5), "expected the number of a step"),
    "a word for a box": (lambda: outputs.detection(box="first"), "expected 'best'"),
    "coordinates of nothing": (lambda: outputs.detection(box=[0.0, 0, 1, 1]), "name it with boxes="),
    "three coordinates": (lambda: outputs.detection(box=[0.0, 0, 1], boxes="boxes"), r"coordinates \(4,\)"),
    "a list of outputs": (lambda: outputs.detection(classes=["a"]), "by name or number, or a slice"),
}


@pytest.mark.parametrize("text", SAID)
def test_its_text_is_the_call_that_makes_it(text):
    """What is as by default is left out; two that say the same are one, and have one hash."""
    spec = SAID[text]()
    assert str(spec) == repr(spec) == text
    assert spec == SAID[text]()
    assert len({spec, SAID[text](), outputs.segmentation(1, output="another")}) == 2


def test_a_mask_is_told_by_what_it_holds():
    """Not by the array; it is the same for the same entries."""
    spec = outputs.segmentation(over=MASK)
    assert spec == outputs.segmentation(over=MASK.astype(int))
    assert spec != outputs.segmentation(over=MASK[::-1])
    assert "over=<bool (4, 4) " in str(spec)


@pytest.mark.parametrize("fault", REFUSED)
def test_what_cannot_be_is_refused_where_it_is_written(fault):
    """Before there is a model."""
    make, words = REFUSED[fault]
    with pytest.raises(kx.InvalidInput, match=words):
        make()


def test_of_some_samples_it_says_what_is_theirs():
    """A mask, a class or a step for each goes with its sample; what holds for all stays."""
    rows = np.array([2, 0])
    each, step = np.arange(3), np.array([1, 2, 3])
    masks = np.arange(12).reshape(3, 2, 2) % 2 > 0
    spec = outputs.segmentation(each, masks).of_rows(rows, 2)
    assert spec.target.tolist() == [2, 0]
    np.testing.assert_array_equal(spec.over, masks[rows])
    assert outputs.next_token(step=step).of_rows(rows, 1).position.tolist() == [3, 1]
    shared = outputs.segmentation(1, MASK)
    assert shared.of_rows(rows, 2) is shared
    boxes = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(outputs.detection(box=boxes, boxes=0).of_rows(rows, 2).position, boxes[rows])


def test_a_probe_says_it():
    """In its hash; labels are one a position, and no classes before a model is there."""
    x, y = np.zeros((3, 4, 4, 1), np.float32), np.eye(4, dtype=int)[None].repeat(3, 0)
    probes = [kx.Probe(x, y, output=outputs.segmentation(target)) for target in (None, 1)]
    again = kx.Probe(x, y, output=outputs.segmentation(1))
    assert probes[0].hash != probes[1].hash == again.hash
    assert probes[1].y.shape == (3, 4, 4)
    assert probes[1].classes is None


def test_a_gallery_takes_samples_with_and_without_the_class():
    """As many of each as there are."""
    y = np.zeros((8, 4, 4), int)
    y[5:, 1, 1] = 1
    probe = kx.Probe(np.zeros((8, 4, 4, 1), np.float32), y, output=outputs.segmentation(1))
    assert probe.gallery(4).y.any((1, 2)).tolist() == [False, False, True, True]


def test_tags_are_text():
    """(B, T) words become integers, each in its place."""
    tags = [["O", "PER"], ["LOC", "O"]]
    probe = kx.Probe(np.array([[1, 2], [3, 4]]), tags, kind="tokens", output=outputs.tagging("PER"))
    assert probe.class_names == ("LOC", "O", "PER")
    assert probe.y.tolist() == [[1, 2], [0, 1]]
