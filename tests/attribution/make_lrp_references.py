"""Makes `references/lrp_*.npz`: what zennit and LXT say of small networks written in plain torch.

Run by hand, in an environment of its own; the tests read the arrays and need none of these libraries:

    python -m venv references-env
    references-env/bin/pip install torch==2.13.0 torchvision zennit==0.5.1 lxt==2.1
    references-env/bin/python tests/attribution/make_lrp_references.py

Weights and inputs are drawn here with numpy and stored beside the results, channels last. See `references.md`.
"""

from pathlib import Path

import lxt.explicit.functional as attn
import numpy as np
import torch
from lxt.explicit.rules import identity
from torch import nn
from zennit.attribution import Gradient
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.composites import LayerMapComposite, layer_map_base
from zennit.rules import Epsilon, Gamma
from zennit.types import Convolution

HERE = Path(__file__).parent / "references"
TARGET = 1
# By the name of the stored array, the options of our method.
RULES = {
    "default": {},
    "epsilon": {"epsilon": 0.25, "gamma": 0.0},
    "gamma": {"epsilon": 1e-3, "gamma": 0.6, "dense_gamma": 0.1},
}


class ChannelsLastFlatten(nn.Module):
    """(n, c, h, w) -> (n, h·w·c), the order in which a channels-last network flattens."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


def tensor(array):
    return torch.tensor(array)


def convolution(kernel, bias, **keywords):
    layer = nn.Conv2d(kernel.shape[2], kernel.shape[3], kernel.shape[0], **keywords)
    layer.weight.data = tensor(kernel.transpose(3, 2, 0, 1).copy())
    layer.bias.data = tensor(bias)
    return layer


def dense(kernel, bias):
    layer = nn.Linear(*kernel.shape)
    layer.weight.data, layer.bias.data = tensor(kernel.T.copy()), tensor(bias)
    return layer


def normalisation(gamma, beta, mean, variance):
    # Keras' epsilon is in the variance: zennit leaves that of a layer whose scales it has merged into a convolution.
    layer = nn.BatchNorm2d(len(gamma), eps=0.0)
    layer.weight.data, layer.bias.data = tensor(gamma), tensor(beta)
    layer.running_mean, layer.running_var = tensor(mean), tensor(variance) + 1e-3
    return layer


def network(weights):
    """conv 3×3 (4) · batch normalisation · ReLU · mean of 2×2 · conv 2×2 (5) · ReLU · maximum of 2×2 · dense (6) · ReLU ·
    dense (3), on (n, 2, 10, 10)."""
    k1, b1, gamma, beta, mean, variance, k2, b2, k3, b3, k4, b4 = weights
    layers = [convolution(k1, b1), normalisation(gamma, beta, mean, variance), nn.ReLU(), nn.AvgPool2d(2)]
    layers += [convolution(k2, b2, padding="same"), nn.ReLU(), nn.MaxPool2d(2), ChannelsLastFlatten()]
    return nn.Sequential(*layers, dense(k3, b3), nn.ReLU(), dense(k4, b4)).eval()


def composite(epsilon=1e-6, gamma=0.25, dense_gamma=0.0):
    of_convolutions = Gamma(gamma=gamma) if gamma else Epsilon(epsilon=epsilon)
    of_dense = Gamma(gamma=dense_gamma) if dense_gamma else Epsilon(epsilon=epsilon)
    layer_map = [*layer_map_base(), (Convolution, of_convolutions), (nn.Linear, of_dense)]
    return LayerMapComposite(layer_map, canonizers=[SequentialMergeBatchNorm()])


def of_target(outputs):
    """Relevance at the outputs: the explained class' score."""
    return outputs * torch.eye(outputs.shape[1])[TARGET]


