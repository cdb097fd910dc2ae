"""What is asked of a model: which output, which class, in which space."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.task import Task, decide
from keras_xai.attribution.whole_numbers import as_numbers
from keras_xai.backend import get_backend
from keras_xai.backend.keras_tree import flatten_with_path
from keras_xai.errors import InvalidInput, listed
from keras_xai.records import Link

NOTHING = int(np.iinfo(np.int32).min)
Output = str | int | Callable[..., Any] | None


class Question:
    """A model's scores for arrays in the structure the model takes, inference mode, logits where it has some.

    Args:
        model: any Keras model.
        like: the input as the user holds it: an array, a list or a dict of arrays.
        output: which output of several, by name or index; or a callable(model, x) -> scores (n, K).
    """

    def __init__(self, model: keras.Model, like: Any, output: Output = None) -> None:
        self.model, self.output = model, output
        self._like = like
        self.link: Link = ""  # what makes the outputs of logits; known once traced
        self.width: int | None = None  # K, known once traced
        self.task: Task | None = None  # what the outputs say, once `settle` has decided it

    def structured(self, flat: list[Any]) -> Any:
        """The inputs as the model takes them."""
        if isinstance(self._like, Mapping):
            return dict(zip(self._like, flat, strict=True))
        return list(flat) if isinstance(self._like, list) else flat[0]

    def names(self, count: int) -> list[str]:
        """What to call the inputs."""
        return list(self._like) if isinstance(self._like, Mapping) else [f"input {k}" for k in range(count)]

    def all_names(self, count: int) -> list[tuple[str, ...]]:
        """What each input may be called: as `names` has it, and by its name in the model."""
        names, tensors = self.names(count), getattr(self.model, "inputs", None) or []
        if isinstance(self._like, Mapping) or len(tensors) != count:
            return [(name,) for name in names]
        return [(name, tensor.name) for name, tensor in zip(names, tensors, strict=True)]

    def outputs(self, flat: list[Any]) -> Any:
        """(n, K) what the model says."""
        x = self.structured(flat)
        own = self.output if callable(self.output) else None
        with as_numbers(self.model):
            output = self._picked(self.model(x, training=False)) if own is None else own(self.model, x)
        scores = _scores(output, flat[0].shape[0])
        self.link = get_backend().find_logits(scores)[1]
        return scores

    def scores(self, flat: list[Any]) -> tuple[Any, Any]:
        """The outputs (n, K), and what is explained: the logits (n, K) behind them, where there are some."""
        outputs = self.outputs(flat)
        scores, self.link = get_backend().find_logits(outputs)
        self.width = 1 if len(outputs.shape) == 1 else int(outputs.shape[-1])
        return outputs, scores

    def _picked(self, structure: Any) -> Any:
        """The output that was chosen, of one or of several in whatever structure.

        Raises:
            InvalidInput: there is none of that name or number, or none was chosen of several.
        """
        outputs, own = named_outputs(structure, getattr(self.model, "output_names", None) or [])
        tensors = list(outputs.values())
        plain = isinstance(structure, Mapping) and not any("/" in path for path in outputs)
        names = list(outputs) if plain or not own else own
        output = self.output
        if output is None and len(tensors) > 1:
            raise InvalidInput(f"The model has several outputs: choose one with output=, one of {listed(names)}.")
        if output is None:
            return tensors[0]
        if isinstance(output, int) and not isinstance(output, bool) and 0 <= output < len(tensors):
            return tensors[output]
        last_parts = [path.rpartition("/")[2] for path in outputs]
        for known in (list(outputs), own, last_parts):
            if isinstance(output, str) and known.count(output) == 1:
                return tensors[known.index(output)]
        several = f"the model has {listed(names)}"
        one = f"the model has one{f', {own[0]!r}' if own else ''}"
        raise InvalidInput(f"There is no output {output!r}; {several if len(tensors) > 1 else one}.")

    def settle(self, outputs: NDArray[Any], y: NDArray[Any] | None = None, *, named: bool = False) -> Task:
        """Decide what the outputs say, once; see `task.decide`.

        Args:
            outputs: (B, K) of some samples, which the graph has given.
            y: (B, ...) labels, None without.
            named: whether classes have names.
        """
        if self.task is None:
            self.task = decide(self.link, outputs, self._loss(), y, named)
        return self.task

    def _loss(self) -> Any:
        """What this output is trained with, None where that is not known."""
        loss = getattr(self.model, "loss", None)
        if callable(self.output):
            return None
        if isinstance(loss, (Mapping, list, tuple)):
            return _loss_of(loss, self.output, list(getattr(self.model, "output_names", None) or []))
        return loss


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


def named_outputs(structure: Any, own: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The tensors of a model's output, each by its path ("hi", "0/hi"), and the names that the model has for them, [] for none.

    A plain dict keeps its order; what is nested has the order in which Keras numbers and names its outputs.
    """
    if not isinstance(structure, (Mapping, list, tuple)):
        return {"": structure}, list(own) if len(own) == 1 else []
    flat = flatten_with_path(structure)
    paths = {"/".join(map(str, path)): tensor for path, tensor in flat}
    names = dict(zip(paths, own, strict=True)) if len(own) == len(paths) else {}
    if isinstance(structure, Mapping) and all(len(path) == 1 for path, _ in flat):
        paths = {str(key): structure[key] for key in structure}
    return paths, [names[path] for path in paths] if names else []


def _scores(output: Any, samples: int | None) -> Any:
    """An output as scores (n, K) or (n,) of `samples` rows.

    Raises:
        InvalidInput: it is anything else, with its type, dtype or shape.
    """
    scores = get_backend().dense_tensor(output)
    if scores is None:
        kind = type(output).__name__
        kind = "tensor" if kind in ("EagerTensor", "SymbolicTensor") else kind
        dtype = getattr(output, "dtype", None)
        what = f"is a {kind}" if dtype is None else f"is a {kind} of {getattr(dtype, 'name', dtype)}"
    elif scores.shape.rank is None:
        what = "has a shape that is not known in advance"
    elif (
        scores.shape.rank not in (1, 2)
        or scores.shape[0] not in (None, samples or scores.shape[0])
        or any(not width for width in scores.shape[1:])
    ):
        what = f"has shape {tuple(scores.shape)}{f' for {samples} samples' if samples else ''}"
    else:
        return scores
    raise InvalidInput(
        f"The output {what}: scores (n, K) are expected; give output= a callable(model, x) that returns them."
    )


def has_convolution(model: keras.Model) -> bool:
    """Whether a convolution or a pooling is in the model: they want small passes."""
    words = ("Conv", "Pooling")
    return any(any(w in type(layer).__name__ for w in words) for layer in model._flatten_layers())
