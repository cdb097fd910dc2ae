"""The state that running a model may change: read before a run and restored after it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import torch
from keras.src.backend.common import global_state

GLOBAL_SEEDS = "global_seed_generator"  # Keras' own name of it; private, and made by the first draw without a seed
_HOLDERS = (torch.Tensor, torch.Generator, list, tuple, dict)
_OF_MODULES = frozenset({"_parameters", "_buffers", "_modules"})  # where torch keeps what its modules list


class RunState:
    """The state that running a function may change, beside Python's.

    Variables of Keras are not written at all: a stateless scope holds what is assigned to them. Copied before a run are the
    buffers of torch modules, weights that are not trained, and the tensors and generators that layers hold as attributes, alone
    or in lists and dicts. Trained weights are not: one that the model's own code writes in place is noticed, and stays changed.

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
        modules = self.modules()
        modes = [(module, module.training) for module in modules]
        listed_buffers = [(module._buffers, dict(module._buffers)) for module in modules]
        tensors, held_generators = _held(modules)
        weights = [] if self._model is None else [variable.value for variable in self._model.trainable_variables]
        if self._model is not None:
            tensors += _untrained(self._model)
        buffers = [(buffer, buffer._version, buffer.clone()) for buffer in tensors]
        held_states = [generator.get_state() for generator in held_generators]
        versions = [weight._version for weight in weights]
        generators = generator_states()
        seeds = global_state.get_global_attribute(GLOBAL_SEEDS)
        scope = keras.StatelessScope()
        try:
            with scope:
                yield
        finally:
            for module, training in modes:
                module.training = training
            has_replaced = False
            for listed, before_run in listed_buffers:  # a buffer may be replaced, and not only written
                if listed.keys() != before_run.keys() or any(listed[name] is not before_run[name] for name in listed):
                    has_replaced = True
                    listed.clear()
                    listed.update(before_run)
            changed = [(buffer, before) for buffer, version, before in buffers if buffer._version != version]
            for buffer, before in changed:
                with torch.no_grad():
                    buffer.copy_(before)
            has_drawn = not _equal(generators, generator_states())
            if has_drawn:
                set_generator_states(generators)
            for generator, before in zip(held_generators, held_states, strict=True):
                if not torch.equal(before, generator.get_state()):
                    has_drawn = True
                    generator.set_state(before)
            # One that our run made was seeded by Python's generator: the training's first step is to make it.
            global_state.set_global_attribute(GLOBAL_SEEDS, seeds)
            has_changed = bool(scope.state_mapping or changed) or has_drawn or has_replaced
            self.is_changed = self.is_changed or has_changed
            if versions != [weight._version for weight in weights]:
                self.lasting_effects = "writes to its own weights in place"

    def modules(self) -> list[torch.nn.Module]:
        """Return the model's torch modules: its layers, and those that its layers wrap."""
        if self._model is None:
            return []
        modules: dict[int, torch.nn.Module] = {}
        for layer in self._model._flatten_layers():
            modules |= {id(module): module for module in layer.modules()}
        return list(modules.values())


def _held(modules: list[torch.nn.Module]) -> tuple[list[torch.Tensor], list[torch.Generator]]:
    """The tensors and generators that modules hold beside their weights: buffers, and attributes of whatever name."""
    tensors: dict[int, torch.Tensor] = {}
    generators: dict[int, torch.Generator] = {}
    for module in modules:
        values = [value for name, value in vars(module).items() if name not in _OF_MODULES]
        values += module.buffers(recurse=False)
        while values:
            value = values.pop()
            if isinstance(value, torch.Tensor) and not isinstance(value, torch.nn.Parameter):
                tensors[id(value)] = value
            elif isinstance(value, torch.Generator):
                generators[id(value)] = value
            elif isinstance(value, (list, tuple)):
                values += [item for item in value if isinstance(item, _HOLDERS)]
            elif isinstance(value, dict):
                values += [item for item in value.values() if isinstance(item, _HOLDERS)]
    return list(tensors.values()), list(generators.values())


def _untrained(model: keras.Model) -> list[torch.Tensor]:
    """The weights that were made to be written and not trained, as moving means. Those of frozen layers are not among them."""
    layers = model._flatten_layers()
    return [variable.value for layer in layers for variable in layer._non_trainable_variables]


def generator_states() -> list[torch.Tensor]:
    """The states of torch's generators: of the host, and of accelerators that are in use."""
    states = [torch.get_rng_state()]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states += torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        states.append(torch.mps.get_rng_state())
    return states


def set_generator_states(states: list[torch.Tensor]) -> None:
    host, *others = states
    torch.set_rng_state(host)
    if torch.backends.mps.is_available():
        torch.mps.set_rng_state(others.pop())
    if others:
        torch.cuda.set_rng_state_all(others)


def _equal(states: list[torch.Tensor], others: list[torch.Tensor]) -> bool:
    return len(states) == len(others) and all(torch.equal(a, b) for a, b in zip(states, others, strict=True))
