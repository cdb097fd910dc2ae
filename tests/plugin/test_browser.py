"""The tab as a person uses it: a real browser on a real TensorBoard."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.plugin.tab import FRAME, VIEWS, Tab
from tests.reliance_records import ShortcutRun


@pytest.fixture(scope="module", params=["python", "rust"])
def served(request, serve, told_directory):
    return serve(told_directory, request.param, tensorflow=request.param == "python")  # as users have it


@pytest.fixture(scope="module")
def python_served(serve, told_directory):
    return serve(told_directory, "python", tensorflow=True)


@pytest.fixture
def tab(browser, python_served):
    opened = Tab(browser, python_served.url)
    opened.focus("pictures/watermark")
    yield opened
    opened.page.close()
    opened.quiet()


@pytest.fixture
def hosted(browser, python_served):
    opened = Tab(browser, python_served.url, hosted=True)
    opened.focus("pictures/watermark")
    yield opened
    opened.page.close()
    opened.quiet()


def test_every_view_shows_data(browser, served):
    """The tab appears by itself; each view has its charts or maps; nothing is complained of or fetched abroad."""
    tab = Tab(browser, served.url, hosted=True)
    assert "Explain" in tab.page.locator("mat-tab-group, [role=tablist]").first.inner_text().title()
    tab.focus("pictures/watermark")
    tab.frame.get_by_text("Epoch 6: the training data changed in block (0,0), and by epoch 8").wait_for()
    tab.drawn(3)
    assert tab.frame.locator("main canvas.thumb").count() == 3
    for view, charts, canvases in (("Weight gradients", 4, 0), ("Attributions", 1, 14), ("Importance & drift", 2, 3)):
        tab.show(view)
        tab.drawn(charts)
        assert tab.frame.locator("main canvas.thumb").count() == canvases
    assert tab.frame.locator(".alerts li").count() == 1  # live rows and probe saw one cause
    assert {"live rows, 6", "fixed probe, 8"} <= set(tab.frame.locator(".alerts td:last-child").all_inner_texts())
    tab.page.close()
    tab.quiet()


@pytest.mark.parametrize(
    ("run", "marks"),
    [("columns", ".bars svg"), ("words", ".tokens span"), ("sensors", ".bars svg rect"), ("waiting", "h3")],
)
def test_every_kind_of_probe_has_its_gallery(tab, run, marks):
    """Tables are bars, texts shaded words, series shaded lines; a run without an epoch says so."""
    tab.show("Attributions")
    tab.focus(run)
    tab.frame.locator(f"main {marks}").first.wait_for()
    if run == "waiting":
        tab.frame.get_by_text("waiting has written its probe of 6 samples but no epoch").wait_for()
        assert tab.frame.get_by_text("No epoch yet").count() == 1


def test_names_are_text_and_never_markup(tab):
    """Hostile names of features, classes and words appear as they are written, in the page and in the charts."""
    tab.focus("columns")
    tab.show("Attributions")
    tab.frame.locator("main .bars svg").first.wait_for()
    tab.frame.locator("main .tile").get_by_text("<b>owl</b>").first.wait_for()
    tab.show("Importance & drift")
    tab.drawn(3)
    labels = tab.frame.locator(".chart .ytick text, .chart .annotation-text").all_text_contents()
    assert any(label.startswith("<img src=x") for label in labels)
    assert any("weight & height" in label for label in labels)
    tab.focus("words")
    tab.show("Attributions")
    tab.frame.locator(".tokens").get_by_text("<script>").first.wait_for()
    assert tab.frame.locator("main img, main script").count() == 0


def test_the_slider_changes_the_picture(tab):
    """A step of the slider paints other maps and moves the epoch line of every chart."""
    tab.show("Attributions")
    tab.key("Home")
    tile = tab.frame.locator(".tile canvas").nth(1)
    tile.wait_for()
    tab.page.wait_for_timeout(300)
    before = tile.evaluate("(canvas) => canvas.toDataURL()")
    tab.key("ArrowRight", "ArrowRight")
    assert tab.epoch == 2
    tab.frame.get_by_text("epoch 2").first.wait_for()
    tab.page.wait_for_timeout(300)
    assert tab.frame.locator(".tile canvas").nth(1).evaluate("(canvas) => canvas.toDataURL()") != before
    tab.show("Importance & drift")
    tab.drawn(2)
    line = tab.frame.locator(".chart .layer line").first
    line.wait_for(state="attached")
    x = float(line.get_attribute("x1"))
    tab.key("End")
    assert tab.epoch == 11
    assert float(tab.frame.locator(".chart .layer line").first.get_attribute("x1")) > x + 100


def test_overlay_settings_repaint_without_the_server(tab):
    """Opacity, clip, colours and display change the pixels and ask for nothing."""
    tab.show("Attributions")
    tile = tab.frame.locator(".tile canvas").nth(1)
    tile.wait_for()
    tab.drawn(1)
    tab.page.wait_for_timeout(500)
    asked = []
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.frame.get_by_label("Method").select_option("integrated_gradients")
    tab.rest()  # the epochs around are fetched ahead
    asked.clear()
    pictures = {tab.frame.locator(".tile canvas").nth(1).evaluate("(canvas) => canvas.toDataURL()")}
    for change in (
        lambda: tab.frame.get_by_label("Overlay opacity").fill("30"),
        lambda: tab.frame.get_by_label("Clip at percentile").fill("80"),
        lambda: tab.frame.get_by_role("button", name="Map").click(),
        lambda: tab.frame.get_by_role("button", name="Signed").click(),
    ):
        change()
        tab.page.wait_for_timeout(100)
        pictures.add(tab.frame.locator(".tile canvas").nth(1).evaluate("(canvas) => canvas.toDataURL()"))
    assert len(pictures) == 5
    assert [url for url in asked if "/index" not in url and "/data/plugin/keras_xai" in url] == []


def test_the_epochs_around_are_there_before_they_are_asked_for(tab):
    """At rest the gallery fetches its other epochs, so that the slider finds their maps without the server."""
    asked = []
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.show("Attributions")
    tab.frame.locator(".tile canvas").nth(1).wait_for()
    tab.rest()
    assert len({url for url in asked if "/attribution?" in url}) == 12
    asked.clear()
    before = tab.frame.locator(".tile canvas").nth(1).evaluate("(canvas) => canvas.toDataURL()")
    for _ in range(6):
        tab.key("ArrowLeft")
    tab.frame.get_by_text("Saliency · epoch 5").wait_for()
    assert tab.frame.locator(".tile canvas").nth(1).evaluate("(canvas) => canvas.toDataURL()") != before
    assert [url for url in asked if "/attribution?" in url] == []


def test_large_maps_come_as_means_and_the_chosen_one_whole(browser, serve, tmp_path):
    """Tiles show means and ask for no more; the map of the chosen sample is fetched when the slider rests."""
    from keras_xai.probe import Probe
    from keras_xai.records import Attribution, Epoch
    from keras_xai.summary.writer import Writer

    random_numbers, labels = np.random.default_rng(0), np.array([0, 1])
    writer = Writer(tmp_path / "large" / "keras_xai")
    writer.write([Probe(random_numbers.random((2, 170, 170, 1), "f4"), labels)])
    outputs = np.full((2, 2), 0.5, "f4")
    for epoch in range(3):
        maps = random_numbers.normal(size=(2, 170, 170)).astype("f4")
        found = Attribution(
            "saliency", maps, labels, outputs[:, 0], None, labels, None, "logit", outputs, epoch, "image"
        )
        writer.write([found, Epoch(epoch, 10.0 * epoch, 10.0, 0.1, 1e-3, {"loss": 1.0})])
    writer.close()
    tab = Tab(browser, serve(tmp_path).url)
    asked = []
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.show("Attributions")
    tab.frame.locator(".tile canvas").nth(1).wait_for()
    tab.rest()
    maps = [url for url in asked if "/attribution?" in url]
    assert len([url for url in maps if "most=80" in url]) == 3
    assert [url for url in maps if "sample=" in url] == [url for url in maps if "epoch=2&sample=0" in url] != []
    asked.clear()
    chosen = tab.frame.locator(".detail canvas").nth(1)
    before = chosen.evaluate("(canvas) => canvas.toDataURL()")
    tab.frame.locator(".tile").nth(1).click()
    tab.rest()
    assert [url.partition("epoch=")[2] for url in asked if "/attribution?" in url] == ["2&sample=1"]
    assert tab.frame.locator(".detail canvas").nth(1).evaluate("(canvas) => canvas.toDataURL()") != before
    tab.frame.get_by_label("Sort samples by").select_option("change")
    tab.rest()
    assert [url for url in asked if "epoch=2" in url and "most" not in url and "sample" not in url]
    tab.page.close()
    tab.quiet()


class Told:
    """Writes a run of a small table whose numbers a test chooses."""

    def __init__(self, directory, *, values, outputs, task, link="", target=None, y=None, kind="table", x=None):
        from keras_xai.probe import Probe
        from keras_xai.summary.writer import Writer

        self.values, self.outputs, self.task, self.link = (
            np.asarray(values, "f4"),
            np.asarray(outputs, "f4"),
            task,
            link,
        )
        size = len(self.values)
        self.target = np.zeros(size, np.int64) if target is None else np.asarray(target)
        names = [f"feature {f}" for f in range(self.values.shape[1])] if kind == "table" else None
        words = {"vocabulary": ["", "good", "bad", "film"]} if kind == "tokens" else {}
        x = np.ones(self.values.shape, "i4" if kind == "tokens" else "f4") if x is None else x
        self.kind, self.writer = kind, Writer(directory / "keras_xai")
        self.writer.write([Probe(x, y, kind=kind, feature_names=names, class_names=("malignant", "benign"), **words)])

    def write(self, epochs, *, finite=lambda epoch: True, methods=("integrated_gradients",), error=None, share=None):
        """Epochs of these methods, and of importance where shares are given: NaN where they are not finite."""
        from keras_xai.records import Attribution, Epoch, Shares

        size, classes = len(self.values), self.task in ("binary", "classes")
        for epoch in epochs:
            unit = 1 if finite(epoch) else np.nan
            outputs = unit * self.outputs
            said = (self.outputs[:, 0] > 0.5).astype("i8") if classes else self.outputs[:, 0]
            wrong = None if error is None else np.full(size, error, "f4")
            records = [
                Attribution(
                    method, unit * self.values, self.target, unit * np.ones(size, "f4"), None, said, wrong, "logit", outputs,
                    epoch, self.kind, task=self.task, link=self.link,
                )
                for method in methods
            ]  # fmt: skip
            if share is not None:
                names = tuple(f"feature {f}" for f in range(len(share)))
                score = unit * 1.0 if epoch > 3 else np.nan
                records.append(Shares(epoch, "clean", names, unit * np.asarray(share, "f4"), score, 6.0))
            loss = {"loss": unit * 1.0, "val_loss": unit * 1.0}
            self.writer.write([*records, Epoch(epoch, 10.0 * epoch, 10.0, 0.1, 1e-3, loss)])
        self.writer.close()


def opened(browser, serve, directory, view="Attributions"):
    """The tab on a directory, at rest on a view."""
    tab = Tab(browser, serve(directory).url)
    tab.show(view)
    tab.rest()
    return tab


BARS = """(main) => [...main.querySelectorAll('.bars .tile')].map((tile) => [...tile.querySelectorAll('svg')].at(-1))
    .map((svg) => ({ zero: svg.querySelector('line').x1.baseVal.value, label: svg.getAttribute('aria-label'),
                     bars: [...svg.querySelectorAll('.bar')].map((bar) => [bar.x.baseVal.value, bar.width.baseVal.value]) }))"""


@pytest.mark.parametrize("scale", ["All samples", pytest.param("Each its own", marks=pytest.mark.full)])
def test_lengths_are_proportional_to_contributions(browser, serve, tmp_path, scale):
    """One scale for both signs and, unless one chose otherwise, for all samples; the others' sum is one of the bars."""
    values = np.array([[1.091, -1.346, 0.5, 0.25, 0, 0, 0, 0, -0.3, -0.2], [0.1, 0.05, 0, 0, 0, 0, 0, 0, 0, 0]])
    told = Told(tmp_path / "bars", values=values, outputs=[[0.2], [0.3]], task="binary", link="sigmoid", y=[0, 0])
    told.write(range(2))
    tab = opened(browser, serve, tmp_path)
    tab.frame.get_by_role("button", name=scale).click()
    tab.rest()
    tiles = tab.frame.locator("main").evaluate(BARS)
    units = []
    for tile, shares in zip(tiles, ([-1.346, 1.091, 0.5, -0.3, 0.25, -0.2], [0.1, 0.05]), strict=True):
        assert len(tile["bars"]) == len(shares)
        for (x, width), share in zip(tile["bars"], shares, strict=True):
            units.append(width / abs(share))
            assert (x + width if share < 0 else x) == pytest.approx(tile["zero"], abs=1e-3)
    common = units if scale == "All samples" else units[:6]
    np.testing.assert_allclose(common, common[0], rtol=1e-3)
    assert (units[-1] == pytest.approx(units[0], rel=1e-3)) == (scale == "All samples")
    assert tab.frame.locator(".tile svg .head").all_text_contents() == ["value", "contribution"] * 2
    tab.page.close()
    tab.quiet()


