"""The scores of a model: which output is read, and what stands behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai import tree
from keras_xai.backend import get_backend
from keras_xai.backend.activations import dtype_name
from keras_xai.backend.keras_tree import flatten_with_path
from keras_xai.backend.protocol import Logits, Tensor
from keras_xai.errors import InvalidInput, listed
from keras_xai.model.batch_size import begin_sequence
from keras_xai.model.layer_units import unit_scores
from keras_xai.model.output_hint import hint_of_names, hint_of_shape, is_name_of_classes
from keras_xai.model.region_score import RegionScore
from keras_xai.model.target_score import TargetScore
from keras_xai.model.task import Task, decide
from keras_xai.model.whole_numbers import as_numbers
from keras_xai.outputs.dense import Dense
from keras_xai.outputs.layer import LayerUnits
from keras_xai.outputs.spec import OutputSpec, output_name
from keras_xai.records import Link

Output = str | int | Callable[..., Any] | OutputSpec | None


class ScoreFunction:
    """The outputs and scores of a model for tensors, one an input: in inference mode, logits where it has some.

    Args:
        model: any Keras model.
        like: the input as the user holds it: an array, a list or a dict of arrays.
        output: which output of several, by name or index; a description of `kx.outputs`; or a callable(model, x) -> scores
            (n, K).

    Attributes:
        dense: the description of a dense output, whose outputs and scores are (n, ..., K); None for a row of scores.
        input_shapes: (...) of a sample of each input.
    """

    def __init__(self, model: keras.Model, like: Any, output: Output = None) -> None:
        self.model, self.output = model, output
        self.dense = output if isinstance(output, Dense) else None
        self.input_shapes = [tuple(np.shape(array)[1:]) for array in tree.leaves(like)]
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
        """(n, K) or (n,) the model's output; (n, ..., K) of a dense one.

        Raises:
            InvalidInput: it is anything else; no such output.
        """
        x = self.structured(inputs)
        begin_sequence(self.model)
        with as_numbers(self.model):
            if callable(self.output):
                output = self.output(self.model, x)
            elif isinstance(self.output, LayerUnits):
                output = unit_scores(self.model, x, self.output)
            else:
                output = self._select(self.model(x, training=False))
        samples = inputs[0].shape[0]
        if self.dense is None:
            return _as_scores(output, samples, self.input_shapes)
        tensor = _as_dense(output, samples, self.dense)
        return tensor if self.dense.columns is None else tensor[..., self.dense.columns]

    def target_score(
        self, task: Task | None, target: Tensor, score_type: type[TargetScore] = TargetScore
    ) -> TargetScore:
        """The one score of each row: of a dense output that of its region."""
        if self.dense is None:
            return score_type(task, target)
        return RegionScore(task, target, self.input_shapes, self.dense, score_type)

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
        output = output_name(self.output)
        if output is None and len(tensors) > 1 and self.dense is not None and self.dense.unit == "box":
            output = name_of_classes(names)
        if output is None and len(tensors) > 1:
            raise InvalidInput(
                f"The model has several outputs: choose one with output=, one of {listed(names)}.{hint_of_names(names)}"
            )
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
        if isinstance(self.output, LayerUnits):
            width = outputs.reshape(len(outputs), -1).shape[1]
            return Task("number" if width == 1 else "numbers", width, "raw", "raw")
        return decide(link, outputs, self.loss, y, named)

    @property
    def loss(self) -> Any:
        """The loss that this output is trained with, None where that is not known."""
        loss = getattr(self.model, "loss", None)
        if callable(self.output) or isinstance(self.output, LayerUnits):
            return None
        if isinstance(loss, (Mapping, list, tuple)):
            return _loss_of(loss, output_name(self.output), list(getattr(self.model, "output_names", None) or []))
        return loss

    @property
    def ignored_label(self) -> int | None:
        """The label that the loss passes over, None where it has none."""
        label = getattr(self.loss, "ignore_class", None)
        return None if label is None else int(label)


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


def _as_scores(output: Any, samples: int | None, inputs: Sequence[tuple[int, ...]] = ()) -> Tensor:
    """An output as scores (n, K) or (n,) of `samples` rows, of a model with inputs of these shapes.

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
        hint = _dense_hint(scores, samples, inputs)
        way = f"output={hint}; or a" if hint else "output= a"
        raise InvalidInput(
            f"The output {fault}: scores (n, K) are expected; give {way} callable(model, x) that returns them."
        )
    return scores


def _dense_hint(scores: Tensor | None, samples: int | None, inputs: Sequence[tuple[int, ...]]) -> str:
    """The description of `kx.outputs` that a tensor of more axes asks for; "" where none does."""
    try:
        shape = () if scores is None else tuple(scores.shape)
    except ValueError:  # TensorFlow's, of a tensor whose rank is not known
        return ""
    has_rows = len(shape) > 2 and shape[0] in (None, samples or shape[0]) and all(shape[1:])
    return hint_of_shape(shape, inputs) if has_rows else ""


def _as_dense(output: Any, samples: int | None, spec: Dense) -> Tensor:
    """An output (n, ...) of numbers at positions.

    Raises:
        InvalidInput: it is anything else, with its type, dtype or shape.
    """
    tensor = get_backend().dense_tensor(output)
    if tensor is None:
        raise InvalidInput(
            f"The output is a {type(output).__name__}: {spec.name} needs a tensor of numbers (B, ..., K)."
        )
    try:
        shape = tuple(tensor.shape)
    except ValueError:  # TensorFlow's, of a tensor whose rank is not known
        shape = ()
    if len(shape) < 2 or shape[0] not in (None, samples or shape[0]):
        raise InvalidInput(
            f"The output has shape {shape or 'that is not known in advance'}"
            f"{f' for {samples} samples' if samples else ''}: {spec.name} needs (B, ..., K)."
        )
    return tensor


def name_of_classes(names: Sequence[str]) -> str:
    """The output of a detector that holds the classes of boxes, by its name.

    Raises:
        InvalidInput: none is told by its name, or more than one.
    """
    matching = [name for name in names if is_name_of_classes(name)]
    if len(matching) != 1:
        raise InvalidInput(
            f"The model has the outputs {listed(names)}: say which holds the classes of the boxes, as "
            f"kx.outputs.detection(classes={str(names[-1])!r})."
        )
    return matching[0]


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
