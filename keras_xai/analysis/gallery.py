"""A gallery: samples with their attributions by one method, put into the parts that a figure draws one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from keras_xai.analysis.attributions import (
    error_warning,
    inputs_of,
    is_magnitude,
    recorded_update,
    title_at,
    true_class,
)
from keras_xai.analysis.outputs import finite_at, outputs_at, sides_of, target_name, titles_of
from keras_xai.analysis.parts import Part, parts_of
from keras_xai.probe import Probe
from keras_xai.recorded import Recorded, moment
from keras_xai.records import Attribution, Outputs, Quantity


@dataclass(frozen=True, eq=False)
class Gallery:
    """Samples with their attributions by one method, at one update of a run or by themselves."""

    record: Attribution
    probe: Probe | None
    table: Outputs
    at: int = 0  # the update's index in `table`
    method_title: str = ""
    quantity: Quantity = "contribution"
    layer: str = ""
    when: str = ""  # "epoch 3"; "" without a run
    not_finite: str = ""  # since when the scores are not finite; "" where they are

    @classmethod
    def of_run(cls, run: Recorded, method: str, epoch: int | None) -> Gallery | None:
        """Return the gallery of a run at an update, or at the last one before it with finite scores; None without maps."""
        table, number = outputs_at(run, method, epoch), recorded_update(run, method, epoch)
        record = run.attribution(method, number)
        if table is None or record is None:
            return None
        at, since = finite_at(table, epoch)
        return cls(
            record,
            run.probe,
            table,
            at,
            run.method_title(method),
            run.method_quantity(method),
            run.method_layer(method),
            moment(run, number),
            "" if since is None else moment(run, since),
        )

    @classmethod
    def of(cls, record: Attribution, probe: Probe | None) -> Gallery:
        """Return an attribution by itself, with the samples that it explains."""
        title = record.title or record.method.replace("_", " ").capitalize()
        when = "" if record.epoch is None else record.moment
        return cls(record, probe, _outputs_of(record), 0, title, record.quantity, record.layer, when)

    @property
    def kind(self) -> str:
        """The kind of the samples; where nothing says it, what their values look like."""
        kind = self.record.kind if self.probe is None else self.probe.kind
        if kind:
            return kind
        ranks = {2: "table", 3: "image" if "cam" in self.record.method else "series", 4: "image", 5: "volume"}
        return ranks.get(max(np.ndim(array) for array in inputs_of(self.record)), "table")

    @property
    def size(self) -> int:
        """The number of samples B."""
        return int(self.table.target.shape[1])

    @property
    def is_coarse(self) -> bool:
        """True for maps that are to be drawn smoothly, since their cells are larger than pixels."""
        return "cam" in self.record.method

    @property
    def magnitudes(self) -> bool:
        """True where values are shown without their sign."""
        return is_magnitude(self.kind, self.quantity)

    @cached_property
    def parts(self) -> list[Part]:
        """The inputs with a map, a text or a series of their own, then one table of all columns."""
        return parts_of(self.record, self.probe, self.kind, self.layer)

    def title(self, sample: int) -> str:
        """Return a sample in a few words: "7 read as 3, 60 %"."""
        return title_at(self, self.table, self.at, sample)

    def target(self, sample: int) -> str:
        """Return the name of the class, label or column that is explained."""
        return target_name(self, self.table, int(self.table.target[self.at, sample]))

    def explains_another(self, sample: int) -> bool:
        """Return True where another class is explained than the one that the title begins with."""
        true = true_class(self, self.table, sample)
        named = titles_of(self.table)[0][self.at, sample] if true is None else true
        return bool(np.isfinite(named)) and int(self.table.target[self.at, sample]) != int(named)

    def sides(self, samples: Sequence[int]) -> tuple[str, str]:
        """Return the meaning of a negative and of a positive value: "against malignant", "for malignant"."""
        return sides_of(self, self.table, self.table.target[self.at, list(samples)], self.quantity)

    def warning(self, sample: int) -> str:
        """Return a warning where a sample's attributions do not add up; else ""."""
        return error_warning(self.table, self.at, sample)

    def missing(self) -> str:
        """Return why the samples themselves cannot be shown; "" where they can."""
        if self.probe is None:
            return "The samples are not known: give x=."
        if self.probe.x is not None:
            return ""
        return "The samples were not stored" + (": store='none'." if self.probe.store == "none" else ".")


def _outputs_of(record: Attribution) -> Outputs:
    """Return the fields of an attribution as outputs over one update."""
    size = len(record.score)
    outputs = np.zeros((size, 0)) if record.outputs is None else np.asarray(record.outputs).reshape(size, -1)
    baseline = np.full(size, np.nan) if record.baseline_score is None else record.baseline_score
    width, default = outputs.shape[1], "number"
    if record.space != "raw":
        default = "classes" if width != 1 else "binary"

    def row(values: Any) -> Any:
        return None if values is None else np.asarray(values)[None]

    return Outputs(
        method=record.method,
        epochs=np.zeros(1, np.int64),
        target=row(record.target),
        prediction=row(np.asarray(record.prediction).reshape(size, -1)[:, 0]),
        score=row(record.score),
        baseline_score=row(baseline),
        completeness_error=row(record.completeness_error),
        outputs=row(outputs),
        space=record.space,
        r2=row(record.r2),
        task=record.task or default,  # type: ignore[arg-type]
        link=record.link,
        quadrature_error=row(record.quadrature_error),
    )
