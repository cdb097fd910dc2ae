"""Rules on what a model may rely on, in a training: what is measured for each, and the alert where some are broken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from keras_xai.backend.team import present_team
from keras_xai.drift.reliance_gap import share_of
from keras_xai.drift.rules import Measured, Rule, RuleChart
from keras_xai.records import Alert, FeatureMove, Slices
from keras_xai.slice_accuracy import largest_gap

NAMED_RULES = 3  # of its sentence


class RuleWatch:
    """Measures rules at every update, and raises one alert for those that break.

    Args:
        rules: as `drift.rules.resolve_rules` gives them.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = list(rules)
        self._chart = RuleChart()

    def restore(self, past: Sequence[Alert]) -> None:
        """Go on from the alerts of a run that is continued."""
        for alert in past:
            if alert.source == "rule":
                self._chart.restore([move.name for move in alert.features])

    def update(
        self,
        update: int,
        evidence: Mapping[str, NDArray[np.float64]],
        others: Mapping[str, Measured],
        *,
        is_early: bool = False,
    ) -> list[Alert]:
        """Return the alert of an update, none where no rule breaks at it.

        Args:
            update: its number.
            evidence: (n, F) contributions to the margin, "live" and "probe".
            others: what was measured for rules of a region or a slice, by the rule's name.
            is_early: the update is inside an epoch and in the burn-in, and does not count.
        """
        broken: list[tuple[Rule, Measured]] = []
        for rule in self.rules:
            measured = _of_features(rule, evidence) if rule.kind == "features" else others.get(rule.name)
            if measured is None:
                continue
            is_broken = present_team().agreed(rule.is_broken(measured.value, measured.error))
            if self._chart.update(rule.name, is_broken=is_broken, is_early=is_early):
                broken.append((rule, measured))
        return [_alert(update, broken)] if broken else []


def of_slices(rules: Sequence[Rule], record: Slices | None) -> dict[str, Measured]:
    """Return what was measured for each rule on a slice: the largest gap of accuracy to the whole.

    Args:
        rules: of all kinds.
        record: the slices of this update; None without.
    """
    measured = {}
    for rule in rules:
        gap = largest_gap(record, rule.name) if rule.kind == "slice" and record is not None else None
        if gap is not None:
            sentence = (
                f"the accuracy where {rule.name} is {gap.value.value} is {gap.gap:.1%} below that of all rows, its rule allows "
                f"{rule.limit:.1%}"
            )
            measured[rule.name] = Measured(gap.gap, gap.standard_error, sentence)
    return measured


def _alert(update: int, broken: Sequence[tuple[Rule, Measured]]) -> Alert:
    # All of them are features of the alert: a continued run reads from it which rules were an alarm.
    moves = tuple(_move(rule, measured) for rule, measured in broken)
    sentence = "; ".join(measured.sentence for _, measured in broken[:NAMED_RULES])
    more = len(broken) - NAMED_RULES
    if more > 0:
        sentence += f"; and {more} other rule{'s are' if more > 1 else ' is'} broken"
    return Alert(update, "rule", "rule broken", False, moves, event=update, sentence=sentence)


def _move(rule: Rule, measured: Measured) -> FeatureMove:
    """Return a rule as a feature of the alert: its limit, what was measured, and by how many standard errors it is beyond."""
    distance = measured.value - rule.limit
    z = distance / measured.error if measured.error > 0 else float("nan")
    return FeatureMove(rule.name, rule.limit, measured.value, 1 if distance > 0 else -1, z)


def _of_features(rule: Rule, evidence: Mapping[str, NDArray[np.float64]]) -> Measured | None:
    """Return the share of the evidence that the features of a rule have: on the live rows, without these on the probe."""
    source = "live" if "live" in evidence else "probe"
    if source not in evidence:
        return None
    magnitude = np.abs(evidence[source])
    share = share_of(magnitude[:, rule.features].sum(1, keepdims=True), magnitude.sum(1))
    value, error = float(share.share[0]), float(share.error[0])
    rows = "live rows" if source == "live" else "probe"
    sentence = f"{rule.name} has {value:.1%} of the evidence on the {rows}, its rule allows {rule.limit:.1%}"
    return Measured(value, error, sentence)
