"""The framework seam: the functions that a backend has, typed. Above it nothing imports a framework.

Arguments and return values are the only way in and out. A function that runs inside a seam function (a score, the body of a
loop) is traced by some frameworks, and a tensor of a trace can leave it as a return value only. Facts on the trace (names,
counts) are returned beside the tensors as well, and not stored as a side effect.

A second backend is a folder beside this file and a line in `FRAMEWORKS`; `tests/backend/test_parity.py` tests what each
function returns.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from numpy.typing import NDArray

from keras_xai.records import Link

if TYPE_CHECKING:  # what is imported for its types alone would import the framework
    import keras

    from keras_xai.backend.recorder import GradientRecorder, TrainFunction
    from keras_xai.backend.row_watch import RowFunction, RowWatch
    from keras_xai.backend.team import Team

Tensor = Any  # of the framework
Tensors = list[Tensor]
# Called on the host with the number of iterations that a loop has done since the last call.
Progress = Callable[[int], None]


class NoRule(ValueError):
    """DeepLIFT or LRP has no rule for an operation; the text names the operation and its layer."""


class Logits(NamedTuple):
    """A model's outputs, and the scores that are explained."""

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
    input_indices: frozenset[int]  # of the inputs that it is computed from


class Slopes(NamedTuple):
    """The gradients of one backward pass; None where the value does not depend on a tensor."""

    inputs: Tensors  # with respect to each input
    outputs: list[Tensors]  # with respect to the output of each layer at each of its calls


class Vjp(Protocol):
    """The backward pass that belongs to a forward pass."""

    def __call__(self, at_inputs: bool = True) -> Slopes:
        """Return the gradients of Σ value; the backward pass runs once, at the first call.

        Args:
            at_inputs: False where only those at layers are needed: a backend may then have None at inputs.
        """


class ForwardPass(NamedTuple):
    """A forward pass, and the backward pass that belongs to it."""

    value: Tensor  # (n,) the score
    aux: Any  # returned by the score function beside the score
    layers: list[list[LayerOutput]]  # of each layer at each of its calls
    vjp: Vjp


class Multipliers(NamedTuple):
    """The scores and multipliers of DeepLIFT."""

    score: Tensor  # (n,) of the samples
    baseline_score: Tensor  # (n,) of their baselines
    multipliers: Tensors  # one an input, in its shape; None where the score does not depend on it
    aux: Any  # returned by the score function beside the scores of the samples


class LrpRules(NamedTuple):
    """The options of LRP's rules."""

    epsilon: float  # added to the denominator of a dense layer, and of a convolution without gamma
    gamma: float  # of convolutions: how much more a contribution of the sum's own sign counts
    dense_gamma: float  # of dense layers

    def of(self, is_convolution: bool) -> tuple[float, float]:
        """Return gamma, and the number that keeps the denominator from zero, of one kind of layer."""
        gamma = self.gamma if is_convolution else self.dense_gamma
        return gamma, STABILIZER if gamma else self.epsilon


STABILIZER = 1e-6  # of the gamma rule, which has no epsilon


class Relevance(NamedTuple):
    """The scores and multipliers of LRP."""

    score: Tensor  # (n,)
    multipliers: Tensors  # relevance over value; one an input, in its shape; None where the score does not depend on it
    aux: Any  # returned by the score function beside the scores


class Activation(NamedTuple):
    """The output of a layer's first call."""

    layer: keras.layers.Layer
    output: Tensor  # (n, ...) its first floating tensor with a row for each sample; None where it is not readable
    mask: Tensor  # (n, T) true where a time step counts, or None
    function: str  # the activation function of the output ("relu", "sigmoid", …), "" where none is found
    is_input: bool  # the output is the layer's input, at most in another shape
    is_final: bool  # the output is the model's logits, or computed from them
    follows: tuple[keras.layers.Layer, ...]  # the traced layers whose output this one was called with
    calls: int  # number of the layer's calls in the pass
    leads: bool  # the model's outputs are computed from it
    varies: bool  # it is computed from values that differ between the samples, not only from which of them are true
    problem: str  # why it is not readable, "" where it is


