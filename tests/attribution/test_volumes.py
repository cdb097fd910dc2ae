"""Attributions of volumes: with one slice they are those of images, with more the closed forms of linear models hold."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.attribution import METHODS
from keras_xai.attribution.rise import Rise
from tests.frameworks import array as to_numpy

layers = keras.layers
R = np.random.default_rng(3)
FEW = {
    "kernel_shap": {"n_samples": 100},
    "lime": {"n_samples": 100},
    "rise": {"n_samples": 50},
    "smoothgrad": {"n_samples": 4},
}
QUICK = ("occlusion", "rise", "saliency")


@pytest.fixture(scope="module")
def flat_and_deep():
    """A convolutional net of images, and the same of volumes of one slice."""
    keras.utils.set_random_seed(3)
    flat = keras.Sequential(
        [
            keras.Input((12, 10, 2)),
            layers.Conv2D(3, 3, activation="softplus"),
            layers.AveragePooling2D(2),
            layers.Conv2D(4, 2, activation="tanh"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    deep = keras.Sequential(
        [
            keras.Input((1, 12, 10, 2)),
            layers.Conv3D(3, (1, 3, 3), activation="softplus"),
            layers.AveragePooling3D((1, 2, 2)),
            layers.Conv3D(4, (1, 2, 2), activation="tanh"),
            layers.GlobalAveragePooling3D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    deep.set_weights([weight[None] if weight.ndim == 4 else weight for weight in flat.get_weights()])
    return flat, deep


def both(flat_and_deep, method, **options):
    """The values of the images, and those of the volumes of one slice."""
    flat, deep = flat_and_deep
    images = R.normal(size=(3, 12, 10, 2)).astype(np.float32)
    options = FEW.get(method, {}) | options
    of_images = kx.attribute(flat, images, method, target=1, **options)
    of_volumes = kx.attribute(deep, images[:, None], method, target=1, **options)
    return of_images.values, of_volumes.values


@pytest.mark.parametrize(
    "method", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.full]) for name in METHODS]
)
def test_a_volume_of_one_slice_is_explained_as_the_image(flat_and_deep, method):
    """The same numbers from every method, but for the rounding of another convolution."""
    images, volumes = both(flat_and_deep, method)
    assert volumes.shape == (images.shape[0], 1, *images.shape[1:])
    np.testing.assert_allclose(volumes[:, 0], images, rtol=1e-3, atol=1e-5 * np.abs(images).max())


def test_a_window_of_one_number_takes_the_slices_that_there_are(flat_and_deep):
    """4 × 4 of an image, 1 × 4 × 4 of its volume."""
    images, volumes = both(flat_and_deep, "occlusion", window=4, stride=2)
    np.testing.assert_allclose(volumes[:, 0], images, rtol=1e-3, atol=1e-5)


def linear(shape):
    """A model Σ w · x, and its weights."""
    model = keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(1, use_bias=False)])
    return model, to_numpy(model.layers[-1].kernel).reshape(shape)


def test_windows_and_cells_of_a_volume_have_the_closed_forms_of_a_linear_model():
    """A window's loss is its Σ w · x; a cell's value the same, divided among its entries."""
    shape = (4, 6, 8, 2)
    model, weights = linear(shape)
    x = R.normal(size=(2, *shape)).astype(np.float32)
    parts = x * weights

    def of_cells(sides):
        """Sums over boxes of so many voxels, at each of their voxels."""
        blocks = parts.reshape(2, 4 // sides[0], sides[0], 6 // sides[1], sides[1], 8 // sides[2], sides[2], 2)
        sums = blocks.sum((2, 4, 6, 7))
        for axis, side in enumerate(sides, 1):
            sums = np.repeat(sums, side, axis)
        return np.broadcast_to(sums[..., None], x.shape)

    windows = kx.attribute(model, x, "occlusion", window=(2, 3, 4)).values
    np.testing.assert_allclose(windows, of_cells((2, 3, 4)), rtol=1e-4, atol=1e-5)
    eight = np.indices(shape[:3]) // np.array([2, 3, 4])[:, None, None, None]
    cells = eight[0] * 4 + eight[1] * 2 + eight[2]
    shapley = kx.attribute(model, x, "kernel_shap", groups=cells).values  # 2⁸ coalitions: exact
    np.testing.assert_allclose(shapley, of_cells((2, 3, 4)) / 48, rtol=1e-3, atol=1e-5)
    slopes = kx.attribute(model, x, "lime", groups=cells, ridge=1e-6).values
    np.testing.assert_allclose(slopes, of_cells((2, 3, 4)) / 48, rtol=1e-2, atol=1e-4)


def test_without_groups_a_volume_has_four_cells_along_each_axis():
    """64 of them, and with one slice 16."""
    for shape, count in (((8, 8, 8, 1), 64), ((1, 8, 8, 1), 16), ((2, 8, 8, 1), 32)):
        model, _ = linear(shape)
        values = kx.attribute(model, np.ones((1, *shape), np.float32), "lime", n_samples=300).values
        assert len(np.unique(values.round(7))) == count


def test_masks_of_volumes_are_random_grids_enlarged_linearly_along_three_axes():
    """As a slow twin has them, that looks up the eight cells around each voxel."""
    method, size = Rise(n_samples=3, cells=2, seed=5), (3, 4, 5)
    from keras_xai.attribution.rise import _masks

    factors = method._factors([size])[size]
    masks = to_numpy(_masks(factors, keras.ops.arange(3)))
    generator = np.random.default_rng(5)
    grids = (generator.random((3, 3, 3, 3)) < 0.5).astype(float)
    shifts = generator.random((3, 3))
    expected = np.zeros((3, *size))
    for k in range(3):
        for index in np.ndindex(*size):
            at = [np.clip((i + 0.5) / n * 2 - 0.5 + s, 0, 2) for i, n, s in zip(index, size, shifts[k], strict=True)]
            for cell in np.ndindex(3, 3, 3):
                weight = np.prod([max(0.0, 1 - abs(a - c)) for a, c in zip(at, cell, strict=True)])
                expected[(k, *index)] += weight * grids[(k, *cell)]
    np.testing.assert_allclose(masks, expected, rtol=1e-5, atol=1e-6)


def test_volumes_without_channels_have_windows_and_cells_of_voxels_in_a_probe():
    """RISE, which could take them for images, says what it wants."""
    shape = (8, 8, 8)
    model, weights = linear(shape)
    x = R.normal(size=(2, *shape)).astype(np.float32)
    probe = kx.Probe(x, kind="volume")
    windows = kx.attribute(model, probe, "occlusion", target=0, window=None).values
    np.testing.assert_allclose(windows, x * weights, rtol=1e-3, atol=1e-5)  # an eighth of each side is one voxel
    cells = kx.attribute(model, probe, "lime", target=0, n_samples=300).values
    assert len(np.unique(cells[0].round(6))) > 50
    with pytest.raises(kx.InvalidInput, match=r"give x\[..., None\]"):
        kx.attribute(model, probe, "rise", target=0)


def test_voxels_are_deleted_with_all_their_channels():
    """By the sum of the values over them, or by a map of a coarser resolution."""
    shape = (2, 2, 4, 2)
    model, weights = linear(shape)
    x = np.ones((1, *shape), np.float32)
    parts = np.sort(weights.sum(-1).ravel())[::-1]
    expected = parts.sum() - np.concatenate([[0], np.cumsum(parts)])
    curve = kx.metrics.deletion(model, x, x * weights, steps=16)
    np.testing.assert_allclose(curve[0], expected, rtol=1e-4, atol=1e-5)
    coarse = np.arange(8.0).reshape(1, 2, 2, 2)
    first = kx.metrics.deletion(model, x, coarse, steps=2)
    np.testing.assert_allclose(first[0, 1], weights[0].sum(), rtol=1e-4, atol=1e-5)
    with pytest.raises(kx.InvalidInput, match=r"of volumes \(B, d, h, w\)"):
        kx.metrics.insertion(model, x, np.ones((1, 2, 2)))


def test_the_importance_of_volumes_of_one_slice_is_that_of_images(flat_and_deep):
    """Feature by feature; and a region holds the same share."""
    flat, deep = flat_and_deep
    images = R.normal(size=(6, 12, 10, 2)).astype(np.float32)
    y = np.array([0, 1, 2, 0, 1, 2])
    of_images = kx.importance(flat, kx.Probe(images, y))
    of_volumes = kx.importance(deep, kx.Probe(images[:, None], y))
    np.testing.assert_allclose(of_volumes[1], of_images[1], rtol=1e-3)
    assert of_volumes[0][13] == "depth 0 row 1 column 3"
    assert of_images[0][13] == "block (1,3)"
