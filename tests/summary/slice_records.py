"""A record of slices with all figures that there may be."""

import numpy as np

from keras_xai.records import SliceGaps, SliceImportance, SliceReadout, Slices, SliceValue

VALUES = (
    SliceValue("hospital", "east", 10),
    SliceValue("hospital", "<b>north</b>", 20),
    SliceValue("hospital", "south", 70),
    SliceValue("sex", "f", 44),
    SliceValue("sex", "m", 56),
)


def slices_of(epoch: int, layers: tuple[str, ...] = ("stem/conv", "head")) -> Slices:
    """Random figures of two slices with five values."""
    r = np.random.default_rng(epoch)
    share = r.random((5, 3)).astype("f4")
    return Slices(
        epoch=epoch,
        values=VALUES,
        size=100,
        accuracy=r.random(5).astype("f4"),
        confidence=r.random(5).astype("f4"),
        overall_accuracy=float(r.random()),
        overall_confidence=float(r.random()),
        importance=SliceImportance(("a", "b", "c"), share / share.sum(1, keepdims=True), np.full(3, 1 / 3, "f4")),
        gaps=SliceGaps(("a", "", "c", "a", ""), np.array([1, 0, 9.5, 2, np.nan], "f4")),
        readout=SliceReadout(
            layers=layers,
            slices=("hospital", "sex"),
            readability=r.random((len(layers), 2)).astype("f4"),
            standard_error=np.full((len(layers), 2), 0.03125, "f4"),
            chance=np.array([0.7, 0.56], "f4"),
        ),
    )
