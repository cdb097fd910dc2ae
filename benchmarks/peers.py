"""Other libraries on the question that a method answers: the same model, samples and number of passes.

`requirements-peers.txt` names the versions that were tried; each is imported where it is used, so that one which is not
installed, or does not run, is a line with its message. All get a model that ends in logits, as they ask for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

TARGET = 1


@dataclasses.dataclass
class Question:
    """The question that every library gets: class `TARGET` of these samples."""

    model: keras.Model  # ends in logits
    x: np.ndarray  # (n, 32, 32, 3)
    passes: int  # of methods that may choose
    window: int  # side, of occlusion
    masks: int  # of RISE, and copies of LIME

    @property
    def one_hot(self) -> np.ndarray:
        width = self.model.output_shape[-1]
        return np.tile(np.eye(width, dtype=np.float32)[TARGET], (len(self.x), 1))

    @property
    def last_convolution(self) -> str:
        return [layer.name for layer in self.model.layers if isinstance(layer, keras.layers.Conv2D)][-1]


Run = Callable[[], Any]
Peer = Callable[[Question], Run]


def _xplique(name: str, **options: Any) -> Peer:
    """All samples in batches of their number, through its own compiled functions."""

    def prepare(q: Question) -> Run:
        from xplique import attributions

        settings = {k: getattr(q, v) for k, v in options.items()}
        explainer = getattr(attributions, name)(q.model, batch_size=len(q.x), **settings)
        return lambda: np.asarray(explainer(q.x, q.one_hot))

    return prepare


def _tf_explain(name: str, **options: Any) -> Peer:
    """A call that also draws its grid of images: there is no way around it."""

    def prepare(q: Question) -> Run:
        from tf_explain import core

        module = {
            "VanillaGradients": core.vanilla_gradients,
            "GradientsInputs": core.gradients_inputs,
            "IntegratedGradients": core.integrated_gradients,
            "SmoothGrad": core.smoothgrad,
            "GradCAM": core.grad_cam,
            "OcclusionSensitivity": core.occlusion_sensitivity,
        }[name]
        settings = {k: getattr(q, v) for k, v in options.items()}
        # The score model is made by itself where it can be: the logits are its outputs.
        explainer = getattr(module, name)()
        explain = explainer.explain_score_model if name == "VanillaGradients" else explainer.explain
        return lambda: explain((q.x, None), q.model, class_index=TARGET, **settings)

    return prepare


def _saliency(name: str, smooth: bool = False, **options: Any) -> Peer:
    """PAIR's: one image at a time, with a call of the model that is compiled for it."""

    def prepare(q: Question) -> Run:
        import tensorflow as tf
        from saliency import core

        @tf.function
        def gradient(rows: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(rows)
                score = q.model(rows, training=False)[:, TARGET]
            return score, tape.gradient(score, rows)

        def call(rows: Any, call_model_args: Any = None, expected_keys: Any = None) -> dict[str, Any]:
            score, slope = gradient(tf.constant(np.asarray(rows), tf.float32))
            return {core.base.INPUT_OUTPUT_GRADIENTS: slope.numpy(), core.base.OUTPUT_LAYER_VALUES: score.numpy()}

        settings = {k: getattr(q, v) for k, v in options.items()}
        method = getattr(core, name)()
        ask = method.GetSmoothedMask if smooth else method.GetMask
        return lambda: [ask(row, call, **settings) for row in q.x]

    return prepare


def _shap_gradient(q: Question) -> Run:
    import shap

    explainer = shap.GradientExplainer(q.model, np.zeros((1, *q.x.shape[1:]), np.float32), batch_size=len(q.x))
    # One output, the one that the model ranks first: it has no way to be asked for another.
    return lambda: explainer.shap_values(q.x, nsamples=q.passes, ranked_outputs=1, rseed=0)


def _lime(q: Question) -> Run:
    """One image at a time; a square for each of its segments, as ours."""
    from lime.lime_image import LimeImageExplainer

    explainer = LimeImageExplainer(random_state=0)
    side = q.x.shape[1]
    cell = np.arange(side) * 4 // side
    segments = cell[:, None] * 4 + cell[None]
    predict = lambda rows: q.model.predict_on_batch(rows.astype(np.float32))  # noqa: E731

    def run() -> None:
        for row in q.x:
            explainer.explain_instance(
                row.astype(np.float64),
                predict,
                labels=(TARGET,),
                top_labels=None,
                hide_color=0,
                num_samples=q.masks,
                batch_size=len(q.x),
                segmentation_fn=lambda image: segments,
            )

    return run


PEERS: dict[str, dict[str, Peer]] = {
    "saliency": {
        "xplique": _xplique("Saliency"),
        "tf-explain": _tf_explain("VanillaGradients"),
        "saliency": _saliency("GradientSaliency"),
    },
    "input_x_gradient": {"xplique": _xplique("GradientInput"), "tf-explain": _tf_explain("GradientsInputs")},
    "integrated_gradients": {
        "xplique": _xplique("IntegratedGradients", steps="passes"),
        "tf-explain": _tf_explain("IntegratedGradients", n_steps="passes"),
        "saliency": _saliency("IntegratedGradients", x_steps="passes", batch_size="passes"),
    },
    "smoothgrad": {
        "xplique": _xplique("SmoothGrad", nb_samples="passes"),
        "tf-explain": _tf_explain("SmoothGrad", num_samples="passes"),
        "saliency": _saliency("GradientSaliency", smooth=True, nsamples="passes"),
    },
    "expected_gradients": {"shap": _shap_gradient},
    "grad_cam": {"xplique": _xplique("GradCAM"), "tf-explain": _tf_explain("GradCAM", layer_name="last_convolution")},
    "grad_cam_plus_plus": {"xplique": _xplique("GradCAMPP")},
    # PAIR's has a window at every pixel, one at a time: another question.
    "occlusion": {
        "xplique": _xplique("Occlusion", patch_size="window", patch_stride="window"),
        "tf-explain": _tf_explain("OcclusionSensitivity", patch_size="window"),
    },
    "rise": {"xplique": _xplique("Rise", nb_samples="masks")},
    "lime": {"lime": _lime},
}


# captum's floor is torch's own. On PyTorch it gets the Keras model itself, which is a module; elsewhere the network written out
# there, with the same weights.


@dataclasses.dataclass
class Module:
    """A module of torch's, and samples as it takes them."""

    module: Any
    rows: Any
    last_convolution: Any
    window: tuple[int, int, int]


def captum_module(q: Question) -> Module:
    """The module that captum explains."""
    import torch

    w, channels = q.window, q.x.shape[-1]
    if keras.backend.backend() == "torch":
        rows = keras.ops.convert_to_tensor(q.x)
        return Module(q.model, rows, q.model.get_layer(q.last_convolution), (w, w, channels))
    port = captum_port(q)
    last = [layer for layer in port if isinstance(layer, torch.nn.Conv2d)][-1]
    return Module(port, torch.tensor(q.x.transpose(0, 3, 1, 2).copy()), last, (channels, w, w))


def captum_port(q: Question) -> Any:
    """The model as a `torch.nn.Sequential`, channels first. Its values are compared with Keras' here."""
    import torch
    from torch import nn

    stack: list[nn.Module] = []
    size, channels = q.x.shape[1], q.x.shape[-1]
    for layer in q.model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel, bias = layer.get_weights()
            port_layer = nn.Conv2d(channels, layer.filters, layer.kernel_size, padding="same")
            port_layer.weight.data = torch.tensor(kernel.transpose(3, 2, 0, 1).copy())
            port_layer.bias.data = torch.tensor(bias)
            stack += [port_layer, nn.ReLU()]
            channels = layer.filters
        elif isinstance(layer, keras.layers.MaxPooling2D):
            stack.append(nn.MaxPool2d(2))
            size //= 2
        elif isinstance(layer, keras.layers.Flatten):
            stack.append(nn.Flatten())
        elif isinstance(layer, keras.layers.Dense):
            kernel, bias = layer.get_weights()
            # From (h, w, c) to (c, h, w), the order in which torch flattens.
            kernel = kernel.reshape(size, size, channels, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
            port_layer = nn.Linear(*kernel.shape)
            port_layer.weight.data, port_layer.bias.data = torch.tensor(kernel.T.copy()), torch.tensor(bias)
            stack.append(port_layer)
    port = nn.Sequential(*stack).eval()
    with torch.no_grad():
        scores = port(torch.tensor(q.x.transpose(0, 3, 1, 2).copy())).numpy()
    np.testing.assert_allclose(scores, q.model.predict_on_batch(q.x), rtol=1e-3, atol=1e-4)
    return port


def captum(method: str, q: Question) -> tuple[Run, Run] | None:
    """(captum's method, torch's own floor of as many passes); None where it has no such method."""
    import torch
    from captum import attr

    module = captum_module(q)
    port, rows, last, window = module.module, module.rows, module.last_convolution, module.window

    def backward(count: int) -> Run:
        def run() -> None:
            for _ in range(count):
                z = rows.clone().requires_grad_()
                torch.autograd.grad(port(z)[:, TARGET].sum(), z)

        return run

    def forward(count: int) -> Run:
        def run() -> None:
            with torch.no_grad():
                for _ in range(count):
                    port(rows)

        return run

    n = q.passes
    windows = (q.x.shape[1] // q.window) ** 2
    ask: dict[str, tuple[Run, Run]] = {
        "saliency": (lambda: attr.Saliency(port).attribute(rows, target=TARGET, abs=False), backward(1)),
        "input_x_gradient": (lambda: attr.InputXGradient(port).attribute(rows, target=TARGET), backward(1)),
        "integrated_gradients": (
            lambda: attr.IntegratedGradients(port).attribute(
                rows, target=TARGET, n_steps=n, internal_batch_size=len(rows)
            ),
            backward(n),
        ),
        "smoothgrad": (
            lambda: attr.NoiseTunnel(attr.Saliency(port)).attribute(
                rows, target=TARGET, nt_samples=n, nt_samples_batch_size=1, abs=False
            ),
            backward(n),
        ),
        "grad_cam": (lambda: attr.LayerGradCam(port, last).attribute(rows, target=TARGET), backward(1)),
        "occlusion": (
            lambda: attr.Occlusion(port).attribute(rows, target=TARGET, sliding_window_shapes=window, strides=window),
            forward(windows + 1),
        ),
    }
    return ask.get(method)
