"""Plotly figures of a run, as plain dicts, for the tab, the notebook and the report.

`FIGURES` are whole views, `PANELS` the charts they consist of. A new figure is one file and one line of `FIGURES`: then
`run.figure(name)` returns it and the report shows it. A panel that the tab requests is one line of `PANELS`.

A figure is a function `(run, look=LIGHT, *, option=default, …)`: of a run, a `Look` (theme, name and colour of the run,
other runs laid over it), and options, which its docstring describes.
"""

from __future__ import annotations

from collections.abc import Callable

from keras_xai.figures import (
    concepts,
    critical_step,
    importance_drift,
    mappings,
    overview,
    predictions,
    probe_attributions,
    reliance_gap,
    slices,
    training_rows,
    weight_gradients,
)
from keras_xai.figures.colour import Theme
from keras_xai.figures.options import check_options, options_of
from keras_xai.figures.theme import Figure, Look, Overlay

FIGURES: dict[str, Callable[..., Figure]] = {
    "overview": overview.figure,
    "weight_gradients": weight_gradients.figure,
    "probe_attributions": probe_attributions.figure,
    "importance_drift": importance_drift.figure,
    "reliance_gap": reliance_gap.figure,
    "predictions": predictions.figure,
    "mappings": mappings.figure,
    "concepts": concepts.figure,
    "training_rows": training_rows.figure,
    "slices": slices.figure,
}

PANELS: dict[str, Callable[..., Figure]] = {
    "loss": overview.loss,
    "drift_score": importance_drift.drift_score,
    "rank_bump": importance_drift.rank_bump,
    "importance_map": importance_drift.importance_map,
    "heat_map": weight_gradients.heat_map,
    "variable_lines": weight_gradients.variable_lines,
    "ridge": weight_gradients.ridge,
    "update_ratio": weight_gradients.update_ratio,
    "critical_step": critical_step.critical_step,
    "sample_outputs": probe_attributions.sample_outputs,
    "gap_shares": reliance_gap.gap_shares,
    "gap_evidence": reliance_gap.gap_evidence,
    "gap_z": reliance_gap.gap_z,
    **predictions.PANELS,
    **mappings.PANELS,
    **concepts.PANELS,
    **training_rows.PANELS,
    **slices.PANELS,
}


__all__ = ["FIGURES", "PANELS", "Figure", "Look", "Overlay", "Theme", "check_options", "options_of"]