def test_the_others_are_one_bar_of_their_sum(browser, serve, tmp_path):
    """It is as long as what it stands for, and printed with the contributions."""
    values = np.full((1, 12), 1.0)
    told = Told(tmp_path / "many", values=values, outputs=[[0.2]], task="binary", link="sigmoid", y=[0])
    told.write(range(1), methods=("integrated_gradients", "saliency"))
    tab = opened(browser, serve, tmp_path)
    (tile,) = tab.frame.locator("main").evaluate(BARS)
    assert tile["label"].endswith("4 others +4.00")
    assert tile["bars"][-1][1] == pytest.approx(4 * tile["bars"][0][1], rel=1e-3)
    tab.frame.get_by_label("Method").select_option("saliency")
    tab.rest()
    (tile,) = tab.frame.locator("main").evaluate(BARS)
    assert tile["label"].endswith("4 others")  # slopes have no sum
    assert len(tile["bars"]) == 8
    tab.frame.get_by_text("score of malignant falls").first.wait_for()
    tab.frame.get_by_text("rises as the value grows").first.wait_for()
    assert "slope" in tab.frame.locator(".tile svg .head").all_text_contents()
    tab.page.close()
    tab.quiet()


TASKS = {
    "one class": (
        {"task": "binary", "link": "sigmoid", "y": [0, 0]},
        ["against malignant", "for malignant"],
        ["malignant\n80 %", "malignant read as benign\n90 %"],
    ),
    "both": (
        {"task": "binary", "link": "sigmoid", "y": [0, 1], "target": [0, 1]},
        ["against", "for the class named at each sample", "against malignant", "for benign"],
        ["malignant\n80 %", "benign\n90 %"],
    ),
    "another": (
        {"task": "binary", "link": "sigmoid", "y": [0, 1], "target": [1, 1]},
        ["against benign", "for benign"],
        ["malignant\n80 %", "benign\n90 %"],
    ),
    "margin": ({"task": "binary", "y": [-1, 1]}, ["for malignant"], ["malignant\n0.2", "benign\n0.9"]),
    "labels": (
        {"task": "labels", "link": "sigmoid", "target": [1, 1], "outputs": [[0.2, 0.7], [0.9, 0.6]]},
        ["against benign", "for benign"],
        ["sample 0\n70 %", "sample 1\n60 %"],
    ),
    "numbers": (
        {"task": "numbers", "target": [1, 1], "outputs": [[20, -3.5], [21, -4.5]]},
        ["lowers benign", "raises benign"],
        ["sample 0\n−3.5", "sample 1\n−4.5"],
    ),
}


