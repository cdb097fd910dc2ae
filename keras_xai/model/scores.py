"""The scores of a model: which output is read, what stands behind it, and which of its columns is explained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops
from numpy.typing import NDArray

from keras_xai import tree
from keras_xai.backend import get_backend
from keras_xai.backend.activations import dtype_name
from keras_xai.backend.keras_tree import flatten_with_path
from keras_xai.backend.protocol import Logits, Tensor
from keras_xai.errors import InvalidInput, listed
from keras_xai.model.batch_size import begin_sequence
from keras_xai.model.task import Task, decide
from keras_xai.model.whole_numbers import as_numbers
from keras_xai.records import Link

Output = str | int | Callable[..., Any] | None
LEAST_PROBABILITY = 1e-6  # in float32 1 − p is not finer
TINY = 1e-30
FAR = 1e9  # below every other logit


class ScoreFunction:
    """The outputs and scores of a model for tensors, one an input: in inference mode, logits where it has some.

    Args:
        model: any Keras model.
        like: the input as the user holds it: an array, a list or a dict of arrays.
        output: which output of several, by name or index; or a callable(model, x) -> scores (n, K).
    """

    def __init__(self, model: keras.Model, like: Any, output: Output = None) -> None:
        self.model, self.output = model, output
        self._like = like

    def structured(self, inputs: Sequence[Any]) -> Any:
        """The inputs, one a value, as the model takes them."""
        return tree.like(self._like, inputs)

    def input_names(self, count: int) -> list[str]:
        """Names for the inputs."""
        return list(self._like) if isinstance(self._like, Mapping) else [f"input {k}" for k in range(count)]

    def input_aliases(self, count: int) -> list[tuple[str, ...]]:
        """All names that each input has: as `input_names` has it, and by its name in the model."""
        names, tensors = self.input_names(count), getattr(self.model, "inputs", None) or []
        if isinstance(self._like, Mapping) or len(tensors) != count:
            return [(name,) for name in names]
        return [(name, tensor.name) for name, tensor in zip(names, tensors, strict=True)]

    def outputs(self, inputs: list[Tensor]) -> Tensor:
        """(n, K) or (n,) the model's output.

        Raises:
            InvalidInput: it is anything else; no such output.
        """
        x = self.structured(inputs)
        begin_sequence(self.model)
        with as_numbers(self.model):
            if callable(self.output):
                output = self.output(self.model, x)
            else:
                output = self._select(self.model(x, training=False))
        return _as_scores(output, inputs[0].shape[0])

    def logits(self, inputs: list[Tensor]) -> Logits:
        """The outputs, and what is explained: the logits behind them, where there are some."""
        return get_backend().find_logits(self.outputs, inputs)

    def _select(self, structure: Any) -> Tensor:
        """The output that is read, of one or of several in whatever structure.

        Raises:
            InvalidInput: there is none of that name or number, or none was chosen of several.
        """
        outputs, model_names = named_outputs(structure, getattr(self.model, "output_names", None) or [])
        tensors = list(outputs.values())
        is_plain = isinstance(structure, Mapping) and not any("/" in path for path in outputs)
        names = list(outputs) if is_plain or not model_names else model_names
        output = self.output
        if output is None and len(tensors) > 1:
            raise InvalidInput(f"The model has several outputs: choose one with output=, one of {listed(names)}.")
        if output is None:
            return tensors[0]
        if isinstance(output, int) and not isinstance(output, bool) and 0 <= output < len(tensors):
            return tensors[output]
        last_parts = [path.rpartition("/")[2] for path in outputs]
        for spelling in (list(outputs), model_names, last_parts):
            if isinstance(output, str) and spelling.count(output) == 1:
                return tensors[spelling.index(output)]
        if len(tensors) > 1:
            raise InvalidInput(f"There is no output {output!r}; the model has {listed(names)}.")
        name = f", {model_names[0]!r}" if model_names else ""
        raise InvalidInput(f"There is no output {output!r}; the model has one{name}.")

    def task(self, outputs: NDArray[Any], link: Link, y: NDArray[Any] | None = None, *, named: bool = False) -> Task:
        """Decide what the outputs say; see `task.decide`.

        Args:
            outputs: (B, K) of some samples.
            link: what makes them of logits, "" where nothing does.
            y: (B, ...) labels, None without.
            named: whether classes have names.
        """
        return decide(link, outputs, self._loss(), y, named)

    def _loss(self) -> Any:
        """The loss that this output is trained with, None where that is not known."""
        loss = getattr(self.model, "loss", None)
        if callable(self.output):
            return None
        if isinstance(loss, (Mapping, list, tuple)):
            return _loss_of(loss, self.output, list(getattr(self.model, "output_names", None) or []))
        return loss


class TargetScore:
    """The one score of each row that is explained, which is linear in the row's scores.

    Of one unit that says class 1 or not, class 0 is explained by the negative logit, or by 1 − p where there is only a
    probability; −1 among the targets of labels or numbers is the sum of all columns.

    Args:
        task: what the scores say; None takes the target's column, or the only one.
        target: (n,) classes or columns, integers.
    """

    def __init__(self, task: Task | None, target: Tensor) -> None:
        self._task, self._target = task, target
        self._has_sign = task is not None and task.kind == "binary"
        self._is_probability = self._has_sign and task is not None and task.space == "probability"
        self._may_sum = task is not None and task.kind in ("labels", "numbers")

    def select(self, scores: Tensor) -> Tensor:
        """(n,) of scores (n, K) or (n,)."""
        if len(scores.shape) == 1 or scores.shape[-1] == 1:
            column = ops.reshape(scores, (-1,))
            signed = column * self._sign(column) if self._has_sign else column
            return signed + self._is_zero(column) if self._is_probability else signed
        if not self._may_sum:
            return get_backend().take_target(scores, self._target)
        column = get_backend().take_target(scores, ops.maximum(self._target, 0))
        return ops.where(self._target < 0, ops.sum(scores, 1), column)

    def weights(self, scores: Tensor) -> Tensor:
        """The derivative of the score with respect to scores (n, K) or (n,), in their shape."""
        if len(scores.shape) == 1 or scores.shape[-1] == 1:
            ones = ops.ones_like(scores)
            return ops.reshape(self._sign(ones), ops.shape(ones)) if self._has_sign else ones
        weights = ops.one_hot(self._target, scores.shape[-1], dtype=scores.dtype)  # of −1 all zeros
        return ops.where(self._target[:, None] < 0, ops.ones_like(weights), weights) if self._may_sum else weights

    def _sign(self, like: Tensor) -> Tensor:
        return 2 * ops.cast(self._target, like.dtype) - 1

    def _is_zero(self, like: Tensor) -> Tensor:
        return ops.cast(ops.equal(self._target, 0), like.dtype)


class MarginScore(TargetScore):
    """The margin of each row: how much more the model says for the row's own label than for anything else.

    | task | margin |
    |---|---|
    | binary | ±z, the sign that of the class |
    | classes | z of the true class − log Σ exp z of the others |
    | labels | Σ over labels of ±z, the sign that of the label |
    | number, numbers | the number itself, or the sum |

    Where there are only probabilities z is log p − log (1 − p), which for classes is the same margin.

    Args:
        task: what the scores say.
        target: (n,) true classes, or the column of a number, as `TargetScore` has it; of labels (n, K) of −1 and 1.
    """

    def select(self, scores: Tensor) -> Tensor:
        """(n,) of scores (n, K) or (n,)."""
        task = self._task
        assert task is not None
        scores = ops.cast(scores, "float32")
        if task.kind in ("number", "numbers"):
            return super().select(scores)
        if task.kind == "classes":
            return self._of_classes(scores, are_probabilities=task.space == "probability")
        if task.space == "probability":
            inside = ops.clip(scores, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
            scores = ops.log(inside) - ops.log(1 - inside)
        if task.kind == "labels":
            return ops.sum(scores * ops.cast(self._target, scores.dtype), 1)
        column = ops.reshape(scores, (-1,))
        return column * self._sign(column)

    def _of_classes(self, scores: Tensor, *, are_probabilities: bool) -> Tensor:
        true = get_backend().take_target(scores, self._target)
        is_true = ops.one_hot(self._target, scores.shape[-1], dtype=scores.dtype)
        if not are_probabilities:
            return true - ops.logsumexp(scores - FAR * is_true, axis=1)
        # The others' sum and not 1 − p, of which float32 has nothing left where p is about 1.
        others = ops.sum(scores * (1 - is_true), 1)
        return ops.log(ops.maximum(true, TINY)) - ops.log(ops.maximum(others, TINY))


def _loss_of(losses: Mapping[str, Any] | Sequence[Any], output: Output, names: list[str]) -> Any:
    """The loss of one output, by its name or its number, however the losses are listed."""
    if output is None:
        every = list(losses.values()) if isinstance(losses, Mapping) else list(losses)
        return every[0] if len(every) == 1 else None
    if isinstance(losses, Mapping):
        name = names[output] if isinstance(output, int) and output < len(names) else output
        return losses.get(str(name))
    number = names.index(output) if isinstance(output, str) and output in names else output
    return losses[number] if isinstance(number, int) and number < len(losses) else None


def named_outputs(structure: Any, names: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The tensors of a model's output, each by its path ("hi", "0/hi"), and the names that the model has for them, [] for none.

    A plain dict keeps its order; what is nested has the order in which Keras numbers and names its outputs.
    """
    if not isinstance(structure, (Mapping, list, tuple)):
        return {"": structure}, list(names) if len(names) == 1 else []
    flat = flatten_with_path(structure)
    paths = {"/".join(map(str, path)): tensor for path, tensor in flat}
    name_of = dict(zip(paths, names, strict=True)) if len(names) == len(paths) else {}
    if isinstance(structure, Mapping) and all(len(path) == 1 for path, _ in flat):
        paths = {str(key): structure[key] for key in structure}
    return paths, [name_of[path] for path in paths] if name_of else []


