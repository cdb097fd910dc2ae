"""When gradients are called dead, vanishing, exploding or non-finite."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from keras_xai.errors import InvalidInput, unknown
from keras_xai.records import FLAGS, Flag, Float, Gradients, layer_of

# What each threshold means stands in `Flags`.
THRESHOLDS: dict[str, float] = {"dead": 0.999, "vanishing": 1e-7, "exploding": 100.0, "non-finite": 0, "epochs": 3}


class Flags:
    """Judges the statistics of each recorded epoch.

    | flag | when |
    |---|---|
    | dead | `zero_fraction` > 0.999 |
    | vanishing | `rms` < 1e-7, and not dead |
    | exploding | `rms` > 100 × the median of the variable's earlier epochs (at least three, not 0), and not vanishing |
    | non-finite | `nonfinite` > 0 |

    The first three must hold in three recorded epochs running; non-finite counts at once.

    Dead and vanishing are judged on a layer as a whole, and then name its variables for which they hold: a bias in
    front of a normalisation and the key bias of an attention have no gradient by nature. A sparse gradient leaves the
    rows out that the batch did not use: there only a gradient that is zero throughout is dead.

    Args:
        thresholds: other numbers, by flag; "epochs" is how many running.

    Raises:
        InvalidInput: an unknown name, or a number that cannot be one.
    """

    def __init__(self, thresholds: Mapping[str, float] | None = None) -> None:
        given = {} if thresholds is None else thresholds
        if not isinstance(given, Mapping):
            raise InvalidInput(f"thresholds={thresholds!r}: expected a dict like {{'vanishing': 1e-9}}.")
        for name, value in given.items():
            if name not in THRESHOLDS:
                raise unknown("threshold", name, THRESHOLDS)
            number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or value < 0:
                raise InvalidInput(f"thresholds: {name!r} is {value!r}, expected a number, 0 or more.")
        self.thresholds = THRESHOLDS | dict(given)
        if self.thresholds["dead"] > 1:
            raise InvalidInput(f"thresholds: 'dead' is {self.thresholds['dead']!r}, a fraction of zeros is at most 1.")
        if self.thresholds["epochs"] != int(self.thresholds["epochs"]) or self.thresholds["epochs"] < 1:
            raise InvalidInput(f"thresholds: 'epochs' is {self.thresholds['epochs']!r}, expected 1, 2, 3, …")
        self._runs: dict[tuple[str, str], tuple[int, int]] = {}  # (variable, kind): since, epochs so far
        self._past: defaultdict[str, list[float]] = defaultdict(list)  # rms of epochs that did not explode

    def judge(
        self,
        epoch: int,
        names: Sequence[str],
        statistics: Mapping[str, Float],
        sizes: Sequence[int],
        sparse: Sequence[str] = (),
    ) -> tuple[Flag, ...]:
        """The flags that stand after this epoch. NaN rows (nothing recorded) neither begin nor end a run."""
        needed = int(self.thresholds["epochs"])
        flags: list[Flag] = []
        for (name, kind), holds in self._conditions(names, statistics, sizes, sparse).items():
            if not holds:
                self._runs.pop((name, kind), None)
                continue
            since, count = self._runs.get((name, kind), (epoch, 0))
            self._runs[name, kind] = since, count + 1
            if kind == "non-finite" or count + 1 >= needed:
                flags.append(Flag(name, kind, since))
        return tuple(flags)

    def replay(self, past: Sequence[Gradients], sizes: Mapping[str, int], sparse: Sequence[str] = ()) -> None:
        """Continue from recorded epochs, as if they had been judged here."""
        for record in past:
            known = [name for name in record.names if name in sizes]
            at = [record.names.index(name) for name in known]
            statistics = {key: np.asarray(values)[at] for key, values in record.statistics.items()}
            self.judge(record.epoch, known, statistics, [sizes[name] for name in known], sparse)

    def _conditions(
        self, names: Sequence[str], statistics: Mapping[str, Float], sizes: Sequence[int], sparse: Sequence[str]
    ) -> dict[tuple[str, str], bool]:
        limit = self.thresholds
        rms, zeros, broken = (np.asarray(statistics[key], np.float64) for key in ("rms", "zero_fraction", "nonfinite"))
        weight = np.asarray(sizes, np.float64)
        layers: defaultdict[str, list[int]] = defaultdict(list)
        for v, name in enumerate(names):
            if np.isfinite(zeros[v]):
                layers[layer_of(name)].append(v)
        found: dict[tuple[str, str], bool] = {}
        for rows in layers.values():
            share = weight[rows] / weight[rows].sum()
            layer_zeros, layer_power = float(share @ zeros[rows]), float(share @ rms[rows] ** 2)
            for v in rows:
                name = names[v]
                empty = rms[v] == 0 if name in sparse else zeros[v] > limit["dead"]
                layer_empty = layer_power == 0 if name in sparse else layer_zeros > limit["dead"]
                dead = bool(empty and layer_empty)
                faint = bool(rms[v] < limit["vanishing"])
                past = self._past[name]
                median = float(np.median(past)) if len(past) >= 3 else 0.0
                exploding = bool(not faint and median > 0 and rms[v] > limit["exploding"] * median)
                if rms[v] > 0 and np.isfinite(rms[v]) and not exploding:
                    past.append(float(rms[v]))
                found[name, "dead"] = dead
                found[name, "vanishing"] = faint and not dead and layer_power < limit["vanishing"] ** 2
                found[name, "exploding"] = exploding
                found[name, "non-finite"] = bool(broken[v] > limit["non-finite"])
        return found


def sentence(flags: Sequence[Flag], thresholds: Mapping[str, float]) -> str:
    """Flags in words, for a warning."""
    words = {
        "dead": f"more than {thresholds['dead']:.4g} of its gradient is exactly zero",
        "vanishing": f"the RMS of its gradient is under {thresholds['vanishing']:g}",
        "exploding": f"the RMS of its gradient is over {thresholds['exploding']:g} × the median of its earlier epochs",
        "non-finite": "its gradient has NaN or infinite entries",
    }
    parts = []
    for kind in FLAGS:
        of = [(name, since) for name, which, since in flags if which == kind]
        if of:
            more = f" and {len(of) - 3} more" if len(of) > 3 else ""
            parts.append(f"{', '.join(f'{n} (since epoch {s})' for n, s in of[:3])}{more}: {kind}, {words[kind]}")
    return "; ".join(parts)
