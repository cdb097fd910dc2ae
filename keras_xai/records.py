"""The records that callbacks write and viewers read: frozen dataclasses of numbers, text and NumPy arrays.

Axis letters, here and everywhere: B probe sample, H W C image, T time or token, F feature (after pooling),
V variable, S statistic, L layer, E update, K class. Epochs count from 0, as Keras counts them in callbacks.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from keras_xai.alert_words import ADVICE, HOW_TOS, SOURCE_WORDS, VERDICT_WORDS
from keras_xai.drawable import Drawable
from keras_xai.gradient_flags import CONDITIONS
from keras_xai.printed import printable
from keras_xai.updates import AtUpdate, OverUpdates, Unit, number_of

Float = NDArray[np.floating[Any]]
Integer = NDArray[np.integer[Any]]
Space = Literal["logit", "probability", "raw"]
Source = Literal["clean", "live", "data"]
AlertSource = Literal["clean", "live", "data", "gap", "rule"]
Verdict = Literal["reliance moved", "data changed", "training-only shortcut", "rows differ", "rule broken"]
TaskKind = Literal["binary", "classes", "labels", "number", "numbers"]
Link = Literal["", "softmax", "sigmoid"]
Quantity = Literal["contribution", "slope", "other"]
# Why shortcuts that were there from the start were not looked for.
Blindness = Literal[
    "",
    "gap=False",
    "no live rows",
    "no labels in the probe",
    "no gradient to any feature",
    "too few rows of each class",
    "class shares that differ",
    "a probe of training rows",
    "live rows that could not be read",
    "contributions that are not finite",
]
Answer = Literal["class", "labels", "value"]
Target = Literal["label", "prediction"]
Part = Literal["chosen", "suspects"]

# The values of these types, in the order in which viewers show them.
SPACES: tuple[Space, ...] = get_args(Space)
TASKS: tuple[TaskKind, ...] = get_args(TaskKind)
LINKS: tuple[Link, ...] = get_args(Link)
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
BLINDNESSES: tuple[Blindness, ...] = get_args(Blindness)
SOURCES: tuple[Source, ...] = get_args(Source)
ALERT_SOURCES: tuple[AlertSource, ...] = get_args(AlertSource)
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
ANSWERS: tuple[Answer, ...] = get_args(Answer)
TARGETS: tuple[Target, ...] = get_args(Target)
PARTS: tuple[Part, ...] = get_args(Part)

STATISTICS = ("rms", "mean", "std", "max", "zero_fraction", "nonfinite", "update_ratio", "weight_norm")
FLAGS = tuple(CONDITIONS)  # of gradients
MAPPING_FLAGS = ("dead layer", "non-finite", "memorising", "inference gap")
MAPPING_NOTES = ("part-dead", "stable")
# Multiples of a step between which the critical one is looked for.
STEP_LIMITS = (2.0**-6, 2.0**10)


class Flag(NamedTuple):
    """A condition that holds at a record."""

    name: str  # the path of the variable or layer that shows it; "model" for the whole model
    kind: str  # one of `FLAGS`, `MAPPING_FLAGS` or `MAPPING_NOTES`
    since: int  # the number of the update at which it began: its epoch, or its step in a run that counts in steps


def _as_flags(flags: Sequence[tuple[str, str, int]]) -> tuple[Flag, ...]:
    """Return flags as `Flag`; a record may be constructed with plain tuples."""
    return tuple(Flag(*flag) for flag in flags)


class FeatureMove(NamedTuple):
    """One feature of an alert: the move of its share, and how unusual that is."""

    name: str
    before: float  # share of the total importance, 0 to 1, at the beginning of the move
    after: float  # at its end
    direction: int  # sign of the mean signed attribution: +1 for the class explained, −1 against it, 0 neither
    z: float  # the move, in units of the feature's own usual move


class Carrier(NamedTuple):
    """A live row that carries a feature: one of those in which it speaks most for the label."""

    name: str  # of the feature
    row: int  # its number in the source of the live rows
    label: float  # its class or number; NaN of several labels, and where no samples are to be stored
    share: float  # of the row's evidence that the feature gives, −1 to 1
    value: float  # of the feature in it, where it is a single number; else NaN


class Digest(NamedTuple):
    """Check sums of live rows and of their labels, 24 bits each: equal for equal contents."""

    rows: int
    labels: int


@dataclass(frozen=True, eq=False)
class Epoch(AtUpdate):
    """One update as seen by the callbacks of one log directory: the end of an epoch, or a moment inside it."""

    epoch: int
    wall_time: float  # seconds since 1970, at its end
    seconds: float  # since the record before, in the first since train begin: their sum is the time of the training
    cost_seconds: float  # of these, spent in our callbacks
    learning_rate: float  # NaN where the optimizer has none
    logs: Mapping[str, float]  # of Keras and of the callbacks before ours, and our own keys
    costs: Mapping[str, float] = field(default_factory=dict)  # cost_seconds by callback
    notes: tuple[str, ...] = ()  # sentences of our callbacks
    once_seconds: float = 0.0  # of cost_seconds, what comes once: building, tracing, compiling; 0 in older files
    resumed: bool = False  # True where a training that was interrupted went on with it
    ends_epoch: bool = True  # False for an update inside an epoch
    iterations: int | None = None  # steps that the optimizer had counted; None where the run counts in epochs
    step: int | None = None  # training steps done, in a run that counts in steps; else None


def epochs_of(records: Sequence[AtUpdate]) -> NDArray[np.int64]:
    """Return the epochs (E) of records."""
    return np.asarray([record.epoch for record in records], np.int64)


def steps_of(records: Sequence[AtUpdate]) -> NDArray[np.int64] | None:
    """Return the steps (E) of records; None in a run that counts in epochs."""
    if any(record.step is None for record in records):
        return None
    return np.asarray([record.step for record in records], np.int64)


def layer_of(path: str) -> str:
    """Return the path of a variable's layer: its own without the last part.

    Example:
        >>> layer_of("encoder/dense/kernel")
        'encoder/dense'
    """
    return path.rpartition("/")[0] or path


def missing_epochs(epochs: Sequence[int]) -> list[int]:
    """Return the epochs between the first and the last that are missing."""
    return sorted(set(range(min(epochs), max(epochs))) - set(epochs)) if epochs else []


def listed(epochs: Sequence[int], unit: Unit = "epoch") -> str:
    """Return sorted epochs as text: "epoch 3", "epochs 3 to 5 and 9"; or steps: "steps 20, 40 and 60"."""
    stretches: list[list[int]] = []
    for epoch in epochs:
        if unit == "epoch" and stretches and epoch == stretches[-1][1] + 1:
            stretches[-1][1] = epoch
        else:
            stretches.append([epoch, epoch])
    words = [str(first) if first == last else f"{first} to {last}" for first, last in stretches]
    listed = f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
    return f"{unit}{'' if len(epochs) == 1 else 's'} {listed}"


@dataclass(frozen=True)
class Stop(AtUpdate):
    """A part of the watch that ended before the training did: from then on it recorded nothing.

    `part` is a callback ("weight_gradients", "importance_drift", …) or "live_rows", the rows that `live` gives.
    """

    epoch: int  # the epoch in which it ended
    part: str
    reason: str
    step: int | None = None  # training steps done, in a run that counts in steps; else None


class Note(NamedTuple):
    """A sentence of a callback, or the reason why a part of the watch stopped."""

    epoch: int
    text: str
    part: str = ""  # as in `Stop`; "" for a sentence in the record of an epoch
    stopped: bool = False  # True for the reason of a `Stop`
    step: int | None = None  # training steps done, in a run that counts in steps; else None

    @property
    def update(self) -> int:
        """The number of the update: the step, or the epoch where the run counts in epochs."""
        return number_of(self.epoch, self.step)


@dataclass(frozen=True, eq=False)
class Gradients(AtUpdate):
    """Statistics of the gradients that trained the model since the update before, over the sampled steps.

    The gradient is the one given to the optimizer, before any clipping and after loss scaling is undone. `histogram`
    (V, bins) counts |gradient| between the log2-spaced `bin_edges` (bins + 1); zeros and non-finite values are not in it.

    `statistics` holds a float32 (V) array for each of `STATISTICS`, over the entries of a variable's gradient in all recorded
    steps; NaN where nothing was captured:

    | name | what it is |
    |---|---|
    | rms, mean, std, max | of the entries, max of their absolute values; NaN or infinite where one of them is |
    | zero_fraction | share of the entries that are exactly zero, 0 to 1 |
    | nonfinite | number of entries that are NaN or infinite |
    | update_ratio | L2 norm of a step's update over that of the weights before it, each as root mean square over steps |
    | weight_norm | L2 norm of the weights before the update, root mean square over steps |
    """

    epoch: int
    names: tuple[str, ...]  # (V) variable paths
    statistics: Mapping[str, Float]
    histogram: NDArray[np.float32]
    bin_edges: NDArray[np.float32]
    steps: int  # recorded optimizer calls
    flags: tuple[Flag, ...] = ()  # named for variables; kinds are those of `FLAGS`
    missing: str = ""  # why nothing was captured; "" where something was
    sizes: tuple[int, ...] = ()  # (V) number of entries of each variable
    thresholds: Mapping[str, float] = field(default_factory=dict)  # of the flags, see `gradients.flags`
    step: int | None = None  # training steps done, in a run that counts in steps; else None

    def __post_init__(self) -> None:
        object.__setattr__(self, "flags", _as_flags(self.flags))

    def by_layer(self) -> Gradients:
        """Return the same statistics for each layer: over the entries of those of its variables that got a gradient.

        A layer is named by its variables' path without the last part. The result has no flags: they are of variables.

        Raises:
            ValueError: the record holds no sizes.
        """
        return self._merged([layer_of(name) for name in self.names])

    def overall(self) -> Gradients:
        """Return the same statistics for all variables together, as one row named "all"."""
        return self._merged(["all"] * len(self.names))

    def _merged(self, keys: list[str]) -> Gradients:
        """Return a record with one row for each key, of the variables that have it."""
        if len(self.sizes) != len(self.names):
            raise ValueError("this record holds no sizes of its variables")
        rows: dict[str, list[int]] = {}
        for v, key in enumerate(keys):
            rows.setdefault(key, []).append(v)
        merged = [self._statistics_of(members) for members in rows.values()]
        statistics = {}
        for name in self.statistics:
            statistics[name] = np.asarray([row[name] for row in merged], np.float32)
        histograms = [self.histogram[members].sum(0) for members in rows.values()]
        sizes = np.asarray(self.sizes, np.int64)
        return dataclasses.replace(
            self,
            names=tuple(rows),
            statistics=statistics,
            histogram=np.stack(histograms) if rows else self.histogram,
            flags=(),
            sizes=tuple(int(sizes[members].sum()) for members in rows.values()),
        )

    def _statistics_of(self, members: list[int]) -> dict[str, float]:
        """Return the statistics of some variables together: means weighted by size, norms as the root of summed squares."""
        captured = [v for v in members if np.isfinite(self.statistics["zero_fraction"][v])]
        if not captured:
            return dict.fromkeys(self.statistics, float("nan"))
        sizes = np.asarray([self.sizes[v] for v in captured], np.float64)
        of = {name: np.asarray(values, np.float64)[captured] for name, values in self.statistics.items()}
        share = sizes / sizes.sum()
        mean, mean_square = float(share @ of["mean"]), float(share @ of["rms"] ** 2)
        weight_squares = float((of["weight_norm"] ** 2).sum())
        was_updated = np.isfinite(of["update_ratio"])
        update_squares = float(of["update_ratio"][was_updated] ** 2 @ of["weight_norm"][was_updated] ** 2)
        has_ratio = weight_squares > 0 and was_updated.any()
        return {
            "rms": mean_square**0.5,
            "mean": mean,
            "std": max(0.0, mean_square - mean**2) ** 0.5,
            "max": float(of["max"].max()),
            "zero_fraction": float(share @ of["zero_fraction"]),
            "nonfinite": float(of["nonfinite"].sum()),
            "update_ratio": (update_squares / weight_squares) ** 0.5 if has_ratio else float("nan"),
            "weight_norm": weight_squares**0.5,
        }


@dataclass(frozen=True, eq=False)
class StepSizes(AtUpdate):
    """The critical step of the sampled steps since the update before.

    `multiples` are those of the step just taken at which the loss of its own batch is back where it was before the step; beyond
    them it rises. A limit of `STEP_LIMITS` stands for all that lies beyond it. Kalra et al. 2026, arXiv 2601.16979.
    """

    epoch: int
    multiples: tuple[float, ...]  # of each step that was measured
    losses: tuple[float, ...]  # of its batch, before the step
    missing: str = ""  # why none was measured, "" where one was
    step: int | None = None  # training steps done, in a run that counts in steps; else None

    @property
    def critical(self) -> float:
        """The median of the multiples; NaN where no step was measured."""
        return float(np.median(self.multiples)) if self.multiples else math.nan


@dataclass(frozen=True, eq=False, repr=False)
class Attribution(Drawable, AtUpdate):
    """The contribution of each part of the input to the explained score, by one method.

    - `values`: float32 with the shape of the input, a list or dict of such where the model takes several inputs; (B, h, w),
      (B, t) or (B, d, h, w) for the CAM family, (B, T) for tokens. Read back from a log directory images are (B, H, W) and
      volumes (B, D, H, W), the sum over channels. With `layer` they have the shape of that layer's output; read back the sum
      over its units, (B, h, w), (B, t) or (B, d, h, w), of a layer without places (B, units).
    - `score`, `baseline_score` (B): in `space`, "logit" before the last softmax or sigmoid, "probability" where the model has
      no such logit, "raw" for regression.
    - `completeness_error` (B): |Σ values − (score − baseline_score)| / max(|score − baseline_score|, 1e-6), 0 or more; None
      for a method whose attributions need not add up to that difference.
    - `r2` (B), at most 1: of the linear model that a method such as LIME fits to the network; None for methods without one.
    - `quadrature_error` (B), 0 or more: Σ |Δ values| / Σ |values|, where Δ is the difference of two quadrature rules of
      every other step; an estimate of the error of an integral, None for methods without one, and in older files.
    - `task`: the kind of output. "binary" (one unit: class 1 or not; class 0 is explained by the negative logit, or by
      1 − p), "classes" (one of K), "labels" (each of K, yes or no), "number" or "numbers".
    - `samples`: the `Probe` of the samples that were explained, with what is known of them; None where that is not known.

    `plot()` draws it, as `kx.plot` does in more ways.
    """

    method: str
    values: Any
    target: Integer  # (B) the class or column explained; −1 for the sum of all columns
    score: Float
    baseline_score: Float | None
    prediction: NDArray[Any]  # (B) the model's own class; the raw output for regression
    completeness_error: Float | None
    space: Space
    outputs: Float | None = None  # (B, K) the model's output, at most 64 columns
    epoch: int | None = None
    kind: str = ""  # of the input: "table", "image", "series", "tokens" or "volume"
    r2: Float | None = None
    task: TaskKind | None = None  # None where an older version wrote it
    link: Link = ""  # the function from logits to probabilities, "" where there is none
    remark: str = ""  # a caveat on how the outputs were interpreted, "" without
    quadrature_error: Float | None = None
    step: int | None = None  # training steps done, in a run that counts in steps; else None
    title: str = ""  # of the method, as its paper spells it; "" read back from a log directory
    quantity: Quantity = "contribution"  # that the values are: see `attribution.method.Method`
    layer: str = ""  # of whose units the values are, "" where they are of the input, or a map
    samples: Any = None


@dataclass(frozen=True, eq=False, repr=False)
class BeforeTraining(Mapping[str, Attribution]):
    """The gallery of the untrained model, recorded before the first training step: a mapping from method to `Attribution`."""

    attributions: Mapping[str, Attribution]  # by method; `epoch` and `step` are None

    def __repr__(self) -> str:
        return f"BeforeTraining({', '.join(self.attributions)})"

    def __getitem__(self, method: str) -> Attribution:
        return self.attributions[method]

    def __iter__(self) -> Iterator[str]:
        return iter(self.attributions)

    def __len__(self) -> int:
        return len(self.attributions)


@dataclass(frozen=True, eq=False)
class Outputs(OverUpdates):
    """The fields of an `Attribution` but for its maps, over updates."""

    method: str
    epochs: NDArray[np.int64]  # (E)
    target: NDArray[np.int64]  # (E, B)
    prediction: Float  # (E, B)
    score: Float  # (E, B)
    baseline_score: Float  # (E, B), NaN without a baseline
    completeness_error: Float | None  # (E, B)
    outputs: Float  # (E, B, K)
    space: Space
    r2: Float | None = None  # (E, B)
    task: TaskKind = "classes"
    link: Link = ""  # the function from logits to probabilities
    quadrature_error: Float | None = None  # (E, B)
    steps: NDArray[np.int64] | None = None  # (E) training steps done, in a run that counts in steps; else None


@dataclass(frozen=True, eq=False)
class Shares(AtUpdate):
    """Global importance at one update: each feature's share of the total, and how unusual its move is.

    For the source "data" `share` is how far the values of each feature moved since the reads before, in units of its usual
    range; these do not sum to 1. An importance that was not finite or all zero is a row of NaN, which is not scored. A single
    NaN is a feature that the method cannot measure, which is left out of the total: see `unmeasured`.
    """

    epoch: int
    source: Source
    names: tuple[str, ...]  # (F)
    share: NDArray[np.float32]  # (F), sums to 1
    score: float  # largest |z| over features and over moves of one and of two updates; NaN before there is a history
    limit: float
    direction: NDArray[np.int8] | None = None  # (F) the sign of the mean signed attribution, shown beside an alert
    burn_in: int = 8  # updates before the first alarm
    method: str = ""  # that gave the importance
    digest: Digest | None = None  # of the live rows
    step: int | None = None  # training steps done, in a run that counts in steps; else None

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """The features that the method cannot measure: nothing is known of them, which is not 0 %."""
        return _unmeasured(self.names, self.share[None])


@dataclass(frozen=True, eq=False)
class Importance(OverUpdates):
    """Global importance of one source over updates: see `Shares` for each figure.

    `share` (E, F) is 0 to 1 and sums to 1 in each row; a row of NaN is an update whose importance was not finite or all zero, a
    column of NaN a feature that the method cannot measure. `score` (E) is the largest |z| of a move; NaN before there are six
    moves to compare with, and at updates that could not be scored.
    """

    epochs: NDArray[np.int64]  # (E)
    names: tuple[str, ...]  # (F)
    share: NDArray[np.float32]  # (E, F)
    score: NDArray[np.float64]  # (E)
    limit: float
    burn_in: int = 8  # updates before the first alarm
    method: str = ""  # that gave the importance
    steps: NDArray[np.int64] | None = None  # (E) training steps done, in a run that counts in steps; else None

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """The features that no update could measure: nothing is known of them, which is not 0 %."""
        return _unmeasured(self.names, self.share)


def _unmeasured(names: tuple[str, ...], share: NDArray[np.floating[Any]]) -> tuple[str, ...]:
    """Return the features whose shares (E, F) are NaN wherever others have some."""
    is_finite = np.isfinite(share)
    scored_epochs = is_finite.any(1)
    if not scored_epochs.any():
        return ()
    is_measured = is_finite[scored_epochs].any(0)
    return tuple(name for name, measured in zip(names, is_measured, strict=True) if not measured)


@dataclass(frozen=True, eq=False)
class Reliance(AtUpdate):
    """Reliance on each feature in the training rows and in the probe, at one update, with the same weights.

    A row's evidence is Σ|a| over features of the contributions a = (x − x̄) · ∂m/∂x to the margin m of its own label, where x̄ is
    the probe's mean row (see `drift.reliance_gap`). `live` and `probe` are the mean signed share of a row's evidence, −1 to 1:
    above 0 a feature speaks for the label. `live_share` and `probe_share` are the unsigned share Σ|a| / Σ|a| over all features,
    0 to 1, whatever the sign.

    `blind` says why the two were not compared, "" where they were: then `z` and `gap` are NaN, and so are the figures of rows
    that were not there; where nothing was explained no feature is recorded. A feature whose figures are all NaN is one that no
    gradient reaches.
    """

    epoch: int
    names: tuple[str, ...]  # (F) of all features
    features: NDArray[np.int64]  # (R) which of them are recorded: all, or of more than 512 those that say most
    z: Float  # (R) normal deviates of the gap; 0 where it is none whatever its size
    gap: Float  # (R) live − probe, without what all features have in common
    live: Float  # (R)
    probe: Float  # (R)
    live_share: Float  # (R)
    probe_share: Float  # (R)
    live_error: Float  # (R) standard error of `live_share`
    probe_error: Float  # (R) standard error of `probe_share`
    strata: int  # classes that were compared
    live_rows: int
    probe_rows: int
    blind: Blindness = ""
    limit: float = 4.25  # z of an alarm, at three updates running
    step: int | None = None  # training steps done, in a run that counts in steps; else None


@dataclass(frozen=True, eq=False)
class RelianceGap(OverUpdates):
    """`Reliance` over updates: see there for each figure. NaN where a feature was not recorded."""

    epochs: NDArray[np.int64]  # (E)
    names: tuple[str, ...]  # (F)
    z: Float  # (E, F)
    gap: Float  # (E, F)
    live: Float  # (E, F)
    probe: Float  # (E, F)
    live_share: Float  # (E, F)
    probe_share: Float  # (E, F)
    live_error: Float  # (E, F)
    probe_error: Float  # (E, F)
    strata: NDArray[np.int64]  # (E)
    live_rows: NDArray[np.int64]  # (E)
    probe_rows: NDArray[np.int64]  # (E)
    limit: float
    steps: NDArray[np.int64] | None = None  # (E) training steps done, in a run that counts in steps; else None

    @classmethod
    def of(cls, updates: Sequence[Reliance]) -> RelianceGap | None:
        """Return the updates of a run as one; None for none."""
        if not updates:
            return None
        first = updates[0]
        shape = len(updates), len(first.names)
        columns: dict[str, Any] = {name: np.full(shape, np.nan, np.float32) for name in RELIANCE_FIGURES}
        for row, update in enumerate(updates):
            for name, values in columns.items():
                values[row, update.features] = getattr(update, name)
        counts: dict[str, Any] = {}
        for name in ("strata", "live_rows", "probe_rows"):
            counts[name] = np.asarray([getattr(update, name) for update in updates], np.int64)
        moments: dict[str, Any] = {"epochs": epochs_of(updates), "steps": steps_of(updates)}
        return cls(names=first.names, limit=first.limit, **moments, **columns, **counts)


RELIANCE_FIGURES = ("z", "gap", "live", "probe", "live_share", "probe_share", "live_error", "probe_error")


class SliceValue(NamedTuple):
    """One value of a slice of the probe, as the hospital "north"."""

    slice: str
    value: str
    rows: int  # of the probe that have it

    def __str__(self) -> str:
        return f"{self.slice} = {self.value}"


@dataclass(frozen=True, eq=False)
class SliceImportance:
    """Importance of the features in the rows of each value: mean |attribution| over the sum of all features, as in `Shares`."""

    features: tuple[str, ...]  # (F)
    share: Float  # (V, F), sums to 1; NaN where it is not finite or all zero, and of a feature that is not measured
    overall: Float  # (F) the same over all rows


@dataclass(frozen=True, eq=False)
class SliceGaps:
    """The feature that speaks for the label in the rows of each value, and in the other rows of the probe does not.

    The statistic is that of `Reliance`, with the rows of the value in the place of the training rows; of each value it is the
    feature with the largest z. See `drift.slices`.
    """

    features: tuple[str, ...]  # (V) "" where none speaks for the label in these rows alone
    z: Float  # (V) normal deviates, 0 or more; NaN where too few rows stand on either side
    limit: float = 4.25  # of z, as in `Reliance`


@dataclass(frozen=True, eq=False)
class SliceReadout:
    """Decodability of each slice (S) from each layer (L): the accuracy of a linear probe, with every sample left out in turn.

    A layer from which a hospital can be read holds what the model may use it by, whether it does so or not. `chance` is the
    share of the commonest value. NaN is a layer that gives the same for every row, or a slice of one value.
    """

    layers: tuple[str, ...]  # (L)
    slices: tuple[str, ...]  # (S)
    readability: Float  # (L, S) 0 to 1
    standard_error: Float  # (L, S)
    chance: Float  # (S)


@dataclass(frozen=True, eq=False)
class Slices(AtUpdate):
    """Figures of the parts of the probe, at one update: slice after slice one entry for each of its values (V).

    `accuracy` is the share of a value's rows that are predicted right (of several labels a row, the mean share of them), and
    `confidence` the mean probability given to the true class. Both are NaN without labels, and where the model predicts numbers.

    The other figures are None where nobody measured them at this update: importance and gaps are `ImportanceDrift`'s, the readout
    is `ProbeMappings`'.
    """

    epoch: int
    values: tuple[SliceValue, ...]  # (V)
    size: int  # rows of the probe
    accuracy: Float  # (V)
    confidence: Float  # (V)
    overall_accuracy: float
    overall_confidence: float
    importance: SliceImportance | None = None
    gaps: SliceGaps | None = None
    readout: SliceReadout | None = None
    step: int | None = None  # training steps done, in a run that counts in steps; else None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the slices."""
        return tuple(dict.fromkeys(value.slice for value in self.values))

    def joined(self, other: Slices) -> Slices:
        """Return the figures of two callbacks for the same epoch as one record; itself where these are of other slices."""
        if (self.epoch, self.values, self.size) != (other.epoch, other.values, other.size):
            return self
        return dataclasses.replace(
            other,
            importance=self.importance if other.importance is None else other.importance,
            gaps=self.gaps if other.gaps is None else other.gaps,
            readout=self.readout if other.readout is None else other.readout,
        )