def _as_scores(output: Any, samples: int | None) -> Tensor:
    """An output as scores (n, K) or (n,) of `samples` rows.

    Raises:
        InvalidInput: it is anything else, with its type, dtype or shape.
    """
    scores = get_backend().dense_tensor(output)
    if scores is None:
        kind = type(output).__name__
        # As TensorFlow, PyTorch and JAX call a plain one.
        kind = "tensor" if kind in ("EagerTensor", "SymbolicTensor", "Tensor") or kind.endswith("Tracer") else kind
        fault = f"is a {kind}" if getattr(output, "dtype", None) is None else f"is a {kind} of {dtype_name(output)}"
    else:
        fault = _fault_of_shape(scores, samples)
    if fault:
        raise InvalidInput(
            f"The output {fault}: scores (n, K) are expected; give output= a callable(model, x) that returns them."
        )
    return scores


def _fault_of_shape(scores: Tensor, samples: int | None) -> str:
    """The fault of the shape of a tensor of scores, as a predicate; "" where there is none."""
    try:
        shape = tuple(scores.shape)
    except ValueError:  # TensorFlow's, of a tensor whose rank is not known
        return "has a shape that is not known in advance"
    has_rows = len(shape) in (1, 2) and shape[0] in (None, samples or shape[0])
    if has_rows and all(shape[1:]):
        return ""
    return f"has shape {shape}{f' for {samples} samples' if samples else ''}"
