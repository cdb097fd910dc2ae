"""The records of concepts: the strength of a model's answer to each of them, and since when it uses them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from keras_xai.updates import AtUpdate, Unit, named

Float = NDArray[np.floating]
EffectUnit = Literal["log-odds", "output"]
EFFECT_UNITS: tuple[EffectUnit, ...] = get_args(EffectUnit)

LEVEL = 0.05  # of all concepts together at one update
RUNNING = 3  # records with which a use begins, and without which it ends
NAMED_QUESTIONS = 3  # in a sentence


@dataclass(frozen=True, eq=False)
class Concepts(AtUpdate):
    """The answer of a model to concepts at one update: N concepts, L layers, K questions.

    A question is what the model says for one class, asked on the probe's rows of that class: the log-odds of the class; or its
    number, asked on all rows. The shift of a concept is the mean of its examples minus that of the counter-examples in a layer.
    Where a layer cannot tell the examples from the counter-examples there is no effect, NaN, and not an effect of 0.
    """

    epoch: int
    names: tuple[str, ...]  # (N) of the concepts
    layers: tuple[str, ...]  # (L) without the model's output
    questions: tuple[str, ...]  # (K) names of classes; "output" of numbers, "labels" of several labels a row
    rows: tuple[int, ...]  # (K) of the probe that each question was asked on
    examples: tuple[tuple[int, int], ...]  # (N) numbers of examples and of counter-examples
    # (N, L) AUC with which a linear readout tells left-out examples from counter-examples; NaN where all rows are the same
    readability: Float
    # (N, L, K) mean over the rows of the derivative of the answer along the shift, in `unit`; NaN where the layer cannot tell it
    effect: Float
    error: Float  # (N, L, K) standard deviation of the effects of random concepts
    share: Float  # (N, L, K) of rows with a positive derivative, 0 to 1: the TCAV score (Kim et al. 2018)
    p: Float  # (N, L, K) of an effect no larger than `floor`, for all layers and questions of the concept together
    floor: float  # effects up to here are small: a quarter of the answers' standard deviation over the probe
    draws: int  # of random concepts
    unit: EffectUnit = "log-odds"
    digest: str = ""  # of examples and counter-examples
    step: int | None = None  # training steps done, in a run that counts in steps; else None

    @property
    def can_tell(self) -> NDArray[np.bool_]:
        """(N, L) True where a layer tells left-out examples from counter-examples, by two standard errors of chance."""
        counts = np.asarray(self.examples, np.float64).reshape(-1, 2)
        margins = 2 * np.sqrt((counts.sum(1) + 1) / (12 * counts.prod(1)))
        with np.errstate(invalid="ignore"):
            return np.asarray(self.readability > 0.5 + margins[:, None])

    @property
    def is_used(self) -> NDArray[np.bool_]:
        """(N, L, K) True where the effect is shown to be larger than `floor`, at a level of 5 % for all concepts together."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.p <= LEVEL / max(1, len(self.names)))

    def strongest(self, concept: int, question: int) -> int:
        """Return the layer of the smallest p, of several the one of the largest effect; −1 where no layer can tell it."""
        p, effect = np.asarray(self.p[concept, :, question]), np.abs(self.effect[concept, :, question])
        measured = np.flatnonzero(np.isfinite(p))
        if not measured.size:
            return -1
        return int(min(measured, key=lambda layer: (p[layer], -effect[layer])))

    def sign(self, concept: int, question: int) -> int:
        """Return 1 where the model uses a concept for what a question asks, −1 against it, 0 where it is not shown to use it."""
        layer = self.strongest(concept, question)
        if layer < 0 or not self.is_used[concept, layer, question]:
            return 0
        return int(np.sign(self.effect[concept, layer, question]))


