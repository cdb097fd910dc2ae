"""The bars of the gap benchmark, what the runs come to, and the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import keras_xai as kx
from benchmarks._gap_runs import FIT, Result, read
from benchmarks._statistics import Share, wilson
from benchmarks.gap_scenarios import (
    IN_THE_PROBE_TOO,
    OTHER_POPULATION,
    PART_IN_THE_PROBE,
    PLANTED,
    SILENT,
    TRIED,
)
from keras_xai.drift.reliance_gap import GAP_LIMIT, UPDATES_RUNNING


class Measure(NamedTuple):
    """A share of runs, and what it is to reach."""

    what: str
    is_success: Callable[[Result], bool]
    bar: float | None = None
    is_upper: bool = False  # the bar is a limit from above
    among: Callable[[Result], bool] = lambda result: True  # the runs that count

    def share(self, results: Iterable[Result]) -> Share:
        counted = [result for result in results if self.among(result)]
        return Share(sum(self.is_success(result) for result in counted), len(counted))

    def is_missed(self, share: Share) -> bool:
        """Return whether the interval lies wholly on the wrong side of the bar."""
        if self.bar is None or not share.of:
            return False
        low, high = wilson(share.count, share.of)
        return low > self.bar if self.is_upper else high < self.bar

    def verdict(self, share: Share) -> str:
        """Return the bar, and whether it is missed."""
        if self.bar is None:
            return "none"
        words = f"{'≤' if self.is_upper else '≥'} {self.bar:.0%}"
        if not share.of:
            return words
        return f"{words}: {'**MISSED**' if self.is_missed(share) else 'met'}"


class Bar(NamedTuple):
    """A line of the page: scenarios that are counted together."""

    what: str
    scenarios: Sequence[str]
    measures: Sequence[Measure]


def _has_alarm(result: Result) -> bool:
    return bool(result.alarms)


def _is_named(result: Result) -> bool:
    return any(alarm.feature in result.guilty for alarm in result.alarms)


def _breaks_rule(result: Result) -> bool:
    return result.rule_epoch is not None


def _says_rows_differ(result: Result) -> bool:
    return all(alarm.rows_differ for alarm in result.alarms)


def _says_rows_differ_first(result: Result) -> bool:
    return result.alarms[0].rows_differ


def false_alarms(bar: float | None) -> Measure:
    return Measure("runs with an alarm", _has_alarm, bar, is_upper=True)


def located(bar: float | None) -> Measure:
    return Measure("found, the guilty feature first", lambda result: result.is_located, bar)


NOISY = ("N_ln_bc", "N_over_ln", "N_noise_bc")
OTHERWISE_NOISY = ("N_ln", "N_lnboth", "N_noise_syn")
QUIET = tuple(name for name in SILENT if name not in NOISY + OTHERWISE_NOISY)
SHIFTS = tuple(name for name in OTHER_POPULATION if "zero" not in name)

BARS = {
    "G1": Bar("nothing planted", QUIET, [false_alarms(0.01)]),
    "G2": Bar("nothing planted; labels or values noisy in the training rows alone", NOISY, [false_alarms(0.05)]),
    "G3": Bar(
        "a column leaks the label in 80 % of the training rows and more",
        (
            *("L_bc80", "L_bc95", "L_bc100", "L_dia80", "L_syn2_80", "L_syn2_100", "L_syn4_80", "L_syn4_100"),
            *("L_syn20_80", "L_syn100_80", "L_syn400_80", "L_imb80", "L_oth80", "L_ln80", "L_over_bc80"),
            *("L_over_syn100_80", "L_over_ln80", "L_sgd_bc80", "L_sgd_syn80", "L_drop_syn80"),
        ),
        [located(0.95)],
    ),
    "G4": Bar("the same in 60 %", ("L_bc60", "L_syn20_60", "L_syn400_60"), [located(0.95)]),
    "G5": Bar(
        "a watermark: as bright as the label, on one class, on half of the even digits",
        (
            *("L_dmlp_mark", "L_dmlp_one", "L_dmlp_half", "L_drop_dmlp_half", "L_dcnn_mark", "L_dcnn_one"),
            *("L_dcnn_half", "L_dcnnn_mark", "L_dcnnn_half"),
        ),
        [
            Measure("found", _is_named, 0.95),
            Measure("of these, in the patch first", lambda result: result.is_located, 0.95, among=_is_named),
        ],
    ),
    "G6": Bar(
        "a background's colour; a symbol of a text",
        ("L_colour", "L_trig90", "L_trig30"),
        [Measure("found", _is_named, 0.9)],
    ),
    "G7": Bar(
        "patients as one-hot columns, new in the probe or not; a serial number",
        ("L_patient", "L_patient_syn", "L_patientknown", "L_id"),
        [located(0.95)],
    ),
    "G8": Bar(
        "the shortcut is in the probe, too",
        tuple(IN_THE_PROBE_TOO),
        [false_alarms(0.05), Measure("a rule on the feature is broken", _breaks_rule, 0.95)],
    ),
    "G8, rules where nothing is wrong": Bar(
        "nothing planted, the same rules",
        tuple(name for name in SILENT if SILENT[name].rule is not None),
        [Measure("a rule is broken", _breaks_rule, 0.05, is_upper=True)],
    ),
    "G9": Bar(
        "rows of another population: shifts up and down, another unit, darker images",
        SHIFTS,
        [Measure("of the runs with an alarm, all say that the rows differ", _says_rows_differ, 0.95, among=_has_alarm)],
    ),
    "G10": Bar(
        "columns three standard deviations off zero; one leaks",
        ("L_bc80_offset", "L_bc95_offset"),
        [located(0.95)],
    ),
    "noise elsewhere": Bar("as G2, in data that are harder to learn", OTHERWISE_NOISY, [false_alarms(None)]),
    "a zeroed column": Bar(
        "a column is 0 in the probe alone",
        ("C_zero", "C_zero_syn"),
        [Measure("runs with an alarm", _has_alarm)],
    ),
}

# What the comparison sees in part or not at all: no bar.
STRETCH = (
    *("L_wine80", "L_bc80_p64", "L_dia60", "L_dmlp_onehalf", "L_dmlp_onehalf_p512", "L_xor80", "L_xor95"),
    *("L_xor95_bc", "L_syn20_30", "L_syn20_30_p512", "L_bcmany70", "L_break", "L_break_bc", "L_dcnn_moved"),
    *PART_IN_THE_PROBE,
)
for name in STRETCH:
    BARS[f"S {name}"] = Bar("", (name,), [located(None)])


def scenarios_of(names: Iterable[str]) -> list[str]:
    """Return the scenarios of bars, and scenarios named by themselves, each once."""
    scenarios = [scenario for name in names for scenario in (BARS[name].scenarios if name in BARS else (name,))]
    return list(dict.fromkeys(scenarios))


def results(bar: Bar, runs: Path, suffix: str = "") -> list[Result]:
    return [result for name in bar.scenarios for result in read(name + suffix, runs)]


def missed(runs: Path) -> list[str]:
    """Return the bars that are missed."""
    return [
        key
        for key, bar in BARS.items()
        for measure in bar.measures
        if measure.is_missed(measure.share(results(bar, runs)))
    ]


# The page.

HEAD = f"""# The reliance gap, measured

