"""The score while what an attribution names first is taken away, or put in."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.metrics.replacement import replacement_of
from keras_xai.errors import check_int
from keras_xai.model.scores import Output


def deletion(
    model: keras.Model,
    x: Any,
    values: Any,
    *,
    target: Any = None,
    output: Output = None,
    baseline: Any = None,
    steps: int = 20,
) -> NDArray[np.float64]:
    """Trace the score while what an attribution names first is taken away (Petsiuk et al. 2018, arXiv 1806.07421).

    Entries go from the largest value to the smallest, an equal share of them each step, and are replaced by the baseline. The
    pixels of an image and the voxels of a volume go with all their channels, by the sum of the values over them. The sooner
    the curve falls, the better the order; compare with the curve of random values, since an average alone says little.

    Args:
        model: a built model.
        x: (B, ...) samples as `attribute` takes them; of several inputs all entries go in one order.
        values: their `Attribution`, or values in the structure of x: of the shape of x, or a map (B, h, w) of any resolution,
            which is enlarged to the image; of volumes (B, d, h, w).
        target: the class, (B,) or one integer; default that of the `Attribution`, else the predicted one.
        output: see `Probe`.
        baseline: see `attribute`; a token that stands for none is token 0 here.
        steps: equal shares.

    Returns:
        (B, steps + 1) scores: of x itself first, of the baseline last. Logits where the model has some. The mean over the
        last axis is the area under the curve.

    Raises:
        InvalidInput: values of another shape, `steps` under 1.

    Cost:
        `steps` + 1 forward passes.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.set_weights([np.array([[1.0], [2.0], [4.0]], "float32")])
        >>> deletion(model, np.ones((1, 3), "float32"), np.array([[1.0, 2.0, 4.0]]), steps=3).tolist()
        [[7.0, 3.0, 1.0, 0.0]]
    """
    check_int("steps", steps)
    replacement = replacement_of(model, x, values, target, output, baseline)
    return replacement.curve(replacement.ranks(), equal_shares(replacement.count, steps))


def insertion(
    model: keras.Model,
    x: Any,
    values: Any,
    *,
    target: Any = None,
    output: Output = None,
    baseline: Any = None,
    steps: int = 20,
) -> NDArray[np.float64]:
    """Trace the score while what an attribution names first is put into the baseline (Petsiuk et al. 2018, arXiv 1806.07421).

    The opposite of `deletion`, whose arguments, errors and cost it has: (B, steps + 1) scores, of the baseline first and of x
    last. The sooner the curve rises, the better the order.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.set_weights([np.array([[1.0], [2.0], [4.0]], "float32")])
        >>> insertion(model, np.ones((1, 3), "float32"), np.array([[1.0, 2.0, 4.0]]), steps=3).tolist()
        [[0.0, 4.0, 6.0, 7.0]]
    """
    check_int("steps", steps)
    replacement = replacement_of(model, x, values, target, output, baseline)
    ranks = replacement.ranks()
    shares = equal_shares(replacement.count, steps)
    return np.stack([replacement.scores(ranks >= length) for length in shares], 1)


def pixel_flipping(
    model: keras.Model,
    x: Any,
    values: Any,
    *,
    target: Any = None,
    output: Output = None,
    baseline: Any = None,
    entries: int = 1,
) -> NDArray[np.float64]:
    """Trace the score while pixels are flipped one after the other, the most relevant first (Bach et al. 2015, PLoS ONE 10(7)).

    Each is flipped to the baseline: a pixel with all its channels, an entry of a table or series, a token. The same order as in
    `deletion`, by a number of entries a step in the place of a share of them. The paper flips binary images: give
    `baseline=1 - x` for them.

    Args:
        model: a built model.
        x: (B, ...) samples as `attribute` takes them.
        values: their `Attribution`, or values as `deletion` takes them.
        target: as in `deletion`.
        output: see `Probe`.
        baseline: what a pixel is flipped to, see `attribute`; a token that stands for none is token 0 here.
        entries: pixels, entries or tokens a step.

    Returns:
        (B, N + 1) scores: of x itself first, of the baseline last; N is the number of pixels, entries or tokens, over
        `entries` and rounded up. Logits where the model has some.

    Raises:
        InvalidInput: as `deletion`; `entries` under 1.

    Cost:
        N + 1 forward passes.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.set_weights([np.array([[1.0], [2.0], [4.0]], "float32")])
        >>> pixel_flipping(model, np.ones((1, 3), "float32"), np.array([[1.0, 2.0, 4.0]])).tolist()
        [[7.0, 3.0, 1.0, 0.0]]
    """
    check_int("entries", entries)
    replacement = replacement_of(model, x, values, target, output, baseline)
    count = replacement.count
    lengths = np.minimum(np.arange(-(-count // entries) + 1) * entries, count)
    return replacement.curve(replacement.ranks(), lengths)


def equal_shares(count: int, steps: int) -> NDArray[np.int64]:
    """Return the number of parts (steps + 1) that are gone after each step."""
    return np.asarray([round(count * step / steps) for step in range(steps + 1)])
