"""The code of README and of every page runs, and what the pages say of it is so.

A page that begins in the middle, with a model and data that the reader has, gets those of `tests/reader.py`.
"""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from keras_xai.alert_words import BLIND_WORDS, HOW_TOS
from keras_xai.cli import main
from tests import reader
from tests.helpers.loops_page import check_loops_of_this_framework
from tests.helpers.pages import DOCS, ROOT, blocks

TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
ELSEWHERE = DOCS / "development"  # whose how-tos change a copy of the package: tests/test_development.py
TRACKERS = DOCS / "trackers.md"  # whose recipes want packages that are not here: tests/test_trackers.py


def leaking_column(page):
    alerts = page["kx"].load("logs/leak")["."].alerts
    assert 14 <= alerts[0].epoch <= 16
    assert any(a.source == "live" and a.verdict == "data changed" and a.features[0].name == "refund" for a in alerts)
    assert page["probe"].features == ("contact", "tenure", "bill", "age", "refund")


def watermark(page):
    alert = page["alert"]
    assert 16 <= alert.epoch <= 18
    assert {(a.event, a.verdict) for a in page["alerts"]} == {(16, "data changed")}
    assert alert.features[0].name in {f"block ({row},{column})" for row in range(2) for column in range(2)}


def cheating(page):
    epochs = [page["stopped"].epoch[-1], page["early"].epoch[-1], page["raised"].epoch]
    assert all(12 <= epoch <= 14 for epoch in epochs)
    assert len(set(epochs)) == 1


def no_alarm(page):
    leak = page["always"].alerts[0]
    assert (leak.epoch, leak.verdict, leak.features[0].name) == (2, "training-only shortcut", "leak")
    assert not page["kx"].load("logs/shared")["."].alerts
    assert page["names"][page["values"].argmax()] == "leak"
    assert "not looked for: no live rows were given" in page["verdict"].reasons[0]
    assert {alert.source for alert in page["ramp"].alerts} >= {"data"}
    assert page["ramp"].importance.names[page["gained"].argmax()] == "leak"
    assert page["gained"].max() > 0.3
    assert page["by_input_x_gradient"][4] == 0
    assert page["by_saliency"][4] > 0.1


def wrong_labels(page):
    assert page["np"].isin(page["suspects"], page["wrong"]).mean() >= 0.9
    assert (page["read_as"] == page["truth"][page["rows"]])[page["mislabelled"]].mean() >= 0.9


def memorises(page):
    assert ("model", "memorising") in {flag[:2] for record in page["flagged"] for flag in record.flags}
    r2 = page["history"]["xai_surrogate_r2"]
    assert max(r2) - r2[-1] > 0.1
    right = [
        (read_as == page["truth"][page["rows"]])[page["bad"]].mean() for read_as in page["record"].decision.read_as
    ]
    assert right[0] > right[-1]
    assert page["memorised"] > 0.5


def taught_this(page):
    assert page["influence"].opponents.indices[0] == 450
    assert page["run"].alerts[0].source == "gap"
    assert page["np"].isin(page["taught"].indices, page["marked"]).all()
    assert (len(page["taught"]), page["row"].checkpoints) == (10, 6)


def attributions(page):
    assert page["falling"].shape == page["rising"].shape == (12, 21)
    assert set(page["kx"].load("logs")["run1"].attributions("occlusion")[0].values.shape) == {12, 4}
    assert len(page["correlations"]) == len(page["smooth"]) == 2
    assert page["flipped"].shape == page["drop"].shape == (12, 5)
    assert [check.update for check in page["checks"]] == [0, 1]
    assert page["missed"].shape == page["moved"].shape == (12,)


def mappings(page):
    assert page["record"].effect.shape == (1, 1, 2)
    assert set(page["run"].samples.suspects()) <= set(range(256))


