"""The ancestry of a tensor: which function of torch's made it, of which tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from keras_xai.backend.protocol import Logits
from keras_xai.records import Link


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


# Functions that hand a value on as it is, and those that only put it elsewhere.
TRANSPARENT = _names(
    "alias bfloat16 clone contiguous cpu cuda detach double float half positive to type type_as view_as"
)
RESHAPES = _names("flatten ravel reshape squeeze unflatten unsqueeze view")
_LINKS: dict[str, Link] = {"softmax": "softmax", "sigmoid": "sigmoid"}
# Attributes of tensors, which are functions too, and functions that change nothing.
_NO_MAKERS = _names(
    "__get__ __len__ __set__ dim element_size get_device is_complex is_contiguous is_floating_point numel requires_grad_ "
    "size stride"
)
# Functions that look at the shape of their argument, never at its values.
_OF_THE_SHAPE = _names(
    "empty_like full_like new_empty new_full new_ones new_zeros ones_like rand_like randn_like zeros_like"
)


class Maker(NamedTuple):
    """The function that made a tensor. It holds no tensor: activations are released as without it."""

    name: str  # of the function, "" of a tensor that was there before
    sources: tuple[Maker, ...]  # of the tensors that it took, in their order
    input_indices: frozenset[int]  # of the inputs whose values it is computed from
    varies: bool  # it is computed from values that differ between the samples, not only from which of them are true


class Ancestry(TorchFunctionMode):
    """Records which function made each tensor while it is active.

    It is a mode over torch's functions and not over its operators: the tensors are those objects that the model's code handles,
    and a function like `softmax` is a single call.

    Args:
        inputs: tensors from which to follow the values.
        vary: True for each input that differs between the samples; None for all.
    """

    def __init__(self, inputs: Sequence[Any] = (), vary: Sequence[bool] | None = None) -> None:
        super().__init__()
        self._makers: Any = WeakIdKeyDictionary()
        for k, tensor in enumerate(inputs):
            self._makers[tensor] = Maker("", (), frozenset((k,)), vary is None or vary[k])

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name not in _NO_MAKERS:
            self._record(name, args, kwargs, result)
        return result

    def maker(self, tensor: Any) -> Maker:
        """Return what made a tensor."""
        if tensor not in self._makers:
            self._makers[tensor] = Maker("", (), frozenset(), False)
        maker: Maker = self._makers[tensor]
        return maker

    def _record(self, name: str, args: Any, kwargs: Mapping[str, Any], result: Any) -> None:
        tensors = list(tensors_in((args, kwargs)))
        # By convention; operators such as `__add__` end so as well, and return new tensors.
        is_in_place = name.endswith("_") or "out" in kwargs
        for tensor in tensors_in(args[0] if name == "__setitem__" else result):
            if not is_in_place and any(tensor is argument for argument in tensors):
                continue  # handed on as it is
            sources = () if name in _OF_THE_SHAPE else tuple([self.maker(argument) for argument in tensors])
            indices = frozenset().union(*[source.input_indices for source in sources])
            # Whether a step is padding is no value: what is true of all samples alike moves nothing.
            varies = tensor.dtype != torch.bool and any(source.varies for source in sources)
            self._makers[tensor] = Maker(_named(name, args, kwargs), sources, indices, varies)


class _LinkCall(NamedTuple):
    """A call of a function that hands a value on, or is a softmax or sigmoid."""

    name: str
    argument: Any
    argument_version: int  # torch counts how often a tensor was written to
    result_version: int


class LogitAncestry(TorchFunctionMode):
    """Records the arguments of softmax and sigmoid, and of what hands a value on: enough to find logits, at little cost."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: Any = WeakIdKeyDictionary()  # by result

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name in TRANSPARENT or name in _LINKS:
            argument = next(tensors_in((args, kwargs)), None)
            if argument is not None and result is not argument and isinstance(result, torch.Tensor):
                call = _LinkCall(_named(name, args, kwargs), argument, argument._version, result._version)
                self._calls[result] = call
        return result

    def logits_of(self, outputs: Any) -> Logits:
        """Return a model's outputs, and the logits behind them.

        Where a softmax or a sigmoid made the outputs, its argument is the logits.
        """
        call = self._call_of(outputs)
        while call is not None and call.name in TRANSPARENT:
            call = self._call_of(call.argument)
        link = "" if call is None else _LINKS.get(call.name, "")
        scores = call.argument if call is not None and link else outputs
        return Logits(outputs, scores.float(), link)

    def _call_of(self, tensor: Any) -> _LinkCall | None:
        """The call that a tensor is the result of; None where it, or the argument, was written to since."""
        call: _LinkCall | None = self._calls.get(tensor)
        if call is None or (tensor._version, call.argument._version) != (call.result_version, call.argument_version):
            return None
        return call


def tensors_in(values: Any) -> Iterator[Any]:
    """Yield the tensors of nested lists, tuples and dicts."""
    if isinstance(values, torch.Tensor):
        yield values
    elif isinstance(values, (list, tuple)):
        for value in values:
            yield from tensors_in(value)
    elif isinstance(values, Mapping):
        yield from tensors_in(list(values.values()))


def _named(name: str, args: Any, kwargs: Mapping[str, Any]) -> str:
    """The name of a function; of a softmax only where it is over the last axis."""
    if name != "softmax":
        return name
    tensor = next(tensors_in((args, kwargs)))
    axis = kwargs.get("dim", args[1] if len(args) > 1 else None)
    return name if axis in (-1, tensor.ndim - 1) else "softmax over another axis"
