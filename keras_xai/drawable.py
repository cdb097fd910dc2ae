"""An attribution as it prints itself, and as it is drawn: two lines in a terminal, a table and a figure in a notebook."""

from __future__ import annotations

import importlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_xai.printed import printable
from keras_xai.tree import leaves

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

TARGETS_LISTED = 4


class Drawable:
    """The text, the table and the figure of an `Attribution`."""

    method: Any
    values: Any
    target: Any
    score: Any
    baseline_score: Any
    completeness_error: Any
    space: Any
    kind: Any
    samples: Any

    def __repr__(self) -> str:
        shapes = " and ".join(str(np.shape(array)) for array in leaves(self.values))
        kind = f" of kind {self.kind}" if self.kind else ""
        first = f"Attribution({self.method}{kind}, values {shapes}, {self._targets()})"
        return f"{first}\n  {self._scores()}; {self._completeness()}"

    def _targets(self) -> str:
        """Return what was explained: "target yes ×7, no ×5"."""
        names = getattr(self.samples, "class_names", None) or ()
        counts = Counter(np.asarray(self.target).tolist()).most_common()
        words = []
        for target, count in counts[:TARGETS_LISTED]:
            name = printable(names[target]) if 0 <= target < len(names) else str(target)
            words.append(f"{'the sum of all outputs' if target < 0 else name} ×{count}")
        more = f" and {len(counts) - TARGETS_LISTED} more" if len(counts) > TARGETS_LISTED else ""
        return f"target {', '.join(words)}{more}"

    def _scores(self) -> str:
        score = np.asarray(self.score, np.float64)
        finite = score[np.isfinite(score)]
        if not finite.size:
            return "scores that are not finite"
        span = f"{finite.min():.3g}" if len(finite) == 1 else f"{finite.min():.3g} to {finite.max():.3g}"
        return f"score {span} ({self.space})"

    def _completeness(self) -> str:
        if self.completeness_error is None:
            return "the values need not add up to it"
        error = np.asarray(self.completeness_error, np.float64)
        if not error.size or not np.isfinite(error).all():
            return "completeness error not finite"
        return f"completeness error {100 * error.max():.2g} % at most"

    def _repr_html_(self) -> str:
        # What draws a record stands above the records: it is imported when it is asked for.
        words: str = importlib.import_module("keras_xai.cards").attribution_card(self)
        return words

    def plot(self, x: Any = None, **options: Any) -> Figure:
        """Return a plotly figure of the samples, by what they are: a picture, a table, a text, a series or a volume.

        Of one sample of a table it is the waterfall from the baseline's score to its own, where the method has one. Of several
        samples it is a grid, at most sixteen of them; `samples=` chooses others.

        Args:
            x: the samples that were explained, where the attribution does not hold them: what `kx.attribute` returns, and
                what is read back from a log directory, does.
            **options: of the function of `kx.plot` that draws the kind: `samples`, `class_names`, `feature_names`, `theme`, ….

        Raises:
            InvalidInput: samples that do not fit, an option that the function does not take.

        Example:
            >>> a = kx.attribute(model, x[:3], verbose=False)
            >>> a.plot(feature_names=names).layout.title.text.split("<br>")[0]
            'Integrated gradients'
        """
        figure: Figure = importlib.import_module("keras_xai.plot").draw(self, x, **options)
        return figure