def dense_outputs(page):
    assert page["result"].unit == "pixel"
    assert page["result"].accuracy > 0.9
    assert page["maps"].completeness_error.max() < 0.05
    assert (page["why"].values[0] != 0).tolist() == [True] * 4 + [False] * 4


def custom_loops(page):
    assert page["loop"].steps == 60
    assert page["loop"].logs["loss"] < 0.6
    assert page["kx"].load("logs")["step"].epochs == [0, 1, 2, 3, 4]
    check_loops_of_this_framework(page)


def fine_tunes(page):
    """The updates that the page prints, and the gallery of the untrained model."""
    run = page["run"]
    assert [(record.epoch, record.step) for record in run.history] == [(0, 40), (0, 80), (0, 120), (0, 160), (0, 192)]
    assert page["untrained"].epoch is None
    assert page["untrained"].values.shape == (16, 6)


def slices(page):
    record = page["record"]
    accuracy = {value.value: (float(a), value.rows) for value, a in zip(record.values, record.accuracy, strict=True)}
    assert abs(page["overall"] - 0.91) < 0.02
    assert abs(accuracy["north"][0] - 0.81) < 0.05
    assert min(accuracy["south"][0], accuracy["west"][0]) > accuracy["north"][0] + 0.05
    assert [rows for _, rows in accuracy.values()] == [48, 107, 101]
    assert page["share"]["rate"] > 1.5 * record.importance.share[1:, 2].max()
    assert page["told"]["hidden"] > record.readout.chance[0] + 0.05
    assert len(page["history"]["xai_worst_slice"]) == 10
    assert Path("worst_slice.keras").exists()


def predictions(page):
    first, middle, last = page["predictions"].accuracy[[0, 4, 9]]
    assert (abs(first - 0.47) < 0.03, abs(middle - 0.76) < 0.03, abs(last - 0.88) < 0.03) == (True, True, True)
    assert page["predictions"].prediction.shape == (10, 256)
    assert len(page["surest"]) == 3
    assert page["surest"][0] == 182


def training_checks(page):
    flags = page["run"].training_flags[-1].flags
    assert [flag.kind for flag in flags] == ["unscaled input", "poor initialisation"]
    assert flags[0].name == "income"
    assert [copies.names for copies in page["run"].screen.copies] == [("fahrenheit", "celsius")]


def start(page):
    """Of the table and the text, the alarm and the accuracies that the page prints; of the pictures, the digits."""
    first = page["kx"].load("logs/table")["."].alerts[0]
    assert (first.epoch, first.verdict, first.features[0].name) == (2, "training-only shortcut", "ward")
    text = page["kx"].load("logs/text")["."]
    assert (text.alerts[0].epoch, text.alerts[0].features[0].name) == (2, "sponsored")
    assert page["model"].evaluate(page["x"][:600], page["y"][:600], verbose=0)[1] > 0.9
    assert page["model"].evaluate(page["x"][600:], page["y"][600:], verbose=0)[1] < 0.6
    assert page["a"].values.shape == (6, 8, 8, 1)
    assert Path("text.html").exists()


def alarm_decides(page):
    """The alerts in their order, one event; and the drift score, which the page computes again."""
    alerts = [(alert.epoch, alert.source, alert.features[0].name) for alert in page["run"].alerts]
    assert alerts == [(12, "data", "refund"), (13, "live", "refund"), (14, "gap", "refund")]
    assert {alert.event for alert in page["run"].alerts} == {12}
    page["np"].testing.assert_allclose(page["by_hand"], page["recorded"], rtol=1e-3)
    assert page["gap"].z[13, page["refund"]] > page["gap"].limit > page["gap"].z[11, page["refund"]]


def methods(page):
    """The closed form on a linear model."""
    assert page["slope"].tolist() == [[2, -1, 0]]
    assert page["here"].tolist() == [[2, -3, 0]]
    for values in page["contributions"].values():
        page["np"].testing.assert_allclose(values, [[0, -2, 0]], atol=1e-5)


