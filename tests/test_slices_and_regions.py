"""The slices and the region of a probe: what they may be, what is refused, and what keeps them."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest

from keras_xai.errors import InvalidInput
from keras_xai.probe import Probe
from keras_xai.probe.description import describe, probe_of

TABLE = np.arange(12, dtype=np.float32).reshape(4, 3)
IMAGES = np.zeros((6, 8, 5, 1), np.float32)
OLD_HASHES = ["3a21b259564a7c91", "1c52848b7a16f641", "2c278995e77871f6", "caa7bb666861d4b0", "c08cec71f39c6b97"]
HOSPITAL = ["south", "north", "south", "west"]


@pytest.mark.parametrize(
    ("values", "labels", "codes"),
    [
        (HOSPITAL, ("north", "south", "west"), [1, 0, 1, 2]),
        (np.array(HOSPITAL), ("north", "south", "west"), [1, 0, 1, 2]),
        (np.array(HOSPITAL, object), ("north", "south", "west"), [1, 0, 1, 2]),
        (np.array(HOSPITAL)[:, None], ("north", "south", "west"), [1, 0, 1, 2]),
        ([10, 9, 10, 2], ("2", "9", "10"), [2, 1, 2, 0]),
        (np.array([1.0, 0.0, 1.0, 1.0]), ("0", "1"), [1, 0, 1, 1]),
        ([True, False, True, True], ("False", "True"), [1, 0, 1, 1]),
        (pd.Series(HOSPITAL), ("north", "south", "west"), [1, 0, 1, 2]),
        (pd.Series(HOSPITAL, dtype="string"), ("north", "south", "west"), [1, 0, 1, 2]),
        (pd.Series([3, 1, 1, 3], dtype="Int64"), ("1", "3"), [1, 0, 0, 1]),
        (pd.Categorical(HOSPITAL, ["west", "east", "south", "north"]), ("west", "south", "north"), [1, 2, 1, 0]),
        (pd.Series(pd.Categorical(HOSPITAL, ["west", "south", "north"])), ("west", "south", "north"), [1, 2, 1, 0]),
        (pd.cut(np.array([1, 20, 3, 40]), [0, 10, 50]), ("(0, 10]", "(10, 50]"), [0, 1, 0, 1]),
        (pd.DataFrame({"h": HOSPITAL}), ("north", "south", "west"), [1, 0, 1, 2]),
        (pl.Series(HOSPITAL), ("north", "south", "west"), [1, 0, 1, 2]),
        (pl.Series(HOSPITAL, dtype=pl.Categorical), ("north", "south", "west"), [1, 0, 1, 2]),
        (np.array([b"a", b"b", b"a", b"a"]), ("a", "b"), [0, 1, 0, 0]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_slice_is_whatever_says_one_value_a_row(values, labels, codes):
    """Categories in their order, numbers by size, all else sorted; as text, with a number a row."""
    (part,) = Probe(TABLE, slices={"hospital": values}).slices.values()
    assert part.labels == labels
    assert part.codes.tolist() == codes
    assert part.codes.dtype == np.int64


@pytest.mark.parametrize(
    ("slices", "words"),
    [
        (
            {"hospital": HOSPITAL[:3]},
            r"slices\['hospital'\] has 3 values, x has 4 samples: give one value for each row",
        ),
        ({"hospital": np.zeros((4, 2), int)}, r"slices\['hospital'\] has shape \(4, 2\), x has 4 samples"),
        ({"hospital": "south"}, r"slices\['hospital'\] has shape \(\), x has 4"),
        ({"hospital": ["a", None, "b", None]}, "2 missing values in 4 rows: give them a value of their own"),
        ({"hospital": pd.Series(["a", None, "b", "c"])}, "1 missing values"),
        ({"hospital": pd.Categorical(["a", None, "b", "c"])}, "1 missing values"),
        ({"hospital": pd.Series([1, pd.NA, 2, 3], dtype="Int64")}, "1 missing values"),
        ({"hospital": pl.Series(["a", None, "b", "c"])}, "1 missing values"),
        ({"hospital": [0.0, np.nan, 1.0, 1.0]}, "1 missing values"),
        ({"age": [0.5, 1.0, 2.0, 3.0]}, "not whole: a slice has a few values; cut them into ranges"),
        ({"hospital": ["a", 1, "b", 2]}, "int and str"),
        ({"hospital": pd.Categorical([1, "1", 2, 3])}, "different values that read alike, '1'"),
        ({"hospital": np.array(["2020-01-01"] * 4, "datetime64[D]")}, "dtype datetime64"),
        ({"hospital": np.zeros(4, complex)}, "dtype complex"),
        ({"hospital": [["a"], ["b", "c"], ["d"], ["e"]]}, r"slices\['hospital'\]"),
        ({"hospital": pd.DataFrame({"a": HOSPITAL, "b": HOSPITAL})}, "columns 'a', 'b': give each as a slice"),
        (HOSPITAL, "slices is a list: expected a dict"),
        ({3: HOSPITAL}, "slices has the name 3: expected text"),
        ({"": HOSPITAL}, "slices has the name ''"),
        ({f"s{k}": HOSPITAL for k in range(33)}, "slices has 33 entries: at most 32"),
    ],
)
def test_slices_that_do_not_fit_are_refused_at_once(slices, words):
    """With the name of the slice, both lengths, and what to do."""
    with pytest.raises(InvalidInput, match=words):
        Probe(TABLE, slices=slices)


def test_a_slice_has_at_most_64_values():
    """Of more the rows of each say nothing."""
    x = np.zeros((65, 2), np.float32)
    assert len(Probe(x, slices={"id": np.arange(65) % 64}).slices["id"].labels) == 64
    with pytest.raises(InvalidInput, match="65 different values in 65 rows: at most 64 are recorded; put those"):
        Probe(x, slices={"id": np.arange(65)})


def mask_of_rows() -> np.ndarray:
    """A mask of its own for each of six images."""
    return np.random.default_rng(0).random((6, 8, 5)) < 0.3


@pytest.mark.parametrize("dtype", [bool, int, np.uint8, float])
def test_a_region_is_a_mask_for_each_image_or_for_all(dtype):
    """True inside, whatever dtype says it."""
    each = mask_of_rows()
    assert Probe(IMAGES).region is None
    region = Probe(IMAGES, region=each.astype(dtype)).region
    assert region.dtype == bool
    np.testing.assert_array_equal(region, each)
    np.testing.assert_array_equal(Probe(IMAGES, region=each[0].astype(dtype)).region, np.stack([each[0]] * 6))
    np.testing.assert_array_equal(Probe(IMAGES, region=each.astype(dtype).tolist()).region, each)


def test_boxes_hold_their_pixels_without_the_last_row_and_column():
    """As a slice of the image would."""
    boxes = np.array([[0, 0, 8, 5], [1, 2, 3, 4], [7, 4, 8, 5], [0, 0, 1, 1], [2, 0, 8, 1], [3, 3, 5, 5]])
    expected = np.zeros((6, 8, 5), bool)
    for row, (top, left, bottom, right) in enumerate(boxes):
        expected[row, top:bottom, left:right] = True
    np.testing.assert_array_equal(Probe(IMAGES, region=boxes).region, expected)
    np.testing.assert_array_equal(Probe(IMAGES, region=boxes.astype(float)).region, expected)
    channels_first = np.zeros((6, 3, 8, 5), np.float32)
    np.testing.assert_array_equal(Probe(channels_first, region=boxes).region, expected)


def test_four_images_of_four_pixels_a_row_may_have_a_mask():
    """(4, 4) of truth values, or of 0 and 1, is a mask; other numbers are boxes."""
    x = np.zeros((4, 4, 4, 1), np.float32)
    mask = np.eye(4)
    np.testing.assert_array_equal(Probe(x, region=mask).region, np.stack([mask.astype(bool)] * 4))
    assert Probe(x, region=[[0, 0, 2, 2]] * 4).region.sum() == 16


@pytest.mark.parametrize(
    ("x", "region", "words"),
    [
        (IMAGES, np.ones((6, 5, 8)), r"region has shape \(6, 5, 8\), x has 6 images of \(8, 5\)"),
        (IMAGES, np.ones((5, 8, 5)), r"region has shape \(5, 8, 5\), x has 6 images"),
        (IMAGES, np.ones((6, 8, 5, 1)), r"shape \(6, 8, 5, 1\)"),
        (IMAGES, np.ones((5, 4)), r"region has shape \(5, 4\), .*boxes .* of shape \(6, 4\)"),
        (IMAGES, np.full((8, 5), 2), "values other than 0 and 1"),
        (IMAGES, np.full((8, 5), np.nan), "values other than 0 and 1"),
        (IMAGES, np.zeros((8, 5)), "is empty: no pixel is inside"),
        (
            IMAGES,
            [[0, 0, 8, 5]] * 5 + [[0, 0, 9, 5]],
            r"region\[5\] is the box \(0, 0, 9, 5\).*bottom <= 8 .*right <= 5",
        ),
        (IMAGES, [[0, 0, 8, 5]] * 5 + [[3, 0, 3, 5]], r"region\[5\] is the box"),
        (IMAGES, [[0, 0, 8, 5]] * 5 + [[-1, 0, 3, 5]], r"region\[5\] is the box"),
        (IMAGES, [[0, 0, 8, 5]] * 5 + [[0.5, 0, 3, 5]], r"region\[5\] is the box"),
        (IMAGES, [[0, 0, 8, 5]] * 5 + [[np.nan, 0, 3, 5]], r"region\[5\] is the box"),
        (IMAGES, [["a"]], "dtype <U1"),
        (IMAGES, [[1], [1, 0]], "rows of different lengths"),
        (TABLE, np.ones((4, 3)), "region is a part of images or volumes, the probe is of kind 'table'"),
    ],
)
def test_a_region_that_does_not_fit_is_refused_at_once(x, region, words):
    """With both shapes, and what is expected."""
    with pytest.raises(InvalidInput, match=words):
        Probe(x, region=region)


def test_a_region_waits_for_the_kind():
    """(B, 28, 28) may be a series: the mask is checked once a model says that they are images."""
    x, region = np.zeros((6, 28, 20), np.float32), np.ones((28, 20), bool)
    probe = Probe(x, region=region)
    assert (probe.kind, probe.region) == ("", None)
    assert probe.of_kind("image").region.shape == (6, 28, 20)
    assert probe.of_kind("image").hash == Probe(x, kind="image", region=region).hash
    assert probe.gallery(2).of_kind("image").region.shape == (2, 28, 20)
    with pytest.raises(InvalidInput, match="kind 'series'"):
        probe.of_kind("series")
    with pytest.raises(InvalidInput, match=r"shape \(20, 28\), x has 6 images of \(28, 20\)"):
        Probe(x, region=region.T).of_kind("image")
    of_rows = np.arange(6 * 28 * 20).reshape(6, 28, 20) % 3 == 0
    rows = Probe(x, [0, 1, 0, 1, 0, 1], region=of_rows).gallery(4).of_kind("image").region
    np.testing.assert_array_equal(rows, of_rows[[0, 2, 1, 3]])


def test_both_stay_with_the_rows():
    """In the gallery, with other inputs, with decided classes, pickled."""
    mask, y = mask_of_rows(), [0, 1, 0, 1, 0, 1]
    probe = Probe(IMAGES, y, slices={"sex": list("mfmfmm")}, region=mask)
    gallery = probe.gallery(4)  # rows 0, 2, 1, 3
    assert gallery.slices["sex"].labels == ("f", "m")
    assert gallery.slices["sex"].codes.tolist() == [1, 1, 0, 0]
    np.testing.assert_array_equal(gallery.region, mask[[0, 2, 1, 3]])
    assert gallery.hash == probe.hash
    assert probe.gallery(0).region.shape == (0, 8, 5)
    for other in (probe.with_classes(np.array(y)), pickle.loads(pickle.dumps(probe)), probe.of_kind("image")):
        assert other.slices["sex"].codes.tolist() == [1, 0, 1, 0, 1, 1]
        np.testing.assert_array_equal(other.region, mask)
        assert other.hash == probe.hash
    several = Probe(
        {"scan": IMAGES, "row": np.zeros((6, 2), np.float32)}, y, region=mask, slices={"sex": list("mfmfmm")}
    )
    part = several.with_inputs(["scan"], lambda value, name: value[name])
    np.testing.assert_array_equal(part.region, mask)
    assert part.slices["sex"].codes.tolist() == [1, 0, 1, 0, 1, 1]


def test_a_region_is_copied():
    """Unlike samples: writing into the user's mask changes nothing."""
    mask = mask_of_rows()
    probe = Probe(IMAGES, region=mask)
    mask[:] = True
    assert not probe.region.all()


