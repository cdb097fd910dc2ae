"""A batch of samples inside a program: what a method may ask of the model about them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import keras

from keras_xai.attribution.placement import Placement
from keras_xai.backend import get_backend
from keras_xai.backend.layer_calls import substitute_embeddings
from keras_xai.backend.protocol import ForwardPass, LayerOutput, Logits, LrpRules, Progress, Tensor, Tensors
from keras_xai.errors import InvalidInput
from keras_xai.model import layers as model_layers
from keras_xai.model.layers import behind_without_gradient, layer_path
from keras_xai.model.target_score import TargetScore
from keras_xai.model.task import Task

T = TypeVar("T")


class NoPath(InvalidInput):
    """No gradient leads from the score to any input."""


class Prediction(NamedTuple):
    """The model's answer for the rows of a batch."""

    outputs: Tensor  # (n, K) or (n,), (n, ..., K) of a dense output
    score: Tensor  # (n,) that is explained


class Passes(NamedTuple):
    """The passes that some variants of each row take."""

    number: int
    variants: int  # of each row in one pass


class Batch:
    """Some samples inside a program. Arrays are (n, ...), n the same in every call.

    The score is the logit of the target class where there is one. What methods share is computed once: one forward pass for
    outputs, scores and activations, one backward pass for the gradients at the input and at layers.

    Args:
        outputs: runs the model on tensors, one an input.
        x: the samples.
        baseline: one for each of them, or one for all where `shared_baseline`; none at all where no method looks at one.
        target: (n,) the classes or columns to explain.
        model: that `outputs` runs.
        chunk: rows that one pass should hold.
        shared_baseline: all baselines are one and the same.
        task: what the scores say, None where that is not decided.
        input_names: of each of the user's inputs what it may be called.
        progress: told how many passes were made, while they are.
        layers_by_shapes: the layers that batches of some shapes found; added to.
        score_type: of the task and a target: what makes one score of the scores of a row.
        placements: of methods that are read off a layer, by the method's id.
        is_dense: the outputs are (n, ..., K).
    """

    def __init__(
        self,
        outputs: Callable[[Tensors], Tensor],
        x: Tensors,
        baseline: Tensors,
        target: Tensor,
        model: keras.Model,
        chunk: int,
        *,
        shared_baseline: bool = False,
        task: Task | None = None,
        input_names: Sequence[tuple[str, ...]] = (),
        progress: Progress | None = None,
        layers_by_shapes: dict[Any, list[keras.layers.Layer]] | None = None,
        score_type: Callable[[Task | None, Tensor], TargetScore] = TargetScore,
        placements: Mapping[int, Placement] | None = None,
        is_dense: bool = False,
    ) -> None:
        self.score_type, self.is_dense = score_type, is_dense
        self.placements = placements or {}
        self.x, self.baseline, self.target = x, baseline, target
        self.model, self.chunk, self.task = model, chunk, task
        self.shared_baseline = shared_baseline
        self.input_names = list(input_names)
        self.progress = progress
        self._layers_by_shapes = {} if layers_by_shapes is None else layers_by_shapes
        self.model_inputs = x  # in the user's own shapes, where `x` are the embeddings of tokens
        self.input_index = list(range(len(x)))  # which of the user's inputs each of `x` comes from
        self.size: int = x[0].shape[0]
        self.remarks: list[str] = []  # what a user has to know of the values
        self.loop_passes = 0  # in all loops
        self.run_model = outputs
        self._watched: list[keras.layers.Layer] = []
        self._memory: dict[int, tuple[object, Any]] = {}
        self._prediction: Prediction | None = None

    # The model.

    def logits(self, x: Tensors) -> Logits:
        """The outputs and scores of some rows."""
        return get_backend().find_logits(self.run_model, x)

    def score_of(self, x: Tensors, target: Tensor) -> Tensor:
        """(m,) the score of m rows; m need not be n."""
        return self.score_type(self.task, target).select(self.logits(x).scores)

    def repeated_target(self, copies: int) -> Tensor:
        """The targets of so many copies of all rows, one copy behind the other."""
        return keras.ops.tile(self.target, [copies] + [1] * (len(self.target.shape) - 1))

    def gradient_of(self, x: Tensors, target: Tensor) -> Tensors:
        """The gradient of each row's score; zero for an input that has no smooth path to it."""
        gradients = get_backend().gradient(lambda z: self.score_of(z, target), x).gradients
        return self._without_gaps(x, gradients)

    def watch(self, layers: Sequence[keras.layers.Layer]) -> None:
        """Make ready the layers that methods will read on the way, before anything is asked."""
        if layers:
            self._watched = list({id(layer): layer for layer in layers}.values())
            vars(self).pop("_forward", None)

    @functools.cached_property
    def _forward(self) -> ForwardPass:
        """The one pass over the rows themselves."""

        def score(z: Tensors) -> tuple[Tensor, Tensor]:
            logits = self.logits(z)
            return self.score_type(self.task, self.target).select(logits.scores), logits.outputs

        return get_backend().forward_with_vjp(score, self.x, self._watched)

    def prediction(self) -> Prediction:
        """The outputs and the score of the rows themselves."""
        if self._prediction is None:
            self._prediction = Prediction(outputs=self._forward.aux, score=self._forward.value)
        return self._prediction

    @property
    def score(self) -> Tensor:
        """(n,) at the rows themselves."""
        return self.prediction().score

    @functools.cached_property
    def gradient(self) -> Tensors:
        """The gradient at the rows themselves, one an input.

        Raises:
            NoPath: nothing leads there.
        """
        return self._without_gaps(self.x, self._forward.vjp().inputs)

    # Baselines.

    @functools.cached_property
    def baseline_score(self) -> Tensor:
        """(n,) at the baselines."""
        return self.score_of(self.baseline, self.target)

    @functools.cached_property
    def differentiable(self) -> list[bool]:
        """For each input, True where a gradient leads from the score to it; the others are held fixed by gradient methods.

        Raises:
            NoPath: none leads to any.
        """
        has_path = [keras.backend.is_float_dtype(x.dtype) for x in self.x]
        if len(has_path) > 1:
            has_path = [g is not None for g in self._forward.vjp().inputs]
        if not any(has_path):
            raise self._no_path()
        return has_path

    @functools.cached_property
    def path_start(self) -> Tensors:
        """The rows that a path to the samples begins at: their baselines, and themselves where they are held fixed."""
        return [b if moves else x for x, b, moves in zip(self.x, self.baseline, self.differentiable, strict=True)]

    @functools.cached_property
    def path_start_score(self) -> Tensor:
        """(n,) there."""
        if all(self.differentiable):
            return self.baseline_score
        return self.score_of(self.path_start, self.target)

    def deeplift_multipliers(self) -> Tensors:
        """DeepLIFT's multipliers, None where nothing leads to the score; the pass also gives both scores.

        Raises:
            NoRule: an operation has no rule; its type and layer.
        """

        def scores(z: Tensors) -> tuple[Tensor, Tensor]:
            logits = self.logits(z)
            return logits.scores, logits.outputs

        result = get_backend().deeplift_multipliers(
            scores,
            self.x,
            self.path_start,
            self.score_type(self.task, self.target),
            shared_baseline=self.shared_baseline and all(self.differentiable),
        )
        if self._prediction is None:
            self._prediction = Prediction(result.aux, result.score)
        vars(self).setdefault("path_start_score", result.baseline_score)
        return result.multipliers

    def lrp_multipliers(self, rules: LrpRules) -> Tensors:
        """LRP's multipliers, None where nothing leads to the score; the pass also gives the scores.

        Raises:
            NoRule: an operation has no rule; its type and layer.
        """

        def scores(z: Tensors) -> tuple[Tensor, Tensor]:
            logits = self.logits(z)
            return logits.scores, logits.outputs

        result = get_backend().lrp_multipliers(scores, self.x, self.score_type(self.task, self.target), rules)
        if self._prediction is None:
            self._prediction = Prediction(result.aux, result.score)
        if all(multiplier is None for multiplier in result.multipliers):
            raise self._no_path()
        return result.multipliers

    # Loops.

    def memoize(self, owner: object, make: Callable[[], T]) -> T:
        """The value of `make`, made at the owner's first call: for what a method's values share with its other results."""
        if id(owner) not in self._memory:
            self._memory[id(owner)] = (owner, make())  # with the owner, so that no other gets its id
        return self._memory[id(owner)][1]

    def passes(self, count: int) -> Passes:
        """The passes that `count` variants of each row take."""
        variants = max(1, min(count, self.chunk // self.size))
        return Passes(-(-count // variants), variants)

    def loop(self, one_pass: Callable[[Tensor, Tensors], Tensors], passes: int, initial: Tensors) -> Tensors:
        """Run `values = one_pass(k, values)` for each of so many passes, from `initial` on."""
        self.loop_passes += passes
        return get_backend().fori_loop(one_pass, passes, initial, self.progress)

    # Tokens: a batch of embeddings says otherwise.

    def embed(self, arrays: Tensors) -> Tensors:
        """Rows in the user's shapes, as `x` has them."""
        return arrays

    def sum_over_embedding(self, values: Tensors) -> Tensors:
        """Values for `x`, as one tensor for each input of the user's."""
        return values

    def input_masks(self, masks: Tensors) -> Tensors:
        """Masks (per, n or 1, ...) of the user's inputs, as one for each of `x`."""
        return masks

    @property
    def holds_tokens(self) -> list[bool]:
        """For each input of the user's, True where an embedding looks it up."""
        return [False] * len(self.model_inputs)

    # Layers.

    def activations(self, layer: keras.layers.Layer) -> list[LayerOutput]:
        """The outputs of a required layer for these rows, at each of its calls.

        Raises:
            InvalidInput: it was not called, or gives no tensor.
        """
        outputs = self._forward.layers[self._number(layer)]
        if not outputs:
            raise self._unread(layer, "gives nothing on the way")
        return [output._replace(output=_with_rows(output.output, self.size)) for output in outputs]

    def at_layer(self, x: Tensors, target: Tensor, layer: keras.layers.Layer, call: int) -> tuple[Tensor, Tensor]:
        """A layer's output for some rows, and the gradient of their scores with respect to it, both float32 (m, ...).

        Args:
            x: (m, ...) rows; m need not be n.
            target: (m,) of their scores.
            layer: any layer of the model.
            call: the number of its call.

        Raises:
            InvalidInput: nothing leads from there to the score.
        """

        def score(z: Tensors) -> tuple[Tensor, Tensor]:
            value = self.score_of(z, target)
            return value, value

        forward = get_backend().forward_with_vjp(score, x, [layer])
        gradient = forward.vjp(at_inputs=False).outputs[0][call]
        if gradient is None:
            raise self._unread(layer, "does not lead")
        at_layer = [_with_rows(tensor, x[0].shape[0]) for tensor in (forward.layers[0][call].output, gradient)]
        return keras.ops.cast(at_layer[0], "float32"), keras.ops.cast(at_layer[1], "float32")

    def deeplift_at(self, layer: keras.layers.Layer, call: int) -> tuple[Tensor, Tensor]:
        """DeepLIFT's multipliers at a layer's output, and by how much that differs from its output for the baselines.

        The model behind the layer is explained as a function of the inputs, for what leads around the layer, and of its output.

        Raises:
            NoRule: an operation behind the layer has no rule; its type and layer.
            InvalidInput: nothing leads from there to the score.
        """
        calls = len(self.activations(layer))
        output = self.activations(layer)[call].output
        start, _ = self.at_layer(self.path_start, self.target, layer, call)
        start = keras.ops.cast(start, output.dtype)

        def scores(z: Tensors) -> tuple[Tensor, Tensor]:
            outputs = [z[-1] if k == call else None for k in range(calls)]
            logits = get_backend().find_logits(
                lambda inputs: substitute_embeddings(self.run_model, inputs, [layer], outputs), z[:-1]
            )
            return logits.scores, logits.outputs

        result = get_backend().deeplift_multipliers(
            scores,
            [*self.x, output],
            [*self.path_start, start],
            self.score_type(self.task, self.target),
            shared_baseline=self.shared_baseline and all(self.differentiable),
        )
        if result.multipliers[-1] is None:
            raise self._unread(layer, "does not lead")
        return keras.ops.cast(result.multipliers[-1], "float32"), keras.ops.cast(output - start, "float32")

    def activation_gradient(self, layer: keras.layers.Layer, call: int) -> Tensor:
        """The score's gradient with respect to the layer's output at one of them.

        Raises:
            InvalidInput: nothing leads there.
        """
        gradient = self._forward.vjp(at_inputs=False).outputs[self._number(layer)][call]
        if gradient is None:
            raise self._unread(layer, "does not lead")
        return _with_rows(gradient, self.size)

    def inputs_behind(self, output: LayerOutput) -> set[int]:
        """The numbers of the user's inputs that a layer's output is computed from."""
        return {self.input_index[k] for k in output.input_indices}

    @functools.cached_property
    def spatial_layers(self) -> list[keras.layers.Layer]:
        """See `model.layers.spatial_layers`; of a dense output those before its head, which holds the scores themselves."""
        key = "spatial", *[tuple(x.shape) for x in self.x]
        if key not in self._layers_by_shapes:
            layers = model_layers.spatial_layers(self.model, self.run_model, self.x)
            self._layers_by_shapes[key] = model_layers.before_head(layers) if self.is_dense else layers
        return self._layers_by_shapes[key]

    def _number(self, layer: keras.layers.Layer) -> int:
        return [id(watched) for watched in self._watched].index(id(layer))

    def _unread(self, layer: keras.layers.Layer, fault: str) -> InvalidInput:
        return InvalidInput(
            f"Layer {layer_path(layer, self.model)!r} {fault} to the score; name another layer with layer=."
        )

    def _without_gaps(self, x: Tensors, gradients: Tensors) -> Tensors:
        """Gradients with zeros in the place of None."""
        if all(g is None for g in gradients):
            raise self._no_path()
        return [keras.ops.zeros(z.shape, "float32") if g is None else g for z, g in zip(x, gradients, strict=True)]

    def _no_path(self) -> NoPath:
        shapes = ", ".join(
            f"{keras.backend.standardize_dtype(x.dtype)} {tuple(x.shape)[1:]}" for x in self.model_inputs
        )
        layers = behind_without_gradient(self.model)
        cause = "behind " + (", ".join(layers) or "what has no gradient (a lookup, an encoding, rounding)")
        return NoPath(
            f"No gradient leads from the score back to x ({shapes}). Take a method that needs none (occlusion, kernel_shap, "
            f"lime), or start {cause}: explain a model that takes what comes out there."
        )


def _with_rows(tensor: Tensor, size: int) -> Tensor:
    """A tensor that has forgotten how many rows it has, as behind a layer of text, with so many; any other as it is."""
    shape = tuple(getattr(tensor, "shape", ()) or ())
    if not shape or shape[0] is not None:
        return tensor
    return keras.ops.reshape(tensor, (size, *(-1 if side is None else side for side in shape[1:])))
