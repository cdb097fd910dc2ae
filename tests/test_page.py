"""The page that can be mailed."""

import re

import numpy as np
import pytest

import keras_xai as kx
from keras_xai.cli import main
from keras_xai.records import Alert, Epoch, Shares
from keras_xai.summary.writer import Writer

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
    tab, asked, errors = browser.new_page(), [], []
    tab.on("request", lambda r: asked.append(r.url) if not r.url.startswith(("file:", "data:", "blob:")) else None)
    tab.on("pageerror", lambda e: errors.append(str(e)))
    tab.on("dialog", lambda d: errors.append(d.message))
    tab.goto(page.as_uri())
    tab.locator(".js-plotly-plot .main-svg").first.wait_for()
    assert "the model moved its reliance" in tab.locator("h2 + p").inner_text()
    assert HOSTILE in tab.locator("table").inner_text()
    assert HOSTILE in tab.locator("body").inner_text()
    assert tab.locator("img").count() == 0
    assert (asked, errors) == ([], [])
    tab.close()


def test_what_was_not_recorded_is_said(logs, tmp_path):
    """No gradients, attributions or mappings: words where the figures would be."""
    text = kx.report(logs, tmp_path / "report.html").read_text()
    for title in ("Weight gradients", "Attributions", "Mappings"):
        assert re.search(rf"<h3>{title}</h3>\s*<p>Nothing was recorded: \w+ was not among the callbacks", text)


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
