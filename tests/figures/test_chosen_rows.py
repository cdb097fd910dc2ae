"""Figures of chosen rows: layers and features that a filter found."""

from __future__ import annotations

import pytest

from keras_xai.errors import InvalidInput
from keras_xai.figures.importance_drift import importance_map, rank_bump
from keras_xai.figures.weight_gradients import heat_map
from keras_xai.run import load


@pytest.fixture(scope="module")
def run(told_directory):
    return load(told_directory)["pictures/clean"]


def test_a_heat_map_draws_chosen_layers(run):
    """The rows that were asked for, with the flags of these alone."""
    assert heat_map(run)["layout"]["meta"]["rows"] == [*run.weight_gradients[-1].names]
    panel = heat_map(run, only=[3, 1])
    assert panel["layout"]["meta"]["rows"] == ["head/bias", "stem/conv/bias"]
    assert panel["layout"]["annotations"] == []
    assert [note["y"] for note in heat_map(run, only=[2])["layout"]["annotations"]] == ["head/kernel"]
    assert heat_map(run, only=[])["data"] == []
    with pytest.raises(InvalidInput, match="there is no row 4; they are numbered from 0 to 3"):
        heat_map(run, only=[4])


def test_chosen_features_keep_their_ranks(run):
    """A feature of rank 16 is drawn at rank 16, however few are chosen."""
    count = run.importance.share.shape[1]
    last = run.importance.names[count - 1]
    bump = rank_bump(run, source="clean", only=[count - 1])
    assert [trace["name"] for trace in bump["data"]] == [last, last]
    assert bump["layout"]["yaxis"]["range"][0] > count - 1
    assert len(importance_map(run, source="clean", only=[0, 5])["layout"]["yaxis"]["ticktext"]) == 2
    assert importance_map(run, only=[])["data"] == []
