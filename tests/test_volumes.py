"""Probes of volumes and videos: their kind, their cells, segments and regions."""

from __future__ import annotations

import numpy as np
import pytest

from keras_xai.errors import InvalidInput
from keras_xai.probe import Probe
from keras_xai.spatial import SpatialShape

R = np.random.default_rng(0)
VOLUMES = R.normal(size=(4, 12, 20, 33, 2)).astype(np.float32)


def slow_cells(values, sides):
    """Sums of values (B, D, H, W) over boxes, entry by entry."""
    counts = [-(-length // side) for length, side in zip(values.shape[1:], sides, strict=True)]
    sums = np.zeros((len(values), *counts))
    for index in np.ndindex(*values.shape[1:]):
        cell = tuple(i // side for i, side in zip(index, sides, strict=True))
        sums[(slice(None), *cell)] += values[(slice(None), *index)]
    return sums.reshape(len(values), -1)


@pytest.mark.parametrize("shape", [(4, 5, 6, 7, 1), (4, 5, 6, 7, 9), (4, 1, 8, 8, 3), (4, 2, 5, 6, 7)])
def test_samples_of_four_axes_are_volumes(shape):
    """(B, D, H, W, C), whatever the number of channels; a video has its frames along D."""
    assert Probe(np.zeros(shape, np.float32)).kind == "volume"


def test_a_volume_beside_columns_and_an_image_makes_a_probe_of_volumes():
    """Each input has features of its own kind."""
    x = {"scan": VOLUMES, "slice": np.ones((4, 6, 6, 1), np.float32), "row": np.ones((4, 3), np.float32)}
    probe = Probe(x)
    assert probe.kind == "volume"
    assert probe.spatial.positions == (12, 20, 33)
    cells = 6 * 7 * 7
    assert probe.features[0] == "scan: depth 0 row 0 column 0"
    assert probe.features[cells : cells + 2] == ("slice: block (0,0)", "slice: block (0,1)")
    assert probe.features[-3:] == ("row: column 0", "row: column 1", "row: column 2")
    assert probe.feature_count == cells + 36 + 3
    assert probe.pooled(x).shape == (4, probe.feature_count)


def test_volumes_are_pooled_to_at_most_eight_cells_along_each_axis():
    """Each cell is the sum of its voxels; incomplete ones at the far sides count; names say depth, row and column."""
    probe = Probe(VOLUMES)
    assert probe.spatial.cells == ((2, 3, 5), (6, 7, 7))
    assert probe.feature_count == len(probe.features) == 6 * 7 * 7
    assert probe.features[-1] == "depth 5 row 6 column 6"
    assert probe.features[7 * 7 + 7 * 2 + 3] == "depth 1 row 2 column 3"
    np.testing.assert_allclose(probe.pooled(VOLUMES), slow_cells(VOLUMES.sum(-1), (2, 3, 5)), rtol=1e-4, atol=1e-4)
    (owners,) = probe.feature_map.owners()
    assert owners.shape == VOLUMES.shape[1:]
    assert owners[3, 7, 16, 1] == owners[2, 6, 19, 0] == 7 * 7 + 7 * 2 + 3


def test_a_video_keeps_its_few_frames_apart():
    """Cells are boxes: five frames are five cells along time, however wide they are."""
    probe = Probe(np.zeros((2, 5, 64, 32, 3), np.float32))
    assert probe.spatial.cells == ((1, 8, 4), (5, 8, 8))


def test_a_volume_of_one_slice_has_the_cells_of_an_image():
    """Number for number."""
    images = R.normal(size=(3, 33, 20, 3)).astype(np.float32)
    volumes = images[:, None]
    np.testing.assert_array_equal(Probe(volumes).pooled(volumes, np.abs), Probe(images).pooled(images, np.abs))
    segments = np.arange(33 * 20).reshape(33, 20) % 5
    by_segment = Probe(volumes, groups=segments[None])
    np.testing.assert_allclose(by_segment.pooled(volumes), Probe(images, groups=segments).pooled(images), rtol=1e-5)
    boxes = [[1, 2, 30, 9], [0, 0, 3, 3], [5, 5, 33, 20]]
    with_depth = [[0, top, left, 1, bottom, right] for top, left, bottom, right in boxes]
    np.testing.assert_array_equal(Probe(volumes, region=with_depth).region[:, 0], Probe(images, region=boxes).region)


def test_channels_first_volumes_pool_alike():
    """The same voxels, the same cells; few frames of many channels are no channels first."""
    first = np.moveaxis(VOLUMES, -1, 1)
    assert Probe(first).spatial == SpatialShape((12, 20, 33), 1)
    np.testing.assert_allclose(Probe(first).pooled(first), Probe(VOLUMES).pooled(VOLUMES), rtol=1e-4, atol=1e-4)
    assert Probe(first).feature_map.owners()[0].shape == first.shape[1:]
    assert Probe(np.zeros((2, 1, 32, 32, 8), np.float32)).spatial == SpatialShape((1, 32, 32), -1)


def test_volumes_without_an_axis_of_channels_are_asked_for():
    """Four axes are images to a guess; kind says otherwise."""
    bare = VOLUMES.sum(-1)
    probe = Probe(bare, kind="volume")
    np.testing.assert_allclose(probe.pooled(bare), Probe(VOLUMES).pooled(VOLUMES), rtol=1e-4, atol=1e-4)


def test_segments_of_a_volume_are_summed():
    """One feature a segment."""
    segments = (np.arange(12 * 20 * 33).reshape(12, 20, 33) // 1000) * 10
    probe = Probe(VOLUMES, groups=segments)
    assert probe.features[:2] == ("segment 0", "segment 10")
    expected = [VOLUMES[2].sum(-1)[segments == number].sum() for number in np.unique(segments)]
    np.testing.assert_allclose(probe.pooled(VOLUMES)[2], expected, rtol=1e-4, atol=1e-4)
    assert probe.feature_map.owners()[0].shape == VOLUMES.shape[1:]


def test_a_region_of_volumes_is_a_mask_or_boxes():
    """True inside, for each volume or for all; a box leaves out its last slice, row and column."""
    box = np.zeros((4, 12, 20, 33), bool)
    box[:, 1:3, 4:9, 0:33] = True
    boxes = [[1, 4, 0, 3, 9, 33]] * 4
    np.testing.assert_array_equal(Probe(VOLUMES, region=boxes).region, box)
    np.testing.assert_array_equal(Probe(VOLUMES, region=box).region, box)
    np.testing.assert_array_equal(Probe(VOLUMES, region=box[0]).region, box)
    assert Probe(VOLUMES, [0, 1, 0, 1], region=box).gallery(2).region.shape == (2, 12, 20, 33)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x": VOLUMES, "kind": "image"}, r"\(4, 12, 20, 33, 2\).*kind='image' expects .*kind='volume'"),
        ({"x": VOLUMES[:, 0, :, 0], "kind": "volume"}, r"\(4, 20, 2\), kind='volume' expects volumes"),
        ({"x": np.zeros((2, 1, 2, 3, 4, 5)), "kind": "volume"}, r"\(2, 1, 2, 3, 4, 5\), kind='volume' expects"),
        ({"x": VOLUMES, "groups": np.zeros((20, 33), int)}, r"groups has shape \(20, 33\).*volumes of \(12, 20, 33\)"),
        ({"x": VOLUMES, "groups": {"a": [1]}}, r"volumes of \(12, 20, 33\)"),
        ({"x": VOLUMES, "feature_names": ["a"]}, r"is of kind 'volume'.*integer map \(12, 20, 33\)"),
        ({"x": VOLUMES, "region": np.ones((20, 33))}, r"4 volumes of \(12, 20, 33\): .*boxes \(front, top, left, back"),
        (
            {"x": VOLUMES, "region": [[0, 0, 0, 12, 20, 33]] * 3 + [[0, 0, 0, 13, 20, 33]]},
            r"region\[3\] is the box \(0, 0, 0, 13, 20, 33\).*0 <= front < back <= 12 and 0 <= top < bottom <= 20",
        ),
    ],
)
def test_what_volumes_cannot_have_is_refused_at_once(arguments, words):
    """What came, what is expected, what to do."""
    with pytest.raises(InvalidInput, match=words):
        Probe(**arguments)