class Changed(NamedTuple):
    """Numbers of live rows that differ from the read before.

    −1 where they differ in an unknown number: the rows that were read before a training was resumed are not kept.
    """

    rows: int  # whose inputs differ
    labels: int  # whose label differs
    of: int  # rows in all

    def __str__(self) -> str:
        parts = []
        if self.rows:
            parts.append("other rows" if self.rows < 0 else f"{self.rows} of {self.of} rows")
        if self.labels:
            parts.append("other labels" if self.labels < 0 else f"labels: {self.labels} of {self.of}")
        return f"the live rows are not what they were: {', '.join(parts)}"


@dataclass(frozen=True, eq=False)
class Alert(AtUpdate):
    """An alarm: the model started to rely on something else, or its data changed.

    `features` are at most five, the largest |z| first; see `FeatureMove`.

    An alert of source "data" with `changed` says that reads of the live rows which used to repeat came out differently; that
    is certain, and has no score (NaN). Its `features` are those that differ, "labels" among them, with before = 0, after = the
    share of rows in which they do, direction = 0 and z = NaN; none where the earlier rows are not known.

    An alert of source "gap" compares training rows with the probe: of its features `before` is the mean share of a row's
    evidence that each gives for the label in the probe, −1 to 1, and `after` the same in the training rows. Of source "rule"
    `before` is the limit and `after` what was measured.

    Alerts of one cause share `event`, the number of the update of the first of them, and one verdict.
    """

    epoch: int
    source: AlertSource
    verdict: Verdict
    learning_rate_rising: bool
    features: tuple[FeatureMove, ...]
    score: float = float("nan")
    limit: float = float("nan")
    event: int | None = None  # None in files that do not hold it: see `events.with_events`
    changed: Changed | None = None  # the change of the live rows, on all alerts of the event
    rows: tuple[Carrier, ...] = ()  # of the source "gap": the live rows that carry its features most
    sentence: str = ""  # what happened, of the sources "gap" and "rule"; "" where verdict and features say it
    step: int | None = None  # training steps done, in a run that counts in steps; else None

    def __post_init__(self) -> None:
        # Plain tuples are taken.
        object.__setattr__(self, "features", tuple(FeatureMove(*move) for move in self.features))
        object.__setattr__(self, "rows", tuple(Carrier(*carrier) for carrier in self.rows))

    def __str__(self) -> str:
        rate = " The learning rate was rising." if self.learning_rate_rising else ""
        return f"{self.at}: {self.description}; {self.evidence}.{rate}"

    @property
    def at(self) -> str:
        """The moment of the alert, and the number that Keras prints for its epoch."""
        return f"{self.moment} (Keras prints {'epoch ' if self.step is not None else ''}{self.epoch + 1})"

    @property
    def description(self) -> str:
        """The verdict, its features, and how many rows differ."""
        if self.sentence:
            return printable(self.sentence)
        moves = ", ".join(self._moved(move) for move in self.features[:3])
        if self.changed is not None and self.changed.labels and not self.changed.rows:
            moves = "" if math.isnan(self.score) else f"moved: {moves}"  # these are not what changed
            return "; ".join(filter(None, ["the training labels changed", moves, str(self.changed)]))
        verdict = VERDICT_WORDS[self.verdict]
        verdict = f"{verdict}: {moves}" if moves else verdict
        return verdict if self.changed is None else f"{verdict}; {self.changed}"

    @property
    def evidence(self) -> str:
        """The rows on which the alert was raised, and its score."""
        if not math.isfinite(self.score):
            return SOURCE_WORDS[self.source]
        return f"{SOURCE_WORDS[self.source]}, score {self.score:.1f}, limit {self.limit:g}"

    @property
    def is_alarm(self) -> bool:
        """False for training rows that merely differ: that is listed, and nothing is done about it."""
        return self.verdict != "rows differ"

    @property
    def advice(self) -> str:
        """Advice on what to do next, and where the documentation says more."""
        unit = "epoch" if self.step is None else "step"
        return f"{ADVICE[self.verdict].format(unit=unit)} See {HOW_TOS[self.verdict]}."

    def _moved(self, move: FeatureMove) -> str:
        name = printable(move.name)
        if math.isnan(move.z):
            return name
        if self.source == "data":
            return f"{name} (z {move.z:+.1f})"
        return f"{name} ({move.before:.2%} → {move.after:.2%}, z {move.z:+.1f})"


