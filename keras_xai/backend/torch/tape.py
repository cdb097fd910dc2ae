"""The calls of torch's functions between a model's inputs and its scores."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from keras.src.backend.common.name_scope import current_path
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from keras_xai.backend.tape import Key, Step, Tape
from keras_xai.backend.torch.ancestry import NO_MAKERS, OF_THE_SHAPE, function_name, tensors_in
from keras_xai.backend.torch.calls import is_in_place, mapped
from keras_xai.backend.torch.functions import KINDS
from keras_xai.backend.torch.whole_functions import IN_PARTS, is_sum_without_bias


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class _Call:
    """A call of a function, whose tensors may be replaced by others."""

    function: Callable[..., Any]
    args: Any
    kwargs: Mapping[str, Any]
    writes: bool  # into its first argument

    def __call__(self, tensors: Sequence[Any]) -> list[Any]:
        """Return the tensors of the result for other tensors among the arguments, in their order."""
        remaining = iter(tensors)
        args, kwargs = mapped(
            (self.args, dict(self.kwargs)), lambda _: next(remaining).clone() if self.writes else next(remaining)
        )
        return list(tensors_in(self.function(*args, **kwargs)))


class CallTape(TorchFunctionMode, Tape):
    """Records what a model does with its inputs while it runs. A key is a number.

    Args:
        inputs: tensors, which nothing else may write to.
    """

    kinds = KINDS

    def __init__(self, inputs: Sequence[Any]) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self._values: list[Any] = []  # by key
        self._keys: Any = WeakIdKeyDictionary()
        self._moving: set[Key] = set()
        self.inputs = [self._key_of(tensor) for tensor in inputs]
        self._moving.update(self.inputs)
        self.final: Key = -1

    def end(self, final: Any) -> None:
        """Keep what leads to the scores alone."""
        self.final = self._key_of(final)
        steps, needed = [], {self.final}
        for step in reversed(self.steps):
            if needed.intersection(step.outputs):
                needed.update(step.inputs)
                steps.append(step)
        self.steps = steps[::-1]

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, function_name(func)
        tensors = list(tensors_in((args, kwargs)))
        if name in NO_MAKERS or name in OF_THE_SHAPE or not any(self._keys.get(t) in self._moving for t in tensors):
            return func(*args, **kwargs)
        if name in IN_PARTS and not is_sum_without_bias(name, args, kwargs):
            with contextlib.suppress(TypeError), self:  # of an argument that it does not take: the function stays whole
                return IN_PARTS[name](*args, **kwargs)
        writes = name == "__setitem__" or is_in_place(name, kwargs)
        inputs = tuple(self._key_of(tensor) for tensor in tensors)
        if writes:
            self._values[inputs[0]] = tensors[0].clone()
        result = func(*args, **kwargs)
        results = [tensors[0]] if name == "__setitem__" else list(tensors_in(result))
        if not writes and any(tensor is argument for tensor in results for argument in tensors):
            return result  # handed on as it is
        outputs = tuple(self._new_key(tensor) for tensor in results)
        self._moving.update(outputs)
        plain_args, plain_kwargs = mapped((args, dict(kwargs)), lambda _: _PLACE)
        call = _Call(func, plain_args, plain_kwargs, writes)
        self.steps.append(Step(name, inputs, outputs, current_path(), call))
        return result

    def value(self, key: Key) -> Any:
        return self._values[key]

    def shape(self, key: Key) -> tuple[int | None, ...]:
        return tuple(self._values[key].shape)

    def is_floating(self, key: Key) -> bool:
        return bool(self._values[key].is_floating_point())

    def is_plain(self, step: Step) -> bool:
        call = step.operation
        return step.kind != "batch_norm" or not (
            call.args[5] if len(call.args) > 5 else call.kwargs.get("training", False)
        )

    def softmax_axis(self, step: Step) -> int:
        call = step.operation
        return int(call.args[1] if len(call.args) > 1 else call.kwargs["dim"])

    def is_square(self, step: Step) -> bool:
        call = step.operation
        if step.kind in ("__pow__", "pow"):
            return bool([*call.args[1:], *call.kwargs.values()] == [2])
        if step.kind in ("__mul__", "mul", "multiply") and len(step.inputs) == 2:
            return bool(step.inputs[0] == step.inputs[1])
        return super().is_square(step)

    def run(self, step: Step, inputs: Sequence[Any]) -> Any:
        return step.operation(inputs)[0]

    def pullback(
        self, step: Step, sources: Sequence[int], above: Mapping[int, Any], inputs: Sequence[Any] | None = None
    ) -> Sequence[Any]:
        tensors = [self._values[key] for key in step.inputs] if inputs is None else list(inputs)
        for k in sources:
            tensors[k] = tensors[k].detach().requires_grad_()
        with torch.enable_grad():
            results = step.operation(tensors)
        return torch.autograd.grad(
            [results[k] for k in above],
            [tensors[k] for k in sources],
            [multiplier.to(results[k].dtype) for k, multiplier in above.items()],
            allow_unused=True,
        )

    def _key_of(self, tensor: Any) -> Key:
        return self._keys[tensor] if tensor in self._keys else self._new_key(tensor)

    def _new_key(self, tensor: Any) -> Key:
        self._values.append(tensor)
        self._keys[tensor] = len(self._values) - 1
        return self._keys[tensor]


_PLACE = torch.empty(0)  # in the place of a tensor among arguments
