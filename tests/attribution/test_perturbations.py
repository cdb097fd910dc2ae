"""Methods that only look at scores, against slow loops over the model itself."""

import itertools
import math

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.attribution import METHODS
from keras_xai.attribution.kernel_shap import coalitions
from keras_xai.attribution.least_squares import constrained, ridge
from keras_xai.attribution.lime import Lime
from tests.frameworks import array as to_numpy

layers = keras.layers


@pytest.fixture(scope="module")
def table():
    """(a function x -> logits of class 2 in float64, the model, x)."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(8, activation="tanh"), layers.Dense(3, activation="softmax")]
    )
    w1, b1, w2, b2 = (w.astype(np.float64) for w in model.get_weights())
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    return lambda z: (np.tanh(z @ w1 + b1) @ w2 + b2)[..., 2], model, x


def shapley(value, players):
    """The definition: each player's mean gain over all orders of arrival."""
    found = np.zeros(players)
    for order in itertools.permutations(range(players)):
        present = np.zeros(players, bool)
        before = value(present)
        for player in order:
            present[player] = True
            after = value(present)
            found[player] += (after - before) / math.factorial(players)
            before = after
    return found


def test_kernel_shap_is_the_shapley_value(table):
    """Every order of four players, from a baseline, in float64."""
    score, model, x = table
    base = np.full(4, 0.3, np.float32)
    a = kx.attribute(model, x, "kernel_shap", target=2, baseline=base)
    for b in range(3):
        expected = shapley(lambda present, b=b: score(np.where(present, x[b], base)), 4)
        np.testing.assert_allclose(a.values[b], expected, atol=2e-6)
    assert a.completeness_error.max() < 1e-5


def test_kernel_shap_averages_over_a_background(table):
    """The value of a coalition is the mean over the background's rows."""
    score, model, x = table
    background = np.random.default_rng(1).normal(size=(7, 4)).astype(np.float32)
    a = kx.attribute(model, x[:2], "kernel_shap", target=2, background=background)
    for b in range(2):
        expected = shapley(lambda present, b=b: score(np.where(present, x[b], background)).mean(), 4)
        np.testing.assert_allclose(a.values[b], expected, atol=2e-6)
    np.testing.assert_allclose(a.baseline_score, score(background).mean(), rtol=1e-5)


def test_groups_are_players(table):
    """Columns 0 and 2 together are one player; its value is divided evenly, so sums stay."""
    score, model, x = table
    a = kx.attribute(model, kx.Probe(x, groups={"both": [0, 2]}, baseline=np.zeros(4)), "kernel_shap", target=2)
    joined = np.array([0, 1, 0, 2])
    expected = shapley(lambda present: score(np.where(present[joined], x[0], 0)), 3)
    np.testing.assert_allclose(a.values[0], [expected[0] / 2, expected[1], expected[0] / 2, expected[2]], atol=2e-6)


def test_drawn_coalitions_come_near_the_exact_ones():
    """Pairs of a coalition and its complement, on a random game of 12 players: 1,500 draws of 4,094."""
    players = 12
    generator = np.random.default_rng(0)
    pair = generator.normal(size=(players, players))
    game = lambda present: np.tanh(np.einsum("ki,ij,kj->k", present, pair, present) / 10)  # noqa: E731
    exact, weight = coalitions(players, 2**players, 0)
    drawn, even = coalitions(players, 1500, 0)
    assert len(exact) == 2**players - 2
    assert len(drawn) == 1500
    np.testing.assert_array_equal(drawn[:750], ~drawn[750:])
    whole = game(np.ones((1, players)))[0]
    found = []
    for present, w in ((exact, weight), (drawn, even)):
        fit = constrained(present, w)
        free = fit.solution.matrix @ game(present.astype(float))
        found.append(free + fit.share * (whole - free.sum()))
        assert found[-1].sum() == pytest.approx(whole, abs=1e-9)
    assert np.linalg.norm(found[1] - found[0]) < 0.1 * np.linalg.norm(found[0])


def test_lime_is_a_weighted_ridge_regression(table):
    """scikit-learn's Ridge on the same copies, with the model written out in float64; its R², the copies weighed."""
    from sklearn.linear_model import Ridge

    score, model, x = table
    method = Lime(n_samples=200, kernel_width=0.4, ridge=0.5, seed=3)
    a = kx.attribute(model, x, "lime", target=2, n_samples=200, kernel_width=0.4, ridge=0.5, seed=3)
    present, _, _ = method.surrogate(4)
    cosine = np.divide(present.sum(1), np.sqrt(present.sum(1) * 4), where=present.any(1), out=np.zeros(200))
    weight = np.exp(-((1 - cosine) ** 2) / 0.4**2)
    for b in range(2):
        there = score(np.where(present, x[b], 0))
        line = Ridge(alpha=0.5).fit(present, there, sample_weight=weight)
        np.testing.assert_allclose(a.values[b], line.coef_, atol=3e-6)
        assert a.r2[b] == pytest.approx(line.score(present, there, sample_weight=weight), abs=1e-5)


