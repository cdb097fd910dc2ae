"""Clusters of the maps of one class, against every way to split them."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from keras_xai.analysis.clusters import clusters_of_class, map_shares, two_clusters
from keras_xai.records import Attribution


def attribution(values, kind="table"):
    size = len(values)
    zeros = np.zeros(size, np.int64)
    return Attribution("saliency", values, zeros, np.ones(size), None, zeros, None, "logit", kind=kind)


def spread(maps):
    """The sum of squared distances to the mean."""
    return ((maps - maps.mean(0)) ** 2).sum()


@pytest.mark.parametrize("seed", range(6))
def test_two_clusters_are_the_best_of_all_splits(seed):
    """The slow twin tries each of them: the sum of squared distances to the means is the least there is."""
    generator = np.random.default_rng(seed)
    maps = np.concatenate([generator.normal(size=(4, 3)), generator.normal(3, 1, size=(3, 3))])
    rows = np.array([2, 5, 7, 11, 13, 17, 19])
    splits = []
    for size in range(1, 4):
        for chosen in itertools.combinations(range(7), size):
            inside = np.isin(np.arange(7), chosen)
            splits.append((spread(maps[inside]) + spread(maps[~inside]), frozenset(rows[inside].tolist())))
    best = min(splits)[1]
    clusters = two_clusters(maps, rows)
    assert best in [frozenset(cluster) for cluster in clusters]
    assert sorted(itertools.chain(*clusters)) == rows.tolist()
    assert len(clusters[0]) >= len(clusters[1])
    assert clusters == two_clusters(maps, rows)
    first = maps[np.isin(rows, clusters[0])]
    typical = np.linalg.norm(maps[rows.tolist().index(clusters[0][0])] - first.mean(0))
    assert typical == pytest.approx(np.linalg.norm(first - first.mean(0), axis=1).min())


def test_maps_count_by_where_their_magnitude_lies():
    """A map of a thousand times the size is the same map; signs count; large images are averaged down."""
    values = np.array([[1.0, -1.0, 0.0], [1000.0, -1000.0, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(map_shares(attribution(values)), [[0.5, -0.5, 0], [0.5, -0.5, 0], [0, 0, 0]])
    assert map_shares(attribution(np.ones((2, 64, 64)), "image")).shape == (2, 32 * 32)


def test_only_samples_of_the_same_class_are_clustered():
    """The marked and the unmarked of class 0 fall apart; others, and what is not finite, are in no cluster."""
    values = np.zeros((9, 4))
    values[[0, 2, 4]] = [0, 0, 0, 1]
    values[[1, 3]] = [1, 0, 0, 0]
    values[5:8] = [0, 1, 0, 0]
    values[8] = np.nan
    classes = np.array([0, 0, 0, 0, 0, 1, 1, 1, 0])
    run = SimpleNamespace(probe=SimpleNamespace(classes=classes, class_names=("cat", "dog")))
    clusters = clusters_of_class(run, attribution(values), 3)
    assert (clusters.name, clusters.clusters, clusters.absent) == ("cat", ((0, 2, 4), (1, 3)), "")
    few = clusters_of_class(run, attribution(values), 6)
    assert (few.clusters, few.absent) == ((), "3 samples of class dog are too few for two clusters")
    same = clusters_of_class(run, attribution(np.ones((9, 4))), 0)
    assert same.absent == "all maps of class cat are the same"
    nameless = SimpleNamespace(probe=SimpleNamespace(classes=None, class_names=None))
    assert clusters_of_class(nameless, attribution(values), 0).absent == "the samples have no classes"
