"""What in a record is worth a word: layers that are dead, a model that memorises, one that is another in inference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from keras_xai.records import MAPPING_FLAGS, Features, Mappings, Result

Flag = tuple[str, str, int]  # (layer, or "model", one of MAPPING_FLAGS or MAPPING_NOTES, since this epoch)
MODEL = "model"

# What each means stands in `Flags`.
THRESHOLDS: dict[str, float] = {
    "spread": 1e-8,
    "memorising": 0.10,
    "standard errors": 2,
    "inference gap": 0.25,
    "part-dead": 0.5,
    "stable": 0.005,
    "stable epochs": 3,
}


class Flags:
    """Judges each recorded epoch.

    | flag | when |
    |---|---|
    | dead layer | all of its units are zero on the probe, or its spread is under 1e-8 and not by design; the first such only |
    | non-finite | its activations are; the first such layer only |
    | memorising | the linear surrogate's R² lies more than 0.10 under its best, and the held-out accuracy more than two standard errors under its own |
    | inference gap | the model has a BatchNormalization, and the probe's accuracy lies more than 0.25 under the training metric |

    | note | when |
    |---|---|
    | part-dead | more than half of a layer's units are zero on the probe |
    | stable | 1 − CKA to the record before is under 0.005, three records running |

    Neither sign of memorising says it alone: a straight line also explains less of a net that rightly learns something
    crooked, and accuracy also falls where the data change.
    """  # noqa: E501

    def __init__(self) -> None:
        self.thresholds = dict(THRESHOLDS)
        self.best_r2 = -np.inf
        self.best_held_out = -np.inf
        self._since: dict[tuple[str, str], int] = {}
        self._still: dict[str, tuple[int, int]] = {}  # layer: since, records so far

    def judge(
        self,
        epoch: int,
        features: Features,
        result: Result,
        r2: float,
        gap: float = float("nan"),
        still: Sequence[str] = (),
    ) -> tuple[tuple[Flag, ...], tuple[Flag, ...]]:
        """Flags and notes that stand after this epoch.

        Args:
            epoch: of the record.
            features: of it.
            result: of it.
            r2: of the linear surrogate, NaN without.
            gap: training metric minus the probe's accuracy, NaN where that says nothing of batch normalisation.
            still: layers that give the same for every sample by design, as position embeddings do.
        """
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
        notes = [(*key, standing[key]) for key in part] + self._stable(epoch, features)
        return tuple((*key, standing[key]) for key in order), tuple(notes)

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
        if result.held_out is None or not np.isfinite([accuracy, r2]).all():
            return []
        self.best_held_out = best = max(self.best_held_out, accuracy)
        count = int(result.held_out.sum())
        p = (best * count + 1) / (count + 2)  # no error at all, of few samples, is not certainty
        error = self.thresholds["standard errors"] * float(np.sqrt(p * (1 - p) / count))
        fell = self.best_r2 - r2 > self.thresholds["memorising"] and accuracy < best - error
        return [(MODEL, "memorising")] if fell else []

    def _stable(self, epoch: int, features: Features) -> list[Flag]:
        notes: list[Flag] = []
        for name, cka in zip(features.layers, features.cka_previous, strict=True):
            if not 1 - cka < self.thresholds["stable"]:
                self._still.pop(name, None)
                continue
            since, count = self._still.get(name, (epoch, 0))
            self._still[name] = since, count + 1
            if count + 1 >= self.thresholds["stable epochs"]:
                notes.append((name, "stable", since))
        return notes

    def replay(self, past: Sequence[Mappings]) -> None:
        """Continue from recorded epochs, as if they had been judged here."""
        for record in past:
            linear = record.decision.surrogates.get("linear")
            self.judge(record.epoch, record.features, record.result, np.nan if linear is None else linear.r2)
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
    key = next((k for k in logs if "acc" in k and not k.startswith(("val_", "xai_"))), None)
    if key is None or result.correct is None:
        return float("nan")
    rows = np.ones(len(result.correct), bool) if result.held_out is None else ~result.held_out
    return float(logs[key]) - float(result.correct[rows].mean()) if rows.any() else float("nan")