def volumes(page):
    (alert,) = page["run"].alerts
    assert [move.name for move in alert.features] == ["depth 6 row 1 column 1"]
    assert page["run"].attribution("grad_cam", 3).values.shape == (16, 6, 14, 14)
    assert page["figure"].layout.sliders[0].active == 6


def what_to_do(page):
    assert (page["rows_that_differ"], page["columns"]) == (100, ["bill"])
    assert page["alert"].features[0].name == "refund"
    assert page["in_training"] > 0.6
    assert abs(page["in_probe"]) < 0.15
    assert page["accuracy"][1] > page["accuracy"][0] + 0.02
    for log_dir in ("logs/without", "logs/rule"):
        assert not page["kx"].load(log_dir)["."].alerts
    assert page["loss_of_accuracy"].shape == (5,)
    assert page["maps"].shape == (8, 5)
    assert abs(page["older_weighted"]) < 0.2 < page["older"]
    assert page["watch"].on_drift is page["post"]


def reliance_gap(page):
    shortcut = page["run"].alerts[0]
    assert (shortcut.epoch, shortcut.verdict, shortcut.features[0].name) == (2, "training-only shortcut", "site")
    assert page["history"]["xai_gap_alarm"] == [0, 0, 1, 0, 0, 0]
    assert page["gap"].live[-1, page["leaks"]] > 0.1 > page["gap"].probe[-1, page["leaks"]]
    assert [(a.epoch, a.source, a.features[0].name) for a in page["ruled"].alerts] == [(1, "rule", "site_*")]
    assert len(page["inside"]) == 6
    assert "region" in {move.name for a in page["kx"].load("logs/region")["."].alerts for move in a.features}
    text = (DOCS / "reliance_gap.md").read_text(encoding="utf-8")
    for words in BLIND_WORDS.values():
        assert f"| {words} |" in text


def security(page):
    assert page["probe"].store == "none"


def plots(page):
    """What the page draws, and what its notebook shows."""
    bars = page["kx"].plot.waterfall(page["a"], sample=3, feature_names=page["names"], features=3).data[0]
    assert abs(bars.base[-1] + bars.x[-1] - page["a"].score[3]) < 1e-5
    assert "1 other" in bars.hovertext[3]
    assert "not watched" in page["runs"]._repr_html_()


def the_report(page):
    assert page["path"].read_text(encoding="utf-8").startswith("<!doctype html>")


def weight_gradients(page):
    assert page["last"].names[0] == "backbone/kernel"


def readme(page):
    assert [callback.name for callback in page["callbacks"]] == [
        "weight_gradients",
        "probe_mappings",
        "probe_attributions",
        "importance_drift",
    ]
    assert page["a"].values.shape == page["x"].shape
    assert set(page["kx"].load("logs")) == {"run1"}


def needs_fsspec():
    """Addresses need it, and the package does not."""
    pytest.importorskip("fsspec")
    return {}


def remote(page):
    """Three epochs in a store, and a local directory that is gone."""
    assert page["run"].probe.size == 16
    assert set(page["kx"].load("memory://logs")) == {"run1"}


class Page(NamedTuple):
    """What is checked when a page's blocks have run, and the names that each block begins with."""

    check: Callable
    setups: tuple[Callable[[], dict], ...] = ()


