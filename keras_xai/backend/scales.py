"""Scales that a model computes from what it scales: the roots of mean squares in layer, RMS and group normalisation."""

from __future__ import annotations

from keras_xai.backend.tape import Key, Path, Step, Tape


def roots_of_squares(tape: Tape, path: Path) -> set[Step]:
    """Return the steps that take the root of a mean or sum of squares, by which other values are scaled."""
    kinds = tape.kinds
    makers = {key: step for step in path.steps for key in step.outputs}
    users: dict[Key, list[Step]] = {}
    for step in path.steps:
        for key in step.inputs:
            users.setdefault(key, []).append(step)

    def is_of_squares(step: Step) -> bool:
        """True where all that a step takes from the samples are squares, and means or sums of them."""
        sources = [makers.get(step.inputs[k]) for k in path.sources(step)]
        return bool(sources) and all(
            source is not None and (tape.is_square(source) or (source.kind in kinds.means and is_of_squares(source)))
            for source in sources
        )

    def scales(key: Key) -> bool:
        """True where other values are multiplied or divided by a tensor."""
        for user in users.get(key, []):
            others = [k for k in path.sources(user) if user.inputs[k] != key]
            if user.kind in kinds.scaling and others:
                return True
            if not others and (user.kind in kinds.scaling or user.kind in kinds.means) and scales(user.outputs[0]):
                return True
        return False

    return {
        step
        for step in path.steps
        if step.kind in kinds.roots and len(path.sources(step)) == 1 and is_of_squares(step) and scales(step.outputs[0])
    }
