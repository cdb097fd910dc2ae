"""A second backend is one folder and one line: attributions of a linear model by the toy are the closed forms."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai import backend
from tests.backend import toy

pytestmark = pytest.mark.tensorflow  # tensors of PyTorch do not mix with arrays of NumPy, which the toy has

R = np.random.default_rng(0)
X = R.normal(size=(5, 3)).astype("float32")
BASE = R.normal(size=3).astype("float32")
W = R.normal(size=(3, 2)).astype("float32")

METHODS = {
    "saliency": lambda w: np.broadcast_to(w, X.shape),
    "input_x_gradient": lambda w: X * w,
    "integrated_gradients": lambda w: (X - BASE) * w,
    "smoothgrad": lambda w: np.broadcast_to(w, X.shape),
    "expected_gradients": lambda w: (X - BASE) * w,
    "occlusion": lambda w: (X - BASE) * w,
    "kernel_shap": lambda w: (X - BASE) * w,
}


@pytest.fixture
def registered(monkeypatch):
    """The line: the toy in the place of Keras' own framework."""
    monkeypatch.setitem(backend.FRAMEWORKS, keras.backend.backend(), toy.__name__)
    backend.get_backend.cache_clear()
    toy.calls.clear()
    yield
    monkeypatch.undo()
    backend.get_backend.cache_clear()


@pytest.fixture
def model():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="scores")])
    model.set_weights([W, np.ones(2, "float32")])
    return model


@pytest.mark.parametrize("method", METHODS)
def test_attributions_on_the_toy_are_the_closed_forms(registered, model, method):
    """Through `kx.attribute`, in chunks, with the score and the completeness that belong to them."""
    a = kx.attribute(model, X, method, target=1, baseline=BASE, verbose=False)
    assert "compiled" in toy.calls
    np.testing.assert_allclose(a.values, METHODS[method](W[:, 1]), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(a.score, (X @ W)[:, 1] + 1, rtol=1e-4)
    assert a.completeness_error is None or a.completeness_error.max() < 1e-3


def test_importance_and_metrics_run_on_the_toy(registered, model):
    """What stands above the seam needs nothing else of a backend."""
    _, values = kx.importance(model, X, "saliency")
    predicted = (X @ W + 1).argmax(1)
    np.testing.assert_allclose(values, np.abs(W.T[predicted]).mean(0), rtol=1e-3)
    curve = kx.metrics.deletion(model, X, np.abs(X), target=0, baseline=BASE, steps=3)
    np.testing.assert_allclose(
        curve[:, [0, -1]], np.stack([(X @ W)[:, 0], np.full(5, BASE @ W[:, 0])], 1) + 1, rtol=1e-4
    )


def test_what_the_toy_cannot_do_is_said(registered, model):
    """As of any backend."""
    with pytest.raises(kx.InvalidInput, match="DeepLIFT has no rule for anything"):
        kx.attribute(model, X, "deeplift", target=1)


SALIENCY_NEEDS = ("compiles", "compiled", "numpy", "dense_tensor", "find_logits", "take_target", "forward_with_vjp")


def test_a_partial_backend_serves_what_it_has(monkeypatch, model):
    """Saliency runs on the functions that the how-to names; an error names the one that another method needs."""
    page = (Path(__file__).parents[2] / "docs/development/add_a_backend.md").read_text(encoding="utf-8")
    assert [name for name in SALIENCY_NEEDS if f"`{name}`" not in page] == []
    partial = types.ModuleType("partial_backend")
    vars(partial).update({name: getattr(toy, name) for name in SALIENCY_NEEDS})
    monkeypatch.setitem(sys.modules, "partial_backend", partial)
    monkeypatch.setitem(backend.FRAMEWORKS, keras.backend.backend(), "partial_backend")
    backend.get_backend.cache_clear()
    try:
        a = kx.attribute(model, X, "saliency", target=1, verbose=False)
        np.testing.assert_allclose(a.values, np.broadcast_to(W[:, 1], X.shape), rtol=1e-3)
        with pytest.raises(AttributeError, match="The backend partial_backend has no function 'constant'"):
            kx.attribute(model, X, "integrated_gradients", target=1, baseline=BASE, verbose=False)
    finally:
        monkeypatch.undo()
        backend.get_backend.cache_clear()


def test_no_framework_is_imported_before_a_backend_is_asked_for():
    """The seam itself is a protocol and a table."""
    code = (
        "import keras_xai.backend.protocol, sys; assert not {'keras', 'tensorflow', 'torch', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_toy_names_no_framework():
    """It is written with NumPy and Keras."""
    assert "tensorflow" not in Path(toy.__file__).read_text(encoding="utf-8")
