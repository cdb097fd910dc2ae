"""The floor on PyTorch: a loop of Python's over the model itself, as one writes it by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np


def floor(logits: keras.Model, x: np.ndarray, passes: list[tuple[str, int, int]], target: int) -> Callable[[], Any]:
    """Those passes and nothing else.

    Args:
        logits: a model that ends in logits.
        x: (n, ...) samples.
        passes: kind, number and rows of each loop, as in `attribution.py`.
        target: the class that is differentiated.
    """
    import torch

    *_, last, flatten, dense = logits.layers
    to_layer = keras.Model(logits.inputs, last.output)

    def one_pass(kind: str, z: Any) -> Any:
        if kind == "forward":
            with torch.no_grad():
                return logits(z, training=False)[:, target]
        if kind == "both":
            z = z.requires_grad_()
            return torch.autograd.grad(logits(z, training=False)[:, target].sum(), z)[0]
        with torch.no_grad():
            activation = to_layer(z, training=False)
        activation = activation.requires_grad_()
        slope = torch.autograd.grad(dense(flatten(activation))[:, target].sum(), activation)[0]
        return slope * activation.detach()

    def run() -> list[np.ndarray]:
        totals = []
        samples = keras.ops.convert_to_tensor(x)
        for kind, count, size in passes:
            rows = samples if size == len(x) else keras.ops.convert_to_tensor(np.resize(x, (size, *x.shape[1:])))
            total = 0
            for k in range(count):
                total = total + one_pass(kind, rows + k * 1e-6)
            totals.append(total.cpu().numpy())
        return totals

    return run