def test_both_are_in_the_hash_and_a_probe_without_them_has_the_hash_it_had():
    """These were computed before a probe could have either."""
    hashes = [
        Probe(TABLE, [0, 1, 2, 3]).hash,
        Probe(np.zeros((6, 8, 8, 1), np.float32)).hash,
        Probe(np.zeros((6, 28, 28), np.float32)).hash,
        Probe(TABLE, groups={"g": [0, 1]}).hash,
        Probe({"a": TABLE[:, 0], "b": TABLE[:, 1]}).hash,
    ]
    assert hashes == OLD_HASHES
    probes = [
        Probe(IMAGES),
        Probe(IMAGES, slices={"a": list("xyxyxy")}),
        Probe(IMAGES, slices={"b": list("xyxyxy")}),
        Probe(IMAGES, slices={"a": list("xyxyxx")}),
        Probe(IMAGES, slices={"a": list("xzxzxz")}),
        Probe(IMAGES, region=mask_of_rows()),
        Probe(IMAGES, region=mask_of_rows()[0]),
    ]
    assert len({probe.hash for probe in probes}) == len(probes)
    assert Probe(IMAGES, region=mask_of_rows()).hash == Probe(IMAGES, region=mask_of_rows().astype(int)).hash
    assert Probe(IMAGES, slices={}).hash == Probe(IMAGES).hash


def test_a_probe_that_is_read_back_has_neither():
    """What they say is in records of their own; the hash is that of the probe that was written."""
    probe = Probe(IMAGES, slices={"a": list("xyxyxy")}, region=mask_of_rows())
    back = probe_of(describe(probe), IMAGES)
    assert (back.slices, back.region, back.hash) == ({}, None, probe.hash)
