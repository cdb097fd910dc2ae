"""The framework seam: the functions that a backend has, typed. Above it nothing imports a framework.

Values go in and values come out. A function that runs inside a seam function (a score, the body of a loop) hands out tensors
only by returning them: a framework that traces it has no other way to let them out. Nothing is learnt as a side effect of
tracing either: facts are returned beside the tensors.

A second backend is a folder beside this file and a line in `FRAMEWORKS`; `tests/backend/test_parity.py` says what each function
has to give.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from numpy.typing import NDArray

from keras_xai.records import Link

if TYPE_CHECKING:  # what is imported for its types alone would import the framework
    import keras

    from keras_xai.backend.recorder import GradientRecorder, TrainFunction

Tensor = Any  # of the framework
Tensors = list[Tensor]
# Called on the host with the number of rounds that a loop has done since the last call.
Progress = Callable[[int], None]


class NoRule(ValueError):
    """DeepLIFT has no rule for an operation. Says which one, and the layer it stands in."""


class Logits(NamedTuple):
    """A model's outputs, and what is explained of them."""

    outputs: Tensor  # (n, K) or (n,)
    scores: Tensor  # float32, in the same shape: the logits behind the outputs, or the outputs where there are none
    link: Link  # the function between the two, "" where there is none


class Gradient(NamedTuple):
    """A score and its gradient."""

    value: Tensor  # (n,)
    gradients: Tensors  # of Σ value with respect to each input, in its shape; None where no path leads there


class LayerOutput(NamedTuple):
    """The output of one call of a layer."""

    output: Tensor  # (n, ...)
    input_indices: frozenset[int]  # which of the inputs it is computed from


class Slopes(NamedTuple):
    """The gradients of one backward pass; None where no path leads."""

    inputs: Tensors
    outputs: list[Tensors]  # of each layer at each of its calls


class ForwardPass(NamedTuple):
    """One pass, and the backward pass that belongs to it."""

    value: Tensor  # (n,)
    aux: Any  # what the score returned beside it
    layers: list[list[LayerOutput]]  # of each layer at each of its calls
    vjp: Callable[[], Slopes]  # of Σ value; the pass is made once, when it is first called


class Multipliers(NamedTuple):
    """DeepLIFT's answer."""

    score: Tensor  # (n,) of the samples
    baseline_score: Tensor  # (n,) of their baselines
    multipliers: Tensors  # one an input, in its shape; None where no change leads from it to the score
    aux: Any  # what the scores of the samples came with


class Activation(NamedTuple):
    """The output of a layer's first call."""

    layer: keras.layers.Layer
    output: Tensor  # (n, ...) its first floating tensor with a row for each sample; None where it is not readable
    mask: Tensor  # (n, T) true where a time step counts, or None
    function: str  # the activation function that made it ("relu", "sigmoid", …), "" where none is found
    is_input: bool  # its input again, in another shape at most
    is_final: bool  # it is the model's logits or comes after them
    follows: tuple[keras.layers.Layer, ...]  # the traced layers whose output it was called with
    calls: int
    leads: bool  # whether the model's outputs are computed from it
    varies: bool  # whether values that differ between the samples lead to it, not only which of them are true
    problem: str  # why it is not readable, "" where it is


class ActivationTrace(NamedTuple):
    """A forward pass, and what some layers gave in it."""

    outputs: Tensor  # as in `Logits`
    scores: Tensor
    link: Link
    activations: list[Activation]  # in the order in which the layers were first done; of those that were called


class EmbeddingCall(NamedTuple):
    """One call of a layer that may be an embedding of an input."""

    input_index: (
        int | None
    )  # the input that it was called with, in another shape or dtype at most; None for anything else
    output: Tensor


class FittedRows(NamedTuple):
    """Rows of a tensor that has an unknown number of them."""

    rows: Tensor  # (samples, ...) zeros where there are fewer
    count: Tensor  # how many there are


class Preimage(NamedTuple):
    """Inputs for which a layer at the beginning of a model gets a certain value."""

    layer: keras.layers.Layer
    values: Mapping[
        int, tuple[NDArray[Any], NDArray[Any]]
    ]  # by input: which of its entries are meant, and their values


class Program(Protocol):
    """A compiled function.

    What the function returns may hold facts (text, numbers, any object that is no tensor) beside tensors, in lists, tuples,
    named tuples and dicts. A call returns the facts of the trace that serves it.
    """

    def __call__(self, *args: Any) -> Any:
        """Run it on arrays or tensors, alone or in lists, and on constants, with the model's live weights.

        The contract is that of a pure function: whatever it moves (a seed, the state of a recurrent layer, a generator of
        Python's) is put back.
        """

    def trace(self, *args: Any) -> Any:
        """Return the facts of the trace that serves such arguments, None in the place of tensors; nothing is run."""

    @property
    def traces(self) -> int:
        """The number of times that the function was traced."""

    @property
    def has_side_effects(self) -> bool:
        """True where a call moves something that is put back after it."""

    @property
    def lasting_effects(self) -> str:
        """The effects of a call that nobody can put back, as a predicate ("runs Python code …"); "" where there are none."""


