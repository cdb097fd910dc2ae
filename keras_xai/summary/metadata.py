"""The format of records in event files; only the modules of this room and of `codec` depend on it.

Each record is one event of tagged tensors. What is the same in all events of a tag is in its `PluginData`, which TensorBoard
keeps from the tag's first event; what changes with the update is the tensor. The step of an event is the number of its update:
the epoch, or the training steps done where the run counts in steps, which the constants of keras_xai/epoch say.

| tag | kind | tensor |
|---|---|---|
| keras_xai/probe | PROBE | blobs, one a gallery sample: a map (below); for several inputs, input after input |
| keras_xai/provenance | PROVENANCE | one JSON string: how a training was begun, at its first update |
| keras_xai/epoch | EPOCH | one JSON string |
| keras_xai/weight_gradients | GRADIENTS | float32 [V, statistics + flags + steps + bins] |
| keras_xai/weight_gradients/missing | GRADIENTS_NOTE | one string |
| keras_xai/step_sizes | STEP_SIZES | one JSON string: how far the sampled steps could have gone |
| keras_xai/attributions/<method> | ATTRIBUTION | blobs, one a gallery sample: a map |
| keras_xai/outputs/<method> | OUTPUTS | float32 [B, 5 + K]: target, prediction, score, baseline, error, outputs; R²; quadrature |
| keras_xai/before/… | … | the two of the untrained model, at step 0 |
| keras_xai/importance/<source> | IMPORTANCE | float32 [F + 2, 2]: share and direction; then the score; then the digest |
| keras_xai/reliance | RELIANCE | float32 [1 + R, 9]: the counts of rows; then a feature's number and its figures |
| keras_xai/alert/<source> | ALERT | one JSON string |
| keras_xai/stop/<part> | STOP | one JSON string: why it ended before the training did |
| keras_xai/mappings | MAPPINGS | blobs: one JSON string with the single numbers, then a map for each array that it names |
| keras_xai/slices/<group> | SLICES | blobs: one JSON string, then a map for each array that it names |
| keras_xai/predictions | PREDICTIONS | blobs: one JSON string, then a map for each array that it names |
| keras_xai/map_checks/<method> | MAP_CHECKS | float32 [B, 2]: deletion and sensitivity of each gallery sample |
| keras_xai/gallery/rows | CHOSEN_ROWS | blobs: one JSON string with the rows that a rule chose, then the loss of each row |
| keras_xai/gallery/… | … | attributions and outputs of these rows, another number of them at each update |
| keras_xai/training/flags | TRAINING_FLAGS | one JSON string: the rules that are broken, and those that could not be judged |
| keras_xai/training/screen | TRAINING_FLAGS | one JSON string: the screen of the data, at step 0 |
| keras_xai/gallery/samples/<part> | STORED_SAMPLES | blobs: one JSON string, then a map for each row and input |
| keras_xai/influence | INFLUENCE | blobs: one JSON string, then a map for each array that it names |
| keras_xai/concepts | CONCEPTS | blobs: one JSON string, then a map for each array that it names |
| keras_xai/training_rows | TRAINING_ROWS | blobs: one JSON string, then a map for each array: all training rows so far |

After about 32 MiB of one tag a series continues under `<tag>/part-1`, `<tag>/part-2` and so on, with the constants of the
first part: see `parts`.

A *map* is one array in one blob, see `arrays`. Images are uint8, with a range for each sample, which is exact enough for
viewing; tables, series and tokens are float32.
"""

from __future__ import annotations

from collections.abc import Iterator

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
from keras_xai.summary.codec import CODECS
from keras_xai.summary.event_files import masked_crc
from keras_xai.summary.tag_constants import plugin_data as _data
from keras_xai.summary.tensors import Content, Value, content_of, value
from keras_xai.training_records import DataScreen, TrainingFlags

__all__ = ["Content", "Record", "Value", "_data", "content_of", "encode", "masked_crc", "step", "value"]

Record = (
    Epoch
    | Gradients
    | Attribution
    | Shares
    | Reliance
    | Alert
    | Mappings
    | Slices
    | ProbePredictions
    | Probe
    | StepSizes
    | Stop
    | ChosenRows
    | MapCheck
    | StoredSamples
    | RowInfluences
    | Concepts
    | Provenance
    | TrainingFlags
    | DataScreen
    | TrainingRows
)


def step(record: Record) -> int:
    """Return the step of a record's event: the number of its update, 0 for a probe and before training."""
    return 0 if isinstance(record, Probe) else max(0, record.update)


def encode(record: Record) -> Iterator[Value]:
    """Yield a record as the tagged values of one event.

    Raises:
        TypeError: an object that is no record.
    """
    if type(record) not in CODECS:
        raise TypeError(f"no wire form for {type(record).__name__}")
    yield from CODECS[type(record)](record)
