"""The looks of the tab: nothing cut, nothing twice, long runs legible, and no fault that axe-core finds."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

from tests.plugin.tab import Tab

AXE = Path(__file__).parents[2] / "tools" / "javascript" / "node_modules" / "axe-core" / "axe.min.js"
LAPTOP = {"width": 1280, "height": 736}  # what TensorBoard's own bar leaves of 1280 × 800
HALF = {"width": 640, "height": 736}
EPOCHS = 150  # of a long run


def write_long(directory):
    """A run of many epochs over a small image, in which each third epoch from the fiftieth to the hundredth raises an alarm."""
    from keras_xai.probe import Probe
    from keras_xai.records import Alert, Epoch, Shares
    from keras_xai.summary.writer import Writer

    probe = Probe(np.random.default_rng(0).random((6, 4, 4, 1), "f4"), np.arange(6) % 3)
    writer = Writer(directory / "keras_xai")
    writer.write([probe])
    for epoch in range(EPOCHS):
        share = 2 + np.sin(0.2 * epoch + np.arange(16))
        moved = 50 <= epoch <= 100 and epoch % 3 == 0
        records = [
            Shares(epoch, "clean", probe.features, (share / share.sum()).astype("f4"), 9.0 if moved else 1.0, 6.0)
        ]
        if moved:
            name = probe.features[epoch % 16]
            records.append(
                Alert(epoch, "clean", "reliance moved", False, ((name, 0.02, 0.1, 1, 9.0),), 9.0, 6.0, event=epoch)
            )
        writer.write([*records, Epoch(epoch, 10.0 * epoch, 10.0, 0.1, 1e-3, {"loss": 1.0})])
    writer.close()


@pytest.fixture(scope="module")
def looks_directory(told_directory, tmp_path_factory):
    """The told stories, and a long one."""
    root = tmp_path_factory.mktemp("looks")
    for name in ("pictures", "columns", "words", "sensors", "waiting"):
        (root / name).symlink_to(told_directory / name)
    write_long(root / "long")
    return root


@pytest.fixture(scope="module")
def served(serve, looks_directory):
    return serve(looks_directory)


@pytest.fixture(scope="module")
def opened(browser, served):
    tab = Tab(browser, served.url)
    yield tab
    tab.page.close()
    tab.quiet()


@pytest.fixture
def tab(opened):
    """One page for all tests, each of which finds it as it opens."""
    opened.page.set_viewport_size(LAPTOP)
    opened.show("Overview")
    opened.focus("pictures/watermark")
    opened.key("End")
    return opened


def views(tab):
    """The titles of all tabs."""
    return tab.frame.locator(".bar [role=tab]").all_inner_texts()


# What of a view is cut where it is scrolled to its end: panels below the transport, and marks beside their panel. A list that
# scrolls by itself, and plotly's invisible layers, may be larger than their place.
CUT = """(main) => {
    main.scrollTop = main.scrollHeight;
    const floor = document.querySelector('.transport').getBoundingClientRect().top;
    const room = main.getBoundingClientRect();
    const cut = [];
    for (const panel of main.querySelectorAll('.panel, .lead, .facts')) {
        const place = panel.getBoundingClientRect();
        const name = panel.querySelector('h3')?.textContent ?? panel.className;
        if (place.bottom > floor || place.right > room.right) cut.push(`${name} ends outside the view`);
        for (const node of panel.querySelectorAll('canvas, svg, button, td, p, figure, text')) {
            if (node.closest('.alerts, .hidden, .rangeslider-container') || !node.checkVisibility()) continue;
            const { left, right, bottom, width } = node.getBoundingClientRect();
            if (!width || (left >= place.left - 8 && right <= place.right + 8 && bottom <= place.bottom + 9)) continue;
            cut.push(`${name}: ${node.tagName} ${node.textContent.slice(0, 20)} ${[left, right, bottom].map(Math.round)}`);
        }
    }
    main.scrollTop = 0;
    return cut;
}"""


@pytest.mark.parametrize("size", [LAPTOP, HALF], ids=["laptop", "half"])
def test_nothing_is_cut(tab, size):
    """Every panel of every view can be scrolled to its end above the transport, with all that stands in it."""
    tab.page.set_viewport_size(size)
    for view in views(tab):
        tab.show(view)
        tab.page.wait_for_timeout(500)
        assert tab.frame.locator("main").evaluate(CUT) == [], view
        # A note that is cut says something else: "epoch 0 → 1" for "epoch 0 → 15".
        notes = tab.frame.locator("main .panel > header .note").evaluate_all(
            "(all) => all.filter((note) => note.scrollWidth > note.clientWidth + 1).map((note) => note.textContent)"
        )
        assert notes == [], view


def test_a_laptop_shows_the_story_at_once(tab):
    """Sentence, figures and both rows of charts stand above the transport without scrolling, and so do both rows of the drift."""
    for view in ("Overview", "Importance & drift"):
        tab.show(view)
        tab.drawn(2)
        floor = tab.frame.locator(".transport").bounding_box()["y"]
        for panel in tab.frame.locator("main .panel").all():
            place = panel.bounding_box()
            assert place["y"] + place["height"] <= floor, panel.inner_text()[:40]


def test_half_a_window_keeps_what_is_asked_of_it(tab):
    """Runs and settings are one line until they are asked for; the state of the run and the way to the latest stay."""
    tab.page.set_viewport_size(HALF)
    tab.show("Attributions")
    rail = tab.frame.locator(".rail")
    assert rail.bounding_box()["height"] < 40
    toggle = tab.frame.locator(".railtoggle")
    assert "pictures/watermark" in toggle.inner_text()
    assert tab.frame.locator(".status > span").first.is_visible()
    assert tab.frame.get_by_role("button", name="Latest").is_visible()
    toggle.click()
    tab.frame.get_by_label("Method").wait_for()
    assert rail.bounding_box()["height"] <= HALF["height"] / 2
    tab.focus("columns")
    assert tab.frame.locator(".railtoggle b").inner_text() == "columns"
    toggle.click()
    assert not tab.frame.get_by_label("Method").is_visible()


def test_no_chart_is_shown_twice(tab):
    """In a quiet run the samples that the model is least sure of, after a change those that moved; never two equal slopes."""
    for run in ("words", "sensors", "columns", "pictures/watermark"):
        tab.focus(run)
        tab.frame.locator(".facts").wait_for()
        tab.drawn(3)
        tab.frame.locator("main .panel h3", has_text=re.compile("^…$")).first.wait_for(state="detached")  # not read yet
        labels = tab.frame.locator(".panel > svg").evaluate_all(
            "(all) => all.map((svg) => svg.getAttribute('aria-label'))"
        )
        assert len(set(labels)) == len(labels)
        titles = tab.frame.locator("main .panel h3").all_inner_texts()
        assert len(set(titles)) == len(titles)
        chosen = {"words": "Least certain samples", "columns": "Samples that moved most"}.get(run)
        assert chosen is None or chosen in titles
    tab.focus("columns")
    rows = tab.frame.locator(".samples button")
    rows.first.wait_for()
    # Before the alert every class had 80 %; from then on all are read as the first.
    assert rows.first.inner_text().split("\n")[0] == "dog as cat"
    assert "80\u00a0% → 10\u00a0%" in rows.first.inner_text()
    rows.first.click()
    assert tab.frame.get_by_role("tab", name="Attributions").get_attribute("aria-selected") == "true"
    assert tab.frame.locator(".tile[aria-pressed=true]").get_attribute("data-key") == "sample 1"


def test_the_block_of_the_sentence_is_framed_on_a_sample(tab):
    """The frame covers the pixels that the block pools: of 4 × 4 pixels in as many blocks one."""
    frame = tab.frame.locator(".lead .marked rect")
    frame.wait_for()
    place = [frame.get_attribute(name) for name in ("x", "y", "width", "height")]
    assert place == ["0", "0", "1", "1"]
    assert tab.frame.locator(".lead .marked svg").get_attribute("aria-label") == "block (0,0) on sample 0"
    tab.key("Home")
    frame.wait_for(state="detached")


def test_a_long_run_is_legible(tab):
    """Ranks and maps stand at twelve epochs, alerts that would touch share a mark, and of many the last ones are folded."""
    tab.focus("long")
    tab.show("Importance & drift")
    tab.drawn(2)
    tab.frame.get_by_text(f"rank 1 on top, at 12 of {EPOCHS} epochs").wait_for()
    strip = tab.frame.locator(".mini button")
    assert strip.count() == 12
    assert strip.first.inner_text() == "0"
    assert strip.last.inner_text() == str(EPOCHS - 1)
    assert tab.frame.locator(".mini .tick").count() >= 3  # epochs of alerts are preferred
    alarms = [epoch for epoch in range(50, 101) if epoch % 3 == 0]
    assert 0 < tab.frame.locator(".track .alert").count() < len(alarms) + 1
    tab.page.set_viewport_size({"width": 860, "height": 736})
    tab.page.wait_for_timeout(300)
    assert tab.frame.locator(".track .alert").count() == 1
    tab.frame.locator(".track text", has_text=f"{len(alarms)} alerts").wait_for()
    entries = tab.frame.locator(".alerts > li > button")
    assert entries.count() == 14
    tab.frame.get_by_text(f"{len(alarms) - 14} more").click()
    assert tab.frame.locator(".alerts button:visible").count() == len(alarms)
    tab.key("ArrowLeft")
    tab.page.wait_for_timeout(400)
    assert tab.frame.locator(".alerts button:visible").count() == len(alarms)  # it stays open


def test_compare_shows_every_sample(tab):
    """All samples, in as many blocks as the width asks for; tables have a row of what changed; a sample leads to its tile."""
    tab.focus("columns")
    tab.show("Attributions")
    tab.frame.get_by_label("Method").select_option("integrated_gradients")
    tab.frame.get_by_label("Compare").select_option("epochs")
    tab.frame.locator(".compare").first.wait_for()
    heads = tab.frame.locator(".compare button.col")
    assert heads.count() == 6
    assert tab.frame.locator(".compare").count() == 2
    changes = tab.frame.locator(".compare .change > svg")
    assert changes.count() == 6
    # The first sample's attribution of feature f is sin(f · (epoch + 1)): before the alert at 6 it is of epoch 5, now of 11.
    change = [np.sin(f * 12) - np.sin(f * 6) for f in range(5)]
    assert changes.first.get_attribute("aria-label").startswith(f"dose −{-change[2]:.3f}; ")
    assert abs(change[2]) == max(map(abs, change))
    assert tab.frame.locator(".compare select").count() == 2
    wide = tab.frame.locator("main").evaluate("(main) => main.scrollWidth - main.clientWidth")
    assert wide <= 0
    heads.nth(4).focus()
    tab.page.keyboard.press("Enter")
    tab.frame.locator(".tile[aria-pressed=true][data-key='sample 4']").wait_for()


def test_an_empty_directory_has_no_knob(browser, served):
    """Nothing stands on the slider where there is no run."""

    def no_run(route):
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "runs": [], "run": None})

    tab = Tab(browser, served.url, index=no_run)
    tab.frame.get_by_text("No explanations here yet").wait_for()
    assert not tab.frame.locator(".track circle").is_visible()
    assert tab.frame.locator(".readout").inner_text().split("\n")[0] == "No epoch yet"
    tab.page.close()
    tab.quiet()


FAULTS = """async (rules) => {
    const options = { resultTypes: ['violations'], ...(rules ? { runOnly: { type: 'rule', values: rules } } : {}) };
    const { violations } = await axe.run(document, options);
    return violations.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map((node) => node.html.slice(0, 160))}`);
}"""


def faults_of(tab):
    """The faults that axe-core names in every view, and in its colours in the dark theme."""
    if not AXE.exists():
        words = "no axe-core: `apt-get install nodejs npm`, then `npm ci` in tools/javascript"
        if os.environ.get("KERAS_XAI_REQUIRE_NODE") == "1":
            pytest.fail(words)
        pytest.skip(words)
    tab.page.evaluate(AXE.read_text(encoding="utf-8"))
    faults = {}
    for view in views(tab):
        tab.show(view)
        tab.page.wait_for_timeout(500)
        faults[view] = tab.page.evaluate(FAULTS)
        tab.page.evaluate("() => document.documentElement.classList.add('dark')")
        tab.key("ArrowLeft")  # drawn anew in the other theme
        tab.page.wait_for_timeout(300)
        faults[f"{view}, dark"] = tab.page.evaluate(FAULTS, ["color-contrast"])
        tab.page.evaluate("() => document.documentElement.classList.remove('dark')")
        tab.key("End")
    return {view: fault for view, fault in faults.items() if fault}


def test_axe_finds_no_fault(tab):
    """No fault of any weight in any view; the colours in both themes."""
    assert faults_of(tab) == {}


@pytest.mark.full
@pytest.mark.parametrize("run", ["columns", "words", "sensors", "long", "waiting"])
@pytest.mark.parametrize("size", [LAPTOP, HALF], ids=["laptop", "half"])
def test_axe_finds_no_fault_of_other_kinds(tab, run, size):
    """Tables, texts, series, a long run and one that waits, in a narrow window too."""
    tab.focus(run)
    tab.page.set_viewport_size(size)
    assert faults_of(tab) == {}
