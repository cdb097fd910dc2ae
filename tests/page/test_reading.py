"""The page in a browser: its table, the folded runs, the gallery's slider, both themes, paper."""

from __future__ import annotations

import json
import re
import shutil

import pytest

import keras_xai as kx
from keras_xai.figures import Look
from keras_xai.judgement import STATUS_WORDS, judge
from keras_xai.page.drawings import _plain
from keras_xai.updates import BEFORE

A4 = (703, 1031)  # CSS pixels inside the margins
STEPS = "stepped/pictures/watermark"


@pytest.fixture(scope="module")
def directory(told_directory, stepped_directory, tmp_path_factory):
    """Twelve runs: pictures, tables, texts, series, in epochs and in steps, some that have only begun."""
    root = tmp_path_factory.mktemp("twelve")
    shutil.copytree(told_directory, root / "told")
    shutil.copytree(stepped_directory, root / "stepped")
    return root


@pytest.fixture(scope="module")
def page(directory):
    return kx.report(directory, directory / "report.html")


@pytest.fixture
def tab(page, browser):
    """The page in a window, which must have no error in the end."""
    window, errors = browser.new_page(viewport={"width": 1280, "height": 800}), []
    window.on("pageerror", lambda error: errors.append(str(error)))
    window.goto(page.as_uri())
    yield window
    assert errors == []
    window.close()


def unfold(tab, name):
    """Open a run by its link in the table; returns the id of its section."""
    link = tab.get_by_role("link", name=name, exact=True)
    node = link.get_attribute("href").removeprefix("#")
    link.click()
    tab.locator(f"#{node}[open] .main-svg").first.wait_for()
    return node


def drawn(tab, node):
    """What plotly has drawn in a figure."""
    tab.locator(f"#{node}").scroll_into_view_if_needed()
    tab.locator(f"#{node} .main-svg").first.wait_for()
    unmarked = "(key, value) => (key.startsWith('_') ? undefined : value)"  # plotly marks what it has read
    return json.loads(tab.evaluate(f"JSON.stringify(document.getElementById({node!r}).data, {unmarked})"))


def column(tab, index):
    return tab.locator(f"table.runs tbody tr > :nth-child({index})").all_inner_texts()


def test_the_table_has_the_verdicts_of_check_and_is_sorted_by_any_column(tab, directory):
    """The worst first; by name with 2 before 10; empty cells last, either way; the direction is said."""
    runs = kx.load(directory)
    judged = {name: STATUS_WORDS[judge(run).status] for name, run in runs.items()}
    verdicts = dict(zip(column(tab, 1), column(tab, 2), strict=True))
    assert {name: cell.split(" ")[0] for name, cell in verdicts.items()} == {
        name: word.split(" ")[0] for name, word in judged.items()
    }
    ranks = [["ALARM", "not watched", "quiet"].index(judged[name]) for name in column(tab, 1)]
    assert ranks == sorted(ranks)
    assert len(ranks) == 12
    header = tab.get_by_role("button", name="Feature")
    header.click()
    names = column(tab, 4)
    assert tab.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"
    filled = [name for name in names if name]
    assert filled == sorted(filled)
    assert names == filled + [""] * (12 - len(filled))
    header.click()
    assert tab.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    assert column(tab, 4)[-1] == ""
    tab.get_by_role("button", name="Drift score").click()
    scores = [float(cell.split(" ")[0]) for cell in column(tab, 7) if cell]
    assert scores == sorted(scores)
    assert scores[-1] == 9


def test_a_folded_run_is_drawn_when_it_is_opened(tab):
    """Nothing before; by its link; the link back; all at once without drawing what is out of sight."""
    assert tab.locator(".main-svg").count() == 0
    node = unfold(tab, "told/columns")
    assert tab.locator(f"#{node} h3", has_text="Overview").is_visible()
    assert tab.locator("details.run[open]").count() == 1
    tab.locator(f"#{node} .back a").click()
    assert tab.locator("#runs").is_visible()
    tab.get_by_role("button", name="Open all runs").click()
    assert tab.locator("details.run[open]").count() == 12
    assert tab.locator(".js-plotly-plot").count() < 0.5 * tab.locator(".figure").count()
    tab.get_by_role("button", name="Fold all runs").click()
    assert tab.locator("details.run[open]").count() == 0


def test_the_slider_shows_the_gallery_at_each_epoch(tab, directory):
    """By keyboard, in the unit of the run, before training too; what is drawn is the figure of that moment."""
    run = kx.load(directory)[STEPS]
    node = f"{unfold(tab, STEPS)}-probe_attributions"
    slider, output = tab.locator(f"#{node}-stop"), tab.locator(f"output[for='{node}-stop']")
    last = drawn(tab, node)
    assert output.inner_text() == slider.get_attribute("aria-valuetext") == "step 120 of epoch 2"
    assert last == _plain(run, "probe_attributions", "light")["data"]
    slider.focus()
    tab.keyboard.press("Home")
    assert output.inner_text() == slider.get_attribute("aria-valuetext") == "before training"
    assert drawn(tab, node) == _plain(run, "probe_attributions", "light", epoch=BEFORE)["data"] != last
    tab.keyboard.press("ArrowRight")
    assert output.inner_text() == "step 10 of epoch 0"
    assert "step 10 of epoch 0" in tab.locator(f"#{node} .gtitle").text_content()


def test_figures_follow_the_theme_and_are_printed_light(tab, directory):
    """In the dark theme they are those of that look; on paper the light ones; and dark again afterwards."""
    run = kx.load(directory)[STEPS]
    node = f"{unfold(tab, STEPS)}-probe_attributions"
    light, dark = (_plain(run, "probe_attributions", theme, epoch=BEFORE)["data"] for theme in ("light", "dark"))
    assert light != dark
    tab.locator(f"#{node}-stop").focus()
    tab.keyboard.press("Home")
    assert drawn(tab, node) == light
    tab.emulate_media(color_scheme="dark")
    assert drawn(tab, node) == dark
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == rgb(Look("dark")["page"])
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert drawn(tab, node) == light
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert drawn(tab, node) == dark


def rgb(colour):
    return f"rgb({', '.join(str(value) for value in bytes.fromhex(colour[1:]))})"


def test_on_paper_nothing_is_cut_and_no_figure_is_split(tab):
    """Twelve folded runs are few pages; of those that are open every figure is drawn, and fits on a page with its heading."""
    assert pages(tab.pdf(format="A4", print_background=True)) <= 3
    for name in ("told/columns", "stepped/pictures/clean"):
        unfold(tab, name)
    count = pages(tab.pdf(format="A4", print_background=True))
    figures = tab.locator("details[open] .figure").count()
    assert tab.locator(".js-plotly-plot").count() == figures == 8
    assert count <= 3 + figures
    tab.set_viewport_size({"width": A4[0], "height": A4[1]})
    tab.emulate_media(media="print")
    boxes = tab.evaluate(
        "[...document.querySelectorAll('.panel, table, p, dl')].map((node) => {"
        "const box = node.getBoundingClientRect();"
        "const inner = [...node.querySelectorAll('.svg-container')].map((svg) => svg.getBoundingClientRect().right);"
        "return [Math.max(box.right, ...inner), node.matches('.panel') ? box.height : 0]; })"
    )
    assert max(right for right, _ in boxes) <= A4[0]
    assert max(height for _, height in boxes) <= A4[1]


def pages(pdf):
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf))


def test_a_narrow_window_scrolls_figures_and_tables_alone(tab):
    """The page itself stays as wide as the window."""
    unfold(tab, "told/columns")
    tab.set_viewport_size({"width": 640, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") == 640
