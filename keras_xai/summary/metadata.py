"""Record <-> TensorBoard summary: where the wire is described; only what is imported here and `codec` know it.

An event of ours holds tagged tensors. What never changes for a tag stands in its `PluginData`, which TensorBoard keeps
from the tag's first event; what changes each epoch is the tensor:

| tag | kind | tensor |
|---|---|---|
| keras_xai/probe | PROBE | blobs, one a gallery sample: a map (below); for several inputs, input after input |
| keras_xai/epoch | EPOCH | one JSON string |
| keras_xai/weight_gradients | GRADIENTS | float32 [V, statistics + flags + steps + bins] |
| keras_xai/weight_gradients/missing | GRADIENTS_NOTE | one string |
| keras_xai/attributions/<method> | ATTRIBUTION | blobs, one a gallery sample: a map |
| keras_xai/outputs/<method> | OUTPUTS | float32 [B, 5 + K]: target, prediction, score, baseline, error, outputs; R²; quadrature |
| keras_xai/importance/<source> | IMPORTANCE | float32 [F + 2, 2]: share and direction; then the score; then the digest |
| keras_xai/alert/<source> | ALERT | one JSON string |
| keras_xai/stop/<part> | STOP | one JSON string: why it ended before the training did |
| keras_xai/mappings | MAPPINGS | blobs: one JSON string with the single numbers, then a map for each array that it names |

What would be more than 32 MiB of one tag goes on under `<tag>/part-1`, `<tag>/part-2` and so on, whose constants are those of
the first: see `parts`.

A *map* is one array in one blob, see `arrays`. Images are uint8: 8 bits and one range a sample are enough for eyes; tables,
series and tokens are float32.
"""

from __future__ import annotations

from collections.abc import Iterator

from keras_xai.probe import Probe
from keras_xai.records import Alert, Attribution, Epoch, Gradients, Mappings, Shares, Stop
from keras_xai.summary.codec import CODECS
from keras_xai.summary.event_files import masked_crc
from keras_xai.summary.tag_constants import plugin_data as _data
from keras_xai.summary.tensors import Content, Value, content_of, value

__all__ = ["Content", "Record", "Value", "_data", "content_of", "encode", "masked_crc", "step", "value"]

Record = Epoch | Gradients | Attribution | Shares | Alert | Mappings | Probe | Stop


def step(record: Record) -> int:
    """Return the step that an event carries: the record's epoch."""
    return 0 if isinstance(record, Probe) else int(record.epoch or 0)


def encode(record: Record) -> Iterator[Value]:
    """Yield a record as the tagged values of one event.

    Raises:
        TypeError: no record of ours.
        ValueError: a record with a step of the optimizer whose wire form, a table of numbers, has no room for it.
    """
    if type(record) not in CODECS:
        raise TypeError(f"no wire form for {type(record).__name__}")
    if isinstance(record, (Gradients, Attribution, Shares)) and record.step is not None:
        raise ValueError(f"step={record.step}: the table of a {type(record).__name__} has no room for a step")
    yield from CODECS[type(record)](record)
