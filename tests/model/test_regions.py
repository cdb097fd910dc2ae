"""Where a dense output is explained, and what labels say there: of arrays alone, by definition."""

import numpy as np
import pytest

import keras_xai as kx
from keras_xai.model.dense import output_chunk, overlaps
from keras_xai.model.positions import Layout, position_labels
from keras_xai.model.region_score import BITS, encode, words_of
from keras_xai.model.regions import candidates, label_of_region, regions_of, wanted_classes
from keras_xai.model.task import Task

IMAGE, SERIES, TOKENS = (8, 6, 3), (7, 2), (7,)
CLASSES = Task("classes", 3, "logit", "probability", "softmax")
BINARY = Task("binary", 1, "logit", "probability", "sigmoid")
outputs = kx.outputs

LAYOUTS = {
    "an image": ((None, 8, 6, 4), IMAGE, {}, (8, 6), 4, 3),
    "a map without classes": ((5, 8, 6), IMAGE, {}, (8, 6), 1, None),
    "classes first": ((5, 4, 8, 6), (3, 8, 6), {"axis": 1}, (8, 6), 4, 1),
    "a series": ((5, 7, 4), SERIES, {}, (7,), 4, 2),
    "as many classes as channels": ((5, 7, 2), SERIES, {}, (7,), 2, 2),
    "one number a step": ((5, 7), SERIES, {}, (7,), 1, None),
    "tokens": ((5, 7), TOKENS, {}, (7,), 1, None),
    "a volume": ((5, 2, 8, 6, 4), (2, 8, 6, 1), {}, (2, 8, 6), 4, 4),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_layout_of_an_output(name):
    """Which of its axes are positions, and which one the classes; there and back it is the same tensor."""
    shape, inputs, options, positions, columns, axis = LAYOUTS[name]
    layout = Layout.of(shape, [inputs], outputs.segmentation(**options))
    assert (layout.positions, layout.columns, layout.axis) == (positions, columns, axis)
    array = np.random.default_rng(0).normal(size=(5, *shape[1:])).astype(np.float32)
    flat = layout.flat_array(array)
    assert flat.shape == (5, int(np.prod(positions)), columns)
    np.testing.assert_array_equal(np.asarray(layout.flat(array)), flat)
    np.testing.assert_array_equal(np.asarray(layout.unflat(flat)), array)


def test_a_row_of_scores_has_no_positions():
    """The line that names the description is to be left out."""
    with pytest.raises(kx.InvalidInput, match="one row of scores a sample: segmentation is for"):
        Layout.of((5, 10), [IMAGE], outputs.segmentation())


def test_a_region_goes_through_integers_and_back():
    """Bit by bit, whatever the number of positions is."""
    region = np.random.default_rng(0).random((4, 37)) > 0.5
    encoded = encode(np.arange(4), region)
    assert encoded.shape == (4, 1 + words_of(37))
    assert encoded.max() < 2**BITS
    bits = encoded[:, 1:, None] >> np.arange(BITS) & 1
    np.testing.assert_array_equal(bits.reshape(4, -1)[:, :37] == 1, region)


LABELS = np.array([[0, 1, 1, 2, 0, 0], [0, 0, 0, 0, 0, 0], [2, 2, 1, 0, 0, -1]])


def chosen(spec, task=CLASSES, labels=LABELS, target=None):
    layout = Layout((6, 3), (6,), 3, 2)
    left = candidates(spec, layout, labels >= 0)
    return regions_of(spec, task, left, labels, wanted_classes(spec, target, task, len(labels), None))


def test_the_class_of_most_positions_is_explained_where_it_is():
    """The background where there is nothing else; over all that counts where there is no such position."""
    regions = chosen(outputs.segmentation())
    assert regions.target.tolist() == [1, 0, 2]
    np.testing.assert_array_equal(regions.region, regions.target[:, None] == LABELS)
    named = chosen(outputs.segmentation(1))
    assert named.region.tolist() == [(LABELS[0] == 1).tolist(), [True] * 6, (LABELS[2] == 1).tolist()]
    assert chosen(outputs.tagging()).target.tolist() == [0, 0, 0]
    assert chosen(outputs.segmentation(1), target=np.array([0, 0, 2])).target.tolist() == [0, 0, 2]


def test_one_channel_is_class_1():
    """Also where it is nowhere."""
    regions = chosen(outputs.segmentation(), BINARY, np.minimum(LABELS, 1))
    assert regions.target.tolist() == [1, 1, 1]


def test_a_step_is_counted_from_the_last_that_counts():
    """From the front it is a number like any other."""
    at = lambda spec: chosen(spec).region.argmax(1).tolist()  # noqa: E731
    assert at(outputs.next_token()) == [5, 5, 4]
    assert at(outputs.next_token(step=-2)) == [4, 4, 3]
    assert at(outputs.next_token(step=[1, 2, 0])) == [1, 2, 0]
    assert chosen(outputs.next_token()).target.tolist() == [0, 0, 0]
    with pytest.raises(kx.InvalidInput, match="Step 5 of sample 2 is padding"):
        at(outputs.next_token(step=5))
    with pytest.raises(kx.InvalidInput, match="no step -6 in sample 2, which has 5 that count"):
        at(outputs.next_token(step=-6))
    with pytest.raises(kx.InvalidInput, match="no step 6 in sample 0"):
        at(outputs.next_token(step=6))


def test_a_mask_holds_for_all_or_for_each():
    """Another shape is refused, with what is expected."""
    mask = np.arange(6) < 2
    assert chosen(outputs.tagging(over=mask)).region.tolist() == [mask.tolist()] * 3
    each = np.eye(3, 6) > 0
    np.testing.assert_array_equal(chosen(outputs.tagging(over=each)).region, each)
    with pytest.raises(kx.InvalidInput, match=r"shape \(5,\): expected \(6,\) for all samples, or \(3, 6\)"):
        chosen(outputs.tagging(over=np.ones(5)))
    with pytest.raises(kx.InvalidInput, match="nothing is true for sample 1"):
        chosen(outputs.tagging(over=each & (np.arange(3) != 1)[:, None]))


def test_a_sample_of_padding_alone_is_refused():
    """By its number."""
    with pytest.raises(kx.InvalidInput, match="No pixel of sample 1 counts"):
        chosen(outputs.segmentation(), labels=np.array([[0], [-1]]).repeat(6, 1))


def test_the_label_of_a_region_is_that_of_most_of_it():
    """Of numbers it is their mean."""
    region = np.array([[0, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0]], bool)
    assert label_of_region(LABELS, region, CLASSES).tolist() == [1, 0, 2]
    number = Task("number", 1, "raw", "raw")
    means = label_of_region(LABELS[..., None], region, number)
    np.testing.assert_allclose(means, [4 / 3, 0, 5 / 3])


SHAPES = {
    "(B, H, W)": lambda y: y,
    "(B, H, W, 1)": lambda y: y[..., None],
    "(B, 1, H, W)": lambda y: y[:, None],
    "one-hot": lambda y: np.eye(3)[y],
    "floats": lambda y: y.astype(np.float32),
}


@pytest.mark.parametrize("form", SHAPES)
def test_labels_are_one_a_position(form):
    """In any of the forms that losses take."""
    y = np.random.default_rng(0).integers(0, 3, (2, 4, 5))
    layout = Layout((4, 5, 3), (4, 5), 3, 3)
    labels = position_labels(SHAPES[form](y), layout, outputs.segmentation(), CLASSES, None, None)
    np.testing.assert_array_equal(labels.classes, y.reshape(2, 20))
    assert labels.counts.all()


def test_labels_that_do_not_count():
    """Negative ones, those that the loss passes over, and those that the description names."""
    y = np.array([[[0, 1, -1, 7, 9]]])
    layout = Layout((1, 5, 3), (1, 5), 3, 3)
    labels = position_labels(y, layout, outputs.segmentation(ignore=9), CLASSES, 7, None)
    assert labels.counts.tolist() == [[True, True, False, False, False]]
    assert labels.classes.tolist() == [[0, 1, -1, -1, -1]]


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.zeros((2, 3, 3), int), r"y has shape \(2, 3, 3\), the model's output \(2, 4, 5, 3\).*one label a pixel"),
        (np.full((2, 4, 5), 0.5), "holds 0.5: a class at each pixel is a whole number"),
        (np.full((2, 4, 5), 255), "holds the class 255, the model's output has 3 classes.*ignore=255"),
    ],
)
def test_labels_that_do_not_fit(y, words):
    """With what they hold, and what is expected."""
    with pytest.raises(kx.InvalidInput, match=words):
        position_labels(y, Layout((4, 5, 3), (4, 5), 3, 3), outputs.segmentation(), CLASSES, None, None)


def test_boxes_that_overlap():
    """Intersection over union; of boxes without an area nothing."""
    boxes = np.array([[[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6], [0, 0, 0, 0]]])
    np.testing.assert_allclose(overlaps(boxes, np.array([[0, 0, 2, 2]])), [[1, 1 / 7, 0, 0]])


def test_a_pass_takes_as_many_rows_as_its_outputs_leave_room_for():
    """Of a vocabulary of 50,000 at 512 steps one row is more than 64 MiB."""
    of = lambda *shape: type("Model", (), {"outputs": [np.zeros((1, *shape), np.int8)]})()  # noqa: E731
    assert output_chunk(512, of(128, 128, 1), [(128, 128, 3)]) == 512
    assert output_chunk(512, of(256, 256, 2), [(256, 256, 3)]) == 128
    assert output_chunk(512, type("Own", (), {})(), [(7,)]) == 512
