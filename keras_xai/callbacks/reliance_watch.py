"""The watch on what a model relies on beside its changes: the gap between training rows and probe, and the user's rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.explainer import ProbeExplainer
from keras_xai.attribution.margin import PooledMargins
from keras_xai.attribution.region_share import RegionShare
from keras_xai.callbacks.gap_watch import GapWatch
from keras_xai.callbacks.live_rows import LiveRows
from keras_xai.callbacks.rule_watch import RuleWatch, of_slices
from keras_xai.drift.rules import REGION, Measured, Rule
from keras_xai.drift.slices import gaps_by_slice
from keras_xai.errors import InvalidInput
from keras_xai.probe import Probe
from keras_xai.records import Alert, Blindness, Reliance, Slices


class RelianceUpdate(NamedTuple):
    """The result of one epoch."""

    record: Reliance | None
    alerts: list[Alert]
    slices: Slices | None = None  # with the gaps between slices; None where they were not measured


class RelianceWatch:
    """Measures the reliance gap and the rules of one training.

    Args:
        rules: checked against the probe.
        gap: look for shortcuts that were there from the start.
        live: the live rows; None without.

    Attributes:
        figures: of `logs`, of the last update.
    """

    def __init__(self, rules: Sequence[Rule], *, gap: bool, live: LiveRows | None) -> None:
        self._rules = RuleWatch(rules)
        self._gap: GapWatch | None = None
        self._live = live
        self._blind: Blindness = ""
        if not gap or live is None:
            self._blind = "gap=False" if not gap else "no live rows"
        self._past: Sequence[Reliance] = ()
        self.figures: dict[str, float] = {}

    def check(self, probe: Probe) -> None:
        """Check what rules need, and which figures there will be.

        Raises:
            InvalidInput: rules on features, and no labels.
        """
        if probe.y is None and any(rule.kind == "features" for rule in self._rules.rules):
            raise InvalidInput(
                "rules= measures what speaks for the label, and the probe has no labels: give Probe(x, y)."
            )
        self.figures = {}
        if not self._blind and probe.y is not None:
            self.figures |= {"xai_gap": float("nan"), "xai_gap_alarm": 0.0}
        if probe.region is not None:
            self.figures |= {"xai_inside": float("nan")}

    def prepare(
        self, model: keras.Model, explainer: ProbeExplainer, first_rows: Probe | None, *, by_exchange: bool
    ) -> tuple[list[str], list[str]]:
        """Build what needs the model's weights, and compare the rows themselves.

        Returns:
            Sentences for the user: those to be warned of, and notes.
        """
        blind = self._blind
        needs_evidence = any(rule.kind == "features" for rule in self._rules.rules)
        needs_evidence |= bool(explainer.probe.slices) and blind != "gap=False"
        overlap = 0.0
        if self._live is not None and first_rows is not None and not blind:
            overlap = self._live.overlap(first_rows)
        self._gap = GapWatch(
            model, explainer, by_exchange=by_exchange, blind=blind, overlap=overlap, needs_evidence=needs_evidence
        )
        if first_rows is not None:
            self._gap.prepare_rows(first_rows)
        self._gap.restore(self._past)
        return self._gap.warnings, self._gap.notes

    @property
    def is_shared(self) -> bool:
        """True where the explainers of the importance give the contributions to the margin on their way."""
        return self._gap is not None and self._gap.is_shared

    @property
    def needs_evidence(self) -> bool:
        """True where contributions to the margin are measured: for the gap, or for rules on features."""
        return not self._blind or any(rule.kind == "features" for rule in self._rules.rules)

    def restore(self, past: Sequence[Reliance], alerts: Sequence[Alert]) -> None:
        """Go on from the records of a run that is continued."""
        self._rules.restore(alerts)
        self._past = past
        if self._gap is not None:
            self._gap.restore(past)

    def update(
        self,
        update: int,
        rows: Probe | None,
        region: RegionShare | None,
        slices: Slices | None,
        collected: Mapping[str, PooledMargins],
        *,
        is_early: bool = False,
    ) -> RelianceUpdate:
        """Measure everything at one update.

        Args:
            update: its number.
            rows: the live rows of this epoch; None without, or once they cannot be read.
            region: the share of attribution inside the probe's region; None without a region.
            slices: the record of the probe's slices; None without.
            collected: contributions that were measured together with the importance, by the set of rows.
            is_early: the update is inside an epoch and in the burn-in: it does not count for rules.
        """
        if self._gap is None:
            return RelianceUpdate(None, [])
        numbers: NDArray[np.int64] = np.zeros(0, np.int64) if self._live is None else self._live.numbers
        is_lost = rows is None and self._live is not None
        lost: Blindness = "live rows that could not be read" if is_lost else ""
        compared = self._gap.update(update, rows, numbers, lost, collected)
        measured = of_slices(self._rules.rules, slices)
        if region is not None:
            measured[REGION] = self._of_region(region)
        alerts = [*compared.alerts, *self._rules.update(update, compared.evidence, measured, is_early=is_early)]
        if "xai_gap" in self.figures:
            is_alarm = any(alert.is_alarm for alert in compared.alerts)
            self.figures |= {"xai_gap": self._gap.largest, "xai_gap_alarm": float(is_alarm)}
        if region is not None:
            self.figures["xai_inside"] = region.mean
        return RelianceUpdate(compared.record, alerts, self._with_gaps(slices, compared.evidence))

    def stop(self) -> None:
        """Measure nothing from here: the figures of `logs` are unknown."""
        self._gap = None
        self.figures = dict.fromkeys(self.figures, float("nan"))

    def _with_gaps(self, slices: Slices | None, evidence: Mapping[str, NDArray[np.float64]]) -> Slices | None:
        """Return the record of slices with what speaks for the label in one of them alone."""
        if slices is None or self._gap is None or "probe" not in evidence:
            return None
        probe = self._gap.probe
        gaps = gaps_by_slice(probe.slices, self._gap.evidence_of_probe(evidence["probe"]), probe.features)
        return dataclasses.replace(slices, gaps=gaps)

    def _of_region(self, region: RegionShare) -> Measured:
        limit = next((rule.limit for rule in self._rules.rules if rule.kind == "region"), float("nan"))
        sentence = f"{region.mean:.0%} of the attribution lies inside the region, its rule asks for {limit:.0%}"
        return Measured(region.mean, region.error, sentence)

    def log_values(self, *, updated: bool = True) -> dict[str, float]:
        """Return the figures of an epoch for Keras' `logs`; an epoch that is not scheduled repeats them, without an alarm."""
        values = dict(self.figures)
        if not updated and "xai_gap_alarm" in values:
            values["xai_gap_alarm"] = 0.0
        return values
