"""One decomposition of a layer, and what follows from it: against slow twins and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from keras_xai.mapping.cka import linear_cka
from keras_xai.mapping.gram import GramDecomposition
from keras_xai.mapping.ridge import ridge

SHAPES = [(24, 5), (24, 60), (40, 39), (40, 40)]


def data(size, width, seed=0):
    """Columns of different spread, far from the origin."""
    r = np.random.default_rng(seed)
    return r.normal(size=(size, width)) @ np.diag(np.linspace(0.1, 3, width)) + 5 * r.normal(size=width)


def decomposition(x):
    z = x - x.mean(0)
    wide = z.shape[1] > len(z)
    return GramDecomposition(z @ z.T if wide else z, wide)


def unbiased_hsic(x, y):
    """Song et al. 2012, equation 5, from uncentred Gram matrices without their diagonal."""
    n = len(x)
    k, l = x @ x.T, y @ y.T  # noqa: E741
    np.fill_diagonal(k, 0)
    np.fill_diagonal(l, 0)
    one = np.ones(n)
    total = (
        np.trace(k @ l) + (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ k @ l @ one)
    )
    return total / (n * (n - 3))


def biased_hsic(x, y):
    """tr(KHLH), Gretton et al. 2005."""
    n = len(x)
    h = np.eye(n) - 1 / n
    return np.trace(x @ x.T @ h @ y @ y.T @ h)


@pytest.mark.parametrize(("one", "other"), [(a, b) for a in SHAPES for b in SHAPES if a[0] == b[0]])
def test_unbiased_cka_from_decompositions_is_that_from_gram_matrices(one, other):
    """Rows with rows, rows with Gram matrices, Gram matrices with each other; centred or not."""
    x, y = data(*one), data(*other, seed=1)
    y[:, : min(one[1], other[1], 3)] += x[:, : min(one[1], other[1], 3)]
    f, g = decomposition(x), decomposition(y)
    n = len(x)
    expected = unbiased_hsic(x, y) / np.sqrt(unbiased_hsic(x, x) * unbiased_hsic(y, y))
    assert linear_cka(f, g) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    centred = [a - a.mean(0) for a in (x, y)]
    assert f.unbiased_hsic(g) / (n * (n - 3)) == pytest.approx(unbiased_hsic(*centred), rel=1e-9)


@pytest.mark.parametrize(("one", "other"), [(SHAPES[0], SHAPES[1]), (SHAPES[2], SHAPES[3])])
def test_the_inner_product_is_the_naive_trace(one, other):
    """⟨K, L⟩ of centred layers is tr(KHLH), so the biased CKA follows too, to 1e-12."""
    x, y = data(*one), data(*other, seed=1)
    f, g = decomposition(x), decomposition(y)
    cka = f.inner_product(g) / np.sqrt(f.inner_product(f) * g.inner_product(g))
    naive = biased_hsic(x, y) / np.sqrt(biased_hsic(x, x) * biased_hsic(y, y))
    assert cka == pytest.approx(naive, abs=1e-12)


def test_layers_that_have_nothing_to_do_with_each_other_score_nothing():
    """Independent noise: 0 within its error, where the biased form says 0.5; the same layer turned and scaled: 1."""
    r = np.random.default_rng(0)
    found = []
    for _ in range(20):
        x, y = r.normal(size=(64, 64)), r.normal(size=(64, 64))
        found.append(linear_cka(decomposition(x), decomposition(y)))
    assert abs(np.mean(found)) < 0.02
    f, g = decomposition(x), decomposition(y)
    assert f.inner_product(g) / np.sqrt(f.inner_product(f) * g.inner_product(g)) > 0.4
    turned = x @ np.linalg.qr(r.normal(size=(64, 64)))[0] * 7 + 3
    assert linear_cka(decomposition(x), decomposition(turned)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_coordinates_are_principal_components(shape):
    """scikit-learn's PCA, up to sign."""
    x = data(*shape)
    expected = PCA(4, svd_solver="full").fit_transform(x)
    np.testing.assert_allclose(np.abs(decomposition(x).coordinates[:, :4]), np.abs(expected), atol=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
def test_participation_is_that_of_the_covariance(shape):
    """(Σλ)²/Σλ² of the eigenvalues of numpy's covariance matrix."""
    x = data(*shape)
    values = np.linalg.eigvalsh(np.cov(x.T))
    assert decomposition(x).participation_ratio == pytest.approx(values.sum() ** 2 / (values**2).sum(), rel=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_left_out_predictions_are_those_of_as_many_refits(shape):
    """scikit-learn's Ridge, with intercept, fitted once for every sample left out: 1e-10."""
    x = data(*shape)
    r = np.random.default_rng(2)
    targets = np.eye(3)[(x[:, 0] + r.normal(size=len(x)) > 0).astype(int) + (x[:, 1] > x[:, 1].mean())]
    f = decomposition(x)
    for penalty in (0.1, 3.0):
        fit = ridge(f, targets, [penalty])
        refits = np.empty_like(targets)
        for i in range(len(x)):
            rest = np.arange(len(x)) != i
            refits[i] = Ridge(alpha=penalty, solver="svd").fit(x[rest], targets[rest]).predict(x[i : i + 1])
        np.testing.assert_allclose(fit.left_out, refits, atol=1e-10)
        whole = Ridge(alpha=penalty, solver="svd").fit(x, targets)
        np.testing.assert_allclose(fit.coefficients(f, x - x.mean(0), targets), whole.coef_.T, atol=1e-10)


def test_the_penalty_is_the_one_with_the_smallest_left_out_error():
    """Of those given, by trying each."""
    x = data(40, 39)
    y = x[:, :1] + np.random.default_rng(0).normal(size=(40, 1))
    f, penalties = decomposition(x), np.logspace(-3, 5, 9)
    errors = [np.square(y - ridge(f, y, [p]).left_out).sum() for p in penalties]
    assert ridge(f, y, penalties).penalty == penalties[int(np.argmin(errors))]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 30), st.integers(1, 40), st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_cka_knows_neither_scale_nor_origin(seed, size, width, scale, shift):
    """Whatever the shape, it is at most 1 with itself and symmetric."""
    r = np.random.default_rng(seed)
    x, y = r.normal(size=(size, width)), r.normal(size=(size, 3))
    one, other = (
        linear_cka(decomposition(x), decomposition(y)),
        linear_cka(decomposition(scale * x + shift), decomposition(y)),
    )
    assert one == pytest.approx(other, abs=1e-4)
    assert linear_cka(decomposition(y), decomposition(x)) == pytest.approx(one, abs=1e-9)
    assert linear_cka(decomposition(y), decomposition(y)) == pytest.approx(1, abs=1e-9)


def test_nothing_has_no_figure():
    """A layer that gives the same for everybody: NaN, never 0; values that are not finite: an error."""
    same = GramDecomposition(np.zeros((10, 3)), is_gram=False)
    assert np.isnan(linear_cka(same, decomposition(data(10, 3))))
    assert np.isnan(same.participation_ratio)
    assert np.isnan(linear_cka(None, same))
    with pytest.raises(np.linalg.LinAlgError, match="not finite"):
        GramDecomposition(np.full((4, 2), np.nan), is_gram=False)
