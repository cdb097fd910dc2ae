"""Restores the Python state that a model's code changes while we trace or run it.

A layer's `call` is Python code. What it does beside tensors happens whenever it runs: draws from generators, counters, lists that
grow, attributes that keep the last activation. On a framework that traces, the numbers of a trace are then constants of the
training's graph.
"""

from __future__ import annotations

import contextlib
import functools
import random
import types
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np

MAX_OBJECTS = 10_000  # that layers hold and that are looked at: a vocabulary in a dict is not to slow every pass
MAX_ARRAY_BYTES = 2**20  # of an array that is copied: a table of embeddings in NumPy is not, either

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_CONTAINERS = (list, dict, set, deque)
_GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)
# Libraries whose objects are not looked into: what they hold is weights, or restored by the framework's own part.
_LIBRARIES = frozenset({"builtins", "jax", "jaxlib", "keras", "keras_xai", "numpy", "tensorflow", "torch"})
_KEPT_OF_KERAS = (*_PLAIN, types.FunctionType, types.MethodType)
_PARTS_OF_KERAS = (keras.layers.Layer, keras.Variable)


@contextlib.contextmanager
def python_state_kept(model: keras.Model | None, modules: Iterable[Any] = ()) -> Iterator[None]:
    """Restore, after the block, the generators of Python and NumPy, and what the model's layers hold in Python.

    That is their attributes and those of their classes, and the lists, dicts, sets, deques, arrays, generators, functions and
    objects of users' classes that are reached from them. What cannot be copied (an iterator, a file) and variables of a module
    stay as the block leaves them.

    Args:
        model: whose layers are kept; None for none.
        modules: other objects whose attributes are kept.
    """
    generators = random.getstate(), np.random.get_state()
    layers = [] if model is None else [model, *model._flatten_layers(include_self=False)]
    state = _HeldState([*layers, *modules])
    try:
        yield
    finally:
        random.setstate(generators[0])
        np.random.set_state(generators[1])
        state.restore()


class _HeldState:
    """The objects that some owners hold, and how each is restored."""

    def __init__(self, owners: Iterable[Any]) -> None:
        self._restores: list[Callable[[], None]] = []
        self._visited: set[int] = set()
        self._pending: list[Any] = []
        for owner in owners:
            if id(owner) not in self._visited:
                self._visited.add(id(owner))
                self._keep_attributes(owner)
        while self._pending and len(self._visited) < MAX_OBJECTS:
            value = self._pending.pop()
            if id(value) not in self._visited:
                self._visited.add(id(value))
                self._keep(value)

    def restore(self) -> None:
        """Put everything back that was changed."""
        for restore in self._restores:
            restore()

    def _follow(self, values: Iterable[Any]) -> None:
        """Look at these values later, if anything in them can change."""
        self._pending += [value for value in values if not isinstance(value, _PLAIN)]

    def _keep(self, value: Any) -> None:
        if isinstance(value, _CONTAINERS):
            self._restores.append(_restore_of_container(value))
            self._follow(value.values() if isinstance(value, dict) else value)
        elif isinstance(value, tuple):
            self._follow(value)
        elif isinstance(value, _GENERATORS):
            self._restores.append(_restore_of_generator(value))
        elif isinstance(value, np.ndarray):
            if value.flags.writeable and value.nbytes <= MAX_ARRAY_BYTES:
                self._restores.append(functools.partial(_restore_array, value, value.copy()))
        elif isinstance(value, types.MethodType):
            self._follow([value.__self__])
        elif isinstance(value, types.FunctionType):
            self._keep_closure(value)
        elif (
            not isinstance(value, (type, types.ModuleType)) and hasattr(value, "__dict__") and not _is_of_library(value)
        ):
            self._keep_attributes(value)

    def _keep_attributes(self, owner: Any) -> None:
        is_layer = isinstance(owner, keras.layers.Layer)
        ignored = _attributes_of_keras() if is_layer else frozenset()
        attributes = vars(owner)
        names = attributes.keys() - ignored  # as sets: a model has thousands of attributes, and this runs at every pass
        if _is_of_library(owner):
            if is_layer:
                self._keep_layer_of_keras(attributes, names)
            return
        before = {name: attributes[name] for name in names}
        self._restores.append(functools.partial(_restore_attributes, owner, before, ignored))
        self._follow(before.values())
        for cls in type(owner).__mro__:
            if not _is_of_library_class(cls) and id(cls) not in self._visited:
                self._visited.add(id(cls))
                self._keep_class(cls)

    def _keep_layer_of_keras(self, attributes: dict[str, Any], names: Iterable[str]) -> None:
        """Keep the numbers of a layer of Keras' own, which changes nothing else, and its functions, as a Lambda has a user's."""
        before = {name: attributes[name] for name in names if isinstance(attributes[name], _KEPT_OF_KERAS)}
        if before:
            self._restores.append(functools.partial(attributes.update, before))
            self._follow(before.values())

    def _keep_class(self, cls: type) -> None:
        """Keep what a class of the user's holds for all its objects: numbers, and what can be written in place."""
        before = {name: value for name, value in vars(cls).items() if not name.startswith("__")}
        plain = {name: value for name, value in before.items() if isinstance(value, _PLAIN)}
        self._restores.append(functools.partial(_restore_class, cls, plain))
        self._follow(value for value in before.values() if isinstance(value, (*_CONTAINERS, *_GENERATORS, np.ndarray)))

    def _keep_closure(self, function: types.FunctionType) -> None:
        for cell in function.__closure__ or ():
            with contextlib.suppress(ValueError):  # of an empty cell
                contents = cell.cell_contents
                self._restores.append(functools.partial(setattr, cell, "cell_contents", contents))
                self._follow([contents])


