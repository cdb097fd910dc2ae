"""Gradient statistics as tables over epochs, by variable or by layer, and the flags in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from keras_xai.analysis.epochs import position
from keras_xai.analysis.formatting import short
from keras_xai.errors import unknown
from keras_xai.gradient_flags import CONDITIONS, THRESHOLDS
from keras_xai.recorded import Recorded
from keras_xai.records import STATISTICS, Flag, Float, Gradients, layer_of
from keras_xai.updates import UPDATES, Unit, named

# Further statistics from which a statistic of several variables together is computed.
REQUIRED_STATISTICS = {"update_ratio": ("weight_norm",), "std": ("rms", "mean")}


def variables(records: Sequence[Gradients]) -> tuple[str, ...]:
    """Return the variables of a run, as the last record names them."""
    return records[-1].names if records else ()


def layers(records: Sequence[Gradients]) -> dict[str, tuple[str, ...]]:
    """Return the variables of each layer, by the layer's path; {} where the records have no sizes to weight them by."""
    if not records or len(records[-1].sizes) != len(records[-1].names):
        return {}
    members: dict[str, tuple[str, ...]] = {}
    for name in records[-1].names:
        layer = layer_of(name)
        members[layer] = (*members.get(layer, ()), name)
    return members


def variable_named(run: Recorded, name: str | None) -> str:
    """Return the variable or the layer asked for, or the first variable.

    Raises:
        InvalidInput: the run has neither a variable nor a layer of this name.
    """
    names, layer_names = variables(run.weight_gradients), layers(run.weight_gradients)
    if name and name not in names and name not in layer_names:
        raise unknown("variable", name, (*names, *layer_names))
    return name or (names[0] if names else "")


def members_of(run: Recorded, name: str) -> tuple[str, ...]:
    """Return the variables of a name: of a variable itself, of a layer all its variables."""
    if name in variables(run.weight_gradients):
        return (name,)
    return layers(run.weight_gradients).get(name, (name,))


def without_common_path(names: Sequence[str], depth: int = 2) -> list[str]:
    """Return variable paths without their first part, the model's name, where all share it and have `depth` slashes or more."""
    first_parts = {name.split("/", 1)[0] for name in names}
    if len(first_parts) > 1 or any(name.count("/") < depth for name in names):
        return list(names)
    return [name.split("/", 1)[1] for name in names]


def table(records: Sequence[Gradients], statistic: str, names: Sequence[str] | None = None) -> Float:
    """Return a statistic over epochs (V, E); NaN where a variable did not exist or nothing was captured.

    Args:
        records: of E epochs.
        statistic: one of `STATISTICS`.
        names: of V variables; default those of the last record.

    Raises:
        InvalidInput: no such statistic.
    """
    if statistic not in STATISTICS:
        raise unknown("gradient statistic", statistic, STATISTICS)
    names = variables(records) if names is None else tuple(names)
    values = np.full((len(names), len(records)), np.nan)
    rows: list[int] = []
    last_names: tuple[str, ...] | None = None
    for e, record in enumerate(records):
        if record.names != last_names:  # hardly ever: where layers were added or unfrozen between two fits
            row_of = {name: v for v, name in enumerate(record.names)}
            rows = [row_of.get(name, -1) for name in names]
            last_names = record.names
        column = record.statistics[statistic]
        if min(rows, default=0) >= 0:
            values[:, e] = column[rows]
        else:
            values[:, e] = [column[v] if v >= 0 else np.nan for v in rows]
    return values


def layer_table(records: Sequence[Gradients], statistic: str, groups: Sequence[Sequence[str]]) -> Float:
    """Return a statistic of groups of variables over epochs (L, E), over all entries of a group that got a gradient.

    Means are weighted by size, and norms are roots of summed squares, as in `Gradients.by_layer`, but for all epochs at once.

    Args:
        records: of E epochs, with sizes.
        statistic: one of `STATISTICS`.
        groups: the names of the variables of each of L groups.
    """
    sizes = dict(zip(records[-1].names, records[-1].sizes, strict=True))
    names = [name for group in groups for name in group]
    needed = {statistic, "zero_fraction", *REQUIRED_STATISTICS.get(statistic, ())}
    tables = {name: table(records, name, names) for name in needed}
    merged = np.full((len(groups), len(records)), np.nan)
    begin = 0
    for row, group in enumerate(groups):
        rows = slice(begin, begin + len(group))
        begin += len(group)
        captured = np.isfinite(tables["zero_fraction"][rows])
        entries = np.where(captured, np.reshape([sizes[name] for name in group], (-1, 1)), 0.0)
        values = {name: np.where(captured, all_rows[rows], 0.0) for name, all_rows in tables.items()}
        with np.errstate(divide="ignore", invalid="ignore"):
            merged[row] = np.where(captured.any(0), _merged(values, entries, statistic), np.nan)
    return merged


