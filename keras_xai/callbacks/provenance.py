"""The provenance of a training that begins, read from its model and this process; what cannot be read is left out."""

from __future__ import annotations

import logging
import math
import platform
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import keras
import numpy as np

import keras_xai
from keras_xai.callbacks.command import recorded_command
from keras_xai.printed import printable
from keras_xai.probe import Probe
from keras_xai.provenance import MAX_LAYERS, LayerSummary, ModelSummary, ProbeSummary, Provenance

logger = logging.getLogger("keras_xai")
T = TypeVar("T")

MAX_NAMES = 100  # of classes


def provenance_of(
    model: keras.Model, probe: Probe | None, *, gallery: int, epoch: int, step: int | None, fit: Any
) -> Provenance:
    """Return the provenance of a training that begins.

    Args:
        model: in training.
        probe: the largest that a callback watches; None without one.
        gallery: the samples of it that are written.
        epoch: the first.
        step: the training steps done, in a run that counts in steps.
        fit: Keras' `params`.
    """
    unknown_seed: tuple[int | None, bool] = (None, False)
    seed, seed_is_known = _unless_it_fails(global_seed, unknown_seed)
    return Provenance(
        epoch=epoch,
        step=step,
        wall_time=time.time(),
        versions=_unless_it_fails(_versions, {}),
        backend=_unless_it_fails(keras.backend.backend, ""),
        platform=_unless_it_fails(_platform, ""),
        model=_unless_it_fails(lambda: _model_summary(model), None),
        probe=None if probe is None else _unless_it_fails(lambda: _probe_summary(probe, gallery), None),
        seed=seed,
        seed_is_known=seed_is_known,
        command=_unless_it_fails(recorded_command, ()),
        epochs=_unless_it_fails(lambda: _count(fit, "epochs"), None),
        steps=_unless_it_fails(lambda: _count(fit, "steps"), None),
    )


def _unless_it_fails(read: Callable[[], T], otherwise: T) -> T:
    """Return what a function reads; `otherwise` where it raises: a training goes on without a line of its provenance."""
    try:
        return read()
    except Exception:
        logger.debug("a part of the provenance could not be read", exc_info=True)
        return otherwise


def global_seed() -> tuple[int | None, bool]:
    """Return the seed of `keras.utils.set_random_seed`, None where it was not set; and whether this Keras keeps one."""
    from keras.src.utils import rng_utils  # no public function returns it

    read = getattr(rng_utils, "get_random_seed", None)
    seed = None if read is None else read()
    return (None if seed is None else int(seed)), read is not None


def _versions() -> dict[str, str]:
    backend = keras.backend.backend()
    framework = str(getattr(sys.modules.get(backend), "__version__", ""))
    versions = {"keras_xai": keras_xai.__version__, "keras": keras.__version__, backend: framework}
    versions |= {"numpy": np.__version__, "python": platform.python_version()}
    return {name: str(version) for name, version in versions.items() if version}


def _platform() -> str:
    return " ".join(filter(None, (platform.system(), platform.release(), platform.machine())))


def _model_summary(model: keras.Model) -> ModelSummary:
    layers = list(model.layers)
    return ModelSummary(
        name=printable(model.name),
        kind=type(model).__name__,
        parameters=_entries(model.weights),
        trainable=_entries(model.trainable_weights),
        layer_count=len(layers),
        layers=tuple(_layer_summary(layer) for layer in layers[:MAX_LAYERS]),
        optimizer=_unless_it_fails(lambda: _optimizer(model), ""),
        loss=_unless_it_fails(lambda: _loss_words(getattr(model, "loss", None)), ""),
    )


def _layer_summary(layer: Any) -> LayerSummary:
    shape = _unless_it_fails(lambda: str(tuple(layer.output.shape)), "")
    return LayerSummary(printable(layer.name), type(layer).__name__, shape, _entries(layer.weights))


def _optimizer(model: keras.Model) -> str:
    optimizer = getattr(model, "optimizer", None)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return "" if optimizer is None else type(optimizer).__name__


def _loss_words(loss: Any) -> str:
    """Return a loss as the user gave it: its name, its class, or those of several outputs."""
    if loss is None or isinstance(loss, str):
        return loss or ""
    if isinstance(loss, dict):
        return ", ".join(f"{name}: {_loss_words(part)}" for name, part in loss.items())
    if isinstance(loss, (list, tuple)):
        return ", ".join(map(_loss_words, loss))
    return str(getattr(loss, "__name__", type(loss).__name__))


def _entries(weights: Iterable[Any]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def _probe_summary(probe: Probe, gallery: int) -> ProbeSummary:
    return ProbeSummary(
        size=probe.size,
        gallery=gallery,
        kind=probe.kind,
        hash=probe.hash,
        features=probe.feature_count,
        classes=tuple(map(printable, (probe.class_names or ())[:MAX_NAMES])),
        slices=tuple(map(printable, probe.slices)),
        source=probe.source,
    )


def _count(fit: Any, name: str) -> int | None:
    value = fit.get(name)
    return int(value) if value else None