@dataclass(frozen=True, eq=False)
class ChosenRows(AtUpdate):
    """The rows of the probe that the gallery's rule chose at one update, beside the fixed ones.

    `loss` is of every row of the probe: cross-entropy in nats of classes and labels, squared error of numbers, and of a dense
    output -log of the mean probability of the truth. `attributions` by method are of the chosen rows, in their order; a record
    that is read back holds none: `Run.chosen_attribution` reads those of one method.
    """

    epoch: int
    rule: str  # "wrong", "worst loss" or "suspects"
    rows: Integer  # (n) row numbers of the probe, in the order of the rule
    loss: Float  # (B)
    attributions: Mapping[str, Attribution] = field(default_factory=dict)
    step: int | None = None  # training steps done, in a run that counts in steps; else None


@dataclass(frozen=True, eq=False)
class MapCheck(AtUpdate):
    """Two checks of the gallery's maps by one method, at one update: see `analysis.map_checks` for when a method fails them.

    `deletion` says how much sooner a sample's score falls in the order of its map than in random orders (the mean over the
    curve), in units of the mean distance from score to baseline score over the samples; 0 is no better than chance. NaN where
    the values have no place in the input, as those of a layer's units. `sensitivity`, 0 or more, is by how much the map moves
    under a uniform noise of `spread` times the range of the inputs, in units of its own norm, the largest of `draws`; NaN of a
    map of zeros.
    """

    epoch: int
    method: str
    deletion: Float  # (B)
    sensitivity: Float  # (B)
    spread: float  # of the noise, as a share of the range of the inputs
    draws: int  # of the noise
    orders: int  # random ones
    step: int | None = None  # training steps done, in a run that counts in steps; else None


