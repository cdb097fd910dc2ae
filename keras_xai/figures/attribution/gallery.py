"""The gallery as one figure: a tile a sample, or a row of tiles, under titles that say what the model makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_xai.analysis.attributions import reach_of, slice_magnitudes
from keras_xai.analysis.gallery import Gallery
from keras_xai.analysis.parts import Part, words_of
from keras_xai.analysis.table_rows import TABLE_ROWS, Row, rows_of
from keras_xai.figures.attribution.bars import ROW_HEIGHT, bars_tile, label_margin
from keras_xai.figures.attribution.lanes import LANE_HEIGHT, LANES, lanes_tile
from keras_xai.figures.attribution.maps import Display, image_tile
from keras_xai.figures.attribution.title import small, title_of
from keras_xai.figures.attribution.volumes import add_slice_slider, volume_tile
from keras_xai.figures.attribution.words import LINE_HEIGHT, words_tile
from keras_xai.figures.grid import grid
from keras_xai.figures.theme import Figure, Look, text
from keras_xai.records import Float

PICTURES_IN_A_ROW, TABLES_IN_A_ROW, SERIES_IN_A_ROW = 6, 2, 2
LARGE_PICTURES = 3  # so few stand in one row
MAX_PICTURE_HEIGHT = 320  # pixels of a row
PICTURES_WIDTH = 800  # pixels of all pictures of a row
MAP_NUMBERS = 30_000  # of all maps of a figure
MIN_PIXELS, MAX_PIXELS = 40, 256  # longer side of a map
ABOVE_TILE = 56  # pixels of a tile's title and of the axis of the tile above
TEXT_LINES = 8  # of a text in a gallery
TITLE_LETTERS = 20  # above a picture
VALUE_LETTERS = 26  # below it
WIDE_TITLE_LETTERS = 48


@dataclass(frozen=True)
class Drawing:
    """Settings of a gallery's tiles.

    Attributes:
        displays: of pictures, one tile each: the map over the picture, alone, what it leaves of the picture, the picture.
        is_scale_common: bars, shades and lanes have one scale in all samples.
        depth: the slice of volumes that is visible at first; None for the one with the largest share of all samples' maps.
        features: rows of a table with a feature of their own, at most.
        lanes: channels of a series, at most.
        lines: of a text, at most; None for all.
    """

    displays: tuple[Display, ...] = ("overlay",)
    is_scale_common: bool = True
    depth: int | None = None
    features: int = TABLE_ROWS
    lanes: int = LANES
    lines: int | None = TEXT_LINES


def gallery_figure(look: Look, gallery: Gallery, samples: Sequence[int], drawing: Drawing | None = None) -> Figure:
    """Draw some samples of a gallery, each under its title; below one title that says what the colours mean.

    Args:
        look: of the figure.
        gallery: of a run, or of an attribution by itself.
        samples: rows of the gallery.
        drawing: settings of the tiles.
    """
    drawing = drawing or Drawing()
    sheet = _Sheet(look, gallery, list(samples), drawing)
    panels = []
    for sample in sheet.samples:
        for part in gallery.parts:
            panels += sheet.tiles(part, sample)
    columns, height = sheet.layout(panels)
    figure = grid(look, panels, columns=columns, row_height=height, title=title_of(look, gallery, sheet.samples))
    return add_slice_slider(look, figure)


class _Sheet:
    """The tiles of one figure, and what they have in common."""

    def __init__(self, look: Look, gallery: Gallery, samples: list[int], drawing: Drawing) -> None:
        self.look, self.gallery, self.samples, self.drawing = look, gallery, samples, drawing
        self.depth = drawing.depth
        volumes = next((part.values[samples] for part in gallery.parts if part.form == "volume" and samples), None)
        if self.depth is None and volumes is not None:
            self.depth = _strongest_slice(volumes)
        fitting = int((MAP_NUMBERS / max(1, len(samples))) ** 0.5)
        self.pixels = min(MAX_PIXELS, max(MIN_PIXELS, fitting))
        tables = [part for part in gallery.parts if part.form == "table"]
        self.left = max((label_margin(self._rows(part, sample)) for part in tables for sample in samples), default=0)
        self.scales = {k: self._reach(part, samples) for k, part in enumerate(gallery.parts)}

    def _rows(self, part: Part, sample: int) -> list[Row]:
        return rows_of(part, sample, self.gallery.quantity, self.drawing.features)

    def _reach(self, part: Part, samples: Sequence[int]) -> tuple[float, float]:
        """Return the range of what is drawn of some samples: bars, shades or lanes."""
        drawn: list[Float] = [np.zeros(0)]
        for sample in samples:
            if part.form == "table":
                rows = self._rows(part, sample)
                drawn.append(np.asarray([row.share for row in rows if row.share is not None], np.float64))
            elif part.form == "words":
                drawn.append(words_of(part, sample)[1])
            elif part.form == "series":
                drawn.append(np.asarray(part.values[sample], np.float64).ravel())
        return reach_of(np.concatenate(drawn))

    def tiles(self, part: Part, sample: int) -> list[tuple[str, Figure]]:
        """Return the titled tiles of one part of a sample: of pictures one for each way of showing them."""
        title = self._tile_title(part, sample)
        reach = self.scales[self.gallery.parts.index(part)]
        if not self.drawing.is_scale_common:
            reach = self._reach(part, [sample])
        high = max(map(abs, reach))
        values = part.values[sample]
        if part.form == "table":
            return [(title, bars_tile(self.look, self._rows(part, sample), reach, self.left))]
        if part.form == "words":
            words, shares = words_of(part, sample)
            lines, magnitudes = self.drawing.lines, self.gallery.magnitudes
            return [(title, words_tile(self.look, words, shares, high, magnitudes=magnitudes, lines=lines))]
        if part.form == "series":
            inputs = None if part.inputs is None else part.inputs[sample]
            steps = part.positions[0] if part.positions else 0
            options: dict[str, Any] = {"steps": steps, "lanes": self.drawing.lanes}
            return [(title, lanes_tile(self.look, np.asarray(values), inputs, part.names, high, **options))]
        displays = self.drawing.displays if part.inputs is not None else ("map",)
        return [(title if not k else "", self._picture(part, sample, display)) for k, display in enumerate(displays)]

    def _picture(self, part: Part, sample: int, display: Display) -> Figure:
        is_smooth = self.gallery.is_coarse or part.values.shape[-2:] != part.positions[-2:] != ()
        options: dict[str, Any] = {
            "display": display,
            "magnitudes": self.gallery.quantity != "contribution",
            "smooth": is_smooth,
        }
        values = np.asarray(part.values[sample], np.float64)
        if part.form == "volume":
            count = len(self.samples) * len(self.drawing.displays)
            return volume_tile(self.look, values, part.inputs, sample, samples=count, depth=self.depth, **options)
        sides = part.positions
        return image_tile(self.look, values, part.inputs, sample, sides=sides, pixels=self.pixels, **options)

    def _tile_title(self, part: Part, sample: int) -> str:
        """Return the title of a tile: the sample, the class explained where it is another one, a warning."""
        look, gallery = self.look, self.gallery
        is_picture = part.form in ("map", "volume")
        lines = [text(gallery.title(sample), WIDE_TITLE_LETTERS)]
        if part is not gallery.parts[0]:
            return text(part.title, TITLE_LETTERS)
        if is_picture:  # there is room for its name alone: the number stands below it
            name, _, value = gallery.title(sample).partition(", ")
            is_zero = "" if np.any(part.values[sample]) else ", zero everywhere"
            lines = [text(name, TITLE_LETTERS), small(text(value + is_zero, VALUE_LETTERS), look["text-2"], 12)]
        if part.title:
            lines.append(small(text(part.title, TITLE_LETTERS), look["text-2"], 11))
        names_side = not is_picture or gallery.explains_another(sample)
        if names_side and self._names_sides:
            lines.append(small(text(self._side(sample, is_picture), WIDE_TITLE_LETTERS), look["text-2"], 11))
        warning = gallery.warning(sample)
        if warning:
            lines.append(small(warning, look["alarm"], 11))
        return "<br>".join(lines)

    @property
    def _names_sides(self) -> bool:
        """True where the legend cannot say for which class the values speak: it differs, or is not the one of the title."""
        targets = {self.gallery.target(sample) for sample in self.samples}
        return len(targets) > 1 or any(self.gallery.explains_another(sample) for sample in self.samples)

    def _side(self, sample: int, is_picture: bool) -> str:
        """Return for which class a sample's values speak."""
        low, high = self.gallery.sides([sample])
        if self.gallery.quantity == "slope":
            return f"score of {self.gallery.target(sample)}"
        return high if is_picture else f"{low} / {high}"

    def layout(self, panels: Sequence[tuple[str, Figure]]) -> tuple[int, int]:
        """Return how many panels stand in a row, and the height of a row in pixels."""
        forms = {part.form for part in self.gallery.parts}
        wide = len(self.gallery.parts) - 1 + len(self.drawing.displays)
        tables = [len(panel["layout"]["yaxis"].get("tickvals") or ()) for _, panel in panels]
        bars = ABOVE_TILE + ROW_HEIGHT * max(tables, default=0)
        if forms == {"words"}:
            lines = max((panel["layout"]["meta"]["lines"] for _, panel in panels), default=1)
            return 1, ABOVE_TILE + LINE_HEIGHT * lines
        if forms == {"table"}:
            return min(TABLES_IN_A_ROW, max(1, len(panels))), bars
        if forms == {"series"}:
            lanes = max((panel["layout"]["meta"]["lanes"] for _, panel in panels), default=1)
            return min(SERIES_IN_A_ROW, max(1, len(panels))), ABOVE_TILE + LANE_HEIGHT * lanes
        in_a_row = PICTURES_IN_A_ROW if len(panels) > LARGE_PICTURES else max(1, len(panels))
        columns = in_a_row if wide == 1 else max(wide, in_a_row // wide * wide)
        if len(self.gallery.parts) > 1:
            columns = wide  # one sample a row
        height = min(MAX_PICTURE_HEIGHT, ABOVE_TILE + int(PICTURES_WIDTH / columns))
        return columns, max(bars, height) if len(self.gallery.parts) > 1 else height


def _strongest_slice(volumes: Any) -> int:
    """Return the slice with the largest mean share of some samples' magnitudes."""
    magnitudes = slice_magnitudes(volumes)
    total = magnitudes.sum(1, keepdims=True)
    return int((magnitudes / np.where(total > 0, total, 1.0)).mean(0).argmax())
