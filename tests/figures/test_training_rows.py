"""The suspects of all training rows as a table."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import plotly.graph_objects as go
import pytest

from keras_xai.figures import Look
from keras_xai.figures.training_rows import MAX_ROWS, coverage, figure, row_suspects
from keras_xai.records import Stop
from keras_xai.row_records import TrainingRows
from keras_xai.summary.json_text import json_of
from tests.plotted import unpacked
from tests.summary.runs import through_a_file

SIZE = 20
PROBABILITY = np.linspace(0.05, 1.0, SIZE).astype(np.float32)
ROWS = TrainingRows(
    epoch=2,
    task="class",
    digest=np.arange(SIZE),
    label=np.zeros(SIZE, np.float32),
    visits=np.full(SIZE, 3),
    probability=PROBABILITY,
    variability=np.zeros(SIZE, np.float32),
    early_probability=PROBABILITY,
    last_probability=PROBABILITY,
    correctness=(PROBABILITY > 0.5).astype(np.float32),
    forgetting=np.zeros(SIZE, np.int64),
    loss=-np.log(PROBABILITY),
    last_loss=-np.log(PROBABILITY),
    read_as=np.where(PROBABILITY > 0.5, 0, 1),
)
NAN = np.full(SIZE, np.nan, np.float32)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return through_a_file(tmp_path_factory.mktemp("run"), [ROWS])


def test_the_least_believed_labels_come_first(run):
    """A dozen rows with label, reading, quality, probability, share of epochs and visits; all of them in the exported table."""
    panel = row_suspects(run, exact=True)
    cells = panel["data"][0]
    assert cells["x"] == ["label", "read as", "quality", "probability", "epochs right", "visits"]
    assert len(cells["text"]) == MAX_ROWS
    quality = (1 + 0.05 - PROBABILITY.mean()) / 2
    assert cells["text"][0] == ["0", "1", f"{quality:.0%}".replace("%", "\u00a0%"), "5.0\u00a0%", "0\u00a0%", "3"]
    table = panel["layout"]["meta"]["table"]
    assert [row[0] for row in table["rows"]] == list(range(SIZE))
    assert table["rows"][0][4] == pytest.approx(0.05, abs=1e-3)  # as float16


def test_what_the_table_lacks_is_said():
    """Rows that no step saw, visits without a row, rows without numbers, and why it ended."""
    assert coverage(ROWS) == "20 training rows, seen in up to 3 epochs."
    visits = np.where(np.arange(SIZE) < 15, 1, 0)
    part = dataclasses.replace(ROWS, visits=visits, unmatched=1234, missing="<why>")
    assert coverage(part).startswith(
        "15 of 20 training rows, seen in up to 1 epoch. 1,234 visits of rows that are none of x"
    )
    assert coverage(part).endswith("Incomplete: <why>.")
    assert "numbered as they first came" in coverage(dataclasses.replace(part, has_numbers=False))


NUMBERS = {
    "task": "value",
    "probability": NAN,
    "early_probability": NAN,
    "correctness": NAN,
    "read_as": np.full(SIZE, -1),
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "change", [{}, NUMBERS, {"task": "labels", "label": NAN}, {"missing": "<script>"}, {"early_probability": NAN}]
)
def test_plotly_accepts_the_figure(run, change, theme):
    """Strict JSON; of numbers the largest loss first; of rows without a figure words instead."""
    record = dataclasses.replace(ROWS, **change)
    drawn = SimpleNamespace(training_rows=record, probe=run.probe)
    whole = figure(drawn, Look(theme))
    go.Figure(whole)
    assert "<script>" not in json_of([whole, row_suspects(drawn, exact=True)]).decode()
    if record.task == "value":
        assert whole["data"][0]["text"][0][1] == "3"
        assert np.isfinite(unpacked(whole["data"][0]["z"])).all()  # else plotly draws no text
    assert ("absent" in (whole["layout"].get("meta") or {})) == (
        np.isnan(record.early_probability).all() and record.task != "value"
    )


def test_a_run_without_rows_says_why(tmp_path):
    """The callback was not there, or ended before it had any; the panel is left out."""
    run = through_a_file(tmp_path, [Stop(0, "training_rows", "no digest")])
    assert row_suspects(run)["data"] == []
    assert "TrainingRows stopped at epoch 0: no digest" in figure(run)["layout"]["meta"]["absent"]
