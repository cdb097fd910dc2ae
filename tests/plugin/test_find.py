"""Finding: the table of runs, filters, names that are cut, links; and many runs at once."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from keras_xai.plugin.listing import absolute
from tests.plugin.answers import HOME, LOADERS_OF_BROWSERS
from tests.plugin.sweep import FEATURES, FOLDER, LAYERS, SEEDS, sweep_name, write_sweep
from tests.plugin.tab import Tab

CASES = json.loads((Path(__file__).parents[1] / "names.json").read_text(encoding="utf-8"))
RUNS = 6 + SEEDS


@pytest.fixture(scope="module")
def root(told_directory, tmp_path_factory):
    return write_sweep(tmp_path_factory.mktemp("sweep") / "logs", told_directory)


# What the server says.


@pytest.fixture(scope="module")
def client(wsgi, root):
    return wsgi(root)


def rows_of(client, *names):
    return client.get(HOME + "rows", query_string={"run": names}).json


def test_rows_say_what_check_says(client):
    """Verdict, its moment and feature, highest score with its limit, last metrics, flags; of runs that exist."""
    names = ("pictures/watermark", "pictures/clean", "waiting", "nothing", sweep_name(3), sweep_name(0))
    watermark, clean, waiting, third, first = rows_of(client, *names)
    assert (watermark["verdict"], watermark["since"], watermark["moment"]) == ("alarm", 6, "epoch 6")
    assert (watermark["guilty"], watermark["score"], watermark["limit"]) == ("block (0,0)", 9.0, 6.0)
    assert (watermark["metric_name"], watermark["metric"], watermark["loss"]) == ("val_accuracy", 0.4, 2 / 12)
    assert (clean["verdict"], clean["guilty"], clean["since"]) == ("alarm", "head/kernel", 9)
    assert clean["flags"] == ["epoch 11: head/kernel is dead since epoch 9"]
    assert (waiting["verdict"], waiting["reason"]) == ("not watched", "no epoch was recorded")
    assert (waiting["score"], waiting["loss"], waiting["written"]) == (None, None, None)
    assert (third["verdict"], third["guilty"], third["score"]) == ("alarm", FEATURES[3], 9.0)
    assert (first["verdict"], first["since"], first["updates"], first["unit"]) == ("quiet", None, 12, "epoch")
    cards = {card["name"]: card for card in client.get(HOME + "index").json["runs"]}
    assert watermark["stamp"] == cards["pictures/watermark"]["stamp"]


def test_many_runs_are_listed_before_they_are_read(wsgi, root, monkeypatch):
    """Without time to read, all names come and some cards, that of the run in focus among them; the others come later."""
    client, focus = wsgi(root), sweep_name(9)
    monkeypatch.setattr("keras_xai.plugin.plugin.INDEX_SECONDS", 0.0)
    monkeypatch.setattr("keras_xai.plugin.plugin.READER_THREADS", 5)
    cards = client.get(HOME + "index", query_string={"focus": focus}).json["runs"]
    pending = [card["name"] for card in cards if card.get("pending")]
    assert len(cards) == RUNS
    assert len(pending) == RUNS - 5
    assert focus not in pending
    assert rows_of(client, pending[0])[0]["verdict"]
    for _ in range(4):
        cards = client.get(HOME + "index").json["runs"]
    assert not any(card.get("pending") for card in cards)


def test_the_log_directory_has_one_name(client, root):
    """That from the root of the file system, or its address: two projects on one port share no state."""
    assert client.get(HOME + "index").json["place"] == str(root)
    assert absolute("logs") == str(Path.cwd() / "logs")
    assert absolute("gs://bucket/logs") == "gs://bucket/logs"


@pytest.mark.parametrize(("only", "code"), [("0-2.7", 200), ("12", 400), ("2-", 200), ("x", 400), ("0-99999", 400)])
def test_rows_of_a_figure_are_chosen_by_number(client, only, code):
    """Ranges of numbers; what is none, and rows that do not exist, are refused."""
    query = {"run": sweep_name(0), "name": "heat_map", "only": only}
    assert client.get(HOME + "figure", query_string=query).status_code == code


# What a person does.


@pytest.fixture(scope="module", params=LOADERS_OF_BROWSERS)
def url(request, serve, root):
    return serve(root, request.param).url


@pytest.fixture
def tab(browser, url):
    opened = Tab(browser, url)
    opened.frame.locator(f".runs li >> nth={RUNS}").wait_for()  # with two folders
    yield opened
    opened.page.close()
    opened.quiet()


def names_in(tab, selector):
    return [node.get_attribute("title") for node in tab.frame.locator(selector).all()]


def test_the_table_of_runs(tab):
    """Sorted by any column, by folder or not; a click brings a run into focus, a tick lays it over; verdicts lead to it."""
    tab.key("0")
    judged = tab.frame.get_by_text(f"{RUNS} runs: ").filter(has_not_text="not judged")
    judged.wait_for()
    assert "1 not watched" in judged.inner_text()
    names = names_in(tab, ".runs-table .name")
    assert names[-3:] == [sweep_name(11), sweep_name(12), sweep_name(13)]  # in their natural order
    assert tab.frame.locator(".runs-table .group-name").all_inner_texts() == ["pictures", FOLDER]
    tab.frame.get_by_role("button", name="All", exact=True).click()
    score = tab.frame.get_by_role("columnheader", name="Highest score")
    score.get_by_role("button").click()
    assert score.get_attribute("aria-sort") == "descending"
    assert sweep_name(10) in names_in(tab, ".runs-table .name")[:6]
    assert names_in(tab, ".runs-table .name")[-1] == "waiting"  # what has none comes last
    metric = tab.frame.get_by_role("columnheader", name="val_accuracy")
    metric.get_by_role("button").press("Enter")
    metric.get_by_role("button").press("Enter")
    assert metric.get_attribute("aria-sort") == "ascending"
    line = tab.frame.get_by_role("row").filter(has=tab.frame.locator(f"[title='{sweep_name(3)}']"))
    assert line.get_by_text("9.0, limit 6").count() == 1
    line.get_by_role("checkbox").click()
    line.get_by_text("9.0, limit 6").click()
    assert tab.frame.locator(".runs-table .focus .name").get_attribute("title") == sweep_name(3)
    line.get_by_role("button", name="alarm of").click()
    tab.frame.get_by_text(f"Epoch 9: the training data changed in {FEATURES[3]}").first.wait_for()


def test_runs_are_found_by_a_filter(tab):
    """A regular expression, small letters for both cases, plain text where it is none; digits switch no view."""
    box = tab.frame.locator(".rail .filter-input")
    tab.key("/")
    box.press_sequentially("SEED1")
    assert names_in(tab, ".runs .name") == []
    box.fill(r"seed1\d$|Water")  # a capital letter tells cases apart
    assert names_in(tab, ".runs .name") == [sweep_name(seed) for seed in (10, 11, 12, 13)]
    box.fill(r"seed1\d$|water")
    assert tab.frame.locator(".rail .filter-count").inner_text() == f"5 of {RUNS}"
    tab.frame.locator(".rail").get_by_role("button", name="all").click()
    assert tab.frame.locator(".runs .box[aria-checked=true]").count() == 5
    tab.frame.locator(".rail").get_by_role("button", name="none").click()
    box.fill("(")
    assert tab.frame.locator(".rail .filter-mark").inner_text() == "plain text"
    assert names_in(tab, ".runs .name") == []
    box.press("Escape")
    assert len(names_in(tab, ".runs .name")) == RUNS
    tab.frame.locator(f".runs [data-key='group {FOLDER}']").click()
    assert len(names_in(tab, ".runs .name")) == RUNS - SEEDS
    box.fill("seed2")  # which looks into closed folders
    assert names_in(tab, ".runs .name") == [sweep_name(2)]
    assert tab.frame.get_by_role("tab", name="Overview").get_attribute("aria-selected") == "true"


def test_names_are_cut_and_colours_have_dashes(tab):
    """The rail and the legend show what differs, the whole name is said and shown by the pointer; the title stays."""
    seed = tab.frame.locator(f".runs [data-key='focus {sweep_name(12)}']")
    assert seed.inner_text() == "…seed12"
    assert seed.get_attribute("title") == sweep_name(12)
    assert tab.frame.locator(".runs .box.dashed").count() == RUNS - 12
    tab.frame.locator(".rail").get_by_role("button", name="all").click()
    header = tab.frame.locator(".panel header", has_text="Drift score")
    more = header.get_by_role("button", name=re.compile(r"^\+\d+ more$"))
    more.wait_for()
    assert header.locator("h3").evaluate("(title) => title.scrollWidth <= title.clientWidth")
    more.click()
    assert header.locator(".key.of-run:visible").count() >= 15
    tab.frame.get_by_role("separator", name="Width of the rail").press("ArrowRight")
    assert tab.frame.locator(".rail").bounding_box()["width"] == 232


def test_layers_and_features_are_found(tab):
    """The figures are of the rows that are found alone, with their ranks among all; a layer is chosen by its name."""
    tab.focus(sweep_name(10))
    tab.show("Weight gradients")
    tab.drawn(4)
    tab.frame.get_by_role("searchbox", name="Filter layers").fill(r"block_1\d?/")
    tab.frame.locator(".matches button").nth(2).click()
    tab.frame.locator(".panel h3", has_text="block_11").wait_for()
    assert [node.inner_text() for node in tab.frame.locator(".matches button").all()] == [
        LAYERS[k] for k in (1, 10, 11)
    ]
    tab.frame.locator(".chart").first.locator(".ytick >> nth=2").wait_for()
    tab.frame.wait_for_function("() => document.querySelectorAll('.chart')[0].querySelectorAll('.ytick').length === 3")
    tab.show("Importance & drift")
    tab.frame.get_by_role("searchbox", name="Filter features").fill("balance_11")
    tab.frame.get_by_text("Rank of the features that are found").wait_for()
    ranks = (
        "() => [...document.querySelectorAll('[aria-label^=Rank] .ytick')].some((tick) => tick.textContent === '12')"
    )
    tab.frame.wait_for_function(ranks)
    tab.frame.get_by_role("searchbox", name="Filter features").fill("nothing like it")
    assert tab.frame.get_by_text("No feature is found.").count() == 2


def test_alerts_are_found(tab):
    """By their words, their source, and when they were raised."""
    tab.focus(sweep_name(10))
    tab.show("Importance & drift")
    alerts = tab.frame.locator(".alerts li")
    alerts.nth(1).wait_for()
    tab.frame.get_by_role("searchbox", name="Filter alerts").fill("balance_2_")
    assert alerts.count() == 1
    tab.frame.get_by_role("searchbox", name="Filter alerts").fill("")
    tab.frame.get_by_label("Source", exact=True).select_option("live rows")
    assert alerts.count() == 1
    assert FEATURES[10] in alerts.inner_text()
    tab.frame.get_by_label("When", exact=True).select_option("At the slider")
    tab.frame.get_by_text("No alert is found.").wait_for()


def test_samples_are_found(tab):
    """By class, the wrong ones alone, by a word of a text and a value of a column."""
    tab.focus("words")
    tab.show("Attributions")
    rows = tab.frame.locator("main .tokens")
    rows.nth(5).wait_for()
    words = rows.all_inner_texts()
    tab.frame.get_by_role("searchbox", name="Filter samples by their words").fill("<script>.*good")
    holding = [text for text in words if re.search(r"<script>.*good", text, re.DOTALL)]
    assert 0 < rows.count() == len(holding) < 6
    tab.frame.get_by_role("searchbox", name="Filter samples by their words").fill("")
    tab.frame.get_by_label("Class", exact=True).select_option("dog")
    assert rows.count() == 2
    tab.focus("pictures/watermark")
    tab.frame.get_by_label("Class", exact=True).select_option("")
    tab.frame.get_by_label("wrong only").check()
    tab.frame.locator(".filter-count").last.get_by_text("4 of 6").wait_for()  # after the move all are read as class 0


def test_a_link_shows_the_same(browser, url):
    """In a browser that was never here: view, run, epoch, method and sample; and what is not there is said."""
    tab = Tab(browser, url, hosted=True)
    tab.focus("pictures/watermark")
    tab.show("Attributions")
    tab.frame.get_by_label("Method").select_option("integrated_gradients")
    tab.frame.locator(".tile").nth(2).click()
    tab.key("Home", "ArrowRight", "ArrowRight")
    tab.frame.locator("body").evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    tab.frame.get_by_role("button", name="Copy link").click()
    link = tab.frame.locator(".link-dialog input").input_value()
    assert link.startswith(f"{url}/#keras_xai&")
    tab.page.close()
    tab.quiet()

    other = browser.new_context(viewport={"width": 1280, "height": 800})
    page = other.new_page()
    page.goto(link)
    frame = page.frame_locator("iframe[src*='name=keras_xai']")
    frame.get_by_text("Integrated gradients · epoch 2").wait_for()
    frame.get_by_text("Sample 2: true class").wait_for()
    assert frame.locator(".runs .focus .name").get_attribute("title") == "pictures/watermark"
    frame.get_by_role("tab", name="Overview").click()
    frame.get_by_role("heading", level=1).wait_for()
    page.go_back()
    frame.get_by_text("Integrated gradients · epoch 2").wait_for()
    page.goto(link.replace("watermark", "gone"))
    page.reload()
    frame.get_by_text("The link names “pictures/gone”, not found below").wait_for()
    other.close()


def test_the_tab_cuts_names_as_the_figures_do(browser, serve, root):
    """`core/names.js` is the twin of `analysis/names.py`."""
    tab = Tab(browser, serve(root).url)
    program = """async (cases) => {
        const { exportsOf } = await import('/data/plugin/keras_xai/static/index.js');
        const { distinct } = exportsOf('core/names.js');
        return cases.map(({ names, length }) => distinct(names, length)); }"""
    assert tab.page.evaluate(program, CASES) == [case["labels"] for case in CASES]


def test_runs_stand_in_their_natural_order(browser, serve, root):
    """Numbers in names by their value, letters without regard to case; any two names have an order."""
    tab = Tab(browser, serve(root).url)
    program = """async (names) => {
        const { exportsOf } = await import('/data/plugin/keras_xai/static/index.js');
        return names.sort(exportsOf('core/names.js').natural); }"""
    names = ["run10", "run2", "Run1", "run02", "run", "a/2/b", "a/10/b", "10", "9", "", "zoë"]
    ordered = ["", "9", "10", "a/2/b", "a/10/b", "run", "Run1", "run02", "run2", "run10", "zoë"]
    assert tab.page.evaluate(program, names) == ordered
    tab.page.close()
