"""Pixel flipping, region perturbation, infidelity and sensitivity against closed forms, on every kind of input."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.attribution.metrics.noise import NoisyAttributor

layers = keras.layers
pytestmark = pytest.mark.every_backend
WEIGHTS = np.array([[1.0], [2.0], [4.0], [-8.0]], np.float32)


@pytest.fixture(scope="module")
def linear():
    """f(x) = w·x, without a bias, and two samples."""
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1, use_bias=False)])
    model.set_weights([WEIGHTS])
    return model, np.array([[1, 1, 1, 1], [1, 0.5, 2, 1]], np.float32)


@pytest.fixture(scope="module")
def sigmoid():
    """One unit that says class 1 or not, of a table."""
    keras.utils.set_random_seed(0)
    parts = [layers.Dense(6, activation="tanh"), layers.Dense(1, activation="sigmoid")]
    return keras.Sequential([keras.Input((4,)), *parts])


@pytest.fixture(scope="module")
def categories():
    """A number and a category that an embedding looks up, by name; and so many rows."""
    keras.utils.set_random_seed(0)
    age, town = keras.Input((1,), name="age"), keras.Input((1,), name="town", dtype="int32")
    looked_up = layers.Flatten()(layers.Embedding(5, 3)(town))
    model = keras.Model({"age": age, "town": town}, layers.Dense(2)(layers.Concatenate()([age, looked_up])))
    generator = np.random.default_rng(0)
    x = {"age": generator.normal(size=(6, 1)).astype(np.float32), "town": generator.integers(1, 5, (6, 1))}
    return model, x


@pytest.fixture(scope="module")
def text():
    """The mean of embeddings, and a linear readout of it."""
    keras.utils.set_random_seed(0)
    parts = [layers.Embedding(12, 3), layers.GlobalAveragePooling1D(), layers.Dense(2)]
    return keras.Sequential([keras.Input((7,), dtype="int32"), *parts]), np.random.default_rng(0).integers(
        1, 12, (5, 7)
    )


@pytest.fixture(scope="module")
def series():
    keras.utils.set_random_seed(0)
    parts = [layers.Conv1D(4, 3, activation="tanh"), layers.GlobalAveragePooling1D(), layers.Dense(2)]
    model = keras.Sequential([keras.Input((16, 2)), *parts])
    return model, np.random.default_rng(0).normal(size=(4, 16, 2)).astype(np.float32)


def test_pixel_flipping_of_a_linear_model_is_a_cumulative_sum(linear):
    """score = w·x: each entry takes w·x with it, in the order of the values."""
    model, x = linear
    values = x * WEIGHTS[:, 0]
    order = np.argsort(-values, axis=1)
    expected = x @ WEIGHTS - np.cumsum(np.take_along_axis(values, order, 1), 1)
    curve = kx.metrics.pixel_flipping(model, x, values)
    np.testing.assert_allclose(curve[:, 1:], expected, atol=1e-5)
    np.testing.assert_allclose(curve[:, 0], (x @ WEIGHTS)[:, 0], atol=1e-5)
    np.testing.assert_allclose(kx.metrics.pixel_flipping(model, x, values, entries=3), curve[:, [0, 3, 4]], atol=1e-5)
    np.testing.assert_allclose(
        kx.metrics.pixel_flipping(model, x, values, baseline=x)[:, 1:], curve[:, [0]] @ np.ones((1, 4))
    )


def test_region_perturbation_of_a_linear_model_is_the_sum_of_the_regions(linear):
    """Regions of two columns, by their sums: the drop is the sum of those that are gone; lerf goes the other way."""
    model, x = linear
    values = x * WEIGHTS[:, 0]
    regions = values.reshape(2, 2, 2).sum(2)
    expected = np.cumsum(np.pad(-np.sort(-regions, 1), ((0, 0), (1, 0))), 1)
    drop = kx.metrics.region_perturbation(model, x, values, patch=2)
    np.testing.assert_allclose(drop, expected, atol=1e-5)
    least_first = kx.metrics.region_perturbation(model, x, values, patch=2, order="lerf")
    np.testing.assert_allclose(least_first[:, 1], np.sort(regions, 1)[:, 0], atol=1e-5)
    np.testing.assert_array_equal(kx.metrics.region_perturbation(model, x, values, patch=2, regions=1), drop[:, :2])
    by_name = kx.metrics.region_perturbation(model, x, values, groups={"category": [0, 3]})
    np.testing.assert_allclose(by_name[0], [0, 4, 6, -1], atol=1e-5)
    random = kx.metrics.region_perturbation(model, x, values, order="random")
    np.testing.assert_allclose(random[:, -1], expected[:, -1], atol=1e-5)


def test_a_region_of_an_image_goes_with_its_channels(cnn, images):
    """The first of 2 × 2 patches of 8 × 8 pixels, replaced by hand, for a map and for values of every channel."""
    values = np.random.default_rng(0).normal(size=images.shape)
    drop = kx.metrics.region_perturbation(cnn, images, values, target=1, patch=4)
    assert drop.shape == (6, 5)
    sums = values.sum(-1).reshape(6, 2, 4, 2, 4).sum((2, 4)).reshape(6, 4)
    changed = images.copy()
    for row, region in enumerate(sums.argmax(1)):
        up, left = 4 * (region // 2), 4 * (region % 2)
        changed[row, up : up + 4, left : left + 4] = 0
    scores = [kx.attribute(cnn, rows, "saliency", target=1).score for rows in (images, changed)]
    np.testing.assert_allclose(drop[:, 1], scores[0] - scores[1], rtol=1e-4, atol=1e-5)
    of_map = kx.metrics.region_perturbation(cnn, images, values.sum(-1), target=1, patch=4)
    np.testing.assert_allclose(of_map, drop, rtol=1e-5, atol=1e-6)


def test_infidelity_of_exact_contributions_is_zero(linear):
    """w·x says every change of w·x: as contributions, as slopes, from another baseline, and by copies of one's own."""
    model, x = linear
    contributions = kx.attribute(model, x, "input_x_gradient")
    np.testing.assert_allclose(kx.metrics.infidelity(model, x, contributions), 0, atol=1e-8)
    slopes = kx.attribute(model, x, "saliency")
    np.testing.assert_allclose(kx.metrics.infidelity(model, x, slopes), 0, atol=1e-8)
    from_one = kx.attribute(model, x, "integrated_gradients", baseline=0.25)
    np.testing.assert_allclose(kx.metrics.infidelity(model, x, from_one, baseline=0.25), 0, atol=1e-8)
    copies = x + np.random.default_rng(0).normal(size=(5, *x.shape)).astype(np.float32)
    np.testing.assert_allclose(kx.metrics.infidelity(model, x, slopes, perturbed=copies), 0, atol=1e-8)
    np.testing.assert_allclose(kx.metrics.infidelity(model, x, contributions, perturbed=copies), 0, atol=1e-8)