class ActivationTrace(NamedTuple):
    """The outputs of a forward pass, and the activations of some layers in it."""

    outputs: Tensor  # these three as in `Logits`
    scores: Tensor
    link: Link
    activations: list[Activation]  # of the layers that were called, in the order in which their first calls finished


class EmbeddingCall(NamedTuple):
    """One call of a layer that may be an embedding of an input."""

    # The index of the input that the layer was called with, at most in another shape or dtype; None for any other argument.
    input_index: int | None
    output: Tensor


class Program(Protocol):
    """A compiled function.

    What the function returns may hold facts (text, numbers, any object that is no tensor) beside tensors, in lists, tuples,
    named tuples and dicts. A call returns the facts of the trace that serves it.
    """

    def __call__(self, *args: Any) -> Any:
        """Run it on arrays or tensors, alone or in lists, and on constants, with the model's current weights.

        It behaves as a pure function: state that a call changes (a seed, the state of a recurrent layer, a generator of
        Python's) is restored.
        """

    def trace(self, *args: Any) -> Any:
        """Return the facts of the trace for such arguments, with None in place of tensors.

        Nothing is run, or, where a framework learns facts by running alone, a single round of each loop.
        """

    @property
    def traces(self) -> int:
        """The number of times that the function was traced."""

    @property
    def has_side_effects(self) -> bool:
        """True where a call changes state that is restored after it."""

    @property
    def lasting_effects(self) -> str:
        """The effects of a call that cannot be restored, as a predicate ("runs Python code …"); "" where there are none."""