class ConceptUse(NamedTuple):
    """A time in which a model uses a concept for one question."""

    concept: str
    question: str
    since: int  # the number of the update with which it began
    until: int | None  # the number of the update with which it had ended; None where it still stands
    sign: int  # 1 for, −1 against what the question asks
    effect: float  # at the last record of it, in the record's unit
    layer: str  # where it was measured
    unit: EffectUnit

    @property
    def words(self) -> str:
        """The question and the effect: "for class 3, +2.9 log-odds at dense"."""
        number = f"{self.effect:+.2g}"
        if self.unit == "output":
            return f"{number} of the {self.question} at {self.layer}"
        return f"{'for' if self.sign > 0 else 'against'} {self.question}, {number} log-odds at {self.layer}"


def uses(records: Sequence[Concepts]) -> list[ConceptUse]:
    """Return when a model used which concept for which question, in the order in which they began.

    A use begins with the first of three records running that show it, and ends with the first of three that do not.

    Args:
        records: of one run, in their order, with the same concepts and questions.
    """
    if not records:
        return []
    last = records[-1]
    periods = []
    for concept, question in itertools.product(range(len(last.names)), range(len(last.questions))):
        signs = [record.sign(concept, question) for record in records]
        for sign, first, end in _periods(signs):
            latest = [k for k in range(first, end or len(signs)) if signs[k] == sign][-1]
            layer = records[latest].strongest(concept, question)
            use = ConceptUse(
                concept=last.names[concept],
                question=last.questions[question],
                since=records[first].update,
                until=None if end is None else records[end].update,
                sign=sign,
                effect=float(records[latest].effect[concept, layer, question]),
                layer=last.layers[layer],
                unit=last.unit,
            )
            periods.append(use)
    return sorted(periods, key=lambda use: use.since)


def _periods(signs: Sequence[int]) -> list[tuple[int, int, int | None]]:
    """Return (sign, first, end) of each time in which a sign other than 0 stands; `end` is None where it still does.

    Example:
        >>> _periods([0, 1, 1, 1, 0, 1, 0, 0, 0])
        [(1, 1, 6)]
    """
    periods: list[tuple[int, int, int | None]] = []
    standing, first = 0, 0
    for k in range(len(signs) - RUNNING + 1):
        ahead = signs[k : k + RUNNING]
        if standing and standing not in ahead:
            periods.append((standing, first, k))
            standing = 0
        if not standing and ahead[0] and len(set(ahead)) == 1:
            standing, first = ahead[0], k
    return [*periods, (standing, first, None)] if standing else periods


def concept_sentence(records: Sequence[Concepts], concept: str, unit: Unit) -> str:
    """Return what the records of a run say of one concept, as a sentence.

    Args:
        records: of one run, one or more.
        concept: its name.
        unit: in which the run counts.
    """
    number = records[-1].names.index(concept)
    of_concept = [use for use in uses(records) if use.concept == concept]
    standing = [use for use in of_concept if use.until is None]
    if standing:
        since = min(use.since for use in standing)
        strongest = sorted(standing, key=lambda use: -abs(use.effect))
        words = "; ".join(use.words for use in strongest[:NAMED_QUESTIONS])
        more = f"; and {len(standing) - NAMED_QUESTIONS} more" if len(standing) > NAMED_QUESTIONS else ""
        moment = named(unit, since) + (", the first record" if since == records[0].update else "")
        return f"The model uses “{concept}” since {moment}: {words}{more}."
    if of_concept:
        latest = max(of_concept, key=lambda use: use.until or 0)
        span = f"from {named(unit, latest.since)}, and no more from {named(unit, latest.until or 0)} on"
        return f"The model used “{concept}” {span}: {latest.words}."
    can_tell = records[-1].can_tell[number]
    if not can_tell.any():
        counts = records[-1].examples[number]
        return (
            f"No layer can tell “{concept}”: a linear readout tells {counts[0]} examples from {counts[1]} counter-examples no "
            f"better than chance, so there is no effect to measure."
        )
    effects = np.abs(records[-1].effect[number])
    largest = float(np.nanmax(effects)) if np.isfinite(effects).any() else math.nan
    size = "" if math.isnan(largest) else f" (largest effect {largest:.2g}, floor {records[-1].floor:.2g})"
    return (
        f"The model is not shown to use “{concept}”{size}; {int(can_tell.sum())} of {len(can_tell)} layers can tell it."
    )
