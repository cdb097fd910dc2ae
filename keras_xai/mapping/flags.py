"""What in a record is worth a word: layers that are dead, a model that memorises, one that is another in inference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from keras_xai.records import MAPPING_FLAGS, Features, Flag, Mappings, Result

MODEL = "model"

# What each means stands in `Flags`.
THRESHOLDS: dict[str, float] = {
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
    """What is right of rows that were trained on, and of rows that were not."""

    training: float = float("nan")
    held_out: float = float("nan")
    rows: str = "the held-out rows"

    @property
    def size(self) -> float:
        """NaN where either is not known."""
        return self.training - self.held_out


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

    Where held-out rows are known, their gap decides: see `held_out_gap`. Neither of the other signs says it alone: a straight
    line also explains less of a net that rightly learns something crooked, and accuracy also falls where the data change.
    A standing flag is lowered when for three records none of its signs is half as large as what raises it.
    """  # noqa: E501

    def __init__(self) -> None:
        self.thresholds = dict(THRESHOLDS)
        self.best_r2 = -np.inf
        self.best_held_out = -np.inf
        self.gap = HeldOutGap()  # the last one
        self._memorises = False
        self._calm = 0  # records in a row in which nothing spoke for memorising
        self._since: dict[tuple[str, str], int] = {}
        self._still: dict[str, tuple[int, int]] = {}  # layer: since, records so far

    def judge(
        self,
        epoch: int,
        features: Features,
        result: Result,
        r2: float,
        gap: float = float("nan"),
        held_out: HeldOutGap | None = None,
        still: Sequence[str] = (),
    ) -> tuple[tuple[Flag, ...], tuple[Flag, ...]]:
        """Flags and notes that stand after this epoch.

        Args:
            epoch: of the record.
            features: of it.
            result: of it.
            r2: of the linear surrogate, NaN without.
            gap: training metric minus the probe's accuracy, NaN where that says nothing of batch normalisation.
            held_out: what is right of training rows and of held-out ones; None where either is not known.
            still: layers that give the same for every sample by design, as position embeddings do.
        """
        self.gap = held_out or HeldOutGap()
        flags = [*self._first(features, still), *self._memorising(result, r2)]
        if gap > self.thresholds["inference gap"]:
            flags.append((MODEL, "inference gap"))
        dead = {name for name, kind in flags if kind == "dead layer"}
        part = [
            (name, "part-dead")
            for name, share in zip(features.layers, features.dead, strict=True)
            if share > self.thresholds["part-dead"] and name not in dead
        ]
        standing = {key: self._since.get(key, epoch) for key in (*flags, *part)}
        self._since = standing
        order = sorted(flags, key=lambda flag: MAPPING_FLAGS.index(flag[1]))
        notes = [Flag(*key, standing[key]) for key in part] + self._stable(epoch, features)
        return tuple(Flag(*key, standing[key]) for key in order), tuple(notes)

    def _first(self, features: Features, still: Sequence[str]) -> list[tuple[str, str]]:
        found = []
        alive = np.isin(features.layers, list(still))
        for kind, rows in (("dead layer", self._dead(features) & ~alive), ("non-finite", ~np.isfinite(features.mean))):
            if rows.any():
                found.append((features.layers[int(np.flatnonzero(rows)[0])], kind))
        return found

    def _dead(self, features: Features) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        return np.asarray((features.dead >= 1) | (features.spread < self.thresholds["spread"]))

    def _memorising(self, result: Result, r2: float) -> list[tuple[str, str]]:
        accuracy = result.held_out_accuracy
        self.best_r2 = max(self.best_r2, r2) if np.isfinite(r2) else self.best_r2
        if result.held_out is not None and np.isfinite([accuracy, r2]).all():
            self.best_held_out = max(self.best_held_out, accuracy)
        if self._speaks(result, r2, 1.0):
            self._memorises, self._calm = True, 0
        elif self._memorises:
            self._calm = 0 if self._speaks(result, r2, 0.5) else self._calm + 1
            self._memorises = self._calm < self.thresholds["lowered after"]
        return [(MODEL, "memorising")] if self._memorises else []

    def _speaks(self, result: Result, r2: float, part: float) -> bool:
        """Whether a sign of memorising is at least `part` of what raises the flag."""
        gap = self.gap.size
        if gap > part * self.thresholds["memorising gap"]:
            return True
        if result.held_out is None or not np.isfinite([result.held_out_accuracy, r2]).all() or gap < 0:
            return False
        best, count = self.best_held_out, int(result.held_out.sum())
        p = (best * count + 1) / (count + 2)  # no error at all, of few samples, is not certainty
        error = self.thresholds["standard errors"] * float(np.sqrt(p * (1 - p) / count))
        straight = self.best_r2 - r2 > part * self.thresholds["memorising"]
        return bool(straight and result.held_out_accuracy < best - part * error)

    def _stable(self, epoch: int, features: Features) -> list[Flag]:
        notes: list[Flag] = []
        for name, cka in zip(features.layers, features.cka_previous, strict=True):
            if not 1 - cka < self.thresholds["stable"]:
                self._still.pop(name, None)
                continue
            since, count = self._still.get(name, (epoch, 0))
            self._still[name] = since, count + 1
            if count + 1 >= self.thresholds["stable epochs"]:
                notes.append(Flag(name, "stable", since))
        return notes

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
            self.judge(record.epoch, record.features, record.result, r2, held_out=gaps.get(record.epoch))
        if past:
            self._since = {(name, kind): since for name, kind, since in (*past[-1].flags, *past[-1].notes)}

    def sentence(self, flags: Iterable[Flag], record: Mappings) -> str:
        """Flags in words, for a warning."""
        return "; ".join(self._words(*flag, record) for flag in flags)

    def _words(self, name: str, kind: str, since: int, record: Mappings) -> str:
        features, result = record.features, record.result
        at = features.layers.index(name) if name in features.layers else 0
        if kind == "dead layer" and features.dead[at] >= 1:
            return f"{name} is dead since epoch {since}: 100 % of its units give zero on the probe"
        if kind == "dead layer":
            return f"{name} is dead since epoch {since}: it gives the same for every sample of the probe"
        if kind == "non-finite":
            return f"{name} gives NaN or infinite values since epoch {since}"
        if kind == "memorising" and self.gap.size > self.thresholds["memorising gap"]:
            return (
                f"the model memorises since epoch {since}: it is right on {self.gap.training:.1%} of the training rows and on "
                f"{self.gap.held_out:.1%} of {self.gap.rows}"
            )
        if kind == "memorising":
            r2 = record.decision.surrogates["linear"].r2
            return (
                f"the model memorises since epoch {since}: a straight line from the inputs explained {self.best_r2:.2f} of its "
                f"logits and now explains {r2:.2f} (R²), and the held-out accuracy fell from {self.best_held_out:.1%} to "
                f"{result.held_out_accuracy:.1%}"
            )
        return (
            f"the model is another one in inference since epoch {since}: {result.accuracy:.1%} of the probe are right, far fewer "
            f"than the training metric says; look at its batch normalisation"
        )


def training_gap(logs: Mapping[str, float], result: Result) -> float:
    """Training accuracy minus that on the probe, its held-out rows left out where they are known; NaN without either."""
    key = accuracy_key(logs)
    if key is None or result.correct is None:
        return float("nan")
    rows = np.ones(len(result.correct), bool) if result.held_out is None else ~result.held_out
    return float(logs[key]) - float(result.correct[rows].mean()) if rows.any() else float("nan")


def held_out_gap(logs: Mapping[str, float], result: Result) -> HeldOutGap | None:
    """What is right of the training rows by the training metric, and of held-out ones: the probe's own where `held_out`
    names them, else the validation metric's, else the whole probe's, which is a gap only where they are other rows.

    None where one of them is not known.
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
    """The training accuracy in Keras' logs, by whatever name."""
    return next((k for k in logs if "acc" in k and not k.startswith(("val_", "xai_"))), None)
