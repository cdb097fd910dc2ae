"""The state that running a model may change: read before a run and restored after it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import torch


class RunState:
    """The state that running a function may change, beside Python's.

    Variables of Keras are not written at all: a stateless scope holds what is assigned to them. Buffers of torch modules are
    copied before a run. Weights are not: one that the model's own code writes in place is noticed, and stays changed.

    Args:
        model: the one that the function runs; None where it runs none.
    """

    def __init__(self, model: keras.Model | None) -> None:
        self._model = model
        self.is_changed = False  # by any run, and restored
        self.lasting_effects = ""  # see `Program`

    @contextlib.contextmanager
    def restored(self) -> Iterator[None]:
        """Restore, after the block, whatever it changes."""
        modules = self._modules()
        modes = [(module, module.training) for module in modules]
        buffers = [(buffer, buffer._version, buffer.clone()) for buffer in _buffers(modules)]
        weights = [] if self._model is None else [variable.value for variable in self._model.variables]
        versions = [weight._version for weight in weights]
        generators = _generator_states()
        scope = keras.StatelessScope()
        try:
            with scope:
                yield
        finally:
            for module, training in modes:
                module.training = training
            changed = [(buffer, before) for buffer, version, before in buffers if buffer._version != version]
            for buffer, before in changed:
                buffer.copy_(before)
            has_drawn = not _equal(generators, _generator_states())
            if has_drawn:
                _set_generator_states(generators)
            self.is_changed = self.is_changed or bool(scope.state_mapping or changed) or has_drawn
            if versions != [weight._version for weight in weights]:
                self.lasting_effects = "writes to its own weights in place"

    def _modules(self) -> list[torch.nn.Module]:
        """The model's torch modules: its layers, and those that its layers wrap."""
        if self._model is None:
            return []
        modules: dict[int, torch.nn.Module] = {}
        for layer in self._model._flatten_layers():
            modules |= {id(module): module for module in layer.modules()}
        return list(modules.values())


def _buffers(modules: list[torch.nn.Module]) -> list[torch.Tensor]:
    buffers: dict[int, torch.Tensor] = {}
    for module in modules:
        buffers |= {id(buffer): buffer for buffer in module.buffers(recurse=False)}
    return list(buffers.values())


def _generator_states() -> list[torch.Tensor]:
    """The states of torch's generators: of the host, and of accelerators that are in use."""
    states = [torch.get_rng_state()]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states += torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        states.append(torch.mps.get_rng_state())
    return states


def _set_generator_states(states: list[torch.Tensor]) -> None:
    host, *others = states
    torch.set_rng_state(host)
    if torch.backends.mps.is_available():
        torch.mps.set_rng_state(others.pop())
    if others:
        torch.cuda.set_rng_state_all(others)


def _equal(states: list[torch.Tensor], others: list[torch.Tensor]) -> bool:
    return len(states) == len(others) and all(torch.equal(a, b) for a, b in zip(states, others, strict=True))