@dataclass(frozen=True, eq=False)
class StoredSamples(AtUpdate):
    """Inputs and labels of rows of the probe that are no part of its gallery; each row is written once.

    Images are averaged down to 128 pixels a side at most, volumes to 65,536 voxels.
    """

    epoch: int  # of the update with which they were written
    part: Part  # what the rows were written for
    rows: Integer  # (n) row numbers of the probe
    x: Any  # (n, ...) an array, or a list or dict of arrays where the model takes several inputs
    y: NDArray[Any] | None  # (n, ...) labels as the probe has them; None without, and of a dense output
    classes: Integer | None  # (n) true classes; None where the labels are no classes
    words: tuple[tuple[str, ...] | None, ...] = ()  # of each input the sorted texts that its numbers stand for
    kind: str = ""  # of the probe
    step: int | None = None  # training steps done, in a run that counts in steps; else None


class InfluenceRanks(NamedTuple):
    """The live rows with the strongest influence on each of n rows or alerts, the strongest first."""

    proponents: Integer  # (n, k) their numbers in the source of the live rows; −1 where there are fewer
    proponent_scores: Float  # (n, k) above 0; NaN where there are fewer
    opponents: Integer  # (n, k)
    opponent_scores: Float  # (n, k) below 0


class AlertReference(NamedTuple):
    """An alert of the same update, as other records name it."""

    source: AlertSource
    event: int  # see `Alert`
    features: tuple[str, ...]  # of the alert, those whose influence was measured


