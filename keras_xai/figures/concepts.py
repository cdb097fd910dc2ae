"""Concepts over epochs: how what the model says moves along them, and which layers can tell them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.analysis.concepts import Place, concept_words, concepts_until, readabilities, strongest_places
from keras_xai.analysis.formatting import percent
from keras_xai.concept_records import Concepts
from keras_xai.figures.colour import class_colours
from keras_xai.figures.grid import grid
from keras_xai.figures.heat_map import (
    cell_axis,
    column_gap,
    hatched,
    heat_map,
    label_length,
    left_margin,
    row_axis,
    row_names,
)
from keras_xai.figures.line_ends import LABEL_LETTERS, labels_at_ends
from keras_xai.figures.options import accepted
from keras_xai.figures.tables import named_axes, tabulated
from keras_xai.figures.theme import (
    LIGHT,
    Figure,
    Look,
    axis,
    chart,
    line,
    mark_resumed,
    nothing,
    text,
    texts,
    update_axis,
)
from keras_xai.judgement import why_absent
from keras_xai.recorded import Recorded

MAX_LINES, MAX_ROWS = 8, 24
TITLE_LINES, TITLE_LETTERS = 3, 120
SPOKEN_LETTERS = 240  # of what is said above the chart
NO_CONCEPTS = "ProbeMappings got no concepts="

READING = {
    "concept_effects": (
        "What the model says along a concept",
        "Change of the answer along the shift that the examples make in a layer; dots: shown to be larger than the small "
        "effects in the band.",
    ),
    "concept_readability": (
        "Layers that tell a concept",
        "AUC with which a linear readout tells left-out examples from counter-examples; the scale begins at chance.",
    ),
}


def _panel(
    look: Look, name: str, data: list[dict[str, Any]], meta: dict[str, Any] | None = None, **layout: Any
) -> Figure:
    title, reading = READING[name]
    return chart(look, data, meta={"title": title, "reading": reading, **(meta or {})}, **layout)


def concept_effects(
    run: Recorded, look: Look = LIGHT, *, concept: str | None = None, epoch: int | None = None, exact: bool = False
) -> Figure:
    """Draw the strongest effect of each concept over epochs, or that of each question of one concept.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        concept: its name; by default all, or the only one.
        epoch: at which the effects are the strongest; by default the last.
        exact: with all effects of that epoch as a table in `layout.meta`.
    """
    records = run.concepts
    until = concepts_until(run, epoch) or records[:1]
    if not records:
        return _panel(look, "concept_effects", [])
    last, places = until[-1], strongest_places(until, concept, MAX_LINES)
    if not places:
        return _panel(look, "concept_effects", [], {"absent": "no layer can tell a concept from the counter-examples"})
    epochs, colours = [record.update for record in records], class_colours(look.theme, len(places))
    data, labels, ends = _band(look, records), [], []
    for place, colour in reversed(list(zip(places, colours, strict=True))):
        effects = np.asarray([record.effect[place] for record in records], np.float64)
        name = _name(last, place, is_one=concept is not None or len(last.names) == 1)
        hover = [_words(record, place) for record in records]
        mode = "lines" if len(epochs) > 1 else "markers"
        data.append(line(name, epochs, effects, colour, mode=mode, text=hover, hovertemplate="%{text}"))
        data.append(_dots(name, epochs, effects, colour, [bool(record.is_used[place]) for record in records]))
        finite = effects[np.isfinite(effects)]
        ends.append(finite)
        labels.append((name, float(finite[-1]) if finite.size else np.nan, colour))
    highest = 1.15 * max(
        [*(float(np.abs(values).max(initial=0.0)) for values in ends), *(1.5 * r.floor for r in records)]
    )
    span = [-(highest or 1.0), highest or 1.0]
    right = 16 + int(6 * max(min(len(name), LABEL_LETTERS) for name, *_ in labels))
    panel = _panel(
        look,
        "concept_effects",
        data,
        {"reading": f"{text(' '.join(concept_words(run, epoch)), SPOKEN_LETTERS)} {READING['concept_effects'][1]}"},
        xaxis=update_axis(look, run, run.updates),
        yaxis=axis(look, range=span, nticks=6, zeroline=True, zerolinecolor=look["line-strong"]),
        margin={"l": 44, "r": right, "t": 12, "b": 22},
    )
    panel["layout"]["annotations"] += labels_at_ends(labels, span)
    mark_resumed(look, panel, run.history)
    panel["layout"]["meta"]["labelled"] = True
    unit = "log-odds" if last.unit == "log-odds" else "change of the output"
    columns = ["concept", "layer", "question", f"effect in {unit}", "error", "TCAV score", "p", "readability"]
    table = tabulated(panel, columns, lambda: _rows(last), exact=exact)
    return named_axes(look, table, y=unit, x_column=run.unit)


def _name(record: Concepts, place: Place, *, is_one: bool) -> str:
    concept, _, question = place
    return record.questions[question] if is_one else f"{record.names[concept]}: {record.questions[question]}"


def _words(record: Concepts, place: Place) -> str:
    """Return the effect at one update in words, for the tip."""
    concept, layer, question = place
    where = f"{text(record.names[concept])}, {text(record.questions[question])}, at {text(record.layers[layer])}"
    effect = float(record.effect[place])
    if np.isnan(effect):
        return f"{where}: the layer cannot tell it"
    return f"{where}: {effect:+.2f} ± {float(record.error[place]):.2f}, p {float(record.p[place]):.3f}"


def _dots(
    name: str, epochs: Sequence[int], effects: NDArray[np.float64], colour: str, used: Sequence[bool]
) -> dict[str, Any]:
    """Return the dots of the updates at which an effect is shown."""
    at = [k for k, is_used in enumerate(used) if is_used]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": text(name),
        "x": [epochs[k] for k in at],
        "y": [float(effects[k]) for k in at],
        "marker": {"color": colour, "size": 7},
        "hoverinfo": "skip",
    }


def _band(look: Look, records: Sequence[Concepts]) -> list[dict[str, Any]]:
    """Return the lines between which effects are small."""
    edge: dict[str, Any] = {"mode": "lines", "hoverinfo": "skip", "meta": {"follows": False}, "width": 0}
    epochs, floors = [record.update for record in records], np.asarray([record.floor for record in records])
    lower = line("small", epochs, -floors, look["grid"], **edge)
    upper = line("small", epochs, floors, look["grid"], fill="tonexty", fillcolor=look["grid"], **edge)
    return [lower, upper]


def _rows(record: Concepts) -> list[list[Any]]:
    """Return a row of the table for each effect."""
    rows = []
    for place in itertools.product(*(range(len(names)) for names in (record.names, record.layers, record.questions))):
        concept, layer, question = place
        names = [record.names[concept], record.layers[layer], record.questions[question]]
        figures = [record.effect[place], record.error[place], record.share[place], record.p[place]]
        rows.append([*names, *figures, record.readability[concept, layer]])
    return rows


def concept_readability(run: Recorded, look: Look = LIGHT, *, exact: bool = False) -> Figure:
    """Draw the AUC with which each layer tells each concept, over epochs; chance is the palest colour.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        exact: with its numbers as a table in `layout.meta`.
    """
    records = run.concepts
    if not records:
        return _panel(look, "concept_readability", [])
    every_name, every_value = readabilities(records)
    names, values = every_name[:MAX_ROWS], every_value[:MAX_ROWS]
    epochs, left = [record.update for record in records], left_margin(names)
    cells_of_names = row_names(names, len(epochs))
    for row, aucs in enumerate(values):
        for column, auc in enumerate(aucs):
            cells_of_names[row][column] += f": AUC {percent(auc)}"
    cells = heat_map(
        look,
        values,
        0.5,
        1,
        x=epochs,
        xgap=column_gap(epochs),
        ygap=1,
        customdata=cells_of_names,
        hovertemplate=f"%{{customdata}}<br>{run.unit} %{{x}}<extra></extra>",
        hoverongaps=False,
    )
    panel = _panel(
        look,
        "concept_readability",
        [cells, *hatched(look, epochs, np.isfinite(values))],
        {"cells": True, "scale": {"map": "sequential", "low": "chance", "high": "100 %"}},
        xaxis=cell_axis(look, run, epochs),
        yaxis=row_axis(look, texts(names, label_length(left))),
        margin={"l": left, "r": 4, "t": 4, "b": 22},
        hovermode="closest",
    )
    places = itertools.product(range(len(every_name)), range(len(epochs)))
    return tabulated(
        panel,
        ["concept and layer", run.unit, "AUC"],
        lambda: ([every_name[row], epochs[at], every_value[row, at]] for row, at in places),
        exact=exact,
    )


PANELS: dict[str, Callable[..., Figure]] = {
    "concept_effects": concept_effects,
    "concept_readability": concept_readability,
}


def figure(run: Recorded, look: Look = LIGHT, *, concept: str | None = None, epoch: int | None = None) -> Figure:
    """Draw the effects of concepts over epochs, and which layers can tell them.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        concept: its name, for all questions of this one; by default the strongest effect of each.
        epoch: at which the effects are the strongest; by default the last.
    """
    if not run.concepts:
        return nothing(look, "concepts", NO_CONCEPTS if run.mappings else why_absent(run, "ProbeMappings"))
    panels = []
    for name, draw in PANELS.items():
        panel = draw(run, look, **accepted(draw, {"concept": concept, "epoch": epoch}))
        if panel["data"]:
            panels.append((READING[name][0], panel))
    title = "<br>".join(text(sentence, TITLE_LETTERS) for sentence in concept_words(run, epoch)[:TITLE_LINES])
    return grid(look, panels, columns=1, title=title, row_height=330)
