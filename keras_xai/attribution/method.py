"""What a method is, and what it may ask of a model."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import keras
import numpy as np

from keras_xai.attribution.explained import Explained
from keras_xai.attribution.samples import Samples
from keras_xai.attribution.task import Task
from keras_xai.backend import get_backend
from keras_xai.errors import InvalidInput, unknown
from keras_xai.probe import Probe

Tensor = Any
T = TypeVar("T")

# Layers whose output does not move smoothly with their input.
WITHOUT_GRADIENT = (
    "CategoryEncoding",
    "Discretization",
    "HashedCrossing",
    "Hashing",
    "IntegerLookup",
    "StringLookup",
    "TextVectorization",
)


class NoPath(InvalidInput):
    """No gradient leads from the score to any input."""


@dataclasses.dataclass(frozen=True)
class Method:
    """An attribution method; its options are its fields, under the names the field uses.

    Its `values` run inside one compiled graph, on some rows at a time, so they are written with tensors alone.
    """

    complete: ClassVar[bool] = False  # Σ values = score − baseline score
    differentiates: ClassVar[bool] = True  # needs a gradient: what has none to offer is held fixed
    on_input: ClassVar[bool] = True  # values have the shape of the input; else a map (n, h, w) of their own
    fits: ClassVar[bool] = False  # puts a model of its own in the place of the user's, and says how well it fits
    path: ClassVar[bool] = False  # goes from a baseline to the sample, and adds up what changes on the way

    @property
    def compares(self) -> bool:
        """Whether it looks at baselines: it counts from one, or takes entries back to it."""
        return self.complete or not self.differentiates

    @property
    def integrates(self) -> bool:
        """Whether it can say how far its sum lies from the integral that it stands for."""
        return False

    def values(self, at: Rows) -> list[Tensor]:
        """The attribution of these rows, one tensor an input: of `at.x` for what differentiates, else of `at.given`."""
        raise NotImplementedError

    def reads(self, at: Rows) -> Sequence[keras.layers.Layer]:
        """The layers whose `Rows.activation` it will ask for: one pass serves all methods, so it must know them first."""
        return ()

    def check(self, model: keras.Model) -> None:
        """Raise `InvalidInput` where the options do not fit the model."""

    def baseline_score(self, at: Rows) -> Tensor:
        """(n,) what a complete method's values are counted from."""
        return at.start_score if self.differentiates else at.baseline_score

    def r2(self, at: Rows) -> Tensor:
        """(n,) of a method that `fits`: the share of the score's movement that its own model accounts for."""
        raise NotImplementedError

    def quadrature_miss(self, at: Rows) -> list[Tensor]:
        """Of a method that `integrates`: how far two quadratures of its points lie apart, halved; one for each of `at.x`."""
        raise NotImplementedError

    def for_probe(self, probe: Probe) -> Method:
        """The same method with what a probe knows and the options leave open: its groups, its background."""
        return self

    def checked(self, x: Sequence[Samples], like: Any) -> Method:
        """The same method with what it compares samples with as arrays, one an input of x.

        Raises:
            InvalidInput: that does not fit x, is not finite, or is of another type.
        """
        return self

    def for_callback(self, given: Mapping[str, Any]) -> Method:
        """The same method with the defaults that an epoch can afford, for all options but the `given` ones."""
        return self


