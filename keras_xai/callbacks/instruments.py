"""The table of instruments: what `Explain(instruments=…)` turns on, and is off by default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from keras_xai.errors import InvalidInput, unknown

Instruments = Literal["all"] | Sequence[str] | None
Part = Literal["gradients", "attributions", "mappings", "training_checks", "drift"]  # callbacks of `Explain`
PARTS: tuple[Part, ...] = get_args(Part)


class Instrument(NamedTuple):
    """One instrument: the options that turn it on, of one part of `Explain`."""

    part: Part
    options: Mapping[str, Any]  # where it is named
    of_all: Mapping[str, Any]  # where "all" are asked for, which refuses no training


def _always(part: Part, options: Mapping[str, Any]) -> Instrument:
    return Instrument(part, options, options)


INSTRUMENTS: dict[str, Instrument] = {
    "critical_step": _always("gradients", {"critical_step": True}),
    "map_checks": _always("attributions", {"check": True}),
    # A callback of its own, with its default thresholds.
    "training_checks": _always("training_checks", {"thresholds": None}),
    "influence": Instrument("drift", {"influence": True}, {"influence": "auto"}),
}


def instrument_options(instruments: Instruments) -> dict[Part, dict[str, Any]]:
    """Return the options that instruments turn on, by part.

    Args:
        instruments: names of `INSTRUMENTS`, "all" of them, or None.

    Raises:
        InvalidInput: neither of these, or an unknown name.
    """
    options: dict[Part, dict[str, Any]] = {part: {} for part in PARTS}
    for name in _names(instruments):
        if name not in INSTRUMENTS:
            raise unknown("instrument", name, INSTRUMENTS)
        instrument = INSTRUMENTS[name]
        options[instrument.part].update(instrument.of_all if instruments == "all" else instrument.options)
    return options


def _names(instruments: Instruments) -> Sequence[str]:
    if instruments is None:
        return ()
    if isinstance(instruments, str):
        return tuple(INSTRUMENTS) if instruments == "all" else (instruments,)
    if not isinstance(instruments, Sequence) or not all(isinstance(name, str) for name in instruments):
        raise InvalidInput(f'instruments={instruments!r}: expected "all", or names of {", ".join(INSTRUMENTS)}.')
    return tuple(instruments)
