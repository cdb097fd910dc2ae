"""Operations of a jaxpr in the forms for which XLA has fast code on a CPU.

XLA brings a convolution into the layout of its fast code only outside of loops: inside one the gradient of a convolution,
which has another layout, takes over ten times as long. So do, anywhere, the gradient of a max pooling, which it scatters
entry by entry, and convolutions by channel or in three dimensions, which it computes number by number. On a GPU XLA has other
code for all of them.

The results are the same but for the order of sums. Jaxprs are rewritten when nothing differentiates them any more.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
from jax import lax

_POSITIONS = 27  # of a window, at most, that are taken one by one
_FEW_CHANNELS = 4  # of a convolution's output, such as the colours that its gradient ends in

# (inputs, parameters) -> the form of an operation that is fast, None where it is to stay.
Rule = Callable[[list[Any], dict[str, Any]], Callable[..., jax.Array] | None]


def with_fast_operations(closed: jex.ClosedJaxpr) -> jex.ClosedJaxpr:
    """Return the same function with fast operations, at whatever depth."""
    jaxpr = _rewritten(closed.jaxpr)
    return closed if jaxpr is closed.jaxpr else jex.ClosedJaxpr(jaxpr, closed.consts)


def _rewritten(jaxpr: jex.Jaxpr) -> jex.Jaxpr:
    equations = [_rewritten_equation(equation) for equation in jaxpr.eqns]
    is_same = all(new is old for new, old in zip(equations, jaxpr.eqns, strict=True))
    return jaxpr if is_same else jaxpr.replace(eqns=equations)


def _rewritten_equation(equation: jex.JaxprEqn) -> jex.JaxprEqn:
    rule = _RULES.get(equation.primitive.name)
    shapes = [jax.ShapeDtypeStruct(atom.aval.shape, atom.aval.dtype) for atom in equation.invars]
    fast = None if rule is None else rule(shapes, dict(equation.params))
    if fast is not None:
        (call,) = jax.make_jaxpr(jax.jit(fast))(*shapes).eqns  # as one equation
        return call.replace(invars=equation.invars, outvars=equation.outvars)
    params = {name: _rewritten_parameter(value) for name, value in equation.params.items()}
    is_same = all(params[name] is value for name, value in equation.params.items())
    return equation if is_same else equation.replace(params=params)


def _rewritten_parameter(value: Any) -> Any:
    """Return a parameter of an operation with the jaxprs in it rewritten."""
    if isinstance(value, jex.ClosedJaxpr):
        return with_fast_operations(value)
    if isinstance(value, jex.Jaxpr):
        return _rewritten(value)
    if isinstance(value, tuple) and any(isinstance(part, (jex.ClosedJaxpr, jex.Jaxpr)) for part in value):
        return tuple([_rewritten_parameter(part) for part in value])
    return value


# Convolutions.


def _convolution(inputs: list[Any], params: dict[str, Any]) -> Callable[..., jax.Array] | None:
    """Channels last, kernels (space, in, out); by channel, by plane or by column where that is faster."""
    numbers = params.pop("dimension_numbers")
    rank = len(numbers.lhs_spec)
    last = (0, rank - 1, *range(1, rank - 1))
    fast = lax.ConvDimensionNumbers(last, (rank - 1, rank - 2, *range(rank - 2)), last)
    image_order, kernel_order = _order(numbers.lhs_spec, last), _order(numbers.rhs_spec, fast.rhs_spec)
    form = _form([inputs[0].shape[k] for k in image_order], [inputs[1].shape[k] for k in kernel_order], params)
    if numbers == fast and form is None:
        return None

    def convolution(image: jax.Array, kernel: jax.Array) -> jax.Array:
        image, kernel = lax.transpose(image, image_order), lax.transpose(kernel, kernel_order)
        if form is None:
            result = lax.conv_general_dilated_p.bind(image, kernel, dimension_numbers=fast, **params)
        else:
            result = form(image, kernel, params)
        return lax.transpose(result, _order(last, numbers.out_spec))

    return convolution


def _order(source: Sequence[int], target: Sequence[int]) -> tuple[int, ...]:
    """Return the permutation that takes axes from the places in `source` to those in `target`."""
    order = [0] * len(source)
    for old, new in zip(source, target, strict=True):
        order[new] = old
    return tuple(order)


def _form(image: Sequence[int], kernel: Sequence[int], params: dict[str, Any]) -> Callable[..., jax.Array] | None:
    """Return a function of an image and a kernel of these shapes, channels last, that computes their convolution fast."""
    *window, of_group, outputs = kernel
    if params["batch_group_count"] != 1 or math.prod(window) > _POSITIONS:
        return None
    if params["feature_group_count"] > 1:
        return _by_channel if of_group == 1 and params["feature_group_count"] == image[-1] else None
    if len(window) == 3:
        return _by_plane
    is_dense = all(step == 1 for name in ("window_strides", "lhs_dilation", "rhs_dilation") for step in params[name])
    is_small = outputs <= _FEW_CHANNELS and of_group >= 4 * outputs and 1 < math.prod(window) <= 9
    return _by_column if is_dense and is_small else None


def _padded(image: jax.Array, params: dict[str, Any]) -> jax.Array:
    """Return the image as the window sees it: with its padding, and zeros between the entries where it is dilated."""
    padding = [
        (low, high, step - 1) for (low, high), step in zip(params["padding"], params["lhs_dilation"], strict=True)
    ]
    return lax.pad(image, jnp.zeros((), image.dtype), [(0, 0, 0), *padding, (0, 0, 0)])


def _shifted(image: jax.Array, position: Sequence[int], window: Sequence[int], params: dict[str, Any]) -> jax.Array:
    """Return the entries of a padded image that stand at one position of the window, whose sides are `window`."""
    start, stop, steps = [0], [image.shape[0]], [1]
    for k, at in enumerate(position):
        step, apart, length = params["window_strides"][k], params["rhs_dilation"][k], image.shape[k + 1]
        count = (length - (window[k] - 1) * apart - 1) // step + 1
        start.append(at * apart)
        stop.append(at * apart + (count - 1) * step + 1)
        steps.append(step)
    further = image.ndim - len(start)
    return lax.slice(image, [*start, *[0] * further], [*stop, *image.shape[len(start) :]], [*steps, *[1] * further])


def _by_channel(image: jax.Array, kernel: jax.Array, params: dict[str, Any]) -> jax.Array:
    """Each channel with kernels of its own: products with one entry of the kernels at a time."""
    *window, _, outputs = kernel.shape
    image, channels = _padded(image, params), image.shape[-1]
    kernel = kernel.reshape(*window, channels, outputs // channels)
    terms = []
    for position in itertools.product(*map(range, window)):
        terms.append(_shifted(image, position, window, params)[..., None] * kernel[position])
    result = functools.reduce(jnp.add, terms)
    return result.reshape(*result.shape[:-2], outputs)


def _by_plane(image: jax.Array, kernel: jax.Array, params: dict[str, Any]) -> jax.Array:
    """A convolution in three dimensions as a sum of convolutions in two, of all planes at once."""
    depth, image = kernel.shape[0], _padded(image, params)
    flat = {name: tuple(params[name][1:]) for name in ("window_strides", "rhs_dilation")}
    terms = []
    for plane in range(depth):
        of_depth = {name: params[name][:1] for name in ("window_strides", "rhs_dilation")}
        planes = _shifted(image, (plane,), (depth,), of_depth)
        planes = planes.reshape(-1, *image.shape[2:])
        numbers = ("NHWC", "HWIO", "NHWC")
        terms.append(
            lax.conv_general_dilated(
                planes,
                kernel[plane],
                padding="VALID",
                dimension_numbers=numbers,
                precision=params["precision"],
                preferred_element_type=params["preferred_element_type"],
                **flat,
            )
        )
    result = functools.reduce(jnp.add, terms)
    return result.reshape(len(image), -1, *result.shape[1:])


def _by_column(image: jax.Array, kernel: jax.Array, params: dict[str, Any]) -> jax.Array:
    """A few outputs of many channels: one product for all positions of the window, whose parts are shifted and added."""
    *window, channels, outputs = kernel.shape
    columns = jnp.moveaxis(kernel, -2, 0).reshape(channels, -1)
    products = lax.dot_general(
        image, columns, (((image.ndim - 1,), (0,)), ((), ())), preferred_element_type=params["preferred_element_type"]
    )
    products = _padded(products, params)
    terms = []
    for number, position in enumerate(itertools.product(*map(range, window))):
        of_position = products[..., number * outputs : (number + 1) * outputs]
        terms.append(_shifted(of_position, position, window, params))
    return functools.reduce(jnp.add, terms)


# Poolings.


def _gradient_of_maximum(inputs: list[Any], params: dict[str, Any]) -> Callable[..., jax.Array] | None:
    """The gradient of a max pooling: of each window to its first largest entry, one position of the window at a time."""
    window, strides, padding = params["window_dimensions"], params["window_strides"], params["padding"]
    is_maximum = params["select_prim"].name == "ge" and jnp.issubdtype(inputs[1].dtype, jnp.floating)
    if not is_maximum or math.prod(window) > _POSITIONS:
        return None

    def scattered(above: jax.Array, image: jax.Array) -> jax.Array:
        # Not of JAX: it is to know that this is a maximum.
        lowest, zero = np.array(-np.inf, image.dtype), np.zeros((), above.dtype)
        padded = lax.pad(image, lowest, [(low, high, 0) for low, high in padding])
        largest = lax.reduce_window(image, lowest, lax.max, window, strides, padding)
        is_given, terms = jnp.zeros(largest.shape, bool), []
        for position in itertools.product(*map(range, window)):
            stop = [at + (n - 1) * step + 1 for at, n, step in zip(position, largest.shape, strides, strict=True)]
            is_largest = lax.slice(padded, position, stop, strides) == largest
            gradient = jnp.where(is_largest & ~is_given, above, zero)
            is_given = is_given | is_largest
            places = zip(position, stop, strides, padded.shape, strict=True)
            terms.append(lax.pad(gradient, zero, [(at, side - end, step - 1) for at, end, step, side in places]))
        total = functools.reduce(jnp.add, terms)
        ends = [low + side for (low, _), side in zip(padding, image.shape, strict=True)]
        return lax.slice(total, [low for low, _ in padding], ends)

    return scattered


_RULES: dict[str, Rule] = {
    "conv_general_dilated": _convolution,
    "select_and_scatter_add": _gradient_of_maximum,
}
