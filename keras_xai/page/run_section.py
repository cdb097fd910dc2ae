"""The section of one run: its sentence and figures, alerts, the rows that carry their features, notes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from keras_xai.analysis.concepts import concept_words
from keras_xai.analysis.formatting import percent, signed_percent
from keras_xai.analysis.map_checks import words_on_checks
from keras_xai.analysis.overview import Fact, summary
from keras_xai.analysis.reliance_gap import carriers_in_words
from keras_xai.analysis.vocabulary import ALERT_SOURCES
from keras_xai.events import events, line
from keras_xai.judgement import STATUS_WORDS, judge, noted
from keras_xai.page.drawings import Drawing, drawings_of
from keras_xai.page.provenance_words import ProvenanceWords, provenance_words
from keras_xai.records import Alert, FeatureMove
from keras_xai.run import Run
from keras_xai.updates import moment_of

MAX_REASONS = 8  # of a verdict


@dataclass(frozen=True)
class EventRow:
    """The alerts of one cause."""

    moment: str
    verdict: str
    lines: Sequence[str]
    is_alarm: bool


@dataclass(frozen=True)
class RunSection:
    """All that the page shows of a run."""

    name: str
    node: str  # id of its element
    status: int
    verdict: str
    sentence: str
    is_open: bool
    failure: str = ""  # why the run cannot be shown; then there is nothing else
    faults: Sequence[str] = ()
    detail: str = ""
    reasons: Sequence[str] = ()
    facts: Sequence[Fact] = ()
    screen: str = ""  # of the data at train begin
    events: Sequence[EventRow] = ()
    carriers: Sequence[Sequence[str]] = ()
    map_checks: Sequence[tuple[str, bool]] = ()  # a sentence on each method's maps, and whether it fails
    concepts: Sequence[str] = ()  # a sentence on each
    explained: str = ""  # the score that the maps explain, where it is another one than a class of the sample
    drawings: Sequence[Drawing] = ()
    notes: Sequence[str] = ()
    provenance: ProvenanceWords = field(default_factory=ProvenanceWords)

    @property
    def absent(self) -> list[Drawing]:
        """The figures of which nothing was recorded."""
        return [drawing for drawing in self.drawings if drawing.absent]


def section_of(name: str, node: str, run: Run, *, is_open: bool, stop_bytes: int, command: bool) -> RunSection:
    """Return the section of a run; one that cannot be shown says why, and the others are shown.

    Args:
        name: of the run.
        node: id of its element.
        run: read back from a log directory.
        is_open: it is not folded.
        stop_bytes: that the slider of the gallery may take.
        command: the command that started it is told.
    """
    judgement = judge(run)
    verdict = STATUS_WORDS[judgement.status]
    try:
        return _section(name, node, run, is_open=is_open, stop_bytes=stop_bytes, command=command)
    except Exception as error:
        why = f"This run cannot be shown: {type(error).__name__}: {error}"
        return RunSection(name, node, judgement.status, verdict, why, is_open, failure=why)


def _section(name: str, node: str, run: Run, *, is_open: bool, stop_bytes: int, command: bool) -> RunSection:
    words, judgement = summary(run), judge(run)
    alarms = [alert for alert in run.alerts if alert.is_alarm]
    lines_above = {line(event) for event in events(alarms)} | set(words.faults)  # which the table of alerts has
    reasons = [reason for reason in judgement.reasons if not lines_above & {reason, _as_sentence(reason)}]
    if len(reasons) > MAX_REASONS:
        reasons = [*reasons[:MAX_REASONS], f"and {len(reasons) - MAX_REASONS} more"]
    notes = [f"{moment_of(note.epoch, note.step)}: {noted(note)}" for note in run.notes]
    drawings = list(drawings_of(run, node, stop_bytes))
    notes += [damage for damage in run.passed_over.values() if damage not in run.doubts]  # which are among the faults
    return RunSection(
        name=name,
        node=node,
        status=judgement.status,
        verdict=STATUS_WORDS[judgement.status],
        sentence=words.sentence,
        is_open=is_open,
        faults=words.faults,
        detail=words.detail,
        reasons=reasons,
        facts=words.facts,
        screen=words.screen,
        events=[_event_row(event) for event in events(run.alerts)],
        carriers=[carrier for alert in run.alerts for carrier in carriers_in_words(alert, run)],
        map_checks=words_on_checks(run),
        concepts=concept_words(run),
        explained=explained_of(run),
        drawings=drawings,
        notes=notes,
        provenance=provenance_words(run, command=command),
    )


def _as_sentence(clause: str) -> str:
    return f"{clause[:1].upper()}{clause[1:].rstrip('.')}."


def explained_of(run: Run) -> str:
    """Return what the maps explain, where it is another score than a class of the sample; else ""."""
    return "" if run.probe_described is None else run.probe_described.explained


def _event_row(event: Sequence[Alert]) -> EventRow:
    first = event[0]
    lines = [alert.sentence for alert in event if alert.sentence]
    if first.changed is not None:
        lines.append(str(first.changed))
    lines += [_sighting(alert) for alert in event if alert.features]
    lines.append(first.advice)
    return EventRow(first.moment, first.verdict, [text for text in lines if text], first.is_alarm)


def _sighting(alert: Alert) -> str:
    """Return the features that one alert names, with where and when: shares of different sources are not one scale."""
    features = ", ".join(_moved(alert, move) for move in alert.features)
    return f"{ALERT_SOURCES[alert.source]}, {alert.moment}: {features}"


def _moved(alert: Alert, move: FeatureMove) -> str:
    if alert.source == "gap":
        sides = f"probe {signed_percent(move.before)}, training rows {signed_percent(move.after)}"
        return f"{move.name} ({sides}, z {move.z:+.1f})"
    if alert.source == "rule":
        return f"{move.name} {percent(move.after)}, limit {percent(move.before)}"
    if math.isnan(move.z):
        return move.name if math.isnan(move.after) else f"{move.name} in {percent(move.after)} of the rows"
    if alert.source == "data":
        return f"{move.name} (z {move.z:+.1f})"
    return f"{move.name} {percent(move.before)} → {percent(move.after)} (z {move.z:+.1f})"
