"""Makes `references/quantus.npz`: what Quantus says of maps of a small network written in plain torch.

Run by hand, in an environment of its own; the tests read the arrays and need none of these libraries:

    python -m venv references-env
    references-env/bin/pip install torch==2.13.0 quantus==0.6.0
    references-env/bin/python tests/attribution/make_quantus_references.py

Weights, samples and maps are drawn here with numpy and stored beside the results, channels last. What Quantus would draw is
given to it: the noise and the shuffled weights that `keras_xai.metrics` draws with the seed 0. See `references.md`.
"""

import contextlib
import itertools
from pathlib import Path

import numpy as np
import quantus
import torch
from torch import nn

HERE = Path(__file__).parent / "references"
TARGET = 1
PATCH = 2
DRAWS = 6
RADIUS = 0.05  # of max-sensitivity
NOISE = 0.1  # of smooth MPRT, as a share of the range of a sample
SEED = 0  # of the draws that are ours
generator = np.random.default_rng(0)


def normal(*shape, scale=1.0):
    return (scale * generator.normal(size=shape)).astype(np.float32)


class ChannelsLastFlatten(nn.Module):
    """(n, c, h, w) -> (n, h·w·c), the order in which a channels-last network flattens."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


class Convolution(nn.Conv2d):
    """One whose parameters, when they are reset, are those that are given."""

    def reset_parameters(self):
        if hasattr(self, "lost"):
            self.weight.data = torch.tensor(self.lost[0].transpose(3, 2, 0, 1).copy())
            self.bias.data = torch.tensor(self.lost[1])


class Dense(nn.Linear):
    """The same of a dense layer."""

    def reset_parameters(self):
        if hasattr(self, "lost"):
            self.weight.data, self.bias.data = torch.tensor(self.lost[0].T.copy()), torch.tensor(self.lost[1])


def network(weights, lost):
    """conv 3×3 (4) · softplus · dense (3), on (n, c, 8, 8); `lost` are the weights that a reset puts in."""
    kernel, bias, dense_kernel, dense_bias = weights
    first = Convolution(kernel.shape[2], kernel.shape[3], 3)
    last = Dense(*dense_kernel.shape)
    for layer, now, later in ((first, (kernel, bias), lost[:2]), (last, (dense_kernel, dense_bias), lost[2:])):
        layer.lost = now
        layer.reset_parameters()
        layer.lost = later
    return nn.Sequential(first, nn.Softplus(), ChannelsLastFlatten(), last).eval()


def gradient(model, inputs, targets, **_):
    """The gradient of the explained logit, channels first."""
    x = torch.tensor(np.asarray(inputs, np.float32), requires_grad=True)
    rows = torch.arange(len(x))
    (slope,) = torch.autograd.grad(model(x)[rows, torch.as_tensor(targets)].sum(), x)
    return slope.numpy()


def to_first(array):
    return np.ascontiguousarray(array.transpose(0, 3, 1, 2))


@contextlib.contextmanager
def our_draws(noise):
    """`np.random.randn` gives these arrays, one after the other and again from the first; `quantus.explain` our gradient."""
    randn, explain, numbers = np.random.randn, quantus.explain, itertools.cycle(noise)
    np.random.randn = lambda *shape: next(numbers).reshape(shape)
    quantus.explain = gradient
    try:
        yield
    finally:
        np.random.randn, quantus.explain = randn, explain


def case(channels):
    """One network, its samples, maps of them, and what Quantus says."""
    flat = 6 * 6 * 4
    shapes = [((3, 3, channels, 4), 0.5), ((4,), 0.1), ((flat, 3), 0.3), ((3,), 0.1)]
    weights = [normal(*shape, scale=scale) for shape, scale in shapes]
    shuffles = np.random.default_rng(SEED)
    lost = [shuffles.permutation(weight.reshape(-1)).reshape(weight.shape) for weight in weights]
    x, values = normal(5, 8, 8, channels), normal(5, 8, 8, channels)
    model = network(weights, lost)
    y = np.full(len(x), TARGET)
    common = {"model": model, "x_batch": to_first(x), "y_batch": y, "channel_first": True, "softmax": False}
    with_map = {**common, "a_batch": to_first(values)}
    quiet = {"disable_warnings": True, "normalise": False, "abs": False}
    to_zero = {**quiet, "perturb_baseline": 0.0}  # its "black" is the smallest value of each sample
    arrays = {f"weight_{k}": weight for k, weight in enumerate(weights)}
    arrays |= {"x": x, "values": values}

    for order in ("morf", "lerf"):
        metric = quantus.RegionPerturbation(patch_size=PATCH, regions_evaluation=16, order=order, **to_zero)
        arrays[f"region_perturbation_{order}"] = np.asarray(metric(**with_map))
    if channels == 1:  # it flips each channel by itself, we a pixel with its channels
        arrays["pixel_flipping"] = np.asarray(quantus.PixelFlipping(features_in_step=4, **to_zero)(**with_map))
    metric = quantus.Infidelity(perturb_patch_sizes=[PATCH], n_perturb_samples=1, **to_zero)
    arrays["infidelity"] = np.asarray(metric(**with_map)).reshape(-1)

    draws = np.random.default_rng(SEED)
    noise = iter([RADIUS * draws.uniform(-1, 1, x.shape[1:]) for _ in range(DRAWS)])

    def moved(arr, indices, **_):
        return arr + to_first(next(noise)[None]).reshape(1, -1).astype(np.float32)

    metric = quantus.MaxSensitivity(nr_samples=DRAWS, perturb_func=moved, **quiet)
    arrays["sensitivity"] = np.asarray(metric(**common, explain_func=gradient))

    draws = np.random.default_rng([SEED, 1])
    copies = [draws.standard_normal(x.shape[1:], np.float32)[None].repeat(len(x), 0) for _ in range(DRAWS - 1)]
    metric = quantus.SmoothMPRT(
        nr_samples=DRAWS, noise_magnitude=NOISE, layer_order="bottom_up", disable_warnings=True, normalise=False
    )
    with our_draws([to_first(copy) for copy in copies]):
        scores = metric(**common, explain_func=gradient)
    layers = [name for name in scores if name != "original"]
    arrays["smooth_randomisation"] = np.asarray([scores[name] for name in layers])
    return arrays


def main():
    stored = {}
    for name, channels in (("grey", 1), ("colour", 2)):
        stored |= {f"{name}/{key}": array for key, array in case(channels).items()}
    np.savez_compressed(HERE / "quantus.npz", **stored)
    print({key: array.shape for key, array in stored.items()})


if __name__ == "__main__":
    main()
