"""Training rows beside probe rows, without a model: which features differ, and whether the difference depends on the label.

It names what stands behind a reliance gap (`reliance_gap.py`): a feature whose values differ alike in every class is a shift of
the population; one whose difference depends on the class says something about the label in one set and something else in the
other. It costs no pass of the model, and sees most leaks before the first epoch. But noise in the training labels looks the same
to it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from keras_xai.drift.reliance_gap import MIN_ROWS

COMMON_LIMIT = 4.0  # normal deviates, from which on the rows themselves differ
DEPENDENT_LIMIT = 3.0  # below which a difference does not depend on the label
NOTE_LIMIT = 4.25  # of a dependent difference, from which on it is worth a note before training
FEATURES_OF_LIMITS = 500  # up to which the limits were tried; the largest of more is larger by chance alone
# Of the feature's variance: a column that is constant within a class has no infinite certainty.
MIN_RELATIVE_VARIANCE = 1e-6
MAX_DEVIATE = 37.0  # beyond it a probability is 0 in double precision

Array = NDArray[np.float64]


class RowComparison(NamedTuple):
    """The differences of training rows from probe rows; arrays are (F)."""

    common: Array  # normal deviates of the difference that all classes have alike; its sign is that of the shift
    dependent: Array  # normal deviates, one-sided, of the differences between classes
    shift: Array  # the common difference, in standard deviations of the probe; of the training rows where it is 0
    strata: int  # classes that were compared

    def rows_differ(self) -> NDArray[np.bool_]:
        """Return the features whose values differ alike in every class."""
        limit = limit_of(COMMON_LIMIT, len(self.common))
        return (np.abs(self.common) > limit) & (self.dependent < DEPENDENT_LIMIT)

    def depends_on_label(self) -> NDArray[np.bool_]:
        """Return the features whose relation to the label differs by more than chance makes of so many."""
        return np.asarray(self.dependent > limit_of(NOTE_LIMIT, len(self.dependent)))


def limit_of(limit: float, features: int) -> float:
    """Return the limit for many features: as seldom exceeded by any of them as `limit` is by any of 500.

    Args:
        limit: normal deviates.
        features: that are compared.

    Example:
        >>> [round(limit_of(4.25, features), 2) for features in (500, 20_000)]
        [4.25, 5.01]
    """
    if features <= FEATURES_OF_LIMITS:
        return limit
    return float(-special.ndtri_exp(special.log_ndtr(-limit) - np.log(features / FEATURES_OF_LIMITS)))


def compare_classes(
    live: Array, probe: Array, live_classes: NDArray[np.int64], probe_classes: NDArray[np.int64]
) -> RowComparison:
    """Compare two sets of rows class by class.

    Args:
        live: (n, F) values of training rows.
        probe: (m, F) values of held-out rows.
        live_classes: (n) integers.
        probe_classes: (m) integers.

    Returns:
        NaN where no class has four rows in both sets; `dependent` is 0 where a single one has.

    Example:
        >>> import numpy as np
        >>> generator = np.random.default_rng(0)
        >>> classes = np.arange(200) % 2
        >>> live, probe = generator.normal(size=(200, 3)), generator.normal(size=(200, 3))
        >>> live[:, 1] += 1  # for everybody
        >>> live[:, 2] += 2 * classes - 1  # the label
        >>> comparison = compare_classes(live, probe, classes, classes)
        >>> (np.abs(comparison.common) > 4).tolist(), (comparison.dependent > 4.25).tolist()
        ([False, True, False], [False, False, True])
    """
    live, probe = np.asarray(live, np.float64), np.asarray(probe, np.float64)
    differences, variances = [], []
    least = MIN_RELATIVE_VARIANCE * _spread(live, probe) ** 2
    for value in np.unique(live_classes):
        a, b = live[live_classes == value], probe[probe_classes == value]
        if min(len(a), len(b)) >= MIN_ROWS:
            differences.append(a.mean(0) - b.mean(0))
            variances.append((a.var(0, ddof=1) + least) / len(a) + (b.var(0, ddof=1) + least) / len(b))
    return _compared(differences, variances, _spread(live, probe))


def compare_slopes(live: Array, probe: Array, live_target: Array, probe_target: Array) -> RowComparison:
    """Compare how two sets of rows go with a number: the intercept of each feature is common, its slope dependent.

    Args:
        live: (n, F) values of training rows.
        probe: (m, F) values of held-out rows.
        live_target: (n) the number that is to be predicted.
        probe_target: (m)
    """
    live, probe = np.asarray(live, np.float64), np.asarray(probe, np.float64)
    spread = _spread(live, probe)
    centre, scale = np.mean(live_target), np.std(live_target) + 1e-12
    fits = [
        _line(x, (np.asarray(t, np.float64) - centre) / scale) for x, t in ((live, live_target), (probe, probe_target))
    ]
    (mean_a, mean_variance_a, slope_a, variance_a), (mean_b, mean_variance_b, slope_b, variance_b) = fits
    least = MIN_RELATIVE_VARIANCE * spread**2
    common = (mean_a - mean_b) / np.sqrt(mean_variance_a + mean_variance_b + least / len(live))
    dependent = np.abs(slope_a - slope_b) / np.sqrt(variance_a + variance_b + least / len(live))
    return RowComparison(common, _one_sided(special.log_ndtr(-dependent) + np.log(2)), (mean_a - mean_b) / spread, 1)


def _compared(differences: list[Array], variances: list[Array], spread: Array) -> RowComparison:
    """Split the differences of classes (F each) into what they have in common and what depends on the class."""
    if not differences:
        unknown = np.full(len(spread), np.nan)
        return RowComparison(unknown, unknown, unknown, 0)
    difference, precision = np.stack(differences), 1 / np.maximum(np.stack(variances), 1e-30)
    mean = (difference * precision).sum(0) / precision.sum(0)
    # Cochran's Q of a meta-analysis: χ² with one degree of freedom less than there are classes.
    q = (precision * (difference - mean) ** 2).sum(0)
    freedom = len(differences) - 1
    probability = special.gammaincc(freedom / 2, q / 2) if freedom else np.ones(len(spread))
    dependent = _one_sided(np.log(np.maximum(probability, 1e-300)))
    return RowComparison(mean * np.sqrt(precision.sum(0)), dependent, mean / spread, len(differences))


def _line(x: Array, target: Array) -> tuple[Array, Array, Array, Array]:
    """Fit x (n, F) by a line in the target: values at target 0 and slopes, each with its variance."""
    design = np.stack([np.ones(len(target)), target], 1)
    inverse = np.linalg.pinv(design.T @ design)
    intercept, slope = inverse @ design.T @ x
    residual = x - design @ np.stack([intercept, slope])
    variance = (residual**2).sum(0) / max(len(x) - 2, 1)
    return intercept, variance * inverse[0, 0], slope, variance * inverse[1, 1]


def _spread(live: Array, probe: Array) -> Array:
    """Return the standard deviation of each feature of the probe; of the training rows where it is constant in the probe."""
    of_probe, of_live = probe.std(0), live.std(0)
    spread: Array = np.where(of_probe > 0, of_probe, np.where(of_live > 0, of_live, 1.0))
    return spread


def _one_sided(log_probability: Array) -> Array:
    """Return the normal deviate that is exceeded with a probability; 0 for one of a half and more."""
    deviate: Array = np.clip(-special.ndtri_exp(np.minimum(log_probability, -1e-12)), 0.0, MAX_DEVIATE)
    return deviate
