"""The records of `TrainingChecks`: flags of simple rules on a training, and the screen of its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from keras_xai.updates import BEFORE, AtUpdate, Unit, named

TrainingRule = Literal[
    "loss not decreasing",
    "overfit",
    "unscaled input",
    "class imbalance",
    "neglected class",
    "saturated activation",
    "dead units",
    "poor initialisation",
]
RULES: tuple[TrainingRule, ...] = get_args(TrainingRule)
ScreenStatistic = Literal["AUC", "|Spearman|", ""]
SCREEN_STATISTICS: tuple[ScreenStatistic, ...] = get_args(ScreenStatistic)
CHANCE: Mapping[ScreenStatistic, float] = {"AUC": 0.5, "|Spearman|": 0.0}  # of a feature that tells nothing
TELLING: Mapping[ScreenStatistic, float] = {"AUC": 0.95, "|Spearman|": 0.9}  # power that is worth a look
FEATURES_NAMED = 3  # in a sentence


class TrainingFlag(NamedTuple):
    """A rule of `TrainingChecks` that a training breaks."""

    name: str  # the layer, input, column or class that shows it; "model" for the whole model
    kind: TrainingRule
    since: (
        int  # the number of the update at which it began, `updates.BEFORE` for one that was there before the first step
    )
    value: float  # what was measured
    limit: float  # its threshold
    sentence: str  # what was measured, in words, without a full stop
    advice: str  # what to do, likewise

    def in_words(self, unit: Unit) -> str:
        """Return the flag in one line: "overfit since epoch 8: val_loss has risen ...: stop at epoch 7"."""
        return f"{self.headline(unit)}: {self.sentence}: {self.advice}"

    def headline(self, unit: Unit) -> str:
        """Return the rule and since when it is broken: "overfit since epoch 8"."""
        when = "from the start" if self.since == BEFORE else f"since {named(unit, self.since)}"
        return f"{self.kind} {when}"


@dataclass(frozen=True, eq=False)
class TrainingFlags(AtUpdate):
    """The rules of `TrainingChecks` at one update: those that are broken, and those that could not be judged.

    `unjudged` says why of each rule that could not be: such a rule is not quiet. All others were judged, and hold.
    """

    epoch: int
    flags: tuple[TrainingFlag, ...] = ()
    unjudged: Mapping[str, str] = field(default_factory=dict)  # by rule
    thresholds: Mapping[str, float] = field(default_factory=dict)  # see `training_checks.thresholds`
    step: int | None = None  # training steps done, in a run that counts in steps; else None

    def __post_init__(self) -> None:
        object.__setattr__(self, "flags", tuple(TrainingFlag(*flag) for flag in self.flags))


class Copies(NamedTuple):
    """Columns of a table that are copies of each other, up to scale and offset."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return " = ".join(self.names)


@dataclass(frozen=True, eq=False)
class DataScreen(AtUpdate):
    """The columns (F) of a table at the begin of a training: a screen, which says where to look, and never an alarm.

    `power` is what each column alone tells of the label: the area under the ROC curve, 0.5 to 1, of the class that it tells best
    from all others (of numbers |Spearman's ρ|, 0 to 1). Categories stand for the mean of the label of the other rows that have
    them (out of fold). NaN where the label is not known, or no class has enough rows; of a constant column too.
    """

    epoch: int
    names: tuple[str, ...]  # (F)
    power: NDArray[np.floating[Any]]  # (F)
    statistic: ScreenStatistic  # "" where the label is not known
    tells: NDArray[np.integer[Any]]  # (F) the class, label or number that the column tells best; −1: none
    constant: NDArray[np.bool_]  # (F)
    copies: tuple[Copies, ...] = ()
    rows: int = 0  # that were screened
    source: str = ""  # what rows they are: "live rows" or "probe rows"
    classes: tuple[str, ...] = ()  # their names; () where they have none
    step: int | None = None

    def strongest(self, count: int = FEATURES_NAMED) -> list[tuple[str, float]]:
        """Return the columns that tell most by themselves, with their power; the most telling first."""
        power = np.nan_to_num(np.asarray(self.power, np.float64), nan=-1.0)
        order = [int(f) for f in np.argsort(-power, kind="stable")[:count] if power[f] >= 0]
        return [(self.names[f], float(power[f])) for f in order]

    @property
    def sentences(self) -> tuple[str, ...]:
        """Findings of the screen in words: columns that tell the label alone, constant columns, copies."""
        words = []
        telling = [(name, power) for name, power in self.strongest(len(self.names)) if power >= self._limit]
        if telling:
            verb = "tells" if len(telling) == 1 else "tell"
            columns = _listed([f"{name} ({self.statistic} {power:.3f})" for name, power in telling])
            words.append(f"{columns} alone {verb} the label: as it should be, or a leak")
        constant = [self.names[f] for f in np.flatnonzero(self.constant)]
        if constant:
            words.append(
                f"{_listed(constant)} {'is' if len(constant) == 1 else 'are'} constant: nothing can be learned from it"
            )
        if self.copies:
            words.append(f"copies of each other: {_listed([str(copies) for copies in self.copies])}")
        return tuple(words)

    @property
    def summary(self) -> str:
        """The screen in one sentence, with the rows that it is of."""
        head = f"Screen of {len(self.names)} columns in {self.rows} {self.source}, no alarm: "
        words = "; ".join(self.sentences)
        if not words:
            words = "no constant column, no copies"
            strongest = self.strongest(1)
            if strongest:
                words += f", the most telling column is {strongest[0][0]} ({self.statistic} {strongest[0][1]:.2f})"
        return f"{head}{words}."

    @property
    def _limit(self) -> float:
        return TELLING.get(self.statistic, np.inf)


def _listed(names: list[str]) -> str:
    more = len(names) - FEATURES_NAMED
    return f"{', '.join(names[:FEATURES_NAMED])}{f' and {more} more' if more > 0 else ''}"