def test_a_line_through_a_line_fits_and_so_does_one_through_nothing():
    """R² is 1 for a linear model, but for the ridge, and for a score that does not move; no other method has one."""
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    for kernel in (np.array([[1.0], [-2.0], [0.5]]), np.zeros((3, 1))):
        model.set_weights([kernel, np.array([30.0])])
        a = kx.attribute(model, x, "lime", n_samples=100, ridge=1e-6)
        np.testing.assert_allclose(a.r2, 1, atol=1e-4)
    assert kx.attribute(model, x, "saliency").r2 is None


@pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 2), ((3, 2), (3, 1)), (None, None)])
def test_occlusion_is_a_loop_over_windows(cnn, images, window, stride):
    """One picture a window through the model; an entry has the mean over the windows that cover it."""
    options = {k: v for k, v in (("window", window), ("stride", stride)) if v is not None}
    found = kx.attribute(cnn, images, "occlusion", target=1, baseline=0.5, **options).values
    h, w = np.broadcast_to(1 if window is None else window, 2)
    down, across = np.broadcast_to(1 if window is None else window if stride is None else stride, 2)
    logits = keras.Model(cnn.input, cnn.layers[-2].output)
    dense = cnn.layers[-1]
    score = lambda z: (to_numpy(logits(z)) @ to_numpy(dense.kernel) + to_numpy(dense.bias))[:, 1]  # noqa: E731
    full, total, count = score(images), np.zeros((6, 8, 8, 1)), np.zeros((1, 8, 8, 1))
    for top in sorted({min(t, 8 - h) for t in range(0, 8 - h + down, down)}):
        for left in sorted({min(t, 8 - w) for t in range(0, 8 - w + across, across)}):
            hidden = images.copy()
            hidden[:, top : top + h, left : left + w] = 0.5
            total[:, top : top + h, left : left + w] += (full - score(hidden))[:, None, None, None]
            count[:, top : top + h, left : left + w] += 1
    np.testing.assert_allclose(found, np.broadcast_to(total / count, images.shape), atol=1e-5)


def test_rise_finds_the_place_that_counts():
    """A model that adds one place up: the map is the covariance of the mask with itself there, largest at that place."""
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(1, use_bias=False)])
    kernel = np.zeros((64, 1), np.float32)
    kernel[2 * 8 + 5] = 1
    model.set_weights([kernel])
    a = kx.attribute(model, np.ones((1, 8, 8, 1), np.float32), "rise", n_samples=600, cells=4)
    assert np.unravel_index(a.values[0].argmax(), (8, 8)) == (2, 5)
    # Var(m) of a cell that is there or not with p = ½ is at most ¼, and is divided by p.
    assert 0.1 < a.values[0].max() < 0.5
    assert abs(a.values[0][:, 0].mean()) < 0.05
    other = kx.attribute(model, np.ones((1, 8, 8, 1), np.float32), "rise", n_samples=600, cells=4, seed=1)
    assert not np.array_equal(other.values, a.values)


def test_pictures_are_cut_into_cells_or_segments(cnn, images):
    """Without groups sixteen cells; with an integer map its segments, each with one value for all its entries."""
    segments = np.zeros((8, 8), int)
    segments[:, 4:] = 7
    a = kx.attribute(cnn, images, "kernel_shap", target=1, groups=segments)
    assert [len(np.unique(v)) for v in a.values] == [2] * 6
    cells = kx.attribute(cnn, images, "lime", target=1, n_samples=40).values
    assert [len(np.unique(v)) for v in cells] == [16] * 6


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("occlusion", {"window": 0}, "positive integer"),
        ("occlusion", {"window": 9}, r"larger than the input.*\(8, 8, 2\)"),
        ("occlusion", {"window": (1, 2, 3, 4)}, "4 sides"),
        ("kernel_shap", {"n_samples": 1}, "2 or more"),
        ("kernel_shap", {"groups": np.zeros((3, 3), int)}, r"\(3, 3\).*\(8, 8\)"),
        ("kernel_shap", {"groups": {"far": [500]}}, "column 500, a sample has 128"),
        ("kernel_shap", {"background": np.zeros((3, 4))}, r"background has shapes \[\(3, 4\)\]"),
        ("lime", {"ridge": 0}, "positive number"),
        ("rise", {"probability": 1.0}, "between 0 and 1"),
        ("smoothgrad", {"reduce": "median"}, "variance"),
        ("smoothgrad", {"stdevs": -1.0}, "no negative"),
        ("smoothgrad", {"stdevs": np.ones(3)}, r"\(3,\)"),
        ("expected_gradients", {"n_steps": 0}, "positive integer"),
    ],
)
def test_bad_options_are_errors_in_words(cnn, images, method, options, words):
    """What came, what is expected."""
    with pytest.raises(kx.InvalidInput, match=words):
        kx.attribute(cnn, images, method, **options)


