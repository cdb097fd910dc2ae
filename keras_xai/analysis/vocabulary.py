"""Titles and names that figures, report and tab have in common; the tab gets them by the route `theme`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from keras_xai.alert_words import VERDICT_WORDS
from keras_xai.analysis.panel_help import PANEL_HELP
from keras_xai.records import AlertSource, Source

# The views of the tab, which are also the figures of the report, in the order in which they are shown.
VIEWS: dict[str, str] = {
    "overview": "Overview",
    "weight_gradients": "Weight gradients",
    "probe_attributions": "Attributions",
    "importance_drift": "Importance & drift",
    "reliance_gap": "Training rows beside probe",
    "predictions": "Predictions",
    "mappings": "Mappings",
}

# The views of the tab that show all runs together.
OF_RUNS: dict[str, str] = {"runs": "Runs"}

# The rows on which an importance was measured.
SOURCES: dict[Source, str] = {"live": "live rows", "clean": "fixed probe", "data": "data score"}
# What an alert was raised by.
ALERT_SOURCES: dict[AlertSource, str] = {
    "live": SOURCES["live"],
    "clean": SOURCES["clean"],
    "data": SOURCES["data"],
    "gap": "live rows beside the probe",
    "rule": "rule",
}

# Statistics of the gradients that have a heat map.
STATISTICS: dict[str, str] = {
    "rms": "Root mean square of the gradient",
    "max": "Largest gradient",
    "update_ratio": "Update-to-weight ratio a step",
    "zero_fraction": "Fraction of gradients that are exactly zero",
    "nonfinite": "Gradients that are NaN or infinite",
    "std": "Standard deviation of the gradient",
    "weight_norm": "Norm of the weights",
}


def view_title(name: str) -> str:
    """Return the title of a view or a whole figure; one without a title of its own goes by its name."""
    return VIEWS.get(name, name.replace("_", " ").capitalize())


def vocabulary() -> dict[str, Mapping[Any, Any]]:
    """Return all of these words and the help of the panels, for the tab."""
    return {
        "views": {**VIEWS, **OF_RUNS},
        "sources": ALERT_SOURCES,
        "verdicts": VERDICT_WORDS,
        "statistics": STATISTICS,
        "help": {name: asdict(words) for name, words in PANEL_HELP.items()},
    }