def convolutional():
    generator = np.random.default_rng(0)

    def normal(*shape, scale=1.0):
        return (scale * generator.normal(size=shape)).astype(np.float32)

    weights = [normal(3, 3, 2, 4, scale=0.25), normal(4, scale=0.1)]
    # One scale is negative.
    weights += [np.array([1.2, -0.8, 0.5, 1.0], np.float32), normal(4, scale=0.2), normal(4, scale=0.1)]
    weights += [np.array([0.5, 1.5, 1.0, 0.7], np.float32)]
    weights += [normal(2, 2, 4, 5, scale=0.4), normal(5, scale=0.1), normal(20, 6, scale=0.3), normal(6, scale=0.1)]
    weights += [normal(6, 3, scale=0.5), normal(3, scale=0.1)]
    x = normal(4, 10, 10, 2)
    z = tensor(x.transpose(0, 3, 1, 2).copy())
    arrays = {f"weight_{k}": weight for k, weight in enumerate(weights)}
    for name, options in RULES.items():
        with Gradient(model=network(weights), composite=composite(**options), attr_output=of_target) as attributor:
            _, relevance = attributor(z)
        arrays[name] = relevance.detach().numpy().transpose(0, 2, 3, 1)
    np.savez_compressed(HERE / "lrp_convolutions.npz", x=x, **arrays)


def transformer():
    """Self-attention of 2 heads of 4 · sum · layer normalisation · a gated dense layer (silu) · sum · RMS normalisation · mean
    over tokens · dense (3), on (n, 5, 8), by LXT's rules."""
    generator = np.random.default_rng(1)

    def normal(*shape, scale=1.0):
        return (scale * generator.normal(size=shape)).astype(np.float32)

    weights = {}
    for name in ("query", "key", "value"):
        weights |= {f"{name}_kernel": normal(8, 2, 4, scale=0.4), f"{name}_bias": normal(2, 4, scale=0.1)}
    weights |= {"output_kernel": normal(2, 4, 8, scale=0.4), "output_bias": normal(8, scale=0.1)}
    weights |= {"gamma": 1 + normal(8, scale=0.2), "beta": normal(8, scale=0.1), "scale": 1 + normal(8, scale=0.2)}
    for name, shape in {"gate": (8, 8), "up": (8, 8), "head": (8, 3)}.items():
        weights |= {f"{name}_kernel": normal(*shape, scale=0.4), f"{name}_bias": normal(shape[1], scale=0.1)}
    x = normal(4, 5, 8)
    w = {name: tensor(array) for name, array in weights.items()}

    def linear(h, name):
        return attn.linear_epsilon(h, w[f"{name}_kernel"].T, w[f"{name}_bias"])

    def heads(h, name):
        projected = attn.linear_epsilon(h, w[f"{name}_kernel"].reshape(8, 8).T, w[f"{name}_bias"].reshape(8))
        return projected.reshape(len(x), 5, 2, 4).permute(0, 2, 1, 3)

    z = tensor(x).requires_grad_()
    query, key, value = (heads(z, name) for name in ("query", "key", "value"))
    # A division by a constant is linear: all relevance goes through it.
    attended = attn.softmax(attn.mul2(attn.matmul(query, key.transpose(2, 3)), 4**-0.5), -1)
    mixed = attn.matmul(attended, value).permute(0, 2, 1, 3).reshape(len(x), 5, 8)
    mixed = attn.linear_epsilon(mixed, w["output_kernel"].reshape(8, 8).T, w["output_bias"])
    h = attn.layer_norm(attn.add2(z, mixed), w["gamma"], w["beta"], 1e-3)
    gated = attn.mul2(identity(nn.functional.silu, linear(h, "gate")), linear(h, "up"))
    h = attn.rms_norm_identity(attn.add2(h, gated), w["scale"], 1e-6)
    scores = linear(attn.mean(h, 1, False), "head")
    (relevance,) = torch.autograd.grad(scores, z, of_target(scores).detach())
    np.savez_compressed(
        HERE / "lrp_transformer.npz", x=x, values=relevance.numpy(), scores=scores.detach().numpy(), **weights
    )


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    print(f"torch {torch.__version__}, numpy {np.__version__}")
    convolutional()
    transformer()