class TargetScores(Protocol):
    """Selects the explained score of each row from its scores (n, K); a linear function of them."""

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
            model: the one that the function runs, whose state is restored; None where it runs none.
            jit: compile with XLA, where the framework leaves a choice.
        """

    def constant(self, array: NDArray[Any]) -> Tensor:
        """Return an array as a tensor; float64 becomes float32, Keras' own input type."""

    def numpy(self, value: Tensor) -> NDArray[Any]:
        """Return a tensor as an array."""

    def dense_tensor(self, value: Any) -> Tensor | None:
        """Return a model's output as a tensor of numbers; None for text, complex numbers, ragged or sparse tensors, nothing."""

    def compiles(self) -> bool:
        """Return True where programs are compiled.

        Then many small passes cost what a large one costs. Where Python runs each operation, they are dear.
        """

    def has_text(self) -> bool:
        """Return True where tensors may hold text."""

    # Logits and targets.

    def find_logits(self, function: Callable[[Tensors], Tensor], inputs: Sequence[Tensor]) -> Logits:
        """Run a function of the inputs that returns a model's outputs, and find the logits behind a softmax or sigmoid.

        They are found in the operations and not in the layers, so that subclassed models and Lambda layers work, too. A softmax
        whose outputs are rescaled is not taken for one.
        """

    def take_target(self, scores: Tensor, target: Tensor) -> Tensor:
        """Return of each row the score of its target (n,), of scores (n, K) and targets (n,); the only one where K is 1."""

    # Differentiating.

    def gradient(self, score: Callable[[Tensors], Tensor], inputs: Sequence[Tensor]) -> Gradient:
        """Run `score(inputs)` (n,) and differentiate its sum by each floating input."""

    def forward_with_vjp(
        self,
        score: Callable[[Tensors], tuple[Tensor, Any]],
        inputs: Sequence[Tensor],
        layers: Sequence[keras.layers.Layer],
    ) -> ForwardPass:
        """Run `score(inputs)`, which returns the scores (n,) and auxiliary values, and keep the outputs of `layers`."""

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
            scores: returns the scores (n, K) of n rows, and auxiliary values.
            inputs: (n, ...) the samples.
            baseline: (n, ...) one for each sample.
            target: selects the explained score.
            shared_baseline: all rows of the baseline are equal.

        Raises:
            NoRule: an operation between inputs and scores has none.
        """

    def lrp_multipliers(
        self,
        scores: Callable[[Tensors], tuple[Tensor, Any]],
        inputs: Sequence[Tensor],
        target: TargetScores,
        rules: LrpRules,
    ) -> Relevance:
        """Compute the relevance of each entry of the inputs over the entry.

        Layers of weights have the rules given; elementwise functions hand on all relevance, a product halves of it to its
        factors, a softmax what AttnLRP's equation 13 says, a maximum all to the entry that won. The root of a mean of squares by
        which values are scaled is held fixed.

        Args:
            scores: returns the scores (n, K) of n rows, and auxiliary values.
            inputs: (n, ...) the samples.
            target: selects the explained score.
            rules: the options.

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
        """Return `function(k)` for k in 0 … count − 1, stacked (count, ...) as float32; computed one after the other."""

    # Layers.

    def trace_activations(
        self,
        function: Callable[[Tensors], Tensor],
        inputs: Sequence[Tensor],
        layers: Sequence[keras.layers.Layer],
        vary: Sequence[bool] | None = None,
    ) -> ActivationTrace:
        """Run a function as `find_logits` does, and keep the outputs of `layers`.

        Args:
            function: returns a model's outputs.
            inputs: (n, ...) tensors.
            layers: to trace; a container and its inner layers may both be among them.
            vary: True for each input that differs between the samples; None for all.
        """

    def embedding_outputs(
        self, function: Callable[[Tensors], Any], inputs: Sequence[Tensor], layers: Sequence[keras.layers.Layer]
    ) -> list[EmbeddingCall]:
        """Run a function of the inputs, and return every call of `layers`, in their order."""

    # Training.

    def gradient_recorder(
        self, model: keras.Model, plain: TrainFunction, announce: Callable[[int], None]
    ) -> GradientRecorder:
        """Return a recorder of the gradients that train `model`.

        Args:
            model: a model that has its train function.
            plain: the model's own train function.
            announce: called with the number of variables before a recording function is compiled, which takes long.
        """

    def row_watch(
        self, model: keras.Model, plain: TrainFunction, recorder: GradientRecorder, figures: RowFunction
    ) -> RowWatch:
        """Return a watch on the rows that train `model`.

        Args:
            model: a model that has its train function.
            plain: the model's own train function.
            recorder: of its gradients, whose steps are watched, too.
            figures: of the rows of a batch.
        """

    def trace_state(self) -> object:
        """Return what tells a trace from running code: it differs where the Python code around is traced or compiled."""

    def obstacle_to_passes(self) -> str:
        """Return what surrounds this point of the user's code, so that the model must not be run here; "" where it may be."""

    def free_for_passes(self) -> contextlib.AbstractContextManager[object]:
        """Return a block in which the model runs as in `fit`: the user's code around may have switched gradients off."""

    def begin_train_call(self, model: keras.Model, arguments: Sequence[Any]) -> None:
        """Make `sync_model` find the state with which the train function is about to be called."""

    def finish_train_call(self, model: keras.Model, result: Any) -> Any:
        """Return the logs that a call of the train function returned; make `sync_model` find the state after it."""

    def sync_model(self, model: keras.Model) -> None:
        """Bring the variables of a model that is in training up to date; training goes on from them as without.

        For use between two batches: a framework may keep their values elsewhere while an epoch runs.
        """

    def is_first_process(self) -> bool:
        """Return True in the process that will be the chief of a training, as far as that is known before there is a model."""

    def team(self, model: keras.Model) -> Team:
        """Return the processes that train a model together; every one of them calls this at the same point of its training.

        Raises:
            InvalidInput: a way of training together that is not supported, or in which the other processes do not call this.
        """
