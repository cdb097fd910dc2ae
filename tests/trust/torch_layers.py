"""Layers that keep state in PyTorch's own ways, and move it in their forward pass."""

from __future__ import annotations

from typing import Any

import keras
import torch


class Counter(keras.layers.Layer):
    """A tensor, which nobody lists."""

    def __init__(self):
        super().__init__()
        self.count = torch.zeros(())

    def call(self, x):
        self.count.add_(1.0)
        return x * (1 + 0.01 * self.count.clone())


class Several(keras.layers.Layer):
    """Tensors in a list and in a dict."""

    def __init__(self):
        super().__init__()
        self.held = [torch.zeros(()), {"last": torch.zeros(1)}]

    def call(self, x):
        first, last = self.held[0], self.held[1]["last"]
        first.add_(1.0)
        last.add_(1.0) if first > 1.0 else last.zero_()
        return x * (1 + 0.01 * first.clone()) + 0.01 * last.clone()


class RunningMean(keras.layers.Layer):
    """A streaming normalisation, in a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(8))

    def call(self, x):
        self.mean.mul_(0.9).add_(0.1 * x.detach().mean(0))
        return x - self.mean.clone()


class Scatter(keras.layers.Layer):
    """A memory in a Keras weight, written row by row and in place."""

    def build(self, shape):
        self.bank = self.add_weight(shape=(4, shape[-1]), trainable=False, initializer="zeros")

    def call(self, x):
        with torch.no_grad():
            self.bank.value[0] += x.mean(0)
        return x + 0.01 * self.bank.value.clone().mean(0)


class Generator(keras.layers.Layer):
    """A generator of torch's."""

    def __init__(self):
        super().__init__()
        self.generator = torch.Generator().manual_seed(5)

    def call(self, x):
        return x + 0.1 * torch.randn(x.shape, generator=self.generator)


class Global(keras.layers.Layer):
    """The generator that torch's functions share, and their dropout."""

    def call(self, x):
        return torch.nn.functional.dropout(x + 0.1 * torch.randn(x.shape), 0.2)


class Module(keras.layers.Layer):
    """Torch's own dropout and batch statistics, wrapped."""

    def __init__(self):
        super().__init__()
        module = torch.nn.Sequential(torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.2))
        self.inner = keras.layers.TorchModuleWrapper(module)

    def call(self, x, training=None):
        return self.inner(x, training=training)


LAYERS = (Counter, Several, RunningMean, Scatter, Generator, Global, Module)


def held_state(layer: keras.layers.Layer) -> list[Any]:
    """What these layers hold, as arrays."""
    values = [v for k, v in vars(layer).items() if not k.startswith("_")]
    states = []
    for value in keras.tree.flatten(values):
        if isinstance(value, torch.Tensor):
            states.append(value.detach().numpy().copy())
        elif isinstance(value, torch.Generator):
            states.append(value.get_state().numpy())
    return states + [buffer.numpy().copy() for buffer in layer.buffers()]
