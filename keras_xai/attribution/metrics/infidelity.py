"""The difference between the change of the score that an attribution predicts and the one that comes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.features import Groups
from keras_xai.attribution.metrics.replacement import Replacement, replacement_in_regions
from keras_xai.errors import InvalidInput, check_int
from keras_xai.model.inputs import broadcast_baseline
from keras_xai.model.scores import Output
from keras_xai.records import QUANTITIES, Attribution, Quantity


def infidelity(
    model: keras.Model,
    x: Any,
    values: Any,
    *,
    quantity: Quantity | None = None,
    target: Any = None,
    output: Output = None,
    baseline: Any = None,
    samples: int = 64,
    patch: int | None = None,
    groups: Groups = None,
    perturbed: Iterable[Any] | None = None,
    scaled: bool = False,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Measure by how much the values miss the change of the score under a perturbation (Yeh et al. 2019, arXiv 1901.09392).

        infidelity = mean over I of  ( Iᵀ Φ(x) − ( f(x) − f(x − I) ) )²

    I takes a random subset of regions back to the baseline, of a size that is drawn too ("subset of the difference to the
    baseline"). Slopes Φ predict Σ I·Φ; contributions, which are counted from the baseline already, predict the sum of those that
    are taken away. 0 is a perfect prediction, as by the exact contributions of a linear model.

    Args:
        model: a built model.
        x: (B, ...) samples as `attribute` takes them.
        values: their `Attribution`, or values as `deletion` takes them.
        quantity: "contribution" or "slope"; default that of the `Attribution`, else "contribution". A figure of its own
            ("other", such as Grad-CAM's) is summed as a contribution: give `scaled=True` for it.
        target: as in `deletion`.
        output: see `Probe`.
        baseline: what a region is taken back to, see `attribute`; a token that stands for none is token 0 here. Contributions
            are to be counted from the same one.
        samples: perturbations that are drawn, the same for all samples.
        patch: see `region_perturbation`.
        groups: see `region_perturbation`.
        perturbed: perturbed copies of x, each in its structure, in the place of the draws.
        scaled: multiply the values of each sample by the one number that makes its infidelity least, as the paper does to compare
            maps of different units.
        seed: of the draws; the global generators are neither read nor moved.

    Returns:
        (B,) in units of the score squared, 0 or more: of logits where the model has some. NaN where values are not finite.

    Raises:
        InvalidInput: as `deletion`; slopes of tokens or strings, which have no unit; contributions of entries at the baseline
            that `perturbed` moves away from it, of which they say nothing.

    Cost:
        `samples` + 1 forward passes.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.set_weights([np.array([[1.0], [2.0], [4.0]], "float32")])
        >>> x = np.array([[1.0, 1.0, 2.0]], "float32")
        >>> infidelity(model, x, np.array([[1.0, 2.0, 8.0]])).round(6).tolist()
        [0.0]
        >>> bool(infidelity(model, x, np.array([[8.0, 2.0, 1.0]]))[0] > 1)
        True
    """
    check_int("samples", samples)
    if quantity is None:
        quantity = values.quantity if isinstance(values, Attribution) else "contribution"
    if quantity not in QUANTITIES:
        raise InvalidInput(f"quantity={quantity!r}: expected one of {', '.join(map(repr, QUANTITIES))}.")
    replacement = replacement_in_regions(model, x, values, target, output, baseline, patch, groups)
    predict = _slope_prediction if quantity == "slope" else _contribution_prediction
    before = replacement.scores_of(replacement.rows)
    predictions, drops = [], []
    if perturbed is None:
        for is_replaced in _subsets(replacement.count, samples, seed):
            rows = replacement.replaced(is_replaced)
            of_parts = (replacement.values * is_replaced).sum(1)
            predictions.append(predict(replacement, rows) if quantity == "slope" else of_parts)
            drops.append(before - replacement.scores_of(rows))
    else:
        for rows in _checked(replacement, perturbed):
            predictions.append(predict(replacement, rows))
            drops.append(before - replacement.scores_of(rows))
    if not drops:
        raise InvalidInput("perturbed holds no copies of x.")
    predicted, dropped = np.stack(predictions, 1), np.stack(drops, 1)
    if scaled:
        squares = (predicted**2).sum(1, keepdims=True)
        products = (predicted * dropped).sum(1, keepdims=True)
        predicted = predicted * np.divide(products, squares, out=np.zeros_like(squares), where=squares > 0)
    return np.asarray(((predicted - dropped) ** 2).mean(1))