@dataclass(frozen=True, eq=False)
class RowInfluences(AtUpdate):
    """The live rows that taught the model most of each row of the probe, and what set off the alerts of this update.

    The influence on a row of the probe is the sum over `checkpoints` updates of learning rate × the inner product of its
    gradient in the last layer with the live row's, divided by the length of the latter; see `kx.influence`. That on
    an alert is of this update alone: how much such a step on the live row would strengthen what the alert's features say for the
    labels of the live rows.
    """

    epoch: int
    layer: str  # the path of the last layer
    loss: str  # the name of the loss
    live: Integer  # (L) numbers of all live rows in their source
    labels: Float | None  # (L) of them; None of several labels a row, and where no samples are to be stored
    checkpoints: int  # updates that the influence on the probe is a sum over
    probe: InfluenceRanks  # (B, k) on each row of the probe
    alerts: tuple[AlertReference, ...]  # (A) of this update
    on_alerts: InfluenceRanks  # (A, k)
    step: int | None = None  # training steps done, in a run that counts in steps; else None


@dataclass(frozen=True, eq=False)
class Features:
    """Representations of the probe in the layers: data → features.

    One entry a layer (L), in the order of their calls; the last one is the model's output, its logits where it has some.

    `mean`, `std`, `saturation` and `dead` are over all activations of all samples and positions, padded steps left out. The
    others are of the pooled activations Z (B, D), centred: a sequence's mean over its steps, a map averaged down to at most
    4096 numbers.

    NaN is a figure that does not exist: `cka_*` of a layer that gives the same for every sample, `dead` of a unit for which
    zero is not a dead state, `saturation` of an activation function without a flat part. The flat part is zero for ReLU, and
    within 0.01 of a bound for sigmoid, softmax and tanh.
    """

    layers: tuple[str, ...]  # (L) paths
    width: Integer  # (L) units: channels of a map, columns of a vector
    mean: Float
    std: Float
    saturation: Float  # 0..1, activations in a flat part of their function
    dead: Float  # 0..1, units that are zero for every sample at every position
    spread: Float  # 0..1, Σ‖z − mean‖² / Σ‖z‖²: 0 where every sample gives the same
    participation: Float  # 1..min(D, B − 1), (Σw)²/Σw² of the variances w: how many directions are in use
    cka_previous: Float  # about 0..1, similarity (unbiased linear CKA) to the record before
    cka_first: Float  # the same to the run's first record
    cka_layers: Float  # (L, L) the same between layers
    coordinates: NDArray[np.float16]  # (L, B, 16) principal coordinates, at unit root mean square over all directions
    scale: Float  # the factor by which the coordinates were divided
    captured: Float  # 0..1, share of the variance that the coordinates hold


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A linear model fitted to the network: from pooled inputs to its logits ("linear"), or to its class ("svm").

    `coefficients` (F, C) are per standard deviation of a feature, towards each of `classes`. `agreement`, 0 to 1, is the share
    of samples, each left out of the fit, for which it predicts the network's own class. `r2`, at most 1, is of the logits of
    samples left out; NaN for the SVM.
    """

    features: tuple[str, ...]  # (F)
    classes: tuple[int, ...]  # (C)
    coefficients: Float
    agreement: float
    r2: float = float("nan")


@dataclass(frozen=True, eq=False)
class Decision:
    """Decodability of the decision from each layer, by a linear probe with every sample left out in turn: features → decision.

    `readability` (L) is the probe's accuracy on `target`: "label", or "prediction" where there are no labels (R² for
    numbers); `own_decision` (L) is its accuracy on the model's own prediction. `read_as` (L, B) is the class that the linear
    probe predicts for each sample, −1 where there is none, and `support` (L, B), 0 to 1, the value that it gives the sample's
    own target; NaN in files of an older version, and where the target is a number. The row of a classifier's output is read
    from its probabilities.
    """

    target: Target
    readability: Float
    standard_error: Float  # (L)
    chance: float  # accuracy without any layer: the share of the largest class
    own_decision: Float
    read_as: Integer
    support: Float
    surrogates: Mapping[str, Surrogate] = field(default_factory=dict)  # "linear", "svm"


@dataclass(frozen=True, eq=False)
class Result:
    """The output of the model for each sample, and how confident it is: decision → result.

    `answer` is the kind of output: "class" (one of K), "labels" (each of K true or not) or "value" (a number). Shapes and
    figures below are for "class". For "labels" `prediction` is (B, K) of 0 and 1, `correct` is True where all labels of a
    sample are right, and the other figures are over all pairs of sample and label. For "value" `prediction` is the output,
    and the other figures are NaN.

    Of a dense output (`unit`) `logits`, `prediction`, `label` and `correct` are those of the region that is explained of each
    sample; `confidence`, `certainty` and all further figures are over its pixels, steps or boxes.
    """

    answer: Answer
    classes: int  # K
    logits: NDArray[np.float16]  # (B, K); of more than 64 classes (B, 6), see `columns`
    prediction: NDArray[Any]  # (B)
    confidence: Float  # (B) probability given to the true class; NaN without labels
    certainty: Float  # (B) probability given to the predicted class
    accuracy: float
    confidence_gap: float  # mean certainty − accuracy: above 0 the model is overconfident
    ece: float  # expected calibration error over 15 bins, 0..1
    ece_floor: float  # the mean of the same, by chance, for a perfectly calibrated model and so few samples
    held_out_accuracy: float = float("nan")
    columns: Integer | None = None  # (B, 6) the classes of `logits`: the true one (−1: none), then the top five
    correct: NDArray[np.bool_] | None = None  # (B)
    label: NDArray[Any] | None = None  # (B); None where there is none, or the probe is not to be stored
    held_out: NDArray[np.bool_] | None = None  # (B) rows not trained on
    right: Float | None = (
        None  # (B) the share of a sample's positions that is right; None where there is one answer a sample
    )
    unit: str = ""  # what a position is: "pixel", "voxel", "token" or "box"; "" where there is one answer a sample

    @property
    def share_right(self) -> NDArray[np.float64] | None:
        """(B) the part of each sample's answers that is right: 0 or 1 where it has one; None where that is not known."""
        right = self.correct if self.right is None else self.right
        return None if right is None else np.asarray(right, np.float64)

    @property
    def confusion(self) -> NDArray[np.int64] | None:
        """The confusion matrix (K, K): counts of samples by true class, then by predicted class.

        None without labels that are classes, and for more than 4,096 classes: it would take 134 MB or more, mostly zeros.
        """
        if self.answer != "class" or self.label is None or self.classes > 4096:
            return None
        counts = np.zeros((self.classes, self.classes), np.int64)
        np.add.at(counts, (self.label.astype(np.int64), self.prediction.astype(np.int64)), 1)
        return counts