def test_infidelity_of_wrong_values_is_their_mean_square_error(linear):
    """Values that are all zero miss the whole drop; twice the right ones miss it too, unless they may be scaled."""
    model, x = linear
    values = x * WEIGHTS[:, 0]
    copies = [x * np.array([0, 1, 1, 1], np.float32), x * np.array([1, 1, 0, 0], np.float32)]
    drops = np.stack([values[:, 0], values[:, 2] + values[:, 3]], 1)
    expected = (drops**2).mean(1)
    for wrong in (np.zeros_like(values), 2 * values):
        np.testing.assert_allclose(kx.metrics.infidelity(model, x, wrong, perturbed=copies), expected, rtol=1e-5)
    scaled = kx.metrics.infidelity(model, x, 2 * values, perturbed=copies, scaled=True)
    np.testing.assert_allclose(scaled, 0, atol=1e-8)
    constant = kx.metrics.infidelity(model, x, np.zeros_like(values), perturbed=copies, scaled=True)
    np.testing.assert_allclose(constant, expected, rtol=1e-5)


def test_the_sensitivity_of_a_linear_gradient_is_zero_and_that_of_its_product_is_the_noise(linear):
    """∂(w·x)/∂x is w everywhere; w·x moves by w times the noise, whose draws follow from the seed."""
    model, x = linear
    assert kx.metrics.sensitivity(model, x, "saliency", radius=0.5).tolist() == [0, 0]
    draws = np.random.default_rng(3).uniform(-1, 1, (4, 4)) * 0.1
    moves = np.linalg.norm(draws * WEIGHTS[:, 0], axis=1).max()
    moved = kx.metrics.sensitivity(model, x, "input_x_gradient", radius=0.1, samples=4, seed=3, relative=False)
    np.testing.assert_allclose(moved, moves, rtol=1e-4)
    share = kx.metrics.sensitivity(model, x, "input_x_gradient", radius=0.1, samples=4, seed=3)
    np.testing.assert_allclose(share, moves / np.linalg.norm(x * WEIGHTS[:, 0], axis=1), rtol=1e-4)


