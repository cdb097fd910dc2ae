"""DeepLIFT's multipliers: one pass over samples and baselines, in which activations and maxima have another derivative."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from keras.src.backend.common.name_scope import current_path
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from keras_xai.backend.protocol import Multipliers, NoRule, TargetScores
from keras_xai.backend.results import Template
from keras_xai.backend.torch.ancestry import NO_MAKERS, OF_THE_SHAPE, function_name, tensors_in
from keras_xai.backend.torch.calls import is_in_place, mapped
from keras_xai.backend.torch.functions import (
    BY_ENTRY,
    DIVISIONS,
    ENTRYWISE,
    LINEAR_IN_ALL,
    LINEAR_IN_FIRST,
    LINEAR_IN_ONE,
    MATRIX_PRODUCTS,
    MEETING,
    MULTIPLICATIONS,
    WINNER,
)
from keras_xai.backend.torch.slopes import by_halves, by_log_softmax, by_slope, by_softmax, by_winner
from keras_xai.backend.torch.two_parts import Parts, keeps_rows
from keras_xai.backend.torch.whole_functions import IN_PARTS, is_sum_without_bias


def deeplift_multipliers(
    scores: Callable[[list[Any]], tuple[Any, Any]],
    inputs: Sequence[Any],
    baseline: Sequence[Any],
    target: TargetScores,
    shared_baseline: bool = False,
) -> Multipliers:
    """See `Backend`.

    Samples and baselines go through the model together, the samples in front. Where all baselines are one and the same, a single
    row stands for them.
    """
    samples = len(inputs[0])
    parts = Parts(samples, 1 if shared_baseline else samples)
    with torch.enable_grad():
        both = [torch.cat([x, b[: parts.baselines]]) for x, b in zip(inputs, baseline, strict=True)]
        sources = [tensor.detach().requires_grad_() if tensor.is_floating_point() else tensor for tensor in both]
        with _Rules(sources, parts) as rules:
            try:
                final, aux = scores(list(sources))
            except RuntimeError as error:
                if "shape" not in str(error):
                    raise
                raise NoRule("a model that does not take samples and their baselines in one pass") from error
        fault = rules.fault(final)
        if fault:
            raise NoRule(fault)
        start = parts.baselines_of(final)
        score = target.select(parts.samples_of(final))
        floating = [tensor for tensor in sources if tensor.requires_grad]
        gradients = [None] * len(floating)
        if score.requires_grad and floating:
            gradients = torch.autograd.grad(score.sum(), floating, allow_unused=True)
    remaining = iter(gradients)
    multipliers: list[Any] = []
    for tensor in sources:
        multiplier = next(remaining) if tensor.requires_grad else None
        multipliers.append(None if multiplier is None else multiplier[:samples])
    template = Template(aux, torch.is_tensor)
    aux = template.filled([parts.samples_of(tensor.detach()) for tensor in template.forget()])
    return Multipliers(score.detach(), target.select(start.detach()), multipliers, aux)


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class _Call:
    """The call that made a tensor that moves with the samples."""

    number: int  # in the order of calls
    function: Callable[..., Any]
    args: Any
    kwargs: Mapping[str, Any]
    fault: str  # an operation without a rule that it goes through, "" where there is none


class _Rules(TorchFunctionMode):
    """Replaces the derivatives of functions by DeepLIFT's rules while a model runs.

    A function without a rule is called as it is, and what it made is marked: it counts only where the score comes of it (the
    softmax behind the logits does not), and Keras would rewrite an exception that is raised inside of a layer.

    Args:
        sources: the inputs, samples and baselines in one.
        parts: which rows are which.
    """

    def __init__(self, sources: Sequence[Any], parts: Parts) -> None:
        super().__init__()
        self._parts = parts
        # By tensor that moves with the samples, the call that made it; None for an input.
        self._calls: Any = WeakIdKeyDictionary()
        for tensor in sources:
            if tensor.is_floating_point():
                self._calls[tensor] = None
        self._count = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = function_name(func)
        if name in NO_MAKERS or name in OF_THE_SHAPE:
            return func(*args, **kwargs)
        moving = self._moving((args, kwargs))
        if not moving:
            return func(*args, **kwargs)
        if name in IN_PARTS and not is_sum_without_bias(name, args, kwargs):
            with contextlib.suppress(TypeError), self:  # of an argument that it does not take: the function stays whole
                return IN_PARTS[name](*args, **kwargs)
        if name in DIVISIONS and len(moving) == 2 and "rounding_mode" not in kwargs:
            with self:
                return args[0] * torch.reciprocal(args[1])
        fault = next((fault for fault in map(self.fault, moving) if fault), "")
        result, has_rule = self._call(name, func, args, kwargs, moving)
        if not has_rule and not fault:
            fault = f"the operation {name} in {current_path()!r}"
        self._count += 1
        call = _Call(self._count, func, args, kwargs, fault)
        writes = is_in_place(name, kwargs)
        for tensor in tensors_in(result):
            if writes or not any(tensor is argument for argument in moving):  # else it is handed on as it is
                self._calls[tensor] = call
        if writes and name not in LINEAR_IN_ALL | LINEAR_IN_ONE | LINEAR_IN_FIRST:
            # The result is another tensor with a rule's derivative, and its argument is as before.
            self._calls[moving[0]] = dataclasses.replace(
                call, fault=f"the operation {name} in {current_path()!r}, in place"
            )
        return result

    def fault(self, tensor: Any) -> str:
        """Return the operation without a rule that a tensor comes through, "" where there is none."""
        call = self._calls.get(tensor)
        return "" if call is None else call.fault

    def _moving(self, values: Any) -> list[Any]:
        """The tensors of a structure that move with the samples, each once."""
        return list({id(tensor): tensor for tensor in tensors_in(values) if tensor in self._calls}.values())

    def _call(
        self, name: str, func: Callable[..., Any], args: Any, kwargs: Mapping[str, Any], moving: list[Any]
    ) -> tuple[Any, bool]:
        """The result of a call, and whether there is a rule for it."""
        factors = [tensor for tensor in tensors_in((args, kwargs)) if tensor in self._calls]
        if name in MULTIPLICATIONS | MATRIX_PRODUCTS and len(factors) == 2:
            return self._product(name, func, args, kwargs, moving)
        if name in ("softmax", "log_softmax") and self._is_softmax_of_rows(args, kwargs):
            by_rule = by_softmax if name == "softmax" else by_log_softmax
            return by_rule(args[0], args[1] if len(args) > 1 else kwargs["dim"], self._parts), True
        if name in MEETING and (len(moving) > 1 or name in ("where", "__rtruediv__")):
            if name == "where" and not any(args[0] is tensor for tensor in moving):
                return func(*args, **kwargs), True
            source = self._source_of_activation(args, kwargs, moving)
            if source is not None:
                call = _Call(self._count + 1, func, args, kwargs, "")
                return by_slope(source, lambda z: self._again(call, source, z), self._parts), True
            return func(*args, **kwargs), False
        only = moving[0]
        is_first = bool(args) and args[0] is only and len(moving) == 1
        if name in ENTRYWISE and len(moving) == 1 and only.is_floating_point():
            return by_slope(only, lambda z: _with(func, args, kwargs, only, z), self._parts), True
        if name in WINNER and is_first:
            if not keeps_rows(name, func, args, kwargs, moving[0], self._parts):
                return func(*args, **kwargs), False
            return by_winner(only, lambda z: _with(func, args, kwargs, only, z), self._parts), True
        result = func(*args, **kwargs)
        return result, self._is_linear(name, func, args, kwargs, moving, result)

    def _product(
        self, name: str, func: Callable[..., Any], args: Any, kwargs: Mapping[str, Any], moving: list[Any]
    ) -> tuple[Any, bool]:
        """The same for a product of two tensors that move: each row by its own, or functions of one tensor entry by entry."""
        source = (
            self._source_of_activation(args, kwargs, moving) if name in MULTIPLICATIONS and len(moving) == 2 else None
        )
        if source is not None:
            call = _Call(self._count + 1, func, args, kwargs, "")
            return by_slope(source, lambda z: self._again(call, source, z), self._parts), True

        def product(*tensors: Any) -> Any:
            by_number = {id(tensor): other for tensor, other in zip(moving, tensors, strict=True)}
            of_others = mapped((args, dict(kwargs)), lambda tensor: by_number.get(id(tensor), tensor))
            return func(*of_others[0], **of_others[1])

        ranks = {tensor.ndim for tensor in moving}
        in_front = (
            all(self._parts.fit(tensor) and len(tensor) == len(moving[0]) for tensor in moving) and len(ranks) == 1
        )
        if name == "einsum":
            inputs, _, output = str(args[0]).replace(" ", "").partition("->")
            in_front = in_front and {entry[:1] for entry in inputs.split(",")} == {output[:1]}
        elif name in MATRIX_PRODUCTS:
            in_front = in_front and ranks != {2}
        if not in_front or is_in_place(name, kwargs):
            return func(*args, **kwargs), False
        return by_halves(moving, product, self._parts), True

    def _is_softmax_of_rows(self, args: Any, kwargs: Mapping[str, Any]) -> bool:
        """True for a softmax along another axis than that of the samples."""
        axis = args[1] if len(args) > 1 else kwargs.get("dim")
        return axis is not None and axis not in (0, -args[0].ndim) and self._parts.fit(args[0])

    def _is_linear(
        self, name: str, func: Callable[..., Any], args: Any, kwargs: Mapping[str, Any], moving: list[Any], result: Any
    ) -> bool:
        """True where a function is linear in the tensors that move, and leaves the samples in front."""
        tensors = [*moving, *tensors_in(result)]
        if not all(tensor.is_floating_point() for tensor in tensors):
            return False
        if name in LINEAR_IN_ALL:
            is_linear = True
        elif name in LINEAR_IN_ONE:
            is_linear = len(moving) == 1
        else:
            is_linear = name in LINEAR_IN_FIRST and len(moving) == 1 and bool(args) and args[0] is moving[0]
        return is_linear and keeps_rows(name, func, args, kwargs, moving[0], self._parts)

    def _source_of_activation(self, args: Any, kwargs: Mapping[str, Any], moving: list[Any]) -> Any:
        """The one tensor that all moving arguments of a call are functions of entry by entry; None where there is none: a product
        of two activations."""
        shape = torch.broadcast_shapes(*[tensor.shape for tensor in tensors_in((args, kwargs))])
        open_ends = {id(tensor): tensor for tensor in moving}
        while len(open_ends) > 1:
            latest = max(open_ends.values(), key=self._number)
            call = self._calls.get(latest)
            if call is None or function_name(call.function) not in BY_ENTRY or latest.shape != shape:
                return None
            del open_ends[id(latest)]
            open_ends |= {id(tensor): tensor for tensor in self._moving((call.args, call.kwargs))}
        (source,) = open_ends.values()
        return source if source.shape == shape and source.is_floating_point() else None

    def _number(self, tensor: Any) -> int:
        call = self._calls.get(tensor)
        return -1 if call is None else call.number

    def _again(self, call: _Call, source: Any, z: Any) -> Any:
        """The result of a call, with z in place of the tensor that it is a function of."""
        results = {id(source): z}

        def value_of(tensor: Any) -> Any:
            if id(tensor) not in results:
                made_by = self._calls.get(tensor)
                results[id(tensor)] = tensor if made_by is None else result_of(made_by)
            return results[id(tensor)]

        def result_of(call: _Call) -> Any:
            values = {id(tensor): value_of(tensor) for tensor in self._moving((call.args, call.kwargs))}
            args, kwargs = mapped((call.args, dict(call.kwargs)), lambda tensor: values.get(id(tensor), tensor))
            return call.function(*args, **kwargs)

        return result_of(call)


def _with(func: Callable[..., Any], args: Any, kwargs: Mapping[str, Any], tensor: Any, other: Any) -> Any:
    """Call a function with another tensor in the place of one; never in place."""
    args, kwargs = mapped((args, dict(kwargs)), lambda value: other.clone() if value is tensor else value)
    return func(*args, **kwargs)