@dataclass(frozen=True, eq=False)
class PredictionCounts:
    """Counts over predictions: of a dense output over its pixels, steps or boxes that have a label, else over rows of the probe.

    `cells` are counts of the confusion matrix: the number of the label (0 where one of several classes is predicted), the true
    class, the predicted one (−1 where the outputs are not finite) and the count. Of more than 4,096 cells these are the largest.
    """

    total: int  # predictions that have a label
    cells: Integer  # (N, 4)
    certainty_bins: (
        Float  # (15, 3) by certainty in bins of equal width: predictions, sum of certainties, sum of those right
    )
    truth_bins: Integer  # (20) predictions by the probability of their true class, in bins of equal width


@dataclass(frozen=True, eq=False)
class ProbePredictions(AtUpdate):
    """The model's predictions for the rows of the probe (B), at one update.

    `answer` is the kind of output: "class" (one of K), "labels" (each of K true or not) or "value" (K numbers). Of a probe of
    more than 4,096 rows so many are recorded, evenly spaced: see `rows`.

    `counts` are there where the rows alone do not say it: of a dense output (`unit`), whose figures of a row are means over its
    positions, of very many labels a row, and of a probe that is not stored, of which nothing is written that would tell the label
    of a row.
    """

    epoch: int
    answer: Answer
    classes: int  # K: classes, labels or numbers of a row
    size: int  # rows of the probe
    right: (
        Float  # (B) 1 where the prediction is right, else 0; of several labels or positions the share; NaN: not known
    )
    true_probability: Float  # (B) given to the true class; of several labels or positions the mean; NaN without labels
    loss: Float  # (B) −ln of that, of several labels the mean; of numbers the mean squared error; NaN without labels
    # (B) the class, −1 where the outputs are not finite; (B, K) of 0 and 1, −1 likewise; (B, K) numbers. None where not recorded
    prediction: NDArray[Any] | None = None
    probability: Float | None = None  # (B) of the predicted class; (B, K) of each label; None for numbers
    true: NDArray[Any] | None = None  # (B), or (B, K); None without labels, or where the probe is not to be stored
    counts: PredictionCounts | None = None
    rows: NDArray[np.int64] | None = None  # (B) numbers of the rows in the probe; None where these are all of them
    slice_loss: Float | None = None  # (V) the mean loss of the rows of each value of `Slices`; None without slices
    unit: str = ""  # what a position is: "pixel", "voxel", "token" or "box"; "" where there is one answer a sample
    # The outputs are margins of a hinge loss: their probabilities put rows in order and mean no more.
    margin: bool = False
    step: int | None = None  # training steps done, in a run that counts in steps; else None

    @property
    def row_numbers(self) -> NDArray[np.int64]:
        """The numbers of the recorded rows in the probe (B)."""
        return np.arange(len(self.right)) if self.rows is None else self.rows

    @property
    def accuracy(self) -> float:
        """The share of predictions that are right: of several labels and of positions over all of them; NaN where unknown."""
        right = np.asarray(self.right, np.float64)
        if self.counts is not None and self.counts.total:
            return float(self.counts.certainty_bins[:, 2].sum() / self.counts.total)
        return float(right.mean()) if right.size else math.nan


