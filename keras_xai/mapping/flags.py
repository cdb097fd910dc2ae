"""The flags and notes of a model's layers and predictions: dead layers, memorising, other predictions in inference.

A new flag is one function of an `Evidence`, one line in `CONDITIONS`, a sentence in `Flags._words` and its name at the end of
`records.MAPPING_FLAGS`, or of `records.MAPPING_NOTES` where it is a note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.flag_tracker import FlagTracker, Key
from keras_xai.records import MAPPING_FLAGS, Features, Flag, Mappings, Result

MODEL = "model"  # the name of a flag on the whole model

Thresholds = Mapping[str, float]

# Their meaning: see `Flags`.
THRESHOLDS: Thresholds = {
    "spread": 1e-8,
    "memorising": 0.10,
    "standard errors": 2,
    "memorising gap": 0.25,
    "lowered after": 3,
    "inference gap": 0.25,
    "part-dead": 0.5,
    "stable": 0.005,
    "stable epochs": 3,
}


class HeldOutGap(NamedTuple):
    """Accuracy on rows that were trained on, and on rows that were not, 0 to 1."""

    training: float = float("nan")
    held_out: float = float("nan")
    rows: str = "the held-out rows"  # which rows were held out, for a sentence

    @property
    def size(self) -> float:
        """Training accuracy minus held-out accuracy; NaN where either is not known."""
        return self.training - self.held_out


class Evidence(NamedTuple):
    """The figures of one record from which flags are judged."""

    features: Features
    constant_by_design: Sequence[str]  # layers that give the same for every sample, as position embeddings do
    memorises: bool
    inference_gap: float  # training metric minus the probe's accuracy; NaN where that says nothing


def dead_layer(evidence: Evidence, thresholds: Thresholds) -> dict[str, bool]:
    """Judge the layers: True for the first that is zero on the probe, or gives the same for all samples and not by design."""
    features = evidence.features
    is_dead = (features.dead >= 1) | (features.spread < thresholds["spread"])
    is_dead &= ~np.isin(features.layers, list(evidence.constant_by_design))
    return _first(features, is_dead)


def nonfinite_layer(evidence: Evidence, thresholds: Thresholds) -> dict[str, bool]:
    """Judge the layers: True for the first that gives NaN or infinite values."""
    return _first(evidence.features, ~np.isfinite(evidence.features.mean))


def memorising(evidence: Evidence, thresholds: Thresholds) -> dict[str, bool]:
    """Judge the model: True where it memorises, see `Memorising`."""
    return {MODEL: evidence.memorises}


def inference_gap(evidence: Evidence, thresholds: Thresholds) -> dict[str, bool]:
    """Judge the model: True where its accuracy on the probe, in inference, is far below the training metric."""
    return {MODEL: evidence.inference_gap > thresholds["inference gap"]}


def part_dead(evidence: Evidence, thresholds: Thresholds) -> dict[str, bool]:
    """Judge the layers: True for those of which most units are zero on the probe, and that are not flagged as dead."""
    features = evidence.features
    is_flagged = dead_layer(evidence, thresholds)
    return {
        name: bool(share > thresholds["part-dead"]) and not is_flagged[name]
        for name, share in zip(features.layers, features.dead, strict=True)
    }


def stable(evidence: Evidence, thresholds: Thresholds) -> dict[str, bool]:
    """Judge the layers: True for those that represent the probe as in the record before."""
    features = evidence.features
    return {
        name: bool(1 - cka < thresholds["stable"])
        for name, cka in zip(features.layers, features.cka_previous, strict=True)
    }


# By kind, in the order of `records.MAPPING_FLAGS` and then of `records.MAPPING_NOTES`. Each returns, by layer or "model", True
# where the condition holds.
CONDITIONS: Mapping[str, Callable[[Evidence, Thresholds], dict[str, bool]]] = {
    "dead layer": dead_layer,
    "non-finite": nonfinite_layer,
    "memorising": memorising,
    "inference gap": inference_gap,
    "part-dead": part_dead,
    "stable": stable,
}


def _first(features: Features, holds: NDArray[np.bool_]) -> dict[str, bool]:
    """True for the first layer for which a condition holds (L), by name: the layers after it fail only as a consequence."""
    rows = np.flatnonzero(holds)
    return {name: bool(rows.size and row == rows[0]) for row, name in enumerate(features.layers)}


class Memorising:
    """Judges whether a model memorises, by the conditions in `Flags`.

    Attributes:
        best_r2: the highest R² of the linear surrogate so far.
        best_held_out: the highest held-out accuracy so far.
        gap: of the last record.
    """

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        self.best_r2 = -np.inf
        self.best_held_out = -np.inf
        self.gap = HeldOutGap()
        self._memorises = False
        self._quiet_records = 0  # running, without a sign

    def update(self, result: Result, r2: float, gap: HeldOutGap) -> bool:
        """Return True where the flag stands after this record."""
        self.gap = gap
        if np.isfinite(r2):
            self.best_r2 = max(self.best_r2, r2)
        accuracy = result.held_out_accuracy
        if result.held_out is not None and np.isfinite([accuracy, r2]).all():
            self.best_held_out = max(self.best_held_out, accuracy)
        if self._has_sign(result, r2, 1.0):
            self._memorises, self._quiet_records = True, 0
        elif self._memorises:
            # Noise alone does not lower a flag: only records count in which no sign is half as large as what raises it.
            self._quiet_records = 0 if self._has_sign(result, r2, 0.5) else self._quiet_records + 1
            self._memorises = self._quiet_records < self._thresholds["lowered after"]
        return self._memorises

    def _has_sign(self, result: Result, r2: float, fraction: float) -> bool:
        """Return True where a sign of memorising exceeds this fraction of its threshold."""
        if self.gap.size > fraction * self._thresholds["memorising gap"]:
            return True
        accuracy = result.held_out_accuracy
        if result.held_out is None or not np.isfinite([accuracy, r2]).all() or self.gap.size < 0:
            return False
        count = int(result.held_out.sum())
        # Laplace's rule of succession: without a single error the standard error would be 0, however few the samples.
        p = (self.best_held_out * count + 1) / (count + 2)
        margin = self._thresholds["standard errors"] * float(np.sqrt(p * (1 - p) / count))
        explains_less = self.best_r2 - r2 > fraction * self._thresholds["memorising"]
        return bool(explains_less and accuracy < self.best_held_out - fraction * margin)


class Flags:
    """Judges each recorded epoch.

    | flag | when |
    |---|---|
    | dead layer | all of its units are zero on the probe, or its spread is under 1e-8 and not by design; the first such only |
    | non-finite | its activations are; the first such layer only |
    | memorising | what is right of the training rows exceeds what is right of held-out rows by more than 0.25; or the linear surrogate's R² lies more than 0.10 under its best, and the held-out accuracy more than two standard errors under its own |
    | inference gap | the model has a BatchNormalization, and the probe's accuracy lies more than 0.25 under the training metric |

    | note | when |
    |---|---|
    | part-dead | more than half of a layer's units are zero on the probe |
    | stable | 1 − CKA to the record before is under 0.005, three records running |

    The gap between training and held-out rows (see `held_out_gap`) is enough for "memorising". The other two signs must hold
    together: a linear model also explains less of a network that rightly learns a nonlinear function, and accuracy also falls
    where the data change. The flag is lowered when for three records running no sign exceeds half of its threshold.
    """  # noqa: E501

    def __init__(self) -> None:
        self.thresholds = dict(THRESHOLDS)
        self._memorising = Memorising(self.thresholds)
        self._tracker = FlagTracker({"stable": int(self.thresholds["stable epochs"])})

    def judge(
        self,
        epoch: int,
        features: Features,
        result: Result,
        r2: float,
        gap: float = float("nan"),
        held_out: HeldOutGap | None = None,
        constant_by_design: Sequence[str] = (),
    ) -> tuple[tuple[Flag, ...], tuple[Flag, ...]]:
        """Return the flags and the notes that stand after this epoch.

        Args:
            epoch: of the record.
            features: of the record.
            result: of the record.
            r2: of the linear surrogate, NaN without.
            gap: training metric minus the probe's accuracy, NaN for a model without batch normalisation.
            held_out: accuracy on training rows and on held-out ones; None where either is not known.
            constant_by_design: layers that give the same for every sample by design, as position embeddings do.
        """
        memorises = self._memorising.update(result, r2, held_out or HeldOutGap())
        evidence = Evidence(features, constant_by_design, memorises, gap)
        conditions: dict[Key, bool] = {}
        for kind, condition in CONDITIONS.items():
            for name, holds in condition(evidence, self.thresholds).items():
                conditions[name, kind] = holds
        raised = self._tracker.update(epoch, conditions)
        flags = tuple(flag for flag in raised if flag.kind in MAPPING_FLAGS)
        return flags, tuple(flag for flag in raised if flag.kind not in MAPPING_FLAGS)

    def replay(self, past: Sequence[Mappings], held_out: Mapping[int, HeldOutGap] | None = None) -> None:
        """Continue from recorded epochs, as if they had been judged here.

        Args:
            past: the records.
            held_out: of each epoch, as for `judge`.
        """
        gaps = held_out or {}
        for record in past:
            linear = record.decision.surrogates.get("linear")
            r2 = np.nan if linear is None else linear.r2
            self.judge(record.update, record.features, record.result, r2, held_out=gaps.get(record.update))
        if past:
            # Not all evidence is in the records (the inference gap, layers that are constant by design): take their flags.
            self._tracker.continue_from((*past[-1].flags, *past[-1].notes))

    def sentence(self, flags: Iterable[Flag], record: Mappings) -> str:
        """Return flags in words, for a warning."""
        return "; ".join(self._words(*flag, record) for flag in flags)

    def _words(self, name: str, kind: str, since: int, record: Mappings) -> str:
        features, result, gap = record.features, record.result, self._memorising.gap
        row = features.layers.index(name) if name in features.layers else 0
        if kind == "dead layer" and features.dead[row] >= 1:
            return f"{name} is dead since epoch {since}: 100 % of its units give zero on the probe"
        if kind == "dead layer":
            return f"{name} is dead since epoch {since}: it gives the same for every sample of the probe"
        if kind == "non-finite":
            return f"{name} gives NaN or infinite values since epoch {since}"
        if kind == "memorising" and gap.size > self.thresholds["memorising gap"]:
            return (
                f"the model memorises since epoch {since}: it is right on {gap.training:.1%} of the training rows and on "
                f"{gap.held_out:.1%} of {gap.rows}"
            )
        if kind == "memorising":
            r2, best = record.decision.surrogates["linear"].r2, self._memorising
            return (
                f"the model memorises since epoch {since}: a linear model of the inputs explained {best.best_r2:.2f} of its "
                f"logits and now explains {r2:.2f} (R²), and the held-out accuracy fell from {best.best_held_out:.1%} to "
                f"{result.held_out_accuracy:.1%}"
            )
        return (
            f"the model is another one in inference since epoch {since}: {result.accuracy:.1%} of the probe are right, far fewer "
            f"than the training metric says; look at its batch normalisation"
        )


def training_gap(logs: Mapping[str, float], result: Result) -> float:
    """Return training accuracy minus that on the probe, without its held-out rows where they are known.

    Args:
        logs: Keras' logs of the epoch.
        result: of the epoch.

    Returns:
        −1 to 1; NaN where one of the two is not known.
    """
    key = accuracy_key(logs)
    right = result.share_right
    if key is None or right is None:
        return float("nan")
    rows = np.ones(len(right), bool) if result.held_out is None else ~result.held_out
    return float(logs[key]) - float(right[rows].mean()) if rows.any() else float("nan")


def held_out_gap(logs: Mapping[str, float], result: Result) -> HeldOutGap | None:
    """Return the training metric, and the accuracy on held-out rows.

    The latter is that of the probe's held-out rows where they are known, else the validation metric, else the accuracy on the
    whole probe, which is taken for rows that are not trained on.

    Args:
        logs: Keras' logs of the epoch.
        result: of the epoch.

    Returns:
        None where one of the two is not known.
    """
    key = accuracy_key(logs)
    if key is None:
        return None
    training = float(logs[key])
    if result.held_out is not None and np.isfinite(result.held_out_accuracy):
        return HeldOutGap(training, result.held_out_accuracy, "the probe's held-out rows")
    if np.isfinite(logs.get(f"val_{key}", np.nan)):
        return HeldOutGap(training, float(logs[f"val_{key}"]), "the validation rows")
    if result.held_out is None and np.isfinite(result.accuracy):
        return HeldOutGap(training, result.accuracy, "the probe")
    return None


def accuracy_key(logs: Mapping[str, float]) -> str | None:
    """Return the key of the training accuracy in Keras' logs, the first that contains "acc"; None without one."""
    return next((k for k in logs if "acc" in k and not k.startswith(("val_", "xai_"))), None)
