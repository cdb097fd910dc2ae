"""`tagging`: one tag of a tagger, over the tokens or time steps that have it."""

from __future__ import annotations

from typing import Any

from keras_xai.outputs.dense import Dense, arguments_text, check_class, check_number, check_output, check_over
from keras_xai.outputs.steps import check_step


def tagging(
    target: Any = None,
    over: Any = None,
    *,
    step: Any = None,
    background: int | None = None,
    padding: int | None = None,
    output: str | int | None = None,
) -> Dense:
    """Explain one tag of a sequence: the mean of its logit over the steps that have it, or its logit at one step.

    For outputs (B, T, K) of K tags, and (B, T, 1) or (B, T) of one that holds or not. Regions are those of `segmentation`, of
    steps in the place of pixels.

    Args:
        target: the tag: an integer, one of the probe's `class_names`, or (B,) integers. Default, for each sample, the tag of most
            steps, by its labels or the model's prediction.
        over: "label", "predicted" or a mask (T,) or (B, T) of steps; default "label" where there are labels, else "predicted".
        step: one step in the place of a region, as `next_token` has it.
        background: the tag that the default target passes over, as the one for "no entity".
        padding: the label of steps that do not count; where there are no labels the token of the input. Negative labels, steps
            that the model masks, and the loss's `ignore_class` never count.
        output: which output of several, by name or number.

    Returns:
        What `output=` of `kx.attribute`, `kx.Probe` and the callbacks takes. Labels of a probe are (B, T), (B, T, 1) or one-hot
        (B, T, K).

    Raises:
        InvalidInput: an argument that is none of these; both a step and a region.

    Example:
        >>> import keras, keras_xai as kx, numpy as np
        >>> inputs = keras.Input((5,), dtype="int32")
        >>> model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Embedding(9, 4)(inputs)))
        >>> tokens = np.array([[1, 2, 3, 4, 5]])
        >>> result = kx.attribute(model, tokens, "saliency", output=kx.outputs.tagging(target=2, step=1))
        >>> (result.values != 0).tolist()
        [[False, True, False, False, False]]
    """
    target, step = check_class("target", target), check_step(step, over)
    over = check_over(over, "(T,), or (B, T) for each sample")
    arguments = arguments_text(
        target=(target, None),
        over=(over, None),
        step=(step, None),
        background=(background, None),
        padding=(padding, None),
        output=(output, None),
    )
    return Dense(
        "tagging",
        "token",
        target=target,
        over=over,
        position=step,
        background=check_number("background", background, expected="a tag"),
        padding=check_number("padding", padding, expected="a label"),
        output=check_output(output),
        arguments=arguments,
    )
