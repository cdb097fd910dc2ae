"""What Quantus says of the same maps; `references.md` tells how the arrays were made."""

from pathlib import Path

import keras
import numpy as np
import pytest

import keras_xai as kx

layers = keras.layers
pytestmark = pytest.mark.every_backend
FILE = Path(__file__).parent / "references" / "quantus.npz"
PATCH, DRAWS, RADIUS = 2, 6, 0.05  # as in make_quantus_references.py


@pytest.fixture(scope="module", params=["grey", "colour"])
def quantus(request):
    """A network of softplus, its samples, their maps, and the scores that Quantus gives them."""
    with np.load(FILE) as file:
        stored = {key.partition("/")[2]: file[key] for key in file if key.startswith(f"{request.param}/")}
    x = stored["x"]
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.Conv2D(4, 3, activation="softplus"),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    model.set_weights([stored[f"weight_{k}"] for k in range(4)])
    return model, x, stored["values"], stored


def close(figures, expected):
    np.testing.assert_allclose(figures, expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("order", ["morf", "lerf"])
def test_region_perturbation(quantus, order):
    """Patches of 2 × 2 pixels with all channels, set to zero, the drop after each."""
    model, x, values, stored = quantus
    drop = kx.metrics.region_perturbation(model, x, values, target=1, patch=PATCH, regions=16, order=order)
    close(drop[:, 1:], stored[f"region_perturbation_{order}"])


def test_pixel_flipping(quantus):
    """Four pixels a step, set to zero; of one channel, since Quantus flips each channel by itself."""
    model, x, values, stored = quantus
    if x.shape[-1] > 1:
        pytest.skip("one channel alone can be compared")
    close(kx.metrics.pixel_flipping(model, x, values, target=1, entries=4)[:, 1:], stored["pixel_flipping"])


def test_infidelity(quantus):
    """Quantus sets one patch after the other to zero, and so gives slopes the copies in which all up to it are."""
    model, x, values, stored = quantus
    copy, copies = x.copy(), []
    for up in range(0, 8, PATCH):
        for left in range(0, 8, PATCH):
            copy[:, up : up + PATCH, left : left + PATCH] = 0
            copies.append(copy.copy())
    close(kx.metrics.infidelity(model, x, values, quantity="slope", target=1, perturbed=copies), stored["infidelity"])


def test_max_sensitivity(quantus):
    """The same draws, the same gradient, relative to the map's own norm."""
    model, x, _, stored = quantus
    close(kx.metrics.sensitivity(model, x, "saliency", target=1, samples=DRAWS, radius=RADIUS), stored["sensitivity"])


def test_smooth_mprt(quantus):
    """The same noise and the same shuffled weights, from the first layer to the last; Quantus gives a figure a sample."""
    model, x, _, stored = quantus
    scores = kx.metrics.smooth_randomisation(model, x, "saliency", target=1, samples=DRAWS, spread=0.1)
    close(list(scores.values()), stored["smooth_randomisation"].mean(1))
