"""Lines and heat maps of very many updates: what is drawn is bounded, and nothing that stands out is lost."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_xai.figures.heat_map import MAX_COLUMNS, drawn_columns
from keras_xai.figures.theme import MAX_POINTS, drawn_points, line


def test_a_line_of_very_many_updates_keeps_its_ends_its_peaks_and_its_gaps():
    """A single peak, a single hollow, a single missing value, wherever they are; the texts go along."""
    values = np.zeros(100_000)
    values[[12_345, 54_321]] = 7.0, -3.0
    values[77_777] = np.nan
    trace = line(
        "loss", range(100_000), values, "black", text=[str(k) for k in range(100_000)], hovertemplate="%{text}"
    )
    assert len(trace["x"]) == len(trace["y"]) == len(trace["text"]) <= 2 * MAX_POINTS
    assert (trace["x"][0], trace["x"][-1]) == (0, 99_999)
    assert {trace["x"][trace["y"].index(7.0)], trace["x"][trace["y"].index(-3.0)]} == {12_345, 54_321}
    assert [x for x, y in zip(trace["x"], trace["y"], strict=True) if y is None] == [77_777]
    assert trace["text"] == [str(x) for x in trace["x"]]
    assert trace["hovertemplate"] == "%{text}"


@settings(max_examples=20, deadline=None)
@given(st.integers(MAX_POINTS + 1, 20_000), st.integers(0, 2**32 - 1))
def test_points_are_sorted_and_hold_the_extremes(count, seed):
    """Of any series."""
    values = np.random.default_rng(seed).normal(size=count)
    points = drawn_points(values)
    assert (np.diff(points) > 0).all()
    assert {int(values.argmin()), int(values.argmax()), 0, count - 1} <= set(points.tolist())
    assert len(points) <= MAX_POINTS + 2


def test_a_line_of_few_updates_is_drawn_whole():
    """Up to the limit every point."""
    assert line("loss", range(MAX_POINTS), np.zeros(MAX_POINTS), "black")["x"] == list(range(MAX_POINTS))


def test_a_heat_map_of_very_many_updates_keeps_its_ends_and_those_of_alarms():
    """Every n-th column of the others."""
    assert drawn_columns([1, 5, 9]).tolist() == [0, 1, 2]
    columns = drawn_columns(range(100_000), [54_321, 200_000])
    assert len(columns) == MAX_COLUMNS + 1
    assert {0, 54_321, 99_999} <= set(columns.tolist())