SLOW = ("both", "margin", "another", "numbers")  # whose colours and words are also tested without a browser


@pytest.mark.parametrize("case", [pytest.param(case, marks=[pytest.mark.full] * (case in SLOW)) for case in TASKS])
def test_colours_name_the_class_and_numbers_the_output(browser, serve, tmp_path, case):
    """One unit, class 0 as well; a margin is no probability; a label, a number: no "read as", and what was explained."""
    given, legends, captions = TASKS[case]
    values = [[1, -2, 3.0], [3, -2, 1.0]]
    Told(tmp_path / "run", **{"values": values, "outputs": [[0.2], [0.9]], **given}).write(range(2))
    tab = opened(browser, serve, tmp_path)
    said = tab.frame.locator(".legend").all_inner_texts()
    assert all(any(legend in text for text in said) for legend in legends), said
    shown = [text.replace("\u00a0", " ") for text in tab.frame.locator(".cap").all_inner_texts()]
    assert shown == captions
    tab.page.close()
    tab.quiet()


def test_slopes_of_words_are_magnitudes(browser, serve, tmp_path):
    """A text opens with its contributions; its saliency has no sides, and is shaded by size alone."""
    told = Told(
        tmp_path / "text", values=[[2.0, -2.0, 1.0]], outputs=[[0.2]], task="binary", link="sigmoid", y=[0], kind="tokens",
        x=np.array([[1, 2, 3]], "i4"),
    )  # fmt: skip
    told.write(range(1), methods=("saliency", "integrated_gradients"))
    tab = opened(browser, serve, tmp_path)
    assert tab.frame.get_by_label("Method").input_value() == "integrated_gradients"
    colours = "(words) => [...words.querySelectorAll('span')].map((word) => word.style.background)"
    good, bad, _ = tab.frame.locator(".tokens").evaluate(colours)
    assert good != bad
    tab.frame.get_by_label("Method").select_option("saliency")
    tab.rest()
    good, bad, film = tab.frame.locator(".tokens").evaluate(colours)
    assert good == bad != film
    tab.frame.get_by_text("steep for malignant").first.wait_for()
    tab.page.close()
    tab.quiet()


