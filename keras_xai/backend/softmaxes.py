"""Softmaxes that are written as several operations: exp u / Σ exp u."""

from __future__ import annotations

import dataclasses

from keras_xai.backend.tape import Path, Step, Tape


@dataclasses.dataclass(frozen=True, eq=False)
class Softmax:
    """The operations of one."""

    power: Step  # exp u
    total: tuple[Step, ...]  # its sum, in another precision perhaps, and how that is laid beside the powers
    quotient: Step


def softmaxes(tape: Tape, path: Path) -> list[Softmax]:
    """Return those of a path."""
    makers = {key: step for step in path.steps for key in step.outputs}
    of_path = (_softmax(tape, path, step, makers) for step in path.steps if step.kind in tape.kinds.scaling)
    return [softmax for softmax in of_path if softmax is not None]


def _softmax(tape: Tape, path: Path, quotient: Step, makers: dict[object, Step]) -> Softmax | None:
    kinds = tape.kinds
    if len(quotient.inputs) != 2 or path.sources(quotient) != [0, 1] or quotient.kind in kinds.bilinear:
        return None
    power, step, total = makers.get(quotient.inputs[0]), makers.get(quotient.inputs[1]), []
    while step is not None and step.kind in kinds.spreads and path.sources(step) == [0]:
        total.append(step)
        step = makers.get(step.inputs[0])
    if power is None or power.kind not in kinds.exponential or step is None or step.kind not in kinds.sums:
        return None
    total.append(step)
    step = makers.get(step.inputs[0])
    while step is not None and step is not power and step.kind in kinds.spreads and path.sources(step) == [0]:
        total.append(step)  # half precision is summed in single
        step = makers.get(step.inputs[0])
    return Softmax(power, tuple(reversed(total)), quotient) if step is power else None