@dataclass(frozen=True, eq=False)
class Predictions(OverUpdates):
    """The predictions for the rows of the probe (B) over updates (E): see `ProbePredictions` for each figure.

    What every update has is stacked; all else, as the counts of a dense output, is in `records`.
    """

    epochs: NDArray[np.int64]  # (E)
    records: tuple[ProbePredictions, ...]  # (E)
    steps: NDArray[np.int64] | None = None  # (E) training steps done, in a run that counts in steps; else None

    @classmethod
    def of(cls, records: Sequence[ProbePredictions]) -> Predictions | None:
        """Return records in the order of their updates as one, None for no records."""
        return cls(epochs_of(records), tuple(records), steps_of(records)) if records else None

    @property
    def answer(self) -> Answer:
        """The kind of output: "class", "labels" or "value"."""
        return self.records[-1].answer

    @property
    def prediction(self) -> NDArray[Any] | None:
        """(E, B) the class, −1 where the outputs are not finite; (E, B, K) of 0 and 1, or numbers; None where not recorded."""
        return _stack([record.prediction for record in self.records])

    @property
    def probability(self) -> NDArray[Any] | None:
        """(E, B) the probability of the predicted class, (E, B, K) of each label; None for numbers, and where not recorded."""
        return _stack([record.probability for record in self.records])

    @property
    def true(self) -> NDArray[Any] | None:
        """(B) the true classes, (B, K) labels of 0 and 1, or numbers; None without labels, and where the probe is not stored."""
        return self.records[-1].true

    @property
    def true_probability(self) -> NDArray[np.floating[Any]]:
        """(E, B) the probability given to the true class, of several labels the mean; NaN without labels and for numbers."""
        return np.stack([record.true_probability for record in self.records])

    @property
    def right(self) -> NDArray[np.floating[Any]]:
        """(E, B) 1 where the prediction is right, else 0; of several labels or positions the share; NaN where unknown."""
        return np.stack([record.right for record in self.records])

    @property
    def loss(self) -> NDArray[np.floating[Any]]:
        """(E, B) −ln of the probability of the true class, of several labels the mean; of numbers the mean squared error."""
        return np.stack([record.loss for record in self.records])

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """(E) the share of predictions that are right; NaN where that is not known."""
        return np.asarray([record.accuracy for record in self.records])