def test_a_large_completeness_error_is_said(browser, serve, tmp_path):
    """Above 5 % a tile says it, and the gallery how many."""
    told = Told(
        tmp_path / "run", values=np.ones((2, 3)), outputs=[[0.2], [0.3]], task="binary", link="sigmoid", y=[0, 0]
    )
    told.write(range(2), error=0.67)
    tab = opened(browser, serve, tmp_path)
    assert (
        tab.frame.locator(".tile .speaks.alarm").all_inner_texts()
        == ["completeness error 67\u00a0%: the sum misses the score"] * 2
    )
    tab.frame.get_by_text("2 above 5.0").wait_for()
    tab.page.close()
    tab.quiet()


def test_a_run_that_is_not_finite_any_more(browser, serve, tmp_path):
    """Every view says since when, and keeps the last epoch before; nothing is read, ranked or drawn from NaN."""
    told = Told(
        tmp_path / "nan", values=[[1, -2, 3.0]] * 2, outputs=[[0.2], [0.3]], task="binary", link="sigmoid", y=[0, 0]
    )
    told.write(range(9), finite=lambda epoch: epoch < 6, share=[0.2, 0.5, 0.3])
    tab = opened(browser, serve, tmp_path)
    tab.frame.get_by_text("The scores are not finite since epoch 6: epoch 5, the last one before, is shown.").wait_for()
    assert "Integrated gradients · epoch 5" in tab.frame.locator("h3").first.inner_text()
    assert "read as" not in tab.frame.locator("main").inner_text()
    tab.show("Importance & drift")
    tab.rest()
    tab.frame.locator("p.alarm", has_text="not finite since epoch 6: epoch 5").first.wait_for()
    words = tab.frame.locator("main").inner_text()
    assert "since the burn-in" not in words
    assert "None so far. No importance could be measured since epoch 6" in words
    assert tab.frame.locator(".chart .annotation-text", has_text="not finite since epoch 6").count() == 2
    tab.show("Overview")
    tab.rest()
    tab.frame.get_by_text("drift score: not finite since epoch 6").wait_for()
    tab.key("Home")
    tab.rest()
    tab.show("Mappings")
    assert "not finite" in tab.frame.locator(".runs .mark").inner_text()
    tab.page.close()
    tab.quiet()


def test_what_was_not_measured_is_named_and_not_nothing(browser, serve, tmp_path):
    """A feature without a share is hatched and named; inside the burn-in nobody is called calm."""
    told = Told(tmp_path / "some", values=[[1, -2, 3.0]], outputs=[[0.2]], task="binary", link="sigmoid", y=[0])
    told.write(range(3), share=[0.4, np.nan, 0.6])
    tab = opened(browser, serve, tmp_path, "Importance & drift")
    tab.frame.get_by_text("not measured: feature 1", exact=True).wait_for()
    alerts = tab.frame.locator(".panel", has_text="Alerts").first.inner_text()
    assert "None so far. Not measured: feature 1" in alerts
    assert "3 updates are not long enough to watch" in alerts
    tab.show("Overview")
    tab.rest()
    tab.frame.get_by_text("not measured: feature 1", exact=True).first.wait_for()
    assert "0.00" not in tab.frame.locator("main").inner_text()
    tab.page.close()
    tab.quiet()


