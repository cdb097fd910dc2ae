"""The code of the how-to pages runs, and what the pages say of it is so."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"


def leaking_column(page):
    alerts = page["kx"].load("logs/leak")["."].alerts
    assert 14 <= alerts[0].epoch <= 16
    assert any(a.source == "live" and a.verdict == "data changed" and a.features[0][0] == "refund" for a in alerts)
    assert page["probe"].features == ("contact", "tenure", "bill", "age", "refund")


def watermark(page):
    alert = page["alert"]
    assert 16 <= alert.epoch <= 18
    assert {(a.event, a.verdict) for a in page["alerts"]} == {(16, "data changed")}
    assert alert.features[0][0] in {f"block ({row},{column})" for row in range(2) for column in range(2)}


def cheating(page):
    epochs = [page["stopped"].epoch[-1], page["early"].epoch[-1], page["raised"].epoch]
    assert all(12 <= epoch <= 14 for epoch in epochs)
    assert len(set(epochs)) == 1


def no_alarm(page):
    assert not page["always"].alerts
    assert {alert.source for alert in page["ramp"].alerts} == {"data"}
    assert page["always"].importance.names[page["always"].importance.share[-1].argmax()] == "leak"
    assert page["ramp"].importance.names[page["gained"].argmax()] == "leak"
    assert page["gained"].max() > 0.3
    assert page["seen"][4] == 0
    assert page["felt"][4] > 0.1


def wrong_labels(page):
    assert page["np"].isin(page["suspects"], page["wrong"]).mean() >= 0.9
    assert (page["hidden"][page["seen"]] == page["truth"][page["rows"]][page["seen"]]).mean() >= 0.9


def memorises(page):
    assert ("model", "memorising") in {flag[:2] for record in page["told"] for flag in record.flags}
    r2 = page["history"]["xai_surrogate_r2"]
    assert max(r2) - r2[-1] > 0.1
    right = [(seen == page["truth"][page["rows"]])[page["bad"]].mean() for seen in page["record"].decision.read_as]
    assert right[0] > right[-1]
    assert page["given"] > 0.5


PAGES = {
    "catch_a_leaking_column": leaking_column,
    "catch_a_watermark": watermark,
    "stop_when_the_model_cheats": cheating,
    "why_there_was_no_alarm": no_alarm,
    "find_wrong_labels": wrong_labels,
    "see_where_a_model_memorises": memorises,
}


def blocks(name):
    """The blocks that begin with ```python tested, in order."""
    return re.findall(r"^```python tested\n(.*?)^```$", (DOCS / f"{name}.md").read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.filterwarnings("ignore:ALERT")
@pytest.mark.parametrize("name", PAGES)
def test_the_code_of_a_page_does_what_the_page_says(name, tmp_path, monkeypatch):
    """Its blocks run one after the other, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    page: dict[str, object] = {"__name__": name}
    for block in blocks(name):
        exec(compile(block, f"{name}.md", "exec"), page)
    PAGES[name](page)


def test_every_page_with_tested_code_is_tested():
    """A block that says it is tested is."""
    assert {path.stem for path in DOCS.glob("*.md") if blocks(path.stem)} == set(PAGES)


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.md")), ids=lambda path: path.stem)
def test_links_between_pages_lead_somewhere(path):
    """Relative links, from each page."""
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target