`python -m benchmarks.gap`, keras_xai {kx.__version__}. What is compared, and when it is an alarm:
[the reliance gap](reliance_gap.md).
Twenty seeds a scenario that were not used to choose the setting; one setting for all: z > {GAP_LIMIT} at
{UPDATES_RUNNING} updates running. Trainings are of 30 epochs, and of 60 where a wide net memorises 100 to 200 rows; live rows
are up to 512, all there are in the smaller tables. Brackets are 95 % Wilson intervals; a bar is missed where the whole interval
lies on its wrong side. Runs of one real table share its rows, so that their intervals are
a little too narrow.

The setting was chosen on other seeds, 0 to 19 and 100 to 119, and that the gain is not below zero on 300 to 319. A tenth of the
runs is trained once more by `model.fit`, with the real callback: other weights and another order of the rows, so that the same
is to be expected and not the same numbers.
"""

LEGEND = f"""## Scenario by scenario

Alarm: runs with any. First: runs whose first alarm names the guilty feature before any other. Others: runs with an alarm that
names a feature which is not guilty, too. Rows differ: of the runs with an alarm, those whose first says that *the rows themselves
differ*; the others say that *the feature speaks for the label*. Epoch: median of the first alarm, counted from 1. Then the
largest z that a feature reached at {UPDATES_RUNNING} updates running: the median and the largest of the runs.

