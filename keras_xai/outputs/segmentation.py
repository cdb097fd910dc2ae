"""`segmentation`: one class of a map of classes, over a region of its pixels."""

from __future__ import annotations

from typing import Any

from keras_xai.outputs.dense import (
    Dense,
    arguments_text,
    check_axis,
    check_class,
    check_number,
    check_output,
    check_over,
)


def segmentation(
    target: Any = None,
    over: Any = None,
    *,
    background: int | None = 0,
    ignore: int | None = None,
    axis: int = -1,
    output: str | int | None = None,
) -> Dense:
    """Explain one class of a segmentation: the mean of its logit over a region of pixels.

    For outputs (B, H, W, K) of K classes, (B, H, W, 1) or (B, H, W) of one that is there or not; (B, T, K) of a series and
    (B, D, H, W, K) of a volume alike. The logits behind a softmax or sigmoid are explained where there are some. The region
    is fixed for each sample before it is explained: what an explanation takes away moves the score, never the region
    (Vinogradova et al. 2020, arXiv 2002.11434).

    | over | region |
    |---|---|
    | "label" | the pixels that the labels say are of the class |
    | "predicted" | those that the model says are, with its weights of the moment |
    | a mask | the pixels that are true in it |

    A sample without such a pixel is explained over all of its pixels: why is the class nowhere?

    Args:
        target: the class: an integer, one of the probe's `class_names`, or (B,) integers. Default class 1 of a single channel;
            else, for each sample, the class of most pixels besides the background, by its labels or the model's prediction.
        over: see above; default "label" where there are labels, else "predicted".
        background: the class that the default target passes over; None for none.
        ignore: the label of pixels that do not count; negative ones and the loss's `ignore_class` never do.
        axis: of the classes.
        output: which output of several, by name or number.

    Returns:
        What `output=` of `kx.attribute`, `kx.Probe` and the callbacks takes. Labels of a probe are (B, H, W), (B, H, W, 1) or
        one-hot (B, H, W, K).

    Raises:
        InvalidInput: an argument that is none of these.

    Cost:
        A forward pass over the samples beside those of the method, where the region is predicted.

    Example:
        >>> import keras, keras_xai as kx, numpy as np
        >>> inputs = keras.Input((8, 8, 1))
        >>> model = keras.Model(inputs, keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid")(inputs))
        >>> x = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
        >>> kx.attribute(model, x, "saliency", output=kx.outputs.segmentation(over="predicted")).values.shape
        (2, 8, 8, 1)
        >>> kx.outputs.segmentation(target=2, over="label")
        segmentation(target=2, over='label')
    """
    target = check_class("target", target)
    over = check_over(over, "(H, W), or (B, H, W) for each sample")
    arguments = arguments_text(
        target=(target, None),
        over=(over, None),
        background=(background, 0),
        ignore=(ignore, None),
        axis=(axis, -1),
        output=(output, None),
    )
    return Dense(
        "segmentation",
        "pixel",
        target=target,
        over=over,
        background=check_number("background", background, expected="a class"),
        padding=check_number("ignore", ignore, expected="a label"),
        axis=check_axis(axis),
        output=check_output(output),
        arguments=arguments,
    )
