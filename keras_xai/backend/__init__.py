"""The framework seam: one folder a framework, the same few names in each; only that folder imports the framework.

Gradients
    GradientSums(variables, model)                       running sums on the device: `.add(...)`, `.read()`, `.reset()`
    present(variable) -> tensor                          its value at this point of the program
    weights(variables) -> tensors                        the same of several, as float32
    building() -> graph | None                           the graph being built, None where operations run at once
    sealed(graph) -> bool                                whether a compiled function of the user's own lies in between
    own_randomness(graph) -> names                       random operations that keep their state in the graph itself
    ran(error) -> bool                                   whether an error comes from running a step, not building it
    replicas(model) -> int                               copies of the model that train in step
    chief(model) -> bool                                 whether this process is the one that writes, of several

Data
    reshuffles(source) -> bool                           whether a data set of the framework's own shuffles anew at each read

Attribution
    compiled(function, jit) -> callable                  one graph a shape, live weights
    writes(function) -> bool                             whether a compiled function assigns to a variable
    constant(array) -> tensor, numpy(tensor) -> array    to the device and back
    dense(value) -> tensor | None                        a model's output as a tensor of numbers, where it is one
    head(outputs) -> (scores, link)                      the logits behind a model's output, and "softmax", "sigmoid" or ""
    picked(scores, target) -> (n,)                       the target class' score
    gradient(score, inputs) -> (score, gradients)        of the summed score with respect to inputs
    fold(function, count, initial, heard) -> tensors     a loop inside the graph, its body traced once; it may tell the host
    mapped(function, count, heard) -> tensor             the same for results that are kept, stacked
    normal(seed, k, shape) -> tensor                     draws that follow from their seed alone
    recorded(score, inputs, layers) -> triple            one pass: score, layers' outputs, and the backward pass where asked for
    origins(tensor, inputs) -> numbers                   which inputs a tensor is computed from
    embedded(score, inputs, layers) -> pairs             (number of an input, what an embedding makes of it)
    with_embedded(score, inputs, layers, instead)        a score with other embeddings in their place
    output_shapes(score, inputs, layers) -> pairs        the layers that a score calls, in order, with their output shapes

DeepLIFT, in a file beside it: `chosen()`
    rescaled(scores, x, baseline, explained, alike)      both scores and the multipliers of the Rescale rule

Baselines, in a file beside it: `chosen()`
    preimages(function, inputs, layers, model) -> pairs  what the inputs are where a layer at the beginning gets a certain value

Activations, in a file beside it: `chosen()`
    heard(function, inputs, layers, vary) -> (value, [Heard])  a forward pass, and what each layer gave in it
    Heard                                                layer, given, output, mask, function, unchanged, calls, leads, moved,
                                                         problem
    ending(outputs) -> (tensors, function)               from the logits behind an output to the output itself
    rows_of(tensor, samples) -> (tensor, count)          its first rows, where their number is known only at run time
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

from keras_xai.errors import InvalidInput, listed

FRAMEWORKS = ("tensorflow",)

# The columns of `GradientSums.read()`, each a sum over the recorded optimizer calls of one variable, except `largest`.
SUMS = (
    "calls",  # optimizer calls recorded
    "skipped",  # calls that the optimizer skipped because loss scaling overflowed: in no other column
    "total",  # Σ g
    "squares",  # Σ g²
    "weight_squares",  # Σ w², before the call
    "updates",  # calls that changed the weights: all of them, but for gradient accumulation
    "updated_weight_squares",  # Σ w² before those
    "update_squares",  # Σ (w after − w before)² over those
)
COLUMNS = (*SUMS, "largest", "zeros", "nonfinite")
# Then one column for each octave of |g|, from 2^LOWEST to 2^HIGHEST; the outermost two also hold what lies beyond.
LOWEST, HIGHEST = -48, 16


@functools.cache
def chosen(part: str = "") -> Any:
    """The module for the backend Keras runs on, imported on first use; with `part` the file of that name in it.

    Raises:
        InvalidInput: there is none for it yet.
    """
    import keras

    framework = keras.backend.backend()
    if framework not in FRAMEWORKS:
        raise InvalidInput(
            f"keras_xai does not support the Keras backend {framework!r} yet; it supports {listed(FRAMEWORKS)}. "
            f"Set KERAS_BACKEND={FRAMEWORKS[0]} before Keras is imported."
        )
    return importlib.import_module(f"{__name__}.{framework}{part and '.'}{part}")
