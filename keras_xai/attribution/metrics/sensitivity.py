"""The change of a map under a noise that changes next to nothing in the samples."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.metrics.noise import NoisyAttributor, ranges
from keras_xai.attribution.metrics.ranks import flat_values
from keras_xai.errors import InvalidInput, check_int
from keras_xai.model.scores import Output


def sensitivity(
    model: keras.Model,
    x: Any,
    method: str = "saliency",
    *,
    target: Any = None,
    output: Output = None,
    baseline: Any = None,
    spread: float = 0.02,
    radius: Any = None,
    samples: int = 10,
    relative: bool = True,
    seed: int = 0,
    **options: Any,
) -> NDArray[np.float64]:
    """Measure how far a small noise moves a map: max-sensitivity (Yeh et al. 2019, arXiv 1901.09392).

        sensitivity = max over y, |y − x| ≤ r, of  ‖ Φ(y) − Φ(x) ‖ / ‖ Φ(x) ‖

    The maximum is sought among `samples` uniform draws from the box of radius r around x, the same for all samples; Φ explains
    the same class at all of them. Tokens are moved at their embeddings; strings, and categories that no embedding looks up, stay
    as they are. 0 is a map that stays; at 1 and above it changes by as much as it is itself.

    Args:
        model: a built model.
        x: (B, ...) samples as `attribute` takes them.
        method: see `attribute`.
        target: the class; default the predicted one.
        output: see `attribute`.
        baseline: see `attribute`.
        spread: r as a share of the range max − min: of each sample's own for images, volumes, series and embeddings, of each
            column's over the samples for tables.
        radius: r itself, one number or one for each entry of a sample; takes the place of `spread`. Of several inputs one number.
        samples: draws.
        relative: divide by ‖Φ(x)‖, as the authors' code does; False for the paper's formula, in units of the values.
        seed: of the draws and of methods that draw; the global generators are neither read nor moved.
        **options: of the method.

    Returns:
        (B,) 0 or more; L2 norms over all entries of all inputs. NaN where Φ(x) is zero, or where values are not finite.

    Raises:
        InvalidInput: as `attribute`; a negative `spread` or `radius`, a radius of another shape; no range to take a share of.

    Cost:
        The method's passes, `samples` + 1 times; compiled once.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> x = np.arange(6, dtype="float32").reshape(2, 3)
        >>> sensitivity(model, x, "saliency").tolist()
        [0.0, 0.0]
    """
    check_int("samples", samples)
    for name, value in (("spread", spread), ("radius", radius)):
        if value is not None and not (np.asarray(value, np.float64) >= 0).all():
            raise InvalidInput(f"{name}={value!r}: expected no negative number.")
    attributor = NoisyAttributor(model, x, method, target, output, baseline, seed, options=options)
    radii = _radii(attributor.numbers, spread, radius)
    first = flat_values(attributor())
    generator = np.random.default_rng(seed)
    moves = np.zeros(len(first))
    for _ in range(samples):
        noise = []
        for numbers, r in zip(attributor.numbers, radii, strict=True):
            drawn = r * generator.uniform(-1, 1, numbers.shape[1:])[None]
            noise.append(np.broadcast_to(drawn.astype(np.float32), numbers.shape))
        distances = np.linalg.norm(flat_values(attributor.with_noise(noise)) - first, axis=1)
        moves = np.maximum(moves, distances)  # NaN stays
    if not relative:
        return moves
    norms = np.linalg.norm(first, axis=1)
    return np.divide(moves, norms, out=np.full(len(moves), np.nan), where=norms > 0)


def _radii(numbers: list[NDArray[np.float32]], spread: float, radius: Any) -> list[NDArray[np.float64]]:
    """Return the radius of each input's box, in a shape that broadcasts to its numbers.

    Raises:
        InvalidInput: a radius of another shape; nothing to take a share of.
    """
    if radius is None:
        return [spread * span.astype(np.float64) for span in ranges(numbers)]
    radii = np.asarray(radius, np.float64)
    for values in numbers:
        if radii.shape not in ((), values.shape[1:]):
            raise InvalidInput(f"radius has shape {radii.shape}: expected one number, or {values.shape[1:]}.")
    return [radii] * len(numbers)
