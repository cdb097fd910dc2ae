"""Flags of gradients, judged epoch by epoch. `keras_xai.gradient_flags.CONDITIONS` is their table."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from keras_xai.errors import InvalidInput, unknown
from keras_xai.flag_tracker import FlagTracker
from keras_xai.gradient_flags import CONDITIONS, THRESHOLDS, Thresholds, VariableState
from keras_xai.records import FLAGS, Flag, Float, Gradients, layer_of


class Flags:
    """Judges the statistics of each recorded epoch.

    The flags, their conditions and default thresholds are those of `keras_xai.gradient_flags.CONDITIONS`. A condition must hold
    in `thresholds["epochs"]` recorded epochs running, three by default; one with a count of its own, as non-finite, in so many.

    Dead and vanishing are judged on a layer as a whole, and then name its variables for which they hold: a bias in
    front of a normalisation and the key bias of an attention have no gradient by nature. A sparse gradient leaves the
    rows out that the batch did not use: there only a gradient that is zero throughout is dead.

    Args:
        thresholds: other numbers, by flag; "epochs" is how many running. None switches a flag off.

    Raises:
        InvalidInput: an unknown name, or a number that cannot be one.
    """

    def __init__(self, thresholds: Mapping[str, float | None] | None = None) -> None:
        changed = {} if thresholds is None else thresholds
        if not isinstance(changed, Mapping):
            raise InvalidInput(f"thresholds={thresholds!r}: expected a dict like {{'vanishing': 1e-9}}.")
        # Where a flag is off, its neighbours are judged as if it were not: what is dead does not become vanishing.
        limits = dict(THRESHOLDS)
        switched_off: dict[str, float] = {}
        for name, value in changed.items():
            if name not in THRESHOLDS:
                raise unknown("threshold", name, THRESHOLDS)
            if value is None and name in CONDITIONS:
                switched_off[name] = CONDITIONS[name].off
                continue
            is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
            if value is None or not is_number or not math.isfinite(value) or value < 0:
                raise InvalidInput(f"thresholds: {name!r} is {value!r}, expected a number, 0 or more.")
            limits[name] = value
        self._limits, self._switched_off = limits, frozenset(switched_off)
        self.thresholds = {**limits, **switched_off}
        if self.thresholds["dead"] > 1:
            raise InvalidInput(f"thresholds: 'dead' is {self.thresholds['dead']!r}, a fraction of zeros is at most 1.")
        epochs = int(self.thresholds["epochs"])
        if self.thresholds["epochs"] != epochs or epochs < 1:
            raise InvalidInput(f"thresholds: 'epochs' is {self.thresholds['epochs']!r}, expected 1, 2, 3, …")
        running = {kind: condition.epochs or epochs for kind, condition in CONDITIONS.items()}
        self._tracker = FlagTracker(running)
        self._past_rms: defaultdict[str, list[float]] = defaultdict(list)  # of epochs that did not explode

    def judge(
        self,
        epoch: int,
        names: Sequence[str],
        statistics: Mapping[str, Float],
        sizes: Sequence[int],
        sparse: Sequence[str] = (),
    ) -> tuple[Flag, ...]:
        """Return the flags that stand after this epoch.

        A variable of which nothing was recorded (NaN) is skipped: it has no flag, and its epochs running go on.

        Args:
            epoch: of the record.
            names: (V) of the variables.
            statistics: float32 (V) arrays, as of `statistics.derived`.
            sizes: (V) entries of the variables.
            sparse: names of variables whose gradient leaves rows out.
        """
        conditions: dict[tuple[str, str], bool] = {}
        for name, state in self._states(names, statistics, sizes, sparse):
            for kind, condition in CONDITIONS.items():
                is_on = kind not in self._switched_off
                conditions[name, kind] = is_on and bool(condition.holds(state, self._limits))
            if state.rms > 0 and np.isfinite(state.rms) and not conditions[name, "exploding"]:
                self._past_rms[name].append(state.rms)
        return tuple(self._tracker.update(epoch, conditions))

    def replay(self, past: Sequence[Gradients], sizes: Mapping[str, int], sparse: Sequence[str] = ()) -> None:
        """Continue from recorded epochs, as if they had been judged here."""
        for record in past:
            names = [name for name in record.names if name in sizes]
            rows = [record.names.index(name) for name in names]
            statistics = {key: np.asarray(values)[rows] for key, values in record.statistics.items()}
            self.judge(record.update, names, statistics, [sizes[name] for name in names], sparse)

    def _states(
        self, names: Sequence[str], statistics: Mapping[str, Float], sizes: Sequence[int], sparse: Sequence[str]
    ) -> list[tuple[str, VariableState]]:
        """Return the variables of which something was recorded, with their states, layer by layer."""
        columns = (np.asarray(statistics[key], np.float64) for key in ("rms", "zero_fraction", "nonfinite"))
        rms, zero_fraction, nonfinite = columns
        layers: defaultdict[str, list[int]] = defaultdict(list)
        for row, name in enumerate(names):
            if np.isfinite(zero_fraction[row]):
                layers[layer_of(name)].append(row)
        states: list[tuple[str, VariableState]] = []
        for rows in layers.values():
            entries = np.asarray(sizes, np.float64)[rows]
            share = entries / entries.sum()
            layer_zero_fraction = float(share @ zero_fraction[rows])
            layer_mean_square = float(share @ rms[rows] ** 2)
            for row in rows:
                past = self._past_rms[names[row]]
                state = VariableState(
                    rms=float(rms[row]),
                    zero_fraction=float(zero_fraction[row]),
                    nonfinite=float(nonfinite[row]),
                    is_sparse=names[row] in sparse,
                    usual_rms=float(np.median(past)) if len(past) >= 3 else 0.0,
                    layer_zero_fraction=layer_zero_fraction,
                    layer_mean_square=layer_mean_square,
                    statistics={key: float(values[row]) for key, values in statistics.items()},
                )
                states.append((names[row], state))
        return states


def sentence(flags: Sequence[Flag], thresholds: Thresholds) -> str:
    """Return flags in words, for a warning."""
    parts = []
    for kind in FLAGS:
        of_kind = [flag for flag in flags if flag.kind == kind]
        if of_kind:
            more = f" and {len(of_kind) - 3} more" if len(of_kind) > 3 else ""
            names = ", ".join(f"{flag.name} (since epoch {flag.since})" for flag in of_kind[:3])
            parts.append(f"{names}{more}: {kind}, {CONDITIONS[kind].warning.format(thresholds[kind])}")
    return "; ".join(parts)
