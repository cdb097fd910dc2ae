"""What a panel says of itself, and what can be taken out of it: in a real browser, and by the routes behind it."""

from __future__ import annotations

import csv
import io
import json
import posixpath
import re
import struct

import numpy as np
import pytest

import keras_xai as kx
from keras_xai.alert_words import VERDICT_WORDS
from keras_xai.analysis.panel_help import PANEL_HELP
from keras_xai.analysis.vocabulary import ALERT_SOURCES
from keras_xai.figures import PANELS
from keras_xai.plugin import documentation
from tests.number_cases import ALIGNED, SHORT
from tests.plugin.answers import HOME, LOADERS, RUN
from tests.plugin.tab import VIEWS, Tab


@pytest.fixture(scope="module")
def python_served(serve, told_directory):
    return serve(told_directory, "python")


@pytest.fixture(scope="module")
def tab(browser, python_served):
    """One page for all tests: each chooses its run and its view."""
    opened = Tab(browser, python_served.url)
    yield opened
    opened.page.close()
    opened.quiet()


@pytest.fixture(scope="module", params=LOADERS)
def client(request, wsgi, told_directory):
    return wsgi(told_directory, request.param)


@pytest.fixture(scope="module")
def runs(told_directory):
    return kx.load(told_directory)


def taken_out(tab, panel, entry):
    """The file that an entry of a panel's menu saves: its name and its content."""
    tab.frame.locator(f'[data-key="menu {panel}"]').click()
    with tab.page.expect_download() as download:
        tab.frame.get_by_role("menuitem", name=entry).click()
    return download.value.suggested_filename, download.value.path().read_bytes()


def table(content):
    """The columns of a CSV file, and its rows as text."""
    columns, *rows = csv.reader(io.StringIO(content.decode("utf-8"), newline=""))
    return columns, rows


def numbers(cells):
    """Cells as numbers; an empty one is NaN."""
    return np.array([float(cell or "nan") for cell in cells], np.float32)


def test_every_panel_has_a_menu_and_help(tab):
    """In every view, of every kind of probe."""
    for run in ("pictures/watermark", "columns", "sensors"):
        tab.focus(run)
        for view in VIEWS:
            tab.show(view)
            tab.frame.locator("main .panel, main .empty").first.wait_for()
            buttons = tab.frame.locator("main").evaluate(
                """(main) => [...main.querySelectorAll(".panel > header")].map((header) =>
                    [".panel-help", ".panel-menu"].map((name) => header.querySelector(name)?.dataset.key))"""
            )
            for help_key, menu_key in buttons:
                assert (help_key or "").removeprefix("help ") in PANEL_HELP, (run, view, menu_key)
                assert menu_key == help_key.replace("help ", "menu "), (run, view)


def test_a_chart_is_saved_as_a_picture(tab):
    """PNG at twice the size; SVG with title, run, epoch and legend in it. The name of the file says which panel it was."""
    tab.focus(RUN)
    tab.show("Overview")
    tab.drawn(3)
    name, content = taken_out(tab, "drift_score", "PNG")
    assert name == "pictures-watermark_drift_score_epoch_11.png"
    assert content.startswith(b"\x89PNG")
    width = tab.frame.locator(".panel:has([data-key='menu drift_score']) .chart").bounding_box()["width"]
    assert struct.unpack(">I", content[16:20])[0] == pytest.approx(2 * width, abs=2)
    name, content = taken_out(tab, "drift_score", "SVG")
    words = re.sub(r"<[^>]+>", " ", content.decode("utf-8"))
    for word in ("Drift score", "pictures/watermark · epoch 11", "live rows", "fixed probe", "limit 6"):
        assert word in words
    name, content = taken_out(tab, "importance_cells", "PNG")  # canvases
    assert content.startswith(b"\x89PNG")


