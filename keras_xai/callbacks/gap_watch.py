"""The reliance gap in a training: margins of live rows and probe explained with the same weights, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.batch import NoPath
from keras_xai.attribution.explainer import ProbeExplainer
from keras_xai.attribution.margin import MarginExplainer, PooledMargins
from keras_xai.attribution.whole import can_exchange
from keras_xai.backend.team import present_team
from keras_xai.callbacks.row_values import by_feature, row_values
from keras_xai.drift.gap_words import differing_sentence, note_on_rows, shortcut_sentence
from keras_xai.drift.reliance_gap import GAP_LIMIT, MAX_TARGET, Evidence, Gap, GapChart, reliance_gap, share_of
from keras_xai.drift.row_comparison import RowComparison, compare_classes, compare_slopes
from keras_xai.drift.strata import Strata, strata
from keras_xai.outputs.dense import Dense
from keras_xai.probe import Probe
from keras_xai.records import Alert, Blindness, Carrier, FeatureMove, Reliance, Verdict

MAX_RECORDED = 512  # features of a record: 8 × 8 × 8 cells of a volume
MAX_FEATURES_OF_ALERT = 5
CARRIED_FEATURES, CARRIERS = 3, 5  # of an alert: features whose live rows are named, and how many of each
BLIND_OVERLAP = 0.5  # part of the probe's rows that are training rows, from which on nothing can be seen


class GapUpdate(NamedTuple):
    """The result of one epoch."""

    record: Reliance
    alerts: list[Alert]
    evidence: dict[str, NDArray[np.float64]]  # (n, F) contributions of the sets that were explained, "live" and "probe"


class GapWatch:
    """Compares what each feature says in the live rows and in the probe, at every update.

    Args:
        model: a built Keras model.
        explainer: of the probe.
        by_exchange: the importance is measured by exchange.
        blind: why nothing can be compared, as it was known before; "" where it may be.
        overlap: part of the probe's rows that are training rows.
        needs_evidence: contributions are measured also where nothing can be compared, for rules.

    Attributes:
        blind: why nothing is compared; "" where it is.
        warnings: sentences for the user, on what keeps a shortcut from being seen.
        notes: sentences on the rows themselves.
        largest: the largest z of the last update; NaN where nothing was compared.
    """

    def __init__(
        self,
        model: keras.Model,
        explainer: ProbeExplainer,
        *,
        by_exchange: bool,
        blind: Blindness = "",
        overlap: float = 0.0,
        needs_evidence: bool = False,
    ) -> None:
        self.probe = explainer.probe
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.largest = float("nan")
        self.blind: Blindness = blind or self._blindness(explainer, overlap)
        self._margin: MarginExplainer | None = None
        if not self.blind or (needs_evidence and self.blind != "no labels in the probe"):
            self._margin = self._margin_of(model, explainer, by_exchange=by_exchange)
        self._chart = GapChart()

    def _blindness(self, explainer: ProbeExplainer, overlap: float) -> Blindness:
        task = explainer.task
        if self.probe.y is None or (task.classes and explainer.classes_of(self.probe) is None):
            return "no labels in the probe"
        if overlap >= BLIND_OVERLAP:
            self.warnings.append(
                f"{overlap:.0%} of the probe's rows are training rows: a shortcut that was there from the start looks the same "
                f"in both, and is not seen. Give a probe that the model is not trained on."
            )
            return "a probe of training rows"
        if overlap:
            self.notes.append(
                f"{overlap:.0%} of the probe's rows are training rows: a shortcut that was there from the start shows less. Give "
                f"a probe that the model is not trained on."
            )
        return ""

    def _margin_of(self, model: keras.Model, explainer: ProbeExplainer, *, by_exchange: bool) -> MarginExplainer | None:
        if by_exchange:
            return MarginExplainer(model, explainer, by_exchange=True)
        try:
            margin = MarginExplainer(model, explainer, by_exchange=False)
        except NoPath:
            if not can_exchange(self.probe):
                self.blind = self.blind or "no gradient to any feature"
                return None
        else:
            if not (margin.unmeasured.any() and can_exchange(self.probe)):
                return margin
        return MarginExplainer(model, explainer, by_exchange=True)

    def prepare_rows(self, rows: Probe) -> None:
        """Trace what live rows of this number take, and compare their values with the probe's."""
        if self.blind or self._margin is None:
            return
        self._margin.prepare_rows(rows)
        chosen = strata(self._margin.strata(rows), self._margin.strata(self.probe))
        if chosen.blind:
            self.warnings.append(f"Live rows and probe cannot be compared: {chosen.blind}.")
            return
        missing = _one_class(self._margin, rows)
        if missing:
            self.warnings.append(missing)
        note = note_on_rows(self.probe.features, self._compared_rows(rows, chosen))
        if note:
            self.notes.append(note)

    def _compared_rows(self, rows: Probe, chosen: Strata) -> RowComparison:
        assert self._margin is not None
        live, probe = row_values(rows, self.probe)
        live_target, probe_target = self._margin.target(rows), self._margin.target(self.probe)
        if live_target is None or probe_target is None:
            comparison = compare_classes(live.values, probe.values, chosen.live, chosen.probe)
        else:
            comparison = compare_slopes(live.values, probe.values, live_target, probe_target)
        return by_feature(comparison, live.owners, self.probe.feature_count)

    def restore(self, past: Sequence[Reliance]) -> None:
        """Go on from the records of a run that is continued."""
        for record in past:
            if record.blind:
                continue
            is_hit = np.zeros(len(record.names), bool)
            is_hit[record.features] = record.z > record.limit
            self._chart.update(is_hit)

    @property
    def is_shared(self) -> bool:
        """True where the explainers of the importance give the contributions to the margin on their way."""
        return self._margin is not None and self._margin.is_shared

    def update(
        self,
        update: int,
        rows: Probe | None,
        numbers: NDArray[np.int64],
        lost: Blindness = "",
        collected: Mapping[str, PooledMargins] | None = None,
    ) -> GapUpdate:
        """Compare live rows with the probe.

        Args:
            update: its number.
            rows: the live rows of this epoch; None without.
            numbers: (n,) of these rows in their source.
            lost: why there are no live rows any more.
            collected: contributions of the sets "live" and "probe" that were measured together with their importance.
        """
        blind = self.blind or lost
        self.largest = float("nan")
        if self._margin is None:
            return GapUpdate(self._record(update, None, None, {}, blind), [], {})
        contributions = {"probe": self._contributions("probe", self.probe, collected)}
        if rows is not None:
            contributions["live"] = self._contributions("live", rows, collected)
        if not all(np.isfinite(values).all() for values in contributions.values()):
            # Compared with a limit, NaN is on neither side of it: that would look quiet.
            blind = blind or "contributions that are not finite"
        gap, chosen = None, None
        if rows is not None and not blind:
            chosen = strata(self._margin.strata(rows), self._margin.strata(self.probe))
            blind = chosen.blind
        if rows is not None and chosen is not None and not blind:
            gap = self._gap(contributions, chosen, rows)
            blind = "" if gap.strata else "too few rows of each class"
        record = self._record(update, None if blind else gap, rows, contributions, blind)
        if blind or gap is None or rows is None or chosen is None:
            return GapUpdate(record, [], contributions)
        self.largest = float(gap.z.max(initial=0.0))
        # Close to the limit processes may round to different sides of it.
        features = self._chart.update(present_team().agreed(gap.hits()))
        alerts: list[Alert] = []
        if features:
            alerts = self._alerts(update, features, gap, contributions["live"], rows, numbers, chosen)
        return GapUpdate(record, alerts, contributions)

    def evidence_of_probe(self, contributions: NDArray[np.float64]) -> Evidence:
        """Return the contributions (n, F) of the probe's rows with their classes, by which parts of it can be compared."""
        assert self._margin is not None
        direction = self._direction(self.probe, self.probe)
        return Evidence(contributions, self._margin.strata(self.probe), direction)

    def _direction(self, rows: Probe, reference: Probe) -> NDArray[np.float64]:
        """Return (n) 1; of numbers the target, standardised by that of `reference`, and clipped."""
        assert self._margin is not None
        target, of_reference = self._margin.target(rows), self._margin.target(reference)
        if target is None or of_reference is None:
            return np.ones(rows.size)
        scale = float(of_reference.std()) or 1.0
        return np.clip((target - of_reference.mean()) / scale, -MAX_TARGET, MAX_TARGET)

    def _contributions(
        self, name: str, rows: Probe, collected: Mapping[str, PooledMargins] | None
    ) -> NDArray[np.float64]:
        assert self._margin is not None
        if collected is not None and name in collected:
            return collected[name].contributions
        return self._margin.contributions(rows)

    def _gap(self, contributions: dict[str, NDArray[np.float64]], chosen: Strata, rows: Probe) -> Gap:
        return reliance_gap(
            Evidence(contributions["live"], chosen.live, self._direction(rows, rows)),
            Evidence(contributions["probe"], chosen.probe, self._direction(self.probe, rows)),
        )

    def _record(
        self,
        update: int,
        gap: Gap | None,
        rows: Probe | None,
        contributions: dict[str, NDArray[np.float64]],
        blind: Blindness,
    ) -> Reliance:
        count = self.probe.feature_count
        unknown = np.full(count, np.nan)
        figures: dict[str, Any] = dict.fromkeys(("live_share", "live_error", "probe_share", "probe_error"), unknown)
        for name, values in contributions.items():
            magnitude = np.abs(values)
            figures[f"{name}_share"], figures[f"{name}_error"] = share_of(magnitude, magnitude.sum(1))
        for name in ("z", "gap", "live", "probe"):
            figures[name] = unknown if gap is None else getattr(gap, name)
        if self._margin is not None and self._margin.unmeasured.any():
            for name, values in figures.items():
                figures[name] = np.where(self._margin.unmeasured, np.nan, values)
        features = np.arange(count if contributions else 0)
        if len(features) > MAX_RECORDED:
            rank = np.lexsort((-np.nan_to_num(figures["live_share"]), -np.nan_to_num(figures["z"])))
            features = np.sort(rank[:MAX_RECORDED])
        recorded: dict[str, Any] = {}
        for name, values in figures.items():
            recorded[name] = np.asarray(values[features], np.float32)
        return Reliance(
            update,
            self.probe.features,
            features,
            **recorded,
            strata=0 if gap is None else gap.strata,
            live_rows=0 if rows is None else rows.size,
            probe_rows=self.probe.size if contributions else 0,
            blind=blind,
            limit=GAP_LIMIT,
        )

    def _alerts(
        self,
        update: int,
        features: Sequence[int],
        gap: Gap,
        live: NDArray[np.float64],
        rows: Probe,
        numbers: NDArray[np.int64],
        chosen: Strata,
    ) -> list[Alert]:
        """Return at most two alerts: of the features that speak for the label, and of those that merely differ."""
        ordered = sorted(features, key=lambda feature: -gap.z[feature])
        compared = self._compared_rows(rows, chosen)
        differs = compared.rows_differ()
        shortcuts = [feature for feature in ordered if not differs[feature]]
        differing = [feature for feature in ordered if differs[feature]]
        alerts = []
        if shortcuts:
            sentence = shortcut_sentence(self.probe.features, shortcuts, gap, compared)
            carriers = self._carriers(shortcuts, live, rows, numbers)
            alerts.append(self._alert(update, "training-only shortcut", shortcuts, gap, sentence, carriers))
        if differing:
            sentence = differing_sentence(self.probe.features, differing, compared)
            alerts.append(self._alert(update, "rows differ", differing, gap, sentence))
        return alerts

    def _alert(
        self,
        update: int,
        verdict: Verdict,
        features: Sequence[int],
        gap: Gap,
        sentence: str,
        carriers: tuple[Carrier, ...] = (),
    ) -> Alert:
        names = self.probe.features
        moves = tuple(
            FeatureMove(names[f], float(gap.probe[f]), float(gap.live[f]), 1, float(gap.z[f]))
            for f in features[:MAX_FEATURES_OF_ALERT]
        )
        return Alert(
            update,
            "gap",
            verdict,
            False,
            moves,
            float(gap.z[features[0]]),
            GAP_LIMIT,
            event=update,
            rows=carriers,
            sentence=sentence,
        )

    def _carriers(
        self, features: Sequence[int], live: NDArray[np.float64], rows: Probe, numbers: NDArray[np.int64]
    ) -> tuple[Carrier, ...]:
        """Return the live rows in which features speak most for the label, as a share of the row's evidence."""
        assert self._margin is not None
        evidence = np.abs(live).sum(1)
        shares = live / np.where(evidence > 0, evidence, 1)[:, None]
        target = self._margin.target(rows)
        direction = np.ones(rows.size) if target is None else np.sign(target - target.mean())
        stores = self.probe.store != "none"  # else nothing of a sample is written
        labels = self._labels(rows, target) if stores else np.full(rows.size, np.nan)
        values = self._single_values(rows) if stores else None
        carriers = []
        for feature in features[:CARRIED_FEATURES]:
            speaks = shares[:, feature] * direction
            for row in np.argsort(-speaks, kind="stable")[:CARRIERS]:
                value = float("nan") if values is None else float(values[row, feature])
                carriers.append(
                    Carrier(
                        self.probe.features[feature], int(numbers[row]), float(labels[row]), float(speaks[row]), value
                    )
                )
        return tuple(carriers)

    def _labels(self, rows: Probe, target: NDArray[np.float64] | None) -> NDArray[np.float64]:
        assert self._margin is not None
        if target is not None:
            return target
        if self._margin.task.classes:
            return self._margin.strata(rows).astype(np.float64)
        return np.full(rows.size, np.nan)

    def _single_values(self, rows: Probe) -> NDArray[np.float64] | None:
        """Return the values of features (n, F) where each is one number of a table."""
        probe = self.probe
        is_plain = probe.kind == "table" and not isinstance(probe.groups, dict)
        if not is_plain or any(array.dtype.kind not in "fiub" for array in rows.inputs):
            return None
        return np.concatenate([array.reshape(rows.size, -1) for array in rows.inputs], 1).astype(np.float64)


def _one_class(margin: MarginExplainer, rows: Probe) -> str:
    """Return a sentence where all live rows are of one class, and the probe's are not; "" else."""
    if isinstance(margin.probe.output, Dense):
        return ""  # what is explained may be one class by design
    live, probe = np.unique(margin.strata(rows)), np.unique(margin.strata(margin.probe))
    if not margin.task.classes or len(live) > 1 or len(probe) == 1:
        return ""
    names = margin.probe.class_names
    name = names[int(live[0])] if names else str(live[0])
    return (
        f"All live rows are of class {name}: a shortcut of another class is not seen. Give arrays, which are drawn class by "
        f"class, or rows of every class."
    )
