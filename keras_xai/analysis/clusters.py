"""Clusters of the attribution maps of one class: a view of its samples, never a flag.

Where a model decides a class in two ways, a shortcut and the real thing, the maps of its samples may fall into two groups (SpRAy,
Lapuschkin et al. 2019, Nature Communications 10). k-means makes two groups of any samples: that there are two says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.analysis.attributions import arrays_of, small_volumes, thumbnails
from keras_xai.analysis.outputs import class_name
from keras_xai.recorded import Recorded
from keras_xai.records import Attribution, Float
from keras_xai.spatial import SPATIAL_KINDS

CLUSTERS = 2
MIN_SAMPLES = 4  # of a class: two clusters of fewer are hardly more than a pair
SEED = 0


@dataclass(frozen=True)
class ClassClusters:
    """The gallery's samples of one class in clusters, the larger one first; in each the most typical sample first."""

    name: str  # of the class; "" without
    clusters: tuple[tuple[int, ...], ...]  # rows of the gallery; () where there are none to show
    absent: str = ""  # why there are none, as a clause


def clusters_of_class(run: Recorded, record: Attribution, sample: int) -> ClassClusters:
    """Return the clusters of the maps of the samples that have the class of one sample.

    Args:
        run: that has the attributions.
        record: the attributions of one method at one epoch.
        sample: row of the gallery.
    """
    classes = run.probe.classes if run.probe is not None else None
    if classes is None or sample >= len(classes):
        return ClassClusters("", (), "the samples have no classes")
    name = class_name(run, int(classes[sample]))
    maps = map_shares(record)
    rows = np.flatnonzero((np.asarray(classes)[: len(maps)] == classes[sample]) & np.isfinite(maps).all(1))
    if len(rows) < MIN_SAMPLES:
        return ClassClusters(name, (), f"{len(rows)} samples of class {name} are too few for two clusters")
    if not np.ptp(maps[rows], axis=0).any():
        return ClassClusters(name, (), f"all maps of class {name} are the same")
    return ClassClusters(name, two_clusters(maps[rows], rows))


def map_shares(record: Attribution) -> Float:
    """Return each sample's attribution as shares of its magnitude (B, n); maps of images and volumes averaged down."""
    arrays = arrays_of(record)
    parts = [_averaged_down(array, record.kind) for array in arrays]
    flat = np.concatenate([np.asarray(part, np.float64).reshape(len(part), -1) for part in parts], 1)
    magnitude = np.abs(flat).sum(1, keepdims=True)
    shares: Float = flat / np.where(magnitude > 0, magnitude, 1)
    return shares


def _averaged_down(maps: NDArray[Any], kind: str) -> NDArray[Any]:
    """Return maps of images and volumes as means over cells, others as they are."""
    if maps.ndim == 3 and kind in SPATIAL_KINDS:
        return thumbnails(maps)
    return small_volumes(maps) if maps.ndim == 4 and kind == "volume" else maps


def two_clusters(maps: Float, rows: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    """Return rows (B) in two clusters of their maps (B, n), by k-means with the same seed every time."""
    from sklearn.cluster import KMeans

    means = KMeans(CLUSTERS, n_init=10, random_state=SEED).fit(maps)
    distance = np.linalg.norm(maps - means.cluster_centers_[means.labels_], axis=1)
    typical_first = np.argsort(distance, kind="stable")
    clusters = []
    for cluster in range(CLUSTERS):
        members = typical_first[means.labels_[typical_first] == cluster]
        clusters.append(tuple(rows[members].tolist()))
    return tuple(sorted(filter(None, clusters), key=lambda cluster: (-len(cluster), cluster)))