def test_numbers_are_saved_in_full(tab, runs):
    """CSV equals the run's records: charts, maps, alerts; columns are named."""
    run = runs[RUN]
    tab.focus(RUN)
    tab.show("Overview")
    tab.drawn(3)
    columns, rows = table(taken_out(tab, "drift_score", "CSV")[1])
    assert columns == ["epoch", "fixed probe", "live rows"]
    np.testing.assert_array_equal(numbers([row[2] for row in rows]), np.float32(run.importance_live.score))
    columns, rows = table(taken_out(tab, "loss", "CSV")[1])
    assert [float(row[1]) for row in rows] == [record.logs["loss"] for record in run.history]
    columns, rows = table(taken_out(tab, "importance_cells", "CSV")[1])
    assert columns == ["epoch", *run.importance_live.names]
    np.testing.assert_array_equal([numbers(row[1:]) for row in rows], run.importance_live.share)
    columns, rows = table(taken_out(tab, "gradient_health", "CSV")[1])
    assert columns == ["variable", "epoch", "rms"]
    recorded = np.stack([record.statistics["rms"] for record in run.weight_gradients], 1)
    np.testing.assert_array_equal(numbers([row[2] for row in rows]), recorded.ravel())
    tab.show("Importance & drift")
    columns, rows = table(taken_out(tab, "alerts", "CSV")[1])
    written = [[str(alert.epoch), ALERT_SOURCES[alert.source], VERDICT_WORDS[alert.verdict]] for alert in run.alerts]
    assert [row[:3] for row in rows] == written
    assert [row[5] for row in rows] == [run.alerts[0].features[0][0]] * 2


def test_a_gallery_is_saved_with_its_names_and_no_formula(tab, runs, told_directory):
    """One row a value; hostile names are quoted, and none begins as a formula does."""
    tab.focus("columns")
    tab.show("Attributions")
    tab.frame.locator("main .bars svg").first.wait_for()
    columns, rows = table(taken_out(tab, "attributions", "CSV")[1])
    at = columns.index("attribution")
    maps = runs["columns"].attributions("integrated_gradients")[-1].values
    np.testing.assert_array_equal(numbers([row[at] for row in rows]), maps.ravel())
    assert [row[at - 2] for row in rows[:5]] == list(runs["columns"].probe.features)
    hostile = ["=1+1", "+a", "-b", "@c", 'say "hi", twice', "\ttab", "plain"]
    text = tab.frame.locator("body").evaluate(
        """async (_, names) => {
            const { exportsOf } = await import("./static/index.js");
            const { csvOf } = exportsOf("core/csv.js");
            return csvOf({ columns: names, rows: [[-1.5, 1e-7, NaN, null, 0, 3, "x"]] });
        }""",
        hostile,
    )
    names, cells = csv.reader(io.StringIO(text, newline=""))
    assert names == ["'=1+1", "'+a", "'-b", "'@c", 'say "hi", twice', "'\ttab", "plain"]
    assert cells == ["-1.5", "1e-7", "NaN", "", "0", "3", "x"]


def test_a_map_is_saved_as_numpy_reads_it(client, runs):
    """The recorded values, in their shape: of all samples and of one; in both loaders."""
    for name, method in ((RUN, "saliency"), ("columns", "integrated_gradients"), ("sensors", "saliency")):
        record = runs[name].attributions(method)[3]
        query = f"attribution.npy?run={name}&method={method}&epoch=3"
        whole = np.load(io.BytesIO(client.get(HOME + query).data), allow_pickle=False)
        np.testing.assert_array_equal(whole, record.values)
        assert whole.dtype == np.float32
        alone = np.load(io.BytesIO(client.get(f"{HOME}{query}&sample=2").data), allow_pickle=False)
        np.testing.assert_array_equal(alone, record.values[2])
    assert client.get(f"{HOME}{query}&sample=99").status_code == 404
    assert client.get(f"{HOME}{query}&input=9").status_code == 404


@pytest.mark.parametrize(
    "panel",
    [
        "drift_score",
        "rank_bump&source=live&epoch=7",
        "heat_map&statistic=max&compact=1",
        "sample_outputs&method=saliency&sample=1",
        "overview&epoch=4",
    ],
)
def test_the_line_for_a_notebook_draws_the_panel(client, panel):
    """The line runs as it is, and makes the figure that the tab shows."""
    line = client.get(f"{HOME}notebook?run={RUN}&name={panel}").text
    imports, _, expression = line.partition("; ")
    assert imports == "import keras_xai as kx"
    drawn = eval(expression, {"kx": kx})
    if panel.split("&")[0] in PANELS:
        served = client.get(f"{HOME}figure?run={RUN}&name={panel}").json
        assert json.loads(drawn.to_json())["data"][0]["type"] == served["data"][0]["type"]
        assert len(drawn.data) == len(served["data"])
    else:
        assert len(drawn.data) > 3


def test_the_line_for_a_notebook_counts_in_steps(wsgi, stepped_directory):
    """A step is a step, and before training step 0; a figure that is none is refused."""
    client = wsgi(stepped_directory)
    line = client.get(f"{HOME}notebook?run={RUN}&name=rank_bump&epoch=30").text
    assert line.endswith("figure('rank_bump', step=30)")
    line = client.get(f"{HOME}notebook?run={RUN}&name=probe_attributions&method=saliency&epoch=-1").text
    assert line.endswith("figure('probe_attributions', method='saliency', step=0)")
    eval(line.partition("; ")[2], {"kx": kx})
    assert client.get(f"{HOME}notebook?run={RUN}&name=nothing").status_code == 400


