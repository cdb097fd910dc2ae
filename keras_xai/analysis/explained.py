"""The gallery of an attribution by itself: its own samples, or those that a user gives beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_xai.analysis.gallery import Gallery
from keras_xai.errors import InvalidInput
from keras_xai.probe import Probe
from keras_xai.records import Attribution
from keras_xai.tree import map_leaves


def explained_gallery(
    attribution: Attribution,
    x: Any = None,
    *,
    y: Any = None,
    class_names: Sequence[str] | None = None,
    feature_names: Sequence[str] | None = None,
    vocabulary: Sequence[str] | Mapping[int, str] | None = None,
    kind: str | None = None,
) -> Gallery:
    """Return the gallery of an attribution, with what a user says of its samples in the place of what it holds.

    Args:
        attribution: of some samples.
        x: the samples, as `kx.attribute` takes them, or a `Probe` of them; default those of the attribution.
        y: their labels.
        class_names: of the classes.
        feature_names: of columns, channels or positions.
        vocabulary: the word of each token.
        kind: of the samples, where neither x nor the attribution says it.

    Raises:
        InvalidInput: no attribution, or samples, labels and names that do not go with it.
    """
    if not isinstance(attribution, Attribution):
        raise InvalidInput(
            f"{type(attribution).__name__} is no attribution: give what kx.attribute returns, or run.attributions(method)[-1]."
        )
    probe = x if isinstance(x, Probe) else attribution.samples
    says = {"y": y, "class_names": class_names, "feature_names": feature_names, "vocabulary": vocabulary, "kind": kind}
    facts = {name: value for name, value in says.items() if value is not None}
    samples = None if isinstance(x, Probe) else x
    if samples is not None or (facts and probe is not None and probe.x is not None):
        probe = _probe_of(attribution, samples, probe, facts)
    elif facts:
        raise InvalidInput(
            f"{' and '.join(facts)}: the attribution does not hold the samples that this is about; give x= as well."
        )
    gallery = Gallery.of(attribution, probe)
    if probe is not None and probe.x is not None and probe.size != gallery.size:
        raise InvalidInput(
            f"x has {probe.size} samples, the attribution is of {gallery.size}: give those that were explained."
        )
    return gallery


def _probe_of(attribution: Attribution, x: Any, former: Probe | None, facts: Mapping[str, Any]) -> Probe:
    """Return the samples as a probe, with the facts that a user gives, and those known before."""
    options = dict(facts)
    if former is not None:
        if x is None:
            x = former.x
        for name in ("y", "class_names", "feature_names", "vocabulary"):
            options.setdefault(name, getattr(former, name))
    if isinstance(x, tuple):
        x, y = x if len(x) == 2 else (x, None)
        options["y"] = y if options.get("y") is None else options["y"]
    if isinstance(attribution.values, Mapping) and isinstance(x, Mapping) and set(attribution.values) <= set(x):
        x = {name: x[name] for name in attribution.values}
    kind = options.pop("kind", None) or attribution.kind or (former.kind if former is not None else None)
    probe = Probe(x, options.pop("y", None), kind=kind or None, **options)
    return probe if probe.kind else probe.of_kind(Gallery.of(attribution, None).kind)


def toward_class_1(attribution: Attribution) -> Attribution:
    """Return an attribution of one unit that says class 1 or not, with all samples explained for class 1.

    Class 0 is explained by the negative logit, or by 1 − p: its contributions are those to class 1 with the other sign.
    """
    is_of_zero = np.asarray(attribution.target) == 0
    if attribution.task != "binary" or attribution.quantity == "other" or not is_of_zero.any() or is_of_zero.all():
        return attribution
    sign = np.where(is_of_zero, -1.0, 1.0)

    def turned(array: Any) -> Any:
        return np.asarray(array) * sign.reshape(-1, *[1] * (np.ndim(array) - 1))

    return dataclasses.replace(
        attribution, values=map_leaves(turned, attribution.values), target=np.ones_like(attribution.target)
    )