@pytest.mark.parametrize("method", ["occlusion", "lime", "kernel_shap"])
def test_a_channel_that_is_not_in_use_has_no_value(method):
    """Channels of a series are taken away by themselves; a linear model's values are its summands."""
    r = np.random.default_rng(0)
    x, weights = r.normal(size=(4, 10, 3)).astype(np.float32), r.normal(size=(10, 1)).astype(np.float32)
    inputs = keras.Input((10, 3))
    head = keras.layers.Dense(1, use_bias=False)
    model = keras.Model(inputs, head(inputs[..., 0]))
    head.set_weights([weights])
    values = kx.attribute(model, x, method).values
    tolerance = {"rtol": 0.05, "atol": 0.02} if method == "lime" else {"rtol": 1e-3, "atol": 1e-4}
    np.testing.assert_allclose(values[..., 0], x[..., 0] * weights[:, 0], **tolerance)
    np.testing.assert_allclose(values[..., 1:], 0, atol=tolerance["atol"])


def test_windows_over_a_long_series_stay_few():
    """One time step of one channel, or as many as leave about a thousand windows; a number takes all channels."""
    occlusion = METHODS["occlusion"]

    def count(length, channels):
        windows = occlusion()._windows((length, channels), holds_tokens=False)
        sides = [side for _, side, _ in windows]
        return -(-length // sides[0]) * -(-channels // sides[1])

    assert (count(10, 3), count(1000, 12)) == (30, 1008)
    assert occlusion()._axes((10, 3)) == (0, 1)
    assert occlusion(2)._axes((10, 3)) == (0,)


@pytest.mark.parametrize("width", [1, 16])
def test_an_occluded_token_costs_its_score_whatever_the_width_of_its_embedding(width):
    """A mean over embeddings, then a line: each token's loss is its own summand."""
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((6,), dtype="int32"),
        keras.layers.Embedding(20, width),
        keras.layers.GlobalAveragePooling1D(),
    ]
    model = keras.Sequential([*layers, keras.layers.Dense(1)])
    tokens = np.random.default_rng(0).integers(1, 20, (3, 6))
    table, kernel = to_numpy(model.layers[0].embeddings), to_numpy(model.layers[2].kernel)
    np.testing.assert_allclose(
        kx.attribute(model, tokens, "occlusion").values, (table[tokens] @ kernel)[..., 0] / 6, rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize("features", [12, 90])
def test_fits_of_few_and_of_many_features_are_the_normal_equations(features):
    """Solved in features × features, as the definitions have them, whether there are more features than copies or less."""
    generator = np.random.default_rng(1)
    present = generator.random((40, features)) < 0.5
    weight, scores = generator.random(40), generator.normal(size=40)
    z = present.astype(float)
    centred = z - weight @ z / weight.sum()
    normal = centred.T @ np.diag(weight) @ centred + 0.3 * np.eye(features)
    expected = np.linalg.solve(normal, centred.T @ (weight * scores))
    np.testing.assert_allclose(ridge(centred, weight, 0.3).matrix @ scores, expected, atol=1e-9)
    # The shortest least squares, moved into the constraint along (Zᵀ W Z)⁺ 1.
    inverse = np.linalg.pinv(z.T @ np.diag(weight) @ z, rcond=1e-10)
    free, ones = inverse @ z.T @ (weight * scores), inverse.sum(1)
    expected = free + ones / ones.sum() * (2.0 - free.sum())
    fit = constrained(present, weight)
    values = to_numpy(fit.of(scores[None].astype(np.float32), np.array([[2.0]], np.float32)))[0]
    np.testing.assert_allclose(values, expected, atol=3e-5)
    assert values.sum() == pytest.approx(2.0, abs=1e-5)


@pytest.mark.parametrize(("length", "window", "stride"), [(2500, 1, 1), (2500, 7, 3), (1100, 1100, 1), (2300, 2, 5)])
def test_windows_over_a_long_axis(length, window, stride):
    """The loss of a linear score is that of the window's own terms; each entry has the mean over the windows over it."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((length,)), layers.Dense(1, use_bias=False)])
    x = np.random.default_rng(0).normal(size=(2, length)).astype(np.float32)
    terms = x.astype(float) * to_numpy(model.weights[0])[:, 0]
    sums, counts = np.zeros_like(terms), np.zeros(length)
    begin = 0
    while True:
        first = min(begin, length - window)
        sums[:, first : first + window] += terms[:, first : first + window].sum(1, keepdims=True)
        counts[first : first + window] += 1
        if begin + window >= length:
            break
        begin += stride
    a = kx.attribute(model, x, "occlusion", window=window, stride=stride, baseline=np.zeros(length), verbose=False)
    np.testing.assert_allclose(a.values, sums / np.maximum(counts, 1), atol=3e-5)