def _subsets(count: int, samples: int, seed: int) -> Iterator[NDArray[np.bool_]]:
    """Yield random subsets (1, U) of so many parts: of a share of them that is drawn too."""
    generator = np.random.default_rng(seed)
    for _ in range(samples):
        yield (generator.random(count) < generator.random())[None]


def _checked(replacement: Replacement, perturbed: Iterable[Any]) -> Iterator[list[NDArray[Any]]]:
    """Yield the copies that a user gave, as one array an input.

    Raises:
        InvalidInput: copies of another shape.
    """
    for number, copy in enumerate(perturbed):
        yield broadcast_baseline(copy, replacement.scored.inputs, replacement.scored.like, word=f"perturbed[{number}]")


def _slope_prediction(replacement: Replacement, rows: list[NDArray[Any]]) -> NDArray[np.float64]:
    """Return the drop (B) that slopes predict: Σ (x − row) · slope.

    Raises:
        InvalidInput: tokens or strings; slopes that are a map of their own.
    """
    if any(before.dtype.kind not in "fb" for before in replacement.rows):
        kinds = ", ".join(str(before.dtype) for before in replacement.rows)
        raise InvalidInput(
            f"Slopes say nothing of a change of tokens or strings (x has {kinds}): give the values of a method of "
            f"contributions, such as integrated_gradients."
        )
    moves = [before.astype(np.float64) - after for before, after in zip(replacement.rows, rows, strict=True)]
    return _sum_of_products(replacement, moves)


def _contribution_prediction(replacement: Replacement, rows: list[NDArray[Any]]) -> NDArray[np.float64]:
    """Return the drop (B) that contributions predict: Σ share · contribution, of the way to the baseline that each entry goes.

    Raises:
        InvalidInput: an entry that lies at the baseline and is moved; a token that becomes another one than the baseline's; a
            map of its own.
    """
    parts = zip(replacement.rows, rows, replacement.baseline, strict=True)
    return _sum_of_products(replacement, [_share_of_way(before, after, base) for before, after, base in parts])


def _sum_of_products(replacement: Replacement, moves: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the sum (B) of value times move over all entries.

    Raises:
        InvalidInput: values that are a map of their own.
    """
    total = np.zeros(len(moves[0]))
    for value, move in zip(replacement.by_input, moves, strict=True):
        if value.shape != move.shape:
            raise InvalidInput(
                f"values has shape {value.shape}, x has {move.shape}: slopes, and values for perturbed copies of your own, are "
                f"expected in the shape of x."
            )
        total += (value * move).reshape(len(move), -1).sum(1)
    return total


def _share_of_way(before: NDArray[Any], after: NDArray[Any], base: NDArray[Any]) -> NDArray[np.float64]:
    """Return the share of the way from x to the baseline that each entry goes, 1 where it arrives."""
    if before.dtype.kind == "f":
        move, way = before.astype(np.float64) - after, before.astype(np.float64) - base
    else:
        move, way = (before != after).astype(np.float64), ((before != base) & (after == base)).astype(np.float64)
    if (move[way == 0] != 0).any():
        raise InvalidInput(
            "perturbed moves entries that lie at the baseline, or makes other tokens than the baseline's of them: contributions "
            "are counted from the baseline, and say nothing of that. Give another baseline, or slopes."
        )
    return np.divide(move, way, out=np.zeros_like(way), where=way != 0)
