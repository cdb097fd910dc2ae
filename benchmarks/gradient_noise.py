"""Measure how well the gradient noise scale can be told from the sampled steps of an epoch: too badly to be recorded.

    python -m benchmarks.gradient_noise [--draws 200]

B = tr(Σ) / |G|² (McCandlish et al. 2018, arXiv 1812.06162) of an MLP on the digits, at the weights of several epochs. The truth
is that of all samples. An estimate has K batches of 32: the mean dot product of two of them estimates |G|², and what their
squared norms exceed it tr(Σ) / 32. All K gradients are taken at the same weights, which is better than what a training has.
"sketched" are dot products of 1,024 random projections in place of the gradients.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

Array = NDArray[np.float32]
BATCH, WIDTH, CLASSES = 32, 64, 10
SKETCH = 1024
EPOCHS = (0, 3, 20)
SAMPLED = (3, 10, 30)


def sample_gradients(weights: list[Array], x: Array, y: NDArray[np.int64]) -> tuple[float, Array]:
    """Return the mean cross-entropy, and the gradient of each sample (n, P)."""
    first, first_bias, second, second_bias = weights
    before = x @ first + first_bias
    hidden = np.maximum(before, 0)
    scores = hidden @ second + second_bias
    shares = np.exp(scores - scores.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    of_truth = shares[np.arange(len(y)), y]
    slopes = shares.copy()
    slopes[np.arange(len(y)), y] -= 1
    inner = (slopes @ second.T) * (before > 0)
    parts = [x[:, :, None] * inner[:, None], inner, hidden[:, :, None] * slopes[:, None], slopes]
    return float(-np.log(of_truth + 1e-12).mean()), np.concatenate([part.reshape(len(y), -1) for part in parts], 1)


def stepped(weights: list[Array], gradient: Array, rate: float) -> list[Array]:
    """Return the weights after a step of gradient descent."""
    ends = np.cumsum([array.size for array in weights])
    parts = np.split(gradient, ends[:-1])
    return [array - rate * part.reshape(array.shape) for array, part in zip(weights, parts, strict=True)]


def noise_scale(gradients: Array) -> tuple[float, float]:
    """Return the estimate of B from K gradients of batches, infinite where that of |G|² is not above 0; and a cosine of two."""
    products = gradients @ gradients.T
    count = len(gradients)
    squares = np.trace(products) / count
    common = (products.sum() - np.trace(products)) / (count * (count - 1))
    cosine = products[0, 1] / np.sqrt(products[0, 0] * products[1, 1])
    return (BATCH * (squares - common) / common if common > 0 else np.inf), float(cosine)


def main() -> None:
    """Train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=200)
    draws = parser.parse_args().draws
    random = np.random.default_rng(0)
    x, y = load_digits(return_X_y=True)
    x, y = (x / 16).astype(np.float32)[:1536], y[:1536]
    shapes = [(64, WIDTH), (WIDTH,), (WIDTH, CLASSES), (CLASSES,)]
    weights = [random.normal(size=shape).astype(np.float32) * (len(shape) == 2) * np.sqrt(2 / 64) for shape in shapes]
    signs = random.choice(np.array([-1, 1], np.float32), sum(array.size for array in weights))

    def sketched(gradients: Array) -> Array:
        padded = np.pad(gradients * signs, ((0, 0), (0, -gradients.shape[1] % SKETCH)))
        sums: Array = padded.reshape(len(gradients), -1, SKETCH).sum(1)
        return sums

    print(
        "| epoch | loss | B | batches | estimate ÷ B, 5 % | median | 95 % | no estimate | sketched, median | cosine |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for epoch in range(max(EPOCHS) + 1):
        if epoch in EPOCHS:
            loss, gradients = sample_gradients(weights, x, y)
            mean = gradients.mean(0)
            noise = float(((gradients - mean) ** 2).sum(1).sum()) / (len(x) - 1)
            truth = noise / (float(mean @ mean) - noise / len(x))
            for count in SAMPLED:
                pairs, of_sketches = [], []
                for _ in range(draws):
                    batches = np.stack([gradients[random.choice(len(x), BATCH)].mean(0) for _ in range(count)])
                    pairs.append(noise_scale(batches))
                    of_sketches.append(noise_scale(sketched(batches))[0])
                estimates, cosines = np.array(pairs).T
                low, middle, high = np.quantile(estimates, [0.05, 0.5, 0.95], method="nearest") / truth
                of_sketch = np.quantile(of_sketches, 0.5, method="nearest") / truth
                print(
                    f"| {epoch} | {loss:.2f} | {truth:.0f} | {count} | {low:.2f} | {middle:.2f} | {high:.2f} |"
                    f" {100 * np.isinf(estimates).mean():.0f} % | {of_sketch:.2f} | {cosines.mean():.2f} ± {cosines.std():.2f} |",
                    flush=True,
                )
        order = random.permutation(len(x))
        for begin in range(0, len(x), BATCH):
            rows = order[begin : begin + BATCH]
            weights = stepped(weights, sample_gradients(weights, x[rows], y[rows])[1].mean(0), 0.1)


if __name__ == "__main__":
    main()
