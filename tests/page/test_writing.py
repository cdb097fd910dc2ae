"""The page that can be mailed."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

import keras_xai as kx
from keras_xai.cli import main
from keras_xai.records import Alert, Epoch, Shares
from keras_xai.summary.writer import Writer
from tests.reliance_records import SENTENCE, ShortcutRun

HOSTILE = '<img src=x onerror="alert(1)">'


@pytest.fixture
def logs(tmp_path):
    """A run with a hostile feature name, an alert and a note."""
    writer = Writer(tmp_path / "logs" / "run1" / "keras_xai")
    for e in range(12):
        share = np.array([0.5, 0.5] if e < 9 else [0.9, 0.1], np.float32)
        writer.write([Shares(e, "clean", (HOSTILE, "age"), share, 9.0 if e == 9 else 1.0, 6.0)])
        if e == 9:
            writer.write([Alert(e, "clean", "reliance moved", False, ((HOSTILE, 0.5, 0.9, 1, 9.0),), 9.0, 6.0)])
        writer.write([Epoch(e, 0.0, 1.0, 0.1, 1e-3, {"loss": 1 / (e + 1)}, {}, (HOSTILE,) if e == 3 else ())])
    writer.close()
    return tmp_path / "logs"


def test_the_page_stands_alone_and_names_are_text(logs, tmp_path, browser):
    """Opened from disk: charts are drawn, nothing is fetched, nothing complains, a hostile name is what it is."""
    page = kx.report(logs, tmp_path / "report.html")
    assert page.stat().st_size < 10e6
    tab, requests, errors = browser.new_page(), [], []
    tab.on("request", lambda r: requests.append(r.url) if not r.url.startswith(("file:", "data:", "blob:")) else None)
    tab.on("pageerror", lambda e: errors.append(str(e)))
    tab.on("dialog", lambda d: errors.append(d.message))
    tab.goto(page.as_uri())
    tab.locator(".js-plotly-plot .main-svg").first.wait_for()
    assert "the model moved its reliance" in tab.locator("summary .sentence").inner_text()
    assert tab.locator("table.runs td.feature").inner_text() == HOSTILE
    assert HOSTILE in tab.locator("body").inner_text()
    assert tab.locator("img").count() == 0
    buttons = tab.locator(".modebar-btn").evaluate_all(
        "(all) => [...new Set(all.map((button) => button.dataset.title))]"
    )
    assert buttons == ["Download plot as a PNG"]  # not plotly's own, which sends the chart to its makers
    assert (requests, errors) == ([], [])
    tab.close()


def test_what_was_not_recorded_is_said(logs, tmp_path):
    """No gradients, attributions or mappings: words where the figures would be."""
    text = kx.report(logs, tmp_path / "report.html").read_text()
    for title in ("Weight gradients", "Attributions", "Mappings"):
        assert re.search(rf"<p>{title}: \w+ was not among the callbacks\.</p>", text)
        assert f"<h3>{title}</h3>" not in text


def test_a_shortcut_of_the_training_rows_is_told_with_what_to_do(tmp_path):
    """Sentence, advice, both sides and the rows that carry it; rows that merely differ are listed without red."""
    ShortcutRun(tmp_path / "logs").write()
    text = kx.report(tmp_path / "logs", tmp_path / "report.html").read_text()
    sentence = SENTENCE.format("leak")
    assert f'<p class="sentence">{sentence[0].upper()}{sentence[1:]}.</p>' in text
    assert (
        f"{sentence}<br>live rows beside the probe, epoch 3: leak (probe 1.0\u00a0%, training rows 38\u00a0%, z +9.0)"
        in text
    )
    assert "See docs/what_to_do_about_an_alert.md#a-training-only-shortcut.</td>" in text
    assert '<td class="alarm">epoch 3</td>' in text
    assert "<td>epoch 5</td><td>rows differ</td>" in text
    assert "<td>leak</td><td>7</td><td>1</td><td>2.5</td><td>80\u00a0%</td>" in text
    assert "<h3>Training rows beside probe</h3>" in text


def test_the_figure_of_attributions_is_of_a_method_that_sees_the_cause(story, tmp_path):
    """Saliency first, whatever else was written; integrated gradients from a zero baseline are blind to a dark mark."""
    story(tmp_path / "logs", moves=None).write(0, 1).close()
    text = kx.report(tmp_path / "logs", tmp_path / "report.html").read_text()
    assert "Saliency, epoch 1" in text
    assert "Integrated gradients, epoch" not in text


@pytest.mark.parametrize("path", ["nowhere/report.html", "."])
def test_a_path_that_cannot_be_written_is_an_error_in_words(logs, tmp_path, path):
    """And nothing is left behind."""
    with pytest.raises(kx.InvalidInput, match="cannot be written"):
        kx.report(logs, tmp_path / path)
    assert [p.name for p in tmp_path.iterdir()] == ["logs"]


def test_the_command_says_where_the_page_is(logs, tmp_path, capsys):
    """Exit status 0 and the path; 2 and the reason."""
    assert main(["report", str(logs), str(tmp_path / "page.html")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "page.html")
    assert main(["report", str(tmp_path / "nothing")]) == 2
    assert "no directory" in capsys.readouterr().err


def test_a_run_that_cannot_be_shown_says_so_and_the_others_are_shown(logs, tmp_path, monkeypatch):
    """By name, with the reason; in the table too."""
    from keras_xai.page import run_section

    _one_epoch(logs / "run2")
    summary = run_section.summary

    def fail(run):
        if len(run.epochs) == 1:
            raise RuntimeError("planted <b>\n")
        return summary(run)

    monkeypatch.setattr(run_section, "summary", fail)
    text = kx.report(logs, tmp_path / "report.html").read_text()
    assert '<p class="sentence">This run cannot be shown: RuntimeError: planted &lt;b&gt;\\n</p>' in text
    assert re.findall(r'<a href="#run\d">(.*)</a>', text) == ["run1", "run2"]
    assert text.count("<h3>Importance &amp; drift</h3>") == 1


def test_a_figure_that_cannot_be_drawn_says_so_and_the_others_are_drawn(logs, tmp_path, monkeypatch):
    """The run stands with all else that it has."""
    from keras_xai.figures import FIGURES

    def fail(run, look, **options):
        raise RuntimeError("planted <b>")

    monkeypatch.setitem(FIGURES, "overview", fail)
    text = kx.report(logs, tmp_path / "report.html").read_text()
    assert '<p class="fault">Overview: it cannot be drawn, RuntimeError: planted &lt;b&gt;.</p>' in text
    assert text.count("<h3>Importance &amp; drift</h3>") == 1


def _one_epoch(directory):
    writer = Writer(directory / "keras_xai")
    writer.write([Epoch(0, 0.0, 1.0, 0.1, 1e-3, {"loss": 1.0})])
    writer.close()


@pytest.mark.parametrize("fault", ["keras_xai.page.writing.html_of", "os.replace", "pathlib.Path.write_text"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_no_draft_is_left_behind(logs, tmp_path, monkeypatch, fault, error):
    """Whatever ends the writing, at whatever moment; the page of before stands."""
    page = tmp_path / "report.html"
    page.write_text("before")
    write = Path.write_text

    def fail(*arguments, **options):
        if fault == "pathlib.Path.write_text":
            write(arguments[0], "half of it")
        raise error(28, "planted")

    monkeypatch.setattr(fault, fail)
    with pytest.raises((error, kx.InvalidInput)):
        kx.report(logs, page)
    monkeypatch.undo()
    assert {path.name for path in tmp_path.iterdir()} == {"logs", "report.html"}
    assert page.read_text() == "before"


def test_two_runs_of_one_title_are_both_shown(logs, tmp_path, monkeypatch):
    """The log directory's own run would go by the directory's name, which another one has."""
    monkeypatch.chdir(logs)
    for directory in ("run1", "run1/run1"):
        writer = Writer(Path(directory) / "keras_xai-2")
        writer.write([Epoch(0, 0.0, 1.0, 0.1, 1e-3, {"loss": 1.0})])
        writer.close()
    Path("run1/run1/keras_xai-2").rename("run1/run1/keras_xai")
    text = kx.report("run1", tmp_path / "report.html").read_text()
    assert re.findall(r"<h2>([^<]*)</h2>", text) == [".", "keras_xai-2", "run1"]


def test_a_directory_that_is_no_utf8_is_reported(logs, tmp_path):
    """Its name is escaped."""
    named = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    os.rename(logs, named)
    text = kx.report(named, tmp_path / "report.html").read_text()
    assert rf"<h1>What the models below {tmp_path}/caf\xe9 learn from</h1>" in text