def test_one_sigmoid_output_in_every_score(sigmoid):
    """Both classes: that of class 0 is the mirror image of class 1; no figure is NaN."""
    x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    a = kx.attribute(sigmoid, x, "integrated_gradients", target=1)
    one, zero = (kx.metrics.pixel_flipping(sigmoid, x, a.values, target=target) for target in (1, 0))
    np.testing.assert_allclose(one, -zero, rtol=1e-4, atol=1e-6)
    assert (
        kx.metrics.infidelity(sigmoid, x, a) < kx.metrics.infidelity(sigmoid, x, np.zeros_like(x), target=1)
    ).mean() > 0.5
    for method in ("saliency", "occlusion"):
        figures = kx.metrics.sensitivity(sigmoid, x, method, samples=2)
        assert np.isfinite(figures).all()
        assert (figures > 0).all()


def test_categories_of_a_table_are_replaced_and_moved_where_they_are_numbers(categories):
    """A dict of columns: linear in the number and in the embedding, so contributions from the baseline are exact."""
    model, x = categories
    base = {"age": np.zeros((1,), np.float32), "town": np.zeros((1,), np.int32)}
    a = kx.attribute(model, x, "integrated_gradients", target=1, baseline=base)
    np.testing.assert_allclose(kx.metrics.infidelity(model, x, a, baseline=base), 0, atol=1e-8)
    curve = kx.metrics.pixel_flipping(model, x, a, baseline=base)
    contributions = np.concatenate([a.values["age"], a.values["town"]], 1)
    np.testing.assert_allclose(curve[:, 1], a.score - contributions.max(1), rtol=1e-4, atol=1e-5)
    assert (kx.metrics.sensitivity(model, x, "input_x_gradient", target=1) > 0).all()
    assert kx.metrics.sensitivity(model, x, "saliency", target=1).max() == 0
    drop = kx.metrics.region_perturbation(model, x, a, baseline=base)
    np.testing.assert_allclose(drop[:, -1], contributions.sum(1), rtol=1e-4, atol=1e-5)