def test_the_menu_is_worked_by_keys(tab):
    """Enter opens, arrows move, Escape closes and gives the focus back; the page's own keys rest; a redraw changes nothing."""
    tab.focus(RUN)
    tab.show("Overview")
    tab.drawn(3)
    button = tab.frame.locator('[data-key="menu loss"]')
    button.focus()
    tab.page.keyboard.press("Enter")
    menu = tab.frame.get_by_role("menu")
    menu.wait_for()
    epoch = tab.epoch
    tab.page.keyboard.press("ArrowDown")
    tab.page.keyboard.press("ArrowRight")
    focused = "() => document.activeElement.textContent"
    assert tab.page.evaluate(focused) == "Picture (SVG)"
    assert tab.epoch == epoch
    assert button.get_attribute("aria-expanded") == "true"
    tab.page.keyboard.press("Escape")
    assert menu.count() == 0 or not menu.is_visible()
    assert tab.page.evaluate("() => document.activeElement.dataset.key") == "menu loss"
    button.click()
    tab.frame.get_by_role("menuitem", name="Copy line").click()
    tab.frame.locator(".popup .line").wait_for()
    assert ".figure('loss')" in tab.frame.locator(".popup .line").inner_text()
    tab.page.keyboard.press("Escape")


def test_a_chart_is_zoomed_into_and_out_of(tab):
    """By a drag with the shift key; it stays while the slider moves, and a plain click still sets the epoch."""
    tab.focus(RUN)
    tab.show("Importance & drift")
    tab.drawn(2)
    tab.key("End")
    chart = tab.frame.locator(".panel:has([data-key='menu drift_score']) .chart")
    ranges = "(node) => ['xaxis', 'yaxis'].map((axis) => node.querySelector('.canvas')._fullLayout[axis].range)"
    whole = chart.evaluate(ranges)
    box = chart.bounding_box()

    def drag():
        tab.page.keyboard.down("Shift")
        tab.page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 40)
        tab.page.mouse.down()
        tab.page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 120, steps=3)
        tab.page.mouse.up()
        tab.page.keyboard.up("Shift")
        chart.get_by_text("Reset zoom").wait_for()

    drag()
    zoomed = chart.evaluate(ranges)
    assert whole[0][0] < zoomed[0][0] < zoomed[0][1] < whole[0][1]
    assert whole[1][0] < zoomed[1][0] < zoomed[1][1] < whole[1][1]
    assert tab.epoch == 11
    tab.key("ArrowLeft")
    tab.page.wait_for_timeout(200)
    assert chart.evaluate(ranges) == zoomed
    chart.get_by_text("Reset zoom").click()
    tab.page.wait_for_timeout(100)
    assert chart.evaluate(ranges) == whole
    assert tab.epoch == 10
    drag()
    tab.page.mouse.dblclick(box["x"] + box["width"] * 0.5, box["y"] + 80)
    tab.page.wait_for_timeout(200)
    assert chart.evaluate(ranges) == whole


def test_the_pointer_reads_a_map(tab, runs):
    """Row, column, the recorded attribution to three digits, and its share of the map."""
    tab.focus(RUN)
    tab.show("Attributions")
    tab.key("End")
    canvas = tab.frame.locator(".tile canvas").nth(1)
    canvas.wait_for()
    side = canvas.bounding_box()["width"]
    canvas.hover(position={"x": 0.3 * side, "y": 0.6 * side})  # row 2, column 1 of 4 × 4
    words = tab.frame.get_by_text("row 2, column 1 of 4 × 4")
    words.wait_for()
    method = tab.frame.get_by_label("Method").input_value()
    values = runs[RUN].attributions(method)[-1].values[0]
    told = tab.frame.locator("#tip").inner_text().splitlines()
    share = abs(values[2, 1]) / np.abs(values).sum()
    assert told[1:] == [f"attribution {kx_short(values[2, 1])}", f"{100 * share:.1f}\u00a0% of the map"]


def kx_short(value):
    """A number as Python prints it."""
    from keras_xai.analysis.formatting import short

    return short(float(value))


