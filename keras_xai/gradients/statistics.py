"""Statistics of gradients, derived on the host from the sums of the device."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_xai.backend.gradient_table import COLUMNS, HIGHEST, LOWEST
from keras_xai.records import STATISTICS

BIN_EDGES: NDArray[np.float32] = (2.0 ** np.arange(LOWEST, HIGHEST + 1)).astype(np.float32)

Columns = NDArray[np.float64]


@dataclass(frozen=True)
class Overall:
    """Figures of all recorded variables together, for `logs`; NaN where nothing was recorded.

    Attributes:
        norm: the L2 norm of the whole gradient, root mean square over the recorded optimizer calls.
        update_ratio: the L2 norm of the whole update over that of all weights before it, both root mean squares over
            the calls that changed the weights.
        nonfinite: how many gradient entries were NaN or infinite, in all recorded calls.
    """

    norm: float = float("nan")
    update_ratio: float = float("nan")
    nonfinite: float = float("nan")


def column(sums: Columns, name: str) -> Columns:
    """Return one column of the sums, by its name in `COLUMNS`."""
    return sums[:, COLUMNS.index(name)]


def derived(sums: Columns, sizes: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
    """Return the statistics of each variable, over the entries of its gradient in all recorded optimizer calls.

    With n calls of N entries each: rms √(Σg²/nN), mean Σg/nN, std √(rms² − mean²), max |g|, zero_fraction, nonfinite
    (a count); update_ratio √(Σ‖w' − w‖² / Σ‖w‖²) over the calls that changed the weights, and weight_norm √(Σ‖w‖²/n),
    before the update. A variable without a gradient is NaN throughout; so is the update_ratio of weights that were all
    zero. A NaN in the gradient makes rms, mean, std and max NaN (an infinity: infinite or NaN); `nonfinite` counts both.

    float32 squares overflow above 1.8e19 and vanish under 1e-23 (rms 0). The sums of a step are float32 too: mean and
    std have a rounding error of some 1e-6 of the rms.

    Args:
        sums: (V, WIDTH) as in a `GradientTable`.
        sizes: (V) entries of each variable.

    Returns:
        A float32 (V) array for each of `records.STATISTICS`.
    """
    calls, updates = column(sums, "calls"), column(sums, "updates")
    entries = calls * sizes
    with np.errstate(divide="ignore", invalid="ignore"):
        power = column(sums, "squares") / entries
        mean = column(sums, "total") / entries
        values = {
            "rms": np.sqrt(power),
            "mean": mean,
            "std": np.sqrt(np.maximum(power - mean**2, 0.0)),
            "max": column(sums, "largest"),
            "zero_fraction": column(sums, "zeros") / entries,
            "nonfinite": column(sums, "nonfinite"),
            "update_ratio": np.sqrt(column(sums, "update_squares") / column(sums, "updated_weight_squares")),
            "weight_norm": np.sqrt(column(sums, "weight_squares") / calls),
        }
        has_ratio = (updates > 0) & (column(sums, "updated_weight_squares") > 0)
        values["update_ratio"] = np.where(has_ratio, values["update_ratio"], np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # float64 beyond float32 is infinite: so be it
        return {name: np.where(calls > 0, values[name], np.nan).astype(np.float32) for name in STATISTICS}


def histogram(sums: Columns) -> NDArray[np.float32]:
    """Return (V, bins) counts of |g| in each octave of `BIN_EDGES`; the outermost two also hold what lies beyond."""
    return sums[:, len(COLUMNS) :].astype(np.float32)


def overall(sums: Columns) -> Overall:
    """Return the figures of all variables together, NaN where nothing was recorded."""
    calls, updates = column(sums, "calls"), column(sums, "updates")
    if not (calls > 0).any():
        return Overall()
    with np.errstate(divide="ignore", invalid="ignore"):
        norm = np.sqrt(np.sum((column(sums, "squares") / calls)[calls > 0]))
        change = np.sum((column(sums, "update_squares") / updates)[updates > 0])
        weight = np.sum((column(sums, "updated_weight_squares") / updates)[updates > 0])
        ratio = np.sqrt(change / weight) if weight > 0 else np.nan
    return Overall(float(norm), float(ratio), float(column(sums, "nonfinite").sum()))
