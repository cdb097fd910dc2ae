"""The page of the benchmark of updates inside an epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import keras_xai as kx
from benchmarks._statistics import Share, wilson
from benchmarks._update_runs import (
    Alarm,
    Trace,
    broken_rules,
    drift_alarms,
    first_update_after,
    gap_alarms,
    is_found,
    path_of,
    trace,
)
from benchmarks.update_scenarios import Groups, Scenario, held_out, nulls, powers

WITHIN = 2  # updates after that in whose window the change lies
LATER = 5  # updates, for the gap
BURN_IN = 8  # updates
OUTSIDE = ("batches of 4, every 5 or 20", "rows sorted by class")  # reported apart: see docs/drift.md
BAR = 1 / 500


@dataclass
class Quiet:
    """Counts of scenarios without a change."""

    runs: int = 0
    updates: int = 0
    alarms: int = 0
    as_in_epochs: int = 0  # alarms of the chart of runs that count in epochs
    early: int = 0  # alarms at the ninth to the sixteenth update
    early_updates: int = 0
    most: int = 0  # alarms of one run
    gaps: int = 0  # runs with an alarm of the gap
    by_rows: dict[str, list[int]] = field(default_factory=dict)  # alarms and updates, by the training rows of an update
    rules: list[int] = field(default_factory=lambda: [0, 0, 0])  # broken, broken after the burn-in, of

    def add(self, scenario: Scenario, interval: int, measured: Trace) -> None:
        """Judge all seeds of a scenario."""
        count = len(measured.steps)
        cell = self.by_rows.setdefault(rows_in_words(interval * scenario.batch), [0, 0])
        for seed in range(len(measured.clean)):
            alarms = drift_alarms(measured, seed)
            self.runs += 1
            self.updates += count
            self.alarms += len(alarms)
            self.as_in_epochs += len(drift_alarms(measured, seed, inside_epochs=False))
            self.early += sum(alarm.update < 2 * BURN_IN for alarm in alarms)
            self.early_updates += min(count, 2 * BURN_IN) - BURN_IN
            self.most = max(self.most, len(alarms))
            self.gaps += bool(gap_alarms(measured, seed))
            cell[0] += len(alarms)
            cell[1] += count
            if count == 30:  # as "auto" makes them
                broken = broken_rules(measured, seed, 0), broken_rules(measured, seed, BURN_IN)
                for place, number in enumerate((*broken, measured.share.shape[-1])):
                    self.rules[place] += number

    def __iadd__(self, other: Quiet) -> Quiet:
        for name in ("runs", "updates", "alarms", "as_in_epochs", "early", "early_updates", "gaps"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.most = max(self.most, other.most)
        for rows, (alarms, updates) in other.by_rows.items():
            cell = self.by_rows.setdefault(rows, [0, 0])
            cell[0] += alarms
            cell[1] += updates
        self.rules = [a + b for a, b in zip(self.rules, other.rules, strict=True)]
        return self


ROWS = ((50, "under 50"), (100, "50 to 100"), (300, "100 to 300"), (600, "300 to 600"))


def rows_in_words(rows: int) -> str:
    for end, words in ROWS:
        if rows < end:
            return words
    return "600 and more"


def rate(count: int, updates: int) -> str:
    """Alarms in 500 updates."""
    if not updates:
        return "–"
    low, high = wilson(count, updates)
    return f"{500 * count / updates:.2f} [{500 * low:.2f}, {500 * high:.2f}]"


def of_scenarios(scenarios: Iterable[Scenario], runs: Path) -> Iterator[tuple[Scenario, int, Trace]]:
    """Return what is measured: each scenario at each of its intervals."""
    for scenario in scenarios:
        measured = trace(scenario, runs)
        if measured is None:
            continue
        for interval in scenario.takes:
            yield scenario, interval, measured.every(scenario, interval)


def page(runs: Path) -> str:
    """Return the page on all that is measured."""
    held_out_null, held_out_planted = held_out()
    lines = [
        "# Updates inside an epoch, measured",
        "",
        f"`python -m benchmarks.updates`, keras_xai {kx.__version__}. What it means:"
        " [Importance drift](drift.md#updates-inside-an-epoch).",
        "Brackets are 95 % Wilson intervals. Seeds 100 and up; the setting was chosen on 0 to 9, and nothing on the held-out data"
        " sets and nets. A training is judged at several intervals, which are not independent: the intervals are a little too"
        " narrow.",
        "",
        f"Measured: {_measured_in_words(runs)}.",
        "",
        "## Nothing changes",
        "",
        "Alarms of the fixed probe and of the live rows together, in 500 updates. 600 steps where nothing else is said, batches"
        " of 32; tables every 5, 10 and 20 steps, images every 20, or as said.",
        "",
        "| what happens to the learning rate, or else | runs | updates | false alarms | of 500 | of 500, 9th to 16th update"
        " | of 500, by the chart of runs of epochs | most in a run | runs with a gap's alarm | bar: 1 |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    total = Quiet()
    by_group = {**_quiet(nulls(), runs), **_quiet(held_out_null, runs)}
    for name, quiet in by_group.items():
        if name not in OUTSIDE and name not in held_out_null:
            total += quiet
        lines.append(_quiet_line(name, quiet))
    lines += [
        _quiet_line("**all but batches of 4, sorted rows and the held-out ones**", total),
        "",
        "By the training rows between two updates, batches of 4 included:",
        "",
        "| training rows | updates | false alarms | of 500 |",
        "|---|---|---|---|",
    ]
    with_small = Quiet()
    with_small += total
    with_small += by_group.get(OUTSIDE[0], Quiet())
    for words in [*(words for _, words in ROWS), "600 and more"]:
        count, updates = with_small.by_rows.get(words, [0, 0])
        lines.append(f"| {words} | {updates:,} | {count} | {rate(count, updates)} |")
    broken, later, rules = total.rules
    lines += [
        "",
        f"A rule on each feature, 20 % above what the net has in the end, in trainings of 30 updates: {Share(broken, rules)}"
        f" would be an alarm on the way, and {Share(later, rules)} are, since the first eight updates inside an epoch do"
        " not count.",
        "",
        "## A change in the middle of epoch 0",
        "",
        "Found at the update in whose window it lies or at one of the two after it, as shares of the seeds. Located: the alarm's"
        f" first three features hold a guilty one. The gap needs three updates running: within {LATER} updates, and until the"
        " end. Not counted are live rows that were read anew and differ, which is certain and an alarm at the next update.",
        "",
        "| what changes | optimizer | every | updates | fixed probe | live rows | either | located | gap, 5 updates"
        " | gap, in the end |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, scenarios in {**powers(), **held_out_planted}.items():
        lines.append(f"| **{name}** | | | | | | | | | |")
        lines += [_power_line(*entry) for entry in of_scenarios(scenarios, runs)]
    return "\n".join(lines) + "\n"


def _measured_in_words(runs: Path) -> str:
    """Return how many scenarios are measured, of images and of the others."""
    parts = []
    for words, of_images in (("tables, series and texts", False), ("images", True)):
        scenarios = []
        for groups in (nulls(), powers(), *held_out()):
            for group in groups.values():
                scenarios += [scenario for scenario in group if scenario.data.startswith("digits") == of_images]
        measured = sum(path_of(scenario, runs).exists() for scenario in scenarios)
        parts.append(f"{measured} of {len(scenarios)} scenarios of {words}")
    return ", ".join(parts)


def _quiet(groups: Groups, runs: Path) -> dict[str, Quiet]:
    by_group = {}
    for name, scenarios in groups.items():
        quiet = Quiet()
        for entry in of_scenarios(scenarios, runs):
            quiet.add(*entry)
        by_group[name] = quiet
    return by_group


def _quiet_line(name: str, quiet: Quiet) -> str:
    if not quiet.updates:
        return f"| {name} | 0 | not measured | | | | | | | |"
    is_missed = wilson(quiet.alarms, quiet.updates)[0] > BAR
    return (
        f"| {name} | {quiet.runs} | {quiet.updates:,} | {quiet.alarms} | {rate(quiet.alarms, quiet.updates)} | "
        f"{rate(quiet.early, quiet.early_updates)} | {rate(quiet.as_in_epochs, quiet.updates)} | {quiet.most} | {quiet.gaps} | "
        f"{'**missed**' if is_missed else 'met'} |"
    )


def _power_line(scenario: Scenario, interval: int, measured: Trace) -> str:
    first, guilty = first_update_after(measured), measured.guilty.tolist()
    outcomes = np.zeros((len(measured.clean), 6), bool)
    for seed in range(len(measured.clean)):
        alarms, gaps = drift_alarms(measured, seed), gap_alarms(measured, seed)
        outcomes[seed] = [
            is_found(_of("clean", alarms), first, WITHIN),
            is_found(_of("live", alarms), first, WITHIN),
            is_found(alarms, first, WITHIN),
            is_found(alarms, first, WITHIN, guilty),
            is_found(gaps, first, LATER, guilty),
            is_found(gaps, first, len(measured.steps), guilty),
        ]
    cells = [str(Share(int(count), len(outcomes))) for count in outcomes.sum(0)]
    name = f"{scenario.data.replace('*', ', noisy')}: {scenario.change.replace('_', ' ')}".replace("breast_", "breast ")
    return f"| {name} | {scenario.optimizer} | {interval} | {len(measured.steps)} | {' | '.join(cells)} |"


def _of(source: str, alarms: Iterable[Alarm]) -> list[Alarm]:
    return [alarm for alarm in alarms if alarm.source == source]