def test_tokens_are_replaced_as_wholes_and_moved_at_their_embeddings(text):
    """A linear model of embeddings: exact contributions; a gradient that stays; noise that is a share of an embedding's range."""
    model, x = text
    base = np.zeros(7, np.int32)
    a = kx.attribute(model, x, "integrated_gradients", target=1, baseline=base)
    np.testing.assert_allclose(kx.metrics.infidelity(model, x, a, baseline=base), 0, atol=1e-8)
    curve = kx.metrics.pixel_flipping(model, x, a, baseline=base)
    np.testing.assert_allclose(curve[:, -1], a.baseline_score, rtol=1e-4, atol=1e-5)
    assert kx.metrics.sensitivity(model, x, "saliency", target=1).max() == 0
    attributor = NoisyAttributor(model, x, "input_x_gradient", 1)
    (embeddings,) = attributor.numbers
    np.testing.assert_allclose(embeddings, np.asarray(model.get_weights()[0])[x], rtol=1e-5)
    noise = np.random.default_rng(0).normal(size=embeddings.shape).astype(np.float32)
    moved = attributor.with_noise([noise]).values - attributor().values
    readout = model.get_weights()[1][:, 1] / 7
    np.testing.assert_allclose(moved, noise @ readout, rtol=1e-3, atol=1e-6)
    with pytest.raises(kx.InvalidInput, match="Slopes say nothing of a change of tokens"):
        kx.metrics.infidelity(model, x, kx.attribute(model, x, "saliency", target=1))


def test_stretches_of_a_series_go_with_all_channels(series):
    """16 steps in stretches of four; a map over steps does the same."""
    model, x = series
    a = kx.attribute(model, x, "occlusion", target=0)
    drop = kx.metrics.region_perturbation(model, x, a, patch=4)
    assert drop.shape == (4, 5)
    sums = a.values.sum(2).reshape(4, 4, 4).sum(2)
    changed = x.reshape(4, 4, 4, 2).copy()
    changed[np.arange(4), sums.argmax(1)] = 0
    scores = kx.attribute(model, changed.reshape(x.shape), "saliency", target=0).score
    np.testing.assert_allclose(drop[:, 1], a.score - scores, rtol=1e-4, atol=1e-6)
    of_map = kx.metrics.region_perturbation(model, x, a.values.sum(2), target=0, patch=4)
    np.testing.assert_allclose(of_map, drop, rtol=1e-5, atol=1e-6)
    assert np.isfinite(kx.metrics.infidelity(model, x, a)).all()
    assert np.isfinite(kx.metrics.sensitivity(model, x, "grad_cam", target=0, samples=2)).all()


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        ("pixel_flipping", {"entries": 0}, "positive integer"),
        ("region_perturbation", {"order": "first"}, "'morf', 'lerf'"),
        ("region_perturbation", {"patch": 0}, "positive integer"),
        ("region_perturbation", {"groups": {"a": [7]}}, "column 7"),
        ("infidelity", {"quantity": "share"}, "'contribution'"),
        ("infidelity", {"perturbed": []}, "no copies"),
        ("infidelity", {"perturbed": [np.ones((2, 3))]}, r"perturbed\[0\] has shape \(2, 3\)"),
        ("infidelity", {"baseline": 1.0, "perturbed": [np.zeros(4)]}, "lie at the baseline"),
        ("sensitivity", {"spread": -1}, "no negative"),
        ("sensitivity", {"radius": np.ones(3)}, r"\(3,\): expected one number, or \(4,\)"),
        ("sensitivity", {"x": np.ones((1, 4))}, "no range"),
        ("smooth_randomisation", {"order": "sideways"}, "'bottom up'"),
        ("smooth_randomisation", {"samples": 0}, "positive integer"),
    ],
)
def test_misuse_is_an_error_in_words(linear, function, arguments, words):
    """What came, what is expected."""
    model, x = linear
    of_values = () if function in ("sensitivity", "smooth_randomisation") else (np.zeros((2, 4)),)
    with pytest.raises(kx.InvalidInput, match=words):
        getattr(kx.metrics, function)(model, arguments.pop("x", x), *of_values, **arguments)


def test_a_map_of_zeros_has_no_relative_sensitivity(linear):
    """0 / 0 is not known, which is not 0."""
    model, x = linear
    assert np.isnan(kx.metrics.sensitivity(model, 0 * x, "input_x_gradient", radius=0.0)).all()