class Rows:
    """Some samples inside the graph: what a method sees. Arrays are (n, ...), n the same in every call.

    `score` is the logit of the target class where there is one. What methods share is computed once: one forward pass for
    outputs, scores and activations, one backward pass for the gradients at the input and at layers.
    """

    def __init__(
        self,
        ask: Callable[[list[Tensor]], tuple[Tensor, Tensor]],
        x: list[Tensor],
        baseline: list[Tensor],
        target: Tensor,
        model: keras.Model,
        chunk: int,
        alike: bool = False,
        task: Task | None = None,
    ) -> None:
        self._ask = ask  # inputs -> the model's outputs, and the scores behind them
        self.task = task  # what the scores say, where that is known
        self.x, self.target, self.model = x, target, model
        self.baseline = baseline  # none at all where no method looks at one
        self.given: list[Tensor] = x  # in the user's own shapes, where `x` are the embeddings of tokens
        self.chunk = chunk  # rows that one pass should hold
        self.alike = alike  # whether the baselines are one and the same
        self.sources = list(range(len(x)))  # which of the user's inputs each one comes from
        self.size: int = x[0].shape[0]
        self._said: tuple[Tensor, Tensor] | None = None
        self._outputs: list[Tensor] = []
        self._watched: list[keras.layers.Layer] = []
        self._made: dict[int, tuple[Method, Any]] = {}
        self.heard: Callable[[int], None] | None = None  # told how many passes were made, while they are
        self.names: list[tuple[str, ...]] = []  # of the user's inputs: what each one may be called
        self.remarks: list[str] = []  # what a user has to know of the values
        self.looped = 0  # passes in all loops

    def scores(self, x: list[Tensor], target: Tensor) -> Tensor:
        """(m,) the score of m rows; m need not be n."""
        return Explained(self.task, target).score(self._ask(x)[1])

    def gradient_of(self, x: list[Tensor], target: Tensor) -> list[Tensor]:
        """The gradient of each row's score; zero for an input that has no smooth path to it."""
        return self._zeroed(x, get_backend().gradient(lambda z: self.scores(z, target), x)[1])

    def watch(self, methods: Iterable[Method]) -> None:
        """Make ready what these methods will read on the way."""
        layers = {id(layer): layer for method in methods for layer in method.reads(self)}
        self._watched = list(layers.values())

    @functools.cached_property
    def gradient(self) -> list[Tensor]:
        """At the input itself.

        Raises:
            InvalidInput: nothing leads there.
        """
        return self._zeroed(self.x, self._passed[2]()[0])

    def said(self) -> tuple[Tensor, Tensor]:
        """(n, K) outputs and (n,) score."""
        if self._said is None:
            value = self._passed[0]
            self._said = self._outputs[0], value
        return self._said

    @functools.cached_property
    def score(self) -> Tensor:
        """(n,) at the rows themselves."""
        return self.said()[1]

    @functools.cached_property
    def baseline_score(self) -> Tensor:
        """(n,) at their baselines."""
        return self.scores(self.baseline, self.target)

    @functools.cached_property
    def smooth(self) -> list[bool]:
        """Which inputs have a gradient path to the score; the others are held fixed by what differentiates.

        Raises:
            InvalidInput: none has.
        """
        found = [keras.backend.is_float_dtype(x.dtype) for x in self.x]
        if len(found) > 1:
            at_input = get_backend().gradient(lambda z: self.scores(z, self.target), self.x)[1]
            found = [g is not None for g in at_input]
        if not any(found):
            raise self._no_path()
        return found

    @functools.cached_property
    def start(self) -> list[Tensor]:
        """Where a path to the rows begins: their baselines, and themselves where they are held fixed."""
        return [b if s else x for x, b, s in zip(self.x, self.baseline, self.smooth, strict=True)]

    @functools.cached_property
    def start_score(self) -> Tensor:
        """(n,) there."""
        return self.baseline_score if all(self.smooth) else self.scores(self.start, self.target)

    def once(self, method: Method, make: Callable[[], T]) -> T:
        """What `make` gives, made at a method's first call: for what its values share with what else it says."""
        if id(method) not in self._made:
            self._made[id(method)] = (method, make())  # held, so that no other gets its id
        return self._made[id(method)][1]

    def lifted(self, arrays: list[Tensor]) -> list[Tensor]:
        """Rows in the user's shapes, as `x` has them."""
        return arrays

    def lowered(self, values: list[Tensor]) -> list[Tensor]:
        """Values for `x`, one tensor for each input of the user's."""
        return values

    def masks(self, masks: list[Tensor]) -> list[Tensor]:
        """Masks (per, n or 1, ...) of the user's inputs, one for each of `x`."""
        return masks

    @functools.cached_property
    def looked_up(self) -> list[bool]:
        """Which of the user's inputs are tokens that an embedding looks up."""
        return [False] * len(self.given)

    def passes(self, count: int) -> tuple[int, int]:
        """How many passes `count` variants of each row take, and how many variants one pass holds."""
        per = max(1, min(count, self.chunk // self.size))
        return -(-count // per), per

    def folded(
        self, one_pass: Callable[[Tensor, list[Tensor]], list[Tensor]], passes: int, initial: list[Tensor]
    ) -> list[Tensor]:
        """`initial` after `one_pass(k, values)` for each of so many passes."""
        self.looped += passes
        found: list[Tensor] = get_backend().fori_loop(one_pass, passes, initial, self.heard)
        return found

    def tried(self, count: int, variants: Callable[[Tensor], list[Tensor]]) -> Tensor:
        """(n, count) the scores of `count` variants of each row, forward passes alone.

        `variants(k)` gives variants k (per,) of every row, (per, n, ...) an input.
        """
        ops, backend = keras.ops, get_backend()
        passes, per = self.passes(count)
        # The last pass is filled up with copies of the last variant, which are cut off again.
        index = backend.constant(np.minimum(np.arange(passes * per), count - 1).reshape(passes, per).astype(np.int32))
        target = ops.tile(self.target, [per])

        def one_pass(k: Tensor) -> Tensor:
            changed = zip(variants(index[k]), self.x, strict=True)
            z = [ops.reshape(ops.broadcast_to(v, (per, *x.shape)), (-1, *x.shape[1:])) for v, x in changed]
            return ops.reshape(self.scores(z, target), (per, self.size))

        self.looped += passes
        found = ops.reshape(backend.map(one_pass, passes, self.heard), (passes * per, self.size))
        return ops.transpose(found[:count])

    def kept(self, masks: list[Tensor], instead: list[Tensor] | None = None) -> list[Tensor]:
        """The rows where a mask is 1, their baseline (or what stands `instead`) where it is 0: (per, n, ...) an input.

        Masks (per, n or 1, ...), one for each input of the user's, may lie in between; integers are kept from one half on.
        """
        ops, masks = keras.ops, self.masks(masks)
        found = []
        others = instead or [b[None, :1] if self.alike else b[None] for b in self.baseline]
        for x, mask, other in zip(self.x, masks, others, strict=True):
            if keras.backend.is_float_dtype(x.dtype):
                mask = ops.cast(mask, x.dtype)
                if mask.shape[1] == 1:  # a product that repeats along the rows alone takes half the time
                    mask = ops.broadcast_to(mask, (mask.shape[0], 1, *x.shape[1:]))
                found.append(mask * x[None] + (1 - mask) * other)  # exact at 0 and 1
            else:
                found.append(ops.where(ops.cast(mask, "float32") >= 0.5, x[None], ops.cast(other, x.dtype)))
        return found

    @functools.cached_property
    def _passed(self) -> tuple[Tensor, list[list[Tensor]], Callable[[], tuple[list[Tensor], list[list[Tensor]]]]]:
        """The one pass over the rows themselves: score, activations, and gradients where somebody asks for them."""

        def score(z: list[Tensor]) -> Tensor:
            said, scores = self._ask(z)
            self._outputs.append(said)
            return Explained(self.task, self.target).score(scores)

        return get_backend().forward_with_vjp(score, self.x, self._watched)

    def rescaled(self) -> list[Tensor]:
        """DeepLIFT's multipliers, None where nothing leads to the score; the pass also gives both scores.

        Raises:
            ValueError: an operation has no rule; its type and layer.
        """
        outputs = []

        def scores(z: list[Tensor]) -> Tensor:
            said, scores = self._ask(z)
            outputs.append(said)
            return scores

        alike = self.alike and all(self.smooth)
        own, start, found = get_backend().deeplift_multipliers(
            scores, self.x, self.start, Explained(self.task, self.target), alike
        )
        self._said = self._said or (outputs[0], own)
        vars(self).setdefault("start_score", start)
        return list(found)

    def _no_path(self) -> NoPath:
        shapes = ", ".join(f"{keras.backend.standardize_dtype(x.dtype)} {tuple(x.shape)[1:]}" for x in self.given)
        layers = [one for one in every_layer(self.model) if type(one).__name__ in WITHOUT_GRADIENT]
        inner = {id(part) for one in layers for part in one._flatten_layers(include_self=False)}
        named = [f"{path_of(one, self.model)!r} ({type(one).__name__})" for one in layers if id(one) not in inner]
        cause = (
            f"behind {', '.join(named)}" if named else "behind what has no gradient (a lookup, an encoding, rounding)"
        )
        return NoPath(
            f"No gradient leads from the score back to x ({shapes}). Take a method that needs none (occlusion, kernel_shap, "
            f"lime), or start {cause}: explain a model that takes what comes out there."
        )

    def _zeroed(self, x: list[Tensor], found: list[Tensor]) -> list[Tensor]:
        if all(g is None for g in found):
            raise self._no_path()
        return [keras.ops.zeros(z.shape, "float32") if g is None else g for z, g in zip(x, found, strict=True)]

    def activations(self, layer: keras.layers.Layer) -> list[Tensor]:
        """What a layer that the method `reads` gave for these rows, at each of its calls.

        Raises:
            InvalidInput: it was not called, or gives no tensor.
        """
        found: list[Tensor] = self._passed[1][self._number(layer)]
        if not found:
            raise self._unread(layer, "gives nothing on the way")
        return found

    def slope(self, layer: keras.layers.Layer, call: int) -> Tensor:
        """The score's gradient with respect to what it gave at one of them.

        Raises:
            InvalidInput: nothing leads there.
        """
        found = self._passed[2]()[1][self._number(layer)][call]
        if found is None:
            raise self._unread(layer, "does not lead")
        return found

    def inputs_of(self, tensor: Tensor) -> set[int]:
        """The numbers of the user's inputs that a tensor is computed from."""
        return {self.sources[k] for k in get_backend().origins(tensor, self.x)}

    def _number(self, layer: keras.layers.Layer) -> int:
        return [id(one) for one in self._watched].index(id(layer))

    def _unread(self, layer: keras.layers.Layer, fault: str) -> InvalidInput:
        return InvalidInput(
            f"Layer {path_of(layer, self.model)!r} {fault} to the score; name another layer with layer=."
        )

    @functools.cached_property
    def spatial_layers(self) -> list[keras.layers.Layer]:
        """The layers with an output (n, h, w, c) of more than one place, in the order in which they are called.

        Raises:
            InvalidInput: there is none.
        """
        every = every_layer(self.model)
        # What attention holds is (n, heads, t, t): who looks at whom, not a place.
        attending = {id(part) for one in every if "Attention" in type(one).__name__ for part in one._flatten_layers()}
        leaves = [
            one for one in every if id(one) not in attending and not list(one._flatten_layers(include_self=False))
        ]
        shapes = get_backend().output_shapes(lambda z: self.scores(z, self.target), self.x, leaves)
        spatial = [layer for layer, s in shapes if len(s) == 4 and sorted(d or 2 for d in s[1:])[1] > 1]
        if not spatial:
            raise InvalidInput(
                "No layer of the model has a spatial output (n, h, w, c): name one with layer=, or take saliency."
            )
        return spatial


def named(method: str, options: Mapping[str, Any], table: Mapping[str, type[Method]]) -> Method:
    """The method of that name with these options.

    Raises:
        InvalidInput: no such method, or no such option.
    """
    if method not in table:
        raise unknown("attribution method", method, table)
    cls = table[method]
    fields = [f.name for f in dataclasses.fields(cls)]
    for option in options:
        if option not in fields:
            known = f"It has {', '.join(fields)}." if fields else "It has none."
            raise InvalidInput(f"{method} has no option {option!r}. {known}")
    return cls(**options)


def find_layer(model: keras.Model, path: str) -> keras.layers.Layer:
    """The layer with this path, or with this name where only one has it; nested and subclassed models are looked into.

    Raises:
        InvalidInput: there is none, or more than one.
    """
    layers = every_layer(model)
    exact = [layer for layer in layers if path_of(layer, model) == path]
    found = exact or [layer for layer in layers if layer.name == path]
    if not found:
        raise unknown("layer", path, dict.fromkeys(path_of(layer, model) for layer in layers))
    if len(found) > 1:
        paths = ", ".join(repr(path_of(layer, model)) for layer in found)
        raise InvalidInput(f"More than one layer is called {path!r}: give its path, one of {paths}.")
    return found[0]


def every_layer(model: keras.Model) -> Sequence[keras.layers.Layer]:
    """All layers below the model, in the order they were added, containers included."""
    return [
        layer for layer in model._flatten_layers(include_self=False) if not isinstance(layer, keras.layers.InputLayer)
    ]


def path_of(layer: keras.layers.Layer, model: keras.Model) -> str:
    """A layer's name for the user: its path, without the model's own name in front.

    Keras gives a layer without weights no path but its name, wherever it stands: such a one is looked for.
    """
    path: str = getattr(layer, "path", None) or layer.name
    if not layer.weights and "/" not in path:
        path = next((found for found, one in _nested(model) if one is layer), path)
    return path.removeprefix(f"{model.name}/")


def _nested(model: keras.layers.Layer, prefix: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    for layer in model._flatten_layers(include_self=False, recursive=False):
        yield prefix + layer.name, layer
        yield from _nested(layer, f"{prefix}{layer.name}/")
