"""`next_token`: one token at one step of a sequence, as a language model says what comes next."""

from __future__ import annotations

from typing import Any

from keras_xai.outputs.dense import Dense, arguments_text, check_class, check_number, check_output
from keras_xai.outputs.steps import check_step


def next_token(
    token: Any = None, step: Any = -1, *, padding: int | None = None, output: str | int | None = None
) -> Dense:
    """Explain why a model says that a token comes next: its logit at one step.

    For outputs (B, T, V) of a decoder or any other model of sequences, V tokens at each of T steps.

    Args:
        token: an integer, one of the probe's `class_names`, or (B,) integers. Default the label of the step, which is the token
            that comes next as `fit` has it; without labels the token that the model predicts.
        step: a number, or (B,) of them; negative ones are counted from the last step that is no padding. Default the last one.
        padding: the label of steps that do not count; where there are no labels the token of the input. Negative labels, steps
            that the model masks, and the loss's `ignore_class` never count.
        output: which output of several, by name or number.

    Returns:
        What `output=` of `kx.attribute`, `kx.Probe` and the callbacks takes. Labels of a probe are (B, T).

    Raises:
        InvalidInput: an argument that is none of these; a step beyond the sequence, when the model is there.

    Cost:
        A forward pass over the samples beside those of the method, where there are no labels.

    Example:
        >>> import keras, keras_xai as kx, numpy as np
        >>> inputs = keras.Input((None,), dtype="int32")
        >>> hidden = keras.layers.LSTM(8, return_sequences=True)(keras.layers.Embedding(10, 4)(inputs))
        >>> model = keras.Model(inputs, keras.layers.Dense(10)(hidden))
        >>> result = kx.attribute(model, np.array([[3, 1, 4, 1, 5]]), "saliency", output=kx.outputs.next_token(token=9, step=2))
        >>> (result.values != 0).tolist()
        [[True, True, True, False, False]]
    """
    token, step = check_class("token", token), check_step(-1 if step is None else step)
    arguments = arguments_text(token=(token, None), step=(step, -1), padding=(padding, None), output=(output, None))
    return Dense(
        "next_token",
        "token",
        target=token,
        position=step,
        padding=check_number("padding", padding, expected="a token"),
        output=check_output(output),
        arguments=arguments,
    )
