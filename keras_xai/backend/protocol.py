"""The framework seam: the functions that a backend has, typed. Above it nothing imports a framework.

Values go in and values come out. A function that runs inside a seam function (a score, the body of a loop) hands out tensors
only by returning them: a framework that traces it cannot let them out another way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import keras
from numpy.typing import NDArray

from keras_xai.backend.recorder import GradientRecorder, TrainFunction
from keras_xai.records import Link

Tensor = Any  # of the framework
Score = Callable[[list[Tensor]], Tensor]
Progress = Callable[[int], None]  # told on the host of so many rounds more

# By the number of an input: which of its entries are meant, and their values.
Point = Mapping[int, tuple[NDArray[Any], NDArray[Any]]]


class Activation(NamedTuple):
    """The output of a layer's first call."""

    layer: keras.layers.Layer
    input: Tensor  # the first tensor that it was called with, None without
    output: Tensor  # (n, ...) its first floating tensor with a row for each sample; None where it is not readable
    mask: Tensor  # (n, T) true where a time step counts, or None
    function: str  # the activation function that made it ("relu", "sigmoid", …), "" where none is found
    unchanged: bool  # its input again, in another shape at most
    calls: int
    leads: bool  # whether the value of the function is computed from it
    varies: bool  # whether values that differ between the samples lead to it, not only which of them are true
    problem: str  # why it is not readable, "" where it is


class Program(Protocol):
    """A compiled function: called as the function is, on the model's live weights."""

    def __call__(self, *args: Any) -> Any:
        """Run it; whatever it moves (a seed, the state of a recurrent layer) is put back."""

    def trace(self, *args: Any) -> None:
        """Trace it for such arguments, and run nothing."""

    @property
    def traces(self) -> int:
        """How many times the function was traced."""

    @property
    def has_side_effects(self) -> bool:
        """Whether a call moves something that is put back after it."""

    @property
    def lasting(self) -> str:
        """What a call may move and nobody can put back, in words; "" where there is nothing."""


class TargetScore(Protocol):
    """Picks of scores (n, K) the one (n,) that is explained, and is linear in them."""

    def score(self, scores: Tensor) -> Tensor:
        """(n,)"""

    def weights(self, scores: Tensor) -> Tensor:
        """The derivative of `score` with respect to scores, in their shape."""


class Backend(Protocol):
    """One framework. Each is a folder beside this file, whose module has these functions."""

    # Running.

    def compiled(self, function: Callable[..., Any], jit: bool = False, model: keras.Model | None = None) -> Program:
        """`function` of tensors, traced once for each shape of its arguments; `jit` compiles with XLA."""

    def constant(self, array: NDArray[Any]) -> Tensor:
        """An array on the device; float64 becomes float32, Keras' own input type."""

    def numpy(self, value: Tensor) -> NDArray[Any]:
        """A tensor on the host."""

    def dense_tensor(self, value: Any) -> Tensor:
        """A model's output as a tensor of numbers; None for text, complex numbers, ragged and sparse tensors, nothing."""

    # Asking.

    def find_logits(self, outputs: Tensor) -> tuple[Tensor, Link]:
        """The logits behind outputs (n, K), and the function between them."""

    def take_target(self, scores: Tensor, target: Tensor) -> Tensor:
        """(n,) the target's column of scores (n, K); the only one where K is 1."""

    # Differentiating.

    def gradient(self, score: Score, inputs: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """`score(inputs)` (n,), and the gradient of its sum with respect to each input; None where no path leads there."""

    def forward_with_vjp(
        self, score: Score, inputs: Sequence[Tensor], layers: Sequence[keras.layers.Layer]
    ) -> tuple[Tensor, list[list[Tensor]], Callable[[], tuple[list[Tensor], list[list[Tensor]]]]]:
        """`score(inputs)` (n,), the outputs of `layers` at each of their calls, and the one backward pass, where asked for."""

    def origins(self, tensor: Tensor, inputs: Sequence[Tensor]) -> set[int]:
        """The numbers of the inputs that a tensor is computed from."""

    def deeplift_multipliers(
        self,
        scores: Score,
        x: Sequence[Tensor],
        baseline: Sequence[Tensor],
        explained: TargetScore,
        alike: bool = False,
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Scores (n,) of samples and of their baselines, and the multipliers of DeepLIFT's Rescale rule, one an input."""

    # Loops.

    def fori_loop(
        self,
        function: Callable[[Tensor, list[Tensor]], list[Tensor]],
        count: int,
        initial: Sequence[Tensor],
        progress: Progress | None = None,
    ) -> list[Tensor]:
        """`initial` after `function(k, values)` for k in 0 … count − 1, traced once."""

    def map(self, function: Callable[[Tensor], Tensor], count: int, progress: Progress | None = None) -> Tensor:
        """(count, ...) `function(k)` for k in 0 … count − 1, stacked; one at a time."""

    def normal(self, seed: int, k: Any, shape: Sequence[int]) -> Tensor:
        """Standard normal draws that follow from (seed, k) alone."""

    # Layers.

    def trace_activations(
        self,
        function: Callable[[list[Tensor]], Any],
        inputs: Sequence[Tensor],
        layers: Sequence[keras.layers.Layer],
        vary: Sequence[bool] | None = None,
    ) -> tuple[Any, list[Activation]]:
        """`function(inputs)`, and the outputs of `layers` on the way, in the order in which they were first done."""

    def ending(self, outputs: Tensor) -> tuple[list[Tensor], str]:
        """The tensors from the logits behind an output to the output itself, and the function between."""

    def fit_rows(self, tensor: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        """(samples, ...) the first rows of a tensor whose number of rows is known only at run time; and that number."""

    def embedding_outputs(
        self, score: Callable[[list[Tensor]], Any], inputs: Sequence[Tensor], layers: Sequence[keras.layers.Layer]
    ) -> list[tuple[int, Tensor]]:
        """The outputs of the calls of `layers` that look an input up, each with the number of that input."""

    def substitute_embeddings(
        self,
        score: Callable[[list[Tensor]], Any],
        inputs: Sequence[Tensor],
        layers: Sequence[keras.layers.Layer],
        instead: Sequence[Tensor],
    ) -> Any:
        """`score(inputs)` with other embeddings in the place of those."""

    def output_shapes(
        self, score: Callable[[list[Tensor]], Any], inputs: Sequence[Tensor], layers: Sequence[keras.layers.Layer]
    ) -> list[tuple[keras.layers.Layer, tuple[int | None, ...]]]:
        """The layers that `score` calls, in the order of their calls, with the shape of their first output."""

    def preimages(
        self,
        function: Callable[[list[Tensor]], Any],
        inputs: Sequence[NDArray[Any]],
        layers: Sequence[keras.layers.Layer],
        model: keras.Model,
    ) -> Sequence[tuple[keras.layers.Layer, Point]]:
        """The inputs for which a Normalization at the model's beginning gets its mean, or a Masking its mask value."""

    # Data.

    def reshuffles(self, source: Any) -> bool:
        """Whether a data set of the framework's own shuffles anew at each read."""

    # Training.

    def gradient_recorder(
        self, model: keras.Model, plain: TrainFunction, announce: Callable[[int], None]
    ) -> GradientRecorder:
        """A recorder of the gradients that train `model`.

        Args:
            model: whose train function is made.
            plain: the model's own train function.
            announce: is called with the number of variables before a recording function is compiled, which takes long.
        """

    def is_chief(self, model: keras.Model) -> bool:
        """True where this process is the one that writes, of several that train one model together."""
