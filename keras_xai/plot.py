"""`kx.plot`: plotly figures of what `kx.attribute` returns, and of attributions that are read back.

Every function returns a `plotly.graph_objects.Figure` and shows nothing: the last line of a notebook's cell does that, or
`.show()`. `Attribution.plot` chooses among them. The samples come from the attribution; `x=` gives them where it has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from keras_xai.analysis.explained import explained_gallery, toward_class_1
from keras_xai.analysis.gallery import Gallery
from keras_xai.analysis.parts import Form, Part
from keras_xai.analysis.table_rows import TABLE_ROWS
from keras_xai.errors import InvalidInput
from keras_xai.figures.attribution.beeswarm import beeswarm_figure
from keras_xai.figures.attribution.gallery import Drawing, gallery_figure
from keras_xai.figures.attribution.importance_bars import importance_figure
from keras_xai.figures.attribution.lanes import LANES
from keras_xai.figures.attribution.maps import Display
from keras_xai.figures.attribution.picture import levels
from keras_xai.figures.attribution.waterfall import waterfall_figure
from keras_xai.figures.colour import Theme
from keras_xai.figures.influence import InfluenceBar, influence_figure
from keras_xai.figures.options import check_options, check_theme
from keras_xai.figures.probe_attributions import rows_of_gallery
from keras_xai.figures.theme import Look
from keras_xai.figures.theme import text as plotly_text
from keras_xai.records import Attribution
from keras_xai.tracin.result import Influence, check_rows

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["bars", "beeswarm", "image", "importance", "influence", "series", "text", "volume", "waterfall"]

MAX_SAMPLES = 16  # of a grid, where no others are asked for
FEATURES = 12  # of a waterfall, a beeswarm and global bars
UNLIMITED = 10**6
KINDS = {"image": "image", "volume": "volume", "tokens": "text", "series": "series", "table": "bars"}
FORMS: dict[Form, str] = {"map": "image", "volume": "volume", "words": "text", "series": "series", "table": "bars"}

Rows = int | Sequence[int] | None
Names = Sequence[str] | None
Displays = Display | Sequence[Display]
Scale = Literal["common", "own"]


def image(
    attribution: Attribution,
    x: Any = None,
    *,
    samples: Rows = None,
    mode: Displays = ("input", "overlay"),
    y: Any = None,
    class_names: Names = None,
    theme: Theme = "light",
) -> Figure:
    """Draw pictures with their maps; the columns of a table beside them as bars.

    Args:
        attribution: of images, at the input or by a method with a map of its own, as Grad-CAM, which is drawn smoothly.
        x: the images, where the attribution does not hold them.
        samples: how many, from the first (by default sixteen), or which rows.
        mode: the tiles of each sample: "input", the picture; "overlay", the map above it, transparent where it is weak; "map"
            alone; "masked", the picture where the map is strong. One, or several side by side.
        y: labels, for the titles.
        class_names: names of the classes.
        theme: "light" or "dark".

    Raises:
        InvalidInput: no images, or a tile of pictures that are not at hand.

    Example:
        >>> a = kx.attribute(model, images[:2], "grad_cam", verbose=False)
        >>> figure = kx.plot.image(a, mode="overlay")
        >>> [trace.type for trace in figure.data], len(figure.layout.images)
        (['heatmap', 'heatmap'], 2)
    """
    gallery = explained_gallery(attribution, x, y=y, class_names=class_names)
    return _grid("map", gallery, samples, theme, Drawing(displays=_displays(gallery, mode)))


def volume(
    attribution: Attribution,
    x: Any = None,
    *,
    samples: Rows = None,
    mode: Displays = "overlay",
    depth: int | None = None,
    y: Any = None,
    class_names: Names = None,
    theme: Theme = "light",
) -> Figure:
    """Draw volumes slice by slice, with a slider through the slices.

    Args:
        attribution: of volumes.
        x: the volumes, where the attribution does not hold them.
        samples: how many, from the first (by default sixteen), or which rows.
        mode: the tiles of each sample, as of `image`.
        depth: the slice that is visible at first; by default the one with the largest share of all maps.
        y: labels, for the titles.
        class_names: names of the classes.
        theme: "light" or "dark".

    Raises:
        InvalidInput: no volumes, no such slice.
    """
    gallery = explained_gallery(attribution, x, y=y, class_names=class_names)
    return _grid("volume", gallery, samples, theme, Drawing(displays=_displays(gallery, mode), depth=depth))


def text(
    attribution: Attribution,
    x: Any = None,
    *,
    samples: Rows = None,
    vocabulary: Any = None,
    scale: Scale = "common",
    y: Any = None,
    class_names: Names = None,
    theme: Theme = "light",
) -> Figure:
    """Draw texts whose words are shaded by their attribution.

    Args:
        attribution: of tokens.
        x: the tokens (B, T), where the attribution does not hold them.
        samples: how many, from the first (by default sixteen), or which rows.
        vocabulary: the word of each token id, a sequence or a dict; default what the attribution knows, else the ids.
        scale: of the shades, "common" to all samples or each sample its "own".
        y: labels, for the titles.
        class_names: names of the classes.
        theme: "light" or "dark".

    Raises:
        InvalidInput: no texts.
    """
    gallery = explained_gallery(attribution, x, y=y, class_names=class_names, vocabulary=vocabulary)
    return _grid("words", gallery, samples, theme, Drawing(is_scale_common=scale == "common", lines=None))


def series(
    attribution: Attribution,
    x: Any = None,
    *,
    samples: Rows = None,
    feature_names: Names = None,
    channels: int = LANES,
    scale: Scale = "common",
    y: Any = None,
    class_names: Names = None,
    theme: Theme = "light",
) -> Figure:
    """Draw series in lanes: the line of each channel over steps shaded by their attribution.

    Args:
        attribution: of series, at the input or by a method with steps of its own.
        x: the series (B, T, C), where the attribution does not hold them.
        samples: how many, from the first (by default sixteen), or which rows.
        feature_names: of the channels.
        channels: with a lane, at most: those with the largest attribution.
        scale: of the shades, "common" to all samples or each sample its "own".
        y: labels, for the titles.
        class_names: names of the classes.
        theme: "light" or "dark".

    Raises:
        InvalidInput: no series.
    """
    gallery = explained_gallery(attribution, x, y=y, class_names=class_names, feature_names=feature_names)
    return _grid("series", gallery, samples, theme, Drawing(is_scale_common=scale == "common", lanes=channels))


def bars(
    attribution: Attribution,
    x: Any = None,
    *,
    samples: Rows = None,
    feature_names: Names = None,
    features: int = TABLE_ROWS,
    scale: Scale = "common",
    y: Any = None,
    class_names: Names = None,
    theme: Theme = "light",
) -> Figure:
    """Draw rows of a table: each feature with its value, and a bar as long as its attribution.

    Args:
        attribution: of a table, or of the units of a layer.
        x: the rows, where the attribution does not hold them.
        samples: how many, from the first (by default sixteen), or which rows.
        feature_names: of the columns.
        features: with a bar of their own, at most; the sum of all others is one bar.
        scale: of the bars, "common" to all samples or each sample its "own".
        y: labels, for the titles.
        class_names: names of the classes.
        theme: "light" or "dark".

    Raises:
        InvalidInput: no table.
    """
    gallery = explained_gallery(attribution, x, y=y, class_names=class_names, feature_names=feature_names)
    return _grid("table", gallery, samples, theme, Drawing(is_scale_common=scale == "common", features=features))


def waterfall(
    attribution: Attribution,
    x: Any = None,
    *,
    sample: int = 0,
    feature_names: Names = None,
    features: int = FEATURES,
    y: Any = None,
    class_names: Names = None,
    theme: Theme = "light",
) -> Figure:
    """Draw one row of a table from the baseline's score to its own, feature by feature.

    What the values miss of the difference of the two scores is a bar of its own: the bars always sum to the score.

    Args:
        attribution: of a table, by a method that starts from a baseline: integrated gradients, DeepLIFT, KernelSHAP, ….
        x: the rows, where the attribution does not hold them.
        sample: which row.
        feature_names: of the columns.
        features: with a bar of their own, at most; the sum of all others is one bar.
        y: labels, for the title.
        class_names: names of the classes.
        theme: "light" or "dark".

    Raises:
        InvalidInput: no table, no such row, or a method without a baseline's score.

    Example:
        >>> a = kx.attribute(model, x[:1], verbose=False)
        >>> (bars,) = kx.plot.waterfall(a, feature_names=names).data
        >>> bool(abs(bars.base[-1] + bars.x[-1] - a.score[0]) < 1e-5)
        True
    """
    gallery = explained_gallery(attribution, x, y=y, class_names=class_names, feature_names=feature_names)
    part = _part("table", gallery)
    (row,) = rows_of_gallery([sample], gallery.size, "sample")
    if attribution.baseline_score is None:
        raise InvalidInput(
            f"{attribution.method} has no baseline whose score a waterfall could begin with: take kx.plot.bars, or a method that "
            f"has one, as integrated_gradients."
        )
    return _figure(waterfall_figure(_look(theme), gallery, part, row, features))


def beeswarm(
    attribution: Attribution,
    x: Any = None,
    *,
    samples: Rows = None,
    feature_names: Names = None,
    features: int = FEATURES,
    highlight: int | None = None,
    class_names: Names = None,
    theme: Theme = "light",
) -> Figure:
    """Draw all rows of a table at once: each a point in the row of each feature, coloured by the feature's value.

    Of one unit that says class 1 or not all rows are turned towards class 1. Where rows are explained for different classes of
    several, a point at the right speaks for the class of its own row; `kx.attribute(…, target=)` explains one class.

    Args:
        attribution: of a table.
        x: the rows, where the attribution does not hold them.
        samples: how many, from the first (by default all), or which rows.
        feature_names: of the columns.
        features: with a row of their own, at most, the largest mean magnitude first.
        highlight: a row of the table that is marked in each row.
        class_names: names of the classes.
        theme: "light" or "dark".

    Raises:
        InvalidInput: no table, no such row.
    """
    as_given = explained_gallery(attribution, x, class_names=class_names, feature_names=feature_names)
    gallery = Gallery.of(toward_class_1(attribution), as_given.probe)
    part = _part("table", gallery)
    rows = rows_of_gallery(UNLIMITED if samples is None else samples, gallery.size)
    if highlight is not None and highlight not in rows:
        raise InvalidInput(f"highlight={highlight}: this row is not among the samples that are drawn.")
    return _figure(beeswarm_figure(_look(theme), gallery, part, rows, features, highlight))


def importance(
    attribution: Attribution | tuple[Sequence[str], Any],
    x: Any = None,
    *,
    feature_names: Names = None,
    features: int = FEATURES,
    theme: Theme = "light",
) -> Figure:
    """Draw what a model relies on over all samples: the mean magnitude of each feature's attributions.

    Args:
        attribution: of many samples; or (names, values) as `kx.importance` returns them.
        x: the samples, where the attribution does not hold them.
        feature_names: of columns or channels.
        features: with a bar of their own, at most.
        theme: "light" or "dark".

    Raises:
        InvalidInput: samples that do not fit, or that are not known.

    Example:
        >>> figure = kx.plot.importance(kx.importance(model, probe))
        >>> figure.layout.title.text
        'Importance'
    """
    look = _look(theme)
    if isinstance(attribution, tuple):
        names, values = attribution
        return _figure(importance_figure(look, names, np.asarray(values), features, "Importance", "importance"))
    gallery = explained_gallery(attribution, x, feature_names=feature_names)
    names, values = _mean_magnitudes(gallery)
    title = f"Importance: {plotly_text(gallery.method_title)}, {gallery.size:,} samples"
    noun = "attribution" if gallery.quantity == "other" else gallery.quantity
    return _figure(importance_figure(look, names, values, features, title, f"mean |{noun}|"))


def influence(influence: Influence, x_train: Any = None, *, k: int = 10, theme: Theme = "light") -> Figure:
    """Draw the training rows that taught the model most of some rows, and those that spoilt it: `Influence.plot`.

    Args:
        influence: of `kx.influence`.
        x_train: (N, H, W) or (N, H, W, C) the training rows, where they are pictures, to be drawn beside the bars.
        k: bars a side.
        theme: "light" or "dark".

    Raises:
        InvalidInput: another number of training rows.

    Example:
        >>> figure = kx.plot.influence(kx.influence(model, x_train, y_train, x[:1], y[:1]), k=3)
        >>> figure.layout.title.text.split("<br>")[0]
        'Training rows with the most influence'
    """
    look, top = _look(theme), influence.top(k)
    rows = [*zip(top.proponents.indices, top.proponents.scores, strict=True)]
    rows += [*zip(top.opponents.indices[::-1], top.opponents.scores[::-1], strict=True)]
    pictures = _pictures(influence, x_train, [int(index) for index, _ in rows])
    bars = []
    for (index, score), picture in zip(rows, pictures, strict=True):
        label = influence.label(int(index))
        bars.append(InfluenceBar(f"row {index}" + (f": {label}" if label else ""), float(score), picture))
    explained = "1 row" if len(influence) == 1 else f"the summed loss of {len(influence):,} rows"
    subtitle = f"on {explained}, in layer {plotly_text(influence.layer)}; proponents above, opponents below"
    return _figure(influence_figure(look, bars, "Training rows with the most influence", subtitle))


def _pictures(influence: Influence, x_train: Any, rows: Sequence[int]) -> list[Any]:
    """Return the pictures (H, W, C) of some training rows as bytes; None of each where they are no images."""
    if x_train is not None:
        check_rows(influence, len(x_train))
    if len(getattr(x_train, "shape", ())) not in (3, 4) or not rows:
        return [None] * len(rows)
    samples = np.stack([np.asarray(x_train[row]) for row in rows])
    samples = samples[..., None] if samples.ndim == 3 else samples
    return list(levels(samples))


def draw(attribution: Attribution, x: Any = None, **options: Any) -> Figure:
    """Draw an attribution by the kind of its samples, see `Attribution.plot`.

    Raises:
        InvalidInput: an option that the function of the kind does not take.
    """
    gallery = explained_gallery(attribution, x, vocabulary=options.get("vocabulary"))
    name = FORMS[gallery.parts[0].form]
    is_alone = gallery.size == 1 and "samples" not in options and attribution.baseline_score is not None
    if name == "bars" and (is_alone or "sample" in options):
        name = "waterfall"
    function = globals()[name]
    check_options(function, options, f"kx.plot.{name}")
    figure: Figure = function(attribution, x, **options)
    return figure


def _mean_magnitudes(gallery: Gallery) -> tuple[Sequence[str], Any]:
    """Return the features, and the mean over samples of the magnitude of each one's attributions."""
    part = gallery.parts[0]
    if (gallery.probe is None and part.form != "table") or gallery.layer:
        if part.form != "table":
            raise InvalidInput("The samples are not known, and with them the features: give x=.")
        return part.names, np.abs(part.values).mean(0)
    if part.form == "table" and len(gallery.parts) == 1:
        return part.names, np.abs(np.asarray(part.values, np.float64)).mean(0)
    probe = gallery.probe
    assert probe is not None
    if part.form in ("map", "volume") and part.values.shape[1:] != part.positions:
        raise InvalidInput(
            f"{gallery.record.method} gives a map of its own resolution: it has no importance of features."
        )
    return probe.features, probe.pooled(gallery.record.values, np.abs).mean(0)


