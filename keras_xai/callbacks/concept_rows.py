"""The rows of concepts, as the user of `ProbeMappings(concepts=…)` gives them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.callbacks.first_warning import warn_in_first_process
from keras_xai.errors import InvalidInput, listed
from keras_xai.outputs.dense import Dense
from keras_xai.probe import Probe

MIN_ROWS = 10  # of examples, and of counter-examples
MAX_ROWS = 512  # that are used of either
FEW_ROWS = 30  # below, only large effects are seen
MAX_CONCEPTS = 64


class ConceptRows(NamedTuple):
    """The rows of one concept."""

    examples: Probe
    counter_examples: Probe | None  # None: the rows of the probe


def concepts_of(concepts: Any, probe: Probe) -> dict[str, ConceptRows]:
    """Return the rows of each concept by its name.

    Args:
        concepts: as `ProbeMappings` takes them; None for none.
        probe: whose rows they are shaped like.

    Raises:
        InvalidInput: no dict of rows by name; rows of another shape, or fewer than ten; an output at many positions.
    """
    if concepts is None:
        return {}
    if not isinstance(concepts, Mapping) or not concepts or not all(isinstance(n, str) and n for n in concepts):
        raise InvalidInput(
            f"concepts={concepts!r:.80}: expected a dict of rows by the name of the concept, as {{'ruler': examples}}."
        )
    if len(concepts) > MAX_CONCEPTS:
        raise InvalidInput(
            f"concepts has {len(concepts)} entries: {MAX_CONCEPTS} at most can be told apart from chance."
        )
    if isinstance(probe.output, Dense):
        raise InvalidInput(
            f"concepts need a row of scores for each row of the probe; {probe.output} says something at many positions."
        )
    rows = {}
    for name, value in concepts.items():
        word = f"concepts[{name!r}]"
        examples, counter = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
        of_counter = None if counter is None else _rows_like(probe, counter, f"{word}[1]")
        rows[name] = ConceptRows(_rows_like(probe, examples, word), of_counter)
    smallest = min(rows, key=lambda name: rows[name].examples.size)
    if rows[smallest].examples.size < FEW_ROWS:
        warn_in_first_process(
            f"concepts[{smallest!r}] has {rows[smallest].examples.size} examples: only large effects can be told from those of "
            f"random rows; give {FEW_ROWS} or more.",
            stacklevel=4,
        )
    return rows


def _rows_like(probe: Probe, samples: Any, word: str) -> Probe:
    """Return rows as a probe of the same kind.

    Raises:
        InvalidInput: they are not shaped like those of the probe, or fewer than ten.
    """
    is_frame = hasattr(samples, "columns")
    names = None if is_frame or probe.kind != "table" else probe.feature_names
    try:
        rows = Probe(samples, kind=probe.kind or None, feature_names=names)
    except InvalidInput as error:
        raise InvalidInput(f"{word}: {error} Rows shaped like those of the probe are expected.") from error
    shapes, expected = rows.shapes, probe.shapes
    if shapes != expected:
        raise InvalidInput(
            f"{word} has rows of shape {_in_words(shapes)}, the probe of {_in_words(expected)}: give rows like it."
        )
    if rows.keys != probe.keys:
        came, taken = (listed(p.keys) if p.keys else "no names of inputs" for p in (rows, probe))
        raise InvalidInput(f"{word} has {came}, the probe {taken}: give rows in the same structure.")
    if rows.size < MIN_ROWS:
        raise InvalidInput(f"{word} has {rows.size} rows: {MIN_ROWS} or more are needed; {FEW_ROWS} are good.")
    return rows


def _in_words(shapes: Sequence[tuple[int, ...]]) -> str:
    return " and ".join(map(str, shapes))


def evenly_spaced(size: int, most: int) -> NDArray[np.int64]:
    """Return at most so many numbers of rows, evenly spaced."""
    return np.unique(np.linspace(0, size - 1, min(size, most)).round().astype(np.int64))


def digest_of(concepts: Mapping[str, ConceptRows], probe: Probe) -> str:
    """Return a text that is another one where concepts or their rows are others."""
    parts = []
    for name, rows in concepts.items():
        counter = probe if rows.counter_examples is None else rows.counter_examples
        parts.append(f"{name}\0{rows.examples.hash}\0{counter.hash}")
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
