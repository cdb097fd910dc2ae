"""The format of each kind of record, one file a kind.

Each file names its tags, and has `encode(record)`, which yields tagged values, and `decode(epoch, constants, content)`, where
`constants` are the decoded constants of the tag: see the function `constants`, or `Constants.of`. Values that do not fit raise
`Unreadable` there and nowhere else: decoded records need no further checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from keras_xai.concept_records import Concepts
from keras_xai.probe import Probe
from keras_xai.provenance import Provenance
from keras_xai.records import (
    Alert,
    Attribution,
    ChosenRows,
    Epoch,
    Gradients,
    MapCheck,
    Mappings,
    ProbePredictions,
    Reliance,
    RowInfluences,
    Shares,
    Slices,
    StepSizes,
    Stop,
    StoredSamples,
)
from keras_xai.row_records import TrainingRows
from keras_xai.summary.codec import (
    alert,
    attribution,
    concepts,
    epoch,
    gallery,
    gradients,
    importance,
    influence,
    map_checks,
    mappings,
    predictions,
    probe,
    provenance,
    reliance,
    slices,
    step_sizes,
    stop,
    training,
    training_rows,
)
from keras_xai.summary.tensors import Value
from keras_xai.training_records import DataScreen, TrainingFlags

CODECS: dict[type, Callable[[Any], Iterator[Value]]] = {
    Epoch: epoch.encode,
    Gradients: gradients.encode,
    Attribution: attribution.encode,
    Shares: importance.encode,
    Reliance: reliance.encode,
    Alert: alert.encode,
    Mappings: mappings.encode,
    Slices: slices.encode,
    ProbePredictions: predictions.encode,
    Probe: probe.encode,
    StepSizes: step_sizes.encode,
    Stop: stop.encode,
    ChosenRows: gallery.encode,
    MapCheck: map_checks.encode,
    StoredSamples: gallery.encode_samples,
    RowInfluences: influence.encode,
    Concepts: concepts.encode,
    Provenance: provenance.encode,
    TrainingFlags: training.encode,
    DataScreen: training.encode_screen,
    TrainingRows: training_rows.encode,
}
