"""Follows the rules over a training: which are broken, since when, and which could not be judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.flag_tracker import FlagTracker, Key
from keras_xai.records import Epoch, Flag
from keras_xai.training_checks.activation_reader import LayerStatistics
from keras_xai.training_checks.activations import dead_units, saturated_activations
from keras_xai.training_checks.classes import has_learned, neglected_class
from keras_xai.training_checks.finding import Finding, Unjudged
from keras_xai.training_checks.losses import LossHistory, loss_not_decreasing, overfit
from keras_xai.training_checks.thresholds import checked
from keras_xai.training_records import RULES, TrainingFlag, TrainingFlags, TrainingRule
from keras_xai.updates import BEFORE

NO_LAYER = "no layer inside the model could be read"
OF_READINGS: tuple[TrainingRule, ...] = ("neglected class", "saturated activation", "dead units")


class Evidence(NamedTuple):
    """Result of one pass over rows of the probe."""

    layers: Sequence[LayerStatistics]
    right: NDArray[np.bool_] | None = None  # (n) the prediction is right; None where rows have no class
    classes: NDArray[np.int64] | None = None  # (n) the true ones
    class_names: Sequence[str] | None = None
    why_no_classes: str = ""  # why what is right is not known though the model may have classes


class TrainingRules:
    """Judges a training update by update.

    Args:
        thresholds: other numbers by name, None to switch a rule off; see `thresholds.TABLE`.

    Raises:
        InvalidInput: see `thresholds.checked`.
    """

    def __init__(self, thresholds: Mapping[str, float | None] | None = None) -> None:
        self.thresholds, switched_off = checked(thresholds)
        self.off: list[TrainingRule] = [kind for kind in RULES if kind in switched_off]
        activation_updates = int(self.thresholds["activation updates"])
        self._tracker = FlagTracker(
            {
                "neglected class": int(self.thresholds["neglected updates"]),
                "saturated activation": activation_updates,
                "dead units": activation_updates,
            }
        )
        self.history = LossHistory()
        self._standing: list[TrainingFlag] = []  # of what was judged before the first step
        self._unjudged: dict[TrainingRule, str] = {}  # likewise

    def begin(self, results: Iterable[Finding | Unjudged | None]) -> None:
        """Take what was judged before the first step: it stands for the whole training."""
        for result in results:
            if isinstance(result, Unjudged):
                self._unjudged[result.kind] = result.reason
            elif result is not None and result.kind not in self.off:
                self._standing.append(_flag(result, BEFORE))

    def resume(self, past: Sequence[TrainingFlags], history: Sequence[Epoch]) -> None:
        """Go on from the records of a run that is continued."""
        for record in history:
            self.observe(record.update, record.logs, ends_epoch=record.ends_epoch)
        if not past:
            return
        flags = past[-1].flags
        # How the training began is known from its first records alone.
        began = [flag for flag in flags if flag.kind == "poor initialisation" and flag.kind not in self.off]
        self._standing = [flag for flag in self._standing if flag.kind != "poor initialisation"] + began
        if "poor initialisation" in past[-1].unjudged:
            self._unjudged["poor initialisation"] = past[-1].unjudged["poor initialisation"]
        else:
            self._unjudged.pop("poor initialisation", None)
        self._tracker.continue_from(
            Flag(flag.name, flag.kind, flag.since) for flag in flags if flag.kind in OF_READINGS
        )

    def observe(self, update: int, logs: Mapping[str, float], *, ends_epoch: bool = True) -> None:
        """Take the losses of an update, whether the rules are judged at it or not.

        Args:
            update: its number.
            logs: of Keras.
            ends_epoch: False for an update inside an epoch.
        """
        self.history.add(update, logs.get("loss"), logs.get("val_loss"), ends_epoch=ends_epoch)

    def judge(self, update: int, evidence: Evidence | None, why_none: str = "") -> TrainingFlags:
        """Return the flags that stand at an update, whose losses were observed.

        Args:
            update: its number.
            evidence: of the pass over rows of the probe; None without.
            why_none: why there is no evidence.
        """
        results: list[Finding | Unjudged | None] = [
            loss_not_decreasing(self.history, self.thresholds, _has_learned(evidence)),
            overfit(self.history, self.thresholds),
        ]
        if evidence is None:
            results += [Unjudged(kind, why_none) for kind in OF_READINGS]
        else:
            results += self._of_reading(evidence)
        unjudged = dict(self._unjudged)
        unjudged |= {result.kind: result.reason for result in results if isinstance(result, Unjudged)}
        broken = [result for result in results if isinstance(result, Finding) and result.kind not in self.off]
        findings: dict[Key, Finding] = {(finding.name, finding.kind): finding for finding in broken}
        conditions = dict.fromkeys(findings, True)
        if evidence is not None:
            conditions |= {key: False for key in self._tracked(evidence) if key not in findings}
        flags = [*self._standing]
        for flag in self._tracker.update(update, conditions):
            finding = findings[flag.name, flag.kind]
            flags.append(_flag(finding, flag.since if finding.since is None else finding.since))
        flags.sort(key=lambda flag: RULES.index(flag.kind))
        unjudged |= dict.fromkeys(self.off, "switched off")
        ordered: dict[str, str] = {kind: unjudged[kind] for kind in RULES if kind in unjudged}
        return TrainingFlags(update, tuple(flags), ordered, self.thresholds)

    def _of_reading(self, evidence: Evidence) -> list[Finding | Unjudged | None]:
        results: list[Finding | Unjudged | None] = []
        if evidence.why_no_classes:
            results.append(Unjudged("neglected class", evidence.why_no_classes))
        elif evidence.right is not None and evidence.classes is not None:
            results.append(neglected_class(evidence.right, evidence.classes, self.thresholds, evidence.class_names))
        if not evidence.layers:
            results.append(Unjudged("saturated activation", NO_LAYER))
            results.append(Unjudged("dead units", NO_LAYER))
        results += saturated_activations(evidence.layers, self.thresholds)
        return results + [*dead_units(evidence.layers, self.thresholds)]

    def _tracked(self, evidence: Evidence) -> list[Key]:
        """Return what the tracker is to be told of, broken or not."""
        names = [layer.name for layer in evidence.layers]
        if evidence.classes is not None:
            names += [str(value) for value in np.unique(evidence.classes).tolist()] + [*(evidence.class_names or ())]
        return [(name, kind) for name in names for kind in OF_READINGS]


def _has_learned(evidence: Evidence | None) -> bool | None:
    if evidence is None or evidence.right is None or evidence.classes is None:
        return None
    return has_learned(evidence.right, evidence.classes)


def _flag(finding: Finding, since: int) -> TrainingFlag:
    return TrainingFlag(
        finding.name, finding.kind, since, finding.value, finding.limit, finding.sentence, finding.advice
    )