class TargetScores(Protocol):
    """Picks of the scores (n, K) of each row the one that is explained, and is linear in them."""

    def select(self, scores: Tensor) -> Tensor:
        """Return (n,) of scores (n, K) or (n,)."""

    def weights(self, scores: Tensor) -> Tensor:
        """Return the derivative of `select` with respect to scores, in their shape."""


class Backend(Protocol):
    """One framework: the module of its folder has these functions."""

    # Running.

    def compiled(self, function: Callable[..., Any], model: keras.Model | None = None, jit: bool = False) -> Program:
        """Make a program of a function.

        Args:
            function: of tensors; traced once for each shape of its arguments.
            model: whose variables it reads and whose Python code it runs, None where it runs no model.
            jit: compile with XLA, where the framework leaves a choice.
        """

    def constant(self, array: NDArray[Any]) -> Tensor:
        """Return an array as a tensor; float64 becomes float32, Keras' own input type."""

    def numpy(self, value: Tensor) -> NDArray[Any]:
        """Return a tensor as an array."""

    def dense_tensor(self, value: Any) -> Tensor | None:
        """Return a model's output as a tensor of numbers; None for text, complex numbers, ragged or sparse tensors, nothing."""

    # Asking.

    def find_logits(self, function: Callable[[Tensors], Tensor], inputs: Sequence[Tensor]) -> Logits:
        """Run a function of the inputs that returns a model's outputs, and find the logits behind a softmax or sigmoid.

        The function is asked and not the layers, so that subclassed models and Lambda layers are served. What is rescaled after
        the softmax is no softmax.
        """

    def take_target(self, scores: Tensor, target: Tensor) -> Tensor:
        """Return (n,) the column `target` (n,) of scores (n, K), or the only one where K is 1."""

    # Differentiating.

    def gradient(self, score: Callable[[Tensors], Tensor], inputs: Sequence[Tensor]) -> Gradient:
        """Run `score(inputs)` (n,) and differentiate its sum by each floating input."""

    def forward_with_vjp(
        self,
        score: Callable[[Tensors], tuple[Tensor, Any]],
        inputs: Sequence[Tensor],
        layers: Sequence[keras.layers.Layer],
    ) -> ForwardPass:
        """Run `score(inputs)`, which returns the score (n,) and what goes with it, and keep what `layers` gave."""

    def deeplift_multipliers(
        self,
        scores: Callable[[Tensors], tuple[Tensor, Any]],
        inputs: Sequence[Tensor],
        baseline: Sequence[Tensor],
        target: TargetScores,
        shared_baseline: bool = False,
    ) -> Multipliers:
        """Compute the multipliers of DeepLIFT's Rescale rule.

        Args:
            scores: returns the scores (n, K) of n rows, and what goes with them.
            inputs: (n, ...) the samples.
            baseline: (n, ...) one for each sample.
            target: which score is explained.
            shared_baseline: all rows of the baseline are one and the same.

        Raises:
            NoRule: an operation between inputs and scores has none.
        """

    # Loops: the body is traced once, whatever the count is.

    def fori_loop(
        self,
        function: Callable[[Tensor, Tensors], Tensors],
        count: int,
        initial: Sequence[Tensor],
        progress: Progress | None = None,
    ) -> Tensors:
        """Return `initial` after `values = function(k, values)` for k in 0 … count − 1."""

    def map(self, function: Callable[[Tensor], Tensor], count: int, progress: Progress | None = None) -> Tensor:
        """Return (count, ...) `function(k)`, float32, for k in 0 … count − 1; one at a time, so that memory holds one."""

    # Layers.

    def trace_activations(
        self,
        function: Callable[[Tensors], Tensor],
        inputs: Sequence[Tensor],
        layers: Sequence[keras.layers.Layer],
        vary: Sequence[bool] | None = None,
    ) -> ActivationTrace:
        """Run a function as `find_logits` does, and keep what `layers` gave.

        Args:
            function: returns a model's outputs.
            inputs: (n, ...) tensors.
            layers: to watch; containers and their parts alike.
            vary: which of the inputs differ between the samples, None for all.
        """

    def embedding_outputs(
        self, function: Callable[[Tensors], Any], inputs: Sequence[Tensor], layers: Sequence[keras.layers.Layer]
    ) -> list[EmbeddingCall]:
        """Run a function of the inputs, and return every call of `layers`, in order."""

    def fit_rows(self, tensor: Tensor, samples: int) -> FittedRows:
        """Cut or fill a tensor whose number of rows is known only when it runs."""

    def preimages(
        self,
        function: Callable[[Tensors], Any],
        inputs: Sequence[NDArray[Any]],
        layers: Sequence[keras.layers.Layer],
        model: keras.Model,
    ) -> Sequence[Preimage]:
        """Find the inputs for which a Normalization gets its mean, or a Masking its mask value.

        Args:
            function: of the inputs, which calls the layers.
            inputs: (1, ...) one sample.
            layers: to look for; one that is fed by more than shifts, scales, slices and reshapes of the inputs is left out.
            model: whose state is kept as it is.
        """

    # Data.

    def reshuffles(self, source: Any) -> bool:
        """Return True for a data set of the framework's own that shuffles anew at each read."""

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