def _merged(values: Mapping[str, Float], entries: Float, statistic: str) -> Float:
    """Return a statistic of one group over epochs (E).

    Args:
        values: by statistic, of M variables (M, E).
        entries: (M, E) number of entries of each; 0 where nothing was captured.
        statistic: one of `STATISTICS`.
    """
    share = entries / entries.sum(0)
    if statistic == "rms":
        return np.sqrt((share * values["rms"] ** 2).sum(0))
    if statistic == "std":
        mean = (share * values["mean"]).sum(0)
        return np.sqrt(np.maximum(0, (share * values["rms"] ** 2).sum(0) - mean**2))
    if statistic == "max":
        return np.asarray(values["max"].max(0))
    if statistic == "nonfinite":
        return np.asarray(values["nonfinite"].sum(0))
    if statistic == "weight_norm":
        return np.sqrt((values["weight_norm"] ** 2).sum(0))
    if statistic == "update_ratio":
        moved = np.isfinite(values["update_ratio"])
        weight = (values["weight_norm"] ** 2).sum(0)
        update = np.where(moved, values["update_ratio"] * values["weight_norm"], 0.0)
        return np.where(moved.any(0) & (weight > 0), np.sqrt((update**2).sum(0) / weight), np.nan)
    return np.asarray((share * values[statistic]).sum(0))


def series(run: Recorded, variable: str | None, statistic: str) -> tuple[list[int], Float]:
    """Return the updates (E), and a statistic of one variable or layer (E); NaN where not above 0, for a logarithmic axis."""
    name, records = variable_named(run, variable), run.weight_gradients
    members = members_of(run, name)
    is_variable = members == (name,)
    (values,) = table(records, statistic, members) if is_variable else layer_table(records, statistic, [members])
    return [record.update for record in records], np.where(values > 0, values, np.nan)


def histogram(record: Gradients, members: Sequence[str]) -> Float:
    """Return the histogram of the gradients of some variables together at one epoch: counts (bins)."""
    rows = [record.names.index(name) for name in members if name in record.names]
    counts: Float = np.nan_to_num(np.asarray(record.histogram[rows], np.float64)).sum(0)
    return counts


def binned(epochs: list[int], values: Float, columns: int) -> tuple[list[int], Float]:
    """Reduce values (V, E) to at most `columns` columns, each the maximum over as many neighbouring epochs.

    The maximum, so that a single bad epoch of a long run stays visible.

    Returns:
        The first epoch of each column, and the values.
    """
    step = -(-len(epochs) // columns)
    if step <= 1:
        return epochs, values
    padded = np.pad(values, ((0, 0), (0, -len(epochs) % step)), constant_values=np.nan)
    return epochs[::step], np.fmax.reduce(padded.reshape(len(values), -1, step), axis=2)


def decades(values: Float) -> tuple[float, float]:
    """Return the ends of a logarithmic colour scale, as exponents of ten.

    They are the 6 % and 99 % quantiles of the run's values, rounded outwards to half decades, so that a factor of two is
    visible.
    """
    logs = np.log10(values[np.isfinite(values) & (values > 0)])
    if not logs.size:
        return -8.0, 0.0
    low, high = np.floor(2 * np.quantile(logs, 0.06)) / 2, np.ceil(2 * np.quantile(logs, 0.99)) / 2
    return float(low), float(max(high, low + 0.5))


def row_flags(record: Gradients, groups: Mapping[str, Sequence[str]]) -> list[Flag]:
    """Return the flags of the rows of a heat map: a layer has those of its variables, each kind since its first epoch.

    Args:
        record: with flags of variables.
        groups: the variables of each row, by the row's name.
    """
    row_of = {name: row for row, members in groups.items() for name in members}
    since: dict[tuple[str, str], int] = {}
    for flag in record.flags:
        key = row_of.get(flag.name, flag.name), flag.kind
        since[key] = min(flag.since, since.get(key, flag.since))
    return [Flag(name, kind, epoch) for (name, kind), epoch in since.items()]


def gradient_health(run: Recorded, epoch: int | None = None) -> str:
    """Return a sentence on the flags that stand at an epoch; "" where no gradient was recorded."""
    records = run.weight_gradients
    if not records:
        return ""
    record = records[position([r.update for r in records], epoch)]
    if record.missing:
        return f"Not captured: {record.missing}"
    thresholds = {**THRESHOLDS, **record.thresholds}  # an older file does not say which were in force
    if not record.flags:
        rules = [
            f"{kind.capitalize()}: {_worded(condition.rule, thresholds[kind], unit=run.unit)}."
            for kind, condition in CONDITIONS.items()
            if condition.rule and thresholds[kind] != condition.off
        ]
        return " ".join(["No flag.", *rules])
    first = min(record.flags, key=lambda flag: flag.since)
    since = named(run.unit, first.since)
    reason = f"is {first.kind} since {since}"
    if first.kind in CONDITIONS:
        reason = _worded(CONDITIONS[first.kind].reason, thresholds[first.kind], first.since, run.unit)
    kinds = " or ".join(sorted({flag.kind for flag in record.flags}))
    flagged = len({flag.name for flag in record.flags})
    return f"{flagged} of {len(record.names)} variables {kinds}. {first.name} {reason}."


def _worded(sentence: str, threshold: float, since: int = 0, unit: Unit = "epoch") -> str:
    """Return a sentence of `CONDITIONS` with its threshold, and the update since which the flag stands."""
    words = {"since": since, "when": named(unit, since), "updates": UPDATES[unit]}
    return sentence.format(threshold, percent=f"{100 * threshold:g}\u00a0%", short=short(threshold), **words)
