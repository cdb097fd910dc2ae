"""The flags of `TrainingChecks` in words, the same in tab, report, notebook and command."""

from __future__ import annotations

import math

from keras_xai.recorded import Recorded
from keras_xai.training_records import TrainingFlags


def last_checks(run: Recorded, until: float = math.inf) -> TrainingFlags | None:
    """Return the rules as they stood at an update, None where none was judged up to it."""
    records = [record for record in run.training_flags if record.update <= until]
    return records[-1] if records else None


def check_lines(run: Recorded, until: float = math.inf) -> list[str]:
    """Return one line for each flag that stands at an update: what, since when, and what to do."""
    record = last_checks(run, until)
    return [] if record is None else [flag.in_words(run.unit) for flag in record.flags]


def unjudged_line(run: Recorded, until: float = math.inf) -> str:
    """Return the rules that could not be judged, with the reasons; "" where all were, or there are no checks."""
    record = last_checks(run, until)
    if record is None or not record.unjudged:
        return ""
    by_reason: dict[str, list[str]] = {}
    for kind, reason in record.unjudged.items():
        by_reason.setdefault(reason, []).append(kind)
    parts = [f"{', '.join(kinds)} ({reason})" for reason, kinds in by_reason.items()]
    return f"not judged: {'; '.join(parts)}"
