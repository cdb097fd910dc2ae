"""The provenance of a run: when, with what and by which command its training was begun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keras_xai.updates import AtUpdate

MAX_LAYERS = 400  # of a model that are named; of a larger one the first


@dataclass(frozen=True)
class LayerSummary:
    """One layer of a model, as a table of layers has it."""

    name: str
    kind: str  # its class
    shape: str  # of its output, as "(None, 8)"; "" where it has no single one
    parameters: int  # the entries of its weights


@dataclass(frozen=True)
class ModelSummary:
    """A model as it was when its training began."""

    name: str
    kind: str  # its class
    parameters: int
    trainable: int  # of the parameters
    layer_count: int
    layers: tuple[LayerSummary, ...] = ()  # the first `MAX_LAYERS`
    optimizer: str = ""  # its class; "" without one
    loss: str = ""  # in the user's word or by its class; "" where the model has none


@dataclass(frozen=True)
class ProbeSummary:
    """The probe of a run: all that is watched, of which the gallery is a part."""

    size: int  # samples
    gallery: int  # samples that were written, to be looked at
    kind: str
    hash: str
    features: int  # that are scored
    classes: tuple[str, ...] = ()  # their names
    slices: tuple[str, ...] = ()  # their names
    source: str = ""  # the class of the object that the samples came in, as "pandas.DataFrame"


@dataclass(frozen=True)
class Provenance(AtUpdate):
    """Record of how a training was begun: one record when it began, and one at each restart of a run that goes on.

    Example:
        >>> import tempfile
        >>> import keras_xai as kx
        >>> log_dir = tempfile.mkdtemp()
        >>> history = model.fit(x, y, epochs=1, verbose=0, callbacks=[kx.WeightGradients(log_dir)])
        >>> kx.load(log_dir)["."].provenance[0].model.layer_count > 0
        True
    """

    epoch: int  # with which the training began
    wall_time: float  # in seconds since 1970
    versions: Mapping[str, str] = field(default_factory=dict)  # by name, in the order in which they are to be listed
    backend: str = ""  # the name of the framework that Keras ran on
    platform: str = ""  # operating system and machine, without the host's name
    model: ModelSummary | None = None
    probe: ProbeSummary | None = None
    seed: int | None = None  # of `keras.utils.set_random_seed`; None where it was not set
    seed_is_known: bool = True  # False where this version of Keras keeps none
    command: tuple[str, ...] = ()  # program and arguments, secrets replaced; () where it was left out
    epochs: int | None = None  # that were asked for
    steps: int | None = None  # of an epoch, where Keras knew it
    step: int | None = None  # training steps done, in a run that counts in steps; else None


def nested(record: Any) -> dict[str, Any]:
    """Return a record as plain dicts and tuples, its moment left out."""
    fields = {}
    for name in record.__dataclass_fields__:
        value = getattr(record, name)
        if hasattr(value, "__dataclass_fields__"):
            value = nested(value)
        elif isinstance(value, tuple) and value and hasattr(value[0], "__dataclass_fields__"):
            value = tuple(map(nested, value))
        if name not in ("epoch", "step"):
            fields[name] = value
    return fields
