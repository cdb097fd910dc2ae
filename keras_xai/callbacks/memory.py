"""The memory that a callback will take for its probe: estimated, and warned of, before it takes it."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator, Sequence

from keras_xai.callbacks.first_warning import warn_in_first_process
from keras_xai.model.runner import chunk_rows
from keras_xai.model.samples import sample_bytes
from keras_xai.probe import Probe
from keras_xai.spatial import SPATIAL_KINDS

WARN_ABOVE = 2**30  # bytes
# A gallery is held once, its attributions by each method, and their sums over channels. Measured, as `passes` are: docs/trust.md.
GALLERY_COPIES = 5
LIVE_COPIES = 2  # the batches of a source, and the rows that are made of them


@dataclasses.dataclass(frozen=True)
class Need:
    """The memory of one callback beside the probe itself, in samples as float32.

    Args:
        probe: whose arrays it keeps.
        passes: copies of the samples of one pass that exist at its peak: as input, gradient, attribution, summed up.
        gallery: number of samples whose attributions exist at once.
        live: number of samples that are read anew from a source at every epoch.
    """

    probe: Probe
    passes: int
    gallery: int = 0
    live: int = 0

    @property
    def bytes(self) -> int:
        """Bytes of one callback, without those of the probe's arrays."""
        shapes = [array.shape for array in self.probe.inputs]
        samples = self.passes * self.rows_of_pass + GALLERY_COPIES * self.gallery + LIVE_COPIES * self.live
        return sample_bytes(shapes) * samples

    @property
    def rows_of_pass(self) -> int:
        """The number of samples that one pass takes at most; the model, which may take fewer, is not known yet."""
        return min(self.probe.size, chunk_rows(self.probe.x, convolves=self.probe.kind in SPATIAL_KINDS))


_collected: contextvars.ContextVar[list[Need] | None] = contextvars.ContextVar("_collected", default=None)


@contextlib.contextmanager
def collected_needs() -> Iterator[list[Need]]:
    """Collect the needs of the callbacks that are made inside; they do not warn by themselves."""
    needs: list[Need] = []
    token = _collected.set(needs)
    try:
        yield needs
    finally:
        _collected.reset(token)


def announce_need(need: Need) -> list[Need]:
    """Add a callback's need to those that are collected, or else warn of it by itself; called in its constructor.

    Returns:
        The need alone, in a list.
    """
    needs = _collected.get()
    if needs is None:
        warn_of_memory([need], stacklevel=4)
    else:
        needs.append(need)
    return [need]


def warn_of_memory(needs: Sequence[Need], *, stacklevel: int) -> None:
    """Warn of callbacks with one probe that take more than 1 GiB together."""
    total = expected_bytes(needs)
    if total <= WARN_ABOVE:
        return
    probe, held = needs[0].probe, _held_bytes(needs[0].probe)
    shapes = " and ".join(f"{array.shape[1:]} {array.dtype}" for array in probe.inputs)
    smaller = f", smaller {probe.kind}s, or {probe.kind}s as uint8" if probe.kind in SPATIAL_KINDS else ""
    warn_in_first_process(
        f"The probe of {probe.size} samples of shape {shapes} will take about {_size_text(total)} of memory: "
        f"{_size_text(held)} for its arrays and {_size_text(total - held)} at the end of an epoch to explain them, beside what "
        f"the model itself takes for {needs[0].rows_of_pass} samples. Give fewer rows (128 to 256 are enough){smaller}.",
        stacklevel=stacklevel,
    )


def expected_bytes(needs: Sequence[Need]) -> int:
    """Return the bytes that callbacks with one probe take together at their peak, its arrays counted once."""
    return _held_bytes(needs[0].probe) + sum(need.bytes for need in needs) if needs else 0


def _held_bytes(probe: Probe) -> int:
    return sum(array.nbytes for array in probe.inputs)


def _size_text(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**29 else f"{size / 2**20:.0f} MiB"
