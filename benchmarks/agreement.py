"""Compare values with those of captum and shap on the very same model: a Keras model on PyTorch is a module of torch's.

    pip install --no-deps captum shap; pip install numba slicer cloudpickle tqdm matplotlib     # beside torch, optional
    KERAS_BACKEND=torch python -m benchmarks.agreement

Prints the largest difference of a row, relative to the row's largest value (median and worst row), and ends with 1 where the
median is above 1e-5 or more than a tenth of the rows are off by more than 1e-4. At a kink rounding decides for one side, so that
single rows may differ. DeepLIFT is not among them: both libraries replace modules of activations, and Keras calls functions.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import keras_xai as kx

TARGET = 1
N_STEPS = 64
MEDIAN, WORST, SHARE = 1e-5, 1e-4, 0.1


def networks() -> dict[str, tuple[keras.Model, np.ndarray]]:
    """Models that end in logits, with samples."""
    layers, r = keras.layers, np.random.default_rng(0)
    images = r.normal(size=(32, 12, 12, 3)).astype("float32")
    models = {}
    for name, activation, pooling in (
        ("smooth", "softplus", layers.AveragePooling2D),
        ("kinked", "relu", layers.MaxPooling2D),
    ):
        stack = [
            layers.Conv2D(8, 3, activation=activation),
            layers.BatchNormalization(),
            layers.Conv2D(8, 3, activation=activation, name="last"),
            pooling(2),
            layers.Flatten(),
            layers.Dense(4),
        ]
        models[f"{name} images"] = keras.Sequential([keras.Input((12, 12, 3)), *stack]), images
    table = keras.Sequential([keras.Input((8,)), layers.Dense(16, "gelu"), layers.Dense(16, "tanh"), layers.Dense(3)])
    models["table"] = table, r.normal(size=(32, 8)).astype("float32")
    for model, _ in models.values():
        model.set_weights([r.normal(size=w.shape) * 0.3 if w.ndim > 1 else np.abs(w) for w in model.get_weights()])
    return models


def peers(model: keras.Model, x: np.ndarray, baseline: np.ndarray) -> dict[str, tuple[str, Callable[[], Any]]]:
    """By method, the library and its values for class `TARGET`."""
    import captum
    import shap
    import torch
    from captum import attr

    rows, start = torch.tensor(x), torch.tensor(baseline)
    of_captum, of_shap = f"captum {captum.__version__}", f"shap {shap.__version__}"

    class Chosen(torch.nn.Module):
        """The explained class alone, (n, 1)."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, z: Any) -> Any:
            return self.model(z, training=False)[:, TARGET : TARGET + 1]

    chosen = Chosen().eval()
    runs: dict[str, tuple[str, Callable[[], Any]]] = {
        "saliency": (of_captum, lambda: attr.Saliency(model).attribute(rows, target=TARGET, abs=False)),
        "input_x_gradient": (of_captum, lambda: attr.InputXGradient(model).attribute(rows, target=TARGET)),
        "integrated_gradients": (
            of_captum,
            lambda: attr.IntegratedGradients(model).attribute(rows, start, target=TARGET, n_steps=N_STEPS),
        ),
        "expected_gradients": (
            of_captum,
            # The mean over paths from each row of the background, which the baseline is one of here.
            lambda: attr.IntegratedGradients(model).attribute(rows, start, target=TARGET, n_steps=N_STEPS),
        ),
    }
    if x.ndim == 4:
        last = model.get_layer("last")
        runs["hires_cam"] = (
            of_captum,
            lambda: attr.LayerGradientXActivation(model, last).attribute(rows, target=TARGET).sum(-1),
        )
        runs["occlusion"] = (
            of_captum,
            lambda: attr.Occlusion(model).attribute(
                rows, target=TARGET, baselines=start, sliding_window_shapes=(2, 2, 3), strides=(2, 2, 3)
            ),
        )
    else:
        runs["occlusion"] = (
            of_captum,
            lambda: attr.FeatureAblation(model).attribute(rows, baselines=start, target=TARGET),
        )
        function = lambda z: chosen(torch.tensor(z.astype("float32"))).detach().numpy()[:, 0]  # noqa: E731
        explainer = shap.explainers.Exact(function, shap.maskers.Independent(baseline))
        runs["kernel_shap"] = of_shap, lambda: explainer(x).values
    return runs


OPTIONS: dict[str, dict[str, Any]] = {
    "integrated_gradients": {"n_steps": N_STEPS},
    "expected_gradients": {"n_steps": N_STEPS},
    "hires_cam": {"layer": "last"},
}


def values(model: keras.Model, x: np.ndarray, baseline: np.ndarray, method: str) -> np.ndarray:
    """Ours, for the same question."""
    options = OPTIONS.get(method, {}) | ({"window": 2} if method == "occlusion" and x.ndim == 4 else {})
    if method == "expected_gradients":
        options |= {"background": baseline}
    elif method not in ("saliency", "input_x_gradient", "hires_cam"):
        options |= {"baseline": baseline[0]}
    result: np.ndarray = kx.attribute(model, x, method, target=TARGET, verbose=False, **options).values
    return result


def differences(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Of each row, relative to its largest value."""
    flat, others = ours.reshape(len(ours), -1), theirs.reshape(len(theirs), -1)
    of_rows: np.ndarray = np.abs(flat - others).max(1) / np.abs(others).max(1)
    return of_rows


def main() -> None:
    if keras.backend.backend() != "torch":
        sys.exit("Set KERAS_BACKEND=torch: captum and shap run modules of torch's.")
    print("| model | method | beside | median row | worst row |\n|---|---|---|---|---|")
    has_failed = False
    for name, (model, x) in networks().items():
        baseline = np.full((1, *x.shape[1:]), 0.1, "float32")
        for method, (library, run) in peers(model, x, baseline).items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                theirs = run()
            theirs = theirs.detach().numpy() if hasattr(theirs, "detach") else np.asarray(theirs)
            of_rows = differences(values(model, x, baseline, method), theirs)
            is_off = np.median(of_rows) > MEDIAN or np.mean(of_rows > WORST) > SHARE
            has_failed = has_failed or is_off
            verdict = " (off)" if is_off else ""
            print(f"| {name} | {method} | {library} | {np.median(of_rows):.1e} | {of_rows.max():.1e}{verdict} |")
    sys.exit(1 if has_failed else 0)


if __name__ == "__main__":
    main()
