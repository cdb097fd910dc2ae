"""The ancestry of a tensor: which functions of torch's made it.

Modes over torch's functions and not over its operators: the tensors are those objects that the model's code handles, and a
function like `softmax` is a single call.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from keras_xai.backend.ancestry import NOT_OF_SAMPLES, UNKNOWN, Kind, Step
from keras_xai.backend.protocol import Logits
from keras_xai.records import Link


def names(words: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(words.split())


# What functions do with the values of their first argument.
_NAMES_BY_KIND: dict[Kind, frozenset[str]] = {
    "same": names(
        "alias bfloat16 clone contiguous cpu cuda data detach double float half positive to type type_as view_as"
    ),
    "reshape": names("flatten ravel reshape squeeze unflatten unsqueeze view"),
    "transpose": names("T mT movedim moveaxis permute swapaxes swapdims t transpose"),
    "pad": names("constant_pad_nd pad"),
    "pool": names(
        "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d "
        "adaptive_max_pool3d amax avg_pool1d avg_pool2d avg_pool3d max max_pool1d max_pool2d max_pool3d mean"
    ),
    "function": names("elu leaky_relu relu relu6 relu_ selu sigmoid softmax softplus tanh"),
}
_KINDS = {name: kind for kind, kind_names in _NAMES_BY_KIND.items() for name in kind_names}
_FUNCTIONS = {"leaky_relu": "leakyrelu", "relu_": "relu"}  # that are called otherwise above the frameworks
_LINKS: dict[str, Link] = {"softmax": "softmax", "sigmoid": "sigmoid"}
# Functions that make no tensor of values, and attributes that are none.
NO_MAKERS = names(
    "__len__ __set__ device dim dtype element_size get_device grad is_complex is_contiguous is_floating_point is_meta is_sparse "
    "layout ndim numel requires_grad requires_grad_ shape size stride"
)
# Functions that look at the shape of their argument, never at its values.
OF_THE_SHAPE = names(
    "empty_like full_like new_empty new_full new_ones new_zeros ones_like rand_like randn_like zeros_like"
)


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Maker:
    """The function that made a tensor. It holds no tensor: activations are released as without it."""

    name: str  # of the function, "" of a tensor that was there before
    sources: tuple[Maker, ...]  # of the tensors that it took, in their order
    input_indices: frozenset[int]  # of the inputs whose values it is computed from
    varies: bool  # see `keras_xai.backend.ancestry.Ancestry`


class FunctionAncestry(TorchFunctionMode):
    """Records which function made each tensor while it is active; see `Ancestry`. A node is a `Maker`.

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
        name = function_name(func)
        if name not in NO_MAKERS:
            self._record(name, args, kwargs, result)
        return result

    def __enter__(self) -> FunctionAncestry:
        """Also watch `torch.vmap`, whose functions are no functions of torch's to a mode."""
        self._vmap, torch.vmap = torch.vmap, self._recorded_vmap
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """Let go of it."""
        torch.vmap = self._vmap
        super().__exit__(*error)

    def node(self, tensor: Any) -> Maker:
        """See `Ancestry`."""
        if tensor not in self._makers:
            self._makers[tensor] = Maker("", (), frozenset(), False)
        maker: Maker = self._makers[tensor]
        return maker

    def step(self, node: Any) -> Step:
        """See `Ancestry`."""
        kind = _KINDS.get(node.name, "")
        if not kind or not node.sources:
            return UNKNOWN
        return Step(kind, node.sources[0], _FUNCTIONS.get(node.name, node.name) if kind == "function" else "")

    def sources(self, node: Any) -> tuple[Maker, ...]:
        """See `Ancestry`."""
        sources: tuple[Maker, ...] = node.sources
        return sources

    def is_dense(self, value: object) -> bool:
        """See `Ancestry`."""
        return isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_nested

    def problem(self, tensor: Any) -> str:
        """See `Ancestry`. A body of a loop is code like any other."""
        return "" if self.node(tensor).input_indices else NOT_OF_SAMPLES

    def varies(self, tensor: Any) -> bool:
        """See `Ancestry`."""
        return self.node(tensor).varies

    def _recorded_vmap(self, func: Callable[..., Any], *options: Any, **named_options: Any) -> Callable[..., Any]:
        def recorded(*args: Any, **kwargs: Any) -> Any:
            def inside(*samples: Any, **named_samples: Any) -> Any:
                self._record("vmap", args, kwargs, (samples, named_samples))
                return func(*samples, **named_samples)

            result = self._vmap(inside, *options, **named_options)(*args, **kwargs)
            self._record("vmap", args, kwargs, result)
            return result

        return recorded

    def _record(self, name: str, args: Any, kwargs: Mapping[str, Any], result: Any) -> None:
        tensors = list(tensors_in((args, kwargs)))
        # By convention; operators such as `__add__` end so as well, and return new tensors.
        is_in_place = name.endswith("_") or "out" in kwargs
        for tensor in tensors_in(args[0] if name == "__setitem__" else result):
            if not is_in_place and any(tensor is argument for argument in tensors):
                continue  # handed on as it is
            sources = () if name in OF_THE_SHAPE else tuple([self.node(argument) for argument in tensors])
            indices = frozenset().union(*[source.input_indices for source in sources])
            varies = tensor.dtype != torch.bool and any(source.varies for source in sources)
            self._makers[tensor] = Maker(_with_axis(name, args, kwargs), sources, indices, varies)


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
        if name in _NAMES_BY_KIND["same"] or name in _LINKS:
            argument = next(tensors_in((args, kwargs)), None)
            if argument is not None and result is not argument and isinstance(result, torch.Tensor):
                call = _LinkCall(_with_axis(name, args, kwargs), argument, argument._version, result._version)
                self._calls[result] = call
        return result

    def logits_of(self, outputs: Any) -> Logits:
        """Return a model's outputs, and the logits behind them.

        Where a softmax or a sigmoid made the outputs, its argument is the logits.
        """
        call = self._call_of(outputs)
        while call is not None and call.name in _NAMES_BY_KIND["same"]:
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


# What most arguments are that are no tensors: to ask torch of each whether it is one takes most of a small model's pass.
_PLAIN = frozenset({int, float, bool, str, type(None), torch.dtype, torch.device, torch.Size, torch.memory_format})


def tensors_in(values: Any) -> Iterator[Any]:
    """Return the tensors of nested lists, tuples and dicts, in order."""
    tensors: list[Any] = []
    _collect_tensors(values, tensors)
    return iter(tensors)


def _collect_tensors(values: Any, tensors: list[Any]) -> None:
    kind = type(values)
    if kind in _PLAIN:
        return
    if kind is tuple or kind is list:
        for value in values:
            _collect_tensors(value, tensors)
    elif isinstance(values, torch.Tensor):
        tensors.append(values)
    elif isinstance(values, (list, tuple)):
        _collect_tensors(list(values), tensors)
    elif isinstance(values, Mapping):
        _collect_tensors(list(values.values()), tensors)


def function_name(func: Callable[..., Any]) -> str:
    """Return the name of a function, or of the attribute whose value it returns."""
    name: str = getattr(func, "__name__", "")
    return getattr(getattr(func, "__self__", None), "__name__", name) if name == "__get__" else name


def _with_axis(name: str, args: Any, kwargs: Mapping[str, Any]) -> str:
    """The name of a function; of a softmax with a remark where it is over another axis than the last one."""
    if name != "softmax":
        return name
    tensor = next(tensors_in((args, kwargs)))
    axis = kwargs.get("dim", args[1] if len(args) > 1 else None)
    return name if axis in (-1, tensor.ndim - 1) else "softmax over another axis"
