"""The nouns that the training wing writes and the viewing wing reads: frozen, numpy only.

Axis letters, here and everywhere: B probe sample, H W C image, T time or token, F feature (after pooling),
V variable, S statistic, E epoch, K class. Epochs count from 0, as Keras counts them in callbacks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.floating[Any]]
Integer = NDArray[np.integer[Any]]
Space = Literal["logit", "probability", "raw"]
Source = Literal["clean", "live", "data"]
Verdict = Literal["reliance moved", "data changed"]

STATISTICS = ("rms", "mean", "std", "max", "zero_fraction", "nonfinite", "update_ratio", "weight_norm")
FLAGS = ("dead", "vanishing", "exploding", "non-finite")


@dataclass(frozen=True, eq=False)
class Epoch:
    """One epoch as seen by the callbacks of one log directory."""

    epoch: int
    wall_time: float  # seconds since 1970, at its end
    seconds: float  # from its begin to our last callback's end
    cost_seconds: float  # of these, spent in our callbacks
    learning_rate: float  # NaN where the optimizer has none
    logs: Mapping[str, float]  # what Keras and the callbacks before us reported, and our own keys
    costs: Mapping[str, float] = field(default_factory=dict)  # cost_seconds by callback
    notes: tuple[str, ...] = ()  # what our callbacks had to say in words


@dataclass(frozen=True, eq=False)
class Gradients:
    """The gradients that trained the model in one epoch, over its sampled steps.

    `statistics` holds a float32 (V) array for each of `STATISTICS`; NaN where nothing was captured. The gradient is
    the one given to the optimizer, before any clipping and after loss scaling is undone. `histogram` (V, bins) counts
    |gradient| between the log2-spaced `bin_edges` (bins + 1); zeros and non-finite values are not in it.
    """

    epoch: int
    names: tuple[str, ...]  # (V) variable paths
    statistics: Mapping[str, Float]
    histogram: NDArray[np.float32]
    bin_edges: NDArray[np.float32]
    steps: int  # recorded optimizer calls
    flags: tuple[tuple[str, str, int], ...] = ()  # (variable, one of FLAGS, since this epoch)
    missing: str = ""  # why nothing was captured, where nothing was
    sizes: tuple[int, ...] = ()  # (V) entries of each variable
    thresholds: Mapping[str, float] = field(default_factory=dict)  # of the flags, see `gradients.flags`

    def by_layer(self) -> Gradients:
        """The same figures for each layer as a whole: over the entries of its variables that got a gradient.

        A layer is named by its variables' path without the last part. Flags stay with the variables.

        Raises:
            ValueError: the record holds no sizes.
        """
        return self._merged([name.rpartition("/")[0] or name for name in self.names])

    def overall(self) -> Gradients:
        """The same figures for the whole gradient, as one row named "all"."""
        return self._merged(["all"] * len(self.names))

    def _merged(self, keys: list[str]) -> Gradients:
        if len(self.sizes) != len(self.names):
            raise ValueError("this record holds no sizes of its variables")
        rows: dict[str, list[int]] = {}
        for v, key in enumerate(keys):
            rows.setdefault(key, []).append(v)
        merged = [self._whole(members) for members in rows.values()]
        return dataclasses.replace(
            self,
            names=tuple(rows),
            statistics={s: np.asarray([row[s] for row in merged], np.float32) for s in self.statistics},
            histogram=np.stack([self.histogram[m].sum(0) for m in rows.values()]) if rows else self.histogram,
            flags=(),
            sizes=tuple(sum(self.sizes[v] for v in members) for members in rows.values()),
        )

    def _whole(self, members: list[int]) -> dict[str, float]:
        """Moments add up weighted by size, norms as squares."""
        captured = [v for v in members if np.isfinite(self.statistics["zero_fraction"][v])]
        if not captured:
            return dict.fromkeys(self.statistics, float("nan"))
        n = np.asarray([self.sizes[v] for v in captured], np.float64)
        s = {name: np.asarray(values, np.float64)[captured] for name, values in self.statistics.items()}
        share = n / n.sum()
        mean, square = float(share @ s["mean"]), float(share @ s["rms"] ** 2)
        weight = float((s["weight_norm"] ** 2).sum())
        moved = np.isfinite(s["update_ratio"])
        update = float(s["update_ratio"][moved] ** 2 @ s["weight_norm"][moved] ** 2)
        return {
            "rms": square**0.5,
            "mean": mean,
            "std": max(0.0, square - mean**2) ** 0.5,
            "max": float(s["max"].max()),
            "zero_fraction": float(share @ s["zero_fraction"]),
            "nonfinite": float(s["nonfinite"].sum()),
            "update_ratio": (update / weight) ** 0.5 if weight > 0 and moved.any() else float("nan"),
            "weight_norm": weight**0.5,
        }


@dataclass(frozen=True, eq=False)
class Attribution:
    """What each part of the input contributed to the score that was explained.

    `values` is float32 with the shape of the input (a list or dict of such where the model takes several; (B, h, w)
    for the CAM family, (B, T) for tokens); read back from a log directory images are (B, H, W), the sum over channels.
    `score` and `baseline_score` (B) are in `space`: "logit" before the last softmax or sigmoid, "probability" where the
    model has no such logit, "raw" for regression. `completeness_error` (B) is |Σ values − (score − baseline_score)| /
    max(|score − baseline_score|, 1e-6), None where the method promises no such sum.
    """

    method: str
    values: Any
    target: Integer  # (B) the class explained; 0 for a single output
    score: Float
    baseline_score: Float | None
    prediction: NDArray[Any]  # (B) the model's own class; the raw output for regression
    completeness_error: Float | None
    space: Space
    outputs: Float | None = None  # (B, K) the model's output, at most 64 columns
    epoch: int | None = None
    kind: str = ""  # of the input: "table", "image", "series" or "tokens"


@dataclass(frozen=True, eq=False)
class Outputs:
    """What an `Attribution` says beside its maps, over epochs."""

    method: str
    epochs: NDArray[np.int64]  # (E)
    target: NDArray[np.int64]  # (E, B)
    prediction: Float  # (E, B)
    score: Float  # (E, B)
    baseline_score: Float  # (E, B), NaN without a baseline
    completeness_error: Float | None  # (E, B)
    outputs: Float  # (E, B, K)
    space: Space


@dataclass(frozen=True, eq=False)
class Shares:
    """Global importance at one epoch: each feature's share of the whole, and how unusual its move is.

    For the source "data" `share` is the pipeline's own movement q of each feature in units of its usual range, which
    sums to nothing in particular. An importance that was not finite or all zero is a row of NaN: skipped, never scored.
    """

    epoch: int
    source: Source
    names: tuple[str, ...]  # (F)
    share: NDArray[np.float32]  # (F), sums to 1
    score: float  # max |z|; NaN before there is a history
    limit: float
    direction: NDArray[np.int8] | None = None  # (F) the sign of the mean signed attribution, shown beside an alert
    burn_in: int = 8  # updates before the first alarm
    method: str = ""  # that gave the importance
    digest: tuple[int, int] | None = None  # of the live rows and of their labels, 24 bits each: were they the same?


@dataclass(frozen=True, eq=False)
class Importance:
    """`Shares` of one source over epochs."""

    epochs: NDArray[np.int64]  # (E)
    names: tuple[str, ...]  # (F)
    share: NDArray[np.float32]  # (E, F)
    score: NDArray[np.float64]  # (E)
    limit: float
    burn_in: int = 8  # updates before the first alarm


@dataclass(frozen=True, eq=False)
class Alert:
    """The model started to rely on something else, or its data changed.

    `features` holds (name, share before, share after, direction, z), the largest |z| first: the shares between which
    the alarmed move happened, the sign of the mean signed attribution (+1 speaks for the class explained, −1 against,
    0 neither), and the move in units of the feature's own usual move.
    """

    epoch: int
    source: Source
    verdict: Verdict
    learning_rate_rising: bool
    features: tuple[tuple[str, float, float, int, float], ...]
    score: float = float("nan")
    limit: float = float("nan")

    def __str__(self) -> str:
        what = {
            "data changed": "the training data changed",
            "reliance moved": "the model moved its reliance",
        }[self.verdict]
        moves = ", ".join(
            f"{name} ({before:.2%} → {after:.2%}, z {z:+.1f})" if self.source != "data" else f"{name} (z {z:+.1f})"
            for name, before, after, _, z in self.features[:3]
        )
        rate = " The learning rate was rising." if self.learning_rate_rising else ""
        seen = {
            "clean": "seen on the fixed probe",
            "live": "seen on the live rows",
            "data": "seen in the live rows themselves",
        }
        return (
            f"epoch {self.epoch} (Keras prints {self.epoch + 1}): {what}: {moves}; "
            f"{seen[self.source]}, score {self.score:.1f}, limit {self.limit:g}.{rate}"
        )
