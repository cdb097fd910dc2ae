"""Concepts in a layer: each figure against a slow twin, a closed form or another library."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_xai.backend import get_backend
from keras_xai.mapping import pooling
from keras_xai.mapping.concept_effects import LayerEffects, Splits, layer_effects, p_values, readability

R = np.random.default_rng(0)


def test_effects_equal_the_plain_loops():
    """The mean derivative along the shift, for the true split and each random one; the share that is positive."""
    rows, slopes = R.normal(size=(14, 5)), R.normal(size=(9, 5))
    questions = np.array([0, 1, 0, 1, 1, -1, 0, 1, 1])
    splits = Splits(6, 8, draws=20)
    effects = layer_effects(rows, slopes, questions, 2, splits)
    for draw in range(-1, 20):
        chosen = splits.is_example if draw < 0 else splits.contrasts[:, draw + 1] > 0
        assert chosen.sum() == 6
        shift = rows[chosen].mean(0) - rows[~chosen].mean(0)
        for k in range(2):
            derivatives = [slope @ shift for slope, question in zip(slopes, questions, strict=True) if question == k]
            measured = effects.effect[k] if draw < 0 else effects.random[draw, k]
            assert measured == pytest.approx(np.mean(derivatives))
            if draw < 0:
                assert effects.share[k] == pytest.approx(np.mean(np.asarray(derivatives) > 0))


@pytest.mark.parametrize("width", [3, 40])
def test_readability_is_the_auc_of_refits(width):
    """Refits of scikit-learn's Ridge without each row in turn, at the same penalty, and its AUC."""
    from sklearn.linear_model import Ridge
    from sklearn.metrics import roc_auc_score

    from keras_xai.mapping.gram import GramDecomposition
    from keras_xai.mapping.ridge import ridge

    rows = R.normal(size=(25, width))
    is_example = np.arange(25) < 10
    rows[is_example, 0] += 1.5
    targets, centred = is_example.astype(float), rows - rows.mean(0)
    penalty = ridge(GramDecomposition(centred @ centred.T, is_gram=True), targets[:, None]).penalty
    scores = []
    for row in range(25):
        others = np.arange(25) != row
        fit = Ridge(penalty).fit(rows[others], targets[others])
        # The mean of the others, by which a left-out example is told from a counter-example, is replaced by that of all.
        scores.append(fit.predict(rows[row : row + 1])[0] + targets.mean() - targets[others].mean())
    assert readability(rows, is_example) == pytest.approx(roc_auc_score(is_example, scores), abs=1e-6)


def test_what_is_the_same_for_all_rows_tells_nothing():
    """A constant layer has no readability, and random rows none above chance."""
    constant = np.full((40, 3), 1e4, np.float32)
    assert np.isnan(readability(constant, np.arange(40) < 20))
    assert not Splits(20, 20).can_tell(np.nan)
    verdicts = [Splits(20, 20).can_tell(readability(R.normal(size=(40, 6)), np.arange(40) < 20)) for _ in range(100)]
    assert np.mean(verdicts) <= 0.06


def test_p_is_the_share_of_larger_random_effects():
    """A slow twin over two layers and two questions, with a floor; a layer that cannot tell it has none."""
    effects, randoms = R.normal(size=(2, 2)) * 2, R.normal(size=(2, 50, 2))
    layers = [LayerEffects(0.9, effect, random, effect) for effect, random in zip(effects, randoms, strict=True)]
    tested = p_values(layers, floor=0.3)
    assert p_values([], floor=0.3) == []
    errors = randoms.std(1)
    np.testing.assert_allclose([layer.error for layer in tested], errors)
    largest = (np.abs(randoms) / np.asarray(errors)[:, None]).transpose(1, 0, 2).reshape(50, 4).max(1)
    for layer in range(2):
        for question in range(2):
            excess = (abs(effects[layer, question]) - 0.3) / errors[layer][question]
            assert tested[layer].p[question] == pytest.approx((1 + sum(m >= excess for m in largest)) / 51)


def test_the_level_holds_for_examples_that_are_random_rows():
    """Over four layers and five questions together, about 5 % are at or below 0.05 with no floor."""
    false, trials = 0, 200
    slopes, questions = [R.normal(size=(30, 8)) for _ in range(4)], np.arange(30) % 5
    splits = Splits(20, 30, draws=99)
    for _ in range(trials):
        layers = [layer_effects(R.normal(size=(50, 8)), slope, questions, 5, splits) for slope in slopes]
        false += min(tested.p.min() for tested in p_values(layers, 0.0)) <= 0.05
    assert false / trials <= 0.09


def test_slopes_of_zero_are_no_effect():
    """An answer that does not depend on the layer has p 1 and no NaN."""
    layer = layer_effects(R.normal(size=(20, 3)), np.zeros((6, 3)), np.zeros(6, int), 1, Splits(10, 10, draws=9))
    (tested,) = p_values([layer], 0.0)
    assert layer.effect.tolist() == [0]
    assert tested.p.tolist() == [1]


def lifted(rows, shape, mask=None):
    """The activation that moves each pooled number by one: the same at all places that it is the mean of, by plain loops."""
    batch, *sides, channels = shape
    if len(sides) == 1:
        places = np.ones(shape[:2]) if mask is None else mask
        return rows[:, None, :] * places[:, :, None]
    cells, factor = list(sides), [1] * len(sides)
    while np.prod(cells) * channels > pooling.MAX_COLUMNS and max(cells) > 1:
        factor = [f * (2 if side > 1 else 1) for f, side in zip(factor, cells, strict=True)]
        cells = [-(-side // 2) if side > 1 else 1 for side in cells]
    by_cell = rows.reshape(batch, *cells, channels)
    for axis, (side, f) in enumerate(zip(sides, factor, strict=True), 1):
        by_cell = np.take(by_cell, np.arange(side) // f, axis=axis)
    return by_cell


@pytest.mark.every_backend
@pytest.mark.parametrize("shape", [(3, 6), (3, 5, 4), (3, 7, 5, 4), (2, 8, 8, 3), (2, 5, 4, 3, 2)])
@pytest.mark.parametrize("is_masked", [False, True])
def test_slopes_of_pooled_rows_are_the_transpose_of_a_move(shape, is_masked, monkeypatch):
    """⟨slope, move of the rows⟩ = ⟨gradient, move of all places alike⟩, which moves the pooled rows by just that."""
    if is_masked and len(shape) != 3:
        pytest.skip("masks are of sequences")
    monkeypatch.setattr(pooling, "MAX_COLUMNS", 24)
    mask = (np.arange(shape[1]) < np.array([[5], [2], [1]])).astype("float32") if is_masked else None
    gradient, zero = R.normal(size=shape).astype("float32"), np.zeros(shape, "float32")
    tensor, numpy = keras.ops.convert_to_tensor, get_backend().numpy
    mask_tensor = None if mask is None else tensor(mask)
    slopes = numpy(pooling.pool_gradient(tensor(gradient), mask_tensor, False))
    move = R.normal(size=slopes.shape).astype("float32")
    moved = zero + lifted(move, shape, mask) if len(shape) > 2 else move
    pooled = pooling.pool_activation(
        tensor(moved.astype("float32")), tensor(np.ones(shape[0], "f4")), mask_tensor, "", False
    )
    np.testing.assert_allclose(numpy(pooled.rows), move, atol=1e-5)
    np.testing.assert_allclose((slopes * move).sum(), (gradient * moved).sum(), rtol=1e-4)