def _grid(form: Form, gallery: Gallery, samples: Rows, theme: Theme, drawing: Drawing) -> Figure:
    _part(form, gallery)
    rows = rows_of_gallery(MAX_SAMPLES if samples is None else samples, gallery.size)
    return _figure(gallery_figure(_look(theme), gallery, rows, drawing))


def _part(form: Form, gallery: Gallery) -> Part:
    """Return the part of a form.

    Raises:
        InvalidInput: the samples have none.
    """
    for part in gallery.parts:
        if part.form == form:
            return part
    fitting = " or ".join(dict.fromkeys(f"kx.plot.{FORMS[part.form]}" for part in gallery.parts))
    raise InvalidInput(f"These samples are of kind {gallery.kind!r}: {fitting} draws them, or attribution.plot().")


def _displays(gallery: Gallery, mode: Displays) -> tuple[Display, ...]:
    """Return the tiles of each sample; of pictures that are not at hand the map alone where nothing else was asked for."""
    displays: tuple[Display, ...] = (mode,) if isinstance(mode, str) else tuple(mode)
    check_options(image, {"mode": mode}, "kx.plot.image")
    has_pictures = any(part.inputs is not None for part in gallery.parts)
    if not has_pictures and displays in (("input",), ("masked",)):
        raise InvalidInput(f"mode={mode!r}: {gallery.missing() or 'these values have no picture.'}")
    return displays if has_pictures else ("map",)


def _look(theme: Theme) -> Look:
    check_theme(theme)
    return Look(theme)


def _figure(figure: dict[str, Any]) -> Figure:
    from plotly.graph_objects import Figure

    return Figure(figure)