PAGES = {
    "README": Page(
        readme,
        (
            reader.table,
            reader.digits,
            reader.table,
        ),
    ),
    "docs/attributions": Page(attributions, (reader.table,)),
    "docs/catch_a_leaking_column": Page(leaking_column),
    "docs/catch_a_watermark": Page(watermark),
    "docs/custom_loops": Page(custom_loops),
    "docs/find_wrong_labels": Page(wrong_labels),
    "docs/fine_tunes": Page(fine_tunes),
    "docs/how_the_alarm_decides": Page(alarm_decides),
    "docs/methods": Page(methods),
    "docs/mappings": Page(mappings, (reader.table,)),
    "docs/plots": Page(plots, (reader.table,)),
    "docs/predictions": Page(predictions),
    "docs/training_checks": Page(training_checks),
    "docs/reliance_gap": Page(reliance_gap),
    "docs/remote": Page(remote, (needs_fsspec,)),
    "docs/report": Page(the_report),
    "docs/security": Page(security, (reader.table,)),
    "docs/see_where_a_model_memorises": Page(memorises),
    "docs/outputs": Page(dense_outputs),
    "docs/slices": Page(slices),
    "docs/start": Page(start),
    "docs/stop_when_the_model_cheats": Page(cheating),
    "docs/volumes": Page(volumes),
    "docs/weight_gradients": Page(weight_gradients, (reader.table,)),
    "docs/what_to_do_about_an_alert": Page(what_to_do),
    "docs/which_rows_taught_this": Page(taught_this),
    "docs/why_there_was_no_alarm": Page(no_alarm),
}


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path, monkeypatch):
    """Where the pages write; no figure opens a browser."""
    plotly = pytest.importorskip("plotly.graph_objects")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))  # of what is read from an address
    monkeypatch.setattr(plotly.Figure, "show", lambda figure: None)


@pytest.mark.filterwarnings("ignore:ALERT", "ignore:epoch", "ignore:The probe", "ignore:keras_xai")
@pytest.mark.parametrize("name", PAGES)
def test_the_code_of_a_page_does_what_the_page_says(name):
    """Its blocks run one after the other, in an empty directory."""
    page: dict[str, object] = {"__name__": name}
    setups = [*PAGES[name].setups]
    for block in blocks(ROOT / f"{name}.md", "python"):
        page |= setups.pop(0)() if setups else {}
        exec(compile(block, f"{name}.md", "exec"), page)
    PAGES[name].check(page)


def test_every_page_with_code_is_tested():
    """A page whose code nobody runs is wrong sooner or later."""
    with_code = {path for path in TEXTS if re.search(r"^```\s*py", path.read_text(encoding="utf-8"), re.MULTILINE)}
    expected = {path for path in with_code if ELSEWHERE not in path.parents} - {TRACKERS}
    assert expected == {ROOT / f"{name}.md" for name in PAGES}


def commands():
    """Every `keras-xai` command that a text names with its arguments, once."""
    for path in TEXTS:
        for line in re.findall(r"keras-xai ((?:check|report|demo)\b[^`\n&|]*)", path.read_text(encoding="utf-8")):
            yield line.strip()


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_a_command_runs(line, monkeypatch):
    """On a log directory that is there; of the demo, which trains for a minute, only its arguments are read."""
    began = []
    monkeypatch.setattr("keras_xai.cli._demo", lambda *arguments: began.append(arguments) or 0)
    command, *arguments = shlex.split(line)
    if command != "demo":
        names = reader.table()
        watch = names["kx"].ImportanceDrift("logs/run1", names["probe"])
        names["model"].fit(names["x"], names["y"], epochs=10, verbose=0, callbacks=[watch])
        arguments = arguments or ["logs"]
    assert main([command, *arguments]) == 0
    assert began or Path("logs").exists()


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_links_between_pages_lead_somewhere(path):
    """Relative links, from each page, outside of its code."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", text):
        assert (path.parent / target).exists(), target


def anchors(path):
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_links_into_a_page_lead_to_a_heading(path):
    """Of this page, or of another one."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([\w-]+)\)", text):
        assert anchor in anchors(path.parent / target if target else path), (target, anchor)


@pytest.mark.parametrize("target", HOW_TOS.values(), ids=HOW_TOS)
def test_the_advice_of_an_alert_links_to_a_heading(target):
    """One section by verdict."""
    name, anchor = target.split("#")
    assert anchor in anchors(ROOT / name)