Names: `bc` breast cancer (31 columns), `wine`, `dia` diabetes (a regression), `syn` a synthetic table of so many columns, `imb`
with 10 % positives, `oth` with 20 % in training and 50 % in the probe, `sparse` with rare binary columns, `heavy` with lognormal
ones, `dmlp` and `dcnn` digits by a dense and a convolutional net, `dcnnn` by one under noise with 15 % wrong labels, `text` and
`trig` 80 symbols, `over` few rows and a wide net, `sgd` SGD, `drop` dropout, `p64` a probe of 64 rows (else 256, wine 72,
diabetes 200), `ln` wrong training labels, `lnboth` in the probe, too, `noise` noise on the training rows. A number is the share
of rows that agree, in percent. `break`: a real column is permuted in the probe. `moved`: the mark has no fixed place. `xor`: the
sign of a column times another's says the label. `P_syn20_80_40`: the leak agrees in 80 % of the training rows and in 40 % of the
probe's. `T` was tried without a bar: 15 and 20 classes, batch normalisation, one logit, 20 and 40 % wrong training labels of
images beside a clean probe, and noise that the pipeline draws anew at each read while the probe has none."""

LINES = {
    "silent": ("Nothing planted", tuple(SILENT)),
    "planted": ("A shortcut in the training rows alone", tuple(PLANTED)),
    "both": ("The shortcut is in the probe, too, as much or less", (*IN_THE_PROBE_TOO, *PART_IN_THE_PROBE)),
    "shift": ("Rows of another population", tuple(OTHER_POPULATION)),
    "more": ("Tried without a bar", tuple(TRIED)),
}


def page(runs: Path) -> str:
    """Return the page of all that is measured."""
    sections = [HEAD, bar_table(runs), UNSEEN, stretch_table(runs), LEGEND]
    for title, names in LINES.values():
        sections += [f"### {title}", scenario_table(names, runs)]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def bar_table(runs: Path) -> str:
    """Return a line for each measure of a bar."""
    lines = [
        "| | scenario | runs | measured | | bar | through `fit` |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, bar in BARS.items():
        if key.startswith("S "):
            continue
        in_loop, in_fit = results(bar, runs), results(bar, runs, FIT)
        for measure in bar.measures:
            share, through_fit = measure.share(in_loop), measure.share(in_fit)
            again = f"{through_fit.count} of {through_fit.of}" if through_fit.of else "–"
            lines.append(
                f"| {key} | {bar.what} | {len(in_loop):,} | {measure.what} | {in_words(share)} | "
                f"{measure.verdict(share)} | {again} |"
            )
    return "\n".join(lines)


def in_words(share: Share) -> str:
    """Return a share to a tenth of a percent, with its interval."""
    if not share.of:
        return "not measured"
    low, high = wilson(share.count, share.of)
    return f"{share.count:,} of {share.of:,} = {share.count / share.of:.1%} [{low:.1%}, {high:.1%}]"


UNSEEN = """## What it cannot see, or sees in part

No bar: the numbers say how far it reaches. A shortcut that the probe has, too, is silent by definition (G8); only a rule sees it.
"""

STRETCH_WORDS = {
    "L_wine80": "wine, leak 80 %: three classes, 106 training rows, 72 probe rows",
    "L_bc80_p64": "breast cancer, leak 80 %, a probe of 64 rows",
    "L_dia60": "diabetes, leak 60 %",
    "L_dmlp_onehalf": "digits, watermark on half of one class of ten; 512 live rows, a probe of 256",
    "L_dmlp_onehalf_p512": "the same with a probe of 512",
    "L_xor80": "synthetic table, XOR leak 80 %",
    "L_xor95": "synthetic table, XOR leak 95 %",
    "L_xor95_bc": "breast cancer, XOR leak 95 %",
    "L_syn20_30": "synthetic table, leak 30 %",
    "L_syn20_30_p512": "the same with a probe of 512",
    "L_bcmany70": "breast cancer, five columns leak at once, 70 %",
    "L_break": "synthetic table, one of eight columns that count says nothing in the probe",
    "L_break_bc": "breast cancer, a column says nothing in the probe",
    "L_dcnn_moved": "digits, a mark without a fixed place on one class",
    "P_syn20_80_20": "synthetic table, leak 80 % in training, 20 % in the probe",
    "P_syn20_80_40": "the same, 40 % in the probe",
    "P_syn20_80_60": "the same, 60 % in the probe",
}


def stretch_table(runs: Path) -> str:
    """Return a line for each scenario without a bar."""
    lines = ["| scenario | an alarm | the guilty feature first |", "|---|---|---|"]
    for scenario in STRETCH:
        measured = read(scenario, runs)
        any_alarm, first = (measure.share(measured) for measure in (false_alarms(None), located(None)))
        lines.append(f"| {STRETCH_WORDS[scenario]} | {in_words(any_alarm)} | {in_words(first)} |")
    return "\n".join(lines)


def scenario_table(names: Sequence[str], runs: Path) -> str:
    """Return a line for each scenario that is measured."""
    lines = [
        "| | alarm | first | others | rows differ | epoch | median z | largest z | accuracy |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for scenario in names:
        measured = read(scenario, runs)
        if measured:
            lines.append(scenario_line(scenario, measured))
    return "\n".join(lines)


def scenario_line(scenario: str, measured: Sequence[Result]) -> str:
    """Return the line of a scenario: counts, the median epoch, z, and the mean accuracy on the probe."""
    alarmed = [result for result in measured if result.alarms]
    first = sum(result.is_located for result in alarmed)
    others = sum(result.names_others for result in alarmed)
    differ = sum(_says_rows_differ_first(result) for result in alarmed)
    epoch = f"{np.median([result.alarms[0].epoch + 1 for result in alarmed]):.0f}" if alarmed else "–"
    peaks = [result.peak for result in measured]
    has_guilty = bool(measured[0].guilty)
    cells = [
        f"{len(alarmed)}/{len(measured)}",
        str(first) if has_guilty else "–",
        str(others) if has_guilty else "–",
        str(differ) if alarmed else "–",
        epoch,
        f"{np.median(peaks):.1f}",
        f"{max(peaks):.1f}",
        f"{np.mean([result.accuracy for result in measured]):.0%}",
    ]
    return f"| {scenario} | {' | '.join(cells)} |"