CLIPS = """async () => {
    const { exportsOf } = await import("/data/plugin/keras_xai/static/index.js");
    const { clipAt, clipOf } = exportsOf("core/image.js");
    const found = [];
    for (const [low, high] of [[0, 3], [-2, 2], [-5, 1], [1, 4], [-4, -1], [0, 0]])
        for (const percentile of [80, 95, 99, 100]) {
            const counts = Int32Array.from({ length: 256 }, (_, step) => (step * 7919) % 23);
            const values = Array.from(counts).flatMap((count, step) => Array(count).fill(low + (step * (high - low)) / 255));
            const sizes = values.map(Math.abs).sort((a, b) => a - b);
            const wanted = sizes[Math.max(0, Math.ceil((percentile / 100) * sizes.length - 1e-9) - 1)];
            found.push([wanted, clipOf([], 0, 0, percentile, { counts, low, high }), clipAt(values, percentile)]);
        }
    return found; }"""


def test_a_clip_is_the_percentile_of_the_magnitudes(tab):
    """From counts and from values, against sorting them; counting values is as fine as a thousandth of the largest."""
    for wanted, of_counts, of_values in tab.page.evaluate(CLIPS):
        assert of_counts == pytest.approx(max(wanted, 1e-12), rel=1e-9)
        assert of_values == pytest.approx(max(wanted, 1e-12), rel=3e-3)


def test_an_alert_leads_to_the_samples_that_moved(tab):
    """A click on an alert goes to its epoch, to the attributions before and at it, sorted by change, in a method that sees it."""
    tab.show("Importance & drift")
    tab.frame.locator(".alerts button").first.click()
    tab.frame.get_by_text("Saliency: epoch 5 against 6").wait_for()
    tab.frame.get_by_label("Compare", exact=True).select_option("off")
    tab.frame.get_by_text("Saliency · epoch 6").wait_for()
    assert tab.epoch == 6
    assert tab.frame.get_by_label("Sort samples by").input_value() == "change"
    tab.key("Shift+ArrowRight")
    assert tab.epoch == 8
    tab.key("Shift+ArrowLeft")
    assert tab.epoch == 6


def test_clicks_in_charts_set_the_epoch_and_the_variable(tab):
    """A click in a line chart is an epoch, a click in the heat map a variable and an epoch."""
    tab.show("Weight gradients")
    tab.drawn(4)
    heat = tab.frame.locator(".chart").first
    box = heat.bounding_box()
    heat.click(position={"x": box["width"] * 0.5, "y": 52})
    chosen = tab.epoch
    assert 2 < chosen < 9
    tab.frame.locator("h3", has_text="head/kernel").wait_for()
    line = tab.frame.locator(".chart").nth(1)
    line.click(position={"x": line.bounding_box()["width"] - 14, "y": 60})
    assert tab.epoch == 11


def test_columns_by_name_are_one_tile(browser, serve, tmp_path):
    """All of them on one scale, with their values, words as words; no choice between inputs."""
    from keras_xai.probe import Probe
    from keras_xai.records import Attribution, Epoch
    from keras_xai.summary.writer import Writer

    x = {"age": np.array([30.0, 40.0]), "dose": np.array([[2.5], [1.5]]), "town": np.array(["Oslo", "Bergen"], object)}
    values = {"age": np.array([0.1, 0.2]), "dose": np.array([[-0.5], [0.4]]), "town": np.array([0.3, -0.1])}
    values = {name: part.astype("f4") for name, part in values.items()}
    target, score = np.array([0, 1]), np.ones(2, "f4")
    outputs = np.eye(2, dtype="f4")
    found = Attribution("saliency", values, target, score, None, target, None, "logit", outputs, 0, "table")
    writer = Writer(tmp_path / "columns" / "keras_xai")
    writer.write([Probe(x, target), found, Epoch(0, 1.0, 1.0, 0.1, 1e-3, {"loss": 1.0})])
    writer.close()
    tab = Tab(browser, serve(tmp_path).url)
    tab.show("Attributions")
    tile = tab.frame.locator("svg[aria-label^='dose']").first
    tile.wait_for()
    assert [words.strip() for words in tile.locator("text:not(.head)").all_text_contents()] == [
        *("dose", "2.5", "−0.500"),
        *("town", "Oslo", "+0.300"),
        *("age", "30", "+0.100"),
    ]
    assert tab.frame.get_by_text("Input", exact=True).count() == 0
    tab.page.close()
    tab.quiet()