def test_numbers_are_printed_alike_in_python_and_in_the_tab(tab):
    """Three significant digits, and decimal points below each other."""
    from keras_xai.analysis.formatting import aligned, short

    assert {value: short(value) for value in SHORT} == SHORT
    assert {words: tuple(aligned(words)) for words in ALIGNED} == ALIGNED
    shown, lined_up = tab.frame.locator("body").evaluate(
        """async (_, [numbers, words]) => {
            const { exportsOf } = await import("./static/index.js");
            const { aligned, short } = exportsOf("core/dom.js");
            return [numbers.map((number) => short(Number(number))), words.map((list) => aligned(list))];
        }""",
        [
            [{"nan": "NaN", "inf": "Infinity"}.get(str(value), str(value)) for value in SHORT],
            [list(words) for words in ALIGNED],
        ],
    )
    assert shown == list(SHORT.values())
    assert [tuple(words) for words in lined_up] == list(ALIGNED.values())


def test_help_says_what_a_panel_is_and_leads_to_its_page(tab):
    """The (i) opens beside the title; Escape closes it; its link leads to a page with that heading, in the tab's theme."""
    tab.focus(RUN)
    tab.show("Overview")
    tab.frame.locator('[data-key="help drift_score"]').click()
    words = tab.frame.get_by_role("dialog", name=PANEL_HELP["drift_score"].term)
    words.wait_for()
    for sentence in (PANEL_HELP["drift_score"].what, PANEL_HELP["drift_score"].good, PANEL_HELP["drift_score"].bad):
        assert sentence in words.inner_text()
    with tab.page.expect_popup() as opened:
        words.get_by_role("link").click()
    page = opened.value
    page.locator("#when-it-is-an-alarm").wait_for()
    assert page.url.endswith("/docs/drift?theme=light#when-it-is-an-alarm")
    page.get_by_role("link", name="keras_xai: documentation").click()
    page.get_by_role("heading", level=1).wait_for()
    page.close()
    tab.page.keyboard.press("Escape")
    advice = tab.frame.locator(".advice").get_by_role("link").get_attribute("href")
    assert advice == "./docs/what_to_do_about_an_alert?theme=light#the-training-data-changed"


def test_every_panel_of_the_server_has_help():
    """And the page and the heading that each names are there."""
    assert set(PANELS) - set(PANEL_HELP) <= {"sample_outputs", "importance_map"}  # parts of panels of their own
    for name, words in PANEL_HELP.items():
        page, _, heading = words.page.partition("#")
        assert page in documentation.pages(), name
        assert not heading or f'id="{heading}"' in documentation.page(page), name
        assert all((words.term, words.what, words.good, words.bad))


def test_the_documentation_is_served(wsgi, told_directory):
    """Every page, with links between pages and images that lead somewhere; nothing else of the folder."""
    client = wsgi(told_directory)
    for name in documentation.pages():
        answer = client.get(f"{HOME}docs/{name}?theme=dark")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/html")
        for target in re.findall(r'(?:href|src)="([^"#:]+)["#]', answer.text):
            path, _, query = target.partition("?")
            path = posixpath.normpath(posixpath.join(posixpath.dirname(f"{HOME}docs/{name}"), path))
            assert client.get(f"{path}?{query}").status_code == 200, (name, target)
    assert client.get(f"{HOME}docs/images/overhead.svg").headers["Content-Type"].startswith("image/svg+xml")
    for missing in ("nothing", "../setup.cfg", "drift.md"):
        assert client.get(f"{HOME}docs/{missing}").status_code == 404
    assert client.get(f"{HOME}docs/drift?theme=pink").status_code == 400


def test_html_in_a_page_is_text(monkeypatch, tmp_path):
    """Markdown alone is rendered, and no link runs a script."""
    path = tmp_path / "page.md"
    path.write_text("# A <b>title</b>\n\n<script>alert(1)</script> [x](javascript:alert(1)) [y](drift.md#z)")
    monkeypatch.setattr(documentation, "pages", lambda: {"page": path, "drift": path})
    shown = documentation.page.__wrapped__("page")
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown
    assert 'href="javascript' not in shown
    assert 'href="drift?theme=light#z"' in shown


def test_the_tour_comes_once(browser, python_served):
    """Four steps by keys, dismissed for good, and again from the list of keys."""
    tab = Tab(browser, python_served.url, tour=True)
    tour = tab.frame.locator(".tour")
    tour.wait_for()
    for step in range(1, 5):
        assert f"{step} of 4" in tour.inner_text()
        tab.page.keyboard.press("ArrowRight")
    assert tour.count() == 0
    tab.open()
    tab.drawn(1)
    tab.page.wait_for_timeout(1500)
    assert tour.count() == 0
    tab.key("?")
    tab.frame.get_by_text("Show the tour").click()
    tour.wait_for()
    tab.page.keyboard.press("Escape")
    assert tour.count() == 0
    tab.page.close()
    tab.quiet()
