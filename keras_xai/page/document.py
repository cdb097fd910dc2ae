"""The page as text, made of its templates: what a run says goes through Jinja2, which escapes it."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

import keras_xai
from keras_xai.figures.colour import TOKENS
from keras_xai.figures.plotly_script import plotly_source, subset
from keras_xai.judgement import ALARM, STATUS_WORDS
from keras_xai.page.drawings import STOP_BYTES
from keras_xai.page.provenance_words import date
from keras_xai.page.run_rows import WORST_FIRST, RunRow, rows_of
from keras_xai.page.run_section import section_of
from keras_xai.printed import printable
from keras_xai.run import Run

TEMPLATES = Path(__file__).parent / "templates"


def html_of(title: str, runs: Mapping[str, Run], *, command: bool = True) -> str:
    """Return the page.

    Args:
        title: of the page, the log directory.
        runs: by name.
        command: the commands that started the trainings are told.
    """
    rows = rows_of(runs)
    stop_bytes = STOP_BYTES // max(1, len(runs))
    sections = [
        section_of(row.name, row.node, runs[row.name], is_open=len(runs) == 1, stop_bytes=stop_bytes, command=command)
        for row in rows
    ]
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            rows=rows,
            sections=sections,
            counts=_counts(rows),
            metric=_commonest_key(rows, "metric"),
            loss=_commonest_key(rows, "loss"),
            written=f"{date(time.time())} by keras_xai {keras_xai.__version__}",
            tokens=TOKENS,
            ALARM=ALARM,
            plotly=_script(subset(plotly_source())),
            script=_script((TEMPLATES / "page.js").read_text(encoding="utf-8")),
            style=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        )
    )


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_in_sight,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _in_sight(value: Any) -> Any:
    """Return a value as the page has it: of a text from a file what would act on a reader shows, too."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _script(text: str) -> Markup:
    """Return a script of ours, or plotly's, as the content of an element: nothing in it ends the element."""
    return Markup(text.replace("</script", "<\\/script"))


def _counts(rows: list[RunRow]) -> str:
    """Return how many runs there are of each verdict: "12 runs: 2 ALARM, 1 not watched, 9 quiet"."""
    statuses = [row.status for row in rows]
    words = [f"{statuses.count(status)} {STATUS_WORDS[status]}" for status in WORST_FIRST if status in statuses]
    return f"{len(rows)} run{'' if len(rows) == 1 else 's'}: {', '.join(words)}"


def _commonest_key(rows: list[RunRow], name: str) -> str:
    """Return the key of a log that most runs have, which heads the column: cells of other keys name theirs."""
    keys = [getattr(row, name).note for row in rows if getattr(row, name).text]
    return max(dict.fromkeys(keys), key=keys.count, default="")