def test_many_variables_are_shown_as_layers(browser, serve, tmp_path):
    """More variables than one can tell apart become layers, unless one chooses otherwise; a layer has its own lines."""
    from keras_xai.records import STATISTICS, Epoch, Gradients
    from keras_xai.summary.writer import Writer

    names = tuple(f"m/block{i}/{part}" for i in range(24) for part in ("kernel", "bias"))
    writer = Writer(tmp_path / "deep" / "keras_xai")
    for epoch in range(3):
        values = dict.fromkeys(STATISTICS, np.full(48, 0.1, "f4"))
        counts, edges = np.ones((48, 4), "f4"), 2.0 ** np.arange(5, dtype="f4")
        found = Gradients(epoch, names, values, counts, edges, 1, (("m/block3/bias", "dead", 1),), sizes=(4, 1) * 24)
        writer.write([found, Epoch(epoch, 10.0 * epoch, 10.0, 0.1, 1e-3, {"loss": 1.0})])
    writer.close()
    tab = Tab(browser, serve(tmp_path).url)
    tab.show("Weight gradients")
    tab.drawn(4)
    assert tab.frame.get_by_role("button", name="Layers").get_attribute("aria-pressed") == "true"
    rows = tab.frame.locator(".chart").first.locator(".ytick text")
    assert rows.all_text_contents()[:2] == ["block0", "block1"]
    assert tab.frame.get_by_text("dead since 1").count() == 1
    tab.frame.locator("h3", has_text=re.compile("^block0$")).wait_for()
    tab.frame.get_by_role("button", name="Variables").click()
    tab.frame.locator("h3", has_text=re.compile("^block0/kernel$")).wait_for()
    tab.page.wait_for_timeout(500)
    assert "block0/kernel" in rows.all_text_contents()
    assert "block20/bias" not in rows.all_text_contents()  # every second row is labelled, and each has its name
    heat, row = tab.frame.locator(".chart").first, {"x": 400, "y": 4 + 41.5 * 420 / 48}
    heat.hover(position=row)
    tab.frame.locator(".hoverlayer text", has_text="m/block20/bias").first.wait_for()
    heat.click(position=row)
    tab.frame.locator("h3", has_text=re.compile("^block20/bias$")).wait_for()
    tab.page.close()
    tab.quiet()


def test_a_reload_comes_back_to_the_same_place(hosted):
    """View, run, epoch and settings are kept under the log directory."""
    tab = hosted
    tab.focus("pictures/clean")
    tab.show("Weight gradients")
    tab.frame.get_by_role("button", name="Zeros").click()
    tab.key("Home", "ArrowRight")
    tab.open()
    assert tab.frame.get_by_role("tab", name="Weight gradients").get_attribute("aria-selected") == "true"
    assert tab.frame.locator(".runs .focus .name").get_attribute("title") == "pictures/clean"
    tab.frame.get_by_text("Fraction of gradients that are exactly zero").wait_for()
    tab.frame.locator(".chart").first.wait_for()
    assert tab.epoch == 1  # the slider has one once the run is known


def test_dark_follows_the_host(hosted):
    """The host's own switch turns the tab dark and its charts with it, and back."""
    tab = hosted
    tab.drawn(3)
    background = "() => getComputedStyle(document.body).backgroundColor"
    body = tab.frame.locator("body")
    assert body.evaluate(background) == "rgb(255, 255, 255)"
    tab.page.evaluate("() => document.body.classList.add('dark-mode')")
    tab.page.wait_for_timeout(1000)
    assert body.evaluate(background) == "rgb(48, 48, 48)"
    colours = tab.frame.locator(".chart .xtick text").first.evaluate("(text) => getComputedStyle(text).fill")
    assert colours == "rgb(189, 189, 189)"
    tab.page.evaluate("() => document.body.classList.remove('dark-mode')")
    tab.page.wait_for_timeout(300)
    assert body.evaluate(background) == "rgb(255, 255, 255)"


@pytest.mark.parametrize(("compared", "rows"), [("epochs", 2), ("methods", 2), ("runs", 2)])
def test_two_of_anything_stand_side_by_side(tab, compared, rows):
    """Epochs, methods and runs are compared sample by sample."""
    tab.frame.get_by_role("checkbox", name="Overlay pictures/clean in the charts").click()
    tab.show("Attributions")
    tab.frame.get_by_label("Compare").select_option(compared)
    tab.frame.locator(".compare").wait_for()
    canvases = tab.frame.locator(".compare canvas").count()
    change = 0 if compared == "methods" else 6
    assert canvases == 6 + 6 * rows + change
    if compared == "epochs":
        tab.frame.get_by_text("samples are read differently").wait_for()
        tab.frame.get_by_label("The first epoch").select_option("2")
        tab.frame.get_by_text("epoch 2 against 11").wait_for()


@pytest.fixture(scope="module")
def shortcut_directory(tmp_path_factory):
    """A run of each kind with a shortcut in its training rows, and one that compared nothing."""
    root = tmp_path_factory.mktemp("shortcut")
    for kind in ("table", "image", "tokens"):
        ShortcutRun(root / kind, kind).write()
    ShortcutRun(root / "blind").write(0)
    return root


