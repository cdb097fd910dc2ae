"""Concepts of a run in words, and which of their effects are worth a line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_xai.concept_records import Concepts, concept_sentence
from keras_xai.errors import unknown
from keras_xai.recorded import Recorded

Place = tuple[int, int, int]  # the indices of a concept, a layer and a question


def concepts_until(run: Recorded, epoch: int | None = None) -> list[Concepts]:
    """Return the records up to an update, by default all."""
    return [record for record in run.concepts if epoch is None or record.update <= epoch]


def strongest_places(records: Sequence[Concepts], concept: str | None, most: int) -> list[Place]:
    """Return the effects to draw: of several concepts the strongest of each, of one that of each question.

    The strongest is the one of the smallest p, then of the largest effect, at the last record; each at the layer of which that
    holds. What no layer can tell has none.

    Args:
        records: of a run, one or more.
        concept: its name, for the questions of that one alone.
        most: how many at most.

    Raises:
        InvalidInput: there is no such concept.
    """
    last = records[-1]
    if concept is not None and concept not in last.names:
        raise unknown("concept", concept, last.names)
    numbers = range(len(last.names)) if concept is None else [last.names.index(concept)]
    by_concept = []
    for number in numbers:
        places = []
        for question in range(len(last.questions)):
            layer = last.strongest(number, question)
            if layer >= 0:
                places.append((number, layer, question))
        by_concept.append(sorted(places, key=lambda place: _rank(last, place)))
    if len(by_concept) == 1:
        return by_concept[0][:most]
    return [places[0] for places in by_concept if places][:most]


def _rank(record: Concepts, place: Place) -> tuple[float, float]:
    return float(record.p[place]), -abs(float(record.effect[place]))


def concept_words(run: Recorded, epoch: int | None = None) -> list[str]:
    """Return a sentence on each concept of a run, as it stood at an update; [] where none were given."""
    records = concepts_until(run, epoch)
    return [concept_sentence(records, name, run.unit) for name in records[-1].names] if records else []


def readabilities(records: Sequence[Concepts]) -> tuple[list[str], np.ndarray]:
    """Return the names of concept and layer, and the AUC of each (N · L, E)."""
    last = records[-1]
    names = [f"{name}: {layer}" for name in last.names for layer in last.layers]
    return names, np.stack([np.asarray(record.readability, np.float64).reshape(-1) for record in records], 1)
