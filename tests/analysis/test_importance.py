"""What was not measured: no share of 0 %, no rank, no calm."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from keras_xai.analysis.importance import burn_in_end, measured_at, unmeasured_at
from keras_xai.analysis.overview import summary
from keras_xai.figures import PANELS
from keras_xai.judgement import is_scored
from keras_xai.records import Importance
from tests.run_in_epochs import RunInEpochs

NAN = np.nan


def run_of(share, *, score=1.0, burn_in=2):
    """A run with these shares of a, b, c over epochs."""
    share = np.asarray(share, "f4")
    epochs = np.arange(len(share))
    scores = np.where(np.isfinite(share).any(1), score, NAN)
    importance = Importance(epochs, ("a", "b", "c"), share, scores, 6.0, burn_in)
    empty = {
        "history": [],
        "probe": None,
        "weight_gradients": [],
        "methods": (),
        "alerts": [],
        "stops": [],
        "slices": [],
        "doubts": (),
    }
    return RunInEpochs(
        **empty,
        epochs=epochs.tolist(),
        importance=importance,
        importance_live=None,
        data_score=None,
        missing_epochs=[],
        reliance=[],
        gap=None,
    )


SOME = [[0.5, 0.5, NAN]] * 5
GONE = [[0.2, 0.5, 0.3], [0.3, 0.4, 0.3], [NAN] * 3, [NAN] * 3]


def test_the_last_measured_epoch_is_shown():
    """Of a run whose shares end; where none ever was it is the nearest."""
    gone = run_of(GONE).importance
    assert [measured_at(gone, epoch) for epoch in (0, 1, 2, None)] == [0, 1, 1, 1]
    assert measured_at(run_of([[NAN] * 3] * 2).importance, 1) == 1
    assert unmeasured_at(run_of(SOME).importance) == ["c"]
    assert unmeasured_at(gone) == []


def test_updates_that_are_not_finite_do_not_end_the_burn_in():
    """As in the chart that raises the alarms."""
    assert burn_in_end(run_of(SOME).importance) == 2
    assert burn_in_end(run_of(GONE).importance) is None
    assert burn_in_end(run_of([[NAN] * 3, *SOME]).importance) == 3
    assert is_scored(run_of(SOME[:3]).importance)
    assert not is_scored(run_of([[NAN] * 3, *SOME[:2]]).importance)


def test_a_feature_that_was_not_measured_is_hatched_and_named():
    """The map keeps a row for it, the ranks leave it out, the overview names it; the others keep their shares."""
    run = run_of(SOME)
    panel = PANELS["importance_map"](run)
    go.Figure(panel)
    (bar,) = [trace for trace in panel["data"] if trace["type"] == "bar"]
    assert (bar["base"], bar["x"], bar["hovertext"]) == ([-0.5], [5], ["c"])
    assert [trace["name"] for trace in PANELS["rank_bump"](run)["data"] if trace["mode"] == "lines"] == ["a", "b"]
    told = summary(run)
    assert told.missing == ("c",)
    assert "Importance not measured: c." in told.detail
    assert told.facts[2].note == "a, rank 1 of 2"


def test_a_run_that_is_not_finite_any_more_says_since_when():
    """In the facts, in each chart, and in what stands for alerts; ranks and shares are those of the last epoch before."""
    run = run_of(GONE)
    told = summary(run)
    assert told.not_finite == 2
    assert told.facts[1].note == "drift score: not finite since epoch 2"
    assert told.facts[2].note == "at epoch 1: b, rank 1 of 3"
    assert told.watch.startswith("None so far. No importance could be measured since epoch 2")
    for name in ("drift_score", "rank_bump"):
        panel = PANELS[name](run)
        go.Figure(panel)
        assert "not finite since epoch 2" in [mark["text"] for mark in panel["layout"]["annotations"]]
    marks = [trace for trace in PANELS["rank_bump"](run)["data"] if trace["mode"] == "markers"]
    assert next((trace["name"], trace["x"], trace["y"]) for trace in marks) == ("b", [0, 1], [1, 1])


def test_calm_is_claimed_only_after_the_burn_in():
    """Before it no alarm was possible."""
    early = summary(run_of(SOME[:2]))
    assert early.watch.startswith("None so far. Not measured: c")
    assert early.watch.endswith("2 updates are not long enough to watch: the burn-in takes 2.")
    assert "within the burn-in of 2 updates" in early.detail
    assert early.facts[1].note == "drift score, epoch 1: burn-in of 2 updates"
    assert summary(run_of(SOME), 1).facts[1].note == "drift score, epoch 1: burn-in until epoch 2"
    assert summary(run_of(SOME)).watch.startswith("None so far. Not measured: c")
    measured = run_of([[0.5, 0.3, 0.2]] * 5)
    assert summary(measured).watch == (
        "None. No feature moved by more than its limit since the burn-in. Shortcuts present from the start were not looked for: "
        "live rows and probe were not compared."
    )