def test_a_shortcut_of_the_training_rows_comes_first(browser, serve, shortcut_directory):
    """Its sentence is the overview's, its panel the first; it leads to the view, where nothing of the other rows is red."""
    tab = Tab(browser, serve(shortcut_directory).url)
    tab.focus("table")
    tab.frame.locator("main h1", has_text="leak").wait_for()
    tab.drawn(3)
    heading = tab.frame.locator("main h1").inner_text()
    assert heading.startswith("In the training rows leak speaks for the label")
    assert tab.frame.locator("main h3").first.inner_text() == "What the features say for the label"
    tab.frame.locator(".lead .advice", has_text="Check how this feature gets into the training rows").wait_for()
    assert tab.frame.locator(".facts .alarm b").all_inner_texts() == ["25.0 limit 4.25", "38\u00a0% probe 1.0\u00a0%"]
    marks = tab.frame.locator(".runs .mark").all_inner_texts()
    assert marks == ["", "1 alert", "1 alert", "1 alert"]
    assert tab.frame.locator(".track .alert").count() == 1  # rows that merely differ are no mark
    tab.frame.get_by_role("button", name="See training rows beside probe").click()
    tab.drawn(3)
    bars = tab.frame.locator(".chart").first
    assert bars.locator(".annotation-text").all_text_contents()[0] == "training rows"
    assert {"38\u00a0%", "1.0\u00a0%"} <= set(bars.locator(".annotation-text").all_text_contents())
    entries = tab.frame.locator(".alerts li")
    assert entries.count() == 2
    assert entries.nth(0).locator(".head .alarm").inner_text() == "epoch 3"
    assert entries.nth(1).locator(".alarm").count() == 0
    assert "re-weight the training rows" in entries.nth(1).inner_text()
    cells = tab.frame.locator(".carriers td").all_inner_texts()
    assert cells[5:10] == ["leak", "7", "1", "2.5", "80\u00a0%"]
    assert tab.frame.locator("main img, main site").count() == 0
    tab.key("Home")
    tab.frame.get_by_text("Training rows were not compared with the probe").wait_for()
    tab.frame.get_by_text("Live rows and probe have too few rows of each class in common.").wait_for()
    assert tab.frame.locator(".chart").count() == 0
    tab.key("Shift+ArrowRight")
    assert tab.epoch == 3
    tab.focus("image")
    tab.frame.locator(".chart").first.locator(".heatmaplayer image").nth(2).wait_for()
    assert len(tab.frame.locator(".legends .legend").all_inner_texts()) == 2
    tab.show("Importance & drift")
    tab.frame.locator(".alerts button").first.click()
    assert tab.frame.get_by_role("tab", name="Training rows beside probe").get_attribute("aria-selected") == "true"
    tab.page.close()
    tab.quiet()


def test_samples_of_a_class_are_sorted_by_cluster(browser, serve, shortcut_directory):
    """Two clusters under titles, the other classes behind them; words say that it is a way to look."""
    tab = Tab(browser, serve(shortcut_directory).url)
    tab.focus("image")
    tab.show("Attributions")
    tab.frame.get_by_label("Sort samples by").select_option("cluster")
    tab.frame.get_by_text("A way to look, and no finding").wait_for()
    titles = tab.frame.locator("main h4").all_inner_texts()
    assert titles == ["Class 0, cluster 1: 2 samples", "Class 0, cluster 2: 2 samples", "Other samples"]
    order = [
        int(name.split()[-1])
        for name in tab.frame.locator(".tile").evaluate_all("(tiles) => tiles.map((t) => t.dataset.key)")
    ]
    assert [set(order[:2]), set(order[2:4]), set(order[4:])] == [{0, 4}, {2, 6}, {1, 3, 5, 7}]
    tab.frame.locator(".tile").nth(4).click()
    tab.frame.locator("main h4", has_text="Class 1, cluster 1").wait_for()
    tab.page.close()
    tab.quiet()


def test_it_works_by_keyboard_alone(tab):
    """Tabs, views and the slider answer to keys, and every control has a name."""
    tab.frame.get_by_role("tab", name="Overview").focus()
    tab.page.keyboard.press("ArrowRight")
    assert tab.frame.get_by_role("tab", name="Weight gradients").get_attribute("aria-selected") == "true"
    for key, view in zip("1234567", VIEWS, strict=True):
        tab.key(key)
        assert tab.frame.get_by_role("tab", name=view).get_attribute("aria-selected") == "true"
        tab.page.wait_for_timeout(200)
        nameless = tab.frame.locator("body").evaluate(
            """(body) => [...body.querySelectorAll('button, select, input, [role=slider], [role=img]')]
                .filter((node) => !(node.getAttribute('aria-label') || node.textContent.trim()))
                .map((node) => node.outerHTML)"""
        )
        assert nameless == []
    tab.key("c")
    tab.frame.locator(".compare").wait_for()
    tab.key("?")
    tab.frame.get_by_role("dialog", name="Keyboard").wait_for()
    tab.page.keyboard.press("Escape")
    tab.key("Home")
    assert tab.epoch == 0
    tab.key(" ")
    tab.page.wait_for_timeout(1200)
    tab.key(" ")
    assert tab.epoch >= 2


def test_half_a_window_is_enough(tab):
    """At 640 pixels nothing is wider than the frame, in any view."""
    tab.page.set_viewport_size({"width": 640, "height": 800})
    for view in VIEWS:
        tab.show(view)
        tab.page.wait_for_timeout(400)
        wide = tab.frame.locator("main").evaluate("(main) => main.scrollWidth - main.clientWidth")
        assert wide <= 0, view


