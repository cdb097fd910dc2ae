"""The concepts of `ProbeMappings`: examples as the user gives them, measured at each update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.callbacks.concept_rows import MAX_ROWS, ConceptRows, digest_of, evenly_spaced
from keras_xai.concept_records import Concepts, EffectUnit, concept_sentence, uses
from keras_xai.errors import InvalidInput, cause
from keras_xai.mapping.concept_effects import (
    DRAWS,
    DRAWS_A_CONCEPT,
    SMALL,
    LayerEffects,
    Splits,
    Tested,
    layer_effects,
    p_values,
)
from keras_xai.mapping.concepts import ConceptReader
from keras_xai.mapping.reading import Reader
from keras_xai.model.fitting import fit_probe
from keras_xai.model.inputs import check_input_shapes, prepare_inputs
from keras_xai.model.runner import ModelRunner
from keras_xai.model.samples import Samples
from keras_xai.model.task import SUM, Task
from keras_xai.probe import Probe
from keras_xai.updates import Unit

MIN_ROWS_OF_QUESTION = 5  # of the probe
MAX_QUESTIONS = 32


class _Figures(NamedTuple):
    """The figures of a record, NaN where nothing is measured."""

    readability: NDArray[np.float32]  # (N, L)
    effect: NDArray[np.float32]  # (N, L, K), as the others
    error: NDArray[np.float32]
    share: NDArray[np.float32]
    p: NDArray[np.float32]

    @classmethod
    def empty(cls, concepts: int, layers: int, questions: int) -> _Figures:
        shape = concepts, layers, questions
        return cls(np.full(shape[:2], np.nan, np.float32), *(np.full(shape, np.nan, np.float32) for _ in range(4)))

    def add(
        self,
        concept: int,
        questions: NDArray[np.int64],
        effects: Mapping[int, LayerEffects],
        tested: Sequence[Tested],
    ) -> None:
        """Set the figures of a concept in the layers that can tell it, for the questions that are asked."""
        for (layer, of_layer), of_test in zip(effects.items(), tested, strict=True):
            self.effect[concept, layer, questions] = of_layer.effect
            self.share[concept, layer, questions] = of_layer.share
            self.error[concept, layer, questions] = of_test.error
            self.p[concept, layer, questions] = of_test.p


class ConceptWatch:
    """Measures concepts in one training.

    Args:
        concepts: their rows.
        model: built.
        probe: fitted to the model.
        x: (B, ...) its rows, as programs take them.
        reader: of the mappings, after its first reading.
        labels: the probe's true classes, labels or numbers; None without.
    """

    def __init__(
        self,
        concepts: Mapping[str, ConceptRows],
        model: keras.Model,
        probe: Probe,
        x: Sequence[Samples],
        reader: Reader,
        labels: NDArray[Any] | None,
    ) -> None:
        task = reader.runner.task
        assert task is not None
        self.names = tuple(concepts)
        self._task, self._probe, self._x = task, probe, list(x)
        self._reader = ConceptReader(reader)
        self._target = self._fixed_target(reader.runner, labels)
        self._questions = self._questions_of(probe)
        self._digest = digest_of(concepts, probe)
        self._rows = self._joined_rows(concepts, model)
        draws = max(DRAWS, DRAWS_A_CONCEPT * len(concepts) - 1)
        sizes = [(len(examples), len(counter)) for examples, counter in self._places]
        self._sizes = tuple(sizes)
        self._splits = [Splits(*pair, draws) for pair in sizes]
        self._draws = draws

    def _joined_rows(self, concepts: Mapping[str, ConceptRows], model: keras.Model) -> list[Samples]:
        """Return all given rows as one array an input: one program reads them; and note the places of each concept in them."""
        parts: list[list[NDArray[Any]]] = []
        self._places: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        begin = 0
        of_probe = evenly_spaced(self._probe.size, MAX_ROWS)
        for name, of_concept in concepts.items():
            places = []
            for rows in of_concept:
                if rows is None:
                    places.append(of_probe)
                    continue
                fitted = fit_probe(model, rows)
                check_input_shapes(model, fitted.inputs, fitted.x)
                if len(fitted.inputs) != len(self._x):
                    raise InvalidInput(f"concepts[{name!r}] has {len(fitted.inputs)} inputs, the probe {len(self._x)}.")
                chosen = evenly_spaced(fitted.size, MAX_ROWS)
                parts.append([np.asarray(array)[chosen] for array in fitted.inputs])
                places.append(np.arange(begin, begin + len(chosen)))
                begin += len(chosen)
            self._places.append((places[0], places[1]))
        self._counter_is_probe = [of_concept.counter_examples is None for of_concept in concepts.values()]
        arrays = [np.concatenate(of_input) for of_input in zip(*parts, strict=True)]
        return prepare_inputs(model, arrays, self._probe.x)

    def _fixed_target(self, runner: ModelRunner, labels: NDArray[Any] | None) -> NDArray[np.int64] | None:
        """Return what each row is asked, where that is the same at every update; else None: the model's own prediction."""
        task, probe = self._task, self._probe
        chosen = None if probe.target is None else runner.targets(self._x, None, probe.target, probe.class_names)
        if task.kind == "labels" and chosen is not None:
            return np.eye(task.width, dtype=np.int64)[chosen]
        if chosen is not None:
            return chosen
        if task.kind in ("number", "numbers"):
            return np.full(probe.size, SUM, np.int64)
        if labels is None:
            return None
        return 2 * np.asarray(labels, np.int64) - 1 if task.kind == "labels" else np.asarray(labels, np.int64)

    def _questions_of(self, probe: Probe) -> dict[int, str]:
        """Return the classes that are asked for, with their names; one question of numbers and labels."""
        if not self._task.classes:
            return {0: "labels" if self._task.kind == "labels" else "output"}
        classes = np.arange(self._task.classes)
        if self._target is not None:
            counts = np.bincount(self._target, minlength=self._task.classes)
            classes = np.sort(np.argsort(-counts, kind="stable")[:MAX_QUESTIONS])
            classes = classes[counts[classes] >= MIN_ROWS_OF_QUESTION]
        names = probe.class_names
        words: dict[int, str] = {}
        for k in classes[:MAX_QUESTIONS].tolist():
            name = str(names[k]) if names is not None and k < len(names) else f"class {k}"
            words[k] = name if name not in words.values() else f"{name} ({k})"
        return words

    @property
    def layers(self) -> int:
        """The number of layers that are followed."""
        return len(self._reader.layers)

    @property
    def obstacle(self) -> str:
        """A sentence on why nothing is measured; "" where it is."""
        if not self.layers:
            return "Concepts are not measured: no layer before the output is followed."
        if not self._questions:
            return f"Concepts are not measured: no class has {MIN_ROWS_OF_QUESTION} rows in the probe to ask."
        return ""

    def check_rows(self) -> None:
        """Check that the model takes the rows of the concepts, whose values may be others than the probe's.

        Raises:
            InvalidInput: it does not, as an embedding does not take an id that it has no row for.
        """
        try:
            self._reader.rows(self._rows)
        except InvalidInput:
            raise
        except Exception as error:
            names = ", ".join(map(repr, self.names))
            raise InvalidInput(f"The model does not take the rows of concepts {names}: {cause(error)}") from error

    def record(self, update: int, layers: Sequence[str], prediction: NDArray[Any]) -> Concepts:
        """Measure with the model's current weights.

        Args:
            update: its number.
            layers: names of the layers.
            prediction: (B) class, or (B, K) labels, that the model predicts for the rows of the probe.
        """
        target = self._target_of(prediction)
        of_probe = self._reader.slopes(self._x, target)
        of_concepts = self._reader.rows(self._rows)
        numbers = list(self._questions)
        question = np.full(len(target), -1)
        for k, number in enumerate(numbers):
            question[(target == number) if self._task.classes else slice(None)] = k
        counts = np.bincount(question[question >= 0], minlength=len(numbers))
        posed = np.flatnonzero(counts >= MIN_ROWS_OF_QUESTION)
        places = np.full(len(numbers) + 1, -1)
        places[posed] = np.arange(len(posed))
        floor = SMALL * float(np.std(of_probe.answers, dtype=np.float64))
        figures = _Figures.empty(len(self.names), len(layers), len(numbers))
        for n, splits in enumerate(self._splits):
            of_layers: dict[int, LayerEffects] = {}  # that can tell it
            for layer, slopes in enumerate(of_probe.slopes):
                rows = self._rows_of_concept(n, of_concepts[layer], of_probe.rows[layer])
                if slopes is None or not (np.isfinite(rows).all() and np.isfinite(slopes).all() and posed.size):
                    continue
                effects = layer_effects(rows, slopes, places[question], len(posed), splits)
                figures.readability[n, layer] = effects.readability
                if splits.can_tell(effects.readability):
                    of_layers[layer] = effects
            figures.add(n, posed, of_layers, p_values(list(of_layers.values()), floor))
        return Concepts(
            epoch=update,
            names=self.names,
            layers=tuple(layers),
            questions=tuple(self._questions.values()),
            rows=tuple(counts.tolist()),
            examples=self._sizes,
            **figures._asdict(),
            floor=floor if np.isfinite(floor) else 0.0,
            draws=self._draws,
            unit=unit_of(self._task),
            digest=self._digest,
        )

    def _target_of(self, prediction: NDArray[Any]) -> NDArray[np.int64]:
        """Return what is asked of each row: the fixed target, or what the model predicts."""
        if self._target is not None:
            return self._target
        prediction = np.asarray(prediction, np.int64)
        return 2 * prediction - 1 if self._task.kind == "labels" else prediction.reshape(-1)

    def _rows_of_concept(
        self, number: int, of_concepts: NDArray[np.float32], of_probe: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the features of a concept's examples, then of its counter-examples."""
        examples, counter = self._places[number]
        others = of_probe[counter] if self._counter_is_probe[number] else of_concepts[counter]
        return np.concatenate([of_concepts[examples], others])


class ConceptNews:
    """Says once when a model begins to use a concept."""

    def __init__(self) -> None:
        self._records: list[Concepts] = []
        self._announced: set[tuple[str, int]] = set()

    def resume(self, records: Sequence[Concepts]) -> None:
        """Take over the records of the run that is continued."""
        self._records = list(records)
        self._announced = {(use.concept, use.since) for use in uses(self._records)}

    def sentences(self, record: Concepts) -> list[str]:
        """Return sentences on the concepts whose use is shown by this record, and was not before."""
        unit: Unit = "epoch" if record.step is None else "step"
        self._records.append(record)
        new = []
        for use in uses(self._records):
            if use.until is None and (use.concept, use.since) not in self._announced:
                self._announced.add((use.concept, use.since))
                new.append(use.concept)
        return [concept_sentence(self._records, concept, unit) for concept in dict.fromkeys(new)]


def unit_of(task: Task) -> EffectUnit:
    """Return the unit of effects on what a task says."""
    return "output" if task.kind in ("number", "numbers") else "log-odds"