def _restore_attributes(owner: Any, before: dict[str, Any], ignored: frozenset[str]) -> None:
    """Put attributes back that were replaced, and take those away that were added.

    Layers and variables stay where the model's code puts them: Keras lists them elsewhere as well.
    """
    attributes = vars(owner)  # not by `setattr`, in which Keras and torch track what they get
    for name in [name for name in attributes if name not in before and name not in ignored]:
        if not isinstance(attributes[name], _PARTS_OF_KERAS):
            del attributes[name]
    for name, value in before.items():
        current = attributes.get(name)
        if current is not value and not isinstance(current, _PARTS_OF_KERAS):
            attributes[name] = value


def _restore_class(cls: type, before: dict[str, Any]) -> None:
    for name, value in before.items():
        if vars(cls).get(name) is not value:
            setattr(cls, name, value)


def _restore_array(array: np.ndarray[Any, Any], before: np.ndarray[Any, Any]) -> None:
    if array.shape == before.shape and array.tobytes() != before.tobytes():
        array[...] = before


def _restore_of_container(container: Any) -> Callable[[], None]:
    """Return a function that puts the present contents of a container back, past the tracking of its class."""
    kind: Any = next(kind for kind in (OrderedDict, *_CONTAINERS) if isinstance(container, kind))
    contents = kind(container)

    def restore() -> None:
        if _holds_the_same(container, contents):
            return
        kind.clear(container)
        if kind in (list, deque):
            kind.extend(container, contents)
        else:
            kind.update(container, contents)

    return restore


def _holds_the_same(container: Any, contents: Any) -> bool:
    """Return True where a container has the very objects of a copy of it, in the same order."""
    if len(container) != len(contents):
        return False
    if isinstance(container, set):
        return {id(value) for value in container} == {id(value) for value in contents}
    if not all(a is b for a, b in zip(container, contents, strict=True)):
        return False
    return not isinstance(container, dict) or all(container[key] is value for key, value in contents.items())


def _restore_of_generator(generator: Any) -> Callable[[], None]:
    """Return a function that puts a generator back where it is."""
    if isinstance(generator, random.Random):
        return functools.partial(generator.setstate, generator.getstate())
    if isinstance(generator, np.random.RandomState):
        return functools.partial(generator.set_state, generator.get_state())
    return functools.partial(setattr, generator.bit_generator, "state", generator.bit_generator.state)


def _is_of_library(value: Any) -> bool:
    return _is_of_library_class(type(value))


def _is_of_library_class(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in _LIBRARIES


@functools.cache
def _attributes_of_keras() -> frozenset[str]:
    # Names are given, since Keras would count the names that it makes up, and the user's next layers would get other ones.
    return frozenset({*vars(keras.layers.Layer(name="layer")), *vars(keras.Model(name="model"))})