@pytest.mark.parametrize("loader", [pytest.param("python", marks=pytest.mark.full), "rust"])
def test_a_live_run_updates_without_moving_the_slider(browser, serve, story, tmp_path, loader):
    """New epochs arrive by themselves: on the latest the slider follows, elsewhere it stays; an empty tab fills."""
    told = story(tmp_path / "live", moves=None).write(0, 1, 2)
    tab = Tab(browser, serve(tmp_path, loader).url)
    tab.frame.get_by_text("Epoch 2 of 2").wait_for()
    told.write(3)
    tab.frame.get_by_text("Epoch 3 of 3").wait_for()
    tab.key("Home")
    told.write(4)
    tab.frame.get_by_text("Epoch 0 of 4").wait_for()
    second = story(tmp_path / "second", moves=None)
    second.write(0)
    tab.frame.locator(".runs li", has_text="second").wait_for()
    assert tab.epoch == 0
    tab.page.close()
    tab.quiet()


def test_a_hidden_tab_does_not_poll(hosted):
    """TensorBoard keeps the frame of a tab one left, without a height: it asks for nothing until it is seen again."""
    hosted.drawn(3)
    hosted.page.locator(FRAME).evaluate("(frame) => { frame.style.display = 'none'; }")
    hosted.page.wait_for_timeout(2500)
    asked = []
    hosted.page.on("request", lambda request: asked.append(request.url))
    hosted.page.wait_for_timeout(4000)
    assert [url for url in asked if "keras_xai/index" in url] == []
    with hosted.page.expect_request("**/keras_xai/index"):
        hosted.page.locator(FRAME).evaluate("(frame) => { frame.style.display = ''; }")


@pytest.mark.parametrize("milliseconds", [50, 400])
def test_maps_are_drawn_whenever_they_come(browser, python_served, milliseconds):
    """The first drawing waits a moment for its maps; what comes later is drawn when it comes."""
    tab = Tab(browser, python_served.url)
    tab.focus("pictures/watermark")
    tab.show("Attributions")
    tab.frame.locator("main .tile canvas").first.wait_for()

    def late(route):
        tab.page.wait_for_timeout(milliseconds)
        route.continue_()

    tab.page.route("**/attribution?**", late)
    tab.open()
    tab.frame.locator("main .tile canvas").first.wait_for()
    tab.rest()  # maps that are fetched ahead are late as well
    tab.page.unroute_all(behavior="wait")
    tab.page.close()
    tab.quiet()


def test_what_cannot_be_loaded_is_said(browser, python_served):
    """Without plotly the gallery paints and the charts say why; a server that is gone is said and waited for."""
    tab = Tab(browser, python_served.url)
    tab.page.route("**/plotly.*min.js", lambda route: route.abort())
    tab.open()
    tab.focus("pictures/watermark")
    tab.show("Attributions")
    tab.frame.locator(".tile canvas").first.wait_for()
    tab.frame.get_by_text("No chart: plotly could not be loaded").first.wait_for()
    tab.page.route("**/index", lambda route: route.abort())
    tab.frame.get_by_text("the server does not answer, trying again").wait_for()
    tab.page.unroute("**/index")
    tab.frame.get_by_text("the server does not answer, trying again").wait_for(state="detached")
    assert tab.frame.locator(".tile canvas").count() > 0
    tab.page.close()


def test_what_of_the_runs_cannot_be_read_is_said(browser, serve, story, tmp_path):
    """A run that cannot be read is a line with its reason, and the others are shown; what was passed over of one is a note."""
    story(tmp_path / "whole", kind="table", moves=None).write(*range(3)).close()
    other = story(tmp_path / "odd", kind="table", moves=None).write(*range(3))
    records = other.records(3)
    vars(records[0]).update(histogram=-records[0].histogram)
    other.writer.write(records)
    other.close()
    served = serve(tmp_path)

    def unread(route):
        answer = route.fetch()
        told = answer.json()
        told["runs"].insert(0, {**told["runs"][0], "name": "lost", "error": "<b>why</b>", "epochs": 0, "last": None})
        route.fulfill(response=answer, json=told)

    tab = Tab(browser, served.url, index=unread)
    tab.focus("odd")
    tab.frame.get_by_role("button", name="1 note").click()
    tab.frame.get_by_text("weight_gradients: 1 of 4 steps are damaged and passed over").first.wait_for()
    tab.frame.locator("dialog.notes").click()
    tab.show("Weight gradients")
    tab.frame.locator("p.note").get_by_text("1 of 4 steps are damaged").wait_for()
    line = tab.frame.locator(".runs li").filter(has_text="lost")
    assert line.locator(".mark.alarm").inner_text() == "unreadable"
    tab.focus("lost")
    tab.frame.get_by_role("heading", name="This run could not be read").wait_for()
    tab.frame.get_by_text("<b>why</b>").wait_for()
    tab.focus("whole")
    tab.drawn(4)
    tab.page.unroute_all(behavior="ignoreErrors")  # the page asks again and again, also as it closes
    tab.page.close()
    tab.quiet()


def test_an_empty_directory_says_which_line_would_help(browser, serve, tmp_path):
    """Where nothing was written the page names the directory and the callback."""
    url = serve(tmp_path).url
    page = browser.new_page()
    page.goto(f"{url}/data/plugin_entry.html?name=keras_xai")
    page.get_by_text("kx.Explain(log_dir, probe)").wait_for()
    assert re.search(re.escape(str(tmp_path)), page.locator("main").inner_text())
    page.close()
