"""What captum and shap say of the same networks; `references.md` tells how the arrays were made."""

from pathlib import Path

import keras
import numpy as np
import pytest

import keras_xai as kx

layers = keras.layers
REFERENCES = Path(__file__).parent / "references"
OPTIONS = {
    "integrated_gradients": {"n_steps": 64},
    "expected_gradients": {"n_steps": 64},
    "occlusion": {"window": 2},
}
PICTURES = ("saliency", "input_x_gradient", "integrated_gradients", "deeplift", "occlusion", "hires_cam", "grad_cam")
AT_LAYERS = ("saliency", "input_x_gradient", "internal_influence", "integrated_gradients", "deeplift")
PATHS = ("integrated_gradients", "deeplift")  # from the stored baseline; the others from zero


def read(name):
    with np.load(REFERENCES / f"{name}.npz") as file:
        return dict(file)


@pytest.fixture(scope="module", params=["smooth", "kinked"])
def pictures(request):
    stored = read(request.param)
    activation, pool = (
        ("softplus", layers.AveragePooling2D) if request.param == "smooth" else ("relu", layers.MaxPooling2D)
    )
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(4, 3, activation=activation, name="first"),
            layers.Conv2D(5, 3, activation=activation, name="second"),
            pool(2),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.set_weights([stored[f"weight_{k}"] for k in range(6)])
    return request.param, model, stored


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("method", PICTURES)
def test_pictures_agree_with_captum_and_shap(pictures, method):
    """Relative L2; a kink that rounding flips costs more, and so does a difference of two nearly equal scores."""
    name, model, stored = pictures
    options = dict(OPTIONS.get(method, {}))
    if method in PATHS:
        options["baseline"] = stored["baseline"]
    if method.endswith("cam"):
        options["layer"] = "second"
    found = kx.attribute(model, stored["x"], method, target=1, **options).values
    expected = stored[method] if found.ndim == 4 else stored[method][..., 0]
    smooth = 1e-5 if method in ("occlusion", "deeplift") else 2e-6
    assert relative(found, expected) < (smooth if name == "smooth" else 1e-3)


@pytest.mark.every_backend
@pytest.mark.parametrize("method", AT_LAYERS)
def test_layers_agree_with_captum(method):
    """At the outputs of both convolutions; captum's conductance is a sum of first order over 4,000 steps."""
    stored = read("layers")
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(4, 3, activation="softplus", name="first"),
            layers.Conv2D(5, 3, activation="softplus", name="second"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.set_weights([stored[f"weight_{k}"] for k in range(6)])
    for layer in ("first", "second"):
        options = {"n_steps": 64} if method in ("integrated_gradients", "internal_influence") else {}
        found = kx.attribute(model, stored["x"], method, target=1, baseline=stored["baseline"], layer=layer, **options)
        tolerance = {"integrated_gradients": 1e-3, "deeplift": 1e-5}.get(method, 2e-6)
        assert relative(found.values, stored[f"{layer} {method}"]) < tolerance


@pytest.mark.parametrize("method", ["kernel_shap", "expected_gradients"])
def test_tables_agree_with_shap_and_captum(method):
    """Exact Shapley values over a background; the mean of captum's paths from each of its rows."""
    stored = read("table")
    model = keras.Sequential([keras.Input((6,)), layers.Dense(10, activation="tanh"), layers.Dense(3)])
    model.set_weights([stored[f"weight_{k}"] for k in range(4)])
    a = kx.attribute(model, stored["x"], method, target=1, background=stored["baseline"], **OPTIONS.get(method, {}))
    assert relative(a.values, stored[method]) < 2e-6
