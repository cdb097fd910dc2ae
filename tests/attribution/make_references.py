"""Makes `references/*.npz`: what captum and shap say of three small networks written in plain torch.

Run by hand, in an environment of its own; the tests read the arrays and need none of these libraries:

    python -m venv references-env
    references-env/bin/pip install torch==2.13.0 captum==0.9.0 shap==0.51.0
    references-env/bin/python tests/attribution/make_references.py

Weights and inputs are drawn here with numpy and stored beside the results, channels last. See `references.md`.
"""

import copy
from pathlib import Path

import captum
import numpy as np
import shap
import torch
from captum import attr
from captum._utils.gradient import compute_layer_gradients_and_eval
from torch import nn

HERE = Path(__file__).parent / "references"
TARGET = 1


class ChannelsLastFlatten(nn.Module):
    """(n, c, h, w) -> (n, h·w·c), the order in which a channels-last network flattens."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


def drawn(generator, *shapes):
    """Float32 weights, the larger the fewer inputs they have; biases a tenth."""
    return [
        (generator.normal(size=s) * (0.1 if len(s) == 1 else np.prod(s[:-1]) ** -0.5)).astype(np.float32)
        for s in shapes
    ]


def filled(layer, kernel, bias):
    """A torch layer with weights in Keras' layout."""
    order = (3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(kernel.transpose(order).copy()))
        layer.bias.copy_(torch.tensor(bias))
    return layer


def picture_network(weights, activation, pooling):
    """conv 3×3 (4) · conv 3×3 (5) · pooling 2 · dense (3), on (n, 2, 8, 8)."""
    k1, b1, k2, b2, k3, b3 = weights
    return nn.Sequential(
        filled(nn.Conv2d(2, 4, 3), k1, b1),
        activation(),
        filled(nn.Conv2d(4, 5, 3), k2, b2),
        activation(),
        pooling(2),
        ChannelsLastFlatten(),
        filled(nn.Linear(20, 3), k3, b3),
    )


class Chosen(nn.Module):
    """The explained class alone, (n, 1)."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)[:, TARGET : TARGET + 1]


def rescaled(net, x, base):
    """DeepLIFT by shap, which leaves hooks behind: on a copy. (captum's is not complete through maximum pooling.)"""
    found = np.asarray(shap.DeepExplainer(Chosen(copy.deepcopy(net)), base).shap_values(x))
    return torch.tensor(found.reshape(x.shape))


def last(tensor):
    """Channels last, as numpy."""
    found = tensor.detach().numpy()
    return (found.transpose(0, 2, 3, 1) if found.ndim == 4 else found).astype(np.float32)


def pictures(name, activation, pooling):
    generator = np.random.default_rng(0)
    weights = drawn(generator, (3, 3, 2, 4), (4,), (3, 3, 4, 5), (5,), (20, 3), (3,))
    x, base = (generator.normal(size=(4, 8, 8, 2)).astype(np.float32) for _ in range(2))
    net = picture_network(weights, activation, pooling)
    z, z0 = (torch.tensor(a.transpose(0, 3, 1, 2).copy()) for a in (x, base))
    conv = net[3]  # the second activation, which is the Keras layer's output
    integral = {"method": "gausslegendre", "n_steps": 64, "target": TARGET}
    layer = attr.LayerGradientXActivation(net, conv).attribute(z, target=TARGET)
    cam = attr.LayerGradCam(net, conv).attribute(z, target=TARGET, relu_attributions=True)
    found = {
        "saliency": attr.Saliency(net).attribute(z, target=TARGET, abs=False),
        "input_x_gradient": attr.InputXGradient(net).attribute(z, target=TARGET),
        "integrated_gradients": attr.IntegratedGradients(net).attribute(z, z0, **integral),
        "deeplift": torch.cat([rescaled(net, z[b : b + 1], z0[b : b + 1]) for b in range(len(x))]),
        "occlusion": attr.Occlusion(net).attribute(z, (2, 2, 2), strides=(2, 2, 2), baselines=0, target=TARGET),
        "hires_cam": layer.sum(1, keepdim=True),
        "grad_cam": cam,
    }
    save(name, x, base, weights, found)


def at_layers(name, activation, pooling):
    """What is said at the outputs of both convolutions of the same network, activations included."""
    generator = np.random.default_rng(0)
    weights = drawn(generator, (3, 3, 2, 4), (4,), (3, 3, 4, 5), (5,), (20, 3), (3,))
    x, base = (generator.normal(size=(4, 8, 8, 2)).astype(np.float32) for _ in range(2))
    net = picture_network(weights, activation, pooling)
    z, z0 = (torch.tensor(a.transpose(0, 3, 1, 2).copy()) for a in (x, base))
    found = {}
    for path, layer in (("first", net[1]), ("second", net[3])):
        slopes, _ = compute_layer_gradients_and_eval(net, layer, z, TARGET)
        integral = {"method": "gausslegendre", "n_steps": 64, "target": TARGET}
        product = attr.LayerGradientXActivation(net, layer).attribute(z, target=TARGET)
        # A sum of first order: many steps.
        fine = {"method": "riemann_middle", "n_steps": 4000, "target": TARGET}
        found |= {
            f"{path} saliency": slopes[0],
            f"{path} input_x_gradient": product,
            f"{path} internal_influence": attr.InternalInfluence(net, layer).attribute(z, z0, **integral),
            f"{path} integrated_gradients": attr.LayerConductance(net, layer).attribute(z, z0, **fine),
            f"{path} deeplift": attr.LayerDeepLift(net, layer).attribute(z, z0, target=TARGET),
        }
    save(name, x, base, weights, found)


def table(name):
    generator = np.random.default_rng(1)
    weights = drawn(generator, (6, 10), (10,), (10, 3), (3,))
    k1, b1, k2, b2 = weights
    x, background = (generator.normal(size=(n, 6)).astype(np.float32) for n in (4, 5))
    net = nn.Sequential(filled(nn.Linear(6, 10), k1, b1), nn.Tanh(), filled(nn.Linear(10, 3), k2, b2))
    z = torch.tensor(x)

    def score(rows):
        with torch.no_grad():
            return net(torch.tensor(np.asarray(rows, np.float32))).numpy()[:, TARGET].astype(np.float64)

    exact = shap.explainers.Exact(score, shap.maskers.Independent(background, max_samples=len(background)))
    paths = [
        attr.IntegratedGradients(net).attribute(
            z, torch.tensor(row)[None], method="gausslegendre", n_steps=64, target=TARGET
        )
        for row in background
    ]
    found = {
        "kernel_shap": torch.tensor(np.asarray(exact(x).values)),
        "expected_gradients": torch.stack(paths).mean(0),
    }
    save(name, x, background, weights, found)


def save(name, x, base, weights, found):
    arrays = {f"weight_{k}": w for k, w in enumerate(weights)} | {k: last(v) for k, v in found.items()}
    np.savez_compressed(HERE / f"{name}.npz", x=x, baseline=base, **arrays)


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    print(f"torch {torch.__version__}, captum {captum.__version__}, shap {shap.__version__}, numpy {np.__version__}")
    pictures("smooth", nn.Softplus, nn.AvgPool2d)
    pictures("kinked", nn.ReLU, nn.MaxPool2d)
    table("table")
    at_layers("layers", nn.Softplus, nn.AvgPool2d)
