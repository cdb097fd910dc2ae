"""What the page is made of: differences of figures, rows of the table, the words of the provenance."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_xai as kx
from keras_xai.cli import main
from keras_xai.page.differences import applied, differences
from keras_xai.page.drawings import STOP_BYTES, _plain, _stops, drawings_of
from keras_xai.page.provenance_words import provenance_words
from keras_xai.page.run_rows import rows_of
from keras_xai.provenance import LayerSummary, ModelSummary, ProbeSummary, Provenance
from keras_xai.records import Epoch, Shares
from keras_xai.run import Run
from keras_xai.summary.store import FileStore
from keras_xai.summary.writer import Writer
from keras_xai.updates import BEFORE

LEAVES = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["a", "b"])
DOCUMENTS = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
)


@given(st.dictionaries(st.sampled_from("abc"), DOCUMENTS), st.dictionaries(st.sampled_from("abc"), DOCUMENTS))
def test_differences_make_the_other_document(before, after):
    """Of any two; none of a document and itself."""
    assert applied(before, differences(before, after)) == after
    assert differences(after, after) == []


@pytest.mark.parametrize("name", ["pictures/watermark", "columns"])
def test_themes_and_moments_are_differences_of_one_figure(told_directory, name):
    """Put together they are the figure in that theme at that moment."""
    run = kx.load(told_directory)[name]
    contents = {
        drawing.name: json.loads(drawing.content) for drawing in drawings_of(run, "run0", STOP_BYTES) if drawing.content
    }
    assert {"overview", "weight_gradients", "probe_attributions", "importance_drift"} <= set(contents)
    for figure, content in contents.items():
        light = {"data": content["data"], "layout": content["layout"]}
        assert applied(light, content["dark"]) == _plain(run, figure, "dark")
    gallery, stops = contents["probe_attributions"], contents["probe_attributions"]["stops"]
    light = {"data": gallery["data"], "layout": gallery["layout"]}
    assert len(stops) == len(run.updates)
    assert stops[-1] == {"light": [], "dark": []}
    for update, stop in list(zip(run.updates, stops, strict=True))[::5]:
        moved = applied(light, stop["light"])
        assert moved == _plain(run, "probe_attributions", "light", epoch=update)
        there = applied(applied(moved, gallery["dark"]), stop["dark"])
        assert there == _plain(run, "probe_attributions", "dark", epoch=update)


def test_stops_are_few_enough(stepped_directory):
    """The first, the last and those of alarms stay; none where even two are too many."""
    run = kx.load(stepped_directory)["pictures/watermark"]
    assert _stops(run, 100) == [BEFORE, *run.updates]
    alarm = next(alert.update for alert in run.alerts)
    chosen = _stops(run, 6)
    assert len(chosen) <= 6
    assert {BEFORE, run.updates[0], run.updates[-1], alarm} <= set(chosen)
    assert _stops(run, 2) == []


def test_a_row_says_since_when_and_by_what(told_directory, tmp_path):
    """The first alarm with its feature, the flag with its variable, the epoch from which nothing is finite."""
    writer = Writer(tmp_path / "keras_xai")
    for epoch in range(4):
        share = [0.5, 0.5] if epoch < 2 else [float("nan")] * 2
        writer.write([Shares(epoch, "clean", ("age", "dose"), share, float("nan"), 6.0)])
        writer.write([Epoch(epoch, 0.0, 1.0, 0.1, 1e-3, {"loss": 1.0 if epoch < 2 else float("nan")})])
    writer.close()
    runs = {**kx.load(told_directory), "nan": Run(FileStore(tmp_path / "keras_xai"))}
    rows = {row.name: row for row in rows_of(runs)}
    columns = rows["columns"]
    assert (columns.verdict.text, columns.since.text, columns.feature.text) == ("ALARM", "epoch 6", "age")
    assert (columns.metric.text, columns.metric.note, columns.score.text) == ("40\u00a0%", "val_accuracy", "9.0")
    clean = rows["pictures/clean"]
    assert (clean.since.text, clean.feature.text, clean.flags.text) == ("epoch 9", "head/kernel", "1 dead")
    assert (rows["nan"].verdict.text, rows["nan"].since.text, rows["nan"].loss.text) == (
        "not watched",
        "epoch 2",
        "NaN",
    )
    assert (rows["waiting"].updates.text, rows["waiting"].metric.text) == ("0", "")
    assert rows["words"].since.text == ""


RECORD = Provenance(
    epoch=0,
    wall_time=0.0,
    versions={"keras_xai": "0.1.0", "keras": "3.6.0"},
    backend="jax",
    platform="Linux 6.1 x86_64",
    model=ModelSummary(
        "net", "Functional", 1200, 1000, 2, (LayerSummary("out", "Dense", "(None, 2)", 1200),), "Adam", "mse"
    ),
    probe=ProbeSummary(128, 16, "table", "00ff", 4, ("no", "yes"), ("sex",), "pandas.DataFrame"),
    seed=7,
    command=("train.py", "--name", "two words"),
    epochs=5,
    steps=40,
)


def test_the_provenance_in_words(tmp_path):
    """Each line; a restart says what is otherwise; the command can be left out; of an older file that it is not recorded."""
    restart = dataclasses.replace(
        RECORD, epoch=1, seed=None, versions={"keras_xai": "0.1.0", "keras": "3.7.0"}, command=()
    )
    for name, records in (("new", [RECORD, restart]), ("old", [])):
        writer = Writer(tmp_path / name / "keras_xai")
        writer.write([*(Epoch(epoch, 60.0, 2.0, 0.1, 1e-3, {}) for epoch in range(2)), *records])
        writer.close()
    runs = kx.load(tmp_path)
    words = provenance_words(runs["new"])
    assert dict(words.rows) == {
        "Begun": "1970-01-01 00:00 UTC: a training of 5 epochs, 40 steps each",
        "Recorded": "2 epochs in 4 s, the last at 1970-01-01 00:01 UTC",
        "Versions": "keras_xai 0.1.0, keras 3.6.0",
        "Keras on": "jax, Linux 6.1 x86_64",
        "Model": "net (Functional), 2 layers, 1,200 parameters, 1,000 of them trainable, Adam, loss mse",
        "Probe": "128 samples of pandas.DataFrame; table, 4 features; classes no, yes; slices by sex; 16 in the gallery; "
        "hash 00ff",
        "Seed": "7 (keras.utils.set_random_seed)",
        "Command": "train.py --name 'two words'",
        "Restart at epoch 1": "1970-01-01 00:00 UTC; versions keras 3.7.0; seed not set",
    }
    assert (words.layer_count, words.layers) == (2, RECORD.model.layers)
    assert "Command" not in dict(provenance_words(runs["new"], command=False).rows)
    assert not provenance_words(runs["old"]).is_recorded
    assert "train.py" in kx.report(tmp_path / "new", tmp_path / "report.html").read_text()
    assert main(["report", str(tmp_path / "new"), str(tmp_path / "report.html"), "--no-command"]) == 0
    text = (tmp_path / "report.html").read_text()
    assert "keras 3.6.0" in text
    assert "train.py" not in text
    assert "was not recorded" in kx.report(tmp_path / "old", tmp_path / "report.html").read_text()