def _stack(arrays: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    """Return arrays of all updates as one; None where an update has none."""
    recorded = [array for array in arrays if array is not None]
    return np.stack(recorded) if recorded and len(recorded) == len(arrays) else None


@dataclass(frozen=True, eq=False)
class Mappings(AtUpdate):
    """The mappings data → features → decision → result of a model on the probe, at one update."""

    epoch: int
    features: Features
    decision: Decision
    result: Result
    flags: tuple[Flag, ...] = ()  # named for layers, or "model"; kinds are those of `MAPPING_FLAGS`
    notes: tuple[Flag, ...] = ()  # the same with `MAPPING_NOTES`: information, no fault
    thresholds: Mapping[str, float] = field(default_factory=dict)  # of flags and notes, see `mapping.flags`
    step: int | None = None  # training steps done, in a run that counts in steps; else None

    def __post_init__(self) -> None:
        object.__setattr__(self, "flags", _as_flags(self.flags))
        object.__setattr__(self, "notes", _as_flags(self.notes))

    @property
    def prediction_depth(self) -> Integer:
        """(B) The first layer from which on all linear probes predict what the model predicts (Baldock et al. 2021).

        An index of `features.layers`; L − 1, the model's output, where the last layer before it is read as another class. −1
        where the model predicts no classes. A layer that tells no samples apart takes no part.
        """
        if self.result.answer != "class":
            return np.full(len(self.result.prediction), -1)
        readable = np.flatnonzero((self.decision.read_as[:-1] >= 0).any(1))
        agrees = self.decision.read_as[readable] == self.result.prediction
        stands = np.logical_and.accumulate(agrees[::-1])[::-1]
        return np.append(readable, len(self.decision.read_as) - 1)[len(readable) - stands.sum(0)]

    @property
    def label_support(self) -> Float:
        """(B) 0 to 1, how far the other samples speak for each one's label: the mean of `decision.support` over the layers.

        The model's output is left out: it is what the model says itself. NaN without labels that are classes, of a dense
        output, whose labels are many a sample, and in files of an older version.
        """
        support = np.asarray(self.decision.support, np.float64)
        hidden = support[:-1] if len(support) > 1 else support
        counts = np.isfinite(hidden).sum(0)
        if self.decision.target != "label" or self.result.unit:
            counts = np.zeros_like(counts)
        sums = np.nansum(hidden, axis=0)
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)

    @property
    def label_quality(self) -> Float:
        """(B) 0 to 1, how far each sample's label is to be believed: the mean of `result.confidence` and `label_support`.

        The confidence alone where there is no support. The model memorises a wrong label, and then believes it; a linear probe
        that is fitted to the other samples never saw it.
        """
        confidence, support = np.asarray(self.result.confidence, np.float64), self.label_support
        return np.where(np.isfinite(support), (confidence + support) / 2, confidence)


@dataclass(frozen=True, eq=False)
class Samples(OverUpdates):
    """Training dynamics of each probe sample over the recorded updates: how easily it was learned, how often it was forgotten.

    `mean_confidence` and `variability` are mean and standard deviation over updates of the probability given to the true
    class, the axes of the data map (Swayamdipta et al. 2020). `forgetting` counts the changes from right to wrong between two
    records (Toneva et al. 2019). `label_support` and `label_quality` are means over updates of those of `Mappings`; the lower
    the quality, the more is a label to be suspected. NaN, and −1 for whole numbers, where there is no label.
    """

    epochs: NDArray[np.int64]  # (E)
    mean_confidence: Float  # (B)
    variability: Float  # (B)
    correctness: Float  # (B) share of updates
    forgetting: NDArray[np.int64]  # (B)
    first_learned: NDArray[np.int64]  # (B) the number of the first update at which it was right, −1: never
    churn: Float  # (E) share of samples whose prediction is another one than in the record before; the first is NaN
    label_support: Float  # (B) how far linear probes of the layers, fitted to the other samples, speak for the label
    label_quality: Float  # (B) how far the label is to be believed
    steps: NDArray[np.int64] | None = None  # (E) training steps done, in a run that counts in steps; else None

    @classmethod
    def of(cls, records: Sequence[Mappings]) -> Samples | None:
        """Return the dynamics over records in the order of their epochs, None for no records."""
        if not records:
            return None
        results = [record.result for record in records]
        confidence = np.stack([np.asarray(r.confidence, np.float64) for r in results])  # (E, B)
        updates = np.asarray([record.update for record in records], np.int64)
        size = confidence.shape[1]
        unknown = np.full(size, -1, np.int64)
        forgetting, first, share = unknown, unknown, np.full(size, np.nan)
        if all(r.correct is not None for r in results):
            right = np.stack([np.asarray(r.correct, bool) for r in results])
            forgetting = (right[:-1] & ~right[1:]).sum(0)
            first = np.where(right.any(0), updates[right.argmax(0)], -1)
            share = right.mean(0)
        predictions = np.stack([r.prediction.reshape(size, -1) for r in results])
        if results[0].answer == "value":
            moved = np.full(len(results) - 1, np.nan)
        else:
            moved = (predictions[1:] != predictions[:-1]).any(2).mean(1)
        return cls(
            epochs=epochs_of(records),
            mean_confidence=confidence.mean(0),
            variability=confidence.std(0),
            correctness=share,
            forgetting=forgetting,
            first_learned=first,
            churn=np.concatenate([[np.nan], moved]),
            label_support=np.mean([record.label_support for record in records], 0),
            label_quality=np.mean([record.label_quality for record in records], 0),
            steps=steps_of(records),
        )

    def suspects(self, most: int = 20) -> NDArray[np.int64]:
        """Return the samples that may be mislabelled, to look at first: rows of the probe, the lowest label quality first.

        Args:
            most: how many of them.
        """
        labelled = np.flatnonzero(np.isfinite(self.label_quality))
        return labelled[np.argsort(self.label_quality[labelled], kind="stable")][:most]
